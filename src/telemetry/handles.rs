//! The counters and gauges of one router, made from the catalogue at start.
//!
//! What is counted on the way of a signal is found by an index and costs atomic additions: no hash, no allocation.
//! Knows nothing of events.

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{
    Settings,
    captures::CaptureHandles,
    catalog::{self, Kind, Metric, Values},
    config::ConfigHandles,
    directory::DirectoryHandles,
    fabric::FabricHandles,
    guard::GuardHandles,
    media::MediaHandles,
    placement::PlacementHandles,
    profiler::ProfilerHandles,
    relay::RelayHandles,
    runtime::RuntimeHandles,
};

const METADATA: Metadata<'static> = Metadata::new("signalbox", Level::INFO, None);

/// Tells the recorder the help text of every metric.
pub(super) fn describe(recorder: &PrometheusRecorder) {
    for metric in catalog::ALL {
        match metric.kind {
            Kind::Counter => recorder.describe_counter(metric.name.into(), None, metric.help.into()),
            Kind::Gauge | Kind::Info => recorder.describe_gauge(metric.name.into(), None, metric.help.into()),
            // from the drain, not from the recorder
            Kind::Histogram => {}
        }
    }
}

fn key(metric: &Metric, values: &[&str]) -> Key {
    debug_assert_eq!(values.len(), metric.labels.len(), "{} takes other labels", metric.name);
    let labels = metric.labels.iter().zip(values);
    Key::from_parts(
        metric.name,
        labels.map(|(label, value)| Label::new(label.name, (*value).to_owned())).collect::<Vec<_>>(),
    )
}

/// The counter of a metric with these label values.
pub(super) fn counter(recorder: &PrometheusRecorder, metric: &Metric, values: &[&str]) -> Counter {
    debug_assert_eq!(metric.kind, Kind::Counter);
    recorder.register_counter(&key(metric, values), &METADATA)
}

/// The gauge of a metric with these label values.
pub(super) fn gauge(recorder: &PrometheusRecorder, metric: &Metric, values: &[&str]) -> Gauge {
    debug_assert!(matches!(metric.kind, Kind::Gauge | Kind::Info));
    recorder.register_gauge(&key(metric, values), &METADATA)
}

/// The set of a metric's label; a label without one has no place in a row.
fn set_of(metric: &Metric, label: usize) -> &'static [&'static str] {
    match metric.labels[label].values {
        Values::Closed(values) => values,
        Values::Numbered { .. }
        | Values::Configured { .. }
        | Values::Busiest { .. }
        | Values::Nodes { .. }
        | Values::Fixed => &[],
    }
}

/// Where a value stands in its set; one that is not in it is `other`, the last.
fn place(set: &[&str], value: &str) -> usize {
    set.iter().position(|known| *known == value).unwrap_or(set.len() - 1)
}

/// The counters of a metric with one label.
pub(super) struct Row {
    set: &'static [&'static str],
    counters: Box<[Counter]>,
}

impl Row {
    pub(super) fn new(recorder: &PrometheusRecorder, metric: &Metric) -> Self {
        let set = set_of(metric, 0);
        Self { set, counters: set.iter().map(|value| counter(recorder, metric, &[value])).collect() }
    }

    /// Of the value at that place of its set.
    pub(super) fn at(&self, place: usize) -> &Counter {
        &self.counters[place]
    }

    /// Of that value, else of `other`.
    pub(super) fn of(&self, value: &str) -> &Counter {
        self.at(place(self.set, value))
    }
}

/// The counters of a metric with two labels.
pub(super) struct Grid {
    rows: &'static [&'static str],
    columns: usize,
    counters: Box<[Counter]>,
}

impl Grid {
    pub(super) fn new(recorder: &PrometheusRecorder, metric: &Metric) -> Self {
        let (rows, columns) = (set_of(metric, 0), set_of(metric, 1));
        let each = |row: &'static str| columns.iter().map(move |column| counter(recorder, metric, &[row, column]));
        Self { rows, columns: columns.len(), counters: rows.iter().flat_map(|row| each(row)).collect() }
    }

