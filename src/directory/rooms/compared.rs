//! This router's rooms against their records: what it was told that stands in etcd, and what stands there under its lease.
//!
//! They come together again whatever drove them apart: an answer that was not true, an etcd that forgot, a mistake of this program.
//! Writes are under way all the time, so a difference counts once two looks in a row have seen the same one.
//!
//! ```text
//! due -> look -> the same: again in half a minute
//!           \-> a difference: again soon -> still there: told; what is here is written again, what is there is taken away
//! ```

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ahash::{AHashSet, RandomState};

use super::{Entry, Rooms};
use crate::{
    directory::{Answer, Fault, Output},
    event::DirectoryFact,
    ids::RoomId,
};

/// Until a difference is looked at again, and after anything that may have made one: a new lease, a call that failed.
const SOON: Duration = Duration::from_secs(3);
/// What the keys of all rooms may be for them to be compared: an answer of etcd is no longer than 4 MiB, some 70,000 rooms.
const KEYS_BYTES_MAX: usize = 4_000_000;
/// Of a key, what is neither the prefix of all keys nor the room's name.
const KEY_BYTES: usize = 12;
/// Rooms that are told by name.
const NAMED_MAX: usize = 3;
/// As many bits of a digest as a float holds exactly.
const DIGEST: u64 = (1 << 48) - 1;

/// Two sides, and how far they are one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// When.
    pub at: Instant,
    /// Rooms of this router with a record, as far as it was told.
    pub here: Side,
    /// Records that stand under its lease.
    pub there: Side,
}

/// One of them. Rooms that something is being done about are left out of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// 48 bits, equal where both sides are.
    pub digest: u64,
    /// How many there are.
    pub rooms: usize,
    /// How many the other side lacks, in two looks in a row.
    pub alone: usize,
}

/// See the module.
#[derive(Debug)]
pub(in crate::directory) struct Comparing {
    every: Duration,
    /// Of a key without the room's name.
    key_bytes: usize,
    due: Instant,
    /// It is to be looked soon.
    soon: bool,
    under_way: bool,
    /// Looks that were begun: what was written since the latest one began may not have been seen by it.
    looks: u64,
    /// Rooms that were let go of since then: they may have been seen.
    let_go: AHashSet<RoomId>,
    /// What one side lacked when it was looked last: rooms that are here, with the revision of their records; and rooms that are there.
    here: BTreeMap<RoomId, i64>,
    there: AHashSet<RoomId>,
    compared: Option<Compared>,
    hashes: RandomState,
    random: fastrand::Rng,
}

