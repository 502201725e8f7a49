//! How sessions and rooms end.

use super::*;

#[test]
fn leaving_is_answered_then_seen_then_closed() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    world.done(1, camera("c"));
    world.pushes(2);
    world.done(1, Op::Leave(v1::Leave {}));
    assert_eq!(world.closed[&1], Code::Left);
    assert_eq!(words(&world.kinds(2)), ["unpublished ann", "left ann left"]);
    assert_eq!((world.router.sessions(), world.router.attached()), (1, 1));
}

#[test]
fn a_dropped_participant_keeps_its_place_for_the_linger() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    world.done(1, camera("c"));
    world.pushes(2);
    world.lose(1);
    assert_eq!(words(&world.kinds(2)), ["reconnecting ann"]);
    world.pass(Duration::from_millis(19_999));
    assert!(world.pushes(2).is_empty());
    let seen = world.join(3, "cat");
    let ann = seen.participants.iter().find(|p| p.identity == "ann").unwrap();
    assert_eq!(ann.state, v1::ParticipantState::Reconnecting as i32);
    world.pass(Duration::from_millis(1));
    assert_eq!(words(&world.kinds(2)), ["joined cat", "unpublished ann", "left ann lingered_out"]);
    assert!(world.events.iter().any(|e| matches!(e, Event::SessionClosed { reason: Code::LingeredOut, .. })));
}

#[test]
fn without_linger_a_dropped_participant_leaves_at_once() {
    let mut world = World::with(Settings { linger: Duration::ZERO, ..settings() });
    world.join(1, "ann");
    world.join(2, "bob");
    world.lose(2);
    assert_eq!(words(&world.kinds(1)), ["joined bob", "left bob lingered_out"]);
    assert_eq!(world.router.sessions(), 1);
}

#[test]
fn losing_a_connection_twice_or_one_that_never_was_does_nothing() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    world.lose(2);
    world.pushes(1);
    world.lose(2);
    world.lose(99);
    assert!(world.pushes(1).is_empty());
}

#[test]
fn an_empty_room_ends_after_its_timeout_and_not_before() {
    let mut world = World::new();
    world.join(1, "ann");
    world.done(1, Op::Leave(v1::Leave {}));
    world.pass(Duration::from_secs(29));
    assert_eq!(world.router.rooms(), 1);
    world.join(2, "bob");
    world.pass(Duration::from_secs(100));
    assert_eq!(world.router.rooms(), 1, "somebody came in time");
    world.done(2, Op::Leave(v1::Leave {}));
    world.pass(Duration::from_secs(30));
    assert_eq!(world.router.rooms(), 0);
    assert!(world.events.contains(&Event::RoomClosed { room: "r".into(), reason: Code::Left }));
}

#[test]
fn a_room_that_ended_and_came_again_has_another_epoch() {
    let mut world = World::new();
    let first = world.join(1, "ann").epoch;
    world.done(1, Op::Leave(v1::Leave {}));
    world.pass(Duration::from_secs(31));
    assert_ne!(world.join(2, "ann").epoch, first);
}

#[test]
fn nothing_is_left_when_everybody_is_gone() {
    let mut world = World::new();
    let expires_at_ms = Some(EPOCH_MS + 10_000_000);
    for connection in 1..=5 {
        let grant = Grant { expires_at_ms, ..grant(&format!("p{connection}")) };
        world.enter(connection, grant, join_room(&format!("r{}", connection % 2))).unwrap();
        world.done(connection, camera("c"));
        world.lose(connection);
    }
    world.pass(Duration::from_secs(60));
    let router = &world.router;
    assert_eq!((router.rooms(), router.sessions(), router.attached()), (0, 0, 0));
    assert!(router.session_ids.is_empty() && router.names.is_empty());
    assert_eq!(router.timers.len(), 0);
}

#[test]
fn a_room_that_another_router_has_ends_and_all_of_it_are_sent_there_and_its_node_is_not_told_that_it_ended() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    world.join(1, "ann");
    world.join(2, "bob");
    world.lose(2);
    world.told();
    let refusal = Refusal::elsewhere("r2", "wss://r2.example.com");
    world.handle(Input::Elsewhere { room: "nowhere".into(), refusal: refusal.clone() });
    assert_eq!(world.router.rooms(), 1);
    world.handle(Input::Elsewhere { room: "r".into(), refusal });
    assert_eq!(world.closed[&1], Code::RoomElsewhere);
    assert_eq!((world.router.rooms(), world.router.sessions(), world.router.attached()), (0, 0, 0));
    assert!(world.events.contains(&Event::RoomClosed { room: "r".into(), reason: Code::RoomElsewhere }));
    assert_eq!(world.told(), ["m1: end participant"; 2], "the room may be on the same node there");
}
