//! Who comes from another life of its room, by its token; and who comes in again with one.

use super::{
    merging::{ANN, ANN_AT_B, Apart, OFTEN, told},
    *,
};

#[test]
fn who_came_over_hears_nothing_twice_where_the_next_router_knows_of_it_by_the_token_alone() {
    let mut apart = Apart::new();
    apart.a.world.join(3, "cas");
    let last = apart.a.world.done(3, say("she saw it")).offset.unwrap();
    apart.a.world.done(3, say("she did not"));
    let place = apart.place_of_ann(last);
    let mut lost = apart.memory.clone();
    let back = apart.b.back(&mut lost, (ANN_AT_B, "ann"), place);
    assert!(!back.recovered);
    // that router is lost, and what it wrote of where she came from
    let mut c = Keeps::with("c", keeps(3));
    c.take(&mut apart.memory);
    let place = v1::Resume { epoch: back.epoch, offset: back.offset, resume_token: back.resume_token, seq: 0 };
    assert!(c.back(&mut apart.memory, (21, "ann"), place).recovered, "she had the room anew from the router before");
    apart.heal();
    c.pass(Duration::from_secs(3), &mut apart.memory);
    c.back(&mut apart.memory, (22, "bob"), resume_of(&apart.bob));
    assert_eq!(said(&mut c.world, 21), ["\"she did not\""]);
}

#[test]
fn who_came_from_a_life_that_had_gone_on_from_another_hears_nothing_of_that_twice() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "bob");
    let ann = a.world.join(2, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    // another router goes on with the room as it was then
    let mut elsewhere = memory.clone();
    let last = a.world.done(1, say("she heard it")).offset.unwrap();
    a.pass(Duration::from_secs(1), &mut memory);
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    let heard = v1::Resume { offset: last, ..resume_of(&ann) };
    let back = b.back(&mut memory, (11, "ann"), heard);
    assert!(back.recovered && back.epoch != ann.epoch, "the room goes on there");
    // that router is lost with all of it; what the first one had is put beside what the third has
    let mut c = Keeps::with("c", keeps(3));
    c.take(&mut elsewhere);
    let place = v1::Resume { epoch: back.epoch, offset: back.offset, resume_token: back.resume_token, seq: 0 };
    c.back(&mut elsewhere, (21, "ann"), place);
    c.pass(Duration::from_secs(1), &mut elsewhere);
    told(&mut c.world, 21);
    a.pass(Duration::from_millis(1), &mut elsewhere);
    a.world.handle(Input::Elsewhere { room: "r".into(), refusal: self::elsewhere() });
    a.pass(Duration::from_secs(3), &mut elsewhere);
    c.pass(REFRESH * 2, &mut elsewhere);
    let told = told(&mut c.world, 21);
    assert!(told.iter().any(|word| word.starts_with("merged")), "it came in: {told:?}");
    assert!(!told.contains(&"she heard it".to_owned()), "{told:?}");
}

#[test]
fn who_missed_nothing_there_hears_none_of_it_where_that_life_goes_on_after_all() {
    let mut apart = Apart::new();
    apart.a.world.join(3, "cas");
    let last = apart.a.world.done(3, say("she saw it")).offset.unwrap();
    let place = apart.place_of_ann(last);
    apart.heal();
    let mut lost = apart.memory.clone();
    let back = apart.b.back(&mut lost, (ANN_AT_B, "ann"), place);
    assert_eq!((back.recovered, back.from), (true, Some(3)));
    // all is lost but the life that she came from: that is gone on with, and the other comes into it
    let branches = apart.memory.stored("r").unwrap().branches.clone();
    let (name, branch) = branches.into_iter().next().unwrap();
    let mut memory = Memory::default();
    let a = memory.next("r", "a");
    assert!(memory.put_beside("r", a, (&name, &name), branch));
    let keeping = KeepingSettings { gather: GATHER, refresh: OFTEN, acknowledge: Acknowledge::Here };
    let mut c = Keeps::with("c", Settings { keeping: Some(keeping), ..keeps(3) });
    c.take(&mut memory);
    apart.b.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    apart.b.pass(Duration::from_secs(3), &mut memory);
    c.pass(OFTEN + Duration::from_secs(1), &mut memory);
    let place = v1::Resume { epoch: back.epoch, offset: 3, resume_token: back.resume_token, seq: 0 };
    assert!(c.back(&mut memory, (21, "ann"), place).recovered);
    let again = ["joined cas", "she saw it"].map(str::to_owned);
    let told = told(&mut c.world, 21);
    assert!(again.iter().all(|again| !told.contains(again)), "{told:?}");
}

#[test]
fn who_left_and_comes_in_again_with_another_life_before_that_was_written_is_kept() {
    let mut apart = Apart::new();
    let last = apart.a.world.done(ANN, say("a1")).offset.unwrap();
    let place = apart.place_of_ann(last);
    // the room was taken a second ago
    let rest = settings().linger - Duration::from_millis(1_001);
    apart.b.pass(rest, &mut apart.memory);
    apart.heal();
    apart.b.world.pass(Duration::from_millis(2));
    assert_eq!(apart.b.world.router.sessions(), 1, "she has lingered out");
    apart.b.back(&mut apart.memory, (ANN_AT_B, "ann"), place);
    apart.b.pass(OFTEN, &mut apart.memory);
    let members =
        |memory: &Memory| memory.stored("r").unwrap().fields.keys().filter(|name| name.starts_with("m:")).count();
    assert_eq!(members(&apart.memory), 2);
}
