//! Publishing, muting, subscribing.

use super::*;

fn publish(world: &mut World, connection: u64, cid: &str) -> String {
    world.done(connection, camera(cid)).track.unwrap().id
}

fn unpublish(track: &str) -> Op {
    Op::Unpublish(v1::Unpublish { track: track.to_owned() })
}

fn subscribe(tracks: &[&str], subscribed: bool) -> Op {
    Op::Subscribe(v1::Subscribe { tracks: tracks.iter().map(|t| (*t).to_owned()).collect(), subscribed })
}

/// ann publishes `c`; bob is ordinary; root is an admin.
fn stage() -> (World, String) {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    world.join_as(3, "root", admin());
    let track = publish(&mut world, 1, "c");
    for connection in 1..=3 {
        world.pushes(connection);
    }
    (world, track)
}

#[test]
fn a_published_track_is_described_to_everybody() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    world.pushes(1);
    let op = v1::Publish {
        cid: "c".to_owned(),
        kind: v1::TrackKind::Audio as i32,
        codec: "opus".to_owned(),
        muted: true,
        ..v1::Publish::default()
    };
    let ok = world.done(1, Op::Publish(Box::new(op)));
    let track = ok.track.unwrap();
    assert!(track.id.starts_with("TR_") && ok.offset == Some(3));
    assert_eq!((track.participant.as_str(), track.codec.as_str()), ("ann", "opus"));
    assert!(track.muted && track.muted_by_owner && !track.muted_by_admin);
    for connection in [1, 2] {
        assert_eq!(world.kinds(connection), [Kind::TrackPublished(Box::new(track.clone()))]);
    }
}

#[test]
fn publishing_has_its_conditions() {
    let mut world = World::with(Settings { limits: Limits { tracks: 2, ..Limits::default() }, ..settings() });
    world.join(1, "ann");
    assert_eq!(world.refused(1, Op::Publish(Box::default())), Code::BadRequest);
    let track = publish(&mut world, 1, "c");
    assert_eq!(world.refused(1, camera("c")), Code::AlreadyExists);
    publish(&mut world, 1, "d");
    let Body::Error(error) = world.ask(1, camera("e")) else { panic!() };
    assert_eq!(error.code, "limit_exceeded");
    assert!(error.message.contains("limits.tracks"));
    world.done(1, unpublish(&track));
    publish(&mut world, 1, "c");
}

#[test]
fn sources_outside_the_grant_are_named() {
    let mut world = World::new();
    world.join_as(1, "ann", Permissions { can_publish: false, ..allowed() });
    assert_eq!(world.refused(1, camera("c")), Code::PermissionDenied);
    let can_publish_sources = vec![v1::TrackSource::Microphone as i32];
    world.join_as(2, "bob", Permissions { can_publish_sources, ..allowed() });
    let Body::Error(error) = world.ask(2, camera("c")) else { panic!() };
    assert_eq!(error.code, "permission_denied");
    assert!(error.message.contains("`camera`") && error.message.contains("microphone"), "{}", error.message);
}

#[test]
fn a_track_is_ended_by_its_owner_or_an_admin() {
    let (mut world, track) = stage();
    assert_eq!(world.refused(2, unpublish(&track)), Code::PermissionDenied);
    assert_eq!(world.refused(2, unpublish("TR_none")), Code::TrackNotFound);
    world.done(1, unpublish(&track));
    assert_eq!(world.refused(1, unpublish(&track)), Code::TrackNotFound);
    let other = publish(&mut world, 1, "c");
    world.done(3, unpublish(&other));
    assert_eq!(words(&world.kinds(2)), ["unpublished ann", "published ann", "unpublished ann"]);
}

#[test]
fn a_mute_says_by_whom() {
    let (mut world, track) = stage();
    world.done(1, set_mute(&track, true));
    let kinds = world.kinds(2);
    let [Kind::TrackMuted(event)] = &kinds[..] else { panic!("{kinds:?}") };
    assert!(event.muted && event.muted_by_owner && !event.muted_by_admin);
    assert_eq!((event.by.as_str(), event.participant.as_str()), ("ann", "ann"));
    world.done(3, set_mute(&track, true));
    let kinds = world.kinds(2);
    let [Kind::TrackMuted(event)] = &kinds[..] else { panic!("{kinds:?}") };
    assert!(event.muted && event.muted_by_owner && event.muted_by_admin && event.by == "root");
    assert_eq!(world.refused(2, set_mute(&track, false)), Code::PermissionDenied);
}

