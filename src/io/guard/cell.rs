//! What is remembered of one user, address or key: two numbers a slot, changed by whoever asks, without a lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::guard::{
    concurrency,
    limits::{Bound, Slot},
    rate::Rate,
};

const SLOTS: usize = Slot::ALL.len();

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    /// Theoretical arrival times; nanoseconds since the guard began.
    arrivals_ns: [AtomicU64; SLOTS],
    under_way: [AtomicU32; SLOTS],
}

/// Which of the two was reached, and how many nanoseconds later a rate has room again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Rate(u64),
    Places,
}

impl Cell {
    /// Takes one of the rate and, where places are bounded, a place; answers whether it did take a place.
    pub(super) fn take(&self, slot: Slot, bound: Bound, now_ns: u64) -> Result<bool, Full> {
        if let Some(rate) = bound.rate {
            self.take_rate(slot, rate, now_ns).map_err(Full::Rate)?;
        }
        match bound.at_once {
            Some(most) => self.take_place(slot, most).map(|()| true).ok_or(Full::Places),
            None => Ok(false),
        }
    }

    fn take_rate(&self, slot: Slot, rate: Rate, now_ns: u64) -> Result<(), u64> {
        let state = &self.arrivals_ns[slot as usize];
        let mut seen = state.load(Relaxed);
        loop {
            let next = rate.decide(seen, now_ns)?;
            match state.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => seen = other,
            }
        }
    }

    fn take_place(&self, slot: Slot, most: u32) -> Option<()> {
        let count = &self.under_way[slot as usize];
        let mut seen = count.load(Relaxed);
        loop {
            let next = concurrency::decide(seen, most)?;
            match count.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return Some(()),
                Err(other) => seen = other,
            }
        }
    }

    /// Gives a place back that was taken.
    pub(super) fn give_back(&self, slot: Slot) {
        let before = self.under_way[slot as usize].fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a place is given back once");
    }

    /// How far ahead of the clock its furthest arrival time is; 0: it knows nothing that a new one would not.
    pub(super) fn ahead_ns(&self, now_ns: u64) -> u64 {
        let furthest = self.arrivals_ns.iter().map(|at| at.load(Relaxed)).max().unwrap_or(0);
        furthest.saturating_sub(now_ns)
    }

    /// Whether nothing is under way.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.iter().all(|count| count.load(Relaxed) == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn many_threads_together_get_what_one_would() {
        let cell = Cell::default();
        let bound = Bound { rate: Some(Rate::new(1, Duration::from_secs(3_600), 500)), at_once: None };
        let taken: usize = std::thread::scope(|scope| {
            let each = |_| {
                let all = || (0..1_000).filter(|_| cell.take(Slot::Send, bound, 1).is_ok()).count();
                scope.spawn(all)
            };
            let threads: Vec<_> = (0..4).map(each).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 500);
    }

    #[test]
    fn a_place_is_free_again_once_it_was_given_back() {
        let (cell, bound) = (Cell::default(), Bound { rate: None, at_once: Some(1) });
        assert_eq!(cell.take(Slot::Join, bound, 1), Ok(true));
        assert_eq!(cell.take(Slot::Join, bound, 1), Err(Full::Places));
        assert_eq!(cell.take(Slot::Send, bound, 1), Ok(true), "slots know nothing of each other");
        cell.give_back(Slot::Join);
        assert_eq!(cell.take(Slot::Join, bound, 1), Ok(true));
    }

    #[test]
    fn a_cell_says_how_long_it_remembers() {
        let (cell, second) = (Cell::default(), 1_000_000_000);
        assert_eq!(cell.ahead_ns(1), 0);
        let rate = Rate::new(1, Duration::from_secs(1), 10);
        cell.take(Slot::Any, Bound { rate: Some(rate), at_once: None }, second).unwrap();
        assert_eq!((cell.ahead_ns(second), cell.ahead_ns(2 * second)), (second, 0));
        assert!(cell.is_empty());
    }
}
