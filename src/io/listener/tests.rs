//! The listener against real sockets on loopback: what gets in, what is refused, and that nobody waits for another.

mod proxied;
mod secured;

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
};

use super::*;
use crate::protocol::Code;

/// For what must happen.
const PATIENCE: Duration = Duration::from_secs(10);

const WIDE: LimitSettings =
    LimitSettings { connections_max: 100, connections_per_address_max: 100, handshakes_max: 100 };

/// What was observed, to be waited for.
#[derive(Clone, Default)]
struct Seen(Arc<(Mutex<Vec<Event>>, Notify)>);

impl Seen {
    fn observe(&self) -> Observe {
        let seen = self.0.clone();
        Arc::new(move |event| {
            seen.0.lock().unwrap().push(event);
            seen.1.notify_waiters();
        })
    }

    async fn wait_for(&self, wanted: impl Fn(&Event) -> bool) {
        let search = async {
            loop {
                let told = self.0.1.notified();
                if self.0.0.lock().unwrap().iter().any(&wanted) {
                    return;
                }
                told.await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, search).await;
        assert!(found.is_ok(), "only saw {:?}", self.0.0.lock().unwrap());
    }

    async fn wait_for_shed(&self, wanted: Code) {
        self.wait_for(|event| matches!(event, Event::Shed { code, .. } if *code == wanted)).await;
    }
}

/// A running listener whose connections are greeted with their address and then echo until they end.
struct Running {
    address: SocketAddr,
    limits: Arc<Limits>,
    seen: Seen,
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<io::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn settings(limits: LimitSettings, seen: &Seen) -> ListenerSettings {
    ListenerSettings {
        name: "client",
        addresses: vec!["127.0.0.1:0".parse().unwrap()],
        tls: None,
        tls_poll: Duration::from_millis(20),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        handshake_timeout: PATIENCE,
        limits: Limits::new(limits),
        observe: seen.observe(),
    }
}

fn start(change: impl FnOnce(&mut ListenerSettings)) -> Running {
    let seen = Seen::default();
    let mut settings = settings(WIDE, &seen);
    change(&mut settings);
    let limits = settings.limits.clone();
    let listener = Listener::bind(settings).unwrap();
    let address = listener.local_addrs()[0];
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(listener.run(shutdown.clone(), echo));
    Running { address, limits, seen, shutdown, ended }
}

async fn echo(accepted: Accepted) {
    let Accepted { mut stream, peer, permit } = accepted;
    let greeting = format!("{peer}\n");
    let mut bytes = [0; 64];
    if stream.write_all(greeting.as_bytes()).await.is_ok() && stream.flush().await.is_ok() {
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            if stream.write_all(&bytes[..count]).await.is_err() || stream.flush().await.is_err() {
                break;
            }
        }
    }
    drop(permit);
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.address).await.unwrap()
}

