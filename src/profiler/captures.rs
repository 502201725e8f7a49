//! Captures: what is pinned when a minute was bad, so that a page can answer "what was different".
//!
//! Time, latencies and profiles are told by whoever drives this, once a second. The order is:
//! [`look`](Captures::look) at the P99s every ten seconds, [`stalled`](Captures::stalled) and
//! [`ask`](Captures::ask) open a capture; [`due`](Captures::due) tells those whose window has passed;
//! [`finish`](Captures::finish) gives them their parts. What happened is told as values, for metrics and logs.
//!
//! Behind a lock that is never held while files are written or read.

pub mod capture;
pub mod latency;
pub mod moments;
pub mod pace;
pub mod parts;
mod store;
pub mod trigger;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::{
    capture::{ALSO_MAX, FORMAT, NOTE_CHARS_MAX},
    pace::Pace,
    store::{
        Body, Recording, Store,
        folder::{Folder, metadata},
    },
};
pub use self::{
    capture::{Capture, CaptureId, Cause, Kept, Router, Slowness, Span, StallState, State},
    latency::Latencies,
    moments::{Moment, Moments},
    pace::{For, PaceSettings},
    parts::{Part, Parts, Runtime},
    store::{Bounds, MadeWay, Weight, folder::Corrupt},
    trigger::{Breach, Trigger},
};
use crate::telemetry::{captured::RecentP99, views::millis};

/// What a window has of the time before its cause: of a breach, the step before the first P99 above the bound,
const BEFORE_BREACH: Duration = trigger::EVERY;
/// of a stall,
const BEFORE_STALL: Duration = Duration::from_secs(20);
/// and of an operator's question, as much as that may be about.
const BEFORE_ASKING: Duration = Duration::from_secs(60);
/// What a window has of the time after.
pub const AFTER: Duration = Duration::from_secs(30);

/// How captures are made and kept.
#[derive(Clone, Debug)]
pub struct CaptureSettings {
    /// Who makes them.
    pub router: Router,
    /// Where they are kept; absent: in memory.
    pub folder: Option<PathBuf>,
    /// How many, and how heavy.
    pub bounds: Bounds,
    /// How often.
    pub pace: PaceSettings,
}

/// The same moment by two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// By the one that does not step.
    pub at: Instant,
    /// By the wall clock, since the Unix epoch.
    pub unix: Duration,
}

/// A worker that does not come back.
#[derive(Clone, Debug)]
pub struct Stall {
    /// Its number in the runtime.
    pub worker: usize,
    /// How long it has been away.
    pub stalled_for: Duration,
    /// What it was doing.
    pub state: StallState,
    /// Its stack, a line a frame, the innermost first; empty: not known.
    pub stack: Vec<String>,
}

/// A capture that was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}; come back in {} s", retry_after.as_secs_f64().ceil())]
pub struct Refused {
    /// What it would have been for.
    pub what: For,
    /// Why.
    pub why: RefusedWhy,
    /// When there will be a place.
    pub retry_after: Duration,
}

/// Why a capture is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedWhy {
    /// It was made so often already.
    #[error("as many captures as are allowed were made for this cause, or in the last hour")]
    Pace,
    /// As many as there may be are being recorded.
    #[error("as many captures as are allowed are being recorded")]
    Recording,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A capture was begun.
    Made(Box<Capture>),
    /// A breach became part of a capture that is being recorded.
    Joined {
        /// Of which.
        id: CaptureId,
        /// What left its band.
        slowness: Slowness,
    },
    /// None was made.
    Refused(Refused),
    /// A capture is ready, and kept as it says.
    Ready {
        /// All that is known of it.
        capture: Box<Capture>,
        /// Its weight.
        bytes: u64,
    },
    /// A capture made way for a newer one.
    MadeWay {
        /// Which.
        id: CaptureId,
        /// For want of what.
        why: MadeWay,
    },
    /// A capture that was begun will not be there.
    Lost {
        /// Which.
        id: CaptureId,
        /// Why.
        why: String,
    },
    /// A capture that made way is still in its folder.
    Undeleted {
        /// Which.
        id: CaptureId,
        /// What the system said.
        why: String,
    },
    /// Something in the folder is not a capture, or not what was written.
    Corrupt(Corrupt),
    /// The folder cannot be used: captures are kept in memory until it can.
    FolderUnusable {
        /// What the system said.
        why: String,
    },
}

