//! Two routers went on with one room, each without the other: what each of them acknowledged reaches all who stay, once.

use super::*;
use crate::ids::Offset;

/// How often a room is written, changed or not: sooner than somebody who is away counts as gone.
pub(super) const OFTEN: Duration = Duration::from_secs(2);

impl Keeps {
    /// Resumes and must succeed; where it is looked first what else there is of the room, after that.
    pub(in crate::router::tests) fn back(
        &mut self,
        memory: &mut Memory,
        (connection, identity): (u64, &str),
        resume: v1::Resume,
    ) -> v1::Resumed {
        let mut frames = self.world.resume(connection, grant(identity), resume);
        if frames.is_empty() {
            self.carry_out(memory);
            frames = self.world.take_replies(connection, 1);
        }
        match frames.remove(0).body {
            Some(Body::Resumed(resumed)) => *resumed,
            other => panic!("not resumed: {other:?}"),
        }
    }
}

/// Two routers that went on with room `r`: ann stays with the one that is cut off, bob goes to the other.
pub(super) struct Apart {
    pub(super) a: Keeps,
    pub(super) b: Keeps,
    pub(super) memory: Memory,
    ann: v1::Joined,
    pub(super) bob: v1::Joined,
}

pub(super) const ANN: u64 = 1;
/// At the router that was cut off, and at the other.
const BOB: u64 = 2;
const BOB_AT_B: u64 = 12;
pub(super) const ANN_AT_B: u64 = 11;

impl Apart {
    pub(super) fn new() -> Self {
        let keeping = KeepingSettings { gather: GATHER, refresh: OFTEN, acknowledge: Acknowledge::Here };
        Self::with(Settings { keeping: Some(keeping), ..keeps(2) })
    }

    fn with(settings: Settings) -> Self {
        let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
        let (ann, bob) = (a.world.join(ANN, "ann"), a.world.join(BOB, "bob"));
        a.world.done(ANN, say("both"));
        a.pass(Duration::from_secs(1), &mut memory);
        let place = resume_of(&bob);
        let place = v1::Resume { offset: 3, ..place };
        a.cut = true;
        a.world.lose(BOB);
        let mut b = Keeps::with("b", settings);
        b.take(&mut memory);
        assert!(b.world.back(BOB_AT_B, "bob", place).recovered);
        b.pass(Duration::from_secs(1), &mut memory);
        b.world.take(BOB_AT_B);
        a.world.take(ANN);
        Self { a, b, memory, ann, bob }
    }

    /// The router that was cut off hears that the room is another's.
    pub(super) fn heal(&mut self) {
        self.a.cut = false;
        self.a.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
        self.a.pass(Duration::from_secs(3), &mut self.memory);
        assert_eq!(self.a.world.closed.get(&ANN), Some(&Code::RoomElsewhere));
        assert_eq!(self.a.world.router.rooms(), 0);
    }

    /// The other one hears of it with what it writes next.
    fn merge(&mut self) {
        self.heal();
        self.b.pass(OFTEN + Duration::from_secs(1), &mut self.memory);
        assert_eq!(self.memory.stored("r").unwrap().branches.len(), 0, "it is merged, and taken away");
    }

    /// Ann's place at the router that was cut off.
    pub(super) fn place_of_ann(&self, offset: u64) -> v1::Resume {
        v1::Resume { offset, ..resume_of(&self.ann) }
    }
}

/// Messages, and what happened, in the order of their offsets, which go up.
pub(super) fn told(world: &mut World, connection: u64) -> Vec<String> {
    let mut last = 0;
    let mut told = Vec::new();
    for body in world.pushes(connection) {
        let (offset, text) = match body {
            Body::Data(push) => (push.offset.unwrap(), push.data.unwrap()),
            Body::Event(event) => (event.offset, words(&[event.kind.unwrap()]).remove(0)),
            other => panic!("neither: {other:?}"),
        };
        assert!(offset > last, "{text} at {offset} after {last}");
        last = offset;
        told.push(text.trim_matches('"').to_owned());
    }
    told
}