    /// Of the values at those places of their sets.
    pub(super) fn at(&self, row: usize, column: usize) -> &Counter {
        &self.counters[row * self.columns + column]
    }

    /// Of that row's value, else of `other`.
    pub(super) fn of(&self, row: &str, column: usize) -> &Counter {
        self.at(place(self.rows, row), column)
    }
}

/// Everything that this router counts by itself; the process' own figures are read at a scrape.
pub(super) struct Handles {
    pub(super) signals: Grid,
    pub(super) refusals: Row,
    pub(super) outliers: Counter,
    pub(super) folded_recordings: Row,
    pub(super) drain_seconds: Gauge,
    pub(super) drains: Counter,
    pub(super) baseline_refused: Counter,
    pub(super) baseline_failures: Row,
    pub(super) ticks_panicked: Row,
    pub(super) signal_bounds: Vec<Gauge>,
    pub(super) delivery_bounds: Vec<Gauge>,
    pub(super) traces_kept: Row,
    pub(super) traces_waiting: Gauge,
    pub(super) traces_exported: Counter,
    pub(super) traces_lost: Row,
    pub(super) traceparents_invalid: Counter,
    pub(super) logs_exported: Counter,
    pub(super) logs_lost: Row,
    pub(super) export_failures: Row,
    pub(super) scrapes: Row,
    pub(super) scrape_seconds: Gauge,
    pub(super) deliveries: Counter,
    pub(super) sessions: Gauge,
    pub(super) rooms: Gauge,
    pub(super) participants: Gauge,
    pub(super) sessions_opened: Counter,
    pub(super) sessions_closed: Row,
    pub(super) sessions_dropped: Row,
    pub(super) resumes: Row,
    pub(super) connections: Row,
    pub(super) connections_closed: Grid,
    pub(super) sheds: Row,
    pub(super) pushes_discarded: Row,
    pub(super) rooms_created: Counter,
    pub(super) rooms_closed: Row,
    pub(super) admin: Grid,
    pub(super) drain: Vec<Gauge>,
    pub(super) keys_refreshed: Grid,
    pub(super) introspection_failures: Counter,
    pub(super) certificates: Row,
    pub(super) config: ConfigHandles,
    pub(super) inbox_depth: Vec<Gauge>,
    pub(super) inbox_bound: Vec<Gauge>,
    pub(super) log_level_changes: Counter,
    pub(super) log_lines_held_back: Counter,
    /// In the order of [`crate::event::Fault::ALL`].
    pub(super) faults: Vec<Gauge>,
    pub(super) worker_stalls: Counter,
    pub(super) workers_stalled: Gauge,
    pub(super) runtime: RuntimeHandles,
    pub(super) profiler: ProfilerHandles,
    pub(super) captures: CaptureHandles,
    pub(super) media: MediaHandles,
    pub(super) placement: PlacementHandles,
    pub(super) guard: GuardHandles,
    pub(super) directory: DirectoryHandles,
    pub(super) fabric: FabricHandles,
    pub(super) relay: RelayHandles,
    pub(super) build_info: Gauge,
    pub(super) target_info: Gauge,
}

fn target_info(recorder: &PrometheusRecorder, settings: &Settings) -> Gauge {
    let values = [catalog::SERVICE_NAME, &settings.version, &settings.instance_id];
    gauge(recorder, &catalog::TARGET_INFO, &values)
}

