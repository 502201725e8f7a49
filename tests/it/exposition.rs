//! What a scraper sees of a router with traffic: three forms that agree, which promtool and a protobuf reader of our
//! own understand; and scrapers that misbehave.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use flate2::read::GzDecoder;
use prost::Message;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet, time::sleep};

use crate::harness::{Answer, PATIENCE, Router, Socket, get, get_with, prometheus_3};

/// As Prometheus 3 asks by default, and with `scrape_native_histograms`.
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,\
    application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// The part of `metrics.proto` that is looked at here, written apart from what the router encodes with.
#[derive(Clone, PartialEq, Message)]
struct Family {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
}

/// A router of which two participants have made some use, and whose drain has seen it.
async fn used() -> Router {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    for at in 0..10 {
        let sent = alice.ask(json!({ "send": { "data": at } })).await;
        assert!(sent["ok"].is_object(), "{sent}");
        bob.push_of("data").await;
    }
    alice.refusal(json!({ "unpublish": { "track_id": "none" } })).await;
    let since = Instant::now();
    let delivered = "signalbox_delivery_latency_seconds_count{op=\"send\",region=\"default\"} 10\n";
    while !get(router.ops, "/metrics").await.body.contains(delivered) {
        assert!(since.elapsed() < PATIENCE, "{}", get(router.ops, "/metrics").await.body);
        sleep(Duration::from_millis(20)).await;
    }
    router
}

async fn scrape(router: &Router, accept: &str) -> Answer {
    let answer = get_with(router.ops, "/metrics", &[("Accept", accept), ("Accept-Encoding", "gzip")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("content-encoding: gzip"), "{}", answer.head);
    assert!(answer.head.contains("vary: accept, accept-encoding"), "{}", answer.head);
    let mut bytes = Vec::new();
    GzDecoder::new(answer.bytes.as_slice()).read_to_end(&mut bytes).unwrap();
    Answer { body: String::from_utf8_lossy(&bytes).into_owned(), bytes, ..answer }
}

fn families(mut bytes: &[u8]) -> Vec<Family> {
    std::iter::from_fn(|| (!bytes.is_empty()).then(|| Family::decode_length_delimited(&mut bytes).unwrap())).collect()
}

/// Names of families by their kind.
fn kinds(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[tokio::test]
async fn a_router_with_traffic_says_the_same_in_all_three_forms() {
    let router = used().await;
    let text = scrape(&router, "*/*").await;
    assert!(text.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", text.head);
    let openmetrics = scrape(&router, OPENMETRICS).await;
    assert!(openmetrics.head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(openmetrics.body.ends_with("# EOF\n") && openmetrics.body.contains("# TYPE target info\n"));
    let protobuf = scrape(&router, PROTOBUF).await;
    assert!(protobuf.head.contains("proto=io.prometheus.client.metricfamily; encoding=delimited"));

    let families = families(&protobuf.bytes);
    let (text, mut in_openmetrics) = (kinds(&text.body), BTreeMap::new());
    for (name, kind) in kinds(&openmetrics.body) {
        match kind.as_str() {
            "counter" => in_openmetrics.insert(format!("{name}_total"), kind),
            "info" => in_openmetrics.insert(format!("{name}_info"), "gauge".to_owned()),
            _ => in_openmetrics.insert(name, kind),
        };
    }
    assert_eq!(text, in_openmetrics);
    let word = |kind: i32| ["counter", "gauge", "", "", "histogram"][kind as usize].to_owned();
    assert_eq!(text, families.iter().map(|family| (family.name.clone(), word(family.kind))).collect());
    assert!(families.iter().all(|family| !family.help.is_empty() && !family.metric.is_empty()));
    histograms_hold_what_they_count(&families);
}

fn histograms_hold_what_they_count(families: &[Family]) {
    let with = families.iter().filter(|family| family.metric.iter().any(|metric| metric.histogram.is_some()));
    let names: BTreeSet<_> = with.map(|family| family.name.as_str()).collect();
    let expected =
        ["signalbox_delivery_latency_seconds", "signalbox_signal_latency_seconds", "signalbox_stage_latency_seconds"];
    assert!(names.is_superset(&expected.into()), "{names:?}");
    for histogram in families.iter().flat_map(|family| &family.metric).filter_map(|metric| metric.histogram.as_ref()) {
        let native = histogram.positive_delta.iter().scan(0, |count, delta| {
            *count += delta;
            Some(*count)
        });
        assert_eq!(native.sum::<i64>(), i64::try_from(histogram.count).unwrap());
        let last = histogram.bucket.last().unwrap();
        assert_eq!((last.upper_bound, last.cumulative_count), (f64::INFINITY, histogram.count));
        assert!(histogram.schema == 3 && histogram.count > 0);
        assert!(histogram.bucket.iter().any(|bucket| bucket.upper_bound == 0.08), "the promise");
    }
}

/// It reads text 0.0.4 and no other form; the others are read by whole servers, in `prometheus.rs`.
#[tokio::test]
async fn no_promtool_has_anything_to_say() {
    let router = used().await;
    let text = get(router.ops, "/metrics").await.body;
    for program in ["promtool".into()].into_iter().chain(prometheus_3("promtool")) {
        let mut promtool = Command::new(&program)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}; Debian's is in the package `prometheus`", program.display()));
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let said = promtool.wait_with_output().unwrap();
        let lines = [said.stdout, said.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(said.status.success() && lines.trim().is_empty(), "{}: {lines}", program.display());
    }
}

#[tokio::test]
async fn twenty_scrapers_at_once_and_as_many_that_hang_up_are_harmless() {
    let router = used().await;
    for _ in 0..10 {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(router.ops).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n").await.unwrap();
        }
        let mut scrapers = JoinSet::new();
        for at in 0..20 {
            let (ops, accept) = (router.ops, [PROTOBUF, OPENMETRICS, "*/*"][at % 3]);
            scrapers.spawn(async move { get_with(ops, "/metrics", &[("Accept", accept)]).await });
        }
        assert_eq!(get(router.ops, "/health/live").await.status, 200);
        for answer in scrapers.join_all().await {
            assert!(answer.status == 200 && answer.bytes.len() > 10_000, "{}", answer.head);
        }
    }
    let text = get(router.ops, "/metrics").await.body;
    let counted = |format: &str| {
        let series = format!("signalbox_scrapes_total{{format=\"{format}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series)).unwrap();
        line.parse::<u32>().unwrap()
    };
    assert_eq!((counted("protobuf"), counted("openmetrics")), (70, 70));
    let seconds = text.lines().find_map(|line| line.strip_prefix("signalbox_scrape_seconds ")).unwrap();
    assert!(seconds.parse::<f64>().unwrap() > 0.0);
    let (mut carol, _) = Socket::join(&router, "r", "carol").await;
    carol.assert_alive().await;
}
