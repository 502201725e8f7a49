//! How long a signal may take: from its frame's stamp, wherever it is.

use std::time::{Duration, Instant};

use crate::protocol::OpKind;

/// What is left of a signal's time; nothing when it is over. What must happen however late it is has no deadline:
/// to leave, and to acknowledge.
pub fn left(op: OpKind, received: Instant, timeout: Duration, now: Instant) -> Option<Duration> {
    if matches!(op, OpKind::Leave | OpKind::Ping) {
        return Some(timeout);
    }
    timeout.checked_sub(now.saturating_duration_since(received)).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_time_is_over_at_its_last_moment_and_not_before() {
        let received = Instant::now();
        let left = |op, after_ms: u32| left(op, received, 150 * MS, received + after_ms * MS);
        assert_eq!(left(OpKind::Send, 0), Some(150 * MS));
        assert_eq!(left(OpKind::Send, 149), Some(MS));
        assert_eq!((left(OpKind::Join, 150), left(OpKind::Signal, 10_000)), (None, None));
        assert_eq!((left(OpKind::Leave, 10_000), left(OpKind::Ping, 150)), (Some(150 * MS), Some(150 * MS)));
    }

    #[test]
    fn a_stamp_of_the_future_leaves_the_whole_time() {
        let now = Instant::now();
        assert_eq!(left(OpKind::Send, now + 9 * MS, 150 * MS, now), Some(150 * MS));
    }
}
