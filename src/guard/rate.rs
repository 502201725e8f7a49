//! Rate limits by the Generic Cell Rate Algorithm in its virtual scheduling form (ITU-T I.371, annex A): one moment is
//! all the state there is.
//!
//! The state is the theoretical arrival time: when the next request would come if all came evenly. Who holds it keeps
//! one number, takes the answer's number in its place, and nothing else.

use std::{fmt, time::Duration};

/// So many requests in a time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
    burst: u32,
    /// Between two requests at exactly the rate; at least 1.
    interval_ns: u64,
    /// How far the theoretical arrival time may be ahead of the clock.
    tolerance_ns: u64,
}

/// In all what is configured below it, times do not overflow for centuries.
const TIME_MAX_NS: u64 = u64::MAX / 4;

impl Rate {
    /// `count` requests in `per`, evenly; `burst` of them may come at once after a pause. Zeros count as one.
    /// An interval that is no whole number of nanoseconds is rounded up: never more than was allowed.
    pub fn new(count: u32, per: Duration, burst: u32) -> Self {
        Self { count, per, burst, ..Self::spaced((count, per), burst, 1) }
    }

    /// What one of so many, who share it, may: each the same rate, and that many of the burst.
    pub fn part(self, of: u32, burst: u32) -> Self {
        let Self { count, per, burst: whole, .. } = self;
        Self { burst: whole, ..Self::spaced((count, per), burst, of.max(1)) }
    }

    fn spaced((count, per): (u32, Duration), burst: u32, of: u32) -> Self {
        let interval = (per.as_nanos() * u128::from(of)).div_ceil(u128::from(count.max(1))).max(1);
        let tolerance = interval * u128::from(burst.max(1) - 1);
        let bounded = |ns: u128| u64::try_from(ns).unwrap_or(u64::MAX).min(TIME_MAX_NS);
        Self { count, per, burst, interval_ns: bounded(interval), tolerance_ns: bounded(tolerance) }
    }

    /// Requests that may come at once after a pause, shared or not.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// Whether one request may come now. All times are nanoseconds since a moment before the first request; the state
    /// is 0 at first, and again whenever it lies in the past.
    ///
    /// # Errors
    /// How many nanoseconds later it would be admitted if none came in between; the state then stays.
    #[inline]
    pub const fn decide(self, state_ns: u64, now_ns: u64) -> Result<u64, u64> {
        let due_ns = if state_ns > now_ns { state_ns } else { now_ns };
        let ahead_ns = due_ns - now_ns;
        if ahead_ns > self.tolerance_ns {
            return Err(ahead_ns - self.tolerance_ns);
        }
        Ok(due_ns.saturating_add(self.interval_ns))
    }
}

/// As the configuration has it: `20/s, 40 in a burst`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, per, burst, .. } = self;
        match per.as_secs() {
            1 => write!(f, "{count}/s, {burst} in a burst"),
            60 => write!(f, "{count}/m, {burst} in a burst"),
            _ => write!(f, "{count} in {per:?}, {burst} in a burst"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NS: u64 = 1_000_000_000;

    /// How many of these moments are admitted, and which.
    fn admitted(rate: Rate, moments: &[u64]) -> Vec<u64> {
        let mut state = 0;
        let mut admitted = Vec::new();
        for now in moments {
            if let Ok(next) = rate.decide(state, *now) {
                state = next;
                admitted.push(*now);
            }
        }
        admitted
    }

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let rate = Rate::new(10, SECOND, 5);
        let now = 7 * NS;
        assert_eq!(admitted(rate, &[now; 100]).len(), 5);
        let every_ms: Vec<u64> = (0..1_000).map(|ms| now + ms * 1_000_000).collect();
        assert_eq!(admitted(rate, &every_ms).len(), 5 + 9, "the burst, and one each 100 ms after the first");
    }

    #[test]
    fn a_burst_of_ten_times_the_limit_is_cut_to_the_limit_and_told_exactly_when() {
        let rate = Rate::new(100, SECOND, 100);
        let (mut state, mut shed) = (0, Vec::new());
        for _ in 0..1_000 {
            match rate.decide(state, NS) {
                Ok(next) => state = next,
                Err(after) => shed.push(after),
            }
        }
        assert_eq!(shed.len(), 900);
        assert!(shed.iter().all(|after| *after == 10_000_000), "each hears of the first free moment");
        assert!(rate.decide(state, NS + 10_000_000 - 1).is_err());
        assert!(rate.decide(state, NS + 10_000_000).is_ok());
    }

    #[test]
    fn after_a_pause_there_is_one_burst_and_not_what_was_not_used() {
        let rate = Rate::new(10, SECOND, 3);
        let moments = [vec![NS; 50], vec![3_600 * NS; 50]].concat();
        assert_eq!(admitted(rate, &moments).len(), 6);
    }

    #[test]
    fn ten_a_minute_is_one_each_six_seconds() {
        let rate = Rate::new(10, Duration::from_secs(60), 1);
        let each_second: Vec<u64> = (1..=60).map(|second| second * NS).collect();
        assert_eq!(admitted(rate, &each_second).len(), 10);
    }

    #[test]
    fn what_makes_no_sense_is_a_limit_all_the_same() {
        for rate in [
            Rate::new(0, SECOND, 0),
            Rate::new(u32::MAX, Duration::from_nanos(1), u32::MAX),
            Rate::new(1, Duration::MAX, u32::MAX),
        ] {
            assert!(rate.decide(0, NS).is_ok());
            assert!(rate.decide(u64::MAX, NS).is_err(), "{rate:?}");
        }
    }

    #[test]
    fn it_reads_as_it_was_written() {
        assert_eq!(Rate::new(20, SECOND, 40).to_string(), "20/s, 40 in a burst");
        assert_eq!(Rate::new(5, SECOND * 60, 1).to_string(), "5/m, 1 in a burst");
        assert_eq!(Rate::new(1, SECOND * 2, 1).to_string(), "1 in 2s, 1 in a burst");
    }

    proptest! {
        /// In any window there is at most the burst and what the rate allows in it; the answer's time is the first one.
        #[test]
        fn no_window_has_more_than_its_rate_and_burst(
            count in 1_u32..2_000,
            burst in 1_u32..50,
            gaps in prop::collection::vec(0_u64..20_000_000, 1..300),
        ) {
            let rate = Rate::new(count, SECOND, burst);
            let mut now = NS;
            let moments: Vec<u64> = gaps.into_iter().map(|gap| { now += gap; now }).collect();
            let passed = admitted(rate, &moments);
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let allowed = u128::from(burst) + u128::from(to - from) * u128::from(count) / u128::from(NS);
                    prop_assert!((last - first + 1) as u128 <= allowed);
                }
            }
        }

        #[test]
        fn whoever_comes_back_when_told_is_admitted_and_a_nanosecond_sooner_is_not(
            count in 1_u32..100_000,
            burst in 1_u32..50,
            ahead in 0_u64..NS,
        ) {
            let (rate, now) = (Rate::new(count, SECOND, burst), NS);
            if let Err(after) = rate.decide(now + ahead, now) {
                prop_assert!(rate.decide(now + ahead, now + after).is_ok());
                prop_assert!(rate.decide(now + ahead, now + after - 1).is_err());
            }
        }
    }
}
