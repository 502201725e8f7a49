//! The rules of a fleet: written through one router, followed by all, refused as a whole, and never written over by accident.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{
    etcd::{Etcd, compact},
    *,
};
use crate::harness::{Answer, ask_with};

const KEY: &str = "/signalbox/rules";
const JOINS: &str = "guard.queue_joins_ms";

/// A router by a file.
fn by_file(etcd: &Etcd, id: &str, file: &Path) -> Router {
    started(etcd, (id, file), (LEASE_SECONDS, "500"))
}

/// The same where nothing is about time: a busy machine costs it neither its record, without which nobody waits for it, nor a call.
fn lasting(etcd: &Etcd, id: &str, file: &Path) -> Router {
    started(etcd, (id, file), ("10", "5000"))
}

fn started(etcd: &Etcd, (id, file): (&str, &Path), (lease_seconds, timeout_ms): (&str, &str)) -> Router {
    let url = etcd.url();
    let settings = [
        ("etcd.endpoints", url.as_str()),
        ("etcd.lease_seconds", lease_seconds),
        ("etcd.timeout_ms", timeout_ms),
        ("server.id", id),
        ("etcd.rooms", "apart"),
    ];
    Router::start(&["--dev", "--config", file.to_str().unwrap()], &settings, &[])
}

/// Exit code, what was said, what was complained of.
fn rules(router: &Router, arguments: &[&str]) -> (i32, String, String) {
    let url = format!("http://{}", router.ops);
    run_to_end(&[&["fleet", "rules"], arguments, &["--url", &url]].concat())
}

/// Writes them with the command, which has to succeed; their revision.
fn set(router: &Router, folder: &TempDir, text: &str, over: i64) -> i64 {
    let file = folder.path().join("rules.toml");
    fs::write(&file, text).unwrap();
    let over = over.to_string();
    let (code, said, complained) =
        rules(router, &["set", file.to_str().unwrap(), "--revision", &over, "--wait", "30", "--json"]);
    assert_eq!(code, 0, "{said}{complained}");
    serde_json::from_str::<Value>(&said).unwrap()["revision"].as_i64().unwrap()
}

/// The value that runs, and whose it is.
async fn runs(router: &Router, key: &str) -> (Value, String) {
    let shown = get(router.ops, "/api/config").await.json();
    let row = shown["keys"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
    (row["value"].clone(), row["source"].as_str().unwrap().to_owned())
}

async fn until_runs(router: &Router, key: &str, value: u64) {
    answered(key, async || (runs(router, key).await.0 == value).then_some(())).await;
}

/// Waits until that router follows them so far, by its gauges.
async fn follows(router: &Router, revision: i64, refused: bool) {
    answered("the router follows the rules", async || {
        let in_force = metric(router, "signalbox_directory_rules_revision").await?;
        let flag = metric(router, "signalbox_directory_rules_refused").await?;
        (in_force == revision as f64 && flag == f64::from(u8::from(refused))).then_some(())
    })
    .await;
}

async fn put(router: &Router, revision: &str, text: &str) -> Answer {
    ask_with(router.ops, "PUT /api/fleet/rules", ("If-Match", revision), text).await
}

#[tokio::test]
async fn what_one_router_writes_all_take_up_and_cleared_each_runs_by_its_file_again() {
    for release in Release::here() {
        written(Etcd::of(release).await).await;
    }
}

async fn written(etcd: Etcd) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("signalbox.toml");
    fs::write(&file, "[guard]\nqueue_joins_ms = 3\n").unwrap();
    let (one, other) = (by_file(&etcd, "r1", &file), router(&etcd, "r2"));
    let own = with(&etcd, "r3", &[(JOINS, "7")]);
    let all = [&one, &other, &own];
    agree(&all, &["r1", "r2", "r3"]).await;
    let revision = set(&one, &folder, "[guard]\nqueue_joins_ms = 5\nqueue_signals_ms = 50\n", 0);
    let whose = format!("etcd rules, revision {revision}");
    // the command waited for all of them
    for router in [&one, &other] {
        assert_eq!(runs(router, JOINS).await, (json!(5), whose.clone()));
    }
    assert_eq!(runs(&own, JOINS).await, (json!(7), "env:SIGNALBOX_GUARD__QUEUE_JOINS_MS".to_owned()));
    assert_eq!(runs(&own, "guard.queue_signals_ms").await, (json!(50), whose));
    for router in all {
        follows(router, revision, false).await;
        let log = router.stderr();
        let line = log.lines().find(|line| line.contains("guard.queue_signals_ms: 30 -> 50")).unwrap();
        assert!(line.contains(&format!("\"rules\":{revision}")), "{line}");
    }
    assert!(one.stderr().contains("rules of the fleet written"));
    let (code, shown, _) = run_to_end(&["config", "show", "--router", &format!("http://{}", other.ops)]);
    let line = shown.lines().find(|line| line.contains(JOINS)).unwrap();
    assert!(code == 0 && line.contains(&runs(&other, JOINS).await.1), "{line}");
    agree(&all, &["r1", "r2", "r3"]).await;
    let (code, table, _) = run_to_end(&["fleet", "--url", &format!("http://{}", other.ops)]);
    assert!(code == 0 && table.matches(&revision.to_string()).count() >= 3, "{table}");
    let (code, text, table) = rules(&other, &["show"]);
    assert_eq!((code, text.as_str()), (0, "[guard]\nqueue_joins_ms = 5\nqueue_signals_ms = 50\n"));
    assert_eq!(table.matches("in force").count(), 3, "{table}");

    let (code, table, complained) = rules(&other, &["clear", "--revision", &revision.to_string(), "--wait", "30"]);
    assert_eq!((code, table.matches("in force").count()), (0, 3), "{table}{complained}");
    assert_eq!(runs(&one, JOINS).await, (json!(3), format!("file:{}", file.display())));
    assert_eq!(runs(&other, JOINS).await, (json!(20), "default".to_owned()));
    follows(&one, 0, false).await;
}

