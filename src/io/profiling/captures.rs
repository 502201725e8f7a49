//! Drives captures: tells them once in ten seconds how the router is, has stalls named, and gathers the parts of those
//! whose window has passed. On a thread of its own: finding names and writing files take their time.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::Receiver},
    time::{Duration, Instant},
};

use super::{Stuck, TOLD_MAX};
use crate::{
    event::{Captured, Event},
    io::{clock, process},
    profiler::{
        Profiler,
        captures::{
            Capture, CaptureId, Captures, Latencies, Moment, Now, Parts, RefusedWhy, Slowness, Span, Stall, StallState,
            Told,
        },
        pprof,
    },
    telemetry::{CaptureFigures, Telemetry, Totals, slow::SlowRow},
};

/// Between two steps of how the router is.
const STEP: Duration = Duration::from_secs(10);

/// How many inputs wait for the fullest shard.
pub type Inboxes = Box<dyn Fn() -> usize + Send>;

/// What captures are made of.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) profiler: Profiler,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) captures: Arc<Captures>,
}

pub(super) struct Gathering {
    sources: Sources,
    inboxes: Inboxes,
    stalls: Receiver<Stuck>,
    /// The end of the last step, and what was counted then.
    step: Option<(Instant, Totals)>,
    /// What was worst since then.
    worst: Worst,
}

#[derive(Clone, Copy, Debug, Default)]
struct Worst {
    busy_sum: f64,
    looks: u32,
    busy_max: f64,
    inbox: usize,
}

impl Gathering {
    pub(super) fn new(sources: Sources, inboxes: Inboxes, stalls: Receiver<Stuck>) -> Self {
        Self { sources, inboxes, stalls, step: None, worst: Worst::default() }
    }

    /// Once a second.
    pub(super) fn tick(&mut self) {
        // first, since names take their time
        self.look(now());
        while let Ok(stuck) = self.stalls.try_recv() {
            self.sources.stuck(&stuck);
        }
        let sources = &self.sources;
        let (due, lost) = sources.captures.due(now());
        sources.tell(lost);
        due.iter().for_each(|capture| sources.finish(capture));
        sources.telemetry.set_captures(&figures(&sources.captures));
    }

    fn look(&mut self, now: Now) {
        let runtime = self.sources.telemetry.runtime();
        let busy = || runtime.workers.iter().map(|worker| worker.busy_ratio);
        self.worst.busy_sum += busy().sum::<f64>() / (runtime.workers.len() as f64).max(1.0);
        self.worst.looks += 1;
        self.worst.busy_max = busy().fold(self.worst.busy_max, f64::max);
        self.worst.inbox = self.worst.inbox.max((self.inboxes)());
        let since = self.step.as_ref().map(|(at, _)| now.at.saturating_duration_since(*at));
        if since.is_some_and(|since| since < STEP) {
            return;
        }
        let totals = self.sources.telemetry.totals();
        if let (Some(since), Some((_, before))) = (since, &self.step) {
            self.sources.captures.push(self.moment(now, (before, &totals), since));
            self.sources.tell(self.sources.captures.look(now, &self.sources.telemetry.recent_p99s(STEP.as_secs())));
        }
        self.step = Some((now.at, totals));
        self.worst = Worst::default();
    }

    fn moment(&self, now: Now, (before, after): (&Totals, &Totals), since: Duration) -> Moment {
        let a_second = |before: u64, after: u64| after.saturating_sub(before) as f64 / since.as_secs_f64();
        let signals = after.signals.iter().map(|(outcome, count)| {
            let before = before.signals.get(outcome).copied().unwrap_or(0);
            ((*outcome).to_owned(), a_second(before, *count))
        });
        let (here, process) = (self.sources.telemetry.population(), process::read().unwrap_or_default());
        Moment {
            unix_ms: now.unix.as_millis() as u64,
            sessions: here.sessions,
            rooms: here.rooms,
            participants: here.participants,
            signals_per_second: signals.collect::<BTreeMap<_, _>>(),
            deliveries_per_second: a_second(before.deliveries, after.deliveries),
            sheds_per_second: a_second(before.sheds, after.sheds),
            worker_busy_mean: self.worst.busy_sum / f64::from(self.worst.looks.max(1)),
            worker_busy_max: self.worst.busy_max,
            global_queue_depth: self.sources.telemetry.runtime().global_queue_depth as u64,
            inbox_depth_max: self.worst.inbox as u64,
            resident_bytes: process.resident_bytes,
            open_fds: process.open_fds,
            threads: process.threads,
            stalls: after.stalls.saturating_sub(before.stalls),
        }
    }
}

impl Sources {
    /// Gives a capture its parts.
    fn finish(&self, capture: &Capture) {
        let parts = self.parts(capture);
        self.tell(self.captures.finish(now(), &capture.id, parts));
    }

