//! The switch of faults: there for a router that may have them, else refused with the reason.

use super::*;

fn switch(faults: Option<Faults>) -> axum::Router {
    let shown = Shown { faults, ..shown(telemetry(), Arc::new(State::new(Instant::now()))) };
    let address = SocketAddr::new("127.0.0.1".parse::<IpAddr>().unwrap(), 9600);
    routes::router(Shared::new(shown), Guard::new(&[address], None).unwrap())
}

async fn put(routes: &axum::Router, body: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(Method::PUT).uri("/api/fault").body(Body::from(body.to_owned())).unwrap();
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_fault_is_injected_shown_replaced_and_ended() {
    let faults = faults();
    let routes = switch(Some(faults.clone()));
    let shown =
        async || -> Value { serde_json::from_str(&ask(&routes, Method::GET, "/api/fault", &[]).await.1).unwrap() };
    assert_eq!(shown().await["fault"], Value::Null);
    let (status, told) = put(&routes, "errors\n").await;
    assert_eq!((status, &told["fault"], &told["was"]), (StatusCode::OK, &"errors".into(), &Value::Null));
    assert_eq!((&shown().await["fault"], faults.injected()), (&"errors".into(), Some(crate::event::Fault::Errors)));
    let (_, told) = put(&routes, "cpu").await;
    assert_eq!((&told["fault"], &told["was"]), (&"cpu".into(), &"errors".into()));
    let (_, told) = put(&routes, "off").await;
    assert_eq!((&told["fault"], &told["was"], faults.injected()), (&Value::Null, &"cpu".into(), None));
    let names = ["cpu", "stall", "errors", "memory", "canary", "slow-media", "work", "shed"];
    assert_eq!(shown().await["allowed"], serde_json::json!(names));
}

#[tokio::test]
async fn work_takes_how_much_of_it_and_is_a_millisecond_otherwise() {
    let faults = faults();
    let routes = switch(Some(faults.clone()));
    for (body, work_us) in [("work=250", 250), ("work", 1_000), ("work=100000", 100_000)] {
        let (status, told) = put(&routes, body).await;
        assert_eq!((status, &told["fault"]), (StatusCode::OK, &"work".into()), "{told}");
        assert_eq!((faults.work().as_micros(), faults.injected()), (work_us, Some(crate::event::Fault::Work)));
    }
}

#[tokio::test]
async fn slow_nodes_are_slow_by_as_much_as_is_asked_for_and_by_no_more_than_is_allowed() {
    let faults = faults();
    let routes = switch(Some(faults.clone()));
    let milliseconds = || faults.media_delay().map(|delay| delay.as_millis());
    put(&routes, "slow-media").await;
    assert_eq!(milliseconds(), Some(100));
    put(&routes, "slow-media=250").await;
    assert_eq!(milliseconds(), Some(250));
    for wrong in ["slow-media=60001", "slow-media=-1", "slow-media=x", "slow-media 1", "cpu=5"] {
        assert_eq!(put(&routes, wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(milliseconds(), Some(250), "what was refused changed nothing");
    put(&routes, "off").await;
    assert_eq!(milliseconds(), None);
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_with_those_that_are() {
    let faults = faults();
    let routes = switch(Some(faults.clone()));
    for wrong in [
        "",
        "on",
        "CPU",
        "slow",
        "cpu stall",
        "work=0",
        "work=100001",
        "work=",
        "cpu=5",
        "slow-media=0",
        "slow-media=60001",
    ] {
        let (status, told) = put(&routes, wrong).await;
        let message = told["error"]["message"].as_str().unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
        let names = "cpu, stall, errors, memory, canary, slow-media, work, shed";
        assert!(message.contains(names) && message.contains("`off`"), "{message}");
    }
    assert_eq!(faults.injected(), None);
}

#[tokio::test]
async fn a_router_that_serves_people_has_no_switch_and_says_why() {
    let routes = switch(None);
    for body in ["cpu", "off", "nonsense"] {
        let (status, told) = put(&routes, body).await;
        assert_eq!((status, &told["error"]["code"]), (StatusCode::NOT_FOUND, &"path_not_found".into()));
        assert!(told["error"]["message"].as_str().unwrap().contains("--dev"), "{told}");
    }
    let (status, told) = ask(&routes, Method::GET, "/api/fault", &[]).await;
    assert!(status == StatusCode::NOT_FOUND && told.contains("--dev"), "{told}");
}
