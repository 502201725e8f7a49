//! The one place that reads the clocks for the router.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::router::Now;

/// Both scales, read now.
pub fn now() -> Now {
    Now { at: Instant::now(), unix_ms: unix_ms() }
}

/// Milliseconds since the Unix epoch; 0 when the wall clock stands before it.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
