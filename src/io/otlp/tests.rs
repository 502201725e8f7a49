mod faults;
mod logs;
mod secured;
mod sink;
mod traces;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use self::sink::{Answer, Sink, attribute, hex};
use super::*;
use crate::{
    event::{Event, Origin, Outcome, Signal, SpanRef, Stage},
    protocol::{Code, OpKind},
    telemetry::{self, exposition::Format},
};

const MS: Duration = Duration::from_millis(1);
/// For a thread to be woken and to end, on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

fn settings(endpoint: String) -> Settings {
    Settings {
        endpoint,
        ca_pem: None,
        authorization: None,
        timeout: 10 * SLACK,
        shutdown_timeout: 10 * SLACK,
        resource: ResourceSettings {
            version: "1.2.3".to_owned(),
            instance_id: "r-7".to_owned(),
            attributes: vec![("deployment.environment.name".to_owned(), "test".to_owned())],
        },
    }
}

fn telemetry(traces_waiting_max: usize) -> Arc<Telemetry> {
    Arc::new(Telemetry::new(telemetry::Settings {
        version: "1.2.3".to_owned(),
        instance_id: "r-7".to_owned(),
        shards: 2,
        inbox_bound: 1024,
        region: "sh".to_owned(),
        regions: Vec::new(),
        measures: true,
        traces_waiting_max,
        head_rate: 0.0,
        config_hash: 0,
        started: Instant::now(),
        started_unix: Duration::from_secs(1_800_000_000),
    }))
}

/// An exporter towards it, with its lines in a queue of the test's.
fn start(settings: &Settings, telemetry: &Arc<Telemetry>, lines: &LogQueue) -> Exporter {
    use tracing_subscriber::layer::SubscriberExt as _;
    let outside = tracing_subscriber::registry().with(lines.layer());
    tracing::subscriber::with_default(outside, || Exporter::start(settings, telemetry.clone(), None)).unwrap()
}

/// Waits for the end, and says how long it took.
fn finish(exporter: &Exporter) -> Duration {
    let since = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(20 * SLACK, exporter.finish()).await.unwrap() });
    since.elapsed()
}

/// A `send` whose stages together took that long.
fn signal(took: Duration) -> Box<Signal> {
    let received = Instant::now();
    let mut signal = Box::new(Signal::new(OpKind::Send, received));
    for (at, stage) in [Stage::Decode, Stage::Admit, Stage::Handle, Stage::Reply, Stage::Flush].into_iter().enumerate()
    {
        signal.timeline.end(stage, received + took * (at as u32 + 1) / 5);
    }
    signal
}

fn observe(telemetry: &Telemetry, signal: Box<Signal>, outcome: Outcome, origin: &Origin<'_>) {
    telemetry.observe_from(&Event::SignalEnded { signal, outcome }, origin, Instant::now());
}

/// So many signals that are worth a trace.
fn observe_slow(telemetry: &Telemetry, count: usize) {
    (0..count).for_each(|_| observe(telemetry, signal(200 * MS), Outcome::Ok, &Origin::default()));
}

/// What a counter says.
fn counted(telemetry: &Telemetry, series: &str) -> u64 {
    let text = String::from_utf8(telemetry.render(Format::Text, None)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

fn traces_lost(telemetry: &Telemetry, reason: &str) -> u64 {
    counted(telemetry, &format!("signalbox_traces_lost_total{{reason=\"{reason}\"}}"))
}

/// The texts of lines that wait, each with its cause.
fn said(lines: &LogQueue) -> Vec<(String, String)> {
    use opentelemetry::logs::AnyValue;
    let text = |value: Option<&AnyValue>| match value {
        Some(AnyValue::String(text)) => text.as_str().to_owned(),
        _ => String::new(),
    };
    let cause = |record: &opentelemetry_sdk::logs::SdkLogRecord| {
        text(record.attributes_iter().find(|(key, _)| key.as_str() == "cause").map(|(_, value)| value))
    };
    lines.fetch(100).iter().map(|record| (text(record.body()), cause(record))).collect()
}

/// Waits until the condition holds.
#[track_caller]
fn until(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < 6 * SLACK, "not seen: {what}");
        std::thread::sleep(5 * MS);
    }
}

/// Nine times half of what may wait, each seen to arrive: usually before the exporter would have looked by itself.
fn assert_woken(mut round: impl FnMut(usize)) {
    let timed = |number| {
        let since = Instant::now();
        round(number);
        since.elapsed()
    };
    let mut took: Vec<_> = (1..=9).map(timed).collect();
    took.sort();
    assert!(took[4] < 250 * MS, "{took:?}");
}