#[test]
fn each_side_gets_the_other_s_whole_and_then_they_have_one_log() {
    let mut apart = Apart::new();
    apart.a.world.done(ANN, say("a1"));
    apart.b.world.done(BOB_AT_B, say("b1"));
    let last = apart.a.world.done(ANN, say("a2")).offset.unwrap();
    apart.b.world.done(BOB_AT_B, say("b2"));
    apart.merge();
    assert!(matches!(*apart.a.facts(), [.., KeepingFact::RoomSetBeside { sessions: 2, .. }]));
    let facts = apart.b.facts();
    let merged = facts.iter().find_map(|fact| match fact {
        KeepingFact::RoomMerged { events, missing, sessions, left_out, .. } => {
            Some((*events, *missing, *sessions, *left_out))
        }
        _ => None,
    });
    // that bob's connection was lost there is one of them
    assert_eq!(merged, Some((3, 0, 0, 0)), "{facts:?}");
    assert_eq!(told(&mut apart.b.world, BOB_AT_B), ["merged 3..6", "a1", "a2"]);
    let place = apart.place_of_ann(last);
    let back = apart.b.back(&mut apart.memory, (ANN_AT_B, "ann"), place);
    assert_eq!((back.recovered, back.from), (true, Some(3)), "up to where both had the same");
    assert_eq!(told(&mut apart.b.world, ANN_AT_B), ["continued after 3", "resumed bob", "b1", "b2", "merged 3..6"]);
    apart.b.world.done(BOB_AT_B, say("c"));
    assert_eq!(told(&mut apart.b.world, ANN_AT_B), ["c"]);
    // whoever comes back from a place on the way misses what comes after it, and no more
    apart.b.world.lose(ANN_AT_B);
    let place = v1::Resume { epoch: back.epoch, offset: 6, resume_token: back.resume_token, seq: 0 };
    let again = apart.b.back(&mut apart.memory, (21, "ann"), place);
    assert!(again.recovered && again.from.is_none());
    assert_eq!(told(&mut apart.b.world, 21), ["b2", "merged 3..6", "c"]);
}

#[test]
fn who_saw_less_of_the_branch_gets_the_rest_of_it() {
    let mut apart = Apart::new();
    let first = apart.a.world.done(ANN, say("a1")).offset.unwrap();
    apart.a.world.join(3, "cas");
    apart.a.world.done(3, say("of cas"));
    apart.b.world.done(BOB_AT_B, say("b1"));
    apart.merge();
    let place = apart.place_of_ann(first);
    assert!(apart.b.back(&mut apart.memory, (ANN_AT_B, "ann"), place).recovered);
    let all = told(&mut apart.b.world, ANN_AT_B);
    assert_eq!(all, ["continued after 3", "resumed bob", "b1", "merged 3..7", "joined cas", "of cas"]);
}

#[test]
fn whoever_comes_before_the_branch_is_known_waits_for_it_and_has_missed_nothing() {
    let mut apart = Apart::new();
    let cas = apart.a.world.join(3, "cas");
    let last = apart.a.world.done(3, say("of cas")).offset.unwrap();
    apart.heal();
    // a session of which the other router knows nothing
    let place = v1::Resume { offset: last, ..resume_of(&cas) };
    let claims = ResumeTokens::new(&[7; 32]).verify(&place.resume_token).unwrap();
    let frames = apart.b.world.open(13, grant("cas"), Opening::Resume { claims, resume: place });
    assert!(frames.is_empty(), "it waits");
    apart.b.world.frame(13, Some(9), say("right behind"), None);
    apart.b.carry_out(&mut apart.memory);
    let frames = apart.b.world.take(13);
    let Some(Body::Resumed(resumed)) = &frames[0].body else { panic!("not back: {frames:?}") };
    assert!(resumed.recovered, "{resumed:?}");
    assert!(frames.iter().any(|frame| frame.id == Some(9) && matches!(frame.body, Some(Body::Ok(_)))));
    assert_eq!(told(&mut apart.b.world, BOB_AT_B)[..2], ["merged 3..6", "joined cas"]);
}

