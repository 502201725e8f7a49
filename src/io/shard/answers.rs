//! Signals and admin calls whose answer waits until what they did is kept: held by ticket, each ended once, when the router
//! releases it or at its deadline.

use std::time::Instant;

use ahash::AHashMap;

use super::{
    Shard,
    deadlines::{Deadlines, since_arrival},
};
use crate::{
    event::{Outcome, Signal, Stage},
    ids::ConnectionId,
    io::guard::UnderWay,
    protocol::Code,
    router::{AnswerTicket, Input},
};

/// What one shard holds.
#[derive(Debug, Default)]
pub(super) struct Answers {
    waiting: AHashMap<AnswerTicket, Waiting>,
    deadlines: Deadlines<AnswerTicket>,
}

/// Something whose answer waits.
#[derive(Debug)]
struct Waiting {
    /// The signal and its connection; absent: it is an admin call, or signals are not measured.
    signal: Option<(ConnectionId, Box<Signal>)>,
    /// Its places among those that may be under way at once, until it has ended.
    under_way: Option<UnderWay>,
    since: Instant,
    by: Instant,
}

impl Answers {
    /// When the next one has waited for long enough.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }
}

impl Shard {
    /// What is at hand waits.
    pub(super) fn hold(&mut self, ticket: AnswerTicket, by: Instant, at: Instant) {
        let (signal, under_way) = (self.hand.signal.take(), self.hand.under_way.take());
        let by = since_arrival(signal.as_ref(), by, at);
        self.answers.deadlines.set(by, ticket);
        self.answers.waiting.insert(ticket, Waiting { signal, under_way, since: at, by });
    }

    /// What waited is at hand: the router ends it next.
    pub(super) fn release(&mut self, ticket: AnswerTicket, at: Instant) {
        let Some(Waiting { signal, under_way, since, by }) = self.answers.waiting.remove(&ticket) else { return };
        self.answers.deadlines.clear(by, ticket);
        debug_assert!(self.hand.signal.is_none(), "one is at hand at a time");
        self.hand.under_way = under_way;
        self.hand.signal = signal.map(|(connection, mut signal)| {
            signal.timeline.call(Stage::Fabric, at.saturating_duration_since(since));
            signal.timeline.end(Stage::Handle, at);
            (connection, signal)
        });
    }

    /// Ends what has waited for long enough.
    pub(super) fn end_late_answers(&mut self, now: Instant) {
        while let Some(ticket) = self.answers.deadlines.expired(now) {
            self.release(ticket, now);
            self.turn(Input::Late(ticket));
            debug_assert!(self.hand.signal.is_none(), "a signal ends once it is late");
            self.end_unanswered(Outcome::Refused(Code::Internal), now);
            self.hand.under_way = None;
        }
    }
}
