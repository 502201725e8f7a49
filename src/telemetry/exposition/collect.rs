//! Fills the model: counters and gauges as the recorder hands them out, latencies as the drain left them, the
//! process' figures as told. Knows nothing of forms.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;
use prost_types::Timestamp;

use super::model::{
    Bucket, BucketSpan, Counter, Exemplar, Family, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use crate::telemetry::{
    Counts, Process, Telemetry,
    catalog::{self, Kind, Metric as Row},
    drain::Drained,
    latency::{self, NATIVE_SCHEMA, Total},
    recorder::Series,
    variants::VariantCounts,
};

/// What lies between it and zero counts as zero; 2^-128, as client_golang has it. No latency does.
const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;
/// A gap of so many empty native buckets is written as empty buckets; a longer one begins a new span. As client_golang
/// has it.
const GAP_MAX: i32 = 2;

/// Series by the name of their metric.
#[derive(Debug, Default)]
struct Collected(BTreeMap<String, Vec<Metric>>);

impl Collected {
    fn gauge(&mut self, row: &Row, values: &[&str], value: f64) {
        let gauge = Some(Gauge { value: Some(value) });
        self.add(row, Metric { label: labels(row, values), gauge, ..Metric::default() });
    }

    fn counter(&mut self, row: &Row, values: &[&str], value: f64) {
        let counter = Some(Counter { value: Some(value), ..Counter::default() });
        self.add(row, Metric { label: labels(row, values), counter, ..Metric::default() });
    }

    fn histogram(&mut self, row: &Row, values: &[&str], total: &Total) {
        let histogram = Some(histogram(total));
        self.add(row, Metric { label: labels(row, values), histogram, ..Metric::default() });
    }

    fn add(&mut self, row: &Row, metric: Metric) {
        match self.0.get_mut(row.name) {
            Some(series) => series.push(metric),
            None => drop(self.0.insert(row.name.to_owned(), vec![metric])),
        }
    }
}

impl Telemetry {
    /// Families that have series now, in the order of the catalogue.
    pub(super) fn families(&self, process: Option<&Process>) -> Vec<Family> {
        let mut collected = {
            // the drain waits, so that counters and latencies are of the same moment; the threads that record do not
            let drained = self.drained();
            let mut collected = Collected(recorded(&self.recorder.handle().render_protobuf()));
            self.latencies(&drained, &mut collected);
            collected
        };
        self.baselines(&mut collected);
        self.variants(&mut collected);
        for (call, seconds) in self.media_call_seconds() {
            collected.counter(&catalog::MEDIA_CALL_SECONDS, &[call], seconds);
        }
        for (row, node, value) in self.media_gauges() {
            collected.gauge(row, &[&node], value);
        }
        for (row, values, value) in self.placement_gauges() {
            collected.gauge(row, &values.iter().map(String::as_str).collect::<Vec<_>>(), value);
        }
        for (row, value) in
            self.directory_gauges().into_iter().chain(self.keeping_gauges()).chain(self.journal_gauges())
        {
            collected.gauge(row, &[], value);
        }
        for (row, sides, value) in self.compared_gauges() {
            collected.gauge(row, sides, value);
        }
        self.keeping_delays(|total| collected.histogram(&catalog::FABRIC_WRITE_LATENCY, &[], total));
        self.directory_latencies(|call, total| collected.histogram(&catalog::DIRECTORY_CALL_LATENCY, &[call], total));
        for (row, value) in self.fabric_gauges() {
            collected.gauge(row, &[], value);
        }
        self.fabric_latencies(|call, total| collected.histogram(&catalog::FABRIC_CALL_LATENCY, &[call], total));
        for (row, side, value) in self.relay_gauges() {
            collected.gauge(row, &[side], value);
        }
        self.relay_round_trips(|total| collected.histogram(&catalog::RELAY_ROUND_TRIP, &[], total));
        #[cfg(tokio_unstable)]
        if let Some(histogram) = polls(&self.polls()) {
            collected.add(&catalog::RUNTIME_POLLS, Metric { histogram: Some(histogram), ..Metric::default() });
        }
        for (row, value) in self.figures(process) {
            match row.kind {
                Kind::Counter => collected.counter(&row, &[], value),
                Kind::Gauge | Kind::Info | Kind::Histogram => collected.gauge(&row, &[], value),
            }
        }
        let created = timestamp(self.created_unix);
        let family = |row: &'static Row| {
            let mut metric = collected.0.remove(row.name)?;
            let created = match process {
                Some(process) if row.name == catalog::PROCESS_CPU.name => &timestamp_of(process.start_seconds),
                _ => &created,
            };
            metric.iter_mut().for_each(|metric| set_created(metric, created));
            Some(Family { row, message: family(row, metric) })
        };
        let families = catalog::ALL.iter().filter_map(family).collect();
        debug_assert!(collected.0.is_empty(), "not in the catalogue: {:?}", collected.0.keys());
        families
    }

    fn latencies(&self, drained: &Drained, into: &mut Collected) {
        for (series, aggregate) in drained.latency.series() {
            match series {
                Series::Signal(s) => {
                    let outcome = catalog::OUTCOMES[usize::from(s.outcome)];
                    let values = [op(s.op), self.region(s.region), outcome];
                    into.histogram(&catalog::SIGNAL_LATENCY, &values, &aggregate.total);
                }
                Series::Delivery { op: of, region } => {
                    into.histogram(&catalog::DELIVERY_LATENCY, &[op(of), self.region(region)], &aggregate.total);
                }
                Series::Stage(stage) => {
                    let values = [catalog::STAGES[usize::from(stage)]];
                    into.histogram(&catalog::STAGE_LATENCY, &values, &aggregate.total);
                }
                Series::Variant { variant, outcome } => {
                    let outcome = catalog::OUTCOMES[usize::from(outcome)];
                    into.histogram(
                        &catalog::VARIANT_LATENCY,
                        &[&self.variant_name(variant), outcome],
                        &aggregate.total,
                    );
                }
            }
        }
        for (series, counts) in drained.latency.last_minute() {
            match series {
                Series::Signal(s) => self.quantiles(into, &catalog::SIGNAL_QUANTILE, (s.op, s.region), &counts),
                Series::Delivery { op, region } => {
                    self.quantiles(into, &catalog::DELIVERY_QUANTILE, (op, region), &counts);
                }
                Series::Stage(_) | Series::Variant { .. } => {}
            }
        }
        for (series, recent) in drained.latency.clients() {
            let (sdk_version, scenario) =
                (self.sdk_versions.name(series.sdk_version), self.scenarios.name(series.scenario));
            if let Some(p99) = recent.sum().quantile(0.99) {
                let values = [op(series.op), self.region(series.region), &sdk_version, &scenario];
                into.gauge(&catalog::SIGNAL_P99, &values, p99.as_secs_f64());
            }
        }
    }

    fn baselines(&self, into: &mut Collected) {
        for (pair, standing) in self.standings() {
            let Some(band) = standing.band else { continue };
            let (op, region) = (pair.op.name(), pair.region.as_str());
            let bounds = catalog::BASELINE_BOUNDS.iter().zip([band.mean_seconds, band.upper_seconds]);
            bounds.for_each(|(bound, seconds)| into.gauge(&catalog::SIGNAL_BASELINE, &[op, region, bound], seconds));
            into.gauge(&catalog::BASELINE_POINTS, &[op, region], f64::from(band.points));
        }
    }

    fn variants(&self, into: &mut Collected) {
        for VariantCounts { name, sessions, assigned } in self.variant_counts() {
            into.gauge(&catalog::VARIANT_SESSIONS, &[&name], sessions as f64);
            for (by, count) in catalog::ASSIGNED_BY.iter().zip(assigned) {
                into.counter(&catalog::VARIANT_ASSIGNMENTS, &[&name, by], count as f64);
            }
        }
        for (rule, variant, share) in self.shares() {
            into.gauge(&catalog::VARIANT_SHARE, &[variant.as_str(), &rule], share);
        }
    }

    fn quantiles(&self, into: &mut Collected, row: &Row, (of, region): (u8, u8), counts: &Counts) {
        for (name, share) in catalog::QUANTILE_NAMES.iter().zip(catalog::QUANTILES) {
            if let Some(latency) = counts.quantile(share) {
                into.gauge(row, &[op(of), self.region(region), name], latency.as_secs_f64());
            }
        }
    }
}

