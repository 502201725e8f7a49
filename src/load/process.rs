//! CPU and memory of a process, from `/proc`.

use std::time::Duration;

/// Ticks a second of `/proc/<pid>/stat`: `USER_HZ`, 100 on every architecture that Linux runs routers on.
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time since its start.
    pub cpu: Duration,
    /// Resident memory, KiB.
    pub resident_kib: u64,
}

impl Usage {
    /// Of that process; absent when there is none.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self { cpu: cpu(&stat)?, resident_kib: resident_kib(&status)? })
    }

    /// Of this process.
    pub fn of_self() -> Self {
        Self::of(std::process::id()).unwrap_or_default()
    }
}

/// Fields 14 and 15 (proc(5)), counted from behind the command's name, which may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1_000 / TICKS_PER_SECOND))
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 100 0 0";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu("7 (a"), None);
    }

    #[test]
    fn this_process_uses_memory_and_a_missing_one_has_no_usage() {
        assert!(Usage::of_self().resident_kib > 0);
        assert_eq!(Usage::of(u32::MAX), None);
        assert_eq!(resident_kib("VmSize: 5 kB\nVmRSS:\t  128 kB\n"), Some(128));
    }
}
