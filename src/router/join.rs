//! A new session: may it enter, into which room, in whose place.

use std::sync::Arc;

use super::{
    HallKey, Now, Opened, Output, Router, Seated,
    halls::{FULL_RETRY_MS, Plan},
    welcome::send_parts,
};
use crate::{
    auth::Grant,
    event::{Event, Labels},
    ids::{ConnectionId, RoomId},
    protocol::{
        Code, Refusal,
        v1::{self, server_frame::Body},
    },
    room::{Entrance, Seat, denied, may_update_own, merge_attributes},
    session::Session,
};

impl Router {
    /// Seats a new session and greets it. Nothing has changed when it is refused.
    pub(super) fn join(
        &mut self,
        opened: Opened,
        join: v1::Join,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let Opened { connection, mut grant, id, labels, variant } = opened;
        self.refuse_while_draining()?;
        may_enter(&grant, &join)?;
        grant.attributes = merge_attributes(&grant.attributes, &join.attributes, &self.settings.limits)?;
        let found = self.names.get(join.room.as_str()).copied();
        let older = found.and_then(|hall| self.halls[hall].room.seat_of(grant.identity.as_str()));
        match found {
            Some(hall) if older.is_none() => self.admits_participant(hall)?,
            Some(_) => {}
            None => self.admits_new_room(&grant, &join.room)?,
        }
        if older.is_none() {
            self.admits_session()?;
        }

        let hall = match found {
            Some(hall) => hall,
            None => self.found_room(RoomId::from(join.room.as_str()), Plan::default(), now.unix_ms),
        };
        self.halls[hall].variant.get_or_insert(variant);
        self.place_first(hall, &join.region, now);
        if let Some(older) = older {
            self.end_session(older, Code::Replaced, now);
        }
        let seat = self.seat(hall, (connection, &grant, labels), join, now);
        out.extend(self.attachment(seat, connection));
        let token = self.mint(hall, seat, 0);
        let parts = self.snapshot(hall, seat, &token, now);
        send_parts(connection, id, parts.into_iter().map(|part| Body::Joined(Box::new(part))).collect(), out);
        self.watch_expiry(seat, grant.expires_at_ms, now);
        Ok(())
    }

    /// Makes the session and its participant, and tells the room.
    fn seat(
        &mut self,
        hall: HallKey,
        (connection, grant, labels): (ConnectionId, &Grant, Labels),
        join: v1::Join,
        now: Now,
    ) -> Seat {
        self.seats_given += 1;
        let seat = Seat(self.seats_given);
        let entrance = Entrance {
            id: self.new_id("PA_").into(),
            identity: grant.identity.clone(),
            name: unless_empty(join.name, &grant.name),
            metadata: unless_empty(join.metadata, &grant.metadata),
            attributes: grant.attributes.clone(),
            permissions: grant.permissions.clone(),
            region: join.region,
            joined_at_ms: now.unix_ms,
            auto_subscribe: join.auto_subscribe.unwrap_or(true),
            connection,
        };
        let (id, key) = (self.new_id("SE_").into(), self.shared_key(&grant.key));
        let session = Session::new(id, key, grant.identity.clone(), (connection, labels));
        let opened = Event::SessionOpened {
            session: session.id.clone(),
            identity: grant.identity.clone(),
            room: self.halls[hall].room.id().clone(),
            connection,
            labels,
        };
        self.session_ids.insert(session.id.clone(), seat);
        self.connections.insert(connection, seat);
        let seated = Seated {
            session,
            hall,
            lingers_until: None,
            expiry: None,
            expiry_told: false,
            expires_at_ms: None,
            rest: None,
        };
        self.sessions.insert(seat, Box::new(seated));
        let (room, mut turn) = self.room_turn(hall, now.at);
        room.join(seat, entrance, &mut turn);
        self.settle(hall, now.at);
        self.put_member(hall, seat, now.at);
        self.closing.push(Output::Observe(opened));
        seat
    }

    /// Says whose connection it is now.
    pub(super) fn attachment(&self, seat: Seat, connection: ConnectionId) -> Option<Output> {
        let seated = self.sessions.get(&seat)?;
        let (session, labels) = (seated.session.id.clone(), seated.session.labels);
        Some(Output::Attach { connection, session, room: self.halls[seated.hall].room.id().clone(), labels })
    }

    /// One copy of a key for all that come with it in a row, which with one key in use is everybody.
    fn shared_key(&mut self, key: &str) -> Arc<str> {
        if *self.latest_key != *key {
            self.latest_key = key.into();
        }
        self.latest_key.clone()
    }

    fn admits_participant(&self, hall: HallKey) -> Result<(), Refusal> {
        let room = &self.halls[hall].room;
        if !room.is_full() {
            return Ok(());
        }
        let message =
            format!("the room has its limit of {} participants (`participants_max`)", room.participants_max());
        Err(Code::RoomFull.because(message).retry_after_ms(FULL_RETRY_MS))
    }

    fn admits_session(&self) -> Result<(), Refusal> {
        if self.sessions.len() < self.settings.sessions_max {
            return Ok(());
        }
        let message = format!("the router has its limit of {} sessions (`sessions_max`)", self.settings.sessions_max);
        Err(Code::RouterFull.because(message).retry_after_ms(FULL_RETRY_MS))
    }

    fn admits_new_room(&self, grant: &Grant, name: &str) -> Result<(), Refusal> {
        if !self.settings.auto_create && !grant.room_create {
            let message = format!("no room `{name:.128}`, and the token lacks `roomCreate`");
            return Err(Code::RoomNotFound.because(message));
        }
        self.admits_room()
    }
}

/// What the token must say for this join.
fn may_enter(grant: &Grant, join: &v1::Join) -> Result<(), Refusal> {
    if !grant.room_join {
        return Err(denied("roomJoin"));
    }
    if join.room.is_empty() {
        return Err(Code::BadRequest.because("`join.room` is missing"));
    }
    if grant.room.as_ref().is_some_and(|room| room.as_str() != join.room) {
        return Err(Code::WrongRoom.refuse());
    }
    // the token's own metadata and attributes need no grant: its maker chose them
    if !join.metadata.is_empty() || !join.attributes.is_empty() {
        may_update_own(&grant.permissions)?;
    }
    Ok(())
}

fn unless_empty(said: String, otherwise: &str) -> String {
    if said.is_empty() { otherwise.to_owned() } else { said }
}
