//! Live configuration, from outside: what changes while a router runs, what is refused, and what stays.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Answer, Router, Socket, Token, answered, ask, eventually, get, get_with, refusal_of};

const SECRET: &str = "secretsecretsecretsecretsecretsecret";
const OTHER: &str = "another-secret-another-secret-another";

/// A router that runs by a file.
struct Configured {
    router: Router,
    folder: TempDir,
    file: PathBuf,
}

impl Configured {
    fn with(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("signalbox.toml");
        Self::by(folder, file, text)
    }

    fn by(folder: TempDir, file: PathBuf, text: &str) -> Self {
        fs::write(&file, text).unwrap();
        let router = Router::by_file(&file);
        Self { router, folder, file }
    }

    /// As an editor does: written beside it, and renamed into place.
    fn write(&self, text: &str) {
        let beside = self.folder.path().join("beside");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &self.file).unwrap();
    }

    async fn shown(&self) -> Value {
        get(self.router.ops, "/api/config").await.json()
    }

    /// Waits until that generation runs and has been told.
    async fn generation(&self, wanted: u64) {
        answered("the generation", async || (self.shown().await["generation"] == wanted).then_some(())).await;
        self.settles("signalbox_config_generation", wanted as f64).await;
    }

    async fn settles(&self, series: &str, wanted: f64) {
        answered(series, async || (self.metric(series).await == wanted).then_some(())).await;
    }

    async fn value(&self, key: &str) -> Value {
        let shown = self.shown().await;
        let row = shown["keys"].as_array().unwrap().iter().find(|row| row["key"] == key).cloned();
        row.unwrap_or_else(|| panic!("no key {key}"))["value"].clone()
    }

    async fn metric(&self, series: &str) -> f64 {
        let scrape = get(self.router.ops, "/metrics").await.body;
        let line = scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
    }

    async fn refused(&self, part: &str) {
        eventually(part, || {
            self.router.stderr().lines().any(|l| l.contains("configuration refused") && l.contains(part))
        })
        .await;
        self.settles("signalbox_config_refused", 1.0).await;
    }

    async fn check(&self, query: &str, text: &str) -> Answer {
        ask(self.router.ops, &format!("POST /api/config/check{query}"), "none", text).await
    }

    /// Whether a token opens the door.
    async fn admits(&self, token: &str) -> bool {
        get(self.router.client, &format!("/v1/signal/validate?access_token={token}")).await.status == 200
    }
}

fn key(kid: &str, secret: &str) -> String {
    format!("[[auth.keys.devkey]]\nkid = \"{kid}\"\nsecret = \"{secret}\"\n")
}

fn base() -> String {
    key("old", SECRET)
}

/// A session that may change its own metadata.
async fn changeable(router: &Configured, identity: &str) -> Socket {
    let token = Token::new("r", identity).grant("canUpdateOwnMetadata", true).sign();
    Socket::join_with(&router.router, "r", &token).await.0
}

async fn set_metadata(socket: &mut Socket, bytes: usize) -> Value {
    socket.ask(json!({ "update": { "metadata": "m".repeat(bytes) } })).await
}

#[tokio::test]
async fn a_lower_limit_holds_for_what_begins_while_a_session_stays() {
    let router = Configured::with(&base());
    let mut alice = changeable(&router, "alice").await;
    assert!(set_metadata(&mut alice, 100).await.get("ok").is_some());
    router.write(&format!("{}[limits]\nsessions = 1\nmetadata_bytes = 50\n", base()));
    router.generation(2).await;
    // the shards have their settings before the generation is told
    let (code, why) = refusal_of(&set_metadata(&mut alice, 100).await);
    assert_eq!(code, "limit_exceeded");
    assert!(why.contains("at most 50"), "{why}");
    assert!(set_metadata(&mut alice, 50).await.get("ok").is_some(), "the session goes on");
    let mut bob = Socket::connect(&router.router, &Token::new("r", "bob").sign()).await;
    let (code, _) = bob.refusal(json!({ "join": { "room": "r" } })).await;
    assert_eq!(code, "router_full");

    router.write(&format!("{}[limits]\nsessions = 200\n", base()));
    router.generation(3).await;
    Socket::join(&router.router, "r", "bob").await;
    alice.assert_alive().await;
    assert!(set_metadata(&mut alice, 100).await.get("ok").is_some());
    router.settles("signalbox_config_reloads_total{result=\"ok\"}", 2.0).await;
    router.settles("signalbox_config_generation", 3.0).await;
}

