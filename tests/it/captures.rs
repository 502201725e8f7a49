//! Captures of real processes: made, shown, kept over a restart, refused when there have been enough.

use std::path::Path;

use serde_json::Value;

use crate::{
    harness::{Answer, Router, Socket, answered, ask, get, run_to_end},
    profiles::Planted,
};

async fn capture(router: &Router, note: &str) -> Answer {
    ask(router.ops, "POST /debug/captures", "", &serde_json::json!({ "note": note }).to_string()).await
}

/// Waits until a capture has its parts: half a minute, and then what is usual.
async fn ready(ops: std::net::SocketAddr, id: &str) -> Value {
    let path = format!("/debug/captures/{id}?format=json");
    answered("the last seconds of the capture", async || {
        let told = get(ops, &path).await.json();
        (told["ready_in_seconds"].as_u64()? < 10).then_some(())
    })
    .await;
    answered("that the capture is ready", async || {
        let told = get(ops, &path).await.json();
        (told["state"] == "ready").then_some(told)
    })
    .await
}

#[tokio::test]
async fn an_operators_capture_has_all_parts_and_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    // nobody stays for a drain, so its end is there at once
    let settings = [("server.data_dir", folder.path().to_str().unwrap()), ("drain.seconds", "0")];
    let mut router = Router::dev_with(&settings);
    let (mut socket, _) = Socket::join(&router, "r1", "alice").await;
    socket.assert_alive().await;
    let made = capture(&router, "joins are slow").await;
    assert_eq!(made.status, 202, "{}", made.body);
    let told = made.json();
    let id = told["id"].as_str().unwrap().to_owned();
    assert_eq!((&told["state"], told["ready_in_seconds"].as_u64()), (&"recording".into(), Some(30)));
    let page = get(router.ops, &format!("/debug/captures/{id}?format=html")).await;
    assert!(page.body.contains("being recorded") && page.head.contains("refresh: 3"), "{}", page.body);
    let early = get(router.ops, &format!("/debug/captures/{id}/profile")).await;
    assert_eq!((early.status, early.code()), (503, "not_ready".to_owned()), "{}", early.body);
    // its end finishes what is being recorded
    drop(socket);
    router.terminate();
    router.ended().await;
    drop(router);
    let router = Router::dev_with(&settings);
    whole(&router, &id).await;
}

