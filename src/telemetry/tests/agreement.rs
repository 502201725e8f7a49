//! One distribution with a nasty tail, through the path that signals take: every view says the same of it.

use std::time::{Duration, Instant};

use super::{UNIX, settings};
use crate::{
    event::{Event, Labels, Origin, Outcome, Signal, Stage},
    protocol::{OpKind, v1},
    telemetry::{
        Process, Telemetry,
        catalog::{EDGES_US, QUANTILE_NAMES, QUANTILES},
        exposition::{
            Format,
            tests::read::{self, Scrape},
        },
        interval_log,
        views::Quantiles,
    },
};

/// Signals; of a P99.99 ten are beyond.
const COUNT: usize = 100_000;
const THREADS: usize = 3;
/// Seconds over which they end.
const SECONDS: u64 = 20;
/// Three digits: a place of the histogram is at most this much wider than its lower edge, and a microsecond at least.
const STEP: f64 = 1.0 / 1_024.0;

/// Most are quick, one in fifty is slow, some are very slow, edges are hit exactly and missed by a nanosecond, and three
/// take longer than a histogram can say. The P99 is near the promise. Nanoseconds.
fn latencies() -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(4);
    let mut normal = move || {
        let (u, v) = (1.0 - random.f64(), random.f64());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    };
    let lognormal = |median_ns: f64, sigma: f64, normal: f64| (median_ns * (sigma * normal).exp()) as u64;
    let mut latencies: Vec<u64> = (0..COUNT - 3 - 2 * EDGES_US.len())
        .map(|n| match n % 1_000 {
            0 => lognormal(900e6, 0.8, normal()),
            1..=20 => lognormal(78e6, 0.15, normal()),
            _ => lognormal(1.1e6, 0.7, normal()),
        })
        .collect();
    latencies.extend(EDGES_US.iter().flat_map(|edge| [u64::from(*edge) * 1_000, u64::from(*edge) * 1_000 + 1]));
    latencies.extend([60_000_000_001, 61_000_000_000, 3_600_000_000_000]);
    latencies
}

/// The latency that a share of them does not pass, by sorting.
fn true_quantile(sorted: &[u64], share: f64) -> f64 {
    let rank = ((share * sorted.len() as f64).ceil() as usize).max(1);
    sorted[rank - 1] as f64 / 1e9
}

fn client(telemetry: &Telemetry) -> Labels {
    let client = v1::ClientInfo { sdk: "web".to_owned(), version: "6.12.0".to_owned(), device: String::new() };
    let join = v1::Join { scenario: "video_call".to_owned(), client: Some(client), ..v1::Join::default() };
    telemetry.labels(&join)
}

/// All of them as signals and as deliveries, by several threads, over several seconds.
fn fed(latencies: &[u64]) -> Telemetry {
    let started = Instant::now();
    let telemetry = Telemetry::new(settings(started));
    let labels = client(&telemetry);
    for second in 0..SECONDS {
        let at = started + Duration::from_secs(second + 3_700);
        let of_second: Vec<u64> = latencies.iter().skip(second as usize).step_by(SECONDS as usize).copied().collect();
        std::thread::scope(|scope| {
            for part in of_second.chunks(of_second.len().div_ceil(THREADS)) {
                scope.spawn(|| part.iter().for_each(|latency| end(&telemetry, labels, at, *latency)));
            }
        });
        telemetry.drain(at, UNIX + Duration::from_secs(second + 3_700));
    }
    telemetry
}

/// A signal that its answer ends, and a push that it brings about.
fn end(telemetry: &Telemetry, labels: Labels, at: Instant, latency_ns: u64) {
    let origin = Origin { labels, ..Origin::default() };
    let received = at - Duration::from_nanos(latency_ns);
    let mut signal = Box::new(Signal::new(OpKind::Signal, received));
    signal.timeline.end(Stage::Decode, received + Duration::from_nanos(latency_ns / 4));
    signal.timeline.end(Stage::Flush, at);
    telemetry.observe_from(&Event::SignalEnded { signal, outcome: Outcome::Ok }, &origin, at);
    let deliveries = vec![telemetry.delivery(OpKind::Signal, received, Duration::ZERO)];
    telemetry.observe_from(&Event::Delivered { deliveries, others: 0 }, &origin, at);
}

