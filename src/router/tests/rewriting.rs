//! Whoever keeps rooms has lost some of one, or all: it is written anew.

use super::{
    keeping::{BEAT, GATHER, Keeps, elsewhere},
    *,
};
use crate::{event::KeepingFact, fabric::memory::Memory};

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
fn a_room_that_is_handed_over_to_a_store_that_lost_some_of_it_has_its_members() {
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
            matches!(*b.facts(), [KeepingFact::RoomRestored { sessions: 2, entries: 1, .. }]),
            "{lost}: ann and bob"
        );
        assert!(
            b.world.back(7, "bob", resume_of(&bob)).recovered,
            "{lost}: what he did not see was not written before"
        );
    }
}

#[test]
fn more_who_came_and_went_than_are_remembered_while_a_write_hangs_are_gone_there_too() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    a.world.join(2, "bob");
    a.pass(Duration::from_millis(30), &mut memory);
    a.world.done(1, say("on its way"));
    a.world.pass(GATHER + BEAT);
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
