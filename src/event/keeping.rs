//! What happens to rooms that are kept outside of their router.

use std::time::Duration;

use super::Labels;
use crate::ids::{Epoch, Offset, RoomId};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepingFact {
    /// What changed of a room stands: so long after the first of the changes.
    RoomWritten {
        /// Since the first of them.
        behind: Duration,
    },
    /// Nothing of the room, or less than was acknowledged, was kept any more: it is written anew as a whole.
    RoomWrittenAnew {
        /// The room.
        room: RoomId,
    },
    /// Another router has the room: what happens here is not kept.
    RoomHeld {
        /// The room.
        room: RoomId,
        /// Which router.
        owner: String,
    },
    /// A room of another router's, or of an earlier life of this one, goes on here.
    RoomRestored {
        /// The room.
        room: RoomId,
        /// Sessions that may be resumed.
        sessions: usize,
        /// Events that came with it.
        entries: usize,
    },
    /// Somebody came back to a session that was restored; what it is to telemetry is known only now.
    SessionReturned {
        /// What its connection says of the client.
        labels: Labels,
    },
    /// A change of a room that is acknowledged once it is kept was so, or was not.
    AnswerEnded {
        /// How.
        outcome: AnswerOutcome,
    },
    /// A room that was kept does not go on here.
    RoomNotRestored {
        /// The room.
        room: RoomId,
        /// Why.
        why: String,
    },
    /// The last that this router knew of a room did not reach whoever keeps it: the room goes on as it was written before.
    RoomNotHandedOver {
        /// The room.
        room: RoomId,
    },
    /// Another router went on with the room: all that was known of it here lies beside it there, and the room is here no more.
    RoomSetBeside {
        /// The room.
        room: RoomId,
        /// Sessions that were sent there.
        sessions: usize,
    },
    /// What another router had of a room that it and this one went on with came into it.
    RoomMerged {
        /// The room.
        room: RoomId,
        /// The life of it that the other router had.
        epoch: Epoch,
        /// The last event of that.
        last: Offset,
        /// Behind which event of this router's,
        after: Offset,
        /// how many came with it,
        events: usize,
        /// those that its history had let go of,
        missing: usize,
        /// sessions that may be resumed,
        sessions: usize,
        /// and those for which there was no place.
        left_out: usize,
    },
    /// What another router had of a room did not come into it.
    RoomNotMerged {
        /// The room.
        room: RoomId,
        /// Why.
        why: String,
    },
    /// The room was written whole for whoever has it next, and is here no more.
    RoomHandedOver {
        /// The room.
        room: RoomId,
        /// Sessions that were sent there.
        sessions: usize,
    },
}

/// What becomes of a room that is kept, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeepingOutcome {
    /// What changed of it stands.
    Written,
    /// Another router keeps it.
    Held,
    /// It goes on here.
    Restored,
    /// It was kept, and does not go on here.
    NotRestored,
    /// It was left to another router, with all that was known.
    HandedOver,
    /// It was left to another router as it was written before.
    NotHandedOver,
    /// It was put beside what another router has of it.
    SetBeside,
    /// What another router had of it came into it,
    Merged,
    /// or did not.
    NotMerged,
    /// What stood of it was lost there, or some of that: it was written anew.
    WrittenAnew,
}

impl KeepingOutcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Written,
        Self::Held,
        Self::Restored,
        Self::NotRestored,
        Self::HandedOver,
        Self::NotHandedOver,
        Self::SetBeside,
        Self::Merged,
        Self::NotMerged,
        Self::WrittenAnew,
    ];

    /// The word for it in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Held => "held",
            Self::Restored => "restored",
            Self::NotRestored => "not_restored",
            Self::HandedOver => "handed_over",
            Self::NotHandedOver => "not_handed_over",
            Self::SetBeside => "set_beside",
            Self::Merged => "merged",
            Self::NotMerged => "not_merged",
            Self::WrittenAnew => "written_anew",
        }
    }
}

/// What becomes of a change of a room that is acknowledged once it is kept, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AnswerOutcome {
    /// It was kept, and then acknowledged.
    Kept,
    /// It was carried out, and its time was over before it was known to be kept.
    Late,
    /// Refused: whoever keeps rooms was away.
    Away,
    /// Refused: another router had the room.
    Elsewhere,
    /// Refused: too many waited.
    Full,
}

impl AnswerOutcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Kept, Self::Late, Self::Away, Self::Elsewhere, Self::Full];

    /// The word for it in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Late => "late",
            Self::Away => "away",
            Self::Elsewhere => "elsewhere",
            Self::Full => "full",
        }
    }
}

impl KeepingFact {
    /// What became of the room, in one word; absent: nothing did.
    pub const fn outcome(&self) -> Option<KeepingOutcome> {
        Some(match self {
            Self::SessionReturned { .. } | Self::AnswerEnded { .. } => return None,
            Self::RoomWritten { .. } => KeepingOutcome::Written,
            Self::RoomHeld { .. } => KeepingOutcome::Held,
            Self::RoomWrittenAnew { .. } => KeepingOutcome::WrittenAnew,
            Self::RoomRestored { .. } => KeepingOutcome::Restored,
            Self::RoomNotRestored { .. } => KeepingOutcome::NotRestored,
            Self::RoomHandedOver { .. } => KeepingOutcome::HandedOver,
            Self::RoomNotHandedOver { .. } => KeepingOutcome::NotHandedOver,
            Self::RoomSetBeside { .. } => KeepingOutcome::SetBeside,
            Self::RoomMerged { .. } => KeepingOutcome::Merged,
            Self::RoomNotMerged { .. } => KeepingOutcome::NotMerged,
        })
    }
}
