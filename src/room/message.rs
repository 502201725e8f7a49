//! Messages to the room: the hot path. One offset, one copy for the history, one list of connections.

use std::time::Instant;

use bytes::Bytes;

use super::{Audience, Push, Room, Seat, permissions};
use crate::{
    ids::{Identity, Offset},
    protocol::{
        Refusal,
        v1::{DataPush, ServerFrame, server_frame::Body},
    },
};

/// What is said; passed on as it came.
#[derive(Debug)]
pub(crate) struct Message {
    /// Empty when the admin API speaks.
    pub(crate) from: Identity,
    pub(crate) data: Option<String>,
    pub(crate) bytes: Option<Bytes>,
    pub(crate) topic: String,
}

impl Message {
    /// Bytes of its content.
    pub(crate) fn size(&self) -> usize {
        self.data.as_ref().map_or(0, String::len) + self.bytes.as_ref().map_or(0, Bytes::len) + self.topic.len()
    }

    /// As it travels, without its place.
    pub(crate) fn into_push(self) -> DataPush {
        let Self { from, data, bytes, topic } = self;
        DataPush { from: from.as_str().to_owned(), data, bytes, topic, offset: None, seq: None }
    }
}

impl Room {
    /// Whether this participant may send, to the room or to some; answers who it is.
    pub(crate) fn sender(&self, seat: Seat) -> Result<Identity, Refusal> {
        let member = self.seated(seat)?;
        permissions::may_send(member.permissions())?;
        Ok(member.identity().clone())
    }

    /// Gives a message its offset; `from` is the seat that must not hear its own echo.
    pub(crate) fn message(&mut self, from: Option<Seat>, message: Message, at: Instant) -> (Offset, Push) {
        let audience = from.map_or(Audience::All, Audience::Except);
        let offset = self.history.keep_message(at, audience, &message, &self.bounds);
        let mut push = message.into_push();
        push.offset = Some(offset.0);
        let frame = Box::new(ServerFrame { id: None, body: Some(Body::Data(push)) });
        (offset, Push { to: self.reachable(audience), frame })
    }
}
