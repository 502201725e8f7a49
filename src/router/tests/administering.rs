//! The admin API's calls.

use super::*;

fn create(name: &str) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest { name: name.to_owned(), ..v1::CreateRoomRequest::default() }
}

fn named(room: &str, identity: &str) -> v1::GetParticipantRequest {
    v1::GetParticipantRequest { room: room.to_owned(), identity: identity.to_owned() }
}

#[test]
fn a_room_is_made_once_with_its_own_limits() {
    let mut world = World::new();
    let request = v1::CreateRoomRequest {
        metadata: "m".to_owned(),
        participants_max: Some(1),
        empty_timeout_seconds: Some(5),
        ..create("r")
    };
    let Ok(AdminReply::Room(info)) = world.admin(AdminCall::CreateRoom(request.clone())) else { panic!() };
    assert_eq!((info.participants_max, info.empty_timeout_seconds, info.metadata.as_str()), (1, 5, "m"));
    assert_eq!(info.created_at_ms, EPOCH_MS);
    assert_eq!(world.admin(AdminCall::CreateRoom(request)).unwrap_err().code, Code::AlreadyExists);
    world.join(1, "ann");
    assert_eq!(world.refused_join(2, grant("bob"), join_room("r")), Code::RoomFull);
    world.done(1, Op::Leave(v1::Leave {}));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.router.rooms(), 0);
}

#[test]
fn a_room_has_the_variant_of_the_member_who_came_first_as_long_as_it_lives() {
    let mut world = World::new();
    let variant = |world: &mut World, room: &str| {
        let call = AdminCall::GetRoom(v1::GetRoomRequest { room: room.to_owned() });
        let Ok(AdminReply::Room(info)) = world.admin(call) else { panic!("no room {room}") };
        info.variant
    };
    world.admin(AdminCall::CreateRoom(create("r"))).unwrap();
    assert_eq!(variant(&mut world, "r"), "default", "nobody has come");
    world.variant = "canary".into();
    world.join(1, "ann");
    world.variant = Variant::default();
    world.join(2, "bob");
    assert_eq!(variant(&mut world, "r"), "canary");
    world.done(1, Op::Leave(v1::Leave {}));
    assert_eq!(variant(&mut world, "r"), "canary", "also when they have left");
    world.refused_join(3, Grant { room_join: false, ..grant("eve") }, join_room("s"));
    world.open(4, grant("eve"), Opening::Join(Box::new(join_room("s"))));
    assert_eq!(variant(&mut world, "s"), "default");
}

#[test]
fn a_room_that_nobody_enters_ends() {
    let mut world = World::new();
    world.admin(AdminCall::CreateRoom(create("r"))).unwrap();
    world.pass(Duration::from_secs(30));
    assert_eq!(world.router.rooms(), 0);
}

#[test]
fn a_room_that_cannot_be_made_says_why() {
    let mut world = World::with(Settings { rooms_max: 1, ..settings() });
    let long = create(&"x".repeat(1000));
    assert_eq!(world.admin(AdminCall::CreateRoom(long)).unwrap_err().code, Code::LimitExceeded);
    assert_eq!(world.admin(AdminCall::CreateRoom(create(""))).unwrap_err().code, Code::BadRequest);
    let none = v1::CreateRoomRequest { participants_max: Some(0), ..create("r") };
    assert_eq!(world.admin(AdminCall::CreateRoom(none)).unwrap_err().code, Code::BadRequest);
    world.admin(AdminCall::CreateRoom(create("r"))).unwrap();
    assert_eq!(world.admin(AdminCall::CreateRoom(create("s"))).unwrap_err().code, Code::RouterFull);
}

