//! A run second by second: what a fault in the middle of it did, and for how long.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::progress::Snapshot;

/// What happened between two ticks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SecondOfRun {
    /// Since traffic began.
    pub at_seconds: f64,
    /// Sessions that joined.
    pub joins: u64,
    /// P99 of these joins, milliseconds; absent: there were none.
    pub join_p99_ms: Option<f64>,
    /// The worst P99 of all that was measured, milliseconds.
    pub worst_p99_ms: Option<f64>,
    /// Of what.
    pub worst: &'static str,
    /// Payloads that arrived.
    pub delivered: u64,
    /// Refusals and failures.
    pub errors: u64,
    /// Participants that were told of another media node.
    pub told: u64,
}

/// The seconds of a run so far: as many as the longest run has.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    rows: Vec<SecondOfRun>,
    joined: u64,
    refused: u64,
    told: u64,
}

impl Seconds {
    /// Adds what came since the snapshot before; nothing while sessions are still joining.
    pub(super) fn add(&mut self, snapshot: &Snapshot) {
        let since = |now: u64, before: &mut u64| now.saturating_sub(std::mem::replace(before, now));
        let joins = since(snapshot.joined, &mut self.joined);
        let errors = since(snapshot.refused, &mut self.refused);
        let told = since(snapshot.told, &mut self.told);
        if !snapshot.begun {
            return;
        }
        let worst = snapshot.lately.iter().max_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms));
        self.rows.push(SecondOfRun {
            at_seconds: (snapshot.elapsed.as_secs_f64() * 10.0).round() / 10.0,
            joins,
            join_p99_ms: snapshot.lately.iter().find(|row| row.name == "join").map(|row| row.p99_ms),
            worst_p99_ms: worst.map(|row| row.p99_ms),
            worst: worst.map_or("", |row| row.name),
            delivered: snapshot.delivered_lately,
            errors,
            told,
        });
    }

    pub(super) fn into_rows(self) -> Vec<SecondOfRun> {
        self.rows
    }
}

/// The seconds as a table.
pub(super) fn table(rows: &[SecondOfRun]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header([
        "second",
        "joins",
        "join P99, ms",
        "worst P99, ms",
        "of",
        "delivered",
        "errors",
        "told of a move",
    ]);
    let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"));
    for row in rows {
        table.add_row([
            format!("{:.0}", row.at_seconds),
            row.joins.to_string(),
            ms(row.join_p99_ms),
            ms(row.worst_p99_ms),
            row.worst.to_owned(),
            row.delivered.to_string(),
            row.errors.to_string(),
            row.told.to_string(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::measure::Quantiles;

    fn snapshot(second: u64, joined: u64, refused: u64) -> Snapshot {
        let row = |name, p99_ms| Quantiles { name, p99_ms, ..Quantiles::default() };
        Snapshot {
            elapsed: Duration::from_secs(second),
            begun: second > 0,
            joined,
            refused,
            lately: vec![row("join", 2.0), row("delivery", 3.0)],
            ..Snapshot::default()
        }
    }

    #[test]
    fn each_second_has_what_came_in_it_and_what_came_before_traffic_is_in_none() {
        let mut seconds = Seconds::default();
        for (second, joined, refused) in [(0, 10, 1), (1, 12, 1), (2, 15, 3)] {
            seconds.add(&snapshot(second, joined, refused));
        }
        let rows = seconds.into_rows();
        assert_eq!(rows.iter().map(|row| (row.joins, row.errors)).collect::<Vec<_>>(), [(2, 0), (3, 2)]);
        assert_eq!((rows[0].join_p99_ms, rows[0].worst_p99_ms, rows[0].worst), (Some(2.0), Some(3.0), "delivery"));
        let text = table(&rows).to_string();
        assert_eq!(text.lines().count(), 4, "{text}");
    }
}
