//! `signalbox nodes`: the media nodes as a router sees them, and what operators want of them.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::Value;

use super::{
    profile::{
        Access,
        show::{percent, printed, table},
    },
    say,
};
use crate::ops_client::OpsClient;

const EXAMPLES: &str = "Examples:
  How each node stands, and its share of rooms:
    signalbox nodes

  Before maintenance: no new rooms for it, then its rooms elsewhere; afterwards back into the choice:
    signalbox nodes cordon m1
    signalbox nodes drain m1
    signalbox nodes uncordon m1

A node is told so at one router; of a fleet each router is asked by its own --url.
Exit code 1 when the router refused or could not be reached, 64 when the command line is wrong.";

/// What a router may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `signalbox nodes`.
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

#[derive(Debug, Subcommand)]
enum Command {
    /// Every node: standing, score by part, weight, share wanted and got.
    List,
    /// No new rooms for it; those that it has stay.
    Cordon(Named),
    /// Back into the choice.
    Uncordon(Named),
    /// No new rooms for it, and those that it has go elsewhere at once.
    Drain(Named),
}

/// A node.
#[derive(Debug, clap::Args)]
struct Named {
    /// Its id.
    node: String,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    say(&runtime.block_on(answer(&args))?);
    Ok(ExitCode::SUCCESS)
}

async fn answer(args: &Args) -> Result<String> {
    let client = args.access.client()?;
    let (act, named) = match &args.command {
        None | Some(Command::List) => {
            let told = asked(&client, "/api/nodes", &[]).await?;
            return if args.json { Ok(serde_json::to_string_pretty(&told)?) } else { Ok(as_table(&told)) };
        }
        Some(Command::Cordon(named)) => ("cordon", named),
        Some(Command::Uncordon(named)) => ("uncordon", named),
        Some(Command::Drain(named)) => ("drain", named),
    };
    // the client puts the path into its place in the URL, and so escapes what needs it
    let path = format!("/api/nodes/{}/{act}", named.node);
    let told = read(&client.post(&path, &Value::Null, PATIENCE).await?)?;
    if args.json {
        return Ok(serde_json::to_string_pretty(&told)?);
    }
    let rooms = told["rooms"].as_u64().unwrap_or_default();
    Ok(match act {
        "cordon" => format!("{} gets no new rooms; its {rooms} rooms stay", named.node),
        "drain" => format!("{} gets no new rooms, and its {rooms} rooms go elsewhere", named.node),
        _ => format!("{} is in the choice again, as far as its reports allow", named.node),
    })
}

/// What is there, as JSON.
pub(super) async fn asked(client: &OpsClient, path: &str, query: &[(&str, &str)]) -> Result<Value> {
    read(&client.get(path, query, PATIENCE).await?)
}

fn read(answer: &[u8]) -> Result<Value> {
    serde_json::from_slice(answer).context("the router's answer is no JSON")
}

pub(super) fn as_table(told: &Value) -> String {
    let nodes = told["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if nodes.is_empty() {
        return "no media nodes".to_owned();
    }
    let header =
        ["SCORE", "RTT", "LOAD", "LOSS", "WEIGHT", "WANTED", "GOT", "ROOMS", "NODE", "REGION", "VARIANT", "STANDING"];
    let mut table = table(header, 8);
    for node in nodes {
        let points = |part: &str| format!("-{:.1}", node["score"][part].as_f64().unwrap_or_default());
        let share = |part: &str| node[part].as_f64().map_or_else(|| "-".to_owned(), percent);
        let word = |part: &str| node[part].as_str().unwrap_or("-").to_owned();
        table.add_row([
            format!("{:.1}", node["score"]["value"].as_f64().unwrap_or_default()),
            points("rtt_points"),
            points("load_points"),
            points("loss_points"),
            node["weight"].to_string(),
            share("share_wanted"),
            share("share_got"),
            node["rooms"].to_string(),
            word("node"),
            word("region"),
            word("variant"),
            word("standing"),
        ]);
    }
    printed(&table)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_a_row_with_the_points_that_each_part_cost() {
        let node = json!({
            "node": "m1", "region": "sh", "variant": "default", "standing": "ready", "weight": 17, "rooms": 3,
            "score": { "value": 87.0, "rtt_points": 4.0, "load_points": 9.0, "loss_points": 0.0 },
            "share_wanted": 0.5, "share_got": null,
        });
        let lines = as_table(&json!({ "nodes": [node] }));
        let row: Vec<_> = lines.lines().nth(1).unwrap().split_whitespace().collect();
        let expected = ["87.0", "-4.0", "-9.0", "-0.0", "17", "50.0", "%", "-", "3", "m1", "sh", "default", "ready"];
        assert_eq!(row, expected, "{lines}");
        assert_eq!(as_table(&json!({ "nodes": [] })), "no media nodes");
    }
}
