//! The profiler: where this process spends its CPU time, all the time, for any number of readers.
//!
//! One sampler for the life of the process (`sampler`), a ring of the last hour (`ring`), names on demand
//! (`symbols`). Knows nothing of rooms and sessions: an op is known by a mark in the stack itself ([`marks`]). Starts
//! no thread that lasts and listens nowhere: `io` drives it and shows it.

mod again;
pub mod captures;
mod clock;
pub mod heap;
pub mod marks;
pub mod pprof;
pub mod profile;
mod recording;
mod ring;
mod sampler;
mod selftest;
mod stacks;
mod symbols;
pub mod threads;
pub mod timelines;
pub mod views;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub use self::{
    again::with_environment,
    recording::Recording,
    ring::Fill,
    sampler::{Kind, Refused},
};
use self::{
    heap::{Allocations, HeapUnavailable},
    profile::Profile,
    ring::{Bounds, Ring, Seen, Window},
    sampler::{Ctimer, Drained, Itimer, Raw, Sampler, Urgency, period},
    symbols::Symbols,
};

/// The length of a slot of the ring.
pub const SLOT: Duration = Duration::from_secs(10);
/// Slots that are kept: an hour of them.
const SLOTS: usize = 360;
/// How far back the ring reaches at most.
pub const REACH: Duration = Duration::from_secs(SLOT.as_secs() * SLOTS as u64);
/// A thread that is asked for its stack answers when it next gets a CPU.
const ASKED_PATIENCE: Duration = Duration::from_millis(100);
/// Between two looks for its answer.
const ASKED_PAUSE: Duration = Duration::from_millis(2);
/// Samples that may wait to be read: the library's buffer holds 4,096, and half of that leaves room for a late reader.
const WAITING_MAX: u32 = 2_048;

const SWITCHED_OFF: &str = "it is switched off";
const HEAP_INSTEAD: &str = "profiler.heap is true, and heap and CPU are not sampled at the same time";

/// The subcommand of a program that has names found in a process of its own: it calls [`answer_names`].
pub const NAMES_COMMAND: &str = symbols::COMMAND;

/// Answers the questions of a profiler in another process of the same program, until there are no more.
///
/// # Errors
/// When one cannot be read, or its answer not be written.
pub fn answer_names() -> std::io::Result<()> {
    symbols::answer_all(std::io::stdin().lock(), std::io::stdout().lock())
}

/// What a profiler needs to know at start.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Off: nothing is sampled until somebody switches it on.
    pub enabled: bool,
    /// Allocations are sampled instead of CPU time, never both: two unwinders in one thread at once are not safe.
    pub heap: bool,
    /// Which sampler; absent: the default, and the fallback when that refuses.
    pub sampler: Option<Kind>,
    /// Samples a second of CPU time, of the default sampler.
    pub hz: u32,
    /// Samples a second of CPU time, of the fallback.
    pub fallback_hz: u32,
    /// Bytes that an hour of samples may take, about.
    pub bytes: usize,
    /// This program answers to [`NAMES_COMMAND`], so that names are found in a process of its own.
    pub names_outside: bool,
}

impl Default for Settings {
    /// CPU time is sampled, by whatever can, and names are found in this process.
    fn default() -> Self {
        Self {
            enabled: true,
            heap: false,
            sampler: None,
            hz: 99,
            fallback_hz: 19,
            bytes: 32 << 20,
            names_outside: false,
        }
    }
}

/// What samples were worth so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples that timers raised, those that ran out together counted each.
    pub raised: u64,
    /// Stacks that were kept.
    pub kept: u64,
    /// Samples that the CPU time spent was worth and that did not come: of threads that were never entered or lived
    /// shorter than a period, or for want of room.
    pub lost: u64,
    /// Of those kept, the ones that do not reach down to where their thread began.
    pub truncated: u64,
}

