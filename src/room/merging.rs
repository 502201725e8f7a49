//! What another router had of this room, which went on there and here beside each other, comes into this one's log.
//!
//! - Its events after the fork, where the two logs part, are appended in their order, behind a `room_merged`; those that are here
//!   already, in whatever life, and requests that were carried out here as well, are not appended again.
//! - Metadata that was set on one side stands; set on both, this side's does.
//! - What that leaves different from what either log said last is told after it: who is a member after all, or is not, how it is now.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ahash::AHashMap;

use super::{
    Audience, Edge, Member, Push, Room, Seat, Turn,
    history::{Entry, Kept},
    kept::{edges_from, entry_from},
    place::{Heard, Merge, Place, Saw, stretches},
};
use crate::{
    fabric::{EntryFound, EntryKept, MemberKept, RoomKept, SaidKept, Unreadable},
    ids::{Epoch, Offset, TrackId},
    protocol::v1::{self, event::Kind},
};

/// What another router had of a room.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) epoch: Epoch,
    pub(crate) tip: Offset,
    edges: Vec<Edge>,
    merges: Vec<Merge>,
    metadata: String,
    entries: Vec<(u64, EntryKept)>,
}

/// A member as the two sides have it.
#[derive(Debug)]
pub(crate) struct Both {
    pub(crate) here: Option<MemberKept>,
    pub(crate) there: Option<MemberKept>,
}

/// What came of a merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    /// The event that says so, or the latest where nothing had to be said.
    pub(crate) after: Offset,
    /// Events that are in the log now and were not.
    pub(crate) events: usize,
    /// Events that the other side's history had let go of.
    pub(crate) missing: usize,
}

/// What is done with an event of a branch.
#[derive(Debug)]
enum Fate {
    /// It is here.
    Known(Offset),
    /// It says something of its own log.
    Dropped,
    Appended(Box<EntryKept>),
}

impl Branch {
    /// As it was kept.
    ///
    /// # Errors
    /// It is no such thing.
    pub(crate) fn read(kept: &RoomKept, tip: Offset, entries: Vec<(u64, EntryFound)>) -> Result<Self, Unreadable> {
        let mut edges = edges_from(kept, tip)?;
        let epoch = edges.pop().map_or(Epoch(0), |edge| edge.epoch);
        let merges = kept.merges.iter().map(Merge::read).collect::<Result<_, _>>()?;
        let entries = entries.into_iter().map(|(offset, found)| (offset, found.kept)).collect();
        Ok(Self { epoch, tip, edges, merges, metadata: kept.metadata.clone(), entries })
    }

    /// Its lives, each with its end.
    fn lives(&self) -> impl Iterator<Item = (Epoch, Offset)> {
        self.edges.iter().map(|edge| (edge.epoch, edge.last)).chain([(self.epoch, self.tip)])
    }

    /// How much somebody knows of this log who was told that life of it up to there; absent: it is none of this log.
    fn told(&self, life: Epoch, upto: Offset) -> Option<Place> {
        let own = self.lives().find(|(epoch, _)| *epoch == life);
        // one may be of both: as far as this log went on from it, and what came into it of the rest
        let merge = self.merges.iter().find(|merge| merge.epoch == life);
        match (own.filter(|(_, last)| upto <= *last), merge) {
            (None, Some(merge)) => Some(merge.place(upto)),
            _ => own.map(|(_, last)| Place { upto: upto.min(last), heard: Heard::default(), exact: upto <= last }),
        }
    }

    /// By which lives and offsets an event of it may be known.
    fn names(&self, offset: Offset) -> impl Iterator<Item = (Epoch, Offset)> {
        let own = self.lives().find(|(_, last)| offset <= *last).map(|(epoch, _)| (epoch, offset));
        let merged = self.merges.iter().flat_map(move |merge| {
            let of = merge.stretches.iter().find(|s| s.at <= offset.0 && offset.0 < s.at + s.len);
            of.map(|stretch| (merge.epoch, Offset(stretch.of + (offset.0 - stretch.at))))
        });
        own.into_iter().chain(merged)
    }

    /// Who joined, or whose end is told, in what came after that offset; and whether the metadata was set.
    fn said(&self, after: Offset) -> Said {
        let mut said = Said::default();
        for (_, entry) in self.entries.iter().filter(|(offset, _)| *offset > after.0) {
            if let Some(SaidKept::Event(v1::Event { kind: Some(kind), .. })) = &entry.said {
                said.note(kind);
            }
        }
        said
    }
}

/// What a log said after the fork.
#[derive(Debug, Default)]
pub(crate) struct Said {
    joined: BTreeSet<String>,
    /// And why.
    left: BTreeMap<String, String>,
    metadata: bool,
}

