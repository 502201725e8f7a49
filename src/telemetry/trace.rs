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

use super::{
    PROMISE,
    case::{Case, KINDS, kind},
    recorder::{OTHER_REGION, Series},
};
use crate::{
    event::{Outcome, SpanId, SpanRef, TraceId, nanos},
    protocol::OpKind,
};

/// Signals of a kind in a minute, before their P99 says anything.
const SIGNALS_MIN: u64 = 300;
/// How much of the moving P99 is the latest minute's; told once a second, so it follows a step within a minute or two.
const FOLLOW: f64 = 0.03;
/// The bound is the moving P99 times this, and at least this much more than it: a quarter, and 5 ms.
const MARGIN: f64 = 1.25;
const MARGIN_MIN: Duration = Duration::from_millis(5);
/// Traces a second of each account, and how many may come at once: a storm of errors must not drown what is slow.
const BUDGET: f64 = 50.0;
const BURST: f64 = 1_000.0;
/// Slow signals may take every place that waits for the exporter, each of the other four accounts one in five: when all
/// of those have theirs, as many are left for what is slow.
const SHARES: usize = 5;

/// Those that are told apart, and `other`.
const REGIONS: usize = OTHER_REGION as usize + 1;

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

/// In this order one signal's reasons are asked for a place: the first that has one is why it is kept.
const PREFERRED: [Reason; Reason::ALL.len()] = [Reason::Slow, Reason::Error, Reason::Sampled, Reason::Head];

/// All that speaks for keeping one signal: a bit a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reasons(u8);

impl Reasons {
    pub(super) const NONE: Self = Self(0);
    pub(super) const SLOW: Self = Self(1 << Reason::Slow as u8);

