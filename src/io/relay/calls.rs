//! Calls of the admin API and their answers as routers say them to each other.

use super::words::{closed, refusal};
use crate::{
    protocol::{
        Refusal,
        relay::{self, admin_answer::Answer, admin_ask::Call},
    },
    router::{AdminCall, AdminReply},
};

/// As many bytes as a page of a list has at most: what is over it would be cut off anyway.
const LIST_BYTES_MAX: usize = 2 << 20;

/// A call as it is said.
pub(super) fn ask(by: String, call: AdminCall) -> relay::AdminAsk {
    let many = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    let call = match call {
        AdminCall::CreateRoom(request) => Call::CreateRoom(request),
        AdminCall::ListRooms { after, limit } => Call::ListRooms(relay::ListRooms { after, limit: many(limit) }),
        AdminCall::GetRoom(request) => Call::GetRoom(request),
        AdminCall::DeleteRoom(request) => Call::DeleteRoom(request),
        AdminCall::UpdateRoom(request) => Call::UpdateRoom(request),
        AdminCall::ListParticipants { room, after, limit } => {
            Call::ListParticipants(relay::ListParticipants { room, after, limit: many(limit) })
        }
        AdminCall::GetParticipant(request) => Call::GetParticipant(request),
        AdminCall::RemoveParticipant(request) => Call::RemoveParticipant(request),
        AdminCall::UpdateParticipant(request) => Call::UpdateParticipant(request),
        AdminCall::MuteTrack(request) => Call::MuteTrack(request),
        AdminCall::SendData(request) => Call::SendData(request),
        AdminCall::GetUser { identity, limit } => Call::GetUser(relay::GetUser { identity, limit: many(limit) }),
    };
    relay::AdminAsk { by, call: Some(call) }
}

/// The same as it was said.
pub(super) fn call(call: Call) -> AdminCall {
    match call {
        Call::CreateRoom(request) => AdminCall::CreateRoom(request),
        Call::ListRooms(relay::ListRooms { after, limit }) => AdminCall::ListRooms { after, limit: limit as usize },
        Call::GetRoom(request) => AdminCall::GetRoom(request),
        Call::DeleteRoom(request) => AdminCall::DeleteRoom(request),
        Call::UpdateRoom(request) => AdminCall::UpdateRoom(request),
        Call::ListParticipants(relay::ListParticipants { room, after, limit }) => {
            AdminCall::ListParticipants { room, after, limit: limit as usize }
        }
        Call::GetParticipant(request) => AdminCall::GetParticipant(request),
        Call::RemoveParticipant(request) => AdminCall::RemoveParticipant(request),
        Call::UpdateParticipant(request) => AdminCall::UpdateParticipant(request),
        Call::MuteTrack(request) => AdminCall::MuteTrack(request),
        Call::SendData(request) => AdminCall::SendData(request),
        Call::GetUser(relay::GetUser { identity, limit }) => AdminCall::GetUser { identity, limit: limit as usize },
    }
}

/// An answer as it is said.
pub(super) fn answer(reply: Result<AdminReply, Refusal>) -> relay::AdminAnswer {
    let answer = match reply {
        Ok(AdminReply::Room(room)) => Answer::Room(room),
        Ok(AdminReply::Rooms(mut rooms)) => {
            let all = rooms.len();
            rooms.truncate(fitting(&rooms));
            let more = rooms.len() < all;
            Answer::Rooms(relay::Rooms { rooms, more })
        }
        Ok(AdminReply::Participants(mut participants)) => {
            // a page ends there as well: nobody reads further
            participants.truncate(fitting(&participants));
            Answer::Participants(relay::Participants { participants })
        }
        Ok(AdminReply::Participant(participant)) => Answer::Participant(*participant),
        Ok(AdminReply::Track(track)) => Answer::Track(track),
        Ok(AdminReply::Sent { offset }) => Answer::Sent(relay::Sent { offset }),
        Ok(AdminReply::User(mut sessions)) => {
            let all = sessions.len();
            sessions.truncate(fitting(&sessions));
            let more = sessions.len() < all;
            Answer::User(relay::User { sessions, more })
        }
        Ok(AdminReply::Done) => Answer::Done(relay::Done {}),
        Err(refusal) => Answer::Refused(closed(&refusal)),
    };
    relay::AdminAnswer { answer: Some(answer) }
}

/// How many of them pass the bound, the one that passes it included.
fn fitting<M: prost::Message>(items: &[M]) -> usize {
    let mut bytes = 0;
    let passes = |item: &M| {
        bytes += item.encoded_len();
        bytes > LIST_BYTES_MAX
    };
    items.iter().position(passes).map_or(items.len(), |at| at + 1)
}

