//! Messages, signals, replies.

use super::*;

fn texts(pushes: &[Body]) -> Vec<String> {
    pushes
        .iter()
        .filter_map(|body| match body {
            Body::Data(push) => push.data.clone(),
            _ => None,
        })
        .collect()
}

#[test]
fn a_message_reaches_the_others_with_its_offset_and_is_not_echoed() {
    let mut world = World::new();
    for (connection, identity) in [(1, "ann"), (2, "bob"), (3, "cat")] {
        world.join(connection, identity);
    }
    for connection in 1..=3 {
        world.pushes(connection);
    }
    let offset = world.done(1, say("hi")).offset;
    assert_eq!(offset, Some(4));
    assert!(world.pushes(1).is_empty());
    for connection in [2, 3] {
        let pushes = world.pushes(connection);
        let [Body::Data(push)] = &pushes[..] else { panic!("{pushes:?}") };
        assert_eq!((push.from.as_str(), push.data.as_deref()), ("ann", Some("\"hi\"")));
        assert_eq!((push.offset, push.seq), (offset, None));
    }
}

#[test]
fn bytes_and_topic_pass_as_they_came() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    let bytes = bytes::Bytes::from_static(&[0, 255, 7]);
    let send = v1::Send { bytes: Some(bytes.clone()), topic: "t".to_owned(), ..v1::Send::default() };
    world.done(1, Op::Send(send));
    let pushes = world.pushes(2);
    let [Body::Data(push)] = &pushes[..] else { panic!("{pushes:?}") };
    assert_eq!((push.bytes.as_ref(), push.topic.as_str()), (Some(&bytes), "t"));
}

#[test]
fn a_directed_message_reaches_only_its_recipients_once_each() {
    let mut world = World::new();
    for (connection, identity) in [(1, "ann"), (2, "bob"), (3, "cat")] {
        world.join(connection, identity);
    }
    for connection in 1..=3 {
        world.pushes(connection);
    }
    assert_eq!(world.done(1, say_to(&["bob", "bob"], "psst")).offset, None);
    let pushes = world.pushes(2);
    let [Body::Data(push)] = &pushes[..] else { panic!("{pushes:?}") };
    assert_eq!((push.offset, push.seq), (None, Some(1)));
    assert!(world.pushes(1).is_empty() && world.pushes(3).is_empty());
}

#[test]
fn an_unknown_recipient_is_named_and_nothing_is_sent() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    let Body::Error(error) = world.ask(1, say_to(&["bob", "nobody", "none"], "x")) else { panic!() };
    assert_eq!(error.code, "participant_not_found");
    assert!(error.message.contains("`nobody`"), "{}", error.message);
    assert!(world.pushes(2).is_empty());
}

#[test]
fn a_signal_names_its_sender_and_is_numbered() {
    let mut world = World::new();
    let ann = world.join(1, "ann").you.unwrap();
    world.join(2, "bob");
    assert_eq!(world.done(1, offer_to("bob")).offset, None);
    world.done(1, offer_to("bob"));
    let pushes = world.pushes(2);
    let [Body::Signal(first), Body::Signal(second)] = &pushes[..] else { panic!("{pushes:?}") };
    assert_eq!((first.from.as_str(), &first.from_id, first.seq), ("ann", &ann.id, 1));
    assert_eq!(first.offer.as_ref().unwrap().sdp, "v=0");
    assert_eq!(second.seq, 2);
}

#[test]
fn a_signal_needs_somebody_else_who_is_there() {
    let mut world = World::new();
    world.join(1, "ann");
    assert_eq!(world.refused(1, offer_to("")), Code::NoMediaNode);
    assert_eq!(world.refused(1, offer_to("nobody")), Code::ParticipantNotFound);
    assert_eq!(world.refused(1, offer_to("ann")), Code::BadRequest);
}

