//! An etcd of three members: one that is lost costs routers nothing, and without a majority they go on by what they have.

use super::*;
use crate::harness::Token;

fn of(members: &[Etcd; 3], id: &str) -> Router {
    let endpoints = members.each_ref().map(Etcd::url).join(",");
    with(&members[0], id, &[("etcd.endpoints", &endpoints), ("etcd.room_wait_ms", "2000")])
}

/// Whether who wants into that room at `router` is sent to the one that has it.
async fn is_sent_on(router: &Router, room: &str) -> bool {
    let mut socket = Socket::connect(router, &Token::new(room, "eve").sign()).await;
    socket.ask(json!({ "join": { "room": room } })).await["error"]["code"] == "room_elsewhere"
}

#[tokio::test]
async fn an_etcd_that_loses_its_leader_goes_on_and_one_without_a_majority_is_waited_for_by_nobody() {
    for release in Release::here() {
        lost(Etcd::three(release).await).await;
    }
}

async fn lost(mut members: [Etcd; 3]) {
    let [one, other] = ["r1", "r2"].map(|id| of(&members, id));
    agree(&[&one, &other], &["r1", "r2"]).await;
    let mut call = Call::on(&one).await;
    let leader = Etcd::leader(&members).await;
    members[leader].kill();
    call.go_on(Duration::from_secs(3)).await;
    agree(&[&one, &other], &["r1", "r2"]).await;
    // a room that is made now is known to all
    let (_carol, _) = Socket::join(&one, "made after the loss", "carol").await;
    assert!(is_sent_on(&other, "made after the loss").await && is_sent_on(&other, "r").await);

    let second = (0..3).find(|place| *place != leader).unwrap();
    members[second].kill();
    let longest = call.go_on(Duration::from_secs(4)).await;
    assert!(longest < Duration::from_secs(1), "a signal took {longest:?} without a majority");
    let view = view(&other).await;
    assert_eq!((&view["answers"], ids(&view).len()), (&json!(false), 2), "{view}");
    // and nobody waits for it
    let begun = Instant::now();
    let (_dave, _) = Socket::join(&other, "made without a majority", "dave").await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    members[second].again().await;
    agree(&[&one, &other], &["r1", "r2"]).await;
    answered("what was made meanwhile is known", async || {
        is_sent_on(&one, "made without a majority").await.then_some(())
    })
    .await;
    call.speak().await;
    let closed = get(one.ops, "/metrics").await.body;
    let closed = closed.lines().filter(|line| line.starts_with("signalbox_sessions_closed_total"));
    assert!(closed.clone().all(|line| line.ends_with(" 0")), "{:?}", closed.collect::<Vec<_>>());
}
