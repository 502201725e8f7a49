//! Once a second, on a thread of its own: drains what the workers recorded and tells telemetry who is there.
//!
//! Not on the workers, so that a busy router neither delays nor is delayed by it.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::RuntimeMetrics;

use super::{clock, shard::Shards, ticking::Ticking, workers::Figures};
use crate::telemetry::Telemetry;

const EVERY: Duration = Duration::from_secs(1);

/// A metronome that beats; dropped, it ends.
#[derive(Debug)]
pub struct Metronome {
    _ticking: Ticking,
}

impl Metronome {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(telemetry: Arc<Telemetry>, shards: Shards, runtime: RuntimeMetrics) -> io::Result<Self> {
        let mut figures = Figures::new(runtime, Instant::now());
        let told = telemetry.clone();
        let observe = move |event| told.observe(&event, Instant::now());
        let ticking = Ticking::start("metronome", EVERY, move || beat(&telemetry, &shards, &mut figures), observe)?;
        Ok(Self { _ticking: ticking })
    }
}

fn beat(telemetry: &Telemetry, shards: &Shards, figures: &mut Figures) {
    telemetry.set_population(shards.counts());
    for (shard, depth) in shards.inbox_depths().enumerate() {
        telemetry.set_inbox_depth(shard, depth);
    }
    let begun = Instant::now();
    telemetry.set_runtime(&figures.read(begun));
    telemetry.drain(begun, clock::since_epoch());
    telemetry.set_drain_took(begun.elapsed());
    telemetry.settle(begun);
}
