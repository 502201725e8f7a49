use std::time::Duration;

use super::*;
use crate::telemetry::CaptureFigures;

/// What belongs in the table of all events.
pub(super) fn events() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let id = || "20261125T212730Z-join-sh".to_owned();
    let why = || "no space left on device".to_owned();
    vec![
        (
            Event::Captured(Captured::Made { id: id(), cause: "stall" }),
            vec![("signalbox_captures_made_total{cause=\"stall\"}", 1.0)],
        ),
        (Event::Captured(Captured::Joined { id: id(), op: "send".to_owned(), region: "sh".to_owned() }), Vec::new()),
        (
            Event::Captured(Captured::Refused { cause: "latency", reason: "pace" }),
            vec![("signalbox_captures_refused_total{reason=\"pace\"}", 1.0)],
        ),
        (Event::Captured(Captured::Ready { id: id(), bytes: 1 }), Vec::new()),
        (Event::Captured(Captured::MadeWay { id: id() }), Vec::new()),
        (Event::Captured(Captured::Lost { id: id(), why: why() }), vec![("signalbox_captures_lost_total", 1.0)]),
        (
            Event::Captured(Captured::FolderFailed { what: id(), why: why() }),
            vec![("signalbox_capture_folder_failures_total", 1.0)],
        ),
    ]
}

#[test]
fn the_time_of_the_latest_capture_is_told_by_cause_and_by_op_and_region() {
    let telemetry = telemetry(Instant::now());
    let at = Duration::from_secs(1_764_100_000);
    let latest_of = [("join", "sh"), ("send", "far-away"), ("fly", "sh")];
    telemetry.set_captures(&CaptureFigures {
        captures: 3,
        bytes: 4_096,
        latest: [("latency", at)].into(),
        latest_of: latest_of.map(|(op, region)| ((op.to_owned(), region.to_owned()), at)).into(),
    });
    let samples = scrape(&telemetry);
    let family = "signalbox_latency_capture_timestamp_seconds";
    let told: Vec<_> = samples.keys().filter(|series| series.starts_with(family)).collect();
    assert_eq!(told.len(), 2, "an op that is none is not told: {told:?}");
    assert_eq!(samples[&format!("{family}{{op=\"send\",region=\"other\"}}")], at.as_secs_f64());
    assert_eq!(samples["signalbox_capture_timestamp_seconds{cause=\"latency\"}"], at.as_secs_f64());
    assert_eq!(samples["signalbox_capture_timestamp_seconds{cause=\"stall\"}"], 0.0);
    assert_eq!((samples["signalbox_captures"], samples["signalbox_captures_bytes"]), (3.0, 4_096.0));
}

#[test]
fn totals_are_what_was_counted() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    assert_eq!((telemetry.totals().deliveries, telemetry.totals().signals["ok"]), (0, 0));
    let ended = signal(OpKind::Join, started, Duration::from_millis(3));
    telemetry.observe(&Event::SignalEnded { signal: ended, outcome: Outcome::Ok }, started);
    telemetry.observe(&Event::Shed { code: Code::Overloaded, peer_ip: None }, started);
    telemetry.observe(&Event::Delivered { deliveries: Vec::new(), others: 5 }, started);
    telemetry.drain(started, UNIX);
    let totals = telemetry.totals();
    assert_eq!((totals.signals["ok"], totals.sheds, totals.deliveries, totals.stalls), (1, 1, 5, 0));
}
