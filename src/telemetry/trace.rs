//! Which signals become traces, decided after the fact: the fast path pays two comparisons.
//!
//! What is kept waits here, bounded, until the exporter fetches it. Knows neither the exporter nor the clock.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    time::Duration,
};

use super::{case::Case, recorder::Series};
use crate::{
    event::{Outcome, SpanId, SpanRef, TraceId, nanos},
    protocol::OpKind,
};

/// Until a kind of signal has shown what is usual, what is slower than the promise is kept.
pub(super) const PROMISE: Duration = Duration::from_millis(80);
/// Signals of a kind in a minute, before their P99 says anything.
const SIGNALS_MIN: u64 = 300;
/// How much of the moving P99 is the latest minute's; told once a second, so it follows a step within a minute or two.
const FOLLOW: f64 = 0.03;
/// The bound is the moving P99 times this, and at least this much more than it: a quarter, and 5 ms.
const MARGIN: f64 = 1.25;
const MARGIN_MIN: Duration = Duration::from_millis(5);
/// Traces a second of each reason, and how many may come at once: a storm of errors must not drown what is slow.
const BUDGET: f64 = 50.0;
const BURST: f64 = 1_000.0;

/// Why a trace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client's `traceparent` says so.
    Sampled,
    /// The signal failed.
    Error,
    /// It was slower than its kind's bound.
    Slow,
    /// By the head rate.
    Head,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sampled, Self::Error, Self::Slow, Self::Head];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        super::catalog::KEPT[self as usize]
    }
}

/// Why something did not reach the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// More in a second than are exported.
    Budget,
    /// More waited for the exporter than may.
    QueueFull,
    /// The collector refused it.
    Refused,
    /// The collector could not be reached, or did not answer in time.
    Unreachable,
    /// The process ended first.
    Shutdown,
}

impl Lost {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Budget, Self::QueueFull, Self::Refused, Self::Unreachable, Self::Shutdown];
}

/// A signal or a delivery that is worth a trace: all that its spans are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptTrace {
    /// Why.
    pub reason: Reason,
    /// The trace; the client's own when it sent one.
    pub trace: TraceId,
    /// The root span.
    pub span: SpanId,
    /// The client's span that it belongs under.
    pub parent: Option<SpanRef>,
    /// The session's trace and span, to be linked to.
    pub session_link: Option<(TraceId, SpanId)>,
    /// What happened.
    pub case: Case,
    /// Where its latency was recorded.
    pub(super) series: Series,
}

#[derive(Debug)]
struct Kept {
    queue: VecDeque<KeptTrace>,
    /// Whoever waits for half of the places to be taken.
    waiting: Option<Waker>,
    budgets: [Budget; Reason::ALL.len()],
}

/// Tokens of one reason, refilled once a second.
#[derive(Clone, Copy, Debug)]
struct Budget(f64);

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    /// Nobody exports when this is 0.
    queue_max: usize,
    head_rate: f64,
    /// By op, nanoseconds: what is slower is kept.
    bounds: [AtomicU64; OpKind::ALL.len()],
    least_bound: AtomicU64,
    kept: Mutex<Kept>,
    moving: Mutex<[Option<f64>; OpKind::ALL.len()]>,
}

impl Keeper {
    /// Keeps nothing when no trace may wait.
    pub(super) fn new(queue_max: usize, head_rate: f64) -> Self {
        let kept = Kept { queue: VecDeque::new(), waiting: None, budgets: [Budget(BURST); Reason::ALL.len()] };
        Self {
            queue_max,
            head_rate,
            bounds: std::array::from_fn(|_| AtomicU64::new(PROMISE.as_nanos() as u64)),
            least_bound: AtomicU64::new(PROMISE.as_nanos() as u64),
            kept: Mutex::new(kept),
            moving: Mutex::new([None; OpKind::ALL.len()]),
        }
    }

    /// Whether this is worth a trace, and why.
    pub(super) fn reason(&self, op: OpKind, outcome: Outcome, took: Duration, sampled: bool) -> Option<Reason> {
        if self.queue_max == 0 {
            return None;
        }
        if nanos(took) > self.bounds[op as usize].load(Relaxed) {
            return Some(Reason::Slow);
        }
        if outcome != Outcome::Ok {
            return Some(Reason::Error);
        }
        if sampled {
            return Some(Reason::Sampled);
        }
        (self.head_rate > 0.0 && fastrand::f64() < self.head_rate).then_some(Reason::Head)
    }

    /// What is slower is kept.
    pub(super) fn bound(&self, op: OpKind) -> Duration {
        Duration::from_nanos(self.bounds[op as usize].load(Relaxed))
    }

    /// The least of all kinds' bounds: what is not slower than this need not be looked at.
    pub(super) fn least_bound(&self) -> Duration {
        Duration::from_nanos(self.least_bound.load(Relaxed))
    }

    /// Whether there is a place for one more of that reason; if so, it is spent.
    pub(super) fn admit(&self, reason: Reason) -> Result<(), Lost> {
        let mut kept = self.lock();
        if kept.queue.len() >= self.queue_max {
            return Err(Lost::QueueFull);
        }
        let budget = &mut kept.budgets[reason as usize];
        if budget.0 < 1.0 {
            return Err(Lost::Budget);
        }
        budget.0 -= 1.0;
        Ok(())
    }

