//! nginx and HAProxy in front of routers, by the files in `deploy/proxies`: all of a room is on one router, who drains gets nothing new,
//! who dies moves its own rooms only, and a router sees the client's address.

mod proxy;

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use self::proxy::{Kind, Proxy};
use crate::harness::{Router, Socket, Stream, Token, answered, ask, eventually, get, repository, run_to_end};

/// So many that each of three routers gets some.
const ROOMS: usize = 30;

/// Where clients come from: loopback, and no proxy's address.
const FROM: &str = "127.0.0.77:0";

/// What a client claims to be.
const CLAIMED: &str = "6.6.6.6";

/// A router that knows of no other one, and believes proxies on this machine. It drains until it is told once more.
fn router(more: &[(&str, &str)]) -> Router {
    let settings = [("client.trusted_proxies", "127.0.0.1"), ("drain.seconds", "3600")];
    Router::dev_with(&[&settings, more].concat())
}

/// Connected through the proxy by that query, with a claim of who it is.
async fn connect(at: SocketAddr, query: &str, token: &str) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(FROM.parse().unwrap()).unwrap();
    let tcp = socket.connect(at).await.unwrap();
    Socket::upgrade_at(&format!("ws://{at}/v1/signal?{query}"), token, tcp, &[("x-forwarded-for", CLAIMED)]).await.0
}

/// In the room, which is written so in the query; and who was there.
async fn join_by(at: SocketAddr, written: &str, room: &str, identity: &str) -> (Socket, Vec<String>) {
    let mut socket = connect(at, &format!("room={written}"), &Token::new(room, identity).sign()).await;
    let reply = socket.ask(json!({ "join": { "room": room } })).await;
    assert!(reply["joined"].is_object(), "{reply}");
    let there = present(&reply);
    (socket, there)
}

async fn join(at: SocketAddr, room: &str, identity: &str) -> (Socket, Vec<String>) {
    join_by(at, room, room, identity).await
}

fn present(reply: &Value) -> Vec<String> {
    let participants = reply["joined"]["participants"].as_array().cloned().unwrap_or_default();
    participants.iter().map(|one| one["identity"].as_str().unwrap().to_owned()).collect()
}

/// Which routers have each room, by their number.
async fn places(routers: &[&Router]) -> BTreeMap<String, Vec<usize>> {
    let token = Token::new("any", "ops").grant("roomList", true).sign();
    let mut places = BTreeMap::<String, Vec<usize>>::new();
    for (number, router) in routers.iter().enumerate() {
        let list = ask(router.client, "GET /v1/rooms", &token, "").await.json();
        for room in list["rooms"].as_array().cloned().unwrap_or_default() {
            places.entry(room["name"].as_str().unwrap().to_owned()).or_default().push(number);
        }
    }
    places
}

/// How many sessions it has opened so far.
async fn opened(router: &Router) -> String {
    let metrics = get(router.ops, "/metrics").await.body;
    metrics.lines().find(|line| line.starts_with("signalbox_sessions_opened_total")).unwrap().to_owned()
}

/// Two members of each room, who hear each other.
async fn members(at: SocketAddr) -> Vec<(String, [Socket; 2])> {
    let mut members = Vec::new();
    for number in 0..ROOMS {
        let room = format!("room-{number}");
        let (mut alice, there) = join(at, &room, "alice").await;
        assert_eq!(there, Vec::<String>::new());
        let (mut bob, there) = join(at, &room, "bob").await;
        assert_eq!(there, ["alice"], "{room}");
        assert!(alice.ask(json!({ "send": { "data": number } })).await["ok"].is_object());
        assert_eq!(bob.push_of("data").await["data"], number);
        members.push((room, [alice, bob]));
    }
    members
}

/// Each router saw its clients' own addresses, not what they claimed and not the proxy's.
async fn saw_the_clients(routers: &[&Router]) {
    for router in routers {
        eventually("connections in the log", || {
            let log = router.stderr();
            assert!(!log.contains(CLAIMED), "a client's claim is believed");
            let mut opened =
                log.lines().filter(|line| line.contains("connection opened") && line.contains("websocket"));
            let first = opened.next();
            first.is_some() && first.into_iter().chain(opened).all(|line| line.contains("127.0.0.77"))
        })
        .await;
    }
}

/// A router dies: what it had is with others, and everybody else is where he was.
async fn one_dies(at: SocketAddr, before: &BTreeMap<String, Vec<usize>>, routers: [&Router; 3]) -> Vec<Socket> {
    routers[1].send_signal("KILL");
    let mut late = Vec::new();
    for (room, place) in before {
        let (carol, there) = join(at, room, "carol").await;
        let expected: &[&str] = if place == &[1] { &[] } else { &["alice", "bob"] };
        let mut there: Vec<_> = there.iter().map(String::as_str).collect();
        there.sort_unstable();
        assert_eq!(there, expected, "{room} of router {place:?}");
        late.push(carol);
    }
    late
}

/// A router drains: who is there stays for now, and nobody new comes to it.
async fn one_drains(at: SocketAddr, before: &BTreeMap<String, Vec<usize>>, routers: [&Router; 3]) {
    let draining = routers[2];
    draining.terminate();
    eventually("the drain's beginning", || draining.stderr().contains("draining")).await;
    let room = before.iter().find(|(_, place)| **place == [2]).unwrap().0;
    let path = format!("/v1/signal/validate?room={room}&access_token={}", Token::new(room, "dora").sign());
    answered("the proxy leaves it out", async || (get(at, &path).await.status == 200).then_some(())).await;
    let count = opened(draining).await;
    let mut staying = Vec::new();
    for room in before.keys().map(String::as_str).chain(["new-1", "new-2", "new-3", "new-4", "new-5", "new-6"]) {
        let (dora, there) = join(at, room, "dora").await;
        let stays = before.get(room) == Some(&vec![0]);
        assert_eq!(there.contains(&"alice".to_owned()), stays, "{room}");
        staying.push(dora);
    }
    assert_eq!(opened(draining).await, count, "nothing new");
    assert!(places(&routers[..1]).await.len() == before.len() + 6);
}