fn op(place: u8) -> &'static str {
    catalog::OPS[usize::from(place)]
}

/// What the recorder counts. Its families come in no order, nor do their series.
pub(super) fn recorded(mut bytes: &[u8]) -> BTreeMap<String, Vec<Metric>> {
    let mut families = BTreeMap::new();
    while !bytes.is_empty() {
        let family = MetricFamily::decode_length_delimited(&mut bytes).expect("the exporter writes valid protobuf");
        let mut metric = family.metric;
        metric.sort_by(|a, b| values(a).cmp(values(b)));
        families.insert(family.name.unwrap_or_default(), metric);
    }
    families
}

fn values(metric: &Metric) -> impl Iterator<Item = Option<&str>> {
    metric.label.iter().map(|label| label.value.as_deref())
}

fn family(row: &Row, metric: Vec<Metric>) -> MetricFamily {
    let kind = match row.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge | Kind::Info => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    MetricFamily {
        name: Some(row.name.to_owned()),
        help: Some(row.help.to_owned()),
        r#type: Some(kind.into()),
        metric,
        unit: row.unit.suffix().map(str::to_owned),
    }
}

fn labels(row: &Row, values: &[&str]) -> Vec<LabelPair> {
    debug_assert_eq!(values.len(), row.labels.len(), "{} takes other labels", row.name);
    row.labels.iter().zip(values).map(|(label, value)| LabelPair::new(label.name, value)).collect()
}

