//! Drain: who is advised to go elsewhere when, and what is left of a room whose members go.

use super::{
    keeping::{Keeps, elsewhere, keeps},
    timing::advice,
    *,
};
use crate::fabric::memory::Memory;

const WINDOW: Duration = Duration::from_secs(10);

/// A router that has such rooms, each of so many members; these by their connections.
fn rooms_of(sizes: &[usize], settings: Settings) -> (Keeps, Memory, Vec<Vec<u64>>) {
    let sessions: usize = sizes.iter().sum();
    let settings =
        Settings { rooms_max: sizes.len(), sessions_max: sessions, participants_max: sessions as u32, ..settings };
    let (mut router, mut memory) = (Keeps::with("a", settings), Memory::default());
    let mut connections = 1..;
    let mut rooms = Vec::new();
    for (room, size) in sizes.iter().enumerate() {
        let members: Vec<u64> = connections.by_ref().take(*size).collect();
        for member in &members {
            router.world.enter(*member, grant(&format!("p{member}")), join_room(&format!("r{room}"))).unwrap();
        }
        rooms.push(members);
    }
    router.pass(Duration::from_millis(100), &mut memory);
    rooms.iter().flatten().for_each(|member| drop(router.world.pushes(*member)));
    (router, memory, rooms)
}

/// Which of a room's members are told to go, and after how long.
fn told(world: &mut World, room: &[u64]) -> Vec<(u64, Duration)> {
    let mut told = Vec::new();
    for member in room {
        for advice in advice(&world.pushes(*member)) {
            let reconnect = advice.reconnect.expect("to go elsewhere");
            assert_eq!(reconnect.url, "ws://else");
            told.push((*member, Duration::from_millis(reconnect.after_ms)));
        }
    }
    told
}

/// For each room the moment since the beginning of the drain at which its members are told, all at once and nobody twice.
fn moments(world: &mut World, rooms: &[Vec<u64>], time: Duration) -> Vec<Option<Duration>> {
    let (began, step) = (world.elapsed, Duration::from_millis(10));
    let mut moments = vec![None; rooms.len()];
    while world.elapsed < began + time {
        world.pass(step);
        for (room, moment) in rooms.iter().zip(&mut moments) {
            let told = told(world, room);
            if !told.is_empty() {
                assert_eq!((told.len(), *moment), (room.len(), None), "all of a room, once");
                assert!(told.iter().all(|(_, after)| *after <= WINDOW / 10));
                *moment = Some(world.elapsed - began);
            }
        }
    }
    moments
}

/// How many sessions were told in each of that many parts of the time.
fn by_parts(rooms: &[Vec<u64>], moments: &[Option<Duration>], part: Duration) -> Vec<usize> {
    let mut parts = vec![0; 10];
    for (room, moment) in rooms.iter().zip(moments) {
        let moment = moment.expect("everybody is told");
        parts[(moment.as_millis().saturating_sub(1) / part.as_millis()) as usize] += room.len();
    }
    parts
}

#[test]
fn a_drain_is_a_slope_and_not_a_cliff() {
    let (mut router, _, rooms) = rooms_of(&[1; 80], settings());
    router.world.handle(Input::Drain { window: WINDOW });
    let moments = moments(&mut router.world, &rooms, WINDOW);
    let told = by_parts(&rooms, &moments, WINDOW / 10);
    assert!(told[..8].iter().all(|n| (9..=11).contains(n)), "evenly over 80 %: {told:?}");
    assert_ne!(
        moments,
        {
            let mut sorted = moments.clone();
            sorted.sort();
            sorted
        },
        "in random order"
    );
    let world = &router.world;
    assert!(world.closed.values().all(|code| *code == Code::Draining));
    assert_eq!((world.closed.len(), world.router.sessions(), world.router.rooms()), (80, 0, 0));
}

