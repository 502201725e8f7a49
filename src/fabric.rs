//! What of a room is kept outside of its router, so that another one can go on with it.
//!
//! Values only: the room and its sessions as records, its events as entries of a log, and what is asked of whoever keeps them.
//!
//! ```text
//! Claim -> Claimed(fence) -> Write* -> Released | End          a write under an older fence is refused: Fenced
//!                                   \-> (router lost) -> Taken by another, under the next fence
//! ```

mod entry;
#[cfg(test)]
pub(crate) mod memory;
mod records;

use bytes::Bytes;

pub use self::{
    entry::{AudienceKept, EntryKept, SaidKept, To},
    records::{EdgeKept, FORMAT, HeldKept, MemberKept, RoomKept, SessionKept, Unreadable},
};

/// The field of a room's own record,
pub const ROOM_FIELD: &str = "f";
/// of the offset of its latest event,
pub const TIP_FIELD: &str = "t";
/// and what those of its members begin with, before the participant's id.
pub const MEMBER_PREFIX: &str = "m:";

/// What came of taking a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing is kept of it; what this router writes is kept under that fence.
    Nothing {
        /// The fence.
        fence: u64,
    },
    /// It is this router's now.
    Kept(Kept),
    /// It is another router's, which has not let go of it.
    Held {
        /// Whose.
        owner: String,
    },
}

/// A room as it was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Numbers who has it: a write under an older one is refused.
    pub fence: u64,
    /// Its records, by field.
    pub fields: Vec<(String, Bytes)>,
    /// Its log, by offset.
    pub entries: Vec<(u64, Bytes)>,
}

/// What changes of a room that is kept, all of it at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// Under which it is this router's.
    pub fence: u64,
    /// All that was kept before is let go of first.
    pub reset: bool,
    /// Another router may take it from here on.
    pub released: bool,
    /// Entries below this offset are let go of.
    pub trim_below: u64,
    /// Records that are to stand.
    pub set: Vec<(String, Bytes)>,
    /// Records that are not to stand any more.
    pub delete: Vec<String>,
    /// Entries behind those that are there; one that is there already stays as it is.
    pub entries: Vec<(u64, Bytes)>,
}

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It stands.
    Written,
    /// Nothing was kept of the room any more, and nothing was written: all of it has to be.
    Missing,
    /// The room is another router's, and nothing was written.
    Fenced {
        /// Whose.
        owner: String,
    },
}

/// What a router asks of whoever keeps its rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The room is here; it should be kept.
    Claim,
    /// What changed. One at a time is under way of a room.
    Write(Box<Write>),
    /// The last that this router writes of it; nobody waits for an answer.
    Part(Box<Write>),
    /// The room ended; nobody waits for an answer.
    End {
        /// Under which it was this router's.
        fence: u64,
    },
}

/// What came of an [`Ask::Claim`] or an [`Ask::Write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is this router's under that fence; what was kept of it is not.
    Claimed {
        /// The fence.
        fence: u64,
    },
    /// Of the write.
    Written(Written),
    /// Another router has it, and did not let go of it.
    Held {
        /// Which.
        owner: String,
    },
    /// There was no answer, or an error.
    Failed,
}
