//! How sessions end: by leaving, being replaced or removed, lingering out, with their token or their room.

use std::time::{Duration, Instant};

use super::{HallKey, Now, Output, Router, Seated, Timer};
use crate::{
    event::Event,
    ids::RoomId,
    protocol::{
        Code, Refusal,
        v1::{self, ServerFrame, server_frame::Body},
    },
    room::{Push, Seat},
};

impl Router {
    /// Ends a session for good: its participant leaves, its connection is closed, what was held for it is gone.
    pub(super) fn end_session(&mut self, seat: Seat, reason: Code, now: Now) {
        let Some(seated) = self.forget_session(seat, reason.refuse()) else { return };
        self.end_member(seated.hall, seat, now.at);
        let (room, mut turn) = self.room_turn(seated.hall, now.at);
        room.leave(seat, reason, &mut turn);
        self.settle(seated.hall, now.at);
    }

    /// The session's part of the end, for when its room need not hear of it.
    pub(super) fn forget_session(&mut self, seat: Seat, refusal: Refusal) -> Option<Box<Seated>> {
        let reason = refusal.code;
        let mut seated = self.sessions.remove(&seat)?;
        self.session_ids.remove(&seated.session.id);
        self.timers.cancel(&mut seated.lingers_until, Timer::Linger(seat));
        self.timers.cancel(&mut seated.expiry, Timer::Expiry(seat));
        if let Some(connection) = seated.session.connection() {
            self.connections.remove(&connection);
            self.closing.push(Output::Close { connection, refusal });
        }
        let (session, labels) = (seated.session.id.clone(), seated.session.labels);
        self.closing.push(Output::Observe(Event::SessionClosed { session, reason, labels }));
        Some(seated)
    }

    /// Ends a room and everybody's session in it.
    pub(super) fn end_room(&mut self, hall: HallKey, refusal: &Refusal, now: Now) {
        let reason = refusal.code;
        let (room, mut turn) = self.room_turn(hall, now.at);
        room.close(reason, &mut turn);
        for seat in self.seats_of(hall) {
            self.forget_session(seat, refusal.clone());
        }
        self.close_hall(hall, reason, now.at);
    }

    /// Another router has the room: everybody is sent there. A room that is kept goes on there; else it ends here, and its media
    /// node, which may be the same there, hears that each of them left, and not that the room ended.
    pub(super) fn make_way(&mut self, room: &RoomId, refusal: &Refusal, now: Now) {
        let Some(&hall) = self.names.get(room) else { return };
        if let Some(keeping) = self.halls[hall].keeping.as_deref().filter(|_| self.settings.keeping.is_some()) {
            // the other router waits for what one that drains writes last, and nobody here is refused anything meanwhile
            if self.drain.is_none() || !keeping.is_ours() || !self.hand_over(hall, refusal, now) {
                self.leave_room(hall, refusal, now);
            }
            return;
        }
        for seat in self.seats_of(hall) {
            self.end_member(hall, seat, now.at);
        }
        self.leave_media(hall);
        self.end_room(hall, refusal, now);
    }

    pub(super) fn seats_of(&self, hall: HallKey) -> Vec<Seat> {
        self.halls[hall].room.members().iter().map(|member| member.seat).collect()
    }

    pub(super) fn linger_ended(&mut self, seat: Seat, now: Now) {
        if let Some(seated) = self.sessions.get_mut(&seat) {
            seated.lingers_until = None;
            self.end_session(seat, Code::LingeredOut, now);
        }
    }

    /// From now on this expiry counts, in place of the one before.
    pub(super) fn watch_expiry(&mut self, seat: Seat, expires_at_ms: Option<u64>, now: Now) {
        let Some(seated) = self.sessions.get_mut(&seat) else { return };
        self.timers.cancel(&mut seated.expiry, Timer::Expiry(seat));
        seated.expires_at_ms = expires_at_ms;
        seated.expiry_told = false;
        let hall = seated.hall;
        self.halls[hall].room.touch(seat);
        let Some(seated) = self.sessions.get_mut(&seat) else { return };
        if !self.settings.enforce_expiry {
            return;
        }
        // an expiry beyond what a clock can hold never comes
        let Some(end) = expires_at_ms.and_then(|end| instant_of(end, now)) else { return };
        let notice = end.checked_sub(self.settings.expiry_notice).map_or(now.at, |notice| notice.max(now.at));
        self.timers.arm(&mut seated.expiry, notice, Timer::Expiry(seat));
    }

    /// The notice's moment; then, once told, the end's.
    pub(super) fn expiry_came(&mut self, seat: Seat, now: Now) {
        let Some(seated) = self.sessions.get_mut(&seat) else { return };
        seated.expiry = None;
        let Some(expires_at_ms) = seated.expires_at_ms else { return };
        // one that is away needs a fresh token to come back
        let Some(connection) = seated.session.connection() else { return };
        let left_ms = expires_at_ms.saturating_sub(now.unix_ms);
        if left_ms == 0 || seated.expiry_told {
            self.end_session(seat, Code::TokenExpired, now);
            return;
        }
        let advice = v1::Advice { token: Some(v1::TokenAdvice { expires_in_ms: left_ms }), reconnect: None };
        let frame = Box::new(ServerFrame { id: None, body: Some(Body::Advice(advice)) });
        self.pushes.push(Push { to: vec![connection], frame });
        seated.expiry_told = true;
        let Some(end) = instant_of(expires_at_ms, now) else { return };
        self.timers.arm(&mut seated.expiry, end, Timer::Expiry(seat));
    }
}

fn instant_of(unix_ms: u64, now: Now) -> Option<Instant> {
    now.at.checked_add(Duration::from_millis(unix_ms.saturating_sub(now.unix_ms)))
}
