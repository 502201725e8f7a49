use std::{sync::mpsc, time::Duration};

use super::{
    memory::{Bounds, Held},
    *,
};
use crate::{
    event::Outcome,
    ids::ConnectionId,
    protocol::v1::{ClientFrame, Ping, client_frame::Op},
};

/// Longer than any of it takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn faults(stall_bound: Duration) -> (Faults, mpsc::Receiver<Event>) {
    let (tell, told) = mpsc::channel();
    let observe: Observe = Arc::new(move |event| drop(tell.send(event)));
    (Faults::new(stall_bound, observe), told)
}

fn ping(id: Option<u64>) -> Input {
    let frame = ClientFrame { id, op: Some(Op::Ping(Ping::default())), ..ClientFrame::default() };
    Input::Frame { connection: ConnectionId(7), frame: Box::new(frame), grant: None }
}

/// Whether the fault answered, what it answered, and how long that took.
fn meet(shard: &mut Afflicted, input: &Input) -> (bool, Vec<Output>, Duration) {
    let (mut outputs, begun) = (Vec::new(), Instant::now());
    let answered = shard.meets(input, begun, &mut outputs);
    (answered, outputs, begun.elapsed())
}

#[test]
fn a_fault_ends_the_one_before_and_each_beginning_and_end_is_told_once() {
    let (faults, told) = faults(Duration::ZERO);
    assert_eq!(faults.injected(), None);
    assert_eq!(faults.switch(Some(Fault::Errors)).unwrap(), None);
    assert_eq!(faults.switch(Some(Fault::Errors)).unwrap(), Some(Fault::Errors));
    assert_eq!(faults.switch(Some(Fault::Cpu)).unwrap(), Some(Fault::Errors));
    assert_eq!(faults.injected(), Some(Fault::Cpu));
    assert_eq!(faults.switch(None).unwrap(), Some(Fault::Cpu));
    assert_eq!(faults.switch(None).unwrap(), None);
    assert_eq!(faults.injected(), None);
    let told: Vec<_> = told.try_iter().collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[0], Event::FaultInjected { fault: Fault::Errors });
    assert!(matches!(told[1], Event::FaultEnded { fault: Fault::Errors, .. }), "{told:?}");
    assert_eq!(told[2], Event::FaultInjected { fault: Fault::Cpu });
    assert!(matches!(told[3], Event::FaultEnded { fault: Fault::Cpu, .. }), "{told:?}");
}

#[test]
fn without_a_fault_and_after_its_end_signals_are_left_alone() {
    let (faults, _told) = faults(Duration::ZERO);
    let mut shard = Afflicted::by(faults.clone());
    for fault in [Fault::Errors, Fault::Cpu, Fault::Stall] {
        for _ in 0..20 {
            let (answered, outputs, _) = meet(&mut shard, &ping(Some(1)));
            assert!(!answered && outputs.is_empty());
        }
        faults.switch(Some(fault)).unwrap();
        faults.switch(None).unwrap();
    }
}

#[test]
fn three_of_ten_signals_are_answered_with_internal_each_in_its_own_way() {
    let (faults, _told) = faults(Duration::ZERO);
    faults.switch(Some(Fault::Errors)).unwrap();
    let mut shard = Afflicted::by(faults);
    let failed = |shard: &mut Afflicted, id| (0..100).filter(|_| meet(shard, &ping(id)).0).count();
    assert_eq!(failed(&mut shard, Some(1)), 30);
    assert!(!meet(&mut shard, &Input::Tick).0, "no signal");
    let answer = (0..10).map(|_| meet(&mut shard, &ping(Some(5))).1).find(|outputs| !outputs.is_empty()).unwrap();
    let [Output::Send { to, frame, ends, .. }] = answer.as_slice() else { panic!("{answer:?}") };
    assert_eq!((*to, frame.id, *ends), (ConnectionId(7), Some(5), Some(Outcome::Refused(Code::Internal))));
    let unasked = (0..10).map(|_| meet(&mut shard, &ping(None)).1).find(|outputs| !outputs.is_empty()).unwrap();
    assert!(matches!(unasked.as_slice(), [Output::Ended(Outcome::Refused(Code::Internal))]), "{unasked:?}");
}

