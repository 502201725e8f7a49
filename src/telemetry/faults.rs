//! Faults that are injected on purpose: one metric and a line each time, so that nobody takes them for real ones.

use std::time::Duration;

use tracing::warn;

use super::Telemetry;
use crate::event::Fault;

impl Telemetry {
    pub(super) fn fault_injected(&self, fault: Fault) {
        self.metrics.faults[fault as usize].set(1.0);
        warn!(target: "signalbox", fault = fault.name(), "a fault is injected on purpose");
    }

    pub(super) fn fault_ended(&self, fault: Fault, lasted: Duration) {
        self.metrics.faults[fault as usize].set(0.0);
        let lasted_ms = lasted.as_millis() as u64;
        warn!(target: "signalbox", fault = fault.name(), lasted_ms, "the fault that was injected on purpose has ended");
    }
}
