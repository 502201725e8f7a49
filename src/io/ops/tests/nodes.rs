//! Media nodes on the ops port: seen, taken out of the choice and back, and why a room is on one.

use super::*;
use crate::{
    config::{Config, Slice},
    io::shard::{ShardSettings, Surroundings},
    placement::{NodeFact, NodeInfo, NodeLoad},
};

/// Two shards that know node `m1`, and the routes over them.
async fn routes() -> axum::Router {
    let router = |_| Config::default().router_settings(Slice { seed: 7, count: 2 }, &[7; 32]);
    let around = Surroundings {
        telemetry: telemetry(),
        faults: None,
        media: None,
        finder: crate::io::finder::RoomFinder::default(),
    };
    let shards = Shards::start((0..2).map(router).collect(), ShardSettings::patient(PATIENCE), &around);
    let info = NodeInfo {
        id: "m1".into(),
        region: "sh".into(),
        variant: "default".into(),
        public_url: "https://m1".to_owned(),
        base_weight: 10,
    };
    let load = NodeLoad { cpu_percent: 20.0, memory_percent: 40.0, loss: 0.0, draining: false };
    for fact in [
        NodeFact::Known(info),
        NodeFact::RoundTrip { node: "m1".into(), rtt: Duration::from_millis(20) },
        NodeFact::Reported { node: "m1".into(), load },
    ] {
        shards.node(fact).await;
    }
    let shown = Shown { shards, ..shown(telemetry(), Arc::new(State::new(Instant::now()))) };
    let address = SocketAddr::new("127.0.0.1".parse::<IpAddr>().unwrap(), 9600);
    routes::router(Shared::new(shown), Guard::new(&[address], None).unwrap())
}

/// The one node, once it stands so.
async fn node_that_is(routes: &axum::Router, standing: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, told) = ask(routes, Method::GET, "/api/nodes", &[]).await;
        assert_eq!(status, StatusCode::OK);
        let told: Value = serde_json::from_str(&told).unwrap();
        if told["nodes"][0]["standing"] == standing {
            return told["nodes"][0].clone();
        }
        assert!(Instant::now() < deadline, "it never is {standing}: {told}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_node_is_shown_by_its_parts_taken_out_of_the_choice_and_put_back() {
    let routes = routes().await;
    let node = node_that_is(&routes, "ready").await;
    // 100 - 40 x 20/200 - 30 x 60/200
    assert_eq!((node["node"].as_str(), node["weight"].as_u64()), (Some("m1"), Some(17)));
    let points: Vec<f64> =
        ["value", "rtt_points", "load_points", "loss_points"].map(|part| node["score"][part].as_f64().unwrap()).into();
    assert!((points[0] - 87.0).abs() < 1e-9 && (points[1] - 4.0).abs() < 1e-9 && (points[2] - 9.0).abs() < 1e-9);
    assert_eq!((node["share_wanted"].as_f64(), node["share_got"].as_f64()), (Some(1.0), None));
    for (act, standing) in [("cordon", "cordoned"), ("uncordon", "ready"), ("drain", "drained"), ("uncordon", "ready")]
    {
        let (status, told) = ask(&routes, Method::PUT, &format!("/api/nodes/m1/{act}"), &[]).await;
        assert_eq!(status, StatusCode::OK, "{told}");
        node_that_is(&routes, standing).await;
    }
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_is_allowed() {
    let routes = routes().await;
    node_that_is(&routes, "ready").await;
    for (method, path, status, said) in [
        (Method::PUT, "/api/nodes/m2/cordon", StatusCode::NOT_FOUND, "GET /api/nodes lists them"),
        (Method::POST, "/api/nodes/m1/reboot", StatusCode::BAD_REQUEST, "cordon, uncordon, drain"),
        (Method::GET, "/api/placement", StatusCode::BAD_REQUEST, "the name of a room"),
        (Method::GET, "/api/placement?room=r1", StatusCode::NOT_FOUND, "no room `r1`"),
        (Method::GET, "/api/nodes/m1/cordon", StatusCode::METHOD_NOT_ALLOWED, "method"),
    ] {
        let (found, told) = ask(&routes, method, path, &[]).await;
        assert_eq!(found, status, "{path}: {told}");
        assert!(told.contains(said), "{path}: {told}");
    }
}
