//! The Redis that keeps rooms, as this router sees it: calls, connections, how long it has been silent.
//!
//! Gauges are there once a fabric was told of: a router that keeps no rooms outside has none.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use metrics::Counter;
use metrics_exporter_prometheus::PrometheusRecorder;
use tracing::{debug, info, trace, warn};

use super::{
    Telemetry,
    catalog::{self, Metric},
    handles::{Grid, Row, counter},
    journal::JournalHandles,
    keeping::{KeepingFigures, KeepingHandles},
    latency::Total,
    quiet::Quiet,
};
use crate::event::{FabricCall, FabricFact, FabricLoss, FabricOutcome};

/// What is told of the fabric.
pub(super) struct FabricHandles {
    calls: Grid,
    failures: Row,
    masters: Counter,
    told: Mutex<Told>,
    lines: Lines,
    /// What becomes of rooms there.
    pub(super) keeping: KeepingHandles,
    /// What becomes of what it does not take.
    pub(super) journal: JournalHandles,
}

/// What a scrape shows as it stands.
#[derive(Debug, Default)]
struct Told {
    figures: Option<FabricFigures>,
    /// By call; a write takes longer by far than the lock is held.
    latencies: [Total; FabricCall::ALL.len()],
}

/// Lines that a Redis that comes and goes would repeat.
#[derive(Debug, Default)]
struct Lines {
    failed: [Quiet; FabricOutcome::ALL.len()],
    connected: Quiet,
    unconnected: [Quiet; FabricLoss::ALL.len()],
    masters: Quiet,
}

/// The fabric as it stands, for gauges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FabricFigures {
    /// Servers that rooms are written to, as far as they are known.
    pub servers: usize,
    /// Connections to them that stand.
    pub connections: usize,
    /// For how long the one that was heard least lately has said nothing.
    pub silent: Duration,
}

