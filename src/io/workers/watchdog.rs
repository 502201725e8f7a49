//! The watchdog: looks at the workers from a thread of its own, so that it sees even all of them stuck at once.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::runtime::RuntimeMetrics;

use super::{
    Workers, place,
    watch::{EVERY, Finding, Watch},
};
use crate::{
    event::Event,
    io::{listener::Observe, ticking::Ticking},
};

/// A worker that is stalled, for whoever looks closer while it still is.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// Its number in the runtime.
    pub worker: usize,
    /// Its thread.
    pub tid: Option<u32>,
    /// How long it has been away so far.
    pub stalled_for: Duration,
    /// Whether it waits; else it runs, or could.
    pub blocked: bool,
}

/// Called on the watchdog's thread, which looks no further meanwhile.
pub type OnStall = Box<dyn Fn(Stall) + Send>;

/// What the watchdog does with what it finds.
#[expect(missing_debug_implementations, reason = "closures")]
pub struct Tell {
    /// Takes the events.
    pub observe: Observe,
    /// Looks closer.
    pub on_stall: OnStall,
}

/// A watchdog that looks; dropped, it ends.
#[derive(Debug)]
pub struct Watchdog {
    _ticking: Ticking,
}

impl Watchdog {
    /// Starts it over the workers of that runtime. A worker that neither sleeps nor gets on for `bound` is stalled;
    /// this is seen within 50 ms, and its length is known to 50 ms.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(workers: Workers, runtime: RuntimeMetrics, bound: Duration, tell: Tell) -> io::Result<Self> {
        let mut watch = Watch::new(bound, Instant::now());
        let observe = tell.observe.clone();
        let look = move || {
            for finding in watch.look(Instant::now(), &workers.sights(&runtime)) {
                let (event, stall) = told(finding);
                (tell.observe)(event);
                if let Some(stall) = stall {
                    (tell.on_stall)(stall);
                }
            }
        };
        let ticking = Ticking::start("watchdog", EVERY, look, move |event| observe(event))?;
        Ok(Self { _ticking: ticking })
    }
}

/// The event of a finding, and of a stall what is known for a closer look.
fn told(finding: Finding) -> (Event, Option<Stall>) {
    match finding {
        Finding::Stalled(sight, stalled_for) => {
            let place = place::of(sight.tid);
            let blocked = place.state.is_some_and(|state| state != place::RUNNING);
            let stall = Stall { worker: sight.worker, tid: sight.tid, stalled_for, blocked };
            let (worker, tid, place) = (sight.worker, sight.tid, Box::new(place));
            (Event::WorkerStalled { worker, tid, stalled_for, place }, Some(stall))
        }
        Finding::Returned(sight, stalled_for) => {
            (Event::WorkerReturned { worker: sight.worker, tid: sight.tid, stalled_for }, None)
        }
    }
}
