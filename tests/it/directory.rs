//! Routers of a fleet and a real etcd: who is seen by whom, and what an etcd that fails costs.

mod acknowledged;
mod etcd;
mod journaled;
mod kept;
mod limits;
mod load;
mod members;
mod merged;
mod nodes;
#[path = "../faults/proxy.rs"]
#[allow(dead_code)] // the table of faults uses all of it
mod proxy;
mod relay;
mod rooms;
mod rules;
mod upgrade;

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use etcd_client::{PermissionType, RoleRevokePermissionOptions};
use serde_json::{Value, json};

use self::etcd::{Etcd, Release, compact};
use crate::harness::{Authority, Router, Socket, answered, free, get, remember, run_to_end};

/// As short as etcd grants one: what ends with it ends within the test.
const LEASE_SECONDS: &str = "2";

/// A client may resume at any router.
const RESUME_SECRET: &str = "resume-secret-of-the-fleet-resume-secret";

/// A router of the fleet.
fn router(etcd: &Etcd, id: &str) -> Router {
    with(etcd, id, &[])
}

fn with(etcd: &Etcd, id: &str, more: &[(&str, &str)]) -> Router {
    at(free(), None, etcd, id, more)
}

/// The same where it was before, or of another build.
fn at(client: SocketAddr, program: Option<&Path>, etcd: &Etcd, id: &str, more: &[(&str, &str)]) -> Router {
    let url = etcd.url();
    let mut settings = vec![
        ("etcd.endpoints", url.as_str()),
        ("etcd.lease_seconds", LEASE_SECONDS),
        ("etcd.timeout_ms", "500"),
        ("server.id", id),
        ("drain.seconds", "3"),
        ("resume.secret", RESUME_SECRET),
    ];
    settings.extend(more);
    remember(RESUME_SECRET);
    let own = format!("ws://{client}/v1/signal");
    if !more.iter().any(|(key, _)| *key == "server.url") {
        settings.push(("server.url", &own));
    }
    match program {
        Some(program) => Router::dev_of(program, client, &settings),
        None => Router::dev_at(client, &settings),
    }
}

/// The fleet as that router sees it.
async fn view(router: &Router) -> Value {
    get(router.ops, "/api/fleet").await.json()["view"].clone()
}

