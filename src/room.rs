//! One room: participants, tracks, metadata, and the log that orders its events.
//!
//! Knows nothing of sessions, tokens or sockets; participants have at most one connection to push to. What it
//! wants to say goes into a list of [`Push`]es, which the router hands on.

mod history;
mod participant;
mod tracks;

use std::time::{Duration, Instant};

pub use history::{Audience, HistoryBounds};
use history::{Entry, History};
pub use participant::{Change, Participant};
pub use tracks::MuteBy;

use crate::{
    ids::{ConnectionId, Epoch, Identity, Offset, ParticipantId, RoomId},
    protocol::{
        Code, Refusal,
        v1::{self, ServerFrame, event::Kind, server_frame::Body},
    },
};

/// A push for several connections.
#[derive(Debug)]
pub struct Push {
    /// Who gets it.
    pub to: Vec<ConnectionId>,
    /// What.
    pub frame: Box<ServerFrame>,
}

/// How a room is made.
#[derive(Clone, Debug)]
pub struct RoomSettings {
    /// Its metadata.
    pub metadata: String,
    /// Participants at most.
    pub participants_max: u32,
    /// How long it stays when empty.
    pub empty_timeout: Duration,
    /// What it keeps for resumes.
    pub history: HistoryBounds,
}

/// See the module.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    epoch: Epoch,
    created_at_ms: u64,
    settings: RoomSettings,
    participants: Vec<Participant>,
    tip: Offset,
    history: History,
    /// Since when nobody is in it.
    pub empty_since: Option<Instant>,
}

impl Room {
    /// An empty room in a new epoch.
    pub fn new(id: RoomId, epoch: Epoch, created_at_ms: u64, settings: RoomSettings) -> Self {
        Self {
            id,
            epoch,
            created_at_ms,
            settings,
            participants: Vec::new(),
            tip: Offset(0),
            history: History::default(),
            empty_since: None,
        }
    }

    /// Its name.
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// The life of its log.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The offset of the latest event.
    pub fn tip(&self) -> Offset {
        self.tip
    }

    /// How long it stays when empty.
    pub fn empty_timeout(&self) -> Duration {
        self.settings.empty_timeout
    }

    /// Its participants, lingering ones included.
    pub fn participants(&self) -> &[Participant] {
        &self.participants
    }

    /// Its description.
    pub fn info(&self) -> v1::RoomInfo {
        let visible = self.participants.iter().filter(|p| !p.permissions.hidden);
        v1::RoomInfo {
            name: self.id.to_string(),
            metadata: self.settings.metadata.clone(),
            created_at_ms: self.created_at_ms,
            participants_max: self.settings.participants_max,
            participants: u32::try_from(visible.count()).unwrap_or(u32::MAX),
            tracks: u32::try_from(self.participants.iter().map(|p| p.tracks.len()).sum::<usize>()).unwrap_or(u32::MAX),
            empty_timeout_seconds: u32::try_from(self.settings.empty_timeout.as_secs()).unwrap_or(u32::MAX),
        }
    }

    /// The participant of that id.
    pub fn participant(&self, id: &ParticipantId) -> Option<&Participant> {
        self.participants.iter().find(|p| p.id == *id)
    }

