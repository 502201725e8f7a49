use super::*;

const SLOT: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_millis(10);

fn at(seconds: f64) -> Duration {
    Duration::from_secs(1_000) + Duration::from_secs_f64(seconds)
}

fn ring(slots: usize, bytes: usize) -> Ring {
    Ring::new(Bounds { slot: SLOT, slots, bytes }, at(0.0))
}

fn seen<'a>(seconds: f64, thread: &'a str, stack: &'a [u64]) -> Seen<'a> {
    Seen { at: at(seconds), thread, stack, count: 1, weight: PERIOD }
}

/// Leaf, thread and count of each stack.
fn told(window: &Window) -> Vec<(Option<u64>, String, u64)> {
    let each = |stack: &Stack| (stack.addresses.first().copied(), stack.thread.to_string(), stack.count);
    let mut told: Vec<_> = window.stacks.iter().map(each).collect();
    told.sort();
    told
}

fn count(window: &Window) -> u64 {
    window.stacks.iter().map(|stack| stack.count).sum()
}

#[test]
fn a_window_has_the_slots_that_it_touches_and_says_how_far_they_reach() {
    let mut ring = ring(360, usize::MAX);
    for second in 0..35 {
        ring.add(seen(f64::from(second) + 0.5, "worker-0", &[second as u64 / 10, 7]));
    }
    let all = ring.window(at(0.0), at(100.0), at(35.0));
    assert_eq!((all.from, all.until), (at(0.0), at(35.0)));
    assert_eq!(told(&all).iter().map(|(_, _, count)| *count).collect::<Vec<_>>(), [10, 10, 10, 5]);
    let middle = ring.window(at(12.0), at(20.0), at(35.0));
    assert_eq!((middle.from, middle.until), (at(10.0), at(20.0)));
    assert_eq!(told(&middle), [(Some(1), "worker-0".to_owned(), 10)]);
    let last = ring.window(at(33.0), at(35.0), at(35.0));
    assert_eq!((last.from, last.until, count(&last)), (at(30.0), at(35.0), 5));
    let ahead = ring.window(at(50.0), at(60.0), at(35.0));
    assert_eq!((ahead.from, ahead.until, ahead.stacks.len()), (at(35.0), at(35.0), 0));
}

#[test]
fn a_recording_has_exactly_what_was_sampled_between_its_ends() {
    let mut ring = ring(360, usize::MAX);
    ring.add(seen(4.9, "worker-0", &[1]));
    let ticket = ring.record(at(5.0), at(12.0)).unwrap();
    for (second, thread) in [(5.0, "worker-0"), (11.9, "worker-1"), (11.95, "worker-1"), (12.0, "worker-0")] {
        ring.add(seen(second, thread, &[1]));
    }
    let window = ring.take(ticket).unwrap();
    assert_eq!((window.from, window.until), (at(5.0), at(12.0)));
    assert_eq!(told(&window), [(Some(1), "worker-0".to_owned(), 1), (Some(1), "worker-1".to_owned(), 2)]);
    assert_eq!(window.stacks.iter().map(|stack| stack.weight).sum::<Duration>(), PERIOD * 3);
    assert_eq!(ring.take(ticket), None, "it is over");
    let tickets: Vec<_> = std::iter::from_fn(|| ring.record(at(0.0), at(1.0))).take(1_000).collect();
    assert_eq!(tickets.len(), RECORDINGS_MAX);
    assert!(ring.take(tickets[0]).is_some());
    assert!(ring.record(at(0.0), at(1.0)).is_some());
}

#[test]
fn what_is_older_than_the_ring_is_gone_and_its_stacks_with_it() {
    let mut ring = ring(6, usize::MAX);
    for second in 0..200 {
        ring.add(seen(f64::from(second), "worker-0", &[1_000 + second as u64]));
    }
    assert_eq!(ring.fill().slots, 6);
    assert_eq!(count(&ring.window(at(0.0), at(200.0), at(200.0))), 70);
    assert_eq!(ring.fill().stacks, 70 + 1);
    assert_eq!(ring.fill().reaches_back, SLOT * 6);
    ring.advance(at(100_000.0));
    assert_eq!((ring.fill().slots, ring.fill().stacks), (0, 1));
}

#[test]
fn past_its_bytes_old_slots_are_thinned_but_their_sums_stay_true() {
    let mut ring = ring(360, 40_000);
    let mut added = 0;
    for slot in 0..5 {
        for n in 0..40_u64 {
            let stack: Vec<u64> = (0..20).map(|depth| slot * 1_000 + n * 20 + depth).collect();
            let repeats = if n < 5 { 3 } else { 1 };
            for _ in 0..repeats {
                ring.add(seen(slot as f64 * 10.0 + 1.0, "worker-0", &stack));
                added += 1;
            }
        }
    }
    ring.advance(at(50.0));
    let fill = ring.fill();
    assert!(fill.thinned > 0 && fill.bytes <= 40_000, "{fill:?}");
    let window = ring.window(at(0.0), at(50.0), at(50.0));
    assert_eq!((count(&window), fill.slots), (added, 5));
    let thinned: u64 = window.stacks.iter().filter(|stack| stack.addresses.is_empty()).map(|stack| stack.count).sum();
    assert_eq!(thinned, fill.thinned * 35);
    let kept = window.stacks.iter().filter(|stack| stack.count == 3).count();
    assert_eq!(kept, 25, "what was seen often is told by name");
}

#[test]
fn when_thinning_is_not_enough_the_oldest_slot_goes() {
    let mut ring = ring(360, 4_000);
    for slot in 0..20_u64 {
        for n in 0..8 {
            let stack = [slot * 100 + n, 1];
            ring.add(seen(slot as f64 * 10.0, "worker-0", &stack));
            ring.add(seen(slot as f64 * 10.0, "worker-0", &stack));
        }
    }
    ring.advance(at(200.0));
    let fill = ring.fill();
    assert!(fill.bytes <= 4_000 && fill.slots < 20 && fill.slots > 0, "{fill:?}");
    assert!(ring.window(at(0.0), at(200.0), at(200.0)).from > at(0.0), "the page can say how far it reaches");
}

#[test]
fn a_slot_holds_a_bounded_number_of_stacks() {
    let mut ring = ring(360, usize::MAX);
    for n in 0..ENTRIES_MAX as u64 + 500 {
        ring.add(seen(1.0, "worker-0", &[n, n + 1]));
    }
    let window = ring.window(at(0.0), at(10.0), at(10.0));
    assert!(window.stacks.len() <= ENTRIES_MAX + 1);
    assert_eq!(count(&window), ENTRIES_MAX as u64 + 500);
}

#[test]
fn names_of_threads_are_bounded_and_the_rest_is_other() {
    let mut ring = ring(360, usize::MAX);
    for n in 0..NAMES_MAX + 10 {
        ring.add(seen(1.0, &format!("thread-{n}"), &[1]));
    }
    let window = ring.window(at(0.0), at(10.0), at(10.0));
    let other = window.stacks.iter().find(|stack| &*stack.thread == OTHER).unwrap();
    assert_eq!((window.stacks.len(), other.count), (NAMES_MAX, 11));
}

#[test]
fn time_without_samples_makes_no_slots_and_the_grid_stays() {
    let mut ring = ring(360, usize::MAX);
    ring.add(seen(1.0, "worker-0", &[1]));
    ring.add(seen(75.0, "worker-0", &[2]));
    assert_eq!(ring.fill().slots, 1);
    let window = ring.window(at(70.0), at(80.0), at(76.0));
    assert_eq!((window.from, window.until, count(&window)), (at(70.0), at(76.0), 1));
}
