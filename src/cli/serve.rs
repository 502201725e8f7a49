//! `signalbox serve`: the router.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{EXIT_USAGE, complain, say};
use crate::{
    app::{self, Configured, Purpose, Running, Watched},
    config,
    io::otlp::LogQueue,
    profiler::{self, Profiler},
    telemetry::logs,
};

/// Arguments of `signalbox serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox serve --dev                              try it: loopback, the well-known key
  signalbox serve --config /etc/signalbox.toml       as a service
  SIGNALBOX_DRAIN__SECONDS=60 signalbox serve --config signalbox.toml

While it runs, the file is read again when it changes, and at SIGHUP: limits, keys, origins, log level and all else that
is marked (live) in the example are taken up for what begins from then on. A file that has a mistake, or changes what is
not live, is refused as a whole and named in the log; what ran runs on.
The first SIGTERM or SIGINT drains (not ready, clients are advised to reconnect, then closed); a second one ends at once.")]
pub(super) struct Args {
    /// Configuration file (TOML); every key is in deploy/signalbox.example.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For trying out: loopback only, key `devkey`, any origin, high limits, faults on purpose (/api/fault).
    #[arg(long)]
    dev: bool,
    /// Client address (client.listen); port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Ops address (ops.listen).
    #[arg(long, value_name = "ADDR")]
    ops_listen: Option<SocketAddr>,
    /// Address that media nodes register at (media.listen).
    #[arg(long, value_name = "ADDR")]
    media_listen: Option<SocketAddr>,
    /// Log level (log.level).
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    profiler::with_environment()?;
    let configured = match load(&args) {
        Ok(configured) => configured,
        Err(mistakes) => {
            complain(&mistakes.to_string());
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let edition = configured.edition();
    let config = &edition.loaded.config;
    let lines = app::log_queue(config);
    // to the end: the last lines are written when it goes
    let _writing = logs::init(config.log.format, &config.log.level, lines.as_ref().map(LogQueue::layer))?;
    if args.dev {
        complain("DEV MODE: anyone who can reach this address can mint tokens with key `devkey`. Never expose it.");
    }
    // before all threads that it shall sample
    let profiler = Profiler::start(config.profiler_settings());
    let (runtime, workers) = app::runtime(config)?;
    let purpose = if args.dev { Purpose::Trying } else { Purpose::Serving };
    runtime.block_on(serve(configured, Watched { workers, profiler, purpose }, lines))?;
    // tasks that are left hold nothing that matters after a drain
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    Ok(ExitCode::SUCCESS)
}

fn load(args: &Args) -> Result<Configured, config::ConfigError> {
    let mut flags = Vec::new();
    let mut flag = |key: &str, value: Option<String>, name: &str| {
        if let Some(value) = value {
            flags.push((key.to_owned(), value, name.to_owned()));
        }
    };
    flag("client.listen", args.listen.map(|a| a.to_string()), "--listen");
    flag("ops.listen", args.ops_listen.map(|a| a.to_string()), "--ops-listen");
    flag("media.listen", args.media_listen.map(|a| a.to_string()), "--media-listen");
    flag("log.level", args.log_level.clone(), "--log-level");
    let sources = config::Sources { flags, dev: args.dev, ..config::Sources::of_process(args.config.clone()) };
    Configured::load(sources)
}

async fn serve(configured: Configured, watched: Watched, lines: Option<LogQueue>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    // from the start: until somebody listens for it, it would end the process
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let running = Running::start(configured, &watched, lines)?;
    let client: Vec<_> = running.client_addrs().iter().map(SocketAddr::to_string).collect();
    let media = running.media_addr().map(|address| format!(" media={address}")).unwrap_or_default();
    say(&format!("listening client={} ops={}{media}", client.join(","), running.ops_addr()));
    loop {
        tokio::select! {
            () = stop_signal(&mut terminate, &mut interrupt) => break,
            _ = hangup.recv() => running.read_config_again(),
        }
    }
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
