//! Whether samples can be believed on this machine, in this build: a planted stack of three must come back.
//!
//! A build without frame pointers, or a system whose timers do not tick, is found out here and not by a person who
//! looks at a wrong flamegraph.

use std::{collections::BTreeSet, hint::black_box, thread, time::Duration};

use super::{
    clock,
    sampler::{Refused, Sampler, Urgency},
    threads::Sampled,
};

/// Periods that are spent in the planted stack at a time,
const PERIODS: u32 = 3;
/// at least that long: kernels look after timers of CPU time a hundred times a second, or more often,
const LENGTH_MIN: Duration = Duration::from_millis(25);
/// and how often at most: on a busy machine a timer may be late, or hit between two turns of the loop.
const ROUNDS: u32 = 8;
/// No function of the planted stack is as long, in any build.
const FUNCTION_BYTES_MAX: usize = 4_096;

/// What the self-test found out beside that samples are good.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Frames of the sampler's own handler on top of each stack.
    pub(super) own_frames: usize,
    /// Where whole stacks end: the outermost addresses of this thread and of one that was begun for the test.
    pub(super) roots: BTreeSet<u64>,
}

/// Plants a stack on a thread of its own and on this one, and looks for both.
///
/// # Errors
/// What came instead.
pub(super) fn run(sampler: &mut dyn Sampler) -> Result<Found, Refused> {
    let length = (sampler.period() * PERIODS).max(LENGTH_MIN);
    let mut found = Found::default();
    let mut samples = 0;
    for _ in 0..ROUNDS {
        plant_elsewhere(length)?;
        let looked = look(sampler, &mut found)?;
        samples += looked.samples;
        if looked.planted > 0 {
            // where stacks of this thread end is not needed for samples to be good
            plant(length);
            look(sampler, &mut found)?;
            return Ok(found);
        }
    }
    let spent = length * ROUNDS;
    Err(Refused(match samples {
        0 => format!("the self-test got no sample in {spent:?} of CPU time: the system's timers do not tick"),
        _ => format!(
            "of {samples} samples of the self-test none had the planted stack of three: is this a build without frame \
             pointers (-Cforce-frame-pointers=yes)?"
        ),
    }))
}

/// On a thread of its own.
fn plant_elsewhere(length: Duration) -> Result<(), Refused> {
    let thread = thread::Builder::new().name("self-test".to_owned()).spawn(move || {
        let _sampled = Sampled::enter("self-test");
        plant(length);
    });
    match thread.map(thread::JoinHandle::join) {
        Ok(Ok(())) => Ok(()),
        _ => Err(Refused("no thread for the self-test".to_owned())),
    }
}

fn plant(length: Duration) {
    black_box(outer(clock::thread_cpu() + length));
}

/// What a look saw.
struct Looked {
    samples: usize,
    planted: usize,
}

fn look(sampler: &mut dyn Sampler, found: &mut Found) -> Result<Looked, Refused> {
    let mut samples = Vec::new();
    sampler.drain(Urgency::Now, &mut samples)?;
    let mut looked = Looked { samples: samples.len(), planted: 0 };
    for raw in &samples {
        if let Some(depth) = raw.stack.windows(3).position(is_planted) {
            looked.planted += 1;
            found.own_frames = if looked.planted == 1 { depth } else { found.own_frames.min(depth) };
            found.roots.extend(raw.stack.last());
        }
    }
    Ok(looked)
}

/// Leaf, middle and outer next to each other.
fn is_planted(addresses: &[u64]) -> bool {
    let functions = [
        leaf as fn(Duration) -> u64 as usize,
        middle as fn(Duration) -> u64 as usize,
        outer as fn(Duration) -> u64 as usize,
    ];
    addresses.iter().zip(functions).all(|(address, wanted)| {
        // the nearest of the three that begins before it
        let begins = functions.into_iter().filter(|function| *function as u64 <= *address).max();
        begins == Some(wanted) && *address - (wanted as u64) < FUNCTION_BYTES_MAX as u64
    })
}

// After each call something is left to do, so that none of them is a jump.

#[inline(never)]
fn outer(until: Duration) -> u64 {
    let sum = middle(until);
    black_box(sum ^ 3)
}

#[inline(never)]
fn middle(until: Duration) -> u64 {
    let sum = leaf(until);
    black_box(sum.rotate_left(5))
}

#[inline(never)]
fn leaf(until: Duration) -> u64 {
    let mut sum = 1_u64;
    while clock::thread_cpu() < until {
        for step in 0..20_000_u64 {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(step));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::sampler::{Drained, Kind, Raw};

    /// Says that these stacks were sampled.
    #[derive(Debug)]
    struct Saying(Vec<Vec<u64>>);

    impl Sampler for Saying {
        fn kind(&self) -> Kind {
            Kind::Itimer
        }

        fn period(&self) -> Duration {
            Duration::from_millis(1)
        }

        fn drain(&mut self, _: Urgency, into: &mut Vec<Raw>) -> Result<Drained, Refused> {
            for stack in self.0.clone() {
                let (at, weight) = (Duration::ZERO, Duration::from_millis(1));
                into.push(Raw { tid: None, name: None, at, count: 1, weight, stack });
            }
            Ok(Drained::All)
        }

        fn pause(&mut self) {}

        fn resume(&mut self) -> Result<(), Refused> {
            Ok(())
        }

        fn can_ask(&self) -> bool {
            false
        }
    }

    fn planted() -> [u64; 3] {
        let of = |function: fn(Duration) -> u64| function as usize as u64 + 3;
        [of(leaf), of(middle), of(outer)]
    }

    #[test]
    fn a_sampler_that_brings_the_planted_stack_back_is_believed() {
        let [leaf, middle, outer] = planted();
        let found = run(&mut Saying(vec![vec![1], vec![9, 9, leaf, middle, outer, 77]])).unwrap();
        assert_eq!((found.own_frames, found.roots), (2, BTreeSet::from([77])));
    }

    #[test]
    fn one_that_loses_a_caller_or_the_leaf_is_not() {
        let [leaf, middle, outer] = planted();
        for stack in [vec![leaf, outer, 77], vec![middle, outer, 77], vec![leaf, middle], vec![leaf]] {
            let refused = run(&mut Saying(vec![stack])).unwrap_err().to_string();
            assert!(refused.contains("none had the planted stack"), "{refused}");
        }
        let refused = run(&mut Saying(Vec::new())).unwrap_err().to_string();
        assert!(refused.contains("do not tick"), "{refused}");
    }
}
