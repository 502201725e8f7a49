use std::net::SocketAddr;

use tokio::net::TcpListener;
use tonic::{Code as Grpc, Request, Status, transport::Channel};

use super::Served;
use crate::{
    event::{Event, Outcome},
    protocol::{
        Code,
        v1::{self, rooms_client::RoomsClient},
    },
};

async fn client(served: &Served) -> RoomsClient<Channel> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = served.routes.clone();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    RoomsClient::new(Channel::from_shared(url).unwrap().connect().await.unwrap())
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[track_caller]
fn refused(status: &Status, code: Code, words: &str) {
    assert_eq!(status.code(), code.grpc(), "{status}");
    assert!(status.message().starts_with(code.name()) && status.message().contains(words), "{words}: {status}");
}

fn room() -> String {
    "r1".to_owned()
}

fn alice() -> String {
    "alice".to_owned()
}

#[tokio::test]
async fn every_call_does_its_work() {
    let served = Served::new();
    let mut client = client(&served).await;
    let create = v1::CreateRoomRequest { name: "r2".to_owned(), metadata: "m".to_owned(), ..Default::default() };
    assert_eq!(client.create_room(with("create", create)).await.unwrap().into_inner().metadata, "m");
    let list = client.list_rooms(with("list", v1::ListRoomsRequest::default())).await.unwrap().into_inner();
    assert_eq!((list.rooms.len(), list.next_page_token.as_str()), (2, ""));
    let update = v1::UpdateRoomRequest { room: "r2".to_owned(), metadata: "n".to_owned() };
    assert_eq!(client.update_room(with("admin", update)).await.unwrap().into_inner().metadata, "n");
    client.delete_room(with("admin", v1::DeleteRoomRequest { room: "r2".to_owned() })).await.unwrap();
    let info = client.get_room(with("admin", v1::GetRoomRequest { room: room() })).await.unwrap().into_inner();
    assert_eq!(info.name, "r1");

    let people = v1::ListParticipantsRequest { room: room(), page_size: 1, ..Default::default() };
    let people = client.list_participants(with("admin", people)).await.unwrap().into_inner();
    assert_eq!(people.participants.len(), 1);
    let next = v1::ListParticipantsRequest { room: room(), page_size: 1, page_token: people.next_page_token };
    let next = client.list_participants(with("admin", next)).await.unwrap().into_inner();
    assert_eq!(next.participants[0].participant.as_ref().unwrap().identity, "bob");
    let get = v1::GetParticipantRequest { room: room(), identity: alice() };
    assert_eq!(client.get_participant(with("admin", get)).await.unwrap().into_inner().tracks[0].id, "t1");
    let update = v1::UpdateParticipantRequest {
        room: room(),
        identity: alice(),
        name: Some("A".to_owned()),
        ..Default::default()
    };
    let updated = client.update_participant(with("admin", update)).await.unwrap().into_inner();
    assert_eq!(updated.participant.unwrap().name, "A");
    let mute = v1::MuteTrackRequest { room: room(), identity: alice(), track: "t1".to_owned(), muted: true };
    assert!(client.mute_track(with("admin", mute)).await.unwrap().into_inner().muted);
    let send = v1::SendDataRequest { room: room(), data: Some("[1]".to_owned()), ..Default::default() };
    assert_eq!(client.send_data(with("admin", send)).await.unwrap().into_inner().offset, Some(7));
    let remove = v1::RemoveParticipantRequest { room: room(), identity: alice() };
    client.remove_participant(with("admin", remove)).await.unwrap();
}

#[tokio::test]
async fn tokens_and_grants_are_asked_for_as_over_http() {
    let served = Served::new();
    let mut client = client(&served).await;
    let get = v1::GetRoomRequest { room: room() };
    refused(&client.get_room(get.clone()).await.unwrap_err(), Code::Unauthenticated, "Authorization");
    refused(&client.get_room(with("forged", get.clone())).await.unwrap_err(), Code::Unauthenticated, "");
    refused(&client.get_room(with("create+list", get.clone())).await.unwrap_err(), Code::PermissionDenied, "roomAdmin");
    refused(&client.get_room(with("admin:r2", get.clone())).await.unwrap_err(), Code::WrongRoom, "r2");
    let delete = v1::DeleteRoomRequest { room: room() };
    refused(&client.delete_room(with("list", delete.clone())).await.unwrap_err(), Code::PermissionDenied, "roomCreate");
    let mut from_a_page = with("admin", delete);
    from_a_page.metadata_mut().insert("origin", "https://evil.example".parse().unwrap());
    refused(&client.delete_room(from_a_page).await.unwrap_err(), Code::OriginRefused, "");
    assert!(served.rooms.asked().is_empty());
    let (call, key, room) = ("delete_room", "k1".to_owned(), Some(room()));
    let outcome = Outcome::Refused(Code::PermissionDenied);
    assert!(served.seen.events().contains(&Event::AdminCalled { call, key, room, outcome }));
}

#[tokio::test]
async fn bad_input_is_refused_by_its_field_or_limit() {
    let served = Served::new();
    let mut client = client(&served).await;
    let empty = client.get_room(with("admin", v1::GetRoomRequest::default())).await.unwrap_err();
    refused(&empty, Code::BadRequest, "room is missing");
    let send = |data: &str| v1::SendDataRequest { room: room(), data: Some(data.to_owned()), ..Default::default() };
    refused(&client.send_data(with("admin", send("{"))).await.unwrap_err(), Code::BadRequest, "not one JSON value");
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    refused(&client.send_data(with("admin", send(&deep))).await.unwrap_err(), Code::LimitExceeded, "limits.json_depth");
    let permissions = v1::Permissions { can_publish_sources: vec![99], ..Default::default() };
    let update = v1::UpdateParticipantRequest {
        room: room(),
        identity: alice(),
        permissions: Some(permissions),
        ..Default::default()
    };
    refused(&client.update_participant(with("admin", update)).await.unwrap_err(), Code::BadRequest, "99");
    let list = v1::ListRoomsRequest { page_size: 101, ..Default::default() };
    refused(&client.list_rooms(with("list", list)).await.unwrap_err(), Code::BadRequest, "page_size");
    let large = v1::UpdateRoomRequest { room: room(), metadata: "m".repeat(65_536) };
    assert_eq!(client.update_room(with("admin", large)).await.unwrap_err().code(), Grpc::OutOfRange);
    assert!(served.rooms.asked().is_empty());
}

#[tokio::test]
async fn what_the_service_does_not_have_is_unimplemented() {
    let served = Served::new();
    let answer = super::ask(&served.routes, "admin", "POST /signalbox.v1.Rooms/Nothing", None).await;
    assert_eq!(answer.headers["grpc-status"], "12");
}