/// Why there is no such part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// There is no such capture.
    #[error("there is no such capture; it may have made way for newer ones")]
    UnknownCapture,
    /// It is being recorded.
    #[error("the capture is being recorded; it is ready in {} s", ready_in.as_secs_f64().ceil())]
    Recording {
        /// How long yet.
        ready_in: Duration,
    },
    /// It has no such part.
    #[error("the capture has no such part")]
    NoSuchPart,
    /// Its file is not what was written.
    #[error("the part cannot be read: {0}")]
    Unreadable(String),
}

/// See the module.
#[derive(Debug)]
pub struct Captures {
    router: Router,
    folder: Option<Folder>,
    state: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    trigger: Trigger,
    pace: Pace,
    moments: Moments,
    store: Store,
}

impl Captures {
    /// Reads back what is in the folder. Whatever is there, and whether or not it can be used: captures are made.
    pub fn open(settings: CaptureSettings) -> (Self, Vec<Told>) {
        let CaptureSettings { router, folder, bounds, pace } = settings;
        let folder = folder.map(Folder::new);
        let mut store = Store::new(bounds);
        let mut told = Vec::new();
        match folder.as_ref().map(Folder::read_back).transpose() {
            Ok(found) => {
                let found = found.unwrap_or_default();
                told.extend(found.corrupt.into_iter().map(Told::Corrupt));
                found.captures.into_iter().for_each(|(capture, bytes)| store.put(capture, bytes, Body::Folder));
            }
            Err(error) => told.push(Told::FolderUnusable { why: error.to_string() }),
        }
        let gone = store.shrink(None);
        let inner = Inner { trigger: Trigger::default(), pace: Pace::new(pace), moments: Moments::default(), store };
        let captures = Self { router, folder, state: Mutex::new(inner) };
        told.extend(captures.made_way(gone));
        (captures, told)
    }

    /// Every ten seconds: how the router was in them.
    pub fn push(&self, moment: Moment) {
        self.lock().moments.push(moment);
    }

    /// Every ten seconds: the P99s of them. Those that left their band make a capture, all of them the same one; it is
    /// called after the farthest out.
    pub fn look(&self, now: Now, seen: &[RecentP99]) -> Vec<Told> {
        let mut inner = self.lock();
        let breaches = inner.trigger.look(now.at, seen);
        breaches.into_iter().map(|breach| self.breached(&mut inner, now, breach)).collect()
    }

    fn breached(&self, inner: &mut Inner, now: Now, breach: Breach) -> Told {
        let since = now.unix.saturating_sub(now.at.saturating_duration_since(breach.since));
        let slowness = Slowness {
            op: breach.op.to_owned(),
            region: breach.region,
            p99_ms: millis(breach.p99),
            bound_ms: millis(breach.bound),
            since_unix_ms: since.as_millis() as u64,
        };
        if let Some(capture) = inner.store.joinable().filter(|capture| capture.also.len() < ALSO_MAX) {
            capture.also.push(slowness.clone());
            let id = capture.id.clone();
            inner.pace.join(now.at, For::Latency { op: slowness.op.clone(), region: slowness.region.clone() });
            return Told::Joined { id, slowness };
        }
        let from = since.saturating_sub(BEFORE_BREACH);
        let begun = self.begin(inner, now, Begin { cause: Cause::Latency(slowness), from, stack: Vec::new() });
        begun.map_or_else(Told::Refused, |capture| Told::Made(Box::new(capture)))
    }

