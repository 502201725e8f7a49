//! Rooms that outlive their router: killed, drained or started anew, its sessions come back to another one and go on.

use super::*;
use crate::{fabric::redis::Redis, harness::Token};

/// A router of a fleet that keeps its rooms.
fn keeping(etcd: &Etcd, redis: &Redis, id: &str) -> Router {
    keeping_with(etcd, redis, id, &[])
}

/// The same, with more settings.
pub(super) fn keeping_with(etcd: &Etcd, redis: &Redis, id: &str, more: &[(&str, &str)]) -> Router {
    let redis = redis.url();
    with(etcd, id, &[&keeping_settings(&redis), more].concat())
}

/// What makes it one.
pub(super) const fn keeping_settings(redis: &str) -> [(&str, &str); 3] {
    [
        ("redis.addrs", redis),
        ("redis.timeout_ms", "300"),
        // no two make a room of one name because this machine is busy
        ("etcd.room_wait_ms", "2000"),
    ]
}

async fn three(etcd: &Etcd, redis: &Redis) -> [Router; 3] {
    three_with(etcd, redis, "250").await
}

/// Three of them, which wait so long for another one to hand a room over.
pub(super) async fn three_with(etcd: &Etcd, redis: &Redis, handover_ms: &str) -> [Router; 3] {
    let more = [("redis.handover_ms", handover_ms)];
    let routers = ["r1", "r2", "r3"].map(|id| keeping_with(etcd, redis, id, &more));
    agree(&routers.iter().collect::<Vec<_>>(), &["r1", "r2", "r3"]).await;
    routers
}

/// A router that is alone, and finds its rooms again when it is started anew.
pub(super) fn alone(redis: &Redis, more: &[(&str, &str)]) -> Router {
    let url = redis.url();
    Router::dev_at(free(), &alone_settings(&url, more))
}

/// What makes it one.
pub(super) fn alone_settings<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    remember(RESUME_SECRET);
    let settings = [("redis.addrs", url), ("server.id", "alone"), ("resume.secret", RESUME_SECRET)];
    [&settings, more].concat()
}

/// Somebody in a room, and what it needs to come back.
pub(super) struct Member {
    pub(super) identity: &'static str,
    room: &'static str,
    pub(super) socket: Socket,
    /// Connections that it had: each counts its requests on.
    came: u64,
    token: String,
    pub(super) epoch: String,
    pub(super) offset: u64,
    seq: u64,
    /// Times that it was told to wait for what is kept.
    unavailable: u32,
}

impl Member {
    pub(super) async fn join(router: &Router, room: &'static str, identity: &'static str) -> Self {
        let (socket, joined) = Socket::join(router, room, identity).await;
        let text = |key: &str| joined[key].as_str().unwrap().to_owned();
        let (token, epoch, offset) = (text("resume_token"), text("epoch"), joined["offset"].as_u64().unwrap());
        Self { identity, room, socket, came: 1, token, epoch, offset, seq: 0, unavailable: 0 }
    }

    /// Says something to the room, which is acknowledged.
    pub(super) async fn say(&mut self, what: u64) {
        let reply = self.socket.ask(json!({ "send": { "data": what } })).await;
        self.offset = reply["ok"]["offset"].as_u64().unwrap_or_else(|| panic!("{reply}"));
    }

    /// Hears what somebody says.
    pub(super) async fn hears(&mut self, what: u64) {
        let push = self.socket.push_of("data").await;
        assert_eq!(push["data"], what, "{push}");
        match push["seq"].as_u64() {
            Some(seq) => self.seq = seq,
            None => self.offset = push["offset"].as_u64().unwrap(),
        }
    }

    /// Comes back to that router, as soon as it lets it; whether nothing was missed.
    pub(super) async fn back(&mut self, router: &Router) -> bool {
        let bearer = Token::new(self.room, self.identity).sign();
        let resume = json!({ "resume": {
            "resume_token": self.token, "epoch": self.epoch, "offset": self.offset, "seq": self.seq,
        } });
        let (socket, resumed) = answered("a router that goes on with the room", async || {
            let mut socket = Socket::connect(router, &bearer).await;
            let reply = socket.ask(resume.clone()).await;
            let code = reply["error"]["code"].as_str();
            // the room's router may be the one that drains, wherever it is asked for
            let again = matches!(code, Some("room_elsewhere" | "room_unavailable" | "draining"));
            assert!(code.is_none() || again, "{reply}");
            self.unavailable += u32::from(code == Some("room_unavailable"));
            reply["resumed"].is_object().then(|| (socket, reply["resumed"].clone()))
        })
        .await;
        self.socket = socket;
        self.came += 1;
        self.socket.count_from(self.came * 1_000);
        self.token = resumed["resume_token"].as_str().unwrap().to_owned();
        let recovered = resumed["recovered"] == true;
        if let Some(from) = resumed["from"].as_u64() {
            (self.epoch, self.offset) = (resumed["epoch"].as_str().unwrap().to_owned(), from);
        }
        if !recovered {
            (self.epoch, self.offset) =
                (resumed["epoch"].as_str().unwrap().to_owned(), resumed["offset"].as_u64().unwrap());
        }
        recovered
    }
}

