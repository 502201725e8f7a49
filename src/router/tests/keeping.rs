//! Rooms that are kept outside of their router: what is written when, and what another router makes of it.

mod behind;
mod lives;
mod merging;
mod newer;

use super::*;
use crate::{
    event::KeepingFact,
    fabric::{
        Answer, Ask, Last, Left, Taken,
        keeper::{Parted, Parting, Tried, claimed},
        memory::Memory,
    },
};

pub(super) const GATHER: Duration = Duration::from_millis(20);
const REFRESH: Duration = Duration::from_secs(40);

pub(super) fn keeps(seed: u64) -> Settings {
    let keeping = KeepingSettings { gather: GATHER, refresh: REFRESH, acknowledge: Acknowledge::Here };
    Settings { keeping: Some(keeping), seed, ..settings() }
}

/// A router, and how it is called where rooms are kept.
pub(super) struct Keeps {
    pub(super) world: World,
    name: &'static str,
    /// Nothing that is asked arrives.
    pub(super) cut: bool,
}

impl Keeps {
    pub(super) fn new(name: &'static str, seed: u64) -> Self {
        Self::with(name, keeps(seed))
    }

    pub(super) fn with(name: &'static str, settings: Settings) -> Self {
        // clients count on where they come from: no request here is one of there
        let request = settings.seed * 1_000;
        Self { world: World { request, ..World::with(settings) }, name, cut: false }
    }

    /// Carries out what was asked until nothing more is, without time passing.
    pub(super) fn carry_out(&mut self, memory: &mut Memory) {
        while !self.world.asks.is_empty() {
            for (room, epoch, ask) in std::mem::take(&mut self.world.asks) {
                let by = memory.next(room.as_str(), self.name);
                let answer = match ask {
                    Ask::Claim | Ask::Write(_) | Ask::Leave(_) | Ask::Look if self.cut => Some(Answer::Failed),
                    Ask::Part(_) | Ask::End { .. } if self.cut => None,
                    Ask::Claim | Ask::Look => Some(claimed(Some(memory.take(room.as_str(), by, false)))),
                    Ask::Write(write) => Some(Answer::Written(memory.write(room.as_str(), by, *write))),
                    Ask::Part(last) => {
                        part(memory, (room.as_str(), self.name), last);
                        None
                    }
                    Ask::Leave(last) => Some(Answer::Left(part(memory, (room.as_str(), self.name), last))),
                    Ask::End { fence } => {
                        memory.end(room.as_str(), by, fence);
                        None
                    }
                };
                if let Some(answer) = answer {
                    self.world.handle(Input::Kept { room, epoch, answer });
                }
            }
        }
    }

    /// Lets time pass in small steps; what is asked is carried out at once.
    pub(super) fn pass(&mut self, time: Duration, memory: &mut Memory) {
        let end = self.world.elapsed + time;
        while self.world.elapsed < end {
            self.carry_out(memory);
            let step = Duration::from_millis(1).min(end - self.world.elapsed);
            self.world.pass(step);
        }
        self.carry_out(memory);
    }

    /// Takes room `r` and goes on with it.
    pub(super) fn take(&mut self, memory: &mut Memory) {
        match memory.take("r", memory.next("r", self.name), true) {
            Taken::Kept(kept) => self.world.handle(Input::Restore { room: "r".into(), kept: Box::new(kept) }),
            other => panic!("nothing was kept: {other:?}"),
        }
    }

    pub(super) fn facts(&mut self) -> Vec<KeepingFact> {
        let events = std::mem::take(&mut self.world.events);
        let facts = events.into_iter().filter_map(|event| match event {
            Event::Keeping(fact) => Some(fact),
            _ => None,
        });
        facts.filter(|fact| !matches!(fact, KeepingFact::RoomWritten { .. })).collect()
    }
}

/// The last write of a room, as a keeper carries it out.
fn part(memory: &mut Memory, (room, name): (&str, &str), mut last: Last) -> Left {
    let mut parting = Parting::new(last.owned);
    loop {
        let tried = match parting.is_beside() {
            true => Tried::Put(memory.put_last(room, memory.next(room, name), &last)),
            false => Tried::Wrote(memory.write(room, memory.next(room, name), (*last.write).clone())),
        };
        match parting.next(&tried) {
            Parted::Again { reset, .. } => last.write.reset |= reset,
            Parted::Stands(left) => return left,
            Parted::Lost => panic!("there is a place"),
        }
    }
}

pub(super) fn elsewhere() -> Refusal {
    Refusal::elsewhere("b", "wss://b")
}

#[test]
fn a_router_that_keeps_nothing_asks_nothing() {
    let mut world = World::new();
    world.join(1, "ann");
    world.done(1, say("hi"));
    world.pass(Duration::from_secs(1));
    assert!(world.asks.is_empty());
    assert_eq!(world.router.behind(), (0, None));
}

