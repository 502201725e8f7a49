//! Every metric of this router, once: name, kind, unit, help, labels and what those may say.
//!
//! A metric that is not here does not exist: the handles are made from these rows alone. Knows nothing of who counts.
//! A room, a user or a session is never a label.

use crate::protocol::{Code, OpKind};

/// How a metric's values move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, from zero at start; its name ends in `_total`.
    Counter,
    /// Up and down.
    Gauge,
}

impl Kind {
    /// The exposition's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
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
    /// 1 or 0: it is so, or it is not.
    Flag,
}

impl Unit {
    /// The word that the name must carry.
    pub const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
            Self::Count | Self::Flag => None,
        }
    }
}

/// What a label may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// These, all there from the start: the first one to happen is a step from zero that `rate` sees.
    Closed(&'static [&'static str]),
    /// These; the first is there from the start, another from the first time it happens (many never do).
    ClosedOnDemand(&'static [&'static str]),
    /// 0, 1, 2 …, as many as were given at start, and at most that many.
    Numbered {
        /// The bound.
        max: usize,
    },
    /// One, set at start.
    Fixed,
}

/// One label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
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
    /// For people, one sentence.
    pub help: &'static str,
    /// In this order.
    pub labels: &'static [Label],
}

/// The word for what is not in a label's set.
pub const OTHER: &str = "other";
/// Kinds of connections.
pub const TRANSPORTS: &[&str] = &["websocket", "grpc", "http", OTHER];
/// Bounded logs and buffers that let go of their oldest entry.
pub const BUFFERS: &[&str] = &["held", "history", "replies", OTHER];
/// What became of resumes.
pub const RESUMES: &[&str] = &["recovered", "snapshot"];
/// Where keys come from.
pub const KEY_SOURCES: &[&str] = &["jwks", "oidc", OTHER];
/// How a thing ended that has no code.
pub const RESULTS: &[&str] = &["ok", "error"];
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
    OTHER,
];
/// The kinds of signals.
pub const OPS: &[&str] = &op_names();
/// The code table's names: reasons of refusals and closes.
pub const CODES: &[&str] = &code_names();
/// `ok`, then the code table's names.
pub const OUTCOMES: &[&str] = &outcome_names();
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

const fn outcome_names() -> [&'static str; Code::ALL.len() + 1] {
    let mut names = ["ok"; Code::ALL.len() + 1];
    let mut at = 1;
    while at < names.len() {
        names[at] = Code::ALL[at - 1].name();
        at += 1;
    }
    names
}

const fn closed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::Closed(values) }
}

const REASON: Label = closed("reason", CODES);
const SHARD: Label = Label { name: "shard", values: Values::Numbered { max: SHARDS_MAX } };

