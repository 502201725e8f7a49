//! The guard from outside: who asks for too much is told which limit and when, and nobody else feels it; what is late is not
//! done; a router that is behind turns newcomers away first.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::harness::{Router, Socket, Stream, Token, answered, ask, get, get_with};

async fn metric(router: &Router, series: &str) -> f64 {
    let metrics = get(router.ops, "/metrics").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

async fn inject(router: &Router, fault: &str) {
    assert_eq!(ask(router.ops, "PUT /api/fault", "", fault).await.status, 200);
}

/// Sends so many of these at once, and answers their replies by their ids.
async fn burst(socket: &mut Socket, first_id: u64, count: u64, frame: impl Fn(u64) -> Value) -> Vec<Value> {
    for id in first_id..first_id + count {
        let mut frame = frame(id);
        frame["id"] = id.into();
        socket.send(&frame).await;
    }
    // what is refused at the door is answered before what the shard answers
    let mut replies = BTreeMap::new();
    while replies.len() < count as usize {
        let reply = socket.push().await;
        if let Some(id) = reply["id"].as_u64() {
            assert!(replies.insert(id, reply).is_none(), "answered twice: {id}");
        }
    }
    replies.into_values().collect()
}

fn say(number: u64) -> Value {
    json!({ "send": { "data": { "n": number } } })
}

fn with_code<'a>(replies: &'a [Value], code: &str) -> Vec<&'a Value> {
    replies.iter().filter(|reply| reply["error"]["code"] == code).collect()
}

#[tokio::test]
async fn a_burst_of_ten_times_the_limit_is_cut_to_it_and_others_do_not_feel_it() {
    let router = Router::dev_with(&[("guard.ops.send.user", "rate=20/s burst=20")]);
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let replies = burst(&mut alice, 1_000, 200, say).await;
    let refused = with_code(&replies, "rate_limited");
    let sent = replies.iter().filter(|reply| reply["ok"].is_object()).count();
    assert_eq!(sent + refused.len(), 200, "{replies:?}");
    // the burst, and what the rate allows while it lasts
    assert!((20..150).contains(&sent), "{sent} of 200 were sent");
    for reply in &refused {
        let error = &reply["error"];
        assert_eq!(error["message"], "guard.ops.send.user: more than 20/s, 20 in a burst");
        assert!((1..=50).contains(&error["retry_after_ms"].as_u64().unwrap()), "{error}");
    }
    for _ in 0..sent {
        bob.push_of("data").await;
    }
    assert!(bob.ask(say(0)).await["ok"].is_object(), "bob's limit is his own");
    alice.assert_alive().await;
    let counted = metric(&router, "signalbox_guard_sheds_total{op=\"send\",limit=\"user_rate\"}").await;
    assert_eq!(counted, refused.len() as f64);
    // no reply is wanted, so none comes: the next frame is that of a ping
    for number in 0..100 {
        alice.send(&say(number)).await;
    }
    alice.assert_alive().await;
}

#[tokio::test]
async fn one_user_with_many_sessions_gets_as_many_as_allowed_before_any_upgrade_and_others_theirs() {
    let router = Router::dev_with(&[("guard.ops.connect.user", "at_once=20")]);
    let mut held = Vec::new();
    for number in 0..20 {
        held.push(Socket::join(&router, &format!("r{number}"), "alice").await.0);
    }
    let token = Token::new("r", "alice").sign();
    for _ in 0..100 {
        let refused = get_with(router.client, &format!("/v1/signal/validate?access_token={token}"), &[]).await;
        assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_connections"), "{refused:?}");
        assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
        assert!(refused.body.contains("guard.ops.connect.user: more than 20 at once"), "{refused:?}");
    }
    let status = Stream::connect(&router, &token).await.err().expect("gRPC is no other door");
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1000");
    Socket::join(&router, "r", "bob").await.0.assert_alive().await;
    held.pop().unwrap().drop_connection();
    answered("a place that is free again", async || {
        let path = format!("/v1/signal/validate?access_token={token}");
        (get_with(router.client, &path, &[]).await.status == 200).then_some(())
    })
    .await;
    for socket in &mut held {
        socket.assert_alive().await;
    }
    assert!(metric(&router, "signalbox_guard_sheds_total{op=\"connect\",limit=\"user_at_once\"}").await >= 101.0);
}

