//! A small router's admin side in memory, and tokens that are their own grants: for the tests of the admin API and of
//! its command line.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use super::{AdminBounds, AdminParts, AdminState, BoxFuture, Replied, Rooms, Verify};
use crate::{
    auth::Grant,
    event::Event,
    ids::{Identity, RoomId},
    protocol::{Code, Limits, Refusal, v1},
    router::{AdminCall, AdminReply},
};

/// The origin that [`state`] lets in.
pub(crate) const ORIGIN: &str = "https://app.example";

/// Every room a fake router holds, and what was asked of it.
#[derive(Debug, Default)]
pub(crate) struct FakeRooms {
    rooms: Mutex<BTreeMap<String, Held>>,
    asked: Mutex<Vec<(String, AdminCall)>>,
    refusing: Mutex<Option<Refusal>>,
}

type Held = (v1::RoomInfo, BTreeMap<String, v1::ParticipantInfo>);

impl FakeRooms {
    /// With room `r1`, in which alice publishes track `t1` and bob publishes nothing.
    pub(crate) fn with_a_call() -> Arc<Self> {
        let fake = Arc::new(Self::default());
        let people = [participant("alice", vec![track("t1", "alice")]), participant("bob", Vec::new())];
        let people = people.into_iter().map(|p| (p.participant.clone().unwrap().identity, p)).collect();
        fake.lock().insert("r1".to_owned(), (room("r1"), people));
        fake
    }

    /// With so many rooms, `room-000` and on.
    pub(crate) fn with_rooms(count: usize) -> Arc<Self> {
        let fake = Arc::new(Self::default());
        let rooms =
            (0..count).map(|n| format!("room-{n:03}")).map(|name| (name.clone(), (room(&name), BTreeMap::new())));
        fake.lock().extend(rooms);
        fake
    }

    /// Answers everything with this from now on.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        *self.refusing.lock().unwrap() = Some(refusal);
    }

    /// What was asked, by whom.
    pub(crate) fn asked(&self) -> Vec<(String, AdminCall)> {
        self.asked.lock().unwrap().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.rooms.lock().unwrap()
    }

    fn answer(&self, call: AdminCall) -> Result<AdminReply, Refusal> {
        let mut rooms = self.lock();
        match call {
            AdminCall::CreateRoom(request) => {
                if rooms.contains_key(&request.name) {
                    return Err(Code::AlreadyExists.refuse());
                }
                let mut info = room(&request.name);
                info.metadata = request.metadata;
                info.participants_max = request.participants_max.unwrap_or(info.participants_max);
                info.empty_timeout_seconds = request.empty_timeout_seconds.unwrap_or(info.empty_timeout_seconds);
                rooms.insert(request.name, (info.clone(), BTreeMap::new()));
                Ok(AdminReply::Room(info))
            }
            AdminCall::ListRooms { after, limit } => {
                let after =
                    rooms.range::<str, _>((std::ops::Bound::Excluded(after.as_str()), std::ops::Bound::Unbounded));
                Ok(AdminReply::Rooms(after.take(limit).map(|(_, (info, _))| info.clone()).collect()))
            }
            AdminCall::GetRoom(request) => Ok(AdminReply::Room(held(&mut rooms, &request.room)?.0.clone())),
            AdminCall::DeleteRoom(request) => {
                held(&mut rooms, &request.room)?;
                rooms.remove(&request.room);
                Ok(AdminReply::Done)
            }
            AdminCall::UpdateRoom(request) => {
                let (info, _) = held(&mut rooms, &request.room)?;
                info.metadata = request.metadata;
                Ok(AdminReply::Room(info.clone()))
            }
            AdminCall::SendData(request) => {
                held(&mut rooms, &request.room)?;
                Ok(AdminReply::Sent { offset: request.to.is_empty().then_some(7) })
            }
            AdminCall::GetUser { identity, limit } => {
                let of = |(name, (_, people)): (&String, &Held)| {
                    let participant = people.get(&identity)?.participant.clone();
                    Some(v1::UserSession { room: name.clone(), participant, router: String::new() })
                };
                Ok(AdminReply::User(rooms.iter().filter_map(of).take(limit).collect()))
            }
            other => answer_in_room(&mut rooms, other),
        }
    }
}

fn answer_in_room(rooms: &mut BTreeMap<String, Held>, call: AdminCall) -> Result<AdminReply, Refusal> {
    match call {
        AdminCall::ListParticipants { room, after, limit } => {
            let people = &held(rooms, &room)?.1;
            let page = people.iter().filter(|(identity, _)| **identity > after).take(limit);
            Ok(AdminReply::Participants(page.map(|(_, info)| info.clone()).collect()))
        }
        AdminCall::GetParticipant(request) => {
            Ok(AdminReply::Participant(Box::new(person(rooms, &request.room, &request.identity)?.clone())))
        }
        AdminCall::RemoveParticipant(request) => {
            person(rooms, &request.room, &request.identity)?;
            held(rooms, &request.room)?.1.remove(&request.identity);
            Ok(AdminReply::Done)
        }
        AdminCall::UpdateParticipant(request) => {
            let info = person(rooms, &request.room, &request.identity)?;
            let one = info.participant.get_or_insert_default();
            one.name = request.name.unwrap_or_default();
            one.metadata = request.metadata.unwrap_or_default();
            one.attributes = request.attributes;
            one.permissions = request.permissions.or_else(|| one.permissions.take());
            Ok(AdminReply::Participant(Box::new(info.clone())))
        }
        AdminCall::MuteTrack(request) => {
            let info = person(rooms, &request.room, &request.identity)?;
            let track = info.tracks.iter_mut().find(|t| t.id == request.track);
            let track = track.ok_or_else(|| Code::TrackNotFound.refuse())?;
            (track.muted, track.muted_by_admin) = (request.muted, request.muted);
            Ok(AdminReply::Track(track.clone()))
        }
        other => panic!("{other:?} is not about one room's people"),
    }
}