const SIGNAL: [(&str, &str); 3] = [("op", "signal"), ("region", "sh"), ("outcome", "ok")];

fn value(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> f64 {
    scrape.value(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}"))
}

#[test]
fn every_view_agrees_on_one_distribution_with_a_nasty_tail() {
    let mut sorted = latencies();
    let telemetry = fed(&sorted);
    sorted.sort_unstable();
    let capped: Vec<u64> = sorted.iter().map(|ns| (*ns).min(60_000_000_000)).collect();
    let truth = QUANTILES.map(|share| true_quantile(&capped, share));
    assert!((0.077..0.083).contains(&truth[2]), "the P99 is near the promise: {truth:?}");
    let text = String::from_utf8(telemetry.render(Format::Text, Some(&Process::default()))).unwrap();
    let scrape = read::text(&text);
    gauges(&scrape, &truth);
    classic(&scrape, &sorted);
    native(&telemetry, truth[2]);
    report(&telemetry, &scrape);
    log(&telemetry, &scrape);
    // three signals and three deliveries as a whole; of the hour its first quarter, and the rest, as stages
    assert_eq!(value(&scrape, "signalbox_latency_outliers_total", &[]), 8.0, "recordings beyond a minute");
}

/// The rolling gauges: within a step of the truth, above it, and the same for signals, deliveries and the one client.
fn gauges(scrape: &Scrape, truth: &[f64; QUANTILES.len()]) {
    for (name, truth) in QUANTILE_NAMES.iter().zip(truth) {
        let labels = [("op", "signal"), ("region", "sh"), ("q", *name)];
        let gauge = value(scrape, "signalbox_signal_latency_quantile_seconds", &labels);
        assert!(gauge >= *truth && gauge <= truth * (1.0 + STEP) + 1e-6, "q {name}: {gauge}, in truth {truth}");
        assert_eq!(value(scrape, "signalbox_delivery_latency_quantile_seconds", &labels), gauge);
    }
    let p99 = [("op", "signal"), ("region", "sh"), ("sdk_version", "web/6.12.0"), ("scenario", "video_call")];
    let q99 = [("op", "signal"), ("region", "sh"), ("q", "0.99")];
    let gauge = value(scrape, "signalbox_signal_latency_quantile_seconds", &q99);
    assert_eq!(value(scrape, "signalbox_signal_p99_seconds", &p99), gauge);
}

/// Classic buckets: every edge exactly, the count, the sum; and a quantile read from them.
fn classic(scrape: &Scrape, sorted: &[u64]) {
    let mut below = Vec::new();
    for edge in EDGES_US {
        let within = sorted.iter().filter(|ns| **ns <= u64::from(edge) * 1_000).count() as f64;
        let le = (f64::from(edge) / 1e6).to_string();
        let labels = [&SIGNAL[..], &[("le", &le)]].concat();
        assert_eq!(value(scrape, "signalbox_signal_latency_seconds_bucket", &labels), within, "le {le}");
        below.push((f64::from(edge) / 1e6, within));
    }
    assert_eq!(value(scrape, "signalbox_signal_latency_seconds_count", &SIGNAL), COUNT as f64);
    let sum = sorted.iter().sum::<u64>() as f64 / 1e9;
    let told = value(scrape, "signalbox_signal_latency_seconds_sum", &SIGNAL);
    assert!((told - sum).abs() < 1e-6 * sum, "{told}, in truth {sum}");
    // as histogram_quantile does it: within the bucket in proportion
    let rank = 0.99 * COUNT as f64;
    let place = below.iter().position(|(_, within)| *within >= rank).unwrap();
    let ((low, before), (high, within)) = (below[place - 1], below[place]);
    let quantile = low + (high - low) * (rank - before) / (within - before);
    let truth = true_quantile(sorted, 0.99);
    assert!((quantile / truth - 1.0).abs() < 0.017, "{quantile}, in truth {truth}");
    assert_eq!(value(scrape, "signalbox_signals_total", &[("op", "signal"), ("outcome", "ok")]), COUNT as f64);
}

/// Native buckets: all of them, and a quantile within a bucket.
fn native(telemetry: &Telemetry, truth: f64) {
    let buckets = read::native(&telemetry.render(Format::Protobuf, None), "signalbox_signal_latency_seconds");
    assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), COUNT as u64);
    let within = |edge: f64| buckets.iter().filter(|(upper, _)| *upper <= edge).map(|(_, count)| count).sum::<u64>();
    let (high, _) = buckets.iter().find(|(upper, _)| within(*upper) as f64 >= 0.99 * COUNT as f64).unwrap();
    let low = high / (1.0_f64 / 8.0).exp2();
    assert!(truth <= high * (1.0 + STEP) && truth > low * (1.0 - STEP), "{low} to {high}, in truth {truth}");
}

