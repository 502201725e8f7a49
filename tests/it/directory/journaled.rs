//! What Redis did not take lies on the router's disk: also when the router is killed before Redis is back.

use std::collections::BTreeMap;

use super::{
    acknowledged::{begin, hear, said},
    kept::{Member, all_is_written, alone, alone_settings},
    *,
};
use crate::fabric::redis::Redis;

fn writes(outcome: &str) -> String {
    format!("signalbox_journal_writes_total{{outcome=\"{outcome}\"}}")
}

/// Waits until nothing lies in the router's journal any more.
async fn all_is_brought(router: &Router) {
    answered("the journal is empty", async || {
        let waits = metric(router, "signalbox_journal_depth").await?;
        let behind = metric(router, "signalbox_fabric_rooms_behind").await?;
        (waits == 0.0 && behind == 0.0).then_some(())
    })
    .await;
}

/// Hears on until that was said.
async fn hears_up_to(member: &mut Member, what: u64, heard: &mut BTreeMap<u64, u32>) {
    while !heard.contains_key(&what) {
        let frame = member.socket.frame().await.expect("the router stays");
        hear(member, &frame, heard);
    }
}

async fn killed_while_redis_is_away(ack: &str) {
    let (mut redis, folder) = (Redis::start().await, tempfile::tempdir().unwrap());
    let data = folder.path().to_str().unwrap();
    // what is killed is back in time, whatever else this machine does
    let settings = [("redis.ack", ack), ("server.data_dir", data), ("rooms.linger_seconds", "60")];
    let router = alone(&redis, &settings);
    let mut alice = Member::join(&router, "r", "alice").await;
    let mut bob = Member::join(&router, "r", "bob").await;
    let mut heard = BTreeMap::new();
    alice.say(1).await;
    hears_up_to(&mut bob, 1, &mut heard).await;
    all_is_written(&router).await;
    redis.kill();
    let mut acknowledged = vec![1];
    for what in 2..=60 {
        // the first ones may find that Redis is away only after their time
        match said(&mut alice, what).await.as_deref() {
            None => acknowledged.push(what),
            Some(code) => assert!(matches!(code, "deadline_exceeded" | "room_unavailable"), "{what}: {code}"),
        }
    }
    assert!(acknowledged.len() > 50, "the disk takes them: {acknowledged:?}");
    // a room that is made now is kept as well
    let mut carol = Member::join(&router, "made meanwhile", "carol").await;
    answered("it is taken", async || said(&mut carol, 1_000).await.is_none().then_some(())).await;
    if ack == "local" {
        // acknowledged before it is written
        answered("all of it is on the disk", async || {
            let appended = metric(&router, &writes("appended")).await?;
            let behind = metric(&router, "signalbox_fabric_rooms_behind").await?;
            (appended >= 2.0 && behind == 0.0).then_some(())
        })
        .await;
    }
    router.send_signal("KILL");
    while let Some(frame) = bob.socket.frame().await {
        hear(&mut bob, &frame, &mut heard);
    }
    // one who was away all the time
    heard.clear();
    bob.offset = 3;
    let again = alone(&redis, &settings);
    redis.again().await;
    for member in [&mut bob, &mut alice, &mut carol] {
        member.back(&again).await;
    }
    alice.say(2_000).await;
    hears_up_to(&mut bob, 2_000, &mut heard).await;
    for what in acknowledged.iter().filter(|what| **what > 1) {
        assert_eq!(heard.get(what), Some(&1), "{what}: {heard:?}");
    }
    all_is_brought(&again).await;
    assert!(metric(&again, &writes("brought")).await >= Some(2.0));
    for lost in ["fenced", "missing", "incomplete", "unreadable"] {
        assert_eq!(metric(&again, &writes(lost)).await, Some(0.0), "{lost}");
    }
}

#[tokio::test]
async fn a_router_that_is_killed_while_redis_is_away_brings_what_it_acknowledged_when_both_are_back() {
    killed_while_redis_is_away("disk").await;
}

#[tokio::test]
async fn also_without_waiting_for_the_disk_what_was_written_down_arrives() {
    killed_while_redis_is_away("local").await;
}

