//! What measuring costs in instructions of the router's own code: the same on every run, whatever else the machine does.
//!
//! The router runs under callgrind, measured and not, each under a short and a long load; what the longer one adds,
//! over the deliveries that it adds, is the price of a delivery without start and joins.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use signalbox::load;
use tokio_util::sync::CancellationToken;

use super::{
    child::Server,
    runner::SERVE,
    table::Row,
    workload::{Side, Target, Workload},
};
use crate::{Runner, say};

/// Slow enough for a router that runs fifty times slower.
const ROOMS: usize = 10;
const RATE: f64 = 4.0;
const SHORT: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(20);

/// One row, or a line that says why there is none.
pub(crate) fn rows(args: &Runner) -> Result<Vec<Row>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        say("instructions: not counted, there is no valgrind");
        return Ok(Vec::new());
    }
    let [without, with] = [Side::Unmeasured, Side::Signalbox].map(|side| a_delivery(args, side));
    let (without, with) = (without?, with?);
    Ok(vec![Row::new("instructions", "own code, a delivery", Target::Shown, without, with)])
}

fn a_delivery(args: &Runner, side: Side) -> Result<f64> {
    let [short, long] = [SHORT, LONG].map(|length| count(&args.bin, side, length));
    let ((less, fewer), (more, many)) = (short?, long?);
    let each = (more - less) / (many - fewer);
    say(&format!("instructions           {}: {each:.0} a delivery over {:.0} deliveries", side.name(), many - fewer));
    Ok(each)
}

/// Instructions and deliveries of a run.
fn count(bin: &Path, side: Side, length: Duration) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("callgrind.out");
    let to_file = format!("--callgrind-out-file={}", out.display());
    let bin = bin.to_str().context("the binary's path is not text")?;
    let arguments = [&["--tool=callgrind", "--quiet", &to_file, bin][..], &SERVE[..]].concat();
    let measure = if side == Side::Unmeasured { "false" } else { "true" };
    let environment = [("SIGNALBOX_TELEMETRY__MEASURE", measure), ("SIGNALBOX_DRAIN__SECONDS", "0")];
    let server = Server::start(Path::new("valgrind"), &arguments, &environment)?;
    let mut options = Workload::Fanout20.options(side, &server);
    (options.rooms, options.rate, options.length, options.warmup) = (ROOMS, RATE, length, Duration::ZERO);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(load::run(options, Box::new(|_| {}), CancellationToken::new()))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    server.end()?;
    let text = std::fs::read_to_string(&out).context("callgrind wrote nothing")?;
    // a thread's part each, when they are apart; here there is one total
    let Some(total) = text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")))
    else {
        bail!("callgrind told no total");
    };
    Ok((total.trim().parse()?, report.delivered as f64))
}
