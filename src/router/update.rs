//! The op `update`: what a participant says of itself and of the room, and a fresh token.

use super::{Now, Router};
use crate::{
    auth::Grant,
    protocol::{Code, Refusal, v1},
    room::{Change, Seat, denied, may_update_own, merge_attributes},
    session::Reply,
};

impl Router {
    /// All of it or, when one part is refused, nothing. What the fresh token grants counts for the rest.
    pub(super) fn update(
        &mut self,
        seat: Seat,
        update: v1::Update,
        grant: Option<Box<Grant>>,
        now: Now,
    ) -> Result<Reply, Refusal> {
        let hall = self.hall_of(seat)?;
        if !update.token.is_empty() && grant.is_none() {
            return Err(Code::Unauthenticated.refuse());
        }
        if let Some(grant) = &grant {
            self.same_bearer(seat, grant)?;
        }
        let Some(member) = self.halls[hall].room.member(seat) else { return Err(Code::NotJoined.refuse()) };
        let permissions = grant.as_ref().map_or(member.permissions(), |grant| &grant.permissions);
        let (room_metadata, expires_at_ms) = (update.room_metadata, grant.as_ref().map(|grant| grant.expires_at_ms));
        let mut change =
            Change { name: update.name, metadata: update.metadata, attributes: update.attributes, permissions: None };
        if change.is_of_profile() {
            may_update_own(permissions)?;
        }
        if room_metadata.is_some() && !permissions.room_admin {
            return Err(denied("roomAdmin"));
        }
        merge_attributes(member.attributes(), &change.attributes, &self.settings.limits)?;
        change.permissions = grant.map(|grant| grant.permissions);

        let mut offset = self.change_member((hall, seat), change, now.at)?;
        let (room, mut turn) = self.room_turn(hall, now.at);
        if let Some(metadata) = room_metadata {
            offset = Some(room.set_metadata(metadata, &mut turn));
        }
        self.settle(hall, now.at);
        if let Some(expires_at_ms) = expires_at_ms {
            self.watch_expiry(seat, expires_at_ms, now);
        }
        Ok(Reply::done(offset))
    }

    /// A fresh token must be of the same key, identity and room as the one the session began with.
    fn same_bearer(&self, seat: Seat, grant: &Grant) -> Result<(), Refusal> {
        let Some(seated) = self.sessions.get(&seat) else { return Err(Code::NotJoined.refuse()) };
        let (session, room) = (&seated.session, self.halls[seated.hall].room.id());
        if grant.room.as_ref().is_some_and(|granted| granted != room) {
            return Err(Code::WrongRoom.refuse());
        }
        let wrong = match () {
            () if *grant.key != *session.key => "another API key",
            () if grant.identity != session.identity => "another identity",
            () if !grant.room_join => return Err(denied("roomJoin")),
            () => return Ok(()),
        };
        let message = format!("the fresh token is of {wrong}; it must be of the key and identity of the session");
        Err(Code::PermissionDenied.because(message))
    }
}
