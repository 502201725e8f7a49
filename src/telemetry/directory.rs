//! The directory that a fleet agrees on, as this router sees it: its own lease, how new its view is, calls to etcd.
//!
//! Gauges are there once a directory was told of: a router that runs alone has none.

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
    latency::Total,
    quiet::Quiet,
};
use crate::{
    event::{DirectoryFact, DirectoryOp, DirectoryOutcome},
    ids::RoomId,
};

/// What is told of the directory.
pub(super) struct DirectoryHandles {
    calls: Grid,
    reads: Row,
    leases_lost: Counter,
    id_taken: Counter,
    watches_lost: Counter,
    sought: Row,
    taken_over: Counter,
    given_up: Counter,
    mended: Row,
    told: Mutex<Told>,
    lines: Lines,
}

/// What a scrape shows as it stands.
#[derive(Debug, Default)]
struct Told {
    figures: Option<DirectoryFigures>,
    /// By call; rare enough for a lock.
    latencies: [Total; DirectoryOp::ALL.len()],
}

/// Lines that an etcd that comes and goes, or a fleet that is restarted, would repeat.
#[derive(Debug, Default)]
struct Lines {
    failed: [Quiet; DirectoryOutcome::ALL.len()],
    registered: Quiet,
    lease_lost: Quiet,
    read: Quiet,
    watch_stands: Quiet,
    watch_lost: Quiet,
    seen: Quiet,
    id_taken: Quiet,
    draining: Quiet,
    refused: Quiet,
    gone: Quiet,
    unreadable: Quiet,
    overfull: Quiet,
    share_not_kept: Quiet,
    taken_over: Quiet,
    given_up: Quiet,
    rooms_differ: Quiet,
    not_compared: Quiet,
}

/// The directory as it stands, for gauges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DirectoryFigures {
    /// How long the lease lasts.
    pub lease: Duration,
    /// How long ago it was proven.
    pub lease_age: Duration,
    /// For how long nothing has proven that the view is new.
    pub watch_lag: Duration,
    /// Routers in it.
    pub routers: usize,
    /// Records of it that cannot be read.
    pub unreadable: usize,
    /// Rooms of this router whose records could not be written yet.
    pub rooms_unwritten: usize,
    /// Its rooms against their records; absent: they were not compared yet.
    pub rooms: Option<RoomsCompared>,
    /// 48 bits, equal on routers that see the same.
    pub digest: u64,
    /// Of the rules of the fleet that this router has in force; 0: none.
    pub rules_revision: i64,
    /// Whether it refused those that stand there.
    pub rules_refused: bool,
}

/// This router's rooms, and their records in etcd, as both were when they were compared last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoomsCompared {
    /// How long ago that was.
    pub age: Duration,
    /// 48 bits of each, here and there, equal where they are.
    pub digests: [u64; 2],
    /// How many of each the other lacked in two looks in a row.
    pub alone: [usize; 2],
}

