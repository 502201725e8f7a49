//! Where a thread of this process is, as far as `/proc` tells (proc(5)).

use std::fs;

use crate::event::Whereabouts;

/// Functions of a kernel stack that are told.
const FRAMES_MAX: usize = 12;

/// Of one that does not wait for anything but a CPU.
pub(super) const RUNNING: &str = "running, or waiting for a CPU";

/// Looks for a thread.
pub(super) fn of(tid: Option<u32>) -> Whereabouts {
    let Some(tid) = tid else { return Whereabouts::default() };
    let read = |file: &str| fs::read_to_string(format!("/proc/self/task/{tid}/{file}")).ok();
    Whereabouts {
        state: read("stat").and_then(|stat| state(&stat)),
        waits_in: read("wchan").and_then(|name| function(&name)),
        syscall: read("syscall").and_then(|call| syscall(&call)),
        kernel_stack: read("stack").and_then(|stack| frames(&stack)),
    }
}

/// The third field; the second is a name in parentheses that may hold anything.
fn state(stat: &str) -> Option<&'static str> {
    let (_, after_name) = stat.rsplit_once(')')?;
    Some(match after_name.trim_start().chars().next()? {
        'R' => RUNNING,
        'S' => "sleeping",
        'D' => "waiting for a disk",
        'T' | 't' => "stopped",
        _ => "ending",
    })
}

/// `0`: it does not wait, or the kernel does not tell.
fn function(name: &str) -> Option<String> {
    let name = name.trim();
    (!name.is_empty() && name != "0").then(|| name.to_owned())
}

/// `running`, or the number and then arguments and addresses, which are nobody's business.
fn syscall(call: &str) -> Option<u64> {
    call.split_whitespace().next()?.parse().ok()
}

/// Lines like `[<0>] futex_do_wait+0x55/0xa0`.
fn frames(stack: &str) -> Option<String> {
    let name = |line: &str| Some(line.split_whitespace().nth(1)?.split('+').next()?.to_owned());
    let names: Vec<_> = stack.lines().filter_map(name).take(FRAMES_MAX).collect();
    (!names.is_empty()).then(|| names.join(" < "))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_the_kernel_says_is_read_and_addresses_are_left_out() {
        assert_eq!(state("7 (a ) b) S 1 7 7"), Some("sleeping"));
        assert_eq!(state("7 (worker) R 1"), Some("running, or waiting for a CPU"));
        assert_eq!(state("7 (short"), None);
        assert_eq!(function("futex_do_wait"), Some("futex_do_wait".to_owned()));
        assert_eq!(function("0"), None);
        assert_eq!(syscall("202 0x7f45 0x80 0x7ffe421f7a48 0x7f4575da52ad\n"), Some(202));
        assert_eq!(syscall("running\n"), None);
        let stack = "[<0>] futex_do_wait+0x55/0xa0\n[<0>] do_futex+0xc5/0x190\n";
        assert_eq!(frames(stack), Some("futex_do_wait < do_futex".to_owned()));
        assert_eq!(frames(""), None);
    }

    #[test]
    fn a_thread_that_is_not_there_is_nowhere() {
        assert_eq!(of(None), Whereabouts::default());
        assert_eq!(of(Some(u32::MAX)), Whereabouts::default());
    }

    #[test]
    fn a_thread_that_waits_for_another_is_found_sleeping() {
        let (say_tid, hear_tid) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let waiting = std::thread::spawn(move || {
            say_tid.send(super::super::this_tid()).unwrap();
            released.recv().ok();
        });
        let tid = hear_tid.recv().unwrap();
        let since = std::time::Instant::now();
        while of(tid).state != Some("sleeping") {
            assert!(since.elapsed() < std::time::Duration::from_secs(20), "{:?}", of(tid));
            std::thread::yield_now();
        }
        drop(release);
        waiting.join().unwrap();
    }
}
