//! One room: its participants, their tracks, its metadata and its log of events.
//!
//! Knows nothing of tokens, sessions or sockets: who may enter was decided before, a connection is only an
//! address. Every change ends as an event with an offset in the room's history and as a push to those who
//! may see it; the router carries the pushes out.

mod audience;
mod history;
mod kept;
mod member;
mod merging;
mod message;
mod permissions;
mod place;
mod presence;
mod subscriptions;
#[cfg(test)]
mod tests;
mod track;
mod update;
mod view;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::AHashMap;

pub(crate) use self::{
    audience::{Audience, Seat},
    kept::Returned,
    member::{Entrance, Member},
    merging::{Both, Branch, Merged, Said},
    message::Message,
    permissions::{denied, may_update_own},
    place::{Place, Saw},
    update::{Change, merge_attributes},
    view::Part,
};
use self::{history::History, member::Presence, place::Merge};
use crate::{
    ids::{ConnectionId, Epoch, Identity, Offset, ParticipantId, RoomId, TrackId},
    protocol::{
        Code, Limits, Refusal,
        v1::{self, ServerFrame, event::Kind, server_frame::Body},
    },
};

/// Bounds that all rooms of a router share.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Of the protocol: tracks, attributes.
    pub(crate) limits: Limits,
    /// Events kept,
    pub(crate) history_events: usize,
    /// for how long,
    pub(crate) history_age: Duration,
    /// and of how many bytes together.
    pub(crate) history_bytes: usize,
}

/// What a room is made of.
#[derive(Debug)]
pub(crate) struct Founding {
    pub(crate) id: RoomId,
    pub(crate) epoch: Epoch,
    pub(crate) metadata: Box<str>,
    pub(crate) created_at_ms: u64,
    pub(crate) participants_max: u32,
    pub(crate) empty_timeout: Duration,
}

/// One frame to those of the room who may see it.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) to: Vec<ConnectionId>,
    pub(crate) frame: Box<ServerFrame>,
}

/// One input's moment, and the pushes that it makes.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) at: Instant,
    pub(crate) pushes: &'a mut Vec<Push>,
}

/// Who asked for something, and its request's id.
pub(crate) type Request = (Seat, u64);

/// The end of one life of a room: offsets go on, and those up to `last` are of that epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) epoch: Epoch,
    pub(crate) last: Offset,
}

/// The unit of ordering.
#[derive(Debug)]
pub(crate) struct Room {
    founding: Founding,
    bounds: Arc<Bounds>,
    /// In the order of joining, which is the order of seats: found by binary search, walked for every push.
    members: Vec<Member>,
    seats: AHashMap<Identity, Seat>,
    track_owners: AHashMap<TrackId, Seat>,
    history: History,
    /// The lives before this one, oldest first.
    edges: Vec<Edge>,
    /// Lives that went on beside this one and are in its log.
    merges: Vec<Merge>,
    /// Who changed or left since it was last asked; absent: nobody asks.
    touched: Option<BTreeMap<Seat, ParticipantId>>,
}

impl Room {
    pub(crate) fn new(founding: Founding, bounds: Arc<Bounds>) -> Self {
        Self {
            founding,
            bounds,
            members: Vec::new(),
            seats: AHashMap::new(),
            track_owners: AHashMap::new(),
            history: History::default(),
            edges: Vec::new(),
            merges: Vec::new(),
            touched: None,
        }
    }

    /// Other bounds, for what is said from now on, and for what is kept of before.
    pub(crate) fn set_bounds(&mut self, bounds: Arc<Bounds>) {
        self.bounds = bounds;
    }

    pub(crate) fn id(&self) -> &RoomId {
        &self.founding.id
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.founding.epoch
    }

    /// As applications set it.
    pub(crate) fn metadata(&self) -> &str {
        &self.founding.metadata
    }

    /// The offset of the latest event.
    pub(crate) fn tip(&self) -> Offset {
        self.history.tip()
    }

