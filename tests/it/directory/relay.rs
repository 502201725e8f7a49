//! Clients that are connected to one router and whose rooms are on another: they take part as if they were there, and what breaks on
//! the way costs each of them a resume at most.

use super::{
    kept::{Member, all_is_written, keeping_with},
    *,
};
use crate::{
    fabric::redis::Redis,
    harness::{Stream, Token, ask},
};

const LISTEN: (&str, &str) = ("relay.listen", "127.0.0.1:0");

fn relaying(etcd: &Etcd, id: &str, more: &[(&str, &str)]) -> Router {
    with(etcd, id, &[&[LISTEN, ("etcd.room_wait_ms", "2000")], more].concat())
}

/// Three routers that carry each other's clients.
async fn three(etcd: &Etcd) -> [Router; 3] {
    let routers = ["r1", "r2", "r3"].map(|id| relaying(etcd, id, &[]));
    agree(&routers.iter().collect::<Vec<_>>(), &["r1", "r2", "r3"]).await;
    routers
}

/// The same, and they keep their rooms in a Redis.
async fn three_that_keep(etcd: &Etcd, redis: &Redis, more: &[(&str, &str)]) -> [Router; 3] {
    let more = [&[LISTEN], more].concat();
    let routers = ["r1", "r2", "r3"].map(|id| keeping_with(etcd, redis, id, &more));
    agree(&routers.iter().collect::<Vec<_>>(), &["r1", "r2", "r3"]).await;
    routers
}

async fn connections(router: &Router, side: &str) -> Option<f64> {
    metric(router, &format!("signalbox_relay_connections{{side=\"{side}\"}}")).await
}

async fn openings(router: &Router, outcome: &str) -> Option<f64> {
    metric(router, &format!("signalbox_relay_openings_total{{outcome=\"{outcome}\"}}")).await
}

