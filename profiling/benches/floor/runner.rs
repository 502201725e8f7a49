//! Runs every load against floor and router in turn and prints the table.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use signalbox::load::{self, Report};
use tokio_util::sync::CancellationToken;

use super::{
    child::Server,
    table::{Row, draw, median},
    workload::{Side, Workload},
};
use crate::{Runner, complain, say};

/// The table of DESIGN section 13 for this machine.
pub(crate) fn run(args: &Runner) -> Result<ExitCode> {
    rlimit::increase_nofile_limit(u64::MAX).ok();
    let workloads = if args.only.is_empty() { Workload::ALL.to_vec() } else { args.only.clone() };
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for workload in workloads {
        let runs = if workload == Workload::Rush || args.quick { 1 } else { args.runs.max(1) };
        let (mut floor, mut signalbox) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            floor.push(measure(args, workload, Side::Floor)?);
            signalbox.push(measure(args, workload, Side::Signalbox)?);
        }
        let failures = signalbox.iter().flat_map(|report| report.failures(None));
        wrong.extend(failures.map(|failure| format!("{}: {failure}", workload.name())));
        for (figure, target) in workload.figures() {
            let middle = |reports: &[Report]| median(reports.iter().filter_map(|report| figure.of(report)).collect());
            let (floor, signalbox) = (middle(&floor), middle(&signalbox));
            rows.push(Row { workload, figure: *figure, target: *target, floor, signalbox });
        }
    }
    say(&format!("\n{}\n", draw(&rows)));
    say(
        "floor: a bare WebSocket fan-out without tokens, state or telemetry; both driven alike, medians of alternating runs",
    );
    for failure in &wrong {
        complain(failure);
    }
    let missed = rows.iter().filter(|row| row.kept() == Some(false)).count();
    Ok(if missed == 0 && wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One load against one server, started for it and ended after it.
fn measure(args: &Runner, workload: Workload, side: Side) -> Result<Report> {
    let server = match side {
        Side::Floor => {
            let own = std::env::current_exe().context("cannot find this program")?;
            Server::start(&own, &["server", "--listen", "127.0.0.1:0"])?
        }
        Side::Signalbox => {
            Server::start(&args.bin, &["serve", "--dev", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])?
        }
    };
    let mut options = workload.options(side, server.client, server.pid());
    if args.quick {
        options.length = options.length.min(Duration::from_secs(2));
        options.warmup /= 5;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(load::run(options, Box::new(|_| {}), CancellationToken::new()))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    let figures: Vec<_> = workload
        .figures()
        .iter()
        .filter_map(|(figure, _)| Some(format!("{} {:.2}", figure.name(), figure.of(&report)?)))
        .collect();
    say(&format!("{:22} {:?}: {}, lost {}", workload.name(), side, figures.join(", "), report.lost));
    Ok(report)
}
