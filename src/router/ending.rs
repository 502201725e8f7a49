//! How sessions end, and how their connections are lost.

use super::{Now, Output, Router, Timer, fan_out};
use crate::{
    event::Event,
    ids::{ConnectionId, RoomId, SessionId},
    protocol::{Code, Refusal},
};

impl Router {
    /// A connection is gone: its session lingers.
    pub(super) fn lost(&mut self, connection: ConnectionId, reason: Code, now: Now, out: &mut Vec<Output>) {
        let Some(id) = self.connections.remove(&connection) else { return };
        out.push(Output::Observe(Event::SessionDropped { session: id.clone(), reason }));
        let linger = self.settings.linger;
        if linger.is_zero() || self.drain_until.is_some() {
            self.end_session(&id, Code::LingeredOut, now, out);
            return;
        }
        let Some((session, room)) = self.pair(&id) else { return };
        session.connection = None;
        session.linger_until = Some(now.at + linger);
        let mut pushes = Vec::new();
        room.disconnect(&session.participant, now.at, &mut pushes);
        fan_out(pushes, out);
        self.timers.add(now.at + linger, Timer::Linger(id));
    }

    /// Ends a session and tells its client why.
    pub(super) fn close_session(&mut self, id: &SessionId, refusal: &Refusal, now: Now, out: &mut Vec<Output>) {
        let connection = self.sessions.get(id).and_then(|s| s.connection);
        self.end_session(id, refusal.code, now, out);
        if let Some(connection) = connection {
            out.push(Output::Close { connection, refusal: refusal.clone() });
        }
    }

    /// Ends a session: its participant leaves, its tracks end, what was held for it is dropped.
    pub(super) fn end_session(&mut self, id: &SessionId, reason: Code, now: Now, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.remove(id) else { return };
        if let Some(connection) = session.connection {
            self.connections.remove(&connection);
        }
        if let Some(until) = session.linger_until {
            self.timers.remove(until, Timer::Linger(id.clone()));
        }
        if let Some(at) = session.expiry_check {
            self.timers.remove(at, Timer::Expiry(id.clone()));
        }
        self.members.remove(&session.participant);
        if let Some(room) = self.rooms.get_mut(&session.room) {
            let mut pushes = Vec::new();
            room.remove(&session.participant, reason, now.at, &mut pushes);
            if room.empty_since.is_some() {
                self.timers.add(now.at + room.empty_timeout(), Timer::Empty(session.room.clone()));
            }
            fan_out(pushes, out);
        }
        out.push(Output::Observe(Event::SessionClosed { session: id.clone(), reason }));
    }

    /// Ends a room and everybody's session in it.
    pub(super) fn end_room(&mut self, id: &RoomId, reason: Code, now: Now, out: &mut Vec<Output>) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let mut pushes = Vec::new();
        room.close(reason, now.at, &mut pushes);
        fan_out(pushes, out);
        let Some(room) = self.rooms.remove(id) else { return };
        let sessions: Vec<SessionId> =
            room.participants().iter().filter_map(|p| self.members.get(&p.id).cloned()).collect();
        for session in sessions {
            // the room is gone already: nobody is left to be told of each one's leaving
            self.close_session(&session, &reason.refuse(), now, out);
        }
        out.push(Output::Observe(Event::RoomClosed { room: id.clone(), reason }));
    }
}
