//! Prometheus text 0.0.4. It has neither units nor exemplars, and an info is a gauge there.

use super::{
    lines::{Lines, write_escaped},
    model::Family,
};
use crate::telemetry::catalog::Kind;

pub(super) fn encode(families: &[Family]) -> String {
    let mut lines = Lines::default();
    for Family { row, message } in families {
        let kind = if row.kind == Kind::Info { Kind::Gauge } else { row.kind };
        lines.comment("HELP", row.name, |rest| write_escaped(rest, row.help, &['\\', '\n']));
        lines.comment("TYPE", row.name, |rest| rest.push_str(kind.name()));
        for metric in &message.metric {
            lines.series(row.name, metric, |_, _| ());
        }
    }
    lines.into_text()
}
