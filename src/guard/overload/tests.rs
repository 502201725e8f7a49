//! A queue in virtual time: what comes, what is taken, and what is turned away.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const SETTINGS: OverloadSettings =
    OverloadSettings { joins: Duration::from_millis(20), signals: Duration::from_millis(40) };

/// One worker that takes what waits, a millisecond each.
struct Queue {
    now: Instant,
    waiting: VecDeque<(Instant, Class)>,
    overload: Overload,
    changes: Vec<Pressure>,
    done: Vec<(Class, Duration)>,
    shed: Vec<Class>,
}

impl Queue {
    fn new() -> Self {
        let (waiting, changes, done, shed) = Default::default();
        Self { now: Instant::now(), waiting, overload: Overload::default(), changes, done, shed }
    }

    fn come(&mut self, class: Class) {
        let ahead = (self.waiting.len(), self.overload.each());
        if sheds_at_the_door(self.overload.pressure(), class, ahead, SETTINGS) {
            self.turn_away(class);
        } else {
            self.waiting.push_back((self.now, class));
        }
    }

    fn turn_away(&mut self, class: Class) {
        self.shed.push(class);
        if class == Class::Established {
            self.overload.turned_away();
        }
    }

    /// A millisecond passes, and one of those who wait is served; who is turned away takes no time.
    fn pass(&mut self) {
        while let Some((came, class)) = self.waiting.pop_front() {
            let change = self.overload.took(came, self.now, SETTINGS);
            self.changes.extend(change.map(|change| change.to));
            let waited = self.now - came;
            if !self.overload.sheds(class, waited, SETTINGS) {
                self.overload.works(self.now);
                self.done.push((class, waited + MS));
                break;
            }
            self.turn_away(class);
        }
        self.now += MS;
        if self.overload.settles().is_some_and(|at| self.now >= at) {
            let change = self.overload.settle(self.now, SETTINGS);
            self.changes.extend(change.map(|change| change.to));
        }
    }

    /// So many come each millisecond, for so long; every tenth is a join when joins come.
    fn offer(&mut self, each_ms: f64, joins: bool, ms: u32) {
        let mut due = 0.0;
        let mut number = 0_u32;
        for _ in 0..ms {
            due += each_ms;
            while due >= 1.0 {
                due -= 1.0;
                number += 1;
                self.come(if joins && number.is_multiple_of(10) { Class::Join } else { Class::Established });
            }
            self.pass();
        }
    }

    fn forget(&mut self) {
        (self.done, self.shed) = Default::default();
    }

    fn p99(&self, class: Class) -> Duration {
        let mut took: Vec<_> = self.done.iter().filter(|(of, _)| *of == class).map(|(_, took)| *took).collect();
        took.sort();
        took[took.len() * 99 / 100]
    }
}

#[test]
fn what_can_be_served_is_served() {
    let mut queue = Queue::new();
    queue.offer(0.9, true, 5_000);
    assert_eq!((queue.shed.len(), queue.changes.len()), (0, 0));
    assert!(queue.done.len() >= 4_499);
}

#[test]
fn a_burst_that_is_worked_off_is_none_of_its_business() {
    let mut queue = Queue::new();
    for _ in 0..20 {
        for _ in 0..60 {
            queue.come(Class::Established);
        }
        queue.offer(0.0, false, 150);
    }
    assert_eq!((queue.shed.len(), queue.done.len()), (0, 20 * 60));
}

#[test]
fn at_five_times_the_load_all_that_can_be_done_is_done_and_in_time() {
    let mut queue = Queue::new();
    queue.offer(5.0, false, 500);
    queue.forget();
    queue.offer(5.0, false, 5_000);
    assert!(queue.done.len() >= 4_990, "the queue is never empty: {}", queue.done.len());
    assert!(queue.p99(Class::Established) <= 62 * MS, "{:?}", queue.p99(Class::Established));
    assert_eq!(queue.changes.last(), Some(&Pressure::Signals));
}

#[test]
fn joins_are_turned_away_before_those_who_are_there_are() {
    let mut queue = Queue::new();
    // a tenth more than can be served, and a tenth of it joins: without them it fits
    queue.offer(1.1, true, 10_000);
    let joins = queue.shed.iter().filter(|class| **class == Class::Join).count();
    assert!(joins > 300, "{joins}");
    assert_eq!(joins, queue.shed.len(), "nobody who is there is turned away");
    assert!(queue.p99(Class::Established) <= 41 * MS);
    assert!(!queue.changes.contains(&Pressure::Signals));
}

