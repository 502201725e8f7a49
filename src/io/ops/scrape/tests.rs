use std::{io::Read as _, time::Instant};

use flate2::read::GzDecoder;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::task::JoinSet;

use super::*;
use crate::io::ops::tests::telemetry;

const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.2";
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,*/*;q=0.2";

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
}

async fn scraped(scrapes: &Scrapes, pairs: &[(HeaderName, &str)]) -> (HeaderMap, Vec<u8>) {
    let response = scrapes.answer(&headers(pairs)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let (head, body) = response.into_parts();
    (head.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

/// How many scrapes of text were answered.
async fn answered(scrapes: &Scrapes) -> u64 {
    let (_, body) = scraped(scrapes, &[]).await;
    let text = String::from_utf8(body).unwrap();
    let line = text.lines().find(|line| line.starts_with("signalbox_scrapes_total{format=\"text\"}")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn each_form_has_its_content_type_and_depends_on_what_was_asked() {
    let scrapes = Scrapes::new(telemetry(), Rendering::default());
    let cases = [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (PROTOBUF, "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"),
    ];
    for (accept, content_type) in cases {
        let (head, body) = scraped(&scrapes, &[(header::ACCEPT, accept)]).await;
        assert_eq!(head[header::CONTENT_TYPE], content_type);
        assert_eq!(head[header::VARY], "Accept, Accept-Encoding");
        assert!(!head.contains_key(header::CONTENT_ENCODING));
        assert!(body.windows(20).any(|part| part == b"signalbox_build_info"), "{accept}");
    }
}

#[tokio::test]
async fn an_accept_header_in_several_lines_is_one() {
    let scrapes = Scrapes::new(telemetry(), Rendering::default());
    let mut lines = headers(&[(header::ACCEPT, "text/plain;q=0.5")]);
    lines.append(header::ACCEPT, OPENMETRICS.parse().unwrap());
    lines.append(header::ACCEPT, HeaderValue::from_bytes(b"text/\xff").unwrap());
    let response = scrapes.answer(&lines).await;
    assert!(response.headers()[header::CONTENT_TYPE].to_str().unwrap().contains("openmetrics"));
}

#[tokio::test]
async fn gzip_comes_to_those_who_take_it_and_holds_the_same() {
    let scrapes = Scrapes::new(telemetry(), Rendering::default());
    let (head, packed) = scraped(&scrapes, &[(header::ACCEPT_ENCODING, "gzip")]).await;
    assert_eq!(head[header::CONTENT_ENCODING], "gzip");
    let mut text = String::new();
    GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    let (_, plain) = scraped(&scrapes, &[(header::ACCEPT_ENCODING, "gzip;q=0")]).await;
    assert!(packed.len() * 4 < plain.len(), "{} of {}", packed.len(), plain.len());
    let names = |text: &str| text.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(&text), names(&String::from_utf8(plain).unwrap()));
}

#[tokio::test]
async fn those_who_wait_together_share_a_rendering_that_began_after_all_had_asked() {
    let scrapes = Scrapes::new(telemetry(), Rendering::default());
    let mut waiting = JoinSet::new();
    let asked = Instant::now();
    for _ in 0..20 {
        let scrapes = scrapes.clone();
        waiting.spawn(async move { scrapes.rendered(Format::Text, false).await.unwrap().begun });
    }
    let begun = waiting.join_all().await;
    assert!(begun.iter().all(|begun| *begun >= asked));
    let mut renderings = begun.clone();
    renderings.sort_unstable();
    renderings.dedup();
    // all had asked before a second one began
    assert!(renderings.len() <= 2, "{renderings:?}");
    let later = scrapes.rendered(Format::Text, false).await.unwrap();
    assert!(begun.iter().all(|begun| *begun < later.begun), "a later one is rendered anew");
    let kept = scrapes.waiting.iter().filter(|waiting| waiting.latest.try_lock().unwrap().is_some());
    assert_eq!(kept.count(), 0, "nothing stays when nobody waits");
}

#[tokio::test]
async fn twenty_scrapers_at_once_are_all_answered_and_counted() {
    let scrapes = Scrapes::new(telemetry(), Rendering::default());
    let mut waiting = JoinSet::new();
    for at in 0..20 {
        let scrapes = scrapes.clone();
        let pairs = [(header::ACCEPT, [PROTOBUF, OPENMETRICS, "*/*"][at % 3])];
        waiting.spawn(async move { scraped(&scrapes, &pairs).await.1.len() });
    }
    assert!(waiting.join_all().await.iter().all(|length| *length > 1_000));
    assert_eq!(answered(&scrapes).await, 6);
}

/// Twenty tasks that scrape, each as far as it comes.
async fn twenty(scrapes: &Scrapes) -> JoinSet<()> {
    let mut waiting = JoinSet::new();
    for _ in 0..20 {
        let scrapes = scrapes.clone();
        waiting.spawn(async move { drop(scraped(&scrapes, &[(header::ACCEPT_ENCODING, "gzip")]).await) });
    }
    tokio::task::yield_now().await;
    waiting
}

#[tokio::test]
async fn scrapers_that_go_away_while_they_wait_leave_nothing_behind_and_do_not_count() {
    let scrapes = Scrapes::new(telemetry(), Rendering::default());
    let busy = scrapes.rendering.all().await;
    for _ in 0..50 {
        let mut waiting = twenty(&scrapes).await;
        assert!(scrapes.waiting.iter().any(|waiting| Arc::strong_count(&waiting.each) > 1));
        waiting.shutdown().await;
    }
    assert!(scrapes.waiting.iter().all(|waiting| Arc::strong_count(&waiting.each) == 1));
    drop(busy);
    assert_eq!(answered(&scrapes).await, 0);
    assert_eq!(answered(&scrapes).await, 1);
}

#[tokio::test]
async fn a_rendering_that_nobody_waits_for_any_more_gives_its_place_back() {
    let scrapes = Scrapes::new(telemetry(), Rendering::default());
    for _ in 0..20 {
        twenty(&scrapes).await.shutdown().await;
    }
    let places = scrapes.rendering.all();
    drop(tokio::time::timeout(crate::io::ops::tests::PATIENCE, places).await.expect("all places are there again"));
    assert!(!scraped(&scrapes, &[]).await.1.is_empty());
}
