//! Who may enter, and what it is told.

use super::*;

#[test]
fn a_join_makes_the_room_and_tells_all_that_is_needed_to_draw_it() {
    let mut world = World::new();
    world.join(1, "ann");
    let track = world.done(1, camera("c")).track.unwrap();
    let grant = Grant { name: "Bob".to_owned(), metadata: "m".to_owned(), ..grant("bob") };
    let mut parts = world.enter(2, grant, v1::Join { region: "sh".to_owned(), ..join_room("r") }).unwrap();
    assert_eq!(parts.len(), 1);
    let joined = parts.remove(0);
    assert!(joined.session.starts_with("SE_") && !joined.resume_token.is_empty());
    let you = joined.you.unwrap();
    assert!(you.id.starts_with("PA_"));
    assert_eq!((you.identity.as_str(), you.name.as_str(), you.metadata.as_str()), ("bob", "Bob", "m"));
    assert_eq!((you.region.as_str(), you.state), ("sh", v1::ParticipantState::Connected as i32));
    assert_eq!(joined.participants.len(), 1);
    assert_eq!(joined.participants[0].identity, "ann");
    assert_eq!(joined.tracks, vec![track]);
    assert_eq!((joined.ping_seconds, joined.linger_seconds, joined.more), (15, 20, false));
    let server = joined.server.unwrap();
    assert_eq!((server.version.as_str(), server.protocol), (env!("CARGO_PKG_VERSION"), 1));
    assert_eq!(joined.room.unwrap().participants, 2);
    assert_eq!((world.router.rooms(), world.router.sessions(), world.router.participants()), (1, 2, 2));
}

#[test]
fn the_others_see_a_join_and_the_one_who_joins_does_not() {
    let mut world = World::new();
    world.join(1, "ann");
    let joined = world.join(2, "bob");
    assert_eq!(words(&world.kinds(1)), ["joined bob"]);
    assert!(world.pushes(2).is_empty());
    assert_eq!(joined.offset, 2, "its own joining is in the snapshot");
}

#[test]
fn joined_comes_before_any_push() {
    let mut world = World::new();
    let (connection, labels) = (ConnectionId(1), Labels::default());
    let opening = Opening::Join(Box::new(join_room("r")));
    let mut out = Vec::new();
    let input = Input::Open {
        connection,
        grant: Box::new(grant("ann")),
        id: None,
        opening,
        labels,
        variant: Variant::default(),
    };
    world.router.handle(input, world.now(), &mut out);
    assert!(matches!(out[0], Output::Attach { .. }));
    let Output::Send { frame, exempt: true, .. } = &out[1] else { panic!("{:?}", out[1]) };
    assert_eq!(frame.id, None);
    assert!(matches!(frame.body, Some(Body::Joined(_))));
}

