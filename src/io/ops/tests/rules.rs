//! The rules of the fleet on the ops port: what is refused before etcd is asked, by whose fault, and whether it may be tried again.

use super::*;
use crate::directory::{FleetView, RULES_BYTES_MAX, RulesNews};

fn routes(fleet: Fleet) -> axum::Router {
    let shown = Shown { fleet, ..shown(telemetry(), Arc::new(State::new(Instant::now()))) };
    let address = SocketAddr::new("127.0.0.1".parse::<IpAddr>().unwrap(), 9600);
    routes::router(Shared::new(shown), Guard::new(&[address], None).unwrap())
}

/// Of a fleet, but without an etcd that could be asked.
fn fleet() -> Fleet {
    let fleet = Fleet::default();
    fleet.show(FleetView {
        router: "r1".to_owned(),
        answers: true,
        why: None,
        registered: true,
        lease_age_seconds: 0.0,
        watch: "watching",
        watch_lag_seconds: 0.0,
        revision: 7,
        digest: String::new(),
        rules_revision: 7,
        routers: Vec::new(),
        media_nodes: 0,
        rooms_unwritten: 0,
        rooms_compared: None,
        unreadable: Vec::new(),
    });
    fleet
}

/// Status, and what is told.
async fn asked(
    routes: &axum::Router,
    method: Method,
    path: &str,
    revision: Option<&str>,
    body: String,
) -> (u16, Value) {
    let mut request = http::Request::builder().method(method).uri(path);
    if let Some(revision) = revision {
        request = request.header(header::IF_MATCH, revision);
    }
    let response = routes.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn who_runs_alone_has_no_rules_of_a_fleet() {
    let routes = routes(Fleet::default());
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let (status, told) = asked(&routes, method, "/api/fleet/rules", Some("0"), String::new()).await;
        assert_eq!((status, &told["error"]["code"], &told["error"]["retry"]), (409, &"no_fleet".into(), &false.into()));
    }
}

#[tokio::test]
async fn what_stands_is_shown_with_its_revision_and_what_cannot_be_read_with_why() {
    let fleet = fleet();
    let routes = routes(fleet.clone());
    let told = async || asked(&routes, Method::GET, "/api/fleet/rules", None, String::new()).await.1;
    assert_eq!((&told().await["revision"], &told().await["text"]), (&0.into(), &Value::Null));
    fleet.rules().offer(Some(RulesNews { revision: 7, text: Ok("guard.enabled = true".into()) }));
    assert_eq!((&told().await["revision"], &told().await["text"]), (&7.into(), &"guard.enabled = true".into()));
    fleet.rules().offer(Some(RulesNews { revision: 8, text: Err("not UTF-8".to_owned()) }));
    assert_eq!((&told().await["text"], &told().await["unreadable"]), (&Value::Null, &"not UTF-8".into()));
    assert!(fleet.rules().came() && !fleet.rules().came(), "looked at once");
}

#[tokio::test]
async fn nothing_is_written_without_a_revision_nor_what_this_router_would_refuse() {
    let routes = routes(fleet());
    let too_long = "x".repeat(RULES_BYTES_MAX + 1);
    for (revision, body, status, code) in [
        (None, "good", 428, "revision_missing"),
        (Some("seven"), "good", 428, "revision_missing"),
        (Some("-1"), "good", 428, "revision_missing"),
        (Some("\"7\""), "bad", 422, "rules_mistaken"),
        (Some("7"), too_long.as_str(), 413, "rules_unreadable"),
    ] {
        let (was, told) = asked(&routes, Method::PUT, "/api/fleet/rules", revision, body.to_owned()).await;
        let error = &told["error"];
        assert_eq!(
            (was, error["code"].as_str(), error["side"].as_str()),
            (status, Some(code), Some("client")),
            "{told}"
        );
        assert!(error["message"].as_str().unwrap().contains("nothing was written"), "{told}");
    }
    let (status, told) = asked(&routes, Method::POST, "/api/fleet/rules/check", None, "good".to_owned()).await;
    assert_eq!((status, &told["verdict"]), (200, &"applicable".into()));
    assert_eq!(asked(&routes, Method::POST, "/api/fleet/rules/check", None, "bad".to_owned()).await.0, 422);
}
