//! Coming back.

use super::*;

fn refused_resume(world: &mut World, grant: Grant, resume: v1::Resume) -> Code {
    let frames = world.resume(50, grant, resume);
    assert!(!world.attached.contains(&50));
    code_of(frames[0].body.as_ref().unwrap())
}

/// What a connection was pushed, as short words with their places.
fn told(world: &mut World, connection: u64) -> Vec<String> {
    let pushes = world.pushes(connection);
    pushes
        .into_iter()
        .map(|body| match body {
            Body::Data(push) => match push.seq {
                Some(seq) => format!("seq {seq}"),
                None => format!("offset {}", push.offset.unwrap()),
            },
            Body::Signal(push) => format!("seq {}", push.seq),
            Body::Event(event) => format!("offset {}", event.offset),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn what_was_missed_is_told_in_the_order_it_happened() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.done(2, say("seen"));
    world.lose(1);
    world.done(2, say("missed"));
    world.done(2, offer_to("ann"));
    world.done(2, say("missed, too"));
    world.done(2, say_to(&["ann"], "psst"));
    world.pushes(2);
    // joined at 1; bob 2, `seen` 3, reconnecting 4 (its own), 5, 6
    let resumed = world.back(3, "ann", v1::Resume { offset: 3, ..resume_of(&joined) });
    assert!(resumed.recovered && resumed.snapshot.is_none());
    assert_eq!((resumed.missed, resumed.offset, resumed.seq), (4, 6, 2));
    assert_eq!(resumed.session, joined.session);
    assert_eq!(told(&mut world, 3), ["offset 5", "seq 1", "offset 6", "seq 2"]);
    assert_eq!(words(&world.kinds(2)), ["resumed ann"]);
}

#[test]
fn ones_own_messages_and_absence_are_not_told() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.done(1, say("mine"));
    world.lose(1);
    let resumed = world.back(3, "ann", v1::Resume { offset: 2, ..resume_of(&joined) });
    assert!(resumed.recovered);
    assert_eq!(resumed.missed, 0);
    assert!(told(&mut world, 3).is_empty());
}

#[test]
fn audiences_hold_in_a_replay() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.join_as(3, "root", admin());
    world.lose(1);
    world.join_as(4, "ghost", hidden());
    let track = world.done(2, camera("c")).track.unwrap().id;
    world.done(3, Op::Subscribe(v1::Subscribe { tracks: vec![track], subscribed: false }));
    let resumed = world.back(5, "ann", v1::Resume { offset: 3, ..resume_of(&joined) });
    assert!(resumed.recovered);
    assert_eq!(words(&world.kinds(5)), ["published bob"]);
}

#[test]
fn a_gap_beyond_the_history_brings_the_room_anew() {
    let mut world = World::with(Settings { history_events: 3, ..settings() });
    let joined = world.join(1, "ann");
    world.done(1, camera("c"));
    world.join(2, "bob");
    world.lose(1);
    for _ in 0..3 {
        world.done(2, say("x"));
    }
    world.done(2, offer_to("ann"));
    let resumed = world.back(3, "ann", v1::Resume { offset: 3, ..resume_of(&joined) });
    assert!(!resumed.recovered);
    let snapshot = resumed.snapshot.unwrap();
    assert_eq!((snapshot.offset, resumed.offset, snapshot.seq), (7, 7, 1));
    assert_eq!(snapshot.participants[0].identity, "bob");
    assert_eq!(snapshot.you.unwrap().identity, "ann");
    assert_eq!(snapshot.tracks.len(), 1, "its own track");
    assert_eq!(resumed.missed, 1);
    assert_eq!(told(&mut world, 3), ["seq 1"], "what was held is not lost");
}

