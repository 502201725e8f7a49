//! `signalbox load` and `signalbox demo` against the real router: what a run finds and how it ends.

use std::net::SocketAddr;

use serde_json::Value;

use super::harness::{Router, run_to_end};

/// Runs a scenario for two seconds and answers exit code and report.
async fn load(router: &Router, scenario: &str, more: &[&str]) -> (i32, Value) {
    load_at(&url(router.client, more.contains(&"grpc")), scenario, more).await
}

async fn load_at(url: &str, scenario: &str, more: &[&str]) -> (i32, Value) {
    let line: Vec<String> = ["load", scenario, "--json", "--seconds", "2", "--url", url]
        .iter()
        .chain(more)
        .map(ToString::to_string)
        .collect();
    let ran = blocking(move || run_to_end(&line.iter().map(String::as_str).collect::<Vec<_>>()));
    let (code, report, said) = ran.await;
    (code, serde_json::from_str(&report).unwrap_or_else(|e| panic!("no report ({e}): {report}{said}")))
}

fn url(client: SocketAddr, grpc: bool) -> String {
    if grpc { format!("http://{client}") } else { format!("ws://{client}/v1/signal") }
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Everything expected arrived, and something was expected.
#[track_caller]
fn assert_whole((code, report): &(i32, Value)) {
    assert_eq!(*code, 0, "{report}");
    assert!(report["expected"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["delivered"], report["expected"], "{report}");
    for count in ["lost", "doubled", "out_of_order", "unanswered"] {
        assert_eq!(report[count], 0, "{count}: {report}");
    }
}

const WAYS: [&[&str]; 3] = [&["--encoding", "json"], &["--encoding", "protobuf"], &["--transport", "grpc"]];

#[tokio::test]
async fn fanout_arrives_whole_over_every_transport_and_encoding() {
    let router = Router::dev();
    for way in WAYS {
        let ran = load(&router, "fanout", &[&["--rooms", "3", "--size", "3", "--rate", "20"], way].concat()).await;
        assert_whole(&ran);
    }
}

#[tokio::test]
async fn calls_are_whole_over_every_transport_and_encoding_reconnects_included() {
    let router = Router::dev();
    for way in WAYS {
        let ran = load(&router, "call", &[&["--rooms", "2", "--size", "3", "--stay", "1.5"], way].concat()).await;
        assert_whole(&ran);
        assert!(ran.1["resumed"].as_u64().unwrap() > 0, "{}", ran.1);
    }
}

#[tokio::test]
async fn dropped_participants_miss_nothing_and_see_nothing_twice() {
    let router = Router::dev();
    for way in WAYS {
        let ran = load(&router, "resume", &[&["--rooms", "3", "--size", "3", "--stay", "0.4"], way].concat()).await;
        assert_whole(&ran);
        assert!(ran.1["resumed"].as_u64().unwrap() >= 9, "each drops more than once: {}", ran.1);
    }
}

#[tokio::test]
async fn who_has_said_all_that_it_had_to_say_stays_for_what_is_said_to_it() {
    let router = Router::dev();
    let url = url(router.client, false);
    // the second message of each, to one alone, comes when others have been silent for longer than anybody is waited for
    let ran = blocking(move || {
        let shape = ["--rooms", "60", "--size", "4", "--joins", "200", "--stay", "0"];
        let line = [&["load", "resume", "--json", "--url", &url, "--rate", "0.15", "--seconds", "10.5"][..], &shape];
        run_to_end(&line.concat())
    });
    let (code, report, said) = ran.await;
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|e| panic!("no report ({e}): {report}{said}"));
    assert_eq!(report["joined"], 240, "{report}");
    assert_whole(&(code, report));
}

#[tokio::test]
async fn observers_of_a_churn_see_each_come_and_go_once() {
    let router = Router::dev();
    assert_whole(&load(&router, "churn", &["--rooms", "2", "--rate", "20", "--stay", "0.5"]).await);
}

#[tokio::test]
async fn joins_and_idle_sessions_are_counted() {
    let router = Router::dev();
    let (code, report) = load(&router, "join", &["--rate", "40"]).await;
    assert_eq!((code, report["joined"].as_u64()), (0, Some(80)), "{report}");
    let (code, report) = load(&router, "idle", &["--rooms", "4", "--size", "5"]).await;
    assert_eq!((code, report["joined"].as_u64()), (0, Some(20)), "{report}");
}

#[tokio::test]
async fn both_sides_count_the_same_joins_and_none_of_an_earlier_run() {
    let router = Router::dev();
    assert_whole(&load(&router, "fanout", &["--rooms", "3", "--size", "3", "--rate", "20"]).await);
    let ops = format!("http://{}", router.ops);
    let (code, report) = load(&router, "join", &["--rate", "40", "--warmup", "0", "--ops", &ops]).await;
    assert_eq!((code, report["joined"].as_u64(), &report["router_silent"]), (0, Some(80), &Value::Null), "{report}");
    let count_of = |measures: &Value| {
        let join = measures.as_array().unwrap().iter().find(|measure| measure["name"] == "join").unwrap();
        join["count"].as_u64()
    };
    let seen = (count_of(&report["latencies"]), count_of(&report["router"]["measures"]));
    assert_eq!(seen, (Some(80), Some(80)), "{report}");
    assert!((2..=10).contains(&report["router"]["window_seconds"].as_u64().unwrap()), "{report}");
}

#[tokio::test]
async fn a_p99_past_its_bound_and_refusals_are_failures() {
    let router = Router::dev();
    let (code, _) = load(&router, "join", &["--rate", "20", "--max-p99", "0.001"]).await;
    assert_eq!(code, 1);
    let (code, report) =
        load(&router, "join", &["--rate", "20", "--secret", "not-the-secret-of-this-router-at-all"]).await;
    assert_eq!(code, 1);
    assert_eq!(report["refused"]["unauthenticated"], 40, "{report}");
}

#[tokio::test]
async fn the_interval_log_holds_a_line_a_second_and_the_token_file_is_used() {
    let router = Router::dev();
    let folder = tempfile::tempdir().unwrap();
    let (log, tokens) = (folder.path().join("run.hlog"), folder.path().join("tokens"));
    let signed = ["a", "b"].map(|identity| super::harness::Token::new("given", identity).sign());
    std::fs::write(&tokens, signed.join("\n")).unwrap();
    let more = ["--hlog", log.to_str().unwrap(), "--token-file", tokens.to_str().unwrap()];
    let ran = load(&router, "fanout", &[&["--rooms", "1", "--size", "2", "--rate", "50"], &more[..]].concat()).await;
    assert_whole(&ran);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.lines().any(|line| line.starts_with("#[StartTime:")), "{log}");
    assert!(log.lines().filter(|line| line.starts_with("Tag=delivery,")).count() >= 2, "{log}");
}

