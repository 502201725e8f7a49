//! What became of log lines on their way to the collector, as the exporter tells it.

use super::{Telemetry, trace::Lost};

impl Telemetry {
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
