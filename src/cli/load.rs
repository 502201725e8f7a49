//! `signalbox load`: an open-loop load against any router.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{complain, say};
use crate::{
    auth::{DEV_KEY, DEV_SECRET},
    load::{
        self, Options, Progress, Report, SECONDS_MAX, Scenario, Snapshot, TokenSource,
        client::{Dialect, TargetSettings, Transport},
    },
    ops_client::{OpsTarget, token_in},
    protocol::Encoding,
};

/// Arguments of `signalbox load`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox load fanout --rooms 50 --size 8 --rate 20 --pid $(pidof signalbox)
  signalbox load join --rate 500 --seconds 8
  signalbox load resume --encoding protobuf --max-p99 80
  signalbox load resume --rooms 500 --joins 200 --stay 0 --seconds 60
  signalbox load call --transport grpc --json
  signalbox load call --seconds 60 --by-second
  signalbox load overload --seconds 10 --max-p99 80 --min-goodput 90 --svg overload.svg

Exit code 1 when anything was lost, doubled, out of order, unanswered, refused, or past --max-p99.")]
pub(super) struct Args {
    /// What the participants do.
    #[arg(value_enum, value_name = "SCENARIO")]
    scenario: Option<Scenario>,
    /// The same as an option.
    #[arg(long = "scenario", value_enum, value_name = "SCENARIO", conflicts_with = "scenario")]
    named: Option<Scenario>,
    /// Where: ws://…/v1/signal, wss://…; of gRPC http://…, https://… Of a fleet several: connections begin at each in turn
    #[arg(
        long,
        value_name = "URL",
        default_value = "ws://127.0.0.1:7800/v1/signal",
        default_value_if("transport", "grpc", "http://127.0.0.1:7800")
    )]
    url: Vec<String>,
    /// WebSocket or gRPC.
    #[arg(long, value_enum, default_value_t = Transport::Ws)]
    transport: Transport,
    /// Of WebSocket frames; gRPC is always protobuf.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    encoding: Format,
    /// Certificates (PEM) to trust for wss and https.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// API key that tokens are minted with.
    #[arg(long, env = "SIGNALBOX_KEY", default_value = DEV_KEY)]
    key: String,
    /// Its secret.
    #[arg(long, env = "SIGNALBOX_SECRET", default_value = DEV_SECRET, hide_default_value = true, hide_env_values = true)]
    secret: String,
    /// Tokens to use instead, one a line, one for each participant, room by room.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Rooms; of `call`, calls side by side.
    #[arg(long)]
    rooms: Option<usize>,
    /// Participants of a room.
    #[arg(long)]
    size: Option<usize>,
    /// Messages a second of each participant; of `join` and `churn`, arrivals a second in all.
    #[arg(long)]
    rate: Option<f64>,
    /// Joins a second of `resume`; all go at the same rate, too [default: 500].
    #[arg(long, value_name = "PER_SECOND")]
    joins: Option<f64>,
    /// How long traffic is offered; of `resume`, from when all have come until the first one goes.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    seconds: f64,
    /// The first part, whose latencies are not counted [default: a tenth of --seconds, at most 2].
    #[arg(long, value_name = "SECONDS")]
    warmup: Option<f64>,
    /// Padding of each message.
    #[arg(long, default_value_t = 200, value_name = "BYTES")]
    payload_bytes: usize,
    /// How long a participant of `churn` stays, a call lasts, and one of `resume` is there between two drops; 0: it drops none by itself.
    #[arg(long, value_name = "SECONDS")]
    stay: Option<f64>,
    /// Server process whose CPU and memory to report; may be given again.
    #[arg(long)]
    pid: Vec<u32>,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    /// Interval log to write (HdrHistogram V2, compressed), a line a second and measure.
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,
    /// Show the run second by second: joins, P99, errors, moves to another media node.
    #[arg(long)]
    by_second: bool,
    /// The router's ops port, to show its own P99 and counts beside the client's [default: http://127.0.0.1:9600 with the default --url]
    #[arg(long, value_name = "URL")]
    ops: Option<String>,
    /// Holds the bearer token that the ops port asks for beyond loopback.
    #[arg(long, value_name = "FILE", requires = "ops")]
    ops_token_file: Option<PathBuf>,
    /// P99 that no measure may pass; of `overload`, that of what is admitted at any step.
    #[arg(long, value_name = "MILLISECONDS")]
    max_p99: Option<f64>,
    #[command(flatten)]
    overload: OverloadArgs,
}

/// What only `overload` takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Of overload, whose --seconds are those of each step")]
struct OverloadArgs {
    /// Requests a second that the router can serve; else that is measured first.
    #[arg(long, value_name = "PER_SECOND")]
    peak: Option<f64>,
    /// Times the peak that are offered, one after the other.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2,3,4,5")]
    factors: Vec<f64>,
    /// Share of the peak that the goodput of each step must reach.
    #[arg(long, value_name = "PERCENT")]
    min_goodput: Option<f64>,
    /// Where to draw the curves.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// What stands above them.
    #[arg(long, value_name = "TEXT", default_value = "signalbox under more load than it can serve", requires = "svg")]
    title: String,
}

