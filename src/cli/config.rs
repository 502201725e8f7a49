//! `signalbox config`: check a configuration, or show it with where each value came from.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use super::{EXIT_USAGE, complain, say};
use crate::config::{self, Sources};

/// Arguments of `signalbox config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox config check --config signalbox.toml    every mistake at once; exit code 64 when there is one")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read all layers and report every mistake.
    Check {
        /// Configuration file (TOML).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let Command::Check { config } = args.command;
    match config::load(&Sources::of_process(config)) {
        Ok(loaded) => {
            say(&format!("the configuration is good: {} keys", loaded.provenance.len()));
            Ok(ExitCode::SUCCESS)
        }
        Err(mistakes) => {
            complain(&mistakes.to_string());
            Ok(ExitCode::from(EXIT_USAGE))
        }
    }
}
