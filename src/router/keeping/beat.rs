//! When rooms are written.

use std::time::{Duration, Instant};

/// Rooms that one part of them has at least, where there are so many,
const ROOMS_A_PART: usize = 12;
/// and parts at most.
const PARTS_MAX: usize = 5;
/// Begins of the first beat, of which the seed chooses one: routers, and shards of one, do not write at the same moments.
const BEGINS: u32 = 16;

/// Moments at which rooms are written, each room's one as long after the other as a change may wait. Few rooms are written all at once,
/// so that what is told of them leaves, and is answered, together; many in parts, so that nobody waits for all of them.
#[derive(Debug)]
pub(in crate::router) struct Beat {
    seed: u64,
    from: Option<Instant>,
}

impl Beat {
    pub(in crate::router) const fn new(seed: u64) -> Self {
        Self { seed, from: None }
    }

    /// The first moment of a room that is not before that one. `room`: its number, `rooms`: how many there are.
    pub(super) fn next(&mut self, at: Instant, every: Duration, (room, rooms): (usize, usize)) -> Instant {
        // below sixteen
        let begin = (self.seed % u64::from(BEGINS)) as u32;
        let from = *self.from.get_or_insert(at - every * (BEGINS - begin) / BEGINS);
        let parts = (rooms / ROOMS_A_PART).clamp(1, PARTS_MAX);
        // both are small
        let own = from + every * (room % parts) as u32 / parts as u32;
        let Some(since) = at.checked_duration_since(own) else { return own };
        // less than from one to the next
        let over = since.as_nanos() % every.as_nanos().max(1);
        if over == 0 { at } else { at + (every - Duration::from_nanos(over as u64)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(50);

    #[test]
    fn whoever_waits_waits_no_longer_than_from_one_moment_to_the_next() {
        let at = Instant::now();
        for seed in 0..40 {
            let mut beat = Beat::new(seed);
            for (ms, rooms) in (0..200).zip((0..).step_by(7)) {
                let now = at + Duration::from_millis(ms);
                let next = beat.next(now, EVERY, (ms as usize * 31, rooms));
                assert!(next >= now && next < now + EVERY, "{seed} {ms}");
                assert_eq!(beat.next(next, EVERY, (ms as usize * 31, rooms)), next, "it is one");
                let later = at + Duration::from_secs(400 * 86_400) + Duration::from_millis(ms);
                let next = beat.next(later, Duration::from_millis(1), (0, 1));
                assert!(next >= later && next < later + Duration::from_millis(1), "as long as it runs");
            }
        }
    }

    #[test]
    fn few_rooms_are_written_at_once_and_many_in_parts() {
        let at = Instant::now();
        let moments = |rooms: usize| {
            let mut beat = Beat::new(3);
            beat.next(at, EVERY, (0, rooms));
            let moments = (0..rooms).map(|room| beat.next(at, EVERY, (room, rooms)));
            moments.collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!([1, 12, 23, 24, 36, 60, 5_000].map(moments), [1, 1, 1, 2, 3, 5, 5]);
    }

    #[test]
    fn routers_write_at_moments_of_their_own() {
        let at = Instant::now();
        let begins: std::collections::BTreeSet<_> =
            (0..64).map(|seed| Beat::new(seed).next(at, EVERY, (0, 1))).collect();
        assert_eq!(begins.len(), BEGINS as usize);
    }
}
