//! This process' own figures, from `/proc`.

use std::fs;

use crate::telemetry::Process;

/// `USER_HZ`: what the kernel counts in towards user space, 100 on every architecture this runs on (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads them. `None`: this system does not tell.
pub(super) fn read() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (cpu_seconds, started_after_boot) = times(&stat)?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    Some(Process {
        cpu_seconds,
        resident_bytes: number_after(&status, "VmRSS:")? as u64 * 1024,
        virtual_bytes: number_after(&status, "VmSize:")? as u64 * 1024,
        // the folder that is being read is one of them
        open_fds: (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1),
        max_fds: number_after(&limits, "Max open files").map(|most| most as u64),
        threads: number_after(&status, "Threads:")? as u64,
        start_seconds: number_after(&system, "btime")? + started_after_boot,
    })
}

/// CPU time, and the start counted from boot, in seconds. The name in parentheses may hold anything, spaces too.
fn times(stat: &str) -> Option<(f64, f64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // proc(5) counts from 1 and the first of these is the third: utime 14, stime 15, starttime 22
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    Some(((ticks(14)? + ticks(15)?) / TICKS_PER_SECOND, ticks(22)? / TICKS_PER_SECOND))
}

/// The first number of the line that begins so.
fn number_after(text: &str, head: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(head))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 1234 5 6";
        assert_eq!(times(stat), Some((3.0, 12.34)));
        assert_eq!(times("7 (short) S 1"), None);
        assert_eq!(times(""), None);
    }

    #[test]
    fn a_line_without_its_number_is_nothing() {
        assert_eq!(number_after("VmRSS:\t  512 kB\n", "VmRSS:"), Some(512.0));
        assert_eq!(number_after("Max open files   unlimited", "Max open files"), None);
        assert_eq!(number_after("", "btime"), None);
    }

    #[test]
    fn this_process_has_figures_that_can_be_true() {
        let process = read().unwrap();
        assert!(process.resident_bytes > 100_000 && process.open_fds > 0);
        assert!(process.max_fds.is_none_or(|most| most >= process.open_fds), "{process:?}");
        assert!(process.virtual_bytes >= process.resident_bytes && process.threads >= 2, "{process:?}");
        assert!(process.start_seconds > 1.0e9, "{process:?}");
    }
}
