//! Where latencies are written down while signals pass: HDR histograms, a set a thread, without contention.
//!
//! A thread locks its own set, which nobody else wants but the drain, once a second and for an exchange of two
//! pointers. Knows series by number; what becomes of them is the drain's business.
//!
//! Memory: a histogram weighs 70 KB and a set has at most 402 of them, 28.0 MB. There is a set for each thread, and one
//! that the drain hands from thread to thread; what an interval did not use is given back. So eight workers have 280 MB
//! at the very worst. In practice a set has ten or twenty histograms.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use ahash::AHashMap;
use hdrhistogram::Histogram;

use super::{
    catalog::{OPS, OUTCOMES, REGIONS_MAX},
    clients::{CANDIDATES, OTHER_CLIENT},
    counts::{LATENCY_MAX, histogram, micros},
    variants::PLACES as VARIANT_PLACES,
};
use crate::{
    event::{Delivery, Outcome, Signal, Stage},
    protocol::OpKind,
};

/// Histograms of one thread in one interval. Past this bound the recordings of further series go to those of `other`,
/// which always find a place: with one whole region of them there are [`SET_MAX`].
const HISTOGRAMS_MAX: usize = 256;
/// All histograms of a set.
pub(super) const SET_MAX: usize = HISTOGRAMS_MAX + of_regions(1) + OF_VARIANTS;
/// Those that tell variants apart, each of which always finds a place.
const OF_VARIANTS: usize = VARIANT_PLACES * OUTCOMES.len();
/// How many of them may tell clients apart. The rest have room for all of two regions: those find a place whatever
/// clients say of themselves.
const CLIENT_HISTOGRAMS_MAX: usize = HISTOGRAMS_MAX - of_regions(2);

/// Every op and outcome, and the deliveries of every op, in so many regions; and the stages.
const fn of_regions(regions: usize) -> usize {
    regions * OPS.len() * (OUTCOMES.len() + 1) + Stage::ALL.len()
}

const LATENCY_MAX_NS: u64 = LATENCY_MAX.as_nanos() as u64;

/// The place of clients whose region is not a configured one.
pub(super) const OTHER_REGION: u8 = REGIONS_MAX as u8;

/// Where a latency belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Series {
    /// A signal's own.
    Signal(SignalSeries),
    /// A push's way to its recipient.
    Delivery {
        /// Place of the op.
        op: u8,
        /// Place of the recipient's region.
        region: u8,
    },
    /// A part of a signal's way.
    Stage(u8),
    /// A signal's own once more, by the variant of its client.
    Variant {
        /// Place of the variant.
        variant: u8,
        /// Place of the outcome.
        outcome: u8,
    },
}

/// What tells signals apart: places in the sets of the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SignalSeries {
    pub(super) op: u8,
    pub(super) region: u8,
    pub(super) outcome: u8,
    pub(super) sdk_version: u8,
    pub(super) scenario: u8,
}

impl SignalSeries {
    /// Whether the promise is about its outcome.
    pub(super) const fn counts_for_the_promise(self) -> bool {
        Outcome::PROMISED[self.outcome as usize]
    }
}

impl Series {
    /// As one number, for a fast look-up.
    const fn number(self) -> u64 {
        match self {
            Self::Signal(s) => u64::from_le_bytes([1, s.op, s.region, s.outcome, s.sdk_version, s.scenario, 0, 0]),
            Self::Delivery { op, region } => u64::from_le_bytes([2, op, region, 0, 0, 0, 0, 0]),
            Self::Stage(stage) => u64::from_le_bytes([3, stage, 0, 0, 0, 0, 0, 0]),
            Self::Variant { variant, outcome } => u64::from_le_bytes([4, variant, outcome, 0, 0, 0, 0, 0]),
        }
    }

    /// The same, whoever the client is.
    pub(super) const fn of_any_client(self) -> Self {
        match self {
            Self::Signal(s) => Self::Signal(SignalSeries { sdk_version: OTHER_CLIENT, scenario: OTHER_CLIENT, ..s }),
            Self::Delivery { .. } | Self::Stage(_) | Self::Variant { .. } => self,
        }
    }

    /// The same, whoever and wherever the client is.
    pub(super) const fn of_any_region(self) -> Self {
        match self.of_any_client() {
            Self::Signal(s) => Self::Signal(SignalSeries { region: OTHER_REGION, ..s }),
            Self::Delivery { op, .. } => Self::Delivery { op, region: OTHER_REGION },
            Self::Stage(_) | Self::Variant { .. } => self,
        }
    }
}

/// One histogram of an interval.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) series: Series,
    pub(super) histogram: Histogram<u32>,
    /// The exact sum of what was recorded, nanoseconds: of a second's latencies far from its bound.
    pub(super) sum_ns: u64,
}

