//! What a call is made of, over real sockets.

use serde_json::json;

use crate::harness::{Server, token};

#[tokio::test]
async fn two_participants_see_each_other_and_exchange_signals_and_messages() {
    let server = Server::dev();
    let (mut alice, _) = server.join("r1", "alice").await;
    let (mut bob, joined) = server.join("r1", "bob").await;
    assert_eq!(joined["participants"][0]["identity"], "alice");
    let event = alice.until(|f| f["event"].get("participant_joined").is_some()).await;
    assert_eq!(event["event"]["participant_joined"]["identity"], "bob");

    let ok = alice.ask(json!({ "signal": { "to": "bob", "offer": { "sdp": "v=0" } } })).await;
    assert!(ok.get("ok").is_some(), "{ok}");
    let push = bob.until(|f| f.get("signal").is_some()).await;
    assert_eq!((&push["signal"]["from"], &push["signal"]["offer"]["sdp"]), (&json!("alice"), &json!("v=0")));

    let ok = bob.ask(json!({ "send": { "data": { "any": ["json", 1.50] } } })).await;
    let push = alice.until(|f| f.get("data").is_some()).await;
    assert_eq!(push["data"]["data"], json!({ "any": ["json", 1.5] }));
    assert_eq!(push["data"]["offset"], ok["ok"]["offset"]);
}

#[tokio::test]
async fn tracks_are_published_muted_and_end_with_their_owner() {
    let server = Server::dev();
    let (mut alice, _) = server.join("r1", "alice").await;
    let (mut bob, _) = server.join("r1", "bob").await;
    let ok = alice.ask(json!({ "publish": { "cid": "mic", "kind": "audio", "source": "microphone" } })).await;
    let track = ok["ok"]["track"]["id"].as_str().unwrap().to_owned();
    bob.until(|f| f["event"]["track_published"]["id"] == track.as_str()).await;
    alice.ask(json!({ "mute": { "track": track, "muted": true } })).await;
    let muted = bob.until(|f| f["event"].get("track_muted").is_some()).await;
    assert_eq!(muted["event"]["track_muted"]["by"], "alice");
    alice.ask(json!({ "leave": {} })).await;
    bob.until(|f| f["event"]["track_unpublished"]["track"] == track.as_str()).await;
    let left = bob.until(|f| f["event"].get("participant_left").is_some()).await;
    assert_eq!(left["event"]["participant_left"]["reason"], "left");
    assert_eq!(alice.close_code().await, 4523);
}

#[tokio::test]
async fn a_dropped_session_resumes_and_misses_nothing() {
    let server = Server::dev();
    let (mut alice, _) = server.join("r1", "alice").await;
    let (bob, joined) = server.join("r1", "bob").await;
    drop(bob);
    alice.until(|f| f["event"].get("participant_reconnecting").is_some()).await;
    for n in 0..5 {
        alice.ask(json!({ "send": { "data": n } })).await;
    }
    alice.ask(json!({ "signal": { "to": "bob", "candidate": { "candidate": "c" } } })).await;

    let mut bob = server.connect(&token("r1", "bob")).await;
    let resume = json!({ "resume": { "resume_token": joined["resume_token"], "epoch": joined["epoch"],
        "offset": joined["offset"], "seq": 0 } });
    let resumed = bob.ask(resume).await;
    assert_eq!(resumed["resumed"]["recovered"], true, "{resumed}");
    for n in 0..5 {
        let push = bob.until(|f| f.get("data").is_some()).await;
        assert_eq!(push["data"]["data"], n);
    }
    let push = bob.until(|f| f.get("signal").is_some()).await;
    assert_eq!(push["signal"]["seq"], 1);
}

#[tokio::test]
async fn a_newer_join_of_an_identity_replaces_the_older_session() {
    let server = Server::dev();
    let (mut older, _) = server.join("r1", "alice").await;
    let (_newer, _) = server.join("r1", "alice").await;
    assert_eq!(older.close_code().await, 4520);
}

#[tokio::test]
async fn a_drain_advises_then_closes_with_the_reconnect_code_and_ends() {
    let mut server = Server::with(&[("SIGNALBOX_DRAIN__SECONDS", "1")]);
    let (mut alice, _) = server.join("r1", "alice").await;
    assert_eq!(server.get(server.ops, "/health/ready").0, 200);
    server.signal("-TERM");
    alice.until(|f| f["advice"].get("reconnect").is_some()).await;
    assert_eq!(server.get(server.ops, "/health/ready").0, 503);
    assert_eq!(server.get(server.client, &format!("/v1/signal/validate?access_token={}", token("r1", "bob"))).0, 503);
    assert_eq!(alice.close_code().await, 4000);
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() {
    let mut server = Server::with(&[("SIGNALBOX_DRAIN__SECONDS", "600")]);
    let (mut alice, _) = server.join("r1", "alice").await;
    server.signal("-TERM");
    let draining = async { while server.get(server.ops, "/health/ready").0 == 200 {} };
    tokio::time::timeout(crate::harness::PATIENCE, draining).await.unwrap();
    server.signal("-TERM");
    assert!(server.ended().await.success());
    assert!(alice.close_code().await >= 1000);
}

#[tokio::test]
async fn the_ops_port_tells_of_sessions_and_signals() {
    let server = Server::dev();
    let (mut alice, _) = server.join("r1", "alice").await;
    alice.ask(json!({ "ping": {} })).await;
    let (status, metrics) = server.get(server.ops, "/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("signalbox_sessions_opened_total 1"), "{metrics}");
    assert_eq!(server.get(server.ops, "/health/live").0, 200);
    assert_eq!(server.get(server.ops, "/nothing").0, 404);
}
