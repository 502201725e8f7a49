//! A node's load, as one watcher's reports tell it: what was counted since that watcher's last report.

use std::{
    sync::{Mutex, PoisonError},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use super::node::Totals;
use crate::{
    io::{clock, process},
    protocol::v1,
};

/// Makes reports.
#[derive(Debug)]
pub(super) struct Meter {
    at: Instant,
    cpu_seconds: f64,
    totals: Totals,
    cores: f64,
}

impl Meter {
    /// From now on.
    pub(super) fn new(totals: &Mutex<Totals>) -> Self {
        Self {
            at: Instant::now(),
            cpu_seconds: process::read().map_or(0.0, |process| process.cpu_seconds),
            totals: *totals.lock().unwrap_or_else(PoisonError::into_inner),
            // heeds the affinity and the control group's quota
            cores: available_parallelism().map_or(1.0, |cores| cores.get() as f64),
        }
    }

    /// What happened since the last one.
    pub(super) fn report(&mut self, totals: &Mutex<Totals>, draining: bool) -> v1::MediaReport {
        let now = Instant::now();
        let totals = *totals.lock().unwrap_or_else(PoisonError::into_inner);
        let process = process::read();
        let cpu_seconds = process.as_ref().map_or(self.cpu_seconds, |process| process.cpu_seconds);
        let passed = now.duration_since(self.at).max(Duration::from_millis(1)).as_secs_f64();
        let memory = process.map_or(0.0, |p| p.resident_bytes as f64 / p.memory_limit_bytes.max(1) as f64);
        let report = v1::MediaReport {
            cpu_percent: ((cpu_seconds - self.cpu_seconds) / passed / self.cores * 100.0).clamp(0.0, 100.0),
            memory_percent: (memory * 100.0).clamp(0.0, 100.0),
            loss: loss(&self.totals, &totals),
            rooms: totals.rooms,
            participants: totals.participants,
            tracks: totals.tracks,
            bits_per_second: (totals.bytes.saturating_sub(self.totals.bytes) as f64 * 8.0 / passed) as u64,
            sent_at_ms: clock::unix_ms(),
            draining,
        };
        (self.at, self.cpu_seconds, self.totals) = (now, cpu_seconds, totals);
        report
    }
}

/// Of the packets between two counts, how many were lost: 0 to 1.
fn loss(before: &Totals, after: &Totals) -> f64 {
    let packets = after.packets - before.packets;
    if packets > 0.0 { ((after.lost - before.lost) / packets).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_of_what_came_since() {
        let (before, after) = (
            Totals { packets: 100.0, lost: 50.0, ..Totals::default() },
            Totals { packets: 300.0, lost: 60.0, ..Totals::default() },
        );
        assert_eq!(loss(&before, &after), 0.05);
        assert_eq!(loss(&after, &after), 0.0);
    }

    #[test]
    fn a_report_is_within_its_ranges_and_counts_from_the_last_one() {
        let totals = Mutex::new(Totals::default());
        let mut meter = Meter::new(&totals);
        *totals.lock().unwrap() =
            Totals { rooms: 1, participants: 2, tracks: 3, bytes: 1_000_000, ..Totals::default() };
        let report = meter.report(&totals, true);
        assert!((0.0..=100.0).contains(&report.cpu_percent) && report.memory_percent > 0.0, "{report:?}");
        assert_eq!((report.rooms, report.participants, report.tracks, report.draining), (1, 2, 3, true));
        assert!(report.bits_per_second > 0 && report.sent_at_ms > 1_600_000_000_000, "{report:?}");
        assert_eq!(meter.report(&totals, false).bits_per_second, 0);
    }
}
