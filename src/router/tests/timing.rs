//! Expiry, and the wake-ups in between.

use super::*;

fn expiring(identity: &str, seconds: u64) -> Grant {
    Grant { expires_at_ms: Some(EPOCH_MS + seconds * 1000), ..grant(identity) }
}

pub(super) fn advice(pushes: &[Body]) -> Vec<v1::Advice> {
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
