//! First frames: a join, or a resume.

use std::collections::BTreeSet;

use super::{Now, Opening, Output, Request, Router, Timer, fan_out};
use crate::{
    auth::Grant,
    event::{Event, Outcome},
    ids::{Offset, ParticipantId, RoomId, Seq, SessionId},
    protocol::{
        Code, Refusal,
        v1::{self, ServerFrame, server_frame::Body},
    },
    room::Participant,
    session::{Held, Replies, ResumeClaims, Session},
};

impl Router {
    pub(super) fn open(&mut self, request: Request, grant: Grant, opening: Opening, now: Now, out: &mut Vec<Output>) {
        let done = match opening {
            _ if self.drain_until.is_some() => Err(Code::Draining.refuse().retry_after_ms(1_000)),
            Opening::Join(join) => self.join(request, grant, *join, now, out),
            Opening::Resume { claims, resume } => self.resume(request, &grant, &claims, &resume, now, out),
        };
        match done {
            Ok(()) => self.observe_signal(request, Outcome::Ok, out),
            Err(refusal) => {
                self.refuse(request, &refusal, out);
                out.push(Output::Detach { connection: request.connection });
            }
        }
    }

    fn join(
        &mut self,
        request: Request,
        grant: Grant,
        join: v1::Join,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let room_id = self.check_join(&grant, &join)?;
        let fresh = !self.rooms.contains_key(&room_id);
        if fresh && !self.settings.auto_create && !grant.room_create {
            let why = format!("no room `{room_id:.64}`; rooms.auto_create is off and the token lacks `roomCreate`");
            return Err(Code::RoomNotFound.because(why));
        }
        self.create_room(&room_id, None, now, out)?;
        let before = match self.rooms.get(&room_id) {
            Some(room) => {
                room.check_space(&grant.identity)?;
                room.by_identity(grant.identity.as_str()).and_then(|p| self.members.get(&p.id)).cloned()
            }
            None => None,
        };
        if self.sessions.len() >= self.settings.sessions_max && before.is_none() {
            let why = format!("limits.sessions: the router holds {} sessions", self.sessions.len());
            return Err(Code::RouterFull.because(why).retry_after_ms(1_000));
        }
        if let Some(before) = before {
            self.close_session(&before, &Code::Replaced.refuse(), now, out);
        }
        let id = self.enter(request, grant, join, room_id, now, out);
        self.watch_expiry(&id, now);
        Ok(())
    }

    fn check_join(&self, grant: &Grant, join: &v1::Join) -> Result<RoomId, Refusal> {
        if !grant.room_join {
            return Err(Code::PermissionDenied.because("the token lacks `roomJoin`"));
        }
        if grant.room.as_ref().is_some_and(|room| room.as_str() != join.room) {
            return Err(Code::WrongRoom.refuse());
        }
        let changes = !join.metadata.is_empty() || !join.attributes.is_empty();
        if changes && !grant.permissions.can_update_own_metadata && !grant.permissions.room_admin {
            let why = "join.metadata, join.attributes: the token lacks `canUpdateOwnMetadata`";
            return Err(Code::PermissionDenied.because(why));
        }
        Ok(RoomId::from(join.room.as_str()))
    }

    /// The session and its participant come to be; the client gets the room before anything that happens in it.
    fn enter(
        &mut self,
        request: Request,
        grant: Grant,
        join: v1::Join,
        room_id: RoomId,
        now: Now,
        out: &mut Vec<Output>,
    ) -> SessionId {
        let id = SessionId::from(self.new_id("SE_"));
        let participant_id = ParticipantId::from(self.new_id("PA_"));
        let or = |said: String, token: String| if said.is_empty() { token } else { said }.into_boxed_str();
        let mut attributes = grant.attributes;
        attributes.extend(join.attributes);
        let participant = Participant {
            id: participant_id.clone(),
            identity: grant.identity.clone(),
            name: or(join.name, grant.name),
            metadata: or(join.metadata, grant.metadata),
            attributes,
            permissions: grant.permissions,
            joined_at_ms: now.unix_ms,
            region: join.region.into_boxed_str(),
            connection: Some(request.connection),
            tracks: Vec::new(),
            auto_subscribe: join.auto_subscribe.unwrap_or(true),
            exceptions: BTreeSet::new(),
        };
        let session = Session {
            id: id.clone(),
            room: room_id.clone(),
            participant: participant_id.clone(),
            identity: grant.identity.clone(),
            key: grant.key.into_boxed_str(),
            connection: Some(request.connection),
            generation: 0,
            expires_at_ms: grant.expires_at_ms,
            linger_until: None,
            expiry_check: None,
            noticed: false,
            held: Held::default(),
            replies: Replies::default(),
        };
        let token = self.tokens.mint(&session.next_claims(true));
        let mut pushes = Vec::new();
        if let Some(room) = self.rooms.get_mut(&room_id) {
            room.enter(participant, now.at, &mut pushes);
        }
        self.members.insert(participant_id, id.clone());
        self.connections.insert(request.connection, id.clone());
        self.sessions.insert(id.clone(), session);
        out.push(Output::Attach { connection: request.connection });
        for part in self.snapshot(&id, token, now) {
            send_exempt(request, Body::Joined(Box::new(part)), out);
        }
        fan_out(pushes, out);
        out.push(Output::Observe(Event::SessionOpened {
            session: id.clone(),
            identity: grant.identity,
            room: room_id,
            connection: request.connection,
        }));
        id
    }