impl Comparing {
    pub(in crate::directory) fn new(every: Duration, prefix_bytes: usize, seed: u64, now: Instant) -> Self {
        Self {
            every,
            key_bytes: prefix_bytes + KEY_BYTES,
            due: now + every,
            soon: false,
            under_way: false,
            looks: 0,
            let_go: AHashSet::new(),
            here: BTreeMap::new(),
            there: AHashSet::new(),
            compared: None,
            hashes: RandomState::with_seeds(11, 12, 13, 14),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Something happened that may have driven both apart.
    pub(super) fn doubt(&mut self) {
        self.soon = true;
    }

    /// The number of the latest look.
    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    /// A room's entry is gone.
    pub(super) fn note_forgotten(&mut self, room: &RoomId) {
        if self.under_way {
            self.let_go.insert(room.clone());
        }
    }

    /// When it is to be looked next; absent: it is being looked.
    pub(super) fn wake(&self) -> Option<Instant> {
        (!self.under_way).then_some(self.due)
    }

    /// How far both sides were one when it was looked last.
    pub(in crate::directory) fn compared(&self) -> Option<Compared> {
        self.compared
    }

    /// Whether it is time to look.
    fn is_due(&mut self, now: Instant) -> bool {
        if std::mem::take(&mut self.soon) && self.every > SOON {
            self.due = self.due.min(now + SOON);
        }
        !self.under_way && self.due <= now
    }

    /// The next look is that far away; routers that were started together do not look together.
    fn rest(&mut self, wait: Duration, now: Instant) {
        self.due = now + wait.mul_f64(0.75 + self.random.f64() / 2.0);
    }

    /// Adds a room to a side.
    fn add(&self, side: &mut Side, room: &RoomId) {
        side.rooms += 1;
        // in any order
        side.digest = side.digest.wrapping_add(self.hashes.hash_one(room)) & DIGEST;
    }
}

impl Entry {
    /// Whether nothing was done about it since that look began, nor will be for all that is known: its record stands, at that revision.
    fn rests(&self, lease: i64, looks: u64) -> Option<i64> {
        let busy = self.under_way || self.queued || self.uncertain || self.written_in == looks;
        self.written.filter(|(under, _)| *under == lease && !busy).map(|(_, revision)| revision)
    }
}

impl Rooms {
    /// Whether records are to be looked at now; past the bound it is said that they are not.
    pub(super) fn is_to_compare(&mut self, now: Instant) -> bool {
        if !self.comparing.is_due(now) {
            return false;
        }
        let bytes = self.entries.keys().map(|room| room.as_str().len() + self.comparing.key_bytes).sum::<usize>();
        if bytes > KEYS_BYTES_MAX {
            self.comparing.rest(self.comparing.every, now);
            (self.comparing.here, self.comparing.there) = Default::default();
            self.comparing.compared = None;
            let fact = DirectoryFact::RoomsNotCompared { rooms: self.entries.len(), limit: KEYS_BYTES_MAX };
            self.outputs.push(Output::Observe(fact));
            return false;
        }
        self.comparing.under_way = true;
        self.comparing.looks += 1;
        true
    }

    /// What stands under that lease. A look without an answer is taken another time: nothing else waits for it.
    pub(super) fn looked_under(&mut self, lease: i64, answer: Result<Answer, Fault>, now: Instant) {
        self.comparing.under_way = false;
        let keys = match answer {
            Ok(Answer::Under { keys }) if self.lease == Some(lease) => keys,
            _ => {
                // what was seen before may not be so any more
                self.comparing.compared = None;
                self.comparing.let_go.clear();
                return self.comparing.rest(self.comparing.every, now);
            }
        };
        let there: AHashSet<RoomId> = keys.into_iter().map(RoomId::from).collect();
        let compared = self.compare(lease, &there, now);
        self.comparing.compared = Some(compared);
        let differ = !(self.comparing.here.is_empty() && self.comparing.there.is_empty());
        let wait = if differ { SOON.min(self.comparing.every) } else { self.comparing.every };
        self.comparing.rest(wait, now);
    }

    fn compare(&mut self, lease: i64, keys: &AHashSet<RoomId>, now: Instant) -> Compared {
        let (mut here, mut there, looks) = (Side::default(), Side::default(), self.comparing.looks);
        let let_go = std::mem::take(&mut self.comparing.let_go);
        let mut only_here = BTreeMap::new();
        for (room, entry) in &self.entries {
            let Some(revision) = entry.rests(lease, looks) else { continue };
            self.comparing.add(&mut here, room);
            if !keys.contains(room) {
                only_here.insert(room.clone(), revision);
            }
        }
        let mut only_there = AHashSet::new();
        for room in keys {
            match self.entries.get(room) {
                Some(entry) if entry.rests(lease, looks).is_none() => continue,
                Some(_) => {}
                None if let_go.contains(room) => continue,
                None => drop(only_there.insert(room.clone())),
            }
            self.comparing.add(&mut there, room);
        }
        let before = std::mem::replace(&mut self.comparing.here, only_here);
        let mut lack: Vec<RoomId> = self
            .comparing
            .here
            .iter()
            .filter(|both| before.get(both.0) == Some(both.1))
            .map(|(r, _)| r.clone())
            .collect();
        let before = std::mem::replace(&mut self.comparing.there, only_there);
        let mut extra: Vec<RoomId> = self.comparing.there.intersection(&before).cloned().collect();
        (here.alone, there.alone) = (lack.len(), extra.len());
        if !(lack.is_empty() && extra.is_empty()) {
            lack.sort();
            extra.sort();
            self.mend(lack, extra);
        }
        Compared { at: now, here, there }
    }

    /// Both ways by those that there are: a record that is missing is written as any other; one that is too many is found to be this
    /// router's, and taken away as that of a room that ended.
    fn mend(&mut self, lack: Vec<RoomId>, extra: Vec<RoomId>) {
        let named = |rooms: &[RoomId]| rooms[..rooms.len().min(NAMED_MAX)].to_vec();
        let fact = DirectoryFact::RoomsDiffer {
            here: lack.len(),
            there: extra.len(),
            named_here: named(&lack),
            named_there: named(&extra),
        };
        self.outputs.push(Output::Observe(fact));
        for room in lack {
            if let Some(entry) = self.entries.get_mut(&room) {
                (entry.written, entry.expected, entry.from) = (None, 0, None);
            }
            self.queue(&room);
            self.tell_kept(&room);
        }
        for room in extra {
            self.entries.entry(room.clone()).or_default().uncertain = true;
            self.queue(&room);
        }
    }
}
