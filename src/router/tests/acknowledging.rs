//! Answers that wait until what they acknowledge is kept, and changes that are refused while it cannot be.

use super::{
    keeping::{Keeps, elsewhere, keeps, said},
    *,
};
use crate::{
    event::{AnswerOutcome, KeepingFact},
    fabric::memory::Memory,
};

const DEADLINE: Duration = Duration::from_millis(150);

fn acknowledges(seed: u64) -> Settings {
    let mut settings = keeps(seed);
    settings.keeping = settings.keeping.map(|keeping| KeepingSettings { acknowledge: Acknowledge::Kept, ..keeping });
    settings
}

/// Ann and bob in a room that is kept.
fn two_in_a_kept_room() -> (Keeps, Memory, v1::Joined) {
    let (mut a, mut memory) = (Keeps::with("a", acknowledges(1)), Memory::default());
    let ann = a.world.join(1, "ann");
    a.world.join(2, "bob");
    a.pass(Duration::from_secs(1), &mut memory);
    a.world.pushes(1);
    a.world.pushes(2);
    a.facts();
    (a, memory, ann)
}

fn outcomes(a: &mut Keeps) -> Vec<AnswerOutcome> {
    let facts = a.facts().into_iter();
    facts
        .filter_map(|fact| if let KeepingFact::AnswerEnded { outcome } = fact { Some(outcome) } else { None })
        .collect()
}

/// The one answer, a refusal.
fn refusal(answers: &[Body]) -> (Code, String, Option<u64>) {
    let [Body::Error(error)] = answers else { panic!("refused once: {answers:?}") };
    (Code::by_name(&error.code).unwrap(), error.message.clone(), error.retry_after_ms)
}

fn offset(answers: &[Body]) -> u64 {
    let [Body::Ok(ok)] = answers else { panic!("done once: {answers:?}") };
    ok.offset.unwrap()
}

#[test]
fn a_change_is_seen_at_once_and_acknowledged_once_it_is_kept() {
    let (mut a, mut memory, _) = two_in_a_kept_room();
    let first = a.world.start(1, say("1"));
    assert_eq!(said(&mut a.world, 2), ["\"1\""]);
    // nothing is under way: it is written in the same moment
    a.world.pass(Duration::ZERO);
    assert_eq!(a.world.asks.len(), 1);
    let (second, third) = (a.world.start(1, say("2")), a.world.start(2, camera("c")));
    assert_eq!(said(&mut a.world, 2), ["\"2\""]);
    assert_eq!(a.world.answers(1, first), []);
    assert_eq!(a.world.router.held_answers(), 3);
    let write = a.world.asks.pop().unwrap();
    let (room, epoch, fabric::Ask::Write(changes)) = write else { panic!("a write: {write:?}") };
    let written = memory.write(room.as_str(), memory.next(room.as_str(), "a"), *changes);
    a.world.handle(Input::Kept { room, epoch, answer: fabric::Answer::Written(written) });
    assert_eq!(offset(&a.world.answers(1, first)), 3);
    // what came meanwhile is under way by now, all of it
    assert_eq!(a.world.answers(1, second), []);
    a.carry_out(&mut memory);
    assert_eq!(offset(&a.world.answers(1, second)), 4);
    let published = a.world.answers(2, third);
    assert!(matches!(&*published, [Body::Ok(ok)] if ok.track.is_some()), "{published:?}");
    assert_eq!((a.world.router.held_answers(), a.world.held.len()), (0, 0));
    assert_eq!(outcomes(&mut a), [AnswerOutcome::Kept; 3]);
}

#[test]
fn what_was_acknowledged_is_there_when_the_router_is_lost_in_that_moment() {
    let (mut a, mut memory, ann) = two_in_a_kept_room();
    let mut acknowledged = Vec::new();
    for number in 0..20 {
        let id = a.world.start(2, say(&number.to_string()));
        a.world.pass(Duration::ZERO);
        a.carry_out(&mut memory);
        offset(&a.world.answers(2, id));
        acknowledged.push(format!("\"{number}\""));
    }
    a.world.start(2, say("not acknowledged"));
    let mut b = Keeps::with("b", acknowledges(2));
    b.take(&mut memory);
    assert!(b.world.back(7, "ann", v1::Resume { offset: 2, ..resume_of(&ann) }).recovered);
    assert_eq!(said(&mut b.world, 7), acknowledged);
}

