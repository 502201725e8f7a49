//! Every signal is counted, once and with how it ended, whatever becomes of it.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Router, Socket, Stream, Token, answered, get, raw_frame, upgrade_raw, within};

/// Signals by op and outcome.
type Count = BTreeMap<(String, String), u64>;

const CLOSE: u8 = 8;
const TEXT: u8 = 1;

/// The samples of a counter or of a histogram's count, by op and outcome; those at zero left out.
fn by_outcome(metrics: &str, name: &str) -> Count {
    let mut count = Count::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')) {
        let (labels, value) = line.split_once("} ").unwrap();
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\"")).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let value: f64 = value.split(' ').next().unwrap().parse().unwrap();
        *count.entry((label("op"), label("outcome"))).or_default() += value as u64;
    }
    count.retain(|_, count| *count > 0);
    count
}

/// Waits until that many signals are counted, and answers which; the histograms have counted the same.
async fn counted(router: &Router, signals: u64) -> Count {
    answered(&format!("{signals} signals counted"), async || {
        let metrics = get(router.ops, "/metrics").await.body;
        let count = by_outcome(&metrics, "signalbox_signals_total");
        assert_eq!(count, by_outcome(&metrics, "signalbox_signal_latency_seconds_count"));
        let sum = count.values().sum::<u64>();
        assert!(sum <= signals, "{signals} were sent: {count:?}");
        (sum == signals).then_some(count)
    })
    .await
}

fn of(count: &Count, op: &str, outcome: &str) -> u64 {
    count.get(&(op.to_owned(), outcome.to_owned())).copied().unwrap_or_default()
}

fn count_of<const N: usize>(signals: [(&str, &str, u64); N]) -> Count {
    signals.map(|(op, outcome, count)| ((op.to_owned(), outcome.to_owned()), count)).into()
}

#[tokio::test]
async fn each_signal_is_counted_once_by_how_it_ended() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    alice.assert_alive().await;
    alice.send(&json!({ "ping": {} })).await;
    alice.send(&json!({ "send": { "data": 1 } })).await;
    alice.send_text("not json").await;
    alice.send(&json!({ "mute": { "track": "t_nowhere", "muted": true } })).await;
    alice.send_text(&format!(r#"{{"send":{{"data":"{}"}}}}"#, "x".repeat(70_000))).await;
    alice.assert_alive().await;
    let wanted =
        [("join", "ok", 1), ("ping", "ok", 3), ("send", "ok", 1), ("mute", "error", 1), ("unknown", "error", 2)];
    assert_eq!(counted(&router, 8).await, count_of(wanted));

    // before it is in a room, with the other encoding, and with a room that its token does not name
    let mut bob = Socket::connect(&router, &Token::new("r", "bob").sign()).await;
    bob.refusal(json!({ "ping": {} })).await;
    bob.refusal(json!({ "join": { "room": "another" } })).await;
    bob.send_binary(vec![8, 1]).await;
    bob.closed().await;
    let mut carol = Stream::connect(&router, &Token::new("r", "carol").sign()).await.unwrap();
    carol.ask(json!({ "join": { "room": "r" } })).await;
    carol.ask(json!({ "ping": {} })).await;
    drop(carol);
    let wanted = [
        ("join", "ok", 2),
        ("join", "error", 1),
        ("ping", "ok", 4),
        ("ping", "error", 1),
        ("send", "ok", 1),
        ("mute", "error", 1),
        ("unknown", "error", 3),
    ];
    assert_eq!(counted(&router, 13).await, count_of(wanted));
}

#[tokio::test]
async fn what_a_client_asks_before_it_closes_is_answered_or_gone_and_ok_is_what_it_has_read() {
    const ROUNDS: u64 = 20;
    const ASKED: u64 = 50;
    let router = Router::dev();
    let mut pongs = 0;
    for round in 0..ROUNDS {
        let mut stream = upgrade_raw(router.client, &Token::new("r", &format!("c{round}")).sign()).await;
        let frame = |opcode, text: &str| raw_frame(opcode, text.len() as u64, text.as_bytes());
        let mut bytes = frame(TEXT, r#"{"id":1,"join":{"room":"r"}}"#);
        for id in 2..ASKED + 2 {
            bytes.extend(frame(TEXT, &format!(r#"{{"id":{id},"ping":{{}}}}"#)));
        }
        bytes.extend(raw_frame(CLOSE, 2, &1000u16.to_be_bytes()));
        stream.write_all(&bytes).await.unwrap();
        let mut heard = Vec::new();
        within("the end of the connection", stream.read_to_end(&mut heard)).await.unwrap();
        pongs += String::from_utf8_lossy(&heard).matches(r#""pong""#).count() as u64;
    }
    let count = counted(&router, ROUNDS * (ASKED + 1)).await;
    assert_eq!(of(&count, "ping", "ok"), pongs, "{count:?}");
    assert_eq!(of(&count, "ping", "gone") + pongs, ROUNDS * ASKED, "{count:?}");
}

#[tokio::test]
async fn a_push_to_its_own_sender_and_an_answer_are_no_deliveries() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    alice.ask(json!({ "send": { "data": 1 } })).await;
    bob.push_of("data").await;
    counted(&router, 3).await;
    let of_sends = answered("the delivery's count", async || {
        let metrics = get(router.ops, "/metrics").await.body;
        let count = |line: &&str| line.starts_with(r#"signalbox_delivery_latency_seconds_count{op="send""#);
        metrics.lines().find(count).map(str::to_owned)
    })
    .await;
    assert!(of_sends.ends_with(" 1"), "{of_sends}");
}
