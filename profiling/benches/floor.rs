//! `make bench`: signalbox beside the floor, alternating in one run, on this machine.
//!
//! The same generator drives both over real sockets, open loop, latency from the due time. `server` is the floor
//! itself; without it this is the runner, which starts floor and router as processes and ends them by their ids.

mod floor {
    pub(crate) mod child;
    pub(crate) mod instructions;
    pub(crate) mod parts;
    pub(crate) mod runner;
    pub(crate) mod sampling;
    pub(crate) mod scraper;
    pub(crate) mod server;
    pub(crate) mod table;
    pub(crate) mod workload;
}

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use self::floor::{parts::Part, runner, sampling, server, workload::Workload};

/// signalbox beside the floor: CPU, latency and memory, medians of alternating runs.
#[derive(Debug, Parser)]
#[command(name = "floor")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    runner: Runner,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The floor: a bare fan-out between WebSockets.
    Server {
        /// Where to listen; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Tasks that own rooms.
        #[arg(long, default_value_t = 2)]
        owners: usize,
    },
    /// One part of what measuring costs, so many times.
    Part {
        /// Which.
        part: Part,
        /// How often.
        calls: usize,
    },
    /// Nanoseconds of one sample of the CPU profiler; wants DIAL9_FORCE_CTIMER in its environment.
    Sampling,
}

/// Options of the runner.
#[derive(Debug, clap::Args)]
pub(crate) struct Runner {
    /// Alternations; of each figure the median counts. `rush` runs once.
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// Only these, comma separated.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Workload>,
    /// The router to measure.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_signalbox"))]
    pub(crate) bin: PathBuf,
    /// Shorter runs, to see that it works; the figures say little.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Said by `cargo bench`, not by `cargo test`, which only looks whether it starts.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Server { listen, owners }) => server::serve(listen, owners).map(|()| ExitCode::SUCCESS),
        Some(Command::Part { part, calls }) => {
            part.repeat(calls);
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Sampling) => sampling::measure().map(|()| ExitCode::SUCCESS),
        None if cli.runner.bench => runner::run(&cli.runner),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// A line on standard output.
#[allow(clippy::print_stdout)] // a program of its own, whose output is its purpose
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// A line on standard error.
#[allow(clippy::print_stderr)] // as above
pub(crate) fn complain(line: &str) {
    eprintln!("{line}");
}
