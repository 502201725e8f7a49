//! The catalogue as a page of Markdown, which the repository keeps.

use std::fmt::Write as _;

use super::{bound, edges_seconds, series_max};
use crate::telemetry::{
    PROMISE,
    catalog::{self, Label, Metric, Values},
};

pub(super) fn page() -> String {
    [head(), metrics(), label_values(), buckets()].join("\n")
}

fn head() -> String {
    format!(
        "# Metrics\n\n\
         Made from the catalogue in `src/telemetry/catalog.rs` by `signalbox metrics --format md`; a test holds this page \
         to it.\n\n\
         `/metrics` on the ops port answers in Prometheus text 0.0.4, OpenMetrics 1.0 or protobuf, by `Accept`. Counters \
         of closed sets are there at zero from the start. Latencies are there from their first signal, as classic \
         histograms and, in protobuf, as native ones too; gauges of the last minute while there is traffic.\n\n\
         {} metrics; at the very worst {} series from one router.\n",
        catalog::ALL.len(),
        series_max()
    )
}

fn metrics() -> String {
    let mut text = "## All of them\n\n\
        | metric | kind | unit | labels | shown by | series at most |\n\
        |---|---|---|---|---|---:|\n"
        .to_owned();
    for metric in catalog::ALL {
        let Metric { name, kind, unit, shown, help, .. } = metric;
        let labels = metric.labels.iter().map(|label| format!("`{}` ({})", label.name, bound(label.values)));
        let labels = labels.collect::<Vec<_>>().join("<br>");
        let (kind, unit, shown, series) = (kind.name(), unit.name(), shown.name(), metric.series());
        line(&mut text, &format!("| `{name}`<br>{help} | {kind} | {unit} | {labels} | {shown} | {series} |"));
    }
    text
}

/// Each closed set once, with the metrics that have it.
fn label_values() -> String {
    let mut sets: Vec<(&Label, &[&str], Vec<&str>)> = Vec::new();
    for metric in catalog::ALL {
        for label in metric.labels {
            let Values::Closed(set) = label.values else { continue };
            match sets.iter_mut().find(|(of, known, _)| of.name == label.name && *known == set) {
                Some((_, _, metrics)) => metrics.push(metric.name),
                None => sets.push((label, set, vec![metric.name])),
            }
        }
    }
    let mut text = "## Values of labels\n\n".to_owned();
    for (label, set, metrics) in sets {
        let quoted = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        line(&mut text, &format!("- **{}** of {}: {}", label.name, quoted(&metrics), quoted(set)));
    }
    text
}

fn buckets() -> String {
    let edges = edges_seconds().map(|edge| format!("`{edge}`")).collect::<Vec<_>>().join(", ");
    format!(
        "## Buckets of latencies\n\n\
         Upper edges, seconds: {edges}, `+Inf`. Each but the last is an edge of the HDR histograms at three digits, so the \
         counts are exact: the share that kept the promise of {} ms is the bucket `le=\"{}\"`. Native histograms have \
         schema 3.\n",
        PROMISE.as_millis(),
        PROMISE.as_secs_f64()
    )
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes every write");
}
