//! The async runtime's own figures: told once a second by `io`, shown as they were told.

use std::sync::PoisonError;
#[cfg(tokio_unstable)]
use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{
    Telemetry,
    catalog::{self, Metric},
    handles::{counter, gauge},
};

/// What the runtime says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runtime {
    /// Of each worker, in the order of their numbers.
    pub workers: Vec<Worker>,
    /// Tasks that have begun and not ended.
    pub alive_tasks: usize,
    /// Tasks that wait in the queue that all workers share.
    pub global_queue_depth: usize,
    /// What it measures only in a build with `--cfg tokio_unstable`.
    #[cfg(tokio_unstable)]
    pub unstable: Unstable,
}

/// What the runtime says of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worker {
    /// The share of the time since the last telling that it ran tasks, 0 to 1.
    pub busy_ratio: f64,
    /// Times that it slept, since its start.
    pub parks: u64,
    /// Tasks in its own queue.
    #[cfg(tokio_unstable)]
    pub local_queue_depth: usize,
}

/// See [`Runtime::unstable`].
#[cfg(tokio_unstable)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unstable {
    /// Tasks that workers took from each other's queues, since the start.
    pub steals: u64,
    /// How long polls took.
    pub polls: Polls,
    /// Threads beside the workers.
    pub blocking_threads: usize,
    /// Of these, those with nothing to do.
    pub idle_blocking_threads: usize,
    /// Closures that wait for one of these.
    pub blocking_queue_depth: usize,
}

/// How long polls of tasks took, since the start.
#[cfg(tokio_unstable)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polls {
    /// How many took up to each of [`catalog::POLL_EDGES_NS`], and longer than the one before; then those beyond.
    pub counts: [u64; catalog::POLL_EDGES_NS.len() + 1],
    /// What all of them took together.
    pub sum: Duration,
}

/// The counters and gauges of these figures.
pub(super) struct RuntimeHandles {
    workers: Gauge,
    alive_tasks: Gauge,
    global_queue_depth: Gauge,
    busy_ratio: Vec<Gauge>,
    parks: Vec<Counter>,
    #[cfg(tokio_unstable)]
    unstable: UnstableHandles,
}

#[cfg(tokio_unstable)]
struct UnstableHandles {
    local_queue_depth: Vec<Gauge>,
    steals: Counter,
    polls: Mutex<Polls>,
    blocking_threads: Gauge,
    idle_blocking_threads: Gauge,
    blocking_queue_depth: Gauge,
}

impl RuntimeHandles {
    /// Of a runtime with so many workers; [`catalog::SHARDS_MAX`] are told apart, further ones are not shown.
    pub(super) fn new(recorder: &PrometheusRecorder, workers: usize) -> Self {
        let workers = workers.min(catalog::SHARDS_MAX);
        let level = |metric: &Metric| gauge(recorder, metric, &[]);
        Self {
            workers: level(&catalog::RUNTIME_WORKERS),
            alive_tasks: level(&catalog::RUNTIME_TASKS),
            global_queue_depth: level(&catalog::RUNTIME_QUEUE),
            busy_ratio: levels(recorder, &catalog::RUNTIME_BUSY, workers),
            parks: counts(recorder, &catalog::RUNTIME_PARKS, workers),
            #[cfg(tokio_unstable)]
            unstable: UnstableHandles {
                local_queue_depth: levels(recorder, &catalog::RUNTIME_LOCAL_QUEUE, workers),
                steals: counter(recorder, &catalog::RUNTIME_STEALS, &[]),
                polls: Mutex::default(),
                blocking_threads: level(&catalog::RUNTIME_BLOCKING_THREADS),
                idle_blocking_threads: level(&catalog::RUNTIME_BLOCKING_IDLE),
                blocking_queue_depth: level(&catalog::RUNTIME_BLOCKING_QUEUE),
            },
        }
    }
}

/// A gauge a worker.
fn levels(recorder: &PrometheusRecorder, metric: &Metric, workers: usize) -> Vec<Gauge> {
    (0..workers).map(|worker| gauge(recorder, metric, &[&worker.to_string()])).collect()
}

/// A counter a worker.
fn counts(recorder: &PrometheusRecorder, metric: &Metric, workers: usize) -> Vec<Counter> {
    (0..workers).map(|worker| counter(recorder, metric, &[&worker.to_string()])).collect()
}

impl Telemetry {
    /// The runtime's figures, as told last.
    pub fn runtime(&self) -> Runtime {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long polls took, as told last.
    #[cfg(tokio_unstable)]
    pub(super) fn polls(&self) -> Polls {
        *self.metrics.runtime.unstable.polls()
    }

    /// The runtime's figures now.
    pub fn set_runtime(&self, now: &Runtime) {
        let handles = &self.metrics.runtime;
        // told as a whole
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).clone_from(now);
        handles.workers.set(now.workers.len() as f64);
        handles.alive_tasks.set(now.alive_tasks as f64);
        handles.global_queue_depth.set(now.global_queue_depth as f64);
        for ((worker, busy), parks) in now.workers.iter().zip(&handles.busy_ratio).zip(&handles.parks) {
            busy.set(worker.busy_ratio);
            parks.absolute(worker.parks);
        }
        #[cfg(tokio_unstable)]
        handles.unstable.set(now);
    }
}

#[cfg(tokio_unstable)]
impl UnstableHandles {
    fn polls(&self) -> MutexGuard<'_, Polls> {
        // they are put there as a whole
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, now: &Runtime) {
        for (worker, depth) in now.workers.iter().zip(&self.local_queue_depth) {
            depth.set(worker.local_queue_depth as f64);
        }
        self.steals.absolute(now.unstable.steals);
        *self.polls() = now.unstable.polls;
        self.blocking_threads.set(now.unstable.blocking_threads as f64);
        self.idle_blocking_threads.set(now.unstable.idle_blocking_threads as f64);
        self.blocking_queue_depth.set(now.unstable.blocking_queue_depth as f64);
    }
}
