//! What pages and programs are shown of latencies, made from the same series as the exposition.

use std::time::Duration;

use serde::Serialize;

use super::{
    Telemetry, UsualRow, catalog,
    counts::Counts,
    drain::Drained,
    interval_log::{self, LogInterval},
    latency::{Aggregate, MinuteSlice},
    recorder::{Series, SignalSeries},
};
use crate::protocol::OpKind;

/// The longest window that is kept.
pub const WINDOW_MAX: Duration = Duration::from_secs(3_600);
/// Up to this, windows are told apart by the second; beyond, by the minute.
const SECONDS_MAX: u64 = 60;

/// Whose latency a row is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    /// `signal`, `delivery`, `stage`.
    pub kind: &'static str,
    /// The kind of the signal; empty of a stage.
    pub op: &'static str,
    /// The client's region; of a delivery the recipient's. Empty of a stage.
    pub region: String,
    /// How signals ended; empty of the others.
    pub outcome: &'static str,
    /// The stage; empty of the others.
    pub stage: &'static str,
}

impl Subject {
    /// In one word, as interval logs have it: `signal.join.sh.ok`, `delivery.send.sh`, `stage.decode`.
    pub fn tag(&self) -> String {
        let parts = [self.kind, self.op, &self.region, self.outcome, self.stage];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
    }
}

/// Quantiles of a window, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many latencies.
    pub count: u64,
    /// Their mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 90 of 100 are at most this.
    pub p90_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1,000.
    pub p999_ms: f64,
    /// 9,999 of 10,000.
    pub p9999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Quantiles {
    /// Of these.
    pub fn of(counts: &Counts) -> Self {
        let ms = |at: Option<Duration>| at.map_or(0.0, millis);
        let [p50, p90, p99, p999, p9999] = catalog::QUANTILES.map(|share| ms(counts.quantile(share)));
        Self {
            count: counts.total(),
            mean_ms: ms(Some(counts.mean())),
            p50_ms: p50,
            p90_ms: p90,
            p99_ms: p99,
            p999_ms: p999,
            p9999_ms: p9999,
            max_ms: ms(counts.max()),
        }
    }
}

/// One row of the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Whose.
    #[serde(flatten)]
    pub subject: Subject,
    /// Its quantiles.
    #[serde(flatten)]
    pub quantiles: Quantiles,
}

/// The last minute of one kind of client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientRow {
    /// The kind of the signal.
    pub op: &'static str,
    /// The client's region.
    pub region: String,
    /// Its SDK and version, or `other`.
    pub sdk_version: String,
    /// Its scenario, or `other`.
    pub scenario: String,
    /// Its quantiles, of outcomes ok and expired.
    #[serde(flatten)]
    pub quantiles: Quantiles,
}

/// All regions of one kind together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OverallRow {
    /// `signal` (outcomes ok and expired), `delivery`.
    pub kind: &'static str,
    /// The kind of the signal.
    pub op: &'static str,
    /// Its quantiles.
    #[serde(flatten)]
    pub quantiles: Quantiles,
}

/// What is slower than this is kept as a trace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BoundRow {
    /// `signal`, `delivery`.
    pub kind: &'static str,
    /// The kind of the signal.
    pub op: &'static str,
    /// Milliseconds.
    pub bound_ms: f64,
}

/// The latencies of a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyReport {
    /// The window asked for, seconds.
    pub window_seconds: u64,
    /// The seconds that are shown: the window; beyond a minute whole minutes, and the present one as far as it is.
    pub covered_seconds: u64,
    /// When it was drained last, Unix milliseconds.
    pub until_unix_ms: u64,
    /// Signals and deliveries, all regions together.
    pub overall: Vec<OverallRow>,
    /// Signals, deliveries, stages.
    pub rows: Vec<Row>,
    /// Signals of the last minute by who the client is, whatever the window.
    pub clients: Vec<ClientRow>,
    /// Of signals by op, then of deliveries; where the baseline is mature, its band rules instead.
    pub bounds: Vec<BoundRow>,
    /// What is usual of signals' P99s at this time of day, whatever the window.
    pub baseline: Vec<UsualRow>,
}