#[test]
fn who_leaves_or_acknowledges_is_never_turned_away() {
    let mut queue = Queue::new();
    queue.offer(8.0, true, 1_000);
    queue.forget();
    for _ in 0..100 {
        queue.come(Class::Always);
    }
    queue.offer(8.0, true, 1_000);
    assert!(!queue.shed.contains(&Class::Always));
    assert_eq!(queue.done.iter().filter(|(class, _)| *class == Class::Always).count(), 100);
}

#[test]
fn when_the_load_ends_it_calms_down_by_itself() {
    let mut queue = Queue::new();
    queue.offer(5.0, true, 2_000);
    assert_eq!(queue.overload.pressure(), Pressure::Signals);
    queue.offer(0.0, false, 400);
    assert_eq!(queue.overload.pressure(), Pressure::Calm, "though nothing comes any more");
    assert!(queue.overload.settles().is_none() && queue.overload.standing().is_zero());
    queue.forget();
    queue.offer(0.5, true, 1_000);
    assert!(queue.shed.is_empty());
}

#[test]
fn when_nothing_comes_any_more_nothing_waits_and_it_rests() {
    let mut queue = Queue::new();
    queue.offer(0.9, true, 500);
    queue.come(Class::Established);
    queue.offer(0.0, false, 250);
    assert_eq!((queue.overload.standing(), queue.overload.settles()), (Duration::ZERO, None));
}

#[test]
fn the_same_delay_does_not_make_it_change_to_and_fro() {
    let mut overload = Overload::default();
    let mut now = Instant::now();
    let mut changes = Vec::new();
    // around the lower bound, above and below it
    for number in 0..1_000_u32 {
        let waited = if number / 100 % 2 == 0 { 22 * MS } else { 15 * MS };
        changes.extend(overload.took(now - waited, now, SETTINGS).map(|change| change.to));
        now += 10 * MS;
    }
    assert_eq!(changes, [Pressure::Joins]);
}

#[test]
fn with_no_bounds_nothing_is_ever_turned_away() {
    let off = OverloadSettings::default();
    let mut overload = Overload::default();
    let mut now = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(overload.took(now - 500 * MS, now, off), None);
        assert!(!overload.sheds(Class::Join, 500 * MS, off));
        now += MS;
    }
}

/// As an operator does who switches the guard off while a router is behind.
#[test]
fn bounds_that_are_taken_away_meanwhile_turn_nothing_away_any_more() {
    let mut queue = Queue::new();
    queue.offer(5.0, false, 1_000);
    let (mut overload, now) = (queue.overload, queue.now);
    assert_eq!(overload.pressure(), Pressure::Signals);
    let none = OverloadSettings::default();
    for class in [Class::Join, Class::Established] {
        assert!(!overload.sheds(class, 900 * MS, none));
        assert!(!sheds_at_the_door(overload.pressure(), class, (900, MS), none));
    }
    // whatever was turned away in this interval, for these bounds it was not
    overload.turned_away();
    overload.took(now, now + INTERVAL, none);
    assert_eq!(overload.pressure(), Pressure::Calm);
    // without a bound of their own joins are turned away with all others
    let signals = OverloadSettings { joins: Duration::ZERO, ..SETTINGS };
    assert!(!sheds_at_the_door(Pressure::Signals, Class::Join, (30, MS), signals));
    assert!(sheds_at_the_door(Pressure::Signals, Class::Join, (50, MS), signals));
}

#[test]
fn what_one_takes_is_known_from_the_queue_alone_and_a_pause_does_not_count() {
    let mut queue = Queue::new();
    queue.offer(3.0, false, 400);
    let each = queue.overload.each();
    assert!((each.as_secs_f64() * 1e3 - 1.0).abs() < 0.2, "{each:?}");
    while !queue.waiting.is_empty() {
        queue.pass();
    }
    let before = queue.overload.each();
    queue.now += 100 * INTERVAL;
    queue.come(Class::Established);
    queue.pass();
    assert_eq!(queue.overload.each(), before);
}

proptest! {
    /// Whatever comes: what is served waited for an interval past the bound at most, all of it is served or turned away,
    /// and nothing is turned away any more once less comes than is served.
    #[test]
    fn it_keeps_its_promises(phases in prop::collection::vec((0.0_f64..8.0, any::<bool>(), 50_u32..1_500), 1..8)) {
        let mut queue = Queue::new();
        for (each_ms, joins, ms) in phases {
            queue.offer(each_ms, joins, ms);
        }
        let most = SETTINGS.signals + INTERVAL + 10 * MS;
        prop_assert!(queue.done.iter().all(|(_, took)| *took <= most));
        queue.offer(0.0, false, 30_000);
        prop_assert!(queue.waiting.is_empty());
        prop_assert_eq!(queue.overload.pressure(), Pressure::Calm);
        queue.forget();
        queue.offer(0.95, true, 2_000);
        prop_assert!(queue.shed.is_empty());
    }
}
