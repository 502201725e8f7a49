//! A window that is recorded from now on, for whoever waits for its end.

use super::{
    Profiler, clock,
    profile::Profile,
    ring::{Ticket, Window},
    sampler::Urgency,
};

/// A recording under way. Dropped before its end it is given up.
#[derive(Debug)]
pub struct Recording {
    profiler: Profiler,
    ticket: Option<Ticket>,
}

impl Recording {
    pub(super) fn new(profiler: Profiler, ticket: Ticket) -> Self {
        Self { profiler, ticket: Some(ticket) }
    }

    /// What was sampled since its beginning.
    pub fn finish(mut self) -> Profile {
        let window = {
            let mut state = self.profiler.state();
            state.collect(Urgency::Now);
            self.ticket.take().and_then(|ticket| state.ring.take(ticket))
        };
        let now = clock::monotonic();
        let window = window.unwrap_or(Window { from: now, until: now, stacks: Vec::new() });
        self.profiler.resolve(&window)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.profiler.state().ring.take(ticket);
        }
    }
}
