//! What measuring a signal costs, part by part, in this process: the noise of a whole router under load is larger than
//! what is looked for.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use signalbox::{
    event::{Delivery, Event, Labels, Origin, Outcome, Signal, Stage},
    protocol::{OpKind, v1},
    telemetry::{
        Settings, Telemetry,
        exposition::{Format, gzipped},
    },
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
/// Deliveries of a second.
const A_SECOND: usize = 168_000;
/// Series of a router that has seen all it can.
const SERIES: f64 = 10_000.0;

/// A part of what measuring costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Reading the clock.
    Clock,
    /// Making a signal, and letting it go.
    Begin,
    /// Recording a signal that wants no answer.
    Unanswered,
    /// Recording a signal whose answer left.
    Answered,
    /// Recording the deliveries of one write.
    Write,
}

impl Part {
    /// Does it once with each call.
    fn call(self) -> Box<dyn FnMut()> {
        let started = Instant::now();
        let event = match self {
            Self::Clock => return Box::new(|| _ = black_box(Instant::now())),
            Self::Begin => return Box::new(move || drop(black_box(new_signal(started)))),
            Self::Unanswered => ended(started, &[Stage::Decode, Stage::Admit, Stage::Handle]),
            Self::Answered => ended(started, &[Stage::Decode, Stage::Admit, Stage::Handle, Stage::Reply, Stage::Flush]),
            Self::Write => {
                let delivery = Delivery { op: OpKind::Send, received_ns: 0, handled_after_us: 60 };
                Event::Delivered { deliveries: vec![delivery; A_WRITE], others: 0 }
            }
        };
        let telemetry = telemetry();
        let (origin, at) = (origin(&telemetry), started + Duration::from_micros(300));
        Box::new(move || telemetry.observe_from(black_box(&event), &origin, at))
    }

    /// So many times, for whoever counts instructions.
    pub(crate) fn repeat(self, calls: usize) {
        let mut call = self.call();
        (0..calls).for_each(|_| call());
    }

    /// Nanoseconds of a call.
    fn nanos(self) -> f64 {
        let mut call = self.call();
        let mut round = || {
            let since = Instant::now();
            (0..CALLS).for_each(|_| call());
            since.elapsed().as_nanos() as f64 / CALLS as f64
        };
        round();
        median((0..ROUNDS).map(|_| round()).collect())
    }
}

/// What a delivery of the fan-out costs of all this, given the cost of each part: its share of a signal, which is made
/// and recorded, and for which two moments are read that nobody else wants; its share of a write, with one moment.
pub(crate) fn a_delivery(cost: impl Fn(Part) -> f64) -> f64 {
    let signal = cost(Part::Begin) + cost(Part::Unanswered) + 2.0 * cost(Part::Clock);
    signal / RECIPIENTS + (cost(Part::Write) + cost(Part::Clock)) / A_WRITE as f64
}

/// The parts, and their sum as a share of what a delivery costs.
pub(crate) fn rows(cpu_us: f64) -> Vec<Row> {
    let drain_ms = drain();
    // once a second all of it is drained
    let sum = a_delivery(Part::nanos) + drain_ms * 1e6 / A_SECOND as f64;
    let share = 100.0 * sum / (cpu_us * 1e3);
    let row = |figure: &str, target: Target, value: f64| Row::new("parts", figure, target, f64::NAN, value);
    vec![
        row("a clock read, ns", Target::Shown, Part::Clock.nanos()),
        row("record a signal without answer, ns", Target::AtMost(100.0), Part::Unanswered.nanos()),
        row("record a signal with answer, ns", Target::AtMost(100.0), Part::Answered.nanos()),
        row("record a delivery, ns", Target::Shown, Part::Write.nanos() / A_WRITE as f64),
        row("drain of a second, ms", Target::Shown, drain_ms),
        row("sum a delivery, ns", Target::Shown, sum),
        row("sum a delivery, % of its CPU", Target::AtMost(3.0), share),
        row("scrape of 10,000 series, ms", Target::AtMost(20.0), scrape()),
    ]
}

/// A signal that has come through these stages.
fn ended(started: Instant, stages: &[Stage]) -> Event {
    let mut signal = new_signal(started);
    for (stage, at) in stages.iter().zip(1..) {
        signal.timeline.end(*stage, started + Duration::from_micros(20 * at));
    }
    Event::SignalEnded { signal, outcome: Outcome::Ok }
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
        config_hash: 0,
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

/// Time of draining a second of the fan-out, milliseconds: all of it is CPU.
fn drain() -> f64 {
    let telemetry = telemetry();
    let started = Instant::now();
    let origin = origin(&telemetry);
    let unix = Duration::from_secs(1_800_000_000);
    let drains = (1..=ROUNDS as u64).map(|second| {
        let at = started + Duration::from_secs(second);
        for number in 0..A_SECOND as u64 {
            // half a millisecond to six, as they are under that load
            let received = at - Duration::from_micros(500 + number * number % 5_500);
            let delivery = telemetry.delivery(OpKind::Send, received, Duration::from_micros(60));
            telemetry.observe_from(&Event::Delivered { deliveries: vec![delivery], others: 0 }, &origin, at);
            if number % RECIPIENTS as u64 == 0 {
                let mut signal = new_signal(received);
                for (stage, micros) in [(Stage::Decode, 5), (Stage::Admit, 50 + number % 900), (Stage::Handle, 1_000)] {
                    signal.timeline.end(stage, received + Duration::from_micros(micros));
                }
                telemetry.observe_from(&Event::SignalEnded { signal, outcome: Outcome::Ok }, &origin, at);
            }
        }
        let before = Instant::now();
        telemetry.drain(at, unix + Duration::from_secs(second));
        before.elapsed().as_secs_f64() * 1e3
    });
    median(drains.collect())
}

/// Time of a scrape, all of it CPU, scaled to ten thousand series, in the dearest of the formats; with gzip, which
/// Prometheus asks for.
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
    let text = String::from_utf8(telemetry.render(Format::Text, None)).expect("text is UTF-8");
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    let spent = Format::ALL.map(|format| {
        let rounds = (0..ROUNDS).map(|_| {
            let before = Instant::now();
            black_box(gzipped(&telemetry.render(format, None)));
            before.elapsed().as_secs_f64() * 1e3
        });
        median(rounds.collect())
    });
    spent.into_iter().fold(0.0, f64::max) * SERIES / series as f64
}
