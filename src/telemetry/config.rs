//! Configurations that are taken up while the router runs, and those that are refused.
//!
//! A line each time: there are as many as an operator writes.

use metrics::Gauge;
use metrics_exporter_prometheus::PrometheusRecorder;
use tracing::{info, warn};

use super::{
    Telemetry, catalog,
    handles::{Row, gauge},
};
use crate::event::Changed;

/// Places in [`catalog::RELOADS`].
const OK: usize = 0;
const UNCHANGED: usize = 1;
const ERROR: usize = 2;
/// Of the changes or mistakes in one line; past them their number is told.
const TOLD_MAX: usize = 40;

/// What is told of the configuration.
pub(super) struct ConfigHandles {
    reloads: Row,
    generation: Gauge,
    hash: Gauge,
    refused: Gauge,
}

impl ConfigHandles {
    /// Of a router that runs with what it was started with.
    pub(super) fn new(recorder: &PrometheusRecorder, hash: u64) -> Self {
        let level = |metric| gauge(recorder, &metric, &[]);
        let handles = Self {
            reloads: Row::new(recorder, &catalog::CONFIG_RELOADS),
            generation: level(catalog::CONFIG_GENERATION),
            hash: level(catalog::CONFIG_HASH),
            refused: level(catalog::CONFIG_REFUSED),
        };
        handles.run(1, hash);
        handles
    }

    /// That one runs, and is what its file says.
    fn run(&self, generation: u64, hash: u64) {
        self.generation.set(generation as f64);
        // 48 bits: exact
        self.hash.set(hash as f64);
        self.refused.set(0.0);
    }
}

impl Telemetry {
    pub(super) fn config_reloaded(&self, generation: u64, hash: u64, changes: &[Changed]) {
        self.metrics.config.run(generation, hash);
        if changes.is_empty() {
            self.metrics.config.reloads.at(UNCHANGED).increment(1);
            info!(target: "signalbox", generation, "configuration read again: nothing in it changed");
            return;
        }
        self.metrics.config.reloads.at(OK).increment(1);
        let changes = told(changes);
        info!(target: "signalbox", generation, hash, changes, "configuration reloaded");
    }

    pub(super) fn config_refused(&self, why: &[String]) {
        self.metrics.config.refused.set(1.0);
        self.metrics.config.reloads.at(ERROR).increment(1);
        warn!(target: "signalbox", why = told(why), "configuration refused; what ran runs on");
    }

    /// The share of unremarkable signals that are traced, from now on.
    pub fn set_head_rate(&self, share: f64) {
        self.keeper.set_head_rate(share);
    }
}

fn told<T: ToString>(all: &[T]) -> String {
    let mut told: Vec<String> = all.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    if all.len() > TOLD_MAX {
        told.push(format!("and {} more", all.len() - TOLD_MAX));
    }
    told.join("; ")
}