/// All that a capture has, after a restart.
async fn whole(router: &Router, id: &str) {
    let told = ready(router.ops, id).await;
    assert_eq!((&told["cause"]["kind"], &told["kept"]), (&"operator".into(), &"folder".into()), "{told}");
    for part in ["profile", "quiet", "latency", "latency.hlog", "slow", "runtime", "flamegraph", "diff"] {
        let answer = get(router.ops, &format!("/debug/captures/{id}/{part}")).await;
        assert_eq!(answer.status, 200, "{part}: {}", answer.body);
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{part}: {}", answer.head);
    }
    let page = get(router.ops, &format!("/debug/captures/{id}?format=html")).await.body;
    assert!(page.contains("What was different") && page.contains("go tool pprof"), "{page}");
    let list = get(router.ops, "/debug/captures/?format=html").await.body;
    assert!(list.contains(id) && list.contains("also over a restart"), "{list}");
    let latest = get(router.ops, "/debug/captures/latest").await;
    assert!(latest.status == 307 && latest.head.contains(&format!("location: /debug/captures/{id}").to_lowercase()));
    let none = get(router.ops, "/debug/captures/latest?op=join&region=mars").await;
    assert!(none.status == 404 && none.body.contains("mars"), "{}", none.body);
    let windows = format!("/debug/pprof/diff?base=quiet:{id}&target=capture:{id}&format=json");
    assert!(get(router.ops, &windows).await.json()["changes"].is_array());
    let url = format!("http://{}", router.ops);
    let (code, told, complaints) =
        run_to_end(&["profile", "diff", "--url", &url, &format!("quiet:{id}"), &format!("capture:{id}"), "--json"]);
    assert_eq!(code, 0, "{told} {complaints}");
    let metrics = answered("captures in the metrics", async || {
        let metrics = get(router.ops, "/metrics").await.body;
        metrics.contains("\nsignalbox_captures 1").then_some(metrics)
    });
    let metrics = metrics.await;
    assert!(metrics.contains("signalbox_capture_timestamp_seconds{cause=\"operator\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_stalled_worker_makes_a_capture_with_the_stack_in_which_it_was_blocked() {
    let planted = Planted::start(&["--quiet", "--stall-ms", "900"]);
    let capture = answered("a capture of the stall", async || {
        let list = get(planted.ops, "/debug/captures/?format=json").await.json();
        list.as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!((&capture["cause"]["kind"], &capture["cause"]["state"]), (&"stall".into(), &"blocked".into()));
    let id = capture["id"].as_str().unwrap();
    // thirty seconds of the time after belong to it
    let told = ready(planted.ops, id).await;
    assert!(told["parts"].as_array().unwrap().iter().any(|part| part["part"] == "stall"), "{told}");
    let stack = get(planted.ops, &format!("/debug/captures/{id}/stall")).await.body;
    assert!(stack.contains("planted::planted_wait (planted.rs:"), "{stack}");
    let page = get(planted.ops, &format!("/debug/captures/{id}?format=html")).await.body;
    assert!(page.contains("planted::planted_wait") && page.contains("blocked"), "{page}");
}

#[tokio::test]
async fn a_storm_is_refused_with_a_time_to_come_back_and_bad_questions_in_words() {
    let router = Router::dev();
    assert_eq!(capture(&router, "one").await.status, 202);
    for _ in 0..20 {
        let refused = capture(&router, "and one more").await;
        assert_eq!((refused.status, refused.code()), (503, "overloaded".to_owned()), "{}", refused.body);
        assert!(refused.head.contains("retry-after: ") && refused.body.contains("come back in"), "{}", refused.body);
    }
    let metrics = get(router.ops, "/metrics").await.body;
    assert!(metrics.contains("signalbox_captures_refused_total{reason=\"pace\"} 20"), "{metrics}");
    assert!(metrics.contains("signalbox_captures_made_total{cause=\"operator\"} 1"), "{metrics}");
    let garbage = ask(router.ops, "POST /debug/captures", "", "{\"note\": 5}").await;
    assert_eq!((garbage.status, garbage.code()), (400, "bad_request".to_owned()), "{}", garbage.body);
    for path in ["none", "none/profile", "..%2f..%2fetc/profile", "%2e%2e/passwd", "latest/profile"] {
        let answer = get(router.ops, &format!("/debug/captures/{path}")).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
    let id = get(router.ops, "/debug/captures/?format=json").await.json()[0]["id"].as_str().unwrap().to_owned();
    let unknown = get(router.ops, &format!("/debug/captures/{id}/..%2fcapture.json")).await;
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    let diff = get(router.ops, "/debug/pprof/diff?base=capture:none").await;
    assert!(diff.status == 404 && diff.body.contains("no such capture"), "{}", diff.body);
}

#[tokio::test]
async fn what_is_corrupt_in_the_folder_is_set_aside_and_the_router_runs() {
    let folder = tempfile::tempdir().unwrap();
    let captures = folder.path().join("captures");
    let planted = captures.join("20261125T212730Z-join-sh");
    std::fs::create_dir_all(&planted).unwrap();
    std::fs::write(planted.join("capture.json"), b"{\"format\": 1, \"id\"").unwrap();
    std::fs::write(captures.join("notes.txt"), "of somebody else").unwrap();
    let router = Router::dev_with(&[("server.data_dir", folder.path().to_str().unwrap())]);
    assert_eq!(get(router.ops, "/debug/captures/?format=json").await.json(), serde_json::json!([]));
    assert!(Path::new(&format!("{}.corrupt", planted.display())).exists());
    assert_eq!(std::fs::read_to_string(captures.join("notes.txt.corrupt")).unwrap(), "of somebody else");
    let metrics = get(router.ops, "/metrics").await.body;
    assert!(metrics.contains("signalbox_capture_folder_failures_total 2"), "{metrics}");
    assert!(router.stderr().contains("the folder of captures"), "{}", router.stderr());
    assert_eq!(capture(&router, "it goes on").await.status, 202);
}