#[tokio::test]
async fn a_bad_file_is_refused_with_all_its_mistakes_and_everything_stays() {
    let router = Configured::with(&base());
    let before = router.shown().await;
    let mut alice = changeable(&router, "alice").await;
    let bad = format!("{}[limits]\nrooms = 0\nsesions = 3\nmetadata_bytes = 50\n[drain]\nseconds = 9999\n", base());
    router.write(&bad);
    for key in ["limits.rooms", "limits.sesions", "drain.seconds"] {
        router.refused(key).await;
    }
    assert!(set_metadata(&mut alice, 100).await.get("ok").is_some(), "nothing of it is in force");
    let mut now = router.shown().await;
    assert_eq!(now["refused"], true);
    now["refused"] = false.into();
    assert_eq!(now, before);
    for broken in ["[limits\n", "auth = 3\n"] {
        router.write(broken);
        router.refused(if broken.starts_with('[') { "is not TOML" } else { "is a section" }).await;
    }
    fs::remove_file(&router.file).unwrap();
    router.refused("cannot read it").await;

    router.write(&base());
    answered("what runs is what the file says", async || (router.shown().await == before).then_some(())).await;
    router.settles("signalbox_config_refused", 0.0).await;
    router.settles("signalbox_config_generation", 1.0).await;
}

#[tokio::test]
async fn a_key_that_cannot_change_live_is_refused_by_name_and_nothing_of_that_file_is_applied() {
    let router = Configured::with(&base());
    let text = format!("{}[server]\nregion = \"sh\"\n[resume]\nsecret = \"{OTHER}\"\n[limits]\nrooms = 7\n", base());
    router.write(&text);
    router.refused("server.region: \\\"default\\\" -> \\\"sh\\\" needs a restart").await;
    router.refused("resume.secret").await;
    assert_eq!(router.value("limits.rooms").await, 100_000);
    assert!(!router.router.stderr().contains(OTHER));
}

#[tokio::test]
async fn sighup_reads_it_at_once_and_says_so_when_nothing_changed() {
    let router = Configured::with(&base());
    router.router.send_signal("HUP");
    eventually("the line", || router.router.stderr().contains("nothing in it changed")).await;
    router.settles("signalbox_config_reloads_total{result=\"unchanged\"}", 1.0).await;
    router.write(&format!("{}[drain]\nseconds = 7\n", base()));
    router.router.send_signal("HUP");
    router.generation(2).await;
    assert_eq!(router.value("drain.seconds").await, 7);
    eventually("the difference", || router.router.stderr().contains("drain.seconds: 30 -> 7")).await;
}

#[tokio::test]
async fn a_mounted_config_map_is_followed_through_its_symlink_swap() {
    let folder = TempDir::new().unwrap();
    let version = |name: &str, text: &str| {
        let at = folder.path().join(name);
        fs::create_dir(&at).unwrap();
        fs::write(at.join("signalbox.toml"), text).unwrap();
    };
    version("..1", &base());
    version("..2", &format!("{}[drain]\nseconds = 8\n", base()));
    symlink("..1", folder.path().join("..data")).unwrap();
    let file = folder.path().join("signalbox.toml");
    symlink("..data/signalbox.toml", &file).unwrap();
    let router = Router::by_file(&file);
    let router = Configured { router, file, folder };
    symlink("..2", router.folder.path().join("..data_tmp")).unwrap();
    fs::rename(router.folder.path().join("..data_tmp"), router.folder.path().join("..data")).unwrap();
    router.generation(2).await;
    assert_eq!(router.value("drain.seconds").await, 8);
}

#[tokio::test]
async fn the_log_level_changes_and_one_that_an_operator_set_stays_until_the_file_says_otherwise() {
    let router = Configured::with(&format!("{}[log]\nlevel = \"info\"\n", base()));
    let level = async || get(router.router.ops, "/api/log/level").await.json()["level"].clone();
    router.write(&format!("{}[log]\nlevel = \"debug\"\n", base()));
    router.generation(2).await;
    assert_eq!(level().await, "debug");
    Socket::join(&router.router, "r", "alice").await;
    eventually("a line at debug", || router.router.stderr().contains("session opened")).await;

    let put = "PUT /api/log/level";
    assert_eq!(ask(router.router.ops, put, "none", "trace").await.status, 200);
    router.write(&format!("{}[log]\nlevel = \"debug\"\n[drain]\nseconds = 7\n", base()));
    router.generation(3).await;
    assert_eq!(level().await, "trace", "this file says nothing new of it");
    router.write(&format!("{}[log]\nlevel = \"warn\"\n[drain]\nseconds = 7\n", base()));
    router.generation(4).await;
    assert_eq!(level().await, "warn");
}

