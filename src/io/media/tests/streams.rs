//! The stream to a node: who answers, what it says, and that it is made again.

use super::*;
use crate::{event::NodeRefusal, protocol::v1::FromNode};

fn is_known(fact: &NodeFact) -> bool {
    matches!(fact, NodeFact::Known(_))
}

fn is_gone(fact: &NodeFact) -> bool {
    matches!(fact, NodeFact::Gone { .. })
}

#[tokio::test]
async fn a_node_is_known_before_anything_is_told_of_it_and_its_round_trip_is_ours() {
    let node = FakeNode::start("n1").await;
    let world = World::around(&node, |_| ()).await;
    assert!(matches!(&world.facts[0], NodeFact::Known(info) if info.id.as_str() == "n1"), "{:?}", world.facts);
    let NodeFact::RoundTrip { rtt, .. } = world.facts.last().unwrap() else { panic!() };
    assert!(*rtt > Duration::ZERO && *rtt < Duration::from_secs(1), "{rtt:?}");
    let hello = node.conduct.hellos.lock().unwrap()[0].clone();
    assert_eq!((hello.router.as_str(), hello.region.as_str(), hello.report_ms), ("router-1", "sh", 100));
    world.told(|fact| matches!(fact, MediaFact::StreamUp { version, .. } if version == "fake/1")).await;
}

#[tokio::test]
async fn reports_pass_as_they_came_lies_included() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |_| ()).await;
    node.report(|report| {
        (report.cpu_percent, report.memory_percent, report.loss) = (f64::NAN, -1.0, 1e9);
        report.sent_at_ms += 90_000;
    })
    .await;
    let fact = world.fact(|fact| matches!(fact, NodeFact::Reported { .. })).await;
    let NodeFact::Reported { load, .. } = fact else { panic!() };
    assert!(load.cpu_percent.is_nan());
    assert_eq!((load.memory_percent, load.loss, load.draining), (-1.0, 1e9, false));
    let skewed = world.told(|fact| matches!(fact, MediaFact::Skewed { .. })).await;
    let MediaFact::Skewed { seconds, .. } = skewed else { panic!() };
    assert!((seconds - 90.0).abs() < 5.0, "{seconds}");
}

#[tokio::test]
async fn a_node_that_reports_in_a_rush_is_heard_now_and_then() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |settings| settings.report = Duration::from_secs(3_600)).await;
    for n in 0..50 {
        node.report(|report| report.cpu_percent = f64::from(n)).await;
    }
    // the stream keeps its order: what follows the reports was heard after them
    let push = v1::MediaPush {
        room: "r".into(),
        participant_id: "a".into(),
        end_of_candidates: Some(v1::EndOfCandidates::default()),
        ..v1::MediaPush::default()
    };
    node.say(FromNode { push: Some(push.clone()), ..FromNode::default() }).await;
    assert_eq!(world.pushed().await, push);
    node.say(FromNode { push: Some(push), ..FromNode::default() }).await;
    world.pushed().await;
    let told = world.count(|fact| matches!(fact, MediaFact::Skewed { .. }));
    assert_eq!(told, 1);
}

#[tokio::test]
async fn pushes_that_cannot_be_used_are_dropped_and_the_next_one_comes_through() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |_| ()).await;
    let push = |room: &str| {
        let push = v1::MediaPush {
            room: room.into(),
            participant_id: "a".into(),
            offer: Some(v1::SessionDescription { sdp: "v=0".into(), ice_restart: false }),
            ..v1::MediaPush::default()
        };
        FromNode { push: Some(push), ..FromNode::default() }
    };
    node.say(push("")).await;
    node.say(push("r")).await;
    assert_eq!(world.pushed().await.room, "r");
    assert_eq!(world.count(|fact| matches!(fact, MediaFact::PushDropped { .. })), 1);
}

#[tokio::test]
async fn a_stream_that_is_lost_is_a_failure_and_is_made_again() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |_| ()).await;
    node.hang_up();
    world.fact(|fact| matches!(fact, NodeFact::Failed { .. })).await;
    world.fact(|fact| matches!(fact, NodeFact::RoundTrip { .. })).await;
    assert_eq!(world.facts.iter().filter(|fact| is_known(fact)).count(), 1, "the same process: nothing is gone");
    assert!(!world.facts.iter().any(is_gone));
}

#[tokio::test]
async fn a_node_that_echoes_nothing_is_lost() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |_| ()).await;
    *node.conduct.echoes.lock().unwrap() = false;
    world.fact(|fact| matches!(fact, NodeFact::Failed { .. })).await;
    let down = world.told(|fact| matches!(fact, MediaFact::StreamDown { .. })).await;
    assert!(matches!(&down, MediaFact::StreamDown { why, .. } if why == "3 probes were not answered"), "{down:?}");
}

