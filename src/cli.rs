//! The command line: one file a subcommand.

use std::{
    io::{ErrorKind, Write as _, stdout},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::profiler::{NAMES_COMMAND, answer_names};

mod config;
mod demo;
mod fleet;
mod in_place;
mod load;
mod media_check;
mod media_node;
mod metrics;
mod nodes;
mod placement;
mod profile;
mod rooms;
mod serve;
mod token;
mod variant;

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
    /// Gray release: who gets which variant and why, a larger share for one, and back.
    Variant(variant::Args),
    /// Where a router spends its CPU time: live, as a file, beside another time, pinned.
    Profile(profile::Args),
    /// The media nodes of a router: how they stand, and whether they take rooms.
    Nodes(nodes::Args),
    /// The routers of a fleet, and how new a router's view of them is.
    Fleet(fleet::Args),
    /// Why a room is on its media node.
    Placement(placement::Args),
    /// Finds names for the profiler of a router, which starts this by itself.
    #[command(name = NAMES_COMMAND, hide = true)]
    Names,
    /// Carry rooms' media: a small SFU that registers with routers.
    MediaNode(media_node::Args),
    /// Check whether a media node keeps to the contract with routers, by calling it as one and sending media through it.
    MediaCheck(media_check::Args),
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
        Command::Variant(args) => variant::run(args),
        Command::Profile(args) => profile::run(args),
        Command::Nodes(args) => nodes::run(args),
        Command::Fleet(args) => fleet::run(args),
        Command::Placement(args) => placement::run(args),
        Command::Names => answer_names().map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::MediaNode(args) => media_node::run(args),
        Command::MediaCheck(args) => media_check::run(args),
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
