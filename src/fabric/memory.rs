//! Whoever keeps rooms, in memory: what a real one promises, call by call as its scripts do.
//!
//! The core's tests and the simulation go by it, so that what they find holds of the real one. Nothing of it is lost by itself and
//! nothing ends with time: whoever plays a Redis that is lost, forgets or goes back does so from outside.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{BRANCH_PREFIX, BRANCHES_MAX, BranchKept, Kept, Last, ROOM_FIELD, RoomKept, Taken, Write, Written};
use crate::ids::Epoch;

/// Rooms by name.
#[derive(Clone, Debug, Default)]
pub struct Memory(BTreeMap<String, Stored>);

/// What stands of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Who has it.
    pub owner: String,
    /// Goes up whenever another takes it.
    pub fence: u64,
    /// The number of the latest call of its owner's.
    pub seq: u64,
    /// The number of the latest write that stands.
    pub edition: u64,
    /// Whoever wants it next may have it.
    pub released: bool,
    /// Names and contents.
    pub fields: BTreeMap<String, Bytes>,
    /// What stands of the log.
    pub log: BTreeMap<u64, Bytes>,
    /// The offset that was written last, whether it still stands or not.
    pub last: u64,
    /// What lies beside it, by name.
    pub branches: BTreeMap<String, Bytes>,
}

/// Who calls, and the number of its call. A router's go up; what comes late, after one with a higher number, changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller<'a> {
    /// Who, as it names itself.
    pub name: &'a str,
    /// The number.
    pub seq: u64,
}

impl Memory {
    /// Somebody wants a room; it gets what another has only if that let go of it, or by `force`.
    pub fn take(&mut self, room: &str, by: Caller<'_>, force: bool) -> Taken {
        let Some(stored) = self.0.get_mut(room) else {
            // a number that it never was: what a replica brings back of before the room was lost is not taken for what is made now
            self.0.insert(room.to_owned(), Stored::of(by, by.seq));
            return Taken::Nothing { fence: by.seq };
        };
        if stored.owner != by.name {
            if !force && !stored.released {
                return Taken::Held { owner: stored.owner.clone() };
            }
            // its writes are numbered by its own clock; more than that of a room of which nothing was written, or is there any more
            (stored.owner, stored.fence, stored.edition) = (by.name.to_owned(), stored.fence + 1, 1);
        }
        (stored.seq, stored.released) = (by.seq, false);
        Taken::Kept(stored.kept())
    }

    /// Somebody writes of a room.
    pub fn write(&mut self, room: &str, by: Caller<'_>, write: Write) -> Written {
        let missing = match self.0.get(room) {
            Some(stored) if stored.fences(by, write.fence) => return Written::Fenced { owner: stored.owner.clone() },
            stored => stored.is_none(),
        };
        if let Some(stored) = self.0.get_mut(room)
            && write.unless_later
            && stored.edition > write.edition
        {
            stored.seq = by.seq;
            return Written::Written;
        }
        if missing || write.reset {
            let branches = self.0.get_mut(room).map(|stored| std::mem::take(&mut stored.branches)).unwrap_or_default();
            self.0.insert(room.to_owned(), Stored { branches, ..Stored::of(by, write.fence) });
        }
        if missing && !write.reset {
            return Written::Missing;
        }
        if let Some(stored) = self.0.get_mut(room) {
            if !write.reset && stored.edition < write.after {
                return Written::Missing;
            }
            (stored.seq, stored.edition) = (by.seq, write.edition);
            stored.change(write);
            if !stored.branches.is_empty() {
                return Written::Branched;
            }
        }
        Written::Written
    }

    /// Somebody puts a branch beside a room, in place of those whose names begin so. Of a room of which there is nothing it is all that
    /// there is, for whoever wants it. Whether there was a place for it.
    pub fn put_beside(&mut self, room: &str, by: Caller<'_>, (name, instead): (&str, &str), branch: Bytes) -> bool {
        let stored =
            self.0.entry(room.to_owned()).or_insert_with(|| Stored { released: true, ..Stored::of(by, by.seq) });
        if stored.branches.keys().filter(|other| !other.starts_with(instead)).count() >= BRANCHES_MAX {
            return false;
        }
        stored.branches.retain(|other, _| !other.starts_with(instead));
        stored.branches.insert(name.to_owned(), branch);
        true
    }