#[tokio::test]
async fn a_redis_that_comes_back_gets_what_lay_on_the_disk_and_the_rest_directly() {
    let (mut redis, folder) = (Redis::start().await, tempfile::tempdir().unwrap());
    let data = folder.path().to_str().unwrap();
    let router = alone(&redis, &[("redis.ack", "disk"), ("server.data_dir", data)]);
    let mut alice = Member::join(&router, "r", "alice").await;
    let mut bob = Member::join(&router, "r", "bob").await;
    let mut heard = BTreeMap::new();
    alice.say(1).await;
    for round in 1..=2 {
        redis.kill();
        answered("the disk takes it", async || said(&mut alice, round * 100).await.is_none().then_some(())).await;
        alice.say(round * 100 + 1).await;
        redis.again().await;
        // while it is said on and on, too
        answered("nothing lies there any more", async || {
            alice.say(round * 100 + 2).await;
            (metric(&router, "signalbox_journal_depth").await? == 0.0).then_some(())
        })
        .await;
        alice.say(round * 100 + 3).await;
        hears_up_to(&mut bob, round * 100 + 3, &mut heard).await;
    }
    all_is_written(&router).await;
    router.send_signal("KILL");
    let again = alone(&redis, &[("redis.ack", "disk"), ("server.data_dir", data)]);
    bob.back(&again).await;
    alice.back(&again).await;
    alice.say(999).await;
    hears_up_to(&mut bob, 999, &mut heard).await;
    assert_eq!(metric(&again, &writes("brought")).await, Some(0.0), "it had left the disk before");
}

#[tokio::test]
async fn a_journal_that_is_full_refuses_changes_where_they_count_on_it_and_closes_nobody() {
    let (mut redis, folder) = (Redis::start().await, tempfile::tempdir().unwrap());
    let data = folder.path().to_str().unwrap();
    let settings = [("redis.ack", "disk"), ("server.data_dir", data), ("redis.journal_bytes", "1048576")];
    full(&alone(&redis, &settings), &mut redis, "full").await;
}

#[tokio::test]
async fn a_disk_that_is_full_refuses_changes_where_they_count_on_it_and_closes_nobody() {
    let (mut redis, folder) = (Redis::start().await, tempfile::tempdir().unwrap());
    let data = folder.path().to_str().unwrap().to_owned();
    let url = redis.url();
    let settings = [("redis.ack", "disk"), ("server.data_dir", data.as_str())];
    let router = Router::dev_on_a_disk(free(), &alone_settings(&url, &settings));
    router.disk_takes(Some(4 << 20));
    full(&router, &mut redis, "failed").await;
}

/// Says as much as it takes until the journal takes no more, and goes on once Redis is back.
async fn full(router: &Router, redis: &mut Redis, outcome: &str) {
    let mut alice = Member::join(router, "r", "alice").await;
    let mut bob = Member::join(router, "r", "bob").await;
    alice.say(1).await;
    all_is_written(router).await;
    redis.kill();
    let long = "x".repeat(30_000);
    let mut taken = 0;
    answered("it is full", async || {
        let reply = alice.socket.ask(json!({ "send": { "data": long } })).await;
        taken += u32::from(reply["ok"].is_object());
        let refused = metric(router, &writes(outcome)).await?;
        (refused > 0.0 && reply["error"]["code"] == "room_unavailable").then_some(())
    })
    .await;
    assert!(taken > 5, "{taken} before");
    // nobody is closed, and what adds nothing to the room goes on
    alice.socket.assert_alive().await;
    bob.socket.assert_alive().await;
    let aside = alice.socket.ask(json!({ "send": { "to": ["bob"], "data": 3 } })).await;
    assert!(aside["ok"].is_object(), "{aside}");
    redis.again().await;
    answered("changes are taken again", async || said(&mut alice, 4).await.is_none().then_some(())).await;
    all_is_brought(router).await;
    begin(&mut alice, 5_000).await;
    assert!(alice.socket.reply(5_000).await["ok"].is_object());
}

#[tokio::test]
async fn a_second_router_on_the_same_folder_does_not_start() {
    let (redis, folder) = (Redis::start().await, tempfile::tempdir().unwrap());
    let data = folder.path().to_str().unwrap();
    let _router = alone(&redis, &[("server.data_dir", data)]);
    let file = folder.path().join("second.toml");
    let text = format!(
        "[server]\ndata_dir = {data:?}\n[media]\nlisten = \"127.0.0.1:0\"\n[resume]\nsecret = {RESUME_SECRET:?}\n[redis]\naddrs = {:?}\n",
        redis.url()
    );
    std::fs::write(&file, text).unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let arguments = [&["serve", "--dev"][..], &listen, &["--config", file.to_str().unwrap()]].concat();
    let (code, _, said) = run_to_end(&arguments);
    assert!(code != 0 && said.contains("another process has"), "{code}: {said}");
}
