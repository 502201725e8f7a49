//! What the guard did, as metrics.

use super::*;
use crate::event::{Asked, Limit, Pressure, Scope};

pub(super) fn events() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let refused = |asked, limit| Event::Guard(Guarded::Refused { asked, limit });
    let changed = |from, to| Event::Guard(Guarded::PressureChanged { shard: 1, from, to, waited: Duration::ZERO });
    vec![
        (
            refused(Asked::Connection, Limit::Rate(Scope::Address)),
            vec![("signalbox_guard_sheds_total{op=\"connect\",limit=\"address_rate\"}", 1.0)],
        ),
        (
            refused(Asked::Signal(OpKind::Ping), Limit::AtOnce(Scope::User)),
            vec![("signalbox_guard_sheds_total{op=\"ping\",limit=\"user_at_once\"}", 1.0)],
        ),
        (
            refused(Asked::Signal(OpKind::Join), Limit::QueueOfJoins),
            vec![("signalbox_guard_sheds_total{op=\"join\",limit=\"queue_joins\"}", 1.0)],
        ),
        (changed(Pressure::Calm, Pressure::Joins), vec![("signalbox_shard_pressure_changes_total", 1.0)]),
        (
            Event::Guard(Guarded::Forgotten { scope: Scope::User, count: 3 }),
            vec![("signalbox_guard_cells_forgotten_total{scope=\"user\"}", 3.0)],
        ),
    ]
}

#[test]
fn a_shards_queue_and_what_is_remembered_are_levels() {
    let telemetry = telemetry(Instant::now());
    telemetry.set_queue(1, Duration::from_millis(25), Pressure::Joins);
    telemetry.set_queue(7, Duration::from_millis(25), Pressure::Signals);
    telemetry.set_cells(Scope::Address, 12);
    telemetry.set_cells(Scope::Router, 1);
    let samples = scrape(&telemetry);
    assert_eq!(samples["signalbox_shard_queue_delay_seconds{shard=\"1\"}"], 0.025);
    assert_eq!(samples["signalbox_shard_pressure{shard=\"1\"}"], 1.0);
    assert_eq!(samples["signalbox_shard_pressure{shard=\"0\"}"], 0.0);
    assert_eq!(samples["signalbox_guard_cells{scope=\"address\"}"], 12.0);
    assert!(!samples.keys().any(|series| series.contains("shard=\"7\"") || series.contains("scope=\"router\"")));
}

#[test]
fn a_storm_of_refusals_is_a_line_a_limit_and_then_a_count() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    let lines = logs::capture("info", || {
        for (event, _) in events() {
            (0..10).for_each(|_| telemetry.observe(&event, started));
        }
        telemetry.settle(started + Duration::from_secs(11));
    });
    let said: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(said.iter().filter(|line| **line == "refused by the guard").count(), 3, "{said:?}");
    assert_eq!(said.iter().filter(|line| **line == "repeated lines were held back").count(), 5, "{said:?}");
}