#[test]
fn what_is_no_change_of_the_room_waits_for_nobody() {
    let (mut a, _memory, _) = two_in_a_kept_room();
    a.world.done(1, offer_to("bob"));
    a.world.done(1, say_to(&["bob"], "aside"));
    let pong = a.world.ask(1, Op::Ping(v1::Ping::default()));
    assert!(matches!(pong, Body::Pong(_)));
    let update = Op::Update(Box::new(v1::Update { token: "fresh".to_owned(), ..v1::Update::default() }));
    let less = Grant { permissions: Permissions { can_publish: false, ..allowed() }, ..grant("ann") };
    let Body::Ok(ok) = a.world.ask_with(1, update, Some(less)) else { panic!("taken") };
    assert!(ok.offset.is_some(), "others hear of it, and yet");
    a.world.join(3, "carol");
    a.world.done(3, Op::Leave(v1::Leave::default()));
    assert_eq!(a.world.router.held_answers(), 0);
}

#[test]
fn who_wants_no_answer_waits_for_none() {
    let (mut a, _memory, _) = two_in_a_kept_room();
    a.world.frame(1, None, say("no id"), None);
    assert_eq!(said(&mut a.world, 2), ["\"no id\""]);
    assert_eq!(a.world.ended.last(), Some(&Outcome::Ok));
    assert_eq!(a.world.router.held_answers(), 0);
}

#[test]
fn an_answer_that_is_late_says_what_is_known_and_a_repeat_is_answered_once_it_is_kept() {
    let (mut a, mut memory, _) = two_in_a_kept_room();
    let id = a.world.start(1, say("once"));
    a.world.pass(DEADLINE);
    let (code, message, retry) = refusal(&a.world.answers(1, id));
    assert_eq!((code, retry), (Code::DeadlineExceeded, Some(250)));
    assert!(message.contains("the same request with the same `id`"), "{message}");
    assert_eq!(a.world.ended.last(), Some(&Outcome::Refused(Code::DeadlineExceeded)));
    // the write still hangs
    a.world.frame(1, Some(id), say("once"), None);
    assert_eq!(a.world.answers(1, id), []);
    a.carry_out(&mut memory);
    assert_eq!(offset(&a.world.answers(1, id)), 3);
    a.world.frame(1, Some(id), say("once"), None);
    assert_eq!(offset(&a.world.answers(1, id)), 3, "and at once from then on");
    assert_eq!(said(&mut a.world, 2), ["\"once\""]);
    assert_eq!(outcomes(&mut a), [AnswerOutcome::Late, AnswerOutcome::Kept]);
}

#[test]
fn a_repeat_where_the_room_went_on_is_answered_from_its_log() {
    let (mut a, mut memory, ann) = two_in_a_kept_room();
    let id = a.world.start(1, say("kept, and nobody heard so"));
    a.world.pass(Duration::ZERO);
    let asks = std::mem::take(&mut a.world.asks);
    for (room, _, ask) in asks {
        let fabric::Ask::Write(write) = ask else { panic!("a write") };
        memory.write(room.as_str(), memory.next(room.as_str(), "a"), *write);
    }
    let mut b = Keeps::with("b", acknowledges(2));
    b.take(&mut memory);
    b.world.back(7, "ann", v1::Resume { offset: 2, ..resume_of(&ann) });
    b.world.frame(7, Some(id), say("kept, and nobody heard so"), None);
    assert_eq!(offset(&b.world.answers(7, id)), 3, "at once: it is kept");
}

