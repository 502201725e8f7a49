//! What a shard does with a signal before the router sees it: whether its time is over, and whether the queue that it
//! waited in is too long. Both before any work is done for it.

use std::time::{Duration, Instant};

use super::{Shard, Shards};
use crate::{
    event::{Asked, Event, Guarded, Limit, Pressure, Stage},
    guard::{
        deadline,
        overload::{Changed, Class},
    },
    ids::RoomId,
    io::guard::{limit_of, queue_refusal},
    protocol::{Code, OpKind, Refusal},
    router::{Input, refuse},
};

impl Shard {
    /// Takes note of how long a signal waited; answers which limit refuses it, if one does.
    pub(super) fn admits(&mut self, op: OpKind, received: Instant, now: Instant) -> Result<(), (Limit, Refusal)> {
        let settings = self.bounds.overload();
        if self.gauge.take_turned_away() {
            self.queue.turned_away();
        }
        if let Some(changed) = self.queue.took(received, now, settings) {
            self.pressure_changed(changed, now);
        }
        let timeout = self.patience.get();
        if self.bounds.deadlines() && deadline::left(op, received, timeout, now).is_none() {
            let waited_ms = now.saturating_duration_since(received).as_millis();
            let why =
                format!("signal.timeout_ms: {waited_ms} ms old when its turn came, at most {}", timeout.as_millis());
            return Err((Limit::Deadline, Code::DeadlineExceeded.because(why)));
        }
        let class = Class::of(op);
        if self.queue.sheds(class, now.saturating_duration_since(received), settings) {
            if class == Class::Established {
                self.queue.turned_away();
            }
            return Err((limit_of(class), queue_refusal(class)));
        }
        self.queue.works(now);
        Ok(())
    }

    /// Answers a signal that is not carried out, as the router would.
    pub(super) fn turn_away(&mut self, input: &Input, op: OpKind, (limit, refusal): (Limit, Refusal), now: Instant) {
        if let Some((_, signal)) = &mut self.hand.signal {
            signal.timeline.end(Stage::Admit, now);
            signal.timeline.end(Stage::Handle, now);
        }
        let connection = match input {
            Input::Open { connection, .. } | Input::Frame { connection, .. } => *connection,
            _ => return,
        };
        let event = Event::Guard(Guarded::Refused { asked: Asked::Signal(op), limit });
        match self.outbounds.get(&connection) {
            Some(outbound) => self.telemetry.observe_from(&event, &outbound.origin(), now),
            None => self.telemetry.observe(&event, now),
        }
        let mut outputs = std::mem::take(&mut self.outputs);
        refuse(input, &refusal, &mut outputs);
        for output in outputs.drain(..) {
            self.carry_out(output, now);
        }
        self.outputs = outputs;
        self.end_turn();
    }

    /// Nothing was taken for a while.
    pub(super) fn settle_queue(&mut self, now: Instant) {
        if self.gauge.take_turned_away() {
            self.queue.turned_away();
        }
        if let Some(changed) = self.queue.settle(now, self.bounds.overload()) {
            self.pressure_changed(changed, now);
        }
        self.gauge.set(&self.queue);
    }

    fn pressure_changed(&self, changed: Changed, now: Instant) {
        self.gauge.set(&self.queue);
        let Changed { from, to, waited } = changed;
        let event = Event::Guard(Guarded::PressureChanged { shard: self.number, from, to, waited });
        self.telemetry.observe(&event, now);
    }
}

impl Shards {
    /// Which limit turns a signal away at the door of its shard, and with which words.
    #[inline]
    pub(crate) fn turns_away(&self, shard: usize, op: OpKind) -> Option<(Limit, Refusal)> {
        let handle = &self.handles[shard];
        let class = Class::of(op);
        let waiting = || handle.gauge.in_hand() + handle.inbox.max_capacity() - handle.inbox.capacity();
        let limit = handle.gauge.sheds(class, waiting, &self.bounds)?;
        Some((limit, queue_refusal(class)))
    }

    /// Whether nobody could be let in anyway: the shard of that room, without a name all of them, are so far behind
    /// that signals of those who are there are turned away.
    pub(crate) fn are_behind(&self, room: Option<&str>) -> bool {
        let is_behind = |shard: usize| self.handles[shard].gauge.pressure() == Pressure::Signals;
        match room {
            Some(room) => is_behind(self.of(&RoomId::from(room))),
            None => (0..self.handles.len()).all(is_behind),
        }
    }

    /// The delay that stands at each shard, and what it turns away.
    pub fn queues(&self) -> impl Iterator<Item = (Duration, Pressure)> + '_ {
        self.handles.iter().map(|handle| (handle.gauge.standing(), handle.gauge.pressure()))
    }

    /// How long a signal may take in all, as it is now; absent: as long as it takes.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.bounds.deadlines().then(|| self.patience.get())
    }
}