#[tokio::test]
async fn who_tries_tokens_is_stopped_by_its_address_before_they_are_looked_at() {
    let router = Router::dev_with(&[("guard.ops.connect.address", "rate=1/m burst=5")]);
    for _ in 0..5 {
        let refused = get(router.client, "/v1/signal/validate?access_token=guess").await;
        assert_eq!(refused.status, 401, "{refused:?}");
    }
    let good = Token::new("r", "alice").sign();
    for token in ["guess", &good] {
        let refused = get(router.client, &format!("/v1/signal/validate?access_token={token}")).await;
        assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"), "{refused:?}");
        let seconds = refused.head.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
        assert!((1..=60).contains(&seconds.trim().parse::<u32>().unwrap()), "{refused:?}");
    }
    let status = Stream::connect(&router, &good).await.err().unwrap();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
}

#[tokio::test]
async fn what_is_late_when_its_turn_comes_is_neither_done_nor_sent_on_but_leaving_is() {
    let router = Router::dev_with(&[
        ("guard.queue_joins_ms", "0"),
        ("guard.queue_signals_ms", "0"),
        ("server.workers", "1"),
        ("signal.timeout_ms", "150"),
    ]);
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    inject(&router, "work=100000").await;
    // a tenth of a second each, and 150 ms of time
    let replies = burst(&mut alice, 1_000, 8, say).await;
    inject(&router, "off").await;
    let expired = with_code(&replies, "deadline_exceeded");
    let done: Vec<u64> =
        replies.iter().filter(|reply| reply["ok"].is_object()).map(|r| r["id"].as_u64().unwrap()).collect();
    assert!(!expired.is_empty() && !done.is_empty() && expired.len() + done.len() == 8, "{replies:?}");
    assert!(expired[0]["error"]["message"].as_str().unwrap().starts_with("signal.timeout_ms: "), "{replies:?}");
    alice.ask(say(7)).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&7) {
        heard.push(bob.push_of("data").await["data"]["n"].as_u64().unwrap());
    }
    assert_eq!(heard[..heard.len() - 1], done, "and nothing else was sent on");
    let counted = metric(&router, "signalbox_guard_sheds_total{op=\"send\",limit=\"deadline\"}").await;
    assert_eq!(counted, expired.len() as f64);

    inject(&router, "work=100000").await;
    for number in 0..4 {
        alice.send(&say(number)).await;
    }
    alice.send(&json!({ "id": 2_000, "ping": {} })).await;
    alice.send(&json!({ "id": 2_001, "leave": {} })).await;
    assert!(alice.reply(2_000).await["pong"].is_object());
    assert!(alice.reply(2_001).await["ok"].is_object());
    assert_eq!(bob.event("participant_left").await["identity"], "alice");
}

#[tokio::test]
async fn a_token_that_takes_too_long_to_be_verified_is_not_taken_any_more() {
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/introspect", provider.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = provider.accept().await {
            let mut request = [0; 4_096];
            if stream.read(&mut request).await.unwrap_or(0) == 0 {
                continue;
            }
            // a slow one
            tokio::time::sleep(Duration::from_millis(400)).await;
            let body = r#"{"active":true,"sub":"alice"}"#;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            stream.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.ok();
        }
    });
    let router = Router::dev_with(&[("auth.introspection.url", &url), ("signal.timeout_ms", "150")]);
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (code, message) = alice.refusal(json!({ "update": { "token": "opaque" } })).await;
    assert_eq!(code, "deadline_exceeded", "{message}");
    alice.assert_alive().await;
    assert_eq!(metric(&router, "signalbox_guard_sheds_total{op=\"update\",limit=\"deadline\"}").await, 1.0);
}