#[test]
fn nobody_waits_for_long_and_what_is_not_there_is_not_looked_for_again_and_again() {
    let mut apart = Apart::new();
    let cas = apart.a.world.join(3, "cas");
    apart.b.cut = true;
    let frames = apart.b.world.resume(13, grant("cas"), resume_of(&cas));
    assert!(frames.is_empty());
    apart.b.pass(Duration::from_millis(1), &mut apart.memory);
    assert!(matches!(&apart.b.world.take(13)[0].body, Some(Body::Error(error)) if error.code == "session_gone"));
    apart.b.cut = false;
    apart.b.pass(Duration::from_secs(10), &mut apart.memory);
    assert!(apart.b.world.resume(14, grant("cas"), resume_of(&cas)).is_empty());
    apart.b.carry_out(&mut apart.memory);
    assert!(matches!(&apart.b.world.take(14)[0].body, Some(Body::Error(error)) if error.code == "session_gone"));
    let frames = apart.b.world.resume(15, grant("cas"), resume_of(&cas));
    assert!(matches!(&frames[0].body, Some(Body::Error(_))), "at once: it was looked a moment ago");
    // one whose answer does not come in time, and one that is gone meanwhile
    apart.b.pass(Duration::from_secs(2), &mut apart.memory);
    assert!(apart.b.world.resume(16, grant("cas"), resume_of(&cas)).is_empty());
    assert!(apart.b.world.resume(17, grant("cas"), resume_of(&cas)).is_empty());
    apart.b.world.lose(17);
    apart.b.world.pass(Duration::from_secs(30));
    assert!(matches!(&apart.b.world.take(16)[0].body, Some(Body::Error(error)) if error.code == "session_gone"));
    assert!(apart.b.world.take(17).is_empty());
}

#[test]
fn a_room_that_a_look_finds_lost_is_written_anew_at_once() {
    let mut apart = Apart::new();
    apart.b.pass(Duration::from_secs(1), &mut apart.memory);
    apart.b.facts();
    apart.memory.flush();
    let cas = apart.a.world.join(3, "cas");
    assert!(apart.b.world.resume(13, grant("cas"), resume_of(&cas)).is_empty());
    apart.b.pass(GATHER * 2, &mut apart.memory);
    assert!(apart.memory.stored("r").is_some_and(|stored| !stored.fields.is_empty()));
    assert_eq!(apart.b.facts(), [KeepingFact::RoomWrittenAnew { room: "r".into() }], "no other router has it");
}

#[test]
fn while_a_room_leaves_nothing_is_added_to_it_and_without_an_answer_it_goes_on() {
    let mut apart = Apart::new();
    apart.a.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    apart.a.world.pass(Duration::from_secs(3));
    assert!(matches!(apart.a.world.asks.last(), Some((_, _, Ask::Leave(_) | Ask::Write(_)))));
    apart.a.pass(Duration::from_millis(1), &mut apart.memory);
    let leaves = |a: &Keeps| matches!(a.world.asks.last(), Some((_, _, Ask::Leave(_))));
    while !leaves(&apart.a) {
        apart.a.carry_out(&mut apart.memory);
        apart.a.world.pass(Duration::from_millis(100));
    }
    assert_eq!(apart.a.world.refused(ANN, say("too late")), Code::RoomUnavailable);
    assert_eq!(apart.a.world.refused(ANN, say_to(&["bob"], "too late")), Code::RoomUnavailable);
    apart.a.carry_out(&mut apart.memory);
    assert!(!apart.a.world.closed.contains_key(&ANN), "nobody answered");
    apart.a.world.done(ANN, say("not too late"));
    apart.a.cut = false;
    apart.a.pass(Duration::from_secs(2), &mut apart.memory);
    assert_eq!(apart.a.world.closed[&ANN], Code::RoomElsewhere);
    apart.b.pass(OFTEN + Duration::from_secs(1), &mut apart.memory);
    assert_eq!(said(&mut apart.b.world, BOB_AT_B), ["\"not too late\""]);
}

