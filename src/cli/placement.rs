//! `signalbox placement`: why a room is on its media node.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::Value;

use super::{
    nodes::asked,
    profile::{
        Access,
        show::{printed, table},
    },
    say,
};

/// Arguments of `signalbox placement`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  signalbox placement explain --room r1

Exit code 1 when the router refused or could not be reached, 64 when the command line is wrong.")]
pub(super) struct Args {
    #[command(flatten, next_help_heading = "Router")]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What was decided for a room, by what, and how the nodes stand now.
    Explain {
        /// The room's name.
        #[arg(long)]
        room: String,
        /// The answer as JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let Command::Explain { room, json } = &args.command;
    let client = args.access.client()?;
    let told = runtime.block_on(asked(&client, "/api/placement", &[("room", room)]))?;
    say(&if *json { serde_json::to_string_pretty(&told)? } else { in_words(&told) });
    Ok(ExitCode::SUCCESS)
}

fn in_words(told: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let room = word(&told["room"]);
    let mut lines = vec![match (told["node"].as_str(), told["region"].as_str()) {
        (_, None) => format!("nobody has come to room {room} yet, so it has no media node"),
        (None, Some(region)) => format!("no media node carries room {room}, wanted in {region}"),
        (Some(node), Some(region)) => format!("room {room}, wanted in {region}, is on {node}"),
    }];
    if told["decided"].is_object() {
        lines.extend(decided(&told["decided"]));
    }
    let nodes = told["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !nodes.is_empty() {
        lines.extend([String::new(), "the nodes as they stand now:".to_owned(), considered(nodes)]);
    }
    if let Some(left_out @ 1..) = told["left_out"].as_u64() {
        lines.push(format!("and {left_out} more"));
    }
    lines.join("\n")
}

fn decided(decided: &Value) -> Vec<String> {
    let word = |part: &str| decided[part].as_str().unwrap_or("-").to_owned();
    let number = |part: &str| decided[part].as_f64().unwrap_or_default();
    let (score, policy) = (decided["score"]["value"].as_f64().unwrap_or_default(), word("policy"));
    let mut lines = vec![
        format!(
            "decided {:.0} s ago by {policy}, out of {} nodes in question",
            number("seconds_ago"),
            decided["candidates"]
        ),
        format!(
            "{} ({}, {}) had a score of {score:.1}, a weight of {}, and {:.1} rooms since its report",
            word("node"),
            word("region"),
            word("variant"),
            decided["weight"],
            number("recent")
        ),
    ];
    if decided["route"] == "spill_over" {
        lines.push("the wanted region had no node: spilled over by placement.region_weights".to_owned());
    }
    if decided["fell_back"] == true {
        lines.push("the wanted variant had no node: it is one of `default`".to_owned());
    }
    if decided["overloaded"] == true {
        lines.push("no node had any weight left: it is the least bad".to_owned());
    }
    let list = |part: &str, show: &dyn Fn(&Value) -> String| {
        decided[part].as_array().map(|all| all.iter().map(show).collect::<Vec<_>>().join(", ")).unwrap_or_default()
    };
    let next = list("next", &|one| {
        format!(
            "{} ({:.1}, {})",
            one["node"].as_str().unwrap_or("-"),
            one["score"].as_f64().unwrap_or_default(),
            one["weight"]
        )
    });
    let skipped = list("skipped", &|one| format!("{} {}", one["nodes"], one["reason"].as_str().unwrap_or("-")));
    if !next.is_empty() {
        lines.push(format!("next would have been: {next}"));
    }
    if !skipped.is_empty() {
        lines.push(format!("skipped: {skipped}"));
    }
    lines
}

fn considered(nodes: &[Value]) -> String {
    let mut table = table(["SCORE", "WEIGHT", "RECENT", "NODE", "REGION", "VARIANT", "STANDING", "SKIPPED FOR"], 3);
    for node in nodes {
        let word = |part: &str| node[part].as_str().unwrap_or("-").to_owned();
        table.add_row([
            format!("{:.1}", node["score"].as_f64().unwrap_or_default()),
            node["weight"].to_string(),
            format!("{:.1}", node["recent"].as_f64().unwrap_or_default()),
            word("node"),
            word("region"),
            word("variant"),
            word("standing"),
            word("skipped"),
        ]);
    }
    printed(&table)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decision_is_told_in_words_with_what_was_skipped_and_why() {
        let told = json!({
            "room": "r1", "region": "sh", "variant": "canary", "node": "m2", "left_out": 0,
            "decided": {
                "seconds_ago": 12.4, "node": "m2", "region": "sz", "variant": "default", "policy": "weighted",
                "route": "spill_over", "fell_back": true, "overloaded": false, "weight": 12, "recent": 1.5, "candidates": 2,
                "score": { "value": 63.1 },
                "next": [{ "node": "m3", "score": 50.0, "weight": 10, "recent": 0.0 }],
                "skipped": [{ "reason": "silent", "nodes": 1 }],
            },
            "nodes": [{
                "node": "m1", "score": 0.0, "weight": 0, "recent": 0.0, "region": "sh", "variant": "default",
                "standing": "silent", "skipped": "standing",
            }],
        });
        let said = in_words(&told);
        for part in [
            "room r1, wanted in sh, is on m2",
            "decided 12 s ago by weighted, out of 2 nodes in question",
            "m2 (sz, default) had a score of 63.1, a weight of 12, and 1.5 rooms since its report",
            "spilled over",
            "one of `default`",
            "next would have been: m3 (50.0, 10)",
            "skipped: 1 silent",
        ] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
        let nobody = json!({ "room": "r1", "region": null, "node": null, "decided": null, "nodes": [], "left_out": 0 });
        assert_eq!(in_words(&nobody), "nobody has come to room r1 yet, so it has no media node");
    }
}
