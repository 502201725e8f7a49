//! What becomes of events: metrics, latencies, traces, logs.
//!
//! One [`Telemetry`] a router, nothing global but the log's destination. Reads no clock, no file and no socket: time
//! and the process' figures are told by `io`. `observe` is where events enter; `drain`, once a second, moves what the
//! workers recorded into what is shown.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

pub mod baseline;
pub mod captured;
pub mod captures;
pub mod case;
pub mod catalog;
mod clients;
mod config;
mod counts;
mod directory;
mod drain;
mod exports;
pub mod exposition;
mod fabric;
mod faults;
mod guard;
mod handles;
pub mod interval_log;
mod journal;
mod keeping;
mod latency;
pub mod logs;
mod media;
pub mod observe;
mod placement;
mod process;
mod profiler;
mod quiet;
mod recorder;
mod relay;
pub mod runtime;
mod signals;
pub mod slow;
mod stalls;
pub mod tap;
pub mod trace;
mod usual;
mod variants;
pub mod views;

pub use self::{
    captured::Totals,
    captures::CaptureFigures,
    counts::{Counts, LATENCY_MAX},
    directory::{DirectoryFigures, RoomsCompared},
    fabric::FabricFigures,
    journal::JournalFigures,
    keeping::KeepingFigures,
    process::Process,
    profiler::ProfilerFigures,
    relay::RelayFigures,
    usual::{Usual, UsualRow},
    variants::{RuleRow, VariantRow, VariantsReport},
};
use self::{clients::Busiest, drain::Drained, recorder::Recorder};
use crate::{
    event::{Labels, nanos},
    protocol::v1,
};

/// The promise: of a hundred signals ninety-nine take at most this long, from the last byte of the frame to the last byte
/// of the answer handed to the socket. The target that signalbox is built to; how often it is kept is read from the
/// classic bucket with this edge.
pub const PROMISE: Duration = Duration::from_millis(80);

/// What telemetry needs to know at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of the program.
    pub version: String,
    /// Names this process among all of its kind, in metrics, traces and logs.
    pub instance_id: String,
    /// How many there are; [`catalog::SHARDS_MAX`] are told apart.
    pub shards: usize,
    /// Inputs that may wait for one shard.
    pub inbox_bound: usize,
    /// Where this router is; clients that do not say where they are count as here.
    pub region: String,
    /// The regions that are told apart, beside it; [`catalog::REGIONS_MAX`] with it, the rest is `other`.
    pub regions: Vec<String>,
    /// Whether signals are measured. Off only to see what it costs.
    pub measures: bool,
    /// Traces that may wait for the exporter; 0: nobody exports.
    pub traces_waiting_max: usize,
    /// The share of signals whose traces are kept although nothing is special about them, 0 to 1.
    pub head_rate: f64,
    /// Of the configuration at start.
    pub config_hash: u64,
    /// The start: of intervals between repeated log lines, of seconds and minutes,
    pub started: Instant,
    /// and the same moment since the Unix epoch.
    pub started_unix: Duration,
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

