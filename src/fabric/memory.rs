//! Whoever keeps rooms, in memory: what a real one promises, to hold the core and the real one against.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Kept, Taken, Write, Written};

/// Rooms by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(BTreeMap<String, Room>);

#[derive(Clone, Debug, Default)]
struct Room {
    owner: String,
    fence: u64,
    edition: u64,
    released: bool,
    fields: BTreeMap<String, Bytes>,
    log: BTreeMap<u64, Bytes>,
}

impl Memory {
    /// `owner` wants the room; it gets what another has only if that let go of it, or by `force`.
    pub(crate) fn take(&mut self, room: &str, owner: &str, force: bool) -> Taken {
        let Some(kept) = self.0.get_mut(room) else {
            self.0.insert(room.to_owned(), Room { owner: owner.to_owned(), fence: 1, ..Room::default() });
            return Taken::Nothing { fence: 1 };
        };
        if kept.owner != owner {
            if !force && !kept.released {
                return Taken::Held { owner: kept.owner.clone() };
            }
            (kept.owner, kept.fence, kept.released) = (owner.to_owned(), kept.fence + 1, false);
        }
        Taken::Kept(Kept {
            fence: kept.fence,
            fields: kept.fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            entries: kept.log.iter().map(|(offset, entry)| (*offset, entry.clone())).collect(),
        })
    }

    /// `owner` writes of a room.
    pub(crate) fn write(&mut self, room: &str, owner: &str, write: Write) -> Written {
        let kept = match self.0.get_mut(room) {
            Some(kept) => kept,
            None if write.reset => self.0.entry(room.to_owned()).or_insert_with(|| Room {
                owner: owner.to_owned(),
                fence: write.fence,
                ..Room::default()
            }),
            None => return Written::Missing,
        };
        if kept.owner != owner || kept.fence != write.fence {
            return Written::Fenced { owner: kept.owner.clone() };
        }
        if !write.reset && kept.edition < write.after {
            return Written::Missing;
        }
        kept.edition = write.edition;
        if write.reset {
            (kept.fields, kept.log) = Default::default();
        }
        kept.fields.extend(write.set);
        kept.fields.retain(|name, _| !write.delete.contains(name));
        let last = kept.log.keys().next_back().copied().unwrap_or_default();
        kept.log.extend(write.entries.into_iter().filter(|(offset, _)| *offset > last));
        kept.log.retain(|offset, _| *offset >= write.trim_below);
        kept.released |= write.released;
        Written::Written
    }

    /// The room ended.
    pub(crate) fn end(&mut self, room: &str, owner: &str, fence: u64) {
        if self.0.get(room).is_some_and(|kept| kept.owner == owner && kept.fence == fence) {
            self.0.remove(room);
        }
    }

    /// All is lost.
    pub(crate) fn flush(&mut self) {
        self.0.clear();
    }

    /// Whether none is.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
