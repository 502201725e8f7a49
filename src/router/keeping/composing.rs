//! What is written of a room: what changed since what stands, or all of it.

use std::collections::BTreeMap;

use super::{There, UnderWay};
use crate::{
    fabric::{ROOM_FIELD, TIP_FIELD, Write},
    ids::{Offset, ParticipantId},
    room::Seat,
    router::{HallKey, Now, Router},
};

/// Entries of one write, and their bytes: what is more comes with the next one.
const ENTRIES_A_WRITE: usize = 512;
const BYTES_A_WRITE: usize = 256 * 1024;
/// Entries that the history has let go of are let go of there so many at a time.
const TRIM_EVENTS: u64 = 16;

/// How much goes into a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum Extent {
    /// What changed, within the bounds of one.
    Changes,
    /// All changes, and all that another router needs to go on as if nothing had happened.
    Whole,
}

impl Router {
    /// What changed since the last write, as much as goes into one; it is under way from here on.
    pub(super) fn next_write(&mut self, key: HallKey, fence: u64, now: Now) -> Write {
        let there = self.halls[key].keeping.as_ref().map_or(There::NOTHING, |keeping| keeping.there);
        let (write, brings, members) = self.compose(key, (fence, there), Extent::Changes, now);
        if let Some(keeping) = &mut self.halls[key].keeping {
            keeping.under_way = Some(UnderWay::Write { brings, members, at: now.at });
        }
        write
    }

    /// A write over what is there, what is there then, and the members whose changes it took up.
    pub(in crate::router) fn compose(
        &mut self,
        key: HallKey,
        (fence, there): (u64, There),
        extent: Extent,
        now: Now,
    ) -> (Write, There, BTreeMap<Seat, ParticipantId>) {
        let edition = self.next_edition(key, now);
        let (hall, whole) = (&self.halls[key], extent == Extent::Whole);
        let first = hall.room.first_kept();
        let before = Offset(first.0.saturating_sub(1));
        // the last of a room is whole also where what stands was lost, or is another router's; what was written is passed over there
        let after = if whole { before } else { before.max(there.tip) };
        // where acknowledgements wait, what was acknowledged is not taken away before all of it is there again; nor is another life
        let found = hall.keeping.as_ref().is_some_and(|keeping| keeping.found);
        let in_one = whole || (there.nothing && (found || self.holds_answers()));
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for (offset, entry) in hall.room.kept_after(after, (now.at, now.unix_ms)) {
            if !in_one && (entries.len() == ENTRIES_A_WRITE || bytes > BYTES_A_WRITE) {
                break;
            }
            bytes += entry.len();
            entries.push((offset, entry));
        }
        let tip = entries.last().map_or(after, |(offset, _)| Offset(*offset));
        let (after, reset) = (there.edition, there.nothing);
        let many = first.0 >= there.trimmed.0 + TRIM_EVENTS;
        let trim_below = if many || whole || entries.is_empty() { first.0 } else { 0 };
        let mut write = Write { fence, edition, after, reset, trim_below, entries, ..Write::default() };
        let oldest = if first.0 > there.tip.0 + 1 { first } else { there.oldest };
        let trimmed = if trim_below > 0 { first } else { there.trimmed };
        let mut brings = There { nothing: false, edition, tip, oldest, trimmed, ..there };
        let mut members = BTreeMap::new();
        // what members are is never ahead of the log
        if tip == hall.room.tip() {
            members = self.halls[key].room.take_touched();
            (brings.members, brings.complete) = (true, tip);
            if whole || !there.members {
                let room = &self.halls[key].room;
                members.extend(room.members().iter().map(|member| (member.seat, member.id().clone())));
            }
            self.add_members(key, &members, whole, &mut write);
            write.delete.extend(self.halls[key].keeping.iter().flat_map(|keeping| keeping.merged.iter().cloned()));
            brings.record = Some(self.hash_of_room(key));
            if whole || brings.record != there.record {
                write.set.push((ROOM_FIELD.to_owned(), self.room_record(key)));
            }
        }
        if there.nothing || whole || tip != there.tip {
            write.set.push((TIP_FIELD.to_owned(), tip.0.to_string().into()));
        }
        (write, brings, members)
    }

    /// The number of a write that is composed now. It goes up over a restart as well, as far as the clock does.
    fn next_edition(&mut self, key: HallKey, now: Now) -> u64 {
        let Some(keeping) = &mut self.halls[key].keeping else { return 0 };
        keeping.edition = now.unix_ms.max(keeping.edition + 1);
        keeping.edition
    }
}
