//! Calls of the admin API. Who may call was decided before; here is what the calls do.

use std::{ops::Bound, time::Duration};

use super::{AdminCall, AdminReply, HallKey, Now, Router, halls::Plan};
use crate::{
    ids::{Identity, RoomId},
    protocol::{Code, Refusal, v1},
    room::{Change, Member, Message, Seat},
    session::Directed,
};

type Answer = Result<AdminReply, Refusal>;

impl Router {
    pub(super) fn admin(&mut self, by: String, call: AdminCall, now: Now) -> Answer {
        match call {
            AdminCall::CreateRoom(request) => self.create_room(request, now),
            AdminCall::ListRooms { after, limit } => Ok(self.list_rooms(&after, limit)),
            AdminCall::GetRoom(request) => {
                let hall = self.hall_named(&request.room)?;
                Ok(AdminReply::Room(self.halls[hall].info()))
            }
            AdminCall::DeleteRoom(request) => {
                let hall = self.hall_named(&request.room)?;
                self.end_room(hall, &Code::RoomDeleted.refuse(), now);
                Ok(AdminReply::Done)
            }
            AdminCall::UpdateRoom(request) => self.update_room(request, now),
            AdminCall::ListParticipants { room, after, limit } => self.list_participants(&room, &after, limit),
            AdminCall::GetParticipant(request) => {
                let (hall, seat) = self.participant_named(&request.room, &request.identity)?;
                self.participant_info(hall, seat)
            }
            AdminCall::RemoveParticipant(request) => {
                let (_, seat) = self.participant_named(&request.room, &request.identity)?;
                self.end_session(seat, Code::Removed, now);
                Ok(AdminReply::Done)
            }
            AdminCall::UpdateParticipant(request) => self.update_participant(request, now),
            AdminCall::MuteTrack(request) => self.mute_track(request, by, now),
            AdminCall::SendData(request) => self.send_data(request, now),
            AdminCall::GetUser { identity, limit } => Ok(self.sessions_of(&identity, limit)),
        }
    }

    fn create_room(&mut self, request: v1::CreateRoomRequest, now: Now) -> Answer {
        let limits = self.settings.limits;
        self.refuse_while_draining()?;
        if request.name.is_empty() {
            return Err(Code::BadRequest.because("`name` is missing"));
        }
        within("name", request.name.len(), ("room_name_bytes", limits.room_name_bytes))?;
        within("metadata", request.metadata.len(), ("metadata_bytes", limits.metadata_bytes))?;
        if request.participants_max == Some(0) {
            return Err(Code::BadRequest.because("`participants_max` is 0; allowed: 1 and more, or absent"));
        }
        if self.names.contains_key(request.name.as_str()) {
            return Err(Code::AlreadyExists.because(format!("the room `{}` exists", request.name)));
        }
        self.admits_room()?;
        let plan = Plan {
            metadata: request.metadata,
            participants_max: request.participants_max,
            empty_timeout: request.empty_timeout_seconds.map(|seconds| Duration::from_secs(seconds.into())),
        };
        let hall = self.found_room(RoomId::from(request.name), plan, now.unix_ms);
        self.settle(hall, now.at);
        Ok(AdminReply::Room(self.halls[hall].info()))
    }

