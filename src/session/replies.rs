//! The latest replies of a session by request id, so that a repeated request is answered and not redone.

use std::collections::VecDeque;

use crate::{
    ids::Offset,
    protocol::{
        Code, Refusal,
        v1::{self, ServerFrame, server_frame::Body},
    },
};

/// The answer to one request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// Done.
    Ok { offset: Option<u64>, track: Option<Box<v1::Track>> },
    /// Done; the media node's answer to an offer.
    Answer(Box<v1::SessionDescription>),
    /// To a ping; sent even when the ping had no id.
    Pong(v1::Pong),
    /// Not done; sent even when the request had no id.
    Refused(Box<Refusal>),
}

impl Reply {
    /// Done, with the offset of the event that it made.
    pub(crate) fn done(offset: Option<Offset>) -> Self {
        Self::Ok { offset: offset.map(|offset| offset.0), track: None }
    }

    /// Why the request was not done; absent when it was.
    pub(crate) fn refused(&self) -> Option<Code> {
        match self {
            Self::Ok { .. } | Self::Answer(_) | Self::Pong(_) => None,
            Self::Refused(refusal) => Some(refusal.code),
        }
    }

    /// Whether the client hears it although it asked for no reply.
    pub(crate) fn is_unasked(&self) -> bool {
        !matches!(self, Self::Ok { .. })
    }

    pub(crate) fn into_frame(self, id: Option<u64>) -> Box<ServerFrame> {
        let body = match self {
            Self::Ok { offset, track } => Body::Ok(Box::new(v1::Ok { offset, track: track.map(|track| *track) })),
            Self::Answer(answer) => Body::Answer(*answer),
            Self::Pong(pong) => Body::Pong(pong),
            Self::Refused(refusal) => Body::Error(refusal.to_wire()),
        };
        Box::new(ServerFrame { id, body: Some(body) })
    }
}

impl Reply {
    /// What a frame answered; absent: it is no answer that is given twice.
    fn of(frame: ServerFrame) -> Option<(u64, Self)> {
        let reply = match frame.body? {
            Body::Ok(ok) => Self::Ok { offset: ok.offset, track: ok.track.map(Box::new) },
            Body::Answer(answer) => Self::Answer(Box::new(answer)),
            // a request that was refused, or a ping, may be tried again
            _ => return None,
        };
        Some((frame.id?, reply))
    }
}

/// Bounded; the oldest gives way. Nothing is allocated before the first request with an id.
#[derive(Debug, Default)]
pub(crate) struct Replies(Option<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    replies: VecDeque<(u64, Reply)>,
    /// Most clients count upwards: a higher id than all before cannot be a repeat.
    highest: u64,
}

impl Replies {
    /// The reply that this id had.
    pub(crate) fn find(&self, id: u64) -> Option<&Reply> {
        let kept = self.0.as_ref().filter(|kept| id <= kept.highest)?;
        kept.replies.iter().rev().find(|(known, _)| *known == id).map(|(_, reply)| reply)
    }

    /// What was answered elsewhere.
    pub(super) fn restore(frames: impl Iterator<Item = ServerFrame>) -> Self {
        let mut replies = Self::default();
        for (id, reply) in frames.filter_map(Reply::of) {
            replies.keep(id, reply, usize::MAX);
        }
        replies
    }

    /// What was answered elsewhere comes before what was answered here.
    pub(super) fn absorb(&mut self, frames: impl Iterator<Item = ServerFrame>) {
        let own = self.0.take().map(|kept| kept.replies).unwrap_or_default();
        *self = Self::restore(frames);
        for (id, reply) in own {
            self.keep(id, reply, usize::MAX);
        }
    }

    /// Answers whose place in the log is not known any more, which is 0 until here, name none.
    pub(crate) fn unplace(&mut self) {
        for (_, reply) in self.0.iter_mut().flat_map(|kept| &mut kept.replies) {
            if let Reply::Ok { offset, .. } = reply {
                *offset = offset.filter(|offset| *offset > 0);
            }
        }
    }

    /// What was answered, oldest first.
    pub(super) fn frames(&self) -> impl Iterator<Item = ServerFrame> {
        let kept = self.0.iter().flat_map(|kept| &kept.replies);
        kept.map(|(id, reply)| *reply.clone().into_frame(Some(*id)))
    }

    pub(crate) fn keep(&mut self, id: u64, reply: Reply, bound: usize) {
        if bound == 0 {
            return;
        }
        let kept = self.0.get_or_insert_default();
        while kept.replies.len() >= bound {
            kept.replies.pop_front();
        }
        kept.highest = kept.highest.max(id);
        kept.replies.push_back((id, reply));
    }
}
