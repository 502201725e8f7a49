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
use crate::event::{Changed, Event};

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
        handles.run(1, hash, false);
        handles
    }

    /// That one runs, and is what its file says unless that is refused.
    fn run(&self, generation: u64, hash: u64, refused: bool) {
        self.generation.set(generation as f64);
        // 48 bits: exact
        self.hash.set(hash as f64);
        self.refused.set(f64::from(u8::from(refused)));
    }
}

impl Telemetry {
    /// A configuration was taken up or refused; other events are none of its concern.
    pub(super) fn configured(&self, event: &Event) {
        match event {
            Event::ConfigReloaded { generation, hash, changes, rules, refused } => {
                self.metrics.config.run(*generation, *hash, *refused);
                self.config_reloaded(*generation, *hash, changes, *rules);
            }
            Event::ConfigRefused { why, rules } => self.config_refused(why, *rules),
            _ => {}
        }
    }

    fn config_reloaded(&self, generation: u64, hash: u64, changes: &[Changed], rules: i64) {
        if changes.is_empty() {
            self.metrics.config.reloads.at(UNCHANGED).increment(1);
            info!(target: "signalbox", generation, rules, "configuration read again: nothing in it changed");
            return;
        }
        self.metrics.config.reloads.at(OK).increment(1);
        let changes = told(changes);
        info!(target: "signalbox", generation, hash, rules, changes, "configuration reloaded");
    }

    /// Rules of the fleet that are refused are no fault of the file: a gauge of the directory tells that.
    fn config_refused(&self, why: &[String], rules: Option<i64>) {
        self.metrics.config.reloads.at(ERROR).increment(1);
        let why = told(why);
        match rules {
            Some(revision) => {
                warn!(target: "signalbox", revision, why, "rules of the fleet refused; what ran runs on");
            }
            None => {
                self.metrics.config.refused.set(1.0);
                warn!(target: "signalbox", why, "configuration refused; what ran runs on");
            }
        }
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