#[test]
fn while_nothing_can_be_kept_changes_are_refused_and_everything_else_goes_on() {
    let (mut a, mut memory, _) = two_in_a_kept_room();
    a.cut = true;
    let id = a.world.start(1, say("in vain"));
    a.pass(Duration::from_millis(10), &mut memory);
    assert_eq!(a.world.answers(1, id), [], "it may yet be kept");
    let track = Op::Unpublish(v1::Unpublish { track: "TR_x".to_owned() });
    for op in [say("refused"), camera("c"), track] {
        let id = a.world.start(1, op);
        let (code, message, retry) = refusal(&a.world.answers(1, id));
        assert_eq!((code, retry), (Code::RoomUnavailable, Some(1_000)));
        assert!(message.starts_with("not done"), "{message}");
    }
    a.world.frame(1, None, say("also without an id"), None);
    assert!(matches!(&*a.world.pushes(1), [Body::Error(_)]));
    assert_eq!(said(&mut a.world, 2), ["\"in vain\""]);
    a.world.done(1, offer_to("bob"));
    a.world.join(3, "carol");
    a.world.done(3, Op::Leave(v1::Leave::default()));
    a.pass(DEADLINE, &mut memory);
    assert_eq!(refusal(&a.world.answers(1, id)).0, Code::DeadlineExceeded);
    assert!(a.world.closed.keys().eq(&[3]), "nobody but who left is closed: {:?}", a.world.closed);
    assert_eq!(a.world.attached.len(), 2);
    // back, it is kept within the pause between tries, and then all is as before
    a.cut = false;
    a.pass(Duration::from_secs(2), &mut memory);
    a.world.frame(1, Some(id), say("in vain"), None);
    assert_eq!(offset(&a.world.answers(1, id)), 3);
    let again = a.world.start(1, say("refused"));
    a.pass(Duration::from_millis(10), &mut memory);
    assert_eq!(offset(&a.world.answers(1, again)), 6, "carol came and went");
}

#[test]
fn a_room_that_another_router_has_takes_no_change() {
    let (mut a, mut memory, _) = two_in_a_kept_room();
    let mut b = Keeps::with("b", acknowledges(2));
    b.take(&mut memory);
    b.carry_out(&mut memory);
    let id = a.world.start(1, say("too late"));
    a.pass(Duration::from_millis(10), &mut memory);
    let refused = a.world.start(1, say("refused"));
    let (code, message, _) = refusal(&a.world.answers(1, refused));
    assert_eq!(code, Code::RoomUnavailable);
    assert!(message.contains("another router keeps this room"), "{message}");
    a.pass(DEADLINE, &mut memory);
    assert_eq!(refusal(&a.world.answers(1, id)).0, Code::DeadlineExceeded);
    // it is let go of, and this one claims it again
    b.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    b.carry_out(&mut memory);
    a.pass(Duration::from_secs(3), &mut memory);
    let again = a.world.start(1, say("taken"));
    a.pass(Duration::from_millis(10), &mut memory);
    offset(&a.world.answers(1, again));
}

#[test]
fn who_left_meanwhile_is_answered_by_nobody_and_its_signal_ends() {
    let (mut a, mut memory, ann) = two_in_a_kept_room();
    let id = a.world.start(1, say("and away"));
    a.world.lose(1);
    a.world.back(3, "ann", resume_of(&ann));
    a.carry_out(&mut memory);
    a.pass(Duration::from_millis(10), &mut memory);
    assert_eq!(a.world.ended.last(), Some(&Outcome::Gone));
    a.world.frame(3, Some(id), say("and away"), None);
    assert_eq!(offset(&a.world.answers(3, id)), 3);
    // a room that goes takes its answers along
    let held = a.world.start(3, say("last"));
    a.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    a.pass(DEADLINE, &mut memory);
    assert_eq!(a.world.answers(3, held), []);
    assert_eq!((a.world.ended.last(), a.world.router.held_answers()), (Some(&Outcome::Gone), 0));
}

