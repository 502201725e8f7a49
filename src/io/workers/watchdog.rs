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
    pub fn start(workers: Workers, runtime: RuntimeMetrics, bound: Duration, observe: Observe) -> io::Result<Self> {
        let mut watch = Watch::new(bound, Instant::now());
        let told = observe.clone();
        let look = move || {
            for finding in watch.look(Instant::now(), &workers.sights(&runtime)) {
                observe(event(finding));
            }
        };
        let ticking = Ticking::start("watchdog", EVERY, look, move |event| told(event))?;
        Ok(Self { _ticking: ticking })
    }
}

fn event(finding: Finding) -> Event {
    match finding {
        Finding::Stalled(sight, stalled_for) => Event::WorkerStalled {
            worker: sight.worker,
            tid: sight.tid,
            stalled_for,
            place: Box::new(place::of(sight.tid)),
        },
        Finding::Returned(sight, stalled_for) => {
            Event::WorkerReturned { worker: sight.worker, tid: sight.tid, stalled_for }
        }
    }
}
