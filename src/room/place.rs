//! How much of a room's log somebody saw, by the place that it names: a life of the room and an offset in it.
//!
//! Lives follow each other in one log, and then an offset says it. One that went on beside another and was merged has its events
//! elsewhere in the log than where its clients saw them: of those a place says which they are.

use std::{
    collections::BTreeMap,
    hash::{Hash as _, Hasher},
};

use super::{Member, Room, Seat, history::Kept};
use crate::{
    fabric::{MergeKept, StretchKept, Unreadable},
    ids::{Epoch, Offset},
    room::kept::epoch_from,
};

/// Lives that were merged and are remembered; a resume from one before gets a snapshot.
const MERGES_MAX: usize = 16;
/// Stretches of one of them. A life is one stretch, but where both had some of it.
const STRETCHES_MAX: usize = 64;
/// Stretches that a member saw elsewhere.
const HEARD_MAX: usize = 64;

/// A life that went on beside this one, and where its events are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Merge {
    pub(super) epoch: Epoch,
    /// Up to there both logs are the same.
    pub(super) fork: Offset,
    /// Its last event.
    pub(super) last: Offset,
    pub(super) stretches: Vec<StretchKept>,
}

/// How much somebody saw of a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// All up to there,
    pub(crate) upto: Offset,
    /// and these after it.
    pub(crate) heard: Heard,
    /// Nothing that is not in the log.
    pub(crate) exact: bool,
}

/// A member was told a life of the room up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saw {
    pub(crate) seat: Seat,
    pub(crate) epoch: Epoch,
    pub(crate) upto: Offset,
    /// It got the room anew since.
    pub(crate) anew: bool,
}

/// Offsets that were seen, in stretches from and to, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard(Vec<(u64, u64)>);

impl Heard {
    pub(super) fn read(stretches: Vec<(u64, u64)>) -> Self {
        let mut heard = Self::default();
        stretches.into_iter().for_each(|(from, to)| heard.add(from, to));
        heard
    }

    pub(super) fn to_kept(&self) -> Vec<(u64, u64)> {
        self.0.clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, offset: Offset) -> bool {
        let at = self.0.partition_point(|(_, to)| *to < offset.0);
        self.0.get(at).is_some_and(|(from, _)| *from <= offset.0)
    }

    /// These, too.
    pub(super) fn add(&mut self, mut from: u64, mut to: u64) {
        if from > to {
            return;
        }
        self.0.retain(|(first, last)| {
            let apart = *last + 1 < from || to + 1 < *first;
            if !apart {
                (from, to) = (from.min(*first), to.max(*last));
            }
            apart
        });
        let at = self.0.partition_point(|(first, _)| *first < from);
        self.0.insert(at, (from, to));
        self.0.drain(..self.0.len().saturating_sub(HEARD_MAX));
    }

    fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|(from, to)| self.add(*from, *to));
    }

    /// What is before that offset nobody will ask for.
    fn forget_below(&mut self, first: Offset) {
        self.0.retain(|(_, to)| *to >= first.0);
    }
}

impl Merge {
    /// Where an event of that life is.
    pub(super) fn position(&self, offset: Offset) -> Option<Offset> {
        if offset <= self.fork {
            return Some(offset);
        }
        let stretch = self.stretches.iter().find(|s| s.of <= offset.0 && offset.0 < s.of + s.len)?;
        Some(Offset(stretch.at + (offset.0 - stretch.of)))
    }

    /// What somebody saw who saw that life up to there.
    pub(super) fn place(&self, offset: Offset) -> Place {
        let mut heard = Heard::default();
        for StretchKept { of, at, len } in &self.stretches {
            let seen = offset.0.saturating_add(1).saturating_sub(*of).min(*len);
            if seen > 0 {
                heard.add(*at, at + seen - 1);
            }
        }
        let exact = offset <= self.last && self.stretches.len() < STRETCHES_MAX;
        Place { upto: self.fork.min(offset), heard, exact }
    }

    /// The same in a log that this one came into: there, `at` a position, are those after the fork of the two.
    pub(super) fn within(&self, fork: Offset, at: &BTreeMap<u64, u64>) -> Self {
        let there = |here: u64| if here <= fork.0 { Some(here) } else { at.get(&here).copied() };
        let same = at.range(..=self.fork.0).map(|(of, at)| (*of, *at));
        let moved = self
            .stretches
            .iter()
            .flat_map(|stretch| (0..stretch.len).filter_map(move |n| Some((stretch.of + n, there(stretch.at + n)?))));
        let (epoch, last) = (self.epoch, self.last);
        Self { epoch, fork: fork.min(self.fork), last, stretches: stretches(same.chain(moved)) }
    }

    pub(super) fn to_kept(&self) -> MergeKept {
        MergeKept {
            epoch: self.epoch.to_string(),
            fork: self.fork.0,
            last: self.last.0,
            stretches: self.stretches.clone(),
        }
    }

    pub(super) fn read(kept: &MergeKept) -> Result<Self, Unreadable> {
        let MergeKept { epoch, fork, last, stretches } = kept;
        let (fork, last) = (Offset(*fork), Offset(*last));
        Ok(Self { epoch: epoch_from(epoch)?, fork, last, stretches: stretches.clone() })
    }
}

/// Single positions as stretches; the latest of them, if they are too many.
pub(super) fn stretches(positions: impl Iterator<Item = (u64, u64)>) -> Vec<StretchKept> {
    let mut all: Vec<StretchKept> = Vec::new();
    for (of, at) in positions {
        match all.last_mut() {
            Some(last) if last.of + last.len == of && last.at + last.len == at => last.len += 1,
            _ => all.push(StretchKept { of, at, len: 1 }),
        }
    }
    all.drain(..all.len().saturating_sub(STRETCHES_MAX));
    all
}

