//! The command line: one file a subcommand.

use std::{
    io::{ErrorKind, Write as _, stdout},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

mod config;
mod demo;
mod load;
mod metrics;
mod rooms;
mod serve;
mod token;

/// Exit code of a command line or configuration that cannot be used (sysexits' `EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// signalbox: the signaling router for real-time audio and video that on-call engineers would choose.
#[derive(Debug, Parser)]
#[command(name = "signalbox", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the router.
    Serve(serve::Args),
    /// A router and calls against it in one process, with a live table of latencies.
    Demo(demo::Args),
    /// Drive a router with an open-loop load and report latency, losses and order.
    Load(load::Args),
    /// Mint an access token.
    Token(token::Args),
    /// Check or show the configuration.
    Config(config::Args),
    /// Every metric: what it says, its labels and their bounds, what shows it, what it may cost.
    Metrics(metrics::Args),
    /// Look at rooms and participants, and change them, through the admin API.
    Rooms(rooms::Args),
}

/// Parses the command line and runs one subcommand.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let code = if e.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
            e.print().ok();
            return code;
        }
    };
    let done = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Load(args) => load::run(args),
        Command::Token(args) => token::run(args),
        Command::Config(args) => config::run(args),
        Command::Metrics(args) => metrics::run(args),
        Command::Rooms(args) => rooms::run(args),
    };
    done.unwrap_or_else(|e| {
        complain(&format!("error: {e:#}"));
        ExitCode::FAILURE
    })
}

/// A line for people on standard error.
#[allow(clippy::print_stderr)] // the command line is the one place that prints
pub(crate) fn complain(line: &str) {
    eprintln!("{line}");
}

/// A line for people or programs on standard output.
///
/// # Panics
/// When it cannot be written, but not when a reader such as `head` has had enough.
pub(crate) fn say(line: &str) {
    if let Err(error) = writeln!(stdout(), "{line}") {
        assert!(error.kind() == ErrorKind::BrokenPipe, "cannot write to standard output: {error}");
    }
}
