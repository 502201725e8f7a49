//! Rooms that are kept outside of this router: how far behind their writing is, and what becomes of rooms that change hands.
//!
//! Gauges are there once rooms are kept at all.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::PrometheusRecorder;
use tracing::{info, trace, warn};

use super::{
    Telemetry,
    catalog::{self, Metric},
    handles::Row,
    latency::Total,
    quiet::Quiet,
};
use crate::event::{KeepingFact, Labels};

/// What is told of rooms that are kept.
pub(super) struct KeepingHandles {
    rooms: Row,
    answers: Row,
    told: Mutex<Told>,
    lines: Lines,
}

#[derive(Debug, Default)]
struct Told {
    figures: Option<KeepingFigures>,
    /// From the first of the changes of a room until they stood; a write each, which gathers many.
    delays: Total,
}

/// Lines that a router that ends, or a Redis that comes and goes, would repeat for each room.
#[derive(Debug, Default)]
struct Lines {
    held: Quiet,
    written_anew: Quiet,
    restored: Quiet,
    not_restored: Quiet,
    handed_over: Quiet,
    not_handed_over: Quiet,
    set_beside: Quiet,
    merged: Quiet,
    not_merged: Quiet,
}

/// How far rooms are kept, for gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepingFigures {
    /// Rooms of which something waits to be written.
    pub rooms_behind: usize,
    /// For how long it has waited that waits longest.
    pub behind: Duration,
}

impl KeepingHandles {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let rooms = Row::new(recorder, &catalog::FABRIC_ROOMS);
        let answers = Row::new(recorder, &catalog::FABRIC_ANSWERS);
        Self { rooms, answers, told: Mutex::default(), lines: Lines::default() }
    }
}

impl Telemetry {
    /// How far rooms are kept; told about once a second.
    pub fn set_keeping(&self, figures: KeepingFigures) {
        self.kept(|told| told.figures = Some(figures));
    }

    /// As it was told last; absent: never.
    pub(super) fn keeping_figures(&self) -> Option<KeepingFigures> {
        self.kept(|told| told.figures)
    }