/// Counters and histograms are zero at that moment, also those whose first series came later.
fn set_created(metric: &mut Metric, at: &Timestamp) {
    if let Some(counter) = &mut metric.counter {
        counter.created_timestamp = Some(*at);
    }
    if let Some(histogram) = &mut metric.histogram {
        histogram.created_timestamp = Some(*at);
    }
}

fn histogram(total: &Total) -> Histogram {
    let bucket = total.buckets().map(|(edge, count, example)| Bucket {
        cumulative_count: Some(count),
        upper_bound: Some(edge.map_or(f64::INFINITY, |edge| f64::from(edge) / 1e6)),
        exemplar: example.map(exemplar),
    });
    let mut examples: Vec<_> = total.buckets().filter_map(|(_, _, example)| example).collect();
    // Prometheus takes those of one series in the order of time
    examples.sort_by_key(|example| example.at_unix_ms);
    let (positive_span, positive_delta) = native(total.native());
    Histogram {
        sample_count: Some(total.count()),
        sample_sum: Some(total.sum().as_secs_f64()),
        bucket: bucket.collect(),
        schema: Some(NATIVE_SCHEMA),
        zero_threshold: Some(ZERO_THRESHOLD),
        zero_count: Some(0),
        positive_span,
        positive_delta,
        created_timestamp: None,
        exemplars: examples.into_iter().map(exemplar).collect(),
    }
}

/// Classic only: the runtime counts in few buckets. There from the first poll that was told.
#[cfg(tokio_unstable)]
fn polls(polls: &crate::telemetry::runtime::Polls) -> Option<Histogram> {
    let edges = catalog::POLL_EDGES_NS.iter().map(|edge_ns| *edge_ns as f64 / 1e9).chain([f64::INFINITY]);
    let mut sum = 0;
    let bucket = edges.zip(polls.counts).map(|(edge, count)| {
        sum += count;
        Bucket { cumulative_count: Some(sum), upper_bound: Some(edge), exemplar: None }
    });
    let bucket = bucket.collect();
    let sample_sum = Some(polls.sum.as_secs_f64());
    (sum > 0).then(|| Histogram { sample_count: Some(sum), sample_sum, bucket, ..Histogram::default() })
}

