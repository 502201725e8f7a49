//! The slowest signals of the last hour by op: the flight recorder. Kept whether or not anybody collects traces.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

mod row;

pub use self::row::{SlowRow, StagePart};
use super::case::{Case, KINDS, kind};
use crate::{
    event::{TraceId, nanos},
    protocol::OpKind,
};

/// How long one is shown.
const HOUR_SECONDS: u64 = 3_600;
/// The hour is kept in parts of so many seconds, so that the slowest of an hour ago makes way for those after it.
const PART_SECONDS: u64 = 600;
/// Parts that reach into the last hour, beside the present one.
const PARTS: u64 = HOUR_SECONDS / PART_SECONDS;
/// Signals of an op and a part.
const KEPT_MAX: usize = 10;

/// A slow signal, or a slow push to one recipient.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowSignal {
    /// What happened.
    pub case: Case,
    /// Its trace, when that was kept.
    pub trace: Option<TraceId>,
}

#[derive(Debug)]
struct Part {
    number: u64,
    /// By kind; slowest first, each with the second in which it ended.
    slowest: [Vec<(u64, SlowSignal)>; KINDS],
}

impl Part {
    fn new(number: u64) -> Self {
        Self { number, slowest: std::array::from_fn(|_| Vec::new()) }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Slow {
    /// By kind, nanoseconds: what is not slower need not ask for the lock.
    least: [AtomicU64; KINDS],
    /// Oldest first; the last one is the present one.
    parts: Mutex<VecDeque<Part>>,
}

impl Default for Slow {
    fn default() -> Self {
        let parts = Mutex::new(VecDeque::from([Part::new(0)]));
        Self { least: std::array::from_fn(|_| AtomicU64::new(0)), parts }
    }
}

impl Slow {
    /// Whether it would find a place.
    pub(super) fn wants(&self, op: OpKind, delivery: bool, took: Duration) -> bool {
        nanos(took) > self.least[kind(op, delivery)].load(Relaxed)
    }

    /// Takes one that is wanted and ended in that second since the start, by the clock that does not step.
    pub(super) fn keep(&self, signal: SlowSignal, second: u64) {
        let kind = kind(signal.case.op, signal.case.delivery);
        let mut parts = self.lock();
        self.begin(&mut parts, second);
        let Some(part) = parts.back_mut() else { return };
        let slowest = &mut part.slowest[kind];
        let place = slowest.partition_point(|(_, kept)| kept.case.took >= signal.case.took);
        slowest.insert(place, (second, signal));
        slowest.truncate(KEPT_MAX);
        if slowest.len() == KEPT_MAX {
            let least = slowest.last().map_or(0, |(_, kept)| nanos(kept.case.took));
            self.least[kind].store(least, Relaxed);
        }
    }

    /// Once a second: begins the next part when its time has come.
    pub(super) fn tick(&self, second: u64) {
        self.begin(&mut self.lock(), second);
    }

    fn begin(&self, parts: &mut VecDeque<Part>, second: u64) {
        let number = second / PART_SECONDS;
        if parts.back().is_some_and(|part| part.number >= number) {
            return;
        }
        parts.push_back(Part::new(number));
        while parts.front().is_some_and(|part| part.number + PARTS < number) {
            parts.pop_front();
        }
        self.least.iter().for_each(|least| least.store(0, Relaxed));
    }

    /// Those that ended in the hour before that second, by op in their order, signals before pushes, slowest first.
    pub(super) fn list(&self, second: u64) -> Vec<SlowSignal> {
        let parts = self.lock();
        let mut listed = Vec::new();
        for op in OpKind::ALL {
            for delivery in [false, true] {
                let of_kind = parts.iter().flat_map(|part| &part.slowest[kind(op, delivery)]);
                let of_hour = of_kind.filter(|(ended, _)| ended + HOUR_SECONDS > second);
                let mut slowest: Vec<_> = of_hour.map(|(_, kept)| kept.clone()).collect();
                slowest.sort_by_key(|kept| std::cmp::Reverse(kept.case.took));
                slowest.truncate(KEPT_MAX);
                listed.append(&mut slowest);
            }
        }
        listed
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Part>> {
        // nothing that can panic half-way runs under this lock
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stage;

    const MS: Duration = Duration::from_millis(1);

    fn slow_signal(op: OpKind, delivery: bool, took: Duration) -> SlowSignal {
        let case = Case { delivery, took, stages: vec![(Stage::Handle, took)], ..Case::of(op) };
        SlowSignal { case, trace: None }
    }

    fn listed(slow: &Slow, second: u64) -> Vec<(OpKind, bool, u128)> {
        slow.list(second).iter().map(|kept| (kept.case.op, kept.case.delivery, kept.case.took.as_millis())).collect()
    }

    #[test]
    fn the_slowest_of_each_kind_are_kept_in_order_and_the_rest_need_not_ask() {
        let slow = Slow::default();
        let kinds = [(OpKind::Join, false), (OpKind::Send, false), (OpKind::Send, true)];
        for took in 1..=100 {
            for (op, delivery) in kinds {
                assert!(slow.wants(op, delivery, took * MS));
                slow.keep(slow_signal(op, delivery, took * MS), 0);
            }
        }
        let expected: Vec<_> = kinds
            .into_iter()
            .flat_map(|(op, delivery)| (91..=100).rev().map(move |took| (op, delivery, took)))
            .collect();
        assert_eq!(listed(&slow, 0), expected);
        assert!(!slow.wants(OpKind::Send, false, 91 * MS) && slow.wants(OpKind::Send, false, 92 * MS));
        assert!(slow.wants(OpKind::Join, true, MS));
    }

    #[test]
    fn a_quiet_part_begins_anew_and_after_an_hour_the_slowest_makes_way() {
        let slow = Slow::default();
        (0..KEPT_MAX).for_each(|_| slow.keep(slow_signal(OpKind::Send, false, 900 * MS), 30));
        slow.tick(PART_SECONDS - 1);
        assert!(!slow.wants(OpKind::Send, false, MS));
        slow.tick(PART_SECONDS);
        assert!(slow.wants(OpKind::Send, false, MS));
        slow.keep(slow_signal(OpKind::Send, false, MS), PART_SECONDS);
        assert_eq!(listed(&slow, PART_SECONDS), [(OpKind::Send, false, 900); KEPT_MAX]);
        for (second, expected) in [(3_629, 900), (3_630, 1), (4_199, 1)] {
            slow.tick(second);
            assert_eq!(listed(&slow, second)[0], (OpKind::Send, false, expected), "{second}");
        }
        slow.tick(PART_SECONDS + HOUR_SECONDS);
        assert!(listed(&slow, PART_SECONDS + HOUR_SECONDS).is_empty());
        assert!(slow.lock().len() <= PARTS as usize + 1);
    }

    #[test]
    fn what_is_older_than_an_hour_is_not_listed_though_nobody_ticks() {
        let slow = Slow::default();
        slow.keep(slow_signal(OpKind::Send, false, 900 * MS), 100);
        assert_eq!(listed(&slow, 3_699).len(), 1);
        assert!(listed(&slow, 3_700).is_empty());
        // and what comes after it is of its own time
        slow.keep(slow_signal(OpKind::Send, false, MS), 4_000);
        assert_eq!(listed(&slow, 4_000), [(OpKind::Send, false, 1)]);
        assert_eq!(listed(&slow, 7_599).len(), 1);
    }
}