fn ids(view: &Value) -> Vec<String> {
    let rows = view["routers"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Waits until each of them sees these, is registered and has an etcd that answers; and all agree.
async fn agree(routers: &[&Router], expected: &[&str]) {
    answered("the routers agree", async || {
        let mut digests = Vec::new();
        for router in routers {
            let view = view(router).await;
            let well = view["answers"] == true && view["registered"] == true && view["watch"] == "watching";
            if !well || ids(&view) != expected {
                return None;
            }
            digests.push(view["digest"].clone());
        }
        digests.dedup();
        (digests.len() == 1).then_some(())
    })
    .await;
}

/// Why etcd does not do what this router asks for, once it has answered.
async fn refusal(router: &Router) -> String {
    answered("the refusal", async || {
        let view = view(router).await;
        view["why"].as_str().filter(|why| *why != "it was not asked yet").map(str::to_owned)
    })
    .await
}

async fn metric(router: &Router, series: &str) -> Option<f64> {
    let metrics = get(router.ops, "/metrics").await.body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    value.and_then(|value| value.parse().ok())
}

/// Two who are in a room, and go on speaking.
struct Call {
    alice: Socket,
    bob: Socket,
    said: u64,
}

impl Call {
    async fn on(router: &Router) -> Self {
        let (alice, _) = Socket::join(router, "r", "alice").await;
        let (bob, _) = Socket::join(router, "r", "bob").await;
        Self { alice, bob, said: 0 }
    }

    /// To everybody, and to bob alone; each is answered and arrives.
    async fn speak(&mut self) {
        self.said += 1;
        let reply = self.alice.ask(json!({ "send": { "data": self.said } })).await;
        assert!(reply["ok"].is_object(), "{reply}");
        assert_eq!(self.bob.push_of("data").await["data"], self.said);
        let offer = json!({ "signal": { "to": "bob", "offer": { "sdp": "v=0" } } });
        let reply = self.alice.ask(offer).await;
        assert!(reply["ok"].is_object(), "{reply}");
        assert_eq!(self.bob.push_of("signal").await["from"], "alice");
    }

    /// Goes on for so long; the longest that anything took.
    async fn go_on(&mut self, time: Duration) -> Duration {
        let (begun, mut longest) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < time {
            let at = Instant::now();
            self.speak().await;
            longest = longest.max(at.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        longest
    }
}

#[tokio::test]
async fn two_routers_see_each_other_and_one_that_drains_says_so_and_leaves() {
    let etcd = Etcd::start().await;
    let begun = Instant::now();
    let one = with(&etcd, "r1", &[("server.url", "wss://r1.example.com")]);
    // whoever leaves does not wait for the next refresh of a lease as long as they are
    let mut other = with(&etcd, "r2", &[("etcd.lease_seconds", "30")]);
    agree(&[&one, &other], &["r1", "r2"]).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let _call = Call::on(&other).await;
    // with its next refresh, a third of its lease away
    answered("the load of the other", async || {
        let view = view(&one).await;
        (view["routers"][1]["sessions"] == 2 && view["routers"][1]["rooms"] == 1).then_some(())
    })
    .await;
    let seen = view(&one).await;
    assert_eq!((&seen["router"], &seen["routers"][0]["url"]), (&json!("r1"), &json!("wss://r1.example.com")));
    let (code, table, _) = run_to_end(&["fleet", "--url", &format!("http://{}", one.ops)]);
    assert!(code == 0 && table.contains("r1 (this one)") && table.contains("etcd:  answers"), "{table}");
    assert_eq!(metric(&one, "signalbox_directory_routers").await, Some(2.0));
    let digests =
        (metric(&one, "signalbox_directory_digest").await, metric(&other, "signalbox_directory_digest").await);
    assert_eq!(digests.0, digests.1);
    assert!(metric(&one, "signalbox_directory_lease_age_seconds").await < Some(2.0));
    let put = "signalbox_directory_call_latency_seconds_count{call=\"put\"}";
    assert!(metric(&one, put).await >= Some(1.0));

    other.terminate();
    answered("the other drains", async || (view(&one).await["routers"][1]["draining"] == true).then_some(())).await;
    other.ended().await;
    // it gave its lease back: nobody waits for it to end
    agree(&[&one], &["r1"]).await;
    assert!(other.stderr().contains("left the fleet"));
}

#[tokio::test]
async fn an_etcd_that_is_killed_costs_nobody_a_signal_and_what_follows_is_made_good() {
    for release in Release::here() {
        killed(Etcd::of(release).await).await;
    }
}

async fn killed(mut etcd: Etcd) {
    let (one, other) = (router(&etcd, "r1"), router(&etcd, "r2"));
    agree(&[&one, &other], &["r1", "r2"]).await;
    let mut call = Call::on(&one).await;
    call.speak().await;
    etcd.kill();
    // longer than the lease lasts
    let longest = call.go_on(Duration::from_secs(5)).await;
    let away = view(&one).await;
    assert_eq!((&away["answers"], ids(&away)), (&json!(false), vec!["r1".to_owned(), "r2".to_owned()]), "{away}");
    assert!(away["lease_age_seconds"].as_f64() > Some(3.0), "{away}");
    let ready = get(one.ops, "/health/ready").await;
    assert_eq!((ready.status, &ready.json()["directory"]["answers"]), (200, &json!(false)));
    // a newcomer is let in as ever
    let _carol = Socket::join(&one, "another", "carol").await;
    etcd.again().await;
    agree(&[&one, &other], &["r1", "r2"]).await;
    call.speak().await;
    assert!(longest < Duration::from_secs(1), "a signal took {longest:?} while etcd was away");
    assert_eq!(metric(&one, "signalbox_sessions_dropped_total{reason=\"connection_lost\"}").await, Some(0.0));
    let closed = get(one.ops, "/metrics").await.body;
    let closed = closed.lines().filter(|line| line.starts_with("signalbox_sessions_closed_total"));
    assert!(closed.clone().all(|line| line.ends_with(" 0")), "{:?}", closed.collect::<Vec<_>>());
}

#[tokio::test]
async fn an_etcd_that_hangs_is_told_and_found_again() {
    let etcd = Etcd::start().await;
    let one = router(&etcd, "r1");
    agree(&[&one], &["r1"]).await;
    let mut call = Call::on(&one).await;
    etcd.freeze();
    call.go_on(Duration::from_secs(4)).await;
    let hung = view(&one).await;
    assert_eq!((&hung["answers"], &hung["why"]), (&json!(false), &json!("no answer within 500 ms")), "{hung}");
    let late = "signalbox_directory_calls_total{call=\"refresh\",outcome=\"late\"}";
    assert!(metric(&one, late).await >= Some(1.0));
    assert!(metric(&one, "signalbox_directory_watches_lost_total").await >= Some(1.0), "it was silent for a lease");
    etcd.thaw();
    agree(&[&one], &["r1"]).await;
    call.speak().await;
}

#[tokio::test]
async fn what_was_compacted_while_a_router_was_cut_off_is_read_again_whole() {
    for release in Release::here() {
        compacted(Etcd::of(release).await).await;
    }
}

async fn compacted(mut etcd: Etcd) {
    let one = router(&etcd, "r1");
    agree(&[&one], &["r1"]).await;
    let record = json!({
        "version": 1, "id": "r9", "incarnation": "x", "region": "sh", "build": "9.9.9", "started_unix": 1, "later": {},
    });
    etcd.apart(async |mut client| {
        client.put("/signalbox/routers/r9", record.to_string(), None).await.unwrap();
        client.put("/signalbox/routers/r8", "{\"version\":2,\"hide\":\"this\"}", None).await.unwrap();
        client.put("/signalbox/routers/r7", record.to_string(), None).await.unwrap();
        client.delete("/signalbox/routers/r7", None).await.unwrap();
        compact(&mut client).await;
    })
    .await;
    agree(&[&one], &["r1", "r9"]).await;
    // etcd says so to each watch in its own time
    let read = async || metric(&one, "signalbox_directory_reads_total{reason=\"compacted\"}").await;
    answered("routers, media nodes, rules and notices are read again", async || {
        (read().await >= Some(4.0)).then_some(())
    })
    .await;
    assert_eq!(read().await, Some(4.0), "each once");
    let seen = view(&one).await;
    assert_eq!(seen["unreadable"], json!([{ "key": "routers/r8", "why": "version 2; this router reads 1" }]));
    let log = one.stderr();
    let named = log.lines().filter(|line| line.contains("a record of the fleet cannot be read"));
    assert_eq!(named.count(), 1, "named once");
    assert!(!log.contains("hide"), "what stands there is not quoted");
}

#[tokio::test]
async fn a_router_that_is_killed_is_gone_when_its_lease_ends() {
    let etcd = Etcd::start().await;
    let (one, other) = (router(&etcd, "r1"), router(&etcd, "r2"));
    agree(&[&one, &other], &["r1", "r2"]).await;
    other.send_signal("KILL");
    let killed = Instant::now();
    agree(&[&one], &["r1"]).await;
    let took = killed.elapsed();
    // etcd looks for leases that have ended twice a second
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn a_wrong_password_is_told_clearly_and_never_said() {
    for release in Release::here() {
        with_users(Etcd::of(release).await).await;
    }
}

async fn with_users(etcd: Etcd) {
    let mut client = etcd.client().await;
    client.user_add("root", "root", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.user_add("signalbox", "right-password-right-password-right", None).await.unwrap();
    client.role_add("fleet").await.unwrap();
    let all = etcd_client::Permission::new(PermissionType::Readwrite, "/signalbox/").with_prefix();
    client.role_grant_permission("fleet", all).await.unwrap();
    client.user_grant_role("signalbox", "fleet").await.unwrap();
    client.auth_enable().await.unwrap();
    for password in ["right-password-right-password-right", "wrong-password-wrong-password-wrong"] {
        remember(password);
    }
    let wrong =
        with(&etcd, "r1", &[("etcd.username", "signalbox"), ("etcd.password", "wrong-password-wrong-password-wrong")]);
    let why = refusal(&wrong).await;
    assert!(why.contains("authentication failed, invalid user ID or password"), "{why}");
    assert_eq!(get(wrong.ops, "/health/ready").await.status, 200);
    let denied = "signalbox_directory_calls_total{call=\"grant\",outcome=\"denied\"}";
    assert!(metric(&wrong, denied).await >= Some(1.0));
    let nobody = router(&etcd, "r2");
    let why = refusal(&nobody).await;
    assert!(why.contains("user name is empty") || why.contains("permission denied"), "{why}");
    let file = etcd.file("password", "right-password-right-password-right\n");
    let file = file.to_str().unwrap();
    let right = with(&etcd, "r3", &[("etcd.username", "signalbox"), ("etcd.password_file", file)]);
    agree(&[&right], &["r3"]).await;
    // what it may do is taken away while it runs: told, and not the end of anything
    let mut client =
        etcd_client::Client::connect([etcd.url()], Some(etcd_client::ConnectOptions::new().with_user("root", "root")))
            .await
            .unwrap();
    let options = RoleRevokePermissionOptions::new().with_prefix();
    client.role_revoke_permission("fleet", "/signalbox/", Some(options)).await.unwrap();
    answered("the refusal", async || {
        let view = view(&right).await;
        view["why"].as_str().filter(|why| why.contains("permission denied")).map(drop)
    })
    .await;
    Call::on(&right).await.speak().await;
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_told_clearly() {
    let (theirs, others) = (Authority::new(), Authority::new());
    let etcd = Etcd::with_certificate_of(&theirs).await;
    std::fs::write(etcd.folder().join("ca.pem"), theirs.pem()).unwrap();
    let other = etcd.file("other.pem", &others.pem());
    let wrong = with(&etcd, "r1", &[("etcd.ca_file", other.to_str().unwrap())]);
    let why = refusal(&wrong).await;
    assert!(why.contains("certificate"), "{why}");
    let right = etcd.folder().join("ca.pem");
    let right = with(&etcd, "r2", &[("etcd.ca_file", right.to_str().unwrap())]);
    agree(&[&right], &["r2"]).await;
    // the files are read for each connection: the right authority in the place of the wrong one is enough
    std::fs::write(&other, theirs.pem()).unwrap();
    agree(&[&wrong, &right], &["r1", "r2"]).await;
}

#[tokio::test]
async fn without_an_etcd_a_router_starts_serves_and_registers_once_there_is_one() {
    let mut etcd = Etcd::start().await;
    etcd.kill();
    let one = router(&etcd, "r1");
    let mut call = Call::on(&one).await;
    let why = refusal(&one).await;
    assert!(why.to_lowercase().contains("refused"), "{why}");
    assert!(one.stderr().contains("etcd did not do it; trying on"));
    assert_eq!(get(one.ops, "/health/ready").await.status, 200);
    etcd.again().await;
    agree(&[&one], &["r1"]).await;
    call.speak().await;
}

#[tokio::test]
async fn a_member_that_is_away_is_passed_over() {
    let (etcd, away) = (Etcd::start().await, free());
    let members = format!("http://{away},{}", etcd.url());
    let one = with(&etcd, "r1", &[("etcd.endpoints", &members)]);
    agree(&[&one], &["r1"]).await;
}

#[tokio::test]
async fn a_router_that_runs_alone_has_no_fleet() {
    let alone = Router::dev();
    let told = get(alone.ops, "/api/fleet").await.json();
    assert_eq!(told, json!({ "mode": "embedded", "view": null, "fabric": null }));
    assert_eq!(metric(&alone, "signalbox_directory_lease_age_seconds").await, None);
    let (code, said, _) = run_to_end(&["fleet", "--url", &format!("http://{}", alone.ops)]);
    assert_eq!((code, said.trim()), (0, "this router runs alone: etcd.endpoints is empty"));
}
