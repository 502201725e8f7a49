//! What happens next in a world: moment after moment, and of one moment in the order that it was made.

use std::collections::BTreeMap;

/// A moment of a world, in microseconds since it began.
pub(crate) type At = u64;

pub(crate) const SECOND: At = 1_000_000;

/// What is to happen.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    events: BTreeMap<(At, u64), E>,
    made: u64,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Self { events: BTreeMap::new(), made: 0 }
    }
}

impl<E> Schedule<E> {
    /// That happens at that moment.
    pub(crate) fn add(&mut self, at: At, event: E) {
        self.made += 1;
        self.events.insert((at, self.made), event);
    }

    /// What is next, and when; it is not to happen any more.
    pub(crate) fn next(&mut self) -> Option<(At, E)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}
