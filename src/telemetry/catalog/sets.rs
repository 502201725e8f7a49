//! What labels may say: closed sets, the bounds of the others, and the edges of latency buckets.

use crate::{
    event::{
        AnswerOutcome, Asked, AssignedBy, BreakerReason, BreakerState, Called, DirectoryOp, DirectoryOutcome,
        FabricCall, FabricLoss, FabricOutcome, Fault, HomeFound, JournalOutcome, JournalWork, KeepingOutcome, Limit,
        MediaOp, Outcome, ReadReason, RelayEnd, RelayOpening, RelaySide, Stage,
    },
    protocol::{Code, OpKind},
};

/// The words of an enum, in its order.
macro_rules! names {
    ($type:ident) => {{
        let mut names = [""; $type::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = $type::ALL[at].name();
            at += 1;
        }
        names
    }};
}

/// `service.name` of the resource that metrics, traces and logs carry.
pub const SERVICE_NAME: &str = "signalbox";
/// The word for what is not in a label's set.
pub const OTHER: &str = "other";
/// Kinds of connections; `relay`: of a client of another router, over the link to it.
pub const TRANSPORTS: &[&str] = &["websocket", "grpc", "http", "relay", OTHER];
/// Bounded logs and buffers that let go of their oldest entry.
pub const BUFFERS: &[&str] = &["held", "history", "replies", OTHER];
/// What became of resumes.
pub const RESUMES: &[&str] = &["recovered", "snapshot"];
/// Where keys come from.
pub const KEY_SOURCES: &[&str] = &["jwks", "oidc", OTHER];
/// How a thing ended that has no code.
pub const RESULTS: &[&str] = &["ok", "error"];
/// What became of a configuration that was read again.
pub const RELOADS: &[&str] = &["ok", "unchanged", "error"];
/// Ports that may have certificates.
pub const LISTENERS: &[&str] = &["client", "ops", "media", "relay"];
/// Phases of the drain, in the order of [`crate::event::DrainPhase`].
pub const PHASES: &[&str] = &["serving", "advising", "closing", "drained"];
/// Calls of the admin API.
pub const ADMIN_CALLS: &[&str] = &[
    "create_room",
    "list_rooms",
    "get_room",
    "delete_room",
    "update_room",
    "list_participants",
    "get_participant",
    "remove_participant",
    "update_participant",
    "mute_track",
    "send_data",
    "get_user",
    OTHER,
];
/// The kinds of signals.
pub const OPS: &[&str] = &op_names();
/// The code table's names: reasons of refusals and closes.
pub const CODES: &[&str] = &code_names();
/// What the guard may refuse, in the order of [`Asked::place`].
pub const GUARDED: &[&str] = &guarded_names();
/// Limits of the guard, in the order of [`Limit::ALL`].
pub const LIMITS: &[&str] = &limit_names();
/// Scopes that the guard remembers somebody of.
pub const SCOPES: &[&str] = &["key", "address", "user"];
/// How signals end.
pub const OUTCOMES: &[&str] = &Outcome::NAMES;
/// Parts of a signal's way.
pub const STAGES: &[&str] = &stage_names();
/// Quantiles of the rolling gauges, in the order of [`QUANTILES`].
pub const QUANTILE_NAMES: &[&str] = &["0.5", "0.9", "0.99", "0.999", "0.9999"];
/// The same as numbers.
pub const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];
/// Why a trace is kept, in the order of [`crate::telemetry::trace::Reason`].
pub const KEPT: &[&str] = &["sampled", "error", "slow", "head"];
/// Why something on its way to the collector was let go of, in the order of [`crate::telemetry::trace::Lost`].
pub const LOST: &[&str] = &["budget", "queue_full", "refused", "unreachable", "shutdown"];
/// What is exported.
pub const EXPORTS: &[&str] = &["traces", "logs", OTHER];
/// Which part of a recording's labels became `other` because too many histograms were in use.
pub const FOLDED: &[&str] = &["client", "region"];
/// Threads beside the workers that do something at an interval.
pub const TICKING: &[&str] = &["metronome", "watchdog", "profiler", "captures", "baseline", "config", OTHER];
/// What of a baseline is shown: its mean, and what may not be passed.
pub const BASELINE_BOUNDS: &[&str] = &["mean", "upper"];
/// What can fail about the file of the baseline.
pub const BASELINE_FILE: &[&str] = &["read", "write"];
/// Why a capture is made.
pub const CAPTURE_CAUSES: &[&str] = &["latency", "stall", "operator"];
/// Why one is not: too many in an hour or for one cause, or too many at once.
pub const CAPTURE_REFUSALS: &[&str] = &["pace", "recording"];
/// Faults that can be injected on purpose.
pub const FAULTS: &[&str] = &fault_names();
/// What can sample stacks.
pub const SAMPLERS: &[&str] = &["ctimer", "itimer"];
/// What decides about the variant of a client.
pub const ASSIGNED_BY: &[&str] = &assigned_by_names();
/// Calls to media nodes.
pub const MEDIA_OPS: &[&str] = &names!(MediaOp);
/// How they end.
pub const MEDIA_OUTCOMES: &[&str] = &names!(Called);
/// What a breaker does with calls, in the order of [`BreakerState`].
pub const BREAKER_STATES: &[&str] = &names!(BreakerState);
/// Why it changed.
pub const BREAKER_REASONS: &[&str] = &names!(BreakerReason);
/// What became of what media nodes say of themselves: four that are taken, then why not, in the order of
/// [`crate::event::NodeRefusal`].
pub const REGISTRATIONS: &[&str] = &[
    "new",
    "renewed",
    "changed",
    "leaving",
    "invalid",
    "certificate",
    "taken",
    "full",
    "flapping",
    "stranger",
    "garbage",
];
/// Why a media node is not known any more.
pub const NODES_GONE: &[&str] = &["silent", "left", "configuration"];
/// Media nodes that are told apart, beside `other`.
pub const NODES_TOLD_MAX: usize = 50;
/// Which way a room went to its media node; none: there was none.
pub const PLACED: &[&str] = &["home", "spill_over", "overloaded", "none"];
/// Whether media nodes take rooms.
pub const NODE_READY: &[&str] = &["ready", "out"];
/// Shares of rooms.
pub const NODE_SHARES: &[&str] = &["wanted", "got"];
/// Why rooms have another media node than before.
pub const MOVE_REASONS: &[&str] = &["node_failed", "node_drained", "node_returned"];
/// Where they moved.
pub const MOVED_TO: &[&str] = &["node", "nowhere"];
/// What became of a media node: it takes rooms, or why not.
pub const NODE_STATES: &[&str] = &["in", "silent", "failing", "cordoned", "draining", "drained", "gone", OTHER];
/// Calls to etcd.
pub const DIRECTORY_OPS: &[&str] = &names!(DirectoryOp);
/// How they end.
pub const DIRECTORY_OUTCOMES: &[&str] = &names!(DirectoryOutcome);
/// Why all records were read.
pub const READ_REASONS: &[&str] = &names!(ReadReason);
/// Which router has a room that was sought.
pub const HOMES_FOUND: &[&str] = &names!(HomeFound);
/// This router's rooms, and their records in etcd.
pub const ROOM_SIDES: &[&str] = &["here", "there"];
/// What becomes of rooms that are kept.
pub const KEEPING_OUTCOMES: &[&str] = &names!(KeepingOutcome);
/// What becomes of changes that are acknowledged once they are kept.
pub const ANSWER_OUTCOMES: &[&str] = &names!(AnswerOutcome);
/// What becomes of writes that Redis did not take.
pub const JOURNAL_OUTCOMES: &[&str] = &names!(JournalOutcome);
/// What is done with the journal's file.
pub const JOURNAL_WORKS: &[&str] = &names!(JournalWork);
/// Calls to Redis.
pub const FABRIC_OPS: &[&str] = &names!(FabricCall);
/// How they end.
pub const FABRIC_OUTCOMES: &[&str] = &names!(FabricOutcome);
/// Why there is no connection to it.
pub const FABRIC_LOSSES: &[&str] = &names!(FabricLoss);
/// Ends of links between routers.
pub const RELAY_SIDES: &[&str] = &names!(RelaySide);
/// Why links end, or never stood.
pub const RELAY_ENDS: &[&str] = &names!(RelayEnd);
/// What becomes of clients that want into a room of another router.
pub const RELAY_OPENINGS: &[&str] = &names!(RelayOpening);
/// Ways of frames over links, as seen from where the clients are, in the order of
/// [`RelayFigures::frames`](crate::telemetry::RelayFigures::frames).
pub const RELAY_DIRECTIONS: &[&str] = &["to_host", "to_client"];
/// Ways in which a scrape is answered.
pub const FORMATS: &[&str] = &["text", "openmetrics", "protobuf"];
/// Regions that are told apart, beside `other`.
pub const REGIONS_MAX: usize = 16;
/// Variants that a router tells apart in its life, beside `other`; of these some eight can be configured at a time.
pub const VARIANTS_MAX: usize = 12;
/// Rules that a configuration can have, as many as `gray::RULES_MAX`; those by percent are told apart.
pub const VARIANT_RULES_MAX: usize = 32;
/// SDK versions, and scenarios, that are told apart, beside `other`.
pub const BUSIEST_MAX: usize = 8;
/// Latency histograms of (op, region, outcome); past them the region is `other`.
pub const SIGNAL_SERIES_MAX: usize = 256;
/// Series of the P99 by client; past them SDK version and scenario are `other`.
pub const CLIENT_SERIES_MAX: usize = 512;
/// Upper edges of the classic buckets, microseconds. Each is an edge of the HDR histograms at three digits, so that a
/// bucket's count is exact; close together around [the promise](crate::telemetry::PROMISE), where a quantile is read from them
/// within 1.7 % (measured on mixtures of lognormal latencies with a P99 of 77 to 82 ms).
pub const EDGES_US: [u32; 30] = [
    500, 1_000, 2_000, 4_000, 8_000, 12_000, 16_000, 24_000, 32_000, 40_000, 48_000, 56_000, 60_000, 64_000, 68_032,
    72_000, 76_032, 80_000, 84_032, 88_000, 92_032, 96_000, 104_000, 112_000, 128_000, 160_000, 256_000, 512_000,
    1_024_000, 4_096_000,
];
/// Upper edges of how long polls take, nanoseconds: four times as much each time, and all of them edges of the runtime's
/// own histogram, whose buckets are twice as wide each as the one before.
#[cfg(tokio_unstable)]
pub const POLL_EDGES_NS: [u64; 9] = [1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28, 1 << 30];
/// Shards that are told apart; there are as many as worker threads.
pub const SHARDS_MAX: usize = 256;

