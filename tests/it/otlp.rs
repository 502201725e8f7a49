//! Traces and logs on their way out of the real binary: to a collector of the tests' own, and to a real one.

mod thousand;

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Router, Socket, Token, eventually, get, tool};

#[allow(dead_code)] // the tests beside the code use the rest of it
#[path = "../../src/io/otlp/tests/sink.rs"]
pub(crate) mod sink;

use sink::{Answer, Sink, attribute, hex};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const SESSION_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// For a process to end, on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// A router that exports there; nothing is traced for no reason.
fn router(endpoint: &str, more: &[(&str, &str)]) -> Router {
    let settings =
        [("telemetry.otlp.endpoint", endpoint), ("telemetry.otlp.head_per_million", "0"), ("drain.seconds", "0")];
    Router::dev_with(&[&settings, more].concat())
}

async fn counted(router: &Router, series: &str) -> u64 {
    let text = get(router.ops, "/metrics").await.body;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

/// Ends the router, and says how long that took.
async fn end(router: &mut Router) -> Duration {
    let since = Instant::now();
    router.terminate();
    let status = router.ended().await;
    assert!(status.success(), "{status}");
    since.elapsed()
}

/// A failed signal, which is worth a trace.
async fn fail(socket: &mut Socket) {
    let reply = socket.ask(json!({ "publish": {} })).await;
    assert!(reply["error"].is_object(), "{reply}");
}

#[tokio::test]
async fn a_sampled_traceparent_leads_to_the_signals_span_and_that_to_its_session() {
    let sink = Sink::start();
    let mut router = router(&sink.endpoint(), &[("server.id", "router-7")]);
    let token = Token::new("r1", "ann").sign();
    let (mut ann, headers) = Socket::connect_with(&router, &token, &[("x-trace-id", SESSION_TRACE)]).await;
    assert_eq!(headers["x-trace-id"], SESSION_TRACE);
    let client = json!({ "sdk": "web", "version": "6.12.0" });
    let join = json!({ "room": "r1", "client": client, "scenario": "video_call" });
    let joined = ann.ask(json!({ "join": join, "traceparent": format!("00-{TRACE}-{PARENT}-01") })).await;
    assert!(joined["joined"].is_object(), "{joined}");
    // neither not sampled nor malformed or hostile ones are traced
    ann.ask(json!({ "ping": {}, "traceparent": format!("00-{TRACE}-{PARENT}-00") })).await;
    for hostile in ["x", "00-0-0-01", &"9".repeat(250), "00-\u{0}\n-é-01"] {
        let pong = ann.ask(json!({ "ping": {}, "traceparent": hostile })).await;
        assert!(pong["pong"].is_object(), "{pong}");
    }
    assert_eq!(counted(&router, "signalbox_traceparents_invalid_total").await, 4);
    end(&mut router).await;
    let [root] = &sink.roots()[..] else { panic!("{:?}", sink.roots()) };
    assert_eq!((root.name.as_str(), root.kind()), ("signal join", SpanKind::Server));
    assert_eq!((hex(&root.trace_id), hex(&root.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!(hex(&root.links[0].trace_id), SESSION_TRACE);
    for (name, value) in [
        ("signalbox.kept", "sampled"),
        ("signalbox.room.id", "r1"),
        ("signalbox.region", "default"),
        ("signalbox.sdk_version", "web/6.12.0"),
        ("signalbox.scenario", "video_call"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.name", "websocket"),
        ("session.id", joined["joined"]["session"].as_str().unwrap()),
    ] {
        assert_eq!(attribute(&root.attributes, name).as_deref(), Some(value), "{name}");
    }
    let (resources, _) = sink.resources();
    assert_eq!(attribute(&resources[0].attributes, "service.instance.id").as_deref(), Some("router-7"));
    assert_is_recent(root);
}

/// The times are the wall clock's.
fn assert_is_recent(span: &Span) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let ended = Duration::from_nanos(span.end_time_unix_nano);
    assert!(span.start_time_unix_nano < span.end_time_unix_nano);
    assert!(ended <= now && now - ended < Duration::from_secs(300), "{span:?}");
}

#[tokio::test]
async fn failed_signals_are_traced_and_logged_under_one_trace_and_no_secret_goes_along() {
    let sink = Sink::start();
    let mut router = router(&sink.endpoint(), &[("telemetry.otlp.logs", "true"), ("log.level", "debug")]);
    let (mut ann, _) = Socket::join(&router, "r1", "ann").await;
    let (mut bob, _) = Socket::join(&router, "r1", "bob").await;
    let offer = json!({ "to": "bob", "offer": { "sdp": "v=0 hide-this-sdp" } });
    ann.ask(json!({ "signal": offer })).await;
    ann.ask(json!({ "send": { "data": "hide-this-data" } })).await;
    bob.push_of("data").await;
    fail(&mut ann).await;
    end(&mut router).await;
    let (roots, records) = (sink.roots(), sink.records());
    let refused = records.iter().find(|record| attribute(&record.attributes, "op").as_deref() == Some("publish"));
    let refused = refused.expect("the line of the refused signal");
    let root = roots.iter().find(|root| root.name == "signal publish").expect("its trace");
    assert_eq!((&refused.trace_id, &refused.span_id), (&root.trace_id, &root.span_id));
    assert_eq!(attribute(&refused.attributes, "code"), attribute(&root.attributes, "error.type"));
    let all = format!("{:?} {records:?} {}", sink.spans(), router.stderr());
    assert!(!all.contains("hide-this") && !all.contains("access_token") && !all.contains("eyJ"), "{all}");
    let (of_traces, of_logs) = sink.resources();
    assert_eq!(of_traces[0], of_logs[0]);
    // the last lines of a router's life are with the collector as well
    assert!(records.iter().any(|record| attribute(&record.attributes, "phase").as_deref() == Some("drained")));
}

#[tokio::test]
async fn whatever_the_collector_does_signals_are_answered_and_the_end_is_in_time() {
    let (hanging, refusing) = (Sink::start(), Sink::start());
    hanging.answer(Answer::Hang);
    refusing.answer(Answer::Refuse(tonic::Code::PermissionDenied));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (endpoint, reason) in [
        (format!("http://{nobody}"), "unreachable"),
        (hanging.endpoint(), "unreachable"),
        (refusing.endpoint(), "refused"),
    ] {
        let bounds = [
            ("telemetry.otlp.timeout_ms", "200"),
            ("telemetry.otlp.traces_waiting", "5"),
            ("telemetry.otlp.shutdown_timeout_ms", "300"),
        ];
        let mut router = router(&endpoint, &bounds);
        let (mut ann, _) = Socket::join(&router, "r1", "ann").await;
        for _ in 0..20 {
            fail(&mut ann).await;
        }
        ann.assert_alive().await;
        let series = format!("signalbox_traces_lost_total{{reason=\"{reason}\"}}");
        let since = Instant::now();
        while counted(&router, &series).await == 0 {
            assert!(since.elapsed() < 3 * SLACK, "{endpoint}: nothing is counted as {reason}");
        }
        eventually("the line that says so", || router.stderr().contains("not exported")).await;
        fail(&mut ann).await;
        let ended_in = end(&mut router).await;
        assert!(ended_in < SLACK, "{endpoint}: {ended_in:?}");
    }
}

#[tokio::test]
async fn a_collector_behind_tls_is_spoken_to_with_the_authorization_of_a_file() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let sink = Sink::start_tls(&made.cert.pem(), &made.signing_key.serialize_pem());
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ca, authorization) = (file("ca.pem", &made.cert.pem()), file("authorization", "Bearer of-the-collector\n"));
    let settings = [("telemetry.otlp.ca_file", &*ca), ("telemetry.otlp.authorization_file", &*authorization)];
    let mut router = router(&format!("https://localhost:{}", sink.addr.port()), &settings);
    let (mut ann, _) = Socket::join(&router, "r1", "ann").await;
    fail(&mut ann).await;
    end(&mut router).await;
    assert_eq!(sink.roots().len(), 1);
    assert_eq!(sink.authorizations()[0].as_deref(), Some("Bearer of-the-collector"));
    assert!(!router.stderr().contains("of-the-collector"));
}

/// A real collector, rotel, that hands on what it gets; ended by its id.
struct Rotel {
    child: Child,
    grpc: SocketAddr,
    folder: TempDir,
}

impl Rotel {
    /// That hands on to the sink.
    async fn start(sink: &Sink) -> Self {
        let folder = TempDir::new().unwrap();
        let [grpc, http] = free_ports();
        let path = |name: &str| folder.path().join(name);
        let mut command = Command::new(tool("python/rotel-agent"));
        command.arg("start").arg("--pid-file").arg(path("pid")).arg("--log-file").arg(path("log"));
        command.args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &http.to_string()]);
        command.args(["--exporter", "otlp", "--otlp-exporter-endpoint", &sink.endpoint()]);
        command.args(["--otlp-exporter-protocol", "grpc"]);
        let output = File::create(path("output")).unwrap();
        let child = command.stdout(Stdio::from(output.try_clone().unwrap())).stderr(output).spawn().unwrap();
        let rotel = Self { child, grpc, folder };
        eventually("the collector's port", || std::net::TcpStream::connect(grpc).is_ok()).await;
        rotel
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!(
                "--- the collector's output\n{}",
                std::fs::read_to_string(self.folder.path().join("output")).unwrap()
            );
        }
    }
}

