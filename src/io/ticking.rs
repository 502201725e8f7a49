//! A thread of its own that does one thing at an interval, whatever the workers do.
//!
//! A tick that panics ends itself and nothing else: it is told, and the next one comes in its time.

use std::{
    convert::Infallible,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    event::Event,
    profiler::threads::{self, Sampled},
};

/// A thread that ticks; dropped, it ticks once more and ends.
#[derive(Debug)]
pub(super) struct Ticking {
    /// Nothing is sent: its end is the signal.
    _alive: mpsc::Sender<Infallible>,
}

impl Ticking {
    /// Starts a thread of that name; `observe` is told of ticks that panicked.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        name: &'static str,
        every: Duration,
        mut tick: impl FnMut() + Send + 'static,
        observe: impl Fn(Event) + Send + 'static,
    ) -> io::Result<Self> {
        let (alive, ended) = mpsc::channel();
        let mut tick = move || {
            // what a tick leaves half done is its owner's, whose locks are good after a panic as well
            if catch_unwind(AssertUnwindSafe(&mut tick)).is_err() {
                observe(Event::TickPanicked { thread: name });
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _sampled = Sampled::enter(name);
            let mut next = Instant::now() + every;
            let wait = |next: Instant| ended.recv_timeout(next.saturating_duration_since(Instant::now()));
            while wait(next) == Err(RecvTimeoutError::Timeout) {
                threads::renew();
                tick();
                // a tick that came late is not made up for
                next = (next + every).max(Instant::now());
            }
            tick();
        })?;
        Ok(Self { _alive: alive })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_tick_that_panics_is_told_of_and_the_next_ones_come() {
        let (tell, told) = mpsc::channel();
        let tell_tick = tell.clone();
        let mut count = 0;
        let tick = move || {
            count += 1;
            assert!(count % 2 == 1, "of the test");
            tell_tick.send(None).unwrap();
        };
        let observe = move |event| tell.send(Some(event)).unwrap();
        let ticking = Ticking::start("metronome", Duration::from_millis(1), tick, observe).unwrap();
        for _ in 0..3 {
            assert_eq!(told.recv_timeout(PATIENCE), Ok(None));
            assert_eq!(told.recv_timeout(PATIENCE), Ok(Some(Event::TickPanicked { thread: "metronome" })));
        }
        drop(ticking);
        // the thread ends, and with it whoever could tell
        let until = Instant::now() + PATIENCE;
        while told.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Disconnected) {
            assert!(Instant::now() < until, "the thread goes on");
        }
    }
}