impl DirectoryHandles {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            calls: Grid::new(recorder, &catalog::DIRECTORY_CALLS),
            reads: Row::new(recorder, &catalog::DIRECTORY_READS),
            leases_lost: counter(recorder, &catalog::DIRECTORY_LEASES_LOST, &[]),
            id_taken: counter(recorder, &catalog::DIRECTORY_ID_TAKEN, &[]),
            watches_lost: counter(recorder, &catalog::DIRECTORY_WATCHES_LOST, &[]),
            sought: Row::new(recorder, &catalog::DIRECTORY_ROOMS_SOUGHT),
            taken_over: counter(recorder, &catalog::DIRECTORY_ROOMS_TAKEN_OVER, &[]),
            given_up: counter(recorder, &catalog::DIRECTORY_ROOMS_GIVEN_UP, &[]),
            mended: Row::new(recorder, &catalog::DIRECTORY_ROOMS_MENDED),
            told: Mutex::default(),
            lines: Lines::default(),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // each of it is changed at once
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Telemetry {
    /// How the directory stands; told about once a second by whoever drives it.
    pub fn set_directory(&self, figures: DirectoryFigures) {
        self.metrics.directory.told().figures = Some(figures);
    }

    pub(super) fn directory(&self, fact: &DirectoryFact, at: Instant) {
        let (handles, lines) = (&self.metrics.directory, &self.metrics.directory.lines);
        match fact {
            DirectoryFact::CallEnded { op, outcome, took, why } => {
                self.directory_called(*op, *outcome, *took, why, at);
            }
            DirectoryFact::Registered { lease, revision } => {
                if let Some(held_back) = self.admit(&lines.registered, at) {
                    info!(target: "signalbox", lease, revision, held_back, "registered in the fleet");
                }
            }
            DirectoryFact::LeaseLost { lease } => {
                handles.leases_lost.increment(1);
                if let Some(held_back) = self.admit(&lines.lease_lost, at) {
                    warn!(target: "signalbox", lease, held_back, "the lease in the fleet had ended; registering again");
                }
            }
            DirectoryFact::Left => info!(target: "signalbox", "left the fleet"),
            DirectoryFact::Read { part, reason, revision, records } => {
                handles.reads.at(*reason as usize).increment(1);
                if let Some(held_back) = self.admit(&lines.read, at) {
                    let reason = reason.name();
                    info!(target: "signalbox", part, reason, revision, records, held_back, "all records of the fleet read");
                }
            }
            DirectoryFact::WatchStands { part, revision } => {
                if let Some(held_back) = self.admit(&lines.watch_stands, at) {
                    info!(target: "signalbox", part, revision, held_back, "the fleet is watched");
                }
            }
            DirectoryFact::WatchLost { part, why } => {
                handles.watches_lost.increment(1);
                if let Some(held_back) = self.admit(&lines.watch_lost, at) {
                    warn!(target: "signalbox", part, why, held_back, "the watch of the fleet was lost; what is known stays");
                }
            }
            DirectoryFact::RoomSought { .. }
            | DirectoryFact::RoomTakenOver { .. }
            | DirectoryFact::RoomGivenUp { .. }
            | DirectoryFact::RoomsDiffer { .. }
            | DirectoryFact::RoomsNotCompared { .. } => {
                self.room_of_the_fleet(fact, at);
            }
            DirectoryFact::RouterSeen { .. }
            | DirectoryFact::IdTaken { .. }
            | DirectoryFact::RouterDraining { .. }
            | DirectoryFact::RouterRefused { .. }
            | DirectoryFact::RouterGone { .. }
            | DirectoryFact::RecordUnreadable { .. }
            | DirectoryFact::Overfull { .. }
            | DirectoryFact::ShareNotKept { .. }
            | DirectoryFact::RulesWritten { .. } => self.fleet_changed(fact, at),
        }
    }

    fn fleet_changed(&self, fact: &DirectoryFact, at: Instant) {
        let lines = &self.metrics.directory.lines;
        match fact {
            DirectoryFact::RouterSeen { router, region, build } => {
                if let Some(held_back) = self.admit(&lines.seen, at) {
                    info!(target: "signalbox", %router, region, build, held_back, "router of the fleet seen");
                }
            }
            DirectoryFact::IdTaken { router, ops_url, started_unix } => {
                self.metrics.directory.id_taken.increment(1);
                if let Some(held_back) = self.admit(&lines.id_taken, at) {
                    warn!(target: "signalbox", %router, ops_url, started_unix, held_back, "another router has this router's server.id");
                }
            }
            DirectoryFact::RouterDraining { router } => {
                if let Some(held_back) = self.admit(&lines.draining, at) {
                    info!(target: "signalbox", %router, held_back, "router of the fleet is about to end");
                }
            }
            DirectoryFact::RouterRefused { router } => {
                if let Some(held_back) = self.admit(&lines.refused, at) {
                    warn!(target: "signalbox", %router, held_back, "nobody listens where a router of the fleet should: its rooms are taken over");
                }
            }
            DirectoryFact::RouterGone { router } => {
                if let Some(held_back) = self.admit(&lines.gone, at) {
                    info!(target: "signalbox", %router, held_back, "router of the fleet gone");
                }
            }
            DirectoryFact::RecordUnreadable { key, why } => {
                if let Some(held_back) = self.admit(&lines.unreadable, at) {
                    warn!(target: "signalbox", key, why, held_back, "a record of the fleet cannot be read");
                }
            }
            DirectoryFact::Overfull { limit } => {
                if let Some(held_back) = self.admit(&lines.overfull, at) {
                    warn!(target: "signalbox", limit, held_back, "more records of the fleet than are kept");
                }
            }
            DirectoryFact::ShareNotKept { doing, why } => {
                if let Some(held_back) = self.admit(&lines.share_not_kept, at) {
                    warn!(target: "signalbox", doing, why, held_back, "this router's part of the fleet's limits is not kept over a restart");
                }
            }
            // as often as an operator does it
            DirectoryFact::RulesWritten { revision, bytes } => {
                info!(target: "signalbox", revision, bytes, "rules of the fleet written");
            }
            DirectoryFact::CallEnded { .. }
            | DirectoryFact::Registered { .. }
            | DirectoryFact::LeaseLost { .. }
            | DirectoryFact::Left
            | DirectoryFact::Read { .. }
            | DirectoryFact::WatchStands { .. }
            | DirectoryFact::WatchLost { .. }
            | DirectoryFact::RoomSought { .. }
            | DirectoryFact::RoomTakenOver { .. }
            | DirectoryFact::RoomGivenUp { .. }
            | DirectoryFact::RoomsDiffer { .. }
            | DirectoryFact::RoomsNotCompared { .. } => {}
        }
    }

    fn room_of_the_fleet(&self, fact: &DirectoryFact, at: Instant) {
        let (handles, lines) = (&self.metrics.directory, &self.metrics.directory.lines);
        match fact {
            DirectoryFact::RoomSought { found } => {
                handles.sought.at(*found as usize).increment(1);
                trace!(target: "signalbox", found = found.name(), "a room of the fleet was sought");
            }
            DirectoryFact::RoomTakenOver { room, router } => {
                handles.taken_over.increment(1);
                if let Some(held_back) = self.admit(&lines.taken_over, at) {
                    let room = room.as_str();
                    info!(target: "signalbox", room, %router, held_back, "room taken over from a router that ends, is silent or gone");
                }
            }
            DirectoryFact::RoomGivenUp { room, router } => {
                handles.given_up.increment(1);
                if let Some(held_back) = self.admit(&lines.given_up, at) {
                    let room = room.as_str();
                    warn!(target: "signalbox", room, %router, held_back, "room given up: another router has it");
                }
            }
            DirectoryFact::RoomsDiffer { here, there, named_here, named_there } => {
                handles.mended.at(0).increment(*here as u64);
                handles.mended.at(1).increment(*there as u64);
                if let Some(held_back) = self.admit(&lines.rooms_differ, at) {
                    let names = |rooms: &[RoomId]| rooms.iter().map(RoomId::as_str).collect::<Vec<_>>().join(", ");
                    let (without_record, without_room) = (names(named_here), names(named_there));
                    warn!(target: "signalbox", here, there, without_record, without_room, held_back, "rooms and their records differ; mending it");
                }
            }
            DirectoryFact::RoomsNotCompared { rooms, limit } => {
                if let Some(held_back) = self.admit(&lines.not_compared, at) {
                    warn!(target: "signalbox", rooms, limit, held_back, "too many rooms to hold them against their records");
                }
            }
            _ => {}
        }
    }

    fn directory_called(&self, op: DirectoryOp, outcome: DirectoryOutcome, took: Duration, why: &str, at: Instant) {
        let handles = &self.metrics.directory;
        handles.calls.at(op as usize, outcome as usize).increment(1);
        handles.told().latencies[op as usize].record(took);
        let (call, took_ms) = (op.name(), took.as_secs_f64() * 1e3);
        match outcome {
            DirectoryOutcome::Done => trace!(target: "signalbox", call, took_ms, "etcd answered"),
            // told as a lease that was lost
            DirectoryOutcome::Gone => debug!(target: "signalbox", call, took_ms, why, "etcd answered"),
            _ => {
                if let Some(held_back) = self.admit(&handles.lines.failed[outcome as usize], at) {
                    let outcome = outcome.name();
                    warn!(target: "signalbox", call, outcome, took_ms, why, held_back, "etcd did not do it; trying on");
                }
            }
        }
    }

    /// What repeated lines about the directory held back.
    pub(super) fn settle_directory(&self, told: impl Fn(&Quiet, &str, &str)) {
        let lines = &self.metrics.directory.lines;
        for (quiet, outcome) in lines.failed.iter().zip(DirectoryOutcome::ALL) {
            told(quiet, "etcd did not do it", outcome.name());
        }
        for (quiet, line) in [
            (&lines.registered, "registered in the fleet"),
            (&lines.lease_lost, "the lease in the fleet had ended"),
            (&lines.read, "all records of the fleet read"),
            (&lines.watch_stands, "the fleet is watched"),
            (&lines.watch_lost, "the watch of the fleet was lost"),
            (&lines.seen, "router of the fleet seen"),
            (&lines.draining, "router of the fleet is about to end"),
            (&lines.refused, "nobody listens where a router of the fleet should"),
            (&lines.gone, "router of the fleet gone"),
            (&lines.unreadable, "a record of the fleet cannot be read"),
            (&lines.overfull, "more records of the fleet than are kept"),
            (&lines.share_not_kept, "this router's part of the fleet's limits is not kept over a restart"),
            (&lines.taken_over, "room taken over from a router that ends, is silent or gone"),
            (&lines.given_up, "room given up: another router has it"),
            (&lines.rooms_differ, "rooms and their records differ"),
            (&lines.not_compared, "too many rooms to hold them against their records"),
        ] {
            told(quiet, line, "");
        }
    }

    /// The gauges of the directory; none, when there is none.
    pub(super) fn directory_gauges(&self) -> Vec<(&'static Metric, f64)> {
        let Some(figures) = self.metrics.directory.told().figures else { return Vec::new() };
        vec![
            (&catalog::DIRECTORY_LEASE, figures.lease.as_secs_f64()),
            (&catalog::DIRECTORY_LEASE_AGE, figures.lease_age.as_secs_f64()),
            (&catalog::DIRECTORY_WATCH_LAG, figures.watch_lag.as_secs_f64()),
            (&catalog::DIRECTORY_ROUTERS, figures.routers as f64),
            (&catalog::DIRECTORY_UNREADABLE, figures.unreadable as f64),
            (&catalog::DIRECTORY_ROOMS_UNWRITTEN, figures.rooms_unwritten as f64),
            (&catalog::DIRECTORY_DIGEST, figures.digest as f64),
            (&catalog::DIRECTORY_RULES_REVISION, figures.rules_revision as f64),
            (&catalog::DIRECTORY_RULES_REFUSED, f64::from(u8::from(figures.rules_refused))),
        ]
    }

    /// The gauges of rooms against their records, by side; none, until they were compared.
    pub(super) fn compared_gauges(&self) -> Vec<(&'static Metric, &'static [&'static str], f64)> {
        let Some(compared) = self.metrics.directory.told().figures.and_then(|figures| figures.rooms) else {
            return Vec::new();
        };
        let mut gauges = vec![(&catalog::DIRECTORY_ROOMS_COMPARED_AGE, &[][..], compared.age.as_secs_f64())];
        for (place, side) in catalog::ROOM_SIDES.chunks(1).enumerate() {
            gauges.push((&catalog::DIRECTORY_ROOMS_DIGEST, side, compared.digests[place] as f64));
            gauges.push((&catalog::DIRECTORY_ROOMS_ALONE, side, compared.alone[place] as f64));
        }
        gauges
    }

    /// Shows how long calls took, by call; those that were made.
    pub(super) fn directory_latencies(&self, mut show: impl FnMut(&'static str, &Total)) {
        let told = self.metrics.directory.told();
        for (op, total) in DirectoryOp::ALL.iter().zip(&told.latencies).filter(|(_, total)| total.count() > 0) {
            show(op.name(), total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::telemetry, *};

    fn failed(outcome: DirectoryOutcome) -> DirectoryFact {
        let (op, took) = (DirectoryOp::Put, Duration::from_millis(3));
        DirectoryFact::CallEnded { op, outcome, took, why: "no leader".to_owned() }
    }

    #[test]
    fn a_router_that_runs_alone_has_no_gauges_and_no_latencies() {
        let telemetry = telemetry(Instant::now());
        let mut shown = 0;
        telemetry.directory_latencies(|_, _| shown += 1);
        assert_eq!((telemetry.directory_gauges().len(), shown), (0, 0));
    }

    #[test]
    fn calls_are_counted_and_timed_and_a_failure_that_repeats_is_one_line() {
        let telemetry = telemetry(Instant::now());
        let lines = super::super::logs::capture("info", || {
            (0..50).for_each(|_| telemetry.directory(&failed(DirectoryOutcome::Late), telemetry.started));
            telemetry.directory(&failed(DirectoryOutcome::Done), telemetry.started);
        });
        let said: Vec<_> = lines.iter().filter_map(|line| line["outcome"].as_str()).collect();
        assert_eq!(said, ["late"]);
        let mut shown = Vec::new();
        telemetry.directory_latencies(|op, total| shown.push((op, total.count(), total.sum())));
        assert_eq!(shown, [("put", 51, Duration::from_millis(153))]);
    }

    #[test]
    fn figures_are_shown_as_they_were_told_last() {
        let telemetry = telemetry(Instant::now());
        let figures = |routers| DirectoryFigures {
            lease: Duration::from_secs(30),
            lease_age: Duration::from_millis(1_500),
            watch_lag: Duration::from_secs(2),
            routers,
            unreadable: 1,
            rooms_unwritten: 9,
            rooms: Some(RoomsCompared { age: Duration::from_secs(7), digests: [5, 6], alone: [1, 2] }),
            digest: (1 << 48) - 1,
            rules_revision: 12,
            rules_refused: true,
        };
        [3, 4].into_iter().for_each(|routers| telemetry.set_directory(figures(routers)));
        let values: Vec<f64> = telemetry.directory_gauges().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [30.0, 1.5, 2.0, 4.0, 1.0, 9.0, 281_474_976_710_655.0, 12.0, 1.0]);
        let of_rooms: Vec<_> = telemetry.compared_gauges().into_iter().map(|(_, side, value)| (side, value)).collect();
        let (here, there) = (&["here"][..], &["there"][..]);
        assert_eq!(of_rooms, [(&[][..], 7.0), (here, 5.0), (here, 1.0), (there, 6.0), (there, 2.0)]);
    }
}
