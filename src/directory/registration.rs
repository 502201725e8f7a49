//! This router's lease, and the record that stands under it.
//!
//! One step at a time: a lease is granted, the record written, the lease refreshed, the record written again with its new
//! load. A lease that etcd does not know any more is granted anew and the record with it.

use std::time::{Duration, Instant};

use super::{Answer, Fault, pace::Pace};
use crate::event::{DirectoryFact, DirectoryOutcome};

/// A lease is refreshed so many times while it lasts, so that two may be missed.
const REFRESHES: u32 = 3;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A lease is asked for.
    Grant,
    /// The record is written under this lease.
    Put { lease: i64 },
    /// The lease is kept.
    Refresh { lease: i64 },
    /// The lease is given back.
    Revoke { lease: i64 },
}

/// A step that etcd was asked for.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    step: Step,
    at: Instant,
    /// Of the record, when it was asked.
    edition: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It is there to stay.
    No,
    /// The lease is to be given back.
    Leaving,
    Left,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Registration {
    ttl: Duration,
    lease: Option<i64>,
    /// When the lease was proven last; before the first: when all began.
    proven: Instant,
    /// Counts changes of the record; the one that was written last, and whether the lease is a new one since it was told.
    edition: u64,
    written: Option<u64>,
    /// The revision that the record was written with last; 0: never.
    revision: i64,
    told: bool,
    under_way: Option<UnderWay>,
    due: Instant,
    pace: Pace,
    ending: Ending,
}

impl Registration {
    pub(super) fn new(ttl: Duration, seed: u64, now: Instant) -> Self {
        Self {
            ttl,
            lease: None,
            proven: now,
            edition: 0,
            written: None,
            revision: 0,
            told: false,
            under_way: None,
            due: now,
            pace: Pace::new(seed),
            ending: Ending::No,
        }
    }

    /// The record says something else, which others should hear soon.
    pub(super) fn changed(&mut self, now: Instant) {
        self.edition += 1;
        self.due = self.due.min(now);
    }

    /// The lease is to be given back, and no other one asked for.
    pub(super) fn leave(&mut self, now: Instant) {
        if self.ending == Ending::No {
            self.ending = Ending::Leaving;
            self.due = now;
        }
    }

    /// Whether nothing is left to be given back.
    pub(super) fn has_left(&self) -> bool {
        self.ending == Ending::Left
    }

    /// The lease, while nothing is known of its end and nobody leaves.
    pub(super) fn lease(&self) -> Option<i64> {
        self.lease.filter(|_| self.ending == Ending::No)
    }

    /// Whether the record stands, as far as this router was told.
    pub(super) fn stands(&self) -> bool {
        self.lease.is_some() && self.written.is_some()
    }

    /// Whether something at that revision was written over what this router had written.
    pub(super) fn is_overwritten_by(&self, revision: i64) -> bool {
        self.revision != 0 && revision > self.revision
    }

