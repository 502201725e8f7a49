//! Questions to a real router: good ones by many at once, bad ones, and ones whose reader goes away.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::harness::{Router, Socket, answered, get, get_with, within};

#[tokio::test]
async fn fifty_readers_at_once_all_get_an_answer() {
    let router = Router::dev();
    let asked = Instant::now();
    // of three lengths, so that not all share one recording
    let paths: Vec<_> = (0..50).map(|n| format!("/debug/pprof/profile?seconds=2.{}", n % 3)).collect();
    let readers = paths.iter().map(|path| get(router.ops, path));
    let answers = within("all profiles", join_all(readers)).await;
    assert!(asked.elapsed() >= Duration::from_secs(2));
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.head.contains("content-type: application/octet-stream"), "{}", answer.head);
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
        assert!(answer.head.contains("filename=\"signalbox-cpu.pb.gz\""), "{}", answer.head);
        let profile = signalbox::profiler::pprof::decode(&answer.bytes).unwrap();
        assert!(profile.length >= Duration::from_secs(2), "{:?}", profile.length);
    }
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_in_words_and_nothing_is_a_path() {
    let router = Router::dev();
    for (path, status, says) in [
        ("profile?seconds=soon", 400, "allowed: a number of seconds, 1 to 300"),
        ("profile?seconds=NaN", 400, "allowed: a number of seconds"),
        ("profile?format=../../etc/passwd", 400, "allowed: pprof, svg, collapsed, speedscope"),
        ("profile?tag=room:r1", 400, "allowed: thread:NAME, or op:"),
        ("flamegraph?tag=op:fly", 400, "with one of join"),
        ("flamegraph?lookback=perhaps", 400, "allowed: 1, 0"),
        ("diff?base=2h", 400, "base is \"2h\"; allowed: 5m"),
        ("diff?base=1m..5m", 400, "base is"),
        ("diff?target=..%2f..%2fetc", 400, "target is"),
        ("diff?target=1..2", 400, "target is"),
        ("nothing", 404, "/debug/pprof/ lists what is"),
        ("..%2f..%2fetc%2fpasswd", 404, "/debug/pprof/ lists what is"),
        ("goroutine", 404, "has no goroutines"),
        ("block", 404, "/debug/latency"),
        ("mutex?debug=1", 404, "not sampled"),
        ("threadcreate", 404, "worker-0"),
    ] {
        let answer = get(router.ops, &format!("/debug/pprof/{path}")).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.body.contains(says), "{path}: {}", answer.body);
        assert!(answer.head.contains("x-go-pprof: 1") && answer.head.contains("text/plain"), "{path}: {}", answer.head);
    }
    // clamped: an answer, and at once where the past is asked for
    for path in ["profile?seconds=0", "profile?seconds=-1", "profile?seconds=1e9&lookback=1", "flamegraph?seconds=1e9"]
    {
        assert_eq!(get(router.ops, &format!("/debug/pprof/{path}")).await.status, 200, "{path}");
    }
    // a page of another site can do nothing here
    let foreign = get_with(router.ops, "/debug/pprof/", &[("Origin", "https://example.com")]).await;
    assert!(!foreign.head.contains("access-control-allow"), "{}", foreign.head);
}

