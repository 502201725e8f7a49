//! What is made when it is asked for, by one task for all who ask, and not tried again for a while once that failed.
//!
//! Whoever asks meanwhile hears at once why not: nothing queues up before a server that is away.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};

use crate::{directory::pace::Pace, event::FabricOutcome, fabric::Fault};

/// The first wait after a failure; half of it to one and a half.
const FIRST: Duration = Duration::from_millis(50);
/// The longest: a server that is back is found within some two seconds.
const LONGEST: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Made<T> {
    state: Mutex<State<T>>,
    /// Told after each attempt.
    changed: watch::Sender<()>,
    /// For one attempt.
    bound: Duration,
    /// From the beginning of one attempt until the next one, even if it did not fail.
    apart: Duration,
}

struct State<T> {
    stands: Option<T>,
    being_made: bool,
    begun: Option<Instant>,
    /// Not tried before then.
    rests_until: Option<Instant>,
    failed: Option<Fault>,
    pace: Pace,
}

enum Next<T> {
    Stands(T),
    Wait,
    Make,
    Rests(Fault),
}

impl<T: Clone + Send + 'static> Made<T> {
    /// Nothing was made yet. An attempt takes no longer than the bound, and begins that long after the one before, give or take a
    /// quarter of it, by the seed.
    pub(super) fn new(bound: Duration, apart: Duration, seed: u64) -> Arc<Self> {
        let state = State {
            stands: None,
            being_made: false,
            begun: None,
            rests_until: None,
            failed: None,
            pace: Pace::between(FIRST, LONGEST, seed),
        };
        let apart = apart.mul_f64(0.75 + fastrand::Rng::with_seed(seed).f64() / 2.0);
        Arc::new(Self { state: Mutex::new(state), changed: watch::Sender::new(()), bound, apart })
    }

    /// What stands, or what comes of making it. It goes on being made when who asked has gone.
    pub(super) async fn get<F>(self: &Arc<Self>, make: impl FnOnce() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let (mut make, mut waited) = (Some(make), false);
        loop {
            // before it is looked: what changes after that is not missed
            let mut changed = self.changed.subscribe();
            match (self.next(), make.take()) {
                (Next::Stands(made), _) => return Ok(made),
                // it failed while this one waited
                (Next::Rests(fault), _) if waited => return Err(fault),
                (Next::Rests(Fault { why, .. }), _) => return Err(Fault { outcome: FabricOutcome::Resting, why }),
                (Next::Make, Some(make)) => self.spawn(make()),
                (Next::Make, None) => {
                    self.end(Err(Fault { outcome: FabricOutcome::Resting, why: "it was lost at once".to_owned() }));
                }
                (Next::Wait, kept) => make = kept,
            }
            waited = true;
            changed.changed().await.ok();
        }
    }

    /// Makes another one in place of what stands, which is used until then. Does nothing when it is not time for it.
    pub(super) fn renew<F>(self: &Arc<Self>, make: impl FnOnce() -> F)
    where
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let now = Instant::now();
        let begins = {
            let mut state = self.state();
            let due = !state.being_made && state.rests_until.is_none_or(|until| now >= until);
            if due {
                (state.being_made, state.begun) = (true, Some(now));
            }
            due
        };
        if begins {
            self.spawn(make());
        }
    }

    /// What stands.
    pub(super) fn stands(&self) -> Option<T> {
        self.state().stands.clone()
    }

    /// What stands is of no use, if it is that. Says whether it stood.
    pub(super) fn let_go(&self, is_it: impl FnOnce(&T) -> bool) -> bool {
        let mut state = self.state();
        // dropped without the lock
        let gone = if state.stands.as_ref().is_some_and(is_it) { state.stands.take() } else { None };
        drop(state);
        gone.is_some()
    }

    fn next(&self) -> Next<T> {
        let now = Instant::now();
        let mut state = self.state();
        match (&state.stands, state.being_made, state.rests_until) {
            (Some(made), ..) => Next::Stands(made.clone()),
            (None, true, _) => Next::Wait,
            (None, false, Some(until)) if now < until => Next::Rests(state.failed.clone().unwrap_or_else(lost)),
            (None, false, _) => {
                (state.being_made, state.begun) = (true, Some(now));
                Next::Make
            }
        }
    }

    fn spawn(self: &Arc<Self>, making: impl Future<Output = Result<T, Fault>> + Send + 'static) {
        let made = self.clone();
        tokio::spawn(async move {
            let bound = made.bound;
            let done = timeout(bound, making).await.unwrap_or_else(|_| Err(late(bound)));
            made.end(done);
        });
    }

    fn end(&self, done: Result<T, Fault>) {
        let now = Instant::now();
        let mut state = self.state();
        state.being_made = false;
        let wait = match done {
            Ok(made) => {
                state.pace.done();
                (state.stands, state.failed) = (Some(made), None);
                Duration::ZERO
            }
            Err(fault) => {
                state.failed = Some(fault);
                state.pace.failed()
            }
        };
        let apart = state.begun.map_or(now, |begun| begun + self.apart);
        state.rests_until = Some(apart.max(now + wait));
        drop(state);
        self.changed.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // each of it is changed at once
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It was made a moment ago, and does not stand any more.
fn lost() -> Fault {
    Fault { outcome: FabricOutcome::Unreachable, why: "the connection was lost a moment ago".to_owned() }
}

/// What took too long.
pub(super) fn late(bound: Duration) -> Fault {
    Fault { outcome: FabricOutcome::Late, why: format!("no answer within {} ms", bound.as_millis()) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    const APART: Duration = Duration::from_millis(20);

    fn fault(outcome: FabricOutcome) -> Fault {
        Fault { outcome, why: "no".to_owned() }
    }

    #[tokio::test]
    async fn all_who_ask_share_one_attempt_and_hear_at_once_of_one_that_failed() {
        let (made, attempts) = (Made::<u32>::new(Duration::from_secs(5), APART, 1), Arc::new(AtomicUsize::new(0)));
        let attempt = || {
            let attempts = attempts.clone();
            async move {
                attempts.fetch_add(1, SeqCst);
                tokio::task::yield_now().await;
                Err(fault(FabricOutcome::Denied))
            }
        };
        let all = futures_util::future::join_all((0..50).map(|_| made.get(attempt))).await;
        assert!(all.iter().all(|answer| *answer == Err(fault(FabricOutcome::Denied))), "{all:?}");
        assert_eq!(made.get(attempt).await, Err(fault(FabricOutcome::Resting)));
        made.renew(attempt);
        assert_eq!(attempts.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn what_stands_is_used_until_another_one_stands_and_is_let_go_of_by_who_means_it() {
        let made = Made::<u32>::new(Duration::from_secs(5), APART, 1);
        assert_eq!(made.get(|| async { Ok(1) }).await, Ok(1));
        assert_eq!(made.get(|| async { Ok(2) }).await, Ok(1));
        tokio::time::sleep(APART * 2).await;
        let (let_on, wait) = tokio::sync::oneshot::channel();
        made.renew(|| async move { wait.await.map_err(|_| fault(FabricOutcome::Failed)) });
        assert_eq!(made.get(|| async { Ok(4) }).await, Ok(1));
        let mut changed = made.changed.subscribe();
        let_on.send(3).unwrap();
        changed.changed().await.unwrap();
        assert!(!made.let_go(|stands| *stands == 1) && made.let_go(|stands| *stands == 3));
        assert_eq!(made.stands(), None);
    }

    #[tokio::test]
    async fn an_attempt_goes_on_when_who_asked_has_gone_and_ends_by_itself() {
        let made = Made::<u32>::new(Duration::from_millis(20), APART, 1);
        let asked = made.get(std::future::pending);
        assert!(tokio::time::timeout(Duration::from_millis(1), asked).await.is_err());
        assert_eq!(made.get(std::future::pending).await, Err(late(Duration::from_millis(20))));
    }
}
