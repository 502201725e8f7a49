//! Commands as calls of the admin API.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use super::{
    Access, Command, Create, Edit, Mute, Payload, Permit, Powers, SOURCES, Send, Traits, Whom, advise::advised, channel,
};
use crate::{
    cli::complain,
    load::client::grpc_url,
    protocol::{
        ELSEWHERE,
        v1::{self, rooms_client::RoomsClient},
    },
};

/// What a command is answered with.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// All pages.
    Rooms(Vec<v1::RoomInfo>),
    Room(v1::RoomInfo),
    /// All pages.
    Participants(Vec<v1::ParticipantInfo>),
    Participant(Box<v1::ParticipantInfo>),
    Track(v1::Track),
    Sent(v1::SendDataResponse),
    User(v1::UserInfo),
    /// A sentence for people.
    Done(String),
}

type Rooms = RoomsClient<InterceptedService<Channel, Bearer>>;

/// Puts the token into each call.
#[derive(Clone, Debug)]
pub(super) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// How often a command is sent on to the router that has its room.
const SENT_ON_MAX: usize = 3;

/// Carries out a command, at the router of the fleet that has its room. Errors say what to do next.
pub(super) async fn carry_out(access: &Access, token: MetadataValue<Ascii>, command: Command) -> Result<Answer> {
    let room = room_of(&command).map(ToOwned::to_owned);
    let (mut url, mut sent_on) = (access.url.clone(), 0);
    loop {
        let mut rooms = RoomsClient::with_interceptor(channel::open(&url, &access.ca).await?, Bearer(token.clone()));
        let refused = match attempt(&mut rooms, command.clone()).await? {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        match refused.metadata().get(ELSEWHERE).and_then(|url| url.to_str().ok()) {
            Some(elsewhere) if sent_on < SENT_ON_MAX => (url, sent_on) = (grpc_url(elsewhere), sent_on + 1),
            _ => return Err(advised(&refused, room.as_deref())),
        }
    }
}

async fn attempt(rooms: &mut Rooms, command: Command) -> Result<Result<Answer, Status>> {
    Ok(match command {
        Command::Send(send) => rooms.send_data(message(send)?).await.map(|sent| Answer::Sent(sent.into_inner())),
        command => call(rooms, command).await,
    })
}

fn room_of(command: &Command) -> Option<&str> {
    match command {
        Command::List | Command::User { .. } => None,
        Command::Create(Create { name: room, .. })
        | Command::Get { room }
        | Command::Delete { room }
        | Command::Update { room, .. }
        | Command::Participants { room }
        | Command::Participant(Whom { room, .. })
        | Command::Remove(Whom { room, .. })
        | Command::Mute(Mute { whom: Whom { room, .. }, .. })
        | Command::Permit(Permit { whom: Whom { room, .. }, .. })
        | Command::Edit(Edit { whom: Whom { room, .. }, .. })
        | Command::Send(Send { room, .. }) => Some(room),
    }
}

async fn call(rooms: &mut Rooms, command: Command) -> Result<Answer, Status> {
    Ok(match command {
        Command::List => Answer::Rooms(list_rooms(rooms).await?),
        Command::Get { room } => Answer::Room(rooms.get_room(v1::GetRoomRequest { room }).await?.into_inner()),
        Command::Create(Create { name, metadata, participants_max, empty_timeout: empty_timeout_seconds }) => {
            let request = v1::CreateRoomRequest { name, metadata, participants_max, empty_timeout_seconds };
            Answer::Room(rooms.create_room(request).await?.into_inner())
        }
        Command::Delete { room } => {
            let done = format!("room {room} is deleted");
            rooms.delete_room(v1::DeleteRoomRequest { room }).await?;
            Answer::Done(done)
        }
        Command::Update { room, metadata } => {
            Answer::Room(rooms.update_room(v1::UpdateRoomRequest { room, metadata }).await?.into_inner())
        }
        Command::Participants { room } => Answer::Participants(list_participants(rooms, room).await?),
        Command::Participant(whom) => Answer::Participant(Box::new(participant(rooms, whom).await?)),
        Command::Remove(Whom { room, identity }) => {
            let done = format!("{identity} is removed from room {room}");
            rooms.remove_participant(v1::RemoveParticipantRequest { room, identity }).await?;
            Answer::Done(done)
        }
        Command::Mute(Mute { whom: Whom { room, identity }, track, off }) => {
            let request = v1::MuteTrackRequest { room, identity, track, muted: !off };
            Answer::Track(rooms.mute_track(request).await?.into_inner())
        }
        Command::Permit(permit) => {
            // permissions are replaced as a whole: what is not named is taken from the present ones
            let present = participant(rooms, permit.whom.clone()).await?.participant.unwrap_or_default();
            let permissions = Some(permit.what.over(present.permissions.unwrap_or_default()));
            let Whom { room, identity } = permit.whom;
            let request = v1::UpdateParticipantRequest { room, identity, permissions, ..Default::default() };
            Answer::Participant(Box::new(rooms.update_participant(request).await?.into_inner()))
        }
        Command::Edit(Edit { whom: Whom { room, identity }, what: Traits { name, metadata, attributes } }) => {
            let attributes = attributes.into_iter().collect();
            let request =
                v1::UpdateParticipantRequest { room, identity, name, metadata, attributes, permissions: None };
            Answer::Participant(Box::new(rooms.update_participant(request).await?.into_inner()))
        }
        Command::User { identity } => {
            let user = rooms.get_user(v1::GetUserRequest { identity }).await?.into_inner();
            tell_missing(&user.missing_routers);
            Answer::User(user)
        }
        Command::Send(_) => unreachable!("its file is read before a call is made of it"),
    })
}

async fn list_rooms(rooms: &mut Rooms) -> Result<Vec<v1::RoomInfo>, Status> {
    let (mut all, mut page_token, mut missing) = (Vec::new(), String::new(), BTreeSet::new());
    loop {
        let request = v1::ListRoomsRequest { page_size: 0, page_token: page_token.clone() };
        let page = rooms.list_rooms(request).await?.into_inner();
        all.extend(page.rooms);
        missing.extend(page.missing_routers);
        page_token = next(&page_token, page.next_page_token)?;
        if page_token.is_empty() {
            break;
        }
    }
    tell_missing(&missing);
    Ok(all)
}

fn tell_missing<'a>(routers: impl IntoIterator<Item = &'a String>) {
    for router in routers {
        complain(&format!("router {router} of the fleet did not answer: its rooms are not in the list"));
    }
}

