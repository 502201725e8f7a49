//! Media nodes of a fleet: registered with one router, carrying rooms of all.

use super::{etcd::Etcd, *};
use crate::harness::{MediaNode, eventually};

/// Silence is found within the test.
const QUICK: [(&str, &str); 3] = [("media.ttl_ms", "2000"), ("media.report_ms", "300"), ("media.probe_ms", "100")];

async fn nodes(router: &Router) -> Vec<Value> {
    get(router.ops, "/api/nodes").await.json()["nodes"].as_array().cloned().unwrap_or_default()
}

/// Waits until that router has the node to give rooms to.
async fn ready(router: &Router, id: &str) {
    answered("the node is ready", async || {
        let nodes = nodes(router).await;
        nodes.iter().any(|node| node["node"] == id && node["standing"] == "ready").then_some(())
    })
    .await;
}

/// Who says that it is there.
async fn by(etcd: &Etcd, id: &str) -> Option<String> {
    let found = etcd.client().await.get(format!("/signalbox/media/{id}"), None).await.unwrap();
    let record: Value = serde_json::from_slice(found.kvs().first()?.value()).unwrap();
    record["by"].as_str().map(str::to_owned)
}

async fn gone(router: &Router) -> f64 {
    let metrics = get(router.ops, "/metrics").await.body;
    let lines = metrics.lines().filter(|line| line.starts_with("signalbox_media_nodes_gone_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn a_node_that_registers_with_one_router_carries_rooms_of_another_and_goes_with_that_one() {
    let mut etcd = Etcd::start().await;
    let (one, other) = (with(&etcd, "r1", &QUICK), with(&etcd, "r2", &QUICK));
    agree(&[&one, &other], &["r1", "r2"]).await;
    let _node = MediaNode::of(&one, "m1");
    ready(&one, "m1").await;
    ready(&other, "m1").await;
    let (_alice, joined) = Socket::join(&other, "a room", "alice").await;
    assert_eq!(joined["media"]["node"], "m1", "{joined}");
    let (code, table, _) = run_to_end(&["nodes", "--url", &format!("http://{}", other.ops)]);
    assert!(code == 0 && table.contains("m1"), "{table}");
    agree(&[&one, &other], &["r1", "r2"]).await;
    assert_eq!(view(&other).await["media_nodes"], 1);
    // an etcd that is away for longer than any lease takes no node from anybody
    etcd.kill();
    Call::on(&other).await.go_on(Duration::from_secs(5)).await;
    assert_eq!((gone(&one).await, gone(&other).await), (0.0, 0.0));
    etcd.again().await;
    agree(&[&one, &other], &["r1", "r2"]).await;
    ready(&other, "m1").await;
    // it registers with nobody else, so that it is gone with that router, once its lease has ended
    one.send_signal("KILL");
    answered("the other lets go of it", async || nodes(&other).await.is_empty().then_some(())).await;
    assert_eq!(by(&etcd, "m1").await, None);
}

#[tokio::test]
async fn a_node_that_registers_with_two_routers_outlives_either() {
    let etcd = Etcd::start().await;
    let (one, other) = (with(&etcd, "r1", &QUICK), with(&etcd, "r2", &QUICK));
    agree(&[&one, &other], &["r1", "r2"]).await;
    let [first, second] = [&one, &other].map(|router| format!("http://{}", router.media.unwrap()));
    let _node = MediaNode::start(&["--id", "m1", "--region", "default", "--router", &first, "--router", &second]);
    ready(&one, "m1").await;
    ready(&other, "m1").await;
    let holder = answered("it stands", async || by(&etcd, "m1").await).await;
    let (holder, left, heir) = if holder == "r1" { (&one, &other, "r2") } else { (&other, &one, "r1") };
    holder.send_signal("KILL");
    answered("the other one says so", async || (by(&etcd, "m1").await.as_deref() == Some(heir)).then_some(())).await;
    ready(left, "m1").await;
    assert_eq!(gone(left).await, 0.0, "it was never without it");
}

#[tokio::test]
async fn a_second_node_of_an_id_is_refused_by_a_router_that_the_first_never_registered_with() {
    let etcd = Etcd::start().await;
    let (one, other) = (with(&etcd, "r1", &QUICK), with(&etcd, "r2", &QUICK));
    agree(&[&one, &other], &["r1", "r2"]).await;
    let _first = MediaNode::of(&one, "m1");
    ready(&other, "m1").await;
    let second = MediaNode::of(&other, "m1");
    eventually("the refusal", || second.stderr().contains("another node, which is alive, has this id")).await;
    assert_eq!(by(&etcd, "m1").await.as_deref(), Some("r1"));
    ready(&other, "m1").await;
}
