//! What is kept stays within its bounds, whatever is said.

use super::*;

#[test]
fn history_is_bounded_by_bytes_too() {
    let mut world = World::with(Settings { history_bytes: 4_000, ..settings() });
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.lose(1);
    for _ in 0..5 {
        world.done(2, say(&"x".repeat(1_000)));
    }
    let resumed = world.back(3, "ann", v1::Resume { offset: 2, ..resume_of(&joined) });
    assert!(!resumed.recovered);
    world.lose(3);
    world.done(2, say("short"));
    let tip = world.router.halls[0].room.tip().0;
    assert!(world.back(4, "ann", v1::Resume { offset: tip - 1, ..resume_of(&joined) }).recovered);
}

#[test]
fn subscriptions_end_with_their_tracks() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    for _ in 0..100 {
        let track = world.done(1, camera("c")).track.unwrap().id;
        world.done(2, Op::Subscribe(v1::Subscribe { tracks: vec![track.clone()], subscribed: false }));
        world.done(1, Op::Unpublish(v1::Unpublish { track }));
    }
    let room = &world.router.halls[0].room;
    assert_eq!(room.exceptions(), 0);
}

#[test]
fn a_session_has_one_timer_of_a_kind_however_often_it_comes_and_goes() {
    let mut world = World::new();
    let far = Grant { expires_at_ms: Some(EPOCH_MS + 10_000_000), ..grant("ann") };
    let joined = world.enter(1, far.clone(), join_room("r")).unwrap().remove(0);
    for connection in 2..50 {
        world.lose(connection - 1);
        world.resume(connection, far.clone(), resume_of(&joined));
    }
    // its expiry and the room's history
    assert_eq!(world.router.timers.len(), 2);
}
