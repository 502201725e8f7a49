//! What the drain teaches the baseline, and who follows it.

use super::*;
use crate::telemetry::{
    baseline::{Baseline, OpRegion, SLOT_SECONDS, Seen, Slot},
    captured::RecentP99,
    recorder::OTHER_REGION,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Two days of 30 ms in a region, up to the slot before the tests' start.
pub(in crate::telemetry) fn learned(region: &str) -> Baseline {
    let pair = OpRegion { op: OpKind::Join, region: region.to_owned() };
    let seen = Seen { p99_seconds: 0.030, last_minute_seconds: Some(0.030), signals: 5_000 };
    let mut baseline = Baseline::default();
    let end = slot(UNIX);
    (end - 600..end).for_each(|slot| assert_eq!(baseline.take(slot, &BTreeMap::from([(pair.clone(), seen)])), 0));
    baseline
}

fn slot(unix: Duration) -> Slot {
    (unix.as_secs() / SLOT_SECONDS) as Slot
}

/// So many minutes of so many joins that took so long, drained once a second.
fn minutes(telemetry: &Telemetry, started: Instant, minutes: std::ops::Range<u32>, (joins, took_ms): (u32, u64)) {
    for minute in minutes {
        for second in 0..60 {
            let after = MINUTE * minute + Duration::from_secs(second);
            for _ in 0..if second == 0 { joins } else { 0 } {
                let signal = signal(OpKind::Join, started + after, Duration::from_millis(took_ms));
                telemetry.observe(&Event::SignalEnded { signal, outcome: Outcome::Ok }, started + after);
            }
            telemetry.drain(started + after, UNIX + after);
        }
    }
}

#[test]
fn five_whole_minutes_are_a_point_once_a_slot() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    minutes(&telemetry, started, 0..5, (240, 20));
    assert_eq!(telemetry.baseline_slot(), None, "there have been no five minutes");
    minutes(&telemetry, started, 5..11, (240, 20));
    let first = telemetry.baseline_slot().unwrap();
    assert!((slot(UNIX) + 1..=slot(UNIX) + 2).contains(&first), "{first}");
    // a point is clean three slots later
    minutes(&telemetry, started, 11..26, (240, 20));
    assert_eq!(telemetry.baseline_slot(), Some(first + 3));
    let samples = scrape(&telemetry);
    let labels = "op=\"join\",region=\"other\"";
    assert_eq!(samples[&format!("signalbox_signal_p99_baseline_points{{{labels}}}")], 2.0);
    let mean = samples[&format!("signalbox_signal_p99_baseline_seconds{{{labels},bound=\"mean\"}}")];
    assert!((0.0199..0.0201).contains(&mean), "{mean}");
    let report = telemetry.latency_report(MINUTE, Some("join"));
    assert_eq!((report.baseline.len(), report.baseline[0].points, report.baseline[0].mature), (1, 2, false));
    assert!(telemetry.latency_report(MINUTE, Some("send")).baseline.is_empty());
}

#[test]
fn fewer_than_a_thousand_signals_are_no_point() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    minutes(&telemetry, started, 0..30, (199, 20));
    assert!(telemetry.baseline_slot().is_some() && telemetry.latency_report(MINUTE, None).baseline.is_empty());
}

#[test]
fn traces_and_captures_follow_what_is_known_well_enough() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    telemetry.restore_baseline(learned("other"));
    minutes(&telemetry, started, 0..1, (1_000, 40));
    let told = telemetry.recent_p99s(60);
    let [RecentP99 { usual: Some(usual), .. }] = told.as_slice() else { panic!("{told:?}") };
    // in its first week the margin is a half
    assert!((usual.p99.as_secs_f64() - 0.030).abs() < 1e-6 && (usual.upper.as_secs_f64() - 0.045).abs() < 1e-6);
    let reasons = |took_ms| {
        telemetry.keeper.reasons((OpKind::Join, OTHER_REGION), Outcome::Ok, Duration::from_millis(took_ms), false)
    };
    assert!(reasons(44).is_empty() && !reasons(46).is_empty());
}

#[test]
fn what_was_kept_of_a_region_that_is_no_more_is_not_shown() {
    let telemetry = telemetry(Instant::now());
    telemetry.restore_baseline(learned("atlantis"));
    assert!(telemetry.latency_report(MINUTE, None).baseline.is_empty());
    assert!(!scrape(&telemetry).keys().any(|series| series.starts_with("signalbox_signal_p99_baseline_seconds")));
    telemetry.restore_baseline(learned("other"));
    assert_eq!(telemetry.latency_report(MINUTE, None).baseline.len(), 1);
}
