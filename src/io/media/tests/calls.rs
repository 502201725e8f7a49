//! What becomes of calls: answers, deadlines, order, bounds, the breaker.

use super::*;
use crate::{
    event::{BreakerState, Called, SpanId, SpanRef, TraceId},
    io::faults::Faults,
};

#[tokio::test]
async fn an_offer_is_answered_and_carries_its_deadline_and_its_trace() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |_| ()).await;
    let trace = TraceId::new(7).unwrap();
    let parent = Some(SpanRef { trace, span: SpanId::new(9).unwrap(), sampled: true });
    (world.call)(MediaAsk { parent, trace: Some(trace), ..ask("n1", offer("a"), Some(1), SOON) }).unwrap();
    let answer = world.outcome(1).await.unwrap().unwrap();
    assert_eq!(answer.sdp, "v=0 for a");
    let seen = node.calls().remove(0);
    let left = seen.timeout.unwrap();
    // `grpc-timeout`: at most eight digits and a unit
    let (digits, unit) = left.split_at(left.len() - 1);
    let left: u64 = digits.parse().unwrap();
    let microseconds = match unit {
        "n" => left / 1_000,
        "u" => left,
        "m" => left * 1_000,
        other => panic!("{other}"),
    };
    assert!((4_000_000..=5_000_000).contains(&microseconds), "{microseconds} us of five seconds");
    assert_eq!(seen.traceparent.unwrap(), format!("00-{trace}-{:016x}-01", 9));
    assert_eq!(seen.trace_id.unwrap(), trace.to_string());
    let ended = world.told(|fact| matches!(fact, MediaFact::CallEnded { .. })).await;
    let MediaFact::CallEnded { op, outcome, .. } = ended else { panic!("{ended:?}") };
    assert_eq!((op, outcome), (MediaOp::Offer, Called::Done));
    world.fact(|fact| matches!(fact, NodeFact::Answered { .. })).await;
}

#[tokio::test]
async fn refusals_of_the_node_are_answers_and_what_it_wrote_is_not_passed_on_as_it_is() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |_| ()).await;
    let cases = [
        (tonic::Code::NotFound, Code::ParticipantNotFound),
        (tonic::Code::InvalidArgument, Code::BadRequest),
        (tonic::Code::PermissionDenied, Code::PermissionDenied),
        (tonic::Code::ResourceExhausted, Code::MediaOverloaded),
    ];
    for (number, (status, code)) in (1..).zip(cases) {
        node.manner(Manner::With(status, "no\r\na=ice-pwd:secretsecretsecretsecret"));
        world.ask(offer("a"), Some(number), SOON).unwrap();
        let refusal = world.outcome(number).await.unwrap_err();
        assert_eq!((refusal.code, &*refusal.message), (code, "the media node: no"));
    }
    assert!(!world.facts.iter().any(|fact| matches!(fact, NodeFact::Failed { .. })), "{:?}", world.facts);
}

#[tokio::test]
async fn failures_and_garbage_are_the_nodes_fault_and_told_each_time() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |_| ()).await;
    for (number, manner) in [(1, Manner::With(tonic::Code::Internal, "panicked")), (2, Manner::Empty)] {
        node.manner(manner);
        world.ask(offer("a"), Some(number), SOON).unwrap();
        let refusal = world.outcome(number).await.unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after_ms.is_some()), (Code::MediaUnavailable, true), "{refusal}");
    }
    world.ask(offer("a"), Some(3), SOON).unwrap();
    world.outcome(3).await.unwrap_err();
    let failed = |facts: &[NodeFact]| facts.iter().filter(|fact| matches!(fact, NodeFact::Failed { .. })).count();
    while failed(&world.facts) < 3 {
        world.fact(|fact| matches!(fact, NodeFact::Failed { .. })).await;
    }
}

