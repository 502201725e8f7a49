//! What of a room is kept outside of its router, so that another one can go on with it.
//!
//! Values only: the room and its sessions as records, its events as entries of a log, and what is asked of whoever keeps them.
//!
//! ```text
//! Claim -> Claimed(fence) -> Write* -> Released | End          a write under an older fence is refused: Fenced
//!                                   \-> (router lost) -> Taken by another, under the next fence
//! two routers went on with one room -> Leave: the branch of the one is put beside the room -> Look: the other has it, and merges it
//! ```

mod branch;
mod entry;
pub mod keeper;
pub mod memory;
mod parts;
mod records;

use bytes::Bytes;

pub use self::{
    branch::{BRANCH_PREFIX, BRANCHES_MAX, BranchKept},
    entry::{AudienceKept, EntryFound, EntryKept, EntryToKeep, SaidKept, SaidToKeep, To},
    parts::{Named, Placed},
    records::{EdgeKept, FORMAT, HeldKept, MemberKept, MergeKept, RoomKept, SessionKept, StretchKept, Unreadable},
};
use crate::{event::FabricOutcome, ids::Epoch};

/// The field of a room's own record,
pub const ROOM_FIELD: &str = "f";
/// of the offset of its latest event,
pub const TIP_FIELD: &str = "t";
/// and what those of its members begin with, before the participant's id.
pub const MEMBER_PREFIX: &str = "m:";

/// How far apart a router's numbers and the fences are that come of them; those of others, which begin at another microsecond, are not so
/// near.
const OF_ITS_OWN: u64 = 4_096;

/// Where a router numbers its calls from, which is told a fence. A room that it makes bears the number of the call as its fence: so it is
/// none that the room bore before, when it was lost meanwhile.
pub const fn numbers_from(seq: u64, fence: u64) -> u64 {
    if fence > seq && fence - seq <= OF_ITS_OWN { fence } else { seq }
}

/// What taking a room brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing was kept of it. It is this router's from now on.
    Nothing {
        /// Under which this router writes it.
        fence: u64,
    },
    /// It was kept, and is this router's from now on.
    Kept(Kept),
    /// Another router has it and has not released it. Nothing was changed.
    Held {
        /// Who has it, as it named itself.
        owner: String,
    },
}

/// A room as it was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Under which this router writes it from now on.
    pub fence: u64,
    /// Of the write of this router's that stands; 1: none does, but another router's.
    pub edition: u64,
    /// Names and contents, in no order. None: whoever had it lost it, and ended before it had written it anew.
    pub fields: Vec<(String, Bytes)>,
    /// Offsets, which go up, and what stands there.
    pub entries: Vec<(u64, Bytes)>,
    /// What routers that the room was taken from had of it beyond what is here, by name; see [`BranchKept`].
    pub branches: Vec<(String, Bytes)>,
}

impl Kept {
    /// Whether there is anything of the room in it.
    pub fn has_room(&self) -> bool {
        !self.fields.is_empty() || !self.branches.is_empty()
    }
}

/// Changes of a room that are written together: all of them or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// That the room was taken under.
    pub fence: u64,
    /// Which write of its router it is: the number goes up from one to the next, and stays below 2^53.
    pub edition: u64,
    /// The latest that this router was told to stand: where what is kept is older than that, it has lost something. 0: none.
    pub after: u64,
    /// Where a later write of this router's stands, this one changes nothing, and counts as written: it may have come before.
    pub unless_later: bool,
    /// What was kept of the room goes first: what is set here is all of it.
    pub reset: bool,
    /// Whoever wants the room next may have it. Stays so until somebody takes it.
    pub released: bool,
    /// Entries before that offset go; 0: none do.
    pub trim_below: u64,
    /// Fields by name, as they are now. No name is `owner`, `fence`, `seq`, `edition`, `released`, `branches` or `last`.
    pub set: Vec<(String, Bytes)>,
    /// Fields that are there no more; also branches, which are in this room from now on.
    pub delete: Vec<String>,
    /// Entries by offset, which goes up from 1 and stays below 2^53. One that was written before, or is not after the
    /// newest that was, is passed over: a write may come twice.
    pub entries: Vec<(u64, Bytes)>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It stands.
    Written,
    /// It stands, and branches of the room lie beside it.
    Branched,
    /// Nothing was kept of the room any more, or not all that this router had written, as of a replica that took its master's
    /// place: it is to be written anew as a whole, with [`Write::reset`]. What stands there until then is as it was found, and who
    /// has it. At its end: there was nothing to end.
    Missing,
    /// Another router has taken the room. Nothing was changed.
    Fenced {
        /// Who has it; this router itself, when it has taken the room again since, or another process has its name.
        owner: String,
    },
}

impl Written {
    /// Whether it stands.
    pub const fn stands(&self) -> bool {
        matches!(self, Self::Written | Self::Branched)
    }
}

/// Why a call brought nothing. Whether it was carried out is not known after all of them but [`FabricOutcome::Full`] and
/// [`FabricOutcome::Resting`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind.
    pub outcome: FabricOutcome,
    /// For a log: nothing of what was written.
    pub why: String,
}

/// What a router asks of whoever keeps its rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The room is here; it should be kept.
    Claim,
    /// What changed. One at a time is under way of a room.
    Write(Box<Write>),
    /// The last that this router writes of it; nobody waits for an answer.
    Part(Last),
    /// The same, and the room goes on here until it stands.
    Leave(Last),
    /// What lies beside the room: a claim of one that is this router's already.
    Look,
    /// The room ended; nobody waits for an answer.
    End {
        /// Under which it was this router's.
        fence: u64,
    },
}

/// All that a router has of a room that it does not go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// To be written as the room itself, if it is still this router's.
    pub write: Box<Write>,
    /// It was this router's, as far as is known; else this is put beside the room at once.
    pub owned: bool,
    /// The life that it is of.
    pub epoch: Epoch,
}

/// Where the last of a room went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It is the room.
    Written,
    /// It lies beside the room, which another router has, as a branch of it.
    Beside,
}

/// What came of an [`Ask`] whose answer is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is this router's under that fence, the one of before or another; what was kept of it may be of another life.
    Claimed(Box<Kept>),
    /// Of the write.
    Written(Written),
    /// Of an [`Ask::Leave`].
    Left(Left),
    /// Another router has it, and did not let go of it.
    Held {
        /// Which.
        owner: String,
    },
    /// There was no answer, or an error.
    Failed,
}
