//! Rooms of a fleet: each is on one router, whoever it is asked of, and when routers or etcd go it is on another one.

use etcd_client::PutOptions;

use super::*;
use crate::harness::{Token, ask};

/// Three routers of a fleet that see each other.
async fn three(etcd: &Etcd) -> [Router; 3] {
    let routers = ["r1", "r2", "r3"].map(|id| router(etcd, id));
    agree(&routers.iter().collect::<Vec<_>>(), &["r1", "r2", "r3"]).await;
    routers
}

fn url(router: &Router) -> String {
    format!("ws://{}/v1/signal", router.client)
}

/// The refusal of an opening: its code, and where it sends.
async fn sent_to(router: &Router, token: &str, frame: Value) -> (String, String) {
    let reply = Socket::connect(router, token).await.ask(frame).await;
    let text = |key: &str| reply["error"][key].as_str().unwrap_or_default().to_owned();
    (text("code"), text("url"))
}

fn join(room: &str) -> Value {
    json!({ "join": { "room": room } })
}

fn elsewhere(router: &Router) -> (String, String) {
    ("room_elsewhere".to_owned(), url(router))
}

#[tokio::test]
async fn who_wants_into_a_room_is_sent_to_the_router_that_has_it() {
    let etcd = Etcd::start().await;
    let [one, other, third] = three(&etcd).await;
    let (mut alice, joined) = Socket::join(&one, "r/a room", "alice").await;
    let bob = Token::new("r/a room", "bob").sign();
    assert_eq!(sent_to(&other, &bob, join("r/a room")).await, elsewhere(&one));
    let (mut bob, _) = Socket::join(&one, "r/a room", "bob").await;
    assert!(alice.ask(json!({ "send": { "data": 1 } })).await["ok"].is_object());
    assert_eq!(bob.push_of("data").await["data"], 1);
    // a client that lost its connection comes back wherever a balancer sends it
    alice.drop_connection();
    let resume = json!({ "resume": {
        "resume_token": joined["resume_token"], "epoch": joined["epoch"], "offset": joined["offset"], "seq": 0,
    } });
    let token = Token::new("r/a room", "alice").sign();
    assert_eq!(sent_to(&third, &token, resume.clone()).await, elsewhere(&one));
    let reply = Socket::connect(&one, &token).await.ask(resume).await;
    assert_eq!(reply["resumed"]["recovered"], true, "{reply}");
    // admins are told as well, and none of them makes the room anew
    let admin = Token::new("r/a room", "ops").grant("roomAdmin", true).grant("roomCreate", true).sign();
    let told = ask(other.client, "GET /v1/rooms/r%2Fa%20room", &admin, "").await;
    assert_eq!((told.status, &told.json()["error"]["url"]), (421, &json!(url(&one))), "{}", told.body);
    let told = ask(other.client, "POST /v1/rooms", &admin, r#"{"name":"r/a room"}"#).await;
    assert_eq!(told.status, 421, "{}", told.body);
    assert_eq!(ask(one.client, "GET /v1/rooms/r%2Fa%20room", &admin, "").await.status, 200);
    let there = format!("http://{}", other.client);
    let (code, shown, said) = run_to_end(&["rooms", "--url", &there, "participants", "r/a room"]);
    assert!(code == 0 && shown.contains("bob"), "signalbox rooms follows: {shown}{said}");
    let found = |of: &str| format!("signalbox_directory_rooms_sought_total{{found=\"{of}\"}}");
    assert_eq!(metric(&other, &found("elsewhere")).await, Some(4.0));
    assert!(metric(&one, &found("here")).await >= Some(3.0));
    assert_eq!(metric(&one, "signalbox_directory_rooms_unwritten").await, Some(0.0));
}

#[tokio::test]
async fn a_token_for_another_room_leaves_no_record_behind() {
    let etcd = Etcd::start().await;
    let one = with(&etcd, "r1", &[("rooms.auto_create", "false")]);
    agree(&[&one], &["r1"]).await;
    let refused = async |token: &Token, room: &str| sent_to(&one, &token.sign(), join(room)).await.0;
    assert_eq!(refused(&Token::new("hers", "eve"), "other").await, "wrong_room");
    assert_eq!(refused(&Token::new("hers", "eve"), "hers").await, "room_not_found");
    assert_eq!(etcd.keys("/signalbox/rooms/").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_router_that_drains_hands_its_rooms_over_whole() {
    let etcd = Etcd::start().await;
    let [mut one, other, _third] = three(&etcd).await;
    let (mut alice, _) = Socket::join(&one, "r", "alice").await;
    let (mut bob, _) = Socket::join(&one, "r", "bob").await;
    one.terminate();
    answered("it says that it drains", async || (view(&other).await["routers"][0]["draining"] == true).then_some(()))
        .await;
    // the first who goes takes the room along, and the others follow at once
    let (_carol, _) = Socket::join(&other, "r", "carol").await;
    for left in [&mut alice, &mut bob] {
        let (number, leave) = left.closed().await;
        let leave = leave.unwrap();
        assert_eq!((number, &leave["url"], &leave["reconnect"]), (4017, &json!(url(&other)), &json!(true)), "{leave}");
    }
    let (_alice, joined) = Socket::join(&other, "r", "alice").await;
    assert_eq!(joined["participants"][0]["identity"], "carol");
    one.ended().await;
    assert_eq!(metric(&other, "signalbox_directory_rooms_taken_over_total").await, Some(1.0));
}

#[tokio::test]
async fn a_room_of_a_router_that_is_killed_is_free_when_its_lease_ends() {
    let etcd = Etcd::start().await;
    let [one, other, _third] = three(&etcd).await;
    let (_alice, _) = Socket::join(&one, "r", "alice").await;
    one.send_signal("KILL");
    let killed = Instant::now();
    let bob = Token::new("r", "bob").sign();
    answered("somebody is let in elsewhere", async || {
        let reply = Socket::connect(&other, &bob).await.ask(join("r")).await;
        reply["joined"].is_object().then_some(())
    })
    .await;
    // silent for half a lease of two seconds, or a second past its end
    assert!(killed.elapsed() < Duration::from_secs(6), "{:?}", killed.elapsed());
}

#[tokio::test]
async fn with_etcd_away_nobody_waits_and_of_two_rooms_of_one_name_one_makes_way_when_it_is_back() {
    let mut etcd = Etcd::start().await;
    let [one, other, _third] = three(&etcd).await;
    let (mut old, _) = Socket::join(&one, "old", "alice").await;
    etcd.kill();
    let begun = Instant::now();
    let (mut alice, _) = Socket::join(&one, "new", "alice").await;
    let (mut bob, _) = Socket::join(&other, "new", "bob").await;
    let (_carol, _) = Socket::join(&one, "old", "carol").await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(metric(&one, "signalbox_directory_rooms_sought_total{found=\"unknown\"}").await >= Some(1.0));
    answered("it is told that the fleet does not know of a room", async || {
        (metric(&one, "signalbox_directory_rooms_unwritten").await >= Some(1.0)).then_some(())
    })
    .await;
    etcd.again().await;
    let given_up = async |router: &Router| metric(router, "signalbox_directory_rooms_given_up_total").await;
    let loser = answered("one of them makes way", async || {
        match (given_up(&one).await >= Some(1.0), given_up(&other).await >= Some(1.0)) {
            (false, false) => None,
            (first, _) => Some(first),
        }
    })
    .await;
    let (left, stays, at) = if loser { (&mut alice, &mut bob, &other) } else { (&mut bob, &mut alice, &one) };
    let (number, leave) = left.closed().await;
    assert_eq!((number, &leave.unwrap()["url"]), (4017, &json!(url(at))));
    stays.assert_alive().await;
    old.assert_alive().await;
    agree(&[&one, &other], &["r1", "r2", "r3"]).await;
    assert_eq!(
        (given_up(&one).await, given_up(&other).await),
        if loser { (Some(1.0), Some(0.0)) } else { (Some(0.0), Some(1.0)) }
    );
}

#[tokio::test]
async fn who_waited_for_an_etcd_that_hangs_is_let_in_and_was_in_no_queue() {
    let etcd = Etcd::start().await;
    // longer than a signal may take by itself, and than a queue may be
    let one = with(&etcd, "r1", &[("etcd.room_wait_ms", "400"), ("etcd.timeout_ms", "2000")]);
    agree(&[&one], &["r1"]).await;
    let (mut bystander, _) = Socket::join(&one, "known", "bob").await;
    etcd.freeze();
    let begun = Instant::now();
    for room in ["a", "b", "c"] {
        let (_alice, _) = Socket::join(&one, room, "alice").await;
        bystander.assert_alive().await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(1_200), "each waited: {:?}", begun.elapsed());
    let refused = get(one.ops, "/metrics").await.body;
    let refused = refused.lines().filter(|line| line.starts_with("signalbox_guard_sheds_total{"));
    let refused: Vec<_> = refused.collect();
    assert!(!refused.is_empty() && refused.iter().all(|line| line.ends_with(" 0")), "{refused:?}");
    etcd.thaw();
}

#[tokio::test]
async fn calls_go_on_whichever_router_each_of_their_members_comes_to() {
    let etcd = Etcd::start().await;
    let routers = three(&etcd).await;
    let urls: Vec<String> = routers.iter().map(url).collect();
    for transport in ["ws", "grpc"] {
        let scheme = |url: &String| match transport {
            "ws" => url.clone(),
            _ => url.replace("ws://", "http://").replace("/v1/signal", ""),
        };
        let urls: Vec<String> = urls.iter().map(scheme).collect();
        let mut line =
            vec!["load", "call", "--transport", transport, "--seconds", "4", "--rooms", "6", "--size", "4", "--json"];
        urls.iter().for_each(|url| line.extend(["--url", url]));
        let (code, report, said) = run_to_end(&line);
        let report: Value = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{report} {said}"));
        assert_eq!((code, &report["lost"], &report["unanswered"]), (0, &json!(0), &json!(0)), "{report}");
        assert!(report["sent_on"].as_u64() > Some(4), "{report}");
    }
    for router in &routers {
        let opened = get(router.ops, "/metrics").await.body;
        let opened = opened.lines().filter(|line| line.starts_with("signalbox_rooms_created_total"));
        assert!(opened.clone().any(|line| !line.ends_with(" 0")), "each has rooms: {:?}", opened.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn apart_routers_have_rooms_of_their_own() {
    let etcd = Etcd::start().await;
    let routers = ["r1", "r2"].map(|id| with(&etcd, id, &[("etcd.rooms", "apart")]));
    agree(&routers.iter().collect::<Vec<_>>(), &["r1", "r2"]).await;
    for router in &routers {
        let (_alice, joined) = Socket::join(router, "r", "alice").await;
        assert!(joined["participants"].is_null(), "{joined}");
    }
    assert_eq!(etcd.keys("/signalbox/rooms/").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_record_that_somebody_takes_away_is_written_again_and_one_of_no_room_is_taken_away() {
    let etcd = Etcd::start().await;
    let one = router(&etcd, "r1");
    let _alice = Socket::join(&one, "r", "alice").await;
    let mut client = etcd.client().await;
    let (value, lease) = answered("the record", async || {
        let found = client.get("/signalbox/rooms/r", None).await.unwrap();
        found.kvs().first().map(|pair| (pair.value().to_vec(), pair.lease()))
    })
    .await;
    client.put("/signalbox/rooms/nobody's", value, Some(PutOptions::new().with_lease(lease))).await.unwrap();
    client.delete("/signalbox/rooms/r", None).await.unwrap();
    answered("the one record", async || (etcd.keys("/signalbox/rooms/").await == ["/signalbox/rooms/r"]).then_some(()))
        .await;
    for side in ["here", "there"] {
        let mended = format!("signalbox_directory_rooms_mended_total{{side=\"{side}\"}}");
        assert_eq!(metric(&one, &mended).await, Some(1.0), "{side}");
    }
    let told = answered("both sides are one", async || {
        let told = get(one.ops, "/api/fleet").await.json()["view"]["rooms_compared"].take();
        (told["here"] == told["there"] && told["here"]["rooms"] == 1).then_some(told)
    })
    .await;
    assert_eq!(told["here"]["digest"].as_str().unwrap().len(), 12, "{told}");
    let (code, shown, said) = run_to_end(&["fleet", "--url", &format!("http://{}", one.ops)]);
    assert!(code == 0 && shown.contains("rooms: 1 here, digest "), "{shown}{said}");
    let log = one.stderr();
    let line = log.lines().find(|line| line.contains("rooms and their records differ")).unwrap();
    assert!(line.contains("without_record=r") || line.contains("\"without_record\":\"r\""), "{line}");
    assert!(line.contains("nobody's"), "{line}");
}