#[test]
fn a_branch_that_comes_twice_or_grew_is_merged_once() {
    let mut apart = Apart::new();
    apart.a.world.done(ANN, say("a1"));
    apart.a.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    while !matches!(apart.a.world.asks.last(), Some((_, _, Ask::Leave(_)))) {
        apart.a.carry_out(&mut apart.memory);
        apart.a.world.pass(Duration::from_millis(100));
    }
    // it is put there, and there is no answer
    let Some((_, _, Ask::Leave(last))) = apart.a.world.asks.last().cloned() else { panic!("it leaves") };
    apart.memory.put_last("r", apart.memory.next("r", "a"), &last);
    apart.a.carry_out(&mut apart.memory);
    apart.b.pass(OFTEN + Duration::from_secs(1), &mut apart.memory);
    assert_eq!(said(&mut apart.b.world, BOB_AT_B), ["\"a1\""]);
    apart.a.world.done(ANN, say("a2"));
    apart.a.cut = false;
    apart.a.pass(Duration::from_secs(3), &mut apart.memory);
    assert_eq!(apart.memory.stored("r").unwrap().branches.len(), 1);
    apart.b.pass(OFTEN + Duration::from_secs(1), &mut apart.memory);
    assert_eq!(said(&mut apart.b.world, BOB_AT_B), ["\"a2\""]);
    // the first one arrives once more, late
    apart.memory.put_last("r", apart.memory.next("r", "a"), &last);
    apart.b.world.done(BOB_AT_B, say("on"));
    apart.b.pass(OFTEN + Duration::from_secs(1), &mut apart.memory);
    assert_eq!(said(&mut apart.b.world, BOB_AT_B), Vec::<String>::new());
    assert_eq!(apart.memory.stored("r").unwrap().branches.len(), 0);
}

#[test]
fn a_request_that_both_carried_out_is_in_the_log_once() {
    let mut apart = Apart::new();
    // bob says it there, hears no answer, and says it again where he is now
    apart.a.world.back(BOB, "bob", v1::Resume { offset: 3, ..resume_of(&apart.bob) });
    apart.a.world.frame(BOB, Some(77), say("once"), None);
    apart.b.world.frame(BOB_AT_B, Some(77), say("once"), None);
    apart.merge();
    let place = apart.place_of_ann(3);
    let back = apart.b.back(&mut apart.memory, (ANN_AT_B, "ann"), place);
    assert!(back.recovered);
    assert_eq!(said(&mut apart.b.world, ANN_AT_B), ["\"once\""]);
}

#[test]
fn of_two_sessions_of_one_identity_the_later_stays_and_who_left_has_left() {
    let mut apart = Apart::new();
    apart.a.world.join(3, "cas");
    apart.a.world.join(4, "dan");
    apart.a.world.pass(Duration::from_millis(5));
    let elapsed = apart.a.world.elapsed;
    apart.b.world.elapsed = apart.b.world.elapsed.max(elapsed) + Duration::from_millis(5);
    apart.b.world.join(13, "cas");
    apart.a.world.elapsed = apart.b.world.elapsed + Duration::from_millis(5);
    apart.a.world.join(5, "dan");
    apart.a.world.done(ANN, Op::Leave(v1::Leave::default()));
    apart.a.cut = false;
    apart.a.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    apart.a.pass(Duration::from_secs(3), &mut apart.memory);
    apart.b.pass(Duration::from_secs(1), &mut apart.memory);
    apart.b.world.done(BOB_AT_B, say("now"));
    apart.b.pass(Duration::from_secs(1), &mut apart.memory);
    let reply =
        apart.b.world.admin(AdminCall::ListParticipants { room: "r".to_owned(), after: String::new(), limit: 9 });
    let Ok(AdminReply::Participants(all)) = reply else { panic!("{reply:?}") };
    let mut there: Vec<String> = all.into_iter().map(|info| info.participant.unwrap().identity).collect();
    there.sort();
    assert_eq!(there, ["bob", "cas", "dan"], "ann left");
    assert!(!apart.b.world.closed.contains_key(&13), "cas came here later");
    let told = told(&mut apart.b.world, BOB_AT_B);
    let of = |what: &str| told.iter().filter(|word| *word == what).count();
    assert_eq!((of("left ann left"), of("left cas replaced")), (1, 1), "{told:?}");
}

