//! Faults on purpose: what a router does wrong while somebody wants to see that it is noticed, and named.
//!
//! A router has [`Faults`] only when it runs with `--dev`; no configuration makes one. Without them a signal pays
//! nothing, with them and none injected one relaxed load. One fault at a time: the next one ends the one before.

mod memory;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    hint::black_box,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use self::memory::Growing;
use super::{listener::Observe, workers};
use crate::{
    event::{Event, Fault},
    protocol::{Code, Refusal},
    router::{Input, Output, refuse},
};

/// How long one signal burns CPU time: far past the promise.
const BURN: Duration = Duration::from_millis(200);
/// Parts of that, after each of which the worker tells that it gets on.
const BURN_PARTS: u32 = 4;
/// How long a shard's signals are spared after that: so the fault takes six tenths of a worker at most, whatever the load,
/// and a third of the signals waits for longer than the promise.
const SPARED: Duration = Duration::from_millis(150);
/// Rounds of arithmetic between two looks at the clock: about a tenth of a millisecond.
const ROUNDS: u32 = 1 << 17;
/// Between the beginnings of two stalls.
const STALL_EVERY: Duration = Duration::from_secs(3);
/// A stall when nobody says what counts as one.
const STALL_OTHERWISE: Duration = Duration::from_millis(200);
/// Of ten signals that many are answered with an error.
const ERRORS_OF_TEN: u32 = 3;
/// Of twenty signals of a canary so many are answered with an error,
const FAILED_OF_TWENTY: u32 = 2;
/// and so many are late.
const LATE_OF_TWENTY: u32 = 6;
/// By how much: past the promise, and within the time that a signal has.
const LATE_BY: Duration = Duration::from_millis(120);
/// How late nodes' answers are heard when nobody says otherwise: past the promise, and within the deadline.
const MEDIA_DELAY: Duration = Duration::from_millis(100);
/// The longest: far past every deadline.
pub const MEDIA_DELAY_MAX: Duration = Duration::from_secs(60);
/// What each signal is, while the fault of work is injected and nobody says otherwise.
pub const WORK: Duration = Duration::from_millis(1);
/// What it may be at most: half of what counts as a stall.
pub const WORK_MAX: Duration = Duration::from_millis(100);
/// What each signal is while the router is to shed: twenty-five a second and shard, and a demo sends more.
const SHED_WORK: Duration = Duration::from_millis(40);
/// Rounds of arithmetic between two looks at the clock: some microseconds.
const WORK_ROUNDS: u32 = 1 << 12;
/// In `Inner::injected`: none.
const NONE: u8 = u8::MAX;

/// The faults of one router: which one is injected, and the switch.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    /// The fault's number, else [`NONE`].
    injected: AtomicU8,
    /// What one signal is, microseconds.
    work_us: AtomicU64,
    switch: Mutex<Option<Standing>>,
    /// How long a worker is blocked.
    stall: Duration,
    /// When the next stall may begin, milliseconds since `begun`.
    next_stall_ms: AtomicU64,
    /// Signals that met the fault of the canary.
    canaries: AtomicU32,
    /// How late nodes' answers are heard.
    media_delay_ms: AtomicU64,
    begun: Instant,
    observe: Observe,
}

/// A fault that is injected.
struct Standing {
    fault: Fault,
    since: Instant,
    /// What it takes, until it is dropped.
    _memory: Option<Growing>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("injected", &self.injected()).finish_non_exhaustive()
    }
}

impl Faults {
    /// None is injected. `stall_bound` is what the watchdog takes for a stall; zero: it does not look.
    pub fn new(stall_bound: Duration, observe: Observe) -> Self {
        let bound = if stall_bound.is_zero() { STALL_OTHERWISE } else { stall_bound };
        Self(Arc::new(Inner {
            injected: AtomicU8::new(NONE),
            work_us: AtomicU64::new(WORK.as_micros() as u64),
            switch: Mutex::default(),
            stall: bound * 2,
            next_stall_ms: AtomicU64::new(0),
            canaries: AtomicU32::new(0),
            media_delay_ms: AtomicU64::new(MEDIA_DELAY.as_millis() as u64),
            begun: Instant::now(),
            observe,
        }))
    }

    /// The one that is injected now.
    pub fn injected(&self) -> Option<Fault> {
        Fault::ALL.get(usize::from(self.0.injected.load(Relaxed))).copied()
    }

    /// How late the answer of a media node is to be heard; absent: at once.
    pub fn media_delay(&self) -> Option<Duration> {
        let injected = self.0.injected.load(Relaxed) == Fault::SlowMedia as u8;
        injected.then(|| Duration::from_millis(self.0.media_delay_ms.load(Relaxed)))
    }

    /// How late nodes' answers are heard while [`Fault::SlowMedia`] is injected, [`MEDIA_DELAY_MAX`] at most; absent: as usual.
    pub fn set_media_delay(&self, delay: Option<Duration>) {
        let delay = delay.unwrap_or(MEDIA_DELAY).min(MEDIA_DELAY_MAX);
        self.0.media_delay_ms.store(delay.as_millis() as u64, Relaxed);
    }

    /// What each signal is while the fault of work is injected; up to [`WORK_MAX`].
    pub fn set_work(&self, each: Duration) {
        let each = each.min(WORK_MAX);
        self.0.work_us.store(each.as_micros() as u64, Relaxed);
    }

    /// The same.
    pub fn work(&self) -> Duration {
        Duration::from_micros(self.0.work_us.load(Relaxed))
    }

