//! Captures of bad minutes: how many there are, when the latest was made, and what became of each.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;
use tracing::{debug, info, warn};

use super::{
    Telemetry, catalog,
    handles::{Row, counter, gauge},
};
use crate::event::Captured;

/// How captures stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureFigures {
    /// Those that are ready.
    pub captures: usize,
    /// What they weigh.
    pub bytes: u64,
    /// When the latest of each cause was made, since the Unix epoch.
    pub latest: BTreeMap<&'static str, Duration>,
    /// When the latest was made in which the P99 of an op and region had left its band.
    pub latest_of: BTreeMap<(String, String), Duration>,
}

/// The counters and gauges of these.
pub(super) struct CaptureHandles {
    made: Row,
    refused: Row,
    lost: Counter,
    folder_failures: Counter,
    captures: Gauge,
    bytes: Gauge,
    /// By cause.
    latest: Vec<Gauge>,
}

impl CaptureHandles {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            made: Row::new(recorder, &catalog::CAPTURES_MADE),
            refused: Row::new(recorder, &catalog::CAPTURES_REFUSED),
            lost: counter(recorder, &catalog::CAPTURES_LOST, &[]),
            folder_failures: counter(recorder, &catalog::CAPTURE_FOLDER_FAILURES, &[]),
            captures: gauge(recorder, &catalog::CAPTURES, &[]),
            bytes: gauge(recorder, &catalog::CAPTURE_BYTES, &[]),
            latest: catalog::CAPTURE_CAUSES
                .iter()
                .map(|cause| gauge(recorder, &catalog::CAPTURE_LATEST, &[cause]))
                .collect(),
        }
    }
}

impl Telemetry {
    /// How captures stand now.
    pub fn set_captures(&self, now: &CaptureFigures) {
        let handles = &self.metrics.captures;
        handles.captures.set(now.captures as f64);
        handles.bytes.set(now.bytes as f64);
        for (latest, cause) in handles.latest.iter().zip(catalog::CAPTURE_CAUSES) {
            latest.set(now.latest.get(cause).map_or(0.0, Duration::as_secs_f64));
        }
        let mut latest = BTreeMap::<(&str, &str), Duration>::new();
        for ((op, region), at) in &now.latest_of {
            // what was read back from a folder may be of a router with other regions
            let region = if self.regions.contains(region) { region.as_str() } else { catalog::OTHER };
            if let Some(op) = catalog::OPS.iter().find(|known| *known == op) {
                let of = latest.entry((op, region)).or_default();
                *of = (*of).max(*at);
            }
        }
        for ((op, region), at) in latest {
            gauge(&self.recorder, &catalog::CAPTURE_LATEST_OF, &[op, region]).set(at.as_secs_f64());
        }
    }

    pub(super) fn captured(&self, captured: &Captured, at: Instant) {
        let handles = &self.metrics.captures;
        match captured {
            Captured::Made { id, cause } => {
                handles.made.of(cause).increment(1);
                info!(target: "signalbox", id = id.as_str(), cause, "capture begun");
            }
            Captured::Joined { id, op, region } => {
                let (id, op, region) = (id.as_str(), op.as_str(), region.as_str());
                debug!(target: "signalbox", id, op, region, "capture is of this op as well");
            }
            Captured::Refused { cause, reason } => {
                handles.refused.of(reason).increment(1);
                if let Some(held_back) = self.admit(&self.quiet.captures, at) {
                    info!(target: "signalbox", cause, reason, held_back, "no capture: there have been enough");
                }
            }
            Captured::Ready { id, bytes } => info!(target: "signalbox", id = id.as_str(), bytes, "capture ready"),
            Captured::MadeWay { id } => debug!(target: "signalbox", id = id.as_str(), "capture made way"),
            Captured::Lost { id, why } => {
                handles.lost.increment(1);
                warn!(target: "signalbox", id = id.as_str(), why, "capture lost");
            }
            Captured::FolderFailed { what, why } => {
                handles.folder_failures.increment(1);
                if let Some(held_back) = self.admit(&self.quiet.capture_folder, at) {
                    warn!(target: "signalbox", what, why, held_back, "the folder of captures");
                }
            }
        }
    }
}