/// The greeting's line: the address that the listener holds this connection to come from.
async fn greeting(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> SocketAddr {
    let line = async {
        let mut line = Vec::new();
        loop {
            match stream.read_u8().await.expect("a greeting") {
                b'\n' => return String::from_utf8(line).unwrap(),
                byte => line.push(byte),
            }
        }
    };
    tokio::time::timeout(PATIENCE, line).await.expect("a greeting in time").parse().unwrap()
}

/// All that comes until the other side ends; a reset ends it too.
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    assert!(read.is_ok(), "the connection was left open");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn refusal(answer: &str) -> (String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"));
    assert!(head.contains("\r\nRetry-After: "), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    (head[9..12].to_owned(), body["error"]["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_connection_comes_in_with_its_address_and_its_bytes_go_both_ways() {
    let running = start(|_| ());
    let mut stream = connect(&running).await;
    assert_eq!(greeting(&mut stream).await, stream.local_addr().unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");
}

#[tokio::test]
async fn vectored_writes_are_passed_through_and_small_frames_do_not_wait() {
    let seen = Seen::default();
    let listener = Listener::bind(settings(WIDE, &seen)).unwrap();
    let address = listener.local_addrs()[0];
    let shutdown = CancellationToken::new();
    let (told, mut ask) = tokio::sync::mpsc::channel(1);
    let ended = tokio::spawn(listener.run(shutdown.clone(), move |accepted: Accepted| {
        let told = told.clone();
        async move {
            use tokio::io::AsyncWrite as _;
            let nodelay = accepted.stream.tcp().nodelay().unwrap();
            told.send((accepted.stream.is_write_vectored(), nodelay)).await.unwrap();
        }
    }));
    let _stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask.recv().await, Some((true, true)));
    shutdown.cancel();
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_router_says_so_and_takes_the_next_one_once_a_place_is_free() {
    let running = start(|settings| {
        settings.limits = Limits::new(LimitSettings { connections_max: 2, ..WIDE });
    });
    let mut first = connect(&running).await;
    let mut second = connect(&running).await;
    greeting(&mut first).await;
    greeting(&mut second).await;
    let mut third = connect(&running).await;
    third.write_all(b"GET /v1/signal HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(refusal(&rest(&mut third).await), ("503".to_owned(), "router_full".to_owned()));
    running.seen.wait_for_shed(Code::RouterFull).await;

    drop(first);
    until("the place is given back", || running.limits.connections() == 1).await;
    greeting(&mut connect(&running).await).await;
    second.write_all(b"x").await.unwrap();
    assert_eq!(second.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn an_address_over_its_limit_is_told_and_released_when_it_leaves() {
    let running = start(|settings| {
        settings.limits = Limits::new(LimitSettings { connections_per_address_max: 1, ..WIDE });
    });
    let mut first = connect(&running).await;
    greeting(&mut first).await;
    let mut second = connect(&running).await;
    assert_eq!(refusal(&rest(&mut second).await), ("429".to_owned(), "too_many_connections".to_owned()));
    running.seen.wait_for(|event| {
        matches!(event, Event::Shed { code: Code::TooManyConnections, peer_ip: Some(ip) } if ip.is_loopback())
    })
    .await;
    drop(first);
    until("nobody is left", || running.limits.addresses() == 0 && running.limits.connections() == 0).await;
    greeting(&mut connect(&running).await).await;
}

#[tokio::test]
async fn a_trusted_proxy_is_not_held_to_the_limit_of_one_address() {
    let running = start(|settings| {
        settings.limits = Limits::new(LimitSettings { connections_per_address_max: 1, ..WIDE });
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let mut first = connect(&running).await;
    let mut second = connect(&running).await;
    greeting(&mut first).await;
    greeting(&mut second).await;
    assert_eq!(running.limits.addresses(), 0);
}

#[tokio::test]
async fn the_shutdown_ends_the_listener_and_leaves_its_connections_alone() {
    let mut running = start(|_| ());
    let mut stream = connect(&running).await;
    greeting(&mut stream).await;
    running.shutdown.cancel();
    tokio::time::timeout(PATIENCE, &mut running.ended).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let mut wanted = settings(WIDE, &Seen::default());
    wanted.addresses = vec!["127.0.0.1:0".parse().unwrap(), address];
    let error = Listener::bind(wanted).unwrap_err();
    assert!(matches!(error, BindError::AddressInUse { address: named } if named == address));
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("choose another port"), "{text}");
}

#[test]
fn foreign_addresses_and_none_at_all_are_refused_by_name() {
    let mut wanted = settings(WIDE, &Seen::default());
    wanted.addresses = vec!["192.0.2.1:0".parse().unwrap()];
    assert!(matches!(Listener::bind(wanted.clone()).unwrap_err(), BindError::NotOurs { .. }));
    wanted.addresses = Vec::new();
    assert!(matches!(Listener::bind(wanted).unwrap_err(), BindError::NoAddress));
}
