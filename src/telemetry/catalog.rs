//! Every metric of this router, once: name, kind, unit, help, labels and what those may say, and what shows it.
//!
//! A metric that is not here does not exist: the handles are made from these rows alone. Knows nothing of who counts.
//! A room, a user or a session is never a label.

mod metric;
mod sets;
#[cfg(test)]
mod tests;

pub use metric::*;
pub use sets::*;

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
const CAUSE: Label = closed("cause", CAPTURE_CAUSES);
const VARIANT: Label = Label { name: "variant", values: Values::Configured { max: VARIANTS_MAX } };
const RULE: Label = Label { name: "rule", values: Values::Configured { max: VARIANT_RULES_MAX } };
/// A media node.
const NODE: Label = Label { name: "node", values: Values::Nodes { max: NODES_TOLD_MAX } };
const MEDIA_CALL: Label = closed("call", MEDIA_OPS);
const DIRECTORY_CALL: Label = closed("call", DIRECTORY_OPS);
const FABRIC_CALL: Label = closed("call", FABRIC_OPS);
const RELAY_SIDE: Label = closed("side", RELAY_SIDES);
const ROOM_SIDE: Label = closed("side", ROOM_SIDES);
const SCOPE: Label = closed("scope", SCOPES);
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
    SIGNAL_BASELINE "signalbox_signal_p99_baseline_seconds" Gauge Seconds Latency [OP, REGION, closed("bound", BASELINE_BOUNDS)]
        "What is usual of the P99 of five minutes, by this router: its mean over seven days, and what it may not pass at this time of day.";
    BASELINE_POINTS "signalbox_signal_p99_baseline_points" Gauge Count Latency [OP, REGION]
        "Clean five-minute points of the last seven days that the baseline is made of; from 288 on, a day of them, it speaks.";
    BASELINE_REFUSED "signalbox_baseline_refused_total" Counter Count Observers []
        "Five-minute points of an op and region that found no place, because 256 others have one.";
    BASELINE_FAILURES "signalbox_baseline_failures_total" Counter Count Observers [closed("doing", BASELINE_FILE)]
        "Times that the file of the baseline could not be read back, which then begins anew, or could not be written.";
    SIGNAL_BOUND "signalbox_signal_latency_bound_seconds" Gauge Seconds Latency [OP]
        "Signals slower than this are kept as traces, unless the baseline of their op and region says otherwise: the moving bound of their kind.";
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
    GUARD_SHEDS "signalbox_guard_sheds_total" Counter Count Guard [closed("op", GUARDED), closed("limit", LIMITS)]
        "Connections and signals that the guard refused, by what was to be done and by the limit that was reached.";
    GUARD_SHARERS "signalbox_guard_sharers" Gauge Count Guard []
        "Routers among which limits of the whole fleet (guard.of_the_fleet) are shared, as this one counts them; 1 where it runs alone.";
    GUARD_CELLS "signalbox_guard_cells" Gauge Count Guard [SCOPE]
        "Users, addresses and API keys whose limits are remembered now, those who are connected included.";
    GUARD_CELLS_FORGOTTEN "signalbox_guard_cells_forgotten_total" Counter Count Guard [SCOPE]
        "Of these, those that made room for others while they still counted: their limits began anew.";
    SHARD_QUEUE_DELAY "signalbox_shard_queue_delay_seconds" Gauge Seconds Guard [SHARD]
        "The least that anything waited for a shard in the last tenth of a second.";
    SHARD_PRESSURE "signalbox_shard_pressure" Gauge Count Guard [SHARD]
        "What a shard turns away because its queue is too long: 0 nothing, 1 new joins, 2 signals of those who are there as well.";
    SHARD_PRESSURE_CHANGES "signalbox_shard_pressure_changes_total" Counter Count Guard []
        "Times that a shard turned away more than before, or less.";
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
    CERTIFICATE_EXPIRY "signalbox_certificate_expiry_timestamp_seconds" Gauge Seconds Dependencies [closed("listener", LISTENERS)]
        "When the certificate that a listener shows ends being valid, Unix time; absent without TLS.";
    CONFIG_RELOADS "signalbox_config_reloads_total" Counter Count Dependencies [closed("result", RELOADS)]
        "Times that the configuration was read again while running: taken up, the same as before, or refused.";
    CONFIG_GENERATION "signalbox_config_generation" Gauge Count Overview []
        "Which configuration runs: 1 at start, one more each time that something changed.";
    CONFIG_HASH "signalbox_config_hash" Gauge Count Dependencies []
        "First 48 bits of a hash of the configuration that runs, without secrets and what is one router's own; routers that differ run different ones.";
    CONFIG_REFUSED "signalbox_config_refused" Gauge Flag Dependencies []
        "1 while the configuration file was refused: the router runs with something else than its file says.";
    VARIANT_LATENCY "signalbox_variant_latency_seconds" Histogram Seconds Variants [VARIANT, OUTCOME]
        "Signal latencies by the variant of the client: the same signals as in signalbox_signal_latency_seconds, in other parts.";
    VARIANT_SESSIONS "signalbox_variant_sessions" Gauge Count Variants [VARIANT]
        "Sessions now by the variant that they began with, lingering ones included.";
    VARIANT_ASSIGNMENTS "signalbox_variant_assignments_total" Counter Count Variants [VARIANT, closed("by", ASSIGNED_BY)]
        "Connections by the variant that they got and by the kind of rule that decided; one that comes back counts again.";
    VARIANT_SHARE "signalbox_variant_share_ratio" Gauge Ratio Variants [VARIANT, RULE]
        "The share of the users that a rule by percent is to send to its variant, as configured.";
    MEDIA_NODES "signalbox_media_nodes" Gauge Count Media []
        "Media nodes that are known: registered and not silent, or of the configuration.";
    MEDIA_NODE_UP "signalbox_media_node_up" Gauge Flag Media [NODE]
        "1 while the stream to a media node stands; of those past the bound: of all of them.";
    MEDIA_RTT "signalbox_media_rtt_seconds" Gauge Seconds Media [NODE]
        "The last round trip to a media node, measured by this router on its stream.";
    MEDIA_CLOCK_SKEW "signalbox_media_clock_skew_seconds" Gauge Seconds Media [NODE]
        "How far a media node's clock is ahead of this router's, by its last report; negative: behind.";
    MEDIA_BREAKER_STATE "signalbox_media_breaker_state" Gauge Count Media [NODE]
        "A media node's breaker: 0 closed, 1 open (it is not called), 2 half open (a few calls, to see).";
    MEDIA_BREAKER_CHANGES "signalbox_media_breaker_changes_total" Counter Count Media
        [closed("to", BREAKER_STATES), closed("reason", BREAKER_REASONS)]
        "Changes of media nodes' breakers, by what they changed to and why.";
    MEDIA_CALLS "signalbox_media_calls_total" Counter Count Media [MEDIA_CALL, closed("outcome", MEDIA_OUTCOMES)]
        "Calls to media nodes that ended, by kind and outcome; expired, unsent and full ones were never sent.";
    MEDIA_CALL_SECONDS "signalbox_media_call_seconds_total" Counter Seconds Media [MEDIA_CALL]
        "Time from when calls to media nodes were asked for until they ended, summed.";
    MEDIA_REGISTRATIONS "signalbox_media_registrations_total" Counter Count Media [closed("result", REGISTRATIONS)]
        "What media nodes said of themselves: taken, or refused and why; the last two of what answers at a node's address.";
    MEDIA_NODES_GONE "signalbox_media_nodes_gone_total" Counter Count Media [closed("why", NODES_GONE)]
        "Media nodes that are not known any more.";
    MEDIA_STREAMS_LOST "signalbox_media_streams_lost_total" Counter Count Media []
        "Streams to media nodes that were lost, or could not be made.";
    MEDIA_PUSHES_DROPPED "signalbox_media_pushes_dropped_total" Counter Count Media []
        "Offers and candidates of media nodes that were not handed on: they cannot be used, or the room's shard took none.";
    DIRECTORY_LEASE "signalbox_directory_lease_seconds" Gauge Seconds Dependencies []
        "How long what is registered in etcd for this router stays there when it falls silent; a view that is not proven for so long is old.";
    DIRECTORY_LEASE_AGE "signalbox_directory_lease_age_seconds" Gauge Seconds Dependencies []
        "How long ago etcd confirmed what is registered there for this router; without one that is configured: absent, as all gauges of the directory.";
    DIRECTORY_WATCH_LAG "signalbox_directory_watch_lag_seconds" Gauge Seconds Dependencies []
        "For how long nothing has proven that what this router knows of its fleet is new.";
    DIRECTORY_ROUTERS "signalbox_directory_routers" Gauge Count Dependencies []
        "Routers of the fleet that this one knows, itself included.";
    DIRECTORY_UNREADABLE "signalbox_directory_records_unreadable" Gauge Count Dependencies []
        "Records of the fleet that this router cannot read: of another version, or none of ours.";
    DIRECTORY_ROOMS_UNWRITTEN "signalbox_directory_rooms_unwritten" Gauge Count Dependencies []
        "Rooms of this router that its fleet does not know of, because their records could not be written yet: another router may have a room of that name.";
    DIRECTORY_DIGEST "signalbox_directory_digest" Gauge Count Dependencies []
        "48 bits of a hash of what this router knows of its fleet, load left out; routers that differ for long see different fleets.";
    DIRECTORY_ROOMS_DIGEST "signalbox_directory_rooms_digest" Gauge Count Dependencies [ROOM_SIDE]
        "48 bits of a hash of the names of this router's rooms that have a record (here), and of the records under its lease in etcd (there), looked at every half minute; what is just being written is in neither.";
    DIRECTORY_ROOMS_ALONE "signalbox_directory_rooms_alone" Gauge Count Dependencies [ROOM_SIDE]
        "Rooms whose records do not stand in etcd though it had said so (here), and records of rooms that this router does not have (there), in two looks in a row: each is mended, and stays here only if that does not help.";
    DIRECTORY_ROOMS_COMPARED_AGE "signalbox_directory_rooms_compared_age_seconds" Gauge Seconds Dependencies []
        "How long ago this router's rooms were held against their records in etcd; absent until they were.";
    DIRECTORY_ROOMS_MENDED "signalbox_directory_rooms_mended_total" Counter Count Dependencies [ROOM_SIDE]
        "Records of rooms that were written again because they did not stand (here), or taken away because this router does not have the room (there).";
    DIRECTORY_RULES_REVISION "signalbox_directory_rules_revision" Gauge Count Dependencies []
        "The revision in etcd of the rules of the fleet that this router has in force; 0: none, it runs by its file alone.";
    DIRECTORY_RULES_REFUSED "signalbox_directory_rules_refused" Gauge Flag Dependencies []
        "1 while this router refuses the rules of the fleet that stand in etcd, or that they are gone; it goes on by what it had in force.";
    DIRECTORY_CALLS "signalbox_directory_calls_total" Counter Count Dependencies [DIRECTORY_CALL, closed("outcome", DIRECTORY_OUTCOMES)]
        "Calls to etcd that ended.";
    DIRECTORY_CALL_LATENCY "signalbox_directory_call_latency_seconds" Histogram Seconds Dependencies [DIRECTORY_CALL]
        "How long calls to etcd took, connection and failures included.";
    DIRECTORY_READS "signalbox_directory_reads_total" Counter Count Dependencies [closed("reason", READ_REASONS)]
        "Times that all records of the fleet were read: at start, or because changes could not be told one by one.";
    DIRECTORY_LEASES_LOST "signalbox_directory_leases_lost_total" Counter Count Dependencies []
        "Times that the lease of this router had ended, so that it was not seen in its fleet until it had registered again.";
    DIRECTORY_ID_TAKEN "signalbox_directory_id_taken_total" Counter Count Dependencies []
        "Times that another router that runs wrote its record over this one's: both have the same server.id.";
    DIRECTORY_WATCHES_LOST "signalbox_directory_watches_lost_total" Counter Count Dependencies []
        "Watches of the fleet that broke or fell silent; they are resumed where they were.";
    DIRECTORY_ROOMS_SOUGHT "signalbox_directory_rooms_sought_total" Counter Count Dependencies [closed("found", HOMES_FOUND)]
        "Joins, resumes and admin calls by which router of the fleet has their room; unknown: etcd was not well, and the router went by what it has.";
    DIRECTORY_ROOMS_TAKEN_OVER "signalbox_directory_rooms_taken_over_total" Counter Count Dependencies []
        "Rooms that this router took over from one that was about to end, silent, or not there any more.";
    DIRECTORY_ROOMS_GIVEN_UP "signalbox_directory_rooms_given_up_total" Counter Count Dependencies []
        "Rooms that this router gave up because another one has them: both had made one of that name, or it was taken over.";
    FABRIC_ROOMS "signalbox_fabric_rooms_total" Counter Count Dependencies [closed("outcome", KEEPING_OUTCOMES)]
        "What became of rooms that are kept in Redis: written, once a write of changes; kept by another router; restored here, or not; left to another router with all that was known, or only as written before; written anew, since Redis had lost what stood of it, or some of that.";
    FABRIC_ANSWERS "signalbox_fabric_answers_total" Counter Count Dependencies [closed("outcome", ANSWER_OUTCOMES)]
        "Changes of rooms that are acknowledged once they are kept (redis.ack): kept, and then acknowledged; late, done and not known to be kept in time; refused, since Redis was away, another router had the room, or too many waited.";
    FABRIC_ROOMS_BEHIND "signalbox_fabric_rooms_behind" Gauge Count Dependencies []
        "Rooms of which something waits to be written to Redis; without one that is configured: absent.";
    FABRIC_BEHIND "signalbox_fabric_behind_seconds" Gauge Seconds Dependencies []
        "For how long the room has waited that waits longest to be written to Redis: what a router that is lost now takes with it.";
    FABRIC_WRITE_LATENCY "signalbox_fabric_write_latency_seconds" Histogram Seconds Dependencies []
        "How long changes of a room waited until they stood in Redis, from the first of those that were written together.";
    JOURNAL_DEPTH "signalbox_journal_depth" Gauge Count Dependencies []
        "Writes of rooms that Redis did not take and that lie on this router's disk until it does; without a journal: absent, as all its gauges.";
    JOURNAL_BYTES "signalbox_journal_bytes" Gauge Bytes Dependencies []
        "Their bytes; at redis.journal_bytes no more are taken.";
    JOURNAL_AGE "signalbox_journal_age_seconds" Gauge Seconds Dependencies []
        "For how long the room has waited that waits longest in the journal.";
    JOURNAL_WRITES "signalbox_journal_writes_total" Counter Count Dependencies [closed("outcome", JOURNAL_OUTCOMES)]
        "Writes that Redis did not take: appended to the journal, brought to Redis, or put beside a room that another router had meanwhile (set_beside); let go of, since the room has ended or is here and writes all of itself (superseded), there was no place beside it (fenced), Redis had lost the room, or they are incomplete or unreadable; not taken, since the journal was full or its disk failed.";
    JOURNAL_FAILURES "signalbox_journal_failures_total" Counter Count Dependencies [closed("doing", JOURNAL_WORKS)]
        "Times that the journal's file could not be opened, written or read, or had to be set aside and begun anew.";
    FABRIC_SERVERS "signalbox_fabric_servers" Gauge Count Dependencies []
        "Servers of Redis that this router's rooms are written to, as far as they are known; without one that is configured: absent, as all gauges of the fabric.";
    FABRIC_CONNECTIONS "signalbox_fabric_connections" Gauge Count Dependencies []
        "Connections to them that stand.";
    FABRIC_SILENT "signalbox_fabric_silent_seconds" Gauge Seconds Dependencies []
        "For how long the server of Redis that was heard least lately has done nothing that it was asked; each is asked once a second.";
    FABRIC_CALLS "signalbox_fabric_calls_total" Counter Count Dependencies [FABRIC_CALL, closed("outcome", FABRIC_OUTCOMES)]
        "Calls to Redis that ended; ok, held, fenced and missing are answers.";
    FABRIC_CALL_LATENCY "signalbox_fabric_call_latency_seconds" Histogram Seconds Dependencies [FABRIC_CALL]
        "How long calls to Redis took, connection and failures included.";
    FABRIC_CONNECTION_FAILURES "signalbox_fabric_connection_failures_total" Counter Count Dependencies [closed("reason", FABRIC_LOSSES)]
        "Connections to Redis that could not be made, or that stood and were lost.";
    FABRIC_MASTERS_FOUND "signalbox_fabric_masters_found_total" Counter Count Dependencies []
        "Times that other servers than before were found to be the masters of Redis, the first time included: a failover, or slots of a Cluster that went to another one.";
    RELAY_LINKS "signalbox_relay_links" Gauge Count Dependencies [RELAY_SIDE]
        "Links to other routers that stand, by which end this router is: edge, its clients are in rooms of the other one; host, the other way round; without a relay: absent, as the connections.";
    RELAY_CONNECTIONS "signalbox_relay_connections" Gauge Count Dependencies [RELAY_SIDE]
        "Connections of clients that go over them now; one that goes from one router to another is counted at either end.";
    RELAY_LINKS_ENDED "signalbox_relay_links_ended_total" Counter Count Dependencies [RELAY_SIDE, closed("reason", RELAY_ENDS)]
        "Links to other routers that ended, or could not be made; idle and closed are wanted, each other one that stood cost its clients a resume.";
    RELAY_OPENINGS_DONE "signalbox_relay_openings_total" Counter Count Dependencies [closed("outcome", RELAY_OPENINGS)]
        "Clients that wanted into a room of another router: relayed there over a link, or sent there, and why.";
    RELAY_FRAMES "signalbox_relay_frames_total" Counter Count Dependencies [closed("direction", RELAY_DIRECTIONS)]
        "Frames over links, counted where the clients are connected: theirs to the routers that have their rooms, and what came back for them.";
    RELAY_ROUND_TRIP "signalbox_relay_round_trip_latency_seconds" Histogram Seconds Dependencies []
        "How long signs of life took over links and back, behind all that was sent before them: it is in the latency of each signal that is relayed.";
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
    FAULT_ACTIVE "signalbox_fault_active" Gauge Flag Alert [closed("fault", FAULTS)]
        "1 while that fault is injected on purpose, which only a router that runs with `--dev` allows.";
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
    PLACEMENTS "signalbox_placements_total" Counter Count Placement [closed("result", PLACED)]
        "Rooms that were given a media node: in the region of their first participant, elsewhere, or one without any weight left because all are; none: no node takes rooms.";
    PLACEMENT_NODES "signalbox_placement_nodes" Gauge Count Placement [REGION, closed("state", NODE_READY)]
        "Media nodes as this router sees them, by region: those that take rooms, and those that do not; a region that had any stays, at 0.";
    NODE_SCORE "signalbox_node_score" Gauge Count Placement [NODE]
        "A media node's score, 0 to 100: by round trip, CPU, memory, loss.";
    NODE_WEIGHT "signalbox_node_weight" Gauge Count Placement [NODE]
        "A media node's weight: of its score and base weight, less for a while after it came back.";
    NODE_SHARE "signalbox_node_share_ratio" Gauge Ratio Placement [NODE, closed("share", NODE_SHARES)]
        "A media node's share of the rooms of its region and variant: wanted by weight, and got in the last minute.";
    NODE_ROOMS "signalbox_node_rooms" Gauge Count Placement [NODE]
        "Rooms of this router that a media node carries.";
    PLACEMENT_FALLBACKS "signalbox_placement_fallbacks_total" Counter Count Placement []
        "Rooms whose own variant had no media node, so that they have one of the variant `default`.";
    ROOM_MOVES "signalbox_room_moves_total" Counter Count Placement [closed("reason", MOVE_REASONS), closed("to", MOVED_TO)]
        "Rooms that have another media node than before, or none; each of their participants was told once.";
    NODE_CHANGES "signalbox_node_changes_total" Counter Count Placement [closed("to", NODE_STATES)]
        "Times that a media node began to take rooms, or ceased to, and why.";
    NODE_REPORTS_VOID "signalbox_node_reports_void_total" Counter Count Placement []
        "Reports of media nodes that no honest node makes: negative, past their range, no numbers.";
    NODES_REFUSED "signalbox_nodes_refused_total" Counter Count Placement []
        "Media nodes that were not taken up, because there are as many as there may be.";
    PROFILER_RUNNING "signalbox_profiler_running" Gauge Flag Observers [closed("sampler", SAMPLERS)]
        "1 for the sampler that runs; none runs: the profiler is off, or refused to start.";
    PROFILER_RAISED "signalbox_profiler_samples_raised_total" Counter Count Observers []
        "Samples that timers raised; those that ran out together are one stack and counted each.";
    PROFILER_KEPT "signalbox_profiler_samples_kept_total" Counter Count Observers []
        "Stacks that were kept.";
    PROFILER_LOST "signalbox_profiler_samples_lost_total" Counter Count Observers []
        "Samples that the CPU time spent was worth and that did not come: of threads that are not sampled or live shorter than a period, or for want of room.";
    PROFILER_TRUNCATED "signalbox_profiler_samples_truncated_total" Counter Count Observers []
        "Stacks kept that do not reach down to where their thread began.";
    PROFILER_RING_BYTES "signalbox_profiler_ring_bytes" Gauge Bytes Observers []
        "What the last hour of samples takes, about.";
    PROFILER_RING_BYTES_MAX "signalbox_profiler_ring_max_bytes" Gauge Bytes Observers []
        "What the last hour of samples may take, about; past it the oldest are thinned, then let go of.";
    PROFILER_SLOTS_THINNED "signalbox_profiler_slots_thinned_total" Counter Count Observers []
        "Ten-second slots whose rare stacks were summed up for want of room.";
    PROFILER_WITHOUT_TIMER "signalbox_profiler_threads_without_timer_total" Counter Count Observers []
        "Threads that are not sampled because the system had no timer for them.";
    CAPTURES_MADE "signalbox_captures_made_total" Counter Count Observers [CAUSE]
        "Captures of bad minutes that were begun.";
    CAPTURES_REFUSED "signalbox_captures_refused_total" Counter Count Observers [closed("reason", CAPTURE_REFUSALS)]
        "Captures that were not made, because there have been enough.";
    CAPTURES_LOST "signalbox_captures_lost_total" Counter Count Observers []
        "Captures that were begun and will not be there.";
    CAPTURE_FOLDER_FAILURES "signalbox_capture_folder_failures_total" Counter Count Observers []
        "Times that the folder of captures, or something in it, could not be used.";
    CAPTURES "signalbox_captures" Gauge Count Observers []
        "Captures that are ready.";
    CAPTURE_BYTES "signalbox_captures_bytes" Gauge Bytes Observers []
        "What captures that are ready weigh.";
    CAPTURE_LATEST "signalbox_capture_timestamp_seconds" Gauge Seconds Observers [CAUSE]
        "When the latest capture of that cause was made, Unix time; 0: there is none.";
    CAPTURE_LATEST_OF "signalbox_latency_capture_timestamp_seconds" Gauge Seconds Runtime [OP, REGION]
        "When the latest capture was made in which the P99 of that op and region had left its band, Unix time; absent: none was made.";
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
    MEMORY_LIMIT "signalbox_memory_limit_bytes" Gauge Bytes Runtime []
        "Memory that the process may take: the limit of its control group, else what the machine has.";
    CLOCK "signalbox_clock_timestamp_seconds" Gauge Seconds Runtime []
        "This router's clock at the scrape, Unix time; beside the scrape's own time it tells how far it is off.";
}