#[test]
fn a_large_room_comes_in_parts_of_the_same_id() {
    let mut world = World::new();
    for n in 1..=7 {
        world.join(n, &format!("p{n}"));
        world.done(n, camera("c"));
    }
    let parts = world.enter(8, grant("late"), join_room("r")).unwrap();
    assert_eq!(parts.iter().map(|part| part.participants.len()).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(parts.iter().map(|part| part.more).collect::<Vec<_>>(), [true, true, false]);
    for part in &parts {
        let owners: Vec<_> = part.tracks.iter().map(|track| &track.participant).collect();
        assert_eq!(owners, part.participants.iter().map(|p| &p.identity).collect::<Vec<_>>());
        assert_eq!((part.offset, &part.epoch), (parts[0].offset, &parts[0].epoch));
    }
}

#[test]
fn a_join_needs_room_join_and_the_tokens_room() {
    let mut world = World::new();
    let without = Grant { room_join: false, ..grant("ann") };
    let error = world.enter(1, without, join_room("r")).unwrap_err();
    assert_eq!(error.code, "permission_denied");
    assert!(error.message.contains("`roomJoin`"));
    let elsewhere = Grant { room: Some("other".into()), ..grant("ann") };
    assert_eq!(world.refused_join(1, elsewhere, join_room("r")), Code::WrongRoom);
    assert_eq!(world.refused_join(1, grant("ann"), join_room("")), Code::BadRequest);
    assert_eq!(world.router.rooms(), 0);
    let here = Grant { room: Some("r".into()), ..grant("ann") };
    world.enter(1, here, join_room("r")).expect("a refused connection may try again");
}

#[test]
fn a_room_is_made_only_where_the_config_or_the_token_allows() {
    let mut world = World::with(Settings { auto_create: false, ..settings() });
    assert_eq!(world.refused_join(1, grant("ann"), join_room("r")), Code::RoomNotFound);
    world.enter(1, Grant { room_create: true, ..grant("ann") }, join_room("r")).unwrap();
    world.join(2, "bob");
}

#[test]
fn metadata_of_ones_own_needs_its_grant() {
    let mut world = World::new();
    let with = v1::Join { metadata: "mine".to_owned(), ..join_room("r") };
    assert_eq!(world.refused_join(1, grant("ann"), with.clone()), Code::PermissionDenied);
    let attributes = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
    let attributed = v1::Join { attributes: attributes.clone(), ..join_room("r") };
    assert_eq!(world.refused_join(1, grant("ann"), attributed), Code::PermissionDenied);
    let own = Permissions { can_update_own_metadata: true, ..allowed() };
    for (connection, permissions) in [(1, own), (2, admin())] {
        let grant = Grant { permissions, ..grant(&format!("p{connection}")) };
        let you = world.enter(connection, grant, with.clone()).unwrap().remove(0).you.unwrap();
        assert_eq!(you.metadata, "mine");
    }
    let by_token = Grant { attributes, ..grant("cat") };
    let you = world.enter(3, by_token, join_room("r")).unwrap().remove(0).you.unwrap();
    assert_eq!(you.attributes["a"], "1");
}

#[test]
fn limits_are_named_when_they_are_reached() {
    let mut world = World::with(Settings { rooms_max: 1, sessions_max: 3, participants_max: 2, ..settings() });
    world.join(1, "ann");
    let error = world.enter(9, grant("x"), join_room("s")).unwrap_err();
    assert_eq!(error.code, "router_full");
    assert!(error.message.contains("rooms_max") && error.retry_after_ms.is_some());
    world.join(2, "bob");
    let error = world.enter(9, grant("x"), join_room("r")).unwrap_err();
    assert_eq!(error.code, "room_full");
    assert!(error.message.contains("participants_max"));
    world.join(3, "ann");
    assert_eq!(world.closed[&1], Code::Replaced, "a replacing join is not refused");

    let mut world = World::with(Settings { sessions_max: 1, ..settings() });
    world.join(1, "ann");
    assert_eq!(world.refused_join(2, grant("bob"), join_room("r")), Code::RouterFull);
    world.join(3, "ann");
}

#[test]
fn a_newer_join_replaces_the_older_session() {
    let mut world = World::new();
    let first = world.join(1, "ann");
    world.join(2, "bob");
    world.done(1, camera("c"));
    world.kinds(2);
    let second = world.join(3, "ann");
    assert_eq!(world.closed[&1], Code::Replaced);
    assert!(second.tracks.is_empty());
    assert_ne!(first.you.unwrap().id, second.you.unwrap().id);
    assert_eq!(words(&world.kinds(2)), ["unpublished ann", "left ann replaced", "joined ann"]);
    let frames =
        world.resume(4, grant("ann"), v1::Resume { resume_token: first.resume_token, ..v1::Resume::default() });
    assert_eq!(code_of(frames[0].body.as_ref().unwrap()), Code::SessionGone);
    assert_eq!(world.router.sessions(), 2);
}

#[test]
fn what_was_held_for_a_replaced_session_is_dropped() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    world.lose(1);
    world.done(2, offer_to("ann"));
    let joined = world.join(3, "ann");
    assert_eq!(joined.seq, 0);
    assert!(world.pushes(3).is_empty());
    assert!(!world.closed.contains_key(&1), "it had no connection to close");
}

#[test]
fn a_second_join_or_resume_is_refused_and_a_stranger_is_told_to_join() {
    let mut world = World::new();
    world.join(1, "ann");
    assert_eq!(world.refused(1, Op::Join(Box::new(join_room("r")))), Code::AlreadyJoined);
    assert_eq!(world.refused(1, Op::Resume(v1::Resume::default())), Code::AlreadyJoined);
    let again = world.open(1, grant("ann"), Opening::Join(Box::new(join_room("r"))));
    assert_eq!(code_of(again[0].body.as_ref().unwrap()), Code::AlreadyJoined);
    assert!(world.attached.contains(&1));
    world.done(1, say("still here"));
    assert_eq!(world.refused(7, say("x")), Code::NotJoined);
}

#[test]
fn every_signal_ends_with_its_outcome_answered_or_not() {
    let mut world = World::new();
    world.join(1, "ann");
    world.frame(1, None, say("x"), None);
    world.refused(1, offer_to("nobody"));
    world.refused_join(2, Grant { room_join: false, ..grant("bob") }, join_room("r"));
    assert_eq!(
        world.ended,
        [
            Outcome::Ok,
            Outcome::Ok,
            Outcome::Refused(Code::ParticipantNotFound),
            Outcome::Refused(Code::PermissionDenied)
        ]
    );
}

#[test]
fn a_resumed_session_keeps_what_its_join_said_of_the_client() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.lose(1);
    let resume = v1::Resume { resume_token: joined.resume_token, epoch: joined.epoch, offset: 1, seq: 0 };
    world.resume(2, grant("ann"), resume);
    assert_eq!(world.labels[&2], world.labels[&1]);
    assert_eq!(world.labels[&2].scenario, 1);
}

#[test]
fn ice_servers_carry_a_credential_of_this_session() {
    let ice = IceSettings {
        fixed: vec![v1::IceServer { urls: vec!["stun:s".to_owned()], ..v1::IceServer::default() }],
        turn_urls: vec!["turn:t".to_owned()],
        turn_secret: b"s".to_vec(),
        turn_ttl: Duration::from_secs(60),
    };
    let mut world = World::with(Settings { ice, ..settings() });
    let servers = world.join(1, "ann").ice_servers;
    assert_eq!(servers[0].urls, ["stun:s"]);
    assert_eq!(servers[1].username, format!("{}:ann", EPOCH_MS / 1000 + 60));
}
