//! A worker thread that did not come back from a task, and its return.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::Telemetry;
use crate::event::{Whereabouts, nanos};

/// What a line says of what the system does not tell.
const UNTOLD: &str = "not told";

impl Telemetry {
    pub(super) fn worker_stalled(
        &self,
        (worker, tid): (usize, Option<u32>),
        stalled_for: Duration,
        place: &Whereabouts,
        at: Instant,
    ) {
        self.metrics.worker_stalls.increment(1);
        self.metrics.workers_stalled.increment(1.0);
        if let Some(held_back) = self.admit(&self.quiet.stalled, at) {
            let Whereabouts { state, waits_in, syscall, kernel_stack } = place;
            warn!(
                target: "signalbox",
                worker,
                tid,
                stalled_ms = stalled_for.as_millis() as u64,
                state = state.unwrap_or(UNTOLD),
                waits_in = waits_in.as_deref().unwrap_or(UNTOLD),
                syscall,
                kernel_stack = kernel_stack.as_deref().unwrap_or(UNTOLD),
                held_back,
                "a worker does not come back from a task"
            );
        }
    }

    pub(super) fn stall_placed(
        &self,
        (worker, tid): (usize, Option<u32>),
        blocked: bool,
        stack: &[String],
        at: Instant,
    ) {
        if let Some(held_back) = self.admit(&self.quiet.placed, at) {
            let (stack, found) = (stack.join(" < "), if blocked { "blocked" } else { "on CPU" });
            warn!(target: "signalbox", worker, tid, found, stack, held_back, "where the stalled worker was");
        }
    }

    pub(super) fn worker_returned(&self, (worker, tid): (usize, Option<u32>), stalled_for: Duration, at: Instant) {
        self.metrics.workers_stalled.decrement(1.0);
        self.stalled_ns.fetch_add(nanos(stalled_for), Relaxed);
        if let Some(held_back) = self.admit(&self.quiet.returned, at) {
            let stalled_ms = stalled_for.as_millis() as u64;
            info!(target: "signalbox", worker, tid, stalled_ms, held_back, "a worker has come back");
        }
    }
}
