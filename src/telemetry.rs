//! What becomes of events: metrics, logs.
//!
//! One [`Telemetry`] a router, nothing global but the log's destination. Reads no clock, no file and no socket: time
//! and the process' figures are told by `io`.

use std::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

pub mod catalog;
mod handles;
pub mod logs;
pub mod observe;
mod quiet;

/// What telemetry needs to know at start.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Of the program.
    pub version: &'a str,
    /// How many there are; [`catalog::SHARDS_MAX`] are told apart.
    pub shards: usize,
    /// Inputs that may wait for one shard.
    pub inbox_bound: usize,
    /// From when on the intervals between repeated log lines count.
    pub started: Instant,
}

/// Who is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Population {
    /// Sessions, lingering ones included.
    pub sessions: u64,
    /// Rooms.
    pub rooms: u64,
    /// Participants, lingering and hidden ones included.
    pub participants: u64,
}

/// The process' own figures, as the system tells them at a scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// CPU time, user and system.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// File descriptors that may be open.
    pub max_fds: u64,
    /// Unix time of its start.
    pub start_seconds: f64,
}

/// The metrics of one router, and the one place that decides what an event becomes.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    metrics: handles::Handles,
    quiet: observe::QuietLines,
    started: Instant,
    sessions: AtomicU64,
    rooms: AtomicU64,
    participants: AtomicU64,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("population", &self.population()).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Every metric of the catalogue, at zero.
    pub fn new(settings: Settings<'_>) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        handles::describe(&recorder);
        let metrics = handles::Handles::new(&recorder, settings.shards, settings.version);
        metrics.build_info.set(1.0);
        metrics.drain[0].set(1.0);
        for bound in &metrics.inbox_bound {
            bound.set(settings.inbox_bound as f64);
        }
        Self {
            recorder,
            metrics,
            quiet: observe::QuietLines::default(),
            started: settings.started,
            sessions: AtomicU64::new(0),
            rooms: AtomicU64::new(0),
            participants: AtomicU64::new(0),
        }
    }

    /// Who is there now, over all shards; told about once a second by whoever counts.
    pub fn set_population(&self, now: Population) {
        self.sessions.store(now.sessions, Relaxed);
        self.rooms.store(now.rooms, Relaxed);
        self.participants.store(now.participants, Relaxed);
        self.metrics.sessions.set(now.sessions as f64);
        self.metrics.rooms.set(now.rooms as f64);
        self.metrics.participants.set(now.participants as f64);
    }

    /// Who was there when last told.
    pub fn population(&self) -> Population {
        Population {
            sessions: self.sessions.load(Relaxed),
            rooms: self.rooms.load(Relaxed),
            participants: self.participants.load(Relaxed),
        }
    }

    /// Inputs that wait for a shard now. A shard beyond those given at start is not told apart, hence not shown.
    pub fn set_inbox_depth(&self, shard: usize, waiting: usize) {
        if let Some(depth) = self.metrics.inbox_depth.get(shard) {
            depth.set(waiting as f64);
        }
    }

    /// Everything, as Prometheus text 0.0.4. Takes a millisecond or so: not for a worker thread.
    pub fn render(&self, process: Option<&Process>) -> String {
        let mut text = self.recorder.handle().render();
        if let Some(process) = process {
            write_process(&mut text, process);
        }
        text
    }
}

/// The recorder's counters hold whole numbers only, and these figures are the system's to count: written as they are.
fn write_process(text: &mut String, process: &Process) {
    let figures = [
        (catalog::PROCESS_CPU, process.cpu_seconds),
        (catalog::PROCESS_RESIDENT, process.resident_bytes as f64),
        (catalog::PROCESS_OPEN_FDS, process.open_fds as f64),
        (catalog::PROCESS_MAX_FDS, process.max_fds as f64),
        (catalog::PROCESS_START, process.start_seconds),
    ];
    for (metric, value) in figures {
        let catalog::Metric { name, kind, help, .. } = metric;
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}\n{name} {value}\n", kind.name())
            .expect("a string takes every write");
    }
}

#[cfg(test)]
mod tests;
