use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clap::Parser;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::profiler::views::fixture::Stacks;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, clap::Error> {
    Line::try_parse_from(["profile"].into_iter().chain(line.split_ascii_whitespace())).map(|line| line.args)
}

async fn run(url: &str, line: &str) -> Result<String> {
    answer(&parse(&format!("{line} --url {url}"))?).await
}

/// A router's ops port that answers as the real one does, from planted profiles.
#[derive(Default)]
struct Double {
    /// Path and query of each request, and the body.
    asked: Mutex<Vec<String>>,
    looks: AtomicUsize,
    /// No quiet hour before.
    young: bool,
    empty: bool,
}

impl Double {
    async fn serve(self) -> (String, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let double = Arc::new(self);
        let routes = Router::new()
            .route("/debug/pprof/profile", get(profile))
            .route("/debug/pprof/diff", get(diff))
            .route("/debug/captures", post(capture))
            .route("/debug/captures/{id}", get(captured))
            .route("/debug/captures/{id}/{part}", get(pinned))
            .with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (url, double)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn quiet() -> Profile {
    let worker = [("thread", "worker-0"), ("op", "join")];
    Stacks::default().labelled("main:1;run:5;join:9", 1_000_000_000, &worker).profile()
}

fn busy() -> Profile {
    Stacks::default()
        .labelled("main:1;run:5;join:9", 1_000_000_000, &[("thread", "worker-0"), ("op", "join")])
        .labelled("main:1;run:6;planted:77", 2_500_000_000, &[("thread", "worker-1"), ("op", "send")])
        .labelled("main:1", 500_000_000, &[("thread", "worker-1"), ("op", "unknown")])
        .profile()
}

fn refused(status: StatusCode, text: &str) -> Response {
    (status, [("x-go-pprof", "1")], text.to_owned()).into_response()
}

async fn profile(State(double): State<Arc<Double>>, uri: Uri) -> Response {
    double.asked.lock().unwrap().push(uri.to_string());
    let query = uri.query().unwrap_or_default();
    if query.contains("tag=op%3Asleep") {
        return refused(StatusCode::BAD_REQUEST, "tag is \"op:sleep\"; allowed: op:join, op:send\n");
    }
    match query {
        _ if double.empty => pprof::encode(&Stacks::default().profile()).into_response(),
        query if query.contains("format=svg") => "<?xml version=\"1.0\"?><svg/>".into_response(),
        query if query.contains("format=speedscope") => "{}".into_response(),
        query if query.contains("format=collapsed") => "worker-0;main 5\n".into_response(),
        _ => pprof::encode(&busy()).into_response(),
    }
}

async fn diff(State(double): State<Arc<Double>>, uri: Uri) -> Response {
    double.asked.lock().unwrap().push(uri.to_string());
    match uri.query() {
        Some(query) if query.contains("2h") => refused(StatusCode::BAD_REQUEST, "base is \"2h\"; allowed: an hour\n"),
        Some(query) if query.contains("format=svg") => "<svg/>".into_response(),
        _ => Json(changed::Changed::of(&quiet(), &busy()).as_json(100)).into_response(),
    }
}

async fn capture(State(double): State<Arc<Double>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    double.asked.lock().unwrap().push(body.to_string());
    if headers.get("authorization").is_some_and(|given| given != "Bearer 0123456789abcdef") {
        let error =
            json!({ "error": { "code": "unauthenticated", "message": "needs the bearer token of ops.token_file" } });
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    }
    (StatusCode::ACCEPTED, Json(json!({ "id": "20251125-1", "ready_in_seconds": 0 }))).into_response()
}

/// Ready at the second look.
async fn captured(State(double): State<Arc<Double>>, Path(id): Path<String>) -> Json<Value> {
    let looks = double.looks.fetch_add(1, Ordering::Relaxed);
    Json(json!({ "id": id, "state": if looks == 0 { "recording" } else { "ready" } }))
}

async fn pinned(State(double): State<Arc<Double>>, Path((_, part)): Path<(String, String)>) -> Response {
    match part.as_str() {
        "profile" => pprof::encode(&busy()).into_response(),
        "quiet" if !double.young => pprof::encode(&quiet()).into_response(),
        _ => refused(StatusCode::NOT_FOUND, "the router ran for two minutes: there is no quiet hour\n"),
    }
}

#[tokio::test]
async fn top_shows_shares_of_functions_threads_and_ops() {
    let (url, double) = Double::default().serve().await;
    let shown = run(&url, "top --seconds 3 --tag op:join").await.unwrap();
    let head = format!("{url}: 10.0 s, only op:join\n3 samples, 4.00 s of CPU time, 0.40 cores, 12.5 % unknown\n");
    assert!(shown.starts_with(&head), "{shown}");
    assert!(shown.contains("threads  worker-1 75.0 %, worker-0 25.0 %"), "{shown}");
    assert!(shown.contains("ops      send 62.5 %, join 25.0 %, unknown 12.5 %"), "{shown}");
    let rows: Vec<Vec<&str>> = shown.lines().skip(6).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["62.5", "%", "62.5", "%", "planted"]);
    assert!(rows.contains(&vec!["0.0", "%", "87.5", "%", "run"]), "{rows:?}");
    assert_eq!(double.asked(), ["/debug/pprof/profile?seconds=3&format=pprof&tag=op%3Ajoin"]);
    let lines = run(&url, "top --by line --lines 1").await.unwrap();
    assert!(lines.contains("src/planted.rs:77") && !lines.contains("join\n"), "{lines}");
}

#[tokio::test]
async fn top_fits_into_a_terminal_and_is_json_for_programs() {
    let (url, _) = Double::default().serve().await;
    let args = parse(&format!("top --by line --url {url}")).unwrap();
    let (Command::Top(top), client) = (&args.command, args.access.client().unwrap()) else { panic!("{args:?}") };
    let round = top::Round::fetch(top, &client).await.unwrap();
    for (columns, lines) in [(80, 24), (40, 9), (10, 3)] {
        let shown = round.on_terminal((columns, lines));
        assert!(shown.lines().all(|line| line.chars().count() <= columns), "{columns}:\n{shown}");
        assert!(shown.lines().count() < lines.max(7), "{lines}:\n{shown}");
    }
    let told = round.as_json();
    assert_eq!(
        (&told["samples"], &told["cpu_seconds"], &told["unknown_share"]),
        (&json!(3), &json!(4.0), &json!(0.125))
    );
    assert_eq!(told["rows"][0]["name"], "planted");
    assert_eq!(told["threads"][0], json!({ "name": "worker-1", "share": 0.75 }));
}

#[tokio::test]
async fn an_idle_router_has_no_rows_and_says_so() {
    let (url, _) = Double { empty: true, ..Double::default() }.serve().await;
    let shown = run(&url, "top").await.unwrap();
    assert!(shown.contains("no samples in this window") && shown.contains("threads  none"), "{shown}");
}

#[tokio::test]
async fn what_is_fetched_is_written_and_how_to_open_it_is_said() {
    let (url, double) = Double::default().serve().await;
    let folder = tempfile::tempdir().unwrap();
    for (format, opened) in
        [("pprof", "go tool pprof"), ("svg", "browser"), ("collapsed", "grep"), ("speedscope", "speedscope.app")]
    {
        let file = folder.path().join(format);
        let line = format!("fetch --seconds 600 --lookback --format {format} --output {}", file.display());
        let said = run(&url, &line).await.unwrap();
        assert!(said.contains(opened) && said.starts_with(file.to_str().unwrap()), "{said}");
        let asked = format!("/debug/pprof/profile?seconds=600&format={format}&lookback=1");
        assert_eq!(double.asked().last(), Some(&asked));
        assert!(std::fs::metadata(&file).unwrap().len() > 0);
    }
    let read = decoded(&std::fs::read(folder.path().join("pprof")).unwrap(), "file").unwrap();
    assert_eq!(read, busy());
    let nowhere = run(&url, "fetch --output /nonexistent/x.pb.gz").await.unwrap_err();
    assert!(format!("{nowhere:#}").contains("cannot write /nonexistent/x.pb.gz"), "{nowhere:#}");
}

#[tokio::test]
async fn an_answer_that_is_no_profile_leaves_no_file() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(async || "it works!")).await });
    let folder = tempfile::tempdir().unwrap();
    for format in ["pprof", "svg", "speedscope"] {
        let file = folder.path().join(format);
        let said = run(&url, &format!("fetch --format {format} --output {}", file.display())).await.unwrap_err();
        assert!(format!("{said:#}").contains(&url) && !file.exists(), "{said:#}");
    }
}

