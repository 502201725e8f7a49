use axum::body::Bytes;
use http_body_util::BodyExt as _;

use super::*;
use crate::{
    profiler::{
        captures::{
            CaptureId, Latencies, Moment, PartError, Parts, Router, Runtime, Slowness, Span,
            capture::{FORMAT, Piece},
        },
        pprof,
        profile::{OP, THREAD},
        views::fixture::Stacks,
    },
    telemetry::{
        slow::{SlowRow, StagePart},
        views::{Quantiles, Row, Subject},
    },
};

/// 2026-11-25, 21:27:30 UTC, and the moment at which its pages are looked at.
const AT: Duration = Duration::from_secs(1_795_642_050);
const NOW: Duration = Duration::from_secs(1_795_642_050 + 240);
const HOSTILE: &str = "<script>alert(1)</script>";

fn slowness(op: &str, p99_ms: f64) -> Slowness {
    let since_unix_ms = AT.as_millis() as u64 - 20_000;
    Slowness { op: op.to_owned(), region: "eu-west".to_owned(), p99_ms, bound_ms: 25.0, since_unix_ms }
}

fn capture(cause: Cause, parts: Vec<Piece>) -> Capture {
    let window = Span::new(AT - Duration::from_secs(30), AT + Duration::from_secs(30));
    Capture {
        format: FORMAT,
        id: CaptureId::new(AT, &cause, |_| false),
        state: State::Ready,
        cause,
        also: Vec::new(),
        at_unix_ms: AT.as_millis() as u64,
        window,
        quiet: window.quiet(),
        router: Router { id: "router-7".to_owned(), version: "0.1.0".to_owned() },
        parts,
        kept: Kept::Folder,
    }
}

fn stall() -> Cause {
    Cause::Stall { worker: 3, stalled_for_ms: 900, state: StallState::Blocked }
}

/// Joins that decode metadata in quadratic time, and what else a router does.
fn profile(of_joins: u64, length: Duration) -> Vec<u8> {
    let join = "main;tokio::runtime::scheduler::multi_thread::worker::run;signalbox::io::shard::Shard::run;signalbox::router::Router::handle;signalbox::router::join::join";
    let send = "main;tokio::runtime::scheduler::multi_thread::worker::run;signalbox::io::shard::Shard::run;signalbox::router::Router::handle;signalbox::router::directed::send";
    let write = "main;tokio::runtime::scheduler::multi_thread::worker::run;signalbox::io::outbound::Outbound::write_vectored;<tokio::net::tcp::stream::TcpStream as tokio::io::async_write::AsyncWrite>::poll_write_vectored;@/usr/lib/libc.so.6";
    let worker = |name, op| [(THREAD, name), (OP, op)];
    let mut profile = Stacks::default()
        .labelled(&format!("{join};signalbox::room::metadata::Metadata::merge;<alloc::collections::btree::map::BTreeMap<K, V, A> as core::clone::Clone>::clone::clone_subtree"), of_joins, &worker("worker-0", "join"))
        .labelled(join, 400_000_000, &worker("worker-1", "join"))
        .labelled(send, 1_500_000_000, &worker("worker-1", "send"))
        .labelled(write, 2_000_000_000, &worker("worker-0", "unknown"))
        .labelled("main;signalbox::io::metronome::run;signalbox::telemetry::drain", 90_000_000, &[(THREAD, "metronome")])
        .profile();
    profile.length = length;
    pprof::encode(&profile)
}

fn row(subject: Subject, p50_ms: f64, p99_ms: f64) -> Row {
    let (p999_ms, max_ms) = (p99_ms * 1.3, p99_ms * 1.9);
    Row {
        subject,
        quantiles: Quantiles {
            count: 12_345,
            mean_ms: p50_ms,
            p50_ms,
            p90_ms: p50_ms * 2.0,
            p99_ms,
            p999_ms,
            p9999_ms: p999_ms,
            max_ms,
        },
    }
}

fn rows(times: f64) -> Vec<Row> {
    let subject = |kind, op, outcome, stage| {
        let region = if kind == "stage" { "" } else { "eu-west" };
        Subject { kind, op, region: region.to_owned(), outcome, stage }
    };
    vec![
        row(subject("signal", "join", "ok", ""), 3.0 * times, 19.0 * times),
        row(subject("signal", "send", "ok", ""), 0.4, 2.1 + 0.1 * times),
        row(subject("delivery", "send", "", ""), 0.6, 3.2),
        row(subject("stage", "", "", "admit"), 0.2, 1.5 * times * times),
        row(subject("stage", "", "", "handle"), 0.1, 9.0 * times),
        row(subject("stage", "", "", "flush"), 0.3, 1.2),
    ]
}

