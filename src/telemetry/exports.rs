//! What the exporter asks, and what it tells of log lines on their way to the collector.

use std::task::{Poll, Waker};

use super::{Telemetry, trace::Lost};

impl Telemetry {
    /// Whether half of the places that traces of one reason may take are taken; if not, that task is woken once they are.
    pub fn poll_traces_half(&self, waiting: &Waker) -> Poll<()> {
        self.keeper.poll_much(waiting)
    }

    /// The collector took so many lines.
    pub fn logs_exported(&self, count: u64) {
        self.metrics.logs_exported.increment(count);
    }

    /// So many lines will not reach the collector.
    pub fn logs_lost(&self, why: Lost, count: u64) {
        self.metrics.logs_lost.at(why as usize).increment(count);
    }
}

#[cfg(test)]
impl Telemetry {
    /// The traces that exemplars point at.
    pub(crate) fn exemplar_traces(&self) -> Vec<crate::event::TraceId> {
        let drained = self.drained();
        let totals = drained.latency.series().map(|(_, aggregate)| &aggregate.total);
        totals.flat_map(|total| total.buckets()).filter_map(|(_, _, exemplar)| Some(exemplar?.trace)).collect()
    }
}
