//! A session comes back: whose token it is, what it missed, in which order it is told.

use super::{HallKey, Now, Opened, Output, Router, Timer, welcome::send_exempt};
use crate::{
    auth::Grant,
    event::Event,
    ids::{ConnectionId, Offset, Seq},
    protocol::{
        Code, Refusal,
        v1::{self, ParticipantState, ServerFrame, server_frame::Body},
    },
    room::{Change, Seat, denied},
    session::ResumeClaims,
};

/// What a returning session missed.
#[derive(Debug)]
struct Gap {
    /// All of it is in `frames`.
    recovered: bool,
    #[allow(clippy::vec_box)] // each leaves as the box of an `Output::Send`
    frames: Vec<Box<ServerFrame>>,
}

impl Router {
    pub(super) fn resume(
        &mut self,
        opened: Opened,
        (claims, resume): (&ResumeClaims, &v1::Resume),
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let Opened { connection, grant, id } = opened;
        self.refuse_while_draining()?;
        may_resume(&grant, claims)?;
        let seat = *self.session_ids.get(&claims.session).ok_or_else(|| Code::SessionGone.refuse())?;
        let seated = self.sessions.get_mut(&seat).ok_or_else(|| Code::SessionGone.refuse())?;
        let hall = seated.hall;
        if self.halls[hall].room.id() != &claims.room {
            return Err(Code::ResumeTokenInvalid.refuse());
        }
        seated.session.use_token(claims)?;

        let before = self.take_over(seat, connection);
        let gap = self.gap(hall, seat, resume, now);
        let recovered = gap.recovered;
        out.push(Output::Attach { connection });
        self.greet_again((connection, id), (hall, seat), gap, now, out);
        self.after_return((hall, seat), before, grant, now);
        let session = claims.session.clone();
        self.closing.push(Output::Observe(Event::SessionResumed { session, recovered }));
        Ok(())
    }

    /// Puts the session on its new connection. An older one that is still open has lost it.
    fn take_over(&mut self, seat: Seat, connection: ConnectionId) -> ParticipantState {
        let Some(seated) = self.sessions.get_mut(&seat) else { return ParticipantState::Unspecified };
        self.timers.cancel(&mut seated.lingers_until, Timer::Linger(seat));
        if let Some(older) = seated.session.attach(connection) {
            self.connections.remove(&older);
            self.closing.push(Output::Close { connection: older, refusal: Code::Replaced.refuse() });
        }
        self.connections.insert(connection, seat);
        self.halls[seated.hall].room.reconnect(seat, connection)
    }

    /// Events after the last one seen and directed pushes after theirs, merged in the order they were pushed in.
    fn gap(&mut self, hall: HallKey, seat: Seat, resume: &v1::Resume, now: Now) -> Gap {
        let Some(seated) = self.sessions.get_mut(&seat) else { return Gap { recovered: false, frames: Vec::new() } };
        let (room, held) = (&mut self.halls[hall].room, &mut seated.session.held);
        let (offset, seq) = (Offset(resume.offset), Seq(resume.seq));
        let recovered = room.can_replay(seat, &resume.epoch, offset, now.at) && held.covers(seq);
        held.acknowledge(seq);
        let events = if recovered { room.replay(seat, offset) } else { Vec::new() };
        let mut directed = held.frames().peekable();
        let mut frames = Vec::with_capacity(events.len());
        for (offset, event) in events {
            while let Some((_, frame)) = directed.next_if(|(after, _)| *after < offset) {
                frames.push(frame);
            }
            frames.push(event);
        }
        frames.extend(directed.map(|(_, frame)| frame));
        Gap { recovered, frames }
    }

    /// `resumed`, with the room anew when the gap could not be filled, then what fills it.
    fn greet_again(
        &self,
        (connection, id): (ConnectionId, Option<u64>),
        (hall, seat): (HallKey, Seat),
        gap: Gap,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(seated) = self.sessions.get(&seat) else { return };
        let room = &self.halls[hall].room;
        let token = self.mint(hall, seat, seated.session.next_generation());
        let blank = v1::Resumed {
            recovered: gap.recovered,
            session: seated.session.id.as_str().to_owned(),
            resume_token: token.clone(),
            epoch: room.epoch().to_string(),
            offset: room.tip().0,
            seq: seated.session.held.last().0,
            missed: gap.frames.len() as u32,
            snapshot: None,
        };
        if gap.recovered {
            send_exempt(connection, id, Body::Resumed(Box::new(blank)), out);
        } else {
            for part in self.snapshot(hall, seat, &token, now) {
                let resumed = v1::Resumed { snapshot: Some(part), ..blank.clone() };
                send_exempt(connection, id, Body::Resumed(Box::new(resumed)), out);
            }
        }
        out.extend(gap.frames.into_iter().map(|frame| Output::Send { to: connection, frame, exempt: true }));
    }

    /// The others see it again, and from now on the fresh token counts.
    #[allow(clippy::boxed_local)] // it came in a box, and unpacking it here would only copy it
    fn after_return(&mut self, (hall, seat): (HallKey, Seat), before: ParticipantState, grant: Box<Grant>, now: Now) {
        let expires_at_ms = grant.expires_at_ms;
        let (room, mut turn) = self.room_turn(hall, now.at);
        if before == ParticipantState::Reconnecting {
            room.announce_return(seat, &mut turn);
        }
        let change = Change { permissions: Some(grant.permissions), ..Change::default() };
        // attributes alone can be refused, and there are none in it
        let _ = room.change(seat, change, &mut turn);
        self.settle(hall, now.at);
        self.watch_expiry(seat, expires_at_ms, now);
    }
}

/// The access token must be of the one who was given the resume token, and still let it in.
fn may_resume(grant: &Grant, claims: &ResumeClaims) -> Result<(), Refusal> {
    let same = grant.key == claims.key
        && grant.identity.as_str() == claims.identity
        && grant.room.as_ref().is_none_or(|room| *room == claims.room);
    if !same {
        return Err(Code::ResumeTokenInvalid.refuse());
    }
    if grant.room_join { Ok(()) } else { Err(denied("roomJoin")) }
}
