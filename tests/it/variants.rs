//! Gray release from outside: who gets which variant, how shares change while a router runs, and what the commands do.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Router, Socket, Stream, Token, answered, ask, get, get_with, run_to_end};

const BASE: &str = "\
# whose tokens
[auth.keys.devkey]
secret = \"secretsecretsecretsecretsecretsecret\"

[variants]
names = [\"canary\", \"beta\"]

[[variants.rules]]
name = \"testers\"
variant = \"beta\"
ab_tag = \"blue\"

[[variants.rules]]
name = \"staff\"
variant = \"canary\"
users = [\"sue\"]

# how many
[[variants.rules]]
name = \"canary-share\"
variant = \"canary\"
percent = 0 # so far

[[variants.rules]]
name = \"phones\"
variant = \"beta\"
device_type = \"^phone-[78]$\"
";

/// A router that runs by a file.
struct Gray {
    router: Router,
    _folder: TempDir,
    file: PathBuf,
}

impl Gray {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("signalbox.toml");
        fs::write(&file, BASE).unwrap();
        Self { router: Router::by_file(&file), _folder: folder, file }
    }

    /// Waits until the file has been read again: told once all parts have taken it up.
    async fn reloaded(&self) {
        let second = async || (get(self.router.ops, "/api/config").await.json()["generation"] == 2).then_some(());
        answered("the new configuration", second).await;
    }

    async fn variants(&self, query: &str) -> Value {
        get(self.router.ops, &format!("/api/variants{query}")).await.json()
    }

    /// Sessions of a variant.
    async fn sessions(&self, variant: &str) -> i64 {
        let shown = self.variants("").await;
        let rows = shown["variants"].as_array().unwrap();
        rows.iter().find(|row| row["variant"] == variant).map_or(0, |row| row["sessions"].as_i64().unwrap())
    }

    /// Connections that got a variant by that kind of rule.
    async fn assigned(&self, variant: &str, by: &str) -> u64 {
        let scrape = get(self.router.ops, "/metrics").await.body;
        let series = format!("signalbox_variant_assignments_total{{variant=\"{variant}\",by=\"{by}\"}} ");
        scrape.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
    }

    /// The variant of a room, as the admin API shows it.
    async fn of_room(&self, room: &str) -> Value {
        let admin = Token::new(room, "root").grant("roomAdmin", true).sign();
        ask(self.router.client, &format!("GET /v1/rooms/{room}"), &admin, "").await.json()["variant"].take()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    /// Runs a command about variants: its exit code, and what it said.
    async fn command(&self, arguments: &[&str]) -> (i32, String) {
        let (file, url) = (self.file.display().to_string(), format!("http://{}", self.router.ops));
        let fill = |argument: &&str| argument.replace("FILE", &file).replace("ROUTER", &url);
        let arguments: Vec<String> = ["variant"].iter().chain(arguments).map(fill).collect();
        let run = move || run_to_end(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let (code, said, complaints) = tokio::task::spawn_blocking(run).await.unwrap();
        (code, format!("{said}{complaints}"))
    }
}

async fn join(socket: &mut Socket, room: &str) -> Value {
    let reply = socket.ask(json!({ "join": { "room": room } })).await;
    assert!(reply["joined"].is_object(), "{reply}");
    reply["joined"].clone()
}

#[tokio::test]
async fn headers_metadata_the_query_and_the_token_say_who_gets_which_and_the_session_and_its_room_keep_it() {
    let gray = Gray::start();
    let token = |identity: &str| Token::new("", identity).sign();
    let (mut tagged, _) = Socket::connect_with(&gray.router, &token("ann"), &[("x-ab-tag", "blue")]).await;
    join(&mut tagged, "tagged").await;
    let mut sue = Socket::connect(&gray.router, &token("sue")).await;
    join(&mut sue, "of-sue").await;
    let mut phone = Stream::connect_with(&gray.router, &token("bob"), &[("x-device-type", "phone-7")]).await.unwrap();
    let joined = phone.ask(json!({ "join": { "room": "on-the-phone" } })).await;
    assert!(joined["joined"].is_object(), "{joined}");
    // a claim is a hint: it chooses the variant, and nobody else's identity
    let (mut claims, _) = Socket::connect_with(&gray.router, &token("eve"), &[("x-user-id", "sue")]).await;
    let of_eve = join(&mut claims, "of-sue").await;
    assert_eq!(of_eve["you"]["identity"], "eve", "{of_eve}");
    let mut plain = Socket::connect(&gray.router, &token("carl")).await;
    join(&mut plain, "tagged").await;
    join(&mut Socket::connect_query(&gray.router, &token("dora"), "user_id=nobody&device_type=phone-8").await, "asked")
        .await;

    for (variant, by, wanted) in
        [("beta", "ab_tag", 1), ("canary", "users", 2), ("beta", "device_type", 2), ("default", "default", 1)]
    {
        assert_eq!(gray.assigned(variant, by).await, wanted, "{variant} by {by}");
    }
    answered("the sessions", async || (gray.sessions("canary").await == 2).then_some(())).await;
    assert_eq!(gray.sessions("default").await, 1);
    for (room, variant) in [("tagged", "beta"), ("of-sue", "canary"), ("on-the-phone", "beta"), ("asked", "beta")] {
        assert_eq!(gray.of_room(room).await, variant, "{room}: the first member's, whoever comes then");
    }
    // what cannot be used counts as not said
    let long = "x".repeat(2_000);
    let (mut odd, _) =
        Socket::connect_with(&gray.router, &token("flo"), &[("x-user-id", &long), ("x-ab-tag", "")]).await;
    join(&mut odd, "odd").await;
    assert_eq!(gray.of_room("odd").await, "default");
}

#[tokio::test]
async fn a_share_changes_for_who_comes_while_a_session_keeps_its_variant_when_it_comes_back() {
    let gray = Gray::start();
    let token = Token::new("r", "ann").sign();
    let mut ann = Socket::connect(&gray.router, &token).await;
    let joined = join(&mut ann, "r").await;
    assert_eq!(gray.sessions("default").await, 1);
    let all = gray.text().replace("percent = 0", "percent = 100");
    fs::write(&gray.file, all).unwrap();
    gray.reloaded().await;
    assert_eq!(gray.variants("").await["rules"][2]["wanted_percent"], 100.0);
    ann.drop_connection();
    let mut ann = Socket::connect(&gray.router, &token).await;
    let part = |name: &str| joined[name].clone();
    let resume = json!({ "resume": {
        "resume_token": part("resume_token"), "epoch": part("epoch"), "offset": part("offset"), "seq": part("seq"),
    } });
    let reply = ann.ask(resume).await;
    assert_eq!(reply["resumed"]["recovered"], true, "{reply}");
    assert_eq!(
        (gray.sessions("default").await, gray.sessions("canary").await),
        (1, 0),
        "it is the session that has it"
    );
    let (_bob, _) = Socket::join(&gray.router, "r", "bob").await;
    // a session is counted a moment after it was answered
    let both = async || (gray.sessions("default").await, gray.sessions("canary").await);
    answered("one session of each", async || (both().await == (1, 1)).then_some(())).await;
    assert_eq!(gray.of_room("r").await, "default");
    let shown = gray.variants("").await;
    let rule = &shown["rules"][2];
    assert_eq!(
        (&rule["asked"], &rule["fitted"], &rule["got_percent"]),
        (&2.into(), &2.into(), &100.0.into()),
        "{shown}"
    );
}

#[tokio::test]
async fn a_bad_rule_refuses_the_whole_file_with_its_place_and_what_ran_runs_on() {
    let gray = Gray::start();
    let bomb = "device_type = \"(a{1000}){1000}\"";
    let bad = gray.text().replace("device_type = \"^phone-[78]$\"", bomb).replace("percent = 0", "percent = 101");
    let bad = bad.replace("ab_tag = \"blue\"", "ab_tag = \"blue\"\nusers = [\"ann\"]");
    fs::write(&gray.file, bad).unwrap();
    let refused = answered("the refusal", async || {
        let told = gray.router.stderr();
        told.lines().find(|line| line.contains("configuration refused")).map(str::to_owned)
    });
    let refused = refused.await;
    for part in [
        "variants.rules.3.device_type",
        "would take more than 65536 bytes once compiled",
        "variants.rules.2.percent",
        "0 to 100, with two decimals at most",
        "variants.rules.0",
        "set exactly one of ab_tag, users, percent, device_type",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let (mut phone, _) =
        Socket::connect_with(&gray.router, &Token::new("r", "bob").sign(), &[("x-device-type", "phone-7")]).await;
    join(&mut phone, "r").await;
    assert_eq!(gray.of_room("r").await, "beta", "by the rules that were");
}

#[tokio::test]
async fn an_explanation_by_file_and_by_router_is_the_same_and_what_the_router_does() {
    let gray = Gray::start();
    fs::write(&gray.file, gray.text().replace("percent = 0", "percent = 50")).unwrap();
    gray.reloaded().await;
    assert_eq!(gray.variants("").await["rules"][2]["wanted_percent"], 50.0);
    for user in ["ann", "bob", "carl", "user-17"] {
        let (code, by_file) =
            gray.command(&["explain", "--config", "FILE", "--user", user, "--device", "phone-7"]).await;
        let (_, by_router) =
            gray.command(&["explain", "--router", "ROUTER", "--user", user, "--device", "phone-7"]).await;
        assert_eq!((code, &by_file), (0, &by_router));
        let room = format!("of-{user}");
        let headers = [("x-device-type", "phone-7")];
        let (mut socket, _) = Socket::connect_with(&gray.router, &Token::new(&room, user).sign(), &headers).await;
        join(&mut socket, &room).await;
        let got = gray.of_room(&room).await;
        assert!(by_file.starts_with(&format!("{} by the rule `", got.as_str().unwrap())), "{got}: {by_file}");
        assert!(by_file.contains(&format!("`canary-share:{user}` hashes to ")), "{by_file}");
        assert!(by_file.contains("1. testers -> beta: does not fit\n"), "{by_file}");
    }
    let (code, said) = gray.command(&["explain", "--router", "ROUTER", "--ab-tag", "blue"]).await;
    assert!(code == 0 && said.starts_with("beta by the rule `testers`"), "{said}");
    let (code, said) = gray.command(&["list", "--router", "ROUTER"]).await;
    assert!(code == 0 && said.contains("canary-share") && said.contains("the user is in 50 %"), "{said}");
    let (code, said) = gray.command(&["list", "--config", "FILE"]).await;
    assert!(code == 0 && said.starts_with("variants: default, canary, beta\n"), "{said}");
    let (code, said) = gray.command(&["explain", "--user", "ann"]).await;
    assert!(code == 64 && said.contains("--config") && said.contains("--router"), "{said}");
}

#[tokio::test]
async fn a_promotion_is_in_force_when_the_command_ends_and_a_rollback_takes_it_back() {
    let gray = Gray::start();
    let promote = ["promote", "canary", "--config", "FILE", "--router", "ROUTER", "--observe", "0", "--percent"];
    let (code, said) = gray.command(&[&promote[..], &["100"]].concat()).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("canary-share -> canary: 0 % -> 100 % in "), "{said}");
    assert!(said.contains("generation 2, before 1") && said.contains("before") && said.contains("after"), "{said}");
    assert_eq!(gray.text(), BASE.replace("percent = 0 # so far\n", "percent = 100 # so far\nprevious_percent = 0\n"));
    let (_ann, _) = Socket::join(&gray.router, "r", "ann").await;
    assert_eq!(gray.of_room("r").await, "canary");
    let (code, said) = gray.command(&[&promote[..], &["25"]].concat()).await;
    // who came in between is what the rule got before
    assert!(code == 0 && said.contains("100 % -> 25 %") && said.contains("generation 3, before 2"), "{said}");
    let got: Vec<&str> = said.lines().find(|line| line.starts_with("before")).unwrap().split_whitespace().collect();
    assert_eq!(got[1..6], ["100", "%", "100", "%", "1"], "{said}");
    let metrics = get(gray.router.ops, "/metrics").await.body;
    assert!(
        metrics.contains("signalbox_variant_share_ratio{variant=\"canary\",rule=\"canary-share\"} 0.25\n"),
        "{metrics}"
    );

    let rollback = ["rollback", "canary", "--config", "FILE", "--router", "ROUTER", "--observe", "0"];
    let (code, said) = gray.command(&rollback).await;
    assert!(code == 0 && said.contains("25 % -> 100 %"), "{said}");
    let (code, said) = gray.command(&rollback).await;
    assert!(code == 0 && said.contains("100 % -> 0 %"), "what was before is noted no more: {said}");
    assert_eq!(gray.text(), BASE);
    let (code, said) = gray.command(&rollback).await;
    assert!(code == 0 && said.contains("0 % already"), "{said}");
    assert_eq!(get(gray.router.ops, "/api/config").await.json()["generation"], 5);
}

#[tokio::test]
async fn a_promotion_that_the_router_would_refuse_leaves_the_file_as_it_is() {
    let gray = Gray::start();
    let promote = ["promote", "canary", "--percent", "5", "--config", "FILE", "--router", "ROUTER"];
    let workers = format!("{}[server]\nworkers = 3\n", gray.text());
    fs::write(&gray.file, &workers).unwrap();
    let (code, said) = gray.command(&promote).await;
    assert!(code == 64 && said.contains("nothing was changed") && said.contains("server.workers"), "{said}");
    let mistaken = format!("{BASE}[drain]\nseconds = 9999\n");
    fs::write(&gray.file, &mistaken).unwrap();
    let (code, said) = gray.command(&promote).await;
    assert!(code == 64 && said.contains("drain.seconds = 9999: allowed: 0 to 3600"), "{said}");
    let (code, said) = gray.command(&promote[..6]).await;
    assert!(code == 64 && said.contains("drain.seconds"), "without a router too: {said}");
    assert_eq!(gray.text(), mistaken);
    for (wrong, part) in [
        (&["promote", "gamma", "--percent", "5", "--config", "FILE"][..], "no rule by percent for `gamma`"),
        (&["promote", "canary", "--percent", "101", "--config", "FILE"], "0 to 100"),
        (&["promote", "canary", "--config", "FILE"], "--percent"),
    ] {
        let (code, said) = gray.command(wrong).await;
        assert!(code == 64 && said.contains(part), "{wrong:?}: {said}");
    }
    let left: Vec<_> =
        fs::read_dir(gray.file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["signalbox.toml"], "nothing is left beside it");
}

#[tokio::test]
async fn the_fault_of_the_canary_is_felt_by_its_clients_alone() {
    let router = Router::dev_with(&[
        ("variants.names", "canary"),
        ("variants.rules.name", "staff"),
        ("variants.rules.variant", "canary"),
        ("variants.rules.users", "sue"),
    ]);
    let (mut ann, _) = Socket::join(&router, "r", "ann").await;
    let (mut sue, _) = Socket::join(&router, "r", "sue").await;
    assert_eq!(ask(router.ops, "PUT /api/fault", "", "canary").await.status, 200);
    let failed = async |socket: &mut Socket| {
        let mut failed = 0;
        for _ in 0..20 {
            failed += usize::from(socket.ask(json!({ "ping": {} })).await["error"]["code"] == "internal");
        }
        failed
    };
    assert_eq!((failed(&mut ann).await, failed(&mut sue).await), (0, 2));
    let told = answered("the last minute", async || {
        let shown = get(router.ops, "/api/variants").await.json();
        let rows = shown["variants"].as_array().unwrap().clone();
        let row = |name: &str| rows.iter().find(|row| row["variant"] == name).cloned().unwrap();
        (row("canary")["signals"].as_u64()? >= 21 && row("default")["signals"].as_u64()? >= 21)
            .then(|| (row("canary"), row("default")))
    });
    let (canary, default) = told.await;
    assert!(canary["p99_ms"].as_f64().unwrap() > 115.0 && canary["errors_percent"].as_f64().unwrap() > 5.0, "{canary}");
    assert!(default["p99_ms"].as_f64().unwrap() < 80.0 && default["errors_percent"] == 0.0, "{default}");
    let slow = get_with(router.ops, "/debug/slow?format=json", &[]).await.body;
    assert!(slow.contains("\"variant\":\"canary\""), "{slow}");
    assert_eq!(ask(router.ops, "PUT /api/fault", "", "off").await.status, 200);
    assert_eq!(failed(&mut sue).await, 0);
}
