//! All that a watch needs, each a process of its own on free ports of loopback: a router, a media node, a load, Prometheus,
//! Alertmanager.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{
    harness::{MediaNode, PATIENCE, Router, Socket, answered, ask, free, get, repository, within},
    history,
    shipped::{self, Shipped},
    sink::Sink,
    told::OnCall,
};

pub(crate) const CLUSTER: &str = "eu-1";
/// Has a route of its own.
pub(crate) const DOMAIN: &str = "conferencing";
/// What the load sends, and from where.
pub(crate) const OP: &str = "send";
pub(crate) const REGION: &str = "default";
/// Rooms, their size, messages a second of each participant: 160 signals a second, more than the baseline's gate.
const LOAD: [&str; 6] = ["--rooms", "20", "--size", "4", "--rate", "2"];
/// A variant, and who gets it: two of the load's eighty, whose signals are enough to be judged and too few to be seen in
/// the P99 of all.
const CANARY: &str = "canary";
const CANARY_USERS: [&str; 2] = ["p7", "p47"];
/// Twenty a second: a breaker's window has enough of them within seconds.
const NEGOTIATES_EVERY: Duration = Duration::from_millis(50);
const SECRETS: [&str; 2] = ["pagerduty_platform", "pagerduty_conferencing"];
const PAGERDUTY_KEY: &str = "0123456789abcdef0123456789abcdef";
/// Where the links of alerts lead.
pub(crate) const GRAFANA: &str = "http://grafana.test";
pub(crate) const RUNBOOKS: &str = "http://runbooks.test/alerts/runbooks";
pub(crate) const TRACES: &str = "http://traces.test/search?service=signalbox";

/// A process that is ended by its id.
struct Daemon {
    name: &'static str,
    child: Child,
    log: std::path::PathBuf,
}

impl Daemon {
    fn start(name: &'static str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|e| panic!("{name}: {e}; run `make test`, or `.ci/setup test`"));
        Self { name, child, log }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- {}, its last lines\n{}", self.name, lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}

/// The whole of it. In the order in which it ends: whoever alerts goes before what it would miss.
pub(crate) struct Stack {
    _prometheus: Daemon,
    _alertmanager: Daemon,
    _load: Daemon,
    _node: MediaNode,
    pub(crate) router: Router,
    pub(crate) on_call: OnCall,
    pub(crate) prometheus_at: SocketAddr,
    pub(crate) client: reqwest::Client,
    /// Where traces go.
    pub(crate) sink: Sink,
    folder: TempDir,
}

/// An alert as Prometheus has it now.
#[derive(Debug)]
pub(crate) struct Alert {
    pub(crate) labels: Value,
    pub(crate) annotations: Value,
    pub(crate) firing: bool,
}

impl Alert {
    pub(crate) fn name(&self) -> &str {
        self.labels["alertname"].as_str().unwrap_or_default()
    }
}

impl Stack {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let on_call = OnCall::start().await;
        let sink = Sink::start();
        let traces = [("telemetry.otlp.endpoint", &*sink.endpoint()), ("telemetry.otlp.head_per_million", "0")];
        let config_file = folder.path().join("signalbox.toml");
        fs::write(&config_file, signalbox_config(false)).unwrap();
        let flags = ["--dev", "--config", config_file.to_str().unwrap()];
        let router = Router::start(&flags, &[&[("log.level", "info")], &traces[..]].concat(), &[]);
        let node = MediaNode::of(&router, "m1");
        answered("the media node to be chosen", async || {
            let known = get(router.ops, "/api/nodes").await.json();
            (known["nodes"][0]["standing"] == "ready").then_some(())
        })
        .await;
        let load = start_load(&router, folder.path());
        let (prometheus_at, alertmanager_at) = (free(), free());
        let alertmanager = start_alertmanager(alertmanager_at, &on_call, folder.path());
        let config = prometheus_config(&router, prometheus_at, alertmanager_at, folder.path());
        let prometheus = start_prometheus(prometheus_at, &config, folder.path());
        // somebody else's choice stands
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        for ready in [prometheus_at, alertmanager_at] {
            let url = format!("http://{ready}/-/ready");
            answered("Prometheus and Alertmanager to be ready", async || {
                client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()).then_some(())
            })
            .await;
        }
        Self {
            _prometheus: prometheus,
            _alertmanager: alertmanager,
            _load: load,
            _node: node,
            router,
            on_call,
            prometheus_at,
            client,
            sink,
            folder,
        }
    }

