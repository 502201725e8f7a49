//! The clocks of the profiler: samples carry the kernel's monotonic time, and what was lost is told by CPU time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Monotonic time since some moment before the start, the clock that samples are stamped with.
pub(super) fn monotonic() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

/// CPU time that this process has spent, user and system, all its threads, ended ones too.
pub(super) fn process_cpu() -> Duration {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time that this thread has spent.
pub(super) fn thread_cpu() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// Since the Unix epoch.
pub(super) fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn read(clock: ClockId) -> Duration {
    // fails for clocks only that the system does not have, and these are in POSIX
    clock_gettime(clock).map(Duration::from).unwrap_or_default()
}
