//! All latencies of this router, from the one drain of what the threads recorded: totals for the exposition, windows
//! of the last minute and hour for gauges and pages. Every view is made from these, so that they agree.
//!
//! Owned by whoever drains; knows no threads and no clock.
//!
//! Memory: windows hold only places that are not empty, 8 bytes each; the last minute by the second, of series and of
//! clients, at most 64 MiB, and the last hour by the minute as much. Totals are less than 10 KB each, of at most 469
//! series: 4.7 MB. What a router has in practice is a few megabytes.

mod total;
mod window;

use std::{collections::BTreeMap, time::Duration};

pub(super) use self::total::{Exemplar, NATIVE_SCHEMA, Total};
pub(super) use self::window::{Hour, MinuteSlice, Recent};
use super::{
    catalog::{CLIENT_SERIES_MAX, SIGNAL_SERIES_MAX},
    clients::OTHER_CLIENT,
    counts::Counts,
    recorder::{Interval, Series, SignalSeries},
};
use crate::event::Outcome;

/// What the minutes of the last hour may weigh together; past it the oldest minute goes, of every series.
const HOUR_BYTES_MAX: usize = 64 * MIB;
/// What the seconds of the last minute may weigh together, with their sums; past it the oldest second goes, of every
/// series and client. It takes 100,000 latencies a second to come near, no two of them alike.
const RECENT_BYTES_MAX: usize = 64 * MIB;
const MIB: usize = 1024 * 1024;

/// The moment of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    /// Whole seconds since the start, by the clock that does not step.
    pub(super) second: u64,
    /// Unix time, milliseconds, for those who read.
    pub(super) unix_ms: u64,
}

/// One series: an op, region and outcome, or a stage; whoever the client.
#[derive(Debug, Default)]
pub(super) struct Aggregate {
    pub(super) total: Total,
    pub(super) recent: Recent,
    pub(super) hour: Hour,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Latency {
    series: BTreeMap<Series, Aggregate>,
    /// Of outcomes ok and expired, by client.
    clients: BTreeMap<SignalSeries, Recent>,
    signal_series: usize,
    /// Recordings whose client, or region, became `other` here.
    folded: [u64; 2],
}

impl Latency {
    /// Takes in what a thread recorded.
    pub(super) fn take(&mut self, interval: &Interval, tick: Tick) {
        for slot in interval.slots() {
            let counts = Counts::of(&slot.histogram);
            if let Series::Signal(series) = slot.series
                && series.counts_for_the_promise()
            {
                self.client(series, counts.total()).add(tick.second, &counts);
            }
            let series = self.admitted(slot.series.of_any_client(), counts.total());
            let aggregate = self.series.entry(series).or_default();
            aggregate.total.add(&counts, Duration::from_nanos(slot.sum_ns));
            aggregate.recent.add(tick.second, &counts);
            aggregate.hour.add(tick, &counts);
        }
    }

    /// Lets go of what has left its window.
    pub(super) fn expire(&mut self, tick: Tick) {
        for aggregate in self.series.values_mut() {
            aggregate.recent.expire(tick.second);
            aggregate.hour.expire(tick);
        }
        self.clients.retain(|_, recent| {
            recent.expire(tick.second);
            recent.sum().total() > 0
        });
        self.bound_recent(RECENT_BYTES_MAX);
        self.bound_hour(HOUR_BYTES_MAX);
    }

    fn bound_recent(&mut self, bytes_max: usize) {
        while self.recents().map(|recent| recent.bytes()).sum::<usize>() > bytes_max {
            let Some(oldest) = self.recents().filter_map(|recent| recent.oldest()).min() else { break };
            self.recents().for_each(|recent| recent.forget_before(oldest + 1));
        }
    }

    fn recents(&mut self) -> impl Iterator<Item = &mut Recent> {
        let of_series = self.series.values_mut().map(|aggregate| &mut aggregate.recent);
        of_series.chain(self.clients.values_mut())
    }

    fn bound_hour(&mut self, bytes_max: usize) {
        let mut bytes: usize = self.series.values().map(|aggregate| aggregate.hour.bytes()).sum();
        while bytes > bytes_max {
            let Some(oldest) = self.series.values().filter_map(|aggregate| aggregate.hour.oldest()).min() else {
                break;
            };
            bytes -= self.series.values_mut().map(|aggregate| aggregate.hour.forget(oldest)).sum::<usize>();
        }
    }

