//! What a router does with more than it can serve: the outcome of each step of offered load, as a table and as curves.

mod curve;
mod tally;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

pub(crate) use self::tally::Tally;

/// Steps of offered load against one router.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overload {
    /// Requests a second that it answers when it is asked for the next one only once it has answered.
    pub peak_per_second: f64,
    /// Whether that was measured, or told.
    pub peak_measured: bool,
    /// An answer that comes later than this is no good any more.
    pub deadline_ms: f64,
    /// In the order in which they were offered.
    pub steps: Vec<Step>,
}

/// One step: so many times the peak, offered evenly whether or not the router keeps up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Step {
    /// Times the peak.
    pub factor: f64,
    /// Requests that were due, a second.
    pub offered_per_second: f64,
    /// Answered with `ok` within the deadline, a second.
    pub goodput_per_second: f64,
    /// Answered with `ok` after it, a second.
    pub late_per_second: f64,
    /// Turned away, a second.
    pub shed_per_second: f64,
    /// Refused because their time was over, a second.
    pub expired_per_second: f64,
    /// Refused for another reason, a second.
    pub failed_per_second: f64,
    /// Never answered, or never sent because the connection took no more, a second.
    pub unanswered_per_second: f64,
    /// Median of what was answered with `ok`, from when it was due; milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 of them are at most this.
    pub p99_ms: f64,
}

impl Overload {
    /// Goodput of a step as a share of the peak.
    pub fn share(&self, step: &Step) -> f64 {
        if self.peak_per_second > 0.0 { step.goodput_per_second / self.peak_per_second } else { 0.0 }
    }

    /// What did not hold at any step, in words.
    pub(super) fn failures(&self, p99_max_ms: Option<f64>, goodput_min: Option<f64>) -> Vec<String> {
        let mut failures = Vec::new();
        for step in &self.steps {
            let Step { factor, p99_ms, failed_per_second: failed, .. } = step;
            if *failed > 0.0 {
                failures.push(format!("at {factor} x {failed:.1} a second failed"));
            }
            if let Some(most) = p99_max_ms.filter(|most| p99_ms > most) {
                failures.push(format!(
                    "at {factor} x the P99 of what was admitted is {p99_ms:.1} ms, allowed {most:.1} ms"
                ));
            }
            let share = self.share(step);
            if let Some(least) = goodput_min.filter(|least| share < *least) {
                let (percent, least) = (share * 100.0, least * 100.0);
                failures.push(format!(
                    "at {factor} x the goodput is {percent:.1} % of the peak, at least {least:.1} % is wanted"
                ));
            }
        }
        failures
    }

    /// The steps as a table.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header([
            "x peak",
            "offered/s",
            "goodput/s",
            "of peak",
            "late/s",
            "shed/s",
            "expired/s",
            "unanswered/s",
            "P50, ms",
            "P99, ms",
        ]);
        for step in &self.steps {
            let whole = |number: f64| format!("{number:.0}");
            table.add_row([
                step.factor.to_string(),
                whole(step.offered_per_second),
                whole(step.goodput_per_second),
                format!("{:.1} %", self.share(step) * 100.0),
                whole(step.late_per_second),
                whole(step.shed_per_second),
                whole(step.expired_per_second),
                whole(step.unanswered_per_second + step.failed_per_second),
                format!("{:.1}", step.p50_ms),
                format!("{:.1}", step.p99_ms),
            ]);
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// The table with what it is measured against.
    pub(super) fn to_text(&self) -> String {
        let how = if self.peak_measured { "measured" } else { "told" };
        format!(
            "peak {:.0} a second ({how}); goodput: answered with ok within {:.0} ms\n\n{}\n",
            self.peak_per_second,
            self.deadline_ms,
            self.table()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_steps() -> Overload {
        let step = |factor, goodput_per_second, p99_ms| Step {
            factor,
            offered_per_second: factor * 1_000.0,
            goodput_per_second,
            shed_per_second: factor * 1_000.0 - goodput_per_second,
            p99_ms,
            ..Step::default()
        };
        let steps = vec![step(1.0, 990.0, 20.0), step(5.0, 910.0, 61.0)];
        Overload { peak_per_second: 1_000.0, peak_measured: true, deadline_ms: 150.0, steps }
    }

    #[test]
    fn the_table_has_a_row_a_step() {
        let text = two_steps().to_text();
        let row: Vec<_> = text.lines().last().unwrap().split('|').map(str::trim).filter(|c| !c.is_empty()).collect();
        assert_eq!(row, ["5", "5000", "910", "91.0 %", "0", "4090", "0", "0", "0.0", "61.0"]);
        assert!(text.starts_with("peak 1000 a second (measured); goodput: answered with ok within 150 ms"));
    }

    #[test]
    fn what_does_not_hold_is_named_with_its_step() {
        let outcome = two_steps();
        assert!(outcome.failures(Some(80.0), Some(0.9)).is_empty());
        let failures = outcome.failures(Some(60.0), Some(0.95));
        assert_eq!(failures.len(), 2);
        assert!(failures[0].contains("at 5 x") && failures[0].contains("61.0 ms"), "{failures:?}");
        assert!(failures[1].contains("91.0 % of the peak"), "{failures:?}");
    }

    #[test]
    fn the_curves_show_both_and_the_promise() {
        let svg = two_steps().curves("with the guard").unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("with the guard") && svg.contains("goodput"));
        assert!(svg.contains("P99") && svg.contains("80 ms"));
        assert!(Overload::default().curves("of nothing").is_ok());
    }
}
