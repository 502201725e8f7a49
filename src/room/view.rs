//! What one participant may see: the room as it is, and what it missed.

use std::time::Instant;

use super::{
    Member, Place, Room, Seat,
    history::{Entry, Kept},
};
use crate::{
    ids::Offset,
    protocol::v1::{self, ServerFrame, server_frame::Body},
};

/// One part of a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) participants: Vec<v1::Participant>,
    pub(crate) tracks: Vec<v1::Track>,
}

impl Room {
    /// The room's own facts.
    pub(crate) fn info(&self) -> v1::RoomInfo {
        let visible = self.members.iter().filter(|member| !member.is_hidden());
        v1::RoomInfo {
            name: self.founding.id.as_str().to_owned(),
            metadata: self.founding.metadata.to_string(),
            created_at_ms: self.founding.created_at_ms,
            participants_max: self.founding.participants_max,
            participants: visible.clone().count() as u32,
            tracks: visible.map(|member| member.participant.tracks.len()).sum::<usize>() as u32,
            empty_timeout_seconds: self.founding.empty_timeout.as_secs() as u32,
            ..v1::RoomInfo::default()
        }
    }

    /// Everybody else whom this participant may see, with their tracks, so many a part; its own tracks are in
    /// the first part. There is always one.
    pub(crate) fn snapshot(&self, seat: Seat, a_part: usize) -> Vec<Part> {
        let Some(viewer) = self.member(seat) else { return vec![Part::default()] };
        let mut parts = vec![Part { participants: Vec::new(), tracks: viewer.participant.tracks.clone() }];
        for other in self.members.iter().filter(|other| other.seat != seat && viewer.sees(other)) {
            if parts.last().is_some_and(|part| part.participants.len() >= a_part.max(1)) {
                parts.push(Part::default());
            }
            if let Some(part) = parts.last_mut() {
                part.participants.push(other.to_wire());
                part.tracks.extend_from_slice(&other.participant.tracks);
            }
        }
        parts
    }

    /// Whether all that came after this place can be told again. A place before one's own joining, in another
    /// life of the room or in the future is nobody's to ask for.
    pub(crate) fn can_replay(&mut self, seat: Seat, place: &Place, at: Instant) -> bool {
        self.history.trim(at, &self.bounds);
        let since = self.member(seat).map(|member| member.since);
        place.exact && since.is_some_and(|since| place.upto >= since) && self.history.covers(place.upto)
    }

    /// What this participant would have seen after that place, in order.
    pub(crate) fn replay(&self, seat: Seat, place: &Place) -> Vec<(Offset, Box<ServerFrame>)> {
        let Some(viewer) = self.member(seat) else { return Vec::new() };
        let missed = self.missed_by(viewer, place);
        missed.filter_map(|(offset, entry)| Some((offset, self.retell(offset, &entry.kept)?))).collect()
    }

    fn missed_by<'a>(&'a self, viewer: &'a Member, place: &'a Place) -> impl Iterator<Item = (Offset, &'a Entry)> {
        self.history.after(place.upto).filter(|(offset, entry)| {
            entry.audience.includes(viewer) && !place.heard.contains(*offset) && !viewer.heard(*offset, &entry.kept)
        })
    }

    /// What was said since and this participant did not hear, for one that gets the room anew. Whoever saw more of a life of the room
    /// than was kept of it heard all of that life. Nothing, if not all of it is known.
    pub(crate) fn said_since(&self, seat: Seat, place: &Place) -> Vec<(Offset, Box<ServerFrame>)> {
        let Some(viewer) = self.member(seat) else { return Vec::new() };
        if place.upto < viewer.since || !self.history.covers(place.upto) {
            return Vec::new();
        }
        let said = self.missed_by(viewer, place).filter(|(_, entry)| matches!(entry.kept, Kept::Message(_)));
        said.filter_map(|(offset, entry)| Some((offset, self.retell(offset, &entry.kept)?))).collect()
    }

    /// Absent: nobody here knows what it says.
    pub(super) fn retell(&self, offset: Offset, kept: &Kept) -> Option<Box<ServerFrame>> {
        Some(match kept {
            Kept::Event(kind) => self.event_frame(offset, (**kind).clone()),
            Kept::Message(said) => Box::new(ServerFrame { id: None, body: Some(Body::Data(said.to_push(offset))) }),
            Kept::Unknown(_) => return None,
        })
    }
}
