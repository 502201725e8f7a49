//! A thread of its own that does one thing at an interval, whatever the workers do.

use std::{
    convert::Infallible,
    io,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// A thread that ticks; dropped, it ticks once more and ends.
#[derive(Debug)]
pub(super) struct Ticking {
    /// Nothing is sent: its end is the signal.
    _alive: mpsc::Sender<Infallible>,
}

impl Ticking {
    /// Starts a thread of that name.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(name: &str, every: Duration, mut tick: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let (alive, ended) = mpsc::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut next = Instant::now() + every;
            let wait = |next: Instant| ended.recv_timeout(next.saturating_duration_since(Instant::now()));
            while wait(next) == Err(RecvTimeoutError::Timeout) {
                tick();
                // a tick that came late is not made up for
                next = (next + every).max(Instant::now());
            }
            tick();
        })?;
        Ok(Self { _alive: alive })
    }
}
