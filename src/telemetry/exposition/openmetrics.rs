//! OpenMetrics 1.0: as text 0.0.4, with units, exemplars and an end.
//!
//! No `_created` lines: a Prometheus takes them for series of their own. The protobuf form tells since when.

use std::fmt::Write as _;

use super::{
    lines::{Lines, write_escaped, write_labels, write_number},
    model::{Exemplar, Family},
};
use crate::telemetry::catalog::{self, Kind};

/// Characters of an exemplar's names and values together; a longer one is left out, as the specification asks.
const EXEMPLAR_CHARS_MAX: usize = 128;

pub(super) fn encode(families: &[Family]) -> String {
    let mut lines = Lines::default();
    for Family { row, message } in families {
        let name = family_name(row);
        lines.comment("HELP", name, |rest| write_escaped(rest, row.help, &['\\', '\n', '"']));
        lines.comment("TYPE", name, |rest| rest.push_str(row.kind.name()));
        if let Some(unit) = row.unit.suffix() {
            lines.comment("UNIT", name, |rest| rest.push_str(unit));
        }
        for metric in &message.metric {
            lines.series(row.name, metric, write_exemplar);
        }
    }
    lines.push("# EOF\n");
    lines.into_text()
}

/// The family is called without what its kind adds to its series.
fn family_name(row: &catalog::Metric) -> &'static str {
    let suffix = match row.kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        Kind::Gauge | Kind::Histogram => "",
    };
    row.name.strip_suffix(suffix).unwrap_or(row.name)
}

/// ` # {labels} value timestamp`
fn write_exemplar(into: &mut String, exemplar: &Exemplar) {
    let chars = |text: &Option<String>| text.as_deref().map_or(0, |text| text.chars().count());
    let all: usize = exemplar.label.iter().map(|label| chars(&label.name) + chars(&label.value)).sum();
    if all > EXEMPLAR_CHARS_MAX {
        return;
    }
    into.push_str(" # {");
    write_labels(into, &exemplar.label);
    into.push_str("} ");
    write_number(into, exemplar.value.unwrap_or_default());
    if let Some(at) = &exemplar.timestamp {
        write!(into, " {}.{:03}", at.seconds, at.nanos / 1_000_000).expect("a string takes every write");
    }
}
