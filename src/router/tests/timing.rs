//! Expiry, drain, and the wake-ups in between.

use super::*;

fn expiring(identity: &str, seconds: u64) -> Grant {
    Grant { expires_at_ms: Some(EPOCH_MS + seconds * 1000), ..grant(identity) }
}

fn advice(pushes: &[Body]) -> Vec<v1::Advice> {
    pushes
        .iter()
        .filter_map(|body| match body {
            Body::Advice(advice) => Some(advice.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_session_is_told_of_its_tokens_end_and_closed_at_it() {
    let mut world = World::new();
    world.enter(1, expiring("ann", 100), join_room("r")).unwrap();
    world.join(2, "bob");
    world.pushes(1);
    world.pass(Duration::from_millis(39_999));
    assert!(world.pushes(1).is_empty());
    world.pass(Duration::from_millis(1));
    let told = advice(&world.pushes(1));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].token, Some(v1::TokenAdvice { expires_in_ms: 60_000 }));
    world.pass(Duration::from_millis(59_999));
    assert!(world.attached.contains(&1));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.closed[&1], Code::TokenExpired);
    assert_eq!(words(&world.kinds(2)), ["left ann token_expired"]);
}

#[test]
fn a_token_that_ends_soon_is_announced_at_once() {
    let mut world = World::new();
    world.enter(1, expiring("ann", 10), join_room("r")).unwrap();
    world.pass(Duration::ZERO);
    assert_eq!(advice(&world.pushes(1))[0].token, Some(v1::TokenAdvice { expires_in_ms: 10_000 }));
}

#[test]
fn expiry_at_the_door_only_leaves_sessions_alone() {
    let mut world = World::with(Settings { enforce_expiry: false, ..settings() });
    world.enter(1, expiring("ann", 10), join_room("r")).unwrap();
    world.pass(Duration::from_secs(100));
    assert!(world.attached.contains(&1) && world.pushes(1).is_empty());
}

#[test]
fn an_expiry_beyond_all_clocks_is_no_expiry() {
    let mut world = World::new();
    world.enter(1, Grant { expires_at_ms: Some(u64::MAX), ..grant("ann") }, join_room("r")).unwrap();
    world.pass(Duration::from_secs(100));
    assert!(world.attached.contains(&1));
}

#[test]
fn a_token_that_ends_while_its_bearer_is_away_closes_nothing() {
    let mut world = World::new();
    let joined = world.enter(1, expiring("ann", 10), join_room("r")).unwrap().remove(0);
    world.lose(1);
    world.pass(Duration::from_secs(15));
    assert!(world.back(2, "ann", resume_of(&joined)).recovered);
    world.pass(Duration::from_secs(100));
    assert!(world.attached.contains(&2), "the fresh token counts");
}

#[test]
fn a_drain_is_a_slope_and_not_a_cliff() {
    let mut world = World::new();
    for connection in 1..=80 {
        world.join(connection, &format!("p{connection}"));
    }
    for connection in 1..=80 {
        world.pushes(connection);
    }
    world.handle(Input::Drain { window: Duration::from_secs(10) });
    let mut told = Vec::new();
    for _ in 0..10 {
        world.pass(Duration::from_secs(1));
        let mut now = 0;
        for connection in 1..=80 {
            for advice in advice(&world.pushes(connection)) {
                let reconnect = advice.reconnect.unwrap();
                assert_eq!(reconnect.url, "ws://else");
                assert!(reconnect.after_ms <= 1_000);
                now += 1;
            }
        }
        told.push(now);
    }
    assert_eq!(told.iter().sum::<usize>(), 80, "each once: {told:?}");
    assert!(told[..8].iter().all(|n| (9..=11).contains(n)), "evenly over 80 %: {told:?}");
    assert!(world.closed.values().all(|code| *code == Code::Draining));
    assert_eq!((world.closed.len(), world.router.sessions(), world.router.rooms()), (80, 0, 0));
}

#[test]
fn while_draining_nobody_comes_in_and_the_others_go_on() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.lose(1);
    world.handle(Input::Drain { window: Duration::from_secs(10) });
    let error = world.enter(3, grant("cat"), join_room("r")).unwrap_err();
    assert!(error.code == "draining" && error.retry_after_ms.is_some());
    let frames = world.resume(4, grant("ann"), resume_of(&joined));
    assert_eq!(code_of(frames[0].body.as_ref().unwrap()), Code::Draining);
    let create = v1::CreateRoomRequest { name: "x".to_owned(), ..v1::CreateRoomRequest::default() };
    assert_eq!(world.admin(AdminCall::CreateRoom(create)).unwrap_err().code, Code::Draining);
    world.done(2, say("still"));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.closed[&2], Code::Draining);
}

#[test]
fn a_second_drain_of_no_length_ends_it_at_once() {
    let mut world = World::new();
    world.join(1, "ann");
    world.handle(Input::Drain { window: Duration::from_secs(1000) });
    assert!(world.attached.contains(&1));
    world.handle(Input::Drain { window: Duration::ZERO });
    assert_eq!(world.closed[&1], Code::Draining);
    assert_eq!(world.router.timers.len(), 0);
}

#[test]
fn a_tick_too_early_does_nothing_and_asks_again() {
    let mut world = World::new();
    world.enter(1, expiring("ann", 100), join_room("r")).unwrap();
    world.wake = None;
    world.handle(Input::Tick);
    assert!(world.wake.is_some(), "the same moment again");
    assert!(world.pushes(1).is_empty());
}

#[test]
fn an_idle_room_lets_go_of_its_history() {
    let mut world = World::new();
    world.join(1, "ann");
    world.pass(Duration::from_secs(200));
    assert_eq!(world.router.timers.len(), 0);
    world.done(1, say("x"));
    assert_eq!(world.router.timers.len(), 1, "one timer, however much is said");
    world.done(1, say("x"));
    assert_eq!(world.router.timers.len(), 1);
}
