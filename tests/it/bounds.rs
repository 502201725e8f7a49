//! Bounds under pressure: who is too slow, too silent or too many pays alone.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::harness::{Router, Socket, Token, get_with, within};

#[tokio::test]
async fn a_reader_that_stops_reading_is_closed_and_the_room_goes_on() {
    let router = Router::dev_with(&[("limits.outbound_bytes", "65536")]);
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    // a small receive buffer, and never read from after the join
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let tcp = socket.connect(router.client).await.unwrap();
    let mut slow = Socket::connect_on(&router, &Token::new("r", "slow").sign(), tcp).await;
    slow.ask(json!({ "join": { "room": "r" } })).await;
    assert_eq!(bob.event("participant_joined").await["identity"], "slow");

    let pad = "x".repeat(30_000);
    let (mut sent, mut dropped) = (0_u32, false);
    while !dropped {
        assert!(sent < 5_000, "150 MB were sent and nobody was closed");
        sent += 1;
        let reply = alice.ask(json!({ "send": { "data": { "n": sent, "pad": pad } } })).await;
        assert!(reply["ok"].is_object(), "{reply}");
        loop {
            let push = bob.push().await;
            dropped |= push["event"]["participant_reconnecting"]["identity"] == "slow"
                || push["event"]["participant_left"]["identity"] == "slow";
            if push.get("data").is_some() {
                assert_eq!(push["data"]["data"]["n"], sent, "bob missed something");
                break;
            }
        }
    }
    let metrics = get_with(router.ops, "/metrics", &[]).await.body;
    assert!(metrics.contains("slow_reader"), "no close is counted as slow_reader:\n{metrics}");
    alice.assert_alive().await;
}

#[tokio::test]
async fn two_thousand_connections_that_never_speak_keep_nobody_out() {
    let router = Router::dev_with(&[("client.header_timeout_ms", "3000")]);
    let mut silent = Vec::new();
    for _ in 0..2_000 {
        silent.push(within("a connection", TcpStream::connect(router.client)).await.unwrap());
    }
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    alice.ask(json!({ "send": { "data": "hello" } })).await;
    assert_eq!(bob.push_of("data").await["data"], "hello");
    for mut stream in silent {
        let mut rest = Vec::new();
        // ended by the router, with or without a word
        within("the end of a silent connection", stream.read_to_end(&mut rest)).await.ok();
    }
    alice.assert_alive().await;
}

#[tokio::test]
async fn handshakes_that_are_held_open_are_ended_in_time() {
    let router = Router::dev_with(&[("client.header_timeout_ms", "500")]);
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(router.client).await.unwrap();
        stream.write_all(b"GET /v1/signal HTTP/1.1\r\nHost: x\r\n").await.unwrap();
        held.push(stream);
    }
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    alice.assert_alive().await;
    let ended = held.into_iter().map(|mut stream| async move {
        // a header every now and then does not buy more time
        let mut rest = [0; 1024];
        loop {
            tokio::select! {
                read = stream.read(&mut rest) => if !matches!(read, Ok(1..)) { return },
                () = tokio::time::sleep(Duration::from_millis(100)) => {
                    if stream.write_all(b"X-Slow: 1\r\n").await.is_err() { return }
                }
            }
        }
    });
    within("the end of all slow handshakes", futures_util::future::join_all(ended)).await;
}

#[tokio::test]
async fn a_connection_that_never_joins_is_closed_by_name() {
    let router = Router::dev_with(&[("client.first_frame_timeout_ms", "300")]);
    let mut socket = Socket::connect(&router, &Token::new("r", "alice").sign()).await;
    let (code, leave) = socket.closed().await;
    assert_eq!((code, leave.unwrap()["code"].as_str()), (4007, Some("first_frame_timeout")));
}

const QUICK_PINGS: [(&str, &str); 3] =
    [("client.ping_seconds", "1"), ("client.idle_timeout_seconds", "2"), ("client.first_frame_timeout_ms", "1000")];

#[tokio::test]
async fn a_connection_that_is_silent_but_answers_pings_stays() {
    let router = Router::dev_with(&QUICK_PINGS);
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    // alice only reads, which answers pings
    let heard = tokio::spawn(async move {
        let data = alice.push_of("data").await;
        (alice, data)
    });
    let since = Instant::now();
    let mut every = tokio::time::interval(Duration::from_millis(200));
    while since.elapsed() < Duration::from_secs(5) {
        every.tick().await;
        bob.assert_alive().await;
    }
    bob.ask(json!({ "send": { "data": "still there" } })).await;
    let (mut alice, data) = within("the message", heard).await.unwrap();
    assert_eq!(data["data"], "still there");
    alice.assert_alive().await;
}

#[tokio::test]
async fn a_connection_that_answers_no_ping_is_found() {
    let router = Router::dev_with(&QUICK_PINGS);
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let (_never_read, _) = Socket::join(&router, "r", "alice").await;
    assert_eq!(bob.event("participant_reconnecting").await["identity"], "alice");
    bob.assert_alive().await;
}

#[tokio::test]
async fn a_full_router_refuses_the_upgrade_with_a_status() {
    let router = Router::dev_with(&[("limits.connections", "1")]);
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let token = Token::new("r", "bob").sign();
    let answer = get_with(router.client, &format!("/v1/signal/validate?access_token={token}"), &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "router_full"));
    assert!(answer.head.contains("retry-after"), "{answer:?}");
    alice.assert_alive().await;
}

#[tokio::test]
async fn one_address_or_key_cannot_take_all_connections() {
    for limit in ["limits.connections_per_address", "limits.sessions_per_key"] {
        let router = Router::dev_with(&[(limit, "1")]);
        let (mut alice, _) = Socket::join(&router, "r", "alice").await;
        let token = Token::new("r", "bob").sign();
        let path = format!("/v1/signal/validate?access_token={token}");
        let answer = get_with(router.client, &path, &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (429, "too_many_connections"), "{limit}: {answer:?}");
        alice.assert_alive().await;
    }
}

#[tokio::test]
async fn sessions_rooms_and_participants_have_their_bounds() {
    for (limit, code, second_room) in [
        ("limits.sessions", "router_full", "r"),
        ("limits.rooms", "router_full", "other"),
        ("rooms.participants_max", "room_full", "r"),
    ] {
        let router = Router::dev_with(&[("server.workers", "1"), (limit, "1")]);
        let (mut alice, _) = Socket::join(&router, "r", "alice").await;
        let mut socket = Socket::connect(&router, &Token::new(second_room, "bob").sign()).await;
        let reply = socket.ask(json!({ "join": { "room": second_room } })).await;
        assert_eq!(reply["error"]["code"], code, "{limit}: {reply}");
        assert!(reply["error"]["retry_after_ms"].is_u64(), "{limit}: {reply}");
        alice.assert_alive().await;
    }
}