async fn list_participants(rooms: &mut Rooms, room: String) -> Result<Vec<v1::ParticipantInfo>, Status> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListParticipantsRequest { room: room.clone(), page_size: 0, page_token: page_token.clone() };
        let page = rooms.list_participants(request).await?.into_inner();
        all.extend(page.participants);
        page_token = next(&page_token, page.next_page_token)?;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// The token of the next page; the one we just used would lead in a circle.
fn next(used: &str, next: String) -> Result<String, Status> {
    if !next.is_empty() && next == used {
        return Err(Status::internal("the router gave the same page twice"));
    }
    Ok(next)
}

async fn participant(rooms: &mut Rooms, whom: Whom) -> Result<v1::ParticipantInfo, Status> {
    let Whom { room, identity } = whom;
    Ok(rooms.get_participant(v1::GetParticipantRequest { room, identity }).await?.into_inner())
}

impl Powers {
    /// What it asks for, over the present permissions.
    fn over(&self, present: v1::Permissions) -> v1::Permissions {
        let sources = match (self.every_source, self.sources.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => present.can_publish_sources,
            (false, false) => self.sources.iter().filter_map(|name| source(name)).collect(),
        };
        v1::Permissions {
            can_publish: self.publish.unwrap_or(present.can_publish),
            can_subscribe: self.subscribe.unwrap_or(present.can_subscribe),
            can_publish_data: self.data.unwrap_or(present.can_publish_data),
            can_update_own_metadata: self.own_metadata.unwrap_or(present.can_update_own_metadata),
            hidden: self.hidden.unwrap_or(present.hidden),
            room_admin: self.admin.unwrap_or(present.room_admin),
            can_publish_sources: sources,
        }
    }
}

/// The IDL's number of a source.
pub(super) fn source(name: &str) -> Option<i32> {
    let name = SOURCES.iter().find(|known| **known == name)?;
    v1::TrackSource::from_str_name(&format!("TRACK_SOURCE_{}", name.to_uppercase())).map(|source| source as i32)
}

fn message(send: Send) -> Result<v1::SendDataRequest> {
    let Send { room, what: Payload { data, text, bytes }, to, topic } = send;
    let data = match text {
        Some(text) => Some(serde_json::to_string(&text)?),
        None => data,
    };
    let read = |path: std::path::PathBuf| std::fs::read(&path).with_context(|| format!("--bytes {}", path.display()));
    let bytes = bytes.map(read).transpose()?.map(Into::into);
    Ok(v1::SendDataRequest { room, data, bytes, to, topic })
}
