//! The ops port of a running router: what it says of the process, and what can be changed there.

use std::time::Instant;

use crate::harness::{PATIENCE, Router, Socket, ask, eventually, get, get_with, unix_now};

/// The value of a series in a scrape.
async fn metric(router: &Router, series: &str) -> f64 {
    let scrape = get(router.ops, "/metrics").await.body;
    let line = scrape.lines().find(|line| line.starts_with(&format!("{series} ")));
    let value = line.and_then(|line| line.rsplit(' ').next()).unwrap_or_else(|| panic!("no {series} in {scrape}"));
    value.parse().unwrap()
}

/// Waits for a series to be of a value.
async fn metric_reaches(router: &Router, series: &str, reached: impl Fn(f64) -> bool) -> f64 {
    let since = Instant::now();
    loop {
        let value = metric(router, series).await;
        if reached(value) {
            return value;
        }
        assert!(since.elapsed() < PATIENCE, "{series} is {value}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_logged_can_be_changed_while_the_router_runs() {
    let router = Router::dev_with(&[("log.level", "info")]);
    let level = async |body: &str| ask(router.ops, "PUT /api/log/level", "", body).await;
    assert_eq!(get(router.ops, "/api/log/level").await.json()["level"], "info");
    let (_quiet, _) = Socket::join(&router, "r", "quiet").await;
    let changed = level("warn,signalbox=debug,hyper=trace\n").await;
    assert_eq!((changed.status, &changed.json()["was"]), (200, &"info".into()), "{changed:?}");
    let (_heard, _) = Socket::join(&router, "r", "heard").await;
    eventually("the line of the second join", || router.stderr().contains("\"heard\"")).await;
    for wrong in ["loud", "", "signalbox=loud"] {
        let refused = level(wrong).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "bad_request"), "{refused:?}");
        assert!(refused.body.contains("off, error, warn, info, debug, trace"), "{refused:?}");
    }
    assert_eq!(get(router.ops, "/api/log/level").await.json()["level"], "warn,signalbox=debug,hyper=trace");
    assert_eq!(level("off").await.status, 200);
    let (_unheard, _) = Socket::join(&router, "r", "unheard").await;
    assert_eq!(level("info").await.status, 200);
    assert_eq!(metric(&router, "signalbox_log_level_changes_total").await, 3.0);

    eventually("the line of the last change", || router.stderr().matches("log level changed").count() >= 3).await;
    let log = router.stderr();
    assert!(!log.contains("\"quiet\"") && !log.contains("\"unheard\""), "{log}");
    assert!(log.lines().all(|line| !line.starts_with('{') || line.contains("\"target\":\"signalbox")), "{log}");
    let changes: Vec<_> = log.lines().filter(|line| line.contains("log level changed")).collect();
    assert_eq!(changes.len(), 3, "{log}");
    for (line, part) in changes.iter().zip(["\"to\":\"warn,signalbox=debug", "\"to\":\"off\"", "\"from\":\"off\""]) {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test]
async fn a_refusals_line_carries_the_address_and_the_trace_that_the_client_named() {
    let router = Router::dev();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for named in [trace, "no trace id"] {
        let headers = [("X-Trace-ID", named)];
        assert_eq!(get_with(router.client, "/v1/signal/validate?access_token=x", &headers).await.status, 401);
        // the second is of another kind, so that it is written and not held back
        assert_eq!(
            get_with(router.client, "/v1/signal/validate?access_token=x&room=a&room=b", &headers).await.status,
            400
        );
    }
    eventually("the lines", || router.stderr().lines().filter(|line| line.contains("\"shed\"")).count() == 2).await;
    for line in router.stderr().lines().filter(|line| line.contains("\"shed\"")) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["peer_ip"], &line["trace_id"]), (&"127.0.0.1".into(), &trace.into()), "{line}");
    }
    assert_eq!(metric(&router, "signalbox_log_lines_held_back_total").await, 2.0);
}

#[tokio::test]
async fn the_runtime_and_the_process_say_what_they_are_at() {
    let router = Router::dev_with(&[("server.workers", "2")]);
    metric_reaches(&router, "signalbox_runtime_workers", |workers| workers == 2.0).await;
    metric_reaches(&router, "signalbox_runtime_alive_tasks", |tasks| tasks >= 2.0).await;
    for worker in 0..2 {
        let series = |name: &str| format!("signalbox_runtime_worker_{name}{{worker=\"{worker}\"}}");
        metric_reaches(&router, &series("parks_total"), |parks| parks > 0.0).await;
        let busy = metric(&router, &series("busy_ratio")).await;
        assert!((0.0..=1.0).contains(&busy), "{busy}");
    }
    let threads = metric(&router, "process_threads").await;
    // the workers, main, ops, metronome, watchdog
    assert!((6.0..64.0).contains(&threads), "{threads}");
    let [resident, virtual_memory] =
        [metric(&router, "process_resident_memory_bytes").await, metric(&router, "process_virtual_memory_bytes").await];
    assert!(1e6 < resident && resident < virtual_memory, "{resident} of {virtual_memory}");
    assert!(metric(&router, "process_open_fds").await < metric(&router, "process_max_fds").await);
    assert!(resident < metric(&router, "signalbox_memory_limit_bytes").await);
    let (clock, now) = (metric(&router, "signalbox_clock_timestamp_seconds").await, unix_now() as f64);
    assert!((clock - now).abs() < 60.0, "{clock}, {now}");
    // what renders this gives way to the workers, and what takes the questions does not
    assert_eq!(router.nice("rendering"), Some(5));
    assert_eq!(router.nice("ops"), Some(0));
}

#[tokio::test]
async fn while_the_process_was_stopped_no_worker_was_stalled() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    router.send_signal("STOP");
    // several times what would be a stall
    let since = Instant::now();
    eventually("a second to pass", || since.elapsed().as_secs() >= 1).await;
    router.send_signal("CONT");
    alice.assert_alive().await;
    // the metronome has beaten since, and so the watchdog has looked many times
    let beats = "signalbox_latency_drains_total";
    let before = metric(&router, beats).await;
    metric_reaches(&router, beats, |now| now > before).await;
    assert_eq!(metric(&router, "signalbox_worker_stalls_total").await, 0.0);
    assert_eq!(metric(&router, "signalbox_workers_stalled").await, 0.0);
    assert!(!router.stderr().contains("does not come back"));
}