#[tokio::test]
async fn a_reader_that_hangs_up_leaves_nothing_behind() {
    let router = Router::dev();
    for round in 0..3 {
        // more than may be recorded at a time, each of a length of its own so that none are shared
        let mut readers = Vec::new();
        for reader in 0..80 {
            let mut stream = TcpStream::connect(router.ops).await.unwrap();
            let seconds = 100 + round * 30 + reader;
            let head = format!("GET /debug/pprof/profile?seconds={seconds} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            readers.push(stream);
        }
        answered("that no more are taken", async || {
            let answer =
                tokio::time::timeout(Duration::from_millis(300), get(router.ops, "/debug/pprof/profile?seconds=250.5"));
            answer.await.ok().filter(|answer| answer.status == 503 && answer.body.contains("too many recordings"))
        })
        .await;
        drop(readers);
        answered("that there is room again", async || {
            let answer = get(router.ops, "/debug/pprof/profile?seconds=1").await;
            (answer.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn joins_are_told_from_the_rest_by_their_mark() {
    let router = Router::dev_with(&[("server.workers", "1"), ("profiler.hz", "999")]);
    let told = get(router.ops, "/api/profiler").await.json();
    assert_eq!(told["sampler"], "ctimer", "{told}");
    let folded = |tag: &'static str| get(router.ops, tag);
    let seen = answered("a sample of a join and one of a send", async || {
        for n in 0..40 {
            let (mut socket, _) = Socket::join(&router, "r1", &format!("p{n}")).await;
            for _ in 0..5 {
                socket.ask(serde_json::json!({ "send": { "data": "x".repeat(2000) } })).await;
            }
        }
        let joins = folded("/debug/pprof/profile?lookback=1&seconds=600&format=collapsed&tag=op:join").await;
        let sends = folded("/debug/pprof/profile?lookback=1&seconds=600&format=collapsed&tag=op:send").await;
        (joins.body.contains("op:join") && sends.body.contains("op:send")).then_some((joins.body, sends.body))
    })
    .await;
    assert!(seen.0.lines().all(|line| line.contains(";op:join")), "{}", seen.0);
    assert!(seen.1.lines().all(|line| line.contains(";op:send")), "{}", seen.1);
}

#[tokio::test]
async fn the_switch_stops_sampling_and_starts_it_again() {
    // begun without, and then switched on: threads that are there already must get their timers too
    let router = Router::dev_with(&[("profiler.enabled", "false"), ("server.workers", "1"), ("profiler.hz", "999")]);
    let told = async || get(router.ops, "/api/profiler").await.json();
    let put = async |body: &str| crate::harness::ask(router.ops, "PUT /api/profiler", "", body).await;
    assert_eq!(told().await["sampler"], serde_json::Value::Null);
    assert_eq!(put("on").await.status, 200);
    assert_eq!(told().await["sampler"], "ctimer");
    assert_eq!(put("off").await.status, 200);
    assert_eq!(told().await["sampler"], serde_json::Value::Null);
    let refused = get(router.ops, "/debug/pprof/profile?seconds=1").await;
    assert_eq!((refused.status, refused.body.contains("switched off")), (503, true), "{}", refused.body);
    assert_eq!(get(router.ops, "/debug/pprof/").await.status, 200);
    assert_eq!(put("on").await.status, 200);
    assert_eq!(told().await["sampler"], "ctimer");
    // the workers have their timers again: they spend the time that the requests of this loop take
    let kept = told().await["samples"]["kept"].as_u64().unwrap();
    answered("samples of a worker", async || {
        let (mut socket, _) = Socket::join(&router, "r1", "p").await;
        socket.assert_alive().await;
        let told = told().await;
        let folded =
            get(router.ops, "/debug/pprof/profile?lookback=1&seconds=10&format=collapsed&tag=thread:worker-0").await;
        (told["samples"]["kept"].as_u64().unwrap() > kept && folded.body.contains("worker-0;")).then_some(())
    })
    .await;
    assert_eq!(put("perhaps").await.code(), "bad_request");
    let metrics = answered("the sampler in the metrics", async || {
        let metrics = get(router.ops, "/metrics").await.body;
        metrics.contains("signalbox_profiler_running{sampler=\"ctimer\"} 1").then_some(metrics)
    });
    assert!(metrics.await.contains("signalbox_profiler_samples_kept_total"));
}

#[tokio::test]
async fn the_fallback_samples_functions_and_says_so_and_a_refusal_lets_the_router_run() {
    let router = Router::dev_with(&[("profiler.sampler", "itimer"), ("guard.enabled", "false")]);
    let told = get(router.ops, "/api/profiler").await.json();
    assert_eq!(told["sampler"], "itimer", "{told}");
    let index = get(router.ops, "/debug/pprof/").await.body;
    assert!(index.contains("Functions only"), "{index}");
    // what is spent in a recording is in it: of this router's own work, joins that are made meanwhile
    let busy = async {
        loop {
            drop(Socket::join(&router, "r1", "p").await);
        }
    };
    let recorded = async || {
        let answer = get(router.ops, "/debug/pprof/profile?seconds=2").await;
        let profile = signalbox::profiler::pprof::decode(&answer.bytes).unwrap();
        (profile.count() > 0).then_some(())
    };
    tokio::select! {
        () = busy => {}
        () = answered("samples of the fallback", recorded) => {}
    }
    drop(router);
    // it wants a temporary folder, and gets none
    let router = Router::dev_in(&[("profiler.sampler", "itimer")], &[("TMPDIR", "/nonexistent")]);
    let told = get(router.ops, "/api/profiler").await.json();
    assert_eq!(told["sampler"], serde_json::Value::Null, "{told}");
    assert!(told["why_not"].as_str().unwrap().contains("temporary folder"), "{told}");
    let (mut socket, _) = Socket::join(&router, "r1", "p").await;
    socket.assert_alive().await;
}
