//! What is usual of an op's P99 in a region, and what it may not pass: five-minute points of seven days.
//!
//! The same definition as `alerts/recording/baseline.yml`, line by line; a test holds both against each other. A slot is
//! five minutes of the wall clock, told as a number. Knows no clock, no file and no histogram.
//!
//! - A *point* is the P99 of five minutes that had [`SIGNALS_MIN`] signals: of fewer it is mostly noise.
//! - The *clean* series is the point of 15 minutes ago, by when it is known whether it belongs to an incident. Points of
//!   firing time are left out, for at most 12 hours in 48, so that a lasting change is learned; a breach too short to
//!   fire counts as the band and no more.
//! - *Expected* is the hour around this time of day on each of the last seven days: their mean, by how much the six hours
//!   around it were above or below the other days' a week ago (a week has days of two kinds); or what that hour was a
//!   week ago, if that is more.
//! - Mean and deviation are of clean points *relative* to what was expected of them. The *band* is what is expected times
//!   (mean + 2 deviations), at least a quarter and 5 ms above the usual; in the first week, when nobody knows yet what a
//!   Monday looks like, a half. Until a day of relative points exists it is made of the plain mean and deviation.
//! - It speaks from a day of points on: when the P99 was above the band and stays at 95 % of it for two slots in a row,
//!   the latest minute at 90 % of it.

mod alarm;
mod file;
mod ring;
mod series;

use std::collections::BTreeMap;

pub use self::{
    file::{BYTES_MAX, FileError},
    series::{Band, Seen},
};
use self::{ring::Ring, series::Series};
use crate::protocol::OpKind;

/// Five minutes of the wall clock, counted since the Unix epoch.
pub type Slot = i64;

/// The length of a slot.
pub const SLOT_SECONDS: u64 = 300;
/// Slots of a day.
pub const DAY: Slot = 288;
/// Slots of the week that mean and deviation are of.
pub const WEEK: Slot = 7 * DAY;
/// Signals in five minutes that make a P99 worth something: its sampling noise is about 1.87/sqrt(n) (lognormal,
/// sigma 0.5), so 6 % of a thousand. At 300 noise alone files 5.6 tickets in four weeks, at 1,000 it files 0.1.
pub const SIGNALS_MIN: u64 = 1_000;
/// Clean points from which a band speaks: a day of them.
pub const MATURE_POINTS: u32 = DAY as u32;
/// (op, region) that are remembered, at 18 KB each: more than there are ops times regions that metrics tell apart.
pub const PAIRS_MAX: usize = 256;
/// Slots that a clock may go back without anything being done about it.
const BACK_MAX: Slot = 12;

/// Whose baseline it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpRegion {
    /// The kind of the signal.
    pub op: OpKind,
    /// The client's region.
    pub region: String,
}

/// How one (op, region) stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// What is usual, and what may not be passed; absent until there is a point.
    pub band: Option<Band>,
    /// The slot since which it is above its band, once that has been confirmed.
    pub above_since: Option<Slot>,
    /// The mean of the last day of clean points by that of the same day a week ago.
    pub drift: Option<f64>,
}

impl Standing {
    /// The band, once it may speak.
    pub fn mature(&self) -> Option<Band> {
        self.band.filter(Band::is_mature)
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Baseline {
    /// The latest slot that was taken; absent before the first.
    latest: Option<Slot>,
    pairs: BTreeMap<OpRegion, Series>,
}

impl Baseline {
    /// Takes what was seen in the five minutes that ended with that slot. Slots that were left out are gaps. Answers
    /// how many points found no place, because [`PAIRS_MAX`] others have one.
    pub fn take(&mut self, slot: Slot, seen: &BTreeMap<OpRegion, Seen>) -> u64 {
        if !self.arrive_before(slot) {
            return 0;
        }
        let mut refused = 0;
        for (pair, _) in seen.iter().filter(|(_, seen)| seen.is_point()) {
            if self.pairs.contains_key(pair) {
                continue;
            }
            if self.pairs.len() >= PAIRS_MAX {
                refused += 1;
            } else {
                self.pairs.insert(pair.clone(), Series::new(slot - 1));
            }
        }
        self.pairs.iter_mut().for_each(|(pair, series)| series.step(seen.get(pair).copied()));
        self.latest = Some(slot);
        // of whom nothing is known any more makes way
        self.pairs.retain(|_, series| !series.is_empty());
        refused
    }

    /// Whether that slot is a new one; then the time until it has become a gap. A clock that went back a little is
    /// waited for; one that went back further was wrong before, and what was learned under times to come is let go of.
    fn arrive_before(&mut self, slot: Slot) -> bool {
        let Some(latest) = self.latest else { return true };
        if slot <= latest && latest - slot < BACK_MAX {
            return false;
        }
        if slot <= latest {
            self.pairs.values_mut().for_each(|series| series.forget_from(slot));
        } else if slot - latest > Ring::CLEAN_SLOTS {
            self.pairs.clear();
        }
        for series in self.pairs.values_mut() {
            while series.latest() < slot - 1 {
                series.step(None);
            }
        }
        true
    }

    /// The latest slot that was taken.
    pub fn latest(&self) -> Option<Slot> {
        self.latest
    }

    /// How all of them stand.
    pub fn standings(&self) -> impl Iterator<Item = (&OpRegion, Standing)> {
        self.pairs.iter().map(|(pair, series)| (pair, series.standing()))
    }

    /// How that one stands; absent: nothing is known of it.
    pub fn standing(&self, pair: &OpRegion) -> Option<Standing> {
        self.pairs.get(pair).map(Series::standing)
    }
}

#[cfg(test)]
mod tests;
