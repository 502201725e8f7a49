//! The last minute, second by second, and the last hour, minute by minute.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::Tick;
use crate::telemetry::counts::Counts;

/// Seconds of the rolling minute.
const RECENT_SECONDS: u64 = 60;
/// Whole minutes that are kept, beside the present one.
const HOUR_MINUTES: u64 = 60;

/// The last minute.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Recent {
    seconds: VecDeque<(u64, Counts)>,
    sum: Counts,
}

impl Recent {
    pub(super) fn add(&mut self, second: u64, counts: &Counts) {
        match self.seconds.back_mut() {
            Some((latest, sum)) if *latest == second => sum.add(counts),
            _ => self.seconds.push_back((second, counts.clone())),
        }
        self.sum.add(counts);
    }

    /// Takes over all of the other's.
    pub(super) fn absorb(&mut self, other: Self) {
        self.sum.add(&other.sum);
        for (second, counts) in other.seconds {
            match self.seconds.binary_search_by_key(&second, |(second, _)| *second) {
                Ok(place) => self.seconds[place].1.add(&counts),
                Err(place) => self.seconds.insert(place, (second, counts)),
            }
        }
    }

    pub(super) fn expire(&mut self, now: u64) {
        self.forget_before((now + 1).saturating_sub(RECENT_SECONDS));
    }

    /// Lets go of what was drained before that second.
    pub(super) fn forget_before(&mut self, first: u64) {
        while self.seconds.front().is_some_and(|(second, _)| *second < first) {
            if let Some((_, counts)) = self.seconds.pop_front() {
                self.sum.subtract(&counts);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.sum.bytes() + self.seconds.iter().map(|(_, counts)| counts.bytes()).sum::<usize>()
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.seconds.front().map(|(second, _)| *second)
    }

    /// All of the last minute.
    pub(in crate::telemetry) fn sum(&self) -> &Counts {
        &self.sum
    }

    /// The last so many seconds, at most a minute, the present one included.
    pub(in crate::telemetry) fn last(&self, seconds: u64, now: u64) -> Counts {
        let mut sum = Counts::default();
        self.seconds.iter().filter(|(second, _)| second + seconds > now).for_each(|(_, counts)| sum.add(counts));
        sum
    }
}

/// One minute of one series.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct MinuteSlice {
    /// Minutes since the start.
    pub(in crate::telemetry) minute: u64,
    /// The second before its first latency was drained, Unix milliseconds.
    pub(in crate::telemetry) from_unix_ms: u64,
    /// The drains that brought its first and its last latency, by the clock that does not step.
    drained: (u64, u64),
    /// What it holds; shared with whoever writes it out, so that the drain need not wait for them.
    pub(in crate::telemetry) counts: Arc<Counts>,
}

impl MinuteSlice {
    /// How long it is: each drain tells of the second before it.
    pub(in crate::telemetry) fn length(&self) -> Duration {
        Duration::from_secs(self.drained.1 - self.drained.0 + 1)
    }
}

/// The last hour.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct Hour {
    minutes: VecDeque<MinuteSlice>,
}

impl Hour {
    pub(super) fn add(&mut self, tick: Tick, counts: &Counts) {
        let minute = tick.second / 60;
        match self.minutes.back_mut() {
            Some(slice) if slice.minute == minute => {
                Arc::make_mut(&mut slice.counts).add(counts);
                slice.drained.1 = tick.second;
            }
            _ => self.minutes.push_back(MinuteSlice {
                minute,
                from_unix_ms: tick.unix_ms.saturating_sub(1_000),
                drained: (tick.second, tick.second),
                counts: Arc::new(counts.clone()),
            }),
        }
    }

    pub(super) fn expire(&mut self, tick: Tick) {
        let now = tick.second / 60;
        while self.minutes.front().is_some_and(|slice| slice.minute + HOUR_MINUTES < now) {
            self.minutes.pop_front();
        }
    }

    /// The minutes of the last so many, oldest first; the present one, which is not over, comes beside them.
    pub(in crate::telemetry) fn last(&self, minutes: u64, now: u64) -> impl Iterator<Item = &MinuteSlice> {
        self.minutes.iter().filter(move |slice| slice.minute + minutes >= now / 60)
    }

    pub(super) fn bytes(&self) -> usize {
        self.minutes.iter().map(|slice| slice.counts.bytes()).sum()
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.minutes.front().map(|slice| slice.minute)
    }

    /// Lets go of a minute when it is the oldest, and answers what it weighed.
    pub(super) fn forget(&mut self, minute: u64) -> usize {
        match self.minutes.front() {
            Some(slice) if slice.minute == minute => self.minutes.pop_front().map_or(0, |slice| slice.counts.bytes()),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::counts::histogram;

    fn counts(value: u64) -> Counts {
        let mut dense = histogram::<u32>();
        dense.saturating_record(value);
        Counts::of(&dense)
    }

    fn tick(second: u64) -> Tick {
        Tick { second, unix_ms: 1_000_000 + second * 1_000 }
    }

    #[test]
    fn a_latency_leaves_the_minute_after_sixty_seconds_and_not_before() {
        let mut recent = Recent::default();
        recent.add(10, &counts(5));
        recent.add(10, &counts(6));
        recent.add(30, &counts(7));
        recent.expire(69);
        assert_eq!(recent.sum().total(), 3);
        assert_eq!(recent.last(1, 30).total(), 1);
        assert_eq!(recent.last(20, 30).total(), 1);
        assert_eq!(recent.last(21, 30).total(), 3);
        recent.expire(70);
        assert_eq!(recent.sum(), &counts(7));
        recent.expire(90);
        assert_eq!(recent.sum(), &Counts::default());
    }

    #[test]
    fn what_is_absorbed_leaves_in_its_own_time() {
        let (mut recent, mut other) = (Recent::default(), Recent::default());
        recent.add(20, &counts(1));
        [10, 20, 30].iter().for_each(|second| other.add(*second, &counts(2)));
        recent.absorb(other);
        assert_eq!(recent.sum().total(), 4);
        recent.expire(79);
        assert_eq!(recent.sum().total(), 3);
        recent.expire(80);
        assert_eq!(recent.sum(), &counts(2));
    }

    #[test]
    fn an_hour_is_sixty_minutes_and_the_present_one() {
        let mut hour = Hour::default();
        for minute in 0..100 {
            hour.add(tick(minute * 60), &counts(1));
            hour.add(tick(minute * 60 + 59), &counts(2));
            hour.expire(tick(minute * 60 + 59));
        }
        let now = 99 * 60 + 59;
        assert_eq!(hour.last(60, now).count(), 61);
        let last: Vec<_> = hour.last(2, now).collect();
        assert_eq!(last.iter().map(|slice| slice.minute).collect::<Vec<_>>(), [97, 98, 99]);
        assert_eq!((last[0].counts.total(), last[0].length()), (2, Duration::from_secs(60)));
        assert_eq!(hour.oldest(), Some(39));
        assert!(hour.forget(39) > 0 && hour.forget(39) == 0);
        assert_eq!(hour.last(60, now).count(), 60);
    }
}
