//! Counts of latencies without the empty places of a histogram: what intervals and windows are made of.
//!
//! Values are the places of a three-digit HDR histogram, so that adding and taking away loses nothing and
//! every quantile is the one that the dense histogram would give.

use std::{sync::LazyLock, time::Duration};

use hdrhistogram::{Counter, Histogram};

/// The longest latency that is told apart; longer ones count as this.
pub const LATENCY_MAX: Duration = Duration::from_secs(60);
const MICROS_MAX: u64 = LATENCY_MAX.as_micros() as u64 - 1;
const DIGITS: u8 = 3;
/// Below it a three-digit histogram has a place for each microsecond.
const EACH_MICROSECOND: u64 = 2_048;

/// An empty histogram of latencies: 1 us to 60 s at three digits, 17,408 places.
pub(super) fn histogram<C: Counter>() -> Histogram<C> {
    Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("1 us to 60 s at three digits is within what HDR can hold")
}

/// The microsecond that a latency falls into: `n` is above n and up to n + 1 us. So an edge of the histogram is the
/// upper edge of a bucket, the edge itself included, as `le` has it. More than a minute is a minute.
pub(super) const fn micros(latency_ns: u64) -> u64 {
    let micros = latency_ns.saturating_sub(1) / 1_000;
    if micros < MICROS_MAX { micros } else { MICROS_MAX }
}

/// The place of a latency in each [`histogram`]: its highest microsecond.
pub(super) fn place(latency_ns: u64) -> u32 {
    // its places are those of all; nothing is recorded in it
    static SHAPE: LazyLock<Histogram<u8>> = LazyLock::new(histogram);
    narrow(SHAPE.highest_equivalent(micros(latency_ns)))
}

/// How often each latency was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Highest microsecond of each place that is not empty, ascending, with its count.
    places: Vec<(u32, u32)>,
    total: u64,
}

impl Counts {
    /// What a histogram holds.
    pub(super) fn of<C: Counter>(histogram: &Histogram<C>) -> Self {
        let place = |value: u64| narrow(histogram.highest_equivalent(value));
        let recorded = histogram.iter_recorded();
        let places = recorded.map(|at| (place(at.value_iterated_to()), narrow(at.count_at_value().as_u64())));
        Self::from_places(places.collect())
    }

    /// They are kept for an hour: without spare memory.
    fn from_places(mut places: Vec<(u32, u32)>) -> Self {
        places.shrink_to_fit();
        Self { total: places.iter().map(|(_, count)| u64::from(*count)).sum(), places }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Places that are not empty.
    pub(super) fn places(&self) -> &[(u32, u32)] {
        &self.places
    }

    /// What it weighs in memory.
    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<(u32, u32)>()
    }

    /// Adds all of the other's.
    pub(super) fn add(&mut self, other: &Self) {
        self.merge(other, u32::saturating_add);
    }

