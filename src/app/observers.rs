//! What watches the router beside its work: the metronome, the profiler, the watchdog, the baseline.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{runtime::Handle, time::timeout};

use super::{Watched, observer};
use crate::{
    config::Config,
    io::{
        baseline::BaselineFile,
        guard::Guard,
        metronome::{Looked, Metronome},
        profiling::{Driven, Profiling},
        shard::Shards,
        workers::{Tell, Watchdog, Workers},
    },
    profiler::captures::Captures,
    telemetry::Telemetry,
};

/// How long captures that are being recorded may take to become ready with what there is.
const CAPTURES_MAX: Duration = Duration::from_secs(5);

/// How long the baseline may take to be written.
const BASELINE_MAX: Duration = Duration::from_secs(2);

/// All of them; they end with this.
#[derive(Debug)]
pub(super) struct Observers {
    _metronome: Metronome,
    profiling: Profiling,
    baseline: Option<BaselineFile>,
    _watchdog: Option<Watchdog>,
}

impl Observers {
    /// Starts them.
    ///
    /// # Errors
    /// When the system gives no thread for one of them.
    pub(super) fn start(
        config: &Config,
        watched: &Watched,
        (telemetry, shards, guard): (&Arc<Telemetry>, &Shards, &Arc<Guard>),
        captures: Arc<Captures>,
    ) -> Result<Self> {
        let profiling = profiling(watched, captures, telemetry, shards)?;
        let tell = Tell { observe: observer(telemetry), on_stall: profiling.on_stall() };
        Ok(Self {
            _metronome: metronome(telemetry, shards, guard)?,
            _watchdog: watchdog(config, &watched.workers, tell)?,
            baseline: keep_baseline(config, telemetry)?,
            profiling,
        })
    }

    /// Keeps what is not kept yet; what is not ready in time is lost.
    pub(super) async fn finish(&self) {
        timeout(CAPTURES_MAX, self.profiling.finish()).await.ok();
        if let Some(baseline) = &self.baseline {
            timeout(BASELINE_MAX, baseline.finish()).await.ok();
        }
    }
}

fn metronome(telemetry: &Arc<Telemetry>, shards: &Shards, guard: &Arc<Guard>) -> Result<Metronome> {
    let looked = Looked { shards: shards.clone(), guard: guard.clone(), runtime: Handle::current().metrics() };
    Metronome::start(telemetry.clone(), looked).context("cannot start the metronome")
}

/// What earlier processes learned of what is usual; absent: nothing outlives the process.
fn keep_baseline(config: &Config, telemetry: &Arc<Telemetry>) -> Result<Option<BaselineFile>> {
    let folder = config.server.data_dir.as_deref();
    let opened = folder.map(|folder| BaselineFile::open(folder, telemetry.clone())).transpose();
    opened.context("cannot start the keeping of the baseline")
}

fn profiling(
    watched: &Watched,
    captures: Arc<Captures>,
    telemetry: &Arc<Telemetry>,
    shards: &Shards,
) -> Result<Profiling> {
    let shards = shards.clone();
    let driven = Driven {
        profiler: watched.profiler.clone(),
        captures,
        telemetry: telemetry.clone(),
        inboxes: Box::new(move || shards.inbox_depths().max().unwrap_or(0)),
    };
    Profiling::start(driven).context("cannot start profiling")
}

/// Unless it is switched off.
fn watchdog(config: &Config, watched: &Workers, tell: Tell) -> Result<Option<Watchdog>> {
    let bound = config.telemetry.stall_ms.duration();
    if bound.is_zero() {
        return Ok(None);
    }
    let started = Watchdog::start(watched.clone(), Handle::current().metrics(), bound, tell);
    started.map(Some).context("cannot start the watchdog")
}
