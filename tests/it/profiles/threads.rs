//! Threads that come and go under the sampler.

use super::Planted;

/// `gone raised=1 kept=2 …` as numbers.
fn figure(line: &str, name: &str) -> u64 {
    let (_, rest) = line.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in `{line}`"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// POSIX timers of a process (proc(5)).
fn timers(planted: &Planted) -> usize {
    let timers = std::fs::read_to_string(format!("/proc/{}/timers", planted.child.id())).unwrap();
    timers.lines().filter(|line| line.starts_with("ID:")).count()
}

#[tokio::test]
async fn three_thousand_threads_leave_no_timer_behind_also_when_they_panic() {
    let arguments = ["--quiet", "--threads", "3000", "--busy-ms", "1", "--at-a-time", "100", "--panic"];
    let planted = Planted::start(&arguments);
    let line = planted.line();
    // one each of those that live, and none of those that are gone
    assert_eq!(timers(&planted) as u64, figure(&line, "live"), "{line}");
    assert!(figure(&line, "live") < 20 && figure(&line, "refused") == 0, "{line}");
}

#[tokio::test]
async fn threads_that_live_a_second_keep_nine_samples_of_ten() {
    let planted = Planted::start(&["--quiet", "--threads", "16", "--busy-ms", "1500", "--at-a-time", "4"]);
    let line = planted.line();
    let (kept, raised, lost) = (figure(&line, "kept"), figure(&line, "raised"), figure(&line, "lost"));
    assert!(kept > 100 && raised >= kept, "{line}");
    assert!(raised as f64 >= 0.9 * (raised + lost) as f64, "{line}");
}

#[tokio::test]
async fn of_threads_shorter_than_a_period_it_says_what_it_lost() {
    let planted = Planted::start(&["--quiet", "--threads", "600", "--busy-ms", "4", "--at-a-time", "2"]);
    let line = planted.line();
    let (raised, lost) = (figure(&line, "raised"), figure(&line, "lost"));
    assert!(lost > raised, "{line}");
    let told = crate::harness::get(planted.ops, "/api/profiler").await.json();
    assert!(told["samples"]["lost"].as_u64().unwrap() >= lost, "{told}");
}
