//! Draining: every session is advised to go elsewhere, spread over the window, and what is left is closed.

use std::time::{Duration, Instant};

use super::{Now, Router, Timer};
use crate::{
    protocol::{
        Code, Refusal,
        v1::{self, ServerFrame, server_frame::Body},
    },
    room::{Push, Seat},
};

/// The share of the window over which advice goes out; the rest is for the last ones to leave.
const ADVICE_SHARE: f64 = 0.8;
/// The share of the window by which one session's `after_ms` may be put off,
const JITTER_SHARE: f64 = 0.1;
/// and at most that long.
const JITTER_MAX: Duration = Duration::from_secs(2);
/// The least time between two wake-ups: a slope of steps that small is a slope.
const STEP: Duration = Duration::from_millis(5);
/// When to try elsewhere; jittered upwards to twice that.
const RETRY_MS: u64 = 500;

#[derive(Debug)]
pub(super) struct Drain {
    began: Instant,
    window: Duration,
    /// Sessions to be advised, in random order, taken from the end.
    queue: Vec<Seat>,
    /// How many there were.
    total: usize,
    timer: Option<Instant>,
}

impl Drain {
    fn ends(&self) -> Instant {
        self.began + self.window
    }

    /// How many sessions should have been advised by then.
    fn due(&self, at: Instant) -> usize {
        let spread = self.window.mul_f64(ADVICE_SHARE);
        if spread.is_zero() {
            return self.total;
        }
        let share = at.saturating_duration_since(self.began).as_secs_f64() / spread.as_secs_f64();
        ((self.total as f64 * share).floor() as usize).min(self.total)
    }

    /// When the next one is due; the end of the window when all are advised.
    fn next(&self, at: Instant) -> Instant {
        if self.queue.is_empty() || self.total == 0 {
            return self.ends();
        }
        let advised = self.total - self.queue.len();
        let share = (advised + 1) as f64 / self.total as f64 * ADVICE_SHARE;
        (self.began + self.window.mul_f64(share)).max(at + STEP).min(self.ends())
    }
}

impl Router {
    /// Begins to drain, or begins again with another window: a window of zero ends it at once.
    pub(super) fn start_drain(&mut self, window: Duration, now: Now) {
        // in a second drain those advised before are not advised again
        let mut queue = match self.drain.take() {
            Some(mut before) => {
                self.timers.cancel(&mut before.timer, Timer::Drain);
                before.queue
            }
            None => self.sessions.keys().copied().collect(),
        };
        // sorted first: the order of a hash map is not ours to depend on
        queue.sort_unstable();
        self.rng.shuffle(&mut queue);
        self.drain = Some(Drain { began: now.at, window, total: queue.len(), queue, timer: None });
        self.go_on_draining(now);
    }

    /// Advises those who are due; closes everybody at the end of the window.
    pub(super) fn go_on_draining(&mut self, now: Now) {
        let Some(mut drain) = self.drain.take() else { return };
        drain.timer = None;
        if now.at >= drain.ends() {
            drain.queue = Vec::new();
            drain.total = 0;
            self.drain = Some(drain);
            self.close_everything(now);
            return;
        }
        let due = drain.due(now.at);
        while drain.total - drain.queue.len() < due
            && let Some(seat) = drain.queue.pop()
        {
            self.advise_reconnect(seat, drain.window);
        }
        let next = drain.next(now.at);
        self.timers.arm(&mut drain.timer, next, Timer::Drain);
        self.drain = Some(drain);
    }

    /// No new session here, and none resumed: the client should go elsewhere.
    pub(super) fn refuse_while_draining(&mut self) -> Result<(), Refusal> {
        match self.drain {
            None => Ok(()),
            Some(_) => Err(Code::Draining.refuse().retry_after_ms(self.rng.u64(RETRY_MS..=2 * RETRY_MS))),
        }
    }

    fn advise_reconnect(&mut self, seat: Seat, window: Duration) {
        let Some(connection) = self.sessions.get(&seat).and_then(|seated| seated.session.connection()) else { return };
        let jitter_ms = window.mul_f64(JITTER_SHARE).min(JITTER_MAX).as_millis() as u64;
        let after_ms = self.rng.u64(0..=jitter_ms);
        let reconnect = v1::ReconnectAdvice { after_ms, url: self.settings.reconnect_url.clone() };
        let advice = v1::Advice { token: None, reconnect: Some(reconnect) };
        let frame = Box::new(ServerFrame { id: None, body: Some(Body::Advice(advice)) });
        self.pushes.push(Push { to: vec![connection], frame });
    }

    /// The end: nobody is told that the others leave, for everybody does. Rooms that are kept go on elsewhere.
    fn close_everything(&mut self, now: Now) {
        let halls: Vec<_> = self.names.values().copied().collect();
        for hall in halls {
            self.hand_over(hall, &Code::Draining.refuse(), now);
        }
        let mut seats: Vec<Seat> = self.sessions.keys().copied().collect();
        seats.sort_unstable();
        for seat in seats {
            self.forget_session(seat, Code::Draining.refuse());
        }
        let halls: Vec<_> = self.names.values().copied().collect();
        for hall in halls {
            self.close_hall(hall, Code::Draining, now.at);
        }
    }
}
