//! At no level does anything that clients keep between themselves, or prove themselves with, reach a log, a metric or
//! a page: planted secrets go every way in, good and bad, and every line is searched for each of them.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::harness::{Router, Socket, Stream, Token, ask, eventually, get, get_with, upgrade_raw};

const SDP_LINE: &str = "planted-sdp-line";
const CANDIDATE_ADDRESS: &str = "198.51.100.77";
const DATA: &str = "planted-data";
const BYTES: &str = "planted-bytes";
const METADATA: &str = "planted-metadata";
const ATTRIBUTE: &str = "planted-attribute";
const TURN_SECRET: &str = "planted-turn-secret";
/// Where something else should stand.
const ASTRAY: &str = "planted-astray";

/// What was planted, and what the router gave out on top.
struct Secrets(Vec<String>);

impl Secrets {
    fn new() -> Self {
        let planted = [SDP_LINE, CANDIDATE_ADDRESS, DATA, BYTES, METADATA, ATTRIBUTE, TURN_SECRET, ASTRAY];
        let encoded = STANDARD.encode(BYTES);
        Self(planted.map(str::to_owned).into_iter().chain([encoded]).collect())
    }

    fn keep(&mut self, secret: &Value) {
        let secret = secret.as_str().filter(|secret| !secret.is_empty());
        self.0.push(secret.expect("a secret to search for").to_owned());
    }

    /// A token for that room and identity.
    fn token(&mut self, room: &str, identity: &str) -> String {
        let video = json!({ "roomJoin": true, "room": room, "roomAdmin": true, "roomCreate": true, "roomList": true, "canUpdateOwnMetadata": true });
        let token = Token::new(room, identity).claim("video", video).claim("metadata", METADATA).sign();
        self.0.extend(token.split('.').map(str::to_owned).skip(1));
        token
    }

    #[track_caller]
    fn assert_none_in(&self, what: &str, text: &str) {
        for line in text.lines() {
            let leaked: Vec<_> = self.0.iter().filter(|secret| line.contains(secret.as_str())).collect();
            assert!(leaked.is_empty(), "{what} says {leaked:?}: {line}");
        }
    }
}

fn offer() -> Value {
    json!({ "sdp": format!("v=0\r\no=- 1 1 IN IP4 {CANDIDATE_ADDRESS}\r\ns={SDP_LINE}\r\n") })
}

fn candidate() -> Value {
    json!({ "candidate": format!("candidate:1 1 udp 1 {CANDIDATE_ADDRESS} 4444 typ host"), "sdp_mid": "0" })
}

fn publish() -> Value {
    json!({ "publish": { "cid": "mic", "kind": "audio", "source": "microphone", "name": "mic" } })
}

/// Every op with what it may carry; with the tracks of the participant and of its peer.
fn good(mine: &Value, theirs: &Value) -> Vec<Value> {
    vec![
        json!({ "mute": { "track": mine, "muted": true } }),
        json!({ "subscribe": { "tracks": [theirs], "subscribed": true } }),
        json!({ "signal": { "to": "peer", "offer": offer() } }),
        json!({ "signal": { "to": "peer", "answer": offer() } }),
        json!({ "signal": { "to": "peer", "candidate": candidate() } }),
        json!({ "signal": { "to": "peer", "end_of_candidates": {} } }),
        json!({ "send": { "data": { "deep": [DATA] } } }),
        json!({ "send": { "bytes": STANDARD.encode(BYTES), "to": ["peer"] } }),
        json!({ "update": { "metadata": METADATA, "attributes": { "key": ATTRIBUTE }, "room_metadata": METADATA } }),
        json!({ "ping": { "timestamp_ms": 7 } }),
        json!({ "unpublish": { "track": mine } }),
    ]
}

/// The same astray: to nobody, of nothing, too large, twice, in the wrong place.
fn bad(forged: &str) -> Vec<Value> {
    vec![
        json!({ "join": { "room": ASTRAY, "metadata": METADATA } }),
        json!({ "resume": { "resume_token": forged, "epoch": ASTRAY, "offset": 1 } }),
        json!({ "signal": { "to": ASTRAY, "offer": offer() } }),
        json!({ "signal": { "candidate": candidate() } }),
        json!({ "signal": { "to": "peer", "offer": offer(), "answer": offer() } }),
        json!({ "send": { "data": DATA.repeat(3_000), "bytes": STANDARD.encode(BYTES) } }),
        json!({ "send": { "data": DATA, "to": [ASTRAY], "topic": ASTRAY.repeat(20) } }),
        json!({ "update": { "token": forged } }),
        json!({ "update": { "metadata": METADATA.repeat(2_000) } }),
        json!({ "mute": { "track": ASTRAY, "muted": true } }),
        json!({ "unpublish": { "track": ASTRAY } }),
        json!({ "subscribe": { "tracks": [ASTRAY], "subscribed": true } }),
        json!({ "ping": {}, "traceparent": ASTRAY }),
    ]
}