#[tokio::test]
async fn windows_are_compared_by_the_router() {
    let (url, double) = Double::default().serve().await;
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("d.svg");
    let said = run(&url, &format!("diff 1h..10m 5m --tag op:join --svg {}", svg.display())).await.unwrap();
    assert!(said.starts_with("base    1h..10m: 1 sample in 10 s\ntarget  5m: 3 samples in 10 s\n"), "{said}");
    let rows: Vec<Vec<&str>> = said.lines().skip(4).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["+62.5", "0.0", "%", "62.5", "%", "planted"]);
    assert_eq!(rows[1][..1], ["-75.0"], "after what grew, what shrank, the most first: {said}");
    assert_eq!(std::fs::read_to_string(svg).unwrap(), "<svg/>");
    let asked = double.asked();
    assert_eq!(asked[0], "/debug/pprof/diff?base=1h..10m&target=5m&format=json&tag=op%3Ajoin");
    assert!(asked[1].contains("format=svg"), "{asked:?}");
}

#[tokio::test]
async fn files_are_compared_without_any_router() {
    let folder = tempfile::tempdir().unwrap();
    let [before, after, svg] = ["before.pb.gz", "after.pb.gz", "d.svg"].map(|name| folder.path().join(name));
    std::fs::write(&before, pprof::encode(&quiet())).unwrap();
    std::fs::write(&after, pprof::encode(&busy())).unwrap();
    let (before, after) = (before.display(), after.display());
    let nobody = "http://127.0.0.1:1";
    let json = run(nobody, &format!("diff {before} {after} --json --svg {}", svg.display())).await.unwrap();
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&told["changes"][0]["name"], &told["target"]["samples"]), (&json!("planted"), &json!(3)));
    assert!(std::fs::read_to_string(&svg).unwrap().contains("red grew, blue shrank"));
    let same = run(nobody, &format!("diff {after} {after}")).await.unwrap();
    assert!(same.ends_with("no function's share changed by a tenth of a point"), "{same}");
    let sends = run(nobody, &format!("diff {before} {after} --tag op:send")).await.unwrap();
    assert!(sends.ends_with("nothing to compare") && sends.contains("no samples in /"), "{sends}");
}

