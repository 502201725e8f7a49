use std::{sync::Arc, time::Instant};

use http::Method;
use serde_json::Value;

use super::*;
use crate::{
    event::{Event, Opens, Origin, Outcome, Signal, Stage},
    io::ops::tests::{ask, routes_of, telemetry},
    protocol::{Code, OpKind},
    telemetry::Telemetry,
};

const ROOM: &str = "<script>alert(1)</script>";

/// With one join that waited long for its shard, into a room of a hostile name, and a refusal.
fn with_signals() -> Arc<Telemetry> {
    let telemetry = telemetry();
    let received = Instant::now();
    let mut join = Box::new(Signal::new(OpKind::Join, received));
    let labels = telemetry.labels(&crate::protocol::v1::Join::default());
    join.opens = Some(Box::new(Opens { room: ROOM.into(), labels }));
    join.waiting = 17;
    join.shard = Some(1);
    for (stage, ms) in [(Stage::Decode, 1), (Stage::Admit, 95), (Stage::Handle, 96), (Stage::Flush, 100)] {
        join.timeline.end(stage, received + Duration::from_millis(ms));
    }
    let mut refused = Box::new(Signal::new(OpKind::Send, received));
    refused.timeline.end(Stage::Reply, received + Duration::from_millis(1));
    for (signal, outcome) in [(join, Outcome::Ok), (refused, Outcome::Refused(Code::BadRequest))] {
        telemetry.observe_from(&Event::SignalEnded { signal, outcome }, &Origin::default(), received);
    }
    telemetry.drain(received, Duration::from_secs(1_800_000_001));
    telemetry
}

async fn get(path: &str, accept: &str) -> (u16, String) {
    let routes = routes_of(with_signals(), "127.0.0.1", None);
    let (status, body) = ask(&routes, Method::GET, path, &[("accept", accept)]).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn the_latency_page_shows_what_its_json_says_and_its_plot() {
    let (status, json) = get("/debug/latency?window=5m&op=join", "*/*").await;
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((status, &report["window_seconds"]), (200, &300.into()));
    assert_eq!(report["covered_seconds"], 1, "it has run no longer");
    let row = &report["rows"][0];
    assert_eq!(
        (&row["op"], &row["region"], &row["outcome"], &row["count"]),
        (&"join".into(), &"sh".into(), &"ok".into(), &1.into())
    );
    let p99 = row["p99_ms"].as_f64().unwrap();
    assert!((100.0..100.1).contains(&p99), "{row}");
    let (status, page) = get("/debug/latency?window=5m&op=join", "text/html,*/*;q=0.8").await;
    assert_eq!(status, 200);
    assert!(
        page.contains(&format!("<td class=\"n bad\">{}</td>", ms(p99))),
        "a P99 past the promise stands out: {page}"
    );
    assert!(
        page.contains("<svg")
            && page.contains("promise: 80 ms")
            && page.contains("<b>5m</b>")
            && page.contains("<b>join</b>")
    );
    let (status, svg) = get("/debug/latency?format=svg", "*/*").await;
    assert!(status == 200 && svg.starts_with("<svg") && svg.contains("join (1)"), "{svg}");
    let (_, all) = get("/debug/latency", "*/*").await;
    assert!(all.contains("\"stage\":\"admit\"") && all.contains("\"op\":\"send\""), "{all}");
}

#[tokio::test]
async fn the_slow_page_shows_where_the_time_went_and_takes_no_room_for_markup() {
    let (status, json) = get("/debug/slow", "*/*").await;
    let slow: Value = serde_json::from_str(&json).unwrap();
    let join = &slow[0];
    assert_eq!((status, &join["op"], &join["room"]), (200, &"join".into(), &ROOM.into()));
    assert_eq!((&join["took_ms"], &join["inbox_waiting"], &join["shard"]), (&100.0.into(), &17.into(), &1.into()));
    let stages: Vec<_> =
        join["stages"].as_array().unwrap().iter().map(|part| part["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["decode", "admit", "handle", "flush"]);
    assert_eq!(join["stages"][1]["took_ms"], 94.0);
    let (_, page) = get("/debug/slow", "text/html").await;
    assert!(page.contains("admit 94.0") && page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    assert!(page.contains("bad_request"), "what was refused says why");
}

#[tokio::test]
async fn a_question_that_is_wrong_is_answered_with_what_is_allowed() {
    for (path, allowed) in [
        ("/debug/latency?window=2h", "1s to 1h"),
        ("/debug/latency?op=jion", "join, leave, resume"),
        ("/debug/latency?format=pdf", "html, json, svg"),
        ("/debug/latency.hlog?window=soon", "1s to 1h"),
        ("/debug/slow?format=svg", "html, json"),
    ] {
        let (status, said) = get(path, "*/*").await;
        assert!(status == 400 && said.contains(allowed), "{path}: {said}");
    }
}

#[test]
fn a_browser_gets_a_page_and_a_program_json_unless_it_says_otherwise() {
    let accept = |value: &str| HeaderMap::from_iter([(header::ACCEPT, value.parse().unwrap())]);
    let browser = accept("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
    assert_eq!(shape(None, &browser).unwrap(), Shape::Html);
    assert_eq!(shape(Some("json"), &browser).unwrap(), Shape::Json);
    assert_eq!(shape(Some("svg"), &browser).unwrap(), Shape::Svg);
    assert_eq!(shape(None, &accept("*/*")).unwrap(), Shape::Json);
    assert_eq!(shape(None, &HeaderMap::new()).unwrap(), Shape::Json);
    assert!(shape(Some("pdf"), &browser).unwrap_err().0.contains("html, json, svg"));
}

#[test]
fn a_window_is_within_an_hour_or_refused_with_what_is_allowed() {
    assert_eq!(window(None, WINDOW_DEFAULT).unwrap(), WINDOW_DEFAULT);
    assert_eq!(window(Some("5m"), WINDOW_DEFAULT).unwrap(), Duration::from_secs(300));
    for wrong in ["", "0s", "2h", "1h1s", "-1s", "1e9", "soon", "999999999999999999999h"] {
        assert!(window(Some(wrong), WINDOW_DEFAULT).unwrap_err().0.contains("1s to 1h"), "{wrong}");
    }
    for listed in WINDOWS {
        assert!(window(Some(listed), WINDOW_DEFAULT).is_ok());
    }
}

#[test]
fn numbers_are_as_exact_as_a_person_reads_them() {
    assert_eq!([0.0123, 1.234, 12.34, 123.4].map(ms), ["0.012", "1.23", "12.3", "123"]);
    assert_eq!(utc(Duration::from_millis(1_800_000_000_123)), "2027-01-15T08:00:00.123Z");
}
