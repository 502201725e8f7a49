//! Where rooms are kept they are behind: a write hangs, or a replica that had not heard of it took its master's place.

use super::*;
use crate::fabric::Written;

#[test]
fn more_who_came_and_went_than_are_remembered_while_a_write_hangs_are_gone_there_too() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    a.world.join(2, "bob");
    a.pass(Duration::from_millis(30), &mut memory);
    a.world.done(1, say("on its way"));
    a.world.pass(GATHER);
    assert_eq!(a.world.asks.len(), 1, "it hangs");
    a.world.done(2, Op::Leave(v1::Leave::default()));
    for connection in 3..1_200 {
        a.world.join(connection, "visitor");
        a.world.done(connection, Op::Leave(v1::Leave::default()));
    }
    a.pass(Duration::from_secs(1), &mut memory);
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    assert!(matches!(*b.facts(), [KeepingFact::RoomRestored { sessions: 1, .. }]));
}

/// What a room was told: who resumes at another router from where it joined.
fn told(memory: &mut Memory, who: &v1::Joined) -> Vec<String> {
    let mut b = Keeps::new("b", 3);
    b.take(memory);
    let resumed = b.world.back(7, "ann", resume_of(who));
    assert!(resumed.recovered, "nothing is missing");
    said(&mut b.world, 7)
}

#[test]
fn what_a_replica_had_not_heard_of_is_written_again_as_a_whole() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    a.world.join(2, "bob");
    a.world.done(2, say("before"));
    a.pass(Duration::from_secs(1), &mut memory);
    let replica = memory.clone();
    a.world.done(2, say("lost there"));
    a.pass(Duration::from_secs(1), &mut memory);
    assert_eq!(a.world.router.behind(), (0, None), "it stands, as far as is known");
    memory = replica;
    assert_eq!(a.facts(), [], "it is not known yet");
    a.world.done(2, say("after"));
    a.pass(Duration::from_secs(1), &mut memory);
    assert_eq!(a.facts(), [KeepingFact::RoomWrittenAnew { room: "r".into() }]);
    assert_eq!(told(&mut memory, &ann), ["\"before\"", "\"lost there\"", "\"after\""]);
}

#[test]
fn a_write_without_an_answer_that_stands_all_the_same_costs_no_other_one() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    a.world.join(2, "bob");
    a.pass(Duration::from_secs(1), &mut memory);
    a.world.done(2, say("1"));
    a.world.pass(GATHER);
    let (room, epoch, ask) = a.world.asks.pop().unwrap();
    let Ask::Write(write) = ask else { panic!("{ask:?}") };
    assert_eq!(memory.write("r", memory.next("r", "a"), *write), Written::Written);
    a.world.handle(Input::Kept { room, epoch, answer: Answer::Failed });
    a.world.pass(GATHER * 4);
    let [(_, _, Ask::Write(again))] = &*a.world.asks else { panic!("{:?}", a.world.asks) };
    assert!(!again.reset && again.edition > again.after, "{again:?}");
    assert_eq!(memory.clone().write("r", memory.next("r", "a"), (**again).clone()), Written::Written);
    a.pass(Duration::from_secs(1), &mut memory);
    assert_eq!(a.facts(), [], "nothing was lost there");
    assert_eq!(told(&mut memory, &ann), ["\"1\""]);
}

#[test]
fn a_router_that_was_started_anew_numbers_its_writes_on() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    let bob = a.world.join(2, "bob");
    for _ in 0..50 {
        a.world.done(2, say("often"));
        a.pass(Duration::from_millis(50), &mut memory);
    }
    let mut anew = Keeps::new("a", 2);
    // its clock goes on where the other one's stood
    anew.world.pass(a.world.elapsed);
    anew.take(&mut memory);
    anew.world.back(7, "bob", resume_of(&bob));
    anew.pass(Duration::from_millis(100), &mut memory);
    let replica = memory.clone();
    anew.world.done(7, say("lost there"));
    anew.pass(Duration::from_millis(100), &mut memory);
    memory = replica;
    anew.world.done(7, say("after"));
    anew.pass(Duration::from_secs(1), &mut memory);
    assert!(told(&mut memory, &ann).ends_with(&["\"lost there\"".to_owned(), "\"after\"".to_owned()]));
}

#[test]
fn a_replica_that_takes_over_just_after_a_router_took_its_own_room_back_is_noticed() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    let bob = a.world.join(2, "bob");
    a.world.done(2, say("before"));
    a.pass(Duration::from_millis(100), &mut memory);
    let replica = memory.clone();
    a.world.done(2, say("lost there"));
    a.pass(Duration::from_millis(100), &mut memory);
    let mut anew = Keeps::new("a", 2);
    anew.world.pass(a.world.elapsed);
    anew.take(&mut memory);
    // it has written nothing yet
    memory = replica;
    anew.world.back(7, "bob", resume_of(&bob));
    anew.world.done(7, say("after"));
    anew.pass(Duration::from_secs(1), &mut memory);
    assert_eq!(told(&mut memory, &ann), ["\"before\"", "\"lost there\"", "\"after\""]);
}

