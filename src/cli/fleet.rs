//! `signalbox fleet`: the routers of a fleet as one of them sees them, whether its view can be trusted, and the rules of the fleet.

mod rules;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use comfy_table::Table;
use serde_json::Value;

use super::{
    nodes::asked,
    profile::{
        Access,
        show::{printed, table},
    },
    say,
};

const EXAMPLES: &str = "Examples:
  The routers of the fleet, and whether etcd answers:
    signalbox fleet

  The same for a program; equal digests are equal views:
    signalbox fleet --json --url http://r2:9600 | jq -r .view.digest

  What all of them follow:
    signalbox fleet rules show

Exit code 1 when the router refused or could not be reached, 64 when the command line is wrong.";

/// Arguments of `signalbox fleet`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten, next_help_heading = "Router")]
    access: Access,
    /// Answers as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The rules that the whole fleet follows, above each router's file.
    Rules(rules::Args),
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    if let Some(Command::Rules(rules)) = &args.command {
        return runtime.block_on(async { rules::run(rules, &args.access.client()?, args.json).await });
    }
    let told = runtime.block_on(async { asked(&args.access.client()?, "/api/fleet", &[]).await })?;
    say(&if args.json { serde_json::to_string_pretty(&told)? } else { as_table(&told) });
    Ok(ExitCode::SUCCESS)
}

fn as_table(told: &Value) -> String {
    let view = &told["view"];
    if view.is_null() {
        return "this router runs alone: etcd.endpoints is empty".to_owned();
    }
    let mut lines = vec![printed(&routers(view)), String::new()];
    lines.push(format!(
        "view:  revision {}, digest {}, {} media nodes, {}, lag {}",
        view["revision"],
        word(view, "digest"),
        view["media_nodes"],
        word(view, "watch"),
        seconds(view, "watch_lag_seconds"),
    ));
    let registered = if view["registered"] == true { "registered" } else { "not registered" };
    lines.push(format!("lease: {registered}, confirmed {} ago", seconds(view, "lease_age_seconds")));
    lines.push(match view["answers"] == true {
        true => "etcd:  answers".to_owned(),
        false => format!("etcd:  does not answer as it should: {}", word(view, "why")),
    });
    lines.push(match view["rules_revision"].as_i64() {
        None | Some(0) => "rules: none".to_owned(),
        Some(revision) => format!("rules: revision {revision}"),
    });
    if let Some(unwritten) = view["rooms_unwritten"].as_u64().filter(|unwritten| *unwritten > 0) {
        lines.push(format!(
            "rooms: {unwritten} of this router's are not known to the fleet: etcd did not take their records yet"
        ));
    }
    lines.extend(compared(&view["rooms_compared"]));
    lines.extend(redis(&told["fabric"]));
    for row in rows(view, "unreadable") {
        lines.push(format!("cannot be read: {}: {}", word(&row, "key"), word(&row, "why")));
    }
    lines.join("\n")
}

fn rows(view: &Value, name: &str) -> Vec<Value> {
    view[name].as_array().cloned().unwrap_or_default()
}

fn word(row: &Value, part: &str) -> String {
    row[part].as_str().unwrap_or("-").to_owned()
}

fn seconds(row: &Value, part: &str) -> String {
    format!("{:.1} s", row[part].as_f64().unwrap_or_default())
}

/// A row a router.
fn routers(view: &Value) -> Table {
    let header = [
        "SESSIONS",
        "ROOMS",
        "LEASE AGE",
        "LAG",
        "JOURNAL",
        "RULES",
        "ROUTER",
        "REGION",
        "VERSION",
        "DIGEST",
        "STATE",
        "URL",
    ];
    let mut table = table(header, 6);
    for row in rows(view, "routers") {
        let state = if row["draining"] == true { "draining" } else { "serving" };
        let own = if row["id"] == view["router"] { " (this one)" } else { "" };
        table.add_row([
            row["sessions"].to_string(),
            row["rooms"].to_string(),
            seconds(&row, "lease_age_seconds"),
            seconds(&row, "watch_lag_seconds"),
            journal_of(&row),
            rules_of(&row),
            format!("{}{own}", word(&row, "id")),
            word(&row, "region"),
            word(&row, "version"),
            row["digest"].as_str().filter(|digest| !digest.is_empty()).unwrap_or("-").to_owned(),
            state.to_owned(),
            word(&row, "url"),
        ]);
    }
    table
}

/// This router's rooms against their records in etcd; absent: they were not looked at yet.
fn compared(told: &Value) -> Option<String> {
    let side = |name: &str| {
        let side = told.get(name)?;
        Some((side["digest"].as_str()?.to_owned(), side["rooms"].as_u64()?, side["alone"].as_u64()?))
    };
    let ((here, rooms, lack), (there, records, extra)) = side("here").zip(side("there"))?;
    let age = told["age_seconds"].as_f64().unwrap_or_default();
    let differ = match (lack, extra) {
        (0, 0) if here == there => String::new(),
        (0, 0) => ": they are looked at again in a moment".to_owned(),
        _ => format!(": {lack} have no record, {extra} records have no room; being mended"),
    };
    Some(format!("rooms: {rooms} here, digest {here}; {records} records, digest {there}, {age:.0} s ago{differ}"))
}