/// One line of a percentile plot: all regions of one kind together.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// `signal` (outcomes ok and expired), `delivery`.
    pub kind: &'static str,
    /// The kind of the signal.
    pub op: &'static str,
    /// Latencies.
    pub counts: Counts,
}

impl OverallRow {
    fn of(Curve { kind, op, counts }: &Curve) -> Self {
        Self { kind, op, quantiles: Quantiles::of(counts) }
    }
}

impl Telemetry {
    /// The latencies of a window, at most [`WINDOW_MAX`]; of one op, or of all.
    pub fn latency_report(&self, window: Duration, op: Option<&str>) -> LatencyReport {
        self.latency_report_with_curves(window, op).0
    }

    /// The same with the curves that its overall rows are made of, both of one moment.
    pub fn latency_report_with_curves(&self, window: Duration, op: Option<&str>) -> (LatencyReport, Vec<Curve>) {
        let drained = self.drained();
        let seconds = window.min(WINDOW_MAX).as_secs().max(1);
        let wanted = |subject: &Subject| op.is_none_or(|op| subject.op == op);
        let rows = drained
            .latency
            .series()
            .filter(|(series, _)| is_own(*series))
            .map(|(series, aggregate)| (self.subject(series), aggregate));
        let rows = rows.filter(|(subject, _)| wanted(subject)).filter_map(|(subject, aggregate)| {
            let counts = window_of(aggregate, seconds, &drained);
            (counts.total() > 0).then(|| Row { subject, quantiles: Quantiles::of(&counts) })
        });
        let rows = rows.collect();
        let clients = drained.latency.clients().map(|(series, recent)| self.client_row(series, recent.sum()));
        let clients = clients.filter(|row| op.is_none_or(|op| row.op == op)).collect();
        let bound = |(kind, of, delivery): (_, OpKind, _)| BoundRow {
            kind,
            op: of.name(),
            bound_ms: millis(self.keeper.bound(of, delivery)),
        };
        let kinds = [("signal", false), ("delivery", true)].into_iter();
        let bounds = kinds.flat_map(|(kind, delivery)| OpKind::ALL.map(|op| (kind, op, delivery))).map(bound);
        let curves = self.curves(&drained, seconds, op);
        let report = LatencyReport {
            window_seconds: seconds,
            covered_seconds: covered(seconds, drained.tick.second),
            until_unix_ms: drained.tick.unix_ms,
            overall: curves.iter().map(OverallRow::of).collect(),
            rows,
            clients,
            bounds: bounds.filter(|row| op.is_none_or(|op| row.op == op)).collect(),
            baseline: self.usual_rows(op),
        };
        (report, curves)
    }

    /// A curve an op, over all regions, of signals (outcomes ok and expired) and of deliveries; those that there are.
    pub fn latency_curves(&self, window: Duration, op: Option<&str>) -> Vec<Curve> {
        self.curves(&self.drained(), window.min(WINDOW_MAX).as_secs().max(1), op)
    }

    fn curves(&self, drained: &Drained, seconds: u64, op: Option<&str>) -> Vec<Curve> {
        let mut curves: Vec<Curve> = Vec::new();
        for (series, aggregate) in drained.latency.series() {
            let subject = self.subject(series);
            let shown = match series {
                Series::Signal(s) => s.counts_for_the_promise(),
                Series::Delivery { .. } => true,
                Series::Stage(_) | Series::Variant { .. } => false,
            };
            if !shown || op.is_some_and(|op| subject.op != op) {
                continue;
            }
            let counts = window_of(aggregate, seconds, drained);
            let Subject { kind, op, .. } = subject;
            match curves.iter_mut().find(|curve| (curve.kind, curve.op) == (kind, op)) {
                Some(curve) => curve.counts.add(&counts),
                None => curves.push(Curve { kind, op, counts }),
            }
        }
        curves.retain(|curve| curve.counts.total() > 0);
        curves
    }