#[test]
fn a_store_that_forgot_a_room_before_its_new_router_wrote_is_told_everything_also_when_that_is_not_heard() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    let bob = a.world.join(2, "bob");
    a.world.done(2, say("before"));
    a.pass(Duration::from_millis(100), &mut memory);
    let mut other = Keeps::new("c", 2);
    other.take(&mut memory);
    memory.flush();
    other.world.back(7, "bob", resume_of(&bob));
    other.world.pass(GATHER);
    let (room, epoch, ask) = other.world.asks.pop().unwrap();
    let Ask::Write(write) = ask else { panic!("{ask:?}") };
    assert_eq!(memory.write("r", memory.next("r", "c"), *write), Written::Missing);
    other.world.handle(Input::Kept { room, epoch, answer: Answer::Failed });
    other.world.done(7, say("after"));
    other.pass(Duration::from_secs(1), &mut memory);
    assert_eq!(told(&mut memory, &ann), ["\"before\"", "\"after\""]);
}

#[test]
fn what_was_said_to_be_written_and_never_will_be_is_written_again_as_a_whole_and_soon() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    a.world.join(2, "bob");
    a.world.done(2, say("before"));
    a.pass(Duration::from_secs(1), &mut memory);
    memory.flush();
    a.world.handle(Input::Unkept { room: "another".into() });
    a.world.handle(Input::Unkept { room: "r".into() });
    assert_eq!(a.world.router.behind().0, 1);
    // also what is on its way at that moment does not count
    a.world.pass(GATHER);
    a.world.handle(Input::Unkept { room: "r".into() });
    let (room, epoch, ask) = a.world.asks.pop().unwrap();
    assert!(matches!(&ask, Ask::Write(write) if write.reset), "{ask:?}");
    a.world.handle(Input::Kept { room, epoch, answer: Answer::Written(Written::Written) });
    a.pass(GATHER, &mut memory);
    assert_eq!(a.world.router.behind(), (0, None));
    assert_eq!(told(&mut memory, &ann), ["\"before\""]);
}

#[test]
fn a_store_that_forgot_everything_is_told_everything() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "ann");
    a.world.join(2, "bob");
    a.pass(Duration::from_secs(1), &mut memory);
    memory.flush();
    a.world.done(1, say("after"));
    a.pass(Duration::from_secs(1), &mut memory);
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    assert!(matches!(*b.facts(), [KeepingFact::RoomRestored { sessions: 2, entries: 3, .. }]));
}

#[test]
fn a_store_that_went_back_is_told_everything() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "ann");
    a.world.join(2, "bob");
    a.pass(Duration::from_secs(1), &mut memory);
    let behind = memory.clone();
    a.world.done(1, say("written"));
    a.world.done(2, Op::Leave(v1::Leave::default()));
    let cat = a.world.join(3, "cat");
    a.pass(Duration::from_secs(1), &mut memory);
    // a replica that had not heard of it takes over
    let mut memory = behind;
    a.world.done(1, say("after"));
    a.pass(Duration::from_secs(1), &mut memory);
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    assert!(matches!(*b.facts(), [KeepingFact::RoomRestored { sessions: 2, entries: 6, .. }]), "ann and cat");
    assert!(b.world.back(7, "cat", resume_of(&cat)).recovered);
}

#[test]
fn a_room_that_is_handed_over_to_a_store_that_lost_some_of_it_is_whole() {
    for lost in ["some", "all"] {
        let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
        a.world.join(1, "ann");
        a.world.join(2, "bob");
        a.pass(Duration::from_secs(1), &mut memory);
        let behind = if lost == "some" { memory.clone() } else { Memory::default() };
        a.world.done(2, Op::Leave(v1::Leave::default()));
        let bob = a.world.join(3, "bob");
        a.pass(Duration::from_secs(1), &mut memory);
        let mut memory = behind;
        a.world.done(1, say("not written yet"));
        a.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
        a.carry_out(&mut memory);
        let mut b = Keeps::new("b", 2);
        b.take(&mut memory);
        assert!(
            matches!(*b.facts(), [KeepingFact::RoomRestored { sessions: 2, entries: 5, .. }]),
            "{lost}: ann and bob"
        );
        assert!(b.world.back(7, "bob", resume_of(&bob)).recovered, "{lost}");
    }
}
