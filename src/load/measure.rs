//! Latencies of a run: one histogram for each thing that is measured, drained once a second.
//!
//! Values are microseconds from the moment a request or message was *due*, not from when it was at last
//! sent: a router that stalls the generator cannot hide its queue that way (coordinated omission).

use std::sync::Mutex;

use hdrhistogram::Histogram;

use super::locked;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Connect, handshake, `join`, `joined`.
    Join,
    /// Connect, handshake, `resume`, `resumed`.
    Resume,
    /// A message's way to one recipient.
    Delivery,
    /// An offer's, answer's or candidate's way to its recipient.
    SignalDelivery,
    /// `signal` to its reply, and so on.
    Signal,
    /// `send` to its reply.
    Send,
    /// `publish` to its reply.
    Publish,
    /// `mute` to its reply.
    Mute,
    /// `update` to its reply.
    Update,
    /// `ping` to `pong`.
    Ping,
    /// `leave` to its reply.
    Leave,
}

impl Measure {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 11] = [
        Self::Join,
        Self::Resume,
        Self::Delivery,
        Self::SignalDelivery,
        Self::Signal,
        Self::Send,
        Self::Publish,
        Self::Mute,
        Self::Update,
        Self::Ping,
        Self::Leave,
    ];

    /// Its name in tables, JSON and interval logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Resume => "resume",
            Self::Delivery => "delivery",
            Self::SignalDelivery => "signal_delivery",
            Self::Signal => "signal",
            Self::Send => "send",
            Self::Publish => "publish",
            Self::Mute => "mute",
            Self::Update => "update",
            Self::Ping => "ping",
            Self::Leave => "leave",
        }
    }
}

/// Recorders that share no lock with their neighbours; more than a machine of generators has cores.
const LANES: usize = 8;

/// Longest latency told apart; longer ones count as this (120 s).
const LONGEST_US: u64 = 120_000_000;

type Lane = [Option<Histogram<u64>>; Measure::ALL.len()];

/// Takes latencies from every task.
#[derive(Debug)]
pub(crate) struct Recorder {
    lanes: Vec<Mutex<Lane>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { lanes: (0..LANES).map(|_| Mutex::new(Lane::default())).collect() }
    }

    /// Notes a latency; `who` spreads the callers over the lanes.
    pub(crate) fn record(&self, who: usize, measure: Measure, latency_us: u64) {
        let mut lane = locked(&self.lanes[who % LANES]);
        lane[measure as usize].get_or_insert_with(histogram).saturating_record(latency_us.max(1));
    }

    /// What came since the last call, by measure.
    pub(crate) fn drain(&self) -> Vec<(Measure, Histogram<u64>)> {
        let mut drained = Vec::new();
        for measure in Measure::ALL {
            let mut interval = histogram();
            for lane in &self.lanes {
                if let Some(part) = &mut locked(lane)[measure as usize]
                    && !part.is_empty()
                {
                    interval.add(&*part).expect("both have the same bounds");
                    part.reset();
                }
            }
            if !interval.is_empty() {
                drained.push((measure, interval));
            }
        }
        drained
    }
}

/// Three significant digits, from 1 us.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are constants that the histogram takes")
}

/// The quantiles of one measure, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Quantiles {
    /// What was measured.
    pub name: &'static str,
    /// How many latencies.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 90 of 100 are at most this.
    pub p90_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1,000.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Quantiles {
    pub(crate) fn of(measure: Measure, histogram: &Histogram<u64>) -> Self {
        let ms = |us: u64| us as f64 / 1_000.0;
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        Self {
            name: measure.name(),
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_come_together_and_are_empty_afterwards() {
        let recorder = Recorder::new();
        for who in 0..20 {
            recorder.record(who, Measure::Join, 1_000);
        }
        recorder.record(0, Measure::Leave, 0);
        let drained = recorder.drain();
        assert_eq!(
            drained.iter().map(|(m, h)| (*m, h.len())).collect::<Vec<_>>(),
            [(Measure::Join, 20), (Measure::Leave, 1)]
        );
        assert!(recorder.drain().is_empty());
    }

    #[test]
    fn a_latency_past_the_longest_counts_as_the_longest() {
        let recorder = Recorder::new();
        recorder.record(0, Measure::Send, u64::MAX);
        let (_, histogram) = recorder.drain().remove(0);
        let worst = Quantiles::of(Measure::Send, &histogram).p99_ms;
        assert!((120_000.0..121_000.0).contains(&worst), "{worst}");
    }

    #[test]
    fn names_and_places_of_measures_agree() {
        for (at, measure) in Measure::ALL.iter().enumerate() {
            assert_eq!(*measure as usize, at);
        }
    }
}
