//! Faults on purpose: each does what it says, one at a time, ends, and is there with `--dev` only.

use serde_json::{Value, json};

use crate::harness::{Answer, Router, Socket, answered, ask, eventually, get, run_to_end};

const STALLED: &str = "signalbox_worker_stalls_total ";

async fn put(router: &Router, body: &str) -> Answer {
    ask(router.ops, "PUT /api/fault", "", body).await
}

/// The faults that metrics call active.
async fn active(router: &Router) -> Vec<String> {
    let metrics = get(router.ops, "/metrics").await.body;
    let faults = metrics.lines().filter_map(|line| line.strip_prefix("signalbox_fault_active{fault=\""));
    faults.filter_map(|line| line.strip_suffix("\"} 1")).map(str::to_owned).collect()
}

/// How many pings of a hundred were refused with `internal`, and how many answered; nothing else happens to them.
async fn pinged(socket: &mut Socket) -> (usize, usize) {
    let mut replies = Vec::new();
    for _ in 0..100 {
        replies.push(socket.ask(json!({ "ping": {} })).await);
    }
    let of = |is: &dyn Fn(&Value) -> bool| replies.iter().filter(|reply| is(reply)).count();
    (of(&|reply| reply["error"]["code"] == "internal"), of(&|reply| reply["pong"].is_object()))
}

/// The P99 of all answered pings of the last minute, in milliseconds.
async fn p99_ms(router: &Router) -> f64 {
    let metrics = get(router.ops, "/metrics").await.body;
    let line = metrics.lines().find(|line| {
        line.starts_with("signalbox_signal_latency_quantile_seconds{op=\"ping\"") && line.contains("q=\"0.99\"")
    });
    line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |seconds| seconds.parse::<f64>().unwrap() * 1e3)
}

#[tokio::test]
async fn a_router_that_serves_people_refuses_every_fault_and_says_why() {
    let router = Router::production();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    for body in ["errors", "cpu", "off", "nonsense"] {
        let refused = put(&router, body).await;
        assert_eq!((refused.status, refused.code().as_str()), (404, "path_not_found"), "{body}: {refused:?}");
        assert!(refused.body.contains("--dev") && refused.body.contains("no configuration"), "{refused:?}");
    }
    assert_eq!(get(router.ops, "/api/fault").await.status, 404);
    assert_eq!(pinged(&mut alice).await, (0, 100));
    assert_eq!(active(&router).await, [""; 0]);
    assert!(!router.stderr().contains("on purpose"), "{}", router.stderr());
}

#[tokio::test]
async fn errors_are_three_of_ten_signals_until_they_end_and_both_are_told() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    assert_eq!(pinged(&mut alice).await, (0, 100));
    assert_eq!(put(&router, "errors").await.json(), json!({ "fault": "errors", "was": null }));
    assert_eq!(active(&router).await, ["errors"]);
    assert_eq!(get(router.ops, "/api/fault").await.json()["fault"], "errors");
    assert_eq!(pinged(&mut alice).await, (30, 70));
    assert_eq!(put(&router, "off").await.json(), json!({ "fault": null, "was": "errors" }));
    assert_eq!(pinged(&mut alice).await, (0, 100));
    assert_eq!(active(&router).await, [""; 0]);
    let refused = answered("the refusals in the metrics", async || {
        let metrics = get(router.ops, "/metrics").await.body;
        metrics.contains("signalbox_signal_refusals_total{code=\"internal\"} 30\n").then_some(())
    });
    refused.await;
    for line in ["a fault is injected on purpose", "the fault that was injected on purpose has ended"] {
        let warned =
            |log: &str| log.lines().any(|l| l.contains(line) && l.contains("WARN") && l.contains("\"errors\""));
        eventually(line, || warned(&router.stderr())).await;
    }
}