/// How the profiler stands.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The sampler that runs; absent: none.
    pub sampler: Option<Kind>,
    /// Why none runs.
    pub why_not: Option<String>,
    /// What the default refused with, when the fallback runs.
    pub fallback_because: Option<String>,
    /// CPU time between two samples.
    pub period: Duration,
    /// Samples.
    pub counts: Counts,
    /// The ring.
    pub fill: Fill,
    /// Live threads that are sampled, by name.
    pub threads: BTreeMap<Arc<str>, usize>,
    /// Threads that the system gave no timer.
    pub without_timer: u64,
}

/// The profiler of this process; copies are the same one.
#[derive(Clone)]
pub struct Profiler(Arc<Shared>);

struct Shared {
    settings: Settings,
    state: Mutex<State>,
    symbols: Mutex<Symbols>,
}

struct State {
    sampler: Option<Box<dyn Sampler>>,
    why_not: Option<String>,
    fallback_because: Option<String>,
    period: Duration,
    ring: Ring,
    counts: Counts,
    roots: BTreeSet<u64>,
    /// CPU time of the process when the sampler began, and what was raised then: what is due is counted from there.
    since: (Duration, u64),
    /// What was lost before that.
    lost_before: u64,
    /// Threads that were asked for their stack.
    asked: BTreeMap<u32, Asked>,
}

/// A thread that is asked for its stack.
struct Asked {
    at: Duration,
    answer: Option<Arc<[u64]>>,
}

impl Profiler {
    /// Starts it, on the thread that is to be called `main` and before any other that is to be sampled begins. What
    /// keeps it from running is part of its [`Figures`], not an error: the process runs on without it.
    pub fn start(settings: Settings) -> Self {
        threads::enter("main");
        let bounds = Bounds { slot: SLOT, slots: SLOTS, bytes: settings.bytes };
        let mut state = State {
            sampler: None,
            why_not: Some(SWITCHED_OFF.to_owned()),
            fallback_because: None,
            period: period(settings.hz),
            ring: Ring::new(bounds, clock::monotonic()),
            counts: Counts::default(),
            roots: BTreeSet::new(),
            since: (clock::process_cpu(), 0),
            lost_before: 0,
            asked: BTreeMap::new(),
        };
        if settings.heap {
            state.why_not = Some(match heap::activate(true) {
                Ok(()) => HEAP_INSTEAD.to_owned(),
                Err(unavailable) => format!("{HEAP_INSTEAD}; but {unavailable}"),
            });
        } else if settings.enabled {
            state.begin(&settings);
        }
        Self(Arc::new(Shared {
            settings,
            state: Mutex::new(state),
            symbols: Mutex::new(Symbols::new(settings.names_outside)),
        }))
    }

    /// How often [`collect`](Self::collect) must be called, at least: before the sampler's buffer is full.
    pub fn collect_every(&self) -> Duration {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        let a_second = self.0.settings.hz.saturating_mul(cores).max(1);
        (Duration::from_secs(1) * WAITING_MAX / a_second).clamp(Duration::from_millis(20), Duration::from_secs(1))
    }

    /// Moves what was sampled into the ring. What it finds out about the sampler is told by [`figures`](Self::figures).
    pub fn collect(&self) {
        self.state().collect(Urgency::Slot);
        // who is finding names needs what it has
        if let Ok(mut symbols) = self.0.symbols.try_lock() {
            symbols.rest(Instant::now());
        }
    }

    /// Switches it off, or on again.
    ///
    /// # Errors
    /// Why it cannot be switched on.
    pub fn switch(&self, on: bool) -> Result<(), Refused> {
        let mut state = self.state();
        if self.0.settings.heap {
            let why = state.why_not.clone().unwrap_or_default();
            return if on { Err(Refused(why)) } else { Ok(()) };
        }
        if !on {
            state.pause();
            return Ok(());
        }
        state.resume(&self.0.settings);
        state.why_not.clone().map_or(Ok(()), |why| Err(Refused(why)))
    }

    /// How it stands.
    pub fn figures(&self) -> Figures {
        let (threads, without_timer) = threads::census();
        let state = self.state();
        Figures {
            sampler: state.running().map(Sampler::kind),
            why_not: state.why_not.clone(),
            fallback_because: state.fallback_because.clone(),
            period: state.period,
            counts: state.counts,
            fill: state.ring.fill(),
            threads,
            without_timer,
        }
    }