#[test]
fn the_admin_api_is_answered_as_clients_are() {
    let (mut a, mut memory, _) = two_in_a_kept_room();
    let send = || {
        AdminCall::SendData(v1::SendDataRequest {
            room: "r".to_owned(),
            data: Some("1".to_owned()),
            ..v1::SendDataRequest::default()
        })
    };
    a.world.start_admin(send());
    assert_eq!(a.world.admin_answer(), None);
    a.pass(Duration::from_millis(10), &mut memory);
    assert_eq!(a.world.admin_answer(), Some(Ok(AdminReply::Sent { offset: Some(3) })));
    // what is asked waits for nobody
    a.world.admin(AdminCall::GetRoom(v1::GetRoomRequest { room: "r".to_owned() })).unwrap();
    a.cut = true;
    a.world.start_admin(send());
    a.pass(DEADLINE, &mut memory);
    assert_eq!(a.world.admin_answer().unwrap().unwrap_err().code, Code::DeadlineExceeded);
    assert_eq!(a.world.admin(send()).unwrap_err().code, Code::RoomUnavailable);
    let remove = v1::RemoveParticipantRequest { room: "r".to_owned(), identity: "bob".to_owned() };
    a.world.admin(AdminCall::RemoveParticipant(remove)).unwrap();
    assert_eq!(a.world.closed[&2], Code::Removed, "nobody is kept in a room because Redis is away");
}

#[test]
fn answers_that_wait_are_bounded() {
    let settings = Settings { history_events: 10_000, ..acknowledges(1) };
    let mut a = Keeps::with("a", settings);
    a.world.join(1, "ann");
    // what is asked hangs
    let mut held = 0;
    let code = loop {
        let id = a.world.start(1, say("x"));
        match &*a.world.answers(1, id) {
            [] => held += 1,
            answers => break refusal(answers).0,
        }
        assert!(held <= 5_000);
    };
    assert_eq!((held, code), (4_096, Code::Overloaded));
    a.world.pass(DEADLINE);
    assert_eq!(a.world.router.held_answers(), 0);
    assert_eq!(outcomes(&mut a).len(), 4_097);
}

/// What hangs is carried out and answered.
fn stands(a: &mut Keeps, memory: &mut Memory) -> usize {
    a.world.pass(Duration::ZERO);
    let (room, epoch, fabric::Ask::Write(write)) = a.world.asks.pop().expect("a write") else { panic!("a write") };
    let entries = write.entries.len();
    let written = memory.write(room.as_str(), memory.next(room.as_str(), "a"), *write);
    a.world.handle(Input::Kept { room, epoch, answer: fabric::Answer::Written(written) });
    entries
}

#[test]
fn a_change_is_acknowledged_with_all_that_it_made_and_not_by_the_log_alone() {
    let settings = Settings { history_events: 10_000, ..acknowledges(1) };
    let (mut a, mut memory) = (Keeps::with("a", settings), Memory::default());
    a.world.join(1, "ann");
    a.world.join(2, "bob");
    a.pass(Duration::from_secs(1), &mut memory);
    let first = a.world.start(1, say("under way"));
    a.world.pass(Duration::ZERO);
    let published = a.world.start(2, camera("c"));
    (0..600).for_each(|_| a.world.frame(1, None, say("more than one write takes"), None));
    stands(&mut a, &mut memory);
    offset(&a.world.answers(1, first));
    assert_eq!(stands(&mut a, &mut memory), 512);
    assert_eq!(a.world.answers(2, published), [], "its member's record is not there yet");
    stands(&mut a, &mut memory);
    assert!(matches!(&*a.world.answers(2, published), [Body::Ok(_)]));
}

#[test]
fn what_left_the_history_before_it_was_written_is_not_acknowledged() {
    let (mut a, mut memory) = (Keeps::with("a", Settings { history_events: 4, ..acknowledges(1) }), Memory::default());
    a.world.join(1, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    let first = a.world.start(1, say("under way"));
    a.world.pass(Duration::ZERO);
    let ids: Vec<u64> = (0..6).map(|number: u64| a.world.start(1, say(&number.to_string()))).collect();
    stands(&mut a, &mut memory);
    offset(&a.world.answers(1, first));
    assert_eq!(stands(&mut a, &mut memory), 4);
    for (place, id) in ids.into_iter().enumerate() {
        let answers = a.world.answers(1, id);
        match place {
            0..2 => assert_eq!(refusal(&answers).0, Code::DeadlineExceeded),
            _ => assert!(offset(&answers) > 0),
        }
    }
}
