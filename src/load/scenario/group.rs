//! What the participants of one room know of each other: who sent how much, so that each can tell what it misses.

use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire},
};

use crate::load::{media::RoomMoves, stamp::Stamp};

/// One room's participants, by index. Flow `2 x sender` is what a sender says to the room, the next what it
/// says to the receiver alone.
#[derive(Debug)]
pub(super) struct Group {
    size: usize,
    to_room: Vec<AtomicU64>,
    directed: Vec<AtomicU64>,
    /// Of these, what the router refused: nobody has to see it.
    refused_to_room: Vec<AtomicU64>,
    refused_directed: Vec<AtomicU64>,
    /// What a sender said before this may have been said again after a reconnect; nanoseconds of the run.
    away_until_ns: Vec<AtomicU64>,
    ready: AtomicUsize,
    done: AtomicUsize,
    settled: AtomicUsize,
    away: AtomicUsize,
    pub(super) moves: RoomMoves,
}

impl Group {
    pub(super) fn new(size: usize) -> Self {
        let counters = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            size,
            to_room: counters(size),
            directed: counters(size * size),
            refused_to_room: counters(size),
            refused_directed: counters(size * size),
            away_until_ns: counters(size),
            ready: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            away: AtomicUsize::new(0),
            moves: RoomMoves::default(),
        }
    }

    /// Flows that a receiver may see.
    pub(super) fn flows(&self) -> usize {
        self.size * 2
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The stamp of the next message to the room.
    pub(super) fn stamp_to_room(&self, sender: usize, due_ns: u64) -> Stamp {
        let number = self.to_room[sender].fetch_add(1, AcqRel) + 1;
        Stamp { flow: 2 * sender as u32, number, due_ns }
    }

    /// The stamp of the next payload to one of them.
    pub(super) fn stamp_to(&self, sender: usize, receiver: usize, due_ns: u64) -> Stamp {
        let number = self.directed[sender * self.size + receiver].fetch_add(1, AcqRel) + 1;
        Stamp { flow: 2 * sender as u32 + 1, number, due_ns }
    }

    /// How much has been sent on that flow towards that receiver; nobody hears itself.
    pub(super) fn sent(&self, receiver: usize, flow: usize) -> u64 {
        let sender = flow / 2;
        match flow % 2 {
            0 if sender == receiver => 0,
            0 => self.to_room[sender].load(Acquire),
            _ => self.directed[sender * self.size + receiver].load(Acquire),
        }
    }

    /// The router refused a message of that sender's: to the room, or to that receiver.
    pub(super) fn note_refused(&self, sender: usize, receiver: Option<usize>) {
        let counter = match receiver {
            None => &self.refused_to_room[sender],
            Some(receiver) => &self.refused_directed[sender * self.size + receiver],
        };
        counter.fetch_add(1, AcqRel);
    }

    /// What that receiver would have seen, and the router refused.
    pub(super) fn refused(&self, receiver: usize) -> u64 {
        let of = |sender: usize| {
            let directed = self.refused_directed[sender * self.size + receiver].load(Acquire);
            directed + if sender == receiver { 0 } else { self.refused_to_room[sender].load(Acquire) }
        };
        (0..self.size).map(of).sum()
    }

    /// How much that receiver has to see in all.
    pub(super) fn expected(&self, receiver: usize) -> u64 {
        let sent: u64 = (0..self.flows()).map(|flow| self.sent(receiver, flow)).sum();
        sent.saturating_sub(self.refused(receiver))
    }

    /// The sender was away until then.
    pub(super) fn was_away(&self, sender: usize, until_ns: u64) {
        self.away_until_ns[sender].fetch_max(until_ns, AcqRel);
    }

    /// When that participant last came back, nanoseconds of the run; 0: it never was away.
    pub(super) fn away_until_ns(&self, index: usize) -> u64 {
        self.away_until_ns.get(index).map_or(0, |until| until.load(Acquire))
    }

    /// Whether the payload's way was no longer than it is: nobody at either end had dropped its connection.
    pub(super) fn is_fresh(&self, receiver: usize, stamp: Stamp) -> bool {
        let sender = stamp.flow as usize / 2;
        stamp.due_ns >= self.away_until_ns(sender) && stamp.due_ns >= self.away_until_ns(receiver)
    }

    /// One of them has no connection, as long as the answer lives.
    pub(super) fn away(&self) -> Away<'_> {
        self.away.fetch_add(1, AcqRel);
        Away(self)
    }

    pub(super) fn is_anybody_away(&self) -> bool {
        self.away.load(Acquire) > 0
    }

    /// One more has joined, or never will.
    pub(super) fn note_ready(&self) {
        self.ready.fetch_add(1, AcqRel);
    }

    pub(super) fn all_ready(&self) -> bool {
        self.ready.load(Acquire) >= self.size
    }

    /// One more has said all that it had to say.
    pub(super) fn note_done(&self) {
        self.done.fetch_add(1, AcqRel);
    }

    pub(super) fn all_done(&self) -> bool {
        self.done.load(Acquire) >= self.size
    }

    /// One more misses nothing any longer.
    pub(super) fn note_settled(&self) {
        self.settled.fetch_add(1, AcqRel);
    }

    pub(super) fn all_settled(&self) -> bool {
        self.settled.load(Acquire) >= self.size
    }
}

/// See [`Group::away`].
#[derive(Debug)]
pub(super) struct Away<'a>(&'a Group);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.away.fetch_sub(1, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_expects_what_others_sent_to_the_room_and_to_it() {
        let group = Group::new(3);
        group.stamp_to_room(0, 1);
        group.stamp_to_room(0, 2);
        group.stamp_to(0, 1, 3);
        assert_eq!([0, 1, 2].map(|receiver| group.expected(receiver)), [0, 3, 2]);
        assert_eq!(group.stamp_to(0, 1, 9), Stamp { flow: 1, number: 2, due_ns: 9 });
    }

    #[test]
    fn what_was_refused_nobody_has_to_see() {
        let group = Group::new(3);
        for due_ns in 1..=3 {
            group.stamp_to_room(0, due_ns);
        }
        group.stamp_to(0, 1, 4);
        group.note_refused(0, None);
        group.note_refused(0, Some(1));
        assert_eq!([0, 1, 2].map(|receiver| group.expected(receiver)), [0, 2, 2]);
        assert_eq!([0, 1, 2].map(|receiver| group.refused(receiver)), [0, 2, 1]);
    }

    #[test]
    fn what_was_due_before_a_reconnect_of_either_end_is_not_fresh() {
        let group = Group::new(2);
        group.was_away(0, 100);
        let from_0 = |due_ns| Stamp { flow: 0, number: 1, due_ns };
        assert!(!group.is_fresh(1, from_0(99)));
        assert!(group.is_fresh(1, from_0(100)));
        let from_1 = |due_ns| Stamp { flow: 2, number: 1, due_ns };
        assert!(!group.is_fresh(0, from_1(99)));
    }
}