#[tokio::test]
async fn rules_with_a_mistake_are_refused_as_a_whole_and_what_ran_runs_on() {
    let (etcd, folder) = (Etcd::start().await, TempDir::new().unwrap());
    let (one, other) = (router(&etcd, "r1"), router(&etcd, "r2"));
    agree(&[&one, &other], &["r1", "r2"]).await;
    let good = set(&one, &folder, "guard.queue_joins_ms = 5\n", 0);
    let bad = "limits.rooms = 5\nauth.keys.x.secret = \"planted-planted-planted-planted-planted\"\n[guard]\nqueue_joins_ms = 6\nqueue_signal_ms = 1\n";
    remember("planted-planted-planted-planted-planted");
    let file = folder.path().join("bad.toml");
    fs::write(&file, bad).unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["check", file][..], &["set", file, "--revision", &good.to_string()]] {
        let (code, said, complained) = rules(&other, arguments);
        assert_eq!((code, said.as_str()), (64, ""), "{complained}");
        for told in
            ["limits.rooms", "auth.keys.x.secret", "guard.queue_signal_ms", "did you mean guard.queue_signals_ms?"]
        {
            assert!(complained.contains(told), "{complained}");
        }
    }
    // past all routers, into etcd itself
    etcd.client().await.put(KEY, bad, None).await.unwrap();
    for router in [&one, &other] {
        follows(router, good, true).await;
        assert_eq!(runs(router, JOINS).await, (json!(5), format!("etcd rules, revision {good}")));
        let log = router.stderr();
        let line = log.lines().find(|line| line.contains("rules of the fleet refused")).unwrap();
        assert!(line.contains("limits.rooms") && line.contains("etcd rules, revision"), "{line}");
        assert_eq!(metric(router, "signalbox_config_refused").await, Some(0.0), "the file is none the worse");
    }
    let view = view(&one).await;
    let (standing, stands) = (&view["routers"][1]["rules"], &view["rules_revision"]);
    assert_eq!(
        (&standing["revision"], &standing["judged"], &standing["refused"]),
        (&json!(good), stands, &json!(true))
    );
    // what is no text at all is refused as well
    etcd.client().await.put(KEY, vec![0xff, 0xfe], None).await.unwrap();
    eventually_refused(&one, "not UTF-8").await;
    let stands = get(one.ops, "/api/fleet/rules").await.json();
    assert_eq!((&stands["text"], &stands["unreadable"]), (&Value::Null, &json!("not UTF-8")));
    let mended = set(&one, &folder, "guard.queue_joins_ms = 8\n", stands["revision"].as_i64().unwrap());
    follows(&other, mended, false).await;
    assert_eq!(runs(&other, JOINS).await.0, 8);
}

