//! The op `update`.

use super::*;

fn update(update: v1::Update) -> Op {
    Op::Update(Box::new(update))
}

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn own() -> Permissions {
    Permissions { can_update_own_metadata: true, ..allowed() }
}

fn with_token() -> v1::Update {
    v1::Update { token: "verified elsewhere".to_owned(), ..v1::Update::default() }
}

#[test]
fn what_is_set_changes_and_nothing_else() {
    let mut world = World::new();
    world.join_as(1, "ann", own());
    world.join(2, "bob");
    let first = attributes(&[("a", "1"), ("b", "2")]);
    let op = v1::Update { name: Some("Ann".to_owned()), attributes: first, ..v1::Update::default() };
    assert_eq!(world.done(1, update(op)).offset, Some(3));
    let second = attributes(&[("a", ""), ("c", "3")]);
    world.done(1, update(v1::Update { metadata: Some("m".to_owned()), attributes: second, ..v1::Update::default() }));
    let kinds = world.kinds(2);
    let Some(Kind::ParticipantUpdated(ann)) = kinds.last() else { panic!("{kinds:?}") };
    assert_eq!((ann.name.as_str(), ann.metadata.as_str()), ("Ann", "m"));
    assert_eq!(ann.attributes, attributes(&[("b", "2"), ("c", "3")]));
    assert_eq!(words(&world.kinds(1)), ["joined bob", "updated ann", "updated ann"]);
}

#[test]
fn it_needs_its_grants() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join_as(2, "root", admin());
    for op in [
        v1::Update { name: Some("x".to_owned()), ..v1::Update::default() },
        v1::Update { metadata: Some("x".to_owned()), ..v1::Update::default() },
        v1::Update { attributes: attributes(&[("a", "1")]), ..v1::Update::default() },
        v1::Update { room_metadata: Some("x".to_owned()), ..v1::Update::default() },
    ] {
        assert_eq!(world.refused(1, update(op.clone())), Code::PermissionDenied);
        world.done(2, update(op));
    }
    assert_eq!(words(&world.kinds(1)), ["joined root", "updated root", "updated root", "updated root", "room x"]);
}

#[test]
fn attributes_are_counted_after_the_merge() {
    let limits = Limits { attributes: 2, attributes_bytes: 10, ..Limits::default() };
    let mut world = World::with(Settings { limits, ..settings() });
    world.join_as(1, "ann", own());
    let set = |pairs| update(v1::Update { attributes: attributes(pairs), ..v1::Update::default() });
    world.done(1, set(&[("a", "1"), ("b", "2")]));
    let Body::Error(error) = world.ask(1, set(&[("c", "3")])) else { panic!() };
    assert!(error.code == "limit_exceeded" && error.message.contains("limits.attributes"));
    world.done(1, set(&[("a", ""), ("c", "3")]));
    let Body::Error(error) = world.ask(1, set(&[("c", "1234567890")])) else { panic!() };
    assert!(error.message.contains("limits.attributes_bytes"), "{}", error.message);
}

#[test]
fn a_refused_update_changes_nothing() {
    let mut world = World::new();
    world.join_as(1, "ann", own());
    world.join(2, "bob");
    let op = v1::Update { name: Some("x".to_owned()), room_metadata: Some("y".to_owned()), ..v1::Update::default() };
    assert_eq!(world.refused(1, update(op)), Code::PermissionDenied);
    assert!(world.pushes(2).is_empty());
}

#[test]
fn a_fresh_token_replaces_the_grants() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    world.done(1, camera("c"));
    world.pushes(2);
    let fresh = Grant { permissions: Permissions { can_publish: false, ..admin() }, ..grant("ann") };
    let op = v1::Update { room_metadata: Some("now".to_owned()), ..with_token() };
    assert!(matches!(world.ask_with(1, update(op), Some(fresh)), Body::Ok(_)));
    assert_eq!(words(&world.kinds(2)), ["unpublished ann", "updated ann", "room now"]);
}

#[test]
fn a_fresh_token_must_be_of_the_same_bearer() {
    let mut world = World::new();
    world.join(1, "ann");
    for (other, code) in [
        (grant("bob"), Code::PermissionDenied),
        (Grant { key: "other".to_owned(), ..grant("ann") }, Code::PermissionDenied),
        (Grant { room_join: false, ..grant("ann") }, Code::PermissionDenied),
        (Grant { room: Some("s".into()), ..grant("ann") }, Code::WrongRoom),
    ] {
        let other = Grant { permissions: admin(), ..other };
        assert_eq!(code_of(&world.ask_with(1, update(with_token()), Some(other))), code);
    }
    assert_eq!(code_of(&world.ask_with(1, update(with_token()), None)), Code::Unauthenticated);
    let room = v1::Update { room_metadata: Some("x".to_owned()), ..v1::Update::default() };
    assert_eq!(world.refused(1, update(room)), Code::PermissionDenied, "no refused token left a trace");
}

#[test]
fn a_fresh_token_puts_off_the_end() {
    let mut world = World::new();
    let expires = |seconds: u64| Some(EPOCH_MS + seconds * 1000);
    world.enter(1, Grant { expires_at_ms: expires(100), ..grant("ann") }, join_room("r")).unwrap();
    let fresh = Grant { expires_at_ms: expires(500), ..grant("ann") };
    world.ask_with(1, update(with_token()), Some(fresh));
    world.pass(Duration::from_secs(200));
    assert!(world.attached.contains(&1) && world.pushes(1).is_empty());
    world.pass(Duration::from_secs(300));
    assert_eq!(world.closed[&1], Code::TokenExpired);
}
