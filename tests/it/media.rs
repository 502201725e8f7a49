//! Rooms on media nodes: real routers, real nodes, real browsers.

use std::{collections::BTreeMap, time::Instant};

use serde_json::{Value, json};

use crate::harness::{Browser, MediaNode, PATIENCE, Page, Router, Token, answered, eventually, get, run_to_end};

/// It is patient: this is about nodes, and the machine is busy with other tests.
fn router() -> Router {
    Router::dev_with(&[("media.listen", "127.0.0.1:0"), ("guard.enabled", "false")])
}

/// Nodes of these ids, once the router would choose any of them.
async fn nodes<'a>(router: &Router, ids: &[&'a str]) -> BTreeMap<&'a str, MediaNode> {
    let nodes: BTreeMap<_, _> = ids.iter().map(|id| (*id, MediaNode::of(router, id))).collect();
    answered("all nodes in the choice", async || {
        let told: Value = serde_json::from_str(&get(router.ops, "/api/nodes").await.body).ok()?;
        let healthy = |node: &&Value| node["standing"] == "ready" && !node["reported_seconds_ago"].is_null();
        (told["nodes"].as_array()?.iter().filter(healthy).count() == ids.len()).then_some(())
    })
    .await;
    nodes
}

/// What `getUserMedia` gives: a moving picture and a tone, without asking anybody.
const FAKE_DEVICES: [&str; 3] = [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
];

#[tokio::test]
async fn two_browsers_see_each_other_through_a_node_and_through_the_other_when_it_dies() {
    let router = router();
    let mut nodes = nodes(&router, &["m1", "m2"]).await;
    let page = Page::serve(include_str!("media/page.html")).await;
    let query = |identity: &str| {
        let token = Token::new("call", identity).claim("name", json!(identity)).sign();
        format!("token={token}&url=ws://{}/v1/signal", router.client)
    };
    let (alice, bob) = (query("alice"), query("bob"));
    let _first = Browser::open(&page.url(&alice), &FAKE_DEVICES);
    let _second = Browser::open(&page.url(&bob), &FAKE_DEVICES);
    let sees = async |who: &str, whom: &str, after: &str| {
        let line = format!("video of {whom}: 20 frames of 320");
        eventually(&line, || page.text(who).split_once(after).is_some_and(|(_, text)| text.contains(&line))).await;
    };
    sees(&alice, "bob", "joined").await;
    sees(&bob, "alice", "joined").await;
    let shown = page.text(&alice);
    let node = shown.split_once("media at ").unwrap().1.split_whitespace().next().unwrap();
    assert!(shown.contains("sound of bob"), "{shown}");
    nodes.get_mut(node).unwrap().kill();
    sees(&alice, "bob", "moved: node_failed").await;
    sees(&bob, "alice", "moved: node_failed").await;
    for who in [&alice, &bob] {
        let told = page.text(who);
        assert_eq!(told.matches("moved: ").count(), 1, "{told}");
        assert!(!told.contains("closed:"), "{told}");
    }
}

#[tokio::test]
async fn a_node_dies_under_load_and_each_participant_is_told_once_of_another() {
    let router = router();
    let mut nodes = nodes(&router, &["m1", "m2"]).await;
    let url = format!("ws://{}/v1/signal", router.client);
    let load = tokio::task::spawn_blocking(move || {
        let shape = ["--rooms", "12", "--size", "3", "--stay", "14", "--seconds", "14"];
        run_to_end(&[&["load", "call", "--json", "--url", &url], &shape[..]].concat())
    });
    let rooms_of = async |node: &str| {
        let told: Value = serde_json::from_str(&get(router.ops, "/api/nodes").await.body).unwrap();
        told["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|told| told["node"] == node)
            .and_then(|told| told["rooms"].as_u64())
    };
    answered("rooms on both nodes", async || (rooms_of("m1").await? >= 3 && rooms_of("m2").await? >= 3).then_some(()))
        .await;
    let rooms = rooms_of("m1").await.unwrap();
    nodes.get_mut("m1").unwrap().kill();
    let killed = Instant::now();
    answered("no room on the dead node", async || (rooms_of("m1").await.unwrap_or(0) == 0).then_some(())).await;
    let moved_after = killed.elapsed();
    assert!(moved_after.as_secs() < 8, "{moved_after:?}");
    let (code, report, said) = tokio::time::timeout(PATIENCE, load).await.unwrap().unwrap();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|e| panic!("{e}: {report}{said}"));
    assert_eq!(code, 0, "{report}{said}");
    let media = &report["media"];
    assert!(media["told"].as_u64().unwrap() >= 3 * rooms, "{media}");
    for wrong in ["untold", "told_twice", "without"] {
        assert_eq!(media[wrong], 0, "{wrong}: {media}");
    }
    let told_in = report["seconds_of_run"].as_array().unwrap().iter().filter(|second| second["told"] != 0).count();
    assert!(told_in > 0, "{report}");
}
