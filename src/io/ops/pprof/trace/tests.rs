use std::{
    io::Write,
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::{
    event::{Event, Origin, Outcome, Signal, Stage},
    io::ops::{
        Ops, State as Health,
        tests::{PATIENCE, routes_of, settings, shown, telemetry},
    },
    protocol::OpKind,
    telemetry::{Telemetry, tap::TAPS_MAX},
};

async fn answer(telemetry: &Arc<Telemetry>, path: &str) -> Response {
    let routes = routes_of(telemetry.clone(), "127.0.0.1", None);
    routes.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
}

async fn get(telemetry: &Arc<Telemetry>, path: &str) -> (StatusCode, HeaderMap, String) {
    read(answer(telemetry, path).await).await
}

async fn read(response: Response) -> (StatusCode, HeaderMap, String) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn end_one(telemetry: &Telemetry) {
    let received = Instant::now();
    let mut signal = Box::new(Signal::new(OpKind::Join, received));
    signal.timeline.end(Stage::Decode, received + Duration::from_millis(1));
    let event = Event::SignalEnded { signal, outcome: Outcome::Ok };
    telemetry.observe_from(&event, &Origin::default(), received);
}

/// Waits until it is so, without the runtime.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "not seen: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn seconds_are_clamped_and_what_is_no_number_is_refused_with_what_is_allowed() {
    let seconds = |query: &str| {
        let asked: Asked = serde_urlencoded::from_str(query).unwrap();
        asked.length().map(|length| length.as_secs_f64())
    };
    for (query, expected) in [
        ("", 1.0),
        ("debug=0", 1.0),
        ("seconds=0", 1.0),
        ("seconds=-1", 1.0),
        ("seconds=5", 5.0),
        ("seconds=2.5", 2.5),
        ("seconds=1e9", 30.0),
    ] {
        assert_eq!(seconds(query), Ok(expected), "{query}");
    }
    for wrong in ["seconds=", "seconds=soon", "seconds=NaN", "seconds=inf", "seconds=1s"] {
        let said = seconds(wrong).unwrap_err().0;
        assert!(said.contains("allowed: 1 to 30"), "{wrong}: {said}");
    }
    assert!(seconds(&format!("seconds={}", "x".repeat(10_000))).unwrap_err().0.len() < 400);
}

#[tokio::test]
async fn a_trace_holds_the_signals_that_ended_meanwhile() {
    let telemetry = telemetry();
    end_one(&telemetry);
    let response = answer(&telemetry, "/debug/pprof/trace?seconds=1").await;
    end_one(&telemetry);
    end_one(&telemetry);
    let (status, head, body) = read(response).await;
    end_one(&telemetry);
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(head[header::CONTENT_TYPE], "application/json");
    assert_eq!(head[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert!(head[header::CONTENT_DISPOSITION].to_str().unwrap().contains("trace.json"));
    let trace: Value = serde_json::from_str(&body).unwrap();
    let begun = |name: &str| {
        let events = trace["traceEvents"].as_array().unwrap().iter();
        events.filter(|event| event["ph"] == "b" && event["name"] == name).count()
    };
    assert_eq!((begun("join"), begun("decode")), (2, 2), "{body}");
    assert_eq!(trace["otherData"]["signals"], "2");
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_as_text_that_tools_know() {
    let telemetry = telemetry();
    let (status, head, said) = get(&telemetry, "/debug/pprof/trace?seconds=long").await;
    assert_eq!((status, &head["x-go-pprof"]), (StatusCode::BAD_REQUEST, &HeaderValue::from_static("1")));
    assert!(head[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
    assert!(said.contains("\"long\"") && said.contains("1 to 30"), "{said}");

    let taps: Vec<_> = (0..TAPS_MAX).map(|_| telemetry.tap().unwrap()).collect();
    let (status, head, said) = get(&telemetry, "/debug/pprof/trace").await;
    assert_eq!((status, &head["x-go-pprof"]), (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from_static("1")));
    assert!(head.contains_key(header::RETRY_AFTER) && said.contains("4 others"), "{said}");
    drop(taps);
    assert_eq!(get(&telemetry, "/debug/pprof/trace").await.0, StatusCode::OK);
}

#[test]
fn a_reader_that_hangs_up_closes_its_tap() {
    let telemetry = telemetry();
    let state = Arc::new(Health::new(Instant::now()));
    let ops = Ops::start(settings(), shown(telemetry.clone(), state)).unwrap();
    let readers: Vec<_> = (0..TAPS_MAX)
        .map(|_| {
            let mut reader = TcpStream::connect(ops.local_addr()).unwrap();
            write!(reader, "GET /debug/pprof/trace?seconds=30 HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            reader
        })
        .collect();
    eventually("all places taken", || telemetry.tap().is_err());
    drop(readers);
    let all_are_free = || (0..TAPS_MAX).map(|_| telemetry.tap()).collect::<Result<Vec<_>, _>>().is_ok();
    eventually("all places free", all_are_free);
    ops.stop();
}