/// One worker, 20 ms a signal, so that it can serve fifty a second; and nothing is late.
const SLOW: [(&str, &str); 1] = [("server.workers", "1")];

/// Twice of what it can serve, until it is dropped: by a participant that asks for no replies.
struct Flood(tokio::task::JoinHandle<()>);

impl Flood {
    async fn of(router: &Router) -> Self {
        let (mut alice, _) = Socket::join(router, "flooded", "alice").await;
        inject(router, "work=20000").await;
        Self(tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(10));
            for number in 0.. {
                every.tick().await;
                alice.send(&say(number)).await;
            }
        }))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn pressure(router: &Router, wanted: f64) {
    answered("the pressure", async || {
        (metric(router, "signalbox_shard_pressure{shard=\"0\"}").await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_router_that_is_behind_takes_no_new_joins_before_anybody_who_is_there_feels_it() {
    let router = Router::dev_with(&[&SLOW[..], &[("guard.queue_signals_ms", "0")]].concat());
    let mut early = Socket::connect(&router, &Token::new("r", "early").sign()).await;
    let flood = Flood::of(&router).await;
    pressure(&router, 1.0).await;
    let reply = early.ask(json!({ "join": { "room": "r" } })).await;
    assert_eq!(reply["error"]["code"], "overloaded", "{reply}");
    assert!((1_000..=2_000).contains(&reply["error"]["retry_after_ms"].as_u64().unwrap()), "{reply}");
    assert!(reply["error"]["message"].as_str().unwrap().starts_with("guard.queue_joins_ms"), "{reply}");
    assert_eq!(metric(&router, "signalbox_guard_sheds_total{op=\"send\",limit=\"queue_signals\"}").await, 0.0);
    drop(flood);
    inject(&router, "off").await;
    pressure(&router, 0.0).await;
    let reply = early.ask(json!({ "join": { "room": "r" } })).await;
    assert!(reply["joined"].is_object(), "the same connection may try again: {reply}");
}

#[tokio::test]
async fn a_router_that_is_far_behind_turns_signals_and_upgrades_away_and_recovers_by_itself() {
    let router = Router::dev_with(&SLOW);
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let flood = Flood::of(&router).await;
    pressure(&router, 2.0).await;
    let token = Token::new("r", "carol").sign();
    let refused = get_with(router.client, &format!("/v1/signal/validate?access_token={token}"), &[]).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"), "{refused:?}");
    assert!(refused.head.contains("retry-after: "), "{refused:?}");
    let status = Stream::connect(&router, &token).await.err().unwrap();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    // more at once than the queue may hold, so that it does not matter when they come
    let replies = burst(&mut bob, 1_000, 10, say).await;
    let mut refusals = replies.iter().filter(|reply| reply["error"]["code"] == "overloaded");
    assert!(refusals.next().is_some_and(|reply| reply["error"]["retry_after_ms"].is_u64()), "{replies:?}");
    // to acknowledge, and to go, is never refused
    bob.assert_alive().await;
    assert!(bob.ask(json!({ "leave": {} })).await["ok"].is_object());
    drop(flood);
    pressure(&router, 0.0).await;
    inject(&router, "off").await;
    Socket::join_with(&router, "r", &token).await.0.assert_alive().await;
    assert!(metric(&router, "signalbox_shard_pressure_changes_total").await >= 2.0);
    let log = router.stderr();
    assert!(log.contains("a shard's queue is too long") && log.contains("refused by the guard"), "{log}");
}

#[tokio::test]
async fn without_the_guard_nothing_of_it_holds() {
    let strict = ("guard.ops.send.user", "rate=1/m burst=1");
    let router = Router::dev_with(&[("guard.enabled", "false"), strict, ("server.workers", "1")]);
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    inject(&router, "work=100000").await;
    let replies = burst(&mut alice, 1_000, 5, say).await;
    assert!(replies.iter().all(|reply| reply["ok"].is_object()), "late, and all of them: {replies:?}");
}