    fn resume(
        &mut self,
        request: Request,
        grant: &Grant,
        claims: &ResumeClaims,
        resume: &v1::Resume,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let foreign = grant.key != claims.key
            || grant.identity.as_str() != claims.identity
            || grant.room.as_ref().is_some_and(|room| *room != claims.room);
        if foreign || !grant.room_join {
            return Err(Code::ResumeTokenInvalid.refuse());
        }
        let session = self.sessions.get_mut(&claims.session).ok_or_else(|| Code::SessionGone.refuse())?;
        if claims.generation < session.generation {
            return Err(Code::ResumeTokenSpent.refuse());
        }
        session.generation = claims.generation;
        session.expires_at_ms = grant.expires_at_ms;
        session.noticed = false;
        if let Some(until) = session.linger_until.take() {
            self.timers.remove(until, Timer::Linger(claims.session.clone()));
        }
        // the older connection is half open: the client knows that it is gone before we do
        if let Some(older) = session.connection.replace(request.connection) {
            self.connections.remove(&older);
            out.push(Output::Close { connection: older, refusal: Code::Replaced.refuse() });
        }
        self.connections.insert(request.connection, claims.session.clone());
        out.push(Output::Attach { connection: request.connection });
        self.catch_up(request, &claims.session, resume, now, out);
        self.replace_grant(&claims.session, grant, now, out);
        self.watch_expiry(&claims.session, now);
        Ok(())
    }

    /// Gives what was missed, in order, or the room anew; then the others are told.
    fn catch_up(&mut self, request: Request, id: &SessionId, resume: &v1::Resume, now: Now, out: &mut Vec<Output>) {
        let Some((session, room)) = self.pair(id) else { return };
        if let Some(participant) = room.participant_mut(&session.participant) {
            participant.connection = Some(request.connection);
        }
        let events = room.since(&resume.epoch, Offset(resume.offset), &session.participant, now.at);
        let directed = session.held.since(Seq(resume.seq)).map(|held| held.cloned().collect::<Vec<_>>());
        let (epoch, offset) = (room.epoch().to_string(), room.tip().0);
        let seq = session.held.last().0;
        let mut resumed = v1::Resumed { session: id.to_string(), epoch, offset, seq, ..v1::Resumed::default() };
        let claims = session.next_claims(false);
        session.held.settle();
        let missed = match (events, directed) {
            (Some(events), Some(directed)) => {
                session.held.acknowledge(Seq(resume.seq));
                Some(merge(events, directed))
            }
            _ => None,
        };
        let token = self.tokens.mint(&claims);
        let recovered = missed.is_some();
        if let Some(missed) = missed {
            resumed.recovered = true;
            resumed.resume_token = token;
            resumed.missed = u32::try_from(missed.len()).unwrap_or(u32::MAX);
            send_exempt(request, Body::Resumed(Box::new(resumed)), out);
            out.extend(missed.into_iter().map(|frame| exempt(request, frame)));
        } else {
            self.start_anew(request, id, resume, resumed, (token, now), out);
        }
        out.push(Output::Observe(Event::SessionResumed { session: id.clone(), recovered }));
        let Some((session, room)) = self.pair(id) else { return };
        let mut pushes = Vec::new();
        room.reconnect(&session.participant, now.at, &mut pushes);
        fan_out(pushes, out);
    }

    /// The gap cannot be filled: the room as it is now, and the directed pushes that are left.
    fn start_anew(
        &mut self,
        request: Request,
        id: &SessionId,
        resume: &v1::Resume,
        resumed: v1::Resumed,
        (token, now): (String, Now),
        out: &mut Vec<Output>,
    ) {
        let held: Vec<_> = match self.sessions.get(id) {
            Some(session) => session.held.remaining(Seq(resume.seq)).map(|push| push.frame.clone()).collect(),
            None => Vec::new(),
        };
        for part in self.snapshot(id, token.clone(), now) {
            let body = v1::Resumed {
                resume_token: token.clone(),
                missed: u32::try_from(held.len()).unwrap_or(u32::MAX),
                snapshot: Some(part),
                ..resumed.clone()
            };
            send_exempt(request, Body::Resumed(Box::new(body)), out);
        }
        out.extend(held.into_iter().map(|frame| exempt(request, frame)));
    }
}

/// Room events and directed pushes in the order in which they came to be.
fn merge(events: Vec<(Offset, ServerFrame)>, directed: Vec<crate::session::HeldPush>) -> Vec<ServerFrame> {
    let mut merged = Vec::with_capacity(events.len() + directed.len());
    let mut directed = directed.into_iter().peekable();
    for (offset, frame) in events {
        while let Some(push) = directed.next_if(|push| push.after < offset) {
            merged.push(push.frame);
        }
        merged.push(frame);
    }
    merged.extend(directed.map(|push| push.frame));
    merged
}

fn exempt(request: Request, frame: ServerFrame) -> Output {
    Output::Send { to: request.connection, frame: Box::new(frame), exempt: true }
}

fn send_exempt(request: Request, body: Body, out: &mut Vec<Output>) {
    out.push(exempt(request, ServerFrame { id: request.id, body: Some(body) }));
}
