//! What happens between this router and the Redis that keeps its rooms.

use std::time::Duration;

/// A call to Redis, by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FabricCall {
    /// A room, taken.
    Take,
    /// Changes of a room, written.
    Write,
    /// A branch, put beside a room.
    Beside,
    /// A room, ended.
    End,
    /// Whether it answers.
    Ping,
    /// Which servers are masters, asked of Sentinels or of a Cluster.
    Find,
}

impl FabricCall {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Take, Self::Write, Self::Beside, Self::End, Self::Ping, Self::Find];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Take => "take",
            Self::Write => "write",
            Self::Beside => "beside",
            Self::End => "end",
            Self::Ping => "ping",
            Self::Find => "find",
        }
    }
}

/// How a call to Redis ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FabricOutcome {
    /// Done.
    Done,
    /// Another router has the room, and has not released it.
    Held,
    /// Another router has taken the room.
    Fenced,
    /// Nothing was kept of the room any more.
    Missing,
    /// No answer within `redis.timeout_ms`.
    Late,
    /// There is no way to it: refused, reset, a certificate that is not believed.
    Unreachable,
    /// Not tried: there was no way to it a moment ago.
    Resting,
    /// Not tried: `redis.calls_max` calls are under way.
    Full,
    /// It does not let this router do that: name, password, permission.
    Denied,
    /// It is no master, or not any more.
    ReadOnly,
    /// Not just now: it loads, moves keys, or its Cluster has lost a master.
    Busy,
    /// It answered with another error.
    Failed,
}

impl FabricOutcome {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Done,
        Self::Held,
        Self::Fenced,
        Self::Missing,
        Self::Late,
        Self::Unreachable,
        Self::Resting,
        Self::Full,
        Self::Denied,
        Self::ReadOnly,
        Self::Busy,
        Self::Failed,
    ];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Held => "held",
            Self::Fenced => "fenced",
            Self::Missing => "missing",
            Self::Late => "late",
            Self::Unreachable => "unreachable",
            Self::Resting => "resting",
            Self::Full => "full",
            Self::Denied => "denied",
            Self::ReadOnly => "read_only",
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }

    /// Whether Redis did what it was asked, or said who has the room instead.
    pub const fn is_answer(self) -> bool {
        match self {
            Self::Done | Self::Held | Self::Fenced | Self::Missing => true,
            Self::Late
            | Self::Unreachable
            | Self::Resting
            | Self::Full
            | Self::Denied
            | Self::ReadOnly
            | Self::Busy
            | Self::Failed => false,
        }
    }
}

/// Why there is no connection. A closed set: the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FabricLoss {
    /// None was made within `redis.timeout_ms`.
    Late,
    /// None could be made: refused, no route, a certificate that is not believed.
    Unreachable,
    /// Name or password are wrong.
    Denied,
    /// It is no master.
    ReadOnly,
    /// It answered with another error.
    Failed,
    /// One that stood was closed, or broke.
    Closed,
    /// One that stood told nothing any more for as long as a call may take.
    Silent,
    /// One that stood led to a server that is no master any more.
    Demoted,
}

impl FabricLoss {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Late,
        Self::Unreachable,
        Self::Denied,
        Self::ReadOnly,
        Self::Failed,
        Self::Closed,
        Self::Silent,
        Self::Demoted,
    ];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::ReadOnly => "read_only",
            Self::Failed => "failed",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Demoted => "demoted",
        }
    }
}

/// A fact about the Redis that keeps this router's rooms.
#[derive(Clone, Debug, PartialEq)]
pub enum FabricFact {
    /// A call ended. Each ends once.
    Called {
        /// Which.
        call: FabricCall,
        /// How.
        outcome: FabricOutcome,
        /// From when it was asked for, until then.
        took: Duration,
        /// What was in the way; empty when Redis answered.
        why: String,
    },
    /// A connection stands.
    Connected {
        /// Where to, as host and port.
        address: String,
    },
    /// There is one connection less, or could not be one more.
    Unconnected {
        /// Where to.
        address: String,
        /// The kind.
        loss: FabricLoss,
        /// What happened, in this router's words and those of the other side.
        why: String,
    },
    /// Other servers than before are masters.
    MastersFound {
        /// Where they are, in order; no more than are told in a line.
        addresses: Vec<String>,
        /// How many they are.
        count: usize,
    },
}