#[test]
fn metadata_that_one_side_set_stands_and_of_both_the_winner_s() {
    let set =
        |text: &str| AdminCall::UpdateRoom(v1::UpdateRoomRequest { room: "r".to_owned(), metadata: text.to_owned() });
    for (there, expected) in [(false, "of a"), (true, "of b")] {
        let mut apart = Apart::new();
        apart.a.world.admin(set("of a")).unwrap();
        if there {
            apart.b.world.admin(set("of b")).unwrap();
        }
        apart.merge();
        let Ok(AdminReply::Room(room)) =
            apart.b.world.admin(AdminCall::GetRoom(v1::GetRoomRequest { room: "r".to_owned() }))
        else {
            panic!()
        };
        assert_eq!(room.metadata, expected);
        let last = told(&mut apart.b.world, BOB_AT_B).into_iter().rfind(|word| word.starts_with("room "));
        assert_eq!(last.as_deref(), Some(&*format!("room {expected}")));
    }
}

#[test]
fn what_a_history_had_let_go_of_is_told_as_missing() {
    let (mut a, mut memory) = (Keeps::with("a", Settings { history_events: 4, ..keeps(1) }), Memory::default());
    a.world.join(ANN, "ann");
    let bob = a.world.join(BOB, "bob");
    a.pass(Duration::from_secs(1), &mut memory);
    a.cut = true;
    let keeping = KeepingSettings { gather: GATHER, refresh: OFTEN, acknowledge: Acknowledge::Here };
    let mut b = Keeps::with("b", Settings { keeping: Some(keeping), ..keeps(2) });
    b.take(&mut memory);
    b.world.back(BOB_AT_B, "bob", resume_of(&bob));
    for text in ["1", "2", "3", "4", "5", "6"] {
        a.world.done(ANN, say(text));
    }
    a.cut = false;
    a.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    a.pass(Duration::from_secs(3), &mut memory);
    b.world.take(BOB_AT_B);
    b.pass(OFTEN + Duration::from_secs(1), &mut memory);
    let pushes = b.world.pushes(BOB_AT_B);
    let missing = pushes.iter().find_map(|body| match body {
        Body::Event(v1::Event { kind: Some(Kind::RoomMerged(merged)), .. }) => Some(merged.missing),
        _ => None,
    });
    assert_eq!(missing, Some(2));
}

#[test]
fn a_room_that_is_nowhere_but_beside_itself_goes_on_from_there() {
    let mut apart = Apart::new();
    let last = apart.a.world.done(ANN, say("a1")).offset.unwrap();
    apart.memory.flush();
    apart.heal();
    let mut c = Keeps::new("c", 3);
    c.take(&mut apart.memory);
    let back = c.world.back(31, "ann", apart.place_of_ann(last));
    assert!(back.recovered && back.from.is_none());
    c.pass(Duration::from_secs(1), &mut apart.memory);
    let stored = apart.memory.stored("r").unwrap();
    assert!(stored.branches.is_empty() && !stored.released && stored.fields.len() > 2);
}

#[test]
fn two_rooms_of_one_name_become_one_when_the_one_is_claimed() {
    let (mut a, mut b, mut memory) = (Keeps::new("a", 1), Keeps::new("b", 2), Memory::default());
    let ann = a.world.join(ANN, "ann");
    a.world.done(ANN, say("a1"));
    a.pass(Duration::from_secs(1), &mut memory);
    // it is not known there that there is one
    b.cut = true;
    b.world.join(BOB_AT_B, "bob");
    b.world.done(BOB_AT_B, say("b1"));
    b.pass(Duration::from_millis(50), &mut memory);
    b.world.take(BOB_AT_B);
    // the other was killed
    b.take(&mut memory);
    b.cut = false;
    b.pass(Duration::from_secs(5), &mut memory);
    assert_eq!(said(&mut b.world, BOB_AT_B), ["\"a1\""]);
    let back = b.world.back(ANN_AT_B, "ann", v1::Resume { offset: 2, ..resume_of(&ann) });
    assert!(back.recovered);
    assert_eq!(said(&mut b.world, ANN_AT_B), ["\"b1\""]);
    // and that is remembered where it goes on
    let mut c = Keeps::new("c", 3);
    c.take(&mut memory);
    let place = v1::Resume { offset: 2, seq: 0, epoch: ann.epoch, resume_token: back.resume_token };
    let back = c.world.back(41, "ann", place);
    assert!(back.recovered);
    assert_eq!(said(&mut c.world, 41), ["\"b1\""]);
}

