//! The calls themselves, one implementation a request message of the IDL: what must hold of it, what the router is
//! asked, and how its answer reads.
//!
//! Knows neither HTTP nor gRPC.

use serde::Serialize;

use super::{
    AdminBounds, AdminState, Replied,
    access::{authorise, name_of},
    operation::Operation,
    page::Page,
};
use crate::{
    auth::Grant,
    event::{Event, Outcome},
    protocol::{Code, Encoding, Limits, Refusal, v1, validate},
    router::{AdminCall, AdminReply},
};

/// A request of the admin API.
pub(super) trait Call: Send + Sized + 'static {
    /// Its row of the table.
    const OPERATION: Operation;
    /// What it is answered with.
    type Answer: Serialize + Send + 'static;

    /// The room that it is about.
    fn room(&self) -> Option<&str>;

    /// Checks it and says what is to be done.
    fn plan(self, rules: &Rules) -> Result<Plan<Self::Answer>, Refusal>;
}

/// Sessions of one user that are told.
const USER_SESSIONS_MAX: usize = 1_000;

/// What requests are checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    limits: Limits,
    page_max: usize,
    /// How the request came: `data` in JSON has been parsed already.
    encoding: Encoding,
}

/// What is to be asked of the router, and how its reply becomes the answer; `None`: not a reply to this call.
pub(super) struct Plan<A> {
    call: AdminCall,
    read: Box<dyn FnOnce(Replied) -> Option<A> + Send>,
}

impl<A> Plan<A> {
    fn new(call: AdminCall, read: impl FnOnce(AdminReply) -> Option<A> + Send + 'static) -> Self {
        Self::of_all(call, |replied| read(replied.reply))
    }

    /// Of a list that is gathered from several routers.
    fn of_all(call: AdminCall, read: impl FnOnce(Replied) -> Option<A> + Send + 'static) -> Self {
        Self { call, read: Box::new(read) }
    }
}

impl AdminState {
    /// Carries out a call of a caller that is known, and tells of it when it was to change something.
    pub(super) async fn carry_out<C: Call>(
        &self,
        grant: Grant,
        encoding: Encoding,
        call: C,
    ) -> Result<C::Answer, Refusal> {
        let state = self.clone();
        // a task of its own: a caller that hangs up must not keep a change from being logged
        let carried_out = tokio::spawn(async move {
            let room = call.room().map(ToOwned::to_owned);
            let answer = state.attempt(&grant, encoding, call).await;
            if C::OPERATION.changes() {
                let outcome = answer.as_ref().map_or_else(|refusal| Outcome::Refused(refusal.code), |_| Outcome::Ok);
                let call = C::OPERATION.name();
                (state.parts.observe)(Event::AdminCalled { call, key: grant.key, room, outcome });
            }
            answer
        });
        carried_out.await.unwrap_or_else(|_| Err(Code::Internal.refuse()))
    }

    async fn attempt<C: Call>(&self, grant: &Grant, encoding: Encoding, call: C) -> Result<C::Answer, Refusal> {
        authorise(grant, C::OPERATION, call.room())?;
        let AdminBounds { limits, page_max } = (self.parts.bounds)();
        let rules = Rules { limits, page_max, encoding };
        let plan = call.plan(&rules)?;
        let reply = self.parts.rooms.call(name_of(grant), plan.call).await?;
        (plan.read)(reply).ok_or_else(|| Code::Internal.refuse())
    }
}

impl Call for v1::CreateRoomRequest {
    const OPERATION: Operation = Operation::CreateRoom;
    type Answer = v1::RoomInfo;

    fn room(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::RoomInfo>, Refusal> {
        validate::room_name("name", &self.name, &rules.limits)?;
        validate::metadata("metadata", &self.metadata, &rules.limits)?;
        if self.participants_max == Some(0) {
            return Err(Code::BadRequest.because("participants_max: 0, at least 1; leave it out for the default"));
        }
        Ok(Plan::new(AdminCall::CreateRoom(self), room_info))
    }
}

impl Call for v1::ListRoomsRequest {
    const OPERATION: Operation = Operation::ListRooms;
    type Answer = v1::ListRoomsResponse;

