//! What is acknowledged once Redis has it (`redis.ack`): never lost with a router, and refused while it cannot be kept.

use std::{collections::BTreeMap, time::Instant};

use super::{
    kept::{Member, all_is_written, alone, keeping_with},
    *,
};
use crate::fabric::redis::Redis;

const REMOTE: (&str, &str) = ("redis.ack", "remote");
/// Times that the router is killed in the middle of a stream of messages,
const ROUNDS: u64 = 12;
/// and messages of one.
const MESSAGES: u64 = 30;

fn answers(outcome: &str) -> String {
    format!("signalbox_fabric_answers_total{{outcome=\"{outcome}\"}}")
}

/// Says this under that id, without waiting for an answer.
pub(super) async fn begin(member: &mut Member, id: u64) {
    member.socket.send(&json!({ "id": id, "send": { "data": id } })).await;
}

/// Takes note of what was heard, by how often, and up to where.
pub(super) fn hear(member: &mut Member, frame: &Value, heard: &mut BTreeMap<u64, u32>) {
    let push = &frame["data"];
    if let (Some(what), Some(offset)) = (push["data"].as_u64(), push["offset"].as_u64()) {
        *heard.entry(what).or_default() += 1;
        member.offset = member.offset.max(offset);
    }
    if let Some(offset) = frame["event"]["offset"].as_u64() {
        member.offset = member.offset.max(offset);
        // what is said after the first event of another life is of that one
        member.epoch = frame["event"]["epoch"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_however_often_the_router_is_killed() {
    let redis = Redis::start().await;
    // no deadline plays a part in it
    let settings = [REMOTE, ("signal.timeout_ms", "5000"), ("redis.timeout_ms", "3000")];
    let mut router = alone(&redis, &settings);
    let mut alice = Member::join(&router, "r", "alice").await;
    let mut bob = Member::join(&router, "r", "bob").await;
    let (mut heard, mut acknowledged_at_once) = (BTreeMap::new(), 0);
    for round in 1..=ROUNDS {
        let ids = round * 100..round * 100 + MESSAGES;
        for id in ids.clone() {
            begin(&mut alice, id).await;
        }
        let mut waiting: Vec<u64> = ids.clone().collect();
        // sooner or later in the stream: the others are on their way, each somewhere else
        let kill_at = waiting.len() - usize::try_from(round * 2).unwrap();
        while let Some(frame) = alice.socket.frame().await {
            if let Some(offset) = frame["ok"]["offset"].as_u64() {
                waiting.retain(|id| frame["id"] != *id);
                alice.offset = alice.offset.max(offset);
            }
            if waiting.len() == kill_at {
                router.send_signal("KILL");
            }
        }
        acknowledged_at_once += ids.clone().count() - waiting.len();
        let acknowledged: Vec<u64> = ids.filter(|id| !waiting.contains(id)).collect();
        while let Some(frame) = bob.socket.frame().await {
            hear(&mut bob, &frame, &mut heard);
        }
        router = alone(&redis, &settings);
        bob.back(&router).await;
        alice.back(&router).await;
        // what was not acknowledged is asked for again, and is there once
        for id in waiting.clone() {
            begin(&mut alice, id).await;
        }
        while !waiting.is_empty() {
            let frame = alice.socket.frame().await.expect("the router stays");
            if let Some(offset) = frame["ok"]["offset"].as_u64() {
                waiting.retain(|id| frame["id"] != *id);
                alice.offset = alice.offset.max(offset);
            }
        }
        alice.say(round).await;
        while !heard.contains_key(&round) {
            let frame = bob.socket.frame().await.expect("the router stays");
            hear(&mut bob, &frame, &mut heard);
        }
        let lost: Vec<_> = acknowledged.iter().filter(|id| !heard.contains_key(id)).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");
        let twice: Vec<_> = acknowledged.iter().filter(|id| heard[id] > 1).collect();
        assert!(twice.is_empty(), "round {round}: acknowledged and heard twice: {twice:?}");
        for id in round * 100..round * 100 + MESSAGES {
            // one that was seen, and lost before it was acknowledged, comes again with its repeat
            assert!(heard.get(&id).is_some_and(|times| *times <= 2), "round {round}: {id}: {heard:?}");
        }
    }
    assert!(acknowledged_at_once > 100, "the router was killed in the middle: {acknowledged_at_once}");
}

#[tokio::test]
async fn what_was_acknowledged_a_moment_before_the_router_was_killed_is_there_at_another() {
    let (etcd, redis) = (Etcd::start().await, Redis::start().await);
    let one = keeping_with(&etcd, &redis, "r1", &[REMOTE]);
    let other = keeping_with(&etcd, &redis, "r2", &[REMOTE]);
    agree(&[&one, &other], &["r1", "r2"]).await;
    let mut alice = Member::join(&one, "r", "alice").await;
    let mut bob = Member::join(&one, "r", "bob").await;
    for what in 1..=5 {
        alice.say(what).await;
    }
    one.send_signal("KILL");
    assert!(bob.back(&other).await && alice.back(&other).await);
    for what in 1..=5 {
        bob.hears(what).await;
    }
}

/// The code that a message to the room is refused with; absent: it was acknowledged.
pub(super) async fn said(member: &mut Member, what: u64) -> Option<String> {
    let reply = member.socket.ask(json!({ "send": { "data": what } })).await;
    reply["error"]["code"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_redis_that_hangs_refuses_changes_and_closes_nobody() {
    let (redis, mut heard) = (Redis::start().await, BTreeMap::new());
    let router = alone(&redis, &[REMOTE, ("signal.timeout_ms", "200"), ("redis.timeout_ms", "300")]);
    let mut alice = Member::join(&router, "r", "alice").await;
    let mut bob = Member::join(&router, "r", "bob").await;
    alice.say(1).await;
    all_is_written(&router).await;
    redis.freeze();
    let begun = Instant::now();
    begin(&mut alice, 900).await;
    // seen at once, whatever becomes of it
    while !heard.contains_key(&900) {
        let frame = bob.socket.frame().await.unwrap();
        hear(&mut bob, &frame, &mut heard);
    }
    let late = alice.socket.reply(900).await;
    assert_eq!(late["error"]["code"], "deadline_exceeded", "{late}");
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
    answered("it is known that Redis is away", async || {
        (said(&mut bob, 2).await.as_deref() == Some("room_unavailable")).then_some(())
    })
    .await;
    let refused = bob.socket.ask(json!({ "publish": { "cid": "c", "kind": "audio", "source": "microphone" } })).await;
    assert_eq!(refused["error"]["code"], "room_unavailable", "{refused}");
    assert!(
        refused["error"]["retry_after_ms"].is_u64()
            && refused["error"]["message"].as_str().unwrap().contains("not done")
    );
    // what adds nothing to the room goes on, and nobody is closed
    let aside = alice.socket.ask(json!({ "send": { "to": ["bob"], "data": 3 } })).await;
    assert!(aside["ok"].is_object(), "{aside}");
    alice.socket.assert_alive().await;
    bob.socket.assert_alive().await;
    assert!(
        metric(&router, &answers("late")).await >= Some(1.0) && metric(&router, &answers("away")).await >= Some(2.0)
    );
    redis.thaw();
    // the same request with the same id says what became of it
    answered("it is kept by now", async || {
        begin(&mut alice, 900).await;
        let reply = alice.socket.reply(900).await;
        reply["ok"]["offset"].is_u64().then_some(())
    })
    .await;
    answered("changes are taken again", async || said(&mut alice, 4).await.is_none().then_some(())).await;
    answered("both are still there", async || (metric(&router, "signalbox_sessions").await == Some(2.0)).then_some(()))
        .await;
}
