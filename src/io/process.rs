//! This process' own figures, from `/proc`.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::telemetry::Process;

/// Where control groups are mounted (cgroups(7)).
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// `USER_HZ`: what the kernel counts in towards user space, 100 on every architecture this runs on (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads them. `None`: this system does not tell.
pub(crate) fn read() -> Option<Process> {
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
        clock_seconds: SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64(),
        memory_limit_bytes: memory_limit()?,
    })
}

/// The tightest limit of the control group and of those around it, else what the machine has.
fn memory_limit() -> Option<u64> {
    let machine = number_after(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")? as u64 * 1024;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Some(group_limit(Path::new(CONTROL_GROUPS), &groups).map_or(machine, |limit| limit.min(machine)))
}

/// `groups` is `/proc/self/cgroup`: of version 2 `0::/path`, of version 1 `n:memory:/path`. No limit reads `max`, or as a
/// number past any machine's memory.
fn group_limit(mounted: &Path, groups: &str) -> Option<u64> {
    let path = |controller: &str| {
        let lines = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        lines.filter(|line| line.len() == 3 && line[1] == controller).map(|line| line[2]).next()
    };
    let limits = |root: &Path, path: &str, file: &str| {
        let of = |group: &Path| fs::read_to_string(root.join(group).join(file)).ok()?.trim().parse::<u64>().ok();
        Path::new(path.trim_start_matches('/')).ancestors().filter_map(of).min()
    };
    let two = path("").and_then(|path| limits(mounted, path, "memory.max"));
    two.or_else(|| limits(&mounted.join("memory"), path("memory")?, "memory.limit_in_bytes"))
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
        assert!(process.start_seconds > 1.0e9 && process.clock_seconds >= process.start_seconds, "{process:?}");
        assert!(process.memory_limit_bytes > process.resident_bytes, "{process:?}");
    }

    #[test]
    fn the_tightest_limit_of_the_groups_around_rules() {
        let mounted = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = mounted.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let limit = |groups: &str| group_limit(mounted.path(), groups);
        assert_eq!(limit("0::/pods/one\n"), None, "no such group");
        write("pods/one/memory.max", "max\n");
        assert_eq!(limit("0::/pods/one\n"), None, "no limit");
        write("pods/memory.max", "2000\n");
        assert_eq!(limit("0::/pods/one\n"), Some(2000));
        write("pods/one/memory.max", "1000\n");
        assert_eq!(limit("0::/pods/one\n"), Some(1000));
        write("memory/old/memory.limit_in_bytes", "3000\n");
        assert_eq!(limit("4:memory:/old\n1:cpu:/else\n"), Some(3000));
        assert_eq!(limit(""), None);
    }
}