    /// What was sampled between two moments of the past, as far as the ring has it: whole slots.
    pub fn between(&self, from: Duration, until: Duration) -> Profile {
        let window = {
            let mut state = self.state();
            state.collect(Urgency::Now);
            let now = clock::monotonic();
            let ago = |ago: Duration| now.saturating_sub(ago);
            state.ring.window(ago(from), ago(until), now)
        };
        self.resolve(&window)
    }

    /// Where memory was allocated, by a build and with a configuration that sample it. Slow.
    ///
    /// # Errors
    /// Why there is nothing, and what to do about it.
    pub fn allocations(&self, kind: Allocations) -> Result<Profile, HeapUnavailable> {
        let allocated = heap::sampled(kind)?;
        Ok(self.symbols().allocations(&allocated, kind, clock::unix()))
    }

    /// Records from now on, for that long.
    ///
    /// # Errors
    /// When none runs, or too many recordings are under way.
    pub fn record(&self, length: Duration) -> Result<Recording, Refused> {
        let mut state = self.state();
        if let Some(why) = &state.why_not {
            return Err(Refused(why.clone()));
        }
        // what was sampled before is not part of it
        let now = clock::monotonic();
        state.collect(Urgency::Now);
        let ticket = state.ring.record(now, now + length);
        let ticket =
            ticket.ok_or_else(|| Refused("too many recordings are under way; ask again in a while".to_owned()))?;
        Ok(Recording::new(self.clone(), ticket))
    }

    /// The stack of a thread that is stuck, blocked or not: it is made to take a sample of itself. Waits up to 100 ms.
    pub fn ask(&self, tid: u32) -> Option<Arc<[u64]>> {
        {
            let mut state = self.state();
            state.running().filter(|sampler| sampler.can_ask())?;
            state.collect(Urgency::Now);
            state.asked.insert(tid, Asked { at: clock::monotonic(), answer: None });
        }
        let asked = Instant::now();
        let signalled = threads::ask(tid);
        while signalled && asked.elapsed() < ASKED_PATIENCE {
            let mut state = self.state();
            state.collect(Urgency::Now);
            if state.asked.get(&tid).is_some_and(|asked| asked.answer.is_some()) {
                break;
            }
            drop(state);
            std::thread::sleep(ASKED_PAUSE);
        }
        self.state().asked.remove(&tid)?.answer
    }

    /// The functions of a stack, the innermost first. Slow.
    pub fn names(&self, stack: &[u64]) -> Vec<String> {
        self.symbols().names(stack)
    }

