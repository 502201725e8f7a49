//! Keeps a line that repeats from filling the log: one in a while, with the number of those held back.
//!
//! Two numbers a line, no clock: the time is told.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Between two lines of one kind.
const EVERY_MS: u64 = 10_000;

/// The state of one kind of line.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    next_ms: AtomicU64,
    held: AtomicU64,
}

impl Quiet {
    /// Whether a line may be written now; if so, how many were held back since the last one. If not, it is counted.
    pub(super) fn admit(&self, now_ms: u64) -> Option<u64> {
        if self.moves_on(now_ms) {
            return Some(self.held.swap(0, Relaxed));
        }
        self.held.fetch_add(1, Relaxed);
        None
    }

    /// How many were held back since the last line, once it may be written; 0: nothing to tell.
    pub(super) fn settle(&self, now_ms: u64) -> u64 {
        if self.held.load(Relaxed) == 0 || !self.moves_on(now_ms) {
            return 0;
        }
        self.held.swap(0, Relaxed)
    }

    /// Whether it is time for a line, and nobody else has just taken it.
    fn moves_on(&self, now_ms: u64) -> bool {
        let next = self.next_ms.load(Relaxed);
        now_ms >= next && self.next_ms.compare_exchange(next, now_ms + EVERY_MS, Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_written_and_the_next_says_what_was_held_back() {
        let quiet = Quiet::default();
        assert_eq!(quiet.admit(0), Some(0));
        assert_eq!(quiet.admit(1), None);
        assert_eq!(quiet.admit(EVERY_MS - 1), None);
        assert_eq!(quiet.admit(EVERY_MS), Some(2));
        assert_eq!(quiet.admit(EVERY_MS * 3), Some(0));
    }

    #[test]
    fn what_was_held_back_is_told_even_when_nothing_follows() {
        let quiet = Quiet::default();
        quiet.admit(0);
        assert_eq!(quiet.settle(EVERY_MS), 0);
        quiet.admit(5);
        assert_eq!(quiet.settle(6), 0);
        assert_eq!(quiet.settle(EVERY_MS), 1);
        assert_eq!(quiet.settle(EVERY_MS * 2), 0);
    }

    #[test]
    fn of_many_threads_at_one_time_one_writes_and_none_is_forgotten() {
        let quiet = Quiet::default();
        let written = std::thread::scope(|scope| {
            let threads = (0..4).map(|_| scope.spawn(|| (0..100).filter(|_| quiet.admit(7).is_some()).count()));
            threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(written, 1);
        assert_eq!(quiet.settle(7 + EVERY_MS), 399);
    }
}