macro_rules! catalog {
    ($($constant:ident $name:literal $kind:ident $unit:ident [$($label:expr),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric =
                Metric { name: $name, kind: Kind::$kind, unit: Unit::$unit, help: $help, labels: &[$($label),*] };
        )*

        /// Every metric, in the order of this file.
        pub const ALL: &[Metric] = &[$($constant,)*];
    };
}

catalog! {
    SIGNALS "signalbox_signals_total" Counter Count
        [closed("op", OPS), Label { name: "outcome", values: Values::ClosedOnDemand(OUTCOMES) }]
        "Signals handled, by kind and by ok or the code they were refused with.";
    DELIVERIES "signalbox_deliveries_total" Counter Count []
        "Pushes handed to sockets.";
    SESSIONS "signalbox_sessions" Gauge Count []
        "Sessions now, lingering ones included.";
    ROOMS "signalbox_rooms" Gauge Count []
        "Rooms now, empty ones that have not ended included.";
    PARTICIPANTS "signalbox_participants" Gauge Count []
        "Participants of all rooms now, lingering and hidden ones included.";
    SESSIONS_OPENED "signalbox_sessions_opened_total" Counter Count []
        "Sessions that began with a join.";
    SESSIONS_CLOSED "signalbox_sessions_closed_total" Counter Count [REASON]
        "Sessions that ended for good.";
    SESSIONS_DROPPED "signalbox_sessions_dropped_total" Counter Count [REASON]
        "Sessions that lost their connection and lingered.";
    RESUMES_DONE "signalbox_resumes_total" Counter Count [closed("result", RESUMES)]
        "Sessions that came back: all that was missed was given, or a snapshot had to do.";
    CONNECTIONS "signalbox_connections_total" Counter Count [closed("transport", TRANSPORTS)]
        "Connections accepted.";
    CONNECTIONS_CLOSED "signalbox_connections_closed_total" Counter Count
        [closed("transport", TRANSPORTS), REASON]
        "Connections that ended.";
    SHEDS "signalbox_sheds_total" Counter Count [REASON]
        "Connections and requests refused before they reached a room.";
    PUSHES_DISCARDED "signalbox_pushes_discarded_total" Counter Count [closed("buffer", BUFFERS)]
        "Entries that a full log or buffer let go of.";
    ROOMS_CREATED "signalbox_rooms_created_total" Counter Count []
        "Rooms that came to be.";
    ROOMS_CLOSED "signalbox_rooms_closed_total" Counter Count [REASON]
        "Rooms that ended.";
    ADMIN "signalbox_admin_calls_total" Counter Count [closed("call", ADMIN_CALLS), closed("outcome", RESULTS)]
        "Calls of the admin API that change something.";
    DRAIN "signalbox_drain_phase" Gauge Flag [closed("phase", PHASES)]
        "1 for the phase of the drain that the router is in.";
    KEYS_REFRESHED "signalbox_keys_refreshed_total" Counter Count
        [closed("source", KEY_SOURCES), closed("result", RESULTS)]
        "Fetches of verification keys.";
    INTROSPECTION_FAILURES "signalbox_introspection_failures_total" Counter Count []
        "Tokens that could not be introspected for want of the endpoint.";
    CERTIFICATES_RELOADED "signalbox_certificates_reloaded_total" Counter Count [closed("result", RESULTS)]
        "Changed certificate files taken up, or not.";
    SHARD_INBOX_DEPTH "signalbox_shard_inbox_depth" Gauge Count [SHARD]
        "Inputs that wait for a shard.";
    SHARD_INBOX_BOUND "signalbox_shard_inbox_bound" Gauge Count [SHARD]
        "Inputs that may wait for a shard.";
    BUILD_INFO "signalbox_build_info" Gauge Flag [Label { name: "version", values: Values::Fixed }]
        "Always 1; the labels say what runs.";
    PROCESS_CPU "process_cpu_seconds_total" Counter Seconds []
        "CPU time spent, user and system.";
    PROCESS_RESIDENT "process_resident_memory_bytes" Gauge Bytes []
        "Resident memory.";
    PROCESS_OPEN_FDS "process_open_fds" Gauge Count []
        "Open file descriptors.";
    PROCESS_MAX_FDS "process_max_fds" Gauge Count []
        "File descriptors that may be open.";
    PROCESS_START "process_start_time_seconds" Gauge Seconds []
        "When the process started, Unix time.";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_name(name: &str) -> bool {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    }

    #[test]
    fn names_are_unique_valid_and_carry_their_kind_and_unit() {
        for (at, metric) in ALL.iter().enumerate() {
            let Metric { name, kind, unit, .. } = metric;
            assert!(ALL[at + 1..].iter().all(|other| other.name != *name), "{name} twice");
            assert!(is_name(name) && !name.contains("__"), "{name}");
            assert!(name.starts_with("signalbox_") || name.starts_with("process_"), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            let stem = name.strip_suffix("_total").unwrap_or(name);
            assert!(unit.suffix().is_none_or(|suffix| stem.ends_with(suffix)), "{name}");
            assert!(["_ms", "_milliseconds", "_sum", "_count", "_bucket"].iter().all(|bad| !stem.ends_with(bad)));
        }
    }

    #[test]
    fn every_help_is_one_sentence() {
        for metric in ALL {
            assert!(metric.help.len() > 10 && metric.help.ends_with('.') && !metric.help.contains('\n'), "{metric:?}");
        }
    }

    #[test]
    fn label_names_are_valid_and_their_sets_bounded_and_without_doubles() {
        for label in ALL.iter().flat_map(|metric| metric.labels) {
            assert!(is_name(label.name) && !["le", "quantile", "job", "instance"].contains(&label.name));
            assert!(!["room", "session", "identity", "user", "key"].contains(&label.name), "{label:?}");
            let (Values::Closed(values) | Values::ClosedOnDemand(values)) = label.values else { continue };
            assert!(!values.is_empty() && values.len() <= 100);
            for (at, value) in values.iter().enumerate() {
                assert!(is_name(value), "{value}");
                assert!(!values[at + 1..].contains(value), "{value} twice");
            }
        }
    }

    #[test]
    fn a_code_and_an_op_stand_at_their_own_place_in_their_sets() {
        for code in Code::ALL {
            assert_eq!(CODES[*code as usize], code.name());
            assert_eq!(OUTCOMES[*code as usize + 1], code.name());
        }
        for op in OpKind::ALL {
            assert_eq!(OPS[op as usize], op.name());
        }
        assert_eq!(OUTCOMES[0], "ok");
    }
}
