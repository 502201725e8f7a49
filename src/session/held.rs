//! Directed pushes of one session, kept until acknowledged, so that a resume can give them again.

use std::collections::VecDeque;

use prost::Message;

use crate::{
    ids::{Offset, Seq},
    protocol::v1::ServerFrame,
};

/// How much one session keeps.
#[derive(Clone, Copy, Debug)]
pub struct HeldBounds {
    /// Pushes.
    pub pushes: usize,
    /// Their encoded bytes.
    pub bytes: usize,
}

/// One kept push.
#[derive(Clone, Debug)]
pub struct HeldPush {
    /// Its place in the session's order.
    pub seq: Seq,
    /// The room's latest offset when it was made: what a replay sends before it.
    pub after: Offset,
    /// The push.
    pub frame: ServerFrame,
    bytes: usize,
    /// Made while the session was away.
    away: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Held {
    last: Seq,
    /// Everything up to here was acknowledged or let go of.
    dropped: Seq,
    acknowledged: Seq,
    pushes: VecDeque<HeldPush>,
    bytes: usize,
}

/// What keeping a push led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Kept.
    Fits,
    /// Kept; older ones had to go.
    Discarded,
}

impl Held {
    /// The latest seq that was given out.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The seq that the next push gets.
    pub fn next_seq(&self) -> Seq {
        Seq(self.last.0 + 1)
    }

    /// Whether a push for an absent session still fits beside those held since it went away.
    pub fn has_room_away(&self, bytes: usize, bounds: HeldBounds) -> bool {
        let away = self.pushes.iter().filter(|push| push.away);
        let (count, held) = away.fold((0, 0), |(count, sum), push| (count + 1, sum + push.bytes));
        count < bounds.pushes && held + bytes <= bounds.bytes
    }

    /// Keeps a push under the next seq, which `frame` bears.
    pub fn keep(&mut self, frame: ServerFrame, after: Offset, away: bool, bounds: HeldBounds) -> Kept {
        self.last = self.next_seq();
        let bytes = frame.encoded_len();
        self.bytes += bytes;
        self.pushes.push_back(HeldPush { seq: self.last, after, frame, bytes, away });
        let mut kept = Kept::Fits;
        while self.pushes.len() > bounds.pushes || (self.bytes > bounds.bytes && self.pushes.len() > 1) {
            self.drop_front();
            kept = Kept::Discarded;
        }
        kept
    }

    fn drop_front(&mut self) {
        if let Some(push) = self.pushes.pop_front() {
            self.bytes -= push.bytes;
            self.dropped = push.seq;
        }
    }

    /// The client has everything up to `seq`.
    pub fn acknowledge(&mut self, seq: Seq) {
        if seq > self.last {
            return;
        }
        while self.pushes.front().is_some_and(|push| push.seq <= seq) {
            self.drop_front();
        }
        self.acknowledged = self.acknowledged.max(seq);
        if self.pushes.is_empty() {
            self.pushes = VecDeque::new();
        }
    }

    /// What came after `seq`, or `None` when some of it is no longer kept or `seq` was never given out.
    pub fn since(&self, seq: Seq) -> Option<impl Iterator<Item = &HeldPush>> {
        if seq > self.last || seq < self.dropped {
            return None;
        }
        Some(self.pushes.iter().filter(move |push| push.seq > seq))
    }

    /// What is still kept, after `seq` or all of it when `seq` makes no sense.
    pub fn remaining(&self, seq: Seq) -> impl Iterator<Item = &HeldPush> {
        let seq = if seq > self.last { Seq(0) } else { seq };
        self.pushes.iter().filter(move |push| push.seq > seq)
    }

    /// The session is back: what is held counts as sent.
    pub fn settle(&mut self) {
        for push in &mut self.pushes {
            push.away = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HeldBounds = HeldBounds { pushes: 3, bytes: 10_000 };

    fn filled(n: u64) -> Held {
        let mut held = Held::default();
        for _ in 0..n {
            held.keep(ServerFrame::default(), Offset(0), false, BOUNDS);
        }
        held
    }

    #[test]
    fn what_was_acknowledged_is_not_given_again() {
        let mut held = filled(3);
        held.acknowledge(Seq(2));
        let left: Vec<_> = held.since(Seq(2)).unwrap().map(|push| push.seq.0).collect();
        assert_eq!(left, [3]);
        assert!(held.since(Seq(1)).is_none());
    }

    #[test]
    fn the_oldest_goes_when_the_bound_is_reached_and_its_gap_is_known() {
        let held = filled(5);
        assert!(held.since(Seq(1)).is_none());
        assert_eq!(held.since(Seq(2)).unwrap().count(), 3);
    }

    #[test]
    fn a_seq_from_the_future_is_no_position() {
        let mut held = filled(2);
        assert!(held.since(Seq(9)).is_none());
        held.acknowledge(Seq(9));
        assert_eq!(held.since(Seq(0)).unwrap().count(), 2);
    }

    #[test]
    fn an_absent_session_holds_as_many_as_its_bound_and_no_more() {
        let mut held = filled(2);
        for _ in 0..3 {
            assert!(held.has_room_away(0, BOUNDS));
            held.keep(ServerFrame::default(), Offset(0), true, BOUNDS);
        }
        assert!(!held.has_room_away(0, BOUNDS));
        held.settle();
        assert!(held.has_room_away(0, BOUNDS));
    }
}
