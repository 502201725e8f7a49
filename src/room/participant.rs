//! A member of a room, and the changes that it or an admin makes to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{Audience, Push, Room, presence};
use crate::{
    ids::{ConnectionId, Identity, Offset, ParticipantId},
    protocol::v1::{self, Permissions, event::Kind},
};

/// A member of a room.
#[derive(Debug)]
pub struct Participant {
    /// This stay of the identity.
    pub id: ParticipantId,
    /// Who it is.
    pub identity: Identity,
    /// Display name.
    pub name: Box<str>,
    /// Metadata.
    pub metadata: Box<str>,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// What it may do.
    pub permissions: Permissions,
    /// Unix milliseconds.
    pub joined_at_ms: u64,
    /// Its region.
    pub region: Box<str>,
    /// Absent while it lingers.
    pub connection: Option<ConnectionId>,
    /// What it publishes.
    pub tracks: Vec<v1::Track>,
    /// Subscribed to every track, present and future.
    pub auto_subscribe: bool,
    /// Tracks for which the opposite of `auto_subscribe` holds.
    pub exceptions: BTreeSet<String>,
}

impl Participant {
    /// As others see it.
    pub fn to_wire(&self) -> v1::Participant {
        let state = match self.connection {
            Some(_) => v1::ParticipantState::Connected,
            None => v1::ParticipantState::Reconnecting,
        };
        v1::Participant {
            id: self.id.to_string(),
            identity: self.identity.to_string(),
            name: self.name.to_string(),
            metadata: self.metadata.to_string(),
            attributes: self.attributes.clone(),
            state: state.into(),
            joined_at_ms: self.joined_at_ms,
            permissions: Some(self.permissions.clone()),
            region: self.region.to_string(),
        }
    }

    /// With its tracks, for the admin API.
    pub fn to_info(&self) -> v1::ParticipantInfo {
        v1::ParticipantInfo { participant: Some(self.to_wire()), tracks: self.tracks.clone() }
    }

    /// Whether it is subscribed to a track.
    pub fn is_subscribed(&self, track: &str) -> bool {
        self.permissions.can_subscribe && (self.auto_subscribe != self.exceptions.contains(track))
    }

    /// Attributes after a merge; an empty value removes.
    pub fn merged_attributes(&self, changes: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut merged = self.attributes.clone();
        for (name, value) in changes {
            if value.is_empty() {
                merged.remove(name);
            } else {
                merged.insert(name.clone(), value.clone());
            }
        }
        merged
    }
}

/// What is to change of a participant; absent: nothing.
#[derive(Debug, Default)]
pub struct Change {
    /// Display name.
    pub name: Option<String>,
    /// Metadata.
    pub metadata: Option<String>,
    /// The attributes as a whole.
    pub attributes: Option<BTreeMap<String, String>>,
    /// The permissions as a whole.
    pub permissions: Option<Permissions>,
}

impl Room {
    /// Changes a participant; what it loses ends, and everybody concerned is told.
    pub fn change(&mut self, id: &ParticipantId, change: Change, at: Instant, out: &mut Vec<Push>) -> Option<Offset> {
        let participant = self.participants.iter_mut().find(|p| p.id == *id)?;
        let before = participant.permissions.clone();
        participant.name = change.name.map_or_else(|| std::mem::take(&mut participant.name), Into::into);
        participant.metadata = change.metadata.map_or_else(|| std::mem::take(&mut participant.metadata), Into::into);
        if let Some(attributes) = change.attributes {
            participant.attributes = attributes;
        }
        if let Some(permissions) = change.permissions {
            participant.permissions = permissions;
        }
        let after = participant.permissions.clone();
        if before.can_subscribe && !after.can_subscribe {
            participant.auto_subscribe = false;
            participant.exceptions.clear();
        }
        let wire = Box::new(participant.to_wire());
        self.end_forbidden_tracks(id, at, out);
        self.show_or_hide(id, &before, &wire, at, out);
        let participant = self.participants.iter().find(|p| p.id == *id)?;
        let offset = self.emit(Kind::ParticipantUpdated(wire), change_audience(participant), at, out);
        if after.room_admin && !before.room_admin {
            self.reveal_hidden(id, at, out);
        }
        Some(offset)
    }

    /// To those who are no admins, becoming hidden is leaving, and becoming visible is joining.
    fn show_or_hide(
        &mut self,
        id: &ParticipantId,
        before: &Permissions,
        wire: &v1::Participant,
        at: Instant,
        out: &mut Vec<Push>,
    ) {
        let kind = match (before.hidden, wire.permissions.as_ref().is_some_and(|p| p.hidden)) {
            (false, true) => Kind::ParticipantLeft(v1::ParticipantLeft {
                id: wire.id.clone(),
                identity: wire.identity.clone(),
                reason: crate::protocol::Code::Left.name().to_owned(),
            }),
            (true, false) => Kind::ParticipantJoined(Box::new(wire.clone())),
            _ => return,
        };
        self.emit(kind, Audience::OthersExcept(id.clone()), at, out);
    }

    /// A new admin learns of those who were hidden from it.
    fn reveal_hidden(&mut self, admin: &ParticipantId, at: Instant, out: &mut Vec<Push>) {
        let hidden: Vec<_> = self
            .participants
            .iter()
            .filter(|p| p.permissions.hidden && p.id != *admin)
            .map(|p| Box::new(p.to_wire()))
            .collect();
        for participant in hidden {
            self.emit(Kind::ParticipantJoined(participant), Audience::Only(Box::new([admin.clone()])), at, out);
        }
    }
}

/// A hidden one's changes are for admins and for itself; it cannot be in two audiences, so admins it is, unless it is alone.
fn change_audience(participant: &Participant) -> Audience {
    match presence(participant) {
        Audience::Admins if !participant.permissions.room_admin => Audience::Only(Box::new([participant.id.clone()])),
        audience => audience,
    }
}
