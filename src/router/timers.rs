//! What falls due when. An owner holds the moment of its timer, so that cancelling is exact and nothing stale
//! stays behind: there are at most two timers a session, four a room, the drain's, the nodes' and the moves'.

use std::{collections::BTreeSet, time::Instant};

use super::{Now, Router, halls::HallKey};
use crate::room::Seat;

/// Whose time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A dropped participant's place is given up.
    Linger(Seat),
    /// A token's end is near, or there.
    Expiry(Seat),
    /// An empty room ends.
    Empty(HallKey),
    /// A room's history has events past their age.
    Trim(HallKey),
    /// Something of a room is to be written to whoever keeps it.
    Keep(HallKey),
    /// The next sessions are advised, or the window is over.
    Drain,
    /// Media nodes may have missed reports.
    Nodes,
    /// The next rooms move to another media node.
    Moves,
    /// A media node missed something of a room.
    Again(HallKey),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Instant, Timer)>,
    /// What `io` was last told to wake us for.
    announced: Option<Instant>,
}

impl Timers {
    /// Sets a timer, in place of the one that `slot` remembers.
    pub(super) fn arm(&mut self, slot: &mut Option<Instant>, at: Instant, timer: Timer) {
        self.cancel(slot, timer);
        *slot = Some(at);
        self.queue.insert((at, timer));
    }

    pub(super) fn cancel(&mut self, slot: &mut Option<Instant>, timer: Timer) {
        if let Some(at) = slot.take() {
            self.queue.remove(&(at, timer));
        }
    }

    /// The earliest moment, when it is not the one that was announced.
    pub(super) fn wake(&mut self) -> Option<Instant> {
        let earliest = self.queue.first().map(|(at, _)| *at);
        if earliest == self.announced {
            return None;
        }
        self.announced = earliest;
        earliest
    }

    fn due(&mut self, at: Instant) -> Option<Timer> {
        match self.queue.first() {
            Some((when, _)) if *when <= at => self.queue.pop_first().map(|(_, timer)| timer),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

impl Router {
    /// Runs all that is due.
    pub(super) fn run_timers(&mut self, now: Now) {
        // whatever woke us is spent
        self.timers.announced = None;
        while let Some(timer) = self.timers.due(now.at) {
            match timer {
                Timer::Linger(seat) => self.linger_ended(seat, now),
                Timer::Expiry(seat) => self.expiry_came(seat, now),
                Timer::Empty(hall) => self.hall_stayed_empty(hall, now.at),
                Timer::Trim(hall) => self.trim_hall(hall, now.at),
                Timer::Keep(hall) => self.keep(hall, now),
                Timer::Drain => self.go_on_draining(now),
                Timer::Nodes => self.look_at_nodes(now),
                Timer::Moves => self.go_on_moving(now),
                Timer::Again(hall) => self.tell_again(hall, now.at),
            }
        }
    }
}
