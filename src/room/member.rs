//! A participant and where it can be reached.
//!
//! What every push reads is in [`Member`], small and in one row; the rest is behind a pointer.

use std::collections::{BTreeMap, BTreeSet};

use super::{Audience, Seat, place::Heard};
use crate::{
    fabric::MemberKept,
    ids::{ConnectionId, Identity, Offset, ParticipantId, TrackId},
    protocol::v1::{self, Permissions, event::Kind},
};

/// Who enters a room.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) id: ParticipantId,
    pub(crate) identity: Identity,
    pub(crate) name: String,
    pub(crate) metadata: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) permissions: Permissions,
    pub(crate) region: String,
    pub(crate) joined_at_ms: u64,
    pub(crate) auto_subscribe: bool,
    pub(crate) connection: ConnectionId,
}

/// One seat of a room.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) seat: Seat,
    /// Absent while it is away.
    pub(crate) connection: Option<ConnectionId>,
    /// The room's tip when it came: nothing before is replayed to it.
    pub(super) since: Offset,
    admin: bool,
    hidden: bool,
    pub(super) participant: Box<Participant>,
}

/// What is kept of a participant.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) id: ParticipantId,
    pub(super) identity: Identity,
    pub(super) name: Box<str>,
    pub(super) metadata: Box<str>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) permissions: Permissions,
    pub(super) region: Box<str>,
    pub(super) joined_at_ms: u64,
    pub(super) tracks: Vec<v1::Track>,
    /// Whether it is subscribed to the tracks that are not exceptions.
    pub(super) auto_subscribe: bool,
    pub(super) exceptions: BTreeSet<TrackId>,
    /// What it saw of the log elsewhere,
    pub(super) heard: Heard,
    /// and of what only messages count: it got the room anew since.
    pub(super) heard_said: Heard,
}

/// Two kinds of facts about the same participant differ only in their name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presence {
    Reconnecting,
    Resumed,
}

impl Member {
    pub(super) fn new(seat: Seat, since: Offset, entrance: Entrance) -> Self {
        Self {
            seat,
            connection: Some(entrance.connection),
            since,
            admin: entrance.permissions.room_admin,
            hidden: entrance.permissions.hidden,
            participant: Box::new(Participant {
                id: entrance.id,
                identity: entrance.identity,
                name: entrance.name.into(),
                metadata: entrance.metadata.into(),
                attributes: entrance.attributes,
                auto_subscribe: entrance.auto_subscribe && entrance.permissions.can_subscribe,
                permissions: entrance.permissions,
                region: entrance.region.into(),
                joined_at_ms: entrance.joined_at_ms,
                tracks: Vec::new(),
                exceptions: BTreeSet::new(),
                heard: Heard::default(),
                heard_said: Heard::default(),
            }),
        }
    }

    /// One that was kept; it is away.
    pub(super) fn restored(seat: Seat, kept: MemberKept) -> Self {
        let permissions = kept.participant.permissions.unwrap_or_default();
        Self {
            seat,
            connection: None,
            since: Offset(kept.since),
            admin: permissions.room_admin,
            hidden: permissions.hidden,
            participant: Box::new(Participant {
                id: kept.participant.id.into(),
                identity: kept.participant.identity.into(),
                name: kept.participant.name.into(),
                metadata: kept.participant.metadata.into(),
                attributes: kept.participant.attributes,
                permissions,
                region: kept.participant.region.into(),
                joined_at_ms: kept.participant.joined_at_ms,
                tracks: kept.tracks,
                auto_subscribe: kept.auto_subscribe,
                exceptions: kept.exceptions.into_iter().map(TrackId::from).collect::<BTreeSet<_>>(),
                heard: Heard::read(kept.heard),
                heard_said: Heard::read(kept.heard_said),
            }),
        }
    }

    pub(crate) fn id(&self) -> &ParticipantId {
        &self.participant.id
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.participant.identity
    }

    pub(crate) fn attributes(&self) -> &BTreeMap<String, String> {
        &self.participant.attributes
    }

    pub(crate) fn permissions(&self) -> &Permissions {
        &self.participant.permissions
    }

    pub(crate) fn tracks(&self) -> &[v1::Track] {
        &self.participant.tracks
    }

    /// Whether it takes every track that is no exception, or only the exceptions.
    pub(crate) fn takes_all(&self) -> bool {
        self.participant.auto_subscribe
    }

    /// Tracks that it takes, or leaves, against that rule.
    pub(crate) fn exceptions(&self) -> impl Iterator<Item = &TrackId> {
        self.participant.exceptions.iter()
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.admin
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Hidden participants exist for admins and for themselves only.
    pub(crate) fn sees(&self, other: &Self) -> bool {
        !other.hidden || self.admin || self.seat == other.seat
    }

    pub(super) fn set_permissions(&mut self, permissions: Permissions) {
        self.admin = permissions.room_admin;
        self.hidden = permissions.hidden;
        self.participant.permissions = permissions;
    }

    /// Who sees what it does, itself included.
    pub(super) fn audience(&self) -> Audience {
        if self.hidden { Audience::AdminsAnd(self.seat) } else { Audience::All }
    }

    /// Who sees it come and go.
    pub(super) fn others(&self) -> Audience {
        if self.hidden { Audience::AdminsExcept(self.seat) } else { Audience::Except(self.seat) }
    }

    pub(crate) fn to_wire(&self) -> v1::Participant {
        let state = match self.connection {
            Some(_) => v1::ParticipantState::Connected,
            None => v1::ParticipantState::Reconnecting,
        };
        let participant = &self.participant;
        v1::Participant {
            id: participant.id.as_str().to_owned(),
            identity: participant.identity.as_str().to_owned(),
            name: participant.name.to_string(),
            metadata: participant.metadata.to_string(),
            attributes: participant.attributes.clone(),
            state: state as i32,
            joined_at_ms: participant.joined_at_ms,
            permissions: Some(participant.permissions.clone()),
            region: participant.region.to_string(),
        }
    }

    /// With its tracks, as admins see it.
    pub(crate) fn to_info(&self) -> v1::ParticipantInfo {
        v1::ParticipantInfo { participant: Some(self.to_wire()), tracks: self.participant.tracks.clone() }
    }

    pub(super) fn joined_kind(&self) -> Kind {
        Kind::ParticipantJoined(Box::new(self.to_wire()))
    }

    pub(super) fn left_kind(&self, reason: &str) -> Kind {
        Kind::ParticipantLeft(v1::ParticipantLeft {
            id: self.participant.id.as_str().to_owned(),
            identity: self.participant.identity.as_str().to_owned(),
            reason: reason.to_owned(),
        })
    }

    pub(super) fn presence_kind(&self, presence: Presence) -> Kind {
        let id = self.participant.id.as_str().to_owned();
        let identity = self.participant.identity.as_str().to_owned();
        match presence {
            Presence::Reconnecting => Kind::ParticipantReconnecting(v1::ParticipantReconnecting { id, identity }),
            Presence::Resumed => Kind::ParticipantResumed(v1::ParticipantResumed { id, identity }),
        }
    }
}
