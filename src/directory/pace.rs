//! How long to wait before something that failed is tried again: twice as long each time, up to a bound, and never at the
//! same moment as all other routers.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(250);
/// The longest: an etcd that is back is found within some seconds.
const LONGEST: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Pace {
    first: Duration,
    longest: Duration,
    failed: u32,
    random: fastrand::Rng,
}

impl Pace {
    /// Nothing has failed yet.
    pub(super) fn new(seed: u64) -> Self {
        Self::between(FIRST, LONGEST, seed)
    }

    /// The same with other bounds: the first wait, and the longest.
    pub(crate) fn between(first: Duration, longest: Duration, seed: u64) -> Self {
        Self { first, longest, failed: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// It failed again: how long to wait, half of it to one and a half.
    pub(crate) fn failed(&mut self) -> Duration {
        let wait = self.first.saturating_mul(1 << self.failed.min(8)).min(self.longest);
        self.failed = self.failed.saturating_add(1);
        wait.mul_f64(0.5 + self.random.f64())
    }

    /// It was done.
    pub(crate) fn done(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_differ_and_begin_anew() {
        let (mut pace, mut other) = (Pace::new(1), Pace::new(2));
        let waits: Vec<_> = (0..40).map(|_| pace.failed()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST * 3 / 2, "{waits:?}");
        assert!(waits[20..].iter().all(|wait| *wait >= LONGEST / 2 && *wait <= LONGEST * 3 / 2), "{waits:?}");
        assert_ne!(waits, (0..40).map(|_| other.failed()).collect::<Vec<_>>());
        pace.done();
        assert!(pace.failed() <= FIRST * 3 / 2);
    }
}