    /// Takes what was admitted.
    pub(super) fn keep(&self, trace: KeptTrace) {
        let mut kept = self.lock();
        kept.queue.push_back(trace);
        if kept.queue.len() >= self.queue_max.div_ceil(2)
            && let Some(waiting) = kept.waiting.take()
        {
            waiting.wake();
        }
    }

    /// Whether half of the places are taken; if not, that task is woken once they are.
    pub(super) fn poll_half(&self, waiting: &Waker) -> Poll<()> {
        let mut kept = self.lock();
        if kept.queue.len() >= self.queue_max.div_ceil(2) {
            return Poll::Ready(());
        }
        kept.waiting = Some(waiting.clone());
        Poll::Pending
    }

    /// Up to so many of those that wait, oldest first.
    pub(super) fn fetch(&self, most: usize) -> Vec<KeptTrace> {
        let mut kept = self.lock();
        let count = kept.queue.len().min(most);
        kept.queue.drain(..count).collect()
    }

    /// Once a second: refills the budgets, and moves the bounds by the last minute's count and P99 of each op.
    pub(super) fn tick(&self, last_minute: impl Fn(OpKind) -> Option<(u64, Duration)>) {
        for budget in &mut self.lock().budgets {
            budget.0 = (budget.0 + BUDGET).min(BURST);
        }
        let mut moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        for op in OpKind::ALL {
            let Some((count, p99)) = last_minute(op) else { continue };
            if count < SIGNALS_MIN {
                continue;
            }
            let p99 = p99.as_secs_f64();
            let moved = moving[op as usize].map_or(p99, |usual| usual + (p99 - usual) * FOLLOW);
            moving[op as usize] = Some(moved);
            let bound = (moved * MARGIN).max(moved + MARGIN_MIN.as_secs_f64());
            // what breaks the promise is always worth a look, however usual it has become
            let bound = Duration::from_secs_f64(bound).min(PROMISE);
            self.bounds[op as usize].store(bound.as_nanos() as u64, Relaxed);
        }
        let least = self.bounds.iter().map(|bound| bound.load(Relaxed)).min();
        self.least_bound.store(least.unwrap_or_default(), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // nothing that can panic half-way runs under this lock
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A trace that nobody has yet.
pub fn new_trace() -> TraceId {
    TraceId::new(fastrand::u128(1..)).expect("it is not 0")
}

/// A span that nobody has yet.
pub fn new_span() -> SpanId {
    SpanId::new(fastrand::u64(1..)).expect("it is not 0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn kept_is_what_is_slow_or_failed_or_sampled_and_nothing_else() {
        let keeper = Keeper::new(10, 0.0);
        let reason = |took, outcome, sampled| keeper.reason(OpKind::Join, outcome, took, sampled);
        assert_eq!(reason(80 * MS, Outcome::Ok, false), None);
        assert_eq!(reason(81 * MS, Outcome::Ok, false), Some(Reason::Slow));
        assert_eq!(reason(MS, Outcome::Refused(Code::BadRequest), false), Some(Reason::Error));
        assert_eq!(reason(MS, Outcome::Gone, true), Some(Reason::Error));
        assert_eq!(reason(MS, Outcome::Ok, true), Some(Reason::Sampled));
        assert_eq!(Keeper::new(10, 1.0).reason(OpKind::Join, Outcome::Ok, MS, false), Some(Reason::Head));
        assert_eq!(Keeper::new(0, 1.0).reason(OpKind::Join, Outcome::Gone, 90 * MS, true), None, "nobody exports");
    }

    #[test]
    fn the_bound_follows_what_is_usual_slowly_and_never_passes_the_promise() {
        let keeper = Keeper::new(10, 0.0);
        keeper.tick(|op| (op == OpKind::Send).then_some((SIGNALS_MIN - 1, MS)));
        assert_eq!(keeper.bound(OpKind::Send), PROMISE, "too few to say");
        keeper.tick(|op| (op == OpKind::Send).then_some((SIGNALS_MIN, 4 * MS)));
        assert_eq!((keeper.bound(OpKind::Send), keeper.bound(OpKind::Join)), (9 * MS, PROMISE));
        keeper.tick(|_| Some((SIGNALS_MIN, 40 * MS)));
        let bound = keeper.bound(OpKind::Send);
        assert!(bound > 9 * MS && bound < 12 * MS, "one bad second moves it a little: {bound:?}");
        assert_eq!(keeper.bound(OpKind::Join), 50 * MS);
        (0..600).for_each(|_| keeper.tick(|_| Some((SIGNALS_MIN, 400 * MS))));
        assert_eq!(keeper.bound(OpKind::Send), PROMISE);
    }

    #[test]
    fn a_storm_of_errors_spends_its_own_budget_only() {
        let keeper = Keeper::new(100_000, 0.0);
        let admitted = (0..5_000).filter(|_| keeper.admit(Reason::Error).is_ok()).count();
        assert_eq!(admitted, BURST as usize);
        assert_eq!(keeper.admit(Reason::Error), Err(Lost::Budget));
        assert_eq!(keeper.admit(Reason::Slow), Ok(()));
        keeper.tick(|_| None);
        assert_eq!((0..100).filter(|_| keeper.admit(Reason::Error).is_ok()).count(), BUDGET as usize);
    }

    #[test]
    fn every_reason_stands_at_its_own_place_in_its_set() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
        assert_eq!(Lost::ALL.len(), super::super::catalog::LOST.len());
        assert_eq!(super::super::catalog::LOST[Lost::Shutdown as usize], "shutdown");
    }
}
