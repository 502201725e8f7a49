//! The node without its sockets: `(state, Command or Datagram, now) -> Outputs`. `str0m` is of the same kind, so ICE, DTLS,
//! SRTP and RTCP of every participant live in here; clock, sockets and tasks do not.
//!
//! What routers said is in `room`, transports are in `link`; after each change `reconcile` brings the second in line with
//! the first, and `offers` tells the clients.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use slab::Slab;
use str0m::crypto::{CryptoProvider, dtls::DtlsCert};

use self::{
    link::Link,
    room::{Participant, Room, Track},
};
use super::limits::{Limits, Refusal};
use crate::{
    ids::{ParticipantId, RoomId, TrackId},
    protocol::v1::{self, TrackKind},
};

mod layers;
mod link;
mod media;
mod offers;
mod reconcile;
mod rewrite;
mod room;
mod sdp;
#[cfg(test)]
mod tests;

/// What a router asks of a node.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the call of that name, described in media.proto")]
pub enum Command {
    PutParticipant(v1::PutParticipantRequest),
    EndParticipant(v1::EndParticipantRequest),
    SetPermissions(v1::SetPermissionsRequest),
    PutTrack(v1::PutTrackRequest),
    EndTrack(v1::EndTrackRequest),
    MuteTrack(v1::MuteMediaRequest),
    Subscribe(v1::SubscribeMediaRequest),
    Offer(v1::MediaOfferRequest),
    Answer(v1::MediaAnswerRequest),
    Candidate(v1::MediaCandidateRequest),
    EndRoom(v1::EndMediaRoomRequest),
}

/// What a command that was done answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Nothing more.
    Done,
    /// To an offer.
    Answer(v1::SessionDescription),
}

/// What leaves a node.
#[derive(Debug)]
pub enum Output {
    /// A datagram, from the node's one port.
    Send {
        /// To whom.
        to: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// To a participant, by way of every router that watches.
    Push(v1::MediaPush),
}

/// What a node counts, since it began; rooms, participants and tracks as they are now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Totals {
    pub rooms: u32,
    pub participants: u32,
    pub tracks: u32,
    /// Media packets from and to clients, as far as statistics (once a second) have told.
    pub packets: f64,
    /// Those of them that were lost.
    pub lost: f64,
    /// All bytes of datagrams, both ways.
    pub bytes: u64,
}

/// The node's state.
#[derive(Debug)]
pub struct Node {
    limits: Limits,
    /// Where clients reach the node: the candidate of every answer.
    announced: SocketAddr,
    crypto: Arc<CryptoProvider>,
    certificate: DtlsCert,
    rooms: HashMap<RoomId, Room>,
    links: Slab<Link>,
    /// By the local ICE user name, which is in each client's first packets.
    by_ufrag: HashMap<String, usize>,
    by_address: HashMap<SocketAddr, usize>,
    wakes: BTreeSet<(Instant, usize)>,
    outputs: VecDeque<Output>,
    totals: Totals,
    /// Of tracks, ever.
    numbers: u64,
    swept: Option<Instant>,
}

/// How often the node looks for what nobody ended: a router may have broken down before it could.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A transport whose client was silent for so long is over. Browsers give up after half a minute.
const SILENT_MAX: Duration = Duration::from_secs(5 * 60);
/// So is a room without any transport, of which no router spoke for so long. A router that does puts it anew.
const UNTOUCHED_MAX: Duration = Duration::from_secs(60 * 60);

impl Node {
    /// `announced`: where clients reach its port.
    ///
    /// # Errors
    /// When the system has no randomness for the certificate.
    pub fn new(limits: Limits, announced: SocketAddr) -> Result<Self, rcgen::Error> {
        Ok(Self {
            limits,
            announced,
            crypto: super::crypto::provider(),
            certificate: super::crypto::certificate()?,
            rooms: HashMap::new(),
            links: Slab::new(),
            by_ufrag: HashMap::new(),
            by_address: HashMap::new(),
            wakes: BTreeSet::new(),
            outputs: VecDeque::new(),
            totals: Totals::default(),
            numbers: 0,
            swept: None,
        })
    }

