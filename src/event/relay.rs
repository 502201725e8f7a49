//! What happens between this router and others of its fleet whose rooms its clients are in, or the other way round.

use std::time::Duration;

use crate::ids::RouterId;

/// Which end of a link this router is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RelaySide {
    /// Clients are connected here; their rooms are at the other end.
    Edge,
    /// Rooms are here; their clients are connected at the other end.
    Host,
}

impl RelaySide {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Edge, Self::Host];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Host => "host",
        }
    }
}

/// Why a link is over, or never stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RelayEnd {
    /// Nobody used it for a while.
    Idle,
    /// The other router ended it, or this one: it goes.
    Closed,
    /// The transport failed.
    Lost,
    /// Signs of life did not come back.
    Silent,
    /// More waited to be sent than may wait.
    Overflowed,
    /// It could not be made: nobody answers at the address, or no certificate is believed.
    Unreachable,
    /// Another router than the one that was meant, another protocol, or one without the fleet's secret.
    Refused,
}

impl RelayEnd {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Idle, Self::Closed, Self::Lost, Self::Silent, Self::Overflowed, Self::Unreachable, Self::Refused];

    /// The word for it in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Closed => "closed",
            Self::Lost => "lost",
            Self::Silent => "silent",
            Self::Overflowed => "overflowed",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }

    /// Whether nothing is amiss.
    pub const fn is_wanted(self) -> bool {
        matches!(self, Self::Idle | Self::Closed)
    }
}

/// What became of a client that wants into a room of another router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RelayOpening {
    /// Its frames go to that router from now on.
    Relayed,
    /// It was sent there: that router takes nobody over links.
    NoAddress,
    /// It was sent there: there is no link, and none could be made.
    Unreachable,
    /// It was sent there: the link has as many connections, or as much waiting, as it may.
    Full,
}

impl RelayOpening {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Relayed, Self::NoAddress, Self::Unreachable, Self::Full];

    /// The word for it in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relayed => "relayed",
            Self::NoAddress => "no_address",
            Self::Unreachable => "unreachable",
            Self::Full => "full",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayFact {
    /// A link stands.
    LinkUp {
        /// Which end this router is.
        side: RelaySide,
        /// The other end.
        router: RouterId,
    },
    /// A link ended, or could not be made.
    LinkDown {
        /// Which end this router is.
        side: RelaySide,
        /// The other end; empty: it did not say.
        router: RouterId,
        /// Why.
        end: RelayEnd,
        /// Connections that ended with it.
        connections: usize,
        /// Why, for people; holds no secret, and nothing that the other end wrote.
        why: String,
    },
    /// A client wants into a room of another router.
    Opening {
        /// What became of it.
        outcome: RelayOpening,
    },
    /// A sign of life came back over the link, behind all that was sent before it.
    RoundTrip {
        /// The other end.
        router: RouterId,
        /// How long it took.
        took: Duration,
    },
}
