//! What all participants of one run share: its clock, counts and recorder.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    LoadError, Options,
    client::{Client, ClientError},
    ledger::Arrival,
    locked,
    measure::{Measure, Recorder},
    media::MediaBooks,
    overload::Overload,
    process::Usage,
    routers::{Routers, Way},
    stamp::Stamp,
    tokens::{Pass, Passes},
};
use crate::protocol::v1;

/// Messages about what went wrong, kept as examples for the report.
const EXAMPLES_MAX: usize = 5;

/// Counts of a run; each only grows, but `sessions`.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sessions: AtomicU64,
    pub(crate) joined: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) expected: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) out_of_order: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) unanswered: AtomicU64,
    pub(crate) resumed: AtomicU64,
    pub(crate) snapshots: AtomicU64,
    pub(crate) moved: AtomicU64,
    pub(crate) sessions_moved: AtomicU64,
    pub(crate) sessions_lost: AtomicU64,
}

/// The time in which traffic is offered, and what the server used by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) at: Instant,
    pub(crate) server: Option<Usage>,
    pub(crate) generator: Usage,
}

/// Shared by all participants.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) options: Options,
    pub(crate) routers: Routers,
    pub(crate) passes: Passes,
    pub(crate) padding: Arc<str>,
    pub(crate) counts: Counts,
    pub(crate) recorder: Recorder,
    pub(crate) media: MediaBooks,
    pub(crate) stop: CancellationToken,
    epoch: Instant,
    measured_from_ns: AtomicU64,
    refusals: Mutex<BTreeMap<String, u64>>,
    retries: Mutex<BTreeMap<String, u64>>,
    examples: Mutex<Vec<String>>,
    begun: OnceLock<Mark>,
    ended: OnceLock<Mark>,
    overload: OnceLock<Overload>,
}

impl Run {
    pub(crate) async fn new(options: Options, stop: CancellationToken) -> Result<Arc<Self>, LoadError> {
        options.validate()?;
        let routers = Routers::resolve(options.target.clone(), &options.other_urls).await?;
        routers.reach().await?;
        Ok(Arc::new(Self {
            passes: Passes::new(options.tokens.clone()),
            padding: "x".repeat(options.payload_bytes).into(),
            options,
            routers,
            counts: Counts::default(),
            recorder: Recorder::new(),
            media: MediaBooks::default(),
            stop,
            epoch: Instant::now(),
            measured_from_ns: AtomicU64::new(u64::MAX),
            refusals: Mutex::default(),
            retries: Mutex::default(),
            examples: Mutex::default(),
            begun: OnceLock::new(),
            ended: OnceLock::new(),
            overload: OnceLock::new(),
        }))
    }

