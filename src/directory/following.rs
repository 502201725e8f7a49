//! Following what others write: all records read at a revision, then every change after it.
//!
//! A watch that breaks is resumed after the last change that it told; where etcd has forgotten that, all is read again. A
//! watch counts as alive for as long as it is heard of, not for as long as nobody says that it is dead.

use std::time::{Duration, Instant};

use super::pace::Pace;
use crate::event::ReadReason;

/// It is asked for a sign of life so many times before it counts as dead.
const PROBES: u32 = 3;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All records are read.
    List,
    /// Changes are asked for, from that revision on.
    Watch { from: i64 },
    /// A sign of life is asked for.
    Probe { stream: u64 },
    /// It gave none.
    Close { stream: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// All records are to be read.
    Reading(ReadReason),
    /// Changes are to be asked for.
    Opening,
    /// Changes are told by that stream.
    Watching { stream: u64 },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Following {
    phase: Phase,
    /// Of the last change that was told, or of the reading.
    revision: i64,
    under_way: bool,
    due: Instant,
    /// When the stream was heard of last, or anything was read; before that: when all began.
    heard: Instant,
    silence: Duration,
    pace: Pace,
}

impl Following {
    /// Nothing was read yet. A stream that is silent for so long counts as dead.
    pub(super) fn new(silence: Duration, seed: u64, now: Instant) -> Self {
        let (phase, pace) = (Phase::Reading(ReadReason::Start), Pace::new(seed));
        Self { phase, revision: 0, under_way: false, due: now, heard: now, silence, pace }
    }

    /// What has been told goes up to that revision.
    pub(super) const fn revision(&self) -> i64 {
        self.revision
    }

    /// For how long nothing has proven that what is known is new.
    pub(super) fn lag(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }

    /// The word for what it does.
    pub(super) const fn phase(&self) -> &'static str {
        match self.phase {
            Phase::Reading(_) => "reading",
            Phase::Opening => "opening",
            Phase::Watching { .. } => "watching",
        }
    }

    /// When the next step is due; absent: one is under way.
    pub(super) fn wake(&self) -> Option<Instant> {
        (!self.under_way).then_some(self.due)
    }

    /// The next step, if it is time.
    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        if self.under_way || self.due > now {
            return None;
        }
        match self.phase {
            Phase::Reading(_) => {
                self.under_way = true;
                Some(Step::List)
            }
            Phase::Opening => {
                self.under_way = true;
                Some(Step::Watch { from: self.revision + 1 })
            }
            Phase::Watching { stream } if self.lag(now) >= self.silence => {
                (self.phase, self.due) = (Phase::Opening, now);
                Some(Step::Close { stream })
            }
            Phase::Watching { stream } => {
                self.due = now + self.silence / PROBES;
                Some(Step::Probe { stream })
            }
        }
    }

    /// Whether that stream is the one that counts.
    pub(super) fn is_told_by(&self, stream: u64) -> bool {
        self.phase == (Phase::Watching { stream })
    }

    /// All records were read, as of that revision: why they were.
    pub(super) fn listed(&mut self, revision: i64, now: Instant) -> Option<ReadReason> {
        self.under_way = false;
        let Phase::Reading(reason) = self.phase else { return None };
        (self.phase, self.revision, self.heard, self.due) = (Phase::Opening, revision, now, now);
        Some(reason)
    }

    /// That stream stands; whether it is of use.
    pub(super) fn opened(&mut self, stream: u64, now: Instant) -> bool {
        self.under_way = false;
        if self.phase != Phase::Opening {
            return false;
        }
        (self.phase, self.heard, self.due) = (Phase::Watching { stream }, now, now + self.silence / PROBES);
        true
    }

    /// What was under way could not be done.
    pub(super) fn failed(&mut self, now: Instant) {
        self.under_way = false;
        self.due = now + self.pace.failed();
    }

    /// A stream said something; whether it is the one that counts.
    pub(super) fn heard(&mut self, stream: u64, now: Instant) -> bool {
        if self.phase != (Phase::Watching { stream }) {
            return false;
        }
        self.heard = now;
        self.pace.done();
        true
    }

    /// Changes up to that revision were told. What a sign of life says of revisions does not count: before 3.4.25 and 3.5.8,
    /// etcd may say it ahead of changes that are still on their way (its issue 15220).
    pub(super) fn changed(&mut self, revision: i64) {
        self.revision = self.revision.max(revision);
    }

    /// The stream ended; absent: it did not count any more.
    pub(super) fn ended(&mut self, stream: u64, now: Instant) -> Option<()> {
        if self.phase != (Phase::Watching { stream }) {
            return None;
        }
        (self.phase, self.due) = (Phase::Opening, now + self.pace.failed());
        Some(())
    }

    /// All has to be read again; the stream that is of no use any more.
    pub(super) fn read_again(&mut self, reason: ReadReason, now: Instant) -> Option<u64> {
        if reason == ReadReason::Rewound {
            // of a history that is over
            self.revision = 0;
        }
        let before = std::mem::replace(&mut self.phase, Phase::Reading(reason));
        if let Phase::Reading(earlier) = before {
            // it is about to be
            self.phase = Phase::Reading(earlier);
            return None;
        }
        // not more often than things fail: there may be a cause that stays
        self.due = now + self.pace.failed();
        match before {
            Phase::Watching { stream } => Some(stream),
            Phase::Opening | Phase::Reading(_) => None,
        }
    }
}
