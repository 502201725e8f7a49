//! Drives the profiler, from two threads: one moves what was sampled into the ring and tells telemetry how it stands, the
//! other names where stalled workers are, and makes captures.

mod captures;

use std::{
    io,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

pub use self::captures::Inboxes;
pub(in crate::io) use self::captures::now;
pub use self::captures::tell;
use self::captures::{Gathering, Sources};
use super::{
    ticking::Ticking,
    workers::{OnStall, Stall},
};
use crate::{
    event::Event,
    profiler::{
        Figures, Profiler,
        captures::{Captures, Now},
    },
    telemetry::{ProfilerFigures, Telemetry},
};

/// Between two tellings, and two looks at captures.
const EVERY: Duration = Duration::from_secs(1);
/// Stacks that wait for names. There is one a stall and worker, and each second all are named; past them a stall is
/// told without its stack.
const STUCK_MAX: usize = 64;
/// Functions of a stack that are told in a line of the log.
const TOLD_MAX: usize = 24;

/// A stalled worker and its stack, without names.
#[derive(Debug)]
struct Stuck {
    stall: Stall,
    stack: Arc<[u64]>,
    /// When.
    now: Now,
}

/// What is driven, and what it looks at.
#[expect(missing_debug_implementations, reason = "a closure")]
pub struct Driven {
    /// The profiler.
    pub profiler: Profiler,
    /// Captures of bad minutes.
    pub captures: Arc<Captures>,
    /// What is measured.
    pub telemetry: Arc<Telemetry>,
    /// Inputs that wait for shards.
    pub inboxes: Inboxes,
}

/// A profiler that is driven; dropped, it is driven no longer.
#[derive(Debug)]
pub struct Profiling {
    sources: Sources,
    stuck: SyncSender<Stuck>,
    _collecting: Ticking,
    _gathering: Ticking,
}

impl Profiling {
    /// Starts to.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(driven: Driven) -> io::Result<Self> {
        let Driven { profiler, captures, telemetry, inboxes } = driven;
        let observe = |telemetry: &Arc<Telemetry>| {
            let told = telemetry.clone();
            move |event| told.observe(&event, Instant::now())
        };
        let (stuck, stalls) = sync_channel(STUCK_MAX);
        let sources = Sources { profiler: profiler.clone(), telemetry: telemetry.clone(), captures };
        let mut gathering = Gathering::new(sources.clone(), inboxes, stalls);
        let gathering = Ticking::start("captures", EVERY, move || gathering.tick(), observe(&telemetry))?;
        let every = profiler.collect_every();
        let failed = observe(&telemetry);
        let mut collecting = Collecting { profiler, telemetry, known: None, told: None };
        let collecting = Ticking::start("profiler", every, move || collecting.tick(Instant::now()), failed)?;
        Ok(Self { sources, stuck, _collecting: collecting, _gathering: gathering })
    }

    /// Captures that are being recorded become ready with what there is: the process ends. Takes up to some seconds.
    pub async fn finish(&self) {
        let sources = self.sources.clone();
        // a panic is told by whoever panicked
        tokio::task::spawn_blocking(move || sources.finish_all()).await.ok();
    }

    /// What the watchdog does about a stalled worker while it still is: its thread is asked for its stack.
    pub fn on_stall(&self) -> OnStall {
        let (profiler, stuck) = (self.sources.profiler.clone(), self.stuck.clone());
        Box::new(move |stall| {
            // without a stack there is still a capture
            let stack = stall.tid.and_then(|tid| profiler.ask(tid)).unwrap_or_default();
            // full: nobody named the ones before, and the stall itself is told anyway
            stuck.try_send(Stuck { stall, stack, now: now() }).ok();
        })
    }
}

struct Collecting {
    profiler: Profiler,
    telemetry: Arc<Telemetry>,
    /// The sampler and why, as they were told last.
    known: Option<(Option<&'static str>, Option<String>)>,
    told: Option<Instant>,
}

impl Collecting {
    fn tick(&mut self, now: Instant) {
        self.profiler.collect();
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < EVERY) {
            return;
        }
        self.told = Some(now);
        let figures = self.profiler.figures();
        self.telemetry.set_profiler(&worth(&figures));
        let standing = (figures.sampler.map(|sampler| sampler.name()), figures.why_not.or(figures.fallback_because));
        if self.known.as_ref() != Some(&standing) {
            let (sampler, why) = standing.clone();
            self.telemetry.observe(&Event::ProfilerChanged { sampler, why }, now);
            self.known = Some(standing);
        }
    }
}

fn worth(figures: &Figures) -> ProfilerFigures {
    ProfilerFigures {
        sampler: figures.sampler.map(|sampler| sampler.name()),
        raised: figures.counts.raised,
        kept: figures.counts.kept,
        lost: figures.counts.lost,
        truncated: figures.counts.truncated,
        ring_bytes: figures.fill.bytes,
        ring_bytes_max: figures.fill.bytes_max,
        slots_thinned: figures.fill.thinned,
        threads_without_timer: figures.without_timer,
    }
}