#[test]
fn rooms_are_listed_by_name_a_page_at_a_time() {
    let mut world = World::new();
    for name in ["c", "a", "d", "b"] {
        world.admin(AdminCall::CreateRoom(create(name))).unwrap();
    }
    let mut page = |after: &str, limit| {
        let call = AdminCall::ListRooms { after: after.to_owned(), limit };
        let Ok(AdminReply::Rooms(rooms)) = world.admin(call) else { panic!() };
        rooms.into_iter().map(|room| room.name).collect::<Vec<_>>()
    };
    assert_eq!(page("", 3), ["a", "b", "c"]);
    assert_eq!(page("c", 3), ["d"]);
    assert!(page("d", 3).is_empty());
}

#[test]
fn participants_are_listed_by_identity_hidden_ones_included() {
    let mut world = World::new();
    world.join(1, "cat");
    world.join_as(2, "ann", hidden());
    world.join(3, "bob");
    let mut page = |after: &str, limit| {
        let call = AdminCall::ListParticipants { room: "r".to_owned(), after: after.to_owned(), limit };
        let Ok(AdminReply::Participants(page)) = world.admin(call) else { panic!() };
        page.into_iter().map(|info| info.participant.unwrap().identity).collect::<Vec<_>>()
    };
    assert_eq!(page("", 2), ["ann", "bob"]);
    assert_eq!(page("bob", 2), ["cat"]);
}

#[test]
fn a_user_is_found_in_all_rooms_away_ones_included() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    world.admin(AdminCall::CreateRoom(create("a"))).unwrap();
    world.lose(1);
    let mut of = |identity: &str, limit| {
        let call = AdminCall::GetUser { identity: identity.to_owned(), limit };
        let Ok(AdminReply::User(sessions)) = world.admin(call) else { panic!() };
        let told = |session: v1::UserSession| (session.room, session.participant.unwrap().state());
        sessions.into_iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(of("ann", 9), [("r".to_owned(), v1::ParticipantState::Reconnecting)]);
    assert_eq!(of("bob", 9), [("r".to_owned(), v1::ParticipantState::Connected)]);
    assert_eq!(of("bob", 0), []);
    assert_eq!(of("cat", 9), []);
}

#[test]
fn what_is_not_there_is_named() {
    let mut world = World::new();
    world.join(1, "ann");
    let code = |reply: Result<AdminReply, Refusal>| reply.unwrap_err().code;
    let room = "none".to_owned();
    assert_eq!(code(world.admin(AdminCall::GetRoom(v1::GetRoomRequest { room: room.clone() }))), Code::RoomNotFound);
    assert_eq!(code(world.admin(AdminCall::DeleteRoom(v1::DeleteRoomRequest { room }))), Code::RoomNotFound);
    assert_eq!(code(world.admin(AdminCall::GetParticipant(named("r", "bob")))), Code::ParticipantNotFound);
    let mute = v1::MuteTrackRequest {
        room: "r".to_owned(),
        identity: "ann".to_owned(),
        track: "TR_none".to_owned(),
        muted: true,
    };
    assert_eq!(code(world.admin(AdminCall::MuteTrack(mute))), Code::TrackNotFound);
}

#[test]
fn deleting_a_room_ends_everybodys_session() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.lose(1);
    world.pushes(2);
    let request = v1::DeleteRoomRequest { room: "r".to_owned() };
    assert_eq!(world.admin(AdminCall::DeleteRoom(request)), Ok(AdminReply::Done));
    assert_eq!(words(&world.kinds(2)), ["closed room_deleted"]);
    assert_eq!(world.closed[&2], Code::RoomDeleted);
    assert_eq!((world.router.rooms(), world.router.sessions(), world.router.timers.len()), (0, 0, 0));
    let frames = world.resume(3, grant("ann"), resume_of(&joined));
    assert_eq!(code_of(frames[0].body.as_ref().unwrap()), Code::SessionGone);
    assert!(world.events.contains(&Event::RoomClosed { room: "r".into(), reason: Code::RoomDeleted }));
}

#[test]
fn a_removed_participant_is_closed_and_seen_to_leave() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    let request = v1::RemoveParticipantRequest { room: "r".to_owned(), identity: "bob".to_owned() };
    world.admin(AdminCall::RemoveParticipant(request)).unwrap();
    assert_eq!(world.closed[&2], Code::Removed);
    assert_eq!(words(&world.kinds(1)), ["joined bob", "left bob removed"]);
}

