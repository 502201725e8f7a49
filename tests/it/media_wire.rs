//! A media node at a real router: it registers, its room's offers reach it, and what it does wrong harms nobody.

mod node;

use std::time::Duration;

use serde_json::json;
use signalbox::protocol::v1;

use self::node::{FakeNode, Manner};
use crate::harness::{Router, Socket, answered, ask, eventually, get};

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-pwd:planted-ice-password\r\n";

const BROKEN: Manner = Manner::With(tonic::Code::Internal, "the encoder fell over: ice-pwd planted-ice-password");
const REFUSING: Manner =
    Manner::With(tonic::Code::InvalidArgument, "cannot read this\r\na=ice-pwd:planted-ice-password");

/// The value of a series.
async fn metric(router: &Router, series: &str) -> Option<f64> {
    let metrics = get(router.ops, "/metrics").await.body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    value.and_then(|value| value.parse().ok())
}

/// What a `grpc-timeout` says: at most eight digits and a unit (the gRPC protocol over HTTP/2).
fn millis(timeout: &str) -> u64 {
    let (digits, unit) = timeout.split_at(timeout.len() - 1);
    let number: u64 = digits.parse().unwrap();
    match unit {
        "n" => number / 1_000_000,
        "u" => number / 1_000,
        "m" => number,
        _ => panic!("more than a hundred seconds: {timeout}"),
    }
}

/// A router and a node that has its rooms.
async fn together(settings: &[(&str, &str)]) -> (Router, FakeNode) {
    let router = Router::dev_with(settings);
    let node = FakeNode::real("sfu-1").await;
    node.register(&router).await.unwrap();
    let mut tried = 0;
    answered("the node is taken into the choice", async || {
        tried += 1;
        let (_, joined) = Socket::join(&router, &format!("try-{tried}"), "somebody").await;
        joined["media"]["node"].as_str().map(drop)
    })
    .await;
    (router, node)
}

#[tokio::test]
async fn a_node_registers_and_answers_the_offers_of_its_rooms() {
    let (router, node) = together(&[]).await;
    let (mut alice, joined) = Socket::join(&router, "r", "alice").await;
    assert_eq!(joined["media"]["node"], "sfu-1", "{joined}");
    let reply = alice.ask(json!({ "signal": { "offer": { "sdp": OFFER } } })).await;
    assert_eq!(reply["answer"]["sdp"], format!("v=0 for {}", joined["you"]["id"].as_str().unwrap()), "{reply}");
    // what it was told of her came first, and her offer carries what is left of its deadline
    let seen = node.calls();
    let of_alice: Vec<_> = seen.iter().filter(|call| call.room == "r").collect();
    assert_eq!((of_alice[0].op, of_alice.last().unwrap().op), ("put_participant", "offer"), "{seen:?}");
    let left = of_alice.last().unwrap().timeout.clone().expect("no grpc-timeout");
    let millis = millis(&left);
    assert!(millis <= 10_000, "no more than all of signal.timeout_ms is left: {left}");
    assert_eq!(metric(&router, "signalbox_media_node_up{node=\"sfu-1\"}").await, Some(1.0));
    assert!(metric(&router, "signalbox_media_calls_total{call=\"offer\",outcome=\"ok\"}").await >= Some(1.0));
    assert!(metric(&router, "signalbox_media_rtt_seconds{node=\"sfu-1\"}").await > Some(0.0));
}

#[tokio::test]
async fn what_a_node_pushes_reaches_its_participant_and_nobody_else() {
    let (router, node) = together(&[]).await;
    let (mut alice, joined) = Socket::join(&router, "r", "alice").await;
    let id = joined["you"]["id"].as_str().unwrap();
    node.push(v1::MediaPush {
        room: "r".into(),
        participant_id: id.into(),
        candidate: Some(v1::Candidate { candidate: "candidate:1".into(), ..v1::Candidate::default() }),
        ..v1::MediaPush::default()
    })
    .await;
    let signal = alice.push_of("signal").await;
    assert_eq!(signal["candidate"]["candidate"], "candidate:1", "{signal}");
    assert!(signal.get("from").is_none(), "it is the node's: {signal}");
}

