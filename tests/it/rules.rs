//! The shipped rules, and who is told of their alerts: as promtool 2 and 3 and amtool see them.
//!
//! That what rules stand on is watched for being absent is checked here too; what else promtool cannot know is in
//! `tests/observability.rs`.

mod alertmanager;

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::Value;
use signalbox::telemetry::catalog;
use tempfile::TempDir;

use crate::harness::{promtools, repository};

/// Programs that run at the same time: rules of a week are simulated minute by minute, and others want the machine too.
const AT_ONCE: usize = 2;

/// The YAML files of that folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "yml")).collect();
    assert!(!files.is_empty(), "{folder}");
    files.sort();
    files
}

/// Recording rules and alerts.
fn rule_files() -> Vec<PathBuf> {
    [files("alerts/recording"), files("alerts/rules")].concat()
}

/// One rule that alerts.
#[derive(Debug)]
struct Alert {
    name: String,
    rule: Value,
}

impl Alert {
    fn label(&self, name: &str) -> Option<&str> {
        self.rule["labels"][name].as_str()
    }

    fn severity(&self) -> &str {
        self.label("severity").unwrap_or_else(|| panic!("{} has no severity", self.name))
    }
}

/// Every rule, recording or alerting.
fn rules() -> Vec<Value> {
    let of_file = |file: &PathBuf| {
        let content: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let groups = content["groups"].as_array().unwrap().iter();
        groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect::<Vec<_>>()
    };
    rule_files().iter().flat_map(of_file).collect()
}

fn alerts() -> Vec<Alert> {
    let named = |rule: Value| Some(Alert { name: rule["alert"].as_str()?.to_owned(), rule });
    let alerts: Vec<_> = rules().into_iter().filter_map(named).collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    alerts
}

/// Runs it and answers what it said; `Err` when it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}; run `make test`, or `.ci/setup test`"));
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    if output.status.success() { Ok(said) } else { Err(format!("{command:?}: {}\n{said}", output.status)) }
}

/// Does all of it, two at a time, and fails with everything that failed.
fn all<T: Sync>(jobs: &[T], job: impl Fn(&T) -> Result<(), String> + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mine = std::iter::from_fn(|| jobs.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.filter_map(|one| job(one).err()).collect::<Vec<_>>()
    };
    let failed = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn rules_are_what_both_promtools_take_and_pass_their_tests() {
    let mut jobs = Vec::new();
    for promtool in promtools() {
        jobs.push((promtool.clone(), "check", rule_files()));
        jobs.extend(files("alerts/tests").into_iter().map(|test| (promtool.clone(), "test", vec![test])));
    }
    all(&jobs, |(promtool, verb, files)| {
        let said = run(Command::new(promtool).args([*verb, "rules"]).args(files))?;
        let found = if *verb == "check" { "rules found" } else { "SUCCESS" };
        if said.contains(found) { Ok(()) } else { Err(format!("{promtool:?} {files:?}: {said}")) }
    });
}

/// As its head tells to lay it out.
#[test]
fn the_prometheus_configuration_finds_all_rules() {
    let folder = TempDir::new().unwrap();
    for (from, to) in [("deploy/prometheus/prometheus.yml", "prometheus.yml"), ("alerts", "alerts")] {
        run(Command::new("cp").arg("-r").arg(repository(from)).arg(folder.path().join(to))).unwrap();
    }
    for promtool in promtools() {
        let said =
            run(Command::new(promtool).args(["check", "config"]).arg(folder.path().join("prometheus.yml"))).unwrap();
        assert!(said.contains(&format!("{} rule files found", rule_files().len())), "{said}");
    }
}

#[test]
fn the_manifests_for_kubernetes_are_the_rules() {
    let made = run(&mut Command::new(repository("deploy/kubernetes/generate"))).unwrap();
    let shipped = fs::read_to_string(repository("deploy/kubernetes/prometheusrules.yml")).unwrap();
    let how = "run deploy/kubernetes/generate >deploy/kubernetes/prometheusrules.yml";
    assert!(made == shipped, "deploy/kubernetes/prometheusrules.yml is not what alerts/ makes of it: {how}");
    let mut manifests = shipped.split("\n---\n").skip(1);
    for file in rule_files() {
        let manifest: Value = serde_saphyr::from_str(manifests.next().unwrap()).unwrap();
        let rules: Value = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!((&manifest["kind"], &manifest["spec"]), (&"PrometheusRule".into(), &rules), "{}", file.display());
    }
    assert_eq!(manifests.next(), None);
}

/// Read by rules, and not there all the time: without TLS, before the first capture of a latency, without a bound,
/// without `--dev`, without a media node, without a fleet, without a Redis, without a relay.
const ABSENT_AT_TIMES: [&str; 21] = [
    "signalbox_certificate_expiry_timestamp_seconds",
    "signalbox_latency_capture_timestamp_seconds",
    "process_max_fds",
    "signalbox_fault_active",
    "signalbox_media_node_up",
    "signalbox_media_breaker_state",
    "signalbox_media_clock_skew_seconds",
    "signalbox_placement_nodes",
    "signalbox_node_share_ratio",
    "signalbox_directory_lease_seconds",
    "signalbox_directory_lease_age_seconds",
    "signalbox_directory_rooms_unwritten",
    "signalbox_directory_rooms_digest",
    "signalbox_directory_rules_refused",
    "signalbox_directory_watch_lag_seconds",
    "signalbox_directory_digest",
    "signalbox_fabric_silent_seconds",
    "signalbox_fabric_behind_seconds",
    "signalbox_journal_age_seconds",
    "signalbox_relay_round_trip_latency_seconds",
    "signalbox_relay_connections",
];

#[test]
fn what_rules_stand_on_is_watched_for_being_absent() {
    let (watches, others): (Vec<_>, Vec<_>) =
        rules().into_iter().partition(|rule| rule["alert"] == "SignalboxMetricAbsent");
    let expressions =
        |rules: &[Value]| rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned() + "\n").collect();
    let (watched, read): (String, String) = (expressions(&watches), expressions(&others));
    for metric in catalog::ALL {
        let names = match metric.kind {
            catalog::Kind::Histogram => ["_bucket", "_count"].map(|suffix| format!("{}{suffix}", metric.name)).to_vec(),
            _ => vec![metric.name.to_owned()],
        };
        for name in names {
            // deliveries and stages are drawn, and alert nobody; gauges by op are of the last minute
            let drawn = name.contains("_delivery_") || name.contains("_stage_");
            let last_minute =
                metric.kind == catalog::Kind::Gauge && metric.labels.iter().any(|label| label.name == "op");
            let stands = is_read(&read, &name) && !drawn && !last_minute && !ABSENT_AT_TIMES.contains(&metric.name);
            assert_eq!(stands, watched.contains(&format!("\"metric\", \"{name}\"")), "{name}: read, and watched?");
        }
    }
}

/// Whether the name stands there as a whole: not as a part of another one, nor of what is recorded.
fn is_read(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.match_indices(name).any(|(place, _)| {
        let (before, after) = (text[..place].chars().next_back(), text[place + name.len()..].chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}