/// The same as it was said, and of a list whether others follow; none: it is no answer of this version.
pub(super) fn reply(answer: relay::AdminAnswer) -> Option<(Result<AdminReply, Refusal>, bool)> {
    Some(match answer.answer? {
        Answer::Room(room) => (Ok(AdminReply::Room(room)), false),
        Answer::Rooms(relay::Rooms { rooms, more }) => (Ok(AdminReply::Rooms(rooms)), more),
        Answer::Participants(relay::Participants { participants }) => {
            (Ok(AdminReply::Participants(participants)), false)
        }
        Answer::Participant(participant) => (Ok(AdminReply::Participant(Box::new(participant))), false),
        Answer::Track(track) => (Ok(AdminReply::Track(track)), false),
        Answer::Sent(relay::Sent { offset }) => (Ok(AdminReply::Sent { offset }), false),
        Answer::User(relay::User { sessions, more }) => (Ok(AdminReply::User(sessions)), more),
        Answer::Done(relay::Done {}) => (Ok(AdminReply::Done), false),
        Answer::Refused(refused) => (Err(refusal(refused)), false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Code, v1};

    #[test]
    fn every_call_and_every_answer_is_read_as_it_was_said() {
        let (room, identity) = ("r".to_owned(), "alice".to_owned());
        let named = |room: &str| room.to_owned();
        let calls = [
            AdminCall::CreateRoom(v1::CreateRoomRequest { name: named("r"), ..Default::default() }),
            AdminCall::ListRooms { after: named("q"), limit: 7 },
            AdminCall::GetRoom(v1::GetRoomRequest { room: named("r") }),
            AdminCall::DeleteRoom(v1::DeleteRoomRequest { room: named("r") }),
            AdminCall::UpdateRoom(v1::UpdateRoomRequest { room: named("r"), metadata: named("m") }),
            AdminCall::ListParticipants { room: named("r"), after: named("a"), limit: 8 },
            AdminCall::GetParticipant(v1::GetParticipantRequest { room: named("r"), identity: identity.clone() }),
            AdminCall::RemoveParticipant(v1::RemoveParticipantRequest { room: named("r"), identity }),
            AdminCall::UpdateParticipant(v1::UpdateParticipantRequest { room: named("r"), ..Default::default() }),
            AdminCall::MuteTrack(v1::MuteTrackRequest { room: named("r"), muted: true, ..Default::default() }),
            AdminCall::SendData(v1::SendDataRequest { room, topic: named("t"), ..Default::default() }),
            AdminCall::GetUser { identity: named("bob"), limit: 9 },
        ];
        for given in calls {
            let said = ask(named("ops"), given.clone());
            assert_eq!(said.by, "ops");
            assert_eq!(format!("{:?}", call(said.call.unwrap())), format!("{given:?}"));
        }
        let answers = [
            AdminReply::Room(v1::RoomInfo { name: named("r"), ..Default::default() }),
            AdminReply::Rooms(vec![v1::RoomInfo { name: named("r"), ..Default::default() }]),
            AdminReply::Participants(vec![v1::ParticipantInfo::default()]),
            AdminReply::Participant(Box::default()),
            AdminReply::Track(v1::Track { id: named("t"), ..Default::default() }),
            AdminReply::Sent { offset: Some(9) },
            AdminReply::Sent { offset: None },
            AdminReply::User(vec![v1::UserSession { room: named("r"), ..Default::default() }]),
            AdminReply::Done,
        ];
        for given in answers {
            assert_eq!(reply(answer(Ok(given.clone()))), Some((Ok(given), false)));
        }
        let (refused, _) = reply(answer(Err(Code::RoomNotFound.because("no room `r`")))).unwrap();
        assert_eq!(refused.unwrap_err().to_string(), Code::RoomNotFound.because("no room `r`").to_string());
        assert_eq!(reply(relay::AdminAnswer { answer: None }), None);
    }

    #[test]
    fn a_list_ends_with_the_room_that_makes_it_as_large_as_a_page() {
        let room = |name: &str| v1::RoomInfo {
            name: name.to_owned(),
            metadata: "x".repeat(LIST_BYTES_MAX / 2),
            ..Default::default()
        };
        let rooms = ["a", "b", "c", "d"].map(room).to_vec();
        let Some((Ok(AdminReply::Rooms(read)), more)) = reply(answer(Ok(AdminReply::Rooms(rooms)))) else {
            panic!("a list");
        };
        assert_eq!((read.len(), more), (2, true));
    }
}