    fn room(&self) -> Option<&str> {
        None
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::ListRoomsResponse>, Refusal> {
        let page = Page::read(self.page_size, &self.page_token, rules.page_max)?;
        let call = AdminCall::ListRooms { after: page.after.clone(), limit: page.limit() };
        Ok(Plan::of_all(call, move |Replied { reply, missing }| {
            let AdminReply::Rooms(rooms) = reply else { return None };
            let (rooms, next_page_token) = page.cut(rooms, |room| &room.name);
            Some(v1::ListRoomsResponse { rooms, next_page_token, missing_routers: missing })
        }))
    }
}

impl Call for v1::GetRoomRequest {
    const OPERATION: Operation = Operation::GetRoom;
    type Answer = v1::RoomInfo;

    fn room(&self) -> Option<&str> {
        Some(&self.room)
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::RoomInfo>, Refusal> {
        validate::room_name("room", &self.room, &rules.limits)?;
        Ok(Plan::new(AdminCall::GetRoom(self), room_info))
    }
}

impl Call for v1::DeleteRoomRequest {
    const OPERATION: Operation = Operation::DeleteRoom;
    type Answer = v1::DeleteRoomResponse;

    fn room(&self) -> Option<&str> {
        Some(&self.room)
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::DeleteRoomResponse>, Refusal> {
        validate::room_name("room", &self.room, &rules.limits)?;
        Ok(Plan::new(AdminCall::DeleteRoom(self), |reply| done(&reply, v1::DeleteRoomResponse {})))
    }
}

impl Call for v1::UpdateRoomRequest {
    const OPERATION: Operation = Operation::UpdateRoom;
    type Answer = v1::RoomInfo;

    fn room(&self) -> Option<&str> {
        Some(&self.room)
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::RoomInfo>, Refusal> {
        validate::room_name("room", &self.room, &rules.limits)?;
        validate::metadata("metadata", &self.metadata, &rules.limits)?;
        Ok(Plan::new(AdminCall::UpdateRoom(self), room_info))
    }
}

impl Call for v1::ListParticipantsRequest {
    const OPERATION: Operation = Operation::ListParticipants;
    type Answer = v1::ListParticipantsResponse;

    fn room(&self) -> Option<&str> {
        Some(&self.room)
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::ListParticipantsResponse>, Refusal> {
        validate::room_name("room", &self.room, &rules.limits)?;
        let page = Page::read(self.page_size, &self.page_token, rules.page_max)?;
        let (after, limit) = (page.after.clone(), page.limit());
        let call = AdminCall::ListParticipants { room: self.room, after, limit };
        Ok(Plan::new(call, move |reply| {
            let AdminReply::Participants(participants) = reply else { return None };
            let (participants, next_page_token) = page.cut(participants, identity_of);
            Some(v1::ListParticipantsResponse { participants, next_page_token })
        }))
    }
}

impl Call for v1::GetParticipantRequest {
    const OPERATION: Operation = Operation::GetParticipant;
    type Answer = v1::ParticipantInfo;

    fn room(&self) -> Option<&str> {
        Some(&self.room)
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::ParticipantInfo>, Refusal> {
        check_names(rules, &self.room, &self.identity)?;
        Ok(Plan::new(AdminCall::GetParticipant(self), participant_info))
    }
}

impl Call for v1::RemoveParticipantRequest {
    const OPERATION: Operation = Operation::RemoveParticipant;
    type Answer = v1::RemoveParticipantResponse;

    fn room(&self) -> Option<&str> {
        Some(&self.room)
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::RemoveParticipantResponse>, Refusal> {
        check_names(rules, &self.room, &self.identity)?;
        let call = AdminCall::RemoveParticipant(self);
        Ok(Plan::new(call, |reply| done(&reply, v1::RemoveParticipantResponse {})))
    }
}

impl Call for v1::UpdateParticipantRequest {
    const OPERATION: Operation = Operation::UpdateParticipant;
    type Answer = v1::ParticipantInfo;

