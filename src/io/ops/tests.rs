use std::{
    io::{Read, Write},
    net::{IpAddr, TcpStream},
    sync::mpsc::channel,
    time::Instant,
};

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::{
    event::DrainPhase,
    gray,
    io::{
        listener::{LimitSettings, Limits, ProxyProtocol, TlsSettings},
        shard::{ShardSettings, Surroundings},
    },
    profiler::{self, captures},
    telemetry::{Population, Settings},
};

mod config;
mod fault;
mod fleet;
mod nodes;
mod refusals;
mod rules;
mod variants;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "0123456789abcdef";

pub(in crate::io) fn telemetry() -> Arc<Telemetry> {
    Arc::new(Telemetry::new(Settings {
        version: "1.2.3".to_owned(),
        instance_id: "r1".to_owned(),
        shards: 1,
        inbox_bound: 1024,
        region: "sh".to_owned(),
        regions: Vec::new(),
        measures: true,
        traces_waiting_max: 0,
        head_rate: 0.0,
        config_hash: 0,
        started: Instant::now(),
        started_unix: Duration::from_secs(1_800_000_000),
    }))
}

pub(super) fn settings() -> OpsSettings {
    let limits = LimitSettings { connections_max: 64, connections_per_address_max: 64, handshakes_max: 64 };
    OpsSettings {
        listener: ListenerSettings {
            name: "ops",
            addresses: vec!["127.0.0.1:0".parse().unwrap()],
            tls: None,
            tls_poll: Duration::from_secs(60),
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: Vec::new(),
            handshake_timeout: PATIENCE,
            limits: Limits::new(limits),
            observe: Arc::new(|_| ()),
        },
        token_file: None,
        header_timeout: PATIENCE,
    }
}

/// What is shown, with a profiler that is off: the real one is the process' and has tests over the real binary.
pub(super) fn shown(telemetry: Arc<Telemetry>, state: Arc<State>) -> Shown {
    let settings = profiler::Settings {
        enabled: false,
        sampler: None,
        hz: 99,
        fallback_hz: 19,
        bytes: 1 << 20,
        heap: false,
        names_outside: false,
    };
    let router = captures::Router { id: "r1".to_owned(), version: "1.2.3".to_owned() };
    let bounds = captures::Bounds { captures: 4, bytes: 1 << 20 };
    let settings_of_captures =
        captures::CaptureSettings { router, folder: None, bounds, pace: captures::PaceSettings::default() };
    let (captures, _) = Captures::open(settings_of_captures);
    Shown {
        telemetry,
        state,
        profiler: Profiler::start(settings),
        captures: Arc::new(captures),
        faults: Some(faults()),
        shards: without_shards(),
        config: Arc::new(Nothing),
        fleet: Fleet::default(),
    }
}

fn without_shards() -> Shards {
    let around = Surroundings {
        telemetry: telemetry(),
        faults: None,
        media: None,
        finder: crate::io::finder::RoomFinder::default(),
    };
    Shards::start(Vec::new(), ShardSettings::patient(PATIENCE), &around)
}

/// Runs with nothing, and would take up whatever is not `bad`.
#[derive(Debug)]
struct Nothing;

impl Configuration for Nothing {
    fn shown(&self) -> ShownConfig {
        ShownConfig { generation: 7, ..ShownConfig::default() }
    }

    fn variants(&self) -> gray::Rules {
        let test = gray::Test::Share { percent: gray::Percent::new(5.0).unwrap(), previous: None };
        let rule = gray::Rule { name: "canary-share".into(), variant: "canary".into(), test };
        gray::Rules::new(["canary".into()], vec![rule])
    }

    fn proposed(&self, text: &str) -> Proposed {
        let verdict = if text == "bad" { ProposedVerdict::Mistaken } else { ProposedVerdict::Applicable };
        Proposed { verdict, mistakes: Vec::new(), changes: Vec::new(), applied: [], text: format!("about {text}\n") }
    }

    fn proposed_rules(&self, text: Option<&str>) -> Proposed {
        self.proposed(text.unwrap_or_default())
    }
}

fn faults() -> Faults {
    Faults::new(Duration::ZERO, Arc::new(|_| ()))
}