impl Said {
    fn note(&mut self, kind: &Kind) {
        match kind {
            Kind::ParticipantJoined(one) => {
                self.joined.insert(one.id.clone());
            }
            Kind::ParticipantLeft(one) => {
                self.left.insert(one.id.clone(), one.reason.clone());
            }
            Kind::RoomUpdated(_) => self.metadata = true,
            _ => {}
        }
    }

    /// Why a participant left, if it did.
    pub(crate) fn left(&self, id: &str) -> Option<&str> {
        self.left.get(id).map(String::as_str)
    }
}

impl Room {
    /// Up to where this log and that of a branch are the same.
    pub(crate) fn fork(&self, branch: &Branch) -> Offset {
        let here = self.edges.iter().map(|edge| (edge.epoch, edge.last)).chain([(self.epoch(), self.tip())]);
        let both = here.filter_map(|(epoch, last)| {
            branch.lives().find(|(other, _)| *other == epoch).map(|(_, other)| last.min(other))
        });
        both.max().unwrap_or_default()
    }

    /// What was said here, and there, after the fork.
    pub(crate) fn said_after(&self, fork: Offset, branch: &Branch) -> (Said, Said) {
        let mut here = Said::default();
        for (_, entry) in self.history.after(fork) {
            if let Kept::Event(kind) = &entry.kept {
                here.note(kind);
            }
        }
        (here, branch.said(fork))
    }

