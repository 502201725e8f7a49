//! What measuring a signal costs, part by part, in this process: the noise of a whole router under load is larger than
//! what is looked for.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use signalbox::{
    event::{Delivery, Event, Labels, Origin, Outcome, Signal, Stage},
    protocol::{OpKind, v1},
    telemetry::{Settings, Telemetry},
};

use super::{
    table::{Row, median},
    workload::Target,
};

/// Rounds of each part; of their times the median counts.
const ROUNDS: usize = 31;
/// Calls of a round.
const CALLS: usize = 20_000;
/// Recipients of a message of the fan-out.
const RECIPIENTS: f64 = 7.0;
/// Deliveries that leave in one write, at least (measured: 0.22 writes a delivery).
const A_WRITE: usize = 4;
/// Series of a router that has seen all it can.
const SERIES: f64 = 10_000.0;

/// The parts, and their sum as a share of what a delivery costs.
pub(crate) fn rows(cpu_us: f64) -> Vec<Row> {
    let telemetry = telemetry();
    let started = Instant::now();
    let (clock, begin) = (each(|| _ = black_box(Instant::now())), each(|| drop(black_box(new_signal(started)))));
    let signal = |stages: &[Stage]| {
        let mut signal = new_signal(started);
        stages
            .iter()
            .zip(1..)
            .for_each(|(stage, at)| signal.timeline.end(*stage, started + Duration::from_micros(20 * at)));
        let event = Event::SignalEnded { signal, outcome: Outcome::Ok };
        let origin = origin(&telemetry);
        each(|| telemetry.observe_from(black_box(&event), &origin, started))
    };
    let unanswered = signal(&[Stage::Decode, Stage::Admit, Stage::Handle]);
    let answered = signal(&[Stage::Decode, Stage::Admit, Stage::Handle, Stage::Reply, Stage::Flush]);
    let delivery = deliveries(&telemetry, started);
    // of a signal: it is made, and two moments are read that nobody else wants; of a write: one moment
    let sum = (begin + unanswered + 2.0 * clock) / RECIPIENTS + delivery + clock / A_WRITE as f64;
    let share = 100.0 * sum / (cpu_us * 1e3);
    let row = |figure: &str, target: Target, value: f64| Row::new("parts", figure, target, f64::NAN, value);
    vec![
        row("a clock read, ns", Target::Shown, clock),
        row("record a signal without answer, ns", Target::AtMost(100.0), unanswered),
        row("record a signal with answer, ns", Target::AtMost(100.0), answered),
        row("record a delivery, ns", Target::Shown, delivery),
        row("sum a delivery, ns", Target::Shown, sum),
        row("sum a delivery, % of its CPU", Target::AtMost(3.0), share),
        row("scrape of 10,000 series, CPU ms", Target::AtMost(20.0), scrape()),
    ]
}

fn telemetry() -> Telemetry {
    Telemetry::new(Settings {
        version: "1".to_owned(),
        instance_id: "bench".to_owned(),
        shards: 2,
        inbox_bound: 1_024,
        region: "here".to_owned(),
        regions: (0..15).map(|region| format!("r{region}")).collect(),
        measures: true,
        traces_waiting_max: 4_096,
        head_rate: 0.0,
        started: Instant::now(),
        started_unix: Duration::from_secs(1_800_000_000),
    })
}

fn origin(telemetry: &Telemetry) -> Origin<'static> {
    let client = v1::ClientInfo { sdk: "web".to_owned(), version: "6.12.0".to_owned(), device: String::new() };
    let join = v1::Join { scenario: "video_call".to_owned(), client: Some(client), ..v1::Join::default() };
    Origin { labels: telemetry.labels(&join), transport: "websocket", ..Origin::default() }
}

fn new_signal(received: Instant) -> Box<Signal> {
    Box::new(Signal::new(OpKind::Send, received))
}

fn deliveries(telemetry: &Telemetry, started: Instant) -> f64 {
    let delivery = Delivery { op: OpKind::Send, received: started, handled_after_us: 60 };
    let event = Event::Delivered { deliveries: vec![delivery; A_WRITE], others: 0 };
    let (origin, at) = (origin(telemetry), started + Duration::from_micros(300));
    each(|| telemetry.observe_from(black_box(&event), &origin, at)) / A_WRITE as f64
}

/// Nanoseconds of a call.
fn each(mut call: impl FnMut()) -> f64 {
    let mut round = || {
        let since = Instant::now();
        (0..CALLS).for_each(|_| call());
        since.elapsed().as_nanos() as f64 / CALLS as f64
    };
    round();
    median((0..ROUNDS).map(|_| round()).collect())
}

/// CPU time of a scrape, scaled to ten thousand series, in the dearest of the formats.
fn scrape() -> f64 {
    let telemetry = telemetry();
    let received = Instant::now();
    for region in 0..16 {
        for op in OpKind::ALL {
            for micros in (1..400_u64).map(|step| step * step) {
                let mut signal = Box::new(Signal::new(op, received));
                signal.timeline.end(Stage::Handle, received + Duration::from_micros(micros));
                let labels = Labels { region, ..Labels::default() };
                let event = Event::SignalEnded { signal, outcome: Outcome::Ok };
                telemetry.observe_from(&event, &Origin { labels, ..Origin::default() }, received);
            }
        }
    }
    telemetry.drain(received, Duration::from_secs(1_800_000_000));
    let series = telemetry.render(None).lines().filter(|line| !line.starts_with('#')).count();
    let spent = (0..ROUNDS).map(|_| {
        let before = thread_cpu();
        black_box(telemetry.render(None));
        (thread_cpu() - before).as_secs_f64() * 1e3
    });
    median(spent.collect()) * SERIES / series as f64
}

/// CPU time of this thread, from the scheduler (proc(5), schedstat): nanoseconds, exact.
fn thread_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|spent| spent.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