#[test]
fn a_rooms_metadata_is_changed_for_all_to_see() {
    let mut world = World::new();
    world.join(1, "ann");
    let request = v1::UpdateRoomRequest { room: "r".to_owned(), metadata: "new".to_owned() };
    let Ok(AdminReply::Room(info)) = world.admin(AdminCall::UpdateRoom(request)) else { panic!() };
    assert_eq!(info.metadata, "new");
    assert_eq!(words(&world.kinds(1)), ["room new"]);
    let long = v1::UpdateRoomRequest { room: "r".to_owned(), metadata: "x".repeat(20_000) };
    assert_eq!(world.admin(AdminCall::UpdateRoom(long)).unwrap_err().code, Code::LimitExceeded);
}

#[test]
fn a_participant_is_changed_from_outside() {
    let mut world = World::new();
    world.join(1, "ann");
    let request = v1::UpdateParticipantRequest {
        room: "r".to_owned(),
        identity: "ann".to_owned(),
        name: Some("Ann".to_owned()),
        permissions: Some(Permissions::default()),
        ..v1::UpdateParticipantRequest::default()
    };
    let Ok(AdminReply::Participant(info)) = world.admin(AdminCall::UpdateParticipant(request)) else { panic!() };
    let ann = info.participant.unwrap();
    assert_eq!((ann.name.as_str(), ann.permissions), ("Ann", Some(Permissions::default())));
    assert_eq!(words(&world.kinds(1)), ["updated ann"], "one event for all of it");
}

#[test]
fn a_mute_from_outside_names_the_caller() {
    let mut world = World::new();
    world.join(1, "ann");
    let track = world.done(1, camera("c")).track.unwrap().id;
    let request =
        |muted| v1::MuteTrackRequest { room: "r".to_owned(), identity: "ann".to_owned(), track: track.clone(), muted };
    let Ok(AdminReply::Track(muted)) = world.admin(AdminCall::MuteTrack(request(true))) else { panic!() };
    assert!(muted.muted_by_admin);
    assert_eq!(world.refused(1, set_mute(&track, false)), Code::MutedByAdmin);
    world.admin(AdminCall::MuteTrack(request(false))).unwrap();
    world.done(1, set_mute(&track, true));
    assert_eq!(world.admin(AdminCall::MuteTrack(request(false))).unwrap_err().code, Code::MutedByOwner);
    assert!(words(&world.kinds(1)).contains(&"muted ann true by ops".to_owned()));
}

#[test]
fn data_from_outside_goes_to_all_or_to_some() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join_as(2, "ghost", hidden());
    world.pushes(1);
    let request =
        v1::SendDataRequest { room: "r".to_owned(), data: Some("1".to_owned()), ..v1::SendDataRequest::default() };
    assert_eq!(world.admin(AdminCall::SendData(request.clone())), Ok(AdminReply::Sent { offset: Some(3) }));
    let directed = v1::SendDataRequest { to: vec!["ghost".to_owned()], ..request.clone() };
    assert_eq!(world.admin(AdminCall::SendData(directed)), Ok(AdminReply::Sent { offset: None }));
    let pushes = world.pushes(1);
    let [Body::Data(push)] = &pushes[..] else { panic!("{pushes:?}") };
    assert_eq!((push.from.as_str(), push.offset), ("", Some(3)));
    assert_eq!(world.pushes(2).len(), 2);
    let neither = v1::SendDataRequest { data: None, ..request.clone() };
    assert_eq!(world.admin(AdminCall::SendData(neither)).unwrap_err().code, Code::BadRequest);
    let nobody = v1::SendDataRequest { to: vec!["nobody".to_owned()], ..request };
    assert_eq!(world.admin(AdminCall::SendData(nobody)).unwrap_err().code, Code::ParticipantNotFound);
}
