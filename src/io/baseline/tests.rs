use std::collections::BTreeMap;

use super::*;
use crate::{
    io::ops::tests::telemetry,
    protocol::OpKind,
    telemetry::{
        baseline::{OpRegion, Seen},
        exposition::Format,
    },
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Two days of one P99 in the region of the tests' router.
fn learned() -> Baseline {
    let pair = OpRegion { op: OpKind::Join, region: "sh".to_owned() };
    let seen = Seen { p99_seconds: 0.030, last_minute_seconds: Some(0.030), signals: 5_000 };
    let mut baseline = Baseline::default();
    (0..600).for_each(|slot| assert_eq!(baseline.take(6_000_000 + slot, &BTreeMap::from([(pair.clone(), seen)])), 0));
    baseline
}

fn failures(telemetry: &Telemetry, doing: &str) -> bool {
    let scrape = telemetry.render(Format::Text, None);
    String::from_utf8(scrape).unwrap().contains(&format!("baseline_failures_total{{doing=\"{doing}\"}} 1"))
}

#[test]
fn what_is_learned_is_written_whole_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("data");
    let telemetry_before = telemetry();
    let kept = Kept { folder: place.clone(), telemetry: telemetry_before.clone(), written: Mutex::default() };
    kept.write_new();
    assert!(!place.exists(), "there is nothing to keep");
    telemetry_before.restore_baseline(learned());
    kept.write_new();
    fs::write(place.join(whole_file::temporary(NAME)), "of one that was cut short").unwrap();
    let after = telemetry();
    let file = BaselineFile::open(&place, after.clone()).unwrap();
    assert_eq!(after.encode_baseline(), learned().encode());
    let page = after.latency_report(Duration::from_secs(60), None);
    let [row] = page.baseline.as_slice() else { panic!("{:?}", page.baseline) };
    assert_eq!((row.op, row.region.as_str(), row.points, row.mature), ("join", "sh", 597, true));
    assert!((row.usual_ms - 30.0).abs() < 0.01 && (row.upper_ms - 45.0).abs() < 0.01, "{row:?}");
    drop(file);
}

#[test]
fn what_cannot_be_read_is_set_aside_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = learned().encode();
    bytes.pop();
    fs::write(folder.path().join(NAME), &bytes).unwrap();
    let telemetry = telemetry();
    let file = BaselineFile::open(folder.path(), telemetry.clone()).unwrap();
    assert_eq!(telemetry.baseline_slot(), None);
    assert!(failures(&telemetry, "read"));
    assert_eq!(fs::read(folder.path().join(SET_ASIDE)).unwrap(), bytes);
    assert!(!folder.path().join(NAME).exists());
    drop(file);
}

#[test]
fn a_folder_that_takes_nothing_is_told_of_once_a_slot() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("file");
    fs::write(&place, "in the way").unwrap();
    let telemetry = telemetry();
    telemetry.restore_baseline(learned());
    let kept = Kept { folder: place, telemetry: telemetry.clone(), written: Mutex::default() };
    (0..3).for_each(|_| kept.write_new());
    assert!(failures(&telemetry, "write"));
}

#[test]
fn the_thread_writes_what_is_new_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let telemetry = telemetry();
    let file = BaselineFile::open(folder.path(), telemetry.clone()).unwrap();
    telemetry.restore_baseline(learned());
    drop(file);
    let until = Instant::now() + PATIENCE;
    while fs::read(folder.path().join(NAME)).ok().as_deref() != Some(&learned().encode()) {
        assert!(Instant::now() < until, "nothing was written");
        std::thread::yield_now();
    }
}
