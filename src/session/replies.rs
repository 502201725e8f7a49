//! The latest replies of a session by request id, so that a repeated request is answered and not redone.

use std::collections::VecDeque;

use crate::{
    event::Outcome,
    protocol::{
        Refusal,
        v1::{self, ServerFrame, server_frame::Body},
    },
};

/// The answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// Done.
    Ok { offset: Option<u64>, track: Option<Box<v1::Track>> },
    /// To a ping; sent even when the ping had no id.
    Pong(v1::Pong),
    /// Not done; sent even when the request had no id.
    Refused(Box<Refusal>),
}

impl Reply {
    /// Done, with the offset of the event that it made.
    pub(crate) fn done(offset: Option<crate::ids::Offset>) -> Self {
        Self::Ok { offset: offset.map(|offset| offset.0), track: None }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Ok { .. } | Self::Pong(_) => Outcome::Ok,
            Self::Refused(refusal) => Outcome::Refused(refusal.code),
        }
    }

    /// Whether the client hears it although it asked for no reply.
    pub(crate) fn is_unasked(&self) -> bool {
        !matches!(self, Self::Ok { .. })
    }

    pub(crate) fn into_frame(self, id: Option<u64>) -> Box<ServerFrame> {
        let body = match self {
            Self::Ok { offset, track } => Body::Ok(Box::new(v1::Ok { offset, track: track.map(|track| *track) })),
            Self::Pong(pong) => Body::Pong(pong),
            Self::Refused(refusal) => Body::Error(refusal.to_wire()),
        };
        Box::new(ServerFrame { id, body: Some(body) })
    }
}

/// Bounded; the oldest gives way.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    kept: VecDeque<(u64, Reply)>,
    /// Most clients count upwards: a higher id than all before cannot be a repeat.
    highest: u64,
}

impl Replies {
    /// The reply that this id had.
    pub(crate) fn find(&self, id: u64) -> Option<&Reply> {
        if id > self.highest {
            return None;
        }
        self.kept.iter().rev().find(|(known, _)| *known == id).map(|(_, reply)| reply)
    }

    pub(crate) fn keep(&mut self, id: u64, reply: Reply, bound: usize) {
        if bound == 0 {
            return;
        }
        while self.kept.len() >= bound {
            self.kept.pop_front();
        }
        self.highest = self.highest.max(id);
        self.kept.push_back((id, reply));
    }
}