async fn holds_rooms_together(kind: Kind) {
    let routers = [router(&[]), router(&[]), router(&[])];
    let routers = routers.each_ref();
    let proxy = Proxy::start(kind, &routers, |text| text).await;
    let mut members = members(proxy.client).await;
    let before = places(&routers).await;
    assert_eq!(before.len(), ROOMS, "{before:?}");
    assert!(before.values().all(|place| place.len() == 1), "{before:?}");
    assert!((0..3).all(|number| before.values().any(|place| place == &[number])), "{before:?}");
    // over gRPC it is the same router; one that says no room comes to any
    for (room, _) in members.iter().take(6) {
        let token = Token::new(room, "grace").sign();
        let mut grace = Stream::connect_at(proxy.grpc, &token, &[("x-room", room)]).await.unwrap();
        let reply = grace.ask(json!({ "join": { "room": room } })).await;
        assert_eq!(present(&reply).len(), 2, "{room}: {reply}");
        assert!(grace.ask(json!({ "leave": {} })).await["error"].is_null());
    }
    connect(proxy.client, "", &Token::new("room-0", "alice").sign()).await.drop_connection();
    saw_the_clients(&routers).await;

    let _late = one_dies(proxy.client, &before, routers).await;
    one_drains(proxy.client, &before, routers).await;
    for (room, sockets) in &mut members {
        if before[room] != [1] {
            for socket in sockets {
                socket.assert_alive().await;
            }
        }
    }
    let log = proxy.log();
    assert!(!log.contains("access_token") && !log.contains("room=") && log.contains("/v1/signal/validate"), "{log}");
}

#[tokio::test]
async fn nginx_sends_all_of_a_room_to_one_router_and_passes_over_who_drains_or_died() {
    holds_rooms_together(Kind::Nginx).await;
}

#[tokio::test]
async fn haproxy_sends_all_of_a_room_to_one_router_and_passes_over_who_drains_or_died() {
    holds_rooms_together(Kind::Haproxy).await;
}

#[tokio::test]
async fn haproxy_tells_addresses_by_the_proxy_protocol_and_hashes_a_name_as_it_is_meant() {
    let routers = [(); 3].map(|()| router(&[("client.proxy_protocol", "true")]));
    let routers = routers.each_ref();
    let proxy = Proxy::start(Kind::Haproxy, &routers, |text| {
        let (plain, told) = (
            "\n    default-server check port 9600 inter 1s fastinter 250ms fall 2 rise 2\n",
            "\n    # default-server check port 9600 inter 1s fastinter 250ms fall 2 rise 2 send-proxy-v2\n",
        );
        assert!(text.contains(plain) && text.contains(told) && text.contains("\n    option forwardfor\n"));
        text.replace(plain, "\n").replace(told, &told.replace("# ", "")).replace("\n    option forwardfor\n", "\n")
    })
    .await;
    let mut kept = Vec::new();
    for number in 0..8 {
        let room = format!("a room/{number}");
        let ways = [format!("a%20room/{number}"), format!("a+room%2F{number}"), format!("%61%20room%2f{number}")];
        for (before, written) in ways.iter().enumerate() {
            let (socket, there) = join_by(proxy.client, written, &room, &format!("member-{before}")).await;
            assert_eq!(there.len(), before, "{written}");
            kept.push(socket);
        }
    }
    for router in routers {
        assert!(!router.stderr().contains(CLAIMED));
    }
    eventually("the clients' own address", || {
        let logs: String = routers.iter().map(|router| router.stderr()).collect();
        let lines: Vec<_> = logs.lines().filter(|line| line.contains("connection opened")).collect();
        lines.len() >= kept.len() && lines.iter().all(|line| line.contains("127.0.0.77"))
    })
    .await;
}

/// A router pings who is silent and ends who does not answer; a proxy that is sooner would end who is well.
#[test]
fn no_proxy_gives_a_silent_connection_up_before_its_router() {
    let (_, keys, _) = run_to_end(&["config", "show", "--dev", "--json"]);
    let keys: Vec<Value> = serde_json::from_str(&keys).unwrap();
    let value = |name: &str| keys.iter().find(|key| key["key"] == name).and_then(|key| key["value"].as_u64()).unwrap();
    let patience = value("client.idle_timeout_seconds").max(value("client.ping_seconds"));
    for (file, waits) in [
        ("nginx.conf", ["proxy_read_timeout ", "proxy_send_timeout ", "grpc_read_timeout "]),
        ("haproxy.cfg", ["timeout client ", "timeout server ", "timeout tunnel "]),
    ] {
        let text = std::fs::read_to_string(repository("deploy/proxies").join(file)).unwrap();
        for wait in waits {
            let said: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix(wait)).collect();
            assert!(!said.is_empty(), "{file}: {wait}");
            for time in said {
                let time = humantime::parse_duration(time.trim_end_matches(';')).unwrap();
                assert!(time.as_secs() > patience, "{file}: {wait}{time:?}");
            }
        }
    }
}
