//! The fleet on the ops port: alone, and as it was seen last.

use super::*;
use crate::directory::{FleetView, RouterRow};

fn routes(fleet: Fleet) -> axum::Router {
    let shown = Shown { fleet, ..shown(telemetry(), Arc::new(State::new(Instant::now()))) };
    let address = SocketAddr::new("127.0.0.1".parse::<IpAddr>().unwrap(), 9600);
    routes::router(Shared::new(shown), Guard::new(&[address], None).unwrap())
}

async fn told(routes: &axum::Router, path: &str) -> Value {
    let (_, told) = ask(routes, Method::GET, path, &[]).await;
    serde_json::from_str(&told).unwrap()
}

fn view() -> FleetView {
    let row = RouterRow {
        id: "r1".to_owned(),
        region: "sh".to_owned(),
        version: "0.1.0".to_owned(),
        url: String::new(),
        ops_url: String::new(),
        relay_url: String::new(),
        started_unix: 1,
        sessions: 3,
        rooms: 2,
        watch_lag_seconds: 0.5,
        digest: "00000000abcd".to_owned(),
        journal_writes: 0,
        journal_age_seconds: 0.0,
        lease_age_seconds: 1.5,
        draining: false,
        rules: None,
    };
    FleetView {
        router: "r1".to_owned(),
        answers: false,
        why: Some("connection refused".to_owned()),
        registered: true,
        lease_age_seconds: 40.0,
        watch: "opening",
        watch_lag_seconds: 41.0,
        revision: 7,
        digest: "00000000abcd".to_owned(),
        rules_revision: 0,
        routers: vec![row],
        media_nodes: 0,
        rooms_unwritten: 0,
        rooms_compared: None,
        unreadable: Vec::new(),
    }
}

#[tokio::test]
async fn a_router_that_runs_alone_says_so_and_its_health_is_what_it_was() {
    let routes = routes(Fleet::default());
    assert_eq!(
        told(&routes, "/api/fleet").await,
        serde_json::json!({ "mode": "embedded", "view": null, "fabric": null })
    );
    let health = told(&routes, "/health/ready").await;
    assert!(health.get("directory").is_none() && health.get("fabric").is_none());
}

#[tokio::test]
async fn the_fleet_is_shown_and_an_etcd_that_is_away_is_told_in_the_health_report() {
    let fleet = Fleet::default();
    fleet.show(view());
    let routes = routes(fleet);
    let told_of = told(&routes, "/api/fleet").await;
    assert_eq!((&told_of["mode"], &told_of["view"]["routers"][0]["sessions"]), (&"etcd".into(), &3.into()));
    let health = told(&routes, "/health/ready").await;
    let expected = serde_json::json!({
        "answers": false, "registered": true, "why": "connection refused", "routers": 1,
    });
    assert_eq!(health["directory"], expected);
}