#[tokio::test]
async fn keys_are_rotated_the_new_one_counts_at_once_and_the_old_one_until_it_is_taken_out() {
    let router = Configured::with(&base());
    let signed = |kid: &str, secret: &str| Token::new("r", "alice").kid(kid).sign_with(secret.as_bytes());
    let (old, new) = (signed("old", SECRET), signed("new", OTHER));
    assert!(router.admits(&old).await && !router.admits(&new).await);
    let (mut alice, _) = Socket::join_with(&router.router, "r", &old).await;

    router.write(&format!("{}{}", base(), key("new", OTHER)));
    router.generation(2).await;
    assert!(router.admits(&old).await && router.admits(&new).await);

    router.write(&key("new", OTHER));
    router.generation(3).await;
    assert!(!router.admits(&old).await && router.admits(&new).await);
    alice.assert_alive().await;
    let told = format!("{}{}", router.router.stderr(), router.shown().await);
    assert!(!told.contains(SECRET) && !told.contains(OTHER));
}

#[tokio::test]
async fn a_key_whose_secret_is_in_a_file_is_rotated_by_that_file() {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    let file = folder.path().join("signalbox.toml");
    let router = Configured::by(folder, file, &format!("[auth.keys.devkey]\nsecret_file = {secret:?}\n"));
    let old = Token::new("r", "alice").sign();
    assert!(router.admits(&old).await);
    fs::write(&secret, OTHER).unwrap();
    router.generation(2).await;
    assert!(!router.admits(&old).await);
    assert!(router.admits(&Token::new("r", "alice").sign_with(OTHER.as_bytes())).await);
}

#[tokio::test]
async fn ten_changes_in_a_row_end_in_the_last() {
    let router = Configured::with(&base());
    for seconds in 100..110 {
        router.write(&format!("{}[drain]\nseconds = {seconds}\n", base()));
        if seconds % 3 == 0 {
            router.router.send_signal("HUP");
        }
    }
    answered("the last one", async || (router.value("drain.seconds").await == 109).then_some(())).await;
    // nothing comes after it
    router.router.send_signal("HUP");
    eventually("the line", || router.router.stderr().contains("nothing in it changed")).await;
    assert_eq!(router.value("drain.seconds").await, 109);
    router.settles("signalbox_config_refused", 0.0).await;
}

#[tokio::test]
async fn the_way_out_and_the_origins_are_those_that_run_then() {
    let mut router = Configured::with(&format!("{}[drain]\nseconds = 3600\n", base()));
    let token = Token::new("r", "alice").sign();
    let asks = format!("/v1/signal/validate?access_token={token}");
    let page = async |router: &Configured| {
        get_with(router.router.client, &asks, &[("Origin", "https://app.example")]).await.status
    };
    assert_eq!(page(&router).await, 403);
    let text =
        "[drain]\nseconds = 0\nreconnect_url = \"wss://there.example\"\n[client]\norigins = \"https://app.example\"\n";
    router.write(&format!("{}{text}", base()));
    router.generation(2).await;
    assert_eq!(page(&router).await, 200);
    let (mut alice, _) = Socket::join(&router.router, "r", "alice").await;
    router.router.terminate();
    let (code, leave) = alice.closed().await;
    assert_eq!((code, leave.unwrap()["reconnect"].as_bool()), (4000, Some(true)));
    assert!(router.router.ended().await.success());
}

#[tokio::test]
async fn a_file_can_be_checked_beforehand_and_nothing_is_applied() {
    let router = Configured::with(&base());
    let before = router.shown().await;
    let live = format!("{}[drain]\nseconds = 7\n", base());
    let told = router.check("", &live).await.json();
    assert_eq!((&told["verdict"], &told["applied"]), (&json!("applicable"), &json!([])));
    assert_eq!(told["changes"], json!([{ "key": "drain.seconds", "from": "30", "to": "7", "live": true }]));

    let fixed = router.check("?format=text", &format!("{live}[server]\nworkers = 3\n")).await;
    assert_eq!(fixed.status, 200);
    assert!(
        fixed.body.contains("1 of its changes need a restart") && fixed.body.contains("server.workers"),
        "{fixed:?}"
    );

    let bad = router.check("", &format!("{live}[limits]\nrooms = 0\nroms = 1\n")).await;
    let mistakes: Vec<_> = bad.json()["mistakes"].as_array().unwrap().iter().map(|m| m["key"].clone()).collect();
    assert_eq!((bad.status, mistakes), (422, vec![json!("limits.roms"), json!("limits.rooms")]));
    assert_eq!(router.check("", &base()).await.json()["verdict"], "unchanged");
    assert_eq!(router.shown().await, before);
}

#[tokio::test]
async fn routers_that_run_the_same_have_the_same_hash() {
    let (one, other) = (Configured::with(&base()), Configured::with(&base()));
    let hash = "signalbox_config_hash";
    assert_eq!(one.metric(hash).await, other.metric(hash).await);
    other.write(&format!("{}[drain]\nseconds = 7\n", base()));
    other.generation(2).await;
    assert_ne!(one.metric(hash).await, other.metric(hash).await);
    one.write(&format!("{}[drain]\nseconds = 7\n", base()));
    one.generation(2).await;
    assert_eq!(one.metric(hash).await, other.metric(hash).await);
}
