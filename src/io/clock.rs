//! The one place that reads the clocks for the router.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::router::Now;

/// Both scales, read now.
pub fn now() -> Now {
    Now { at: Instant::now(), unix_ms: unix_ms() }
}

/// Milliseconds since the Unix epoch; 0 when the wall clock stands before it.
pub fn unix_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Since the Unix epoch; nothing when the wall clock stands before it.
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