    /// The last that a router has of a room, put beside it.
    pub fn put_last(&mut self, room: &str, by: Caller<'_>, last: &Last) -> bool {
        let (name, instead) = (BranchKept::name(last.epoch, last.write.edition), BranchKept::names_of(last.epoch));
        self.put_beside(room, by, (&name, &instead), BranchKept::of(&last.write).bytes())
    }

    /// A room ended.
    pub fn end(&mut self, room: &str, by: Caller<'_>, fence: u64) -> Written {
        match self.0.get(room) {
            None => Written::Missing,
            Some(stored) if stored.fences(by, fence) => Written::Fenced { owner: stored.owner.clone() },
            // whoever wants the room next goes on with what lies beside it
            Some(stored) if !stored.branches.is_empty() => {
                let branches = stored.branches.clone();
                self.0.insert(room.to_owned(), Stored { branches, released: true, ..Stored::of(by, by.seq) });
                Written::Branched
            }
            Some(_) => {
                self.0.remove(room);
                Written::Written
            }
        }
    }

    /// All is lost.
    pub fn flush(&mut self) {
        self.0.clear();
    }

    /// Whether none is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What stands of a room.
    pub fn stored(&self, room: &str) -> Option<&Stored> {
        self.0.get(room)
    }

    /// The caller whose call comes after all that were made before.
    pub fn next<'a>(&self, room: &str, name: &'a str) -> Caller<'a> {
        Caller { name, seq: self.0.get(room).map_or(0, |stored| stored.seq) + 1 }
    }
}

impl Stored {
    fn of(by: Caller<'_>, fence: u64) -> Self {
        Self { owner: by.name.to_owned(), fence, seq: by.seq, ..Self::default() }
    }

    /// Whether a call comes from somebody else, from before another had the room, or late.
    fn fences(&self, by: Caller<'_>, fence: u64) -> bool {
        self.owner != by.name || self.fence != fence || self.seq >= by.seq
    }

    fn change(&mut self, write: Write) {
        self.fields.extend(write.set);
        for name in &write.delete {
            match name.starts_with(BRANCH_PREFIX) {
                true => self.branches.remove(name),
                false => self.fields.remove(name),
            };
        }
        for (offset, entry) in write.entries {
            if offset > self.last {
                self.last = offset;
                self.log.insert(offset, entry);
            }
        }
        self.log.retain(|offset, _| *offset >= write.trim_below);
        self.released |= write.released;
    }

    /// All of it, to lie beside the room that another router has. None: it does not say which life of the room it is.
    pub fn into_last(self) -> Option<Last> {
        let record = RoomKept::read(self.fields.get(ROOM_FIELD)?).ok()?;
        let write = Write {
            fence: self.fence,
            edition: self.edition,
            reset: true,
            set: self.fields.into_iter().collect(),
            entries: self.log.into_iter().collect(),
            ..Write::default()
        };
        Some(Last { epoch: Epoch::read(&record.epoch)?, owned: false, write: Box::new(write) })
    }

    /// As somebody who takes it gets it.
    pub fn kept(&self) -> Kept {
        Kept {
            fence: self.fence,
            edition: self.edition,
            fields: self.fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            entries: self.log.iter().map(|(offset, entry)| (*offset, entry.clone())).collect(),
            branches: self.branches.iter().map(|(name, branch)| (name.clone(), branch.clone())).collect(),
        }
    }
}

/// What writes of a room come to that nobody took yet, one after the other.
#[derive(Debug, Default)]
pub struct Fold {
    memory: Memory,
    seq: u64,
}

impl Fold {
    /// The next, and whose it is; none: the room ended. Says whether it follows from what came before.
    pub fn add(&mut self, owner: &str, write: Option<Write>) -> bool {
        self.seq += 1;
        let Some(mut write) = write else {
            self.memory.flush();
            return true;
        };
        // the last word of a router has all of a room but its history: where nothing else is, it is what there is
        write.reset |= write.released && self.memory.is_empty();
        if write.reset {
            self.memory.flush();
        }
        self.memory.write("", Caller { name: owner, seq: self.seq }, write) == Written::Written
    }