    /// Those that are being recorded are finished with what there is: the process ends.
    pub(super) fn finish_all(&self) {
        self.captures.recordings().iter().for_each(|capture| self.finish(capture));
    }

    fn stuck(&self, Stuck { stall, stack, now }: &Stuck) {
        let stack = self.profiler.names(stack);
        let told = stack.iter().take(TOLD_MAX).cloned().collect();
        let event = Event::StallPlaced { worker: stall.worker, tid: stall.tid, blocked: stall.blocked, stack: told };
        // whoever could not be asked is told of as stalled, and nothing is known of where
        if !stack.is_empty() {
            self.telemetry.observe(&event, now.at);
        }
        let state = if stall.blocked { StallState::Blocked } else { StallState::OnCpu };
        let stall = Stall { worker: stall.worker, stalled_for: stall.stalled_for, state, stack };
        self.tell(vec![
            self.captures.stalled(*now, stall).map_or_else(Told::Refused, |made| Told::Made(Box::new(made))),
        ]);
    }

    /// What there is of a capture's window, and of the quiet hour before it.
    fn parts(&self, capture: &Capture) -> Parts {
        let Capture { window, quiet, .. } = capture;
        let now = now();
        let since = now.unix.saturating_sub(window.from());
        let latency = self.telemetry.latency_report(since, None);
        let before = self.telemetry.latency_between(quiet.from(), quiet.until());
        let within = |started: Duration| started >= window.from() && started < window.until();
        let slow: Vec<_> = self.telemetry.slow_signals(now.at);
        let slow: Vec<_> = slow.iter().filter(|slow| within(slow.case.started)).map(SlowRow::of).collect();
        let profile = |span: Span| {
            // counted back from now, whenever that is: finding names takes its time
            let now = clock::since_epoch();
            let ago = |at: Duration| now.saturating_sub(at);
            pprof::encode(&self.profiler.between(ago(span.from()), ago(span.until())))
        };
        let parts = Parts::default()
            .profile(profile(*window))
            .quiet(profile(*quiet))
            .latency(&Latencies::of(&latency.rows, &before))
            .slow(&slow)
            .runtime(&self.captures.runtime(capture));
        match self.telemetry.latency_log(since) {
            Ok(log) => parts.latency_log(log),
            // the other parts are worth having without it
            Err(_) => parts,
        }
    }

    fn tell(&self, told: Vec<Told>) {
        told.iter().for_each(|told| tell(&self.telemetry, told));
    }
}

/// The same moment by both clocks.
pub(in crate::io) fn now() -> Now {
    Now { at: Instant::now(), unix: clock::since_epoch() }
}

/// What happened to captures, as an event.
pub fn tell(telemetry: &Telemetry, told: &Told) {
    let id = |id: &CaptureId| id.to_string();
    let captured = match told {
        Told::Made(capture) => Captured::Made { id: id(&capture.id), cause: capture.cause.what().name() },
        Told::Joined { id: into, slowness: Slowness { op, region, .. } } => {
            Captured::Joined { id: id(into), op: op.clone(), region: region.clone() }
        }
        Told::Refused(refused) => Captured::Refused {
            cause: refused.what.name(),
            reason: match refused.why {
                RefusedWhy::Pace => "pace",
                RefusedWhy::Recording => "recording",
            },
        },
        Told::Ready { capture, bytes } => Captured::Ready { id: id(&capture.id), bytes: *bytes },
        Told::MadeWay { id: gone, .. } => Captured::MadeWay { id: id(gone) },
        Told::Lost { id: lost, why } => Captured::Lost { id: id(lost), why: why.clone() },
        Told::Undeleted { id: left, why } => Captured::FolderFailed { what: id(left), why: why.clone() },
        Told::Corrupt(corrupt) => Captured::FolderFailed { what: corrupt.name.clone(), why: corrupt.why.clone() },
        Told::FolderUnusable { why } => Captured::FolderFailed { what: "captures".to_owned(), why: why.clone() },
    };
    telemetry.observe(&Event::Captured(captured), Instant::now());
}

/// How many there are, and when the latest of each kind was made.
fn figures(captures: &Captures) -> CaptureFigures {
    let weight = captures.weight();
    let mut latest = BTreeMap::new();
    let mut latest_of = BTreeMap::new();
    // newest first
    for capture in captures.list() {
        let at = Duration::from_millis(capture.at_unix_ms);
        latest.entry(capture.cause.what().name()).or_insert(at);
        for Slowness { op, region, .. } in capture.slow() {
            latest_of.entry((op.clone(), region.clone())).or_insert(at);
        }
    }
    CaptureFigures { captures: weight.captures, bytes: weight.bytes, latest, latest_of }
}
