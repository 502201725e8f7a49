//! What a series has seen since the start: classic buckets, native buckets, sum, exemplars.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    event::{SpanId, TraceId, nanos},
    telemetry::{
        catalog::EDGES_US,
        counts::{Counts, place, upper},
    },
};

/// Resolution of native histograms: each bucket ends at 2^(1/8) = 1.09 times the one before, so that a quantile is
/// within 4.4 % and, measured on nasty distributions, within 2.8 %; the next finer one was no better.
pub(in crate::telemetry) const NATIVE_SCHEMA: i32 = 3;

/// A latency, and the trace that shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::telemetry) struct Exemplar {
    pub(in crate::telemetry) trace: TraceId,
    pub(in crate::telemetry) span: SpanId,
    pub(in crate::telemetry) latency: Duration,
    /// When it ended, Unix milliseconds.
    pub(in crate::telemetry) at_unix_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(in crate::telemetry) struct Total {
    count: u64,
    sum: Duration,
    /// Of each bucket alone; the last one has no edge.
    buckets: [u64; EDGES_US.len() + 1],
    exemplars: [Option<Exemplar>; EDGES_US.len() + 1],
    native: BTreeMap<i32, u64>,
}

impl Default for Total {
    fn default() -> Self {
        Self {
            count: 0,
            sum: Duration::ZERO,
            buckets: [0; EDGES_US.len() + 1],
            exemplars: [None; EDGES_US.len() + 1],
            native: BTreeMap::new(),
        }
    }
}

impl Total {
    pub(super) fn add(&mut self, counts: &Counts, sum: Duration) {
        self.count += counts.total();
        self.sum += sum;
        for (at, count) in counts.places() {
            self.see(upper(*at), u64::from(*count));
        }
    }

    /// One alone, as what is told one by one has them: where the histograms of all others would have it.
    pub(in crate::telemetry) fn record(&mut self, latency: Duration) {
        self.count += 1;
        self.sum += latency;
        self.see(upper(place(nanos(latency))), 1);
    }

    fn see(&mut self, latency: Duration, count: u64) {
        self.buckets[bucket(latency)] += count;
        *self.native.entry(native_bucket(latency)).or_default() += count;
    }

    /// The latest of each bucket stays, whatever order they are told in: Prometheus complains of one that is older than
    /// what it has, or of the same millisecond. One that is not over by the clock of `now_unix_ms` is from before that
    /// was set back, and gives way to whatever comes.
    pub(super) fn exemplify(&mut self, exemplar: Exemplar, now_unix_ms: u64) {
        let kept = &mut self.exemplars[bucket(exemplar.latency)];
        let gives_way = |kept: Exemplar| kept.at_unix_ms < exemplar.at_unix_ms || kept.at_unix_ms > now_unix_ms;
        if kept.is_none_or(gives_way) {
            *kept = Some(exemplar);
        }
    }

    /// How many.
    pub(in crate::telemetry) fn count(&self) -> u64 {
        self.count
    }

    /// Their sum, as it was measured.
    pub(in crate::telemetry) fn sum(&self) -> Duration {
        self.sum
    }

    /// Classic buckets: the upper edge in microseconds (absent: none), the count up to it, the latest exemplar in it.
    pub(in crate::telemetry) fn buckets(&self) -> impl Iterator<Item = (Option<u32>, u64, Option<&Exemplar>)> {
        let edges = EDGES_US.iter().copied().map(Some).chain([None]);
        edges.zip(&self.buckets).zip(&self.exemplars).scan(0, |below, ((edge, count), exemplar)| {
            *below += count;
            Some((edge, *below, exemplar.as_ref()))
        })
    }

    /// Native buckets of schema [`NATIVE_SCHEMA`] that are not empty, ascending.
    pub(in crate::telemetry) fn native(&self) -> impl Iterator<Item = (i32, u64)> {
        self.native.iter().map(|(index, count)| (*index, *count))
    }
}

/// The classic bucket of a latency: the first whose edge it does not pass.
fn bucket(latency: Duration) -> usize {
    EDGES_US.partition_point(|edge| Duration::from_micros(u64::from(*edge)) < latency)
}