    /// Does what a router asks.
    ///
    /// # Errors
    /// Nothing was done then.
    pub fn handle(&mut self, command: Command, now: Instant) -> Result<Done, Refusal> {
        match command {
            Command::PutParticipant(put) => self.put_participant(put, now)?,
            Command::EndParticipant(end) => {
                self.end_participant(&RoomId::from(end.room), &ParticipantId::from(end.participant_id), now);
            }
            Command::SetPermissions(set) => self.set_permissions(set, now)?,
            Command::PutTrack(put) => self.put_track(put, now)?,
            Command::EndTrack(end) => self.end_track(&RoomId::from(end.room), &TrackId::from(end.track), now),
            Command::MuteTrack(mute) => self.mute(&mute, now)?,
            Command::Subscribe(subscribe) => self.subscribe(subscribe, now)?,
            Command::Offer(offer) => return self.offer(offer, now).map(Done::Answer),
            Command::Answer(answer) => self.answer(answer, now)?,
            Command::Candidate(candidate) => self.candidate(&candidate, now)?,
            Command::EndRoom(end) => self.end_room(&RoomId::from(end.room), now),
        }
        Ok(Done::Done)
    }

    /// What has to leave, oldest first.
    pub fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When time has to be passed on at the latest.
    pub fn wake_at(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// What it counts.
    pub fn totals(&self) -> Totals {
        let rooms = self.rooms.values();
        let (participants, tracks) =
            rooms.fold((0, 0), |(p, t), room| (p + room.participants.len(), t + room.tracks.len()));
        Totals {
            rooms: self.rooms.len() as u32,
            participants: participants as u32,
            tracks: tracks as u32,
            ..self.totals
        }
    }

    fn room(&mut self, room: &RoomId) -> Result<&mut Room, Refusal> {
        self.rooms.get_mut(room).ok_or(Refusal::Unknown("room"))
    }

    fn participant(&mut self, room: &RoomId, id: &ParticipantId) -> Result<&mut Participant, Refusal> {
        self.room(room)?.participants.get_mut(id).ok_or(Refusal::Unknown("participant"))
    }

    fn put_participant(&mut self, put: v1::PutParticipantRequest, now: Instant) -> Result<(), Refusal> {
        for (field, value) in [("room", &put.room), ("participant_id", &put.participant_id)] {
            if value.is_empty() {
                return Err(Refusal::invalid(field, "is empty"));
            }
        }
        let (name, id) = (RoomId::from(put.room), ParticipantId::from(put.participant_id));
        match self.rooms.get(&name) {
            None => Limits::room_for("rooms_max", self.rooms.len(), self.limits.rooms)?,
            Some(room) if room.participants.contains_key(&id) => {}
            Some(room) => {
                Limits::room_for("participants_max", room.participants.len(), self.limits.participants)?;
            }
        }
        let room = self.rooms.entry(name.clone()).or_insert_with(|| Room::new(now));
        let permissions = put.permissions.unwrap_or_default();
        match room.participants.get_mut(&id) {
            Some(present) => {
                present.identity = put.identity;
                present.auto_subscribe = put.auto_subscribe;
            }
            None => {
                let participant = Participant {
                    identity: put.identity,
                    permissions: v1::Permissions::default(),
                    auto_subscribe: put.auto_subscribe,
                    chosen: HashMap::new(),
                    link: None,
                };
                room.participants.insert(id.clone(), participant);
            }
        }
        self.permit(&name, &id, permissions, now)
    }

    fn set_permissions(&mut self, set: v1::SetPermissionsRequest, now: Instant) -> Result<(), Refusal> {
        let permissions = set.permissions.unwrap_or_default();
        self.permit(&RoomId::from(set.room), &ParticipantId::from(set.participant_id), permissions, now)
    }

    /// What is allowed no longer ends.
    fn permit(
        &mut self,
        name: &RoomId,
        id: &ParticipantId,
        permissions: v1::Permissions,
        now: Instant,
    ) -> Result<(), Refusal> {
        let room = self.room(name)?;
        let participant = room.participants.get_mut(id).ok_or(Refusal::Unknown("participant"))?;
        participant.permissions = permissions;
        let may = |track: &Track| participant.may_publish(track.kind, track.source);
        room.tracks.retain(|_, track| track.publisher != *id || may(track));
        self.reconcile(name, now);
        Ok(())
    }

    fn end_participant(&mut self, name: &RoomId, id: &ParticipantId, now: Instant) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let Some(participant) = room.participants.remove(id) else { return };
        room.tracks.retain(|_, track| track.publisher != *id);
        if room.participants.is_empty() {
            self.rooms.remove(name);
        }
        if let Some(link) = participant.link {
            self.close(link, now);
        }
        self.reconcile(name, now);
    }

