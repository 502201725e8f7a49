//! A Redis: what it promises (`fabric::memory`), and how it fails: away, flushed, behind; and bugs that are planted in it.

use std::collections::BTreeMap;

use bytes::Bytes;
use signalbox::fabric::{
    Kept, Last, TIP_FIELD, Taken, Write, Written,
    memory::{Caller, Memory, Stored},
};

use super::plan::Planted;

/// What is asked of a room.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Take { force: bool },
    Write(Write),
    Beside(Last),
    End { fence: u64 },
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) enum Came {
    Taken(Taken),
    Written(Written),
    /// Whether there was a place for it.
    Put(bool),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Redis {
    memory: Memory,
    /// What a replica has that hears nothing any more.
    behind: Option<Memory>,
    /// Away; whether it refuses.
    pub(crate) away: Option<bool>,
    planted: Option<Planted>,
    /// Writes that came.
    writes: u64,
    /// By room: entries that came again.
    again: BTreeMap<String, Vec<Bytes>>,
}

impl Redis {
    pub(crate) fn new(planted: Option<Planted>) -> Self {
        let (memory, behind, away, writes, again) = Default::default();
        Self { memory, behind, away, planted, writes, again }
    }

    pub(crate) fn stored(&self, room: &str) -> Option<&Stored> {
        self.memory.stored(room)
    }

    pub(crate) fn flush(&mut self) {
        self.memory.flush();
    }

    pub(crate) fn fall_behind(&mut self) {
        self.behind = Some(self.memory.clone());
    }

    /// Whether there was a replica that was behind.
    pub(crate) fn fail_over(&mut self) -> bool {
        self.behind.take().map(|behind| self.memory = behind).is_some()
    }

    pub(crate) fn carry_out(&mut self, room: &str, (name, seq): (&str, u64), call: Call) -> Came {
        let by = Caller { name, seq };
        match call {
            Call::Take { force } => {
                let mut taken = self.memory.take(room, by, force);
                if let Taken::Kept(kept) = &mut taken {
                    self.with_what_came_again(room, kept);
                }
                Came::Taken(taken)
            }
            Call::Beside(_) if self.planted == Some(Planted::ForgottenBranch) => Came::Put(true),
            Call::Beside(last) => Came::Put(self.memory.put_last(room, by, &last)),
            Call::End { fence } => Came::Written(self.memory.end(room, by, fence)),
            Call::Write(write) => Came::Written(self.write(room, by, write)),
        }
    }

    fn write(&mut self, room: &str, by: Caller<'_>, mut write: Write) -> Written {
        self.writes += 1;
        let stored = self.memory.stored(room).map(|stored| (stored.owner.clone(), stored.fence, stored.seq));
        match (self.planted, stored) {
            (Some(Planted::SkippedEntry), _) if write.entries.len() > 1 && self.writes.is_multiple_of(3) => {
                write.entries.remove(0);
            }
            (Some(Planted::FlushedTwice), _) => {
                let stands = self.memory.stored(room).map_or(0, |stored| stored.last);
                let again = self.again.entry(room.to_owned()).or_default();
                if write.reset {
                    again.clear();
                } else {
                    let all = self.writes.is_multiple_of(3);
                    let came = write.entries.iter().filter(|(offset, _)| all || *offset <= stands);
                    again.extend(came.map(|(_, entry)| entry.clone()));
                }
            }
            (Some(Planted::IgnoredFence), Some((owner, fence, seq))) if write.fence < fence => {
                write.fence = fence;
                return self.memory.write(room, Caller { name: &owner, seq: seq + 1 }, write);
            }
            (Some(Planted::IgnoredOrder), Some((owner, _, seq))) if owner == by.name && by.seq <= seq => {
                return self.memory.write(room, Caller { seq: seq + 1, ..by }, write);
            }
            _ => {}
        }
        self.memory.write(room, by, write)
    }

    /// What came again stands again, after all that had come before.
    fn with_what_came_again(&self, room: &str, kept: &mut Kept) {
        let Some(again) = self.again.get(room) else { return };
        let mut last = kept.entries.last().map_or(0, |(last, _)| *last);
        for entry in again {
            last += 1;
            kept.entries.push((last, entry.clone()));
        }
        for (_, value) in kept.fields.iter_mut().filter(|(name, _)| name == TIP_FIELD) {
            *value = last.to_string().into();
        }
    }
}
