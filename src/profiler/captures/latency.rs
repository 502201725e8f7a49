//! Quantiles of a capture's window beside those of its quiet hour: which op, region and stage became slower.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::telemetry::views::Row;

/// Both times below this are alike, milliseconds: as much is added before they are compared.
const FLOOR_MS: f64 = 1.0;

/// As a report of latencies has it; read back from a capture it is text to show and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencyRow {
    /// `signal`, `delivery`, `stage`.
    pub kind: String,
    /// The kind of the signal; empty of a stage.
    pub op: String,
    /// The client's region; of a delivery the recipient's. Empty of a stage.
    pub region: String,
    /// How signals ended; empty of the others.
    pub outcome: String,
    /// The stage; empty of the others.
    pub stage: String,
    /// How many latencies.
    pub count: u64,
    /// Their mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 90 of 100 are at most this.
    pub p90_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1,000.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl LatencyRow {
    /// What it is of.
    fn subject(&self) -> [&str; 5] {
        [&self.kind, &self.op, &self.region, &self.outcome, &self.stage]
    }
}

impl From<&Row> for LatencyRow {
    fn from(Row { subject, quantiles }: &Row) -> Self {
        Self {
            kind: subject.kind.to_owned(),
            op: subject.op.to_owned(),
            region: subject.region.clone(),
            outcome: subject.outcome.to_owned(),
            stage: subject.stage.to_owned(),
            count: quantiles.count,
            mean_ms: quantiles.mean_ms,
            p50_ms: quantiles.p50_ms,
            p90_ms: quantiles.p90_ms,
            p99_ms: quantiles.p99_ms,
            p999_ms: quantiles.p999_ms,
            max_ms: quantiles.max_ms,
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Of the window,
    pub window: Vec<LatencyRow>,
    /// and of the quiet hour.
    pub quiet: Vec<LatencyRow>,
}

impl Latencies {
    /// Of two reports.
    pub fn of(window: &[Row], quiet: &[Row]) -> Self {
        let rows = |rows: &[Row]| rows.iter().map(LatencyRow::from).collect();
        Self { window: rows(window), quiet: rows(quiet) }
    }

    /// The window's rows of a kind, each with that of the quiet hour when there is one; first those whose P99 grew most.
    pub fn pairs(&self, kind: &str) -> Vec<(&LatencyRow, Option<&LatencyRow>)> {
        let quiet: HashMap<_, _> = self.quiet.iter().map(|row| (row.subject(), row)).collect();
        let of_kind = self.window.iter().filter(|row| row.kind == kind);
        let mut pairs: Vec<_> = of_kind.map(|row| (row, quiet.get(&row.subject()).copied())).collect();
        let growth = |(row, quiet): &(&LatencyRow, Option<&LatencyRow>)| {
            (row.p99_ms + FLOOR_MS) / (quiet.map_or(0.0, |quiet| quiet.p99_ms) + FLOOR_MS)
        };
        pairs.sort_by(|a, b| growth(b).total_cmp(&growth(a)));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::views::{Quantiles, Subject};

    fn row(kind: &'static str, op: &'static str, stage: &'static str, p99_ms: f64) -> Row {
        let subject = Subject { kind, op, region: "sh".to_owned(), outcome: "ok", stage };
        Row { subject, quantiles: Quantiles { count: 9, p99_ms, ..Quantiles::default() } }
    }

    #[test]
    fn what_grew_most_is_first_and_what_is_new_has_nothing_beside_it() {
        let window = [row("signal", "send", "", 30.0), row("signal", "join", "", 90.0), row("signal", "ping", "", 0.4)];
        let quiet = [row("signal", "join", "", 10.0), row("signal", "send", "", 29.0), row("stage", "", "admit", 1.0)];
        let latencies = Latencies::of(&window, &quiet);
        let pairs = latencies.pairs("signal");
        let told: Vec<_> =
            pairs.iter().map(|(row, quiet)| (row.op.as_str(), quiet.map(|quiet| quiet.p99_ms))).collect();
        assert_eq!(told, [("join", Some(10.0)), ("ping", None), ("send", Some(29.0))]);
        assert!(latencies.pairs("stage").is_empty(), "the window had none");
    }

    #[test]
    fn it_reads_back_as_it_was_written() {
        let latencies = Latencies::of(&[row("stage", "", "admit", 3.5)], &[]);
        let text = serde_json::to_string(&latencies).unwrap();
        assert_eq!(serde_json::from_str::<Latencies>(&text).unwrap(), latencies);
        assert!(serde_json::from_str::<Latencies>("[]").is_err());
    }
}
