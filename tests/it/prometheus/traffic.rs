//! What the servers are to measure: participants that talk to each other; readers that let their sockets fill for a
//! while, so that what is sent to them, and the answers to what they ask, come late by as much; clients that say
//! something else of themselves with every join; and scrapers by the score, half of which hang up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::harness::{Router, Socket, Token, get_with, within};

/// Signals by op, region and outcome, as the clients count them.
#[derive(Debug, Default)]
pub(super) struct Sent(Mutex<BTreeMap<(String, &'static str, &'static str), u64>>);

impl Sent {
    fn one(&self, op: &str, region: &'static str, outcome: &'static str) {
        *self.0.lock().unwrap().entry((op.to_owned(), region, outcome)).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<(String, &'static str, &'static str), u64> {
        self.0.lock().unwrap().clone()
    }
}

/// A client that counts what it sends.
struct Caller {
    socket: Socket,
    /// What metrics call where it is.
    region: &'static str,
    sent: Arc<Sent>,
    /// Requests whose answers have not been read, by id.
    open: BTreeMap<u64, &'static str>,
}

impl Caller {
    /// Joins from a place, or without saying where it is.
    async fn join(
        router: &Router,
        sent: &Arc<Sent>,
        room: &str,
        identity: &str,
        (place, version): (&str, &str),
    ) -> Self {
        let tcp = TcpSocket::new_v4().unwrap();
        // else it grows to megabytes once much was read, and holds up nobody
        tcp.set_recv_buffer_size(READER_BYTES).unwrap();
        let tcp = tcp.connect(router.client).await.unwrap();
        let token = Token::new(room, identity).grant("canUpdateOwnMetadata", true).sign();
        let socket = Socket::connect_on(router, &token, tcp).await;
        let region = match place {
            "" | "sh" => "sh",
            "sz" => "sz",
            _ => "other",
        };
        let mut caller = Self { socket, region, sent: sent.clone(), open: BTreeMap::new() };
        let client = json!({ "sdk": "web", "version": version });
        let mut join = json!({ "room": room, "client": client, "scenario": "video_call" });
        if !place.is_empty() {
            join["region"] = place.into();
        }
        caller.ask("join", join).await;
        caller
    }

    /// Sends a signal and reads its answer, which must be the good one.
    async fn ask(&mut self, op: &'static str, body: Value) -> Value {
        self.ask_with(op, json!({ op: body })).await
    }

    async fn ask_with(&mut self, op: &'static str, frame: Value) -> Value {
        let reply = self.socket.ask(frame).await;
        assert!(reply.get("error").is_none(), "{op}: {reply}");
        self.sent.one(op, self.region, "ok");
        reply
    }

    /// Sends one that cannot be taken.
    async fn fail(&mut self) {
        let (code, _) = self.socket.refusal(json!({ "publish": {} })).await;
        assert_eq!(code, "bad_request");
        self.sent.one("publish", self.region, "error");
    }

    /// Sends a signal whose answer is to be read another time.
    async fn ask_for_later(&mut self, op: &'static str, body: Value) {
        let id = 1_000_000 + self.open.len() as u64;
        self.open.insert(id, op);
        self.socket.send(&json!({ "id": id, op: body })).await;
    }

    /// Reads all answers that were not read.
    async fn read_late_answers(&mut self) {
        let mut waiting: BTreeSet<u64> = self.open.keys().copied().collect();
        while !waiting.is_empty() {
            let frame = self.socket.push().await;
            assert!(frame.get("error").is_none(), "{frame}");
            if let Some(id) = frame["id"].as_u64() {
                assert!(waiting.remove(&id), "{frame}");
            }
        }
        std::mem::take(&mut self.open).values().for_each(|op| self.sent.one(op, self.region, "ok"));
    }

