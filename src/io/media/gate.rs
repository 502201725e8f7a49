//! A node's breaker, shared by who asks and who calls.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::answers::unavailable;
use crate::{
    guard::breaker::{Breaker, BreakerSettings, Change, Ended, Leave},
    protocol::Refusal,
};

/// A breaker behind a lock that is held for a few additions.
#[derive(Debug)]
pub(super) struct Gate(Mutex<Breaker>);

impl Gate {
    pub(super) fn new(settings: BreakerSettings, now: Instant) -> Self {
        Self(Mutex::new(Breaker::new(settings, now)))
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // no code that can panic runs under this lock
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call could be made now; takes nothing.
    ///
    /// # Errors
    /// What to tell who wants to.
    pub(super) fn look(&self, now: Instant) -> Result<(), Refusal> {
        self.breaker().would_admit(now).then_some(()).ok_or_else(|| shut(Duration::ZERO))
    }

    /// Leave to make a call, and what the question changed.
    pub(super) fn enter(&self, now: Instant) -> (Result<Leave, Refusal>, Option<Change>) {
        let asked = self.breaker().ask(now);
        (asked.verdict.map_err(shut), asked.change)
    }

    /// A call that it gave leave for has ended.
    pub(super) fn ended(&self, leave: Leave, how: Ended, now: Instant) -> Option<Change> {
        self.breaker().ended(leave, how, now)
    }

    /// Whether all calls are made.
    pub(super) fn is_closed(&self) -> bool {
        self.breaker().state() == crate::event::BreakerState::Closed
    }

    pub(super) fn configure(&self, settings: BreakerSettings, now: Instant) {
        self.breaker().configure(settings, now);
    }
}

fn shut(again_in: Duration) -> Refusal {
    let refusal = unavailable("the room's media node failed too often: it is left alone for a while");
    let milliseconds = u64::try_from(again_in.as_millis()).unwrap_or(u64::MAX);
    if milliseconds > 0 { refusal.retry_after_ms(milliseconds) } else { refusal }
}