    /// The room; none: it ended, or there was nothing.
    pub fn end(mut self) -> Option<Stored> {
        self.memory.0.remove("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(name: &str, seq: u64) -> Caller<'_> {
        Caller { name, seq }
    }

    fn entries(offsets: &[u64]) -> Vec<(u64, Bytes)> {
        offsets.iter().map(|offset| (*offset, Bytes::from_static(b"e"))).collect()
    }

    #[test]
    fn a_call_that_comes_after_a_later_one_changes_nothing() {
        let mut memory = Memory::default();
        assert_eq!(memory.take("r", by("a", 1), false), Taken::Nothing { fence: 1 });
        let write = Write { fence: 1, reset: true, entries: entries(&[1, 2]), ..Write::default() };
        assert_eq!(memory.write("r", by("a", 3), write.clone()), Written::Written);
        let fenced = Written::Fenced { owner: "a".to_owned() };
        assert_eq!(memory.write("r", by("a", 2), write.clone()), fenced);
        assert_eq!(memory.write("r", by("a", 3), write), fenced, "and twice is late");
        assert_eq!(memory.end("r", by("a", 3), 1), fenced);
        assert_eq!(memory.end("r", by("a", 4), 1), Written::Written);
        assert_eq!(memory.end("r", by("a", 5), 1), Written::Missing);
    }

    #[test]
    fn what_nothing_is_kept_of_is_its_writers_and_empty() {
        let mut memory = Memory::default();
        let write = Write { fence: 7, entries: entries(&[5]), ..Write::default() };
        assert_eq!(memory.write("r", by("a", 1), write), Written::Missing);
        assert_eq!(memory.take("r", by("b", 1), false), Taken::Held { owner: "a".to_owned() });
        let Taken::Kept(kept) = memory.take("r", by("b", 2), true) else { panic!("it stands") };
        assert_eq!(kept, Kept { fence: 8, edition: 1, ..Kept::default() });
    }

    #[test]
    fn who_was_told_that_a_later_write_stands_than_does_hears_it_and_changes_nothing() {
        let mut memory = Memory::default();
        memory.take("r", by("a", 1), false);
        let write = Write { fence: 1, edition: 7, reset: true, entries: entries(&[1, 2]), ..Write::default() };
        memory.write("r", by("a", 2), write);
        let behind = memory.clone();
        let write = Write { fence: 1, edition: 8, after: 7, entries: entries(&[3]), ..Write::default() };
        assert_eq!(memory.write("r", by("a", 3), write), Written::Written);
        // the replica takes over
        let mut memory = behind.clone();
        let write = Write { fence: 1, edition: 9, after: 8, entries: entries(&[4]), ..Write::default() };
        assert_eq!(memory.write("r", by("a", 4), write.clone()), Written::Missing);
        assert_eq!(memory.stored("r"), behind.stored("r"));
        assert_eq!(memory.write("r", by("a", 5), Write { reset: true, ..write }), Written::Written);
    }

    #[test]
    fn what_may_have_come_before_changes_nothing_where_a_later_write_stands_and_counts_as_a_call() {
        let mut memory = Memory::default();
        memory.take("r", by("a", 1), false);
        let write = |edition| Write { fence: 1, edition, entries: entries(&[edition]), ..Write::default() };
        let again = |edition| Write { unless_later: true, reset: true, ..write(edition) };
        assert_eq!(memory.write("r", by("a", 2), again(4)), Written::Written);
        assert_eq!(memory.write("r", by("a", 3), write(5)), Written::Written);
        let stands = memory.stored("r").cloned();
        assert_eq!(memory.write("r", by("a", 9), again(4)), Written::Written);
        assert_eq!(memory.stored("r").cloned(), stands.map(|stands| Stored { seq: 9, ..stands }));
        assert_eq!(memory.write("r", by("a", 8), write(6)), Written::Fenced { owner: "a".to_owned() });
        // where it was lost meanwhile it comes
        memory.flush();
        assert_eq!(memory.write("r", by("a", 10), again(4)), Written::Written);
        assert!(memory.stored("r").is_some_and(|stored| stored.last == 4));
    }

    #[test]
    fn a_room_that_was_lost_never_bears_a_fence_again_that_it_bore() {
        let mut memory = Memory::default();
        memory.take("r", by("a", 5), false);
        let replica = memory.clone();
        memory.flush();
        let Taken::Nothing { fence } = memory.take("r", by("a", 9), false) else { panic!("it is lost") };
        assert_eq!(fence, 9);
        // one that had not heard of all that takes over
        let mut memory = replica;
        let write = Write { fence, reset: true, ..Write::default() };
        assert_eq!(memory.write("r", by("a", 10), write), Written::Fenced { owner: "a".to_owned() });
    }

    #[test]
    fn what_lies_beside_a_room_stays_until_it_is_taken_away_and_outlives_the_room() {
        let mut memory = Memory::default();
        memory.take("r", by("a", 1), false);
        assert!(memory.put_beside("r", by("b", 1), ("b:7.1", "b:7."), Bytes::from_static(b"1")));
        assert!(
            memory.put_beside("r", by("b", 2), ("b:7.2", "b:7."), Bytes::from_static(b"2")),
            "in place of the one before"
        );
        let write = Write { fence: 1, edition: 1, reset: true, entries: entries(&[1]), ..Write::default() };
        assert_eq!(memory.write("r", by("a", 2), write), Written::Branched);
        let Taken::Kept(kept) = memory.take("r", by("a", 3), false) else { panic!("it stands") };
        assert_eq!(kept.branches, [("b:7.2".to_owned(), Bytes::from_static(b"2"))]);
        let merged = |edition| Write { fence: 1, edition, delete: vec!["b:7.2".to_owned()], ..Write::default() };
        assert_eq!(memory.write("r", by("a", 4), merged(2)), Written::Written);
        assert_eq!(memory.write("r", by("a", 5), merged(3)), Written::Written, "and a second time");
        memory.put_beside("r", by("b", 3), ("b:8.1", "b:8."), Bytes::from_static(b"3"));
        assert_eq!(memory.end("r", by("a", 6), 1), Written::Branched);
        let Taken::Kept(kept) = memory.take("r", by("c", 1), false) else { panic!("it was let go of") };
        assert_eq!((kept.fields.len(), kept.branches.len(), kept.fence), (0, 1, 7));
        assert!(memory.put_beside("new", by("b", 4), ("b:9.1", "b:9."), Bytes::new()));
        assert!(matches!(memory.take("new", by("c", 2), false), Taken::Kept(kept) if kept.branches.len() == 1));
    }

    #[test]
    fn so_many_lives_find_a_place_beside_a_room() {
        let mut memory = Memory::default();
        let put = |memory: &mut Memory, life: usize| {
            memory.put_beside("r", by("b", 5), (&format!("b:{life}.1"), &format!("b:{life}.")), Bytes::new())
        };
        assert!((0..BRANCHES_MAX).all(|life| put(&mut memory, life)));
        assert!(!put(&mut memory, BRANCHES_MAX) && put(&mut memory, 0));
    }

    #[test]
    fn writes_that_follow_from_each_other_come_to_a_room_and_its_last_word() {
        let record = RoomKept { epoch: "00000000000000ff".to_owned(), ..RoomKept::default() };
        let set = vec![(ROOM_FIELD.to_owned(), record.bytes())];
        let whole = Write { fence: 3, edition: 4, reset: true, set, entries: entries(&[1, 2]), ..Write::default() };
        let next = Write { fence: 3, edition: 5, after: 4, released: true, entries: entries(&[3]), ..Write::default() };
        let mut fold = Fold::default();
        assert!(fold.add("a", Some(whole.clone())) && fold.add("a", Some(next.clone())));
        let stored = fold.end().unwrap();
        assert!(stored.released && stored.owner == "a");
        let Last { write, owned, epoch } = stored.into_last().unwrap();
        assert_eq!((epoch, owned, write.edition, write.entries), (Epoch(255), false, 5, entries(&[1, 2, 3])));
        let of = |writes: &[Option<&Write>]| {
            let mut fold = Fold::default();
            let follow = writes.iter().all(|write| fold.add("a", write.cloned()));
            (follow, fold.end().is_some())
        };
        assert_eq!(of(&[Some(&next)]), (true, true), "the last word");
        let not_last = Write { released: false, ..next.clone() };
        assert!(!of(&[Some(&not_last)]).0);
        assert_eq!(of(&[Some(&whole), None]), (true, false));
        assert_eq!(of(&[Some(&whole), None, Some(&whole), Some(&next)]), (true, true));
        let skips = Write { after: 6, ..next };
        assert!(!of(&[Some(&whole), Some(&skips)]).0);
    }

    #[test]
    fn an_offset_that_was_written_does_not_come_again_when_the_log_is_empty() {
        let mut memory = Memory::default();
        memory.take("r", by("a", 1), false);
        memory.write("r", by("a", 2), Write { fence: 1, entries: entries(&[1, 2]), ..Write::default() });
        memory.write("r", by("a", 3), Write { fence: 1, trim_below: 3, ..Write::default() });
        memory.write("r", by("a", 4), Write { fence: 1, entries: entries(&[2, 3]), ..Write::default() });
        let offsets: Vec<u64> = memory.stored("r").unwrap().log.keys().copied().collect();
        assert_eq!(offsets, [3]);
    }
}