/// What one thread recorded since the last drain.
#[derive(Debug)]
pub(super) struct Interval {
    places: AHashMap<u64, usize>,
    /// The number and place that were asked for last: mostly it is the same again.
    latest: (u64, usize),
    /// Places of the stages, which every signal asks for.
    stages: [Option<usize>; Stage::ALL.len()],
    /// And of the variants, by variant and outcome.
    variants: [Option<usize>; OF_VARIANTS],
    /// The first `used` are of this interval, the rest are empty.
    slots: Vec<Slot>,
    used: usize,
    /// How many of those tell clients apart,
    of_clients: usize,
    /// and how many variants.
    of_variants: usize,
    /// Signals by the number of their client's SDK version,
    pub(super) sdk_versions: Tally,
    /// and of its scenario.
    pub(super) scenarios: Tally,
    /// Pushes handed to sockets, measured or not.
    pub(super) pushes: u64,
    /// Latencies beyond what histograms hold.
    pub(super) outliers: u64,
    /// Recordings whose client, or region, became `other`.
    pub(super) folded: [u64; 2],
}

impl Default for Interval {
    fn default() -> Self {
        Self {
            places: AHashMap::new(),
            latest: (0, 0),
            stages: [None; Stage::ALL.len()],
            variants: [None; OF_VARIANTS],
            slots: Vec::new(),
            used: 0,
            of_clients: 0,
            of_variants: 0,
            sdk_versions: Tally::default(),
            scenarios: Tally::default(),
            pushes: 0,
            outliers: 0,
            folded: [0; 2],
        }
    }
}

impl Interval {
    /// The histograms of this interval.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots[..self.used]
    }

    /// Empties it. Histograms that were used are kept for the next interval, others are given back.
    pub(super) fn reset(&mut self) {
        self.slots.truncate(self.used);
        for slot in &mut self.slots {
            slot.histogram.reset();
            slot.sum_ns = 0;
        }
        self.places.clear();
        (self.latest, self.stages) = ((0, 0), [None; Stage::ALL.len()]);
        self.variants = [None; OF_VARIANTS];
        (self.used, self.of_clients, self.of_variants) = (0, 0, 0);
        self.sdk_versions.clear();
        self.scenarios.clear();
        (self.pushes, self.outliers, self.folded) = (0, 0, [0; 2]);
    }

    /// Histograms that it has, used or not.
    #[cfg(test)]
    pub(super) fn histograms(&self) -> usize {
        self.slots.len()
    }

    fn record(&mut self, place: usize, latency_ns: u64) {
        self.record_again(place, latency_ns);
        self.outliers += u64::from(latency_ns > LATENCY_MAX_NS);
    }

    /// What was recorded elsewhere already, so that it is no outlier twice.
    fn record_again(&mut self, place: usize, latency_ns: u64) {
        let slot = &mut self.slots[place];
        slot.histogram.saturating_record(micros(latency_ns));
        slot.sum_ns = slot.sum_ns.saturating_add(latency_ns);
    }

    fn stage_place(&mut self, stage: Stage) -> usize {
        match self.stages[stage as usize] {
            Some(place) => place,
            None => {
                let place = self.new_place(Series::Stage(stage as u8));
                self.stages[stage as usize] = Some(place);
                place
            }
        }
    }

    fn variant_place(&mut self, variant: u8, outcome: u8) -> usize {
        let at = usize::from(variant).min(VARIANT_PLACES - 1) * OUTCOMES.len() + usize::from(outcome);
        match self.variants[at] {
            Some(place) => place,
            None => {
                let place = self.admit(Series::Variant { variant, outcome });
                self.of_variants += 1;
                self.variants[at] = Some(place);
                place
            }
        }
    }

    fn place(&mut self, series: Series) -> usize {
        let number = series.number();
        if self.latest.0 == number {
            return self.latest.1;
        }
        match self.places.get(&number) {
            Some(place) => {
                self.latest = (number, *place);
                *place
            }
            None => self.new_place(series),
        }
    }

    /// The place of a series that has none yet, or of the one that it is folded into. That one is looked for each time,
    /// so that each recording which lost its client or region is counted.
    #[cold]
    fn new_place(&mut self, series: Series) -> usize {
        let (any_client, any_region) = (series.of_any_client(), series.of_any_region());
        let room = self.used - self.of_variants < HISTOGRAMS_MAX;
        if series != any_client {
            if room && self.of_clients < CLIENT_HISTOGRAMS_MAX {
                self.of_clients += 1;
                return self.admit(series);
            }
            self.folded[0] += 1;
        }
        if let Some(place) = self.places.get(&any_client.number()) {
            return *place;
        }
        if room || any_client == any_region {
            return self.admit(any_client);
        }
        self.folded[1] += 1;
        self.places.get(&any_region.number()).copied().unwrap_or_else(|| self.admit(any_region))
    }

    fn admit(&mut self, series: Series) -> usize {
        let place = self.used;
        debug_assert!(place < SET_MAX, "{series:?} should have been folded");
        match self.slots.get_mut(place) {
            Some(slot) => slot.series = series,
            None => self.slots.push(Slot { series, histogram: histogram(), sum_ns: 0 }),
        }
        self.used += 1;
        self.places.insert(series.number(), place);
        place
    }
}

