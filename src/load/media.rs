//! What participants are told of their rooms' media nodes: whether every one of them is, and once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::Serialize;

use super::locked;
use crate::protocol::{ROOM_MERGED, v1};

/// What became of the rooms' media, as the participants were told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MediaUse {
    /// Joins by the media node that they were given; empty name: none.
    pub joins: BTreeMap<String, u64>,
    /// Notices of another node that participants got.
    pub told: u64,
    /// Notices that somebody in the room got, and a participant of it did not.
    pub untold: u64,
    /// Notices that came again.
    pub told_twice: u64,
    /// Participants whose room had lost its node and got no other.
    pub without: u64,
}

impl MediaUse {
    /// Whether there was a media node at all.
    pub fn is_any(&self) -> bool {
        self.told > 0 || self.joins.keys().any(|node| !node.is_empty())
    }

    /// For people, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let share = |(node, count): (&String, &u64)| match node.as_str() {
            "" => format!("none {count}"),
            node => format!("{node} {count}"),
        };
        let shares = self.joins.iter().map(share).collect::<Vec<_>>().join(", ");
        let Self { told, untold, told_twice, without, .. } = self;
        vec![
            format!("media nodes  {shares} (joins)"),
            format!("moved        {told} told, {untold} not told, {told_twice} told twice, {without} left without"),
        ]
    }
}

/// A move, by its place in the room's log.
type Moves = BTreeSet<(String, u64)>;

/// Of a whole run.
#[derive(Debug, Default)]
pub(crate) struct MediaBooks {
    told: AtomicU64,
    used: Mutex<Option<MediaUse>>,
}

impl MediaBooks {
    /// Notices so far.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Relaxed)
    }

    /// What became of it all, when somebody looked.
    pub(crate) fn used(&self) -> Option<MediaUse> {
        let used = locked(&self.used).clone()?;
        Some(MediaUse { told: self.told(), ..used })
    }

    /// A participant joined and was given a node, or none.
    pub(crate) fn joined(&self, joined: &v1::Joined) {
        let node = joined.media.as_ref().map(|media| media.node.clone()).unwrap_or_default();
        *locked(&self.used).get_or_insert_default().joins.entry(node).or_default() += 1;
    }

    fn add(&self, add: impl FnOnce(&mut MediaUse)) {
        add(locked(&self.used).get_or_insert_default());
    }
}

/// The moves that anybody of one room was told of.
#[derive(Debug, Default)]
pub(crate) struct RoomMoves(Mutex<Moves>);

/// One participant's.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What it came in after: an epoch, and an offset in it.
    since: (String, u64),
    moves: BTreeMap<(String, u64), u64>,
    /// Whether its room had a node at first, and has one now.
    had: bool,
    has: bool,
}

impl Told {
    /// It joined, or came back to a snapshot: what was before that it is not told.
    pub(crate) fn joined(&mut self, joined: &v1::Joined) {
        self.since = (joined.epoch.clone(), joined.offset);
        self.has = joined.media.is_some();
        self.had |= self.has;
    }

    /// It was told of a move.
    pub(crate) fn moved(&mut self, event: &v1::Event, moved: &v1::MediaMoved, room: &RoomMoves, run: &MediaBooks) {
        run.told.fetch_add(1, Relaxed);
        let place = (event.epoch.clone(), event.offset);
        self.has = moved.media.is_some();
        self.had |= self.has;
        // whoever was on that side of a room that two routers had hears it, and nobody else
        if moved.reason != ROOM_MERGED {
            locked(&room.0).insert(place.clone());
        }
        *self.moves.entry(place).or_default() += 1;
    }

    /// What it was told is held against what the others of its room were. Called once, when nothing more comes.
    pub(crate) fn close(&self, room: &RoomMoves, run: &MediaBooks) {
        let of_its_time = |(epoch, offset): &&(String, u64)| *epoch == self.since.0 && *offset > self.since.1;
        let untold = locked(&room.0).iter().filter(of_its_time).filter(|place| !self.moves.contains_key(place)).count();
        run.add(|used| {
            used.told_twice += self.moves.values().map(|times| times - 1).sum::<u64>();
            used.untold += untold as u64;
            used.without += u64::from(self.had && !self.has);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(node: &str) -> Option<v1::MediaInfo> {
        Some(v1::MediaInfo { node: node.to_owned(), ..v1::MediaInfo::default() })
    }

    fn joined(offset: u64) -> v1::Joined {
        v1::Joined { epoch: "e".to_owned(), offset, media: media("a"), ..v1::Joined::default() }
    }

    fn move_at(offset: u64, to: Option<v1::MediaInfo>) -> (v1::Event, v1::MediaMoved) {
        let event = v1::Event { epoch: "e".to_owned(), offset, ..v1::Event::default() };
        (event, v1::MediaMoved { media: to, reason: "node_failed".to_owned() })
    }

    fn used(run: &MediaBooks) -> MediaUse {
        run.used().unwrap()
    }

    #[test]
    fn who_was_not_told_was_told_twice_or_is_left_without_is_counted() {
        let (run, room) = (MediaBooks::default(), RoomMoves::default());
        let [mut told, mut deaf, mut twice, mut later] = std::array::from_fn(|_| Told::default());
        for early in [&mut told, &mut deaf, &mut twice] {
            early.joined(&joined(3));
            run.joined(&joined(3));
        }
        let (event, moved) = move_at(5, media("b"));
        told.moved(&event, &moved, &room, &run);
        twice.moved(&event, &moved, &room, &run);
        twice.moved(&event, &moved, &room, &run);
        // whoever came after the move has nothing to be told
        later.joined(&joined(9));
        // nor has who was on the side of the room whose node stays
        let (event, mut moved) = move_at(6, media("b"));
        moved.reason = ROOM_MERGED.to_owned();
        told.moved(&event, &moved, &room, &run);
        for participant in [&told, &deaf, &twice, &later] {
            participant.close(&room, &run);
        }
        let expected = BTreeMap::from([("a".to_owned(), 3)]);
        assert_eq!(used(&run), MediaUse { joins: expected, told: 4, untold: 1, told_twice: 1, without: 0 });
        let (event, moved) = move_at(12, None);
        later.moved(&event, &moved, &room, &run);
        later.close(&room, &run);
        assert_eq!(used(&run).without, 1);
    }

    #[test]
    fn no_node_is_a_word_of_its_own() {
        let mut media = MediaUse::default();
        assert!(!media.is_any());
        media.joins.insert(String::new(), 3);
        assert!(!media.is_any());
        media.joins.insert("a".to_owned(), 2);
        assert!(media.is_any());
        assert_eq!(media.lines()[0], "media nodes  none 3, a 2 (joins)");
    }
}