/// The native bucket of a latency: `i` where 2^((i-1)/8) < seconds <= 2^(i/8).
fn native_bucket(latency: Duration) -> i32 {
    let per_octave = f64::from(1 << NATIVE_SCHEMA);
    // exact at the edges that are powers of two; elsewhere an edge is not a number that a latency can be
    (latency.as_secs_f64().log2() * per_octave).ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::counts::{histogram, micros};

    fn total(latencies: &[Duration]) -> Total {
        let mut dense = histogram::<u32>();
        latencies.iter().for_each(|latency| dense.saturating_record(micros(nanos(*latency))));
        let mut total = Total::default();
        total.add(&Counts::of(&dense), latencies.iter().sum());
        total
    }

    #[test]
    fn an_edge_belongs_to_its_bucket_and_the_next_nanosecond_to_the_next() {
        for edge in EDGES_US {
            let edge_at = Duration::from_micros(u64::from(edge));
            let total = total(&[edge_at, edge_at + Duration::from_nanos(1)]);
            let counts: Vec<_> = total.buckets().filter(|(at, _, _)| at.is_none_or(|at| at >= edge)).collect();
            assert_eq!((counts[0].0, counts[0].1), (Some(edge), 1), "{edge} us");
            assert_eq!(counts[1].1, 2, "{edge} us");
        }
    }

    #[test]
    fn buckets_native_and_classic_count_all_and_the_sum_is_exact() {
        let latencies = [Duration::from_nanos(1), Duration::from_micros(1_234), Duration::from_secs(90)];
        let total = total(&latencies);
        assert_eq!((total.count(), total.sum()), (3, latencies.iter().sum()));
        assert_eq!(total.buckets().last().map(|(edge, count, _)| (edge, count)), Some((None, 3)));
        assert_eq!(total.native().map(|(_, count)| count).sum::<u64>(), 3);
    }

    #[test]
    fn one_by_one_they_stand_where_a_histogram_of_all_has_them() {
        let mut random = fastrand::Rng::with_seed(7);
        let edges = EDGES_US.iter().map(|edge| Duration::from_micros(u64::from(*edge)));
        let random = (0..500).map(|bits| Duration::from_nanos(random.u64(..) >> (20 + bits % 44)));
        let latencies: Vec<_> = edges.chain(random).chain([Duration::ZERO, Duration::from_secs(90)]).collect();
        let (mut one_by_one, all) = (Total::default(), total(&latencies));
        latencies.iter().for_each(|latency| one_by_one.record(*latency));
        assert_eq!((one_by_one.count(), one_by_one.sum()), (all.count(), all.sum()));
        assert!(one_by_one.buckets().eq(all.buckets()) && one_by_one.native().eq(all.native()));
    }

    #[test]
    fn a_native_bucket_holds_what_is_above_its_lower_and_up_to_its_upper_edge() {
        assert_eq!(native_bucket(Duration::from_secs(1)), 0);
        assert_eq!(native_bucket(Duration::from_millis(500)), -8);
        assert_eq!(native_bucket(Duration::from_millis(501)), -7);
        for micros in [1, 17, 333, 79_999, 80_000, 59_999_999] {
            let index = native_bucket(Duration::from_micros(micros));
            let (seconds, edge) = (micros as f64 / 1e6, |index: i32| (f64::from(index) / 8.0).exp2());
            assert!(edge(index - 1) < seconds && seconds <= edge(index) * (1.0 + 1e-12), "{micros}");
        }
    }

    fn exemplar(trace: u128, millis: u64, at_unix_ms: u64) -> Exemplar {
        let (trace, span) = (TraceId::new(trace).unwrap(), SpanId::new(8).unwrap());
        Exemplar { trace, span, latency: Duration::from_millis(millis), at_unix_ms }
    }

    fn exemplars(total: &Total) -> Vec<(Option<u32>, Exemplar)> {
        total.buckets().filter_map(|(edge, _, with)| Some((edge, *with?))).collect()
    }

    #[test]
    fn an_exemplar_stands_in_the_bucket_of_its_latency() {
        let mut total = total(&[Duration::from_millis(81)]);
        total.exemplify(exemplar(7, 81, 9), 10);
        assert_eq!(exemplars(&total), [(Some(84_032), exemplar(7, 81, 9))]);
    }

    #[test]
    fn an_exemplar_gives_way_to_a_later_one_of_its_bucket_and_to_no_other() {
        let mut total = total(&[Duration::from_millis(81)]);
        for told in [exemplar(1, 81, 20), exemplar(2, 82, 19), exemplar(3, 83, 20), exemplar(4, 87, 5)] {
            total.exemplify(told, 30);
        }
        assert_eq!(exemplars(&total), [(Some(84_032), exemplar(1, 81, 20)), (Some(88_000), exemplar(4, 87, 5))]);
        total.exemplify(exemplar(5, 83, 21), 30);
        assert_eq!(exemplars(&total)[0].1, exemplar(5, 83, 21));
    }

    #[test]
    fn when_the_clock_was_set_back_those_from_before_do_not_stay_for_ever() {
        let mut total = total(&[Duration::from_millis(81)]);
        total.exemplify(exemplar(1, 81, 5_000), 5_000);
        total.exemplify(exemplar(2, 81, 1_400), 1_500);
        assert_eq!(exemplars(&total)[0].1, exemplar(2, 81, 1_400));
        total.exemplify(exemplar(3, 81, 1_399), 1_600);
        assert_eq!(exemplars(&total)[0].1, exemplar(2, 81, 1_400), "by the new time the latest stays again");
    }
}