fn moments(from: Duration, steps: u64, inbox_depth_max: u64) -> Vec<Moment> {
    let moment = |step| Moment {
        unix_ms: from.as_millis() as u64 + step * 10_000,
        sessions: 41_200,
        rooms: 9_876,
        participants: 39_000,
        signals_per_second: [("ok".to_owned(), 8_120.5), ("shed".to_owned(), inbox_depth_max as f64 / 20.0)].into(),
        deliveries_per_second: 61_234.0,
        sheds_per_second: inbox_depth_max as f64 / 20.0,
        worker_busy_mean: 0.31,
        worker_busy_max: 0.35 + inbox_depth_max as f64 / 1_100.0,
        inbox_depth_max,
        resident_bytes: 734_003_200,
        open_fds: 41_300,
        threads: 19,
        ..Moment::default()
    };
    (0..steps).map(moment).collect()
}

fn slow(room: &str, took_ms: f64) -> SlowRow {
    let part = |stage: &str, share: f64| StagePart { stage: stage.to_owned(), took_ms: took_ms * share };
    SlowRow {
        op: "join".to_owned(),
        delivery: false,
        outcome: "ok".to_owned(),
        code: None,
        started: "2026-11-25T21:27:21.123Z".to_owned(),
        took_ms,
        stages: vec![part("decode", 0.01), part("admit", 0.7), part("handle", 0.27), part("flush", 0.02)],
        room: Some(room.to_owned()),
        session: Some("s1".to_owned()),
        peer_ip: Some("2001:db8::7".to_owned()),
        transport: "websocket".to_owned(),
        region: "eu-west".to_owned(),
        variant: "default".to_owned(),
        sdk_version: Some("js/2.4.1".to_owned()),
        scenario: Some("call".to_owned()),
        shard: Some(0),
        inbox_waiting: 512,
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
    }
}

fn parts() -> Parts {
    let quiet = moments(AT - Duration::from_secs(3_600), 340, 2);
    Parts::default()
        .profile(profile(9_000_000_000, Duration::from_secs(60)))
        .quiet(profile(100_000_000, Duration::from_secs(60)))
        .latency(&Latencies::of(&rows(7.5), &rows(1.0)))
        .latency_log("#[StartTime: 0]\n".as_bytes().to_vec())
        .slow(&(0..7).map(|n| slow("standup", 120.0 + f64::from(n))).chain([slow(HOSTILE, 187.0)]).collect::<Vec<_>>())
        .runtime(&Runtime::of(quiet, moments(AT, 6, 640)))
}

/// A capture of these parts, read as the page reads it.
fn pinned(cause: Cause, parts: &Parts) -> Pinned {
    let capture = capture(cause, parts.pieces());
    Pinned::read(capture, |part| parts.get(part).cloned().ok_or(PartError::NoSuchPart))
}

