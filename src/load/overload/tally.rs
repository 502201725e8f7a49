//! What became of the requests of one step, at one session; and all sessions together.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::Step;
use crate::{
    load::measure::histogram,
    protocol::{Code, v1::server_frame::Body},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Requests that were due.
    pub(crate) due: u64,
    good: u64,
    late: u64,
    shed: u64,
    expired: u64,
    failed: u64,
    /// Microseconds from when it was due, of what was answered with `ok`.
    took_us: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { due: 0, good: 0, late: 0, shed: 0, expired: 0, failed: 0, took_us: histogram() }
    }
}

impl Tally {
    /// Notes an answer that came so long after its request was due.
    pub(crate) fn note(&mut self, body: &Body, took: Duration, deadline: Duration) {
        let Body::Error(error) = body else {
            self.took_us.saturating_record((took.as_micros() as u64).max(1));
            let count = if took <= deadline { &mut self.good } else { &mut self.late };
            *count += 1;
            return;
        };
        match Code::by_name(&error.code) {
            Some(Code::DeadlineExceeded) => self.expired += 1,
            Some(code) if code.is_shed() => self.shed += 1,
            _ => self.failed += 1,
        }
    }

    /// Takes in another session's.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.due, other.due),
            (&mut self.good, other.good),
            (&mut self.late, other.late),
            (&mut self.shed, other.shed),
            (&mut self.expired, other.expired),
            (&mut self.failed, other.failed),
        ] {
            *mine += theirs;
        }
        self.took_us.add(&other.took_us).expect("both have the same bounds");
    }

    /// As a step of that length.
    pub(crate) fn step(&self, factor: f64, length: Duration) -> Step {
        let each = |count: u64| count as f64 / length.as_secs_f64();
        let answered = self.good + self.late + self.shed + self.expired + self.failed;
        let ms = |quantile| self.took_us.value_at_quantile(quantile) as f64 / 1_000.0;
        Step {
            factor,
            offered_per_second: each(self.due),
            goodput_per_second: each(self.good),
            late_per_second: each(self.late),
            shed_per_second: each(self.shed),
            expired_per_second: each(self.expired),
            failed_per_second: each(self.failed),
            unanswered_per_second: each(self.due.saturating_sub(answered)),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_answer_is_counted_as_what_it_is() {
        let mut tally = Tally { due: 20, ..Tally::default() };
        let error = |code: Code| Body::Error(code.refuse().to_wire());
        let ok = || Body::Ok(Box::default());
        for (body, took_ms) in [
            (ok(), 10),
            (ok(), 150),
            (ok(), 151),
            (error(Code::Overloaded), 1),
            (error(Code::RateLimited), 1),
            (error(Code::DeadlineExceeded), 1),
            (error(Code::NotJoined), 1),
        ] {
            tally.note(&body, took_ms * MS, 150 * MS);
        }
        let mut both = Tally::default();
        both.add(&tally);
        let step = both.step(2.0, Duration::from_secs(2));
        assert_eq!((step.offered_per_second, step.goodput_per_second, step.late_per_second), (10.0, 1.0, 0.5));
        assert_eq!((step.shed_per_second, step.expired_per_second, step.failed_per_second), (1.0, 0.5, 0.5));
        assert_eq!(step.unanswered_per_second, 6.5);
        assert!((step.p99_ms - 151.0).abs() < 1.0, "refusals have no latency here");
    }
}