#[tokio::test]
async fn a_burning_cpu_breaks_the_promise_and_the_profile_names_the_function() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    pinged(&mut alice).await;
    assert_eq!(put(&router, "cpu").await.status, 200);
    let slow = answered("a P99 past the promise", async || {
        alice.assert_alive().await;
        let p99 = p99_ms(&router).await;
        (p99 > 80.0).then_some(p99)
    });
    slow.await;
    // it answers meanwhile
    assert_eq!(get(router.ops, "/health/ready").await.status, 200);
    let profile = answered("the hot function in the last seconds", async || {
        alice.assert_alive().await;
        let path = "/debug/pprof/profile?lookback=1&seconds=20&format=collapsed";
        let stacks = get(router.ops, path).await.body;
        stacks.lines().find(|stack| stack.contains("burn_cpu_on_purpose")).map(str::to_owned)
    });
    let stack = profile.await;
    assert!(stack.contains("op:ping"), "the op in hand is in the stack: {stack}");
    assert_eq!(put(&router, "off").await.status, 200);
    let since = std::time::Instant::now();
    pinged(&mut alice).await;
    assert!(since.elapsed().as_millis() < 10_000, "a hundred pings wait for nothing any more: {:?}", since.elapsed());
    assert!(!get(router.ops, "/metrics").await.body.contains(&format!("{STALLED}1")), "slow is not stalled");
}

#[tokio::test]
async fn a_stall_is_noticed_with_its_stack_and_a_capture_is_made() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    assert_eq!(put(&router, "stall").await.status, 200);
    alice.assert_alive().await;
    eventually("the stack of the stalled worker in the log", || {
        router.stderr().lines().any(|line| line.contains("block_worker_on_purpose") && line.contains("blocked"))
    })
    .await;
    let metrics = get(router.ops, "/metrics").await.body;
    assert!(metrics.contains(&format!("{STALLED}1")), "{metrics}");
    let captures = answered("a capture of the stall", async || {
        let list = get(router.ops, "/debug/captures/?format=json").await.json();
        list.as_array().unwrap().first().cloned()
    });
    assert_eq!(captures.await["cause"]["kind"], "stall");
    // another fault takes its place: no stall comes any more
    assert_eq!(put(&router, "errors").await.json()["was"], "stall");
    assert_eq!(active(&router).await, ["errors"]);
    assert_eq!(put(&router, "off").await.status, 200);
    alice.assert_alive().await;
}

#[tokio::test]
async fn memory_grows_while_nobody_comes_and_is_given_back() {
    let router = Router::dev();
    let before = router.resident_kib();
    assert_eq!(put(&router, "memory").await.status, 200);
    // a step is a mebibyte at least; a machine with more memory takes larger ones
    eventually("memory that is taken", || router.resident_kib() > before + 3 * 1_024).await;
    assert_eq!(active(&router).await, ["memory"]);
    let most = router.resident_kib();
    assert_eq!(put(&router, "off").await.status, 200);
    eventually("memory that is given back", || router.resident_kib() < most - 1_024).await;
}

#[test]
fn a_demo_injects_its_fault_and_tells_what_where_and_when_it_ended() {
    let line = ["demo", "--calls", "2", "--seconds", "6", "--fault", "errors", "--fault-after", "1s"];
    let (code, told, complaints) = run_to_end(&[&line[..], &["--fault-seconds", "2"]].concat());
    assert_eq!(code, 0, "{told} {complaints}");
    let place = |text: &str| told.find(text).unwrap_or_else(|| panic!("no `{text}` in {told}"));
    let (begun, over) = (place("FAULT errors is injected, for 2 s"), place("FAULT errors has ended after 2 s"));
    assert!(begun < over && place("/api/fault") > begun && place("SignalboxErrors") > begun, "{told}");
    assert!(place("signalbox_signal_refusals_total{code=\"internal\"}") > begun, "{told}");
    assert!(complaints.contains("refused") || told.contains("internal"), "the calls suffered: {told} {complaints}");
}

#[test]
fn a_fault_that_is_none_or_comes_too_late_is_refused_with_what_is_allowed() {
    let (code, _, complaints) = run_to_end(&["demo", "--fault", "slow"]);
    assert!(code == 64 && complaints.contains("cpu, stall, errors, memory, canary"), "{complaints}");
    let (code, _, complaints) = run_to_end(&["demo", "--fault", "cpu", "--seconds", "10", "--fault-after", "20"]);
    assert!(code == 1 && complaints.contains("--fault-after 20"), "{complaints}");
    let (code, _, complaints) = run_to_end(&["demo", "--fault-after", "5"]);
    assert!(code == 64 && complaints.contains("--fault"), "{complaints}");
    let (_, help, _) = run_to_end(&["demo", "--help"]);
    assert!(help.contains("signalbox demo --fault cpu") && help.contains("--fault-seconds"), "{help}");
}