    const fn when(self, applies: bool, reason: Reason) -> Self {
        Self(self.0 | (applies as u8) << reason as u8)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn preferred(self) -> impl Iterator<Item = Reason> {
        PREFERRED.into_iter().filter(move |reason| self.0 & (1 << *reason as u8) != 0)
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

/// What shares a budget and a share of the queue: the signals of one reason; slow deliveries have their own, so that one
/// slow recipient does not spend what slow signals have.
#[derive(Clone, Copy, Debug)]
struct Account {
    /// Refilled once a second.
    budget: f64,
    /// Admitted, and not fetched yet.
    waiting: usize,
}

const ACCOUNTS: usize = Reason::ALL.len() + 1;
const SLOW_SIGNALS: usize = Reason::Slow as usize;
const SLOW_DELIVERIES: usize = Reason::ALL.len();

const fn account(reason: Reason, delivery: bool) -> usize {
    if delivery { SLOW_DELIVERIES } else { reason as usize }
}

#[derive(Debug)]
struct Kept {
    queue: VecDeque<KeptTrace>,
    /// Whoever waits until there is much to fetch.
    waiting: Option<Waker>,
    accounts: [Account; ACCOUNTS],
}

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    /// Nobody exports when this is 0.
    queue_max: usize,
    /// A share, as the bits of an `f64`: it may change while signals end.
    head_rate: AtomicU64,
    /// By kind, nanoseconds: what is slower is kept.
    bounds: [AtomicU64; KINDS],
    /// The same by op and region, of signals; 0: the bound of the kind.
    bands: [[AtomicU64; REGIONS]; OpKind::ALL.len()],
    kept: Mutex<Kept>,
    moving: Mutex<[Option<f64>; KINDS]>,
}

impl Keeper {
    /// Keeps nothing when no trace may wait.
    pub(super) fn new(queue_max: usize, head_rate: f64) -> Self {
        let accounts = [Account { budget: BURST, waiting: 0 }; ACCOUNTS];
        Self {
            queue_max,
            head_rate: AtomicU64::new(head_rate.to_bits()),
            // until a kind has shown what is usual, what breaks the promise is kept
            bounds: std::array::from_fn(|_| AtomicU64::new(nanos(PROMISE))),
            bands: Default::default(),
            kept: Mutex::new(Kept { queue: VecDeque::new(), waiting: None, accounts }),
            moving: Mutex::new([None; KINDS]),
        }
    }

    /// What speaks for keeping a signal of that op and region.
    pub(super) fn reasons(&self, of: (OpKind, u8), outcome: Outcome, took: Duration, sampled: bool) -> Reasons {
        if self.queue_max == 0 {
            return Reasons::NONE;
        }
        Reasons::NONE
            .when(nanos(took) > self.signal_bound(of), Reason::Slow)
            .when(outcome != Outcome::Ok, Reason::Error)
            .when(sampled, Reason::Sampled)
            .when(self.is_drawn(), Reason::Head)
    }

    fn is_drawn(&self) -> bool {
        let share = f64::from_bits(self.head_rate.load(Relaxed));
        share > 0.0 && fastrand::f64() < share
    }

    /// From now on.
    pub(super) fn set_head_rate(&self, share: f64) {
        self.head_rate.store(share.to_bits(), Relaxed);
    }

    /// Whether it is slower than its kind's bound, and somebody exports.
    pub(super) fn is_slow(&self, op: OpKind, delivery: bool, took: Duration) -> bool {
        self.queue_max > 0 && nanos(took) > self.bounds[kind(op, delivery)].load(Relaxed)
    }

    /// The band of its op and region, where it is known what is usual there; else the bound of its kind.
    fn signal_bound(&self, (op, region): (OpKind, u8)) -> u64 {
        match self.bands[op as usize][usize::from(region)].load(Relaxed) {
            0 => self.bounds[kind(op, false)].load(Relaxed),
            band => band,
        }
    }

    /// What is usual of each op and region of which that is known: signals slower than that are kept.
    pub(super) fn follow(&self, bands: impl Iterator<Item = ((OpKind, u8), Duration)>) {
        let mut now = [[0; REGIONS]; OpKind::ALL.len()];
        bands.for_each(|((op, region), band)| now[op as usize][usize::from(region)] = nanos(band));
        let places = self.bands.as_flattened().iter().zip(now.as_flattened());
        places.for_each(|(place, band)| place.store(*band, Relaxed));
    }

    /// What is slower is kept.
    pub(super) fn bound(&self, op: OpKind, delivery: bool) -> Duration {
        Duration::from_nanos(self.bounds[kind(op, delivery)].load(Relaxed))
    }

    /// The reason that has a place for one more, which then is taken: it must be [kept](Self::keep). Absent: there was
    /// no reason. When none of several has a place, the preferred one's refusal is answered.
    pub(super) fn admit(&self, reasons: Reasons, delivery: bool) -> Result<Option<Reason>, Lost> {
        let mut kept = self.lock();
        let full = kept.accounts.iter().map(|account| account.waiting).sum::<usize>() >= self.queue_max;
        let mut refused = None;
        for reason in reasons.preferred() {
            let place = account(reason, delivery);
            let account = &mut kept.accounts[place];
            let why = if full || account.waiting >= self.places(place) {
                Lost::QueueFull
            } else if account.budget < 1.0 {
                Lost::Budget
            } else {
                account.budget -= 1.0;
                account.waiting += 1;
                return Ok(Some(reason));
            };
            refused.get_or_insert(why);
        }
        refused.map_or(Ok(None), Err)
    }

    /// How many of an account may wait.
    fn places(&self, account: usize) -> usize {
        if account == SLOW_SIGNALS { self.queue_max } else { self.share() }
    }

    fn share(&self) -> usize {
        (self.queue_max / SHARES).max(1)
    }

    /// How many wait for the exporter.
    pub(super) fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Takes what was admitted.
    pub(super) fn keep(&self, trace: KeptTrace) {
        let mut kept = self.lock();
        kept.queue.push_back(trace);
        if self.much(&kept)
            && let Some(waiting) = kept.waiting.take()
        {
            waiting.wake();
        }
    }

    /// Whether half of what one account may take waits; if not, that task is woken once it does.
    pub(super) fn poll_much(&self, waiting: &Waker) -> Poll<()> {
        let mut kept = self.lock();
        if self.much(&kept) {
            return Poll::Ready(());
        }
        kept.waiting = Some(waiting.clone());
        Poll::Pending
    }

    fn much(&self, kept: &Kept) -> bool {
        kept.queue.len() >= self.share().div_ceil(2)
    }

    /// Up to so many of those that wait, oldest first.
    pub(super) fn fetch(&self, most: usize) -> Vec<KeptTrace> {
        let mut kept = self.lock();
        let count = kept.queue.len().min(most);
        let fetched: Vec<KeptTrace> = kept.queue.drain(..count).collect();
        for trace in &fetched {
            kept.accounts[account(trace.reason, trace.case.delivery)].waiting -= 1;
        }
        fetched
    }

    /// Once a second: refills the budgets, and moves the bounds by the last minute's count and P99 of each op's signals,
    /// and of its deliveries.
    pub(super) fn tick(&self, last_minute: impl Fn(OpKind, bool) -> Option<(u64, Duration)>) {
        for account in &mut self.lock().accounts {
            account.budget = (account.budget + BUDGET).min(BURST);
        }
        let mut moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        for op in OpKind::ALL {
            for delivery in [false, true] {
                let (at, Some((count, p99))) = (kind(op, delivery), last_minute(op, delivery)) else { continue };
                if count >= SIGNALS_MIN {
                    let moved = moving[at].map_or(p99.as_secs_f64(), |usual| followed(usual, p99));
                    moving[at] = Some(moved);
                    self.bounds[at].store(nanos(bound(moved)), Relaxed);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // nothing that can panic half-way runs under this lock
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is usual, after a second of that P99.
fn followed(usual: f64, p99: Duration) -> f64 {
    usual + (p99.as_secs_f64() - usual) * FOLLOW
}

/// What is slower is kept: where the promise is broken that is always worth a look, however usual it has become.
fn bound(usual: f64) -> Duration {
    Duration::from_secs_f64((usual * MARGIN).max(usual + MARGIN_MIN.as_secs_f64())).min(PROMISE)
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

    fn kept(reason: Reason, delivery: bool) -> KeptTrace {
        let case = Case { delivery, ..Case::of(OpKind::Send) };
        let (trace, span) = (new_trace(), new_span());
        KeptTrace { reason, trace, span, parent: None, session_link: None, case, series: Series::Stage(0) }
    }

    fn only(reason: Reason) -> Reasons {
        Reasons::NONE.when(true, reason)
    }

    /// As many of them as find a place, each kept; and why the next one does not.
    fn fill(keeper: &Keeper, reason: Reason, delivery: bool) -> (usize, Lost) {
        for count in 0.. {
            match keeper.admit(only(reason), delivery) {
                Ok(admitted) => keeper.keep(kept(admitted.unwrap(), delivery)),
                Err(lost) => return (count, lost),
            }
        }
        unreachable!("there is a bound")
    }

    #[test]
    fn kept_is_what_is_slow_or_failed_or_sampled_and_nothing_else() {
        let keeper = Keeper::new(10, 0.0);
        let reason =
            |took, outcome, sampled| keeper.reasons((OpKind::Join, 0), outcome, took, sampled).preferred().next();
        assert_eq!(reason(80 * MS, Outcome::Ok, false), None);
        assert_eq!(reason(81 * MS, Outcome::Ok, false), Some(Reason::Slow));
        assert_eq!(reason(MS, Outcome::Refused(Code::BadRequest), false), Some(Reason::Error));
        assert_eq!(reason(MS, Outcome::Gone, true), Some(Reason::Error));
        assert_eq!(reason(MS, Outcome::Ok, true), Some(Reason::Sampled));
        assert_eq!(Keeper::new(10, 1.0).reasons((OpKind::Join, 0), Outcome::Ok, MS, false), only(Reason::Head));
        let nobody_exports = Keeper::new(0, 1.0);
        assert!(nobody_exports.reasons((OpKind::Join, 0), Outcome::Gone, 90 * MS, true).is_empty());
        assert!(!nobody_exports.is_slow(OpKind::Join, true, 90 * MS));
    }

    #[test]
    fn the_bound_follows_what_is_usual_slowly_and_never_passes_the_promise() {
        let keeper = Keeper::new(10, 0.0);
        let bound = |op| keeper.bound(op, false);
        keeper.tick(|op, _| (op == OpKind::Send).then_some((SIGNALS_MIN - 1, MS)));
        assert_eq!(bound(OpKind::Send), PROMISE, "too few to say");
        keeper.tick(|op, _| (op == OpKind::Send).then_some((SIGNALS_MIN, 4 * MS)));
        assert_eq!((bound(OpKind::Send), bound(OpKind::Join)), (9 * MS, PROMISE));
        keeper.tick(|_, _| Some((SIGNALS_MIN, 40 * MS)));
        let moved = bound(OpKind::Send);
        assert!(moved > 9 * MS && moved < 12 * MS, "one bad second moves it a little: {moved:?}");
        assert_eq!(bound(OpKind::Join), 50 * MS);
        (0..600).for_each(|_| keeper.tick(|_, _| Some((SIGNALS_MIN, 400 * MS))));
        assert_eq!(bound(OpKind::Send), PROMISE);
    }

    #[test]
    fn where_it_is_known_what_is_usual_that_is_the_bound() {
        let keeper = Keeper::new(10, 0.0);
        let is_slow = |region| keeper.reasons((OpKind::Join, region), Outcome::Ok, 30 * MS, false) == Reasons::SLOW;
        keeper.follow([((OpKind::Join, 1), 20 * MS), ((OpKind::Join, OTHER_REGION), 40 * MS)].into_iter());
        assert_eq!([0, 1, OTHER_REGION].map(is_slow), [false, true, false]);
        keeper.tick(|_, _| Some((SIGNALS_MIN, 10 * MS)));
        assert_eq!([0, 1, OTHER_REGION].map(is_slow), [true, true, false]);
        keeper.follow(std::iter::empty());
        assert_eq!([0, 1, OTHER_REGION].map(is_slow), [true, true, true]);
    }

    #[test]
    fn deliveries_have_a_bound_of_their_own() {
        let keeper = Keeper::new(10, 0.0);
        keeper.tick(|_, delivery| Some((SIGNALS_MIN, if delivery { 40 * MS } else { 4 * MS })));
        assert_eq!((keeper.bound(OpKind::Send, false), keeper.bound(OpKind::Send, true)), (9 * MS, 50 * MS));
        assert!(keeper.is_slow(OpKind::Send, false, 10 * MS) && !keeper.is_slow(OpKind::Send, true, 50 * MS));
        assert!(keeper.is_slow(OpKind::Send, true, 51 * MS));
    }

    #[test]
    fn a_storm_of_errors_or_of_slow_deliveries_spends_its_own_budget_only() {
        let keeper = Keeper::new(100_000, 0.0);
        assert_eq!(fill(&keeper, Reason::Error, false), (BURST as usize, Lost::Budget));
        assert_eq!(fill(&keeper, Reason::Slow, true), (BURST as usize, Lost::Budget));
        assert_eq!(keeper.admit(Reasons::SLOW, false), Ok(Some(Reason::Slow)));
        keeper.tick(|_, _| None);
        assert_eq!(fill(&keeper, Reason::Error, false), (BUDGET as usize, Lost::Budget));
    }

    #[test]
    fn when_the_first_reason_has_no_place_the_next_that_applies_is_asked() {
        let keeper = Keeper::new(100_000, 0.0);
        fill(&keeper, Reason::Error, false);
        let failed_and_sampled = only(Reason::Error).when(true, Reason::Sampled);
        assert_eq!(keeper.admit(failed_and_sampled, false), Ok(Some(Reason::Sampled)));
        fill(&keeper, Reason::Slow, false);
        let slow_too = failed_and_sampled.when(true, Reason::Slow);
        assert_eq!(keeper.admit(slow_too, false), Ok(Some(Reason::Sampled)));
        assert_eq!(keeper.admit(only(Reason::Error).when(true, Reason::Slow), false), Err(Lost::Budget));
        assert_eq!(keeper.admit(Reasons::NONE, false), Ok(None));
    }

    #[test]
    fn each_reason_has_a_share_of_the_queue_and_what_is_slow_finds_a_place_beside_all_of_them() {
        let keeper = Keeper::new(2_048, 0.0);
        let share = 2_048 / SHARES;
        for reason in [Reason::Error, Reason::Sampled, Reason::Head] {
            assert_eq!(fill(&keeper, reason, false), (share, Lost::QueueFull), "{reason:?}");
        }
        assert_eq!(fill(&keeper, Reason::Slow, true), (share, Lost::QueueFull));
        assert_eq!(fill(&keeper, Reason::Slow, false), (2_048 - 4 * share, Lost::QueueFull));
        // what is fetched makes room for its own reason: these were the first errors
        assert_eq!(keeper.fetch(100).len(), 100);
        assert_eq!(fill(&keeper, Reason::Head, false), (0, Lost::QueueFull));
        assert_eq!(fill(&keeper, Reason::Error, false), (100, Lost::QueueFull));
        assert_eq!(keeper.fetch(usize::MAX).len(), 2_048);
        (0..20).for_each(|_| keeper.tick(|_, _| None));
        assert_eq!(fill(&keeper, Reason::Slow, false), (BURST as usize, Lost::Budget));
    }

    #[test]
    fn no_more_than_may_wait_are_admitted_also_when_none_of_them_is_there_yet() {
        let keeper = Keeper::new(10, 0.0);
        let admitted = (0..20).filter(|_| keeper.admit(Reasons::SLOW, false).is_ok()).count();
        assert_eq!((admitted, keeper.fetch(20).len()), (10, 0));
        (0..10).for_each(|_| keeper.keep(kept(Reason::Slow, false)));
        assert_eq!(keeper.admit(Reasons::SLOW, false), Err(Lost::QueueFull));
        assert_eq!(keeper.fetch(20).len(), 10);
        assert_eq!(keeper.admit(Reasons::SLOW, false), Ok(Some(Reason::Slow)));
    }

    #[test]
    fn every_reason_stands_at_its_own_place_in_its_set() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            assert!(PREFERRED.contains(&reason));
        }
        assert_eq!(Lost::ALL.len(), super::super::catalog::LOST.len());
        assert_eq!(super::super::catalog::LOST[Lost::Shutdown as usize], "shutdown");
    }
}
