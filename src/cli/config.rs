//! `signalbox config`: is it right, what is in force, what is there to set.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{EXIT_USAGE, complain, say};
use crate::config::{self, Loaded, Source, Sources};

/// Arguments of `signalbox config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox config example > signalbox.toml
  signalbox config check --config signalbox.toml
  SIGNALBOX_DRAIN__SECONDS=60 signalbox config show --config signalbox.toml

Exit code 64: the configuration has mistakes; all of them are listed.")]
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
        /// One JSON array, for programs.
        #[arg(long)]
        json: bool,
    },
    /// The example file: every key with its default, what is allowed, and why.
    Example,
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
        Command::Show { from, json: false } => with_loaded(from, |loaded| Ok(table(loaded))),
        Command::Show { from, json: true } => with_loaded(from, json),
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