#[test]
fn a_room_is_claimed_when_it_is_made_and_changes_are_gathered() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "ann");
    a.world.pass(Duration::ZERO);
    assert!(matches!(*a.world.asks, [(_, _, Ask::Claim)]));
    a.pass(Duration::from_secs(1), &mut memory);
    assert_eq!(a.world.router.behind(), (0, None));
    for text in ["1", "2", "3"] {
        a.world.done(1, say(text));
    }
    assert_eq!(a.world.router.behind().0, 1);
    a.world.pass(GATHER);
    let [(_, _, Ask::Write(write))] = &*a.world.asks else { panic!("one write: {:?}", a.world.asks) };
    assert_eq!(write.entries.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(!write.reset && write.delete.is_empty(), "what did not change is not written");
    assert_eq!(write.set.len(), 1, "but for the tip");
    assert_eq!(a.world.router.behind().0, 1, "until it stands");
    a.carry_out(&mut memory);
    assert_eq!(a.world.router.behind(), (0, None));
}

#[test]
fn a_room_that_nothing_happens_in_is_written_now_and_then_so_that_it_stays() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    a.world.pass(REFRESH);
    let [(_, _, Ask::Write(write))] = &*a.world.asks else { panic!("one write: {:?}", a.world.asks) };
    assert!(write.entries.is_empty() && write.set.is_empty());
}

#[test]
fn a_router_that_is_lost_costs_each_session_one_resume_and_nothing_that_was_written() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    let bob = a.world.join(2, "bob");
    let track = a.world.done(2, camera("c")).track.unwrap();
    a.world.done(2, say("kept"));
    a.pass(Duration::from_millis(100), &mut memory);
    a.world.done(2, say("lost"));

    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    let resumed = b.back(&mut memory, (7, "ann"), v1::Resume { offset: ann.offset, ..resume_of(&ann) });
    assert!(resumed.recovered);
    assert_ne!(resumed.epoch, ann.epoch, "another life of the room");
    let told = b.world.pushes(7);
    let Some(Body::Event(joined)) = told.first() else { panic!("bob's joining first: {told:?}") };
    assert_eq!((joined.epoch.as_str(), joined.offset), (ann.epoch.as_str(), 2), "of the life before");
    let said: Vec<_> = told
        .iter()
        .filter_map(|body| match body {
            Body::Data(push) => push.data.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["\"kept\""]);
    assert_eq!(
        words(&told.into_iter().filter_map(kind_of).collect::<Vec<_>>()),
        ["joined bob", "published bob", "continued after 4"]
    );
    // bob saw more than was kept, and gets the room as it is
    let resumed = b.back(&mut memory, (8, "bob"), v1::Resume { offset: 5, ..resume_of(&bob) });
    assert!(!resumed.recovered);
    let snapshot = resumed.snapshot.unwrap();
    assert_eq!(snapshot.tracks.iter().map(|track| track.id.as_str()).collect::<Vec<_>>(), [track.id.as_str()]);
    assert_eq!(words(&b.world.kinds(7)), ["resumed bob"]);
    assert!(b.world.done(8, set_mute(&track.id, true)).offset.is_some());
    assert_eq!(words(&b.world.kinds(7)), ["muted bob true by bob"], "the track is his here, too");
}

/// What was said of it.
pub(super) fn said(world: &mut World, to: u64) -> Vec<String> {
    let pushes = world.pushes(to).into_iter();
    pushes.filter_map(|body| if let Body::Data(push) = body { push.data } else { None }).collect()
}

#[test]
fn who_saw_more_than_was_kept_hears_what_is_said_before_it_is_back() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    let bob = a.world.join(2, "bob");
    a.pass(Duration::from_millis(100), &mut memory);
    // ann hears it, and it is nowhere when the router is lost
    let seen = a.world.done(2, say("heard")).offset.unwrap();
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    b.back(&mut memory, (8, "bob"), v1::Resume { offset: seen - 1, ..resume_of(&bob) });
    b.world.done(8, say("meanwhile"));
    let resumed = b.back(&mut memory, (7, "ann"), v1::Resume { offset: seen, ..resume_of(&ann) });
    assert!(!resumed.recovered && resumed.snapshot.is_some());
    assert_eq!(resumed.missed, 1);
    assert_eq!(said(&mut b.world, 7), ["\"meanwhile\""]);
}

