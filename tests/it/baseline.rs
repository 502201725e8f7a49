//! A router that finds a baseline in its data folder: exported, shown, written again at its end; a bad one is set aside.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use signalbox::{
    protocol::OpKind,
    telemetry::baseline::{Baseline, DAY, OpRegion, SLOT_SECONDS, Seen, Slot, WEEK},
};

use crate::harness::{Router, get};

/// Eight days of 30 ms in the region that routers of these tests are in, up to now.
fn planted(folder: &Path) -> Baseline {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / SLOT_SECONDS;
    let pair = OpRegion { op: OpKind::Join, region: "default".to_owned() };
    let seen = Seen { p99_seconds: 0.030, last_minute_seconds: Some(0.030), signals: 5_000 };
    let mut baseline = Baseline::default();
    let slots = now as Slot - WEEK - DAY..now as Slot;
    slots.for_each(|slot| assert_eq!(baseline.take(slot, &BTreeMap::from([(pair.clone(), seen)])), 0));
    fs::write(folder.join("baseline"), baseline.encode()).unwrap();
    baseline
}

fn settings(folder: &Path) -> [(&'static str, &str); 2] {
    [("server.data_dir", folder.to_str().unwrap()), ("drain.seconds", "0")]
}

fn sample(scrape: &str, series: &str) -> Option<f64> {
    let line = scrape.lines().find(|line| line.starts_with(series))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn a_baseline_that_was_kept_is_exported_and_shown_and_outlives_the_next_process_too() {
    let folder = tempfile::tempdir().unwrap();
    let planted = planted(folder.path());
    let mut router = Router::dev_with(&settings(folder.path()));
    let scrape = get(router.ops, "/metrics").await.body;
    let of = "{op=\"join\",region=\"default\"";
    let seconds = |bound| sample(&scrape, &format!("signalbox_signal_p99_baseline_seconds{of},bound=\"{bound}\"}}"));
    assert!(seconds("mean").is_some_and(|mean| (mean - 0.030).abs() < 1e-6), "{scrape}");
    assert!(seconds("upper").is_some_and(|upper| (upper - 0.0375).abs() < 1e-6), "{:?}", seconds("upper"));
    assert_eq!(sample(&scrape, &format!("signalbox_signal_p99_baseline_points{of}}}")), Some(WEEK as f64));
    let report = get(router.ops, "/debug/latency?format=json").await.json();
    let row = &report["baseline"][0];
    assert_eq!(
        (&row["op"], &row["region"], &row["mature"]),
        (&"join".into(), &"default".into(), &true.into()),
        "{row}"
    );
    assert!(row["upper_ms"].as_f64().is_some_and(|upper| (upper - 37.5).abs() < 0.001), "{row}");
    let page = get(router.ops, "/debug/latency?format=html").await.body;
    assert!(page.contains("What is usual") && page.contains("37.5") && page.contains("2016"), "{page}");
    router.terminate();
    router.ended().await;
    let kept = Baseline::decode(&fs::read(folder.path().join("baseline")).unwrap()).unwrap();
    assert!(kept.latest() >= planted.latest() && kept.standings().count() == 1);
}

#[tokio::test]
async fn one_that_cannot_be_read_is_set_aside_and_told_of_and_the_router_starts() {
    let folder = tempfile::tempdir().unwrap();
    planted(folder.path());
    let path = folder.path().join("baseline");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let router = Router::dev_with(&settings(folder.path()));
    let scrape = get(router.ops, "/metrics").await.body;
    assert_eq!(sample(&scrape, "signalbox_baseline_failures_total{doing=\"read\"}"), Some(1.0));
    assert_eq!(sample(&scrape, "signalbox_signal_p99_baseline_points"), None);
    assert_eq!(fs::read(folder.path().join("baseline.corrupt")).unwrap(), bytes);
    assert!(router.stderr().contains("its checksum is another"), "{}", router.stderr());
}