    /// A worker does not come back from a task.
    ///
    /// # Errors
    /// When there have been as many captures as there may be.
    pub fn stalled(&self, now: Now, stall: Stall) -> Result<Capture, Refused> {
        let Stall { worker, stalled_for, state, stack } = stall;
        let cause = Cause::Stall { worker, stalled_for_ms: stalled_for.as_millis() as u64, state };
        let from = now.unix.saturating_sub(stalled_for + BEFORE_STALL);
        self.begin(&mut self.lock(), now, Begin { cause, from, stack })
    }

    /// An operator asks for one. A note longer than [`NOTE_CHARS_MAX`] is cut.
    ///
    /// # Errors
    /// When they have asked as often as they may.
    pub fn ask(&self, now: Now, note: &str) -> Result<Capture, Refused> {
        let cause = Cause::Operator { note: note.chars().take(NOTE_CHARS_MAX).collect() };
        let from = now.unix.saturating_sub(BEFORE_ASKING);
        self.begin(&mut self.lock(), now, Begin { cause, from, stack: Vec::new() })
    }

    fn begin(&self, inner: &mut Inner, now: Now, begin: Begin) -> Result<Capture, Refused> {
        let Begin { cause, from, stack } = begin;
        let what = cause.what();
        let refused = |why| {
            let what = what.clone();
            move |retry_after| Refused { what, why, retry_after }
        };
        inner.store.room(now.at).map_err(refused(RefusedWhy::Recording))?;
        inner.pace.admit(now.at, &what).map_err(refused(RefusedWhy::Pace))?;
        let window = Span::new(from, now.unix + AFTER);
        let capture = Capture {
            format: FORMAT,
            id: CaptureId::new(now.unix, &cause, |id| inner.store.knows(id)),
            state: State::Recording,
            cause,
            also: Vec::new(),
            at_unix_ms: now.unix.as_millis() as u64,
            window,
            quiet: window.quiet(),
            router: self.router.clone(),
            parts: Vec::new(),
            kept: Kept::Memory("it is being recorded".to_owned()),
        };
        inner.store.begin(capture.clone(), Recording { until: now.at + AFTER, stack });
        Ok(capture)
    }

    /// Captures whose window has passed: each wants to be [finished](Self::finish). One that nobody finishes for five
    /// minutes is given up, and told of.
    pub fn due(&self, now: Now) -> (Vec<Capture>, Vec<Told>) {
        let mut inner = self.lock();
        let given_up = inner.store.give_up(now.at);
        let lost = |id| Told::Lost { id, why: "its parts were not gathered in time".to_owned() };
        (inner.store.due(now.at), given_up.into_iter().map(lost).collect())
    }

    /// All that are being recorded: at the end of the process they may be finished early, with what there is.
    pub fn recordings(&self) -> Vec<Capture> {
        self.lock().store.recorded().map(|(capture, _)| capture.clone()).collect()
    }

    /// How the router was in a capture's window and in the quiet hour before, as far as is remembered.
    pub fn runtime(&self, capture: &Capture) -> Runtime {
        let inner = self.lock();
        let steps = |span: Span| inner.moments.window(span.from(), span.until());
        let (quiet, window) = (steps(capture.quiet), steps(capture.window));
        drop(inner);
        Runtime::of(quiet, window)
    }