    fn end_room(&mut self, name: &RoomId, now: Instant) {
        let Some(room) = self.rooms.remove(name) else { return };
        for link in room.participants.into_values().filter_map(|participant| participant.link) {
            self.close(link, now);
        }
    }

    /// Ends what nobody ended.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.duration_since(swept) < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        let longer = |since: Instant, most| now.duration_since(since) > most;
        let silent = self.links.iter().filter(|(_, link)| link.silent_since.is_some_and(|at| longer(at, SILENT_MAX)));
        for link in silent.map(|(key, _)| key).collect::<Vec<_>>() {
            self.close_broken(link, now);
        }
        let left = self.rooms.iter().filter(|(_, room)| !room.is_connected() && longer(room.touched, UNTOUCHED_MAX));
        for room in left.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.end_room(&room, now);
        }
    }

    /// Ends all rooms, and with them every transport.
    pub fn end(&mut self, now: Instant) {
        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
            self.end_room(&room, now);
        }
    }

    fn put_track(&mut self, put: v1::PutTrackRequest, now: Instant) -> Result<(), Refusal> {
        let track = put.track.ok_or_else(|| Refusal::invalid("track", "is missing"))?;
        if track.id.is_empty() {
            return Err(Refusal::invalid("track.id", "is empty"));
        }
        if track.kind() == TrackKind::Unspecified {
            return Err(Refusal::invalid("track.kind", "is none of audio, video, data"));
        }
        let (name, publisher) = (RoomId::from(put.room), ParticipantId::from(put.participant_id));
        if !self.participant(&name, &publisher)?.may_publish(track.kind(), track.source()) {
            return Err(Refusal::Denied("publish this"));
        }
        let (tracks_max, number) = (self.limits.tracks, self.numbers);
        let (room, id) = (self.room(&name)?, TrackId::from(track.id.as_str()));
        let mut fresh = Track::new(number, publisher, &track);
        match room.tracks.get(&id) {
            None => Limits::room_for("tracks_max", room.tracks.len(), tracks_max)?,
            Some(present) if present.publisher == fresh.publisher && present.cid == fresh.cid => {
                fresh.number = present.number;
            }
            Some(_) => {}
        }
        room.tracks.insert(id, fresh);
        self.numbers += 1;
        self.reconcile(&name, now);
        Ok(())
    }

    fn end_track(&mut self, name: &RoomId, track: &TrackId, now: Instant) {
        if self.rooms.get_mut(name).is_some_and(|room| room.tracks.remove(track).is_some()) {
            self.reconcile(name, now);
        }
    }

    /// A track that is not known says itself whether it is muted when it is put.
    fn mute(&mut self, mute: &v1::MuteMediaRequest, now: Instant) -> Result<(), Refusal> {
        let name = RoomId::from(mute.room.as_str());
        if let Some(track) = self.room(&name)?.tracks.get_mut(mute.track.as_str()) {
            track.muted = mute.muted;
            self.reconcile(&name, now);
        }
        Ok(())
    }

    fn subscribe(&mut self, subscribe: v1::SubscribeMediaRequest, now: Instant) -> Result<(), Refusal> {
        let (name, most) = (RoomId::from(subscribe.room), self.limits.subscriptions);
        let participant = self.participant(&name, &ParticipantId::from(subscribe.participant_id))?;
        let tracks: BTreeSet<_> = subscribe.tracks.into_iter().map(TrackId::from).collect();
        let fresh = tracks.iter().filter(|track| !participant.chosen.contains_key(*track)).count();
        let found = participant.chosen.len() + fresh;
        if found > most {
            return Err(Refusal::Exhausted { limit: "subscriptions_max", found, most });
        }
        if subscribe.subscribed && !participant.permissions.can_subscribe {
            return Err(Refusal::Denied("subscribe"));
        }
        participant.chosen.extend(tracks.into_iter().map(|track| (track, subscribe.subscribed)));
        self.reconcile(&name, now);
        Ok(())
    }
}
