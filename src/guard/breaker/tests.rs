//! A breaker in virtual time.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const FAST: Ended = Ended::Answered(Duration::from_millis(5));
const LATE: Ended = Ended::Answered(Duration::from_millis(101));

/// A breaker and the time.
struct Bench {
    breaker: Breaker,
    now: Instant,
    changes: Vec<(BreakerState, BreakerReason)>,
}

impl Bench {
    fn new(settings: BreakerSettings) -> Self {
        let now = Instant::now();
        Self { breaker: Breaker::new(settings, now), now, changes: Vec::new() }
    }

    fn note(&mut self, change: Option<Change>) {
        self.changes.extend(change.map(|change| (change.to, change.reason)));
    }

    fn ask(&mut self) -> Result<Leave, Duration> {
        let asked = self.breaker.ask(self.now);
        self.note(asked.change);
        asked.verdict
    }

    fn end(&mut self, leave: Leave, how: Ended) {
        let change = self.breaker.ended(leave, how, self.now);
        self.note(change);
    }

    /// One call that ends at once; whether it was admitted.
    fn call(&mut self, how: Ended) -> bool {
        match self.ask() {
            Ok(leave) => {
                self.end(leave, how);
                true
            }
            Err(_) => false,
        }
    }

    fn calls(&mut self, count: usize, how: Ended) {
        for _ in 0..count {
            self.call(how);
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Opened by twenty failures.
    fn opened() -> Self {
        let mut bench = Self::new(BreakerSettings::default());
        bench.calls(20, Ended::Failed);
        assert_eq!(bench.breaker.state(), BreakerState::Open);
        bench.changes.clear();
        bench
    }
}

#[test]
fn it_opens_once_half_of_enough_calls_failed_and_not_before() {
    let mut bench = Bench::new(BreakerSettings::default());
    bench.calls(19, Ended::Failed);
    assert_eq!(bench.breaker.state(), BreakerState::Closed, "nineteen are too few to tell");
    bench.call(FAST);
    assert_eq!(bench.changes, [(BreakerState::Open, BreakerReason::Failures)]);
    assert!(!bench.call(FAST));
}

#[test]
fn less_than_half_that_fail_leave_it_closed() {
    let mut bench = Bench::new(BreakerSettings::default());
    for _ in 0..1_000 {
        bench.calls(3, FAST);
        bench.calls(2, Ended::Failed);
        bench.wait(MS * 10);
    }
    assert_eq!((bench.breaker.state(), bench.changes.len()), (BreakerState::Closed, 0));
}

#[test]
fn answers_that_come_late_open_it_too() {
    let mut bench = Bench::new(BreakerSettings::default());
    bench.calls(4, FAST);
    bench.calls(16, LATE);
    assert_eq!(bench.changes, [(BreakerState::Open, BreakerReason::Slow)]);
}

#[test]
fn what_failed_a_window_ago_does_not_count() {
    let mut bench = Bench::new(BreakerSettings::default());
    bench.calls(19, Ended::Failed);
    bench.wait(BreakerSettings::default().window);
    bench.calls(19, Ended::Failed);
    assert_eq!(bench.breaker.state(), BreakerState::Closed);
    bench.call(Ended::Failed);
    assert_eq!(bench.breaker.state(), BreakerState::Open);
}

#[test]
fn calls_that_were_never_made_tell_nothing() {
    let mut bench = Bench::new(BreakerSettings::default());
    bench.calls(100, Ended::Withdrawn);
    assert_eq!((bench.breaker.state(), bench.changes.len()), (BreakerState::Closed, 0));
}

#[test]
fn open_it_says_when_to_ask_again_and_then_lets_a_few_through() {
    let mut bench = Bench::opened();
    bench.wait(MS * 400);
    assert_eq!(bench.ask().unwrap_err(), MS * 600);
    assert!(!bench.breaker.would_admit(bench.now));
    bench.wait(MS * 600);
    assert!(bench.breaker.would_admit(bench.now), "and takes no probe's place by it");
    let probes: Vec<Leave> = (0..3).map(|_| bench.ask().unwrap()).collect();
    assert_eq!(bench.changes, [(BreakerState::HalfOpen, BreakerReason::Waited)]);
    assert!(bench.ask().is_err() && !bench.breaker.would_admit(bench.now));
    for leave in probes {
        assert_eq!(bench.breaker.state(), BreakerState::HalfOpen);
        bench.end(leave, FAST);
    }
    assert_eq!(bench.changes[1..], [(BreakerState::Closed, BreakerReason::Probed)]);
    bench.calls(19, Ended::Failed);
    assert_eq!(bench.breaker.state(), BreakerState::Closed, "what failed before it closed is forgotten");
}

#[test]
fn each_time_that_probes_fail_it_stays_open_twice_as_long_up_to_the_bound() {
    let mut bench = Bench::opened();
    let mut opened_for = Duration::from_secs(1);
    for expected in [2, 4, 8, 16, 30, 30, 30] {
        bench.wait(opened_for);
        let leave = bench.ask().unwrap();
        let change = bench.breaker.ended(leave, LATE, bench.now).unwrap();
        assert_eq!((change.to, change.reason), (BreakerState::Open, BreakerReason::ProbeFailed));
        opened_for = change.open_for;
        assert_eq!(opened_for, Duration::from_secs(expected));
    }
}

#[test]
fn one_that_flaps_is_not_begun_with_anew_and_one_that_was_well_for_a_window_is() {
    let mut bench = Bench::opened();
    let reopen = |bench: &mut Bench, well_for: Duration| {
        while !bench.call(FAST) {
            bench.wait(MS * 500);
        }
        bench.calls(2, FAST);
        assert_eq!(bench.breaker.state(), BreakerState::Closed);
        bench.wait(well_for);
        bench.calls(20, Ended::Failed);
        bench.ask().unwrap_err()
    };
    assert_eq!(reopen(&mut bench, MS * 3_000), Duration::from_secs(2));
    assert_eq!(reopen(&mut bench, MS * 3_000), Duration::from_secs(4));
    assert_eq!(reopen(&mut bench, BreakerSettings::default().window), Duration::from_secs(1));
}

#[test]
fn what_began_before_a_change_says_nothing_after_it() {
    let mut bench = Bench::new(BreakerSettings::default());
    let old: Vec<Leave> = (0..10).map(|_| bench.ask().unwrap()).collect();
    bench.calls(20, Ended::Failed);
    bench.wait(Duration::from_secs(1));
    let probe = bench.ask().unwrap();
    for leave in old {
        bench.end(leave, FAST);
    }
    assert_eq!(bench.breaker.state(), BreakerState::HalfOpen);
    bench.end(probe, Ended::Failed);
    assert_eq!(bench.breaker.state(), BreakerState::Open);
}

#[test]
fn probes_that_are_never_heard_of_again_count_as_failed() {
    let mut bench = Bench::opened();
    bench.wait(Duration::from_secs(1));
    let lost: Vec<Leave> = (0..3).map(|_| bench.ask().unwrap()).collect();
    let patience = bench.ask().unwrap_err();
    bench.wait(patience);
    assert!(bench.ask().is_err());
    assert_eq!(bench.changes.last(), Some(&(BreakerState::Open, BreakerReason::ProbeFailed)));
    drop(lost);
}

#[test]
fn a_probe_that_was_withdrawn_gives_its_place_back() {
    let mut bench = Bench::opened();
    bench.wait(Duration::from_secs(1));
    for _ in 0..100 {
        assert!(bench.call(Ended::Withdrawn));
    }
    assert_eq!(bench.breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn other_settings_count_from_then_on() {
    let mut bench = Bench::new(BreakerSettings::default());
    bench.calls(10, Ended::Failed);
    bench.breaker.configure(BreakerSettings { calls_min: 11, ..BreakerSettings::default() }, bench.now);
    bench.call(Ended::Failed);
    assert_eq!(bench.breaker.state(), BreakerState::Open);
}

#[test]
fn with_percentages_above_a_hundred_it_never_opens() {
    let mut bench =
        Bench::new(BreakerSettings { failure_percent: 101, slow_percent: 101, ..BreakerSettings::default() });
    bench.calls(1_000, Ended::Failed);
    bench.calls(1_000, LATE);
    assert_eq!(bench.breaker.state(), BreakerState::Closed);
}

/// What may happen to a breaker.
#[derive(Clone, Debug)]
enum Step {
    Ask,
    End(usize, Ended),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ended = prop_oneof![Just(FAST), Just(LATE), Just(Ended::Failed), Just(Ended::Withdrawn)];
    let step = prop_oneof![
        4 => Just(Step::Ask),
        4 => (0_usize..64, ended).prop_map(|(which, how)| Step::End(which, how)),
        1 => (0_u64..4_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..400)
}

fn small() -> BreakerSettings {
    BreakerSettings { calls_min: 4, probes: 2, open_for_max: Duration::from_secs(5), ..BreakerSettings::default() }
}

proptest! {
    /// Whatever happens: states follow each other as they may, an open one admits nothing before its time and never
    /// stays open past its bound, a half-open one never has more than its probes under way, and all have leave or a time.
    #[test]
    fn it_keeps_its_promises(steps in steps()) {
        let mut bench = Bench::new(small());
        let (mut leaves, mut probes) = (Vec::<Leave>::new(), 0);
        let mut opened_at = None;
        for step in steps {
            let before = bench.breaker.state();
            match step {
                Step::Ask => {
                    let would = bench.breaker.would_admit(bench.now);
                    match bench.ask() {
                        Ok(leave) => {
                            prop_assert!(would);
                            leaves.push(leave);
                        }
                        Err(again) => prop_assert!(!would && again <= small().window.max(small().open_for_max)),
                    }
                }
                Step::End(which, how) if !leaves.is_empty() => {
                    let leave = leaves.swap_remove(which % leaves.len());
                    bench.end(leave, how);
                }
                Step::End(..) => {}
                Step::Wait(ms) => bench.wait(MS * ms as u32),
            }
            let after = bench.breaker.state();
            let allowed = match before {
                BreakerState::Closed => after != BreakerState::HalfOpen,
                BreakerState::Open => after != BreakerState::Closed,
                BreakerState::HalfOpen => true,
            };
            prop_assert!(allowed, "{before:?} -> {after:?}");
            if let Phase::HalfOpen { under_way, answered, .. } = bench.breaker.phase {
                prop_assert!(under_way <= 2 && answered < 2);
                probes = probes.max(under_way);
            }
            if after == BreakerState::Open && before != after {
                opened_at = Some(bench.now);
            }
            if let (BreakerState::Open, Some(at)) = (after, opened_at) {
                prop_assert!(bench.breaker.would_admit(at + small().open_for_max));
                prop_assert!(!bench.breaker.would_admit(at + small().open_for - MS));
            }
        }
        prop_assert!(probes <= 2);
    }

    /// The window's sums are those of a list of all calls, to within its tenth.
    #[test]
    fn a_window_counts_what_a_list_of_calls_would(gaps in prop::collection::vec((0_u64..900, any::<bool>(), any::<bool>()), 1..200)) {
        let start = Instant::now();
        let length = Duration::from_secs(1);
        let mut window = Window::new(length, start);
        let mut all: Vec<(Instant, bool, bool)> = Vec::new();
        let mut now = start;
        for (gap_ms, failed, slow) in gaps {
            now += Duration::from_millis(gap_ms / 10);
            window.count(now, failed, slow);
            all.push((now, failed, slow));
            let since = |back: Duration| {
                let recent: Vec<_> = all.iter().filter(|(at, ..)| now.duration_since(*at) < back).collect();
                let count = |test: fn(&(Instant, bool, bool)) -> bool| recent.iter().filter(|call| test(call)).count() as u32;
                (count(|_| true), count(|call| call.1), count(|call| call.2))
            };
            let (sum, most, least) = (window.sum(now), since(length), since(length * 9 / 10));
            prop_assert!(least.0 <= sum.calls && sum.calls <= most.0);
            prop_assert!(least.1 <= sum.failed && sum.failed <= most.1);
            prop_assert!(least.2 <= sum.slow && sum.slow <= most.2);
        }
    }
}
