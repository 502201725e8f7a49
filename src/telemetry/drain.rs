//! The drain: once a second, off the workers, moves what they recorded into what is shown.

use std::time::{Duration, Instant};

use super::{
    Counts, Telemetry,
    case::{KINDS, kind},
    clients::CANDIDATES,
    latency::{Exemplar, Latency, Tick},
    recorder::{Interval, Series, SignalSeries},
};
use crate::{event::nanos, protocol::OpKind};

/// Seconds between two elections of the busiest clients.
const ELECTION_SECONDS: u64 = 10;

/// What the drain owns.
#[derive(Debug)]
pub(super) struct Drained {
    pub(super) latency: Latency,
    pub(super) tick: Tick,
    /// Of traces that the collector took since the last drain; no more than may be kept in that time.
    pub(super) exemplars: Vec<(Series, Exemplar)>,
    /// A set to be emptied, and exchanged for the one that a thread fills.
    pub(super) spare: Interval,
    /// Signals since the last election, by the place of their client's SDK version, and of its scenario.
    seen: Box<[[u64; CANDIDATES]; 2]>,
    elected: u64,
}

impl Default for Drained {
    fn default() -> Self {
        Self {
            latency: Latency::default(),
            tick: Tick { second: 0, unix_ms: 0 },
            exemplars: Vec::new(),
            spare: Interval::default(),
            seen: Box::new([[0; CANDIDATES]; 2]),
            elected: 0,
        }
    }
}

impl Telemetry {
    /// Takes what was recorded since the last time. `unix` is the same moment as `at`, since the Unix epoch.
    pub fn drain(&self, at: Instant, unix: Duration) {
        let uptime = at.saturating_duration_since(self.started);
        self.started_unix_ns.store(nanos(unix.saturating_sub(uptime)), std::sync::atomic::Ordering::Relaxed);
        let tick = Tick { second: uptime.as_secs(), unix_ms: unix.as_millis() as u64 };
        let mut guard = self.drained();
        let drained = &mut *guard;
        drained.tick = tick;
        // before what was recorded is taken: a rank that changed hands since goes to others with all that it has there,
        // and nothing of it stands under the name of the one that has it now
        let changed = self.elect(drained);
        for thread in 0..self.recorder_of_latency.threads() {
            let interval = &mut drained.spare;
            // here and not when it was taken: what a drain panicked over is lost, and not counted twice. Once only: a
            // set that is emptied again gives its histograms back, and the thread would make them anew
            interval.reset();
            self.recorder_of_latency.exchange(thread, interval);
            drained.latency.take(interval, tick);
            self.count(interval);
            see(&mut drained.seen, interval);
        }
        for (series, exemplar) in drained.exemplars.drain(..) {
            drained.latency.exemplify(series, exemplar, tick.unix_ms);
        }
        drained.latency.expire(tick);
        self.metrics.folded(drained.latency.take_folded());
        self.learn(&drained.latency, tick);
        drained.latency.forget_clients(&changed[0], &changed[1]);
        self.slow.tick(tick.second);
        // without it what the recorder sets aside grows
        self.recorder.handle().run_upkeep();
        self.move_bounds(&drained.latency);
        self.metrics.drains.increment(1);
        self.metrics.traces_waiting.set(self.keeper.waiting() as f64);
    }

    /// Every few seconds: the ranks of SDK versions, and of scenarios, that change hands.
    fn elect(&self, drained: &mut Drained) -> [Vec<u8>; 2] {
        if drained.tick.second < drained.elected + ELECTION_SECONDS {
            return Default::default();
        }
        drained.elected = drained.tick.second;
        let changed = [self.sdk_versions.elect(&drained.seen[0]), self.scenarios.elect(&drained.seen[1])];
        drained.seen.iter_mut().for_each(|seen| seen.fill(0));
        changed
    }

    /// How long the drain took.
    pub fn set_drain_took(&self, took: Duration) {
        self.metrics.drain_seconds.set(took.as_secs_f64());
    }

    /// Counters that follow from what was recorded, so that they and the histograms agree.
    fn count(&self, interval: &Interval) {
        for slot in interval.slots() {
            if let Series::Signal(SignalSeries { op, outcome, .. }) = slot.series {
                let counter = self.metrics.signals.at(usize::from(op), usize::from(outcome));
                counter.increment(slot.histogram.len());
            }
        }
        self.metrics.deliveries.increment(interval.pushes);
        self.metrics.outliers.increment(interval.outliers);
        self.metrics.folded(interval.folded);
    }

    /// What is usual moves what is kept as a trace.
    fn move_bounds(&self, latency: &Latency) {
        let mut by_kind: [Counts; KINDS] = std::array::from_fn(|_| Counts::default());
        for (series, counts) in latency.last_minute() {
            match series {
                Series::Signal(s) => by_kind[kind(OpKind::ALL[usize::from(s.op)], false)].add(&counts),
                Series::Delivery { op, .. } => by_kind[kind(OpKind::ALL[usize::from(op)], true)].add(&counts),
                Series::Stage(_) | Series::Variant { .. } => {}
            }
        }
        self.keeper.tick(|op, delivery| {
            let counts = &by_kind[kind(op, delivery)];
            Some((counts.total(), counts.quantile(0.99)?))
        });
        for (delivery, bounds) in [(false, &self.metrics.signal_bounds), (true, &self.metrics.delivery_bounds)] {
            for (op, bound) in OpKind::ALL.into_iter().zip(bounds) {
                bound.set(self.keeper.bound(op, delivery).as_secs_f64());
            }
        }
    }
}

fn see(seen: &mut [[u64; CANDIDATES]; 2], interval: &Interval) {
    for (seen, tally) in seen.iter_mut().zip([&interval.sdk_versions, &interval.scenarios]) {
        for (seen, new) in seen.iter_mut().zip(tally.seen()) {
            *seen += u64::from(*new);
        }
    }
}
