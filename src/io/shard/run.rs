//! The loop of a shard: what arrives, in order and in slices, timers in between.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Arrival, Shard};
use crate::{
    io::workers,
    profiler::marks::{self, InHand},
};

/// Inputs taken from the inbox in one turn.
const BATCH: usize = 256;
/// How long a shard works before it lets the connections of its worker read and write: long against a turn of the
/// runtime, short against the promise.
const SLICE: Duration = Duration::from_millis(4);

enum Woken {
    Tick,
    Settled,
    Arrivals(usize),
}

impl Shard {
    pub(super) async fn run(mut self, mut arrivals: mpsc::Receiver<Arrival>) {
        let mut batch = Vec::with_capacity(BATCH);
        let (timer, settling) = (tokio::time::sleep(Duration::ZERO), tokio::time::sleep(Duration::ZERO));
        tokio::pin!(timer, settling);
        let mut next: Option<Instant> = None;
        loop {
            let woken = tokio::select! {
                biased;
                () = timer.as_mut(), if next.is_some() => Woken::Tick,
                () = settling.as_mut(), if self.queue.settles().is_some() => Woken::Settled,
                received = arrivals.recv_many(&mut batch, BATCH) => Woken::Arrivals(received),
            };
            match woken {
                Woken::Arrivals(0) => return,
                Woken::Arrivals(_) => self.take(&mut batch, &mut arrivals).await,
                Woken::Settled => self.settle_queue(Instant::now()),
                Woken::Tick => self.tick(),
            }
            // setting a timer goes through the runtime's wheel: only when there is something new to set
            next = self.next_wake();
            if let Some(at) = next
                && timer.deadline() != at.into()
            {
                timer.as_mut().reset(at.into());
            }
            if let Some(at) = self.queue.settles()
                && settling.deadline() != at.into()
            {
                settling.as_mut().reset(at.into());
            }
            self.tell_population();
        }
    }

    async fn take(&mut self, batch: &mut Vec<Arrival>, arrivals: &mut mpsc::Receiver<Arrival>) {
        // whoever wakes a task is followed by it at once: one turn more, and the other readers that have
        // something have brought it too, so that a room's pushes leave in fewer writes
        tokio::task::yield_now().await;
        while batch.len() < BATCH
            && let Ok(arrival) = arrivals.try_recv()
        {
            batch.push(arrival);
        }
        // once a slice, not an arrival: a slice that takes too long is a worker that does not come back
        workers::step();
        let (mut left, mut begun, mut latest) = (batch.len(), None, None);
        for arrival in batch.drain(..) {
            left -= 1;
            self.gauge.set_in_hand(left);
            let in_hand = arrival.in_hand();
            let mut arrival = Some(arrival);
            let waiting = arrivals.len() + left;
            marks::during(in_hand, &mut || {
                if let Some(arrival) = arrival.take() {
                    self.arrive(arrival, waiting);
                }
            });
            // told by the moments at which signals were taken: no further look at the clock
            let Some(now) = self.queue.taken() else { continue };
            latest = Some(now);
            if left > 0 && now.saturating_duration_since(*begun.get_or_insert(now)) > SLICE {
                begun = None;
                self.gauge.set(&self.queue);
                tokio::task::yield_now().await;
                workers::step();
                if self.next_wake().is_some_and(|at| now >= at) {
                    self.tick();
                }
            }
        }
        self.gauge.set(&self.queue);
        // what became due meanwhile does not wait for the next millisecond of the runtime's timer
        if let (Some(now), Some(due)) = (latest, self.next_wake())
            && due <= now
        {
            self.tick();
        }
    }

    /// When time itself brings something: a timer of the router, or the end of a call's time.
    fn next_wake(&self) -> Option<Instant> {
        self.wake.into_iter().chain(self.media.next_deadline()).chain(self.answers.next_deadline()).min()
    }

    fn tick(&mut self) {
        marks::during(InHand::Tick, &mut || self.time_came());
    }
}