    fn kept<T>(&self, with: impl FnOnce(&mut Told) -> T) -> T {
        // each of it is changed at once
        with(&mut self.metrics.fabric.keeping.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn keeping(&self, fact: &KeepingFact, at: Instant) {
        let (handles, lines) = (&self.metrics.fabric.keeping, &self.metrics.fabric.keeping.lines);
        if let Some(outcome) = fact.outcome() {
            handles.rooms.at(outcome as usize).increment(1);
        }
        match fact {
            KeepingFact::RoomWritten { behind } => {
                self.kept(|told| told.delays.record(*behind));
                trace!(target: "signalbox", behind_ms = behind.as_secs_f64() * 1e3, "room written");
            }
            // each refusal is counted and told with its code as well
            KeepingFact::AnswerEnded { outcome } => {
                handles.answers.at(*outcome as usize).increment(1);
                trace!(target: "signalbox", outcome = outcome.name(), "a change that is acknowledged once it is kept");
            }
            KeepingFact::RoomHeld { room, owner } => {
                if let Some(held_back) = self.admit(&lines.held, at) {
                    let room = room.as_str();
                    warn!(target: "signalbox", room, owner, held_back, "room not kept: another router keeps it");
                }
            }
            KeepingFact::RoomWrittenAnew { room } => {
                if let Some(held_back) = self.admit(&lines.written_anew, at) {
                    let room = room.as_str();
                    warn!(target: "signalbox", room, held_back, "Redis lost what it had of a room, or some of it: it is written anew");
                }
            }
            KeepingFact::SessionReturned { labels } => {
                self.session_counted(Labels::default(), -1);
                self.session_counted(*labels, 1);
                trace!(target: "signalbox", "somebody came back to a restored session");
            }
            KeepingFact::RoomRestored { room, sessions, entries } => {
                self.session_counted(Labels::default(), i64::try_from(*sessions).unwrap_or(i64::MAX));
                if let Some(held_back) = self.admit(&lines.restored, at) {
                    let room = room.as_str();
                    info!(target: "signalbox", room, sessions, entries, held_back, "room goes on here");
                }
            }
            KeepingFact::RoomNotRestored { room, why } => {
                if let Some(held_back) = self.admit(&lines.not_restored, at) {
                    let room = room.as_str();
                    warn!(target: "signalbox", room, why, held_back, "room that was kept does not go on here");
                }
            }
            KeepingFact::RoomHandedOver { room, sessions } => {
                if let Some(held_back) = self.admit(&lines.handed_over, at) {
                    let room = room.as_str();
                    info!(target: "signalbox", room, sessions, held_back, "room handed over");
                }
            }
            KeepingFact::RoomNotHandedOver { room } => {
                if let Some(held_back) = self.admit(&lines.not_handed_over, at) {
                    let room = room.as_str();
                    warn!(target: "signalbox", room, held_back, "room handed over only as it was last written");
                }
            }
            KeepingFact::RoomSetBeside { .. } | KeepingFact::RoomMerged { .. } | KeepingFact::RoomNotMerged { .. } => {
                self.branched(fact, at);
            }
        }
    }

    /// Two routers went on with one room.
    fn branched(&self, fact: &KeepingFact, at: Instant) {
        let lines = &self.metrics.fabric.keeping.lines;
        match fact {
            KeepingFact::RoomSetBeside { room, sessions } => {
                if let Some(held_back) = self.admit(&lines.set_beside, at) {
                    let room = room.as_str();
                    info!(target: "signalbox", room, sessions, held_back, "room put beside what another router has of it");
                }
            }
            KeepingFact::RoomMerged { room, epoch, last: _, after: _, events, missing, sessions, left_out } => {
                self.session_counted(Labels::default(), i64::try_from(*sessions).unwrap_or(i64::MAX));
                if let Some(held_back) = self.admit(&lines.merged, at) {
                    let (room, epoch) = (room.as_str(), epoch.to_string());
                    info!(
                        target: "signalbox",
                        room, epoch, events, missing, sessions, left_out, held_back, "what another router had of a room is in it"
                    );
                }
            }
            KeepingFact::RoomNotMerged { room, why } => {
                if let Some(held_back) = self.admit(&lines.not_merged, at) {
                    let room = room.as_str();
                    warn!(target: "signalbox", room, why, held_back, "what another router had of a room is not in it");
                }
            }
            _ => {}
        }
    }

    /// What repeated lines about rooms that are kept held back.
    pub(super) fn settle_keeping(&self, told: impl Fn(&Quiet, &str, &str)) {
        let lines = &self.metrics.fabric.keeping.lines;
        for (quiet, line) in [
            (&lines.held, "room not kept: another router keeps it"),
            (&lines.restored, "room goes on here"),
            (&lines.not_restored, "room that was kept does not go on here"),
            (&lines.handed_over, "room handed over"),
            (&lines.not_handed_over, "room handed over only as it was last written"),
            (&lines.set_beside, "room put beside what another router has of it"),
            (&lines.merged, "what another router had of a room is in it"),
            (&lines.not_merged, "what another router had of a room is not in it"),
        ] {
            told(quiet, line, "");
        }
    }

    /// The gauges of rooms that are kept; none, when none are.
    pub(super) fn keeping_gauges(&self) -> Vec<(&'static Metric, f64)> {
        let Some(figures) = self.keeping_figures() else { return Vec::new() };
        vec![
            (&catalog::FABRIC_ROOMS_BEHIND, figures.rooms_behind as f64),
            (&catalog::FABRIC_BEHIND, figures.behind.as_secs_f64()),
        ]
    }

    /// Shows how long changes waited until they stood, if any did.
    pub(super) fn keeping_delays(&self, show: impl FnOnce(&Total)) {
        self.kept(|told| {
            if told.delays.count() > 0 {
                show(&told.delays);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::telemetry, *};

    #[test]
    fn a_router_that_keeps_nothing_has_no_gauges_and_no_delays() {
        let telemetry = telemetry(Instant::now());
        telemetry.keeping_delays(|_| panic!("nothing was written"));
        assert_eq!(telemetry.keeping_gauges().len(), 0);
    }

    #[test]
    fn rooms_that_change_hands_are_counted_each_and_told_once() {
        let telemetry = telemetry(Instant::now());
        let restored = KeepingFact::RoomRestored { room: "r".into(), sessions: 2, entries: 3 };
        let lines = super::super::logs::capture("info", || {
            (0..50).for_each(|_| telemetry.keeping(&restored, telemetry.started));
        });
        let told = lines.iter().filter(|line| line["message"].as_str() == Some("room goes on here")).count();
        assert_eq!(told, 1);
    }

    #[test]
    fn a_restored_session_counts_for_nobody_s_variant_until_somebody_comes_back_to_it() {
        let telemetry = telemetry(Instant::now());
        let names = vec!["default".into(), "canary".into()];
        let in_force = crate::event::Varied::InForce { names, rules: Vec::new() };
        telemetry.observe(&crate::event::Event::Variant(in_force), telemetry.started);
        let at = telemetry.started;
        telemetry.keeping(&KeepingFact::RoomRestored { room: "r".into(), sessions: 3, entries: 0 }, at);
        telemetry.keeping(&KeepingFact::SessionReturned { labels: Labels { variant: 1, ..Labels::default() } }, at);
        let counts: Vec<_> = telemetry.variant_counts().into_iter().map(|counts| counts.sessions).collect();
        assert_eq!(counts[..2], [2, 1]);
    }

    #[test]
    fn a_delay_is_from_the_first_change_until_it_stood() {
        let telemetry = telemetry(Instant::now());
        for ms in [20, 40] {
            let written = KeepingFact::RoomWritten { behind: Duration::from_millis(ms) };
            telemetry.keeping(&written, telemetry.started);
        }
        telemetry.keeping_delays(|total| assert_eq!((total.count(), total.sum()), (2, Duration::from_millis(60))));
        telemetry.set_keeping(KeepingFigures { rooms_behind: 3, behind: Duration::from_millis(1_500) });
        let values: Vec<f64> = telemetry.keeping_gauges().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [3.0, 1.5]);
    }
}
