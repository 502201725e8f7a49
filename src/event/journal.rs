//! What happens to the journal: writes of rooms that Redis did not take, on this router's disk until it does.

use crate::ids::RoomId;

/// What becomes of a write that Redis did not take, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum JournalOutcome {
    /// It is on the disk.
    Appended,
    /// Redis has it.
    Brought,
    /// Let go of: the disk does not show it any more, or it is the beginning alone of a room that another router has, and the room is here and
    /// writes all of itself; or it has ended.
    Superseded,
    /// It lies beside the room, which another router has taken meanwhile, and comes into it there.
    SetBeside,
    /// Let go of: another router has taken the room meanwhile, and there is no place beside it, or it cannot be read as a whole.
    Fenced,
    /// Let go of: Redis has lost what it was to be added to.
    Missing,
    /// Let go of: it is the beginning of a room, whose router was killed before the rest.
    Incomplete,
    /// Let go of: it cannot be read.
    Unreadable,
    /// Not taken: the journal is full.
    Full,
    /// Not taken: the disk did not do it.
    Failed,
}

impl JournalOutcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Appended,
        Self::Brought,
        Self::Superseded,
        Self::SetBeside,
        Self::Fenced,
        Self::Missing,
        Self::Incomplete,
        Self::Unreadable,
        Self::Full,
        Self::Failed,
    ];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Appended => "appended",
            Self::Brought => "brought",
            Self::Superseded => "superseded",
            Self::SetBeside => "set_beside",
            Self::Fenced => "fenced",
            Self::Missing => "missing",
            Self::Incomplete => "incomplete",
            Self::Unreadable => "unreadable",
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }
}

/// What was to be done with the journal's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum JournalWork {
    /// It was to be opened.
    Open,
    /// Written to.
    Write,
    /// Read.
    Read,
    /// It could not be used, and has another name now.
    SetAside,
}

impl JournalWork {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Write, Self::Read, Self::SetAside];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Write => "write",
            Self::Read => "read",
            Self::SetAside => "set_aside",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalFact {
    /// An earlier process of this router left writes behind.
    Found {
        /// How many,
        writes: usize,
        /// of so many rooms.
        rooms: usize,
    },
    /// Writes of a room ended so.
    Ended {
        /// The room.
        room: RoomId,
        /// How many.
        writes: u64,
        /// How.
        outcome: JournalOutcome,
    },
    /// Something was to be done with the file, and could not be.
    Failed {
        /// What.
        doing: JournalWork,
        /// What was in the way.
        why: String,
    },
}