    pub(crate) fn empty_timeout(&self) -> Duration {
        self.founding.empty_timeout
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether one more identity would pass the room's own limit.
    pub(crate) fn is_full(&self) -> bool {
        self.members.len() >= self.founding.participants_max as usize
    }

    pub(crate) fn participants_max(&self) -> u32 {
        self.founding.participants_max
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(crate) fn seat_of(&self, identity: &str) -> Option<Seat> {
        self.seats.get(identity).copied()
    }

    pub(crate) fn member(&self, seat: Seat) -> Option<&Member> {
        self.position(seat).map(|at| &self.members[at])
    }

    fn member_mut(&mut self, seat: Seat) -> Option<&mut Member> {
        let at = self.position(seat)?;
        self.touch_at(at);
        Some(&mut self.members[at])
    }

    fn position(&self, seat: Seat) -> Option<usize> {
        self.members.binary_search_by_key(&seat, |member| member.seat).ok()
    }

    /// The member of a seat that the caller knows to be taken.
    fn seated(&self, seat: Seat) -> Result<&Member, Refusal> {
        self.member(seat).ok_or_else(|| Code::NotJoined.refuse())
    }

    /// Lets go of history that is past its age; answers when to come again, while something is left.
    pub(crate) fn trim(&mut self, at: Instant) -> Option<Instant> {
        self.history.trim(at, &self.bounds);
        self.history_ends_at()
    }

    /// When the oldest event kept is past its age.
    pub(crate) fn history_ends_at(&self) -> Option<Instant> {
        self.history.oldest().map(|oldest| oldest + self.bounds.history_age)
    }

    /// Sets the room's metadata.
    pub(crate) fn set_metadata(&mut self, metadata: String, turn: &mut Turn<'_>) -> Offset {
        self.founding.metadata = metadata.into();
        let info = Box::new(self.info());
        self.emit(Audience::All, Kind::RoomUpdated(info), turn)
    }

    /// Tells everybody which media node carries the room from now on.
    pub(crate) fn move_media(&mut self, moved: v1::MediaMoved, turn: &mut Turn<'_>) -> Offset {
        self.emit(Audience::All, Kind::MediaMoved(moved), turn)
    }

    /// Tells one who comes from another router which node carries its media from now on.
    pub(crate) fn move_media_of(&mut self, seat: Seat, moved: v1::MediaMoved, turn: &mut Turn<'_>) {
        self.emit(Audience::Pair(seat, seat), Kind::MediaMoved(moved), turn);
    }

    /// Tells everybody that the room ends.
    pub(crate) fn close(&mut self, reason: Code, turn: &mut Turn<'_>) {
        self.emit(Audience::All, Kind::RoomClosed(v1::RoomClosed { reason: reason.name().to_owned() }), turn);
    }

    /// Gives a fact its offset, keeps it, and pushes it to those who may see it.
    fn emit(&mut self, audience: Audience, kind: Kind, turn: &mut Turn<'_>) -> Offset {
        let to = self.reachable(audience);
        if to.is_empty() {
            return self.history.keep_event(turn.at, audience, kind, &self.bounds);
        }
        let offset = self.history.keep_event(turn.at, audience, kind.clone(), &self.bounds);
        let frame = self.event_frame(offset, kind);
        turn.pushes.push(Push { to, frame });
        offset
    }

    fn event_frame(&self, offset: Offset, kind: Kind) -> Box<ServerFrame> {
        let event = v1::Event {
            room: self.founding.id.as_str().to_owned(),
            epoch: self.epoch_of(offset).to_string(),
            offset: offset.0,
            kind: Some(kind),
        };
        Box::new(ServerFrame { id: None, body: Some(Body::Event(event)) })
    }

    /// The connections of those of the audience who have one now.
    fn reachable(&self, audience: Audience) -> Vec<ConnectionId> {
        if let Audience::Pair(one, other) = audience {
            let mut to: Vec<_> = self.member(one).and_then(|m| m.connection).into_iter().collect();
            if one != other {
                to.extend(self.member(other).and_then(|m| m.connection));
            }
            return to;
        }
        let mut to = Vec::with_capacity(self.members.len());
        to.extend(self.members.iter().filter(|m| audience.includes(m)).filter_map(|m| m.connection));
        to
    }
}
