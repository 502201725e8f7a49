//! The baseline of this router: fed by the drain once every five minutes, read by scrapes, pages, traces and captures.
//!
//! Told what was kept of it at the start, and gives it out to be kept; knows no file.

use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use tracing::warn;

use super::{
    PROMISE, Telemetry,
    baseline::{Band, Baseline, OpRegion, SLOT_SECONDS, Seen, Slot, Standing},
    catalog,
    counts::Counts,
    latency::{Latency, Tick},
    recorder::{OTHER_REGION, Series},
    views::millis,
};
use crate::protocol::OpKind;

/// Whole minutes that a slot is made of.
const SLOT_MINUTES: u64 = SLOT_SECONDS / 60;

/// What is learned, and when the drain looked last.
#[derive(Debug, Default)]
pub(super) struct Learned {
    baseline: Baseline,
    /// The slot and the minute since the start.
    looked: Option<(Slot, u64)>,
}

/// What is usual of the P99 of an op's signals from a region, and what it may not pass; once that is known well enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// At this time of day.
    pub p99: Duration,
    /// What may not be passed.
    pub upper: Duration,
}

impl Usual {
    fn of(band: &Band) -> Option<Self> {
        let duration = |seconds| Duration::try_from_secs_f64(seconds).ok();
        Some(Self { p99: duration(band.usual_seconds)?, upper: duration(band.upper_seconds)? })
    }
}

/// One (op, region), for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsualRow {
    /// The kind of the signal.
    pub op: &'static str,
    /// The client's region.
    pub region: String,
    /// Clean five-minute points of the last seven days.
    pub points: u32,
    /// Whether they are enough for the band to speak.
    pub mature: bool,
    /// The mean of the points.
    pub mean_ms: f64,
    /// Their standard deviation.
    pub deviation_ms: f64,
    /// What is usual at this time of day.
    pub usual_ms: f64,
    /// What may not be passed.
    pub upper_ms: f64,
    /// Mean + 2 deviations, to compare with.
    pub plain_upper_ms: f64,
    /// Since when it is above, Unix milliseconds; absent: it is not.
    pub above_since_unix_ms: Option<u64>,
    /// The last day's mean by that of the same day a week ago.
    pub drift: Option<f64>,
}

impl Telemetry {
    /// What was kept of an earlier process.
    pub fn restore_baseline(&self, baseline: Baseline) {
        let mut learned = self.learned();
        learned.baseline = baseline;
        self.follow(&learned.baseline);
    }

    /// The latest slot that the baseline has taken.
    pub fn baseline_slot(&self) -> Option<Slot> {
        self.learned().baseline.latest()
    }