/// It takes no port 0: these were free a moment ago.
fn free_ports() -> [SocketAddr; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_real_collector_takes_traces_and_logs_and_hands_them_on_whole() {
    let sink = Sink::start();
    let rotel = Rotel::start(&sink).await;
    let mut router = router(&format!("http://{}", rotel.grpc), &[("telemetry.otlp.logs", "true")]);
    let (mut ann, _) = Socket::join(&router, "r1", "ann").await;
    fail(&mut ann).await;
    let sampled = json!({ "ping": {}, "traceparent": format!("00-{TRACE}-{PARENT}-01") });
    ann.ask(sampled).await;
    end(&mut router).await;
    eventually("the traces and the last line", || {
        let drained = |record| attribute(record, "phase").as_deref() == Some("drained");
        sink.roots().len() == 2 && sink.records().iter().any(|record| drained(&record.attributes))
    })
    .await;
    let roots = sink.roots();
    let of = |name: &str| roots.iter().find(|root| root.name == name).unwrap_or_else(|| panic!("{name}: {roots:?}"));
    let ping = of("signal ping");
    assert_eq!((hex(&ping.trace_id), hex(&ping.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!(attribute(&of("signal publish").attributes, "signalbox.kept").as_deref(), Some("error"));
    let (of_traces, of_logs) = sink.resources();
    for resource in [&of_traces[0], &of_logs[0]] {
        assert_eq!(attribute(&resource.attributes, "service.name").as_deref(), Some("signalbox"));
    }
    drop(rotel);
}
