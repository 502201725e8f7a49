//! Until when what is held by ticket may wait.

use std::{collections::BTreeSet, time::Instant};

use crate::{event::Signal, ids::ConnectionId};

/// Tickets by when they are late.
#[derive(Debug)]
pub(super) struct Deadlines<T>(BTreeSet<(Instant, T)>);

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<T: Copy + Ord> Deadlines<T> {
    /// That one may wait until then.
    pub(super) fn set(&mut self, by: Instant, ticket: T) {
        self.0.insert((by, ticket));
    }

    /// It waits no longer.
    pub(super) fn clear(&mut self, by: Instant, ticket: T) {
        self.0.remove(&(by, ticket));
    }

    /// When the next one has waited for long enough.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(by, _)| *by)
    }

    /// One that has waited for long enough.
    pub(super) fn expired(&self, at: Instant) -> Option<T> {
        self.0.first().filter(|(by, _)| *by <= at).map(|(_, ticket)| *ticket)
    }
}

/// A deadline that was set as if its signal had only just arrived: a signal's time began when its frame did, not when it was handled.
pub(super) fn since_arrival(signal: Option<&(ConnectionId, Box<Signal>)>, by: Instant, at: Instant) -> Instant {
    let spent = signal.map(|(_, signal)| at.saturating_duration_since(signal.timeline.received()));
    spent.and_then(|spent| by.checked_sub(spent)).unwrap_or(by).max(at)
}