/// Text that is no frame, in which secrets stand where the decoder stumbles.
fn broken() -> Vec<String> {
    vec![
        ASTRAY.to_owned(),
        format!("{{\"{ASTRAY}\":{{}}}}"),
        format!("{{\"id\":\"{ASTRAY}\",\"ping\":{{}}}}"),
        format!("{{\"join\":{{\"room\":{{\"{ASTRAY}\":1}}}}}}"),
        format!("{{\"send\":{{\"data\":{{\"{DATA}\":}}}}}}"),
        format!("{{\"send\":{{\"bytes\":\"{ASTRAY}!\"}}}}"),
        format!("{{\"publish\":{{\"cid\":\"c\",\"kind\":\"{ASTRAY}\"}}}}"),
        format!("{{\"signal\":{{\"to\":\"peer\",\"offer\":{{\"sdp\":[\"v=0 {SDP_LINE}\"]}}}}}}"),
        format!("{{\"traceparent\":\"{ASTRAY}\",\"ping\":{{}}}}"),
        format!("{{\"send\":{{\"data\":\"{}\"}}}}", DATA.repeat(8_000)),
    ]
}

/// Joins and does all of this, the good of which must work; answers what joining gave.
async fn exercise(mut ask: impl AsyncFnMut(Value) -> Value, peer: &mut Socket, secrets: &mut Secrets) -> Value {
    let joined = ask(join("r")).await["joined"].take();
    secrets.keep(&joined["resume_token"]);
    secrets.keep(&joined["ice_servers"][0]["credential"]);
    let theirs = peer.ask(publish()).await["ok"]["track"]["id"].take();
    let mine = ask(publish()).await["ok"]["track"]["id"].take();
    for frame in good(&mine, &theirs) {
        let reply = ask(frame.clone()).await;
        assert!(reply.get("error").is_none(), "{frame}: {reply}");
    }
    let offered = peer.push_of("signal").await["offer"]["sdp"].take();
    assert!(offered.as_str().is_some_and(|sdp| sdp.contains(SDP_LINE)), "it was there to leak: {offered}");
    for frame in bad(&forged()) {
        ask(frame).await;
    }
    joined
}

/// Signed with a key that nobody knows.
fn forged() -> String {
    Token::new("r", ASTRAY).sign_with(&[7; 32])
}

fn join(room: &str) -> Value {
    json!({ "join": { "room": room, "metadata": METADATA, "attributes": { "key": ATTRIBUTE }, "scenario": "call" } })
}

fn router() -> Router {
    Router::dev_with(&[
        ("log.level", "trace,hyper=trace,h2=trace,tonic=trace,tower=trace,rustls=trace"),
        ("log.format", "json"),
        ("ice.turn_urls", "turn:turn.example:3478"),
        ("ice.turn_secret", TURN_SECRET),
        ("rooms.linger_seconds", "1"),
    ])
}

/// The router's own figures and pages, and its log once that holds a line with each of these parts.
async fn assert_kept(router: &Router, secrets: &Secrets, lines: &[&str]) {
    eventually("the lines of what was done", || {
        let log = router.stderr();
        lines.iter().all(|part| log.lines().any(|line| line.contains(part)))
    })
    .await;
    secrets.assert_none_in("the log", &router.stderr());
    for page in ["/metrics", "/api/status", "/api/log/level", "/health/ready", "/"] {
        let answer = get(router.ops, page).await;
        assert_eq!(answer.status, 200, "{page}");
        secrets.assert_none_in(page, &answer.body);
    }
}

