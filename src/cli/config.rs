//! `signalbox config`: is it right, what is in force, what is there to set.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{EXIT_USAGE, complain, nodes::asked, say};
use crate::{
    config::{self, Loaded, Source, Sources},
    ops_client::{OpsClient, OpsTarget, token_in},
};

/// Arguments of `signalbox config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox config example > signalbox.toml
  signalbox config check --config signalbox.toml
  SIGNALBOX_DRAIN__SECONDS=60 signalbox config show --config signalbox.toml
  signalbox config show --router http://127.0.0.1:9600     what a router runs with

Exit code 64: the configuration has mistakes; all of them are listed. 1: the router refused or could not be reached.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Find all mistakes in file and environment, at once.
    Check(From),
    /// Every key, its value, and where that came from; secrets are hidden.
    Show {
        #[command(flatten)]
        from: From,
        #[command(flatten)]
        running: Running,
        /// One JSON array, for programs.
        #[arg(long)]
        json: bool,
    },
    /// The example file: every key with its default, what is allowed, and why.
    Example,
}

/// A router that runs: what it runs with, rules of its fleet included.
#[derive(Debug, clap::Args)]
struct Running {
    /// What this router runs with, by its ops port, as http://127.0.0.1:9600; instead of a file.
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "dev"])]
    router: Option<String>,
    /// Holds the bearer token that the ops port asks for beyond loopback.
    #[arg(long, value_name = "FILE", requires = "router")]
    token_file: Option<PathBuf>,
}

/// What `serve` would be given.
#[derive(Debug, clap::Args)]
struct From {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// As `serve --dev` would have it.
    #[arg(long)]
    dev: bool,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Check(from) => with_loaded(from, check),
        Command::Show { running: Running { router: Some(url), token_file }, json, .. } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
            say(&runtime.block_on(running(url, token_file.as_deref(), json))?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { from, json: false, .. } => with_loaded(from, |loaded| Ok(table(loaded))),
        Command::Show { from, json: true, .. } => with_loaded(from, json),
        Command::Example => {
            say(config::example().trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn with_loaded(from: From, answer: impl Fn(&Loaded) -> Result<String>) -> Result<ExitCode> {
    match config::load(&Sources { dev: from.dev, ..Sources::of_process(from.config) }) {
        Ok(loaded) => {
            say(&answer(&loaded)?);
            Ok(ExitCode::SUCCESS)
        }
        Err(mistakes) => {
            complain(&mistakes.to_string());
            Ok(ExitCode::from(EXIT_USAGE))
        }
    }
}

/// As a router tells it.
async fn running(url: String, token_file: Option<&Path>, json: bool) -> Result<String> {
    let token = token_file.map(|file| token_in(file).with_context(|| format!("cannot read {}", file.display())));
    let client = OpsClient::new(&OpsTarget { url, token: token.transpose()? }).context("--router")?;
    let told = asked(&client, "/api/config", &[]).await?;
    let keys = told["keys"].as_array().context("the router's answer has no keys")?;
    let word = |key: &Value, part: &str| key[part].as_str().unwrap_or_default().to_owned();
    if json {
        let rows: Vec<_> =
            keys.iter().map(|key| json!({"key": key["key"], "value": key["value"], "source": key["source"]})).collect();
        return serde_json::to_string_pretty(&rows).context("cannot write JSON");
    }
    let mut table = config::columns(["KEY", "VALUE", "SOURCE"]);
    for key in keys {
        table.add_row([word(key, "key"), key["value"].to_string(), word(key, "source")]);
    }
    Ok(table.trim_fmt())
}

fn check(loaded: &Loaded) -> Result<String> {
    let set = loaded.provenance.values().filter(|source| **source != Source::Default).count();
    Ok(format!("ok: {set} keys set, {} at their defaults", loaded.provenance.len() - set))
}

fn table(loaded: &Loaded) -> String {
    let mut table = config::columns(["KEY", "VALUE", "SOURCE"]);
    for row in loaded.rows() {
        table.add_row([row.key, row.value.to_string(), row.source.to_string()]);
    }
    table.trim_fmt()
}

fn json(loaded: &Loaded) -> Result<String> {
    let rows: Vec<_> = loaded
        .rows()
        .into_iter()
        .map(|row| json!({"key": row.key, "value": row.value, "source": row.source.to_string()}))
        .collect();
    serde_json::to_string_pretty(&rows).context("cannot write JSON")
}
