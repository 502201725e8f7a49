//! Planted violations: every rule can fail, and does not where nothing is wrong.

use super::{Complaint, Source, rules};

type Rule = fn(&Source) -> Vec<Complaint>;

fn complaints(rule: Rule, path: &str, text: &str) -> Vec<String> {
    rule(&Source::new(path, text)).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn catches(rule: Rule, path: &str, text: &str, complaint: &str) {
    let found = complaints(rule, path, text);
    assert!(found.iter().any(|c| c.contains(complaint)), "{path} with {text:?}: {found:?}");
}

#[track_caller]
fn allows(rule: Rule, path: &str, text: &str) {
    assert_eq!(complaints(rule, path, text), Vec::<String>::new(), "{path} with {text:?}");
}

#[test]
fn the_world_in_the_core_is_caught() {
    for (line, what) in [
        ("let now = Instant::now();", "a clock"),
        ("let now = SystemTime::now();", "a clock"),
        ("if since.elapsed() > limit {", "a clock"),
        ("tokio::spawn(task);", "a runtime"),
        ("use std::net::{IpAddr, TcpStream};", "a socket"),
        ("let reply = call.await;", "waiting"),
        ("rooms: Arc<Mutex<Room>>,", "a lock"),
        ("rooms: RwLock<Room>,", "a lock"),
        ("let key = env::var(\"KEY\");", "the environment"),
        ("let key = std::env::var(\"KEY\");", "the environment"),
        ("std::fs::read(path)", "the file system"),
        ("std::thread::spawn(work);", "a thread"),
    ] {
        for path in ["src/room.rs", "src/room/history.rs", "src/router.rs", "src/auth/keys.rs", "src/protocol/codec.rs"]
        {
            catches(rules::purity, path, &format!("//! A room.\n{line}\n"), what);
        }
        allows(rules::purity, "src/io/shard.rs", line);
        allows(rules::purity, "src/cli/serve.rs", line);
    }
    catches(
        rules::purity,
        "src/telemetry/observe.rs",
        "let now = Instant::now();",
        "src/telemetry/observe.rs:1: a clock",
    );
}

#[test]
fn values_comments_and_tests_are_not_the_world() {
    for text in [
        "use std::{net::IpAddr, time::{Duration, Instant}};",
        "// Instant::now is io's",
        "let at = now.at; // not Instant::now()",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    let now = Instant::now();\n}",
    ] {
        allows(rules::purity, "src/room.rs", text);
    }
    allows(rules::purity, "src/room/tests.rs", "let now = Instant::now();");
    allows(rules::purity, "src/telemetry/quiet.rs", "seen: Mutex<Seen>,");
}

#[test]
fn an_import_against_the_direction_is_caught() {
    for (path, text, complaint) in [
        ("src/room.rs", "use crate::session::Session;", "room imports session; it may import ids, protocol, event"),
        ("src/room/history.rs", "use crate::{\n    ids::Offset,\n    auth::{Grant, keys},\n};", "room imports auth"),
        ("src/session.rs", "use super::room::Room;", "session imports room"),
        ("src/auth/verify.rs", "fn f() -> crate::router::Now {", "auth imports router"),
        ("src/ids.rs", "use crate::protocol::Code;", "ids imports protocol; it may import nothing"),
        ("src/router.rs", "use crate::io::shard::Shards;", "router imports io"),
        ("src/telemetry.rs", "use crate::{event::Event, router::Now};", "telemetry imports router"),
        ("src/io/shard.rs", "use crate::app::Running;", "io imports app"),
        ("src/io/shard.rs", "use crate::{\n    config::Config,\n};", "io imports config"),
    ] {
        catches(rules::imports, path, text, complaint);
    }
}

#[test]
fn an_import_along_the_direction_is_allowed() {
    for (path, text) in [
        ("src/room.rs", "use crate::{ids::{Offset, auth_free}, protocol::{Code, v1::{self, session}}};"),
        ("src/room/history.rs", "use super::session::Log;"),
        ("src/router.rs", "use crate::{auth::Grant, event::Event, room::Room, session::Session};"),
        ("src/io/shard.rs", "use crate::{router::Input, telemetry::Telemetry, io::outbound::Outbound};"),
        ("src/app.rs", "use crate::{config::Config, io::shard::Shards};"),
        ("src/room/tests.rs", "use crate::session::Session;"),
    ] {
        allows(rules::imports, path, text);
    }
}

#[test]
fn long_files_and_functions_are_caught() {
    catches(rules::length, "src/a.rs", &"x\n".repeat(501), "more than 500 lines");
    allows(rules::length, "src/a.rs", &"x\n".repeat(500));
    let function =
        |lines: usize| format!("impl A {{\n    pub fn f(&self) {{\n{}    }}\n}}\n", "        x;\n".repeat(lines));
    catches(rules::length, "src/a.rs", &function(69), "src/a.rs:2: a function of 71 lines");
    allows(rules::length, "src/a.rs", &function(68));
    catches(rules::length, "ARCHITECTURE.md", &"x\n".repeat(261), "more than 260 lines");
    allows(rules::length, "README.md", &"x\n".repeat(1_000));
}

#[test]
fn a_module_without_an_opening_is_caught() {
    catches(rules::opening, "src/a.rs", "use std::fmt;\n", "does not open with");
    allows(rules::opening, "src/a.rs", "//! What it is.\n");
    allows(rules::opening, "src/a/tests.rs", "use super::*;\n");
    catches(rules::opening, "tests/it/a.rs", "use super::*;\n", "does not open with");
}

#[test]
fn what_is_undone_is_caught() {
    for word in [concat!("tod", "o!()"), concat!("// FIX", "ME: later"), concat!("#[ig", "nore]")] {
        catches(rules::undone, "src/a.rs", &format!("fn f() {{\n    {word}\n}}"), "src/a.rs:2");
    }
    allows(rules::undone, "src/a.rs", "// nothing to do");
}

#[test]
fn names_that_own_nothing_are_caught() {
    for text in [
        concat!("struct RoomMan", "ager;"),
        concat!("pub(crate) enum Hel", "perKind {"),
        concat!("trait Ser", "vice {"),
        concat!("type Ut", "ilMap = ();"),
    ] {
        catches(rules::names, "src/a.rs", text, "says nothing");
    }
    catches(rules::names, "src/io/utils.rs", "", "owns nothing");
    allows(rules::names, "src/a.rs", "impl tower::Service<Request> for Signaling {");
    allows(rules::names, "src/a.rs", "struct Room;");
}

#[test]
fn machine_paths_and_stray_metrics_are_caught() {
    catches(rules::machine_paths, "README.md", concat!("see /wo", "rk/x"), "README.md:1");
    allows(rules::machine_paths, "README.md", "see /etc/signalbox.toml");
    catches(rules::metrics, "src/io/shard.rs", "metrics::counter!(\"x\").increment(1);", "telemetry's catalogue");
    allows(rules::metrics, "src/telemetry/catalog.rs", "metrics::counter!(\"x\").increment(1);");
}