#[tokio::test]
async fn nothing_that_goes_over_websocket_is_in_any_line() {
    let (router, mut secrets) = (router(), Secrets::new());
    let token = secrets.token("r", "alice");
    let (mut peer, _) = Socket::join_with(&router, "r", &secrets.token("r", "peer")).await;
    let mut alice = Socket::connect(&router, &token).await;
    assert!(alice.refusal(json!({ "send": { "data": DATA } })).await.0.starts_with("not_joined"));
    let joined = exercise(async |frame| alice.ask(frame).await, &mut peer, &mut secrets).await;
    for text in broken() {
        alice.send_text(&text).await;
    }
    alice.ask(json!({ "ping": {} })).await;

    // drops, comes back, and leaves for good
    alice.drop_connection();
    peer.event("participant_reconnecting").await;
    peer.ask(json!({ "signal": { "to": "alice", "candidate": candidate() } })).await;
    let resume = json!({ "resume": { "resume_token": joined["resume_token"], "epoch": joined["epoch"], "offset": joined["offset"] } });
    let mut alice = Socket::connect(&router, &token).await;
    let resumed = alice.ask(resume).await["resumed"].take();
    secrets.keep(&resumed["resume_token"]);
    // ids that the session has not used yet: repeats would be answered and not done
    alice.send(&json!({ "id": 901, "update": { "token": token } })).await;
    assert!(alice.reply(901).await["ok"].is_object());
    alice.send(&json!({ "id": 902, "leave": {} })).await;
    alice.reply(902).await;

    // in the other encoding, broken; and a frame that is cut off
    let mut other = Socket::connect(&router, &token).await;
    other.send_binary(ASTRAY.as_bytes().to_vec()).await;
    other.read_binary().await;
    drop(upgrade_raw(router.client, &token).await);
    let lines = ["session opened", "session resumed", "session closed", "signal refused", "connection closed"];
    assert_kept(&router, &secrets, &lines).await;
}

#[tokio::test]
async fn nothing_that_goes_over_grpc_is_in_any_line() {
    let (router, mut secrets) = (router(), Secrets::new());
    let token = secrets.token("r", "alice");
    let (mut peer, _) = Socket::join_with(&router, "r", &secrets.token("r", "peer")).await;
    for refused in [forged().as_str(), ASTRAY] {
        let Err(status) = Stream::connect(&router, refused).await else { panic!("a forged token was let in") };
        secrets.assert_none_in("the status", status.message());
    }
    let mut alice = Stream::connect(&router, &token).await.unwrap();
    exercise(async |frame| alice.ask(frame).await, &mut peer, &mut secrets).await;
    drop(alice);
    assert_eq!(peer.event("participant_left").await["reason"], "lingered_out");
    let lines = ["session opened", "session dropped", "session closed", "signal refused", "connection closed"];
    assert_kept(&router, &secrets, &lines).await;
}

#[tokio::test]
async fn nothing_that_is_asked_over_http_is_in_any_line() {
    let (router, mut secrets) = (router(), Secrets::new());
    let token = secrets.token("r", "ops");
    let forged = forged();
    let create = json!({ "name": "r", "metadata": METADATA }).to_string();
    assert_eq!(ask(router.client, "POST /v1/rooms", &token, &create).await.status, 201);
    let (mut alice, _) = Socket::join_with(&router, "r", &secrets.token("r", "alice")).await;
    for (line, body) in [
        ("POST /v1/rooms", format!("{{\"name\":7,\"metadata\":\"{METADATA}\",\"{ASTRAY}\":}}")),
        ("PATCH /v1/rooms/r", json!({ "metadata": METADATA.repeat(3_000) }).to_string()),
        ("PATCH /v1/rooms/r", json!({ "metadata": METADATA }).to_string()),
        ("POST /v1/rooms/r/send", json!({ "data": { "deep": DATA } }).to_string()),
        ("POST /v1/rooms/r/send", json!({ "bytes": STANDARD.encode(BYTES), "to": [ASTRAY] }).to_string()),
        ("GET /v1/rooms/r/participants", String::new()),
        ("DELETE /v1/rooms/r", String::new()),
    ] {
        ask(router.client, line, &token, &body).await;
        ask(router.client, line, &forged, &body).await;
    }
    assert_eq!(alice.closed().await.0, 4522);
    for path in [
        format!("/v1/signal?access_token={forged}"),
        format!("/v1/signal/validate?access_token={token}"),
        format!("/v1/signal/validate?access_token={token}&room={ASTRAY}"),
        format!("/v1/{ASTRAY}?access_token={token}"),
        format!("/v1/rooms/{ASTRAY}?access_token={token}"),
    ] {
        let headers = [("X-Trace-ID", ASTRAY), ("traceparent", ASTRAY), ("Origin", "https://other.example")];
        for headers in [&headers[..], &headers[..2]] {
            secrets.assert_none_in(&path, &get_with(router.client, &path, headers).await.head);
        }
    }
    // on the ops port
    for line in ["PUT /api/log/level", "PUT /api/status", "GET /metrics", &format!("GET /debug/{ASTRAY}")] {
        ask(router.ops, line, &token, ASTRAY).await;
    }
    assert_kept(&router, &secrets, &["admin call", "admin call refused", "shed", "room closed"]).await;
}
