//! Once a second: drains the recorder, writes the interval log, tells whoever listens how the run goes.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use hdrhistogram::Histogram;
use tokio_util::sync::CancellationToken;

use super::{
    LoadError,
    interval_log::IntervalLog,
    measure::{self, Measure, Quantiles},
    run::Run,
    seconds::{SecondOfRun, Seconds},
};

/// Who listens.
pub type Progress = Box<dyn FnMut(&Snapshot) + Send>;

/// How a run goes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Since traffic began; zero while sessions are still joining.
    pub elapsed: Duration,
    /// Whether traffic has begun.
    pub begun: bool,
    /// Sessions now.
    pub sessions: u64,
    /// Sessions that have joined so far.
    pub joined: u64,
    /// Messages and signals sent so far.
    pub sent: u64,
    /// Payloads that arrived so far.
    pub delivered: u64,
    /// Payloads that arrived since the snapshot before.
    pub delivered_lately: u64,
    /// Payloads doubled or out of order so far; losses are known at the end.
    pub wrong: u64,
    /// Refusals and failures so far.
    pub refused: u64,
    /// Participants told of another media node so far.
    pub told: u64,
    /// Latencies since the snapshot before.
    pub lately: Vec<Quantiles>,
    /// Latencies of the whole run so far.
    pub so_far: Vec<Quantiles>,
}

impl Snapshot {
    /// One line for people.
    pub fn to_line(&self) -> String {
        let worst = self.lately.iter().max_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms));
        let p99 = worst.map_or_else(String::new, |worst| format!(", P99 {:.2} ms ({})", worst.p99_ms, worst.name));
        let state = if self.begun { format!("{:3.0} s", self.elapsed.as_secs_f64()) } else { "joining".to_owned() };
        format!(
            "{state}: {} sessions, {} delivered a second{p99}, {} wrong, {} refused",
            self.sessions, self.delivered_lately, self.wrong, self.refused
        )
    }
}

/// Of a whole run: its latencies, and its seconds.
pub(crate) type Ticked = (Vec<Quantiles>, Vec<SecondOfRun>);

/// Ticks beside a run.
pub(crate) struct Ticker {
    run: Arc<Run>,
    progress: Progress,
    log: Option<IntervalLog>,
    totals: BTreeMap<Measure, Histogram<u64>>,
    delivered: u64,
    seconds: Seconds,
}

impl Ticker {
    pub(crate) fn new(run: Arc<Run>, progress: Progress, log: Option<IntervalLog>) -> Self {
        Self { run, progress, log, totals: BTreeMap::new(), delivered: 0, seconds: Seconds::default() }
    }

    /// Ticks until the run has ended; answers the latencies of the whole run, and its seconds.
    pub(crate) async fn run(mut self, every: Duration, ended: CancellationToken) -> Result<Ticked, LoadError> {
        let mut ticks = tokio::time::interval(every);
        ticks.tick().await;
        loop {
            let last = tokio::select! {
                _ = ticks.tick() => false,
                () = ended.cancelled() => true,
            };
            self.tick(last)?;
            if last {
                return Ok((self.so_far(), self.seconds.into_rows()));
            }
        }
    }

    fn tick(&mut self, last: bool) -> Result<(), LoadError> {
        let drained = self.run.recorder.drain();
        for (measure, histogram) in &drained {
            let total = self.totals.entry(*measure).or_insert_with(measure::histogram);
            total.add(histogram).expect("all have the same bounds");
        }
        if let Some(log) = &mut self.log {
            log.append(&drained, SystemTime::now())?;
        }
        if !last {
            let snapshot = self.snapshot(&drained);
            self.seconds.add(&snapshot);
            (self.progress)(&snapshot);
        }
        Ok(())
    }

    fn snapshot(&mut self, drained: &[(Measure, Histogram<u64>)]) -> Snapshot {
        let counts = &self.run.counts;
        let delivered = counts.delivered.load(Relaxed);
        let before = std::mem::replace(&mut self.delivered, delivered);
        Snapshot {
            elapsed: self.run.elapsed(),
            begun: self.run.has_begun(),
            sessions: counts.sessions.load(Relaxed),
            joined: counts.joined.load(Relaxed),
            sent: counts.sent.load(Relaxed),
            delivered,
            delivered_lately: delivered - before,
            wrong: counts.doubled.load(Relaxed) + counts.out_of_order.load(Relaxed),
            refused: self.run.refusals().values().sum(),
            told: self.run.media.told(),
            lately: drained.iter().map(|(measure, histogram)| Quantiles::of(*measure, histogram)).collect(),
            so_far: self.so_far(),
        }
    }

    fn so_far(&self) -> Vec<Quantiles> {
        self.totals.iter().map(|(measure, histogram)| Quantiles::of(*measure, histogram)).collect()
    }
}
