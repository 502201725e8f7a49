//! Rooms against their records: what etcd forgot, or kept on its own, is found out and mended, and what is under way is no difference.

use super::*;

/// Long enough for two looks in a row, and for what follows from them.
const TWO_LOOKS: Duration = Duration::from_secs(60);

fn told(routers: &[Housed]) -> Vec<(usize, usize, Vec<RoomId>, Vec<RoomId>)> {
    let facts = routers.iter().flat_map(|router| &router.driven.facts);
    let differ = facts.filter_map(|fact| match fact {
        DirectoryFact::RoomsDiffer { here, there, named_here, named_there } => {
            Some((*here, *there, named_here.clone(), named_there.clone()))
        }
        _ => None,
    });
    differ.collect()
}

fn compared(router: &Housed) -> Compared {
    router.driven.directory.figures(router.driven.now).rooms.expect("they were compared").0
}

#[test]
fn rooms_and_records_that_are_one_have_one_digest() {
    let (mut routers, mut etcd) = fleet(2);
    assert_eq!(routers[0].driven.directory.figures(routers[0].driven.now).rooms, None, "not yet");
    for room in ["a", "b", "c"] {
        routers[0].ask(room, true);
    }
    routers[1].ask("d", true);
    live_all(&mut routers, &mut etcd, TWO_LOOKS);
    for (router, rooms) in routers.iter().zip([3, 1]) {
        let Compared { here, there, .. } = compared(router);
        assert_eq!((here, here.rooms, here.alone), (there, rooms, 0));
    }
    assert_ne!(compared(&routers[0]).here.digest, compared(&routers[1]).here.digest);
    assert!(told(&routers).is_empty());
    let shown = routers[0].driven.directory.shown(routers[0].driven.now).rooms_compared.unwrap();
    assert_eq!((shown.here.digest.len(), &shown.here), (12, &shown.there));
}

#[test]
fn a_record_that_is_not_there_is_written_again_and_one_of_no_room_is_taken_away() {
    let (mut routers, mut etcd) = fleet(2);
    for room in ["a", "b", "c", "d", "e"] {
        routers[0].ask(room, true);
    }
    live_all(&mut routers, &mut etcd, TWO_LOOKS);
    ["a", "b", "c", "d"].iter().for_each(|room| etcd.delete(&format!("/s/rooms/{room}")));
    etcd.copy("/s/rooms/e", "/s/rooms/nobody's");
    live_all(&mut routers, &mut etcd, TWO_LOOKS);
    assert_eq!(told(&routers), [(4, 1, vec!["a".into(), "b".into(), "c".into()], vec!["nobody's".into()])]);
    live_all(&mut routers, &mut etcd, TWO_LOOKS);
    assert_eq!(etcd.keys("/s/rooms/"), ["a", "b", "c", "d", "e"]);
    assert_eq!(told(&routers).len(), 1, "once");
    let Compared { here, there, .. } = compared(&routers[0]);
    assert_eq!((here, here.alone), (there, 0));
    assert_eq!((routers[0].rooms.len(), &routers[0].rooms), (5, &routers[0].driven.kept));
    // and others still come to the one that has it
    let question = routers[1].ask("a", true);
    routers[1].converse(&mut etcd);
    assert_eq!(routers[1].found(question), &super::there("r1"));
}

#[test]
fn where_another_router_took_the_place_of_a_lost_record_the_room_makes_way() {
    let (mut routers, mut etcd) = fleet(2);
    routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, SECOND);
    etcd.delete("/s/rooms/r");
    routers[1].ask("r", true);
    live_all(&mut routers, &mut etcd, TWO_LOOKS);
    assert_eq!(holder(&etcd, "r").as_deref(), Some("r2"));
    assert_eq!((routers[0].rooms.len(), routers[1].rooms.len()), (0, 1));
}

/// Lives until it looks; the ticket of that call, which is not answered.
fn look(router: &mut Housed, etcd: &mut Etcd) -> u64 {
    for _ in 0..120 {
        router.driven.pass(Duration::from_millis(500));
        if let Some(at) = router.driven.calls.iter().position(|(_, call)| call.op() == DirectoryOp::Under) {
            return router.driven.calls.remove(at).0;
        }
        router.converse(etcd);
    }
    panic!("it does not look");
}

#[test]
fn what_one_look_saw_alone_and_what_is_under_way_is_no_difference() {
    let (mut routers, mut etcd) = fleet(1);
    for room in ["a", "b"] {
        routers[0].ask(room, true);
    }
    live_all(&mut routers, &mut etcd, SECOND);
    let first = look(&mut routers[0], &mut etcd);
    let driven = &mut routers[0].driven;
    let at = driven.now;
    // one that was read late
    driven.answer(first, Ok(Answer::Under { keys: vec!["a".to_owned(), "late".to_owned()] }));
    let second = look(&mut routers[0], &mut etcd);
    let driven = &mut routers[0].driven;
    assert!(driven.now - at < Duration::from_secs(5), "it is looked again soon");
    // a room comes while it is looked
    driven.tell(Input::Rooms(vec![("c".into(), true)]));
    driven.answer(second, Ok(Answer::Under { keys: ["a", "b", "c"].map(str::to_owned).to_vec() }));
    let Compared { here, there, .. } = compared(&routers[0]);
    assert_eq!((here.rooms, here), (2, there));
    assert!(told(&routers).is_empty());
}

#[test]
fn a_look_without_an_answer_holds_up_nobody() {
    let (mut routers, mut etcd) = fleet(1);
    routers[0].ask("a", true);
    live_all(&mut routers, &mut etcd, SECOND);
    let ticket = look(&mut routers[0], &mut etcd);
    let why = "permission denied".to_owned();
    routers[0].driven.answer(ticket, Err(Fault { outcome: DirectoryOutcome::Denied, why }));
    let question = routers[0].ask("b", true);
    routers[0].converse(&mut etcd);
    assert_eq!(routers[0].found(question), &Home::Here);
}

#[test]
fn more_rooms_than_an_answer_holds_are_not_compared_and_that_is_told() {
    let (mut routers, mut etcd) = fleet(1);
    let rooms = (0..1_100).map(|number| (RoomId::from(format!("{number:0>4000}")), true));
    routers[0].driven.tell(Input::Rooms(rooms.collect()));
    for _ in 0..50 {
        routers[0].driven.pass(SECOND);
        assert!(routers[0].driven.calls.iter().all(|(_, call)| call.op() != DirectoryOp::Under));
        routers[0].converse(&mut etcd);
    }
    let limits = routers[0].driven.facts.iter().filter_map(|fact| match fact {
        DirectoryFact::RoomsNotCompared { rooms, limit } => Some((*rooms, *limit)),
        _ => None,
    });
    let limits: Vec<_> = limits.collect();
    assert!((1..=3).contains(&limits.len()) && limits.iter().all(|told| *told == (1_100, 4_000_000)), "{limits:?}");
}
