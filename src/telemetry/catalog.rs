//! Every metric of this router, once: name, kind, unit, help, labels and what those may say, and what shows it.
//!
//! A metric that is not here does not exist: the handles are made from these rows alone. Knows nothing of who counts.
//! A room, a user or a session is never a label.

mod sets;
#[cfg(test)]
mod tests;

pub use sets::*;

/// How a metric's values move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, from zero at start; its name ends in `_total`.
    Counter,
    /// Up and down.
    Gauge,
    /// Latencies: classic buckets with the edges [`EDGES_US`], and native ones.
    Histogram,
    /// Always 1; the labels say it.
    Info,
}

impl Kind {
    /// The word for it in listings, and in text 0.0.4 for all but `Info`, which is a gauge there.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// What one of a metric is; where it has a word, the name ends in it (before `_total`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share, 0 to 1.
    Ratio,
    /// 1 or 0: it is so, or it is not.
    Flag,
}

impl Unit {
    /// The word that the name must carry.
    pub const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
            Self::Ratio => Some("ratio"),
            Self::Count | Self::Flag => None,
        }
    }

    /// For listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::Flag => "flag",
        }
    }
}

/// What a label may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// These. A counter has all of them from the start: the first one to happen is a step from zero that `rate` sees.
    Closed(&'static [&'static str]),
    /// 0, 1, 2 …, as many as were given at start, and at most that many.
    Numbered {
        /// The bound.
        max: usize,
    },
    /// Those of the configuration, and `other`.
    Configured {
        /// How many, beside `other`.
        max: usize,
    },
    /// What clients say: the busiest values, and `other`.
    Busiest {
        /// How many, beside `other`.
        max: usize,
    },
    /// One, set at start.
    Fixed,
}

impl Values {
    /// How many there can be at most.
    pub const fn bound(self) -> usize {
        match self {
            Self::Closed(values) => values.len(),
            Self::Numbered { max } => max,
            Self::Configured { max } | Self::Busiest { max } => max + 1,
            Self::Fixed => 1,
        }
    }
}

/// One label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
}

/// Where a metric is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The board of golden signals and the promise.
    Overview,
    /// The board of latencies.
    Latency,
    /// The board of sessions and rooms.
    Sessions,
    /// The board of what the router depends on.
    Dependencies,
    /// The board of the process and its runtime.
    Runtime,
    /// The board of refusals.
    Guard,
    /// The board that watches the observers.
    Observers,
    /// Alerts only.
    Alert,
    /// Nowhere but by hand.
    Debug,
}

impl Shown {
    /// For listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "board: overview",
            Self::Latency => "board: latency",
            Self::Sessions => "board: sessions and rooms",
            Self::Dependencies => "board: dependencies",
            Self::Runtime => "board: runtime",
            Self::Guard => "board: guard",
            Self::Observers => "board: observers",
            Self::Alert => "alert",
            Self::Debug => "debug",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The full name, as scraped.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What one is.
    pub unit: Unit,
    /// What looks at it.
    pub shown: Shown,
    /// For people, one sentence.
    pub help: &'static str,
    /// In this order.
    pub labels: &'static [Label],
    /// Label sets that there can be at most, where that is less than what the labels allow.
    pub sets_max: Option<usize>,
}

impl Metric {
    /// Label sets that there can be at most.
    pub fn sets(&self) -> usize {
        let allowed = self.labels.iter().map(|label| label.values.bound()).product();
        self.sets_max.map_or(allowed, |max| allowed.min(max))
    }

    /// Series that Prometheus makes of it at most: of a classic histogram each bucket is one, with sum and count.
    pub fn series(&self) -> usize {
        let each = if self.kind == Kind::Histogram { EDGES_US.len() + 3 } else { 1 };
        self.sets() * each
    }
}

const fn closed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::Closed(values) }
}

const fn fixed(name: &'static str) -> Label {
    Label { name, values: Values::Fixed }
}

const OP: Label = closed("op", OPS);
const OUTCOME: Label = closed("outcome", OUTCOMES);
const REASON: Label = closed("reason", CODES);
const LOST_REASON: Label = closed("reason", LOST);
const REGION: Label = Label { name: "region", values: Values::Configured { max: REGIONS_MAX } };
const SHARD: Label = Label { name: "shard", values: Values::Numbered { max: SHARDS_MAX } };
/// There are as many workers as shards.
const WORKER: Label = Label { name: "worker", values: Values::Numbered { max: SHARDS_MAX } };
const SDK_VERSION: Label = Label { name: "sdk_version", values: Values::Busiest { max: BUSIEST_MAX } };
const SCENARIO: Label = Label { name: "scenario", values: Values::Busiest { max: BUSIEST_MAX } };
const QUANTILE: Label = closed("q", QUANTILE_NAMES);

