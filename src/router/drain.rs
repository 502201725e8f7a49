//! Draining: every session is advised to go elsewhere, room by room, spread over the window, and what is left is closed.
//!
//! A room is advised as one because it goes as one. Where it is kept, or has a record in etcd, the first member to come to another
//! router takes the room along, and all the others are sent after it at once; were they advised one by one, some member of nearly
//! every room would be among the first few, and all would be gone at the beginning of the window. Where a router is alone its clients are
//! sent to routers that know nothing of each other's rooms: whoever left early would be without the others until the last one
//! followed, and so is for no longer than the jitter of one advice.

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
pub(crate) const ADVICE_SHARE: f64 = 0.8;
/// The share of the window by which one session's `after_ms` may be put off,
const JITTER_SHARE: f64 = 0.1;
/// and at most that long.
const JITTER_MAX: Duration = Duration::from_secs(2);
/// The least time between two wake-ups: a slope of steps that small is a slope.
pub(crate) const STEP: Duration = Duration::from_millis(5);
/// When to try elsewhere; jittered upwards to twice that.
const RETRY_MS: u64 = 500;

#[derive(Debug)]
pub(super) struct Drain {
    began: Instant,
    window: Duration,
    /// Sessions to be advised, those of one room together; rooms in random order, taken from the end.
    queue: Vec<Vec<Seat>>,
    /// How many sessions there were,
    total: usize,
    /// and how many of them were advised.
    advised: usize,
    timer: Option<Instant>,
}

impl Drain {
    fn ends(&self) -> Instant {
        self.began + self.window
    }

    /// When the next room is due: as the slope comes to its middle, so that of large rooms, too, about as many sessions were advised
    /// as the slope says. The end of the window when all are.
    fn due(&self) -> Instant {
        let Some(room) = self.queue.last() else { return self.ends() };
        let share = (self.advised as f64 + room.len() as f64 / 2.0) / self.total as f64;
        self.began + self.window.mul_f64(share * ADVICE_SHARE)
    }
}

impl Router {
    /// Begins to drain, or begins again with another window: a window of zero ends it at once.
    pub(super) fn start_drain(&mut self, window: Duration, now: Now) {
        // in a second drain those advised before are not advised again
        let queue = match self.drain.take() {
            Some(mut before) => {
                self.timers.cancel(&mut before.timer, Timer::Drain);
                before.queue
            }
            None => self.rooms_to_advise(),
        };
        let total = queue.iter().map(Vec::len).sum();
        self.drain = Some(Drain { began: now.at, window, queue, total, advised: 0, timer: None });
        self.go_on_draining(now);
    }

    /// The sessions of each room, the rooms in random order.
    fn rooms_to_advise(&mut self) -> Vec<Vec<Seat>> {
        // by name first: the order of keys is not ours to depend on
        let halls: Vec<_> = self.names.values().copied().collect();
        let mut queue: Vec<_> =
            halls.into_iter().map(|hall| self.seats_of(hall)).filter(|seats| !seats.is_empty()).collect();
        self.rng.shuffle(&mut queue);
        queue
    }

    /// Advises those who are due; closes everybody at the end of the window.
    pub(super) fn go_on_draining(&mut self, now: Now) {
        let Some(mut drain) = self.drain.take() else { return };
        drain.timer = None;
        if now.at >= drain.ends() {
            drain.queue = Vec::new();
            self.drain = Some(drain);
            self.close_everything(now);
            return;
        }
        while drain.due() <= now.at
            && let Some(room) = drain.queue.pop()
        {
            drain.advised += room.len();
            for seat in room {
                self.advise_reconnect(seat, drain.window);
            }
        }
        let next = drain.due().max(now.at + STEP).min(drain.ends());
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
        let frame = Box::new(reconnect_advice(after_ms, self.settings.reconnect_url.clone()));
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

/// Tells a client to come back so much later, by the way that it came or by that URL.
pub(crate) fn reconnect_advice(after_ms: u64, url: String) -> ServerFrame {
    let advice = v1::Advice { token: None, reconnect: Some(v1::ReconnectAdvice { after_ms, url }) };
    ServerFrame { id: None, body: Some(Body::Advice(advice)) }
}
