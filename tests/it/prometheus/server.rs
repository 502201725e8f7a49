//! A Prometheus of our own: a process on a free port of loopback with its data in a temporary folder, asked over its
//! HTTP API and ended by its id.

use std::{
    collections::BTreeMap,
    fs::File,
    net::SocketAddr,
    path::Path,
    process::{Child, Command},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{PATIENCE, answered, within};

/// A running server.
pub(crate) struct Prometheus {
    child: Child,
    client: reqwest::Client,
    at: SocketAddr,
    folder: TempDir,
}

/// Labels of a series, without its name and without what Prometheus adds.
pub(crate) type Labels = BTreeMap<String, String>;
/// The latest value of each series, by name and labels.
pub(crate) type Samples = BTreeMap<(String, Labels), f64>;

/// One series of an answer.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) value: Measured,
}

#[derive(Debug)]
pub(crate) enum Measured {
    Number(f64),
    Native(Native),
}

/// A native histogram.
#[derive(Debug)]
pub(crate) struct Native {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    /// Lower edge, upper edge, count; those that are not empty.
    pub(crate) buckets: Vec<(f64, f64, f64)>,
}

impl Point {
    pub(crate) fn number(&self) -> f64 {
        match self.value {
            Measured::Number(number) => number,
            Measured::Native(_) => panic!("no number: {self:?}"),
        }
    }
}

impl Prometheus {
    /// Starts one with these flags and `scrape_configs`, once a second, and waits until it is ready.
    pub(crate) async fn start(binary: &Path, flags: &[&str], scrape_configs: &str) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), binary, flags, scrape_configs).await
    }

    /// Starts one at that address; port 0 takes a free one.
    pub(crate) async fn start_at(at: SocketAddr, binary: &Path, flags: &[&str], scrape_configs: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (config, data) = (folder.path().join("prometheus.yml"), folder.path().join("data"));
        let global = "global: { scrape_interval: 1s, scrape_timeout: 1s }";
        std::fs::write(&config, format!("{global}\nscrape_configs:\n{scrape_configs}")).unwrap();
        let output = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(binary);
        command.arg("--config.file").arg(config).arg("--storage.tsdb.path").arg(data);
        command.args(["--web.listen-address", &at.to_string()]).args(flags);
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}; run `make test`", binary.display()));
        // somebody else's choice stands
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        let mut server = Self { child, client, at, folder };
        server.at = answered("the port of a Prometheus", async || server.address()).await;
        answered("a Prometheus to be ready", async || {
            let answer = server.client.get(server.url("/-/ready")).send().await;
            answer.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
        server
    }

    /// What it wrote so far.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Lines of its log that are more than information.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.log();
        let complaints = log.lines().filter(|line| !line.to_lowercase().contains("level=info"));
        complaints.map(str::to_owned).collect()
    }

    fn address(&self) -> Option<SocketAddr> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("Listening on"))?;
        line.split_once("address=")?.1.split_whitespace().next()?.parse().ok()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// Where it answers.
    pub(crate) fn base(&self) -> String {
        self.url("")
    }

    /// A page of it.
    pub(crate) async fn page(&self, path: &str) -> String {
        let text = async { self.client.get(self.url(path)).send().await?.text().await };
        within("a page of a Prometheus", text).await.unwrap()
    }

    /// What the API answers to a question without arguments.
    pub(crate) async fn get(&self, path: &str) -> Value {
        data(&self.page(path).await)
    }

    /// What it answers to one with some.
    pub(crate) async fn ask(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let text = async { self.client.post(self.url(path)).form(form).send().await?.text().await };
        data(&within("an answer of a Prometheus", text).await.unwrap())
    }

    /// The series that an expression has now.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Point> {
        let answer = self.ask("/api/v1/query", &[("query", expression)]).await;
        answer["result"].as_array().unwrap().iter().map(point).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- what a Prometheus had to say\n{}", self.complaints().join("\n"));
        }
    }
}

fn data(answer: &str) -> Value {
    let mut value: Value = serde_json::from_str(answer).unwrap_or_else(|e| panic!("{e}: {answer}"));
    // nor is it uneasy about the question
    let uneasy = value.get("warnings").or(value.get("infos"));
    assert!(value["status"] == "success" && uneasy.is_none(), "{answer}");
    value["data"].take()
}

fn point(series: &Value) -> Point {
    let mut labels: Labels = serde_json::from_value(series["metric"].clone()).unwrap();
    ["job", "instance"].iter().for_each(|ours| drop(labels.remove(*ours)));
    let name = labels.remove("__name__").unwrap_or_default();
    let value = match series.get("histogram") {
        Some(histogram) => Measured::Native(native(&histogram[1])),
        None => Measured::Number(number(&series["value"][1])),
    };
    Point { name, labels, value }
}

fn native(histogram: &Value) -> Native {
    let bucket = |bucket: &Value| {
        // all of ours are above their lower edge and up to their upper one
        assert_eq!(bucket[0], 0, "{bucket}");
        (number(&bucket[1]), number(&bucket[2]), number(&bucket[3]))
    };
    let buckets = histogram["buckets"].as_array().unwrap().iter().map(bucket).collect();
    Native { count: number(&histogram["count"]), sum: number(&histogram["sum"]), buckets }
}

/// Prometheus writes its numbers as text.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}