    fn room(&self) -> Option<&str> {
        Some(&self.room)
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::ParticipantInfo>, Refusal> {
        check_names(rules, &self.room, &self.identity)?;
        let Self { name, metadata, attributes, permissions, .. } = &self;
        if name.is_none() && metadata.is_none() && attributes.is_empty() && permissions.is_none() {
            let why = "all of name, metadata, attributes, permissions are missing; set one";
            return Err(Code::BadRequest.because(why));
        }
        validate::label("name", name.as_deref().unwrap_or_default(), &rules.limits)?;
        validate::metadata("metadata", metadata.as_deref().unwrap_or_default(), &rules.limits)?;
        validate::attributes("attributes", attributes, &rules.limits)?;
        check_sources(permissions.as_ref())?;
        Ok(Plan::new(AdminCall::UpdateParticipant(self), participant_info))
    }
}

impl Call for v1::MuteTrackRequest {
    const OPERATION: Operation = Operation::MuteTrack;
    type Answer = v1::Track;

    fn room(&self) -> Option<&str> {
        Some(&self.room)
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::Track>, Refusal> {
        check_names(rules, &self.room, &self.identity)?;
        validate::name("track", &self.track, &rules.limits)?;
        Ok(Plan::new(AdminCall::MuteTrack(self), |reply| match reply {
            AdminReply::Track(track) => Some(track),
            _ => None,
        }))
    }
}

impl Call for v1::SendDataRequest {
    const OPERATION: Operation = Operation::SendData;
    type Answer = v1::SendDataResponse;

    fn room(&self) -> Option<&str> {
        Some(&self.room)
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::SendDataResponse>, Refusal> {
        validate::room_name("room", &self.room, &rules.limits)?;
        validate::recipients("to", &self.to, &rules.limits)?;
        validate::topic("topic", &self.topic, &rules.limits)?;
        validate::payload("send", rules.encoding, (self.data.as_deref(), self.bytes.as_deref()), &rules.limits)?;
        Ok(Plan::new(AdminCall::SendData(self), |reply| match reply {
            AdminReply::Sent { offset } => Some(v1::SendDataResponse { offset }),
            _ => None,
        }))
    }
}

impl Call for v1::GetUserRequest {
    const OPERATION: Operation = Operation::GetUser;
    type Answer = v1::UserInfo;

    fn room(&self) -> Option<&str> {
        None
    }

    fn plan(self, rules: &Rules) -> Result<Plan<v1::UserInfo>, Refusal> {
        validate::name("identity", &self.identity, &rules.limits)?;
        let Self { identity } = self;
        let call = AdminCall::GetUser { identity: identity.clone(), limit: USER_SESSIONS_MAX };
        Ok(Plan::of_all(call, move |Replied { reply, missing }| match reply {
            AdminReply::User(sessions) => Some(v1::UserInfo { identity, sessions, missing_routers: missing }),
            _ => None,
        }))
    }
}

fn check_names(rules: &Rules, room: &str, identity: &str) -> Result<(), Refusal> {
    validate::room_name("room", room, &rules.limits)?;
    validate::name("identity", identity, &rules.limits)
}

fn check_sources(permissions: Option<&v1::Permissions>) -> Result<(), Refusal> {
    let sources = permissions.map(|permissions| permissions.can_publish_sources.as_slice()).unwrap_or_default();
    let known = |source: &i32| matches!(v1::TrackSource::try_from(*source), Ok(s) if s != v1::TrackSource::Unspecified);
    match sources.iter().find(|source| !known(source)) {
        Some(source) => {
            let why = format!("permissions.can_publish_sources: {source} is not a source of this version");
            Err(Code::BadRequest.because(why))
        }
        None => Ok(()),
    }
}

fn room_info(reply: AdminReply) -> Option<v1::RoomInfo> {
    match reply {
        AdminReply::Room(info) => Some(info),
        _ => None,
    }
}

fn participant_info(reply: AdminReply) -> Option<v1::ParticipantInfo> {
    match reply {
        AdminReply::Participant(info) => Some(*info),
        _ => None,
    }
}

fn identity_of(info: &v1::ParticipantInfo) -> &str {
    info.participant.as_ref().map_or("", |participant| &participant.identity)
}

fn done<A>(reply: &AdminReply, answer: A) -> Option<A> {
    (*reply == AdminReply::Done).then_some(answer)
}