#[tokio::test]
async fn an_answer_that_comes_late_or_never_is_a_deadline_that_passed() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |_| ()).await;
    for (number, manner) in [(1, Manner::Never), (2, Manner::Late(Duration::from_secs(3)))] {
        node.manner(manner);
        let begun = Instant::now();
        world.ask(offer("a"), Some(number), Duration::from_millis(100)).unwrap();
        let refusal = world.outcome(number).await.unwrap_err();
        assert_eq!(refusal.code, Code::DeadlineExceeded);
        assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(2), "the node's answer was waited for");
    }
    world.fact(|fact| matches!(fact, NodeFact::Failed { .. })).await;
    assert_eq!(world.count(|fact| matches!(fact, MediaFact::CallEnded { outcome: Called::Late, .. })), 2);
    // the node hears that nobody waits any more
    let until = Instant::now() + PATIENCE;
    while node.conduct.under_way.lock().unwrap().0 > 0 {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_waited_past_its_deadline_is_never_sent() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |settings| settings.calls_in_flight = 1).await;
    node.manner(Manner::Late(Duration::from_millis(150)));
    world.ask(offer("a"), Some(1), SOON).unwrap();
    world.ask(offer("b"), Some(2), Duration::from_millis(60)).unwrap();
    assert!(world.outcome(1).await.is_ok());
    assert_eq!(world.outcome(2).await.unwrap_err().code, Code::DeadlineExceeded);
    assert_eq!(node.calls().len(), 1, "{:?}", node.calls());
    assert_eq!(world.count(|fact| matches!(fact, MediaFact::CallEnded { outcome: Called::Expired, .. })), 1);
    let over = world.call.clone()(ask("n1", offer("c"), None, Duration::ZERO)).unwrap_err();
    assert_eq!(over.code, Code::DeadlineExceeded);
}

#[tokio::test]
async fn calls_of_one_participant_reach_the_node_in_their_order_whatever_runs_beside_them() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |settings| settings.calls_waiting = 4096).await;
    node.manner(Manner::Late(Duration::from_millis(1)));
    let who: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
    for step in 0..20_u64 {
        for (n, who) in (0..).zip(&who) {
            let call = match step % 4 {
                0 => offer(who),
                3 => end_participant(who),
                _ => candidate(who, "c"),
            };
            world.ask(call, Some(step * 8 + n), SOON).unwrap();
        }
    }
    for ticket in 152..160 {
        world.outcome(ticket).await.unwrap();
    }
    for who in &who {
        let ops: Vec<_> = node.calls().iter().filter(|seen| seen.who == *who).map(|seen| seen.op).collect();
        assert_eq!(ops, ["offer", "candidate", "candidate", "end_participant"].repeat(5), "{who}");
    }
    let most = node.conduct.under_way.lock().unwrap().1;
    assert!((2..=8).contains(&most), "{most} at once: one a participant, and several of them");
}

#[tokio::test]
async fn a_node_is_asked_so_much_at_a_time_and_what_is_over_is_refused_at_once() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |settings| (settings.calls_in_flight, settings.calls_waiting) = (2, 3)).await;
    node.manner(Manner::Never);
    let ask = |n: u64| world.ask(offer(&format!("p{n}")), Some(n), Duration::from_millis(300));
    for n in 0..5 {
        ask(n).unwrap();
    }
    let refusal = ask(5).unwrap_err();
    assert_eq!((refusal.code, refusal.retry_after_ms.is_some()), (Code::Overloaded, true));
    for n in 0..5 {
        assert_eq!(world.outcome(n).await.unwrap_err().code, Code::DeadlineExceeded);
    }
    assert_eq!(node.conduct.under_way.lock().unwrap().1, 2);
    assert_eq!(world.count(|fact| matches!(fact, MediaFact::CallEnded { outcome: Called::Full, .. })), 1);
    node.manner(Manner::Prompt);
    world.ask(offer("a"), Some(9), SOON).unwrap();
    assert!(world.outcome(9).await.is_ok());
}

