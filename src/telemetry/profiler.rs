//! What the profiler's samples are worth: told by `io` at an interval, shown as they were told.

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;
use tracing::{info, warn};

use super::{
    Telemetry, catalog,
    handles::{counter, gauge},
};

/// How the profiler stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfilerFigures {
    /// The sampler that runs, one of [`catalog::SAMPLERS`]; absent: none.
    pub sampler: Option<&'static str>,
    /// Samples that timers raised, since the start.
    pub raised: u64,
    /// Stacks that were kept.
    pub kept: u64,
    /// Samples that the CPU time spent was worth and that did not come.
    pub lost: u64,
    /// Of those kept, the ones cut short.
    pub truncated: u64,
    /// What the ring of the last hour takes, about.
    pub ring_bytes: usize,
    /// The bound of that.
    pub ring_bytes_max: usize,
    /// Slots of the ring that were thinned, since the start.
    pub slots_thinned: u64,
    /// Threads that the system gave no timer, since the start.
    pub threads_without_timer: u64,
}

/// The counters and gauges of these.
pub(super) struct ProfilerHandles {
    running: Vec<Gauge>,
    raised: Counter,
    kept: Counter,
    lost: Counter,
    truncated: Counter,
    ring_bytes: Gauge,
    ring_bytes_max: Gauge,
    slots_thinned: Counter,
    threads_without_timer: Counter,
}

impl ProfilerHandles {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let one = |metric| counter(recorder, &metric, &[]);
        let level = |metric| gauge(recorder, &metric, &[]);
        let running = |sampler: &&str| gauge(recorder, &catalog::PROFILER_RUNNING, &[sampler]);
        Self {
            running: catalog::SAMPLERS.iter().map(running).collect(),
            raised: one(catalog::PROFILER_RAISED),
            kept: one(catalog::PROFILER_KEPT),
            lost: one(catalog::PROFILER_LOST),
            truncated: one(catalog::PROFILER_TRUNCATED),
            ring_bytes: level(catalog::PROFILER_RING_BYTES),
            ring_bytes_max: level(catalog::PROFILER_RING_BYTES_MAX),
            slots_thinned: one(catalog::PROFILER_SLOTS_THINNED),
            threads_without_timer: one(catalog::PROFILER_WITHOUT_TIMER),
        }
    }
}

impl Telemetry {
    /// How the profiler stands now.
    pub fn set_profiler(&self, now: &ProfilerFigures) {
        let handles = &self.metrics.profiler;
        for (gauge, sampler) in handles.running.iter().zip(catalog::SAMPLERS) {
            gauge.set(if now.sampler == Some(sampler) { 1.0 } else { 0.0 });
        }
        handles.raised.absolute(now.raised);
        handles.kept.absolute(now.kept);
        handles.lost.absolute(now.lost);
        handles.truncated.absolute(now.truncated);
        handles.ring_bytes.set(now.ring_bytes as f64);
        handles.ring_bytes_max.set(now.ring_bytes_max as f64);
        handles.slots_thinned.absolute(now.slots_thinned);
        handles.threads_without_timer.absolute(now.threads_without_timer);
    }

    pub(super) fn profiler_changed(sampler: Option<&str>, why: Option<&str>) {
        match sampler {
            Some(sampler) => {
                info!(target: "signalbox", sampler, instead_of_ctimer_because = why, "the profiler samples");
            }
            None => {
                warn!(target: "signalbox", why, "the profiler does not sample");
            }
        }
    }
}
