//! What the runtime says of itself, as telemetry wants it: read once a second by the metronome.

use std::time::{Duration, Instant};

use tokio::runtime::RuntimeMetrics;

use crate::telemetry::runtime::{Runtime, Worker};

/// Reads the runtime's figures, and knows what they were the last time.
pub(in crate::io) struct Figures {
    metrics: RuntimeMetrics,
    read: Instant,
    /// Of each worker.
    last: Vec<Last>,
}

/// What a worker had done when it was last read.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    busy: Duration,
    /// Odd while it sleeps.
    parks_and_wakes: u64,
}

impl Figures {
    /// Of a runtime, from then on.
    pub(in crate::io) fn new(metrics: RuntimeMetrics, now: Instant) -> Self {
        let last = (0..metrics.num_workers()).map(|worker| Last::of(&metrics, worker)).collect();
        Self { metrics, read: now, last }
    }

    /// Its figures now, ratios over the time since the last reading.
    pub(in crate::io) fn read(&mut self, now: Instant) -> Runtime {
        let passed = now.saturating_duration_since(self.read);
        self.read = now;
        let metrics = &self.metrics;
        let workers = self.last.iter_mut().enumerate();
        Runtime {
            workers: workers.map(|(worker, last)| figures_of(metrics, worker, last, passed)).collect(),
            alive_tasks: metrics.num_alive_tasks(),
            global_queue_depth: metrics.global_queue_depth(),
            #[cfg(tokio_unstable)]
            unstable: unstable::read(metrics),
        }
    }
}

impl Last {
    fn of(metrics: &RuntimeMetrics, worker: usize) -> Self {
        Self {
            busy: metrics.worker_total_busy_duration(worker),
            parks_and_wakes: metrics.worker_park_unpark_count(worker),
        }
    }
}

fn figures_of(metrics: &RuntimeMetrics, worker: usize, last: &mut Last, passed: Duration) -> Worker {
    let now = Last::of(metrics, worker);
    let before = std::mem::replace(last, now);
    Worker {
        busy_ratio: busy_ratio(before, now, passed),
        parks: metrics.worker_park_count(worker),
        #[cfg(tokio_unstable)]
        local_queue_depth: metrics.worker_local_queue_depth(worker),
    }
}

/// The runtime adds to a worker's busy time when that sleeps or has polled some sixty tasks. One that did neither for
/// the whole time is inside one task: busy. What such a task took is added at its end, and belongs to seconds before.
fn busy_ratio(before: Last, now: Last, passed: Duration) -> f64 {
    if passed.is_zero() {
        return 0.0;
    }
    let unmoved = now.busy == before.busy && now.parks_and_wakes == before.parks_and_wakes;
    if unmoved {
        return if now.parks_and_wakes.is_multiple_of(2) { 1.0 } else { 0.0 };
    }
    (now.busy.saturating_sub(before.busy).as_secs_f64() / passed.as_secs_f64()).min(1.0)
}

#[cfg(tokio_unstable)]
pub(super) use unstable::measure_polls;

#[cfg(tokio_unstable)]
mod unstable {
    use std::time::Duration;

    use tokio::runtime::{Builder, HistogramConfiguration, LogHistogram, RuntimeMetrics};

    use crate::telemetry::{
        catalog::POLL_EDGES_NS,
        runtime::{Polls, Unstable},
    };

    const SHORTEST: Duration = Duration::from_nanos(POLL_EDGES_NS[0]);
    const LONGEST: Duration = Duration::from_nanos(POLL_EDGES_NS[POLL_EDGES_NS.len() - 1]);

    pub(in crate::io::workers) fn measure_polls(builder: &mut Builder) {
        let buckets = LogHistogram::builder().precision_exact(0).min_value(SHORTEST).max_value(LONGEST).build();
        builder
            .enable_metrics_poll_time_histogram()
            .metrics_poll_time_histogram_configuration(HistogramConfiguration::log(buckets));
    }

    pub(super) fn read(metrics: &RuntimeMetrics) -> Unstable {
        Unstable {
            steals: (0..metrics.num_workers()).map(|worker| metrics.worker_steal_count(worker)).sum(),
            polls: polls(metrics),
            blocking_threads: metrics.num_blocking_threads(),
            idle_blocking_threads: metrics.num_idle_blocking_threads(),
            blocking_queue_depth: metrics.blocking_queue_depth(),
        }
    }

    fn polls(metrics: &RuntimeMetrics) -> Polls {
        let workers = || 0..metrics.num_workers();
        let mut polls = Polls::default();
        for bucket in 0..metrics.poll_time_histogram_num_buckets() {
            let upper = metrics.poll_time_histogram_bucket_range(bucket).end.as_nanos();
            let place = POLL_EDGES_NS.iter().position(|edge_ns| upper <= u128::from(*edge_ns));
            let of_worker = |worker| metrics.poll_time_histogram_bucket_count(worker, bucket);
            polls.counts[place.unwrap_or(POLL_EDGES_NS.len())] += workers().map(of_worker).sum::<u64>();
        }
        polls.sum = workers().map(|worker| metrics.worker_total_busy_duration(worker)).sum();
        polls
    }
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Figures").field("last", &self.last).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn last(busy_ms: u64, parks_and_wakes: u64) -> Last {
        Last { busy: Duration::from_millis(busy_ms), parks_and_wakes }
    }

    #[test]
    fn the_ratio_is_what_was_added_over_the_time_that_passed() {
        assert_eq!(busy_ratio(last(500, 4), last(750, 9), SECOND), 0.25);
        assert_eq!(busy_ratio(last(500, 4), last(750, 9), SECOND / 2), 0.5);
        assert_eq!(busy_ratio(last(0, 4), last(0, 6), SECOND), 0.0);
        assert_eq!(busy_ratio(last(0, 4), last(1, 6), Duration::ZERO), 0.0);
    }

    #[cfg(tokio_unstable)]
    #[test]
    fn every_bucket_of_the_runtimes_histogram_belongs_to_one_of_the_edges() {
        use crate::telemetry::catalog::POLL_EDGES_NS;
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        measure_polls(builder.worker_threads(1));
        let runtime = builder.build().unwrap();
        let metrics = runtime.metrics();
        let buckets = metrics.poll_time_histogram_num_buckets();
        let ends = (0..buckets - 1).map(|bucket| metrics.poll_time_histogram_bucket_range(bucket).end.as_nanos());
        let ends: Vec<_> = ends.collect();
        for edge_ns in POLL_EDGES_NS {
            assert!(ends.contains(&edge_ns.into()), "{edge_ns}: {ends:?}");
        }
        assert_eq!(*ends.last().unwrap(), 1 << 30, "what is longer is in the last bucket");
        let polled: u64 = unstable::read(&metrics).polls.counts.iter().sum();
        runtime.block_on(async { tokio::spawn(std::future::ready(())).await.unwrap() });
        drop(runtime);
        assert!(unstable::read(&metrics).polls.counts.iter().sum::<u64>() > polled);
    }

    #[test]
    fn who_sleeps_all_the_time_is_idle_and_who_is_inside_one_task_is_busy() {
        assert_eq!(busy_ratio(last(500, 5), last(500, 5), SECOND), 0.0);
        assert_eq!(busy_ratio(last(500, 4), last(500, 4), SECOND), 1.0);
        // the end of a task of four seconds
        assert_eq!(busy_ratio(last(500, 4), last(4_500, 5), SECOND), 1.0);
    }
}
