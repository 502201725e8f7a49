//! Calls of the last while, in ten parts that are used again.

use std::time::{Duration, Instant};

const PARTS: usize = 10;

/// What is counted of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) calls: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

/// Counts by part; a part whose time is over is emptied when its place is needed again.
#[derive(Debug)]
pub(super) struct Window {
    begun: Instant,
    /// Length of one part; at least a nanosecond.
    part: Duration,
    /// The number of the part since `begun`, and what was counted in it.
    parts: [(u64, Counted); PARTS],
}

impl Window {
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        let part = (length / PARTS as u32).max(Duration::from_nanos(1));
        Self { begun: now, part, parts: [(0, Counted::default()); PARTS] }
    }

    pub(super) fn count(&mut self, now: Instant, failed: bool, slow: bool) {
        let number = self.number(now);
        let (of, counted) = &mut self.parts[(number % PARTS as u64) as usize];
        if *of != number {
            (*of, *counted) = (number, Counted::default());
        }
        counted.calls = counted.calls.saturating_add(1);
        counted.failed = counted.failed.saturating_add(u32::from(failed));
        counted.slow = counted.slow.saturating_add(u32::from(slow));
    }

    /// What was counted within the window that ends at that moment.
    pub(super) fn sum(&self, now: Instant) -> Counted {
        let number = self.number(now);
        let recent = self.parts.iter().filter(|(of, _)| *of <= number && number - *of < PARTS as u64);
        recent.fold(Counted::default(), |sum, (_, counted)| Counted {
            calls: sum.calls.saturating_add(counted.calls),
            failed: sum.failed.saturating_add(counted.failed),
            slow: sum.slow.saturating_add(counted.slow),
        })
    }

    fn number(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.begun).as_nanos() / self.part.as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}