#[test]
fn a_room_of_many_takes_as_much_of_the_window_as_that_many_rooms_of_one() {
    for seed in 0..20 {
        let sizes: Vec<usize> = [40, 7].into_iter().chain([1; 33]).collect();
        let (mut router, _, rooms) = rooms_of(&sizes, Settings { seed, ..settings() });
        router.world.handle(Input::Drain { window: WINDOW });
        let moments = moments(&mut router.world, &rooms, WINDOW);
        // forty of eighty are half of the slope: nobody else is told two seconds before and after
        let large = moments[0].unwrap();
        let near = moments[1..].iter().flatten().filter(|other| other.abs_diff(large) < Duration::from_millis(1_950));
        assert_eq!(near.count(), 0, "{moments:?}");
        for tenth in 1..=10 {
            let at = WINDOW / 10 * tenth;
            let told: usize =
                rooms.iter().zip(&moments).filter(|(_, m)| m.unwrap() <= at).map(|(room, _)| room.len()).sum();
            let slope = (10 * tenth as usize).min(80);
            assert!(
                told.abs_diff(slope) <= 21,
                "half a room off at most: {told} told, {slope} on the slope, {moments:?}"
            );
        }
    }
}

#[test]
fn a_second_drain_spreads_who_is_left_and_tells_nobody_again() {
    let (mut router, _, rooms) = rooms_of(&[2; 40], settings());
    router.world.handle(Input::Drain { window: WINDOW });
    let first = moments(&mut router.world, &rooms, WINDOW * 4 / 10);
    assert_eq!(first.iter().flatten().count(), 20, "half of them: {first:?}");
    router.world.handle(Input::Drain { window: WINDOW });
    let second = moments(&mut router.world, &rooms, WINDOW * 8 / 10);
    assert!(
        first.iter().zip(&second).all(|(first, second)| first.is_some() != second.is_some()),
        "{first:?} {second:?}"
    );
    for tenth in 1..=8 {
        let told = second.iter().flatten().filter(|moment| **moment <= WINDOW / 10 * tenth).count() * 2;
        assert!(told.abs_diff(5 * tenth as usize) <= 2, "{told} at {tenth} tenths");
    }
    assert!(router.world.closed.is_empty());
}

/// Members go as they are told. The first one of a room that comes elsewhere takes the room along: how many are left after each tenth
/// of the window.
fn left_by_tenths(router: &mut Keeps, memory: &mut Memory, rooms: &[Vec<u64>]) -> Vec<usize> {
    let mut goes_at: Vec<Option<Duration>> = vec![None; rooms.len()];
    let mut left = Vec::new();
    let began = router.world.elapsed;
    for _ in 0..10 {
        let end = router.world.elapsed + WINDOW / 10;
        while router.world.elapsed < end {
            router.pass(Duration::from_millis(10), memory);
            for (place, room) in rooms.iter().enumerate() {
                if let Some(first) = told(&mut router.world, room).into_iter().map(|(_, after)| after).min() {
                    goes_at[place] = Some(router.world.elapsed + first);
                }
                if goes_at[place].is_some_and(|at| at <= router.world.elapsed) {
                    goes_at[place] = None;
                    router.world.lose(room[0]);
                    router.world.handle(Input::Elsewhere { room: format!("r{place}").into(), refusal: elsewhere() });
                }
            }
        }
        left.push(router.world.router.sessions());
    }
    assert_eq!(router.world.elapsed, began + WINDOW);
    left
}

#[test]
fn rooms_that_go_whole_with_their_first_member_leave_a_slope_behind() {
    for settings in [keeps(1), settings()] {
        let kept = settings.keeping.is_some();
        let (mut router, mut memory, rooms) = rooms_of(&[8; 20], settings);
        router.world.handle(Input::Drain { window: WINDOW });
        let left = left_by_tenths(&mut router, &mut memory, &rooms);
        for (tenth, left) in (1..).zip(&left[..8]) {
            let ideal = 160 - 20 * tenth;
            assert!((ideal..=ideal + 20).contains(left), "kept: {kept}, {left} of 160 left after {tenth} tenths");
        }
        assert_eq!(left[8..], [0, 0], "kept: {kept}");
        let world = &router.world;
        assert_eq!(world.closed.len(), 20 * 7, "all but who went by itself");
        assert!(world.closed.values().all(|code| *code == Code::RoomElsewhere), "and nobody because it drains");
        for (place, _) in rooms.iter().enumerate() {
            let room = format!("r{place}");
            let there = memory.take(&room, memory.next(&room, "b"), false);
            assert_eq!(matches!(there, fabric::Taken::Kept(_)), kept, "{there:?}");
        }
    }
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
