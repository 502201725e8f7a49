//! What waits in the journal, by room: how much of it, and since when. Decides what fits; knows no disk and no Redis.

use std::time::{Duration, Instant};

use ahash::AHashMap;

/// What a write takes up beside its content, roughly.
const WRITE_BYTES: u64 = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    rooms: AHashMap<String, Room>,
    bytes: u64,
    bytes_max: u64,
    /// The most that it was since the disk had its place back.
    peak: u64,
    /// Of the latest write, of whatever room.
    number: u64,
    /// The file is about to go: nothing is taken meanwhile.
    goes: bool,
}

/// What waits of one room.
#[derive(Debug)]
struct Room {
    /// Numbers and sizes, in order.
    writes: Vec<(u64, u64)>,
    /// Since when something of it waits.
    since: Instant,
    /// Of another process, which is gone: nobody writes of it any more.
    left: bool,
    /// What is there says all that has to be known of the room.
    whole: bool,
    /// The last of it is on its way to Redis.
    closing: bool,
    /// All of it was brought, and could not be taken out of the file.
    brought: bool,
}

/// All that waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) rooms: usize,
    pub(super) writes: usize,
    pub(super) bytes: u64,
    /// For how long that waits which waits longest.
    pub(super) age: Duration,
}

/// A write was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untaken {
    /// Nothing of the room waits.
    Elsewhere,
    /// The last of it is on its way: in a moment nothing will, or more can be added.
    Closing,
    /// It would pass the bound.
    Full,
}

impl Index {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { rooms: AHashMap::new(), bytes: 0, bytes_max, peak: 0, number: 0, goes: false }
    }

    /// A write that another process left behind.
    pub(super) fn found(&mut self, room: &str, number: u64, size: usize, (since, whole): (Instant, Option<bool>)) {
        let size = size as u64 + WRITE_BYTES;
        self.number = self.number.max(number);
        self.bytes += size;
        let room = self.rooms.entry(room.to_owned()).or_insert_with(|| Room::new(since, true));
        room.since = room.since.min(since);
        room.whole = whole.unwrap_or(room.whole);
        room.writes.push((number, size));
    }

    /// Whether anything of the room waits.
    pub(super) fn has(&self, room: &str) -> bool {
        self.rooms.contains_key(room)
    }

    /// Whether there is a place for anything at all.
    pub(super) fn takes(&self) -> bool {
        !self.goes && self.bytes < self.bytes_max
    }

    /// A place for a write of a room; `begins`: also if nothing of it waits.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn reserve(
        &mut self,
        room: &str,
        (size, whole, ends): (usize, Option<bool>, bool),
        begins: bool,
        at: Instant,
    ) -> Result<u64, Untaken> {
        let size = size as u64 + WRITE_BYTES;
        match self.rooms.get(room) {
            Some(room) if room.closing => return Err(Untaken::Closing),
            None if !begins => return Err(Untaken::Elsewhere),
            Some(_) | None => {}
        }
        // that a room ended takes next to nothing, and lets all else of it go
        if self.goes || (!ends && self.bytes + size > self.bytes_max) {
            return Err(Untaken::Full);
        }
        self.number += 1;
        self.bytes += size;
        self.peak = self.peak.max(self.bytes);
        let room = self.rooms.entry(room.to_owned()).or_insert_with(|| Room::new(at, false));
        room.writes.push((self.number, size));
        (room.left, room.brought) = (false, false);
        room.whole = whole.unwrap_or(room.whole);
        Ok(self.number)
    }

    /// A write for which there was a place is not on the disk.
    pub(super) fn missed(&mut self, room: &str, number: u64) {
        self.take_out(room, |write| write == number);
    }

    /// Writes up to there are done with; how many they are.
    pub(super) fn forget(&mut self, room: &str, up_to: u64) -> u64 {
        self.take_out(room, |write| write <= up_to)
    }

    fn take_out(&mut self, name: &str, is_one: impl Fn(u64) -> bool) -> u64 {
        let Some(room) = self.rooms.get_mut(name) else { return 0 };
        let (before, mut bytes) = (room.writes.len(), 0);
        room.writes.retain(|(number, size)| {
            let goes = is_one(*number);
            bytes += if goes { *size } else { 0 };
            !goes
        });
        let gone = (before - room.writes.len()) as u64;
        self.bytes -= bytes;
        if room.writes.is_empty() {
            self.rooms.remove(name);
        }
        gone
    }

    /// The number of the latest write of a room that waits.
    pub(super) fn latest(&self, room: &str) -> Option<u64> {
        self.rooms.get(room)?.writes.last().map(|(number, _)| *number)
    }

    /// Whether a room was left behind by a process that is gone, and whether what is there of it is a whole.
    pub(super) fn standing(&self, room: &str) -> (bool, bool) {
        self.rooms.get(room).map_or((false, true), |room| (room.left, room.whole))
    }

    /// All of a room was brought up to there, and stays in the file. Whether the file can go: nothing in it counts any more, and nothing
    /// is taken until [`gone`](Self::gone).
    pub(super) fn brought(&mut self, name: &str, up_to: u64) -> bool {
        if let Some(room) = self.rooms.get_mut(name) {
            room.brought = room.writes.last().is_some_and(|(number, _)| *number <= up_to);
        }
        self.goes = self.rooms.values().all(|room| room.brought);
        self.goes
    }

    /// The file can go when all rooms in it are here: which they are, and how much of each; nothing is taken until [`gone`](Self::gone).
    pub(super) fn goes_if_here(&mut self) -> Option<Vec<(String, u64)>> {
        if self.goes || self.rooms.values().any(|room| room.left) {
            return None;
        }
        self.goes = true;
        Some(self.rooms.iter().map(|(name, room)| (name.clone(), room.writes.len() as u64)).collect())
    }

    /// The file went, or it is still there.
    pub(super) fn gone(&mut self, went: bool) {
        self.goes = false;
        if went {
            self.rooms.clear();
            (self.bytes, self.peak) = (0, 0);
        }
    }

    /// Whether the disk can have its place back: there was much, and there is nothing.
    pub(super) fn may_shrink(&mut self, worth: u64) -> bool {
        let may = self.rooms.is_empty() && self.peak >= worth;
        if may {
            self.peak = 0;
        }
        may
    }

    /// The last of a room is on its way, or not any more.
    pub(super) fn close(&mut self, room: &str, closing: bool) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.closing = closing;
        }
    }

    /// Rooms of which something waits.
    pub(super) fn rooms(&self) -> Vec<String> {
        self.rooms.keys().cloned().collect()
    }

    pub(super) fn figures(&self, at: Instant) -> Figures {
        let since = self.rooms.values().map(|room| room.since).min();
        Figures {
            rooms: self.rooms.len(),
            writes: self.rooms.values().map(|room| room.writes.len()).sum(),
            bytes: self.bytes,
            age: since.map_or(Duration::ZERO, |since| at.saturating_duration_since(since)),
        }
    }
}

impl Room {
    fn new(since: Instant, left: bool) -> Self {
        Self { writes: Vec::new(), since, left, whole: false, closing: false, brought: false }
    }
}