#[tokio::test]
async fn a_node_that_is_late_costs_its_signal() {
    let (router, node) = together(&[("signal.timeout_ms", "150")]).await;
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    node.manner(Manner::Never);
    let (code, _) = alice.refusal(json!({ "signal": { "offer": { "sdp": OFFER } } })).await;
    assert_eq!(code, "deadline_exceeded");
    alice.assert_alive().await;
}

#[tokio::test]
async fn a_node_that_fails_costs_its_signal_and_no_other() {
    let (router, node) = together(&[]).await;
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    node.manner(BROKEN);
    let (code, message) = alice.refusal(json!({ "signal": { "offer": { "sdp": OFFER } } })).await;
    assert_eq!((code.as_str(), message.as_str()), ("media_unavailable", "the media node failed"));
    node.manner(REFUSING);
    let (code, message) = alice.refusal(json!({ "signal": { "offer": { "sdp": OFFER } } })).await;
    assert_eq!((code.as_str(), message.as_str()), ("bad_request", "the media node: cannot read this"));
    alice.ask(json!({ "send": { "data": "still here" } })).await;
    assert_eq!(bob.push_of("data").await["data"], "still here");
}

#[tokio::test]
async fn slow_nodes_on_purpose_open_the_breaker_and_its_end_closes_it() {
    let settings = [
        ("media.probe_ms", "50"),
        ("media.breaker.calls_min", "5"),
        ("media.breaker.slow_ms", "60"),
        ("media.breaker.open_ms", "100"),
        ("media.breaker.open_max_ms", "200"),
    ];
    let (router, _node) = together(&settings).await;
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let injected = ask(router.ops, "PUT /api/fault", "", "slow-media=80").await;
    assert_eq!(injected.json(), json!({ "fault": "slow-media", "was": null }));
    let mut refused = 0;
    while refused == 0 {
        let reply = alice.ask(json!({ "signal": { "offer": { "sdp": OFFER } } })).await;
        refused = usize::from(reply["error"]["code"] == "media_unavailable");
        assert!(refused == 1 || reply["answer"].is_object(), "{reply}");
    }
    assert_eq!(metric(&router, "signalbox_fault_active{fault=\"slow-media\"}").await, Some(1.0));
    let opened = "signalbox_media_breaker_changes_total{to=\"open\",reason=\"slow\"}";
    assert_eq!(metric(&router, opened).await, Some(1.0));
    ask(router.ops, "PUT /api/fault", "", "off").await;
    // nobody calls it meanwhile: the router asks by itself
    answered("the breaker closes", async || {
        let state = metric(&router, "signalbox_media_breaker_state{node=\"sfu-1\"}").await;
        (state == Some(0.0)).then_some(())
    })
    .await;
    let reply = alice.ask(json!({ "signal": { "offer": { "sdp": OFFER } } })).await;
    assert!(reply["answer"].is_object(), "{reply}");
}

#[tokio::test]
async fn an_impostor_is_refused_and_a_node_that_dies_is_out_of_reach() {
    let (router, node) = together(&[]).await;
    let impostor = FakeNode::real("sfu-1").await;
    let refused = impostor.register(&router).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::AlreadyExists, "{refused:?}");
    let series = "signalbox_media_registrations_total{result=\"taken\"}";
    assert_eq!(metric(&router, series).await, Some(1.0));
    node.die();
    answered("the stream is lost", async || {
        let up = metric(&router, "signalbox_media_node_up{node=\"sfu-1\"}").await;
        (up == Some(0.0)).then_some(())
    })
    .await;
    eventually("the log says so", || router.stderr().contains("media node's stream lost")).await;
}

#[tokio::test]
async fn the_port_ends_with_the_router_and_ends_of_sessions_reach_the_node_before() {
    let (mut router, node) = together(&[("drain.seconds", "1")]).await;
    let (alice, _) = Socket::join(&router, "r", "alice").await;
    router.terminate();
    let ended = router.ended().await;
    drop(alice);
    assert!(ended.success(), "{ended:?}");
    assert!(node.register(&router).await.is_err());
    tokio::time::timeout(Duration::from_secs(10), node.left()).await.expect("its stream was left open");
}
