//! One outgoing stream made of whatever comes in for it: its numbers go on without a gap when the source changes (another
//! layer, a publisher that connected anew) or was silenced on purpose, while gaps of the network stay gaps.

use std::time::{Duration, Instant};

/// How far the first number of a stream may be: a receiver's rollover counter begins at zero, and must not roll over
/// before its first packet (RFC 3711 3.3.1).
const FIRST_MAX: u64 = 1 << 15;

/// The numbers of one outgoing stream.
#[derive(Debug)]
pub(super) struct Rewrite {
    /// `None`: what comes next is a beginning.
    source: Option<Source>,
    next: u64,
    /// RTP time and moment of the newest packet, and of which stream it was.
    latest: Option<Latest>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// Added to incoming sequence numbers.
    shift: i64,
    /// Outgoing numbers below belong to what was before.
    floor: u64,
    time_shift: u32,
}

#[derive(Clone, Copy, Debug)]
struct Latest {
    ssrc: u32,
    time: u32,
    time_shift: u32,
    at: Instant,
}

impl Rewrite {
    /// `seed`: any number; where the stream's numbers begin follows from it.
    pub(super) fn new(seed: u64) -> Self {
        Self { source: None, next: seed % FIRST_MAX, latest: None }
    }

    /// What comes next is a beginning.
    pub(super) fn pause(&mut self) {
        self.source = None;
    }

    /// The outgoing sequence number and time of an incoming packet. `None`: it is older than the stream's beginning.
    /// `rate` is of the clock that `time` counts in, in Hz.
    pub(super) fn map(&mut self, ssrc: u32, sequence: u64, time: u32, rate: u32, now: Instant) -> Option<(u64, u32)> {
        let source = match self.source {
            Some(source) if source.ssrc == ssrc => source,
            _ => self.begin(ssrc, sequence, time, rate, now),
        };
        let out = sequence.checked_add_signed(source.shift).filter(|out| *out >= source.floor)?;
        let time = time.wrapping_add(source.time_shift);
        if out >= self.next {
            self.next = out + 1;
            self.latest = Some(Latest { ssrc, time, time_shift: source.time_shift, at: now });
        }
        Some((out, time))
    }

    fn begin(&mut self, ssrc: u32, sequence: u64, time: u32, rate: u32, now: Instant) -> Source {
        let time_shift = match self.latest {
            None => 0,
            // its own clock went on meanwhile
            Some(latest) if latest.ssrc == ssrc => latest.time_shift,
            Some(latest) => {
                let passed = now.saturating_duration_since(latest.at).max(Duration::from_millis(1));
                let passed = (passed.as_secs_f64() * f64::from(rate)) as u32;
                latest.time.wrapping_add(passed).wrapping_sub(time)
            }
        };
        let source = Source { ssrc, shift: self.next as i64 - sequence as i64, floor: self.next, time_shift };
        *self.source.insert(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 90_000;

    #[test]
    fn gaps_and_reordering_of_the_network_are_passed_on() {
        let (mut rewrite, now) = (Rewrite::new(0), Instant::now());
        let mut map = |sequence| rewrite.map(1, sequence, 7, RATE, now).map(|(out, _)| out);
        let first = map(70_000).unwrap();
        assert!(first < FIRST_MAX);
        assert_eq!(map(70_003), Some(first + 3));
        assert_eq!(map(70_001), Some(first + 1), "late");
        assert_eq!(map(69_999), None, "before the beginning");
    }

    #[test]
    fn a_silence_on_purpose_leaves_no_gap_in_numbers_and_keeps_time() {
        let (mut rewrite, now) = (Rewrite::new(5), Instant::now());
        let (first, time) = rewrite.map(1, 100, 1_000, RATE, now).unwrap();
        rewrite.pause();
        assert_eq!(rewrite.map(1, 500, 91_000, RATE, now), Some((first + 1, time + 90_000)));
        assert_eq!(rewrite.map(1, 499, 90_000, RATE, now), None, "of the time of silence");
    }

    #[test]
    fn another_source_goes_on_where_the_one_before_ended() {
        let (mut rewrite, now) = (Rewrite::new(9), Instant::now());
        let (first, time) = rewrite.map(1, u64::from(u16::MAX), u32::MAX, RATE, now).unwrap();
        let later = now + Duration::from_millis(100);
        assert_eq!(rewrite.map(2, 3, 12, RATE, later), Some((first + 1, time.wrapping_add(9_000))));
        assert_eq!(rewrite.map(2, 4, 13, RATE, later), Some((first + 2, time.wrapping_add(9_001))));
    }
}
