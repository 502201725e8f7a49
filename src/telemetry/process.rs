//! The process' own figures, and others that the recorder cannot hold because its counters are whole numbers.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    Telemetry,
    catalog::{self, Metric},
    logs,
};

/// The process' own figures, as the system tells them at a scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// CPU time, user and system.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Virtual memory.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// File descriptors that may be open; absent: as many as there can be.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// Unix time of its start.
    pub start_seconds: f64,
    /// Unix time now, by the system's clock.
    pub clock_seconds: f64,
    /// Memory that it may take.
    pub memory_limit_bytes: u64,
}

impl Process {
    /// Each with its row of the catalogue.
    fn figures(&self) -> impl Iterator<Item = (Metric, f64)> {
        let figures = [
            (catalog::PROCESS_CPU, self.cpu_seconds),
            (catalog::PROCESS_RESIDENT, self.resident_bytes as f64),
            (catalog::PROCESS_VIRTUAL, self.virtual_bytes as f64),
            (catalog::PROCESS_THREADS, self.threads as f64),
            (catalog::PROCESS_OPEN_FDS, self.open_fds as f64),
            (catalog::PROCESS_START, self.start_seconds),
            (catalog::MEMORY_LIMIT, self.memory_limit_bytes as f64),
            (catalog::CLOCK, self.clock_seconds),
        ];
        figures.into_iter().chain(self.max_fds.map(|most| (catalog::PROCESS_MAX_FDS, most as f64)))
    }
}

impl Telemetry {
    /// What a scrape shows beside the recorder's counters and gauges: values without labels that may have fractions.
    pub(super) fn figures(&self, process: Option<&Process>) -> Vec<(Metric, f64)> {
        let stalled = std::time::Duration::from_nanos(self.stalled_ns.load(Relaxed));
        let dropped = logs::lines_dropped() as f64;
        let own = [(catalog::WORKER_STALLED, stalled.as_secs_f64()), (catalog::LOG_LINES_DROPPED, dropped)];
        own.into_iter().chain(process.into_iter().flat_map(Process::figures)).collect()
    }
}