impl Room {
    /// Tells rooms apart by what came into them.
    pub(crate) fn hash_merges(&self, hasher: &mut impl Hasher) {
        self.merges.hash(hasher);
    }

    /// What somebody saw who saw that life up to there; absent: nothing is known of that life.
    pub(crate) fn place_of(&self, epoch: Epoch, offset: Offset) -> Option<Place> {
        let plain = |upto, exact| Place { upto, heard: Heard::default(), exact };
        if self.founding.epoch == epoch {
            return Some(plain(offset, true));
        }
        let edge = self.edges.iter().find(|edge| edge.epoch == epoch);
        if edge.is_some_and(|edge| offset <= edge.last) {
            return Some(plain(offset, true));
        }
        match self.merges.iter().find(|merge| merge.epoch == epoch) {
            Some(merge) => Some(merge.place(offset)),
            None => edge.map(|edge| plain(edge.last, false)),
        }
    }

    /// Where an event of a life is in this log, if it is.
    pub(super) fn position_of(&self, epoch: Epoch, offset: Offset) -> Option<Offset> {
        if epoch == self.founding.epoch && offset <= self.tip() {
            return Some(offset);
        }
        if self.edges.iter().any(|edge| edge.epoch == epoch && offset <= edge.last) {
            return Some(offset);
        }
        self.merges.iter().filter(|merge| merge.epoch == epoch).find_map(|merge| merge.position(offset))
    }

    /// Whether all that is known of that life up to there is in this log already.
    pub(crate) fn has_merged(&self, epoch: Epoch, last: Offset) -> bool {
        self.merges.iter().any(|merge| merge.epoch == epoch && merge.last >= last)
    }

    /// That life is in this log from now on, as far as that.
    pub(super) fn remember(&mut self, merge: Merge) {
        if self.has_merged(merge.epoch, merge.last) {
            return;
        }
        self.merges.retain(|other| other.epoch != merge.epoch);
        self.merges.push(merge);
        self.merges.drain(..self.merges.len().saturating_sub(MERGES_MAX));
    }

    /// A member saw these elsewhere: they are not told to it.
    pub(crate) fn has_heard(&mut self, seat: Seat, heard: &Heard) {
        let first = self.first_kept();
        let Some(member) = self.member_mut(seat).filter(|_| !heard.0.is_empty()) else { return };
        let own = &mut member.participant.heard;
        own.add_all(heard);
        own.forget_below(first);
    }

    /// A member was told that, as far as it is in this log: of what it got the room anew since, messages count, and nothing else.
    pub(crate) fn has_seen(&mut self, Saw { seat, epoch, upto, anew }: Saw) {
        let Some(mut place) = self.place_of(epoch, upto) else { return };
        if anew {
            return self.has_heard_said(seat, &place);
        }
        place.heard.add(self.first_kept().0, place.upto.0.min(self.tip().0));
        self.has_heard(seat, &place.heard);
    }

    /// A member heard what was said up to a place, and got the room anew since: what happened is told to it, messages are not.
    pub(crate) fn has_heard_said(&mut self, seat: Seat, place: &Place) {
        let (first, tip) = (self.first_kept(), self.tip());
        let Some(member) = self.member_mut(seat) else { return };
        let own = &mut member.participant.heard_said;
        own.add(first.0, place.upto.0.min(tip.0));
        own.add_all(&place.heard);
        own.forget_below(first);
    }
}

impl Member {
    /// Whether it saw an event elsewhere.
    pub(super) fn heard(&self, offset: Offset, kept: &Kept) -> bool {
        let participant = &self.participant;
        participant.heard.contains(offset)
            || (matches!(kept, Kept::Message(_)) && participant.heard_said.contains(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_touch_are_one() {
        let mut heard = Heard::default();
        for (from, to) in [(5, 6), (1, 2), (9, 9), (7, 7), (3, 3), (4, 3)] {
            heard.add(from, to);
        }
        assert_eq!(heard.to_kept(), [(1, 3), (5, 7), (9, 9)]);
        let contained: Vec<u64> = (0..=10).filter(|offset| heard.contains(Offset(*offset))).collect();
        assert_eq!(contained, [1, 2, 3, 5, 6, 7, 9]);
        heard.add(4, 8);
        assert_eq!(heard.to_kept(), [(1, 9)]);
    }

    #[test]
    fn a_place_in_a_life_that_was_merged_is_what_was_seen_of_it() {
        // of 4..=8 the first two are at 11, 12, and the last two are known from before, at 6 and 7
        let all = stretches([(4, 11), (5, 12), (7, 6), (8, 7)].into_iter());
        let merge = Merge { epoch: Epoch(1), fork: Offset(3), last: Offset(8), stretches: all };
        let place = |offset| {
            let Place { upto, heard, exact } = merge.place(Offset(offset));
            (upto.0, heard.to_kept(), exact)
        };
        assert_eq!(place(2), (2, vec![], true));
        assert_eq!(place(4), (3, vec![(11, 11)], true));
        assert_eq!(place(6), (3, vec![(11, 12)], true));
        assert_eq!(place(8), (3, vec![(6, 7), (11, 12)], true));
        assert_eq!(place(9), (3, vec![(6, 7), (11, 12)], false));
        assert_eq!(merge.position(Offset(5)), Some(Offset(12)));
        assert_eq!((merge.position(Offset(6)), merge.position(Offset(2))), (None, Some(Offset(2))));
        assert_eq!(Merge::read(&merge.to_kept()), Ok(merge));
    }
}
