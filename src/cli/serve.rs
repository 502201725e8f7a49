//! `signalbox serve`: the router.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{EXIT_USAGE, complain, say};
use crate::{
    app::{self, Running},
    config::{self, Config},
    io::{otlp::LogQueue, workers::Workers},
    telemetry::logs,
};

/// Arguments of `signalbox serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox serve --dev                              try it: loopback, the well-known key
  signalbox serve --config /etc/signalbox.toml       as a service
  SIGNALBOX_DRAIN__SECONDS=60 signalbox serve --config signalbox.toml

The first SIGTERM or SIGINT drains (not ready, clients are advised to reconnect, then closed); a second one ends at once.")]
pub(super) struct Args {
    /// Configuration file (TOML); every key is in deploy/signalbox.example.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For trying out: loopback only, key `devkey`, any origin, high limits.
    #[arg(long)]
    dev: bool,
    /// Client address (client.listen); port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Ops address (ops.listen).
    #[arg(long, value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,
    /// Log level (log.level).
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let config = match load(&args) {
        Ok(config) => config,
        Err(mistakes) => {
            complain(&mistakes.to_string());
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let lines = app::log_queue(&config);
    // to the end: the last lines are written when it goes
    let _writing = logs::init(config.log.format, &config.log.level, lines.as_ref().map(LogQueue::layer))?;
    if args.dev {
        complain("DEV MODE: anyone who can reach this address can mint tokens with key `devkey`. Never expose it.");
    }
    let (runtime, workers) = app::runtime(&config)?;
    runtime.block_on(serve(config, workers, lines))?;
    // tasks that are left hold nothing that matters after a drain
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    Ok(ExitCode::SUCCESS)
}

fn load(args: &Args) -> Result<Config, config::ConfigError> {
    let mut flags = Vec::new();
    let mut flag = |key: &str, value: Option<String>, name: &str| {
        if let Some(value) = value {
            flags.push((key.to_owned(), value, name.to_owned()));
        }
    };
    flag("client.listen", args.listen.map(|a| a.to_string()), "--listen");
    flag("ops.listen", args.ops_listen.map(|a| a.to_string()), "--ops-listen");
    flag("log.level", args.log_level.clone(), "--log-level");
    let sources = config::Sources { flags, dev: args.dev, ..config::Sources::of_process(args.config.clone()) };
    config::load(&sources).map(|loaded| loaded.config)
}

async fn serve(config: Config, workers: Workers, lines: Option<LogQueue>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let running = Running::start(&config, &workers, lines)?;
    let client: Vec<_> = running.client_addrs().iter().map(SocketAddr::to_string).collect();
    say(&format!("listening client={} ops={}", client.join(","), running.ops_addr()));
    stop_signal(&mut terminate, &mut interrupt).await;
    tell("draining: new sessions are refused, clients are advised to reconnect; a second signal ends at once");
    tokio::select! {
        () = running.drain() => {}
        () = stop_signal(&mut terminate, &mut interrupt) => tell("second signal: ending at once"),
    }
    drop(running);
    Ok(())
}

/// Beside the drain: who does not read standard error does not hold it up.
fn tell(message: &'static str) {
    tokio::task::spawn_blocking(move || complain(message));
}

async fn stop_signal(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
