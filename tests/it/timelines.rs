//! `/debug/pprof/trace` of a running router: each signal of those seconds with its stages, and nothing of its content.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Begun, Router, Socket, Token, get, within};

/// The events of each signal by its `id`.
fn signals(trace: &Value) -> BTreeMap<&str, Vec<&Value>> {
    let mut signals = BTreeMap::<_, Vec<_>>::new();
    for event in trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] != "M") {
        signals.entry(event["id"].as_str().unwrap()).or_default().push(event);
    }
    signals
}

#[tokio::test]
async fn a_trace_holds_each_signal_of_its_seconds_with_its_stages_and_no_payload() {
    let router = Router::dev();
    let (mut before, _) = Socket::join(&router, "early", "before").await;
    // a client may have read its answer before the router has told itself that it is written
    let joined = r#"signalbox_signals_total{op="join",outcome="ok"} 1"#;
    within("the join's end", async { while !get(router.ops, "/metrics").await.body.contains(joined) {} }).await;
    let begun = Begun::get(router.ops, "/debug/pprof/trace?seconds=5").await;
    let token = Token::new("traced", "alice").sign();
    let (mut alice, _) = Socket::join_with(&router, "traced", &token).await;
    let (mut bob, _) = Socket::join(&router, "traced", "bob").await;
    let (data, sdp) = (json!({ "text": "payload-of-alice" }), "v=0\r\na=ice-pwd:payload-of-alice\r\n");
    alice.ask(json!({ "send": { "data": data, "topic": "chat" } })).await;
    alice.ask(json!({ "signal": { "to": "bob", "offer": { "sdp": sdp } } })).await;
    bob.push_of("signal").await;
    let refused = bob.refusal(json!({ "signal": { "to": "nobody", "offer": { "sdp": sdp } } })).await;
    before.assert_alive().await;
    let answer = begun.finish().await;

    assert_eq!(answer.status, 200, "{answer:?}");
    for header in ["content-type: application/json", "x-content-type-options: nosniff", "filename=\"trace.json\""] {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
    for secret in ["payload-of-alice", "ice-pwd", token.rsplit('.').next().unwrap()] {
        assert!(!answer.body.contains(secret), "{secret} is in the trace");
    }
    let trace = answer.json();
    let mut seen = Vec::new();
    for (id, events) in signals(&trace) {
        let (first, last) = (events[0], events[events.len() - 1]);
        assert_eq!((&first["ph"], &last["ph"], &first["name"]), (&"b".into(), &"e".into(), &last["name"]), "{id}");
        let named = |ph: &str| {
            let of_phase = events.iter().filter(|event| event["ph"] == ph);
            of_phase.map(|event| event["name"].as_str().unwrap()).collect::<Vec<_>>()
        };
        let (stages, ended) = (named("b").split_off(1), named("e"));
        assert_eq!(stages, ended[..stages.len()], "each is ended before the next begins, and the signal last");
        let times: Vec<_> = events.iter().map(|event| event["ts"].as_f64().unwrap()).collect();
        assert!(times.is_sorted(), "{id}: {times:?}");
        assert_eq!(stages, ["decode", "admit", "handle", "reply", "flush"], "{id}: {first}");
        let told = |key: &str| first["args"][key].as_str().unwrap_or_default().to_owned();
        seen.push((first["name"].as_str().unwrap().to_owned(), told("room"), told("outcome"), told("code")));
    }
    seen.sort();
    let row = |op: &str, room: &str, outcome: &str, code: &str| (op.into(), room.into(), outcome.into(), code.into());
    let expected: [(String, String, String, String); 6] = [
        row("join", "traced", "ok", ""),
        row("join", "traced", "ok", ""),
        row("ping", "early", "ok", ""),
        row("send", "traced", "ok", ""),
        row("signal", "traced", "error", &refused.0),
        row("signal", "traced", "ok", ""),
    ];
    assert_eq!(seen, expected, "the join before is not of these seconds");
    assert_eq!(trace["otherData"]["left out"], "0");
}

#[tokio::test]
async fn what_cannot_be_traced_is_refused_with_a_reason_and_readers_that_hang_up_make_room() {
    let router = Router::dev();
    for wrong in ["seconds=soon", "seconds=", "seconds=1&seconds=2"] {
        let refused = get(router.ops, &format!("/debug/pprof/trace?{wrong}")).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.head.contains("x-go-pprof: 1") && refused.body.contains("seconds"), "{refused:?}");
    }
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(Begun::get(router.ops, "/debug/pprof/trace?seconds=1e9").await);
    }
    let full = get(router.ops, "/debug/pprof/trace").await;
    assert_eq!(full.status, 503, "{full:?}");
    assert!(full.head.contains("retry-after: 30") && full.head.contains("x-go-pprof: 1"), "{full:?}");
    drop(readers);
    within("a place", async { while get(router.ops, "/debug/pprof/trace?seconds=0").await.status != 200 {} }).await;
}
