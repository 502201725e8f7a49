//! One series in both: the process and the shipped rules give the same band, and fire at the same times.
//!
//! Ten days of a season with noise, a spike, an incident, a time without points, a time with too few signals, and a step
//! for good. promtool runs the rules; each band of ours goes into a query that asks whether theirs is the same.

use std::{collections::BTreeMap, f64::consts::PI, fmt::Write as _, fs};

use signalbox::{
    protocol::OpKind,
    telemetry::baseline::{Baseline, DAY, OpRegion, Seen, Slot, Standing},
};

use crate::{
    promtool::passes,
    tools::{promtools, repository},
};

/// Of a day on which slots are counted from 0, as promtool counts.
const FIRST: Slot = 0;
const SLOTS: Slot = 10 * DAY;
const LABELS: &str = r#"cluster="c", domain="d", op="join", region="sh""#;
const CLOSE: &str = "1e-6";

fn series() -> Vec<Option<Seen>> {
    let mut random = fastrand::Rng::with_seed(11);
    let mut point = |slot: Slot| {
        let noise = (random.f64() - 0.5) * 0.12;
        let weekend = if slot / DAY % 7 >= 5 { 0.87 } else { 1.0 };
        let season = weekend * (1.0 - 0.2 * (2.0 * PI * slot as f64 / DAY as f64).cos());
        let (times, signals) = match slot {
            s if s == 2 * DAY + 100 => (9.0, 5_000),
            s if (4 * DAY..4 * DAY + 40).contains(&s) => (5.0, 5_000),
            s if (5 * DAY + 60..5 * DAY + 90).contains(&s) => return None,
            s if (6 * DAY + 60..6 * DAY + 80).contains(&s) => (20.0, 999),
            s if s >= 8 * DAY + 30 => (1.6, 5_000),
            _ => (1.0, 5_000),
        };
        let p99_seconds = 0.030 * season * times * (1.0 + noise);
        // of the last minute: noisier
        let last_minute_seconds = Some(p99_seconds * (1.0 + (random.f64() - 0.5) * 0.3));
        Some(Seen { p99_seconds, last_minute_seconds, signals })
    };
    (0..SLOTS).map(&mut point).collect()
}

fn standings(seen: &[Option<Seen>]) -> Vec<Option<Standing>> {
    let pair = OpRegion { op: OpKind::Join, region: "sh".to_owned() };
    let mut baseline = Baseline::default();
    let stand = |(slot, seen): (Slot, &Option<Seen>)| {
        let seen: BTreeMap<_, _> = seen.iter().map(|seen| (pair.clone(), *seen)).collect();
        baseline.take(slot, &seen);
        baseline.standing(&pair)
    };
    (FIRST..).zip(seen).map(stand).collect()
}

/// In promtool's notation.
fn input(name: &str, seen: &[Option<Seen>], value: impl Fn(&Seen) -> f64) -> String {
    let values: Vec<_> =
        seen.iter().map(|seen| seen.as_ref().map_or("stale".to_owned(), |seen| value(seen).to_string())).collect();
    format!("  - series: '{name}{{{LABELS}}}'\n    values: '{}'\n", values.join(" "))
}

/// A query at a slot, and the one value that it must have, or none.
fn asked(into: &mut String, (slot, query): (usize, &str), labels: &str, value: Option<u32>) {
    write!(into, "  - expr: '{query}'\n    eval_time: {}m\n    exp_samples: [", slot * 5).unwrap();
    if let Some(value) = value {
        write!(into, "{{labels: '{{{labels}}}', value: {value}}}").unwrap();
    }
    into.push_str("]\n");
}

#[test]
fn the_process_and_the_rules_give_the_same_band_and_fire_at_the_same_times() {
    let seen = series();
    let standings = standings(&seen);
    let mut tests = String::new();
    let mut asked_of_bands = 0;
    for (slot, standing) in standings.iter().enumerate().filter(|(slot, _)| slot % 41 == 0 || *slot > 2_840) {
        let Some(band) = standing.and_then(|standing| standing.band) else { continue };
        let same =
            |name: &str, ours: f64| format!("abs(op_region:signalbox_baseline_{name} / {ours:e} - 1) < bool {CLOSE}");
        let of_band = [
            ("upper_seconds", band.upper_seconds),
            ("usual_seconds", band.usual_seconds),
            ("mean_seconds", band.mean_seconds),
            ("plain_upper_seconds", band.plain_upper_seconds),
            ("points", f64::from(band.points)),
        ];
        for (name, ours) in of_band {
            asked(&mut tests, (slot, &same(name, ours)), LABELS, Some(1));
        }
        asked_of_bands += 1;
    }
    assert!(asked_of_bands > 80, "{asked_of_bands}");
    let firing: Vec<bool> =
        standings.iter().map(|standing| standing.is_some_and(|standing| standing.above_since.is_some())).collect();
    let alert = r#"count without (alertname, alertstate, severity) (ALERTS{alertname="SignalboxP99AboveBaseline", alertstate="firing"})"#;
    let changes: Vec<usize> = (1..firing.len()).filter(|slot| firing[*slot] != firing[slot - 1]).collect();
    assert!(changes.len() >= 4, "the incident and the step, each with an end: {changes:?}");
    for slot in changes.iter().flat_map(|slot| [slot - 1, *slot]) {
        asked(&mut tests, (slot, alert), LABELS, firing[slot].then_some(1));
    }
    let fired = firing.iter().filter(|firing| **firing).count() as u32;
    let all = alert
        .replace("(ALERTS", "(count_over_time(ALERTS")
        .replace("\"firing\"})", "\"firing\"}[11d]))")
        .replace("count without", "sum without");
    asked(&mut tests, (firing.len() - 1, &all), LABELS, Some(fired));
    run(&seen, &tests);
}

fn run(seen: &[Option<Seen>], tests: &str) {
    let name = |name: &str| format!("op_region:signalbox_signal{name}");
    let inputs = input(&name("_p99_seconds:rate5m"), seen, |seen| seen.p99_seconds)
        + &input(&name("_p99_seconds:rate1m"), seen, |seen| seen.last_minute_seconds.unwrap_or_default())
        + &input(&name("s:increase5m"), seen, |seen| seen.signals as f64);
    let (recording, rules) = (repository("alerts/recording/baseline.yml"), repository("alerts/rules/baseline.yml"));
    let file = format!(
        "rule_files: [{}, {}]\nevaluation_interval: 5m\n\
         group_eval_order: [signalbox-baseline, signalbox-baseline-alerts, signalbox-baseline-drift]\n\
         tests:\n- interval: 5m\n  input_series:\n{inputs}  promql_expr_test:\n{tests}",
        recording.display(),
        rules.display()
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tie.yml");
    fs::write(&path, file).unwrap();
    promtools().iter().for_each(|promtool| passes(promtool, &path));
}
