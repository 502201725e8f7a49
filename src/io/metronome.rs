//! Once a second, on a thread of its own: drains what the workers recorded and tells telemetry who is there.
//!
//! Not on the workers, so that a busy router neither delays nor is delayed by it.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::RuntimeMetrics;

use super::{clock, guard::Guard, shard::Shards, ticking::Ticking, workers::Figures};
use crate::{
    event::{Event, Guarded, NodeSeen},
    placement::{NodeView, Standing},
    telemetry::Telemetry,
};

const EVERY: Duration = Duration::from_secs(1);

/// What it looks at.
#[derive(Debug)]
pub struct Looked {
    /// Who is there, and what waits.
    pub shards: Shards,
    /// Who is remembered.
    pub guard: Arc<Guard>,
    /// The workers' runtime.
    pub runtime: RuntimeMetrics,
}

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
    pub fn start(telemetry: Arc<Telemetry>, looked: Looked) -> io::Result<Self> {
        let Looked { shards, guard, runtime } = looked;
        let mut figures = Figures::new(runtime, Instant::now());
        let told = telemetry.clone();
        let observe = move |event| told.observe(&event, Instant::now());
        let tick = move || {
            look_at_guard(&telemetry, &shards, &guard);
            beat(&telemetry, &shards, &mut figures);
        };
        let ticking = Ticking::start("metronome", EVERY, tick, observe)?;
        Ok(Self { _ticking: ticking })
    }
}

fn beat(telemetry: &Telemetry, shards: &Shards, figures: &mut Figures) {
    telemetry.set_population(shards.counts());
    for (shard, depth) in shards.inbox_depths().enumerate() {
        telemetry.set_inbox_depth(shard, depth);
    }
    if let Some(figures) = shards.keeping(Instant::now()) {
        telemetry.set_keeping(figures);
    }
    telemetry.set_nodes(shards.nodes().iter().map(seen).collect());
    let begun = Instant::now();
    telemetry.set_runtime(&figures.read(begun));
    telemetry.drain(begun, clock::since_epoch());
    telemetry.set_drain_took(begun.elapsed());
    telemetry.settle(begun);
}

/// What is turned away, and who is remembered.
fn look_at_guard(telemetry: &Telemetry, shards: &Shards, guard: &Guard) {
    let now = Instant::now();
    for (shard, (standing, pressure)) in shards.queues().enumerate() {
        telemetry.set_queue(shard, standing, pressure);
    }
    telemetry.set_guard_share(guard.share().of());
    for (scope, remembered) in guard.tidy(now) {
        telemetry.set_cells(scope, remembered.cells);
        if remembered.forgotten > 0 {
            let count = remembered.forgotten;
            telemetry.observe(&Event::Guard(Guarded::Forgotten { scope, count }), now);
        }
    }
}

fn seen(view: &NodeView) -> NodeSeen {
    NodeSeen {
        node: view.node.clone(),
        region: view.region.clone(),
        ready: matches!(view.standing, Standing::Ready | Standing::Overloaded),
        score: view.score.value,
        weight: view.weight,
        share_wanted: view.share_wanted,
        share_got: view.share_got,
        rooms: view.rooms,
    }
}
