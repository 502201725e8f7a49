//! What measuring costs in instructions: the same on every run, whatever else the machine does.
//!
//! Each part runs alone under callgrind, twice with different numbers of calls, so that the start falls out; beside it
//! the router under load, not measured, whose count depends on how its threads happen to meet and is good to a tenth.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use signalbox::load;
use tokio_util::sync::CancellationToken;

use super::{
    child::Server,
    parts::{Part, a_delivery},
    runner::SERVE,
    table::Row,
    workload::{Side, Target, Workload},
};
use crate::{Runner, say};

/// Calls of a part. Many, because the start is not the same each time: a library measures the clock for a while.
const FEW: usize = 100_000;
const MANY: usize = 2_100_000;
/// As much as a router that runs fifty times slower can take: so it is as busy as it would be at 168,000 deliveries a
/// second, and as many of them leave in one write.
const ROOMS: usize = 10;
const LENGTH: Duration = Duration::from_secs(10);
/// Messages a second of each participant.
const LIGHT: f64 = 20.0;
const HEAVIER: f64 = 60.0;
/// What the profiler's sampler wants in the environment from the first moment.
const FORCED: &str = "DIAL9_FORCE_CTIMER";

/// One row, or a line that says why there is none.
pub(crate) fn rows(args: &Runner) -> Result<Vec<Row>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        say("instructions: not counted, there is no valgrind");
        return Ok(Vec::new());
    }
    let mut costs = Vec::new();
    for part in Part::value_variants() {
        let each = (of_part(*part, MANY)? - of_part(*part, FEW)?) / (MANY - FEW) as f64;
        say(&format!("instructions           {part:?}: {each:.0}"));
        costs.push((*part, each));
    }
    let cost = |part: Part| costs.iter().find(|(of, _)| *of == part).map_or(f64::NAN, |(_, each)| *each);
    let (own, measuring) = (of_router(args)?, a_delivery(cost));
    let row = |figure: &str, router: f64| Row::new("instructions", figure, Target::Shown, own, router);
    Ok(vec![row("own code a delivery, measuring added", own + measuring)])
}

/// Instructions of that many calls, and of the start.
fn of_part(part: Part, calls: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let own = std::env::current_exe().context("cannot find this program")?;
    let name = part.to_possible_value().context("a part has a name")?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet", &format!("--callgrind-out-file={}", out.display())]).arg(own);
    let status = command.args(["part", name.get_name(), &calls.to_string()]).status().context("cannot run valgrind")?;
    if !status.success() {
        bail!("valgrind ended with {status}");
    }
    total_of(&std::fs::read_to_string(out)?)
}

/// Instructions of the router's own code for a delivery, not measured.
fn of_router(args: &Runner) -> Result<f64> {
    let [light, heavier] = [LIGHT, HEAVIER].map(|rate| loaded(&args.bin, rate));
    let ((less, fewer), (more, many)) = (light?, heavier?);
    Ok((more - less) / (many - fewer))
}

/// Instructions and deliveries of a run.
fn loaded(bin: &Path, rate: f64) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let to_file = format!("--callgrind-out-file={}", out.display());
    let bin = bin.to_str().context("the binary's path is not text")?;
    let arguments = [&["--tool=callgrind", "--quiet", &to_file, bin][..], &SERVE[..]].concat();
    let environment = [
        ("SIGNALBOX_TELEMETRY__MEASURE", "false"),
        ("SIGNALBOX_DRAIN__SECONDS", "0"),
        // else it executes itself anew, and what is executed then is not counted
        (FORCED, "1"),
        ("SIGNALBOX_PROFILER__ENABLED", "false"),
        // one that is fifty times slower is behind all the time, and would turn away what is to be counted
        ("SIGNALBOX_GUARD__ENABLED", "false"),
    ];
    let server = Server::start(Path::new("valgrind"), &arguments, &environment)?;
    let mut options = Workload::Fanout20.options(Side::Unmeasured, &server);
    (options.rooms, options.rate, options.length, options.warmup) = (ROOMS, rate, LENGTH, Duration::ZERO);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(load::run(options, Box::new(|_| {}), CancellationToken::new()))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    server.end()?;
    Ok((total_of(&std::fs::read_to_string(&out)?)?, report.delivered as f64))
}

fn total_of(text: &str) -> Result<f64> {
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    let Some(total) = total else { bail!("callgrind told no total") };
    total.trim().parse().context("callgrind's total is no number")
}
