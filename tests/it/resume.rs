//! Coming back after a lost connection, over real sockets.

use serde_json::{Value, json};

use crate::harness::{Router, Socket, Token, eventually};

fn resume_frame(joined: &Value) -> Value {
    let part = |name: &str| joined[name].clone();
    json!({ "resume": {
        "resume_token": part("resume_token"), "epoch": part("epoch"), "offset": part("offset"), "seq": part("seq"),
    } })
}

#[tokio::test]
async fn what_was_missed_comes_once_and_in_order() {
    let router = Router::dev();
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let (alice, joined) = Socket::join(&router, "r", "alice").await;
    alice.drop_connection();
    bob.event("participant_reconnecting").await;
    for n in 1..=5 {
        let reply = bob.ask(json!({ "send": { "data": n } })).await;
        assert!(reply["ok"]["offset"].is_u64(), "{reply}");
    }
    bob.ask(json!({ "signal": { "to": "alice", "offer": { "sdp": "held" } } })).await;

    let mut alice = Socket::connect(&router, &Token::new("r", "alice").sign()).await;
    let reply = alice.ask(resume_frame(&joined)).await;
    assert_eq!(reply["resumed"]["recovered"], true, "{reply}");
    let (mut seen, mut held) = (Vec::new(), 0);
    while seen.len() < 5 || held == 0 {
        let push = alice.push().await;
        if push.get("data").is_some() {
            seen.push(push["data"]["data"].clone());
        }
        held += u32::from(push["signal"]["offer"]["sdp"] == "held");
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    bob.event("participant_resumed").await;
    bob.ask(json!({ "send": { "data": "after" } })).await;
    assert_eq!(alice.push_of("data").await["data"], "after");
}

#[tokio::test]
async fn a_gap_that_is_too_old_is_answered_with_the_whole_room() {
    let router = Router::dev_with(&[("rooms.history_events", "2")]);
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let (alice, joined) = Socket::join(&router, "r", "alice").await;
    alice.drop_connection();
    for n in 1..=5 {
        bob.ask(json!({ "send": { "data": n } })).await;
    }
    let mut alice = Socket::connect(&router, &Token::new("r", "alice").sign()).await;
    let reply = alice.ask(resume_frame(&joined)).await;
    assert_eq!(reply["resumed"]["recovered"], false, "{reply}");
    assert!(reply["resumed"]["snapshot"]["participants"].is_array(), "{reply}");
    alice.assert_alive().await;
}

#[tokio::test]
async fn a_forged_a_foreign_and_a_spent_resume_token_are_refused_by_name() {
    let router = Router::dev();
    let (_bob, of_bob) = Socket::join(&router, "r", "bob").await;
    let (alice, joined) = Socket::join(&router, "r", "alice").await;
    alice.drop_connection();
    let token = Token::new("r", "alice").sign();

    let mut forged = joined.clone();
    forged["resume_token"] = format!("A{}", joined["resume_token"].as_str().unwrap()).into();
    let mut socket = Socket::connect(&router, &token).await;
    assert_eq!(socket.refusal(resume_frame(&forged)).await.0, "resume_token_invalid");
    assert_eq!(socket.refusal(resume_frame(&of_bob)).await.0, "resume_token_invalid");

    let first = socket.ask(resume_frame(&joined)).await["resumed"].take();
    socket.drop_connection();
    let mut socket = Socket::connect(&router, &token).await;
    let mut next = joined.clone();
    for part in ["resume_token", "epoch", "offset", "seq"] {
        next[part] = first[part].clone();
    }
    let second = socket.ask(resume_frame(&next)).await;
    assert_eq!(second["resumed"]["recovered"], true, "{second}");
    socket.drop_connection();

    // its successor was used: the first token is worth nothing any more
    let mut socket = Socket::connect(&router, &token).await;
    assert_eq!(socket.refusal(resume_frame(&joined)).await.0, "resume_token_spent");
}

#[tokio::test]
async fn after_its_linger_a_session_is_gone() {
    let router = Router::dev_with(&[("rooms.linger_seconds", "1")]);
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let (alice, joined) = Socket::join(&router, "r", "alice").await;
    alice.drop_connection();
    assert_eq!(bob.event("participant_left").await["reason"], "lingered_out");
    let mut alice = Socket::connect(&router, &Token::new("r", "alice").sign()).await;
    assert_eq!(alice.refusal(resume_frame(&joined)).await.0, "session_gone");
    let reply = alice.ask(json!({ "join": { "room": "r" } })).await;
    assert!(reply["joined"].is_object(), "{reply}");
}

#[tokio::test]
async fn a_repeated_request_is_answered_and_not_redone() {
    let router = Router::dev();
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let (mut alice, joined) = Socket::join(&router, "r", "alice").await;
    alice.send(&json!({ "id": 77, "send": { "data": "once" } })).await;
    let first = alice.reply(77).await;
    alice.drop_connection();
    let mut alice = Socket::connect(&router, &Token::new("r", "alice").sign()).await;
    alice.ask(resume_frame(&joined)).await;
    alice.send(&json!({ "id": 77, "send": { "data": "once" } })).await;
    assert_eq!(alice.reply(77).await, first);
    alice.ask(json!({ "send": { "data": "end" } })).await;
    assert_eq!(bob.push_of("data").await["data"], "once");
    assert_eq!(bob.push_of("data").await["data"], "end");
}

#[tokio::test]
async fn each_line_of_a_sessions_life_names_the_connection_that_it_is_about() {
    const TRACES: [&str; 2] = ["0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736"];
    let router = Router::dev_with(&[("log.level", "debug")]);
    let connect =
        async |trace| Socket::connect_with(&router, &Token::new("r", "alice").sign(), &[("x-trace-id", trace)]).await.0;
    let lines = |message: &str| -> Vec<Value> {
        let log = router.stderr();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).collect()
    };
    let mut alice = connect(TRACES[0]).await;
    let joined = alice.ask(json!({ "join": { "room": "r" } })).await["joined"].take();
    alice.drop_connection();
    eventually("the drop", || !lines("session dropped").is_empty()).await;
    let mut alice = connect(TRACES[1]).await;
    assert_eq!(alice.ask(resume_frame(&joined)).await["resumed"]["recovered"], true);
    alice.send(&json!({ "id": 9, "leave": {} })).await;
    eventually("the end", || !lines("session closed").is_empty()).await;
    for (message, trace) in [
        ("session opened", TRACES[0]),
        ("session dropped", TRACES[0]),
        ("session resumed", TRACES[1]),
        ("session closed", TRACES[1]),
    ] {
        let [line] = &lines(message)[..] else { panic!("{message}: {}", router.stderr()) };
        assert_eq!(
            (&line["session"], &line["room"], &line["trace_id"]),
            (&joined["session"], &"r".into(), &trace.into())
        );
        assert_eq!(
            (&line["peer_ip"], line["span_id"].as_str().map(str::len)),
            (&"127.0.0.1".into(), Some(16)),
            "{line}"
        );
    }
}