#[test]
fn a_snapshot_of_a_resume_comes_in_parts() {
    let mut world = World::with(Settings { history_events: 1, ..settings() });
    let joined = world.join(1, "ann");
    for connection in 2..=6 {
        world.join(connection, &format!("p{connection}"));
    }
    world.lose(1);
    world.done(2, say("x"));
    let frames = world.resume(9, grant("ann"), resume_of(&joined));
    let more: Vec<_> = frames
        .iter()
        .map(|frame| match &frame.body {
            Some(Body::Resumed(resumed)) => resumed.snapshot.as_ref().unwrap().more,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(more, [true, false]);
}

#[test]
fn history_past_its_age_is_no_history() {
    let mut world = World::with(Settings { linger: Duration::from_secs(600), ..settings() });
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.lose(1);
    world.pass(Duration::from_secs(30));
    world.done(2, say("x"));
    world.pass(Duration::from_secs(40));
    assert!(!world.back(3, "ann", v1::Resume { offset: 2, ..resume_of(&joined) }).recovered, "its own absence is gone");
    world.lose(3);
    let tip = world.router.halls[0].room.tip().0;
    let again = world.back(4, "ann", v1::Resume { offset: tip, ..resume_of(&joined) });
    assert!(again.recovered, "nothing to tell needs no history");
}

#[test]
fn places_that_cannot_be_are_not_recovered_from() {
    for wrong in [
        |resume: &mut v1::Resume| resume.epoch = "0000000000000001".to_owned(),
        |resume: &mut v1::Resume| resume.offset = 1_000,
        |resume: &mut v1::Resume| resume.seq = 1_000,
        |resume: &mut v1::Resume| resume.offset = 1,
    ] {
        let mut world = World::new();
        world.join(2, "bob");
        let joined = world.join(1, "ann");
        world.done(2, say_to(&["ann"], "x"));
        world.lose(1);
        let mut resume = resume_of(&joined);
        wrong(&mut resume);
        let resumed = world.back(3, "ann", resume);
        assert!(!resumed.recovered && resumed.snapshot.is_some());
        assert_eq!(told(&mut world, 3), ["seq 1"]);
    }
}

#[test]
fn a_hold_that_overflowed_while_connected_is_not_recovered_from() {
    let mut world = World::with(Settings { held_pushes: 2, ..settings() });
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    for _ in 0..3 {
        world.done(2, offer_to("ann"));
    }
    world.lose(1);
    let resumed = world.back(3, "ann", v1::Resume { offset: 2, ..resume_of(&joined) });
    assert!(!resumed.recovered);
    assert_eq!(told(&mut world, 3), ["seq 2", "seq 3"]);
}

#[test]
fn a_full_hold_is_told_to_the_sender() {
    let mut world = World::with(Settings { held_pushes: 2, ..settings() });
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.join(3, "cat");
    world.done(2, offer_to("ann"));
    world.lose(1);
    world.pushes(3);
    world.done(2, offer_to("ann"));
    world.done(2, say_to(&["ann", "cat"], "x"));
    assert_eq!(world.refused(2, offer_to("ann")), Code::HoldFull);
    assert_eq!(world.refused(2, say_to(&["cat", "ann"], "y")), Code::HoldFull);
    assert_eq!(told(&mut world, 3), ["seq 1"], "to all or to none");
    let resumed = world.back(4, "ann", v1::Resume { offset: 3, seq: 1, ..resume_of(&joined) });
    assert!(resumed.recovered);
    assert_eq!(told(&mut world, 4), ["seq 2", "seq 3"]);
    world.done(2, offer_to("ann"));
}

#[test]
fn a_resume_token_is_spent_when_its_successor_is_used() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.lose(1);
    let first = world.back(2, "ann", resume_of(&joined));
    world.lose(2);
    world.back(3, "ann", resume_of(&joined));
    world.lose(3);
    world.back(4, "ann", v1::Resume { resume_token: first.resume_token.clone(), ..resume_of(&joined) });
    world.lose(4);
    assert_eq!(refused_resume(&mut world, grant("ann"), resume_of(&joined)), Code::ResumeTokenSpent);
    world.back(5, "ann", v1::Resume { resume_token: first.resume_token, ..resume_of(&joined) });
}

#[test]
fn a_resume_is_for_its_own_bearer() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.lose(1);
    for other in [
        grant("bob"),
        Grant { key: "other".to_owned(), ..grant("ann") },
        Grant { room: Some("s".into()), ..grant("ann") },
    ] {
        assert_eq!(refused_resume(&mut world, other, resume_of(&joined)), Code::ResumeTokenInvalid);
    }
    let outside = Grant { room_join: false, ..grant("ann") };
    assert_eq!(refused_resume(&mut world, outside, resume_of(&joined)), Code::PermissionDenied);
    world.back(2, "ann", resume_of(&joined));
}

#[test]
fn after_the_linger_the_session_is_gone() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.lose(1);
    world.pass(Duration::from_secs(20));
    assert_eq!(refused_resume(&mut world, grant("ann"), resume_of(&joined)), Code::SessionGone);
}

#[test]
fn a_resume_in_time_stops_the_linger() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.lose(1);
    world.pass(Duration::from_secs(19));
    world.back(2, "ann", resume_of(&joined));
    world.pass(Duration::from_secs(100));
    assert!(world.attached.contains(&2));
}

#[test]
fn a_half_open_connection_loses_its_session_to_the_newer_one() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.pushes(2);
    assert!(world.back(3, "ann", resume_of(&joined)).recovered);
    assert_eq!(world.closed[&1], Code::Replaced);
    world.lose(1);
    assert!(world.pushes(2).is_empty(), "nobody saw it away");
    world.done(2, offer_to("ann"));
    assert_eq!(told(&mut world, 3), ["offset 2", "seq 1"]);
    assert!(world.attached.contains(&3));
}

#[test]
fn the_fresh_tokens_permissions_count_after_a_resume() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.done(1, camera("c"));
    world.lose(1);
    world.pushes(2);
    let mute = Grant { permissions: Permissions { can_publish: false, ..allowed() }, ..grant("ann") };
    let frames = world.resume(3, mute, v1::Resume { offset: 3, ..resume_of(&joined) });
    assert!(matches!(frames[0].body, Some(Body::Resumed(_))));
    assert_eq!(words(&world.kinds(2)), ["resumed ann", "unpublished ann", "updated ann"]);
    assert_eq!(world.refused(3, camera("d")), Code::PermissionDenied);
}

#[test]
fn events_tell_of_drops_and_resumes() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.lose(1);
    world.back(2, "ann", resume_of(&joined));
    let session = SessionId::from(joined.session);
    assert!(world.events.contains(&Event::SessionDropped { session: session.clone(), reason: Code::ConnectionLost }));
    assert!(world.events.contains(&Event::SessionResumed { session, recovered: true }));
}