impl FabricHandles {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            calls: Grid::new(recorder, &catalog::FABRIC_CALLS),
            failures: Row::new(recorder, &catalog::FABRIC_CONNECTION_FAILURES),
            masters: counter(recorder, &catalog::FABRIC_MASTERS_FOUND, &[]),
            told: Mutex::default(),
            lines: Lines::default(),
            keeping: KeepingHandles::new(recorder),
            journal: JournalHandles::new(recorder),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // each of it is changed at once
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Telemetry {
    /// How the fabric stands; told about once a second by whoever drives it.
    pub fn set_fabric(&self, figures: FabricFigures) {
        self.metrics.fabric.told().figures = Some(figures);
    }

    /// How the fabric stands, and how far rooms are kept there; absent: there is none.
    pub fn fabric_figures(&self) -> Option<(FabricFigures, KeepingFigures)> {
        let servers = self.metrics.fabric.told().figures?;
        Some((servers, self.keeping_figures().unwrap_or_default()))
    }

    pub(super) fn fabric(&self, fact: &FabricFact, at: Instant) {
        let (handles, lines) = (&self.metrics.fabric, &self.metrics.fabric.lines);
        match fact {
            FabricFact::Called { call, outcome, took, why } => self.fabric_called(*call, *outcome, *took, why, at),
            FabricFact::Connected { address } => {
                if let Some(held_back) = self.admit(&lines.connected, at) {
                    info!(target: "signalbox", address, held_back, "connected to Redis");
                }
            }
            FabricFact::Unconnected { address, loss, why } => {
                handles.failures.at(*loss as usize).increment(1);
                if let Some(held_back) = self.admit(&lines.unconnected[*loss as usize], at) {
                    let reason = loss.name();
                    warn!(target: "signalbox", address, reason, why, held_back, "no connection to Redis; trying on");
                }
            }
            FabricFact::MastersFound { addresses, count } => {
                handles.masters.increment(1);
                if let Some(held_back) = self.admit(&lines.masters, at) {
                    let addresses = addresses.join(" ");
                    info!(target: "signalbox", addresses, count, held_back, "masters of Redis found");
                }
            }
        }
    }

    fn fabric_called(&self, call: FabricCall, outcome: FabricOutcome, took: Duration, why: &str, at: Instant) {
        let handles = &self.metrics.fabric;
        handles.calls.at(call as usize, outcome as usize).increment(1);
        handles.told().latencies[call as usize].record(took);
        let (call, took_ms) = (call.name(), took.as_secs_f64() * 1e3);
        match outcome {
            FabricOutcome::Done => trace!(target: "signalbox", call, took_ms, "Redis answered"),
            // told by whoever loses or rebuilds the room
            FabricOutcome::Held | FabricOutcome::Fenced | FabricOutcome::Missing => {
                debug!(target: "signalbox", call, outcome = outcome.name(), took_ms, "Redis answered");
            }
            FabricOutcome::Late
            | FabricOutcome::Unreachable
            | FabricOutcome::Resting
            | FabricOutcome::Full
            | FabricOutcome::Denied
            | FabricOutcome::ReadOnly
            | FabricOutcome::Busy
            | FabricOutcome::Failed => {
                if let Some(held_back) = self.admit(&handles.lines.failed[outcome as usize], at) {
                    let outcome = outcome.name();
                    warn!(target: "signalbox", call, outcome, took_ms, why, held_back, "Redis did not do it");
                }
            }
        }
    }

    /// What repeated lines about the fabric held back.
    pub(super) fn settle_fabric(&self, told: impl Fn(&Quiet, &str, &str)) {
        let lines = &self.metrics.fabric.lines;
        for (quiet, outcome) in lines.failed.iter().zip(FabricOutcome::ALL) {
            told(quiet, "Redis did not do it", outcome.name());
        }
        for (quiet, loss) in lines.unconnected.iter().zip(FabricLoss::ALL) {
            told(quiet, "no connection to Redis", loss.name());
        }
        told(&lines.connected, "connected to Redis", "");
        told(&lines.masters, "masters of Redis found", "");
    }

    /// The gauges of the fabric; none, when there is none.
    pub(super) fn fabric_gauges(&self) -> Vec<(&'static Metric, f64)> {
        let Some(figures) = self.metrics.fabric.told().figures else { return Vec::new() };
        vec![
            (&catalog::FABRIC_SERVERS, figures.servers as f64),
            (&catalog::FABRIC_CONNECTIONS, figures.connections as f64),
            (&catalog::FABRIC_SILENT, figures.silent.as_secs_f64()),
        ]
    }

    /// Shows how long calls took, by call; those that were made.
    pub(super) fn fabric_latencies(&self, mut show: impl FnMut(&'static str, &Total)) {
        let told = self.metrics.fabric.told();
        for (call, total) in FabricCall::ALL.iter().zip(&told.latencies).filter(|(_, total)| total.count() > 0) {
            show(call.name(), total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::telemetry, *};

    fn called(outcome: FabricOutcome) -> FabricFact {
        let (call, took) = (FabricCall::Write, Duration::from_millis(3));
        FabricFact::Called { call, outcome, took, why: "refused".to_owned() }
    }

    #[test]
    fn a_router_that_keeps_no_rooms_outside_has_no_gauges_and_no_latencies() {
        let telemetry = telemetry(Instant::now());
        let mut shown = 0;
        telemetry.fabric_latencies(|_, _| shown += 1);
        assert_eq!((telemetry.fabric_gauges().len(), shown), (0, 0));
    }

    #[test]
    fn calls_are_counted_and_timed_and_a_failure_that_repeats_is_one_line() {
        let telemetry = telemetry(Instant::now());
        let lines = super::super::logs::capture("info", || {
            (0..50).for_each(|_| telemetry.fabric(&called(FabricOutcome::Resting), telemetry.started));
            telemetry.fabric(&called(FabricOutcome::Done), telemetry.started);
            telemetry.fabric(&called(FabricOutcome::Fenced), telemetry.started);
        });
        let said: Vec<_> = lines.iter().filter_map(|line| line["outcome"].as_str()).collect();
        assert_eq!(said, ["resting"]);
        let mut shown = Vec::new();
        telemetry.fabric_latencies(|call, total| shown.push((call, total.count(), total.sum())));
        assert_eq!(shown, [("write", 52, Duration::from_millis(156))]);
    }

    #[test]
    fn figures_are_shown_as_they_were_told_last() {
        let telemetry = telemetry(Instant::now());
        for servers in [1, 3] {
            telemetry.set_fabric(FabricFigures { servers, connections: 6, silent: Duration::from_millis(1_500) });
        }
        let values: Vec<f64> = telemetry.fabric_gauges().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [3.0, 6.0, 1.5]);
    }
}