/// The metrics of one router, and the one place that decides what an event becomes.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    metrics: handles::Handles,
    quiet: observe::QuietLines,
    recorder_of_latency: Recorder,
    sdk_versions: Busiest,
    scenarios: Busiest,
    /// Of the places of [`crate::event::Labels::region`]; the first is the router's own.
    regions: Vec<String>,
    keeper: trace::Keeper,
    slow: slow::Slow,
    variants: variants::Variants,
    taps: Arc<tap::Taps>,
    drained: Mutex<Drained>,
    learned: Mutex<usual::Learned>,
    /// As told last.
    runtime: Mutex<runtime::Runtime>,
    measures: bool,
    started: Instant,
    /// What the wall clock said at `started`, by the latest drain; nanoseconds since the Unix epoch.
    started_unix_ns: AtomicU64,
    /// The start by the wall clock, as it was then.
    created_unix: Duration,
    sessions: AtomicU64,
    rooms: AtomicU64,
    participants: AtomicU64,
    /// How long stalled workers were away that have come back, nanoseconds.
    stalled_ns: AtomicU64,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("population", &self.population()).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Every metric of the catalogue, at zero.
    pub fn new(settings: Settings) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        handles::describe(&recorder);
        let metrics = handles::Handles::new(&recorder, &settings);
        metrics.build_info.set(1.0);
        metrics.target_info.set(1.0);
        metrics.drain[0].set(1.0);
        for bound in &metrics.inbox_bound {
            bound.set(settings.inbox_bound as f64);
        }
        Self {
            recorder,
            metrics,
            quiet: observe::QuietLines::default(),
            // the workers, and one for all that are not
            recorder_of_latency: Recorder::new(settings.shards + 1),
            sdk_versions: Busiest::default(),
            scenarios: Busiest::default(),
            regions: told_apart(settings.region, settings.regions),
            keeper: trace::Keeper::new(settings.traces_waiting_max, settings.head_rate),
            slow: slow::Slow::default(),
            variants: variants::Variants::default(),
            taps: Arc::default(),
            drained: Mutex::default(),
            learned: Mutex::default(),
            runtime: Mutex::default(),
            measures: settings.measures,
            started: settings.started,
            started_unix_ns: AtomicU64::new(nanos(settings.started_unix)),
            created_unix: settings.started_unix,
            sessions: AtomicU64::new(0),
            rooms: AtomicU64::new(0),
            participants: AtomicU64::new(0),
            stalled_ns: AtomicU64::new(0),
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

    /// What a join says of its client, as telemetry will want it; its variant is decided elsewhere.
    pub fn labels(&self, join: &v1::Join) -> Labels {
        let region = match join.region.as_str() {
            "" => 0,
            named => self.place_of(named),
        };
        let client = join.client.as_ref();
        let sdk_version = client.map_or(0, |client| match (client.sdk.as_str(), client.version.as_str()) {
            (sdk, "") => self.sdk_versions.number(sdk),
            ("", version) => self.sdk_versions.number(version),
            (sdk, version) => self.sdk_versions.number(&format!("{sdk}/{version}")),
        });
        Labels { region, sdk_version, scenario: self.scenarios.number(&join.scenario), ..Labels::default() }
    }

    /// The place of a region by its name; of one that is not told apart, `other`'s.
    fn place_of(&self, region: &str) -> u8 {
        self.regions.iter().position(|known| known == region).map_or(recorder::OTHER_REGION, |at| at as u8)
    }

    /// What a session of that region is to telemetry, as far as its region goes; of one that is not told apart: of none.
    pub(crate) fn region_labels(&self, region: &str) -> Labels {
        Labels { region: self.place_of(region), ..Labels::default() }
    }

    /// The region that labels say; absent: none of those that are told apart.
    pub(crate) fn region_of(&self, labels: Labels) -> Option<&str> {
        self.regions.get(usize::from(labels.region)).map(String::as_str)
    }

    /// The name of a region by its place.
    fn region(&self, place: u8) -> &str {
        self.regions.get(usize::from(place)).map_or(catalog::OTHER, String::as_str)
    }

    /// A moment by the wall clock, since the Unix epoch.
    fn unix(&self, at: Instant) -> Duration {
        let started = Duration::from_nanos(self.started_unix_ns.load(Relaxed));
        started + at.saturating_duration_since(self.started)
    }

    fn drained(&self) -> MutexGuard<'_, Drained> {
        // a drain that panicked half-way is told of by its thread, and the next one begins with an empty set
        self.drained.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inputs that wait for a shard now. A shard beyond those given at start is not told apart, hence not shown.
    pub fn set_inbox_depth(&self, shard: usize, waiting: usize) {
        if let Some(depth) = self.metrics.inbox_depth.get(shard) {
            depth.set(waiting as f64);
        }
    }
}

/// The router's own region first, then the others that fit.
fn told_apart(own: String, others: Vec<String>) -> Vec<String> {
    let others: Vec<_> = others.into_iter().filter(|other| *other != own).collect();
    std::iter::once(own).chain(others).take(catalog::REGIONS_MAX).collect()
}

#[cfg(test)]
mod tests;
