//! The latest events of a room, bounded by count, age and bytes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use prost::Message;

use super::Participant;
use crate::{
    ids::{Offset, ParticipantId},
    protocol::v1::ServerFrame,
};

/// Who may see an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody.
    All,
    /// Room admins.
    Admins,
    /// Everybody but one.
    Except(ParticipantId),
    /// Room admins but one.
    AdminsExcept(ParticipantId),
    /// Everybody who is no admin, but one.
    OthersExcept(ParticipantId),
    /// These alone.
    Only(Box<[ParticipantId]>),
}

impl Audience {
    /// The same without one participant.
    pub fn but(self, id: &ParticipantId) -> Self {
        match self {
            Self::All => Self::Except(id.clone()),
            Self::Admins => Self::AdminsExcept(id.clone()),
            other => other,
        }
    }

    /// Whether a participant belongs to it.
    pub fn includes(&self, participant: &Participant) -> bool {
        let admin = participant.permissions.room_admin;
        match self {
            Self::All => true,
            Self::Admins => admin,
            Self::Except(id) => participant.id != *id,
            Self::AdminsExcept(id) => admin && participant.id != *id,
            Self::OthersExcept(id) => !admin && participant.id != *id,
            Self::Only(ids) => ids.contains(&participant.id),
        }
    }
}

/// How much a room keeps.
#[derive(Clone, Copy, Debug)]
pub struct HistoryBounds {
    /// Events.
    pub events: usize,
    /// For how long.
    pub age: Duration,
    /// Their encoded bytes.
    pub bytes: usize,
}

/// One event in its place.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) offset: Offset,
    pub(super) at: Instant,
    pub(super) audience: Audience,
    pub(super) frame: ServerFrame,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: VecDeque<(usize, Entry)>,
    bytes: usize,
}

impl History {
    pub(super) fn add(&mut self, entry: Entry, bounds: HistoryBounds) {
        let (at, bytes) = (entry.at, entry.frame.encoded_len());
        self.bytes += bytes;
        self.entries.push_back((bytes, entry));
        while self.entries.len() > bounds.events || self.bytes > bounds.bytes {
            self.drop_front();
        }
        self.expire(at, bounds);
    }

    /// Lets go of what is too old.
    pub(super) fn expire(&mut self, now: Instant, bounds: HistoryBounds) {
        while self.entries.front().is_some_and(|(_, e)| now.saturating_duration_since(e.at) > bounds.age) {
            self.drop_front();
        }
    }

    fn drop_front(&mut self) {
        if let Some((bytes, _)) = self.entries.pop_front() {
            self.bytes -= bytes;
        }
    }

    /// Everything after `offset`, when all of it is still here.
    pub(super) fn since(&self, offset: Offset, tip: Offset) -> Option<impl Iterator<Item = &Entry>> {
        let oldest = self.entries.front().map_or(tip.0 + 1, |(_, entry)| entry.offset.0);
        if offset.0 + 1 < oldest {
            return None;
        }
        let skip = usize::try_from(offset.0 + 1 - oldest).unwrap_or(usize::MAX);
        Some(self.entries.iter().skip(skip).map(|(_, entry)| entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HistoryBounds = HistoryBounds { events: 3, age: Duration::from_secs(60), bytes: 1_000 };

    fn entry(offset: u64, at: Instant) -> Entry {
        Entry { offset: Offset(offset), at, audience: Audience::All, frame: ServerFrame::default() }
    }

    #[test]
    fn the_latest_are_kept_by_count() {
        let (mut history, at) = (History::default(), Instant::now());
        (1..=5).for_each(|n| history.add(entry(n, at), BOUNDS));
        assert!(history.since(Offset(1), Offset(5)).is_none());
        let offsets: Vec<_> = history.since(Offset(2), Offset(5)).unwrap().map(|e| e.offset.0).collect();
        assert_eq!(offsets, [3, 4, 5]);
        assert_eq!(history.since(Offset(5), Offset(5)).unwrap().count(), 0);
    }

    #[test]
    fn what_is_too_old_goes_and_its_gap_is_known() {
        let (mut history, at) = (History::default(), Instant::now());
        history.add(entry(1, at), BOUNDS);
        history.expire(at + Duration::from_secs(61), BOUNDS);
        assert!(history.since(Offset(0), Offset(1)).is_none());
        assert!(history.since(Offset(1), Offset(1)).is_some());
    }
}
