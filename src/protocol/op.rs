//! The kinds of signals, as a closed set: label values of metrics, names in logs.

use super::v1::client_frame::Op;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OpKind {
    /// Enter a room.
    Join,
    /// Leave it.
    Leave,
    /// Come back after a lost connection.
    Resume,
    /// Describe a new track.
    Publish,
    /// End a track.
    Unpublish,
    /// Mute or unmute a track.
    Mute,
    /// Start or end subscriptions.
    Subscribe,
    /// Offer, answer, candidate, end of candidates.
    Signal,
    /// A message to the room or to some.
    Send,
    /// Metadata, attributes, a fresh token.
    Update,
    /// Acknowledge and measure.
    Ping,
    /// A frame that could not be read.
    Unknown,
}

impl OpKind {
    /// Every kind, `Unknown` last.
    pub const ALL: [Self; 12] = [
        Self::Join,
        Self::Leave,
        Self::Resume,
        Self::Publish,
        Self::Unpublish,
        Self::Mute,
        Self::Subscribe,
        Self::Signal,
        Self::Send,
        Self::Update,
        Self::Ping,
        Self::Unknown,
    ];

    /// The wire's and the metrics' word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Resume => "resume",
            Self::Publish => "publish",
            Self::Unpublish => "unpublish",
            Self::Mute => "mute",
            Self::Subscribe => "subscribe",
            Self::Signal => "signal",
            Self::Send => "send",
            Self::Update => "update",
            Self::Ping => "ping",
            Self::Unknown => "unknown",
        }
    }

    /// The kind of a frame's op.
    pub const fn of(op: Option<&Op>) -> Self {
        match op {
            Some(Op::Join(_)) => Self::Join,
            Some(Op::Leave(_)) => Self::Leave,
            Some(Op::Resume(_)) => Self::Resume,
            Some(Op::Publish(_)) => Self::Publish,
            Some(Op::Unpublish(_)) => Self::Unpublish,
            Some(Op::Mute(_)) => Self::Mute,
            Some(Op::Subscribe(_)) => Self::Subscribe,
            Some(Op::Signal(_)) => Self::Signal,
            Some(Op::Send(_)) => Self::Send,
            Some(Op::Update(_)) => Self::Update,
            Some(Op::Ping(_)) => Self::Ping,
            None => Self::Unknown,
        }
    }
}
