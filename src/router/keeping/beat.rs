//! When rooms are written.

use std::time::{Duration, Instant};

/// From one of them to the next: what a change waits for longer than it is gathered.
const BEAT: Duration = Duration::from_millis(10);

/// Moments at which rooms are written: many at once, so that what is told of them leaves, and is answered, together.
#[derive(Debug, Default)]
pub(in crate::router) struct Beat(Option<Instant>);

impl Beat {
    /// The first of them that is not before that moment.
    pub(super) fn next(&mut self, at: Instant) -> Instant {
        let from = *self.0.get_or_insert(at);
        let beats = at.saturating_duration_since(from).as_nanos().div_ceil(BEAT.as_nanos());
        from + BEAT * u32::try_from(beats).unwrap_or(u32::MAX)
    }
}