fn start(settings: OpsSettings) -> (OpsHandle, Arc<State>) {
    let state = Arc::new(State::new(Instant::now()));
    (Ops::start(settings, shown(telemetry(), state.clone())).unwrap(), state)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Status and body of a request over a connection of its own.
fn get_over(mut stream: impl Read + Write, path: &str) -> (u16, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn get(ops: &OpsHandle, path: &str) -> (u16, String) {
    get_over(connect(ops.local_addr()), path)
}

/// The routes behind a guard for that address, without a socket.
fn routes(address: &str, token_file: Option<&std::path::Path>) -> axum::Router {
    routes_of(telemetry(), address, token_file)
}

/// The same, over that telemetry.
pub(super) fn routes_of(
    telemetry: Arc<Telemetry>,
    address: &str,
    token_file: Option<&std::path::Path>,
) -> axum::Router {
    let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 9600);
    let state = Arc::new(State::new(Instant::now()));
    routes::router(Shared::new(shown(telemetry, state)), Guard::new(&[address], token_file).unwrap())
}

pub(super) async fn ask(
    routes: &axum::Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let challenged = response.headers().contains_key(header::WWW_AUTHENTICATE);
    assert_eq!(challenged, response.status() == StatusCode::UNAUTHORIZED);
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn it_answers_while_the_only_worker_is_blocked() {
    let workers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (release, released) = channel::<()>();
    let (blocked, is_blocked) = channel();
    workers.spawn(async move {
        blocked.send(()).unwrap();
        released.recv().ok();
    });
    is_blocked.recv_timeout(PATIENCE).unwrap();
    let (ops, state) = start(settings());
    state.latch(Latch::Listener);
    state.latch(Latch::Keys);
    assert_eq!(get(&ops, "/health/live").0, 200);
    assert_eq!(get(&ops, "/health/ready").0, 200);
    let (status, metrics) = get(&ops, "/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("signalbox_build_info{version=\"1.2.3\"} 1\n"));
    assert!(metrics.contains("\nprocess_cpu_seconds_total "));
    drop(release);
    ops.stop();
}

#[test]
fn ready_says_what_is_missing_and_turns_on_drain_while_live_stays() {
    let (ops, state) = start(settings());
    let report = |status: u16| {
        let (got, body) = get(&ops, "/health/ready");
        assert_eq!(got, status, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    assert_eq!(report(503)["latches"]["keys"], false);
    state.latch(Latch::Keys);
    assert_eq!(report(503)["latches"]["keys"], true);
    state.latch(Latch::Listener);
    assert_eq!(report(200)["phase"], "serving");
    for (phase, name) in
        [(DrainPhase::Advising, "advising"), (DrainPhase::Closing, "closing"), (DrainPhase::Drained, "drained")]
    {
        state.set_phase(phase);
        assert_eq!(report(503)["phase"], name);
        assert_eq!(get(&ops, "/health/live").0, 200);
    }
    ops.stop();
}

#[test]
fn a_taken_address_is_named_and_leaves_nothing_running() {
    let (ops, _) = start(settings());
    let mut second = settings();
    second.listener.addresses = vec![ops.local_addr()];
    let state = Arc::new(State::new(Instant::now()));
    let error = Ops::start(second, shown(telemetry(), state.clone())).unwrap_err().to_string();
    assert!(error.contains(&ops.local_addr().to_string()) && error.contains("ops"), "{error}");
    assert_eq!(Arc::strong_count(&state), 1);
    ops.stop();
}

#[test]
fn once_stopped_the_port_is_free_and_open_connections_are_closed() {
    let (ops, _) = start(settings());
    let address = ops.local_addr();
    let mut idle = connect(address);
    assert_eq!(get(&ops, "/health/live").0, 200);
    ops.stop();
    assert!(TcpStream::connect(address).is_err());
    assert!(matches!(idle.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn a_connection_that_does_not_finish_its_headers_is_closed() {
    let mut short = settings();
    short.header_timeout = Duration::from_millis(50);
    let (ops, _) = start(short);
    for begun in ["", "GET /health/live HTTP/1.1\r\nHost: x\r\n"] {
        let mut slow = connect(ops.local_addr());
        slow.write_all(begun.as_bytes()).unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).unwrap();
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    ops.stop();
}

/// An ops port under TLS, and what a client needs to trust it.
fn start_tls(folder: &std::path::Path) -> (OpsHandle, rustls::ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = TlsSettings { certificates: folder.join("cert.pem"), key: folder.join("key.pem"), client_ca: None };
    std::fs::write(&tls.certificates, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let mut secure = settings();
    secure.listener.tls = Some(tls);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (start(secure).0, config)
}

#[test]
fn it_speaks_tls_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let (ops, config) = start_tls(folder.path());
    let session = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let stream = rustls::StreamOwned::new(session, connect(ops.local_addr()));
    assert_eq!(get_over(stream, "/health/live").0, 200);
    ops.stop();
}

#[tokio::test]
async fn under_tls_it_speaks_http2_to_who_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (ops, mut config) = start_tls(folder.path());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tcp = tokio::net::TcpStream::connect(ops.local_addr()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/metrics").body(Body::empty()).unwrap();
    let response = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    tokio::task::spawn_blocking(|| ops.stop()).await.unwrap();
    timeout(PATIENCE, connection).await.unwrap().unwrap().ok();
}

#[test]
fn a_router_that_is_dropped_takes_its_port_with_it() {
    let (ops, state) = start(settings());
    drop(ops);
    let began = Instant::now();
    while Arc::strong_count(&state) > 1 {
        assert!(began.elapsed() < PATIENCE, "the ops thread did not end");
        thread::yield_now();
    }
}

#[tokio::test]
async fn on_loopback_status_is_free_and_tells_who_is_there() {
    let telemetry = telemetry();
    telemetry.set_population(Population { sessions: 3, rooms: 1, participants: 2 });
    let state = Arc::new(State::new(Instant::now()));
    let guard = Guard::new(&["127.0.0.1:9600".parse().unwrap()], None).unwrap();
    let routes = routes::router(Shared::new(shown(telemetry, state)), guard);
    let (status, body) = ask(&routes, Method::GET, "/api/status", &[]).await;
    assert_eq!(status, StatusCode::OK);
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&report["sessions"], &report["rooms"], &report["participants"]), (&3.into(), &1.into(), &2.into()));
    assert_eq!((&report["phase"], &report["latches"]["listener"]), (&"serving".into(), &false.into()));
    assert!(report["uptime_seconds"].is_u64());
}

#[tokio::test]
async fn beyond_loopback_debug_and_api_need_the_token_and_nothing_else_does() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    for address in ["0.0.0.0", "10.0.0.1", "::"] {
        let routes = routes(address, Some(file.path()));
        let right = ("authorization", &*format!("Bearer {TOKEN}"));
        assert_eq!(ask(&routes, Method::GET, "/api/status", &[right]).await.0, StatusCode::OK);
        assert_eq!(ask(&routes, Method::GET, "/debug/none", &[right]).await.0, StatusCode::NOT_FOUND);
        for wrong in ["Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "Bearer ", "Basic 0123456789abcdef", TOKEN] {
            for path in ["/api/status", "/api", "/debug/pprof", "/api/none"] {
                let (status, body) = ask(&routes, Method::GET, path, &[("authorization", wrong)]).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {wrong}");
                assert!(body.contains("needs the bearer token") && !body.contains(TOKEN), "{body}");
            }
        }
        assert_eq!(ask(&routes, Method::HEAD, "/api/status", &[]).await.0, StatusCode::UNAUTHORIZED);
        for path in ["/", "/health/live", "/metrics"] {
            assert_eq!(ask(&routes, Method::GET, path, &[]).await.0, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn beyond_loopback_without_a_token_file_they_stay_shut() {
    let routes = routes("0.0.0.0", None);
    let (status, body) = ask(&routes, Method::GET, "/api/status", &[("authorization", "Bearer ")]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("ops.token_file"), "{body}");
    assert_eq!(ask(&routes, Method::GET, "/health/live", &[]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn another_spelling_of_a_guarded_path_leads_nowhere() {
    let routes = routes("0.0.0.0", None);
    for path in ["//api/status", "/%61pi/status", "/API/status", "/health/../api/status", "/metrics/api/status"] {
        assert_eq!(ask(&routes, Method::GET, path, &[]).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_web_page_may_read_and_change_nothing() {
    let routes = routes("127.0.0.1", None);
    let origin = [("origin", "https://example.com")];
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        for path in ["/api/status", "/health/live", "/none"] {
            let (status, body) = ask(&routes, method.clone(), path, &origin).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
            assert!(body.contains("origin_refused"), "{body}");
        }
        assert_eq!(ask(&routes, method, "/health/live", &[]).await.0, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(ask(&routes, Method::GET, "/health/live", &origin).await.0, StatusCode::OK);
    assert_eq!(ask(&routes, Method::HEAD, "/health/live", &origin).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_log_level_that_is_none_is_refused_with_what_is_allowed_and_changes_nothing() {
    let routes = routes("127.0.0.1", None);
    let _writing = crate::telemetry::logs::init(crate::telemetry::logs::Format::Json, "off", None).unwrap();
    let level = async || ask(&routes, Method::GET, "/api/log/level", &[]).await;
    let before = level().await;
    assert_eq!(before.0, StatusCode::OK);
    for bad in [b"loud".to_vec(), Vec::new(), b"info,loud".to_vec(), vec![0xff], vec![b'x'; 2_000], vec![b'x'; 70_000]]
    {
        let request = Request::put("/api/log/level").body(Body::from(bad.clone())).unwrap();
        let response = routes.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let message = body["error"]["message"].as_str().unwrap();
        let allowed = ["one of off, error, warn, info", "longer than 1024", "not text", "too long"];
        assert!(allowed.iter().any(|part| message.contains(part)), "{message}");
    }
    assert_eq!(level().await, before);
    assert_eq!(ask(&routes, Method::DELETE, "/api/log/level", &[]).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_index_lists_what_is_there_and_the_rest_is_not_found() {
    let routes = routes("127.0.0.1", None);
    let (_, index) = ask(&routes, Method::GET, "/", &[]).await;
    let listed: Vec<_> =
        index.lines().filter_map(|line| line.split(' ').next()).filter(|p| p.starts_with('/')).collect();
    let pages = ["/health/live", "/health/ready", "/metrics", "/api/status", "/api/log/level"];
    let debug = ["/debug/latency", "/debug/latency.hlog", "/debug/slow", "/debug/pprof/", "/debug/captures/"];
    let config = [
        "/api/config",
        "/api/config/check",
        "/api/variants",
        "/api/nodes",
        "/api/fleet",
        "/api/fleet/rules",
        "/api/placement",
    ];
    assert_eq!(listed, [&pages[..], &config, &debug, &["/api/profiler", "/api/fault"]].concat());
    for path in listed {
        assert_ne!(ask(&routes, Method::GET, path, &[]).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(ask(&routes, Method::GET, "/debug/none", &[]).await.0, StatusCode::NOT_FOUND);
}