#[tokio::test]
async fn nobody_at_the_target_is_an_error_in_words() {
    let ran = blocking(|| run_to_end(&["load", "join", "--url", "ws://127.0.0.1:1/v1/signal", "--seconds", "1"])).await;
    assert_eq!(ran.0, 1);
    assert!(ran.2.contains("nothing answers at 127.0.0.1:1"), "{}", ran.2);
}

#[tokio::test]
async fn the_demo_ends_by_itself_with_a_p99_and_nothing_lost() {
    let (code, said, complained) = blocking(|| run_to_end(&["demo", "--seconds", "3", "--calls", "2"])).await;
    assert_eq!(code, 0, "{said}{complained}");
    for part in ["/metrics", "TOKEN", "P99 of every op at most", "nothing lost, doubled or out of order"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
}

#[tokio::test]
async fn a_router_behind_tls_is_driven_over_websocket_and_grpc_and_only_with_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key, other] = ["cert.pem", "key.pem", "other.pem"].map(|name| folder.path().join(name));
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, signed.cert.pem()).unwrap();
    std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    std::fs::write(&other, rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem()).unwrap();
    let [certificate, key, other] = [&certificate, &key, &other].map(|path| path.to_str().unwrap());
    let router = Router::dev_with(&[("client.tls.cert_file", certificate), ("client.tls.key_file", key)]);
    let port = router.client.port();
    let shape = ["--rooms", "2", "--size", "2", "--ca"];
    let over_websocket = format!("wss://localhost:{port}/v1/signal");
    assert_whole(&load_at(&over_websocket, "fanout", &[&shape[..], &[certificate]].concat()).await);
    let over_grpc = format!("https://localhost:{port}");
    assert_whole(&load_at(&over_grpc, "fanout", &[&shape[..], &[certificate, "--transport", "grpc"]].concat()).await);
    let (code, report) = load_at(&over_websocket, "fanout", &[&shape[..], &[other]].concat()).await;
    assert_eq!((code, report["joined"].as_u64()), (1, Some(0)), "{report}");
}