#[test]
fn what_waits_for_somebody_comes_after_all_that_it_saw_where_nobody_wrote_it_down() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    let bob = a.world.join(2, "bob");
    a.pass(Duration::from_millis(100), &mut memory);
    for _ in 0..5 {
        a.world.done(2, offer_to("ann"));
    }
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    b.world.back(8, "bob", v1::Resume { offset: 2, ..resume_of(&bob) });
    b.world.done(8, offer_to("ann"));
    b.world.done(8, offer_to("ann"));
    let resumed = b.world.back(7, "ann", v1::Resume { offset: 2, seq: 5, ..resume_of(&ann) });
    assert!(resumed.recovered);
    assert_eq!(resumed.seq, 7);
    let seqs = |world: &mut World| -> Vec<u64> {
        let pushes = world.pushes(7).into_iter();
        pushes.filter_map(|body| if let Body::Signal(push) = body { Some(push.seq) } else { None }).collect()
    };
    assert_eq!(seqs(&mut b.world), [6, 7]);
    b.world.done(8, offer_to("ann"));
    assert_eq!(seqs(&mut b.world), [8]);
}

#[test]
fn what_was_said_is_heard_also_by_whom_a_directed_push_is_lost_for() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    a.world.join(2, "bob");
    // on their way to ann when the router is lost
    a.world.done(2, offer_to("ann"));
    a.world.done(2, say("kept"));
    a.pass(Duration::from_secs(1), &mut memory);
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    let resumed = b.world.back(7, "ann", v1::Resume { offset: 2, ..resume_of(&ann) });
    assert!(!resumed.recovered, "the offer is gone");
    assert_eq!(said(&mut b.world, 7), ["\"kept\""]);
}

#[test]
fn a_room_that_is_handed_over_goes_on_with_all_that_was_there() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    let bob = a.world.join(2, "bob");
    a.pass(Duration::from_secs(1), &mut memory);
    a.world.lose(1);
    a.world.done(2, say("missed"));
    a.world.done(2, offer_to("ann"));
    a.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    a.carry_out(&mut memory);
    assert_eq!(a.world.closed[&2], Code::RoomElsewhere);
    assert_eq!((a.world.router.rooms(), a.world.router.sessions()), (0, 0));
    assert!(a.world.kinds(2).iter().all(|kind| !matches!(kind, Kind::RoomClosed(_))), "it does not end");
    assert!(matches!(*a.facts(), [KeepingFact::RoomHandedOver { sessions: 2, .. }]));

    let mut b = Keeps::new("b", 2);
    assert!(
        matches!(memory.take("r", memory.next("r", "c"), false), Taken::Kept(_)),
        "whoever wants it gets it without force"
    );
    b.take(&mut memory);
    assert!(matches!(*b.facts(), [KeepingFact::RoomRestored { sessions: 2, entries: 4, .. }]));
    let resumed = b.world.back(7, "ann", resume_of(&ann));
    assert!(resumed.recovered);
    assert_eq!((resumed.missed, resumed.seq), (4, 1), "bob, the message, the offer and the edge");
    assert!(b.world.back(8, "bob", v1::Resume { offset: 4, ..resume_of(&bob) }).recovered);
    // and what happens here is kept in its turn
    b.world.done(8, say("on"));
    b.pass(Duration::from_secs(1), &mut memory);
    let mut c = Keeps::new("c", 3);
    c.take(&mut memory);
    assert!(matches!(*c.facts(), [KeepingFact::RoomRestored { sessions: 2, .. }]));
    // across two edges
    assert!(c.world.back(9, "ann", v1::Resume { seq: 1, ..resume_of(&ann) }).recovered);
}

#[test]
fn a_request_that_was_carried_out_is_answered_and_not_done_again() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    a.world.join(2, "bob");
    a.world.frame(1, Some(77), camera("c"), None);
    let reply = a.world.take(1).into_iter().find(|frame| frame.id == Some(77)).unwrap();
    a.world.frame(1, Some(78), say("once"), None);
    a.pass(Duration::from_secs(1), &mut memory);
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    b.world.back(7, "ann", v1::Resume { offset: 2, ..resume_of(&ann) });
    b.world.frame(7, Some(77), camera("c"), None);
    let again = b.world.take(7).into_iter().find(|frame| frame.id == Some(77)).unwrap();
    assert_eq!(again, reply);
    let tip = b.world.done(7, say("new")).offset.unwrap();
    b.world.frame(7, Some(78), say("once"), None);
    assert_eq!(b.world.done(7, say("newer")).offset, Some(tip + 1), "and nothing in between");
}

#[test]
fn a_token_that_was_used_where_nobody_wrote_it_down_is_good_once() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    a.world.lose(1);
    let resumed = a.world.back(2, "ann", resume_of(&ann));
    // lost before it was written
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    let newest = v1::Resume { resume_token: resumed.resume_token, ..resume_of(&ann) };
    b.world.back(7, "ann", newest);
    let frames = b.world.resume(8, grant("ann"), resume_of(&ann));
    assert_eq!(code_of(frames[0].body.as_ref().unwrap()), Code::ResumeTokenSpent);
}

