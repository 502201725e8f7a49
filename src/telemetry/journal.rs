//! The journal of what Redis did not take: how much waits in it, and what becomes of that.
//!
//! Gauges are there once a router has a journal.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::PrometheusRecorder;
use tracing::{error, info, trace, warn};

use super::{
    Telemetry,
    catalog::{self, Metric},
    handles::Row,
    quiet::Quiet,
};
use crate::{
    event::{JournalFact, JournalOutcome, JournalWork},
    ids::RoomId,
};

/// What is told of the journal.
pub(super) struct JournalHandles {
    writes: Row,
    failures: Row,
    figures: Mutex<Option<JournalFigures>>,
    lines: Lines,
}

/// Lines that a disk or a Redis that comes and goes would repeat for each room.
#[derive(Debug, Default)]
struct Lines {
    lost: Quiet,
    refused: Quiet,
    failed: [Quiet; JournalWork::ALL.len()],
}

/// What waits in the journal, for gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalFigures {
    /// Rooms of which something waits,
    pub rooms: usize,
    /// the writes,
    pub writes: usize,
    /// and their bytes.
    pub bytes: u64,
    /// For how long the room has waited that waits longest.
    pub age: Duration,
}

impl JournalHandles {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            writes: Row::new(recorder, &catalog::JOURNAL_WRITES),
            failures: Row::new(recorder, &catalog::JOURNAL_FAILURES),
            figures: Mutex::default(),
            lines: Lines::default(),
        }
    }
}

impl Telemetry {
    /// What waits in the journal; told about four times a second by whoever has it.
    pub fn set_journal(&self, figures: JournalFigures) {
        *self.metrics.fabric.journal.figures.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures);
    }

    /// As it was told last; absent: there is no journal.
    pub fn journal_figures(&self) -> Option<JournalFigures> {
        *self.metrics.fabric.journal.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn journal(&self, fact: &JournalFact, at: Instant) {
        let (handles, lines) = (&self.metrics.fabric.journal, &self.metrics.fabric.journal.lines);
        match fact {
            JournalFact::Found { writes, rooms } => {
                info!(target: "signalbox", writes, rooms, "an earlier process left writes in the journal; they go to Redis");
            }
            JournalFact::Ended { room, writes, outcome } => {
                handles.writes.at(*outcome as usize).increment(*writes);
                self.journal_write(room, *writes, *outcome, at);
            }
            JournalFact::Failed { doing, why } => {
                handles.failures.at(*doing as usize).increment(1);
                match doing {
                    JournalWork::SetAside => {
                        error!(target: "signalbox", why, "the journal is begun anew: what was in it is not in Redis");
                    }
                    JournalWork::Open | JournalWork::Write | JournalWork::Read => {
                        if let Some(held_back) = self.admit(&lines.failed[*doing as usize], at) {
                            let doing = doing.name();
                            error!(target: "signalbox", doing, why, held_back, "the journal's disk did not do it");
                        }
                    }
                }
            }
        }
    }

    fn journal_write(&self, room: &RoomId, writes: u64, outcome: JournalOutcome, at: Instant) {
        let lines = &self.metrics.fabric.journal.lines;
        let (room, name) = (room.as_str(), outcome.name());
        match outcome {
            JournalOutcome::Appended
            | JournalOutcome::Brought
            | JournalOutcome::Superseded
            | JournalOutcome::SetBeside => {
                trace!(target: "signalbox", room, writes, outcome = name, "journal");
            }
            JournalOutcome::Fenced
            | JournalOutcome::Missing
            | JournalOutcome::Incomplete
            | JournalOutcome::Unreadable => {
                if let Some(held_back) = self.admit(&lines.lost, at) {
                    warn!(target: "signalbox", room, writes, outcome = name, held_back, "writes of the journal are let go of");
                }
            }
            // the disk's words are told by whoever failed
            JournalOutcome::Full | JournalOutcome::Failed => {
                if let Some(held_back) = self.admit(&lines.refused, at) {
                    warn!(target: "signalbox", room, outcome = name, held_back, "the journal did not take a write");
                }
            }
        }
    }

    /// What repeated lines about the journal held back.
    pub(super) fn settle_journal(&self, told: impl Fn(&Quiet, &str, &str)) {
        let lines = &self.metrics.fabric.journal.lines;
        for (quiet, line) in
            [(&lines.lost, "writes of the journal are let go of"), (&lines.refused, "the journal did not take a write")]
        {
            told(quiet, line, "");
        }
        for (quiet, doing) in lines.failed.iter().zip(JournalWork::ALL) {
            told(quiet, "the journal's disk did not do it", doing.name());
        }
    }

    /// The gauges of the journal; none, when there is none.
    pub(super) fn journal_gauges(&self) -> Vec<(&'static Metric, f64)> {
        let Some(figures) = self.journal_figures() else { return Vec::new() };
        vec![
            (&catalog::JOURNAL_DEPTH, figures.writes as f64),
            (&catalog::JOURNAL_BYTES, figures.bytes as f64),
            (&catalog::JOURNAL_AGE, figures.age.as_secs_f64()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::telemetry, *};

    #[test]
    fn a_router_without_a_journal_has_no_gauges_of_one() {
        let telemetry = telemetry(Instant::now());
        assert_eq!(telemetry.journal_gauges().len(), 0);
        telemetry.set_journal(JournalFigures { rooms: 1, writes: 3, bytes: 700, age: Duration::from_millis(1_500) });
        let values: Vec<f64> = telemetry.journal_gauges().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [3.0, 700.0, 1.5]);
    }

    #[test]
    fn a_disk_that_fails_is_counted_each_time_and_told_once_in_a_while() {
        let telemetry = telemetry(Instant::now());
        let failed = JournalFact::Failed { doing: JournalWork::Write, why: "no space left".to_owned() };
        let lines = super::super::logs::capture("info", || {
            (0..50).for_each(|_| telemetry.journal(&failed, telemetry.started));
        });
        let told = lines.iter().filter(|line| line["message"].as_str() == Some("the journal's disk did not do it"));
        assert_eq!(told.count(), 1);
    }
}
