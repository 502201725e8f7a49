//! The stamps of one signal, from the byte that arrived to the byte that left.
//!
//! Moments come in as values; nothing else measures. Every view of latency is made from these.

use std::time::{Duration, Instant};

/// A part of a signal's way, named by what happens in it. The first six end in a stamp, in this order; the others
/// are calls during `handle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading and checking the frame: `received` to `decoded`.
    Decode,
    /// Asking whether the token of an `update` is good, which may be another service's to say; others have no such
    /// stage.
    Verify,
    /// Waiting for the room's shard: `decoded`, or verified, to `admitted`.
    Admit,
    /// The router's work: `admitted` to `handled`, less the calls below.
    Handle,
    /// Encoding the answer and queueing it: `handled` to `replied`.
    Reply,
    /// Until the answer's last byte was handed to the socket: `replied` to `flushed`.
    Flush,
    /// A call to a media node.
    Media,
    /// A call to the directory.
    Directory,
    /// A call to the fabric.
    Fabric,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Decode,
        Self::Verify,
        Self::Admit,
        Self::Handle,
        Self::Reply,
        Self::Flush,
        Self::Media,
        Self::Directory,
        Self::Fabric,
    ];

    /// The word for it in metrics, traces and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Verify => "verify",
            Self::Admit => "admit",
            Self::Handle => "handle",
            Self::Reply => "reply",
            Self::Flush => "flush",
            Self::Media => "media",
            Self::Directory => "directory",
            Self::Fabric => "fabric",
        }
    }
}

/// Stages that end in a stamp.
const STAMPS: usize = 6;
/// Stages that are calls.
const CALLS: usize = Stage::ALL.len() - STAMPS;

/// A stage that a signal has not come to.
const NEVER: u64 = u64::MAX;

/// When each stage of a signal ended, in nanoseconds from its arrival: half the size of moments, and told apart without
/// the clock's arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    received: Instant,
    ended_ns: [u64; STAMPS],
    calls_ns: [u64; CALLS],
}

impl Timeline {
    /// Of a frame whose last byte arrived then.
    pub const fn new(received: Instant) -> Self {
        Self { received, ended_ns: [NEVER; STAMPS], calls_ns: [0; CALLS] }
    }

    /// When the frame's last byte arrived.
    pub const fn received(&self) -> Instant {
        self.received
    }

    /// A stage that ends in a stamp has ended. Of a call this says nothing: see [`call`](Self::call).
    #[inline]
    pub fn end(&mut self, stage: Stage, at: Instant) {
        if let Some(ended) = self.ended_ns.get_mut(stage as usize) {
            *ended = nanos(at.saturating_duration_since(self.received));
        }
    }

    /// A call during `handle` took that long; several of one kind add up.
    pub fn call(&mut self, stage: Stage, took: Duration) {
        if let Some(call) = (stage as usize).checked_sub(STAMPS) {
            self.calls_ns[call] = self.calls_ns[call].saturating_add(nanos(took));
        }
    }

    /// From the frame's arrival to the end of the last stage that it came to, nanoseconds.
    #[inline]
    pub fn total_ns(&self) -> u64 {
        self.ended_ns.iter().rev().copied().find(|ended| *ended != NEVER).unwrap_or(0)
    }

    /// The same.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.total_ns())
    }

    /// The stages that it came to, each with its length in nanoseconds; together they are the whole, when stamps never
    /// run back.
    #[inline]
    pub fn stages_ns(&self) -> impl Iterator<Item = (Stage, u64)> + '_ {
        let mut since = 0;
        Stage::ALL.into_iter().filter_map(move |stage| {
            let Some(ended) = self.ended_ns.get(stage as usize) else {
                let call = self.calls_ns[stage as usize - STAMPS];
                return (call > 0).then_some((stage, call));
            };
            if *ended == NEVER {
                return None;
            }
            let took = ended.saturating_sub(since);
            since = since.max(*ended);
            let within_handle = if stage == Stage::Handle { self.calls_ns.iter().sum() } else { 0 };
            Some((stage, took.saturating_sub(within_handle)))
        })
    }

    /// The same.
    pub fn stages(&self) -> impl Iterator<Item = (Stage, Duration)> + '_ {
        self.stages_ns().map(|(stage, took)| (stage, Duration::from_nanos(took)))
    }
}

/// Nanoseconds; more than 584 years are that many. Twice as fast as by way of 128 bits.
#[inline]
pub const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn stages_add_up_to_the_whole_and_calls_are_taken_out_of_handle() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start);
        for (stage, at) in
            [(Stage::Decode, 1), (Stage::Admit, 3), (Stage::Handle, 23), (Stage::Reply, 24), (Stage::Flush, 30)]
        {
            timeline.end(stage, start + ms(at));
        }
        timeline.call(Stage::Media, ms(10));
        timeline.call(Stage::Media, ms(5));
        let stages: Vec<_> = timeline.stages().collect();
        let expected = [
            (Stage::Decode, ms(1)),
            (Stage::Admit, ms(2)),
            (Stage::Handle, ms(5)),
            (Stage::Reply, ms(1)),
            (Stage::Flush, ms(6)),
            (Stage::Media, ms(15)),
        ];
        assert_eq!(stages, expected);
        assert_eq!(timeline.total(), ms(30));
        assert_eq!(stages.iter().map(|(_, took)| *took).sum::<Duration>(), timeline.total());
    }

    #[test]
    fn a_signal_that_ends_early_has_the_stages_that_it_came_to() {
        let start = Instant::now();
        let mut timeline = Timeline::new(start);
        assert_eq!((timeline.total(), timeline.stages().count()), (Duration::ZERO, 0));
        timeline.end(Stage::Decode, start + ms(2));
        timeline.end(Stage::Flush, start + ms(9));
        assert_eq!(timeline.stages().collect::<Vec<_>>(), [(Stage::Decode, ms(2)), (Stage::Flush, ms(7))]);
        assert_eq!((timeline.total(), timeline.total_ns()), (ms(9), 9_000_000));
    }

    #[test]
    fn a_clock_that_steps_back_makes_no_stage_negative() {
        let start = Instant::now() + ms(100);
        let mut timeline = Timeline::new(start);
        timeline.end(Stage::Decode, start - ms(50));
        timeline.end(Stage::Admit, start + ms(1));
        assert_eq!(timeline.stages().collect::<Vec<_>>(), [(Stage::Decode, ms(0)), (Stage::Admit, ms(1))]);
    }

    #[test]
    fn nanoseconds_saturate() {
        assert_eq!(nanos(Duration::new(2, 3)), 2_000_000_003);
        assert_eq!(nanos(Duration::MAX), u64::MAX);
    }

    #[test]
    fn every_stage_stands_at_its_own_place() {
        for (place, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, place);
        }
    }
}