#[tokio::test]
async fn a_file_is_compared_with_what_the_router_can_give_whole() {
    let (url, double) = Double::default().serve().await;
    let folder = tempfile::tempdir().unwrap();
    let before = folder.path().join("before.pb.gz");
    std::fs::write(&before, pprof::encode(&quiet())).unwrap();
    let before = before.display();
    for window in ["5m", "capture:20251125-1"] {
        let said = run(&url, &format!("diff {before} {window}")).await.unwrap();
        assert!(said.contains("planted") && said.contains(window), "{said}");
    }
    assert_eq!(double.asked(), ["/debug/pprof/profile?seconds=300&format=pprof&lookback=1"]);
    let said = run(&url, &format!("diff {before} 1h..10m")).await.unwrap_err().to_string();
    assert!(said.contains("1h..10m cannot be compared with a file"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_compared_is_named() {
    let (url, _) = Double::default().serve().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "not a profile").unwrap();
    let said = async |line: &str| format!("{:#}", run(&url, line).await.unwrap_err());
    let text = said(&format!("diff {} 5m", file.display())).await;
    assert!(text.contains("notes.txt holds no profile that can be read: not a profile of pprof's format"), "{text}");
    assert!(said("diff gone.pb.gz 5m").await.starts_with("cannot read gone.pb.gz"));
    assert!(said("diff 2h 5m").await.ends_with("/debug/pprof/diff answered 400: base is \"2h\"; allowed: an hour"));
}

#[tokio::test]
async fn a_capture_is_awaited_and_says_what_was_different() {
    let (url, double) = Double::default().serve().await;
    let args = parse(&format!("capture --note slow --url {url}")).unwrap();
    let said = answer(&args).await.unwrap();
    assert!(said.starts_with(&format!("{url}/debug/captures/20251125-1\n\nbase    quiet:20251125-1")), "{said}");
    assert!(said.contains("planted"), "{said}");
    assert_eq!(double.asked(), [r#"{"note":"slow"}"#]);
    assert_eq!(double.looks.load(Ordering::Relaxed), 2);
    let (url, _) = Double { young: true, ..Double::default() }.serve().await;
    let said = run(&url, "capture").await.unwrap();
    assert!(
        said.ends_with("nothing to compare with: the router ran for two minutes: there is no quiet hour"),
        "{said}"
    );
}

#[tokio::test]
async fn errors_are_words_of_the_router_or_say_what_to_do() {
    let (url, _) = Double::default().serve().await;
    let said = async |url: &str, line: &str| format!("{:#}", run(url, line).await.unwrap_err());
    let refused = said(&url, "top --tag op:sleep").await;
    assert!(refused.ends_with("answered 400: tag is \"op:sleep\"; allowed: op:join, op:send"), "{refused}");
    let nobody = said("http://127.0.0.1:1", "capture").await;
    assert!(nobody.starts_with("cannot reach http://127.0.0.1:1: Connection refused"), "{nobody}");
    assert!(said("ops", "top").await.contains("--url: ops: not a URL"));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "another-token-entirely\n").unwrap();
    let closed = said(&url, &format!("capture --token-file {}", token.display())).await;
    assert!(closed.contains("refuses (401): needs the bearer token of ops.token_file"), "{closed}");
    assert!(!closed.contains("another-token"), "{closed}");
    std::fs::write(&token, "0123456789abcdef\n").unwrap();
    assert!(run(&url, &format!("capture --token-file {}", token.display())).await.is_ok());
    assert!(said(&url, "top --token-file /nonexistent").await.contains("--token-file: cannot read /nonexistent"));
}

#[test]
fn a_line_that_cannot_be_carried_out_says_why() {
    for (line, wanted) in [
        ("top --seconds 0", "1..=300"),
        ("top --tag join", "op:NAME or thread:NAME"),
        ("top --tag room:r1", "op:NAME or thread:NAME"),
        ("top --by file", "function, line"),
        ("fetch --seconds 9999", "1..=3600"),
        ("fetch --format pdf", "collapsed"),
        ("diff 5m", "<B>"),
        ("", "Usage"),
    ] {
        let said = parse(line).unwrap_err().to_string();
        assert!(said.contains(wanted), "{line}: {said}");
    }
}

#[test]
fn an_id_is_what_may_stand_in_a_path() {
    assert!(capture::is_id("20251125T101500-p99") && capture::is_id("a_1"));
    let long = "x".repeat(65);
    for id in ["", "../x", "a/b", "a b", "é", "a?b", long.as_str()] {
        assert!(!capture::is_id(id), "{id}");
    }
}