#[tokio::test]
async fn a_node_that_fails_is_left_alone_tried_again_and_called_as_before() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |settings| {
        settings.breaker = BreakerSettings {
            calls_min: 4,
            open_for: Duration::from_millis(200),
            probes: 2,
            ..BreakerSettings::default()
        };
    })
    .await;
    node.manner(Manner::With(tonic::Code::Unavailable, ""));
    for number in 0..4 {
        world.ask(offer("a"), Some(number), SOON).unwrap();
        world.outcome(number).await.unwrap_err();
    }
    let opened = |fact: &MediaFact| matches!(fact, MediaFact::BreakerChanged { to: BreakerState::Open, .. });
    world.told(opened).await;
    let before = node.calls().len();
    let refusal = world.ask(offer("a"), Some(9), SOON).unwrap_err();
    assert_eq!((refusal.code, refusal.retry_after_ms.is_some()), (Code::MediaUnavailable, true));
    assert_eq!(node.calls().len(), before, "it was called all the same");
    // what takes work off the node reaches it
    world.ask(end_participant("a"), Some(10), SOON).unwrap();
    world.outcome(10).await.unwrap_err();
    assert_eq!(node.calls().last().unwrap().op, "end_participant");
    // nobody calls it any more: its probes find that it is well
    node.manner(Manner::Prompt);
    world.told(|fact| matches!(fact, MediaFact::BreakerChanged { to: BreakerState::Closed, .. })).await;
    assert!(node.calls().iter().any(|seen| seen.op == "health"));
    world.ask(offer("a"), Some(11), SOON).unwrap();
    assert!(world.outcome(11).await.is_ok());
}

#[tokio::test]
async fn a_node_that_nobody_knows_or_that_is_away_is_refused_at_once() {
    let mut lonely = settings();
    lonely.nodes.push(fixed("n1", "http://127.0.0.1:9".into()));
    let world = World::with(lonely);
    for (node, why) in [("n1", "not connected"), ("n2", "is gone")] {
        let refusal = (world.call)(ask(node, offer("a"), Some(1), SOON)).unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after_ms), (Code::MediaUnavailable, Some(1_000)));
        assert!(refusal.message.contains(why), "{refusal}");
    }
    assert_eq!(world.count(|fact| matches!(fact, MediaFact::CallEnded { outcome: Called::Unsent, .. })), 2);
}

#[tokio::test]
async fn calls_of_a_node_that_goes_end_with_it() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |settings| settings.calls_in_flight = 1).await;
    node.manner(Manner::Never);
    world.ask(offer("a"), Some(1), SOON).unwrap();
    world.ask(offer("b"), Some(2), SOON).unwrap();
    let until = Instant::now() + PATIENCE;
    while node.calls().is_empty() {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    world.media.configure(settings());
    for ticket in [1, 2] {
        assert_eq!(world.outcome(ticket).await.unwrap_err().code, Code::MediaUnavailable);
    }
    assert!(world.ask(offer("a"), Some(3), SOON).is_err());
}

#[tokio::test]
async fn the_fault_on_purpose_makes_answers_late_and_no_longer_than_it_lasts() {
    let node = FakeNode::start("n1").await;
    let faults = Faults::new(Duration::ZERO, Arc::new(|_| ()));
    let mut around = settings();
    around.nodes.push(fixed("n1", node.url()));
    let mut world = World::afflicted(around, Some(faults.clone()));
    world.fact(|fact| matches!(fact, NodeFact::RoundTrip { .. })).await;
    faults.set_media_delay(Some(Duration::from_millis(120)));
    faults.switch(Some(crate::event::Fault::SlowMedia)).unwrap();
    let begun = Instant::now();
    world.ask(offer("a"), Some(1), SOON).unwrap();
    assert!(world.outcome(1).await.is_ok());
    assert!(begun.elapsed() >= Duration::from_millis(120), "{:?}", begun.elapsed());
    world.ask(offer("a"), Some(2), Duration::from_millis(60)).unwrap();
    assert_eq!(world.outcome(2).await.unwrap_err().code, Code::DeadlineExceeded);
    faults.switch(None).unwrap();
    assert_eq!(faults.media_delay(), None);
    world.ask(offer("a"), Some(3), SOON).unwrap();
    assert!(world.outcome(3).await.is_ok());
}

#[tokio::test]
async fn at_the_end_of_the_router_calls_that_are_under_way_are_finished() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |_| ()).await;
    node.manner(Manner::Late(Duration::from_millis(50)));
    world.ask(end_participant("a"), Some(1), SOON).unwrap();
    world.media.finish().await;
    assert!(world.outcome(1).await.is_ok());
    assert!(world.ask(offer("a"), Some(2), SOON).is_err());
}
