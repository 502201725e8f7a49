//! Which workers are stalled, as far as looks at an interval can tell. Time is told; touches nothing.
//!
//! A worker is stalled when, look after look, it neither sleeps nor gets on. What counts is the time that the looks
//! cover: when a look comes late, the process was stopped or got no CPU, and no worker is to blame for that.

use std::time::{Duration, Instant};

/// Between two looks.
pub(super) const EVERY: Duration = Duration::from_millis(50);
/// A look that comes later than that after the one before does not know what happened meanwhile.
const LATE: Duration = Duration::from_millis(100);

/// How a worker stands at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// Its number in the runtime.
    pub(super) worker: usize,
    /// Its thread.
    pub(super) tid: Option<u32>,
    /// Whether it has nothing to do.
    pub(super) sleeps: bool,
    /// Grows whenever it gets on.
    pub(super) got_to: u64,
}

/// What a look found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It has neither slept nor got on for so long, which is too long.
    Stalled(Sight, Duration),
    /// It was stalled, for so long in all, and is no longer.
    Returned(Sight, Duration),
}

/// A worker, and for how long it stands as it does.
#[derive(Clone, Copy, Debug)]
struct Standing {
    sight: Sight,
    unmoved_for: Duration,
    stalled: bool,
}

/// Looks, and what they have seen so far.
#[derive(Debug)]
pub(super) struct Watch {
    /// From then on it is a stall.
    bound: Duration,
    looked: Instant,
    standings: Vec<Standing>,
}

impl Watch {
    /// Begins.
    pub(super) fn new(bound: Duration, now: Instant) -> Self {
        Self { bound, looked: now, standings: Vec::new() }
    }

    /// Takes one look.
    pub(super) fn look(&mut self, now: Instant, sights: &[Sight]) -> Vec<Finding> {
        let passed = now.saturating_duration_since(self.looked);
        self.looked = now;
        let covered = if passed > LATE { EVERY } else { passed };
        let mut findings = Vec::new();
        let before = std::mem::take(&mut self.standings);
        for sight in sights {
            let known = before.iter().find(|standing| standing.sight.worker == sight.worker);
            let standing = match known {
                Some(known) if known.sight == *sight && !sight.sleeps => {
                    Standing { unmoved_for: known.unmoved_for + covered, ..*known }
                }
                _ => Standing { sight: *sight, unmoved_for: Duration::ZERO, stalled: false },
            };
            self.standings.push(standing);
        }
        for known in before.iter().filter(|known| known.stalled) {
            let stands_still = |standing: &Standing| standing.stalled && standing.sight == known.sight;
            if !self.standings.iter().any(stands_still) {
                findings.push(Finding::Returned(known.sight, known.unmoved_for + covered));
            }
        }
        for standing in self.standings.iter_mut().filter(|s| !s.stalled && s.unmoved_for >= self.bound) {
            standing.stalled = true;
            findings.push(Finding::Stalled(standing.sight, standing.unmoved_for));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_millis(200);

    /// Looks at one worker, each after that many milliseconds: whether it sleeps, how far it has got.
    fn look_at(looks: &[(u64, bool, u64)]) -> Vec<Finding> {
        let mut now = Instant::now();
        let mut watch = Watch::new(BOUND, now);
        let mut found = Vec::new();
        for (after_ms, sleeps, got_to) in looks {
            now += Duration::from_millis(*after_ms);
            found.extend(watch.look(now, &[sight(0, *sleeps, *got_to)]));
        }
        found
    }

    fn sight(worker: usize, sleeps: bool, got_to: u64) -> Sight {
        Sight { worker, tid: Some(7), sleeps, got_to }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn who_does_not_get_on_for_too_long_is_told_of_once_and_again_when_it_does() {
        let looks = [[(50, false, 1); 20].as_slice(), &[(50, false, 2); 4]].concat();
        let stands = sight(0, false, 1);
        assert_eq!(look_at(&looks), [Finding::Stalled(stands, ms(200)), Finding::Returned(stands, ms(1_000))]);
        // and once more, when it then does not get on again
        let longer = [looks.as_slice(), &[(50, false, 2)]].concat();
        assert_eq!(look_at(&longer)[2..], [Finding::Stalled(sight(0, false, 2), ms(200))]);
    }

    #[test]
    fn who_sleeps_or_gets_on_is_not_stalled_however_long_it_takes() {
        assert_eq!(look_at(&[(50, true, 1); 100]), []);
        let busy: Vec<_> = (0..100).map(|n| (50, false, n / 3)).collect();
        assert_eq!(look_at(&busy), []);
    }

    #[test]
    fn a_stall_just_short_of_the_bound_is_none() {
        assert_eq!(look_at(&[(50, false, 1), (50, false, 1), (50, false, 1), (49, false, 1), (50, false, 2)]), []);
    }

    #[test]
    fn while_the_process_is_stopped_nobody_is_to_blame() {
        let stopped = [(50, false, 1), (60_000, false, 1), (50, false, 2), (3_600_000, false, 2), (50, true, 3)];
        assert_eq!(look_at(&stopped), []);
    }

    #[test]
    fn a_worker_that_ends_or_gets_another_thread_while_it_is_stalled_counts_as_returned() {
        let start = Instant::now();
        let at = |looks: u32| start + EVERY * looks;
        let stands = sight(0, false, 1);
        let returned = [Finding::Returned(stands, ms(250))];
        for after in [vec![], vec![Sight { tid: Some(8), ..stands }]] {
            let mut watch = Watch::new(BOUND, start);
            let found: Vec<_> = (1..=5).flat_map(|n| watch.look(at(n), &[stands])).collect();
            assert_eq!(found, [Finding::Stalled(stands, ms(200))]);
            assert_eq!(watch.look(at(6), &after), returned);
            assert_eq!(watch.look(at(7), &after), []);
        }
    }

    #[test]
    fn each_worker_is_looked_at_for_itself() {
        let start = Instant::now();
        let mut watch = Watch::new(BOUND, start);
        let mut found = Vec::new();
        for n in 1..=10_u32 {
            let sights = [sight(0, false, n.into()), sight(1, false, 9), sight(2, true, 9)];
            found.extend(watch.look(start + EVERY * n, &sights));
        }
        assert_eq!(found, [Finding::Stalled(sight(1, false, 9), ms(200))]);
    }
}
