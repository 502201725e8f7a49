//! What captures ask of latencies: the P99s of the last seconds, which say that a minute is bad, and the quiet hour
//! that it is held against.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Telemetry, Usual, catalog,
    counts::Counts,
    recorder::Series,
    views::{Quantiles, Row, WINDOW_MAX},
};

/// The P99 of an op's signals from a region over the last seconds, of outcomes ok and expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentP99 {
    /// The kind of the signal.
    pub op: &'static str,
    /// The client's region.
    pub region: String,
    /// Of a hundred signals ninety-nine took at most this long.
    pub p99: Duration,
    /// How many there were.
    pub count: u64,
    /// What is usual at this time of day; absent: not known well enough.
    pub usual: Option<Usual>,
}

/// What was counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Signals that ended, by outcome.
    pub signals: BTreeMap<&'static str, u64>,
    /// Pushes handed to sockets.
    pub deliveries: u64,
    /// Connections and requests refused before they reached a room.
    pub sheds: u64,
    /// Times that a worker was stalled.
    pub stalls: u64,
}

impl Telemetry {
    /// What was counted since the start. Takes as long as a scrape.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (name, outcome, count) in self.counted() {
            match name.as_str() {
                name if name == catalog::SIGNALS.name => {
                    let known = catalog::OUTCOMES.iter().find(|known| Some(**known) == outcome.as_deref());
                    *totals.signals.entry(known.copied().unwrap_or(catalog::OTHER)).or_default() += count;
                }
                name if name == catalog::DELIVERIES.name => totals.deliveries += count,
                name if name == catalog::SHEDS.name => totals.sheds += count,
                name if name == catalog::WORKER_STALLS.name => totals.stalls += count,
                _ => {}
            }
        }
        totals
    }

    /// Of each (op, region) that had a signal in the last so many seconds before the latest drain; at most a minute.
    pub fn recent_p99s(&self, seconds: u64) -> Vec<RecentP99> {
        let mut sums: BTreeMap<(u8, u8), Counts> = BTreeMap::new();
        {
            let drained = self.drained();
            for (series, aggregate) in drained.latency.series() {
                if let Series::Signal(signal) = series
                    && signal.counts_for_the_promise()
                {
                    let counts = aggregate.recent.last(seconds, drained.tick.second);
                    sums.entry((signal.op, signal.region)).or_default().add(&counts);
                }
            }
        }
        let known = self.usual();
        let told = |((op, region), counts): ((u8, u8), Counts)| {
            let (op, region) = (catalog::OPS[usize::from(op)], self.region(region).to_owned());
            let (p99, count) = (counts.quantile(0.99)?, counts.total());
            let usual = known.get(&(op, region.clone())).copied();
            Some(RecentP99 { op, region, p99, count, usual })
        };
        sums.into_iter().filter_map(told).collect()
    }

    /// Signals, deliveries and stages of the whole minutes that lie between two moments since the Unix epoch, as far
    /// as the last hour has them: nothing of what came before or after is in it.
    pub fn latency_between(&self, from: Duration, until: Duration) -> Vec<Row> {
        let mut sums: BTreeMap<Series, Counts> = BTreeMap::new();
        for (series, slice) in self.minutes(WINDOW_MAX) {
            let began = Duration::from_millis(slice.from_unix_ms);
            if began >= from && began + slice.length() <= until {
                sums.entry(series).or_default().add(&slice.counts);
            }
        }
        sums.into_iter()
            .map(|(series, counts)| Row { subject: self.subject(series), quantiles: Quantiles::of(&counts) })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{
        event::{Event, Outcome},
        protocol::{Code, OpKind},
        telemetry::tests::{UNIX, signal, telemetry},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn observe(telemetry: &Telemetry, at: Instant, (took_ms, outcome): (u64, Outcome)) {
        let signal = signal(OpKind::Join, at, Duration::from_millis(took_ms));
        telemetry.observe(&Event::SignalEnded { signal, outcome }, at);
    }

    #[test]
    fn recent_p99s_are_of_the_seconds_asked_for_and_of_what_the_promise_is_about() {
        let started = Instant::now();
        let telemetry = telemetry(started);
        for (second, took_ms, outcome) in [
            (1, 500, Outcome::Ok),
            (11, 20, Outcome::Ok),
            (12, 30, Outcome::Refused(Code::DeadlineExceeded)),
            (12, 900, Outcome::Refused(Code::BadRequest)),
        ] {
            let at = started + SECOND * second;
            observe(&telemetry, at, (took_ms, outcome));
            telemetry.drain(at, UNIX + SECOND * second);
        }
        let told = telemetry.recent_p99s(10);
        let [join] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((join.op, join.region.as_str(), join.count), ("join", "other", 2));
        assert!((30..=31).contains(&join.p99.as_millis()), "{join:?}");
        assert!(telemetry.recent_p99s(60)[0].p99 >= Duration::from_millis(500));
        telemetry.drain(started + SECOND * 40, UNIX + SECOND * 40);
        assert_eq!(telemetry.recent_p99s(10), [], "who sent nothing is not told of");
    }

    #[test]
    fn between_two_moments_are_whole_minutes_only() {
        let started = Instant::now();
        let telemetry = telemetry(started);
        for second in 0..300_u32 {
            let at = started + SECOND * second;
            observe(&telemetry, at, (if second < 180 { 10 } else { 200 }, Outcome::Ok));
            telemetry.drain(at, UNIX + SECOND * second);
        }
        let counts = |from: u32, until: u32| {
            let rows = telemetry.latency_between(UNIX + SECOND * from, UNIX + SECOND * until);
            rows.iter()
                .find(|row| row.subject.op == "join")
                .map(|row| (row.quantiles.count, row.quantiles.max_ms > 100.0))
        };
        // a drain tells of the second before it, so minutes begin a second earlier
        assert_eq!(counts(0, 180), Some((120, false)));
        assert_eq!(counts(50, 180), Some((120, false)));
        assert_eq!(counts(60, 200), Some((60, false)), "one began before, one is not over then");
        assert_eq!(counts(100, 240), Some((120, true)));
        assert_eq!(counts(181, 200), None);
    }
}