    /// Ends the fault that is injected, and injects another one, if any. Answers which one ended.
    ///
    /// # Errors
    /// When the system gives no memory or no thread to the new one; then none is injected.
    pub fn switch(&self, to: Option<Fault>) -> io::Result<Option<Fault>> {
        let mut standing = self.standing();
        let was = standing.as_ref().map(|standing| standing.fault);
        if was == to {
            return Ok(was);
        }
        self.0.injected.store(NONE, Relaxed);
        if let Some(Standing { fault, since, .. }) = standing.take() {
            (self.0.observe)(Event::FaultEnded { fault, lasted: since.elapsed() });
        }
        if let Some(fault) = to {
            let growing = (fault == Fault::Memory).then(|| Growing::start(self.0.observe.clone()));
            *standing = Some(Standing { fault, since: Instant::now(), _memory: growing.transpose()? });
            self.0.injected.store(fault as u8, Relaxed);
            (self.0.observe)(Event::FaultInjected { fault });
        }
        Ok(was)
    }

    /// What a signal meets before its router sees it, when its client is of the variant that telemetry numbered so; absent:
    /// nothing.
    pub(super) fn at_the_door(&self, variant: impl FnOnce() -> u8) -> Option<AtTheDoor> {
        if self.injected() != Some(Fault::Canary) || variant() == 0 {
            return None;
        }
        let signal = self.0.canaries.fetch_add(1, Relaxed);
        // spread evenly over any twenty in a row
        match signal.wrapping_mul(7) % 20 {
            place if place < FAILED_OF_TWENTY => {
                Some(AtTheDoor::Fails(Code::Internal.because("a fault is injected on purpose: canary")))
            }
            place if place < FAILED_OF_TWENTY + LATE_OF_TWENTY => Some(AtTheDoor::Waits(LATE_BY)),
            _ => None,
        }
    }

    fn standing(&self) -> MutexGuard<'_, Option<Standing>> {
        // it is taken and set as a whole
        self.0.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time for a stall; then it is not, for a while.
    fn stall_is_due(&self) -> bool {
        let now_ms = self.0.begun.elapsed().as_millis() as u64;
        let next_ms = self.0.next_stall_ms.load(Relaxed);
        let after_ms = now_ms + STALL_EVERY.as_millis() as u64;
        now_ms >= next_ms && self.0.next_stall_ms.compare_exchange(next_ms, after_ms, Relaxed, Relaxed).is_ok()
    }
}

/// What a signal meets before its router sees it.
#[derive(Debug, PartialEq)]
pub(super) enum AtTheDoor {
    /// It is late by so much; signals of other connections are not.
    Waits(Duration),
    /// It is answered so.
    Fails(Refusal),
}

/// What one shard has to suffer.
#[derive(Debug)]
pub(super) struct Afflicted {
    faults: Faults,
    /// No burning before.
    spared_until: Option<Instant>,
    /// Signals that met the fault of errors.
    signals: u32,
}

impl Afflicted {
    pub(super) fn by(faults: Faults) -> Self {
        Self { faults, spared_until: None, signals: 0 }
    }

    /// Whether a fault answers this signal in the router's place; it may also keep it waiting.
    pub(super) fn meets(&mut self, input: &Input, at: Instant, outputs: &mut Vec<Output>) -> bool {
        match self.faults.injected() {
            Some(fault) => self.suffer(fault, input, at, outputs),
            None => false,
        }
    }

    #[cold]
    fn suffer(&mut self, fault: Fault, input: &Input, at: Instant, outputs: &mut Vec<Output>) -> bool {
        if !matches!(input, Input::Open { .. } | Input::Frame { .. }) {
            return false;
        }
        match fault {
            Fault::Cpu if self.spared_until.is_none_or(|until| at >= until) => {
                // a slow signal is no stall, which is another fault
                for part in 1..=BURN_PARTS {
                    burn_cpu_on_purpose(at + BURN * part / BURN_PARTS);
                    workers::step();
                }
                self.spared_until = Some(at + BURN + SPARED);
            }
            Fault::Stall if self.faults.stall_is_due() => block_worker_on_purpose(self.faults.0.stall),
            Fault::Errors => {
                self.signals = self.signals.wrapping_add(1);
                // spread evenly over any ten in a row
                if self.signals.wrapping_mul(ERRORS_OF_TEN) % 10 < ERRORS_OF_TEN {
                    // as a router answers that has a defect
                    let refusal = Code::Internal.because("a fault is injected on purpose: errors");
                    refuse(input, &refusal, outputs);
                    return true;
                }
            }
            // that one is met at the door
            Fault::Cpu | Fault::Stall | Fault::Memory | Fault::Canary | Fault::SlowMedia => {}
            Fault::Work => work_on_purpose(at + self.faults.work()),
            Fault::Shed => work_on_purpose(at + SHED_WORK),
        }
        false
    }
}

/// The hot function that a profile has to name.
#[inline(never)]
fn burn_cpu_on_purpose(until: Instant) {
    let mut sum = 0_u64;
    while Instant::now() < until {
        for round in 0..ROUNDS {
            sum = black_box(sum.rotate_left(5) ^ u64::from(round));
        }
    }
    // a use of its own after the loop: never replaced by a jump
    black_box(sum);
}

/// The work that each signal is; a profile has to name it.
#[inline(never)]
fn work_on_purpose(until: Instant) {
    let mut sum = 0_u64;
    while Instant::now() < until {
        for round in 0..WORK_ROUNDS {
            sum = black_box(sum.rotate_left(5) ^ u64::from(round));
        }
    }
    black_box(sum);
}

/// The blocking function that a stall's stack has to name.
#[inline(never)]
fn block_worker_on_purpose(length: Duration) {
    thread::sleep(length);
    black_box(length);
}