/// How WebSocket frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Text frames.
    Json,
    /// Binary frames.
    Protobuf,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let options = options(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let report = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_interrupt(stop.clone()));
        load::run(options, progress(), stop).await
    })?;
    runtime.shutdown_timeout(Duration::from_millis(200));
    if args.json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        say(&report.to_text());
    }
    if let (Some(path), Some(overload)) = (&args.overload.svg, &report.overload) {
        let svg = overload.curves(&args.overload.title).map_err(|why| anyhow!("--svg: {why}"))?;
        std::fs::write(path, svg).with_context(|| format!("--svg: cannot write {}", path.display()))?;
    }
    Ok(told(&report.failures(args.max_p99, args.overload.min_goodput)))
}

/// Says what did not hold; the exit code follows.
pub(super) fn verdict(report: &Report, p99_max_ms: Option<f64>) -> ExitCode {
    told(&report.failures(p99_max_ms, None))
}

fn told(failures: &[String]) -> ExitCode {
    if failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    complain(&format!("failed: {}", failures.join("; ")));
    ExitCode::FAILURE
}

/// The first Ctrl-C ends the run with its report.
pub(super) async fn stop_on_interrupt(stop: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        stop.cancel();
    }
}

fn options(args: &Args) -> Result<Options> {
    let Some(scenario) = args.scenario.or(args.named) else {
        bail!("say what the participants shall do: fanout, join, churn, resume, call, idle or overload");
    };
    let target = TargetSettings {
        url: args.url.first().cloned().unwrap_or_default(),
        transport: args.transport,
        encoding: if args.encoding == Format::Json { Encoding::Json } else { Encoding::Protobuf },
        authorities: args.ca.clone(),
        dialect: Dialect::Signalbox,
    };
    let tokens = match &args.token_file {
        Some(path) => TokenSource::from_file(path)?,
        None => TokenSource::Key { key: args.key.clone(), secret: args.secret.clone() },
    };
    let mut options = Options::new(scenario, target, tokens);
    if !(0.1..=SECONDS_MAX as f64).contains(&args.seconds) {
        bail!("--seconds is {}, allowed: 0.1 to {SECONDS_MAX}", args.seconds);
    }
    options.other_urls = args.url.iter().skip(1).cloned().collect();
    options.length = Duration::from_secs_f64(args.seconds);
    options.warmup = seconds("--warmup", args.warmup.unwrap_or((args.seconds / 10.0).min(2.0)))?;
    options.rooms = args.rooms.unwrap_or(options.rooms);
    options.size = args.size.unwrap_or(options.size);
    options.rate = args.rate.unwrap_or(options.rate);
    options.joins = args.joins.unwrap_or(options.joins);
    options.payload_bytes = args.payload_bytes;
    options.by_second = args.by_second;
    if let Some(stay) = args.stay {
        options.stay = seconds("--stay", stay)?;
    }
    options.peak = args.overload.peak;
    options.factors.clone_from(&args.overload.factors);
    options.pids.clone_from(&args.pid);
    options.interval_log.clone_from(&args.hlog);
    options.ops = ops(args)?;
    options.validate()?;
    Ok(options)
}

/// As told; of a router that is where routers usually are, where its ops port usually is.
fn ops(args: &Args) -> Result<Option<OpsTarget>> {
    let usual = ["ws://127.0.0.1:7800/v1/signal", "http://127.0.0.1:7800"]
        .contains(&args.url.first().map_or("", String::as_str));
    let url = args.ops.clone().or_else(|| usual.then(|| "http://127.0.0.1:9600".to_owned()));
    let token = args
        .ops_token_file
        .as_ref()
        .map(|path| token_in(path).with_context(|| format!("--ops-token-file: cannot read {}", path.display())));
    let token = token.transpose()?;
    Ok(url.map(|url| OpsTarget { url, token }))
}

fn seconds(name: &str, value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value).with_context(|| format!("{name} {value}"))
}

/// A line that is redrawn on a terminal; elsewhere a line every five seconds.
fn progress() -> Progress {
    if std::io::stderr().is_terminal() {
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        return Box::new(move |snapshot: &Snapshot| {
            bar.set_message(snapshot.to_line());
            bar.tick();
        });
    }
    let mut second = 0_u32;
    Box::new(move |snapshot: &Snapshot| {
        if second.is_multiple_of(5) {
            complain(&snapshot.to_line());
        }
        second += 1;
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<Options> {
        options(&Line::try_parse_from([&["load"], line].concat())?.args)
    }

    #[test]
    fn a_scenario_is_named_either_way_and_brings_its_defaults() {
        for line in [&["fanout"][..], &["--scenario", "fanout"]] {
            let options = parse(line).unwrap();
            assert_eq!((options.scenario, options.rooms, options.size), (Scenario::Fanout, 50, 8));
            assert_eq!(options.target.url, "ws://127.0.0.1:7800/v1/signal");
        }
        assert_eq!(parse(&["call", "--transport", "grpc"]).unwrap().target.url, "http://127.0.0.1:7800");
    }

    #[test]
    fn a_line_that_cannot_be_run_says_why() {
        for (line, named) in [
            (&[][..], "fanout, join"),
            (&["fanout", "--seconds", "4000"], "3600"),
            (&["fanout", "--warmup", "11"], "--warmup"),
            (&["resume", "--joins", "0"], "--joins"),
            (&["join", "--token-file", "/nonexistent"], "--token-file"),
        ] {
            let refused = parse(line).unwrap_err().to_string();
            assert!(refused.contains(named), "{refused}");
        }
    }
}