async fn text(response: Response) -> String {
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn page_of(pinned: &Pinned) -> String {
    text(capture_page(pinned, NOW, "http://router-7:9600")).await
}

#[tokio::test]
async fn a_page_says_what_became_slow_how_bad_it_is_and_since_when() {
    let page = page_of(&pinned(Cause::Latency(slowness("join", 143.0)), &parts())).await;
    let sentence = "Signals of join from eu-west became slow: P99 143 ms, 5.7 times the bound of 25.0 ms, since 2026-11-25 21:27:10 UTC (4 min ago).";
    assert!(page.contains(sentence), "{page}");
    assert!(
        page.contains("Window: 2026-11-25 21:27:00 to 21:28:00 UTC") && page.contains("20:26:00 to 21:26:00"),
        "{page}"
    );
}

#[tokio::test]
async fn a_page_answers_what_was_different() {
    let page = page_of(&pinned(Cause::Latency(slowness("join", 143.0)), &parts())).await;
    for told in [
        // in short
        "The stage that grew most is admit, P99 84.4 ms (1.50 in the quiet hour): waiting for the room",
        "The function that grew most is &lt;alloc::collections::btree::map::BTreeMap&lt;K, V, A&gt;",
        "Inputs waiting for the fullest shard: 2 in the quiet hour, 640 in the window.",
        // the tables
        "<td>sheds</td><td class=\"n\">0.100 1/s</td><td class=\"n bad\">32 1/s</td><td class=\"n\">320</td>",
        "<td class=\"n\">2.4 %</td><td class=\"n\">69.3 %</td><td class=\"n bad\">+66.8</td>",
        "12.99 s of CPU time in 60 s, 0.22 cores busy",
        "<td class=\"long\">worker-0</td><td class=\"n\">51.3 %</td><td class=\"n\">84.7 %</td>",
        "<td class=\"long\">join</td><td class=\"n\">12.2 %</td><td class=\"n\">72.4 %</td>",
        "<td>join, eu-west, ok</td><td class=\"n\">12345</td><td class=\"n\">3.00</td><td class=\"n\">22.5</td><td class=\"n\">19.0</td><td class=\"n bad\">142</td>",
        "<td>admit 131</td>",
        "<summary>11 figures hardly changed</summary>",
    ] {
        assert!(page.contains(told), "{told}\n{page}");
    }
    assert!(
        page.contains("3 more are in the JSON") && page.contains("&lt;script&gt;") && !page.contains("<script"),
        "{page}"
    );
}

#[tokio::test]
async fn a_page_links_to_what_there_is_and_gives_commands_to_copy() {
    let id = "20261125T212730Z-join-eu-west";
    let page = page_of(&pinned(Cause::Latency(slowness("join", 143.0)), &parts())).await;
    for what in ["flamegraph", "diff", "profile", "quiet", "latency", "latency.hlog", "slow", "runtime"] {
        assert!(page.contains(&format!("href=\"/debug/captures/{id}/{what}\"")), "{what}\n{page}");
    }
    let url = format!("http://router-7:9600/debug/captures/{id}");
    assert!(page.contains(&format!("go tool pprof -http=: -diff_base {url}/quiet {url}/profile")), "{page}");
    assert!(page.contains(&format!("signalbox profile diff --url http://router-7:9600 quiet:{id} capture:{id}")));
    let page = page_of(&pinned(stall(), &Parts::default())).await;
    assert!(!page.contains("/diff") && !page.contains("go tool") && !page.contains("worker-3/slow"), "{page}");
    assert!(
        page.contains("There is nothing to hold the window against.")
            && page.contains("There are no two profiles to compare."),
        "{page}"
    );
}

#[tokio::test]
async fn a_stall_shows_the_stack_and_whether_it_was_blocked() {
    let stack = ["std::sys::futex::wait".to_owned(), HOSTILE.to_owned()];
    for (state, told) in [
        (StallState::Blocked, "it waited in"),
        (StallState::OnCpu, "it was busy with"),
        (StallState::Unknown, "not told whether"),
    ] {
        let cause = Cause::Stall { worker: 3, stalled_for_ms: 900, state };
        let page = page_of(&pinned(cause, &parts().stall(&stack))).await;
        assert!(
            page.contains("Worker 3 had not come back from a task for 900 ms at 2026-11-25 21:27:30 UTC"),
            "{page}"
        );
        assert!(page.contains("The worker was in std::sys::futex::wait.") && page.contains(told), "{page}");
        assert!(page.contains("<pre>std::sys::futex::wait\n&lt;script&gt;"), "{page}");
    }
}

#[tokio::test]
async fn a_part_that_cannot_be_read_is_told_of_and_the_others_are_shown() {
    let good = parts();
    let capture = capture(stall(), good.pieces());
    let read = |part: Part| match part {
        Part::Profile => Ok(Bytes::from_static(b"no profile")),
        Part::Slow => Ok(Bytes::from_static(b"{\"op\":1}")),
        Part::Latency => Err(PartError::Unreadable("it has 4 bytes; 7 were written".to_owned())),
        part => Ok(good.get(part).cloned().unwrap()),
    };
    let page = page_of(&Pinned::read(capture, read)).await;
    for told in [
        "The profile cannot be shown: ",
        "The slow signals cannot be shown: ",
        "The latencies cannot be shown: the part cannot be read: it has 4 bytes",
    ] {
        assert!(page.contains(told), "{told}\n{page}");
    }
    assert!(page.contains("Inputs waiting for the fullest shard"), "the rest is there");
}

#[tokio::test]
async fn one_that_is_being_recorded_says_when_it_is_ready_and_asks_again() {
    let mut told = pinned(Cause::Operator { note: HOSTILE.to_owned() }, &parts());
    told.capture.state = State::Recording;
    let now = AT + Duration::from_millis(12_300);
    let response = capture_page(&told, now, "");
    assert_eq!(response.headers()[header::REFRESH], "3");
    let page = text(response).await;
    assert!(
        page.contains("ready in 18 s")
            && page.contains("An operator asked for it at 2026-11-25 21:27:30 UTC (12 s ago): “&lt;script"),
        "{page}"
    );
    let ready = capture_page(&pinned(stall(), &parts()), NOW, "");
    assert!(!ready.headers().contains_key(header::REFRESH));
    let json: Value = serde_json::from_str(&text(capture_json(&told.capture, now)).await).unwrap();
    assert_eq!((&json["state"], &json["ready_in_seconds"]), (&"recording".into(), &18.into()));
}

#[tokio::test]
async fn programs_get_the_same_as_json() {
    let told = pinned(Cause::Latency(slowness("join", 143.0)), &parts());
    let json: Value = serde_json::from_str(&text(capture_json(&told.capture, NOW)).await).unwrap();
    assert_eq!((&json["id"], &json["state"]), (&"20261125T212730Z-join-eu-west".into(), &"ready".into()));
    assert_eq!((&json["ready_in_seconds"], &json["kept"]), (&0.into(), &"folder".into()));
    let cause = json!({ "kind": "latency", "op": "join", "region": "eu-west", "p99_ms": 143.0, "bound_ms": 25.0, "since_unix_ms": AT.as_millis() as u64 - 20_000 });
    assert_eq!(json["cause"], cause);
    let first = &json["parts"][0];
    assert_eq!(
        (&first["part"], &first["path"]),
        (&"profile".into(), &"/debug/captures/20261125T212730Z-join-eu-west/profile".into())
    );
    let captures = [told.capture];
    let all = captures_list(All { captures: &captures, place: None, now: NOW }, Shape::Json);
    assert_eq!(serde_json::from_str::<Value>(&text(all).await).unwrap(), json!([json]));
}

#[tokio::test]
async fn the_list_says_what_there_is_and_where_it_is_kept() {
    let all = |captures: &[Capture], place: Option<&'static str>| {
        text(captures_list(All { captures, place: place.map(Path::new), now: NOW }, Shape::Html))
    };
    let empty = all(&[], None).await;
    assert!(
        empty.contains("No capture yet.") && empty.contains("server.data_dir") && empty.contains("in memory"),
        "{empty}"
    );
    let mut recording = capture(stall(), Vec::new());
    recording.state = State::Recording;
    let in_memory = Capture {
        kept: Kept::Memory("the disk is full".to_owned()),
        also: vec![slowness("send", 90.0)],
        ..pinned(Cause::Latency(slowness("join", 143.0)), &parts()).capture
    };
    let page = all(&[recording, in_memory], Some("/var/lib/signalbox/captures")).await;
    assert!(page.contains("<code>/var/lib/signalbox/captures</code>, also over a restart"), "{page}");
    assert!(page.contains("title=\"the disk is full\"") && page.contains("And 1 more."), "{page}");
    assert!(
        page.contains("href=\"/debug/captures/20261125T212730Z-stall-worker-3\"") && page.contains("ready in 0 s"),
        "{page}"
    );
    assert!(page.contains("20261125T212730Z-join-eu-west/diff"), "{page}");
}

#[test]
fn figures_are_in_units_that_people_read() {
    assert_eq!(
        [(0.0, ""), (640.0, ""), (8_120.5, "1/s"), (31.0, "%"), (734_003_200.0, "bytes"), (0.034, "1/s")]
            .map(|(value, unit)| wording::amount(value, unit)),
        ["0", "640", "8120 1/s", "31 %", "700.0 MiB", "0.034 1/s"]
    );
    assert_eq!([0, 1_023, 1_536, 5_242_880].map(size), ["0 B", "1023 B", "1.5 KiB", "5.0 MiB"]);
    assert_eq!(
        [0, 59, 60, 7_200, 172_800].map(|s| ago(AT, AT + Duration::from_secs(s))),
        ["0 s ago", "59 s ago", "1 min ago", "2 h ago", "2 days ago"]
    );
    assert_eq!(ago(NOW, AT), "0 s ago");
}