    /// The ranks of SDK versions, or of scenarios, that changed hands: those who had them are others now, in that alone.
    pub(super) fn forget_clients(&mut self, sdk_versions: &[u8], scenarios: &[u8]) {
        let after = |lost: &[u8], rank: u8| if lost.contains(&rank) { OTHER_CLIENT } else { rank };
        let renamed = |s: &SignalSeries| SignalSeries {
            sdk_version: after(sdk_versions, s.sdk_version),
            scenario: after(scenarios, s.scenario),
            ..*s
        };
        let leaving: Vec<SignalSeries> =
            self.clients.keys().filter(|series| renamed(series) != **series).copied().collect();
        for series in leaving {
            let Some(recent) = self.clients.remove(&series) else { continue };
            self.clients.entry(renamed(&series)).or_default().absorb(recent);
        }
    }

    /// How many recordings lost their client, and their region, since last asked.
    pub(super) fn take_folded(&mut self) -> [u64; 2] {
        std::mem::take(&mut self.folded)
    }

    /// All series, in order: signals, deliveries, stages.
    pub(super) fn series(&self) -> impl Iterator<Item = (Series, &Aggregate)> {
        self.series.iter().map(|(series, aggregate)| (*series, aggregate))
    }

    /// The last minute by client.
    pub(super) fn clients(&self) -> impl Iterator<Item = (SignalSeries, &Recent)> {
        self.clients.iter().map(|(series, recent)| (*series, recent))
    }

    /// Ties a latency of a series to the trace that shows it.
    pub(super) fn exemplify(&mut self, series: Series, exemplar: Exemplar, now_unix_ms: u64) {
        if let Some(aggregate) = self.series.get_mut(&series.of_any_client()) {
            aggregate.total.exemplify(exemplar, now_unix_ms);
        }
    }

    /// The last minute of all signals by (op, region), of outcomes that count for the promise, and of all deliveries.
    pub(super) fn last_minute(&self) -> BTreeMap<Series, Counts> {
        let mut merged: BTreeMap<Series, Counts> = BTreeMap::new();
        for (series, aggregate) in &self.series {
            let key = match series {
                Series::Signal(s) if s.counts_for_the_promise() => {
                    Series::Signal(SignalSeries { outcome: Outcome::Ok.place() as u8, ..*s })
                }
                Series::Delivery { .. } => *series,
                Series::Signal(_) | Series::Stage(_) | Series::Variant { .. } => continue,
            };
            merged.entry(key).or_default().add(aggregate.recent.sum());
        }
        merged.retain(|_, counts| counts.total() > 0);
        merged
    }

    /// The series under which this is kept: itself, or that of `other` regions when there are too many.
    fn admitted(&mut self, series: Series, count: u64) -> Series {
        let signal = matches!(series, Series::Signal(_));
        if !signal || self.series.contains_key(&series) {
            return series;
        }
        if self.signal_series < SIGNAL_SERIES_MAX - RESERVED || series == series.of_any_region() {
            self.signal_series += 1;
            return series;
        }
        self.folded[1] += count;
        self.admitted(series.of_any_region(), 0)
    }

    fn client(&mut self, series: SignalSeries, count: u64) -> &mut Recent {
        let outcome = Outcome::Ok.place() as u8;
        let mut key = SignalSeries { outcome, ..series };
        if !self.clients.contains_key(&key) && self.clients.len() >= CLIENT_SERIES_MAX - RESERVED_CLIENTS {
            self.folded[0] += count;
            key = SignalSeries { sdk_version: OTHER_CLIENT, scenario: OTHER_CLIENT, ..key };
        }
        self.clients.entry(key).or_default()
    }
}

/// Series of (op, outcome) in `other` regions, which always find a place.
const RESERVED: usize = super::catalog::OPS.len() * super::catalog::OUTCOMES.len();

/// Series of (op, region) of `other` clients, which always find a place.
const RESERVED_CLIENTS: usize = super::catalog::OPS.len() * (super::catalog::REGIONS_MAX + 1);

#[cfg(test)]
mod tests;