    /// Brings the events of a branch into this log. `said`: on both sides after the fork; `seats`: of its members by id; `saw`: of members, in their
    /// order, the lives that they came from.
    pub(crate) fn merge(
        &mut self,
        (branch, fork, said): (Branch, Offset, &(Said, Said)),
        (seats, saw): (&AHashMap<String, Seat>, &[Saw]),
        unix_ms: u64,
        turn: &mut Turn<'_>,
    ) -> Merged {
        let (epoch, last) = (branch.epoch, branch.tip);
        let metadata = branch.metadata.clone();
        let lives = (branch.edges.clone(), branch.merges.clone());
        let knew: Vec<_> = saw.iter().filter_map(|saw| Some((*saw, branch.told(saw.epoch, saw.upto)?))).collect();
        let fates = self.fates(branch, fork, seats);
        let told = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Appended(_))).count();
        let missing = (last.0.saturating_sub(fork.0) as usize).saturating_sub(fates.len());
        if told + missing > 0 {
            let merged =
                v1::RoomMerged { epoch: epoch.to_string(), after: fork.0, last: last.0, missing: missing as u64 };
            self.emit(Audience::All, Kind::RoomMerged(merged), turn);
        }
        let after = self.tip();
        let mut positions = BTreeMap::new();
        for (of, fate) in fates {
            match fate {
                Fate::Dropped => {}
                Fate::Known(at) => drop(positions.insert(of, at.0)),
                Fate::Appended(entry) => {
                    let age = Duration::from_millis(unix_ms.saturating_sub(entry.at_unix_ms));
                    let at = turn.at.checked_sub(age).unwrap_or(turn.at);
                    // what only a newer build knows bears its place in that life, and could not be written at one of this
                    let Some(entry) = entry_from(*entry, at, seats) else { continue };
                    // of what happened it heard, too, but got the room anew since
                    let counts = |saw: &Saw| !saw.anew || matches!(entry.kept, Kept::Message(_));
                    let knows = |place: &Place| of <= place.upto.0 || place.heard.contains(Offset(of));
                    let not_to = knew.iter().filter(|(saw, place)| counts(saw) && knows(place));
                    let mut not_to: Vec<Seat> = not_to.map(|(saw, _)| saw.seat).collect();
                    not_to.dedup();
                    positions.insert(of, self.append(entry, &not_to, turn).0);
                }
            }
        }
        self.remember_all(lives, (epoch, last), fork, &positions);
        saw.iter().for_each(|saw| self.has_seen(*saw));
        let whole = self.history.covers(fork);
        self.merge_metadata(metadata, said, whole, turn);
        Merged { after, events: told, missing }
    }

    /// Where the events of a branch are, and of the lives that it went on from, or that had come into it. `positions`: of those after
    /// the fork.
    fn remember_all(
        &mut self,
        (edges, merges): (Vec<Edge>, Vec<Merge>),
        (epoch, last): (Epoch, Offset),
        fork: Offset,
        positions: &BTreeMap<u64, u64>,
    ) {
        for merge in merges {
            self.remember(merge.within(fork, positions));
        }
        for Edge { epoch, last } in edges.into_iter().chain([Edge { epoch, last }]) {
            if last > fork || self.position_of(epoch, last).is_none() {
                let own = positions.range(..=last.0).map(|(of, at)| (*of, *at));
                self.remember(Merge { epoch, fork: fork.min(last), last, stretches: stretches(own) });
            }
        }
        if last <= fork {
            self.remember(Merge { epoch, fork: last, last, stretches: Vec::new() });
        }
    }

    /// What is done with each event after the fork that is there.
    fn fates(&self, branch: Branch, fork: Offset, seats: &AHashMap<String, Seat>) -> Vec<(u64, Fate)> {
        let mut requests = AHashMap::new();
        for (offset, entry) in self.history.after(fork) {
            if let Some(by) = entry.by {
                requests.entry(by).or_insert(offset);
            }
        }
        let known: Vec<Option<Offset>> = branch
            .entries
            .iter()
            .map(|(offset, entry)| {
                let mut names = branch.names(Offset(*offset));
                let as_request = || {
                    let by = (*seats.get(&entry.by)?, entry.request);
                    requests.get(&by).copied()
                };
                names.find_map(|(epoch, offset)| self.position_of(epoch, offset)).or_else(as_request)
            })
            .collect();
        let entries = branch.entries.into_iter().zip(known).filter(|((offset, _), _)| *offset > fork.0);
        entries
            .map(|((offset, entry), known)| {
                let own = matches!(
                    &entry.said,
                    Some(SaidKept::Event(v1::Event {
                        kind: Some(Kind::RoomContinued(_) | Kind::RoomMerged(_) | Kind::RoomClosed(_)),
                        ..
                    }))
                );
                let fate = match known {
                    Some(at) => Fate::Known(at),
                    None if own => Fate::Dropped,
                    None => Fate::Appended(Box::new(entry)),
                };
                (offset, fate)
            })
            .collect()
    }

    /// What happened elsewhere is told here, but to those who saw it there, by their seats in order.
    fn append(&mut self, entry: Entry, not_to: &[Seat], turn: &mut Turn<'_>) -> Offset {
        let (audience, kept) = (entry.audience, entry.kept.clone());
        let offset = self.history.append_kept(entry, turn.at, &self.bounds);
        let told = |member: &&Member| audience.includes(member) && not_to.binary_search(&member.seat).is_err();
        let to: Vec<_> = self.members.iter().filter(told).filter_map(|member| member.connection).collect();
        if !to.is_empty()
            && let Some(frame) = self.retell(offset, &kept)
        {
            turn.pushes.push(Push { to, frame });
        }
        offset
    }

    fn merge_metadata(&mut self, theirs: String, (here, there): &(Said, Said), whole: bool, turn: &mut Turn<'_>) {
        if !there.metadata {
            return;
        }
        if here.metadata || !whole {
            let info = Box::new(self.info());
            self.emit(Audience::All, Kind::RoomUpdated(info), turn);
        } else {
            self.founding.metadata = theirs.into();
        }
    }

    /// A member of the other side's comes in: away, with all that is its own.
    pub(crate) fn seat_from(&mut self, seat: Seat, kept: MemberKept, fork: Offset) {
        let since = kept.since.min(fork.0);
        self.seat_again(seat, MemberKept { since, heard: Vec::new(), heard_said: Vec::new(), ..kept });
        self.touch_at(self.members.len() - 1);
    }

    /// A member is what the other side had of it.
    pub(crate) fn become_kept(&mut self, seat: Seat, kept: MemberKept) {
        let Some(member) = self.member_mut(seat) else { return };
        let since = member.since;
        let heard = (std::mem::take(&mut member.participant.heard), std::mem::take(&mut member.participant.heard_said));
        let before = member.participant.tracks.iter().map(|track| TrackId::from(track.id.as_str()));
        let before: Vec<TrackId> = before.collect();
        let connection = member.connection;
        *member = Member::restored(seat, kept);
        (member.since, member.connection) = (since, connection);
        (member.participant.heard, member.participant.heard_said) = heard;
        let now = member.participant.tracks.iter().map(|track| TrackId::from(track.id.as_str())).collect::<Vec<_>>();
        for track in before {
            self.track_owners.remove(&track);
        }
        self.track_owners.extend(now.into_iter().map(|track| (track, seat)));
    }

    /// A member left on the other side, whose log tells.
    pub(crate) fn remove_untold(&mut self, seat: Seat) {
        let Some(at) = self.position(seat) else { return };
        self.touch_at(at);
        let member = self.members.remove(at);
        self.seats.remove(member.identity());
        for track in &member.participant.tracks {
            self.track_owners.remove(&TrackId::from(track.id.as_str()));
        }
    }

    /// After both logs: what of members is not as either of them said last. `fork`: where they part.
    pub(crate) fn tell_differences(
        &mut self,
        both: &BTreeMap<String, Both>,
        fork: Offset,
        (here, there): &(Said, Said),
        turn: &mut Turn<'_>,
    ) {
        let by_id: BTreeMap<String, Seat> =
            self.members.iter().map(|member| (member.id().as_str().to_owned(), member.seat)).collect();
        for (id, Both { here: ours, there: theirs }) in both {
            match (by_id.get(id), ours, theirs) {
                (Some(seat), None, Some(_)) if !there.joined.contains(id) => self.tell_member(*seat, turn),
                // it was a member when the logs parted, and left there
                (Some(seat), Some(ours), None) if ours.since <= fork.0 => self.tell_member(*seat, turn),
                (Some(seat), Some(ours), Some(theirs)) => self.tell_difference(*seat, (ours, theirs), turn),
                (None, _, Some(theirs)) if there.joined.contains(id) || here.left(id).is_none() => {
                    let left = v1::ParticipantLeft {
                        id: id.clone(),
                        identity: theirs.participant.identity.clone(),
                        reason: "replaced".to_owned(),
                    };
                    self.emit(Audience::All, Kind::ParticipantLeft(left), turn);
                }
                _ => {}
            }
        }
    }

    /// It is a member, with its tracks.
    fn tell_member(&mut self, seat: Seat, turn: &mut Turn<'_>) {
        let Some(member) = self.member(seat) else { return };
        let (others, joined) = (member.others(), member.joined_kind());
        let (audience, tracks) = (member.audience(), member.participant.tracks.clone());
        self.emit(others, joined, turn);
        for track in tracks {
            self.emit(audience, Kind::TrackPublished(Box::new(track)), turn);
        }
    }

    fn tell_difference(&mut self, seat: Seat, (ours, theirs): (&MemberKept, &MemberKept), turn: &mut Turn<'_>) {
        let Some(member) = self.member(seat) else { return };
        let audience = member.audience();
        if !says_the_same(&ours.participant, &theirs.participant) {
            let participant = Box::new(member.to_wire());
            self.emit(audience, Kind::ParticipantUpdated(participant), turn);
        }
        let Some(member) = self.member(seat) else { return };
        let now = member.participant.tracks.clone();
        let of = |tracks: &[v1::Track], id: &str| tracks.iter().find(|track| track.id == id).cloned();
        let ids: BTreeSet<&String> = ours.tracks.iter().chain(&theirs.tracks).map(|track| &track.id).collect();
        for id in ids {
            let (one, other) = (of(&ours.tracks, id), of(&theirs.tracks, id));
            if one == other {
                continue;
            }
            let kind = match of(&now, id) {
                Some(track) => Kind::TrackPublished(Box::new(track)),
                None => {
                    let owner = self.member(seat).map(|member| member.id().as_str().to_owned()).unwrap_or_default();
                    Kind::TrackUnpublished(v1::TrackUnpublished { track: id.clone(), participant: owner })
                }
            };
            self.emit(audience, kind, turn);
        }
    }
}