    /// How long ago the lease was proven.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.proven)
    }

    /// When the next step is due; absent: one is under way, or none will be.
    pub(super) fn wake(&self) -> Option<Instant> {
        (self.under_way.is_none() && !self.has_left()).then_some(self.due)
    }

    /// The next step, if it is time; it is under way from then on.
    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        if self.wake().is_none_or(|due| due > now) {
            return None;
        }
        let step = match (self.ending, self.lease) {
            (Ending::Left, _) => return None,
            (Ending::Leaving, None) => {
                self.ending = Ending::Left;
                return None;
            }
            (Ending::Leaving, Some(lease)) => Step::Revoke { lease },
            (Ending::No, None) => Step::Grant,
            (Ending::No, Some(lease)) if self.written != Some(self.edition) => Step::Put { lease },
            (Ending::No, Some(lease)) => Step::Refresh { lease },
        };
        self.under_way = Some(UnderWay { step, at: now, edition: self.edition });
        Some(step)
    }

    /// How the step that is under way ended.
    pub(super) fn answered(&mut self, answer: Result<&Answer, &Fault>, now: Instant) -> Option<DirectoryFact> {
        let under_way = self.under_way.take()?;
        let fact = self.went(under_way, answer, now);
        if self.ending == Ending::Leaving {
            // whoever leaves does not wait for the next refresh, nor for the next try
            self.due = now;
        }
        fact
    }

    fn went(
        &mut self,
        UnderWay { step, at, edition }: UnderWay,
        answer: Result<&Answer, &Fault>,
        now: Instant,
    ) -> Option<DirectoryFact> {
        if let Step::Revoke { .. } = step {
            // one that could not be given back ends by itself
            self.ending = Ending::Left;
            self.lease = None;
            return answer.is_ok().then_some(DirectoryFact::Left);
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(Fault { outcome: DirectoryOutcome::Gone, .. }) => return self.lost(now),
            Err(_) => {
                self.retry(now);
                return None;
            }
        };
        self.pace.done();
        match (step, answer) {
            (Step::Grant, Answer::Granted { lease }) => {
                (self.lease, self.proven, self.written, self.told) = (Some(*lease), at, None, false);
                self.due = now;
            }
            (Step::Refresh { lease }, Answer::Refreshed { alive: true }) if self.lease == Some(lease) => {
                self.proven = at;
                // its load is new, and its way back through the watch proves that alive
                self.changed(now);
            }
            (Step::Refresh { .. }, Answer::Refreshed { alive: false }) => return self.lost(now),
            (Step::Put { lease }, Answer::Written { revision, .. }) => {
                (self.written, self.revision) = (Some(edition), *revision);
                let next = self.proven + self.ttl / REFRESHES;
                self.due = if self.written == Some(self.edition) { next } else { now };
                return (!std::mem::replace(&mut self.told, true))
                    .then_some(DirectoryFact::Registered { lease, revision: *revision });
            }
            // no answer to what was asked: as if there was none
            _ => self.retry(now),
        }
        None
    }

    /// The lease is not there any more; what stood under it neither.
    fn lost(&mut self, now: Instant) -> Option<DirectoryFact> {
        (self.written, self.due) = (None, now);
        self.lease.take().map(|lease| DirectoryFact::LeaseLost { lease })
    }

    fn retry(&mut self, now: Instant) {
        self.due = now + self.pace.failed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);
    const DONE: Answer = Answer::Written { cluster: 1, revision: 5 };

    fn fault(outcome: DirectoryOutcome) -> Fault {
        Fault { outcome, why: "x".to_owned() }
    }

    /// One that stands under lease 7 since `now`.
    fn standing(now: Instant) -> Registration {
        let mut registration = Registration::new(TTL, 1, now);
        assert_eq!(registration.step(now), Some(Step::Grant));
        assert_eq!(registration.step(now), None, "one step at a time");
        assert_eq!(registration.answered(Ok(&Answer::Granted { lease: 7 }), now), None);
        assert_eq!(registration.step(now), Some(Step::Put { lease: 7 }));
        assert!(!registration.stands());
        let registered = DirectoryFact::Registered { lease: 7, revision: 5 };
        assert_eq!(registration.answered(Ok(&DONE), now), Some(registered));
        assert!(registration.stands());
        registration
    }

    #[test]
    fn a_lease_is_refreshed_every_third_of_its_time_and_the_record_written_again() {
        let begun = Instant::now();
        let mut registration = standing(begun);
        assert_eq!(registration.wake(), Some(begun + TTL / 3));
        assert_eq!(registration.step(begun + TTL / 4), None);
        let then = begun + TTL / 3;
        assert_eq!(registration.step(then), Some(Step::Refresh { lease: 7 }));
        // proven when it was asked, not when the answer came
        registration.answered(Ok(&Answer::Refreshed { alive: true }), then + Duration::from_secs(1));
        assert_eq!(registration.age(then + Duration::from_secs(1)), Duration::from_secs(1));
        let later = then + Duration::from_secs(1);
        assert_eq!(registration.step(later), Some(Step::Put { lease: 7 }));
        assert_eq!(registration.answered(Ok(&DONE), later), None, "told once a lease");
        assert_eq!(registration.wake(), Some(then + TTL / 3));
    }

    #[test]
    fn a_lease_that_is_gone_is_granted_anew_and_everything_written_again() {
        let begun = Instant::now();
        for gone in [Ok(&Answer::Refreshed { alive: false }), Err(&fault(DirectoryOutcome::Gone))] {
            let (mut registration, then) = (standing(begun), begun + TTL / 3);
            registration.step(then).unwrap();
            assert_eq!(registration.answered(gone, then), Some(DirectoryFact::LeaseLost { lease: 7 }));
            assert!(!registration.stands());
            assert_eq!(registration.step(then), Some(Step::Grant));
            registration.answered(Ok(&Answer::Granted { lease: 8 }), then);
            assert_eq!(registration.step(then), Some(Step::Put { lease: 8 }));
            let told = registration.answered(Ok(&DONE), then);
            assert_eq!(told, Some(DirectoryFact::Registered { lease: 8, revision: 5 }));
        }
    }

    #[test]
    fn what_fails_is_tried_again_for_ever_and_the_lease_ages_meanwhile() {
        let mut now = Instant::now();
        let begun = now;
        let mut registration = standing(now);
        for _ in 0..200 {
            now = registration.wake().unwrap();
            assert_eq!(registration.step(now), Some(Step::Refresh { lease: 7 }));
            registration.answered(Err(&fault(DirectoryOutcome::Late)), now);
        }
        assert!(registration.age(now) > TTL * 10 && registration.age(now) == now - begun);
        assert!(registration.wake().unwrap() <= now + Duration::from_secs(8));
    }

    #[test]
    fn a_record_that_changes_while_it_is_written_is_written_once_more() {
        let now = Instant::now();
        let mut registration = standing(now);
        registration.changed(now);
        assert_eq!(registration.step(now), Some(Step::Put { lease: 7 }));
        registration.changed(now);
        registration.answered(Ok(&DONE), now);
        assert_eq!(registration.step(now), Some(Step::Put { lease: 7 }));
        registration.answered(Ok(&DONE), now);
        assert_eq!(registration.step(now), None);
    }

    #[test]
    fn whoever_leaves_gives_the_lease_back_once_and_asks_for_no_other() {
        let now = Instant::now();
        let mut registration = standing(now);
        registration.leave(now);
        assert_eq!(registration.step(now), Some(Step::Revoke { lease: 7 }));
        assert_eq!(registration.answered(Ok(&Answer::Revoked), now), Some(DirectoryFact::Left));
        assert!(registration.has_left() && registration.wake().is_none() && registration.step(now).is_none());
        // a step that was under way is waited for; without a lease there is nothing to give back
        let mut registration = Registration::new(TTL, 1, now);
        registration.step(now).unwrap();
        registration.leave(now);
        assert_eq!(registration.step(now), None);
        registration.answered(Err(&fault(DirectoryOutcome::Unreachable)), now);
        assert_eq!(registration.step(now), None);
        assert!(registration.has_left());
        // the record that says so is on its way: right after it, and not at the next refresh
        for answer in [Ok(&DONE), Err(&fault(DirectoryOutcome::Late))] {
            let mut registration = standing(now);
            registration.changed(now);
            assert_eq!(registration.step(now), Some(Step::Put { lease: 7 }));
            registration.leave(now);
            registration.answered(answer, now);
            assert_eq!(registration.step(now), Some(Step::Revoke { lease: 7 }));
        }
        // one that cannot be given back does not hold the end up
        let mut registration = standing(now);
        registration.leave(now);
        registration.step(now).unwrap();
        assert_eq!(registration.answered(Err(&fault(DirectoryOutcome::Late)), now), None);
        assert!(registration.has_left());
    }
}