impl Handles {
    /// All of them, at zero.
    pub(super) fn new(recorder: &PrometheusRecorder, settings: &Settings) -> Self {
        let one = |metric| counter(recorder, &metric, &[]);
        let level = |metric| gauge(recorder, &metric, &[]);
        let row = |metric| Row::new(recorder, &metric);
        let grid = |metric| Grid::new(recorder, &metric);
        let shards = settings.shards.min(catalog::SHARDS_MAX);
        let levels = |metric: Metric| set_of(&metric, 0).iter().map(|one| gauge(recorder, &metric, &[one])).collect();
        let by_shard = |metric: Metric| (0..shards).map(|at| gauge(recorder, &metric, &[&at.to_string()])).collect();
        Self {
            signals: grid(catalog::SIGNALS),
            refusals: row(catalog::REFUSALS),
            outliers: one(catalog::OUTLIERS),
            folded_recordings: row(catalog::FOLDED_RECORDINGS),
            drain_seconds: level(catalog::DRAIN_SECONDS),
            drains: one(catalog::DRAINS),
            baseline_refused: one(catalog::BASELINE_REFUSED),
            baseline_failures: row(catalog::BASELINE_FAILURES),
            ticks_panicked: row(catalog::TICKS_PANICKED),
            signal_bounds: levels(catalog::SIGNAL_BOUND),
            delivery_bounds: levels(catalog::DELIVERY_BOUND),
            traces_kept: row(catalog::TRACES_KEPT),
            traces_waiting: level(catalog::TRACES_WAITING),
            traces_exported: one(catalog::TRACES_EXPORTED),
            traces_lost: row(catalog::TRACES_LOST),
            traceparents_invalid: one(catalog::TRACEPARENTS_INVALID),
            logs_exported: one(catalog::LOGS_EXPORTED),
            logs_lost: row(catalog::LOGS_LOST),
            export_failures: row(catalog::EXPORT_FAILURES),
            scrapes: row(catalog::SCRAPES),
            scrape_seconds: level(catalog::SCRAPE_SECONDS),
            deliveries: one(catalog::DELIVERIES),
            sessions: level(catalog::SESSIONS),
            rooms: level(catalog::ROOMS),
            participants: level(catalog::PARTICIPANTS),
            sessions_opened: one(catalog::SESSIONS_OPENED),
            sessions_closed: row(catalog::SESSIONS_CLOSED),
            sessions_dropped: row(catalog::SESSIONS_DROPPED),
            resumes: row(catalog::RESUMES_DONE),
            connections: row(catalog::CONNECTIONS),
            connections_closed: grid(catalog::CONNECTIONS_CLOSED),
            sheds: row(catalog::SHEDS),
            pushes_discarded: row(catalog::PUSHES_DISCARDED),
            rooms_created: one(catalog::ROOMS_CREATED),
            rooms_closed: row(catalog::ROOMS_CLOSED),
            admin: grid(catalog::ADMIN),
            drain: levels(catalog::DRAIN),
            keys_refreshed: grid(catalog::KEYS_REFRESHED),
            introspection_failures: one(catalog::INTROSPECTION_FAILURES),
            certificates: row(catalog::CERTIFICATES_RELOADED),
            config: ConfigHandles::new(recorder, settings.config_hash),
            inbox_depth: by_shard(catalog::SHARD_INBOX_DEPTH),
            inbox_bound: by_shard(catalog::SHARD_INBOX_BOUND),
            log_level_changes: one(catalog::LOG_LEVEL_CHANGES),
            log_lines_held_back: one(catalog::LOG_LINES_HELD_BACK),
            faults: levels(catalog::FAULT_ACTIVE),
            worker_stalls: one(catalog::WORKER_STALLS),
            workers_stalled: level(catalog::WORKERS_STALLED),
            runtime: RuntimeHandles::new(recorder, settings.shards),
            profiler: ProfilerHandles::new(recorder),
            captures: CaptureHandles::new(recorder),
            media: MediaHandles::new(recorder),
            placement: PlacementHandles::new(recorder),
            guard: GuardHandles::new(recorder, shards),
            directory: DirectoryHandles::new(recorder),
            fabric: FabricHandles::new(recorder),
            relay: RelayHandles::new(recorder),
            build_info: gauge(recorder, &catalog::BUILD_INFO, &[&settings.version]),
            target_info: target_info(recorder, settings),
        }
    }

    /// Recordings whose client, and whose region, became `other`.
    pub(super) fn folded(&self, counts: [u64; 2]) {
        for (part, count) in counts.into_iter().enumerate() {
            self.folded_recordings.at(part).increment(count);
        }
    }
}
