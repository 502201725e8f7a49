//! Latencies as a server has them, against those of the router's log and report.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Labels, Native, Samples, job::Job, told::Told};

const SIGNAL: &str = "signalbox_signal_latency_seconds";
const DELIVERY: &str = "signalbox_delivery_latency_seconds";
const STAGE: &str = "signalbox_stage_latency_seconds";
const VARIANT: &str = "signalbox_variant_latency_seconds";
/// Native buckets of schema 3 end at 2^(1/8) times the one before.
const NATIVE_STEP: f64 = 1.090_507_732_665_257_7;

/// Of floating point on the way.
const ROUNDING: f64 = 1e-9;

/// The tag of a histogram's series in the interval log.
fn tag(name: &str, labels: &Labels) -> String {
    let (kind, names): (_, &[&str]) = match name {
        SIGNAL => ("signal", &["op", "region", "outcome"]),
        DELIVERY => ("delivery", &["op", "region"]),
        STAGE => ("stage", &["stage"]),
        VARIANT => ("variant", &["variant", "outcome"]),
        other => panic!("a histogram that is not in the log: {other}"),
    };
    let values = names.iter().map(|name| labels[*name].as_str());
    [kind].into_iter().chain(values).collect::<Vec<_>>().join(".")
}

/// Each bucket holds the very number of latencies up to its edge, classic and native; sums are right to three digits.
pub(super) fn buckets_hold_what_the_log_holds(
    job: &Job<'_>,
    told: &Told,
    numbers: &Samples,
    natives: &BTreeMap<(String, Labels), Native>,
) {
    let mut seen = BTreeMap::new();
    for ((name, labels), value) in numbers {
        let Some(histogram) = name.strip_suffix("_bucket") else { continue };
        let tag = tag(histogram, labels);
        let edge: f64 = labels["le"].parse().unwrap();
        assert_eq!(*value, told.log[&tag].between(0.0, edge) as f64, "{job}: {tag} up to {edge}");
        *seen.entry(tag).or_insert(0) += 1;
    }
    assert!(seen.keys().eq(told.log.keys()) && seen.values().all(|edges| *edges == 31), "{job}: {seen:?}");
    for ((name, labels), value) in numbers {
        let Some(histogram) = [SIGNAL, DELIVERY, STAGE, VARIANT].into_iter().find(|of| *name == format!("{of}_sum"))
        else {
            continue;
        };
        let logged = &told.log[&tag(histogram, labels)];
        // the log says microseconds, rounded up
        let rounded = logged.sum() * 1e-3 + logged.count() as f64 * 1e-6;
        assert!((logged.sum() - value).abs() <= rounded, "{job}: {name} {labels:?}: {value}, not {}", logged.sum());
    }
    assert_eq!(natives.len(), if job.native { told.log.len() } else { 0 }, "{job}");
    for ((name, labels), native) in natives {
        let logged = &told.log[&tag(name, labels)];
        assert_eq!(native.count, logged.count() as f64, "{job}: {name} {labels:?}");
        assert_eq!(native.sum, numbers[&(format!("{name}_sum"), labels.clone())], "{job}: {name} {labels:?}");
        for (lower, upper, count) in &native.buckets {
            assert!((upper / lower / NATIVE_STEP - 1.0).abs() < ROUNDING, "{job}: a bucket from {lower} to {upper}");
            assert_eq!(*count, logged.between(*lower, *upper) as f64, "{job}: {name} {labels:?} {lower} to {upper}");
        }
    }
}

