//! What the guard refuses, why, and what it remembers for it.

use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;
use tracing::{field::display, info, warn};

use super::{
    Telemetry, catalog,
    handles::{Grid, Row, counter, gauge},
    quiet::Quiet,
};
use crate::event::{Asked, Guarded, Limit, Origin, Pressure, Scope};

/// What is told of the guard.
pub(super) struct GuardHandles {
    refused: Grid,
    /// By place in [`catalog::SCOPES`].
    cells: Vec<Gauge>,
    forgotten: Row,
    delays: Vec<Gauge>,
    pressures: Vec<Gauge>,
    changes: Counter,
    sharers: Gauge,
}

impl GuardHandles {
    /// Nothing was refused yet.
    pub(super) fn new(recorder: &PrometheusRecorder, shards: usize) -> Self {
        let by_shard =
            |metric| (0..shards).map(|shard| gauge(recorder, &metric, &[&shard.to_string()])).collect::<Vec<_>>();
        Self {
            refused: Grid::new(recorder, &catalog::GUARD_SHEDS),
            cells: catalog::SCOPES.iter().map(|scope| gauge(recorder, &catalog::GUARD_CELLS, &[scope])).collect(),
            forgotten: Row::new(recorder, &catalog::GUARD_CELLS_FORGOTTEN),
            delays: by_shard(catalog::SHARD_QUEUE_DELAY),
            pressures: by_shard(catalog::SHARD_PRESSURE),
            changes: counter(recorder, &catalog::SHARD_PRESSURE_CHANGES, &[]),
            sharers: alone(recorder),
        }
    }
}

/// Nobody to share with is known yet.
fn alone(recorder: &PrometheusRecorder) -> Gauge {
    let sharers = gauge(recorder, &catalog::GUARD_SHARERS, &[]);
    sharers.set(1.0);
    sharers
}

/// Lines of the guard that a storm would repeat.
#[derive(Debug, Default)]
pub(super) struct QuietGuard {
    /// By limit.
    refused: [Quiet; Limit::ALL.len()],
    pressure: Quiet,
    forgotten: Quiet,
}

impl QuietGuard {
    /// Each kind of line, and what it is about.
    pub(super) fn each(&self) -> impl Iterator<Item = (&Quiet, &'static str, &'static str)> {
        let refused =
            self.refused.iter().zip(Limit::ALL).map(|(quiet, limit)| (quiet, "refused by the guard", limit.name()));
        refused.chain([(&self.pressure, "a shard's queue", ""), (&self.forgotten, "limits begin anew for some", "")])
    }
}

impl Telemetry {
    pub(super) fn guarded(&self, guarded: &Guarded, origin: &Origin<'_>, at: Instant) {
        match *guarded {
            Guarded::Refused { asked, limit } => self.guard_refused(asked, limit, origin, at),
            Guarded::PressureChanged { shard, from, to, waited } => {
                self.pressure_changed(shard, (from, to), waited, at);
            }
            Guarded::Forgotten { scope, count } => self.forgotten(scope, count, at),
        }
    }

    fn guard_refused(&self, asked: Asked, limit: Limit, origin: &Origin<'_>, at: Instant) {
        self.metrics.guard.refused.at(asked.place(), limit.place()).increment(1);
        if let Some(held_back) = self.admit(&self.quiet.guard.refused[limit.place()], at) {
            let (op, limit, peer_ip) = (asked.name(), limit.name(), origin.peer_ip.map(display));
            let room = origin.room.map(crate::ids::RoomId::as_str);
            warn!(target: "signalbox", op, limit, room, peer_ip, held_back, "refused by the guard");
        }
    }

    fn pressure_changed(&self, shard: u16, (from, to): (Pressure, Pressure), waited: Duration, at: Instant) {
        self.metrics.guard.changes.increment(1);
        if let Some(held_back) = self.admit(&self.quiet.guard.pressure, at) {
            let (from, to, waited_ms) = (from.name(), to.name(), waited.as_secs_f64() * 1e3);
            if to == Pressure::Calm.name() {
                info!(target: "signalbox", shard, from, to, waited_ms, held_back, "a shard's queue is short again");
            } else {
                warn!(target: "signalbox", shard, from, to, waited_ms, held_back, "a shard's queue is too long");
            }
        }
    }

    fn forgotten(&self, scope: Scope, count: u64, at: Instant) {
        self.metrics.guard.forgotten.of(scope.name()).increment(count);
        if let Some(held_back) = self.admit(&self.quiet.guard.forgotten, at) {
            let scope = scope.name();
            warn!(target: "signalbox", scope, count, held_back, "limits begin anew for some: more come than are remembered");
        }
    }

    /// The delay that stands at a shard, and what it turns away for it.
    pub fn set_queue(&self, shard: usize, standing: Duration, pressure: Pressure) {
        if let (Some(delay), Some(level)) =
            (self.metrics.guard.delays.get(shard), self.metrics.guard.pressures.get(shard))
        {
            delay.set(standing.as_secs_f64());
            level.set(f64::from(pressure as u8));
        }
    }

    /// Among how many routers limits of the whole fleet are shared.
    pub fn set_guard_share(&self, routers: u32) {
        self.metrics.guard.sharers.set(f64::from(routers));
    }

    /// How many of a scope are remembered.
    pub fn set_cells(&self, scope: Scope, count: usize) {
        let place = catalog::SCOPES.iter().position(|known| *known == scope.name());
        if let Some(cells) = place.and_then(|place| self.metrics.guard.cells.get(place)) {
            cells.set(count as f64);
        }
    }
}
