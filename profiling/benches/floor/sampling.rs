//! What a sample of the CPU profiler costs, and so what share of a delivery it takes: the noise of a whole router under
//! load is larger than what is looked for.
//!
//! In a process of its own, because the sampler is told by its environment which way to go. A sample is one SIGPROF of
//! the thread to itself at the depth of a worker's stack, and its way into the ring of the last hour; the call that
//! raises it is taken off again.

use std::{hint::black_box, process::Command, time::Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, raise};
use signalbox::profiler::{Kind, Profiler, Settings};

use super::{
    table::{Row, median},
    workload::Target,
};
use crate::say;

/// Samples a second of CPU time.
const HZ: u32 = 99;
/// Frames of a worker in the midst of a room's work.
const DEPTH: usize = 30;
/// Samples of a round: less than wait in the sampler's buffer before it is drained.
const SAMPLES: usize = 1_000;
/// Of their times the median counts.
const ROUNDS: usize = 41;

/// The figures, given what a delivery costs.
pub(crate) fn rows(cpu_us: f64) -> Result<Vec<Row>> {
    let each_us = in_a_process()? / 1e3;
    let samples = f64::from(HZ) * cpu_us / 1e6;
    let row = |figure: &str, target: Target, value: f64| Row::new("sampling", figure, target, f64::NAN, value);
    Ok(vec![
        row("a sample 30 deep, into the ring, us", Target::Shown, each_us),
        row("samples of 1,000 deliveries", Target::Shown, 1e3 * samples),
        row("sampling a delivery, % of its CPU", Target::AtMost(1.0), 100.0 * each_us * samples / cpu_us),
    ])
}

/// Nanoseconds of a sample, measured by this program in a process of its own.
fn in_a_process() -> Result<f64> {
    let own = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(own);
    let output = command.arg("sampling").env("DIAL9_FORCE_CTIMER", "1").output().context("cannot run this program")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("no sample could be taken: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    said.trim().parse().with_context(|| format!("this is no number: {said:?}"))
}

/// Measures and says the nanoseconds of a sample.
pub(crate) fn measure() -> Result<()> {
    let settings = Settings { sampler: Some(Kind::Ctimer), hz: HZ, ..Settings::default() };
    let profiler = Profiler::start(settings);
    if let Some(why) = profiler.figures().why_not {
        bail!("the sampler does not run: {why}");
    }
    let rounds = |signal: Signal| -> Result<f64> {
        let round = || {
            let since = Instant::now();
            at_depth(DEPTH, &mut || raise_all(signal))?;
            profiler.collect();
            Ok(since.elapsed().as_nanos() as f64 / SAMPLES as f64)
        };
        round()?;
        (0..ROUNDS).map(|_| round()).collect::<Result<Vec<_>>>().map(median)
    };
    // ignored by every process that does not ask for it: the call alone
    let call = rounds(Signal::SIGWINCH)?;
    let before = profiler.figures().counts.kept;
    let sample = rounds(Signal::SIGPROF)?;
    let (raised, kept) = ((SAMPLES * (ROUNDS + 1)) as u64, profiler.figures().counts.kept - before);
    if kept < raised {
        bail!("of {raised} samples {kept} were kept: what was measured is something else");
    }
    say(&format!("{:.1}", sample - call));
    Ok(())
}

fn raise_all(signal: Signal) -> Result<()> {
    (0..SAMPLES).try_for_each(|_| raise(signal)).context("cannot raise a signal")
}

/// Does it that many calls further down.
#[inline(never)]
fn at_depth(calls: usize, act: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let done = if calls == 0 { act() } else { at_depth(calls - 1, act) };
    // what comes after the call keeps its frame
    black_box(calls);
    done
}