fn held<'a>(rooms: &'a mut BTreeMap<String, Held>, name: &str) -> Result<&'a mut Held, Refusal> {
    rooms.get_mut(name).ok_or_else(|| Code::RoomNotFound.because(format!("no room `{name}`")))
}

fn person<'a>(
    rooms: &'a mut BTreeMap<String, Held>,
    room: &str,
    identity: &str,
) -> Result<&'a mut v1::ParticipantInfo, Refusal> {
    held(rooms, room)?.1.get_mut(identity).ok_or_else(|| Code::ParticipantNotFound.refuse())
}

fn room(name: &str) -> v1::RoomInfo {
    v1::RoomInfo {
        name: name.to_owned(),
        created_at_ms: 1_700_000_000_000,
        participants_max: 50,
        empty_timeout_seconds: 300,
        ..v1::RoomInfo::default()
    }
}

fn participant(identity: &str, tracks: Vec<v1::Track>) -> v1::ParticipantInfo {
    let permissions = v1::Permissions {
        can_publish: true,
        can_subscribe: true,
        can_publish_sources: vec![v1::TrackSource::Microphone as i32],
        ..v1::Permissions::default()
    };
    let participant = v1::Participant {
        id: format!("pa-{identity}"),
        identity: identity.to_owned(),
        name: identity.to_uppercase(),
        attributes: [("team".to_owned(), "red".to_owned())].into(),
        state: v1::ParticipantState::Connected as i32,
        joined_at_ms: 1_700_000_001_000,
        permissions: Some(permissions),
        region: "sh".to_owned(),
        ..v1::Participant::default()
    };
    v1::ParticipantInfo { participant: Some(participant), tracks }
}

fn track(id: &str, owner: &str) -> v1::Track {
    v1::Track {
        id: id.to_owned(),
        cid: format!("cid-{id}"),
        participant: owner.to_owned(),
        kind: v1::TrackKind::Video as i32,
        source: v1::TrackSource::Camera as i32,
        codec: "vp8".to_owned(),
        layers: vec![v1::Layer { rid: "f".to_owned(), width_px: 1280, height_px: 720, ..v1::Layer::default() }],
        ..v1::Track::default()
    }
}

impl Rooms for FakeRooms {
    fn call(&self, by: String, call: AdminCall) -> BoxFuture<'_, Result<Replied, Refusal>> {
        self.asked.lock().unwrap().push((by, call.clone()));
        let refusing = self.refusing.lock().unwrap().clone();
        let answer = refusing.map_or_else(|| self.answer(call), Err).map(Replied::from);
        Box::pin(std::future::ready(answer))
    }
}

/// Tokens that say what they grant: `admin`, `create+list`, `admin:r1` (of that room only), `admin@ops` (by an identity).
#[derive(Debug)]
pub(crate) struct PlainTokens;

impl Verify for PlainTokens {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Grant, Refusal>> {
        Box::pin(std::future::ready(grant(token)))
    }
}

fn grant(token: &str) -> Result<Grant, Refusal> {
    let (rest, identity) = token.split_once('@').unwrap_or((token, ""));
    let (grants, room) = rest.split_once(':').map_or((rest, None), |(grants, room)| (grants, Some(room)));
    let mut grant = Grant {
        key: "k1".to_owned(),
        identity: Identity::from(identity),
        name: String::new(),
        metadata: String::new(),
        attributes: BTreeMap::new(),
        room: room.map(RoomId::from),
        room_join: false,
        room_create: false,
        room_list: false,
        permissions: v1::Permissions::default(),
        expires_at_ms: None,
    };
    for word in grants.split('+') {
        match word {
            "none" => {}
            "admin" => grant.permissions.room_admin = true,
            "create" => grant.room_create = true,
            "list" => grant.room_list = true,
            "away" => return Err(Code::AuthUnavailable.refuse().retry_after_ms(1_500)),
            _ => return Err(Code::Unauthenticated.refuse()),
        }
    }
    Ok(grant)
}

/// What was told of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Event>>>);

impl Seen {
    /// All of it, so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

/// The admin API over that fake, with at most 100 items on a page.
pub(crate) fn state(rooms: &Arc<FakeRooms>, seen: &Seen) -> AdminState {
    let seen = seen.clone();
    AdminState::new(AdminParts {
        rooms: rooms.clone(),
        verify: Arc::new(PlainTokens),
        observe: Arc::new(move |event| seen.0.lock().unwrap().push(event)),
        origin: Arc::new(|headers| match headers.get(http::header::ORIGIN) {
            Some(origin) if origin != ORIGIN => Err(Code::OriginRefused.refuse()),
            _ => Ok(()),
        }),
        trusted_proxies: Vec::new(),
        bounds: Arc::new(|| AdminBounds { limits: Limits::default(), page_max: 100 }),
        request_timeout: Duration::from_secs(10),
    })
}