    /// The same, to change what no event tells of (its connection).
    pub fn participant_mut(&mut self, id: &ParticipantId) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|p| p.id == *id)
    }

    /// The participant of that identity.
    pub fn by_identity(&self, identity: &str) -> Option<&Participant> {
        self.participants.iter().find(|p| p.identity.as_str() == identity)
    }

    /// The same, as `viewer` sees it: hidden ones exist for admins only.
    ///
    /// # Errors
    /// `participant_not_found`.
    pub fn visible(&self, identity: &str, viewer: &Participant) -> Result<&Participant, Refusal> {
        self.by_identity(identity)
            .filter(|p| !p.permissions.hidden || viewer.permissions.room_admin || p.id == viewer.id)
            .ok_or_else(|| Code::ParticipantNotFound.because(format!("nobody in the room is `{identity:.64}`")))
    }

    /// Whether one more may come in; whoever takes the place of its own identity may always.
    ///
    /// # Errors
    /// `room_full`, naming the limit.
    pub fn check_space(&self, identity: &Identity) -> Result<(), Refusal> {
        let max = self.settings.participants_max;
        if self.participants.len() < max as usize || self.by_identity(identity.as_str()).is_some() {
            return Ok(());
        }
        Err(Code::RoomFull
            .because(format!("participants_max: the room holds {max} participants"))
            .retry_after_ms(1_000))
    }

    /// A participant comes in; the others are told.
    pub fn enter(&mut self, participant: Participant, at: Instant, out: &mut Vec<Push>) {
        let audience = presence(&participant);
        let wire = participant.to_wire();
        let kind = Kind::ParticipantJoined(Box::new(wire));
        self.emit(kind, audience.but(&participant.id), at, out);
        self.participants.push(participant);
        self.empty_since = None;
    }

    /// A participant goes for good: its tracks end, the others are told.
    pub fn remove(
        &mut self,
        id: &ParticipantId,
        reason: Code,
        at: Instant,
        out: &mut Vec<Push>,
    ) -> Option<Participant> {
        self.end_tracks(id, at, out);
        let place = self.participants.iter().position(|p| p.id == *id)?;
        let gone = self.participants.remove(place);
        let left = v1::ParticipantLeft {
            id: gone.id.to_string(),
            identity: gone.identity.to_string(),
            reason: reason.name().to_owned(),
        };
        self.emit(Kind::ParticipantLeft(left), presence(&gone), at, out);
        if self.participants.is_empty() {
            self.empty_since = Some(at);
        }
        Some(gone)
    }

    /// A participant lost its connection and lingers.
    pub fn disconnect(&mut self, id: &ParticipantId, at: Instant, out: &mut Vec<Push>) {
        let Some(participant) = self.participant_mut(id) else { return };
        participant.connection = None;
        let kind = Kind::ParticipantReconnecting(v1::ParticipantReconnecting {
            id: participant.id.to_string(),
            identity: participant.identity.to_string(),
        });
        let audience = presence(participant).but(id);
        self.emit(kind, audience, at, out);
    }

    /// A lingering participant is back.
    pub fn reconnect(&mut self, id: &ParticipantId, at: Instant, out: &mut Vec<Push>) {
        let Some(participant) = self.participant(id) else { return };
        let kind = Kind::ParticipantResumed(v1::ParticipantResumed {
            id: participant.id.to_string(),
            identity: participant.identity.to_string(),
        });
        let audience = presence(participant).but(id);
        self.emit(kind, audience, at, out);
    }

    /// New metadata of the room.
    pub fn set_metadata(&mut self, metadata: String, at: Instant, out: &mut Vec<Push>) -> Offset {
        self.settings.metadata = metadata;
        let info = Box::new(self.info());
        self.emit(Kind::RoomUpdated(info), Audience::All, at, out)
    }

    /// The room ends.
    pub fn close(&mut self, reason: Code, at: Instant, out: &mut Vec<Push>) {
        let closed = v1::RoomClosed { reason: reason.name().to_owned() };
        self.emit(Kind::RoomClosed(closed), Audience::All, at, out);
    }

    /// A message to the room, never echoed to its sender.
    pub fn send(
        &mut self,
        push: v1::DataPush,
        from: Option<&ParticipantId>,
        at: Instant,
        out: &mut Vec<Push>,
    ) -> Offset {
        self.tip = Offset(self.tip.0 + 1);
        let push = v1::DataPush { offset: Some(self.tip.0), ..push };
        let audience = from.map_or(Audience::All, |from| Audience::Except(from.clone()));
        self.log(ServerFrame { id: None, body: Some(Body::Data(push)) }, audience, at, out)
    }

    fn emit(&mut self, kind: Kind, audience: Audience, at: Instant, out: &mut Vec<Push>) -> Offset {
        self.tip = Offset(self.tip.0 + 1);
        let event = v1::Event {
            room: self.id.to_string(),
            epoch: self.epoch.to_string(),
            offset: self.tip.0,
            kind: Some(kind),
        };
        self.log(ServerFrame { id: None, body: Some(Body::Event(event)) }, audience, at, out)
    }

    fn log(&mut self, frame: ServerFrame, audience: Audience, at: Instant, out: &mut Vec<Push>) -> Offset {
        let to: Vec<ConnectionId> =
            self.participants.iter().filter(|p| audience.includes(p)).filter_map(|p| p.connection).collect();
        if !to.is_empty() {
            out.push(Push { to, frame: Box::new(frame.clone()) });
        }
        let entry = Entry { offset: self.tip, at, audience, frame };
        self.history.add(entry, self.settings.history);
        self.tip
    }

    /// The events after `offset` that `viewer` may see, or `None` when some of them are no longer kept.
    pub fn since(
        &mut self,
        epoch: &str,
        offset: Offset,
        viewer: &ParticipantId,
        at: Instant,
    ) -> Option<Vec<(Offset, ServerFrame)>> {
        if epoch != self.epoch.to_string() || offset > self.tip {
            return None;
        }
        self.history.expire(at, self.settings.history);
        let viewer = self.participants.iter().find(|p| p.id == *viewer)?;
        let entries = self.history.since(offset, self.tip)?;
        Some(entries.filter(|e| e.audience.includes(viewer)).map(|e| (e.offset, e.frame.clone())).collect())
    }
}

/// Who learns of a participant's comings and goings.
fn presence(participant: &Participant) -> Audience {
    if participant.permissions.hidden { Audience::Admins } else { Audience::All }
}