#[test]
fn who_does_not_come_back_leaves_and_a_room_that_ends_is_kept_no_more() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    a.world.join(2, "bob");
    a.pass(Duration::from_secs(1), &mut memory);
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    b.world.back(7, "ann", resume_of(&ann));
    b.world.kinds(7);
    b.pass(Duration::from_secs(21), &mut memory);
    assert_eq!(words(&b.world.kinds(7)), ["left bob lingered_out"]);
    b.world.done(7, Op::Leave(v1::Leave::default()));
    b.pass(Duration::from_secs(31), &mut memory);
    assert!(memory.is_empty());
    // and the one that lost it cannot bring it back
    a.world.done(2, say("late"));
    a.pass(Duration::from_secs(1), &mut memory);
}

#[test]
fn a_router_that_was_taken_from_writes_nothing_and_says_so() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    b.carry_out(&mut memory);
    a.world.done(1, say("here"));
    a.pass(Duration::from_secs(1), &mut memory);
    assert_eq!(a.facts(), [KeepingFact::RoomHeld { room: "r".into(), owner: "b".to_owned() }]);
    assert_eq!(a.world.router.behind().0, 1);
    // the other lets go of it: it is kept again, as it is here
    b.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    b.carry_out(&mut memory);
    a.pass(Duration::from_secs(3), &mut memory);
    assert_eq!(a.world.router.behind(), (0, None));
    let mut c = Keeps::new("c", 3);
    c.take(&mut memory);
    assert!(matches!(*c.facts(), [KeepingFact::RoomRestored { sessions: 1, entries: 2, .. }]));
}

#[test]
fn what_could_not_be_written_waits_in_the_history_and_is_written_when_it_can_be() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    a.cut = true;
    for number in 0..150 {
        a.world.done(1, say(&number.to_string()));
        a.pass(Duration::from_millis(20), &mut memory);
    }
    let (rooms, since) = a.world.router.behind();
    assert_eq!(rooms, 1);
    assert!(a.world.now().at - since.unwrap() >= Duration::from_secs(2));
    a.cut = false;
    a.pass(Duration::from_secs(3), &mut memory);
    assert_eq!(a.world.router.behind(), (0, None));
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    let entries = settings().history_events;
    assert_eq!(b.facts(), [KeepingFact::RoomRestored { room: "r".into(), sessions: 1, entries }]);
}

#[test]
fn a_drain_that_ends_leaves_its_rooms_to_others() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    a.world.handle(Input::Drain { window: Duration::from_secs(1) });
    a.pass(Duration::from_secs(2), &mut memory);
    assert_eq!(a.world.closed[&1], Code::Draining);
    let mut b = Keeps::new("b", 2);
    b.take(&mut memory);
    assert!(b.world.back(7, "ann", resume_of(&ann)).recovered);
}

#[test]
fn a_router_without_a_place_for_the_room_leaves_it_and_says_why() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    let mut b = Keeps::with("b", Settings { sessions_max: 0, ..keeps(2) });
    b.take(&mut memory);
    let facts = b.facts();
    let [KeepingFact::RoomNotRestored { why, .. }] = &*facts else { panic!("not restored: {facts:?}") };
    assert!(why.contains("sessions_max"), "{why}");
    assert_eq!(b.world.router.rooms(), 0);
}

#[test]
fn a_room_stays_on_its_media_node_where_that_is_known_and_moves_where_it_is_not() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.add_node("m1", "sh");
    let ann = a.world.join(1, "ann");
    assert_eq!(ann.media.as_ref().unwrap().node, "m1");
    a.pass(Duration::from_secs(1), &mut memory);
    a.world.calls.clear();
    a.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    assert!(a.world.calls.is_empty(), "its node is told nothing: {:?}", a.world.calls);
    a.carry_out(&mut memory);

    let mut b = Keeps::new("b", 2);
    for node in ["m1", "m2", "m3"] {
        b.world.add_node(node, "sh");
    }
    b.take(&mut memory);
    let told: Vec<_> = b.world.calls.iter().map(|(node, call, _)| (node.as_str(), call.room())).collect();
    assert_eq!(told, [("m1", "r")], "who is there");
    let resumed = b.world.back(7, "ann", resume_of(&ann));
    assert!(resumed.recovered);
    assert_eq!(words(&b.world.kinds(7)), ["continued after 1"], "and it did not move");
    b.pass(Duration::from_secs(1), &mut memory);

    let mut c = Keeps::new("c", 3);
    c.world.add_node("m9", "sh");
    c.take(&mut memory);
    assert!(c.world.back(8, "ann", resume_of(&ann)).recovered);
    assert_eq!(words(&c.world.kinds(8)), ["continued after 1", "continued after 3", "moved m9 node_failed"]);
}