    /// The minutes of a window as an interval log, the present one as far as it is.
    ///
    /// # Errors
    /// When a histogram cannot be encoded.
    pub fn latency_log(&self, window: Duration) -> std::io::Result<Vec<u8>> {
        let mut slices = self.minutes(window);
        slices.sort_by_cached_key(|(series, slice)| (slice.from_unix_ms, self.subject(*series).tag()));
        let start =
            slices.first().map_or(self.unix(self.started), |(_, slice)| Duration::from_millis(slice.from_unix_ms));
        let interval = |(series, slice): &(Series, MinuteSlice)| LogInterval {
            tag: self.subject(*series).tag(),
            start: Duration::from_millis(slice.from_unix_ms),
            length: slice.length(),
            histogram: slice.counts.to_histogram(),
        };
        let mut log = interval_log::head(
            start,
            "[Values: microseconds from a frame's arrival, rounded up; from 2048 on, to three digits]",
        );
        log.append(&mut interval_log::lines(slices.iter().map(interval))?);
        Ok(log)
    }

    /// The minutes of a window, of all series. The drain waits only while they are pointed at.
    pub(super) fn minutes(&self, window: Duration) -> Vec<(Series, MinuteSlice)> {
        let drained = self.drained();
        let minutes = window.min(WINDOW_MAX).as_secs().div_ceil(60);
        let of_series = |(series, aggregate)| {
            let aggregate: &Aggregate = aggregate;
            aggregate.hour.last(minutes, drained.tick.second).map(move |slice| (series, slice.clone()))
        };
        drained.latency.series().filter(|(series, _)| is_own(*series)).flat_map(of_series).collect()
    }

    /// What a series is called.
    pub(super) fn subject(&self, series: Series) -> Subject {
        let op = |place: u8| catalog::OPS[usize::from(place)];
        let blank = Subject { kind: "", op: "", region: String::new(), outcome: "", stage: "" };
        match series {
            Series::Signal(s) => Subject {
                kind: "signal",
                op: op(s.op),
                region: self.region(s.region).to_owned(),
                outcome: catalog::OUTCOMES[usize::from(s.outcome)],
                ..blank
            },
            Series::Delivery { op: place, region } => {
                Subject { kind: "delivery", op: op(place), region: self.region(region).to_owned(), ..blank }
            }
            Series::Stage(stage) => Subject { kind: "stage", stage: catalog::STAGES[usize::from(stage)], ..blank },
            Series::Variant { outcome, .. } => {
                Subject { kind: "variant", outcome: catalog::OUTCOMES[usize::from(outcome)], ..blank }
            }
        }
    }

    fn client_row(&self, series: SignalSeries, counts: &Counts) -> ClientRow {
        ClientRow {
            op: catalog::OPS[usize::from(series.op)],
            region: self.region(series.region).to_owned(),
            sdk_version: self.sdk_versions.name(series.sdk_version),
            scenario: self.scenarios.name(series.scenario),
            quantiles: Quantiles::of(counts),
        }
    }
}

/// Milliseconds, to the nanosecond: as few digits as say it.
pub fn millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

/// Whether a series is of latencies that are in no other one: those by variant have a report of their own.
const fn is_own(series: Series) -> bool {
    !matches!(series, Series::Variant { .. })
}

/// How far back [`window_of`] goes.
fn covered(seconds: u64, now: u64) -> u64 {
    if seconds <= SECONDS_MAX { seconds } else { (seconds.div_ceil(60) * 60 + now % 60 + 1).min(now + 1) }
}

fn window_of(aggregate: &Aggregate, seconds: u64, drained: &Drained) -> Counts {
    let now = drained.tick.second;
    if seconds < SECONDS_MAX {
        return aggregate.recent.last(seconds, now);
    }
    if seconds == SECONDS_MAX {
        return aggregate.recent.sum().clone();
    }
    let mut sum = Counts::default();
    aggregate.hour.last(seconds.div_ceil(60), now).for_each(|slice| sum.add(&slice.counts));
    sum
}