    /// Gives a capture its parts and puts it where it is kept. Before the end of its window it ends now. Writes files:
    /// not for a thread that others wait for. Of what is not being recorded nothing is told.
    pub fn finish(&self, now: Now, id: &CaptureId, parts: Parts) -> Vec<Told> {
        let Some((mut capture, recording)) = self.lock().store.take(id) else { return Vec::new() };
        let parts = parts.stall(&recording.stack);
        capture.state = State::Ready;
        let earliest = capture.window.from_unix_ms;
        capture.window.until_unix_ms = capture.window.until_unix_ms.min(now.unix.as_millis() as u64).max(earliest);
        capture.parts = parts.pieces();
        let bytes = metadata(&capture).len() as u64 + capture.parts.iter().map(|piece| piece.bytes).sum::<u64>();
        let room = self.lock().store.make_room(id, bytes);
        let gone = match room {
            Ok(gone) => gone,
            Err(error) => return vec![Told::Lost { id: id.clone(), why: error.to_string() }],
        };
        let mut told = self.made_way(gone);
        let (kept, body) = self.keep(&capture, parts);
        capture.kept = kept;
        self.lock().store.put(capture.clone(), bytes, body);
        told.push(Told::Ready { capture: Box::new(capture), bytes });
        told
    }

    fn keep(&self, capture: &Capture, parts: Parts) -> (Kept, Body) {
        let why = match &self.folder {
            None => "server.data_dir is not set".to_owned(),
            Some(folder) => match folder.write(capture, &parts) {
                Ok(()) => return (Kept::Folder, Body::Folder),
                Err(error) => format!("{} cannot be written: {error}", folder.path().display()),
            },
        };
        (Kept::Memory(why), Body::Memory(parts))
    }

    /// Deletes what is in the folder of those that went.
    fn made_way(&self, gone: Vec<(Capture, MadeWay)>) -> Vec<Told> {
        let mut told = Vec::new();
        for (Capture { id, kept, .. }, why) in gone {
            let folder = self.folder.as_ref().filter(|_| kept == Kept::Folder);
            if let Some(Err(error)) = folder.map(|folder| folder.delete(&id)) {
                told.push(Told::Undeleted { id: id.clone(), why: error.to_string() });
            }
            told.push(Told::MadeWay { id, why });
        }
        told
    }

    /// All captures, newest first.
    pub fn list(&self) -> Vec<Capture> {
        self.lock().store.list().cloned().collect()
    }

    /// The capture of that id.
    pub fn get(&self, id: &str) -> Option<Capture> {
        self.lock().store.get(id).map(|(capture, _)| capture.clone())
    }

    /// The newest about that op and region, or about anything.
    pub fn latest(&self, op: Option<&str>, region: Option<&str>) -> Option<Capture> {
        self.lock().store.list().find(|capture| capture.is_about(op, region)).cloned()
    }

    /// The bytes of a part. Reads a file: not for a thread that others wait for.
    ///
    /// # Errors
    /// When there is no such capture or part, or it cannot be read.
    pub fn part(&self, now: Now, id: &str, part: Part) -> Result<Bytes, PartError> {
        let (id, bytes) = {
            let inner = self.lock();
            let (capture, body) = inner.store.get(id).ok_or(PartError::UnknownCapture)?;
            match body {
                Body::Recording(_) | Body::Writing => {
                    return Err(PartError::Recording { ready_in: capture.ready_in(now.unix) });
                }
                Body::Memory(parts) => return parts.get(part).cloned().ok_or(PartError::NoSuchPart),
                Body::Folder => (capture.id.clone(), capture.part(part).ok_or(PartError::NoSuchPart)?),
            }
        };
        let folder = self.folder.as_ref().expect("what is kept in a folder has one");
        folder.part(&id, part, bytes).map_err(|error| PartError::Unreadable(error.to_string()))
    }

    /// The folder in which they are kept; absent: in memory.
    pub fn place(&self) -> Option<&Path> {
        self.folder.as_ref().map(Folder::path)
    }

    /// What captures there are that are ready.
    pub fn weight(&self) -> Weight {
        self.lock().store.weight()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // each step under this lock leaves the state whole, and the next look corrects what it decided
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a capture begins with.
struct Begin {
    cause: Cause,
    from: Duration,
    stack: Vec<String>,
}

#[cfg(test)]
mod tests;
