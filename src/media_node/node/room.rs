//! What routers said of one room: who is in it, what they publish and receive. Knows no transport.

use std::{collections::HashMap, time::Instant};

use str0m::media::Rid;

use crate::{
    ids::{ParticipantId, TrackId},
    protocol::v1::{self, TrackKind, TrackSource},
};

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    /// When a router last spoke of it.
    pub(super) touched: Instant,
    pub(super) participants: HashMap<ParticipantId, Participant>,
    pub(super) tracks: HashMap<TrackId, Track>,
}

/// One participant.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) identity: String,
    pub(super) permissions: v1::Permissions,
    pub(super) auto_subscribe: bool,
    /// What it subscribed to or unsubscribed from by name.
    pub(super) chosen: HashMap<TrackId, bool>,
    /// Its transport, from its first offer on.
    pub(super) link: Option<usize>,
}

impl Participant {
    pub(super) fn wants(&self, track: &TrackId) -> bool {
        self.permissions.can_subscribe && self.chosen.get(track).copied().unwrap_or(self.auto_subscribe)
    }

    pub(super) fn may_publish(&self, kind: TrackKind, source: TrackSource) -> bool {
        let permissions = &self.permissions;
        let sources = &permissions.can_publish_sources;
        let allowed = if kind == TrackKind::Data { permissions.can_publish_data } else { permissions.can_publish };
        allowed && (sources.is_empty() || sources.contains(&source.into()))
    }
}

/// One announced track.
#[derive(Debug)]
pub(super) struct Track {
    /// In the order of announcement; tells a track from a later one of the same id.
    pub(super) number: u64,
    pub(super) publisher: ParticipantId,
    /// The id of the track in the msid of its publisher's SDP.
    pub(super) cid: String,
    pub(super) kind: TrackKind,
    pub(super) source: TrackSource,
    pub(super) muted: bool,
    /// Its layers, the largest first.
    pub(super) layers: Vec<Rid>,
}

impl Track {
    pub(super) fn new(number: u64, publisher: ParticipantId, track: &v1::Track) -> Self {
        let mut layers: Vec<_> = track.layers.iter().filter(|layer| !layer.rid.is_empty()).collect();
        let size = |layer: &v1::Layer| (u64::from(layer.width_px) * u64::from(layer.height_px), layer.bitrate_bps);
        layers.sort_by_key(|layer| std::cmp::Reverse(size(layer)));
        Self {
            number,
            publisher,
            cid: track.cid.clone(),
            kind: track.kind(),
            source: track.source(),
            muted: track.muted,
            layers: layers.iter().map(|layer| Rid::from(layer.rid.as_str())).collect(),
        }
    }
}

impl Room {
    pub(super) fn new(now: Instant) -> Self {
        Self { touched: now, participants: HashMap::new(), tracks: HashMap::new() }
    }

    /// Whether a participant has a transport.
    pub(super) fn is_connected(&self) -> bool {
        self.participants.values().any(|participant| participant.link.is_some())
    }

    /// The tracks in the order of their announcement.
    pub(super) fn in_order(&self) -> Vec<(&TrackId, &Track)> {
        let mut tracks: Vec<_> = self.tracks.iter().collect();
        tracks.sort_by_key(|(_, track)| track.number);
        tracks
    }
}
