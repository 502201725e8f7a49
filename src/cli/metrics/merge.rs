//! `signalbox metrics merge`: interval logs of several routers as one.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::super::say;
use crate::telemetry::interval_log::{self, LogInterval};

/// Arguments of `signalbox metrics merge`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox metrics merge a.hlog b.hlog                      the quantiles of both, by tag
  signalbox metrics merge a.hlog b.hlog --tag signal.join    only of joins
  signalbox metrics merge a.hlog b.hlog --output both.hlog   and a log, readable by HdrHistogram's tools

Quantiles cannot be averaged; histograms can be added. The logs come from /debug/latency.hlog, or from
`signalbox load --hlog`. Values are microseconds in the logs and milliseconds here.")]
pub(super) struct Args {
    /// Interval logs (HdrHistogram V2).
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Only tags that begin so, as `signal.join` or `delivery`.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    tag: String,
    /// Where to write the merged log, an interval a minute and tag.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The quantiles as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let mut intervals = Vec::new();
    for path in &args.logs {
        let log = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let read = interval_log::read(&log).with_context(|| path.display().to_string())?;
        intervals.extend(read.into_iter().filter(|interval| interval.tag.starts_with(&args.tag)));
    }
    if intervals.is_empty() {
        let of = if args.tag.is_empty() { String::new() } else { format!(" whose tag begins with {:?}", args.tag) };
        bail!("no interval{of} in {} logs", args.logs.len());
    }
    let merged = interval_log::merge(intervals);
    if let Some(path) = &args.output {
        std::fs::write(path, written(&merged)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let tags = interval_log::by_tag(&merged);
    if args.json {
        let tags: Vec<_> = tags.iter().map(|(tag, histogram)| row_json(tag, histogram)).collect();
        say(&serde_json::to_string_pretty(&tags).context("cannot write JSON")?);
    } else {
        say(&table(tags.iter().map(|(tag, histogram)| (*tag, histogram))).to_string());
    }
    Ok(ExitCode::SUCCESS)
}

fn written(merged: &[LogInterval]) -> Result<Vec<u8>> {
    let start = merged.first().map(|first| first.start).unwrap_or_default();
    let mut log = interval_log::head(start, "[Values: microseconds; several logs merged]");
    log.append(&mut interval_log::lines(merged).context("cannot encode the merged log")?);
    Ok(log)
}

const SHARES: [(&str, f64); 5] = [("P50", 0.5), ("P90", 0.9), ("P99", 0.99), ("P99.9", 0.999), ("P99.99", 0.9999)];

fn ms(micros: u64) -> f64 {
    micros as f64 / 1e3
}

fn row_json(tag: &str, histogram: &Histogram<u64>) -> Value {
    let [p50, p90, p99, p999, p9999] = SHARES.map(|(_, share)| ms(histogram.value_at_quantile(share)));
    json!({
        "tag": tag, "count": histogram.len(), "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "p999_ms": p999,
        "p9999_ms": p9999, "max_ms": ms(histogram.max()),
    })
}

fn table<'a>(tags: impl Iterator<Item = (&'a str, &'a Histogram<u64>)>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["ms", "count"].into_iter().chain(SHARES.map(|(name, _)| name)).chain(["max"]));
    for (tag, histogram) in tags {
        let quantiles = SHARES.map(|(_, share)| format!("{:.3}", ms(histogram.value_at_quantile(share))));
        let ends = [tag.to_owned(), histogram.len().to_string()];
        table.add_row(ends.into_iter().chain(quantiles).chain([format!("{:.3}", ms(histogram.max()))]));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}
