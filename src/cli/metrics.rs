//! `signalbox metrics`: the catalogue, for eyes, for programs and as a page.

mod merge;
mod page;
mod table;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::say;
use crate::telemetry::catalog::{self, EDGES_US, Label, Metric, Values};

const EXAMPLES: &str = "\
Examples:
  What there is, what it means and what it may cost a Prometheus:
    signalbox metrics
    signalbox metrics | grep -A2 latency

  For programs: the names of all counters, and the sum of all series:
    signalbox metrics --format json | jq -r '.metrics[] | select(.kind == \"counter\").name'
    signalbox metrics --format json | jq .series_max

  The page in the repository, after a change of the catalogue:
    signalbox metrics --format md > dashboards/METRICS.md

  The latencies of two routers together:
    curl -so a.hlog http://router-a:9600/debug/latency.hlog
    curl -so b.hlog http://router-b:9600/debug/latency.hlog
    signalbox metrics merge a.hlog b.hlog";

/// Arguments of `signalbox metrics`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// How to write the catalogue.
    #[arg(long, value_enum, default_value_t = Shape::Table)]
    format: Shape,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Merge interval logs, of several routers or of several hours, and show their quantiles.
    Merge(merge::Args),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    /// A table of 120 columns.
    Table,
    /// One JSON object, label values and bucket edges included.
    Json,
    /// A page of Markdown.
    Md,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    if let Some(Command::Merge(args)) = args.command {
        return merge::run(&args);
    }
    let shown = match args.format {
        Shape::Table => table::table(),
        Shape::Json => serde_json::to_string_pretty(&as_json()).context("cannot write JSON")?,
        Shape::Md => page::page(),
    };
    say(shown.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Series that one router makes at the very worst.
fn series_max() -> usize {
    catalog::ALL.iter().map(Metric::series).sum()
}

fn as_json() -> Value {
    let metrics: Vec<_> = catalog::ALL.iter().map(metric_json).collect();
    let edges: Vec<_> = edges_seconds().collect();
    json!({ "metrics": metrics, "series_max": series_max(), "latency_edges_seconds": edges })
}

/// Upper edges of the latency buckets, but for the last, which has none.
fn edges_seconds() -> impl Iterator<Item = f64> {
    EDGES_US.iter().map(|edge| f64::from(*edge) / 1e6)
}

fn metric_json(metric: &Metric) -> Value {
    json!({
        "name": metric.name,
        "kind": metric.kind.name(),
        "unit": metric.unit.name(),
        "help": metric.help,
        "shown_by": metric.shown.name(),
        "labels": metric.labels.iter().map(label_json).collect::<Vec<_>>(),
        "label_sets_max": metric.sets(),
        "series_max": metric.series(),
    })
}

fn label_json(label: &Label) -> Value {
    let (values, set) = match label.values {
        Values::Closed(set) => ("closed", Some(set)),
        Values::Numbered { .. } => ("numbered", None),
        Values::Configured { .. } => ("configured", None),
        Values::Nodes { .. } => ("nodes", None),
        Values::Busiest { .. } => ("busiest", None),
        Values::Fixed => ("fixed", None),
    };
    json!({ "name": label.name, "values": values, "values_max": label.values.bound(), "set": set })
}

/// The same in words: how many values there may be, and whose.
fn bound(values: Values) -> String {
    match values {
        Values::Closed(set) => format!("{} values", set.len()),
        Values::Numbered { max } => format!("0 to {}", max - 1),
        Values::Configured { max } => format!("{max} configured, other"),
        Values::Nodes { max } => format!("{max} nodes, other"),
        Values::Busiest { max } => format!("{max} busiest, other"),
        Values::Fixed => "1 value".to_owned(),
    }
}

#[cfg(test)]
mod tests;