/// The page's numbers are the gauges', in the last minute and in the last hour.
fn report(telemetry: &Telemetry, scrape: &Scrape) {
    for seconds in [60, 3_600] {
        let report = telemetry.latency_report(Duration::from_secs(seconds), Some("signal"));
        let row = report.rows.iter().find(|row| row.subject.kind == "signal").unwrap();
        let Quantiles { count, p50_ms, p90_ms, p99_ms, p999_ms, p9999_ms, .. } = row.quantiles;
        assert_eq!((row.subject.outcome, count), ("ok", COUNT as u64), "{seconds} s");
        for (name, told_ms) in QUANTILE_NAMES.iter().zip([p50_ms, p90_ms, p99_ms, p999_ms, p9999_ms]) {
            let labels = [("op", "signal"), ("region", "sh"), ("q", *name)];
            let gauge = value(scrape, "signalbox_signal_latency_quantile_seconds", &labels);
            assert!((told_ms / 1e3 - gauge).abs() < 1e-9, "{seconds} s, q {name}: {told_ms} ms and {gauge} s");
        }
        assert_eq!(report.overall[0].quantiles, row.quantiles);
        assert_eq!(report.clients[0].quantiles, row.quantiles);
        let curves = telemetry.latency_curves(Duration::from_secs(seconds), Some("signal"));
        assert_eq!(Quantiles::of(&curves[0].counts), row.quantiles);
    }
}

/// The interval log, read back and merged.
fn logged(telemetry: &Telemetry) -> hdrhistogram::Histogram<u64> {
    let log = telemetry.latency_log(Duration::from_secs(3_600)).unwrap();
    let intervals = interval_log::read(&log).unwrap();
    let mut merged = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
    let of_series = intervals.iter().filter(|interval| interval.tag == "signal.signal.sh.ok");
    of_series.for_each(|interval| merged.add(&interval.histogram).unwrap());
    merged
}

/// The interval log has the same quantiles, to its digits.
fn log(telemetry: &Telemetry, scrape: &Scrape) {
    let merged = logged(telemetry);
    assert_eq!(merged.len(), COUNT as u64);
    for (name, share) in QUANTILE_NAMES.iter().zip(QUANTILES) {
        let labels = [("op", "signal"), ("region", "sh"), ("q", *name)];
        let gauge = value(scrape, "signalbox_signal_latency_quantile_seconds", &labels);
        // the highest whole microsecond of a place is there, its upper edge here; each of the first 2,048 is its own
        let read = merged.value_at_quantile(share);
        let edge = if read < 2_048 { read } else { read + 1 };
        assert!((edge as f64 / 1e6 - gauge).abs() < 1e-9, "q {name}: {read} us and {gauge} s");
    }
}

#[test]
fn below_two_milliseconds_the_interval_log_says_the_numbers_of_the_report_to_the_digit() {
    let telemetry = fed(&(0..20_000_u64).map(|n| 1 + n * n * 2_046_999 / (20_000 * 20_000)).collect::<Vec<_>>());
    let report = telemetry.latency_report(Duration::from_secs(60), Some("signal"));
    let told = report.overall[0].quantiles;
    let read = logged(&telemetry);
    let ms = |micros: u64| micros as f64 / 1e3;
    assert_eq!((read.len(), ms(read.max())), (told.count, told.max_ms));
    let told = [told.p50_ms, told.p90_ms, told.p99_ms, told.p999_ms, told.p9999_ms];
    assert_eq!(QUANTILES.map(|share| ms(read.value_at_quantile(share))), told);
    assert!(told[0] > 0.4 && told[4] < 2.048, "{told:?}");
}