/// `histogram_quantile` over classic and over native buckets answers from the bucket that has the true P99.
pub(super) async fn quantiles_are_within_their_buckets(job: &Job<'_>, told: &Told) {
    for (kind, name) in [("signal", SIGNAL), ("delivery", DELIVERY)] {
        let buckets = job.query(&format!("sum by (le) ({name}_bucket{{$job}})")).await;
        let mut edges: Vec<f64> = buckets.iter().map(|bucket| bucket.labels["le"].parse().unwrap()).collect();
        edges.push(0.0);
        edges.sort_by(f64::total_cmp);
        let classic = job.by("op", &format!("histogram_quantile(0.99, sum by (le, op) ({name}_bucket{{$job}}))")).await;
        assert!(classic.len() >= 3, "{job}: {classic:?}");
        for (op, p99) in &classic {
            let truth = told.of_op(kind, op).quantile(0.99);
            let place = edges.partition_point(|edge| *edge < truth);
            let (lower, upper) = (edges[place - 1], edges[place]);
            let within = lower * (1.0 - ROUNDING)..=upper * (1.0 + ROUNDING);
            assert!(within.contains(p99), "{job}: {kind} {op}: {p99}, not {lower} to {upper} as {truth}");
        }
        let native = job.by("op", &format!("histogram_quantile(0.99, sum by (op) ({name}{{$job}}))")).await;
        if !job.native {
            assert!(native.is_empty(), "{job}: {native:?}");
            continue;
        }
        assert!(native.keys().eq(classic.keys()), "{job}: {native:?}");
        for (op, p99) in native {
            let error = p99 / told.of_op(kind, &op).quantile(0.99);
            let within = (1.0 - ROUNDING) / NATIVE_STEP..=NATIVE_STEP * (1.0 + ROUNDING);
            assert!(within.contains(&error), "{job}: {kind} {op}: {error} times the truth");
        }
    }
}

/// What the promise is judged by: see the module above for why it is asked of classic buckets only.
pub(super) async fn the_share_within_the_promise_is_exact(job: &Job<'_>, told: &Told) {
    let within = format!("sum by (op) ({SIGNAL}_bucket{{$job, le=\"0.08\"}}) / sum by (op) ({SIGNAL}_count{{$job}})");
    let shares = job.by("op", &within).await;
    assert!(shares["ping"] < 1.0 && shares["send"] < 1.0, "{job}: {shares:?}");
    for (op, share) in shares {
        let all = told.of_op("signal", &op);
        assert_eq!(share, all.between(0.0, 0.08) as f64 / all.count() as f64, "{job}: {op}");
    }
}

/// The gauges of the last minute are the numbers of the report of the same minute.
pub(super) fn rolling_quantiles_are_those_of_the_report(job: &Job<'_>, told: &Told, numbers: &Samples) {
    let rows = told.report["rows"].as_array().unwrap();
    let expired = |row: &Value| row["outcome"] == "expired";
    assert!(!rows.iter().any(expired), "gauges would take those and the good ones together: {rows:?}");
    let mut compared = BTreeMap::new();
    for ((name, labels), seconds) in numbers {
        let (rows, kind, outcome) = match name.as_str() {
            "signalbox_signal_latency_quantile_seconds" => (rows, "signal", "ok"),
            "signalbox_delivery_latency_quantile_seconds" => (rows, "delivery", ""),
            "signalbox_signal_p99_seconds" => (told.report["clients"].as_array().unwrap(), "", ""),
            _ => continue,
        };
        let is_of = |row: &Value| {
            let labels = labels.iter().filter(|(label, _)| *label != "q");
            let kinds = kind.is_empty() || (row["kind"] == kind && row["outcome"] == outcome);
            kinds && labels.into_iter().all(|(label, value)| row[label] == **value)
        };
        let row = rows.iter().find(|row| is_of(row)).unwrap_or_else(|| panic!("{job}: {name} {labels:?}: {rows:?}"));
        let q = labels.get("q").map_or("0.99", String::as_str);
        let quantile = row[column(q)].as_f64().unwrap();
        assert!(
            (seconds * 1e3 / quantile - 1.0).abs() < ROUNDING,
            "{job}: {name} {labels:?}: {seconds} s, {quantile} ms"
        );
        *compared.entry(name.as_str()).or_insert(0) += 1;
    }
    assert!(compared.len() == 3 && compared.values().all(|gauges| *gauges > 4), "{job}: {compared:?}");
}

/// Where the report has a quantile.
fn column(q: &str) -> &'static str {
    match q {
        "0.5" => "p50_ms",
        "0.9" => "p90_ms",
        "0.99" => "p99_ms",
        "0.999" => "p999_ms",
        "0.9999" => "p9999_ms",
        other => panic!("a quantile that the report does not have: {other}"),
    }
}