/// But for whether it is there just now.
fn says_the_same(one: &v1::Participant, other: &v1::Participant) -> bool {
    let timeless = |participant: &v1::Participant| v1::Participant { state: 0, ..participant.clone() };
    timeless(one) == timeless(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_life_that_a_log_goes_on_from_and_that_came_into_it_counts_what_says_more() {
        let (life, other) = (Epoch(1), Epoch(2));
        let merge = |epoch| Merge {
            epoch,
            fork: Offset(3),
            last: Offset(12),
            stretches: stretches([(4, 4), (11, 21), (12, 22)].into_iter()),
        };
        let branch = Branch {
            epoch: Epoch(3),
            tip: Offset(30),
            edges: vec![Edge { epoch: life, last: Offset(10) }],
            merges: vec![merge(life), merge(other)],
            metadata: String::new(),
            entries: Vec::new(),
        };
        let told = |epoch, upto| {
            branch.told(epoch, Offset(upto)).map(|place| (place.upto.0, place.heard.contains(Offset(21))))
        };
        assert_eq!(told(life, 8), Some((8, false)));
        assert_eq!(told(life, 11), Some((3, true)), "as far as it is known");
        assert_eq!((told(other, 8), told(other, 12)), (Some((3, false)), Some((3, true))));
        assert_eq!((told(Epoch(3), 29), told(Epoch(3), 31)), (Some((29, false)), Some((30, false))));
        assert_eq!(told(Epoch(4), 1), None);
    }
}