#[test]
fn what_is_said_to_one_alone_on_both_sides_comes_once_each() {
    let mut apart = Apart::new();
    let ann = apart.b.world.admin(AdminCall::ListParticipants { room: "r".to_owned(), after: String::new(), limit: 9 });
    assert!(ann.is_ok());
    apart.a.world.join(3, "cas");
    apart.a.world.done(3, say_to(&["ann"], "from cas"));
    apart.b.world.done(BOB_AT_B, say_to(&["ann"], "from bob"));
    apart.merge();
    let place = apart.place_of_ann(3);
    let back = apart.b.back(&mut apart.memory, (ANN_AT_B, "ann"), place);
    let seqs: Vec<(u64, String)> = apart
        .b
        .world
        .pushes(ANN_AT_B)
        .into_iter()
        .filter_map(|body| match body {
            Body::Data(push) => Some((push.seq?, push.data?)),
            _ => None,
        })
        .collect();
    assert_eq!(seqs, [(1, "\"from cas\"".to_owned()), (2, "\"from bob\"".to_owned())], "{back:?}");
    assert!(back.recovered);
}

#[test]
fn who_came_over_before_the_branch_did_hears_nothing_twice() {
    let mut apart = Apart::new();
    let last = apart.a.world.done(ANN, say("a1")).offset.unwrap();
    apart.a.world.join(3, "cas");
    apart.a.world.done(3, say("of cas"));
    // ann saw the first of it, and comes here by herself
    apart.b.world.resume(ANN_AT_B, grant("ann"), apart.place_of_ann(last));
    apart.b.carry_out(&mut apart.memory);
    let frames = apart.b.world.take(ANN_AT_B);
    assert!(matches!(&frames[0].body, Some(Body::Resumed(resumed)) if !resumed.recovered), "{frames:?}");
    apart.a.cut = false;
    apart.a.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    apart.a.pass(Duration::from_secs(3), &mut apart.memory);
    apart.b.pass(OFTEN + Duration::from_secs(1), &mut apart.memory);
    assert_eq!(said(&mut apart.b.world, ANN_AT_B), ["\"of cas\""]);
    assert_eq!(said(&mut apart.b.world, BOB_AT_B), ["\"a1\"", "\"of cas\""]);
    assert!(Offset(last) > Offset(3));
}

#[test]
fn what_came_with_one_life_is_known_when_it_comes_with_another_as_well() {
    let mut apart = Apart::new();
    let last = apart.a.world.done(ANN, say("a1")).offset.unwrap();
    apart.heal();
    // the other router is lost before it knows, and a third one has made the room anew
    let mut c = Keeps::new("c", 3);
    c.cut = true;
    c.world.join(13, "cas");
    c.pass(Duration::from_millis(50), &mut apart.memory);
    c.world.take(13);
    c.take(&mut apart.memory);
    c.cut = false;
    assert_eq!(said(&mut c.world, 13), ["\"both\"", "\"a1\""]);
    c.pass(Duration::from_secs(3), &mut apart.memory);
    // from either of the lives, and from before they parted
    let place = apart.place_of_ann(last);
    let back = c.back(&mut apart.memory, (31, "ann"), place);
    assert!(back.recovered);
    let place = v1::Resume { offset: 3, resume_token: back.resume_token, ..resume_of(&apart.ann) };
    assert!(c.back(&mut apart.memory, (32, "ann"), place).recovered);
    assert_eq!(said(&mut c.world, 32), Vec::<String>::new(), "it heard all of it");
}
