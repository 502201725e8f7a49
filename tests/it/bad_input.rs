//! Bad input gets its named error, and nobody else notices.

use std::{
    io::{Read, Write},
    time::Duration,
};

use serde_json::json;
use signalbox::auth::{DEV_KEY, DEV_SECRET, TokenClaims, mint};

use crate::harness::{PATIENCE, Server, now, token, token_with};

#[tokio::test]
async fn frames_that_cannot_be_carried_out_are_answered_by_name() {
    let server = Server::with(&[("SIGNALBOX_LIMITS__METADATA_BYTES", "10")]);
    let mut socket = server.connect(&token_with("r1", "alice", |g| g.can_update_own_metadata = Some(true))).await;
    for (text, code, said) in [
        (r#"{"id":1,"join":"#, "bad_request", "JSON"),
        (r#"{"id":1,"fly":{}}"#, "bad_request", "fly"),
        (r#"{"id":1}"#, "bad_request", "join"),
        (r#"{"id":1,"join":{}}"#, "bad_request", "join.room"),
        (r#"{"id":1,"join":{"room":7}}"#, "bad_request", "room"),
        (r#"{"id":1,"send":{"data":1}}"#, "not_joined", "join"),
        (r#"{"id":1,"join":{"room":"other"}}"#, "wrong_room", "room"),
        (r#"{"id":1,"join":{"room":"r1","metadata":"01234567890"}}"#, "limit_exceeded", "metadata_bytes"),
    ] {
        socket.send_text(text).await;
        let answer = socket.next().await.unwrap();
        assert_eq!(answer["error"]["code"], code, "{text}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(said), "{text}: {answer}");
    }
    let joined = socket.ask(json!({ "join": { "room": "r1" } })).await;
    assert!(joined.get("joined").is_some(), "a refused frame does not spoil the connection: {joined}");
    let deep = format!(r#"{{"id":90,"send":{{"data":{}{}}}}}"#, "[".repeat(5000), "]".repeat(5000));
    socket.send_text(deep).await;
    let answer = socket.until(|f| f["id"] == 90).await;
    assert_eq!(answer["error"]["code"], "limit_exceeded");
    for (frame, code) in [
        (json!({ "join": { "room": "r1" } }), "already_joined"),
        (json!({ "signal": { "to": "nobody", "offer": { "sdp": "v=0" } } }), "participant_not_found"),
        (json!({ "signal": { "offer": { "sdp": "v=0" } } }), "no_media_node"),
        (json!({ "unpublish": { "track": "TR_x" } }), "track_not_found"),
        (json!({ "send": { "data": "x".repeat(70_000) } }), "limit_exceeded"),
    ] {
        let answer = socket.ask(frame.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
}

#[tokio::test]
async fn what_the_token_does_not_grant_is_denied_and_the_grant_is_named() {
    let server = Server::dev();
    let none = token_with("r1", "alice", |g| {
        g.can_publish = Some(false);
        g.can_subscribe = Some(false);
        g.can_publish_data = Some(false);
    });
    let mut socket = server.connect(&none).await;
    socket.ask(json!({ "join": { "room": "r1" } })).await;
    for (frame, grant) in [
        (json!({ "publish": { "kind": "audio", "source": "microphone", "cid": "c" } }), "canPublish"),
        (json!({ "send": { "data": 1 } }), "canPublishData"),
        (json!({ "subscribe": { "tracks": ["TR_x"], "subscribed": true } }), "canSubscribe"),
        (json!({ "update": { "metadata": "m" } }), "canUpdateOwnMetadata"),
        (json!({ "update": { "room_metadata": "m" } }), "roomAdmin"),
    ] {
        let answer = socket.ask(frame).await;
        assert_eq!(answer["error"]["code"], "permission_denied", "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(grant), "{answer}");
    }
}

#[tokio::test]
async fn tokens_that_do_not_hold_are_refused_before_the_upgrade() {
    let server = Server::dev();
    let expired = mint(DEV_KEY, DEV_SECRET, &TokenClaims::join("r1", "a").expires_at(now() - 60)).unwrap();
    let mut early = TokenClaims::join("r1", "a");
    early.not_before = Some(now() + 600);
    let early = mint(DEV_KEY, DEV_SECRET, &early).unwrap();
    let wrong_key = mint(DEV_KEY, "another secret of thirty-two bytes!!", &TokenClaims::join("r1", "a")).unwrap();
    let unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJkZXZrZXkiLCJzdWIiOiJhIn0.";
    for (token, code) in [
        (expired.as_str(), "token_expired"),
        (&early, "token_not_yet_valid"),
        (&wrong_key, "unauthenticated"),
        (unsigned, "unauthenticated"),
        ("garbage", "unauthenticated"),
        ("", "unauthenticated"),
    ] {
        let (status, body) = server.get(server.client, &format!("/v1/signal/validate?access_token={token}"));
        assert_eq!(status, 401, "{body}");
        assert!(body.contains(code), "{code}: {body}");
    }
    let (status, _) = server.get(server.client, &format!("/v1/signal/validate?access_token={}", token("r1", "a")));
    assert_eq!(status, 200);
}

#[tokio::test]
async fn forged_foreign_and_spent_resume_tokens_are_refused() {
    let server = Server::dev();
    let (_alice, joined) = server.join("r1", "alice").await;
    let resume =
        |token: &serde_json::Value| json!({ "resume": { "resume_token": token, "epoch": "0", "offset": 0, "seq": 0 } });
    let mut mallory = server.connect(&token("r1", "mallory")).await;
    let answer = mallory.ask(resume(&joined["resume_token"])).await;
    assert_eq!(answer["error"]["code"], "resume_token_invalid", "{answer}");
    let answer = mallory.ask(resume(&json!("forged"))).await;
    assert_eq!(answer["error"]["code"], "resume_token_invalid", "{answer}");
    let mut first = server.connect(&token("r1", "alice")).await;
    let answer = first.ask(resume(&joined["resume_token"])).await;
    let mut second = server.connect(&token("r1", "alice")).await;
    let successor = answer["resumed"]["resume_token"].clone();
    assert!(second.ask(resume(&successor)).await.get("resumed").is_some());
    let mut third = server.connect(&token("r1", "alice")).await;
    let answer = third.ask(resume(&joined["resume_token"])).await;
    assert_eq!(answer["error"]["code"], "resume_token_spent", "{answer}");
}

#[tokio::test]
async fn a_text_frame_after_a_binary_hello_closes_with_its_code() {
    let server = Server::dev();
    let mut socket = server.connect(&token("r1", "alice")).await;
    socket.send_binary(vec![0xff, 0xff, 0xff]).await;
    socket.send_text("{}").await;
    assert_eq!(socket.close_code().await, 4502);
}

#[tokio::test]
async fn a_connection_that_never_joins_is_closed_with_its_code() {
    let server = Server::with(&[("SIGNALBOX_CLIENT__FIRST_FRAME_TIMEOUT_MS", "200")]);
    let mut socket = server.connect(&token("r1", "alice")).await;
    assert_eq!(socket.close_code().await, 4007);
}

#[tokio::test]
async fn connections_that_never_speak_are_ended_and_hinder_nobody() {
    let server = Server::with(&[("SIGNALBOX_CLIENT__HEADER_TIMEOUT_MS", "500")]);
    let mut silent: Vec<_> = (0..200).map(|_| std::net::TcpStream::connect(server.client).unwrap()).collect();
    let mut slow = std::net::TcpStream::connect(server.client).unwrap();
    slow.write_all(b"GET /v1/signal HTTP/1.1\r\nhost: x\r\n").unwrap();
    server.join("r1", "alice").await;
    silent.push(slow);
    for mut socket in silent {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        // the server ends each within its patience; what it says before (408 or nothing) is the HTTP library's
        socket.read_to_end(&mut answer).unwrap();
    }
}

#[tokio::test]
async fn a_frame_of_a_hundred_mebibytes_is_refused_at_its_announcement() {
    let server = Server::dev();
    let token = token("r1", "alice");
    let mut socket = std::net::TcpStream::connect(server.client).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET /v1/signal?access_token={token} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 1024];
    assert!(socket.read(&mut head).unwrap() > 0);
    let mut frame = vec![0x81, 0xff];
    frame.extend_from_slice(&(100u64 << 20).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    socket.write_all(&frame).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[..4], [0x88, answer[1], 0x03, 0xf1], "a close frame with 1009");
}

#[tokio::test]
async fn a_reader_that_stops_is_closed_and_the_room_goes_on() {
    let server = Server::with(&[("SIGNALBOX_LIMITS__OUTBOUND_BYTES", "65536")]);
    let (mut alice, _) = server.join("r1", "alice").await;
    let (mut bob, _) = server.join("r1", "bob").await;
    let (mut stopped, _) = server.join("r1", "carol").await;
    let text = "x".repeat(32_000);
    let dropped = async {
        loop {
            alice.ask(json!({ "send": { "data": text } })).await;
            let (_, metrics) = server.get(server.ops, "/metrics");
            if metrics.contains("signalbox_sessions_dropped_total{reason=\"slow_reader\"} 1") {
                return;
            }
            bob.until(|f| f.get("data").is_some()).await;
        }
    };
    tokio::time::timeout(PATIENCE * 2, dropped).await.unwrap();
    let ok = alice.ask(json!({ "send": { "data": "still here" } })).await;
    assert!(ok.get("ok").is_some());
    bob.until(|f| f["data"]["data"] == "still here").await;
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), stopped.close_code()).await.unwrap(), 4001);
}

#[tokio::test]
async fn a_full_router_says_so() {
    let server = Server::with(&[("SIGNALBOX_LIMITS__SESSIONS", "1"), ("SIGNALBOX_SERVER__WORKERS", "1")]);
    let _alice = server.join("r1", "alice").await;
    let mut bob = server.connect(&token("r1", "bob")).await;
    let answer = bob.ask(json!({ "join": { "room": "r1" } })).await;
    assert_eq!(answer["error"]["code"], "router_full", "{answer}");
    assert!(answer["error"]["retry_after_ms"].as_u64().unwrap() > 0);
}
