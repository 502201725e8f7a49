//! `signalbox demo`: a router and calls against it in one process, over real sockets, with a live table.

use std::{
    io::IsTerminal,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{
    load::{stop_on_interrupt, verdict},
    say,
};
use crate::{
    app::{self, Running},
    auth::{DEV_KEY, DEV_SECRET, TokenClaims, mint},
    config::{self, Config},
    load::{
        self, OpsTarget, Options, Progress, Report, SECONDS_MAX, Scenario, Snapshot, TokenSource,
        client::TargetSettings,
    },
};

/// Runs until Ctrl-C when nothing else is said; a day is as good as that.
const UNTIL_INTERRUPTED: Duration = Duration::from_secs(24 * 3_600);
/// How long the token of the hints is valid.
const TOKEN_VALID: Duration = Duration::from_secs(6 * 3_600);
/// Seconds between two lines where there is no terminal to redraw.
const LINE_EVERY: u32 = 3;

/// Arguments of `signalbox demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox demo                 until Ctrl-C
  signalbox demo --seconds 20    ends by itself; exit code 1 when anything was lost, doubled or out of order")]
pub(super) struct Args {
    /// End after that many seconds; without it, at Ctrl-C.
    #[arg(long)]
    seconds: Option<u64>,
    /// Calls side by side.
    #[arg(long, default_value_t = 10)]
    calls: usize,
    /// Participants of a call.
    #[arg(long, default_value_t = 3)]
    size: usize,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    if let Some(seconds) = args.seconds
        && !(1..=SECONDS_MAX).contains(&seconds)
    {
        bail!("--seconds is {seconds}, allowed: 1 to {SECONDS_MAX}");
    }
    let (router, running) = start_router()?;
    let client = *running.client_addrs().first().context("the router has no client address")?;
    let hints = hints(client, running.ops_addr())?;
    say(&hints);
    let calls = Runtime::new().context("cannot start a runtime for the calls")?;
    let ops = OpsTarget { url: format!("http://{}", running.ops_addr()), token: None };
    let report = calls.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_interrupt(stop.clone()));
        load::run(options(&args, client, ops), progress(), stop).await
    })?;
    calls.shutdown_timeout(Duration::from_millis(200));
    drop(running);
    router.shutdown_timeout(Duration::from_millis(200));
    say(&summary(&report));
    Ok(verdict(&report, None))
}

/// The one place that starts a router: in development mode, on the usual ports or, where they are taken, on free ones.
fn start_router() -> Result<(Runtime, Running)> {
    // another program may take a port between the look and the start
    start_on(usual_or_free(7800), usual_or_free(9600)).or_else(|_| start_on(loopback(0), loopback(0)))
}

fn start_on(client: SocketAddr, ops: SocketAddr) -> Result<(Runtime, Running)> {
    let flag = |key: &str, address: SocketAddr| (key.to_owned(), address.to_string(), "demo".to_owned());
    let flags = vec![flag("client.listen", client), flag("ops.listen", ops)];
    // the demo is the same everywhere: neither a file nor the environment has a say
    let sources = config::Sources { flags, dev: true, ..config::Sources::default() };
    let config: Config = config::load(&sources)?.config;
    let (runtime, workers) = app::runtime(&config)?;
    let running = runtime.block_on(async { Running::start(&config, &workers, None) })?;
    Ok((runtime, running))
}

fn usual_or_free(port: u16) -> SocketAddr {
    if TcpListener::bind(loopback(port)).is_ok() { loopback(port) } else { loopback(0) }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn options(args: &Args, client: SocketAddr, ops: OpsTarget) -> Options {
    let target = TargetSettings::websocket(format!("ws://{client}/v1/signal"));
    let mut options = Options::new(Scenario::Call, target, TokenSource::dev());
    options.length = args.seconds.map_or(UNTIL_INTERRUPTED, Duration::from_secs);
    options.warmup = (options.length / 10).min(Duration::from_secs(1));
    options.rooms = args.calls;
    options.size = args.size;
    options.ops = Some(ops);
    options
}

/// What to try while it runs.
fn hints(client: SocketAddr, ops: SocketAddr) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = TokenClaims::join("demo", "you").expires_at((now + TOKEN_VALID).as_secs());
    let token = mint(DEV_KEY, DEV_SECRET, &claims)?;
    Ok(format!(
        "A router of this process, and calls against it over real sockets.\n\n\
         WebSocket  ws://{client}/v1/signal?access_token=TOKEN\n\
         gRPC       http://{client}  signalbox.v1.Signaling/Connect\n\
         metrics    http://{ops}/metrics\n\
         latency    http://{ops}/debug/latency\n\
         slow       http://{ops}/debug/slow\n\
         health     http://{ops}/health/ready\n\
         more load  signalbox load fanout --url ws://{client}/v1/signal\n\
         TOKEN      {token}\n           (room `demo`, identity `you`, valid for {} hours)\n",
        TOKEN_VALID.as_secs() / 3_600
    ))
}

/// On a terminal a table in place; elsewhere a line now and then.
fn progress() -> Progress {
    if std::io::stdout().is_terminal() {
        let mut drawn = 0;
        return Box::new(move |snapshot: &Snapshot| {
            let table = format!("{}\n{}", load::latency_table(&snapshot.so_far), snapshot.to_line());
            // up over what was drawn, then clear to the end of the screen (ECMA-48 CUU, ED)
            let over = if drawn > 0 { format!("\x1b[{drawn}A\x1b[J") } else { String::new() };
            drawn = table.lines().count();
            say(&format!("{over}{table}"));
        });
    }
    let mut second = 0_u32;
    Box::new(move |snapshot: &Snapshot| {
        second += 1;
        if second.is_multiple_of(LINE_EVERY) {
            say(&snapshot.to_line());
        }
    })
}

fn summary(report: &Report) -> String {
    let worst = report.latencies.iter().max_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms));
    let worst = worst.map_or_else(String::new, |w| format!("P99 of every op at most {:.2} ms ({})", w.p99_ms, w.name));
    let wrong = report.lost + report.doubled + report.out_of_order;
    let outcome =
        if wrong == 0 { "nothing lost, doubled or out of order" } else { "NOT everything arrived as it should" };
    format!("\n{}\n{worst}; {outcome}", report.to_text())
}
