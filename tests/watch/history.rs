//! Eight days of a quiet history, put into Prometheus before it starts: what the baseline would have recorded by now.

use std::{
    fmt::Write as _,
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::shipped::{self, Shipped};

/// What P99 has been, in seconds. Far above what a quiet router shows, so that a busy machine files no ticket, and with
/// its band below the promise.
const USUAL: f64 = 0.06;
/// How far it has moved around that.
const NOISE: f64 = 0.03;
const DAYS: u64 = 8;
const EVERY: Duration = Duration::from_secs(300);

/// What the baseline records and reads of the past, and of what size each is.
const SERIES: &[(&str, f64)] = &[
    ("op_region:signalbox_signal_p99_seconds:point", USUAL),
    ("op_region:signalbox_signal_p99_seconds:clean", USUAL),
    ("op_region:signalbox_baseline_expected_seconds", USUAL),
    ("op_region:signalbox_baseline_relative_ratio", 1.0),
];

/// Makes the blocks in that folder, of the signals of one kind in one region.
pub(crate) fn make(data: &Path, labels: &str) {
    let rules = shipped::rule_files();
    let recorded = |name: &str| rules.iter().any(|Shipped { text, .. }| records(text, name));
    let mut text = String::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // what Prometheus writes must be later than all of it
    let (from, until) = (now - DAYS * 86_400, now - 30);
    for (name, usual) in SERIES {
        assert!(recorded(name), "no rule records {name} any more; tests/watch/history.rs");
        writeln!(text, "# TYPE {name} gauge").unwrap();
        for (n, at) in (from..until).step_by(EVERY.as_secs() as usize).enumerate() {
            // a little of everything, and the same each time
            let noise = (n as f64 * 0.7).sin() * NOISE;
            writeln!(text, "{name}{{{labels}}} {} {at}", usual * (1.0 + noise)).unwrap();
        }
    }
    text.push_str("# EOF\n");
    let file = data.with_extension("openmetrics");
    std::fs::write(&file, text).unwrap();
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, data])
        .output()
        .expect("promtool; run `make test`");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn records(text: &str, name: &str) -> bool {
    let content: Value = serde_saphyr::from_str(text).unwrap();
    shipped::rules(&content).iter().any(|rule| rule["record"] == name)
}
