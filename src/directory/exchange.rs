//! What goes into the directory and what comes out: calls to etcd with their answers, what streams say, news.

use std::time::Duration;

use super::{
    record::{Load, NodeRecord, RoomRecord, RouterRecord},
    rules::{RulesNews, RulesStanding},
    sharing::Place,
    view::{Change, NodeNews, Stored},
};
use crate::{
    event::{DirectoryFact, DirectoryOp, DirectoryOutcome},
    ids::{RoomId, RouterId},
};

/// What a router knows of itself and of its directory at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All keys begin with it.
    pub prefix: String,
    /// What this router says of itself at first.
    pub own: RouterRecord,
    /// How long a lease lasts that is not refreshed; a watch that is silent for so long counts as dead.
    pub lease: Duration,
    /// Most records of each part that are kept.
    pub records_max: usize,
    /// Whether a room is on one router of the fleet.
    pub one_router_a_room: bool,
    /// How often this router's rooms are held against their records.
    pub compare_every: Duration,
    /// Of the jitter between retries.
    pub seed: u64,
}

/// What happens to it.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// How much the router carries now; written with the next refresh.
    Loaded(Load),
    /// These media nodes, and no others, are registered with this router now; who signs for them is filled in.
    Registered(Vec<NodeRecord>),
    /// Somebody wants into a room: which router has it? Answered once.
    Asked {
        /// Comes back with the answer.
        question: u64,
        /// The room.
        room: RoomId,
        /// Whether it would be made here if no router has it.
        founds: bool,
    },
    /// Nobody listens any more where that router did: its machine says so.
    Refused {
        /// Which.
        router: RouterId,
    },
    /// Rooms that came to be here (true), or ended here, since this was said last.
    Rooms(Vec<(RoomId, bool)>),
    /// How far this router follows the rules of the fleet; others should hear of it now.
    RulesTaken(RulesStanding),
    /// The router is about to end: others should hear of it now.
    Draining,
    /// The router ends: what stands for it goes.
    Leave,
    /// How a call ended, and how long it took. Each call ends once.
    Answered {
        /// Of the call.
        ticket: u64,
        /// From when it was to be made.
        took: Duration,
        /// What etcd said.
        answer: Result<Answer, Fault>,
    },
    /// A stream of changes, which has its call's ticket, said something.
    Heard {
        /// The ticket.
        stream: u64,
        /// What.
        heard: Heard,
    },
}

/// What etcd answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A lease.
    Granted {
        /// Its number.
        lease: i64,
    },
    /// Whether the lease is there.
    Refreshed {
        /// It lasts its whole time from now on; else it is gone.
        alive: bool,
    },
    /// The record was written.
    Written {
        /// Which etcd it is, by the number of its cluster; one that was restored from a copy has another.
        cluster: u64,
        /// The revision that it came with.
        revision: i64,
    },
    /// It was not: what stands there is of another revision than was expected.
    Overtaken,
    /// This stands there; where something was to be written, it was not.
    Held(Stored),
    /// Nothing stands there.
    Nothing,
    /// All records.
    Listed {
        /// Which etcd it is.
        cluster: u64,
        /// As of that revision.
        revision: i64,
        /// In the order of their keys, as many as were asked for.
        records: Vec<Stored>,
        /// There are others.
        more: bool,
    },
    /// The keys that stand under a lease and begin so.
    Under {
        /// What follows, in no order.
        keys: Vec<String>,
    },
    /// The stream stands.
    Watching,
    /// The lease is given back.
    Revoked,
}

/// Why a call was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// As a word; never [`DirectoryOutcome::Done`].
    pub outcome: DirectoryOutcome,
    /// For people; holds no secret.
    pub why: String,
}

/// What a stream of changes says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// These changes, all up to that revision.
    Changed {
        /// The revision.
        revision: i64,
        /// In their order.
        changes: Vec<Change>,
    },
    /// That it is alive.
    Alive,
    /// That its revision is forgotten; it says nothing more.
    Compacted,
    /// It ended.
    Ended {
        /// Why, for people.
        why: String,
    },
}

/// Another router that has a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub router: RouterId,
    /// Where clients reach it.
    pub url: String,
    /// Where other routers reach it that have its clients; empty: nowhere.
    pub relay_url: String,
}

impl From<&RoomRecord> for Holder {
    fn from(record: &RoomRecord) -> Self {
        let RoomRecord { router, url, relay_url, .. } = record;
        Self { router: router.as_str().into(), url: url.clone(), relay_url: relay_url.clone() }
    }
}