    /// Somebody joins a room on the media node and signals to it until what this answers is dropped.
    pub(crate) async fn negotiate(&self) -> Negotiating {
        let (mut negotiator, joined) = Socket::join(&self.router, "negotiation", "ann").await;
        assert!(joined["media"]["node"].is_string(), "{joined}");
        Negotiating(tokio::spawn(async move {
            loop {
                negotiator.ask(json!({ "signal": { "end_of_candidates": {} } })).await;
                tokio::time::sleep(NEGOTIATES_EVERY).await;
            }
        }))
    }

    /// Switches the router's guard, and waits until it is so.
    pub(crate) async fn guard(&self, enabled: bool) {
        let beside = self.folder.path().join("beside");
        fs::write(&beside, signalbox_config(enabled)).unwrap();
        fs::rename(beside, self.folder.path().join("signalbox.toml")).unwrap();
        self.router.send_signal("HUP");
        answered("the router to take its new configuration", async || {
            let shown = self.page("/api/config").await.json();
            let keys = shown["keys"].as_array()?;
            let row = keys.iter().find(|row| row["key"] == "guard.enabled")?;
            (row["value"].to_string().trim_matches('"') == enabled.to_string()).then_some(())
        })
        .await;
    }

    /// Injects a fault, or `off`.
    pub(crate) async fn fault(&self, name: &str) {
        let answer = ask(self.router.ops, "PUT /api/fault", "", name).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// What is pending or fires.
    pub(crate) async fn alerts(&self) -> Vec<Alert> {
        let answer = self.prometheus("/api/v1/alerts", &[]).await;
        let alert = |alert: &Value| Alert {
            labels: alert["labels"].clone(),
            annotations: alert["annotations"].clone(),
            firing: alert["state"] == "firing",
        };
        answer["alerts"].as_array().unwrap().iter().map(alert).collect()
    }

    /// The value that an expression has now, of its first series.
    pub(crate) async fn query(&self, expression: &str) -> Option<f64> {
        let answer = self.prometheus("/api/v1/query", &[("query", expression)]).await;
        answer["result"][0]["value"][1].as_str()?.parse().ok()
    }

    async fn prometheus(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let url = format!("http://{}{path}", self.prometheus_at);
        let request = if form.is_empty() { self.client.get(&url) } else { self.client.post(&url).form(form) };
        let text = async { request.send().await?.text().await };
        let text = within("an answer of Prometheus", text).await.unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"].take()
    }

    /// A page of the router.
    pub(crate) async fn page(&self, path: &str) -> crate::harness::Answer {
        get(self.router.ops, path).await
    }
}

/// What the router's file says: who is a canary; and whether it guards itself, for most faults shall show as they are, not
/// as what the guard makes of them.
fn signalbox_config(guard: bool) -> String {
    format!(
        "[guard]\nenabled = {guard}\n\n[variants]\nnames = [\"{CANARY}\"]\n\n\
         [[variants.rules]]\nname = \"few\"\nvariant = \"{CANARY}\"\nusers = {CANARY_USERS:?}\n"
    )
}

/// Somebody who signals to the media node.
pub(crate) struct Negotiating(JoinHandle<()>);

impl Drop for Negotiating {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn start_load(router: &Router, folder: &Path) -> Daemon {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
    let url = format!("ws://{}/v1/signal", router.client);
    command.args(["load", "fanout", "--seconds", "3600", "--url", &url]).args(LOAD);
    Daemon::start("load", command, folder)
}

/// As shipped, with the secrets put in as shipped, but for where PagerDuty and WeCom are.
fn start_alertmanager(at: SocketAddr, on_call: &OnCall, folder: &Path) -> Daemon {
    let secrets = folder.join("secrets");
    fs::create_dir(&secrets).unwrap();
    let on_call = format!("http://{}", on_call.at);
    let urls = [("dead_mans_switch_url", "alive"), ("alarm_url", "alarm")];
    let urls = urls.map(|(name, path)| (name, format!("{on_call}/{path}")));
    let words = ["wecom_corp_id", "wecom_api_secret"].map(|name| (name, "word".to_owned()));
    let keys = SECRETS.map(|name| (name, PAGERDUTY_KEY.to_owned()));
    for (name, secret) in urls.into_iter().chain(words).chain(keys) {
        fs::write(secrets.join(name), secret).unwrap();
    }
    let config = folder.join("alertmanager.yml");
    let rendered = Command::new(repository("alerts/alertmanager/render")).arg(&secrets).arg(&config).output();
    let rendered = rendered.unwrap();
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let Shipped { file, .. } = shipped::alertmanager();
    let text = file.shorten(&fs::read_to_string(&config).unwrap()).unwrap_or_else(|unknown| panic!("{unknown}"));
    let mut moved = text.clone();
    for (service, here) in [
        ("https://events.pagerduty.com/v2/enqueue", format!("{on_call}/v2/enqueue")),
        ("https://qyapi.weixin.qq.com/cgi-bin/", format!("{on_call}/cgi-bin/")),
    ] {
        assert!(text.contains(service), "{text}");
        moved = moved.replace(service, &here);
    }
    fs::write(&config, moved).unwrap();
    let mut command = Command::new("prometheus-alertmanager");
    command.arg("--config.file").arg(&config).arg("--storage.path").arg(folder.join("alertmanager"));
    command.args(["--cluster.listen-address", "", "--web.listen-address", &at.to_string()]);
    Daemon::start("alertmanager", command, folder)
}

/// As shipped, on the shortened clock, but for who is scraped and told.
fn prometheus_config(router: &Router, own: SocketAddr, alertmanager: SocketAddr, folder: &Path) -> std::path::PathBuf {
    let rules = folder.join("rules");
    fs::create_dir(&rules).unwrap();
    for Shipped { path, file, text } in shipped::rule_files() {
        let shortened = file.shorten(&text).unwrap_or_else(|unknown| panic!("{path}: {unknown}"));
        fs::write(rules.join(path.replace('/', "-")), shortened).unwrap();
    }
    let Shipped { file, text, .. } = shipped::prometheus();
    let shortened = file.shorten(&text).unwrap_or_else(|unknown| panic!("{unknown}"));
    let mut config: Value = serde_saphyr::from_str(&shortened).unwrap();
    let links = &mut config["global"]["external_labels"];
    for (name, url) in [("grafana_url", GRAFANA), ("runbooks_url", RUNBOOKS), ("traces_url", TRACES)] {
        assert!(links[name].is_string(), "{links}");
        links[name] = url.into();
    }
    config["rule_files"] = json!([rules.join("*.yml")]);
    config["alerting"]["alertmanagers"] = json!([{ "static_configs": [{ "targets": [alertmanager] }] }]);
    for job in config["scrape_configs"].as_array_mut().unwrap() {
        let labels = json!({ "cluster": CLUSTER, "domain": DOMAIN });
        job["static_configs"] = match job["job_name"].as_str().unwrap() {
            "signalbox" => json!([{ "targets": [router.ops], "labels": labels }]),
            "prometheus" => json!([{ "targets": [own] }]),
            "alertmanager" => json!([{ "targets": [alertmanager] }]),
            other => panic!("who is to be scraped as {other}?"),
        };
    }
    let path = folder.join("prometheus.yml");
    // JSON is YAML
    fs::write(&path, config.to_string()).unwrap();
    path
}

fn start_prometheus(at: SocketAddr, config: &Path, folder: &Path) -> Daemon {
    let data = folder.join("prometheus");
    history::make(&data, &format!("cluster=\"{CLUSTER}\",domain=\"{DOMAIN}\",op=\"{OP}\",region=\"{REGION}\""));
    let mut command = Command::new("prometheus");
    command.arg("--config.file").arg(config).arg("--storage.tsdb.path").arg(&data);
    command.args(["--storage.tsdb.retention.time", "30d", "--web.listen-address", &at.to_string()]);
    command.args(["--web.external-url", &format!("http://{at}")]);
    Daemon::start("prometheus", command, folder)
}
