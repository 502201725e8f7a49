//! Other settings while it runs: they hold for what begins from then on, and what was begun stays.

use super::*;

fn configure(world: &mut World, settings: Settings) {
    world.handle(Input::Configure(Box::new(settings)));
}

#[test]
fn bounds_hold_for_rooms_that_exist_and_take_away_nobody() {
    let mut world = World::new();
    world.join(1, "ann");
    world.done(1, camera("c1"));
    world.done(1, camera("c2"));
    let limits = Limits { tracks: 2, ..Limits::default() };
    configure(&mut world, Settings { limits, sessions_max: 1, rooms_max: 1, ..settings() });
    assert_eq!(world.refused(1, camera("c3")), Code::LimitExceeded);
    assert_eq!(world.refused_join(2, grant("bob"), join_room("r")), Code::RouterFull);
    world.done(1, say("still here"));
    configure(&mut world, settings());
    world.join(2, "bob");
    world.done(1, camera("c3"));
}

#[test]
fn how_many_a_room_holds_was_said_when_it_was_made() {
    let mut world = World::new();
    world.join(1, "ann");
    configure(&mut world, Settings { participants_max: 1, ..settings() });
    world.join(2, "bob");
    world.enter(3, grant("cid"), join_room("new")).unwrap();
    assert_eq!(world.refused_join(4, grant("dan"), join_room("new")), Code::RoomFull);
}

#[test]
fn a_session_of_before_comes_back_whatever_the_new_settings_say_of_secret_and_seed() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    configure(
        &mut world,
        Settings { resume_secret: Vec::new(), seed: 1, linger: Duration::from_secs(40), ..settings() },
    );
    world.lose(1);
    world.pass(Duration::from_secs(30));
    assert!(world.back(3, "ann", resume_of(&joined)).recovered, "the linger is the new one");
    let later = world.join(4, "cid");
    assert_ne!(later.session, joined.session);
    world.lose(4);
    assert!(world.back(5, "cid", resume_of(&later)).recovered);
}
