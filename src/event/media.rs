//! What happens between this router and media nodes.

use std::time::Duration;

use super::{BreakerReason, BreakerState};
use crate::ids::NodeId;

/// A call to a media node, by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MediaOp {
    /// A participant, and what it may do.
    PutParticipant,
    /// It is gone.
    EndParticipant,
    /// What it may do from now on.
    SetPermissions,
    /// A track.
    PutTrack,
    /// It is gone.
    EndTrack,
    /// Whether it is muted.
    MuteTrack,
    /// Who wants which tracks.
    Subscribe,
    /// A participant's offer.
    Offer,
    /// Its answer to the node's offer.
    Answer,
    /// Its candidate.
    Candidate,
    /// The room is gone.
    EndRoom,
    /// Whether it is well: asked while its breaker is open.
    Health,
}

impl MediaOp {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::PutParticipant,
        Self::EndParticipant,
        Self::SetPermissions,
        Self::PutTrack,
        Self::EndTrack,
        Self::MuteTrack,
        Self::Subscribe,
        Self::Offer,
        Self::Answer,
        Self::Candidate,
        Self::EndRoom,
        Self::Health,
    ];

    /// Takes work off the node.
    pub const fn is_relief(self) -> bool {
        matches!(self, Self::EndParticipant | Self::EndTrack | Self::EndRoom)
    }

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PutParticipant => "put_participant",
            Self::EndParticipant => "end_participant",
            Self::SetPermissions => "set_permissions",
            Self::PutTrack => "put_track",
            Self::EndTrack => "end_track",
            Self::MuteTrack => "mute_track",
            Self::Subscribe => "subscribe",
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::Candidate => "candidate",
            Self::EndRoom => "end_room",
            Self::Health => "health",
        }
    }
}

/// How a call to a media node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Called {
    /// Done.
    Done,
    /// The node refused it.
    Refused,
    /// The node did not answer in time.
    Late,
    /// The node could not be reached, or answered what is no answer.
    Failed,
    /// It was not sent: its time had passed while it waited for its turn.
    Expired,
    /// It was not sent: the node is not connected, or its breaker is open.
    Unsent,
    /// It was not sent: as many wait as may.
    Full,
}

impl Called {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Done, Self::Refused, Self::Late, Self::Failed, Self::Expired, Self::Unsent, Self::Full];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Refused => "refused",
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Unsent => "unsent",
            Self::Full => "full",
        }
    }
}

/// Why a node, or something that it said, is not taken. A closed set: the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NodeRefusal {
    /// A field of the registration cannot be used.
    Invalid,
    /// Its certificate does not name the id.
    Certificate,
    /// Another node, which is alive, has the id.
    Taken,
    /// There are as many nodes as may be.
    Full,
    /// It comes and goes too often.
    Flapping,
    /// What answers at its address says that it is another node.
    Stranger,
    /// It speaks something else than the contract.
    Garbage,
}

impl NodeRefusal {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Invalid, Self::Certificate, Self::Taken, Self::Full, Self::Flapping, Self::Stranger, Self::Garbage];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Certificate => "certificate",
            Self::Taken => "taken",
            Self::Full => "full",
            Self::Flapping => "flapping",
            Self::Stranger => "stranger",
            Self::Garbage => "garbage",
        }
    }
}

/// A fact about a media node, as this router's side of the wire sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaFact {
    /// A node became known: it registered, or the configuration has it.
    Known {
        /// Which.
        node: NodeId,
        /// Where it is.
        region: String,
        /// Whom it serves.
        variant: String,
        /// Where it is called.
        control_url: String,
        /// `registration`, `configuration`, `fleet`.
        by: &'static str,
    },
    /// A node that was known said something else of itself, or was started anew.
    Changed {
        /// Which.
        node: NodeId,
    },
    /// A node said again that it is there.
    Renewed {
        /// Which.
        node: NodeId,
    },
    /// A node said that it is about to go: no new rooms for it.
    Leaving {
        /// Which.
        node: NodeId,
    },
    /// A node is not known any more.
    Gone {
        /// Which.
        node: NodeId,
        /// `silent`, `left`, `configuration`.
        why: &'static str,
    },
    /// A node, or something that it said, was not taken.
    Refused {
        /// Which, as it calls itself; nothing that could not be an id.
        node: Option<NodeId>,
        /// Why, as a word.
        reason: NodeRefusal,
        /// Why, for people; nothing that the node wrote is in it.
        why: String,
    },
    /// The stream to a node stands, and what answers is that node.
    StreamUp {
        /// Which.
        node: NodeId,
        /// Its software and version, cut to what a line can hold.
        version: String,
    },
    /// It does not stand any more, or could not be made.
    StreamDown {
        /// Which.
        node: NodeId,
        /// In this router's words.
        why: String,
    },
    /// A probe came back.
    Measured {
        /// Whose.
        node: NodeId,
        /// After that long.
        rtt: Duration,
    },
    /// A report came: how far the node's clock is ahead of this router's, in seconds.
    Skewed {
        /// Whose.
        node: NodeId,
        /// Half a round trip is taken off; negative: behind.
        seconds: f64,
    },
    /// A call ended. Each ends once.
    CallEnded {
        /// Whose.
        node: NodeId,
        /// Which.
        op: MediaOp,
        /// How.
        outcome: Called,
        /// From when the router's core asked for it, until then.
        took: Duration,
    },
    /// A node's breaker changed.
    BreakerChanged {
        /// Whose.
        node: NodeId,
        /// What it did with calls.
        from: BreakerState,
        /// What it does now.
        to: BreakerState,
        /// Why.
        reason: BreakerReason,
        /// When open: for how long.
        open_for: Duration,
    },
    /// Something that a node had for a participant was not handed on.
    PushDropped {
        /// Whose.
        node: NodeId,
        /// In this router's words.
        why: String,
    },
}