/// How many signals of that op a router has counted as done.
async fn done(router: &Router, op: &str) -> f64 {
    let metrics = get(router.ops, "/metrics").await.body;
    let of = |line: &&str| {
        let op = format!("op=\"{op}\"");
        line.starts_with("signalbox_signals_total{") && line.contains(&op) && line.contains("outcome=\"ok\"")
    };
    metrics.lines().filter(of).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn whoever_is_connected_to_whichever_router_takes_part_in_the_room() {
    let etcd = Etcd::start().await;
    let [one, other, third] = three(&etcd).await;
    let (mut alice, _) = Socket::join(&one, "r", "alice").await;
    let (mut bob, joined) = Socket::join(&other, "r", "bob").await;
    assert_eq!(joined["participants"][0]["identity"], "alice", "{joined}");
    alice.event("participant_joined").await;
    let mut carol = Stream::connect(&third, &Token::new("r", "carol").sign()).await.unwrap();
    let entered = carol.ask(json!({ "join": { "room": "r" } })).await;
    assert_eq!(entered["joined"]["participants"].as_array().map(Vec::len), Some(2), "{entered}");
    bob.event("participant_joined").await;
    // in one order, from and to everybody
    let offset = async |reply: Value| reply["ok"]["offset"].as_u64().unwrap_or_else(|| panic!("{reply}"));
    let first = offset(carol.ask(json!({ "send": { "data": 1 } })).await).await;
    let second = offset(bob.ask(json!({ "send": { "data": 2 } })).await).await;
    let third_said = offset(alice.ask(json!({ "send": { "data": 3 } })).await).await;
    assert_eq!([second, third_said], [first + 1, first + 2]);
    for what in [1, 2] {
        assert_eq!(alice.push_of("data").await["data"], what);
    }
    for what in [1, 3] {
        assert_eq!(bob.push_of("data").await["data"], what);
    }
    // to one alone, across two routers; what is refused is refused by the room's router
    let offer = json!({ "signal": { "to": "bob", "offer": { "sdp": "v=0" } } });
    assert!(carol.ask(offer).await["ok"].is_object());
    assert_eq!(bob.push_of("signal").await["from"], "carol");
    let (code, _) = bob.refusal(json!({ "send": { "to": ["nobody"], "data": 1 } })).await;
    assert_eq!(code, "participant_not_found");
    // a room of its own is no other router's business
    let (mut dave, _) = Socket::join(&other, "another", "dave").await;
    assert!(dave.ask(json!({ "send": { "data": 1 } })).await["ok"].is_object());
    answered("figures", async || {
        let edges = [connections(&other, "edge").await?, connections(&third, "edge").await?];
        (edges == [1.0, 1.0] && connections(&one, "host").await? == 2.0).then_some(())
    })
    .await;
    // each signal is counted once, where it was carried out
    let counted = [done(&one, "send").await, done(&other, "send").await, done(&third, "send").await];
    assert_eq!(counted, [3.0, 1.0, 0.0]);
    assert_eq!([done(&one, "join").await, done(&other, "join").await, done(&third, "join").await], [3.0, 1.0, 0.0]);
    assert_eq!(metric(&one, "signalbox_sessions").await, Some(3.0));
    assert_eq!(metric(&other, "signalbox_relay_openings_total{outcome=\"relayed\"}").await, Some(1.0));
    let trips = metric(&other, "signalbox_relay_round_trip_latency_seconds_count").await;
    assert!(trips >= Some(1.0), "{trips:?}");
    let left = bob.ask(json!({ "leave": {} })).await;
    assert!(left["ok"].is_object(), "{left}");
    alice.event("participant_left").await;
    answered("nobody is carried any more", async || (connections(&other, "edge").await? == 0.0).then_some(())).await;
}

#[tokio::test]
async fn a_session_comes_back_by_any_router() {
    let etcd = Etcd::start().await;
    let [one, other, third] = three(&etcd).await;
    let (mut alice, _) = Socket::join(&one, "r", "alice").await;
    let mut bob = Member::join(&other, "r", "bob").await;
    let gone = std::mem::replace(&mut bob.socket, Socket::connect(&one, &Token::new("r", "x").sign()).await);
    gone.drop_connection();
    alice.event("participant_reconnecting").await;
    assert!(alice.ask(json!({ "send": { "data": 1 } })).await["ok"].is_object());
    assert!(alice.ask(json!({ "send": { "to": ["bob"], "data": 2 } })).await["ok"].is_object());
    assert!(bob.back(&third).await, "by a third router");
    bob.hears(1).await;
    bob.hears(2).await;
    alice.event("participant_resumed").await;
    // and by the room's own, where the connection that still stands elsewhere has lost it
    let mut before = std::mem::replace(&mut bob.socket, Socket::connect(&one, &Token::new("r", "x").sign()).await);
    assert!(bob.back(&one).await);
    let (number, leave) = before.closed().await;
    assert_eq!((number, &leave.unwrap()["code"]), (4520, &json!("replaced")));
    bob.say(3).await;
    assert_eq!(alice.push_of("data").await["data"], 3);
    // another join of the same identity ends it, wherever that comes to
    let (_bob, _) = Socket::join(&third, "r", "bob").await;
    let (_, leave) = bob.socket.closed().await;
    assert_eq!(leave.unwrap()["code"], "replaced");
}

#[tokio::test]
async fn an_opening_that_the_rooms_router_refuses_may_be_followed_by_another() {
    let etcd = Etcd::start().await;
    let [one, other, _third] = three(&etcd).await;
    let admin = Token::new("small", "ops").grant("roomAdmin", true).grant("roomCreate", true).sign();
    let made = ask(one.client, "POST /v1/rooms", &admin, r#"{"name":"small","participants_max":1}"#).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let (_alice, _) = Socket::join(&one, "small", "alice").await;
    let anywhere = Token::new("x", "bob").grant("room", Value::Null).sign();
    let mut bob = Socket::connect(&other, &anywhere).await;
    for _ in 0..2 {
        let (code, _) = bob.refusal(json!({ "join": { "room": "small" } })).await;
        assert_eq!(code, "room_full");
    }
    let (code, _) = bob.refusal(json!({ "send": { "data": 1 } })).await;
    assert_eq!(code, "not_joined");
    let joined = bob.ask(json!({ "join": { "room": "here" } })).await;
    assert!(joined["joined"].is_object(), "{joined}");
    assert!(bob.ask(json!({ "send": { "data": 1 } })).await["ok"].is_object());
    answered("the refused ones are over", async || (connections(&one, "host").await? == 0.0).then_some(())).await;
}

#[tokio::test]
async fn what_the_rooms_router_refuses_before_the_room_sees_it_leaves_the_connection_free_as_well() {
    let etcd = Etcd::start().await;
    // it takes less of a name than the router that the client is connected to
    let one = relaying(&etcd, "r1", &[("limits.metadata_bytes", "10")]);
    let other = relaying(&etcd, "r2", &[]);
    agree(&[&one, &other], &["r1", "r2"]).await;
    let (_alice, _) = Socket::join(&one, "r", "alice").await;
    let anywhere = Token::new("x", "bob").grant("room", Value::Null).grant("canUpdateOwnMetadata", true).sign();
    let mut bob = Socket::connect(&other, &anywhere).await;
    let (code, why) = bob.refusal(json!({ "join": { "room": "r", "metadata": "x".repeat(11) } })).await;
    assert_eq!((code.as_str(), why.contains("metadata")), ("limit_exceeded", true), "{why}");
    let joined = bob.ask(json!({ "join": { "room": "here", "metadata": "x".repeat(11) } })).await;
    assert!(joined["joined"].is_object(), "{joined}");
    assert!(bob.ask(json!({ "send": { "data": 1 } })).await["ok"].is_object());
    answered("bob is there", async || (metric(&other, "signalbox_sessions").await? == 1.0).then_some(())).await;
}

#[tokio::test]
async fn a_rooms_router_that_is_killed_costs_those_who_are_connected_elsewhere_one_resume() {
    let (etcd, redis) = (Etcd::start().await, Redis::start().await);
    // by its lease it would be known in half an hour
    let [one, other, third] = three_that_keep(&etcd, &redis, &[("etcd.lease_seconds", "3600")]).await;
    let mut alice = Member::join(&other, "r", "alice").await;
    let mut first = Member::join(&one, "away", "eve").await;
    first.say(1).await;
    // alice made her room where she is: it is bob who is carried
    let mut bob = Member::join(&one, "r", "bob").await;
    let mut carol = Member::join(&third, "r", "carol").await;
    bob.say(1).await;
    for member in [&mut alice, &mut carol] {
        member.hears(1).await;
    }
    all_is_written(&other).await;
    other.send_signal("KILL");
    for member in [&mut bob, &mut carol] {
        let (number, leave) = member.socket.closed().await;
        let leave = leave.unwrap();
        assert_eq!((number, &leave["code"], &leave["reconnect"]), (4022, &json!("room_unavailable"), &json!(true)));
        assert!(leave["retry_after_ms"].is_u64(), "{leave}");
    }
    assert!(bob.back(&one).await && carol.back(&third).await && alice.back(&third).await);
    bob.say(2).await;
    for member in [&mut alice, &mut carol] {
        member.hears(2).await;
    }
    first.say(2).await;
    let lost = "signalbox_relay_links_ended_total{side=\"edge\",reason=\"lost\"}";
    assert!(metric(&one, lost).await >= Some(1.0));
    let mut taken_over = 0.0;
    for router in [&one, &third] {
        taken_over += metric(router, "signalbox_directory_rooms_taken_over_total").await.unwrap();
    }
    assert_eq!(taken_over, 1.0, "by whoever came first");
}

#[tokio::test]
async fn a_router_that_is_killed_costs_those_that_it_carried_one_resume_and_nobody_else_anything() {
    let etcd = Etcd::start().await;
    let [one, other, third] = three(&etcd).await;
    let (mut alice, _) = Socket::join(&one, "r", "alice").await;
    let mut bob = Member::join(&other, "r", "bob").await;
    let mut carol = Member::join(&third, "r", "carol").await;
    other.send_signal("KILL");
    alice.event("participant_reconnecting").await;
    assert!(alice.ask(json!({ "send": { "data": 1 } })).await["ok"].is_object());
    carol.hears(1).await;
    assert!(bob.back(&third).await);
    bob.hears(1).await;
    carol.say(2).await;
    bob.hears(2).await;
    assert_eq!(alice.push_of("data").await["data"], 2);
}

#[tokio::test]
async fn a_router_that_drains_sends_away_whom_it_carries_and_the_rooms_stay_where_they_are() {
    let etcd = Etcd::start().await;
    let [one, mut other, third] = three(&etcd).await;
    let (mut alice, _) = Socket::join(&one, "r", "alice").await;
    let mut bob = Member::join(&other, "r", "bob").await;
    let mut carol = Member::join(&other, "r", "carol").await;
    other.terminate();
    let advice = bob.socket.push_of("advice").await;
    assert!(advice["reconnect"].is_object(), "{advice}");
    assert!(bob.back(&third).await);
    // who stays is closed at the end of the window; a link that is ended is no loss
    let (number, leave) = carol.socket.closed().await;
    assert_eq!((number, &leave.unwrap()["code"]), (4000, &json!("draining")));
    assert!(carol.back(&one).await);
    other.ended().await;
    assert!(alice.ask(json!({ "send": { "data": 1 } })).await["ok"].is_object());
    bob.hears(1).await;
    carol.hears(1).await;
    let ended = async |reason: &str| {
        metric(&one, &format!("signalbox_relay_links_ended_total{{side=\"host\",reason=\"{reason}\"}}")).await
    };
    assert_eq!([ended("closed").await, ended("lost").await], [Some(1.0), Some(0.0)]);
}

#[tokio::test]
async fn a_rooms_router_that_drains_takes_its_room_along_and_nobody_is_lost() {
    let (etcd, redis) = (Etcd::start().await, Redis::start().await);
    let [mut one, other, third] = three_that_keep(&etcd, &redis, &[]).await;
    let mut alice = Member::join(&one, "r", "alice").await;
    let mut bob = Member::join(&other, "r", "bob").await;
    let mut carol = Member::join(&other, "another", "carol").await;
    let mut stays = Member::join(&one, "alone", "dave").await;
    let mut far = Member::join(&third, "alone", "eve").await;
    alice.say(1).await;
    bob.hears(1).await;
    one.terminate();
    bob.socket.push_of("advice").await;
    assert!(bob.back(&other).await);
    assert!(alice.back(&third).await);
    alice.say(2).await;
    bob.hears(2).await;
    carol.say(1).await;
    // who stays until the end is told why, wherever it is connected
    for member in [&mut stays, &mut far] {
        let (number, leave) = member.socket.closed().await;
        assert_eq!((number, &leave.unwrap()["code"]), (4000, &json!("draining")), "{}", member.identity);
    }
    one.ended().await;
    assert!(far.back(&third).await && stays.back(&other).await);
    far.say(1).await;
    stays.hears(1).await;
}

#[tokio::test]
async fn where_there_is_no_link_clients_are_sent_to_the_rooms_router() {
    let etcd = Etcd::start().await;
    // nobody listens there
    let nowhere = format!("http://{}", free());
    let one = relaying(&etcd, "r1", &[("relay.url", &nowhere)]);
    let stranger = "another-secret-of-another-fleet-another-secret";
    remember(stranger);
    let other = relaying(&etcd, "r2", &[]);
    let third = relaying(&etcd, "r3", &[("resume.secret", stranger)]);
    let fourth = router(&etcd, "r4");
    agree(&[&one, &other, &third, &fourth], &["r1", "r2", "r3", "r4"]).await;
    let (_alice, _) = Socket::join(&one, "r", "alice").await;
    let (_bob, _) = Socket::join(&other, "s", "bob").await;
    let (_dave, _) = Socket::join(&fourth, "t", "dave").await;
    let sent = async |router: &Router, room: &str| {
        let token = Token::new(room, "carol").sign();
        let reply = Socket::connect(router, &token).await.ask(json!({ "join": { "room": room } })).await;
        let text = |key: &str| reply["error"][key].as_str().unwrap_or_default().to_owned();
        (text("code"), text("url"))
    };
    let to = |router: &Router| ("room_elsewhere".to_owned(), format!("ws://{}/v1/signal", router.client));
    assert_eq!(sent(&other, "r").await, to(&one), "nobody answers");
    assert_eq!(sent(&third, "s").await, to(&other), "another secret");
    assert_eq!(sent(&other, "t").await, to(&fourth), "one that takes no links");
    assert_eq!(sent(&fourth, "s").await, to(&other), "one that makes none");
    assert_eq!(openings(&other, "unreachable").await, Some(1.0));
    assert_eq!(openings(&other, "no_address").await, Some(1.0));
    assert_eq!(openings(&third, "unreachable").await, Some(1.0));
    assert!(third.stderr().contains("resume.secret the same there"), "{}", third.stderr());
    let refused = "signalbox_relay_links_ended_total{side=\"host\",reason=\"refused\"}";
    assert_eq!(metric(&other, refused).await, Some(1.0));
}

#[tokio::test]
async fn links_are_secured_by_certificates_that_both_sides_show() {
    let (etcd, folder) = (Etcd::start().await, tempfile::TempDir::new().unwrap());
    let (authority, strangers) = (Authority::new(), Authority::new());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ca = file("ca.pem", &authority.pem());
    let secured = |id: &str, signs: &Authority| {
        let pair = signs.sign(&["127.0.0.1"]);
        let (cert, key) = (file(&format!("{id}.pem"), &pair.certificate), file(&format!("{id}.key"), &pair.key));
        relaying(&etcd, id, &[("relay.ca_file", &ca), ("relay.cert_file", &cert), ("relay.key_file", &key)])
    };
    let (one, other, third) = (secured("r1", &authority), secured("r2", &authority), secured("r3", &strangers));
    agree(&[&one, &other, &third], &["r1", "r2", "r3"]).await;
    let (mut alice, _) = Socket::join(&one, "r", "alice").await;
    let (mut bob, _) = Socket::join(&other, "r", "bob").await;
    assert!(bob.ask(json!({ "send": { "data": 1 } })).await["ok"].is_object());
    assert_eq!(alice.push_of("data").await["data"], 1);
    let mut carol = Socket::connect(&third, &Token::new("r", "carol").sign()).await;
    let reply = carol.ask(json!({ "join": { "room": "r" } })).await;
    assert_eq!(reply["error"]["code"], "room_elsewhere", "{reply}");
    assert_eq!(openings(&third, "unreachable").await, Some(1.0));
}

#[tokio::test]
async fn one_that_reads_slowly_is_closed_where_it_is_and_the_others_hear_all() {
    let etcd = Etcd::start().await;
    let bound = [("limits.outbound_bytes", "65536"), ("rooms.history_bytes", "65536")];
    let [one, other] = ["r1", "r2"].map(|id| relaying(&etcd, id, &bound));
    agree(&[&one, &other], &["r1", "r2"]).await;
    let (mut alice, _) = Socket::join(&one, "r", "alice").await;
    let (mut bob, _) = Socket::join(&other, "r", "bob").await;
    let (slow, _) = Socket::join(&other, "r", "slow").await;
    let text = "x".repeat(30_000);
    let mut left = false;
    for what in 0..2_000_u64 {
        let reply = alice.ask(json!({ "send": { "data": { "what": what, "text": text } } })).await;
        assert!(reply["ok"].is_object(), "{reply}");
        assert_eq!(bob.push_of("data").await["data"]["what"], what);
        let closed = "signalbox_connections_closed_total{transport=\"websocket\",reason=\"slow_reader\"}";
        if what % 50 == 49 && metric(&other, closed).await >= Some(1.0) {
            left = true;
            break;
        }
    }
    assert!(left, "the slow one still stands");
    alice.event("participant_reconnecting").await;
    drop(slow);
    bob.assert_alive().await;
}

#[tokio::test]
async fn a_link_that_is_silent_is_found_as_soon_when_it_is_full() {
    let etcd = Etcd::start().await;
    let [one, other, _third] = three(&etcd).await;
    let (_alice, _) = Socket::join(&one, "r", "alice").await;
    let (mut quiet, _) = Socket::join(&other, "r", "quiet").await;
    let mut busy = Vec::new();
    for number in 0..72 {
        busy.push(Socket::join(&other, "r", &format!("busy-{number}")).await.0);
    }
    one.send_signal("STOP");
    let since = std::time::Instant::now();
    // more than HTTP/2 takes that is not read, and then more than may wait for it
    let (large, small) = ("x".repeat(48 << 10), "x".to_owned());
    for (text, times) in [(large, 2), (small, 24)] {
        let frame = json!({ "send": { "data": text } });
        for client in &mut busy {
            for _ in 0..times {
                client.send(&frame).await;
            }
        }
    }
    // one that says nothing, those whose frames wait, and those that found no place for one
    let mut ends = std::collections::BTreeMap::new();
    for client in [&mut quiet].into_iter().chain(&mut busy) {
        let (_, leave) = client.closed().await;
        let code = leave.unwrap()["code"].as_str().unwrap().to_owned();
        *ends.entry(code).or_insert(0) += 1;
        assert!(since.elapsed() < std::time::Duration::from_secs(6), "{:?}, {ends:?}", since.elapsed());
    }
    assert!(
        ends["room_unavailable"] > 40 && ends.keys().all(|code| code == "room_unavailable" || code == "overloaded"),
        "{ends:?}"
    );
    let silent = "signalbox_relay_links_ended_total{side=\"edge\",reason=\"silent\"}";
    assert_eq!(metric(&other, silent).await, Some(1.0));
}

#[tokio::test]
async fn admins_reach_every_room_by_any_router_and_see_which_router_does_not_answer() {
    let etcd = Etcd::start().await;
    let [one, other, third] = three(&etcd).await;
    let admin = Token::new("x", "ops").grant("room", Value::Null).grant("roomAdmin", true);
    let admin = admin.grant("roomCreate", true).grant("roomList", true).sign();
    let (mut alice, _) = Socket::join(&one, "a room", "alice").await;
    let (_bob, _) = Socket::join(&other, "b", "bob").await;
    let (_carol, _) = Socket::join(&third, "c", "carol").await;
    let call = async |router: &Router, line: &str, body: &str| ask(router.client, line, &admin, body).await;
    let shown = call(&third, "GET /v1/rooms/a%20room", "").await;
    assert_eq!((shown.status, &shown.json()["participants"]), (200, &json!(1)), "{}", shown.body);
    let again = call(&third, "POST /v1/rooms", r#"{"name":"a room"}"#).await;
    assert_eq!((again.status, again.code()), (409, "already_exists".to_owned()), "{}", again.body);
    let sent = call(&other, "POST /v1/rooms/a%20room/send", r#"{"data":7}"#).await;
    assert_eq!(sent.status, 200, "{}", sent.body);
    assert_eq!(alice.push_of("data").await["data"], 7);
    let changed = call(&other, "PATCH /v1/rooms/a%20room/participants/alice", r#"{"name":"A."}"#).await;
    assert_eq!(changed.json()["participant"]["name"], "A.", "{}", changed.body);
    let nobody = call(&other, "DELETE /v1/rooms/a%20room/participants/nobody", "").await;
    assert_eq!(nobody.code(), "participant_not_found", "{}", nobody.body);
    // one list of all, page by page
    let list = async |router: &Router, query: &str| {
        let page = call(router, &format!("GET /v1/rooms{query}"), "").await.json();
        let names: Vec<_> = page["rooms"].as_array().unwrap().iter().map(|room| room["name"].clone()).collect();
        (names, page["next_page_token"].as_str().unwrap_or_default().to_owned(), page["missing_routers"].clone())
    };
    assert_eq!(list(&one, "").await, (vec![json!("a room"), json!("b"), json!("c")], String::new(), Value::Null));
    let (first, next, _) = list(&other, "?page_size=2").await;
    assert_eq!(first, ["a room", "b"]);
    assert_eq!(list(&other, &format!("?page_size=2&page_token={next}")).await.0, ["c"]);
    // a user, wherever they are
    let (_elsewhere, _) = Socket::join(&third, "b", "alice").await;
    let user = call(&third, "GET /v1/users/alice", "").await.json();
    let sessions = user["sessions"].as_array().unwrap();
    let told =
        |session: &Value| [&session["room"], &session["router"], &session["participant"]["state"]].map(Value::clone);
    let expected = [["a room", "r1", "connected"], ["b", "r2", "connected"]].map(|row| row.map(|text| json!(text)));
    assert_eq!(sessions.iter().map(told).collect::<Vec<_>>(), expected, "{user}");
    assert_eq!(call(&one, "GET /v1/users/nobody", "").await.json(), json!({ "identity": "nobody" }));
    let hers = Token::new("b", "bob").grant("roomAdmin", true).sign();
    let refused = ask(one.client, "GET /v1/users/alice", &hers, "").await;
    assert_eq!((refused.status, refused.code()), (403, "wrong_room".to_owned()), "{}", refused.body);
    // one that has gone is named until its lease ends
    third.send_signal("KILL");
    assert_eq!(list(&one, "").await, (vec![json!("a room"), json!("b")], String::new(), json!(["r3"])));
    let (code, table, said) =
        run_to_end(&["rooms", "--url", &format!("http://{}", one.client), "--token", &admin, "list"]);
    assert!(code == 0 && table.contains("a room") && said.contains("router r3 of the fleet"), "{table}{said}");
    let ended = call(&other, "DELETE /v1/rooms/a%20room", "").await;
    assert_eq!(ended.status, 200, "{}", ended.body);
    let (_, leave) = alice.closed().await;
    assert_eq!(leave.unwrap()["code"], "room_deleted");
}
