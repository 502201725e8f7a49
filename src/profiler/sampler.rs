//! What takes samples: one small trait of two implementations, chosen by configuration or because the first refuses.
//!
//! Knows nothing of what becomes of samples: they are handed over raw, addresses and no names.

mod ctimer;
mod itimer;

use std::{fmt, sync::Arc, time::Duration};

use nix::sys::pthread::Pthread;

pub(super) use self::{
    ctimer::{Ctimer, FORCED, register as ctimer_register, unregister as ctimer_unregister},
    itimer::Itimer,
};

/// Which implementation samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A timer of CPU time for each thread, stacks by frame pointers, exact addresses (`dial9-perf-self-profile`).
    Ctimer,
    /// One timer of the whole process, stacks by unwinding tables (`pprof`): of the lines of a function only one that
    /// was seen first is kept, so what it says is about functions only.
    Itimer,
}

impl Kind {
    /// The word for it in metrics and on pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ctimer => "ctimer",
            Self::Itimer => "itimer",
        }
    }

    /// Whether lines can be believed, or functions only.
    pub const fn tells_lines(self) -> bool {
        matches!(self, Self::Ctimer)
    }
}

/// Why a sampler does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// One stack, as it was sampled.
#[derive(Debug)]
pub(super) struct Raw {
    /// The thread, as the system numbers it; absent: known by name only.
    pub(super) tid: Option<u32>,
    /// Its name, where the sampler knows it.
    pub(super) name: Option<String>,
    /// When, on the monotonic clock.
    pub(super) at: Duration,
    /// How often this stack was seen.
    pub(super) count: u32,
    /// The CPU time that it stands for: more than a period a sample when timers ran out together.
    pub(super) weight: Duration,
    /// Addresses, the leaf first; all but the leaf point into the call, not behind it.
    pub(super) stack: Vec<u64>,
}

/// When what was sampled must be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Whenever it suits the sampler, within a slot.
    Slot,
    /// Now: somebody's window ends.
    Now,
}

/// What a drain handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// All that there was.
    All,
    /// Nothing: it suits the sampler later.
    NotYet,
}

/// Takes samples of all threads that were entered, from its start until it is dropped.
pub(super) trait Sampler: Send + fmt::Debug {
    /// Which it is.
    fn kind(&self) -> Kind;
    /// CPU time between two samples.
    fn period(&self) -> Duration;
    /// Hands over what was sampled since the last time. It is taken note of once it is out: what goes wrong with one
    /// sample must not stop the sampler's own reading.
    ///
    /// # Errors
    /// When it can go on no longer; then it is to be dropped.
    fn drain(&mut self, urgency: Urgency, into: &mut Vec<Raw>) -> Result<Drained, Refused>;
    /// Takes none until it is resumed.
    fn pause(&mut self);
    /// Goes on.
    ///
    /// # Errors
    /// When it cannot; then it is to be dropped.
    fn resume(&mut self) -> Result<(), Refused>;
    /// Whether it can be asked for the stack of one thread, blocked or not, by a signal to it.
    fn can_ask(&self) -> bool;
}

/// CPU time between two samples, of so many a second.
pub(super) fn period(hz: u32) -> Duration {
    Duration::from_secs(1) / hz.max(1)
}

/// Makes a thread's stack a sample, blocked or not: the handler of the sampler runs on it. The thread must be alive.
pub(super) fn signal(thread: Pthread) -> bool {
    nix::sys::pthread::pthread_kill(thread, nix::sys::signal::Signal::SIGPROF).is_ok()
}

/// A thread's name that lives as long as it is needed.
pub(super) type Name = Arc<str>;