macro_rules! catalog {
    ($($(#[$only:meta])? $constant:ident $name:literal $kind:ident $unit:ident $shown:ident [$($label:expr),*] $(at most $max:ident)? $help:literal;)*) => {
        $(
            $(#[$only])?
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                shown: Shown::$shown,
                help: $help,
                labels: &[$($label),*],
                sets_max: [$(Some($max),)? None][0],
            };
        )*

        /// Every metric, in the order of this file.
        pub const ALL: &[Metric] = &[$($(#[$only])? $constant,)*];
    };
}

catalog! {
    SIGNALS "signalbox_signals_total" Counter Count Overview [OP, OUTCOME]
        "Signals that ended, by kind and outcome; the counts of the latency histograms say the same.";
    REFUSALS "signalbox_signal_refusals_total" Counter Count Guard [closed("code", CODES)]
        "Signals that were refused, by the code that the client got.";
    SIGNAL_LATENCY "signalbox_signal_latency_seconds" Histogram Seconds Overview [OP, REGION, OUTCOME] at most SIGNAL_SERIES_MAX
        "From a frame's arrival to its answer's last byte handed to the socket; without an id, to the end of its handling.";
    DELIVERY_LATENCY "signalbox_delivery_latency_seconds" Histogram Seconds Latency [OP, REGION]
        "From a frame's arrival to the last byte of what it brought about handed to each recipient's socket.";
    STAGE_LATENCY "signalbox_stage_latency_seconds" Histogram Seconds Latency [closed("stage", STAGES)]
        "Where the time of signals went.";
    SIGNAL_QUANTILE "signalbox_signal_latency_quantile_seconds" Gauge Seconds Latency [OP, REGION, QUANTILE]
        "Quantiles of the last minute's signal latencies, of outcomes ok and expired.";
    DELIVERY_QUANTILE "signalbox_delivery_latency_quantile_seconds" Gauge Seconds Latency [OP, REGION, QUANTILE]
        "Quantiles of the last minute's delivery latencies.";
    SIGNAL_P99 "signalbox_signal_p99_seconds" Gauge Seconds Latency [OP, REGION, SDK_VERSION, SCENARIO] at most CLIENT_SERIES_MAX
        "P99 of the last minute's signal latencies, of outcomes ok and expired, by who the client is.";
    SIGNAL_BOUND "signalbox_signal_latency_bound_seconds" Gauge Seconds Latency [OP]
        "Signals slower than this are kept as traces: the moving bound of their kind.";
    DELIVERY_BOUND "signalbox_delivery_latency_bound_seconds" Gauge Seconds Latency [OP]
        "Deliveries slower than this are kept as traces, the longest of those that went out together.";
    OUTLIERS "signalbox_latency_outliers_total" Counter Count Observers []
        "Latencies beyond the 60 seconds that histograms hold, recorded as 60 seconds.";
    FOLDED_RECORDINGS "signalbox_latency_folded_total" Counter Count Observers [closed("part", FOLDED)]
        "Recordings whose SDK version and scenario, or region, became `other` for want of histograms.";
    DRAIN_SECONDS "signalbox_latency_drain_seconds" Gauge Seconds Observers []
        "How long the last drain of the workers' histograms took.";
    DRAINS "signalbox_latency_drains_total" Counter Count Alert []
        "Drains of the workers' histograms, one a second; when this stands still, all latencies do.";
    TICKS_PANICKED "signalbox_ticks_panicked_total" Counter Count Alert [closed("thread", TICKING)]
        "Times that what a thread beside the workers does at an interval panicked; it went on at its next one.";
    DELIVERIES "signalbox_deliveries_total" Counter Count Overview []
        "Pushes handed to sockets.";
    SESSIONS "signalbox_sessions" Gauge Count Overview []
        "Sessions now, lingering ones included.";
    ROOMS "signalbox_rooms" Gauge Count Sessions []
        "Rooms now, empty ones that have not ended included.";
    PARTICIPANTS "signalbox_participants" Gauge Count Sessions []
        "Participants of all rooms now, lingering and hidden ones included.";
    SESSIONS_OPENED "signalbox_sessions_opened_total" Counter Count Sessions []
        "Sessions that began with a join.";
    SESSIONS_CLOSED "signalbox_sessions_closed_total" Counter Count Sessions [REASON]
        "Sessions that ended for good.";
    SESSIONS_DROPPED "signalbox_sessions_dropped_total" Counter Count Sessions [REASON]
        "Sessions that lost their connection and lingered.";
    RESUMES_DONE "signalbox_resumes_total" Counter Count Sessions [closed("result", RESUMES)]
        "Sessions that came back: all that was missed was given, or a snapshot had to do.";
    CONNECTIONS "signalbox_connections_total" Counter Count Sessions [closed("transport", TRANSPORTS)]
        "Connections accepted.";
    CONNECTIONS_CLOSED "signalbox_connections_closed_total" Counter Count Sessions
        [closed("transport", TRANSPORTS), REASON]
        "Connections that ended.";
    SHEDS "signalbox_sheds_total" Counter Count Guard [REASON]
        "Connections and requests refused before they reached a room.";
    PUSHES_DISCARDED "signalbox_pushes_discarded_total" Counter Count Sessions [closed("buffer", BUFFERS)]
        "Entries that a full log or buffer let go of.";
    ROOMS_CREATED "signalbox_rooms_created_total" Counter Count Sessions []
        "Rooms that came to be.";
    ROOMS_CLOSED "signalbox_rooms_closed_total" Counter Count Sessions [REASON]
        "Rooms that ended.";
    ADMIN "signalbox_admin_calls_total" Counter Count Sessions [closed("call", ADMIN_CALLS), closed("outcome", RESULTS)]
        "Calls of the admin API that change something.";
    DRAIN "signalbox_drain_phase" Gauge Flag Overview [closed("phase", PHASES)]
        "1 for the phase of the drain that the router is in.";
    KEYS_REFRESHED "signalbox_keys_refreshed_total" Counter Count Dependencies
        [closed("source", KEY_SOURCES), closed("result", RESULTS)]
        "Fetches of verification keys.";
    INTROSPECTION_FAILURES "signalbox_introspection_failures_total" Counter Count Dependencies []
        "Tokens that could not be introspected for want of the endpoint.";
    CERTIFICATES_RELOADED "signalbox_certificates_reloaded_total" Counter Count Dependencies [closed("result", RESULTS)]
        "Changed certificate files taken up, or not.";
    SHARD_INBOX_DEPTH "signalbox_shard_inbox_depth" Gauge Count Runtime [SHARD]
        "Inputs that wait for a shard.";
    SHARD_INBOX_BOUND "signalbox_shard_inbox_bound" Gauge Count Runtime [SHARD]
        "Inputs that may wait for a shard.";
    TRACES_KEPT "signalbox_traces_kept_total" Counter Count Observers [closed("reason", KEPT)]
        "Traces that were worth keeping and were handed to the exporter.";
    TRACES_WAITING "signalbox_traces_waiting" Gauge Count Observers []
        "Traces that wait for the exporter, at most telemetry.otlp.traces_waiting.";
    TRACES_EXPORTED "signalbox_traces_exported_total" Counter Count Observers []
        "Traces that the collector took.";
    TRACES_LOST "signalbox_traces_lost_total" Counter Count Observers [LOST_REASON]
        "Traces that were worth keeping and did not reach the collector.";
    LOGS_EXPORTED "signalbox_logs_exported_total" Counter Count Observers []
        "Log lines that the collector took.";
    LOGS_LOST "signalbox_logs_lost_total" Counter Count Observers [LOST_REASON]
        "Log lines that did not reach the collector; standard error has them.";
    EXPORT_FAILURES "signalbox_export_failures_total" Counter Count Observers [closed("kind", EXPORTS)]
        "Batches of traces or log lines that the collector did not take, or not all of.";
    TRACEPARENTS_INVALID "signalbox_traceparents_invalid_total" Counter Count Observers []
        "Frames whose `traceparent` cannot be read; it counts as absent.";
    SCRAPES "signalbox_scrapes_total" Counter Count Observers [closed("format", FORMATS)]
        "Scrapes answered.";
    SCRAPE_SECONDS "signalbox_scrape_seconds" Gauge Seconds Observers []
        "How long the last scrape took to render.";
    BUILD_INFO "signalbox_build_info" Gauge Flag Overview [fixed("version")]
        "Always 1; the labels say what runs.";
    TARGET_INFO "target_info" Info Flag Debug [fixed("service_name"), fixed("service_version"), fixed("service_instance_id")]
        "The resource that traces and logs of this process carry.";
    LOG_LEVEL_CHANGES "signalbox_log_level_changes_total" Counter Count Observers []
        "Changes of what is logged, while running.";
    LOG_LINES_HELD_BACK "signalbox_log_lines_held_back_total" Counter Count Observers []
        "Repeated log lines that were not written; the next one of their kind says how many.";
    LOG_LINES_DROPPED "signalbox_log_lines_dropped_total" Counter Count Observers []
        "Log lines that were not written because too many waited for whoever reads standard error; a line whose writing fails is not counted.";
    WORKER_STALLS "signalbox_worker_stalls_total" Counter Count Runtime []
        "Times that a worker thread did not come back from a task for telemetry.stall_ms.";
    WORKER_STALLED "signalbox_worker_stalled_seconds_total" Counter Seconds Runtime []
        "How long stalled worker threads were away, counted when they come back.";
    WORKERS_STALLED "signalbox_workers_stalled" Gauge Count Runtime []
        "Worker threads that are stalled now.";
    RUNTIME_WORKERS "signalbox_runtime_workers" Gauge Count Runtime []
        "Worker threads of the runtime.";
    RUNTIME_TASKS "signalbox_runtime_alive_tasks" Gauge Count Runtime []
        "Tasks that have begun and not ended.";
    RUNTIME_QUEUE "signalbox_runtime_global_queue_depth" Gauge Count Runtime []
        "Tasks that wait in the queue that all workers share.";
    RUNTIME_BUSY "signalbox_runtime_worker_busy_ratio" Gauge Ratio Runtime [WORKER]
        "The share of the last second that a worker ran tasks.";
    RUNTIME_PARKS "signalbox_runtime_worker_parks_total" Counter Count Runtime [WORKER]
        "Times that a worker found nothing to do and slept.";
    #[cfg(tokio_unstable)] RUNTIME_LOCAL_QUEUE "signalbox_runtime_worker_local_queue_depth" Gauge Count Runtime [WORKER]
        "Tasks that wait in a worker's own queue.";
    #[cfg(tokio_unstable)] RUNTIME_STEALS "signalbox_runtime_steals_total" Counter Count Runtime []
        "Tasks that workers took from each other's queues.";
    #[cfg(tokio_unstable)] RUNTIME_POLLS "signalbox_runtime_poll_seconds" Histogram Seconds Runtime []
        "How long polls of tasks took; the sum is the time that workers ran tasks.";
    #[cfg(tokio_unstable)] RUNTIME_BLOCKING_THREADS "signalbox_runtime_blocking_threads" Gauge Count Runtime []
        "Threads beside the workers, for what blocks.";
    #[cfg(tokio_unstable)] RUNTIME_BLOCKING_IDLE "signalbox_runtime_idle_blocking_threads" Gauge Count Runtime []
        "Of the threads for what blocks, those with nothing to do.";
    #[cfg(tokio_unstable)] RUNTIME_BLOCKING_QUEUE "signalbox_runtime_blocking_queue_depth" Gauge Count Runtime []
        "Closures that wait for a thread for what blocks.";
    PROCESS_CPU "process_cpu_seconds_total" Counter Seconds Runtime []
        "CPU time spent, user and system.";
    PROCESS_RESIDENT "process_resident_memory_bytes" Gauge Bytes Runtime []
        "Resident memory.";
    PROCESS_VIRTUAL "process_virtual_memory_bytes" Gauge Bytes Runtime []
        "Virtual memory.";
    PROCESS_THREADS "process_threads" Gauge Count Runtime []
        "Threads of the process.";
    PROCESS_OPEN_FDS "process_open_fds" Gauge Count Runtime []
        "Open file descriptors.";
    PROCESS_MAX_FDS "process_max_fds" Gauge Count Runtime []
        "File descriptors that may be open; absent when there is no limit.";
    PROCESS_START "process_start_time_seconds" Gauge Seconds Runtime []
        "When the process started, Unix time.";
}
