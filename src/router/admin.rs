//! The admin API's calls on this router's rooms.

use super::{AdminCall, AdminReply, Now, Output, Router, fan_out, update::merged};
use crate::{
    ids::{ParticipantId, RoomId},
    protocol::{Code, Refusal, v1},
    room::{Change, MuteBy, Room},
};

impl Router {
    pub(super) fn admin(
        &mut self,
        by: &str,
        call: AdminCall,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<AdminReply, Refusal> {
        match call {
            AdminCall::CreateRoom(request) => {
                let id = RoomId::from(request.name.as_str());
                if self.rooms.contains_key(&id) {
                    return Err(Code::AlreadyExists.because(format!("room `{id:.64}` exists already")));
                }
                self.create_room(&id, Some(&request), now, out)?;
                Ok(AdminReply::Room(self.room(id.as_str())?.info()))
            }
            AdminCall::ListRooms { after, limit } => Ok(AdminReply::Rooms(self.list_rooms(&after, limit))),
            AdminCall::GetRoom(request) => Ok(AdminReply::Room(self.room(&request.room)?.info())),
            AdminCall::DeleteRoom(request) => {
                let id = self.room(&request.room)?.id().clone();
                self.end_room(&id, Code::RoomDeleted, now, out);
                Ok(AdminReply::Done)
            }
            AdminCall::UpdateRoom(request) => {
                let room = self.room(&request.room)?;
                let mut pushes = Vec::new();
                room.set_metadata(request.metadata, now.at, &mut pushes);
                let info = room.info();
                fan_out(pushes, out);
                Ok(AdminReply::Room(info))
            }
            AdminCall::ListParticipants { room, after, limit } => {
                Ok(AdminReply::Participants(list_participants(self.room(&room)?, &after, limit)))
            }
            AdminCall::GetParticipant(request) => self.get_participant(&request.room, &request.identity),
            AdminCall::RemoveParticipant(request) => {
                let id = find(self.room(&request.room)?, &request.identity)?;
                let session = self.members.get(&id).cloned().ok_or_else(|| Code::ParticipantNotFound.refuse())?;
                self.close_session(&session, &Code::Removed.refuse(), now, out);
                Ok(AdminReply::Done)
            }
            AdminCall::UpdateParticipant(request) => self.update_participant(request, now, out),
            AdminCall::MuteTrack(request) => {
                let room = self.room(&request.room)?;
                let owner = room.by_identity(&request.identity);
                if !owner.is_some_and(|p| p.tracks.iter().any(|t| t.id == request.track)) {
                    return Err(Code::TrackNotFound.refuse());
                }
                let mut pushes = Vec::new();
                let (_, track) = room.mute(MuteBy::Admin(by), &request.track, request.muted, now.at, &mut pushes)?;
                fan_out(pushes, out);
                Ok(AdminReply::Track(track))
            }
            AdminCall::SendData(request) => self.send_data(request, now, out),
        }
    }

    fn room(&mut self, name: &str) -> Result<&mut Room, Refusal> {
        self.rooms.get_mut(name).ok_or_else(|| Code::RoomNotFound.because(format!("no room `{name:.64}`")))
    }

    fn list_rooms(&self, after: &str, limit: usize) -> Vec<v1::RoomInfo> {
        let mut names: Vec<&RoomId> = self.rooms.keys().filter(|id| id.as_str() > after).collect();
        if names.len() > limit {
            names.select_nth_unstable(limit);
            names.truncate(limit);
        }
        names.sort_unstable();
        names.into_iter().filter_map(|id| self.rooms.get(id)).map(Room::info).collect()
    }

    fn get_participant(&mut self, room: &str, identity: &str) -> Result<AdminReply, Refusal> {
        let room = self.room(room)?;
        let id = find(room, identity)?;
        let participant = room.participant(&id).ok_or_else(|| Code::ParticipantNotFound.refuse())?;
        Ok(AdminReply::Participant(Box::new(participant.to_info())))
    }

    fn update_participant(
        &mut self,
        request: v1::UpdateParticipantRequest,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<AdminReply, Refusal> {
        let limits = self.settings.limits;
        let room = self.room(&request.room)?;
        let id = find(room, &request.identity)?;
        let participant = room.participant(&id).ok_or_else(|| Code::ParticipantNotFound.refuse())?;
        let attributes = merged(participant, &request.attributes, &limits)?;
        let change =
            Change { name: request.name, metadata: request.metadata, attributes, permissions: request.permissions };
        let mut pushes = Vec::new();
        room.change(&id, change, now.at, &mut pushes);
        fan_out(pushes, out);
        self.get_participant(&request.room, &request.identity)
    }

    fn send_data(
        &mut self,
        request: v1::SendDataRequest,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<AdminReply, Refusal> {
        let room = self.room(&request.room)?;
        let v1::SendDataRequest { data, bytes, topic, to, .. } = request;
        let push = v1::DataPush { data, bytes, topic, ..v1::DataPush::default() };
        if to.is_empty() {
            let mut pushes = Vec::new();
            let offset = room.send(push, None, now.at, &mut pushes);
            fan_out(pushes, out);
            return Ok(AdminReply::Sent { offset: Some(offset.0) });
        }
        let targets = to.iter().map(|identity| find(room, identity)).collect::<Result<Vec<_>, Refusal>>()?;
        let after = room.tip();
        self.send_to(targets, &push, after, out)?;
        Ok(AdminReply::Sent { offset: None })
    }
}

fn find(room: &Room, identity: &str) -> Result<ParticipantId, Refusal> {
    let participant = room.by_identity(identity);
    participant
        .map(|p| p.id.clone())
        .ok_or_else(|| Code::ParticipantNotFound.because(format!("nobody in the room is `{identity:.64}`")))
}

fn list_participants(room: &Room, after: &str, limit: usize) -> Vec<v1::ParticipantInfo> {
    let mut page: Vec<_> = room.participants().iter().filter(|p| p.identity.as_str() > after).collect();
    page.sort_unstable_by(|a, b| a.identity.cmp(&b.identity));
    page.truncate(limit);
    page.into_iter().map(|p| p.to_info()).collect()
}
