//! What happens between this router and the directory that its fleet agrees on.

use std::time::Duration;

use crate::ids::{RoomId, RouterId};

/// A call to etcd, by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DirectoryOp {
    /// A lease, for what this router registers.
    Grant,
    /// The lease, kept.
    Refresh,
    /// This router's record, written.
    Put,
    /// A media node's record, written if nobody else was first.
    Claim,
    /// A record of a media node or a room, taken away.
    Release,
    /// The rules of the fleet, written or taken away if they still are what the operator saw.
    Rules,
    /// All records, read.
    List,
    /// Changes of records, from a revision on.
    Watch,
    /// The lease, given back with all that stands under it.
    Revoke,
    /// A room's record, written if no other router's stands there.
    Hold,
    /// A room's record, read.
    Look,
    /// What stands under this router's lease, read.
    Under,
}

impl DirectoryOp {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Grant,
        Self::Refresh,
        Self::Put,
        Self::Claim,
        Self::Release,
        Self::Rules,
        Self::List,
        Self::Watch,
        Self::Revoke,
        Self::Hold,
        Self::Look,
        Self::Under,
    ];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Refresh => "refresh",
            Self::Put => "put",
            Self::Claim => "claim",
            Self::Release => "release",
            Self::Rules => "rules",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Revoke => "revoke",
            Self::Hold => "hold",
            Self::Look => "look",
            Self::Under => "under",
        }
    }
}

/// How a call to etcd ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DirectoryOutcome {
    /// Done.
    Done,
    /// No answer within `etcd.timeout_ms`.
    Late,
    /// There is no way to it: refused, reset, a certificate that is not believed.
    Unreachable,
    /// It does not let this router do that: name, password, permission.
    Denied,
    /// The lease is not there any more.
    Gone,
    /// It answered with another error.
    Failed,
}

impl DirectoryOutcome {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Done, Self::Late, Self::Unreachable, Self::Denied, Self::Gone, Self::Failed];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Late => "late",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::Failed => "failed",
        }
    }
}

/// Why all records were read. A closed set: the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReadReason {
    /// The router has just started.
    Start,
    /// etcd has forgotten the revision that the watch was at.
    Compacted,
    /// etcd is at an older revision than it was: it was restored, or made anew.
    Rewound,
    /// There were more records than are kept, and one of those that are kept has gone.
    Overfull,
}

impl ReadReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Start, Self::Compacted, Self::Rewound, Self::Overfull];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Compacted => "compacted",
            Self::Rewound => "rewound",
            Self::Overfull => "overfull",
        }
    }
}

/// What was found when somebody wanted into a room. A closed set: the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HomeFound {
    /// It is here.
    Here,
    /// Another router has it: the client is sent there.
    Elsewhere,
    /// No router has it.
    Nowhere,
    /// etcd was not well, or did not answer in time: the router went by what it has.
    Unknown,
}

impl HomeFound {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Here, Self::Elsewhere, Self::Nowhere, Self::Unknown];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Elsewhere => "elsewhere",
            Self::Nowhere => "nowhere",
            Self::Unknown => "unknown",
        }
    }
}

/// A fact about the directory, as this router sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum DirectoryFact {
    /// A call ended. Each ends once.
    CallEnded {
        /// Which.
        op: DirectoryOp,
        /// How.
        outcome: DirectoryOutcome,
        /// From when it was to be made, until then.
        took: Duration,
        /// What was in the way, in this router's words and etcd's; empty when it was done.
        why: String,
    },
    /// This router's record stands, under a lease that it did not stand under before.
    Registered {
        /// The lease, as etcd numbers it.
        lease: i64,
        /// The revision that the record came with.
        revision: i64,
    },
    /// The lease ended, and with it this router's record: another one is asked for.
    LeaseLost {
        /// The lease.
        lease: i64,
    },
    /// This router gave its lease back: it is about to end.
    Left,
    /// All records of a part were read.
    Read {
        /// Of which part: `routers`, `media`, `rules`.
        part: &'static str,
        /// Why.
        reason: ReadReason,
        /// As of that revision.
        revision: i64,
        /// How many.
        records: usize,
    },
    /// Changes are told from now on.
    WatchStands {
        /// Of which part.
        part: &'static str,
        /// After that revision.
        revision: i64,
    },
    /// They are not told any more; they will be asked for from the same revision.
    WatchLost {
        /// Of which part.
        part: &'static str,
        /// What happened.
        why: String,
    },
    /// A router became known, or one that was known was started anew.
    RouterSeen {
        /// Which.
        router: RouterId,
        /// Where it is.
        region: String,
        /// Its program's version.
        build: String,
    },
    /// Another router that runs wrote its record over this one's: both have the same `server.id`.
    IdTaken {
        /// The id.
        router: RouterId,
        /// Where operators reach the other; may be empty.
        ops_url: String,
        /// When the other was started, seconds since the Unix epoch.
        started_unix: u64,
    },
    /// A router says that it is about to end.
    RouterDraining {
        /// Which.
        router: RouterId,
    },
    /// Nobody listens where a router should: its rooms can be taken over, until it is heard of again.
    RouterRefused {
        /// Which.
        router: RouterId,
    },
    /// A router is not registered any more.
    RouterGone {
        /// Which.
        router: RouterId,
    },
    /// Which part of the fleet's limits this router allows is not kept over a restart, or was not read.
    ShareNotKept {
        /// `read`, `write`.
        doing: &'static str,
        /// Why not.
        why: String,
    },
    /// Somebody wanted into a room, and it was found which router has it.
    RoomSought {
        /// What was found.
        found: HomeFound,
    },
    /// A room was had by a router that is about to end, is silent or takes no connection; this one has it now.
    RoomTakenOver {
        /// The room.
        room: RoomId,
        /// Who had it.
        router: RouterId,
    },
    /// A room that was here is another router's: who was in it is sent there.
    RoomGivenUp {
        /// The room.
        room: RoomId,
        /// Who has it.
        router: RouterId,
    },
    /// This router's rooms and their records were not the same in two looks in a row: what is missing is written again, and what is too
    /// many taken away.
    RoomsDiffer {
        /// Rooms whose records do not stand, though etcd had said so.
        here: usize,
        /// Records under this router's lease of rooms that it does not have.
        there: usize,
        /// Some of the first,
        named_here: Vec<RoomId>,
        /// and of the second.
        named_there: Vec<RoomId>,
    },
    /// This router has so many rooms that they are not held against their records.
    RoomsNotCompared {
        /// How many.
        rooms: usize,
        /// How many bytes their keys may be.
        limit: usize,
    },
    /// A record cannot be read; it is left alone. Told once, until it can be read or is gone.
    RecordUnreadable {
        /// Its key, after the prefix.
        key: String,
        /// Why; nothing that stands in it.
        why: String,
    },
    /// There are more records than are kept: those that come last in the order of their keys are not seen.
    Overfull {
        /// How many are kept.
        limit: usize,
    },
    /// An operator wrote the rules of the fleet through this router, or took them away.
    RulesWritten {
        /// The revision that it came with.
        revision: i64,
        /// How long they are; absent: there are none any more.
        bytes: Option<usize>,
    },
}