const fn op_names() -> [&'static str; OpKind::ALL.len()] {
    let mut names = [""; OpKind::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = OpKind::ALL[at].name();
        at += 1;
    }
    names
}

const fn code_names() -> [&'static str; Code::ALL.len()] {
    let mut names = [""; Code::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Code::ALL[at].name();
        at += 1;
    }
    names
}

const fn assigned_by_names() -> [&'static str; AssignedBy::ALL.len()] {
    let mut names = [""; AssignedBy::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = AssignedBy::ALL[at].name();
        at += 1;
    }
    names
}

const fn guarded_names() -> [&'static str; Asked::COUNT] {
    let mut names = [Asked::Connection.name(); Asked::COUNT];
    let mut at = 0;
    while at < OpKind::ALL.len() {
        let asked = Asked::Signal(OpKind::ALL[at]);
        names[asked.place()] = asked.name();
        at += 1;
    }
    names
}

const fn limit_names() -> [&'static str; Limit::ALL.len()] {
    let mut names = [""; Limit::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Limit::ALL[at].name();
        at += 1;
    }
    names
}

const fn fault_names() -> [&'static str; Fault::ALL.len()] {
    let mut names = [""; Fault::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Fault::ALL[at].name();
        at += 1;
    }
    names
}

const fn stage_names() -> [&'static str; Stage::ALL.len()] {
    let mut names = [""; Stage::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Stage::ALL[at].name();
        at += 1;
    }
    names
}
