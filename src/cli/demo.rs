//! `signalbox demo`: a router and calls against it in one process, over real sockets, with a live table.

mod fault;
mod nodes;
mod screen;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use self::{fault::Plan, screen::Screen};
use super::{
    load::{stop_on_interrupt, verdict},
    say,
};
use crate::{
    app::{self, Configured, Purpose, Running, Watched},
    auth::{DEV_KEY, DEV_SECRET, TokenClaims, mint},
    config,
    event::Fault,
    load::{self, Options, Report, SECONDS_MAX, Scenario, TokenSource, client::TargetSettings},
    ops_client::OpsTarget,
    profiler::{self, Profiler},
};

/// Runs until Ctrl-C when nothing else is said; a day is as good as that.
const UNTIL_INTERRUPTED: Duration = Duration::from_secs(24 * 3_600);
/// How long the token of the hints is valid.
const TOKEN_VALID: Duration = Duration::from_secs(6 * 3_600);

/// Arguments of `signalbox demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox demo                 until Ctrl-C
  signalbox demo --seconds 20    ends by itself; exit code 1 when anything was lost, doubled or out of order
  signalbox demo --fault cpu     after 20 seconds signals meet a hot function, for a minute; says where it shows
  signalbox demo --fault errors --fault-after 5s --fault-seconds 15 --seconds 30

Faults: cpu (a hot function), stall (a blocked worker), errors (signals answered with `internal`), memory (a leak),
canary (clients of the variant `canary` are served badly), slow-media (media nodes are heard late), work (a millisecond a
signal), shed (more work than there is time for: the guard turns signals away). With one the exit code does not tell of the
calls: they are meant to suffer.")]
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
    /// Inject a fault on purpose: cpu, stall, errors, memory, canary, slow-media, work or shed.
    #[arg(long, value_name = "NAME", value_parser = fault::named)]
    fault: Option<Fault>,
    /// When it begins.
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = fault::seconds, requires = "fault")]
    fault_after: Duration,
    /// How long it is there.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = fault::seconds, requires = "fault")]
    fault_seconds: Duration,
}

impl Args {
    fn plan(&self) -> Result<Option<Plan>> {
        let plan = self.fault.map(|fault| Plan { fault, after: self.fault_after, length: self.fault_seconds });
        plan.map(|plan| plan.fits(self.seconds)).transpose()?;
        Ok(plan)
    }
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    if let Some(seconds) = args.seconds
        && !(1..=SECONDS_MAX).contains(&seconds)
    {
        bail!("--seconds is {seconds}, allowed: 1 to {SECONDS_MAX}");
    }
    let plan = args.plan()?;
    profiler::with_environment()?;
    let (router, running) = start_router()?;
    let client = *running.client_addrs().first().context("the router has no client address")?;
    let hints = hints(client, running.ops_addr())?;
    say(&hints);
    let calls = Runtime::new().context("cannot start a runtime for the calls")?;
    let ops = OpsTarget { url: format!("http://{}", running.ops_addr()), token: None };
    let screen = Screen::new();
    let (report, nodes) = calls.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_interrupt(stop.clone()));
        let _nodes = nodes::start(&running).await?;
        if let (Some(plan), Some(faults)) = (plan, running.faults()) {
            tokio::spawn(plan.carry_out(faults.clone(), running.ops_addr(), screen.clone()));
        }
        let report = load::run(options(&args, client, ops), screen.progress(), stop).await?;
        anyhow::Ok((report, nodes::seen(&running)))
    })?;
    calls.shutdown_timeout(Duration::from_millis(200));
    drop(running);
    router.shutdown_timeout(Duration::from_millis(200));
    say(&format!("\nmedia nodes, by the router\n{nodes}"));
    say(&summary(&report));
    let verdict = verdict(&report, None);
    // calls that a fault was injected into are meant to suffer
    Ok(if plan.is_some() { ExitCode::SUCCESS } else { verdict })
}

/// The one place that starts a router: in development mode, on the usual ports or, where they are taken, on free ones.
fn start_router() -> Result<(Runtime, Running)> {
    let profiler =
        Profiler::start(configuration(loopback(0), loopback(0))?.edition().loaded.config.profiler_settings());
    let start = |client, ops| start_on(configuration(client, ops)?, &profiler);
    // another program may take a port between the look and the start
    start(usual_or_free(7800), usual_or_free(9600)).or_else(|_| start(loopback(0), loopback(0)))
}

/// The demo is the same everywhere: neither a file nor the environment has a say.
fn configuration(client: SocketAddr, ops: SocketAddr) -> Result<Configured> {
    let flag = |key: &str, value: &str| (key.to_owned(), value.to_owned(), "demo".to_owned());
    let flags = vec![
        flag("client.listen", &client.to_string()),
        flag("ops.listen", &ops.to_string()),
        flag("media.listen", &loopback(0).to_string()),
        // so that there is a canary to look at, and to go wrong
        flag("variants.names", "canary"),
        flag("variants.rules.name", "canary-share"),
        flag("variants.rules.variant", "canary"),
        flag("variants.rules.percent", "20"),
    ];
    let sources = config::Sources { flags, dev: true, ..config::Sources::default() };
    Ok(Configured::load(sources)?)
}

fn start_on(configured: Configured, profiler: &Profiler) -> Result<(Runtime, Running)> {
    let (runtime, workers) = app::runtime(&configured.edition().loaded.config)?;
    let watched = Watched { workers, profiler: profiler.clone(), purpose: Purpose::Trying };
    let running = runtime.block_on(async { Running::start(configured, &watched, None) })?;
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
         profiles   http://{ops}/debug/pprof/\n\
         nodes      http://{ops}/api/nodes\n\
         variants   http://{ops}/api/variants\n\
         health     http://{ops}/health/ready\n\
         more load  signalbox load fanout --url ws://{client}/v1/signal\n\
         TOKEN      {token}\n           (room `demo`, identity `you`, valid for {} hours)\n",
        TOKEN_VALID.as_secs() / 3_600
    ))
}

fn summary(report: &Report) -> String {
    let worst = report.latencies.iter().max_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms));
    let worst = worst.map_or_else(String::new, |w| format!("P99 of every op at most {:.2} ms ({})", w.p99_ms, w.name));
    let wrong = report.lost + report.doubled + report.out_of_order;
    let outcome =
        if wrong == 0 { "nothing lost, doubled or out of order" } else { "NOT everything arrived as it should" };
    format!("\n{}\n{worst}; {outcome}", report.to_text())
}
