//! A session comes back: whose token it is, what it missed, in which order it is told.

use super::{HallKey, Now, Opened, Output, Router, Timer, welcome::send_parts};
use crate::{
    auth::Grant,
    event::{Event, KeepingFact},
    ids::{ConnectionId, Epoch, Offset, Seq},
    protocol::{
        Code, Refusal,
        v1::{self, ParticipantState, ServerFrame, server_frame::Body},
    },
    room::{Change, Saw, Seat, denied},
    session::{Came, ResumeClaims, Session},
};

/// What a returning session missed.
#[derive(Debug)]
struct Gap {
    /// All of it is in `frames`.
    recovered: bool,
    /// Where it begins, if not where the client said.
    from: Option<u64>,
    frames: Vec<Output>,
}

impl Router {
    pub(super) fn resume(
        &mut self,
        opened: Opened,
        (claims, resume): (&ResumeClaims, &v1::Resume),
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let Opened { connection, grant, id, labels, variant: _ } = opened;
        self.refuse_while_draining()?;
        may_resume(&grant, claims)?;
        let seat = *self.session_ids.get(&claims.session).ok_or_else(|| Code::SessionGone.refuse())?;
        let seated = self.sessions.get_mut(&seat).ok_or_else(|| Code::SessionGone.refuse())?;
        let hall = seated.hall;
        if self.halls[hall].room.id() != &claims.room {
            return Err(Code::ResumeTokenInvalid.refuse());
        }
        seated.session.use_token(claims)?;
        if seated.session.returns(Seq(resume.seq), labels) {
            self.closing.push(Output::Observe(Event::Keeping(KeepingFact::SessionReturned { labels })));
        }

        let before = self.take_over(seat, connection);
        let Gap { recovered, from, frames } = self.gap((hall, seat), connection, (claims, resume), now);
        out.extend(self.attachment(seat, connection));
        let missed = frames.len() as u32;
        let parts = self.resumed((hall, seat), (recovered, from), missed, now);
        send_parts(connection, id, parts.into_iter().map(|part| Body::Resumed(Box::new(part))).collect(), out);
        out.extend(frames);
        self.after_return((hall, seat), before, *grant, now);
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

    /// Events after the last one seen and directed pushes after theirs, merged in the order they were pushed in. What happened is
    /// in the room as it is when that comes anew, what was said is not.
    fn gap(
        &mut self,
        (hall, seat): (HallKey, Seat),
        to: ConnectionId,
        (claims, resume): (&ResumeClaims, &v1::Resume),
        now: Now,
    ) -> Gap {
        let blank = Gap { recovered: false, from: None, frames: Vec::new() };
        let Some(seated) = self.sessions.get_mut(&seat) else { return blank };
        let Session { lives, held, .. } = &mut seated.session;
        let room = &mut self.halls[hall].room;
        // its router may have ended before it kept that
        for came in claims.lives.iter() {
            lives.add(came);
            room.has_seen(saw(seat, came));
        }
        let (offset, seq) = (Offset(resume.offset), Seq(resume.seq));
        let epoch = Epoch::read(&resume.epoch);
        let place = epoch.and_then(|epoch| room.place_of(epoch, offset));
        let recovered = place.as_ref().is_some_and(|place| room.can_replay(seat, place, now.at)) && held.covers(seq);
        held.acknowledge(seq);
        if !recovered {
            lives.begin_anew();
        }
        let is_here = place.as_ref().is_some_and(|place| place.exact && place.heard.is_empty());
        // of another life than the one here, or of more of it than is known here, it does not hear once more; nor of one that this went on
        // from: this may be lost, and that come into a third
        if let Some(epoch) = epoch.filter(|epoch| *epoch != room.epoch() || !is_here) {
            lives.add(Came { epoch, upto: offset, anew: !recovered });
        }
        let events = match &place {
            Some(place) if recovered => room.replay(seat, place),
            Some(place) => room.said_since(seat, place),
            None => Vec::new(),
        };
        let from = place.as_ref().filter(|place| recovered && place.upto != offset).map(|place| place.upto.0);
        match &place {
            Some(place) if recovered => room.has_heard(seat, &place.heard),
            Some(place) if !place.heard.is_empty() => room.has_heard_said(seat, place),
            _ => {}
        }
        let mut directed = held.frames().peekable();
        let mut frames = Vec::with_capacity(events.len());
        for (offset, event) in events {
            while let Some((_, frame)) = directed.next_if(|(after, _)| *after < offset) {
                frames.push(again(to, frame));
            }
            frames.push(again(to, event));
        }
        frames.extend(directed.map(|(_, frame)| again(to, frame)));
        Gap { recovered, from, frames }
    }

    /// `resumed`, with the room anew, in parts, when the gap could not be filled.
    fn resumed(
        &self,
        (hall, seat): (HallKey, Seat),
        (recovered, from): (bool, Option<u64>),
        missed: u32,
        now: Now,
    ) -> Vec<v1::Resumed> {
        let Some(seated) = self.sessions.get(&seat) else { return Vec::new() };
        let room = &self.halls[hall].room;
        let token = self.mint(hall, seat, seated.session.next_generation());
        let blank = v1::Resumed {
            recovered,
            session: seated.session.id.as_str().to_owned(),
            resume_token: token.clone(),
            epoch: room.epoch().to_string(),
            offset: room.tip().0,
            seq: seated.session.held.last().0,
            missed,
            snapshot: None,
            from,
        };
        if recovered {
            return vec![blank];
        }
        let parts = self.snapshot(hall, seat, &token, now);
        parts.into_iter().map(|part| v1::Resumed { snapshot: Some(part), ..blank.clone() }).collect()
    }

    /// The others see it again, and from now on the fresh token counts.
    fn after_return(&mut self, (hall, seat): (HallKey, Seat), before: ParticipantState, grant: Grant, now: Now) {
        let expires_at_ms = grant.expires_at_ms;
        let (room, mut turn) = self.room_turn(hall, now.at);
        if before == ParticipantState::Reconnecting {
            room.announce_return(seat, &mut turn);
        }
        let change = Change { permissions: Some(grant.permissions), ..Change::default() };
        // attributes alone can be refused, and there are none in it
        let _ = self.change_member((hall, seat), change, now.at);
        self.settle(hall, now.at);
        self.watch_expiry(seat, expires_at_ms, now);
    }
}

/// What a member was told where its client came from.
pub(super) fn saw(seat: Seat, Came { epoch, upto, anew }: Came) -> Saw {
    Saw { seat, epoch, upto, anew }
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

/// Replays are bounded by what is kept, and do not count against the outbound bound.
fn again(to: ConnectionId, frame: Box<ServerFrame>) -> Output {
    Output::Send { to, frame, exempt: true, ends: None }
}