/// What waits in a router's journal for Redis, and for how long the oldest has.
fn journal_of(row: &Value) -> String {
    match row["journal_writes"].as_u64() {
        None | Some(0) => "0".to_owned(),
        Some(writes) => format!("{writes}, {}", seconds(row, "journal_age_seconds")),
    }
}

/// Where this router's rooms are kept, and what waits to get there; absent: nowhere.
fn redis(told: &Value) -> Option<String> {
    let answers = match told["answers"].as_bool()? {
        true => "answers".to_owned(),
        false => format!("silent for {}", seconds(told, "silent_seconds")),
    };
    let behind = match told["rooms_behind"].as_u64() {
        None | Some(0) => "no room is behind".to_owned(),
        Some(rooms) => format!("{rooms} rooms are behind, the first for {}", seconds(told, "behind_seconds")),
    };
    let journal = &told["journal"];
    let waits = match journal["writes"].as_u64() {
        None => String::new(),
        Some(0) => "; its journal is empty".to_owned(),
        Some(writes) => format!(
            "; in its journal {writes} writes of {} rooms, {} bytes, the oldest for {}",
            journal["rooms"],
            journal["bytes"],
            seconds(journal, "age_seconds")
        ),
    };
    Some(format!("redis: {answers}, {behind}{waits}"))
}

/// The revision that a router has in force, and whether it refused others.
fn rules_of(row: &Value) -> String {
    let rules = &row["rules"];
    match (rules["revision"].as_i64(), rules["refused"] == true) {
        (None, _) => "-".to_owned(),
        (Some(0), false) => "none".to_owned(),
        (Some(revision), false) => revision.to_string(),
        (Some(revision), true) => format!("{revision}, refused {}", rules["judged"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_router_is_a_row_and_what_is_wrong_is_said_in_words() {
        let row = |id: &str, draining: bool| {
            json!({
                "id": id, "region": "sh", "version": "0.1.0", "url": "", "sessions": 3, "rooms": 2,
                "lease_age_seconds": 1.26, "draining": draining, "watch_lag_seconds": 0.04,
                "digest": if draining { "" } else { "00000000abcd" },
                "journal_writes": if draining { 7 } else { 0 }, "journal_age_seconds": 2.5,
                "rules": { "revision": 5, "judged": if draining { 6 } else { 5 }, "refused": draining },
            })
        };
        let view = json!({
            "router": "r1", "answers": false, "why": "connection refused", "registered": true, "watch": "opening",
            "lease_age_seconds": 40.0, "watch_lag_seconds": 41.5, "revision": 7, "digest": "00000000abcd", "media_nodes": 4, "rooms_unwritten": 6, "rules_revision": 6,
            "rooms_compared": {
                "age_seconds": 4.2,
                "here": { "digest": "0000000000aa", "rooms": 9, "alone": 2 },
                "there": { "digest": "0000000000ab", "rooms": 7, "alone": 0 },
            },
            "routers": [row("r1", false), row("r2", true)], "unreadable": [{ "key": "r3", "why": "no version" }],
        });
        let fabric = json!({
            "answers": false, "silent_seconds": 12.0, "rooms_behind": 2, "behind_seconds": 12.5,
            "journal": { "writes": 4, "rooms": 2, "bytes": 8_192, "age_seconds": 12.4 },
        });
        let told = as_table(&json!({ "mode": "etcd", "view": view, "fabric": fabric }));
        let lines: Vec<&str> = told.lines().collect();
        let words: Vec<_> = lines[1].split_whitespace().collect();
        let expected = [
            "3",
            "2",
            "1.3",
            "s",
            "0.0",
            "s",
            "0",
            "5",
            "r1",
            "(this",
            "one)",
            "sh",
            "0.1.0",
            "00000000abcd",
            "serving",
        ];
        assert_eq!(words, expected, "{told}");
        assert!(lines[2].contains(" 7, 2.5 s ") && lines[2].contains(" - "), "{told}");
        assert!(
            lines[2].contains("5, refused 6") && lines[2].contains("r2 ") && lines[2].contains("draining"),
            "{told}"
        );
        assert!(told.contains("view:  revision 7, digest 00000000abcd, 4 media nodes, opening, lag 41.5 s"), "{told}");
        assert!(told.contains("lease: registered, confirmed 40.0 s ago"), "{told}");
        assert!(told.contains("does not answer as it should: connection refused"), "{told}");
        assert!(told.contains("rules: revision 6"), "{told}");
        assert!(told.contains("rooms: 6 of this router's are not known to the fleet"), "{told}");
        let compared = "rooms: 9 here, digest 0000000000aa; 7 records, digest 0000000000ab, 4 s ago: 2 have no record, \
                        0 records have no room; being mended";
        assert!(told.contains(compared), "{told}");
        let waits = "redis: silent for 12.0 s, 2 rooms are behind, the first for 12.5 s; in its journal 4 writes of 2 rooms, \
                     8192 bytes, the oldest for 12.4 s";
        assert!(told.contains(waits), "{told}");
        assert!(told.ends_with("cannot be read: r3: no version"), "{told}");
        let alone = as_table(&json!({ "mode": "embedded", "view": null }));
        assert_eq!(alone, "this router runs alone: etcd.endpoints is empty");
    }
}