async fn eventually_refused(router: &Router, why: &str) {
    answered(why, async || {
        let log = router.stderr();
        log.lines().any(|line| line.contains("rules of the fleet refused") && line.contains(why)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn of_two_who_write_over_the_same_revision_one_is_told_and_has_changed_nothing() {
    let (etcd, folder) = (Etcd::start().await, TempDir::new().unwrap());
    let (one, other) = (router(&etcd, "r1"), router(&etcd, "r2"));
    agree(&[&one, &other], &["r1", "r2"]).await;
    let first = set(&one, &folder, "guard.queue_joins_ms = 5\n", 0);
    let (code, _, complained) = rules(&other, &["set", folder.path().join("rules.toml").to_str().unwrap()]);
    assert!(
        code == 1 && complained.contains("answered 412") && complained.contains("Nothing was written"),
        "{complained}"
    );
    let revision = format!("\"{first}\"");
    let both = tokio::join!(
        put(&one, &revision, "guard.queue_joins_ms = 6\n"),
        put(&other, &revision, "guard.queue_joins_ms = 7\n"),
    );
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "{:?}", [both.0.body, both.1.body]);
    let (won, lost) = if both.0.status == 200 { (6, both.1) } else { (7, both.0) };
    let error = lost.json()["error"].clone();
    assert_eq!(
        (&error["code"], &error["side"], &error["retry"]),
        (&json!("rules_overtaken"), &json!("client"), &json!(false))
    );
    for router in [&one, &other] {
        until_runs(router, JOINS, won).await;
    }
    let (code, _, complained) = rules(&one, &["clear", "--revision", &first.to_string()]);
    assert!(code == 1 && complained.contains("answered 412"), "{complained}");
    assert_eq!(runs(&one, JOINS).await.0, won);
}

#[tokio::test]
async fn a_router_whose_file_does_not_bear_the_rules_is_named_and_takes_them_up_once_it_does() {
    let (etcd, folder) = (Etcd::start().await, TempDir::new().unwrap());
    let files = ["one.toml", "other.toml"].map(|name| folder.path().join(name));
    fs::write(&files[0], "[variants]\nnames = [\"canary\"]\n").unwrap();
    fs::write(&files[1], "").unwrap();
    let (one, other) = (lasting(&etcd, "r1", &files[0]), lasting(&etcd, "r2", &files[1]));
    agree(&[&one, &other], &["r1", "r2"]).await;
    let text = "[[variants.rules]]\nname = \"share\"\nvariant = \"canary\"\npercent = 5\n";
    let file = folder.path().join("rules.toml");
    fs::write(&file, text).unwrap();
    let (code, table, complained) = rules(&one, &["set", file.to_str().unwrap(), "--wait", "30"]);
    assert_eq!(code, 1, "{complained}");
    assert!(
        table.contains("refused") && complained.contains("refused by r2, which go on by what they had"),
        "{complained}"
    );
    assert_eq!(metric(&one, "signalbox_directory_rules_refused").await, Some(0.0));
    follows(&other, 0, true).await;
    let (_, table, _) = run_to_end(&["fleet", "--url", &format!("http://{}", one.ops)]);
    assert!(table.lines().any(|line| line.contains("0, refused") && line.contains("r2")), "{table}");
    // the file is mended: nobody writes the rules again
    fs::write(&files[1], "[variants]\nnames = [\"canary\"]\n").unwrap();
    answered("the other has them", async || {
        let standing = view(&one).await["routers"][1]["rules"].clone();
        (standing["refused"] == false && standing["revision"] != 0).then_some(())
    })
    .await;
    // and the file cannot go back below them
    fs::write(&files[1], "").unwrap();
    answered("the file is refused", async || {
        (metric(&other, "signalbox_config_refused").await == Some(1.0)).then_some(())
    })
    .await;
    assert_eq!(metric(&other, "signalbox_directory_rules_refused").await, Some(0.0));
    // nor does it hold up other rules, which it then can be read with again
    let stands = view(&one).await["rules_revision"].as_i64().unwrap();
    let revision = set(&one, &folder, "guard.queue_joins_ms = 5\n", stands);
    follows(&other, revision, false).await;
    assert_eq!(runs(&other, JOINS).await.0, 5);
    answered("the file is read again", async || {
        (metric(&other, "signalbox_config_refused").await == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn rules_and_a_file_that_fit_each_other_only_are_taken_up_together() {
    let (etcd, folder) = (Etcd::start().await, TempDir::new().unwrap());
    let file = folder.path().join("signalbox.toml");
    let text = |variant: &str| {
        format!(
            "[variants]\nnames = [\"a\"]\n[[variants.rules]]\nname = \"share\"\nvariant = \"{variant}\"\npercent = 5\n"
        )
    };
    fs::write(&file, text("a")).unwrap();
    let one = by_file(&etcd, "r1", &file);
    agree(&[&one], &["r1"]).await;
    fs::write(&file, text("b")).unwrap();
    answered("the file is refused", async || {
        (metric(&one, "signalbox_config_refused").await == Some(1.0)).then_some(())
    })
    .await;
    // over the file that runs they would have a mistake as well, and so cannot be set by the command
    etcd.client().await.put(KEY, "variants.names = [\"b\"]\n", None).await.unwrap();
    answered("both run", async || (runs(&one, "variants.names").await.0 == json!(["b"])).then_some(())).await;
    answered("neither is refused", async || {
        let refused = metric(&one, "signalbox_config_refused").await?;
        (refused + metric(&one, "signalbox_directory_rules_refused").await? == 0.0).then_some(())
    })
    .await;
    assert!(!one.stderr().contains("rules of the fleet refused"), "{}", one.stderr());
}

#[tokio::test]
async fn without_etcd_rules_stay_in_force_and_who_starts_then_runs_by_its_file_until_it_is_back() {
    let (mut etcd, folder) = (Etcd::start().await, TempDir::new().unwrap());
    let one = router(&etcd, "r1");
    let other = router(&etcd, "r2");
    agree(&[&one, &other], &["r1", "r2"]).await;
    let first = set(&one, &folder, "guard.queue_joins_ms = 5\n", 0);
    etcd.kill();
    drop(other);
    let other = router(&etcd, "r2");
    Call::on(&one).await.go_on(Duration::from_secs(3)).await;
    assert_eq!((runs(&one, JOINS).await.0, runs(&other, JOINS).await.0), (json!(5), json!(20)));
    let away = put(&one, &first.to_string(), "guard.queue_joins_ms = 9\n").await;
    let error = away.json()["error"].clone();
    assert_eq!(
        (away.status, &error["code"], &error["retry"]),
        (503, &json!("etcd_unavailable"), &json!(true)),
        "{error}"
    );
    assert_eq!(error["side"], "dependency");
    etcd.again().await;
    until_runs(&other, JOINS, 5).await;
    assert_eq!(runs(&one, JOINS).await.0, 5);
    // what was written and forgotten again while nobody could hear of it: only what stands counts
    etcd.apart(async |mut client| {
        client.put(KEY, "guard.queue_joins_ms = 6\n", None).await.unwrap();
        client.delete(KEY, None).await.unwrap();
        client.put(KEY, "guard.queue_joins_ms = 11\n", None).await.unwrap();
        compact(&mut client).await;
    })
    .await;
    for router in [&one, &other] {
        until_runs(router, JOINS, 11).await;
        assert!(metric(router, "signalbox_directory_reads_total{reason=\"compacted\"}").await >= Some(1.0));
    }
    etcd.client().await.delete(KEY, None).await.unwrap();
    for router in [&one, &other] {
        until_runs(router, JOINS, 20).await;
        follows(router, 0, false).await;
    }
}

#[tokio::test]
async fn a_router_that_runs_alone_has_no_rules_of_a_fleet() {
    let alone = Router::dev();
    let (code, _, complained) = rules(&alone, &["show"]);
    assert!(code == 1 && complained.contains("this router runs alone"), "{complained}");
    assert_eq!(metric(&alone, "signalbox_directory_rules_revision").await, None);
}