pub(super) fn outcome(of: &str) -> String {
    format!("signalbox_fabric_rooms_total{{outcome=\"{of}\"}}")
}

/// Waits until all of that router's rooms stand where they are kept: gauges are a second old, the count of writes is not.
pub(super) async fn all_is_written(router: &Router) {
    answered("all is written", async || {
        let before = metric(router, &outcome("written")).await?;
        tokio::time::sleep(Duration::from_millis(400)).await;
        let written = metric(router, &outcome("written")).await?;
        (before > 0.0 && before == written).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_router_that_is_killed_costs_its_sessions_one_resume() {
    let (etcd, redis) = (Etcd::start().await, Redis::start().await);
    let [one, other, third] = three(&etcd, &redis).await;
    let mut alice = Member::join(&one, "r", "alice").await;
    let mut bob = Member::join(&one, "r", "bob").await;
    for what in 1..=3 {
        alice.say(what).await;
    }
    bob.hears(1).await;
    let published =
        alice.socket.ask(json!({ "publish": { "cid": "c", "kind": "audio", "source": "microphone" } })).await;
    let track = published["ok"]["track"]["id"].clone();
    alice.offset = published["ok"]["offset"].as_u64().unwrap();
    all_is_written(&one).await;
    one.send_signal("KILL");
    // what of it is still to be heard is told once, and in order
    assert!(bob.back(&other).await);
    for what in [2, 3] {
        bob.hears(what).await;
    }
    let event = bob.socket.push_of("event").await;
    assert_eq!((&event["track_published"]["id"], &event["epoch"]), (&track, &json!(bob.epoch)), "{event}");
    let edge = bob.socket.push_of("event").await;
    assert_eq!(edge["room_continued"], json!({ "epoch": bob.epoch, "offset": alice.offset }), "{edge}");
    assert_ne!(edge["epoch"], json!(bob.epoch));
    // the other finds the room where it is now, whomever it asks
    let alice_s = Token::new("r", "alice").sign();
    let resume =
        json!({ "resume": { "resume_token": alice.token, "epoch": alice.epoch, "offset": alice.offset, "seq": 0 } });
    let sent = Socket::connect(&third, &alice_s).await.ask(resume).await;
    assert_eq!(sent["error"]["code"], "room_elsewhere", "{sent}");
    assert!(alice.back(&other).await);
    alice.say(4).await;
    bob.hears(4).await;
    assert_eq!(metric(&other, &outcome("restored")).await, Some(1.0));
    assert_eq!(metric(&other, "signalbox_resumes_total{result=\"recovered\"}").await, Some(2.0));
    assert!(other.stderr().contains("room goes on here"));
}

#[tokio::test]
async fn a_router_that_drains_hands_its_rooms_over_with_all_that_is_in_them() {
    let (etcd, redis) = (Etcd::start().await, Redis::start().await);
    let [mut one, other, _third] = three(&etcd, &redis).await;
    let mut alice = Member::join(&one, "r", "alice").await;
    let mut bob = Member::join(&one, "r", "bob").await;
    let mut carol = Member::join(&one, "apart", "carol").await;
    carol.say(1).await;
    // bob is away, and something waits for him alone
    let gone = std::mem::replace(&mut bob.socket, Socket::connect(&one, &Token::new("r", "x").sign()).await);
    gone.drop_connection();
    alice.socket.event("participant_reconnecting").await;
    let told = alice.socket.ask(json!({ "send": { "to": ["bob"], "data": 7 } })).await;
    assert!(told["ok"].is_object(), "{told}");
    one.terminate();
    answered("it says that it drains", async || (view(&other).await["routers"][0]["draining"] == true).then_some(()))
        .await;
    for member in [&mut alice, &mut carol, &mut bob] {
        assert!(member.back(&other).await, "{}", member.identity);
    }
    bob.hears(7).await;
    carol.say(2).await;
    one.ended().await;
    assert!(metric(&other, &outcome("restored")).await >= Some(2.0));
    assert_eq!(metric(&other, &outcome("not_restored")).await, Some(0.0));
}

#[tokio::test]
async fn a_redis_that_is_away_costs_no_session_and_gets_everything_when_it_is_back() {
    let (etcd, mut redis) = (Etcd::start().await, Redis::start().await);
    let one = keeping(&etcd, &redis, "r1");
    let other = keeping(&etcd, &redis, "r2");
    agree(&[&one, &other], &["r1", "r2"]).await;
    let mut alice = Member::join(&one, "r", "alice").await;
    let mut bob = Member::join(&one, "r", "bob").await;
    all_is_written(&one).await;
    redis.kill();
    for what in 1..=20 {
        alice.say(what).await;
        bob.hears(what).await;
    }
    // who comes into another room does not wait for it, either
    let mut carol = Member::join(&one, "made meanwhile", "carol").await;
    carol.say(1).await;
    answered("it is behind", async || (metric(&one, "signalbox_fabric_rooms_behind").await? == 2.0).then_some(()))
        .await;
    redis.again().await;
    answered("all is written", async || (metric(&one, "signalbox_fabric_rooms_behind").await? == 0.0).then_some(()))
        .await;
    alice.say(21).await;
    all_is_written(&one).await;
    one.send_signal("KILL");
    assert!(bob.back(&other).await);
    bob.hears(21).await;
    assert!(alice.back(&other).await && carol.back(&other).await);
}

#[tokio::test]
async fn a_router_that_is_killed_while_redis_is_away_costs_its_sessions_time_and_nothing_else() {
    let (etcd, mut redis) = (Etcd::start().await, Redis::start().await);
    let one = keeping(&etcd, &redis, "r1");
    let other = keeping(&etcd, &redis, "r2");
    agree(&[&one, &other], &["r1", "r2"]).await;
    let mut alice = Member::join(&one, "r", "alice").await;
    alice.say(1).await;
    all_is_written(&one).await;
    redis.kill();
    one.send_signal("KILL");
    let again = async {
        answered("nobody knows whether it is kept", async || {
            let refusals = "signalbox_signal_refusals_total{code=\"room_unavailable\"}";
            (metric(&other, refusals).await? > 0.0).then_some(())
        })
        .await;
        redis.again().await;
    };
    let (recovered, ()) = tokio::join!(alice.back(&other), again);
    assert!(recovered && alice.unavailable > 0);
}

#[tokio::test]
async fn a_router_that_is_alone_finds_its_rooms_again_when_it_was_started_anew() {
    let redis = Redis::start().await;
    let one = alone(&redis, &[]);
    let mut alice = Member::join(&one, "r", "alice").await;
    let mut bob = Member::join(&one, "r", "bob").await;
    alice.say(1).await;
    all_is_written(&one).await;
    one.send_signal("KILL");
    let again = alone(&redis, &[]);
    assert!(bob.back(&again).await);
    bob.hears(1).await;
    // and a room that ended stays so
    assert!(alice.back(&again).await);
    for member in [&mut alice, &mut bob] {
        member.socket.ask(json!({ "leave": {} })).await;
    }
}

/// How many calls etcd was asked for, and how many commands Redis carried out but for signs of life and questions of tests.
async fn asked_so_far(router: &Router, redis: &Redis) -> (f64, u64) {
    let metrics = get(router.ops, "/metrics").await.body;
    let calls = metrics.lines().filter(|line| line.starts_with("signalbox_directory_calls_total{"));
    let calls = calls.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
    let redis::Value::BulkString(stats) = redis.run(&["INFO", "commandstats"]).await else { panic!("no text") };
    let stats = String::from_utf8(stats).unwrap();
    let counted = stats.lines().filter_map(|line| {
        let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let of_nobody = ["ping", "info", "hello", "client|setinfo"].contains(&command);
        rest.split(',').next()?.parse::<u64>().ok().filter(|_| !of_nobody)
    });
    (calls, counted.sum())
}

#[tokio::test]
async fn directed_signals_within_a_router_ask_neither_etcd_nor_redis() {
    let (etcd, redis) = (Etcd::start().await, Redis::start().await);
    let router = keeping(&etcd, &redis, "r1");
    agree(&[&router], &["r1"]).await;
    let mut alice = Member::join(&router, "r", "alice").await;
    let mut bob = Member::join(&router, "r", "bob").await;
    alice.say(1).await;
    all_is_written(&router).await;
    let (etcd_before, redis_before) = asked_so_far(&router, &redis).await;
    for _ in 0..1_000 {
        let signal = json!({ "signal": { "to": "bob", "end_of_candidates": {} } });
        assert!(alice.socket.ask(signal).await["ok"].is_object());
        bob.socket.push_of("signal").await;
    }
    let (etcd_after, redis_after) = asked_so_far(&router, &redis).await;
    // its lease, its record and what lies there for long are looked after meanwhile
    assert!(etcd_after - etcd_before <= 20.0, "{etcd_before} calls to etcd, and then {etcd_after}");
    assert!(redis_after - redis_before <= 20, "{redis_before} commands, and then {redis_after}");
    // what is said to the room does count
    for what in 2..=30 {
        alice.say(what).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    all_is_written(&router).await;
    let said = asked_so_far(&router, &redis).await.1 - redis_after;
    assert!(said > 20, "29 messages in three seconds are {said} commands");
}