    async fn leave(mut self) {
        self.ask("leave", json!({})).await;
        self.socket.closed().await;
    }
}

/// Talkers in one room.
const TALKERS: usize = 6;
/// Between two rounds of one talker.
const PAUSE: Duration = Duration::from_millis(10);
/// Readers that are late.
const LATE: usize = 3;
/// How long they do not read, milliseconds, each time: around the 80 of the promise, and once far beyond.
const HOLDS_MS: [u64; 8] = [40, 60, 70, 80, 85, 90, 100, 400];
/// How often that.
const ROUNDS: usize = 2;
/// What happens meanwhile, evenly spread: so latencies are, from nothing to all of that time.
const STEPS: u32 = 30;
/// Joins of clients that are never the same.
const STRANGERS: usize = 40;
/// At once, as many as hang up.
const SCRAPERS: usize = 20;

/// All of it, until the late readers and the strangers are done and everybody has left. The trace is the one that the
/// last signal, an `update`, asks for.
pub(super) async fn run(router: &Arc<Router>, traceparent: &str) -> Arc<Sent> {
    let (sent, done) = (Arc::new(Sent::default()), CancellationToken::new());
    // metrics name the first few SDK versions, whoever has them: this one before any stranger's
    Caller::join(router, &sent, "first", "first", ("", "6.12.0")).await.leave().await;
    let mut guests = JoinSet::new();
    for number in 0..LATE {
        guests.spawn(late_reader(router.clone(), sent.clone(), number));
    }
    guests.spawn(strangers(router.clone(), sent.clone()));
    let mut residents = JoinSet::new();
    for number in 0..TALKERS {
        residents.spawn(talker(router.clone(), sent.clone(), number, done.clone()));
    }
    residents.spawn(scrapers(router.clone(), done.clone()));
    guests.join_all().await;
    done.cancel();
    residents.join_all().await;
    let mut last = Caller::join(router, &sent, "last", "last", ("", "6.12.0")).await;
    let update = json!({ "metadata": "seen" });
    last.ask_with("update", json!({ "update": update, "traceparent": traceparent })).await;
    last.leave().await;
    sent
}

/// Talks until it is told that all is done.
async fn talker(router: Arc<Router>, sent: Arc<Sent>, number: usize, done: CancellationToken) {
    // one does not say where it is, one is where no configuration knows of
    let place = ["sh", "sz", "sz", "", "mars", "sh"][number];
    let mut me = Caller::join(&router, &sent, "talk", &format!("talker{number}"), (place, "6.12.0")).await;
    for round in 0_u64.. {
        me.ask("ping", json!({})).await;
        me.ask("send", json!({ "data": round })).await;
        if round % 4 == 0 {
            me.fail().await;
        }
        if done.is_cancelled() {
            break;
        }
        sleep(PAUSE).await;
    }
    me.leave().await;
}

/// Does not read for a while, again and again, while a mate sends to it and it asks itself.
async fn late_reader(router: Arc<Router>, sent: Arc<Sent>, number: usize) {
    let room = format!("late{number}");
    let mut reader = Caller::join(&router, &sent, &room, "reader", ("sz", "6.11.0")).await;
    let mut mate = Caller::join(&router, &sent, &room, "mate", ("sh", "6.12.0")).await;
    let much = "x".repeat(MUCH_BYTES);
    for hold in HOLDS_MS.repeat(ROUNDS).into_iter().map(Duration::from_millis) {
        for _ in 0..socket_bytes_max().div_ceil(MUCH_BYTES) {
            mate.ask("send", json!({ "data": much })).await;
        }
        let since = Instant::now();
        for step in 0..STEPS {
            sleep_until(since + hold * step / STEPS).await;
            mate.ask("send", json!({ "data": step })).await;
            match step % 3 {
                0 => reader.ask_for_later("ping", json!({})).await,
                _ => reader.ask_for_later("send", json!({ "data": step })).await,
            }
        }
        sleep_until(since + hold).await;
        reader.read_late_answers().await;
    }
    mate.leave().await;
    reader.leave().await;
}

/// One frame of what fills a socket.
const MUCH_BYTES: usize = 1 << 20;

/// What a client lets wait for it, unread.
const READER_BYTES: u32 = 64 << 10;

/// What a connection of loopback may hold while nobody reads: the most that the kernel lets the sender's side grow to,
/// and the reader's, which the kernel doubles.
fn socket_bytes_max() -> usize {
    let limits = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_wmem").unwrap();
    let sender: usize = limits.split_whitespace().last().unwrap().parse().unwrap();
    sender.min(32 << 20) + 2 * READER_BYTES as usize
}

/// Joins from everywhere with an SDK version of its own each time.
async fn strangers(router: Arc<Router>, sent: Arc<Sent>) {
    for number in 0..STRANGERS {
        let (place, version) = (format!("moon-{number}"), format!("0.0.{number}"));
        let stranger = Caller::join(&router, &sent, "strange", "stranger", (&place, &version)).await;
        stranger.leave().await;
    }
}

/// Twenty at once in every form, and as many that hang up: before they are answered, or with the answer half read.
async fn scrapers(router: Arc<Router>, done: CancellationToken) {
    const FORMS: [&str; 3] = [
        "*/*",
        "application/openmetrics-text;version=1.0.0",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ];
    while !done.is_cancelled() {
        let mut scrapers = JoinSet::new();
        for number in 0..SCRAPERS {
            let ops = router.ops;
            scrapers.spawn(async move {
                let mut stream = TcpStream::connect(ops).await.unwrap();
                stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
                if number % 2 == 0 {
                    within("the beginning of an answer", stream.read_exact(&mut [0; 1_000])).await.unwrap();
                }
                drop(stream);
                let answer = get_with(ops, "/metrics", &[("Accept", FORMS[number % FORMS.len()])]).await;
                assert!(answer.status == 200 && answer.bytes.len() > 10_000, "{}", answer.head);
            });
        }
        scrapers.join_all().await;
        sleep(Duration::from_millis(250)).await;
    }
}
