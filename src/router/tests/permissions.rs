//! Hidden participants, admins, and what follows when permissions change.

use super::*;

fn permit(world: &mut World, identity: &str, permissions: Permissions) {
    let request = v1::UpdateParticipantRequest {
        room: "r".to_owned(),
        identity: identity.to_owned(),
        permissions: Some(permissions),
        ..v1::UpdateParticipantRequest::default()
    };
    world.admin(AdminCall::UpdateParticipant(request)).unwrap();
}

/// ann ordinary on 1, root an admin on 2, ghost hidden on 3.
fn stage() -> World {
    let mut world = World::new();
    world.join(1, "ann");
    world.join_as(2, "root", admin());
    world.join_as(3, "ghost", hidden());
    world
}

fn quiet(world: &mut World) {
    for connection in 1..=4 {
        world.pushes(connection);
    }
}

#[test]
fn only_admins_see_a_hidden_participant() {
    let mut world = stage();
    world.done(3, camera("g"));
    assert_eq!(words(&world.kinds(1)), ["joined root"]);
    assert_eq!(words(&world.kinds(2)), ["joined ghost", "published ghost"]);
    assert_eq!(words(&world.kinds(3)), ["published ghost"], "it sees its own doings");
    let ordinary = world.join(4, "bob");
    let identities: Vec<_> = ordinary.participants.iter().map(|p| p.identity.as_str()).collect();
    assert_eq!(identities, ["ann", "root"]);
    assert!(ordinary.tracks.is_empty());
    assert_eq!(ordinary.room.unwrap().participants, 3);
    let boss = world.enter(5, Grant { permissions: admin(), ..grant("boss") }, join_room("r")).unwrap();
    let seen: (usize, usize) =
        (boss.iter().map(|part| part.participants.len()).sum(), boss.iter().map(|part| part.tracks.len()).sum());
    assert_eq!(seen, (4, 1));
    world.lose(3);
    world.pass(Duration::from_secs(30));
    assert!(words(&world.kinds(1)).iter().all(|word| !word.contains("ghost")));
    let seen = words(&world.kinds(2));
    assert!(seen.contains(&"reconnecting ghost".to_owned()) && seen.contains(&"left ghost lingered_out".to_owned()));
}

#[test]
fn a_hidden_participant_cannot_be_addressed_but_by_admins() {
    let mut world = stage();
    let track = world.done(3, camera("g")).track.unwrap().id;
    quiet(&mut world);
    assert_eq!(world.refused(1, offer_to("ghost")), Code::ParticipantNotFound);
    assert_eq!(world.refused(1, say_to(&["ghost"], "x")), Code::ParticipantNotFound);
    let subscribe = Op::Subscribe(v1::Subscribe { tracks: vec![track.clone()], subscribed: false });
    assert_eq!(world.refused(1, subscribe), Code::TrackNotFound);
    assert_eq!(world.refused(1, set_mute(&track, true)), Code::TrackNotFound);
    assert!(world.pushes(3).is_empty());
    world.done(2, offer_to("ghost"));
    assert_eq!(world.pushes(3).len(), 1);
    world.done(1, say("all"));
    assert_eq!(world.pushes(3).len(), 1, "it hears the room");
}

#[test]
fn hiding_looks_like_leaving_and_showing_like_joining() {
    let mut world = stage();
    world.done(1, camera("c"));
    world.join(4, "bob");
    quiet(&mut world);
    permit(&mut world, "ann", hidden());
    assert_eq!(words(&world.kinds(4)), ["unpublished ann", "left ann left"]);
    assert_eq!(words(&world.kinds(2)), ["updated ann"]);
    assert_eq!(words(&world.kinds(1)), ["updated ann"]);
    permit(&mut world, "ann", allowed());
    assert_eq!(words(&world.kinds(4)), ["joined ann", "published ann"]);
    assert_eq!(words(&world.kinds(2)), ["updated ann"]);
}

#[test]
fn a_new_admin_learns_of_the_hidden_ones_and_one_no_longer_forgets_them() {
    let mut world = stage();
    world.done(3, camera("g"));
    quiet(&mut world);
    permit(&mut world, "ann", admin());
    assert_eq!(words(&world.kinds(1)), ["joined ghost", "published ghost", "updated ann"]);
    assert_eq!(words(&world.kinds(2)), ["updated ann"]);
    permit(&mut world, "ann", allowed());
    assert_eq!(words(&world.kinds(1)), ["unpublished ghost", "left ghost left", "updated ann"]);
}

#[test]
fn losing_can_publish_unpublishes() {
    let mut world = stage();
    world.done(1, camera("a"));
    world.done(1, camera("b"));
    quiet(&mut world);
    permit(&mut world, "ann", Permissions { can_publish: false, ..allowed() });
    assert_eq!(words(&world.kinds(2)), ["unpublished ann", "unpublished ann", "updated ann"]);
    assert_eq!(world.refused(1, camera("c")), Code::PermissionDenied);
}

#[test]
fn losing_a_source_unpublishes_its_tracks_only() {
    let mut world = stage();
    world.done(1, camera("a"));
    let microphone = v1::Publish {
        cid: "m".to_owned(),
        kind: v1::TrackKind::Audio as i32,
        source: v1::TrackSource::Microphone as i32,
        ..v1::Publish::default()
    };
    world.done(1, Op::Publish(Box::new(microphone)));
    quiet(&mut world);
    let can_publish_sources = vec![v1::TrackSource::Microphone as i32];
    permit(&mut world, "ann", Permissions { can_publish_sources, ..allowed() });
    assert_eq!(words(&world.kinds(2)), ["unpublished ann", "updated ann"]);
}

#[test]
fn losing_can_subscribe_ends_subscriptions() {
    let mut world = stage();
    let track = world.done(2, camera("a")).track.unwrap().id;
    quiet(&mut world);
    permit(&mut world, "ann", Permissions { can_subscribe: false, ..allowed() });
    assert_eq!(words(&world.kinds(1)), ["subscribed ann false", "updated ann"]);
    assert_eq!(words(&world.kinds(2)), ["subscribed ann false", "updated ann"]);
    permit(&mut world, "ann", allowed());
    let subscribe = Op::Subscribe(v1::Subscribe { tracks: vec![track], subscribed: true });
    assert!(world.done(1, subscribe).offset.is_some(), "it had ended, so it can begin again");
}

#[test]
fn losing_can_publish_data_silences() {
    let mut world = stage();
    world.done(1, say("x"));
    permit(&mut world, "ann", Permissions { can_publish_data: false, ..allowed() });
    let Body::Error(error) = world.ask(1, say("y")) else { panic!() };
    assert!(error.code == "permission_denied" && error.message.contains("`canPublishData`"));
    assert_eq!(world.refused(1, say_to(&["root"], "y")), Code::PermissionDenied);
}

#[test]
fn the_same_permissions_again_are_no_event() {
    let mut world = stage();
    quiet(&mut world);
    permit(&mut world, "ann", allowed());
    assert!(world.pushes(1).is_empty() && world.pushes(2).is_empty());
}
