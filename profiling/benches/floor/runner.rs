//! Runs every load against a reference and the router in turn and prints the table.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use signalbox::load::{self, Report};
use tokio_util::sync::CancellationToken;

use super::{
    child::Server,
    instructions, parts, sampling,
    scraper::Scraper,
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
        let [reference, router] = both(args, workload)?;
        let failures = router.iter().flat_map(|report| report.failures(None, None));
        wrong.extend(failures.map(|failure| format!("{}: {failure}", workload.name())));
        for (figure, target) in workload.figures() {
            let middle = |reports: &[Report]| median(reports.iter().filter_map(|report| figure.of(report)).collect());
            let (reference, router) = (middle(&reference), middle(&router));
            rows.push(Row::new(workload.name(), figure.name(), *target, reference, router));
        }
        let cpu_us = rows.iter().rev().find(|row| row.figure == "CPU each, us").map_or(f64::NAN, |row| row.router);
        match workload {
            Workload::Telemetry => {
                rows.extend(parts::rows(cpu_us));
                rows.extend(instructions::rows(args)?);
            }
            Workload::Profiled => rows.extend(sampling::rows(cpu_us)?),
            _ => {}
        }
    }
    say(&format!("\n{}\n", draw(&rows)));
    say(
        "reference: the floor, a bare WebSocket fan-out without tokens, state or telemetry, but for `measured` (the same \
         router not measured), `scraped` (the same, not scraped) and `profiled` (the same, not profiled); \
         both driven alike, medians of alternating runs",
    );
    for failure in &wrong {
        complain(failure);
    }
    let missed = rows.iter().filter(|row| row.kept() == Some(false)).count();
    Ok(if missed == 0 && wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The reports of both sides, taken in turn.
fn both(args: &Runner, workload: Workload) -> Result<[Vec<Report>; 2]> {
    let runs = if workload == Workload::Rush || args.quick { 1 } else { args.runs.max(1) };
    let mut reports = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for (side, reports) in workload.sides().into_iter().zip(&mut reports) {
            reports.push(measure(args, workload, side)?);
        }
    }
    Ok(reports)
}

/// One load against one server, started for it and ended after it.
fn measure(args: &Runner, workload: Workload, side: Side) -> Result<Report> {
    let server = start(args, side)?;
    let mut options = workload.options(side, &server);
    if args.quick {
        options.length = options.length.min(Duration::from_secs(2));
        options.warmup /= 5;
    }
    let scraper = (side == Side::Scraped).then(|| server.ops.map(Scraper::start)).flatten();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(load::run(options, Box::new(|_| {}), CancellationToken::new()))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    let figures: Vec<_> = workload
        .figures()
        .iter()
        .filter_map(|(figure, _)| Some(format!("{} {:.2}", figure.name(), figure.of(&report)?)))
        .collect();
    let scraped = scraper.map(|scraper| format!(", {} scrapes", scraper.end())).unwrap_or_default();
    say(&format!("{:22} {}: {}, lost {}{scraped}", workload.name(), side.name(), figures.join(", "), report.lost));
    Ok(report)
}

fn start(args: &Runner, side: Side) -> Result<Server> {
    if side == Side::Floor {
        let own = std::env::current_exe().context("cannot find this program")?;
        return Server::start(&own, &["server", "--listen", "127.0.0.1:0"], &[]);
    }
    let environment: &[_] = match side {
        Side::Unmeasured => &[("SIGNALBOX_TELEMETRY__MEASURE", "false")],
        Side::Unprofiled => &[("SIGNALBOX_PROFILER__ENABLED", "false")],
        _ => &[],
    };
    Server::start(&args.bin, &SERVE, environment)
}

/// The router on free ports of loopback.
pub(crate) const SERVE: [&str; 8] =
    ["serve", "--dev", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--media-listen", "127.0.0.1:0"];