    /// A moment in nanoseconds of the run; stamps are in them.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_nanos() as u64
    }

    /// The moment of so many nanoseconds of the run.
    pub(crate) fn moment(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    fn mark(&self, at: Instant) -> Mark {
        let of_server = |pid: &u32| Usage::of(*pid);
        let parts: Vec<_> = self.options.pids.iter().filter_map(of_server).collect();
        let server = (!parts.is_empty()).then(|| Usage {
            cpu: parts.iter().map(|usage| usage.cpu).sum(),
            resident_kib: parts.iter().map(|usage| usage.resident_kib).sum(),
        });
        Mark { at, server, generator: Usage::of_self() }
    }

    /// Traffic begins at that moment, now or a little later; latencies count from the end of the warm-up.
    pub(crate) fn begin(&self, at: Instant) {
        self.measured_from_ns.store(self.nanos(at + self.options.warmup), Relaxed);
        self.begun.set(self.mark(at)).ok();
    }

    /// Traffic has ended; what is on its way may still arrive.
    pub(crate) fn end(&self) {
        self.ended.set(self.mark(Instant::now())).ok();
    }

    /// The marks, once there are both.
    pub(crate) fn marks(&self) -> Option<(Mark, Mark)> {
        Some((*self.begun.get()?, *self.ended.get()?))
    }

    /// Keeps what the steps of `overload` came to.
    pub(crate) fn overloaded(&self, outcome: Overload) {
        self.overload.set(outcome).ok();
    }

    /// The same, of a run that has such steps.
    pub(crate) fn overload(&self) -> Option<Overload> {
        self.overload.get().cloned()
    }

    /// Seconds since traffic began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.get().map_or(Duration::ZERO, |mark| mark.at.elapsed())
    }

    /// When latencies began to count, or now when traffic never did.
    pub(crate) fn measured_from(&self) -> Instant {
        self.begun.get().map_or_else(Instant::now, |mark| mark.at + self.options.warmup)
    }

    /// Whether traffic has begun: the progress line says so.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get().is_some()
    }

    /// Notes what took from its due time until now.
    pub(crate) fn record(&self, who: usize, measure: Measure, due_ns: u64, now: Instant) {
        if due_ns >= self.measured_from_ns.load(Relaxed) {
            let latency_ns = self.nanos(now).saturating_sub(due_ns);
            self.recorder.record(who, measure, latency_ns / 1_000);
        }
    }

    /// Counts how a payload arrived, and its latency when it came as it should and `measure` is given.
    pub(crate) fn arrived(&self, who: usize, measure: Option<Measure>, stamp: Stamp, arrival: Arrival) {
        match arrival {
            Arrival::InOrder => {
                self.counts.delivered.fetch_add(1, Relaxed);
                if let Some(measure) = measure {
                    self.record(who, measure, stamp.due_ns, Instant::now());
                }
            }
            Arrival::Late => {
                self.counts.delivered.fetch_add(1, Relaxed);
                self.counts.out_of_order.fetch_add(1, Relaxed);
            }
            Arrival::Twice | Arrival::Stray => {
                self.counts.doubled.fetch_add(1, Relaxed);
            }
        }
    }

    /// Counts what was refused or failed, by its reason.
    pub(crate) fn refused(&self, error: &ClientError) {
        self.failed(&error.reason(), &error.to_string());
    }

    /// Counts a failure that has a name of its own.
    pub(crate) fn failed(&self, reason: &str, text: &str) {
        let mut refusals = locked(&self.refusals);
        *refusals.entry(reason.to_owned()).or_default() += 1;
        drop(refusals);
        self.tell(text);
    }

    /// Keeps an example of what went wrong.
    pub(crate) fn tell(&self, text: &str) {
        let mut examples = locked(&self.examples);
        if examples.len() < EXAMPLES_MAX && !examples.iter().any(|example| example == text) {
            examples.push(text.to_owned());
        }
    }

    /// Counts a join or resume that was refused, by its reason, and is tried again.
    pub(crate) fn tries_again(&self, refusal: &ClientError) {
        *locked(&self.retries).entry(refusal.reason()).or_default() += 1;
    }

    /// These, by reason.
    pub(crate) fn retries(&self) -> BTreeMap<String, u64> {
        locked(&self.retries).clone()
    }

    /// Refusals and failures so far, by reason.
    pub(crate) fn refusals(&self) -> BTreeMap<String, u64> {
        locked(&self.refusals).clone()
    }

    /// The first few different ones in words.
    pub(crate) fn examples(&self) -> Vec<String> {
        locked(&self.examples).clone()
    }

    /// Connects with a pass and joins its room.
    pub(crate) async fn join(&self, number: usize, pass: &Pass) -> Result<(Client, v1::Joined), ClientError> {
        self.join_by(self.routers.way(number), pass).await
    }

    /// The same, by that way.
    pub(crate) async fn join_by(&self, mut way: Way<'_>, pass: &Pass) -> Result<(Client, v1::Joined), ClientError> {
        self.counts.requests.fetch_add(1, Relaxed);
        let join = v1::Join {
            room: pass.room.clone(),
            scenario: "load".to_owned(),
            client: Some(v1::ClientInfo {
                sdk: "signalbox-load".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                device: String::new(),
            }),
            ..v1::Join::default()
        };
        loop {
            let mut client = way.connect(&pass.token).await?;
            match client.join(join.clone()).await {
                Ok(joined) => {
                    self.counts.joined.fetch_add(1, Relaxed);
                    return Ok((client, joined));
                }
                Err(refusal) => way.follow(refusal).await?,
            }
        }
    }
}

/// One more session for as long as this lives.
#[derive(Debug)]
pub(crate) struct Present<'a>(&'a Counts);

impl<'a> Present<'a> {
    pub(crate) fn new(counts: &'a Counts) -> Self {
        counts.sessions.fetch_add(1, Relaxed);
        Self(counts)
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Relaxed);
    }
}