#[test]
fn without_an_id_only_failures_and_pongs_are_answered() {
    let mut world = World::new();
    world.join(1, "ann");
    world.frame(1, None, say("x"), None);
    assert!(world.take(1).is_empty());
    world.frame(1, None, offer_to("nobody"), None);
    let frames = world.take(1);
    assert_eq!((frames.len(), frames[0].id), (1, None));
    assert_eq!(code_of(frames[0].body.as_ref().unwrap()), Code::ParticipantNotFound);
    world.frame(1, None, Op::Ping(v1::Ping { seq: 0, timestamp_ms: 5 }), None);
    let frames = world.take(1);
    assert_eq!(frames[0].id, None);
    let pong = v1::Pong { timestamp_ms: 5, server_time_ms: EPOCH_MS };
    assert_eq!(frames[0].body, Some(Body::Pong(pong)));
    assert_eq!(world.ask(1, Op::Ping(v1::Ping { seq: 0, timestamp_ms: 5 })), Body::Pong(pong));
}

#[test]
fn a_repeated_id_is_answered_and_not_redone() {
    let mut world = World::new();
    world.join(1, "ann");
    world.join(2, "bob");
    world.frame(1, Some(7), say("once"), None);
    world.frame(1, Some(7), say("once"), None);
    let replies = world.take(1);
    let replies: Vec<_> = replies.iter().filter(|frame| frame.id == Some(7)).collect();
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0], replies[1]);
    assert_eq!(texts(&world.pushes(2)), ["\"once\""]);

    world.frame(1, Some(8), offer_to("late"), None);
    world.join(3, "late");
    world.frame(1, Some(8), offer_to("late"), None);
    let refused = world.take(1).into_iter().filter(|frame| frame.id == Some(8)).count();
    assert_eq!(refused, 2, "a refusal is repeated, too");
    assert!(world.pushes(3).is_empty());
}

#[test]
fn replies_survive_a_resume() {
    let mut world = World::new();
    let joined = world.join(1, "ann");
    world.join(2, "bob");
    world.frame(1, Some(7), say("once"), None);
    let first = world.take_replies(1, 7);
    world.lose(1);
    world.back(3, "ann", resume_of(&joined));
    world.frame(3, Some(7), say("once"), None);
    assert_eq!(world.take_replies(3, 7), first);
    assert_eq!(texts(&world.pushes(2)), ["\"once\""]);
}

#[test]
fn old_replies_give_way_to_new_ones() {
    let mut world = World::with(Settings { replies: 2, ..settings() });
    world.join(1, "ann");
    world.join(2, "bob");
    for id in [7, 8, 9, 7] {
        world.frame(1, Some(id), say(&id.to_string()), None);
    }
    assert_eq!(texts(&world.pushes(2)), ["\"7\"", "\"8\"", "\"9\"", "\"7\""]);
}

#[test]
fn what_is_acknowledged_is_held_no_longer() {
    let mut world = World::with(Settings { held_pushes: 2, ..settings() });
    world.join(1, "ann");
    let bob = world.join(2, "bob");
    for _ in 0..4 {
        world.done(1, offer_to("bob"));
    }
    let discarded =
        |world: &World| world.events.iter().filter(|event| **event == Event::PushDiscarded { buffer: "held" }).count();
    assert_eq!(discarded(&world), 2);
    world.ask(2, Op::Ping(v1::Ping { seq: 4, timestamp_ms: 0 }));
    for _ in 0..2 {
        world.done(1, offer_to("bob"));
    }
    assert_eq!(discarded(&world), 2);
    world.lose(2);
    let resumed = world.back(3, "bob", v1::Resume { seq: 4, ..resume_of(&bob) });
    assert!(resumed.recovered);
    let seqs: Vec<_> =
        world.pushes(3).iter().filter_map(|b| if let Body::Signal(s) = b { Some(s.seq) } else { None }).collect();
    assert_eq!(seqs, [5, 6]);
}