#[test]
fn a_signal_that_burns_is_past_the_promise_and_the_next_ones_are_spared() {
    let (faults, _told) = faults(Duration::ZERO);
    faults.switch(Some(Fault::Cpu)).unwrap();
    let mut shard = Afflicted::by(faults);
    let (answered, _, took) = meet(&mut shard, &ping(Some(1)));
    assert!(!answered && took > crate::telemetry::PROMISE && took >= BURN, "{took:?}");
    // as of the same moment
    let spared = shard.spared_until.unwrap();
    let mut outputs = Vec::new();
    for at in [spared - SPARED, spared - Duration::from_millis(1)] {
        assert!(!shard.meets(&ping(Some(2)), at, &mut outputs));
        assert_eq!(shard.spared_until, Some(spared), "nothing burned");
    }
    let now = Instant::now();
    shard.meets(&ping(Some(3)), now.max(spared), &mut outputs);
    assert!(shard.spared_until.unwrap() > spared, "and once more");
}

#[test]
fn a_stall_is_twice_its_bound_and_the_next_one_comes_later_whichever_shard_asks() {
    let (faults, _told) = faults(Duration::from_millis(30));
    faults.switch(Some(Fault::Stall)).unwrap();
    let mut shards = [Afflicted::by(faults.clone()), Afflicted::by(faults)];
    let (_, _, took) = meet(&mut shards[0], &ping(Some(1)));
    assert!(took >= Duration::from_millis(60), "{took:?}");
    let next = shards[1].faults.0.next_stall_ms.load(Relaxed);
    assert!(next >= STALL_EVERY.as_millis() as u64);
    shards.iter_mut().for_each(|shard| drop(meet(shard, &ping(Some(2)))));
    assert_eq!(shards[1].faults.0.next_stall_ms.load(Relaxed), next, "neither began another one");
}

#[test]
fn of_twenty_signals_of_a_canary_six_are_late_and_two_fail_and_of_the_default_none() {
    let (faults, _told) = faults(Duration::ZERO);
    assert_eq!(faults.at_the_door(|| panic!("without the fault nobody asks")), None);
    faults.switch(Some(Fault::Canary)).unwrap();
    let met = |variant| (0..200).filter_map(|_| faults.at_the_door(|| variant)).collect::<Vec<_>>();
    assert_eq!(met(0), []);
    let (late, failed): (Vec<_>, Vec<_>) = met(3).into_iter().partition(|met| *met == AtTheDoor::Waits(LATE_BY));
    assert_eq!((late.len(), failed.len()), (60, 20));
    assert!(LATE_BY > crate::telemetry::PROMISE);
    let AtTheDoor::Fails(refusal) = &failed[0] else { panic!("{failed:?}") };
    assert!(refusal.code == Code::Internal && refusal.message.contains("on purpose"));
    let mut shard = Afflicted::by(faults);
    assert!(!meet(&mut shard, &ping(Some(1))).0, "a shard has nothing to suffer");
}

#[test]
fn memory_grows_by_steps_to_its_bound_and_no_further() {
    let mut held = Held::new(Bounds { step: 3 << 20, most: 8 << 20 }).unwrap();
    let mut grown = Vec::new();
    for _ in 0..5 {
        held.grow();
        grown.push(held.len() >> 20);
    }
    assert_eq!(grown, [3, 6, 8, 8, 8]);
}

#[test]
fn the_bound_is_six_tenths_of_the_limit_with_what_is_there_and_a_gibibyte_at_most() {
    let gib = 1_u64 << 30;
    assert_eq!(Bounds::of(64 * gib, gib), Bounds { step: 64 * gib / 3_600, most: gib });
    assert_eq!(Bounds::of(100 << 20, 30 << 20), Bounds { step: 1 << 20, most: 30 << 20 });
    assert_eq!(Bounds::of(100 << 20, 90 << 20).most, 0, "there is no room for a fault");
}

#[test]
fn what_was_taken_is_given_back_when_the_fault_ends() {
    let (faults, told) = faults(Duration::ZERO);
    faults.switch(Some(Fault::Memory)).unwrap();
    // it holds the other end of the channel as long as it ticks
    let observe = Arc::downgrade(&faults.0.observe);
    faults.switch(None).unwrap();
    drop(faults);
    let until = Instant::now() + PATIENCE;
    while observe.strong_count() > 0 {
        assert!(Instant::now() < until, "the thread that takes memory goes on");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(told.try_iter().count(), 2);
}