#[test]
fn neither_undoes_the_others_mute() {
    let (mut world, track) = stage();
    world.done(3, set_mute(&track, true));
    assert_eq!(world.refused(1, set_mute(&track, false)), Code::MutedByAdmin);
    world.done(3, set_mute(&track, false));
    world.done(1, set_mute(&track, true));
    assert_eq!(world.refused(3, set_mute(&track, false)), Code::MutedByOwner);
    world.done(1, set_mute(&track, false));
    let words = words(&world.kinds(2));
    assert_eq!(words.len(), 4, "a refused unmute is no event: {words:?}");
}

#[test]
fn a_mute_by_both_ends_when_both_have_undone_theirs() {
    let (mut world, track) = stage();
    world.done(1, set_mute(&track, true));
    world.done(3, set_mute(&track, true));
    world.done(3, set_mute(&track, false));
    world.done(1, set_mute(&track, false));
    let states = words(&world.kinds(2));
    assert_eq!(states[2..], ["muted ann true by root", "muted ann false by ann"]);
}

#[test]
fn an_admin_mutes_its_own_track_as_its_owner() {
    let (mut world, _) = stage();
    let own = publish(&mut world, 3, "c");
    world.done(3, set_mute(&own, true));
    let kinds = world.kinds(1);
    let Some(Kind::TrackMuted(event)) = kinds.last() else { panic!("{kinds:?}") };
    assert!(event.muted_by_owner && !event.muted_by_admin);
}

#[test]
fn muting_what_is_muted_changes_nothing() {
    let (mut world, track) = stage();
    world.done(1, set_mute(&track, true));
    assert_eq!(world.done(1, set_mute(&track, true)).offset, None);
    assert_eq!(world.kinds(2).len(), 1);
}

#[test]
fn a_subscription_is_seen_by_the_owner_and_the_subscriber_alone() {
    let (mut world, track) = stage();
    assert_eq!(world.done(2, subscribe(&[&track], true)).offset, None, "auto-subscribed already");
    assert!(world.done(2, subscribe(&[&track], false)).offset.is_some());
    assert_eq!(world.done(2, subscribe(&[&track], false)).offset, None);
    for connection in [1, 2] {
        assert_eq!(words(&world.kinds(connection)), ["subscribed bob false"]);
    }
    assert!(world.pushes(3).is_empty());
}

#[test]
fn an_unknown_track_changes_no_subscription_at_all() {
    let (mut world, track) = stage();
    assert_eq!(world.refused(2, subscribe(&[&track, "TR_none"], false)), Code::TrackNotFound);
    assert!(world.pushes(1).is_empty());
    assert_eq!(world.refused(1, subscribe(&[&track], false)), Code::BadRequest);
}

#[test]
fn without_auto_subscribe_each_track_is_asked_for() {
    let (mut world, track) = stage();
    world.enter(4, grant("dan"), v1::Join { auto_subscribe: Some(false), ..join_room("r") }).unwrap();
    world.pushes(1);
    assert!(world.done(4, subscribe(&[&track], true)).offset.is_some());
    assert_eq!(words(&world.kinds(1)), ["subscribed dan true"]);
}

#[test]
fn a_listener_without_the_grant_may_not_subscribe_but_hears_the_room() {
    let (mut world, track) = stage();
    world.join_as(4, "dan", Permissions { can_subscribe: false, ..allowed() });
    assert_eq!(world.refused(4, subscribe(&[&track], true)), Code::PermissionDenied);
    world.done(1, say("hello"));
    world.done(1, camera("d"));
    world.join(5, "eve");
    let pushes = world.pushes(4);
    assert_eq!(pushes.len(), 3, "message, track, presence: {pushes:?}");
}