    fn resolve(&self, window: &Window) -> Profile {
        let begun = clock::unix().saturating_sub(clock::monotonic().saturating_sub(window.from));
        let (period, kind) = {
            let state = self.state();
            (state.period, state.sampler.as_ref().map(|sampler| sampler.kind()))
        };
        let mut profile = self.symbols().resolve(window, begun, period);
        if kind.is_some_and(|kind| !kind.tells_lines()) {
            profile
                .comments
                .push("functions only: of the lines of a function the first seen stands for all".to_owned());
        }
        profile
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // what a panic leaves behind is at worst a sample counted once too little
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn symbols(&self) -> MutexGuard<'_, Symbols> {
        // a cache
        self.0.symbols.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Starts the sampler that is asked for, else the fallback.
    fn begin(&mut self, settings: &Settings) {
        self.fallback_because = None;
        let default = (settings.sampler != Some(Kind::Itimer)).then(|| start_ctimer(settings.hz));
        let started = match default {
            Some(Ok(started)) => Ok(started),
            Some(Err(refused)) if settings.sampler.is_some() => Err(refused.0),
            Some(Err(refused)) => {
                let started = start_itimer(settings.fallback_hz);
                self.fallback_because = Some(refused.0.clone());
                started.map_err(|fallback| format!("{refused}; and the fallback: {fallback}"))
            }
            None => start_itimer(settings.fallback_hz).map_err(|refused| refused.0),
        };
        match started {
            Ok((sampler, roots)) => {
                self.period = sampler.period();
                self.roots.extend(roots);
                self.sampler = Some(sampler);
                self.count_from_here();
            }
            Err(why) => self.why_not = Some(why),
        }
    }

    /// The sampler runs: what CPU time is spent is due from now on, on all threads.
    fn count_from_here(&mut self) {
        self.why_not = None;
        self.since = (clock::process_cpu(), self.counts.raised);
        self.lost_before = self.counts.lost;
        threads::renew_all();
    }

    fn end(&mut self, why: &str) {
        (self.sampler, self.why_not) = (None, Some(why.to_owned()));
    }

    /// The one that samples now.
    fn running(&self) -> Option<&dyn Sampler> {
        self.sampler.as_deref().filter(|_| self.why_not.is_none())
    }

    /// Its timers stay, so that it can go on at once.
    fn pause(&mut self) {
        self.collect(Urgency::Now);
        if let Some(sampler) = &mut self.sampler {
            sampler.pause();
        }
        self.why_not = Some(SWITCHED_OFF.to_owned());
    }

    fn resume(&mut self, settings: &Settings) {
        match &mut self.sampler {
            _ if self.why_not.is_none() => {}
            None => self.begin(settings),
            Some(sampler) => match sampler.resume() {
                Ok(()) => self.count_from_here(),
                Err(refused) => self.end(&refused.0),
            },
        }
    }

    fn collect(&mut self, urgency: Urgency) {
        let ended = threads::ended();
        let now = clock::monotonic();
        if self.why_not.is_none()
            && let Some(mut sampler) = self.sampler.take()
        {
            let mut samples = Vec::new();
            let drained = sampler.drain(urgency, &mut samples);
            self.sampler = Some(sampler);
            samples.iter().for_each(|raw| self.take(raw));
            match drained {
                Ok(Drained::All) => self.count_lost(),
                Ok(Drained::NotYet) => {}
                Err(refused) => self.end(&refused.0),
            }
        }
        threads::forget(ended);
        self.ring.advance(now);
    }

    fn take(&mut self, raw: &Raw) {
        if let Some(asked) = raw.tid.and_then(|tid| self.asked.get_mut(&tid))
            && asked.answer.is_none()
            && raw.at >= asked.at
        {
            // stands for no CPU time: it was asked for
            asked.answer = Some(raw.stack.as_slice().into());
            return;
        }
        let known = raw.tid.and_then(threads::name_of);
        let thread = known.as_deref().or(raw.name.as_deref()).unwrap_or(threads::OTHER);
        let period = self.period.as_nanos().max(1);
        self.counts.raised += (raw.weight.as_nanos() / period).max(1) as u64;
        self.counts.kept += u64::from(raw.count);
        if !raw.stack.iter().any(|address| self.roots.contains(address)) {
            self.counts.truncated += u64::from(raw.count);
        }
        self.ring.add(Seen { at: raw.at, thread, stack: &raw.stack, count: raw.count, weight: raw.weight });
    }

    /// What the CPU time was worth and did not come. A thread may always be one period short of its next sample.
    fn count_lost(&mut self) {
        let (cpu, raised) = self.since;
        let spent = clock::process_cpu().saturating_sub(cpu);
        let due = (spent.as_nanos() / self.period.as_nanos().max(1)) as u64;
        let under_way = threads::live() as u64;
        let lost = due.saturating_sub(self.counts.raised - raised + under_way);
        self.counts.lost = self.counts.lost.max(self.lost_before + lost);
    }
}

type Started = (Box<dyn Sampler>, BTreeSet<u64>);

fn start_ctimer(hz: u32) -> Result<Started, Refused> {
    let mut sampler = Ctimer::start(hz)?;
    let found = selftest::run(&mut sampler)?;
    Ok((Box::new(sampler), found.roots))
}

fn start_itimer(hz: u32) -> Result<Started, Refused> {
    let mut sampler = Itimer::start(hz)?;
    let found = selftest::run(&mut sampler)?;
    sampler.set_own_frames(found.own_frames);
    Ok((Box::new(sampler), found.roots))
}

impl fmt::Debug for Profiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profiler").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
