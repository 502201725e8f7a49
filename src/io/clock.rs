//! The one place that reads the clocks for the router.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::router::Now;

/// Both scales, read now.
pub fn now() -> Now {
    Now { at: Instant::now(), unix_ms: unix_ms() }
}

/// When this process first asked.
static BORN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A moment as a number, for what has no lock: microseconds of this process, never 0.
pub(crate) fn micros(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(*BORN).as_micros()).unwrap_or(u64::MAX).saturating_add(1)
}

/// Milliseconds since the Unix epoch; 0 when the wall clock stands before it.
pub fn unix_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Since the Unix epoch; nothing when the wall clock stands before it.
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