    /// Takes away what was added before.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.merge(other, u32::saturating_sub);
    }

    fn merge(&mut self, other: &Self, combine: impl Fn(u32, u32) -> u32) {
        if other.places.is_empty() {
            return;
        }
        let mut merged = Vec::with_capacity(self.places.len() + other.places.len());
        let (mut mine, mut theirs) = (self.places.iter().copied().peekable(), other.places.iter().copied().peekable());
        loop {
            let (at, count) = match (mine.peek(), theirs.peek()) {
                (Some(&(at, count)), Some(&(other_at, _))) if at < other_at => {
                    mine.next();
                    (at, count)
                }
                (Some(&(at, count)), Some(&(other_at, other_count))) if at == other_at => {
                    mine.next();
                    theirs.next();
                    (at, combine(count, other_count))
                }
                (_, Some(&(other_at, other_count))) => {
                    theirs.next();
                    (other_at, combine(0, other_count))
                }
                (Some(&(at, count)), None) => {
                    mine.next();
                    (at, count)
                }
                (None, None) => break,
            };
            if count > 0 {
                merged.push((at, count));
            }
        }
        *self = Self::from_places(merged);
    }

    /// The latency that this share of them (0 to 1) does not pass, as HDR histograms define it; absent: there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = ((share.clamp(0.0, 1.0) * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        self.places.iter().find_map(|(at, count)| {
            seen += u64::from(*count);
            (seen >= wanted).then(|| upper(*at))
        })
    }

    /// The longest.
    pub fn max(&self) -> Option<Duration> {
        self.places.last().map(|(at, _)| upper(*at))
    }

    /// The mean; 0 of none.
    pub fn mean(&self) -> Duration {
        let sum: f64 = self.places.iter().map(|(at, count)| f64::from(*at) * f64::from(*count)).sum();
        Duration::from_secs_f64(sum / 1e6 / self.total.max(1) as f64)
    }

    /// As the dense histogram of microseconds that interval logs hold. What reads those answers the highest value of
    /// a place; every view of ours answers its upper edge. So that both say the same number, a microsecond that has a
    /// place of its own stands at its upper edge here; beyond, the place's highest value is a microsecond below it.
    pub fn to_histogram(&self) -> Histogram<u64> {
        let mut dense = histogram();
        for (at, count) in &self.places {
            let at = u64::from(*at);
            let shown = if at + 1 < EACH_MICROSECOND { at + 1 } else { at };
            dense.saturating_record_n(shown, u64::from(*count));
        }
        dense
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The upper edge of the microsecond.
pub(super) fn upper(at: u32) -> Duration {
    Duration::from_micros(u64::from(at) + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::nanos;

    fn of(values: &[u64]) -> (Histogram<u32>, Counts) {
        let mut dense = histogram();
        values.iter().for_each(|value| dense.saturating_record(*value));
        let counts = Counts::of(&dense);
        (dense, counts)
    }

    #[test]
    fn a_latency_on_an_edge_is_below_it_and_one_past_it_above() {
        assert_eq!(micros(nanos(Duration::from_millis(80))), 79_999);
        assert_eq!(micros(80_000_001), 80_000);
        assert_eq!((micros(0), micros(1)), (0, 0));
        let (_, counts) = of(&[79_999]);
        assert_eq!(counts.max(), Some(Duration::from_millis(80)));
    }

    /// What a reader of the log says of a latency that our views call that.
    fn as_logged(told: Duration) -> u64 {
        let told = told.as_micros() as u64;
        if told < EACH_MICROSECOND { told } else { told - 1 }
    }

    #[test]
    fn each_latency_is_the_same_number_in_a_log_as_elsewhere() {
        let longer = (0..200).map(|step| (5_000.0 * 1.048_f64.powi(step)) as u64);
        for took_us in (1..=5_000).chain(longer) {
            let (_, counts) = of(&[micros(took_us * 1_000)]);
            let (told, logged) = (counts.quantile(0.99).unwrap(), counts.to_histogram().value_at_quantile(0.99));
            assert_eq!(logged, as_logged(told), "{took_us} us");
            if took_us < EACH_MICROSECOND {
                assert_eq!((logged, told.as_micros() as u64), (took_us, took_us));
            }
        }
    }

    #[test]
    fn of_nothing_there_is_no_quantile() {
        let none = Counts::default();
        assert_eq!((none.quantile(0.99), none.max(), none.mean(), none.total()), (None, None, Duration::ZERO, 0));
    }

    #[test]
    fn what_is_longer_than_a_minute_counts_as_a_minute() {
        let (_, counts) = of(&[micros(u64::MAX), micros(nanos(LATENCY_MAX + Duration::from_secs(5)))]);
        let max = counts.max().unwrap();
        assert!(max >= LATENCY_MAX && max.as_secs_f64() < 60.1, "{max:?}");
        assert_eq!((counts.total(), counts.places().len()), (2, 1));
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_dense_histogram(
            values in prop::collection::vec(0_u64..70_000_000, 1..400),
            share in 0.0001_f64..=1.0,
        ) {
            let (dense, counts) = of(&values);
            let expected = dense.highest_equivalent(dense.value_at_quantile(share)) + 1;
            prop_assert_eq!(counts.quantile(share).unwrap().as_micros() as u64, expected);
            prop_assert_eq!(counts.total(), values.len() as u64);
        }

        #[test]
        fn who_reads_the_histogram_of_a_log_reads_the_same_quantiles(
            values in prop::collection::vec(prop_oneof![0_u64..5_000, 0_u64..70_000_000], 1..400),
            share in 0.0001_f64..=1.0,
        ) {
            let counts = of(&values).1;
            let logged = counts.to_histogram();
            prop_assert_eq!(logged.len(), counts.total());
            prop_assert_eq!(logged.value_at_quantile(share), as_logged(counts.quantile(share).unwrap()));
            prop_assert_eq!(logged.max(), as_logged(counts.max().unwrap()));
        }

        #[test]
        fn what_was_added_can_be_taken_away(
            one in prop::collection::vec(0_u64..70_000_000, 0..200),
            other in prop::collection::vec(0_u64..70_000_000, 0..200),
        ) {
            let (first, second) = (of(&one).1, of(&other).1);
            let together = of(&[&one[..], &other[..]].concat()).1;
            let mut sum = first.clone();
            sum.add(&second);
            prop_assert_eq!(&sum, &together);
            sum.subtract(&second);
            prop_assert_eq!(&sum.places, &first.places);
        }
    }
}
