//! Limits of the whole fleet: all its routers together allow what is configured, however many they are.

use super::*;
use crate::harness::{Answer, Token, eventually, upgrade_raw};

/// So many places among all routers.
const ALLOWED: u32 = 20;

/// Those of so many who are let in there, by one API key and an identity each.
async fn let_in(router: &Router, who: &str, many: u32) -> Vec<tokio::net::TcpStream> {
    let mut held = Vec::new();
    for n in 0..many {
        let token = Token::new("r", &format!("{who}{n}")).sign();
        match validated(router, &token).await.status {
            200 => held.push(upgrade_raw(router.client, &token).await),
            status => assert_eq!(status, 429),
        }
    }
    held
}

/// What somebody is told who asks to be let in.
async fn validated(router: &Router, token: &str) -> Answer {
    get(router.client, &format!("/v1/signal/validate?access_token={token}")).await
}

async fn share_among(routers: &[&Router], expected: f64) {
    answered("they know how many they are", async || {
        for router in routers {
            if metric(router, "signalbox_guard_sharers").await != Some(expected) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_limit_of_the_fleet_is_that_of_all_routers_together_also_when_one_goes_and_when_etcd_does() {
    let mut etcd = Etcd::start().await;
    let limit = format!("at_once={ALLOWED}");
    let settings = [("guard.of_the_fleet", "key"), ("guard.ops.connect.key", limit.as_str())];
    let routers = ["r1", "r2", "r3"].map(|id| with(&etcd, id, &settings));
    let [one, other, third] = &routers;
    agree(&[one, other, third], &["r1", "r2", "r3"]).await;
    share_among(&[one, other, third], 3.0).await;
    let mut held = Vec::new();
    for (router, expected) in [(one, 7), (other, 7), (third, 6)] {
        let there = let_in(router, "ann", ALLOWED).await;
        assert_eq!(there.len(), expected);
        held.push(there);
    }
    let refused = validated(one, &Token::new("r", "eve").sign()).await.body;
    assert!(refused.contains("guard.ops.connect.key: more than 7 at once; a limit of the fleet"), "{refused}");
    assert!(refused.contains("each of 3 routers"), "{refused}");
    // without etcd each keeps the part that it had
    etcd.kill();
    drop(held.pop());
    answered("its places are free again", async || (let_in(third, "bob", 1).await.len() == 1).then_some(())).await;
    answered("and no more of them", async || (let_in(third, "cat", ALLOWED).await.len() == 6).then_some(())).await;
    etcd.again().await;
    agree(&[one, other, third], &["r1", "r2", "r3"]).await;
    // one that goes leaves its part to the others
    third.send_signal("KILL");
    share_among(&[one, other], 2.0).await;
    drop(held);
    for router in [one, other] {
        answered("half of it each", async || (let_in(router, "dan", ALLOWED).await.len() == 10).then_some(())).await;
    }
}

#[tokio::test]
async fn a_router_that_starts_while_etcd_is_away_allows_its_last_part_or_a_tenth() {
    let mut etcd = Etcd::start().await;
    let (limit, folder) = (format!("at_once={ALLOWED}"), tempfile::tempdir().unwrap());
    let settings = [("guard.of_the_fleet", "key"), ("guard.ops.connect.key", limit.as_str())];
    let keeps = [&settings[..], &[("server.data_dir", folder.path().to_str().unwrap())]].concat();
    let (one, mut other) = (with(&etcd, "r1", &settings), with(&etcd, "r2", &keeps));
    share_among(&[&one, &other], 2.0).await;
    let written = folder.path().join("share");
    eventually("it is on the disk", || std::fs::read_to_string(&written).is_ok_and(|text| text.contains(":2"))).await;
    etcd.kill();
    other.send_signal("KILL");
    other.ended().await;
    let (again, new) = (with(&etcd, "r2", &keeps), with(&etcd, "r3", &settings));
    let mut held = Vec::new();
    for (router, who, expected) in [(&one, "ann", 10), (&again, "bob", 10), (&new, "cat", 2)] {
        let there = let_in(router, who, ALLOWED).await;
        assert_eq!(there.len(), expected, "{who}");
        held.push(there);
    }
    let refused = validated(&new, &Token::new("r", "eve").sign()).await.body;
    assert!(refused.contains("more than 2 at once; a limit of the fleet"), "{refused}");
}