/// How often each of the clients' values was seen.
#[derive(Debug)]
pub(super) struct Tally(Box<[u32; CANDIDATES]>);

impl Default for Tally {
    fn default() -> Self {
        Self(Box::new([0; CANDIDATES]))
    }
}

impl Tally {
    /// 0 is nobody's number.
    fn count(&mut self, number: u32) {
        if number == 0 {
            return;
        }
        let seen = &mut self.0[number as usize % CANDIDATES];
        *seen = seen.saturating_add(1);
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    /// By place among the candidates.
    pub(super) fn seen(&self) -> &[u32; CANDIDATES] {
        &self.0
    }
}

/// A set of its own in a line of its own, so that threads do not take it from each other's caches.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Own(Mutex<Interval>);

/// A set of ops, a bit each; as an iterator, those in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ops(u32);

const _: () = assert!(OpKind::ALL.len() <= u32::BITS as usize);

impl Iterator for Ops {
    type Item = OpKind;

    fn next(&mut self) -> Option<OpKind> {
        let place = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        OpKind::ALL.get(place as usize).copied()
    }
}

/// The sets of all threads that record.
#[derive(Debug)]
pub(super) struct Recorder {
    own: Box<[Own]>,
}

impl Recorder {
    /// For that many threads; more share, which is correct and slower.
    pub(super) fn new(threads: usize) -> Self {
        Self { own: (0..threads.max(1)).map(|_| Own::default()).collect() }
    }

    /// Writes down how long a signal and its stages took, of a client of that variant.
    pub(super) fn signal(&self, series: SignalSeries, signal: &Signal, clients: (u32, u32), variant: u8) {
        let mut interval = self.lock(thread());
        interval.sdk_versions.count(clients.0);
        interval.scenarios.count(clients.1);
        for (stage, took_ns) in signal.timeline.stages_ns() {
            let place = interval.stage_place(stage);
            interval.record(place, took_ns);
        }
        let took_ns = signal.timeline.total_ns();
        let place = interval.place(Series::Signal(series));
        interval.record(place, took_ns);
        let place = interval.variant_place(variant, series.outcome);
        interval.record_again(place, took_ns);
    }

    /// Writes down how long pushes took that were handed to a socket at that moment, in that region; answers how long
    /// the longest took, and which kinds there were.
    pub(super) fn deliveries(&self, deliveries: &[Delivery], others: u32, region: u8, at_ns: u64) -> (Duration, Ops) {
        let (mut longest_ns, mut ops) = (0, 0);
        let mut interval = self.lock(thread());
        interval.pushes += deliveries.len() as u64 + u64::from(others);
        for Delivery { op, received_ns, .. } in deliveries {
            let took_ns = at_ns.saturating_sub(*received_ns);
            let place = interval.place(Series::Delivery { op: *op as u8, region });
            interval.record(place, took_ns);
            longest_ns = took_ns.max(longest_ns);
            ops |= 1 << *op as u32;
        }
        (Duration::from_nanos(longest_ns), Ops(ops))
    }

    /// Exchanges a thread's set for this one, which must be empty and then is what was recorded.
    pub(super) fn exchange(&self, thread: usize, set: &mut Interval) {
        std::mem::swap(&mut *self.lock(thread), set);
    }

    /// For how many threads there are sets.
    pub(super) fn threads(&self) -> usize {
        self.own.len()
    }

    fn lock(&self, thread: usize) -> MutexGuard<'_, Interval> {
        // nothing that can panic half-way runs under this lock
        self.own[thread % self.own.len()].0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the calling thread among those that have recorded: the workers have consecutive ones.
fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_memory_is_what_it_comes_to() {
        let histogram = histogram::<u32>().distinct_values() * size_of::<u32>();
        let set = SET_MAX * histogram;
        // eight workers, all threads that are none, and the drain's
        let router = (8 + 1 + 1) * set;
        for said in [
            format!("{:.0} KB", histogram as f64 / 1e3),
            format!("{SET_MAX} of them"),
            format!("{:.1} MB", set as f64 / 1e6),
            format!("{:.0} MB", router as f64 / 1e6),
        ] {
            assert!(include_str!("recorder.rs").contains(&said), "the module's docs should say {said}");
        }
    }
}
