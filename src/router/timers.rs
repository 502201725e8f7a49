//! What the router wants to be woken for.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{Now, Output, Router};
use crate::{
    ids::{RoomId, SessionId},
    protocol::{
        Code,
        v1::{Advice, ReconnectAdvice, ServerFrame, TokenAdvice, server_frame::Body},
    },
};

/// Why to wake up. A timer whose reason is gone does nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A dropped session's linger may be over.
    Linger(SessionId),
    /// A session's token ends, or its notice is due.
    Expiry(SessionId),
    /// A room may have been empty for long enough.
    Empty(RoomId),
    /// A session is told to reconnect elsewhere.
    Advise(SessionId),
    /// The drain window is over.
    DrainEnd,
}

/// Timers in order. A session has at most one of a kind, a room one each time it became empty.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(super) fn add(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn remove(&mut self, at: Instant, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    fn take_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }
}

/// The longest that a timer is set ahead: token expiries can be years away.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);

impl Router {
    pub(super) fn tick(&mut self, now: Now, out: &mut Vec<Output>) {
        while let Some(timer) = self.timers.take_due(now.at) {
            match timer {
                Timer::Linger(session) => self.linger_over(&session, now, out),
                Timer::Expiry(session) => self.check_expiry(&session, now, out),
                Timer::Empty(room) => self.empty_over(&room, now, out),
                Timer::Advise(session) => self.advise_reconnect(&session, out),
                Timer::DrainEnd => self.drain_over(now, out),
            }
        }
    }

    fn linger_over(&mut self, id: &SessionId, now: Now, out: &mut Vec<Output>) {
        let over = self.sessions.get(id).is_some_and(|s| s.linger_until.is_some_and(|until| until <= now.at));
        if over {
            self.end_session(id, Code::LingeredOut, now, out);
        }
    }

    fn empty_over(&mut self, id: &RoomId, now: Now, out: &mut Vec<Output>) {
        let over = self
            .rooms
            .get(id)
            .is_some_and(|room| room.empty_since.is_some_and(|since| since + room.empty_timeout() <= now.at));
        if over {
            self.rooms.remove(id);
            let event = crate::event::Event::RoomClosed { room: id.clone(), reason: Code::Left };
            out.push(Output::Observe(event));
        }
    }

    /// Sets the timer of a session's next look at its token.
    pub(super) fn watch_expiry(&mut self, id: &SessionId, now: Now) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if let Some(before) = session.expiry_check.take() {
            self.timers.remove(before, Timer::Expiry(id.clone()));
        }
        let Some(expires_at_ms) = session.expires_at_ms.filter(|_| self.settings.enforce_expiry) else { return };
        let left = Duration::from_millis(expires_at_ms.saturating_sub(now.unix_ms));
        let wait = if session.noticed { left } else { left.saturating_sub(self.settings.expiry_notice) };
        let at = now.at + wait.min(AHEAD_MAX);
        session.expiry_check = Some(at);
        self.timers.add(at, Timer::Expiry(id.clone()));
    }

    fn check_expiry(&mut self, id: &SessionId, now: Now, out: &mut Vec<Output>) {
        let notice = self.settings.expiry_notice;
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.expiry_check = None;
        let Some(expires_at_ms) = session.expires_at_ms else { return };
        let left = Duration::from_millis(expires_at_ms.saturating_sub(now.unix_ms));
        if left.is_zero() {
            self.close_session(id, &Code::TokenExpired.refuse(), now, out);
            return;
        }
        if left <= notice && !session.noticed {
            session.noticed = true;
            let token = TokenAdvice { expires_in_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX) };
            if let Some(to) = session.connection {
                let advice = Advice { token: Some(token), reconnect: None };
                let frame = Box::new(ServerFrame { id: None, body: Some(Body::Advice(advice)) });
                out.push(Output::Send { to, frame, exempt: false });
            }
        }
        self.watch_expiry(id, now);
    }

    /// Advice goes out evenly over the first four fifths of the window, so that a drain is a slope and not a cliff.
    pub(super) fn drain(&mut self, window: Duration, now: Now, out: &mut Vec<Output>) {
        if self.drain_until.is_some() {
            return;
        }
        self.drain_until = Some(now.at + window);
        self.timers.add(now.at + window, Timer::DrainEnd);
        let mut attached: Vec<SessionId> =
            self.sessions.values().filter(|s| s.connection.is_some()).map(|s| s.id.clone()).collect();
        self.random.shuffle(&mut attached);
        let count = u32::try_from(attached.len()).unwrap_or(u32::MAX).max(1);
        let step = window.mul_f64(0.8) / count;
        for (place, session) in attached.into_iter().enumerate() {
            let within = step.mul_f64(self.random.f64());
            let at = now.at + step * u32::try_from(place).unwrap_or(u32::MAX) + within;
            self.timers.add(at, Timer::Advise(session));
        }
        self.tick(now, out);
    }

    fn advise_reconnect(&mut self, id: &SessionId, out: &mut Vec<Output>) {
        let Some(to) = self.sessions.get(id).and_then(|s| s.connection) else { return };
        let after_ms = self.random.u64(0..1_000);
        let reconnect = ReconnectAdvice { after_ms, url: self.settings.reconnect_url.clone() };
        let advice = Advice { token: None, reconnect: Some(reconnect) };
        let frame = Box::new(ServerFrame { id: None, body: Some(Body::Advice(advice)) });
        out.push(Output::Send { to, frame, exempt: false });
    }

    fn drain_over(&mut self, now: Now, out: &mut Vec<Output>) {
        let left: Vec<SessionId> = self.sessions.keys().cloned().collect();
        for session in left {
            let refusal = Code::Draining.refuse().retry_after_ms(self.random.u64(0..2_000));
            self.close_session(&session, &refusal, now, out);
        }
    }
}