#[tokio::test]
async fn a_node_that_was_started_anew_has_nothing_of_what_it_held() {
    let node = FakeNode::start("n1").await;
    let mut world = World::around(&node, |_| ()).await;
    *node.conduct.incarnation.lock().unwrap() = "second".to_owned();
    node.hang_up();
    world.fact(is_gone).await;
    world.fact(is_known).await;
    world.fact(|fact| matches!(fact, NodeFact::RoundTrip { .. })).await;
}

#[tokio::test]
async fn another_node_at_its_address_gets_no_traffic() {
    let node = FakeNode::start("other").await;
    let mut settings = settings();
    settings.nodes.push(fixed("n1", node.url()));
    let mut world = World::with(settings);
    let is_stranger = |fact: &MediaFact| matches!(fact, MediaFact::Refused { reason: NodeRefusal::Stranger, .. });
    world.told(is_stranger).await;
    assert_eq!(world.ask(offer("a"), Some(1), SOON).unwrap_err().code, Code::MediaUnavailable);
    assert!(node.calls().is_empty());
    // it takes the name that it should have: now it is the node
    *node.conduct.id.lock().unwrap() = "n1".to_owned();
    let first = world.fact(|_| true).await;
    assert!(is_known(&first), "{first:?}");
    // and becomes somebody else again
    *node.conduct.id.lock().unwrap() = "other".to_owned();
    node.hang_up();
    world.fact(is_gone).await;
}

#[tokio::test]
async fn what_is_no_hello_or_no_message_of_the_contract_is_refused() {
    let node = FakeNode::start("n1").await;
    *node.conduct.first.lock().unwrap() = Some(FromNode::default());
    let mut settings = settings();
    settings.nodes.push(fixed("n1", node.url()));
    let mut world = World::with(settings);
    let is_garbage = |fact: &MediaFact| matches!(fact, MediaFact::Refused { reason: NodeRefusal::Garbage, .. });
    world.told(is_garbage).await;
    *node.conduct.first.lock().unwrap() = None;
    world.fact(|fact| matches!(fact, NodeFact::RoundTrip { .. })).await;
    let refused = world.count(is_garbage);
    let two =
        FromNode { report: Some(v1::MediaReport::default()), echo: Some(v1::Probe::default()), ..FromNode::default() };
    node.say(two).await;
    world.fact(is_gone).await;
    assert!(world.count(is_garbage) > refused);
}

#[tokio::test]
async fn a_port_that_speaks_something_else_is_no_node() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings();
    settings.nodes.push(fixed("n1", format!("http://{}", listener.local_addr().unwrap())));
    let world = World::with(settings);
    let (mut stream, _) = listener.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.9\r\n").await.unwrap();
    world.told(|fact| matches!(fact, MediaFact::StreamDown { .. })).await;
}

#[tokio::test]
async fn a_node_that_flaps_is_connected_to_more_and_more_slowly() {
    let node = FakeNode::start("n1").await;
    let world = World::around(&node, |_| ()).await;
    let begun = Instant::now();
    let streams = || node.conduct.hellos.lock().unwrap().len();
    for n in 2..6 {
        node.hang_up();
        while streams() < n {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    // 100, 200, 400 and 800 ms, each of them at least three quarters
    assert!(begun.elapsed() >= Duration::from_millis(1_125), "{:?}", begun.elapsed());
    assert!(world.count(|fact| matches!(fact, MediaFact::StreamDown { .. })) >= 4);
}

#[tokio::test]
async fn nodes_of_the_configuration_come_and_go_while_the_router_runs() {
    let (one, two) = (FakeNode::start("n1").await, FakeNode::start("n2").await);
    let mut world = World::around(&one, |_| ()).await;
    let mut next = settings();
    next.nodes.push(fixed("n2", two.url()));
    world.media.configure(next.clone());
    let is = |id: &'static str| move |fact: &NodeFact| matches!(fact, NodeFact::Known(info) if info.id.as_str() == id);
    world.fact(|fact| matches!(fact, NodeFact::Gone { node } if node.as_str() == "n1")).await;
    if !world.facts.iter().any(is("n2")) {
        world.fact(is("n2")).await;
    }
    // other figures are told at once, without a new stream
    let streams = two.conduct.hellos.lock().unwrap().len();
    next.nodes[0].info.base_weight = 20;
    world.media.configure(next.clone());
    let heavier = world.fact(is("n2")).await;
    assert!(matches!(heavier, NodeFact::Known(info) if info.base_weight == 20));
    assert_eq!(two.conduct.hellos.lock().unwrap().len(), streams);
    // elsewhere: a new stream to the new address
    let moved = FakeNode::start("n2").await;
    next.nodes[0].control_url = moved.url();
    world.media.configure(next);
    let until = Instant::now() + PATIENCE;
    while moved.conduct.hellos.lock().unwrap().is_empty() {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