    fn list_rooms(&self, after: &str, limit: usize) -> AdminReply {
        let page = self.names.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).take(limit);
        AdminReply::Rooms(page.map(|(_, hall)| self.halls[*hall].info()).collect())
    }

    fn sessions_of(&self, identity: &str, limit: usize) -> AdminReply {
        let sessions = self.names.iter().filter_map(|(name, hall)| {
            let room = &self.halls[*hall].room;
            let member = room.member(room.seat_of(identity)?)?;
            let participant = member.to_info().participant;
            Some(v1::UserSession { room: name.as_str().to_owned(), participant, router: String::new() })
        });
        AdminReply::User(sessions.take(limit).collect())
    }

    fn update_room(&mut self, request: v1::UpdateRoomRequest, now: Now) -> Answer {
        let hall = self.hall_named(&request.room)?;
        let limit = self.settings.limits.metadata_bytes;
        within("metadata", request.metadata.len(), ("metadata_bytes", limit))?;
        let (room, mut turn) = self.room_turn(hall, now.at);
        room.set_metadata(request.metadata, &mut turn);
        self.settle(hall, now.at);
        Ok(AdminReply::Room(self.halls[hall].info()))
    }

    fn list_participants(&self, room: &str, after: &str, limit: usize) -> Answer {
        let room = &self.halls[self.hall_named(room)?].room;
        let mut page: Vec<&Member> =
            room.members().iter().filter(|member| member.identity().as_str() > after).collect();
        page.sort_unstable_by_key(|member| member.identity());
        page.truncate(limit);
        Ok(AdminReply::Participants(page.into_iter().map(Member::to_info).collect()))
    }

    fn update_participant(&mut self, request: v1::UpdateParticipantRequest, now: Now) -> Answer {
        let (hall, seat) = self.participant_named(&request.room, &request.identity)?;
        let limits = self.settings.limits;
        within("name", request.name.as_ref().map_or(0, String::len), ("name_bytes", limits.name_bytes))?;
        within(
            "metadata",
            request.metadata.as_ref().map_or(0, String::len),
            ("metadata_bytes", limits.metadata_bytes),
        )?;
        let change = Change {
            name: request.name,
            metadata: request.metadata,
            attributes: request.attributes,
            permissions: request.permissions,
        };
        self.change_member((hall, seat), change, now.at)?;
        self.settle(hall, now.at);
        self.participant_info(hall, seat)
    }

    fn mute_track(&mut self, request: v1::MuteTrackRequest, by: String, now: Now) -> Answer {
        let hall = self.hall_named(&request.room)?;
        let mute = v1::Mute { track: request.track, muted: request.muted };
        let (room, mut turn) = self.room_turn(hall, now.at);
        let track = room.mute_as_admin(&request.identity, &mute, by, &mut turn)?;
        self.settle(hall, now.at);
        self.tell_mute(hall, &mute.track, now.at);
        Ok(AdminReply::Track(track))
    }

    fn send_data(&mut self, request: v1::SendDataRequest, now: Now) -> Answer {
        let v1::SendDataRequest { room, data, bytes, to, topic } = request;
        let hall = self.hall_named(&room)?;
        if data.is_some() == bytes.is_some() {
            return Err(Code::BadRequest.because("exactly one of `data` and `bytes` is needed"));
        }
        within("topic", topic.len(), ("topic_bytes", self.settings.limits.topic_bytes))?;
        within("to", to.len(), ("recipients", self.settings.limits.recipients))?;
        let message = Message { from: Identity::from(""), data, bytes, topic };
        if to.is_empty() {
            return Ok(AdminReply::Sent { offset: Some(self.say(hall, None, message, now).0) });
        }
        let targets = self.targets(hall, None, &to)?;
        self.direct(hall, &targets, Directed::Data(Box::new(message.into_push())))?;
        Ok(AdminReply::Sent { offset: None })
    }

    fn participant_info(&self, hall: HallKey, seat: Seat) -> Answer {
        let member = self.halls[hall].room.member(seat).ok_or_else(|| Code::ParticipantNotFound.refuse())?;
        Ok(AdminReply::Participant(Box::new(member.to_info())))
    }

    fn hall_named(&self, room: &str) -> Result<HallKey, Refusal> {
        let hall = self.names.get(room).copied();
        hall.ok_or_else(|| Code::RoomNotFound.because(format!("no room `{room:.128}`")))
    }

    fn participant_named(&self, room: &str, identity: &str) -> Result<(HallKey, Seat), Refusal> {
        let hall = self.hall_named(room)?;
        let seat = self.halls[hall].room.seat_of(identity);
        let missing = || Code::ParticipantNotFound.because(format!("no participant `{identity:.256}` in the room"));
        Ok((hall, seat.ok_or_else(missing)?))
    }
}

fn within(field: &str, is: usize, (name, limit): (&str, usize)) -> Result<(), Refusal> {
    if is <= limit {
        return Ok(());
    }
    Err(Code::LimitExceeded.because(format!("`{field}` has {is}; `limits.{name}` allows {limit}")))
}