/// Which router has a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// This one.
    Here,
    /// Another one.
    There(Holder),
    /// None, or one that cannot be counted on.
    Nowhere,
    /// etcd is not well: this router goes by what it has.
    Unknown,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A call to etcd.
    Call {
        /// Comes back with its answer.
        ticket: u64,
        /// Which.
        call: Call,
    },
    /// A sign of life is asked of a stream.
    Probe {
        /// Its ticket.
        stream: u64,
    },
    /// A stream is of no use any more.
    Close {
        /// Its ticket.
        stream: u64,
    },
    /// Which router has a room that was asked for.
    Home {
        /// Of the asking.
        question: u64,
        /// Which.
        home: Home,
    },
    /// Whether joins into a room go on without asking from now on.
    Kept {
        /// The room.
        room: RoomId,
        /// Whether they do.
        kept: bool,
    },
    /// Another router has a room that is here: it is to end, and who is in it is sent there.
    Lost {
        /// The room.
        room: RoomId,
        /// Who has it.
        router: RouterId,
        /// Where clients reach that one.
        url: String,
    },
    /// A fact.
    Observe(DirectoryFact),
    /// What is heard of a media node.
    Node(NodeNews),
    /// These rules stand there now; absent: none.
    Rules(Option<RulesNews>),
    /// That is this router's place among those that share the fleet's limits from now on.
    Place(Place),
}

/// A call to etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A lease that lasts so long.
    Grant {
        /// How long.
        ttl: Duration,
    },
    /// Keeps a lease.
    Refresh {
        /// Which.
        lease: i64,
    },
    /// Writes a record.
    Put {
        /// Where.
        key: String,
        /// What.
        value: Vec<u8>,
        /// Gone with it.
        lease: i64,
    },
    /// Writes a record, if what stands there is still of that revision.
    Claim {
        /// Where.
        key: String,
        /// What.
        value: Vec<u8>,
        /// Gone with it.
        lease: i64,
        /// 0: nothing stands there.
        expected: i64,
    },
    /// Writes a record, if what stands there is still of that revision, and a notice with it; else reads what stands there.
    Hold {
        /// Where.
        key: String,
        /// What.
        value: Vec<u8>,
        /// Gone with it.
        lease: i64,
        /// 0: nothing stands there.
        expected: i64,
        /// Where the notice goes, and what it says.
        notice: Option<(String, Vec<u8>)>,
    },
    /// Reads a record.
    Look {
        /// Where.
        key: String,
    },
    /// Takes a record away, if it is still of that revision.
    Release {
        /// Where it stands.
        key: String,
        /// The revision.
        expected: i64,
        /// And if this is what it says: an etcd that was made anew counts its revisions anew. Absent: whatever it says.
        says: Option<Vec<u8>>,
    },
    /// Writes the rules of the fleet, or takes them away, if what stands there is still of that revision. Made for an operator,
    /// and not by the directory.
    Rules {
        /// Where.
        key: String,
        /// What; absent: nothing is to stand there.
        text: Option<String>,
        /// 0: nothing stands there.
        expected: i64,
    },
    /// Which keys stand under a lease.
    Under {
        /// Which.
        lease: i64,
        /// How they begin; answers have what follows.
        prefix: String,
    },
    /// All records whose keys begin so.
    List {
        /// How the keys begin; answers have what follows.
        prefix: String,
        /// At most so many.
        limit: usize,
    },
    /// Changes of them.
    Watch {
        /// How the keys begin; changes have what follows.
        prefix: String,
        /// The first revision that is told.
        from: i64,
    },
    /// Gives a lease back.
    Revoke {
        /// Which.
        lease: i64,
    },
}

impl Call {
    /// Its kind.
    pub const fn op(&self) -> DirectoryOp {
        match self {
            Self::Grant { .. } => DirectoryOp::Grant,
            Self::Refresh { .. } => DirectoryOp::Refresh,
            Self::Put { .. } => DirectoryOp::Put,
            Self::Claim { .. } => DirectoryOp::Claim,
            Self::Hold { .. } => DirectoryOp::Hold,
            Self::Look { .. } => DirectoryOp::Look,
            Self::Under { .. } => DirectoryOp::Under,
            Self::Release { .. } => DirectoryOp::Release,
            Self::Rules { .. } => DirectoryOp::Rules,
            Self::List { .. } => DirectoryOp::List,
            Self::Watch { .. } => DirectoryOp::Watch,
            Self::Revoke { .. } => DirectoryOp::Revoke,
        }
    }
}
