//! `/debug/latency.hlog`: read by HdrHistogram's own reader, and merged by ours; both say the same.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use signalbox::telemetry::interval_log;

use crate::harness::{Router, Socket, get, run_to_end, tool, within};

/// HdrHistogram's reader of interval logs for Python, over all intervals of a tag.
const READER: &str = "
import json, sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
reader, tags = HistogramLogReader(sys.argv[1], HdrHistogram(1, 60_000_000, 3)), {}
while True:
    interval = reader.get_next_interval_histogram()
    if interval is None: break
    tags.setdefault(interval.get_tag(), HdrHistogram(1, 60_000_000, 3)).add(interval)
print(json.dumps({tag: [[at.value_iterated_to, at.count_added_in_this_iter_step] for at in h.get_recorded_iterator()]
    for tag, h in tags.items()}))
";

/// By tag, each value and its count, as HdrHistogram reads them; quantiles have as many definitions as libraries.
fn read_by_hdrhistogram(log: &Path) -> Value {
    let output = Command::new(tool("python/bin/python")).args(["-c", READER]).arg(log).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same, as ours does.
fn read_by_us(log: &Path) -> Value {
    let intervals = interval_log::read(&std::fs::read(log).unwrap()).unwrap();
    let values = |histogram: &Histogram<u64>| {
        histogram.iter_recorded().map(|at| json!([at.value_iterated_to(), at.count_at_value()])).collect::<Vec<_>>()
    };
    let tags = interval_log::by_tag(&intervals);
    json!(tags.iter().map(|(tag, histogram)| (*tag, values(histogram))).collect::<BTreeMap<_, _>>())
}

/// The log of a router in which so many pings were answered.
async fn logged(folder: &Path, name: &str, pings: u64) -> PathBuf {
    let router = Router::dev();
    let (mut socket, _) = Socket::join(&router, "r", "ann").await;
    for _ in 0..pings {
        socket.ask(json!({ "ping": {} })).await;
    }
    let path = folder.join(name);
    within("all pings in the log", async {
        loop {
            let log = get(router.ops, "/debug/latency.hlog").await;
            assert_eq!(log.status, 200, "{log:?}");
            assert!(log.head.contains("content-disposition: attachment; filename=\"latency.hlog\""), "{}", log.head);
            std::fs::write(&path, &log.body).unwrap();
            let all = |row: &Value| row["tag"] == "signal.ping.default.ok" && row["count"] == pings;
            if merged(&[&path], &[]).is_some_and(|rows| rows.iter().any(all)) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    path
}

/// What `signalbox metrics merge` says of these logs.
fn merged(logs: &[&Path], more: &[&str]) -> Option<Vec<Value>> {
    let logs: Vec<&str> = logs.iter().map(|path| path.to_str().unwrap()).collect();
    let (code, stdout, _) = run_to_end(&[&["metrics", "merge", "--json"][..], &logs, more].concat());
    (code == 0).then(|| serde_json::from_str(&stdout).unwrap())
}

#[tokio::test]
async fn logs_of_two_routers_are_read_by_hdrhistograms_own_reader_and_merged_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let one = logged(folder.path(), "a.hlog", 40).await;
    let other = logged(folder.path(), "b.hlog", 60).await;
    for log in [&one, &other] {
        assert_eq!(read_by_hdrhistogram(log), read_by_us(log), "{}", log.display());
    }
    let both = folder.path().join("both.hlog");
    let together = merged(&[&one, &other], &["--output", both.to_str().unwrap()]).unwrap();
    let ping = together.iter().find(|row| row["tag"] == "signal.ping.default.ok").unwrap();
    assert_eq!(ping["count"], 100, "{ping}");
    assert!(ping["p99_ms"].as_f64().unwrap() > 0.0 && ping["max_ms"].as_f64() >= ping["p99_ms"].as_f64(), "{ping}");
    let written = read_by_hdrhistogram(&both);
    assert_eq!(written, read_by_us(&both), "the merged log is one of HdrHistogram's as well");
    let count = |values: &Value| values.as_array().unwrap().iter().map(|at| at[1].as_u64().unwrap()).sum::<u64>();
    assert!(together.iter().all(|row| count(&written[row["tag"].as_str().unwrap()]) == row["count"]), "{written}");
    let joins = merged(&[&both], &["--tag", "signal.join"]).unwrap();
    assert_eq!((joins.len(), &joins[0]["count"]), (1, &json!(2)));
}

#[test]
fn what_cannot_be_merged_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, missing) = (folder.path().join("no.hlog"), folder.path().join("missing.hlog"));
    std::fs::write(&path, "#[comment]\nnot a log\n").unwrap();
    let merge = |path: &Path| run_to_end(&["metrics", "merge", path.to_str().unwrap()]);
    let (code, _, said) = merge(&path);
    assert!(code == 1 && said.contains("no.hlog") && said.contains("the line at byte 11"), "{said}");
    let (code, _, said) = merge(&missing);
    assert!(code == 1 && said.contains("missing.hlog"), "{said}");
    std::fs::write(&path, "").unwrap();
    assert!(merge(&path).2.contains("no interval in 1 logs"));
    assert_eq!(run_to_end(&["metrics", "merge"]).0, 64);
}