/// Native buckets, ascending and none of them empty, as spans and as differences to the bucket before.
pub(super) fn native(buckets: impl Iterator<Item = (i32, u64)>) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas): (Vec<BucketSpan>, Vec<i64>) = Default::default();
    let (mut next, mut before) = (0, 0);
    for (index, count) in buckets {
        let gap = index - next;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        match spans.last_mut().and_then(|span| span.length.as_mut()) {
            Some(length) if gap <= GAP_MAX => {
                for _ in 0..gap {
                    deltas.push(-before);
                    before = 0;
                }
                *length += gap.unsigned_abs() + 1;
            }
            _ => spans.push(BucketSpan { offset: Some(gap), length: Some(1) }),
        }
        deltas.push(count - before);
        (next, before) = (index + 1, count);
    }
    (spans, deltas)
}

fn exemplar(example: &latency::Exemplar) -> Exemplar {
    let label = vec![
        LabelPair::new("trace_id", &example.trace.to_string()),
        LabelPair::new("span_id", &example.span.to_string()),
    ];
    Exemplar {
        label,
        value: Some(example.latency.as_secs_f64()),
        timestamp: Some(timestamp(Duration::from_millis(example.at_unix_ms))),
    }
}

/// A moment since the Unix epoch.
fn timestamp(unix: Duration) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(unix.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(unix.subsec_nanos()).expect("less than a second"),
    }
}

/// The same, as the system tells it; a moment that is none is the epoch.
fn timestamp_of(unix_seconds: f64) -> Timestamp {
    timestamp(Duration::try_from_secs_f64(unix_seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(buckets: &[(i32, u64)]) -> (Vec<(i32, u32)>, Vec<i64>) {
        let (spans, deltas) = native(buckets.iter().copied());
        (spans.iter().map(|span| (span.offset.unwrap(), span.length.unwrap())).collect(), deltas)
    }

    #[test]
    fn short_gaps_are_empty_buckets_and_long_ones_begin_a_span() {
        assert_eq!(spans(&[]), (vec![], vec![]));
        assert_eq!(spans(&[(-59, 4)]), (vec![(-59, 1)], vec![4]));
        assert_eq!(spans(&[(-2, 4), (-1, 7), (0, 1)]), (vec![(-2, 3)], vec![4, 3, -6]));
        assert_eq!(spans(&[(-5, 4), (-2, 7)]), (vec![(-5, 4)], vec![4, -4, 0, 7]));
        assert_eq!(spans(&[(-5, 4), (-1, 7), (9, 2)]), (vec![(-5, 1), (3, 1), (9, 1)], vec![4, 3, -5]));
    }

    #[cfg(tokio_unstable)]
    #[test]
    fn polls_are_a_classic_histogram() {
        let told = crate::telemetry::runtime::Polls {
            counts: [7, 0, 3, 0, 0, 0, 0, 0, 0, 1],
            sum: Duration::from_millis(1_500),
        };
        assert_eq!(polls(&Default::default()), None);
        let histogram = polls(&told).unwrap();
        assert_eq!((histogram.sample_count, histogram.sample_sum, histogram.schema), (Some(11), Some(1.5), None));
        let bucket = |place: usize| (histogram.bucket[place].upper_bound, histogram.bucket[place].cumulative_count);
        assert_eq!(bucket(0), (Some(0.000_016_384), Some(7)));
        assert_eq!(bucket(2), (Some(0.000_262_144), Some(10)));
        assert_eq!(bucket(9), (Some(f64::INFINITY), Some(11)));
    }

    #[test]
    fn a_moment_that_is_none_is_the_epoch() {
        for (seconds, expected) in [(1.5, (1, 500_000_000)), (-1.0, (0, 0)), (f64::NAN, (0, 0)), (1e300, (0, 0))] {
            let at = timestamp_of(seconds);
            assert_eq!((at.seconds, at.nanos), expected);
        }
    }
}
