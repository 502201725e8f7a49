//! What decides whether the router is ready: latches that close once, and the phase of the drain.
//!
//! Told from everywhere, read by the ops port; all of it is atomics.

use std::{
    sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::event::DrainPhase;

/// A thing that must have happened once before the router is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latch {
    /// The client port is bound and accepts.
    Listener,
    /// There are keys to verify tokens with.
    Keys,
}

impl Latch {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Listener, Self::Keys];

    /// Its name in the health report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Keys => "keys",
        }
    }
}

/// In order of their numbers, as the enum declares them.
const PHASES: [DrainPhase; 4] = [DrainPhase::Serving, DrainPhase::Advising, DrainPhase::Closing, DrainPhase::Drained];

/// The state of one router, as far as its health goes.
#[derive(Debug)]
pub struct State {
    started: Instant,
    latches: [AtomicBool; Latch::ALL.len()],
    phase: AtomicU8,
}

impl State {
    /// Nothing has happened yet, and nothing drains.
    pub fn new(started: Instant) -> Self {
        Self { started, latches: Default::default(), phase: AtomicU8::new(DrainPhase::Serving as u8) }
    }

    /// It has happened; for good.
    pub fn latch(&self, latch: Latch) {
        self.latches[latch as usize].store(true, Relaxed);
    }

    /// Whether it has happened.
    pub fn latched(&self, latch: Latch) -> bool {
        self.latches[latch as usize].load(Relaxed)
    }

    /// The drain goes on to that phase. It never goes back: an earlier phase than the present one changes nothing.
    pub fn set_phase(&self, phase: DrainPhase) {
        self.phase.fetch_max(phase as u8, Relaxed);
    }

    /// The phase of the drain.
    pub fn phase(&self) -> DrainPhase {
        PHASES[usize::from(self.phase.load(Relaxed))]
    }

    /// Whether new sessions may be sent here.
    pub fn ready(&self) -> bool {
        self.phase() == DrainPhase::Serving && Latch::ALL.into_iter().all(|latch| self.latched(latch))
    }

    /// How long the router has been there.
    pub fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_once_all_has_happened_and_until_it_drains() {
        let state = State::new(Instant::now());
        assert!(!state.ready());
        state.latch(Latch::Listener);
        assert!(!state.ready());
        state.latch(Latch::Keys);
        assert!(state.ready());
        state.set_phase(DrainPhase::Advising);
        assert!(!state.ready());
    }

    #[test]
    fn a_drain_never_goes_back() {
        let state = State::new(Instant::now());
        for phase in PHASES {
            state.set_phase(phase);
            assert_eq!(state.phase(), phase);
            state.set_phase(DrainPhase::Serving);
            assert_eq!(state.phase(), phase);
        }
    }
}
