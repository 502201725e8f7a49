//! What is written of a room that is kept: its record, and those of its members.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, Hash as _, Hasher as _},
};

use bytes::Bytes;

use super::{HallKey, Router};
use crate::{
    fabric::{MEMBER_PREFIX, Write},
    ids::ParticipantId,
    room::Seat,
};

impl Router {
    /// Members as they are, or that they are gone.
    pub(super) fn add_members(
        &self,
        key: HallKey,
        members: &BTreeMap<Seat, ParticipantId>,
        handed_over: bool,
        write: &mut Write,
    ) {
        let mut gone = BTreeSet::new();
        for (seat, id) in members {
            let field = format!("{MEMBER_PREFIX}{id}");
            match (self.halls[key].room.member(*seat), self.sessions.get(seat)) {
                (Some(member), Some(seated)) => {
                    let mut record = member.to_kept();
                    record.session = seated.session.to_kept(seated.expires_at_ms, handed_over);
                    if let Some(rest) = seated.rest.as_deref() {
                        (record.rest, record.session.rest) = rest.clone();
                    }
                    // who left, and came in again with another life of the room, has another seat since, and is one participant
                    gone.remove(&field);
                    write.set.push((field, record.bytes()));
                }
                _ if write.reset => {}
                _ => drop(gone.insert(field)),
            }
        }
        write.delete.extend(gone);
    }

    /// Tells records of a room apart, within this process and a life of the room.
    pub(super) fn hash_of_room(&self, key: HallKey) -> u64 {
        let hall = &self.halls[key];
        let mut hasher = ahash::RandomState::with_seeds(5, 6, 7, 8).build_hasher();
        hall.room.metadata().hash(&mut hasher);
        hall.room.hash_merges(&mut hasher);
        hall.variant.hash(&mut hasher);
        hall.media.wanted().map(|wanted| wanted.region.as_str()).hash(&mut hasher);
        hall.media.node().map(|node| node.id.as_str()).hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn room_record(&self, key: HallKey) -> Bytes {
        let hall = &self.halls[key];
        let mut record = hall.room.to_kept();
        record.variant = hall.variant.as_ref().map(|variant| variant.as_str().to_owned());
        record.media_region = hall.media.wanted().map(|wanted| wanted.region.as_str().to_owned());
        record.media_node = hall.media.node().map(|node| node.id.as_str().to_owned());
        if let Some(rest) = &hall.rest {
            record.rest = (**rest).clone();
        }
        record.bytes()
    }
}
