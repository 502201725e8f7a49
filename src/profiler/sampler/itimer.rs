//! The fallback: one timer of the whole process, stacks by unwinding tables, in the crate `pprof`.
//!
//! A fresh guard a slot: its table would else grow and spill into temporary files. Never with its frame-pointer
//! unwinder, which loses the leaf, and never with its blocklist, which drops most samples of a load that allocates.
//! It keeps one address a function and call path, the first it saw, so nothing it says is about lines.

use std::{
    fmt,
    time::{Duration, Instant},
};

use pprof::{ProfilerGuard, ProfilerGuardBuilder};

use super::{Drained, Kind, Raw, Refused, Sampler, Urgency, period};
use crate::profiler::{SLOT, clock};

/// The running sampler. There can be one in a process.
pub(crate) struct Itimer {
    guard: Option<ProfilerGuard<'static>>,
    begun: Instant,
    /// The same on the clock of samples.
    begun_at: Duration,
    hz: u32,
    /// Frames of the handler itself, which come first.
    own_frames: usize,
}

impl Itimer {
    /// Starts it, of all threads.
    ///
    /// # Errors
    /// When the library refuses, as it does without a temporary folder it can write to.
    pub(crate) fn start(hz: u32) -> Result<Self, Refused> {
        let begun_at = clock::monotonic();
        Ok(Self { guard: Some(guard(hz)?), begun: Instant::now(), begun_at, hz, own_frames: 0 })
    }

    fn begin(&mut self) -> Result<(), Refused> {
        (self.begun, self.begun_at) = (Instant::now(), clock::monotonic());
        self.guard = Some(guard(self.hz)?);
        Ok(())
    }

    /// How many frames of its own handler are on top of each stack: the self-test finds out.
    pub(crate) fn set_own_frames(&mut self, frames: usize) {
        self.own_frames = frames;
    }
}

fn guard(hz: u32) -> Result<ProfilerGuard<'static>, Refused> {
    let hz = i32::try_from(hz).unwrap_or(i32::MAX);
    let built = ProfilerGuardBuilder::default().frequency(hz).build();
    built.map_err(|error| {
        Refused(format!(
            "the sampler does not start ({error}); it needs a temporary folder, and after a failure a restart"
        ))
    })
}

impl Sampler for Itimer {
    fn kind(&self) -> Kind {
        Kind::Itimer
    }

    fn period(&self) -> Duration {
        period(self.hz)
    }

    fn drain(&mut self, urgency: Urgency, into: &mut Vec<Raw>) -> Result<Drained, Refused> {
        if urgency == Urgency::Slot && self.begun.elapsed() < SLOT {
            return Ok(Drained::NotYet);
        }
        let Some(guard) = self.guard.take() else { return Err(Refused("the sampler has ended".to_owned())) };
        let report = guard.report().build_unresolved();
        let report = report.map_err(|error| Refused(format!("the sampler tells nothing: {error}")))?;
        drop(guard);
        // all samples of a guard are of its beginning, so that a recording that began with it has them
        let at = self.begun_at;
        for (frames, count) in &report.data {
            let addresses = frames.frames.iter().skip(self.own_frames).map(|frame| frame.ip() as u64);
            // a return address is behind its call
            let call = |(depth, ip): (usize, u64)| if depth == 0 { ip } else { ip.saturating_sub(1) };
            let stack: Vec<_> = addresses.enumerate().map(call).collect();
            if stack.is_empty() {
                // of the handler alone: nothing is known of it
                continue;
            }
            let name = frames.thread_name.get(..frames.thread_name_length);
            let count = u32::try_from(*count).unwrap_or(0);
            into.push(Raw {
                tid: None,
                name: name.and_then(|name| String::from_utf8(name.to_vec()).ok()),
                at,
                count,
                weight: self.period() * count,
                stack,
            });
        }
        self.begin()?;
        Ok(Drained::All)
    }

    fn pause(&mut self) {
        self.guard = None;
    }

    fn resume(&mut self) -> Result<(), Refused> {
        self.begin()
    }

    fn can_ask(&self) -> bool {
        false
    }
}

impl fmt::Debug for Itimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Itimer").field("hz", &self.hz).field("own_frames", &self.own_frames).finish_non_exhaustive()
    }
}
