//! Once a second, on a thread of its own: drains what the workers recorded and tells telemetry who is there.
//!
//! Not on the workers, so that a busy router neither delays nor is delayed by it.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{clock, shard::Shards};
use crate::telemetry::Telemetry;

const EVERY: Duration = Duration::from_secs(1);

/// A metronome that beats; dropped, it ends.
#[derive(Debug)]
pub struct Metronome {
    /// Nothing is sent: its end is the signal.
    _alive: mpsc::Sender<std::convert::Infallible>,
}

impl Metronome {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(telemetry: Arc<Telemetry>, shards: Shards) -> io::Result<Self> {
        let (alive, ended) = mpsc::channel();
        thread::Builder::new().name("metronome".to_owned()).spawn(move || {
            let mut next = Instant::now() + EVERY;
            while ended.recv_timeout(next.saturating_duration_since(Instant::now())).is_err_and(|e| e == TIMEOUT) {
                beat(&telemetry, &shards);
                // a beat that came late is not made up for
                next = (next + EVERY).max(Instant::now());
            }
            beat(&telemetry, &shards);
        })?;
        Ok(Self { _alive: alive })
    }
}

const TIMEOUT: mpsc::RecvTimeoutError = mpsc::RecvTimeoutError::Timeout;

fn beat(telemetry: &Telemetry, shards: &Shards) {
    telemetry.set_population(shards.counts());
    for (shard, depth) in shards.inbox_depths().enumerate() {
        telemetry.set_inbox_depth(shard, depth);
    }
    let begun = Instant::now();
    telemetry.drain(begun, clock::since_epoch());
    telemetry.set_drain_took(begun.elapsed());
    telemetry.settle(begun);
}
