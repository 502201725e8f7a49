//! The boards as Grafana would use them: the JSON is what its sources make, each query is taken by a Prometheus, and a
//! real one that scrapes a router under load, with the shipped recording rules, answers every query or is known to have
//! no reason to.
//!
//! `dashboards/boards` checks itself (`npm run check`, `npm test`, `npm run live`); Grafana is in no registry that a test
//! could take it from.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    harness::{Router, free, repository, run_to_end},
    prometheus::server::Prometheus,
};

/// What runs there may take long on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(300);
/// As the boards' own rate interval: four scrapes and more.
const RATE_INTERVAL: &str = "10s";
/// How far the boards look back, in seconds: what the load took.
const BACK_SECONDS: &str = "60";

/// Runs one of the boards' commands; fails with all it said.
async fn npm(arguments: &[&str]) {
    let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || {
        let mut command = Command::new("npm");
        command.args(["--prefix", "dashboards/boards", "--silent"]).args(&arguments).current_dir(repository(""));
        let output = command.output().unwrap_or_else(|e| panic!("npm: {e}; run `make test`, or `.ci/setup test`"));
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(output.status.success(), "npm {}:\n{said}", arguments.join(" "));
    });
    tokio::time::timeout(PATIENCE, running).await.expect("the boards' own checks to end").unwrap();
}

/// The shipped rules, each evaluated once a second: the test has no five minutes.
fn rules_each_second(folder: &Path) -> String {
    for path in ["alerts/recording", "alerts/rules"].iter().flat_map(|folder| fs::read_dir(repository(folder)).unwrap())
    {
        let path = path.unwrap().path();
        let kind = path.parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned();
        let rules = fs::read_to_string(&path).unwrap();
        let hurried = |line| if str::starts_with(line, "  interval:") { "  interval: 1s" } else { line };
        let rules: Vec<_> = rules.lines().map(hurried).collect();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        fs::write(folder.join(format!("{kind}-{name}")), rules.join("\n")).unwrap();
    }
    folder.join("*.yml").display().to_string()
}

/// An Alertmanager that tells all the time, for what it says of itself.
struct Alertmanager {
    child: Child,
    at: SocketAddr,
}

impl Alertmanager {
    /// Whom it tells answers every question with a good status.
    fn start(folder: &Path, told: SocketAddr) -> Self {
        let (at, config) = (free(), folder.join("alertmanager.yaml"));
        let route = "route: { receiver: any, group_wait: 0s, group_interval: 1s, repeat_interval: 1s }";
        let receiver = format!("{{ name: any, webhook_configs: [{{ url: 'http://{told}/api/v1/query?query=1' }}] }}");
        fs::write(&config, format!("{route}\nreceivers: [{receiver}]\n")).unwrap();
        let mut command = Command::new("prometheus-alertmanager");
        command.args(["--web.listen-address", &at.to_string(), "--cluster.listen-address="]);
        command.arg("--config.file").arg(config).arg("--storage.path").arg(folder.join("alertmanager"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|e| panic!("Alertmanager: {e}; run `.ci/setup test`"));
        Self { child, at }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Calls against it, until they end.
async fn calls(router: &Router) {
    let url = format!("ws://{}/v1/signal", router.client);
    let load =
        ["load", "call", "--json", "--rooms", "4", "--size", "3", "--seconds", "20", "--url", &url].map(str::to_owned);
    let ran = tokio::task::spawn_blocking(move || run_to_end(&load.each_ref().map(String::as_str)));
    let (code, report, said) = ran.await.unwrap();
    assert_eq!(code, 0, "{report}{said}");
}

#[tokio::test]
async fn boards_are_what_their_sources_make_and_keep_their_own_rules() {
    npm(&["run", "check"]).await;
    npm(&["test"]).await;
}

#[tokio::test]
async fn every_query_of_every_board_is_answered_or_silent_for_a_reason() {
    let router = Router::dev();
    let folder = TempDir::new().unwrap();
    let at = free();
    let alertmanager = Alertmanager::start(folder.path(), at);
    let target = |at: SocketAddr| {
        format!("static_configs: [{{ targets: [\"{at}\"], labels: {{ cluster: test, domain: calls }} }}]")
    };
    let jobs: String = [("signalbox", router.ops), ("prometheus", at), ("alertmanager", alertmanager.at)]
        .map(|(job, at)| format!("- {{ job_name: {job}, {} }}\n", target(at)))
        .concat();
    let rules = format!("rule_files: [{:?}]\n", rules_each_second(folder.path()));
    let alerting =
        format!("alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: [\"{}\"] }}] }}] }}\n", alertmanager.at);
    // an alert from before it has found the Alertmanager is sent again only then, after a minute if not told otherwise
    let flags = ["--enable-feature=exemplar-storage", "--rules.alert.resend-delay=1s"];
    let prometheus = Prometheus::start_at(at, Path::new("prometheus"), &flags, &(jobs + &rules + &alerting)).await;
    calls(&router).await;
    npm(&["run", "live", "--", &prometheus.base(), RATE_INTERVAL, BACK_SECONDS]).await;
}
