//! What arrives in a shard's inbox.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;

use crate::{
    event::Signal,
    ids::ConnectionId,
    io::{guard::UnderWay, outbound::Outbound},
    profiler::marks::InHand,
    protocol::{OpKind, Refusal},
    router::{AdminCall, AdminReply, Explanation, Input, Opening},
};

pub(super) type AdminAnswer = oneshot::Sender<Result<AdminReply, Refusal>>;

/// Why an arrival was not taken, and the signal that it was of.
pub(super) type Untaken = (Refusal, Option<Box<Signal>>);

/// What is known of a signal on its way, besides what it asks for.
#[derive(Debug)]
pub(crate) struct Brought {
    /// When signals are measured.
    pub(crate) signal: Option<Box<Signal>>,
    /// When its frame arrived.
    pub(crate) received: Instant,
    /// Its places among those that may be under way at once.
    pub(crate) under_way: Option<UnderWay>,
}

/// What arrives in a shard's inbox.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// For the router as it is.
    Input(Input),
    /// A frame of a connection.
    Signal(ConnectionId, Input, Brought),
    /// The opening of a connection, with the queue its frames go to.
    Open(ConnectionId, Arc<Outbound>, Input, Brought),
    /// Why that room is on its media node, and where the answer goes.
    Explain(String, oneshot::Sender<Result<Explanation, Refusal>>),
    /// An admin call and where its answer goes.
    Admin(String, AdminCall, AdminAnswer),
}

impl Arrival {
    /// What a sample taken meanwhile says of it.
    pub(super) fn in_hand(&self) -> InHand {
        let input = match self {
            Self::Input(input) | Self::Signal(_, input, _) | Self::Open(_, _, input, _) => input,
            Self::Admin(..) | Self::Explain(..) => return InHand::Admin,
        };
        match input {
            Input::Frame { .. } | Input::Open { .. } => InHand::Op(op_of(input)),
            Input::Lost { .. } => InHand::Lost,
            Input::Admin { .. } => InHand::Admin,
            Input::MediaReply(_) => InHand::Op(OpKind::Signal),
            Input::MediaPush { .. } | Input::Node(_) => InHand::Media,
            Input::Drain { .. }
            | Input::Configure(_)
            | Input::Elsewhere { .. }
            | Input::Restore { .. }
            | Input::Kept { .. }
            | Input::Unkept { .. }
            | Input::Late(_)
            | Input::Tick => InHand::Tick,
        }
    }

    /// The signal that it is of.
    pub(super) fn signal(self) -> Option<Box<Signal>> {
        match self {
            Self::Signal(_, _, brought) | Self::Open(_, _, _, brought) => brought.signal,
            Self::Input(_) | Self::Admin(..) | Self::Explain(..) => None,
        }
    }
}

/// The op that a signal asks for.
pub(super) fn op_of(input: &Input) -> OpKind {
    match input {
        Input::Frame { frame, .. } => OpKind::of(frame.op.as_ref()),
        Input::Open { opening: Opening::Join(_), .. } => OpKind::Join,
        Input::Open { opening: Opening::Resume { .. }, .. } => OpKind::Resume,
        _ => OpKind::Unknown,
    }
}
