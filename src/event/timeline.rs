//! The stamps of one signal, from the byte that arrived to the byte that left.
//!
//! Moments come in as values; nothing else measures. Every view of latency is made from these.

use std::time::{Duration, Instant};

/// A part of a signal's way, named by what happens in it. The first five end in a stamp, in this order; the others
/// are calls during `handle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading and checking the frame: `received` to `decoded`.
    Decode,
    /// Waiting for the room's shard: `decoded` to `admitted`.
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
    pub const ALL: [Self; 8] =
        [Self::Decode, Self::Admit, Self::Handle, Self::Reply, Self::Flush, Self::Media, Self::Directory, Self::Fabric];

    /// The word for it in metrics, traces and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
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
const STAMPS: usize = 5;
/// Stages that are calls.
const CALLS: usize = Stage::ALL.len() - STAMPS;

/// When each stage of a signal ended; those it never came to are absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    received: Instant,
    ended: [Option<Instant>; STAMPS],
    calls: [Duration; CALLS],
}

impl Timeline {
    /// Of a frame whose last byte arrived then.
    pub const fn new(received: Instant) -> Self {
        Self { received, ended: [None; STAMPS], calls: [Duration::ZERO; CALLS] }
    }

    /// When the frame's last byte arrived.
    pub const fn received(&self) -> Instant {
        self.received
    }

    /// A stage that ends in a stamp has ended. Of a call this says nothing: see [`call`](Self::call).
    pub fn end(&mut self, stage: Stage, at: Instant) {
        if let Some(ended) = self.ended.get_mut(stage as usize) {
            *ended = Some(at);
        }
    }

    /// A call during `handle` took that long; several of one kind add up.
    pub fn call(&mut self, stage: Stage, took: Duration) {
        if let Some(call) = (stage as usize).checked_sub(STAMPS) {
            self.calls[call] += took;
        }
    }

    /// From the frame's arrival to the end of the last stage that it came to.
    pub fn total(&self) -> Duration {
        let last = self.ended.iter().rev().flatten().next();
        last.map_or(Duration::ZERO, |last| last.saturating_duration_since(self.received))
    }

    /// When the last stage that it came to ended.
    pub fn last(&self) -> Instant {
        self.ended.iter().rev().flatten().next().copied().unwrap_or(self.received)
    }

    /// The stages that it came to, each with its length; together they are the whole, when stamps never run back.
    pub fn stages(&self) -> impl Iterator<Item = (Stage, Duration)> + '_ {
        let mut since = self.received;
        let within_handle: Duration = self.calls.iter().sum();
        let stamped = Stage::ALL.into_iter().zip(self.ended).filter_map(move |(stage, ended)| {
            let took = ended?.saturating_duration_since(since);
            since = since.max(ended?);
            Some((stage, if stage == Stage::Handle { took.saturating_sub(within_handle) } else { took }))
        });
        let calls = Stage::ALL.into_iter().skip(STAMPS).zip(self.calls).filter(|(_, took)| !took.is_zero());
        stamped.chain(calls)
    }
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
        assert_eq!((timeline.total(), timeline.last()), (ms(9), start + ms(9)));
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
    fn every_stage_stands_at_its_own_place() {
        for (place, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, place);
        }
    }
}
