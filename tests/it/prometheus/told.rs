//! What the router itself tells: its exposition as text, the report of the last minute, and the interval log, which
//! has every latency since the start to three digits. The last is the truth here: another test holds the views of one
//! known distribution together.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde_json::Value;
use signalbox::telemetry::interval_log;

use super::server::{Labels, Samples};
use crate::harness::{Router, get};

/// See the module.
pub(super) struct Told {
    pub(super) samples: Samples,
    pub(super) report: Value,
    /// By tag, as `signal.join.sh.ok`; and `variant.default.ok`, which the log does not have.
    pub(super) log: BTreeMap<String, Latencies>,
}

/// Latencies of one series, or of several together.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

/// Families that are at another value with every look, whether there are signals or not.
const RESTLESS: [&str; 6] = [
    "process_",
    "signalbox_runtime_",
    "signalbox_clock_",
    "signalbox_scrape",
    "signalbox_latency_drain",
    "signalbox_signal_latency_bound_seconds",
];

/// Whether a family keeps its values while there are no signals.
pub(super) fn rests(name: &str) -> bool {
    !RESTLESS.iter().any(|restless| name.starts_with(restless))
}

impl Told {
    pub(super) async fn by(router: &Router) -> Self {
        let report = get(router.ops, "/debug/latency?format=json&window=1m").await.json();
        let log = get(router.ops, "/debug/latency.hlog").await;
        let mut by_tag: BTreeMap<String, Latencies> = BTreeMap::new();
        for interval in interval_log::read(&log.bytes).unwrap() {
            by_tag.entry(interval.tag).or_insert_with(Latencies::none).0.add(&interval.histogram).unwrap();
        }
        // everybody has the default variant: by variant it is the same signals once more
        let signals: Vec<_> =
            by_tag.iter().filter(|(tag, _)| tag.starts_with("signal.")).map(|(t, l)| (t.clone(), l.clone())).collect();
        for (tag, latencies) in signals {
            let outcome = tag.rsplit('.').next().unwrap();
            let same = by_tag.entry(format!("variant.default.{outcome}")).or_insert_with(Latencies::none);
            same.0.add(&latencies.0).unwrap();
        }
        Self { samples: samples(&get(router.ops, "/metrics").await.body), report, log: by_tag }
    }

    /// Whether nothing happened between the two, and nothing left its minute.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let resting = |told: &Self| told.samples.clone().into_iter().filter(|((name, _), _)| rests(name)).collect();
        let (mine, others): (Samples, Samples) = (resting(self), resting(other));
        mine == others && ["rows", "clients"].iter().all(|part| self.report[part] == other.report[part])
    }

    /// The value of a series, by its name and labels as they stand in the text.
    pub(super) fn value(&self, series: &str) -> f64 {
        self.samples[&split(series)]
    }

    /// The sum of all series of a name.
    pub(super) fn sum(&self, name: &str) -> f64 {
        self.samples.iter().filter(|((of, _), _)| of == name).map(|(_, value)| value).sum()
    }

    /// All latencies of signals, or of deliveries, of one op.
    pub(super) fn of_op(&self, kind: &str, op: &str) -> Latencies {
        let of_op = |tag: &str| tag.split('.').take(2).eq([kind, op]);
        let parts = self.log.iter().filter(|(tag, _)| of_op(tag)).map(|(_, latencies)| latencies);
        parts.fold(Latencies::none(), |mut sum, part| {
            sum.0.add(&part.0).unwrap();
            sum
        })
    }
}

impl Latencies {
    fn none() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000, 3).unwrap())
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// How many are above the first and up to the second, both in seconds.
    pub(super) fn between(&self, lower: f64, upper: f64) -> u64 {
        let within = |at: u64| (lower..=upper).contains(&seconds(at)) && seconds(at) > lower;
        self.0
            .iter_recorded()
            .map(|at| if within(self.edge(at.value_iterated_to())) { at.count_at_value() } else { 0 })
            .sum()
    }

    /// Seconds that this share of them does not pass.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        seconds(self.edge(self.0.value_at_quantile(share)))
    }

    /// Seconds, to the three digits of the log.
    pub(super) fn sum(&self) -> f64 {
        let each =
            self.0.iter_recorded().map(|at| seconds(self.edge(at.value_iterated_to())) * at.count_at_value() as f64);
        each.sum()
    }

    /// The upper edge of what is logged as so many microseconds: the number itself where each has a place of its own.
    fn edge(&self, logged: u64) -> u64 {
        if logged < 2_048 { logged } else { self.0.highest_equivalent(logged) + 1 }
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

/// Reads text 0.0.4, as far as this router writes it: no value has a quote or a comma.
fn samples(text: &str) -> Samples {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (split(series), value.parse().unwrap())
    };
    lines.map(sample).collect()
}

fn split(series: &str) -> (String, Labels) {
    let Some((name, labels)) = series.split_once('{') else { return (series.to_owned(), Labels::new()) };
    let label = |label: &str| {
        let (name, value) = label.split_once("=\"").unwrap();
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    };
    (name.to_owned(), labels.trim_end_matches('}').split(',').map(label).collect())
}
