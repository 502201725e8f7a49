//! `signalbox load` over a fleet whose routers go while it runs: its participants come back to the others, and nothing is missed.

use super::*;
use crate::{fabric::redis::Redis, harness::within};

/// A load over these routers.
pub(super) fn begin(routers: &[&Router], line: &[&str]) -> tokio::task::JoinHandle<(i32, Value)> {
    let mut arguments: Vec<String> = ["load", "--json"].iter().chain(line).map(|word| (*word).to_owned()).collect();
    arguments.swap(1, 2);
    for router in routers {
        arguments.extend(["--url".to_owned(), format!("ws://{}/v1/signal", router.client)]);
    }
    tokio::task::spawn_blocking(move || {
        let (code, report, said) = run_to_end(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        (code, serde_json::from_str(&report).unwrap_or_else(|e| panic!("no report ({e}): {report}{said}")))
    })
}

/// Waits until one of them has rooms that have been written for a while, and answers its place.
pub(super) async fn busy(routers: &[&Router]) -> usize {
    answered("a router with rooms that are kept", async || {
        for (place, router) in routers.iter().enumerate() {
            let has = metric(router, "signalbox_rooms").await? > 0.0;
            if has && metric(router, &kept::outcome("written")).await? > 20.0 {
                return Some(place);
            }
        }
        None
    })
    .await
}

fn count(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no `{name}` in {report}"))
}

#[track_caller]
pub(super) fn assert_nothing_missed((code, report): &(i32, Value)) {
    assert_eq!(*code, 0, "{report}");
    assert!(count(report, "moved") > 0 && count(report, "expected") > 0, "{report}");
    for name in ["lost", "doubled", "out_of_order", "unanswered", "sessions_lost"] {
        assert_eq!(count(report, name), 0, "{name}: {report}");
    }
}

#[tokio::test]
async fn calls_go_on_when_a_router_of_theirs_is_killed_and_another_one_drains() {
    let (etcd, redis) = (Etcd::start().await, Redis::start().await);
    // by the default what was said some 30 ms before a router is killed may be lost
    let more = [("redis.handover_ms", "1000"), ("redis.ack", "remote")];
    let mut routers = ["r1", "r2", "r3"].map(|id| kept::keeping_with(&etcd, &redis, id, &more));
    agree(&routers.each_ref(), &["r1", "r2", "r3"]).await;
    let line = ["call", "--rooms", "6", "--size", "4", "--rate", "2", "--stay", "3", "--seconds", "9"];
    let running = begin(&routers.each_ref(), &line);
    busy(&[&routers[0]]).await;
    routers[0].send_signal("KILL");
    // the fleet is one of two before it is one of one
    agree(&[&routers[1], &routers[2]], &["r2", "r3"]).await;
    routers[1].terminate();
    assert!(routers[1].ended().await.success());
    assert_nothing_missed(&within("the end of the calls", running).await.unwrap());
    assert!(metric(&routers[2], &kept::outcome("restored")).await > Some(0.0));
}

#[tokio::test]
async fn who_talks_is_heard_by_all_when_its_router_drains() {
    let (etcd, redis) = (Etcd::start().await, Redis::start().await);
    let mut routers = kept::three_with(&etcd, &redis, "2000").await;
    let line = ["resume", "--rooms", "6", "--size", "4", "--rate", "10", "--stay", "1.5", "--seconds", "7"];
    let running = begin(&routers.each_ref(), &line);
    let busy = busy(&routers.each_ref()).await;
    routers[busy].terminate();
    assert!(routers[busy].ended().await.success());
    assert_nothing_missed(&within("the end of the talk", running).await.unwrap());
}

#[tokio::test]
async fn whose_session_is_gone_with_its_router_joins_anew() {
    let client = free();
    let settings = [("resume.secret", RESUME_SECRET), ("server.id", "alone")];
    remember(RESUME_SECRET);
    let one = Router::dev_at(client, &settings);
    let line = ["resume", "--rooms", "2", "--size", "2", "--rate", "5", "--stay", "60", "--seconds", "4"];
    let running = begin(&[&one], &line);
    answered("all are there", async || metric(&one, "signalbox_sessions").await.filter(|sessions| *sessions == 4.0))
        .await;
    // its rooms end with it
    one.send_signal("KILL");
    drop(one);
    let _again = Router::dev_at(client, &settings);
    let (_, report) = within("the end of the talk", running).await.unwrap();
    assert!(count(&report, "sessions_lost") == 4 && count(&report, "moved") > 0, "{report}");
}
