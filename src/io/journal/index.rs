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
    /// Nothing was written of it since that process was cut short.
    cut: bool,
    /// From that write on all of the room begins anew, and is not complete.
    partial: Option<u64>,
    /// The last of it is on its way to Redis.
    closing: bool,
    /// All of it was brought, or counts no more, and could not be taken out of the file.
    brought: bool,
}

/// What of a room is to be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    /// The number of the latest write that is there,
    pub(super) latest: u64,
    /// and of the latest that can be brought: what a killed process had not written to its end is none of them.
    pub(super) brings: Option<u64>,
    /// Of another process, which is gone.
    pub(super) left: bool,
    /// All of it counts no more.
    pub(super) brought: bool,
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
        room.add((number, size), whole);
    }

    /// Whether anything of the room waits.
    pub(super) fn has(&self, room: &str) -> bool {
        self.rooms.get(room).is_some_and(|room| !room.brought)
    }

    /// Whether anything of it is there, be it that it counts no more.
    pub(super) fn lies(&self, room: &str) -> bool {
        self.rooms.contains_key(room)
    }

    /// Whether another process left it, which is gone.
    pub(super) fn is_left(&self, room: &str) -> bool {
        self.rooms.get(room).is_some_and(|room| room.left)
    }

    /// A room that another process left goes on in this one.
    pub(super) fn goes_on(&mut self, room: &str) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.left = false;
        }
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
            Some(room) if !room.brought => {}
            Some(_) | None if begins => {}
            Some(_) | None => return Err(Untaken::Elsewhere),
        }
        // that a room ended takes next to nothing, and lets all else of it go
        if self.goes || (!ends && self.bytes + size > self.bytes_max) {
            return Err(Untaken::Full);
        }
        self.number += 1;
        self.bytes += size;
        self.peak = self.peak.max(self.bytes);
        let room = self.rooms.entry(room.to_owned()).or_insert_with(|| Room::new(at, false));
        room.add((self.number, size), whole);
        (room.left, room.cut, room.brought) = (false, false, false);
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

    /// What of a room is to be brought; none: nothing of it is there.
    pub(super) fn waits(&self, room: &str) -> Option<Waits> {
        let room = self.rooms.get(room)?;
        let (latest, _) = *room.writes.last()?;
        let mut numbers = room.writes.iter().rev().map(|(number, _)| *number);
        let partial = room.partial.filter(|_| room.cut);
        let brings = numbers.find(|number| partial.is_none_or(|partial| *number < partial));
        Some(Waits { latest, brings, left: room.left, brought: room.brought })
    }

    /// All of a room up to there counts no more, and stays in the file; how much that is.
    pub(super) fn brought(&mut self, name: &str, up_to: u64) -> u64 {
        let Some(room) = self.rooms.get_mut(name) else { return 0 };
        let all = room.writes.last().is_some_and(|(number, _)| *number <= up_to);
        let before = std::mem::replace(&mut room.brought, all);
        if all && !before { room.writes.len() as u64 } else { 0 }
    }

    /// Whether the file can go: nothing in it counts any more. Then nothing is taken until [`gone`](Self::gone).
    pub(super) fn goes(&mut self) -> bool {
        self.goes = self.rooms.values().all(|room| room.brought);
        self.goes
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

    /// Rooms of this process of which something waits.
    pub(super) fn here(&self) -> Vec<String> {
        let here = self.rooms.iter().filter(|(_, room)| !room.left && !room.brought);
        here.map(|(name, _)| name.clone()).collect()
    }

    /// Rooms of which something is there.
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
        Self { writes: Vec::new(), since, left, cut: left, partial: None, closing: false, brought: false }
    }

    /// `whole`: with it the room is complete, or begins anew and is not; or it says nothing of that.
    fn add(&mut self, (number, size): (u64, u64), whole: Option<bool>) {
        self.writes.push((number, size));
        match whole {
            Some(true) => self.partial = None,
            Some(false) => self.partial = self.partial.or(Some(number)),
            None => {}
        }
    }
}