    /// The baseline, to be kept.
    pub fn encode_baseline(&self) -> Vec<u8> {
        // as long as this takes the drain waits, so what takes long is done on a copy
        let baseline = self.learned().baseline.clone();
        baseline.encode()
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        // a step that panicked is told by its thread; what it left is a baseline all the same
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a drain. The five minutes that a slot is made of are the five whole ones before its first new minute, so a
    /// slot is taken up to a minute after it began.
    pub(super) fn learn(&self, latency: &Latency, tick: Tick) {
        let slot = (tick.unix_ms / (SLOT_SECONDS * 1_000)) as Slot;
        let minute = tick.second / 60;
        let mut learned = self.learned();
        let (slot_before, minute_before) = learned.looked.unwrap_or((slot - 1, minute));
        // until five minutes have passed there are none
        if slot == slot_before || minute == minute_before || minute < SLOT_MINUTES {
            let slot_before = if minute < SLOT_MINUTES { slot } else { slot_before };
            learned.looked = Some((slot_before, minute));
            return;
        }
        learned.looked = Some((slot, minute));
        let seen = self.seen(latency, tick);
        let refused = learned.baseline.take(slot, &seen);
        self.metrics.baseline_refused.increment(refused);
        self.follow(&learned.baseline);
    }

    /// The last five whole minutes by (op, region), of outcomes that the promise is about.
    fn seen(&self, latency: &Latency, tick: Tick) -> BTreeMap<OpRegion, Seen> {
        let now = tick.second / 60;
        let mut sums: BTreeMap<(u8, u8), [Counts; 2]> = BTreeMap::new();
        for (series, aggregate) in latency.series() {
            let Series::Signal(signal) = series else { continue };
            if !signal.counts_for_the_promise() {
                continue;
            }
            let [five, last] = sums.entry((signal.op, signal.region)).or_default();
            for slice in aggregate.hour.last(SLOT_MINUTES, tick.second).filter(|slice| slice.minute < now) {
                five.add(&slice.counts);
                if slice.minute + 1 == now {
                    last.add(&slice.counts);
                }
            }
        }
        let seen = |((op, region), [five, last]): ((u8, u8), [Counts; 2])| {
            let pair = OpRegion { op: OpKind::ALL[usize::from(op)], region: self.region(region).to_owned() };
            let seen = Seen {
                p99_seconds: five.quantile(0.99)?.as_secs_f64(),
                last_minute_seconds: last.quantile(0.99).map(|p99| p99.as_secs_f64()),
                signals: five.total(),
            };
            Some((pair, seen))
        };
        sums.into_iter().filter_map(seen).collect()
    }

    /// What is kept as a trace follows the bands that may speak.
    fn follow(&self, baseline: &Baseline) {
        let mature =
            baseline.standings().filter(|(pair, _)| self.tells_apart(&pair.region)).filter_map(|(pair, standing)| {
                Some(((pair.op, self.place_of(&pair.region)), Usual::of(&standing.mature()?)?.upper.min(PROMISE)))
            });
        self.keeper.follow(mature);
    }

    /// What was read back may be of a router with other regions.
    fn tells_apart(&self, region: &str) -> bool {
        region == catalog::OTHER || self.place_of(region) != OTHER_REGION
    }

    /// How all that are told apart stand.
    pub(super) fn standings(&self) -> Vec<(OpRegion, Standing)> {
        let learned = self.learned();
        let known = learned.baseline.standings().filter(|(pair, _)| self.tells_apart(&pair.region));
        known.map(|(pair, standing)| (pair.clone(), standing)).collect()
    }

    /// What is usual of each (op, region) of which that is known well enough.
    pub(super) fn usual(&self) -> BTreeMap<(&'static str, String), Usual> {
        let mature = |(pair, standing): (OpRegion, Standing)| {
            Some(((pair.op.name(), pair.region), Usual::of(&standing.mature()?)?))
        };
        self.standings().into_iter().filter_map(mature).collect()
    }

    /// All that is known, of one op or of all.
    pub(super) fn usual_rows(&self, op: Option<&str>) -> Vec<UsualRow> {
        let standings = self.standings().into_iter();
        standings.filter(|(pair, _)| op.is_none_or(|op| pair.op.name() == op)).filter_map(row).collect()
    }

    pub(super) fn baseline_failed(&self, doing: &'static str, why: &str, at: Instant) {
        self.metrics.baseline_failures.of(doing).increment(1);
        if let Some(held_back) = self.admit(&self.quiet.baseline, at) {
            warn!(target: "signalbox", doing, why, held_back, "the file of the baseline");
        }
    }
}

fn row((pair, standing): (OpRegion, Standing)) -> Option<UsualRow> {
    let band = standing.band?;
    let ms = |seconds: f64| Duration::try_from_secs_f64(seconds).map_or(0.0, millis);
    Some(UsualRow {
        op: pair.op.name(),
        region: pair.region,
        points: band.points,
        mature: band.is_mature(),
        mean_ms: ms(band.mean_seconds),
        deviation_ms: ms(band.deviation_seconds),
        usual_ms: ms(band.usual_seconds),
        upper_ms: ms(band.upper_seconds),
        plain_upper_ms: ms(band.plain_upper_seconds),
        above_since_unix_ms: standing.above_since.map(|slot| slot.unsigned_abs() * SLOT_SECONDS * 1_000),
        drift: standing.drift,
    })
}
