//! jemalloc's sampler. It is compiled in inactive (`.cargo/config.toml`), keeps its own table of stacks, and writes it to
//! a file, which `pprof_util` reads.

use std::{
    fs::File,
    io::{Cursor, Read, Seek},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jemalloc_pprof::{JemallocProfCtl, PROF_CTL};
use pprof_util::{WeightedStack, parse_jeheap};
use tikv_jemallocator::Jemalloc;

use super::{Allocated, Allocations, HeapUnavailable};

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Of the allocator's file; more stacks than that are no profile to read.
const DUMP_BYTES_MAX: u64 = 256 << 20;

/// One at a time: the library's own lock is for async tasks, and is never waited for.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    // what a dump that panicked left behind is a file that is gone
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something with the sampler, whose turn it is.
fn with<T>(act: impl FnOnce(&mut JemallocProfCtl) -> Result<T, HeapUnavailable>) -> Result<T, HeapUnavailable> {
    let sampler: &Arc<_> = PROF_CTL.as_ref().ok_or(HeapUnavailable::Disabled)?;
    let _turn = turn();
    let mut sampler = sampler.try_lock().map_err(|_| HeapUnavailable::Failed("it is made elsewhere".to_owned()))?;
    act(&mut sampler)
}

pub(super) fn sampled(allocations: Allocations) -> Result<Vec<Allocated>, HeapUnavailable> {
    let failed = |cause: &dyn std::fmt::Display| HeapUnavailable::Failed(cause.to_string());
    let text = with(|sampler| {
        if !sampler.activated() {
            return Err(HeapUnavailable::Inactive);
        }
        let dumped = sampler.dump().map_err(|cause| failed(&cause))?;
        read(dumped).map_err(|cause| failed(&cause))
    })?;
    let text = if allocations == Allocations::All { with_all(&text) } else { text };
    let profile = parse_jeheap(Cursor::new(&text), None).map_err(|cause| failed(&cause))?;
    Ok(profile.stacks.iter().zip(sums(&text)).filter_map(|((stack, _), sums)| allocated(stack, sums)).collect())
}

/// Absent: nothing is left of what it allocated, and the size of nothing is no number.
fn allocated(stack: &WeightedStack, (objects, bytes): (u64, u64)) -> Option<Allocated> {
    if objects == 0 || !stack.weight.is_finite() {
        return None;
    }
    // the reader says for how many bytes the sampled ones stand
    let stand_for = stack.weight / bytes.max(1) as f64;
    // where calls return to; the call is before that
    let stack_of_calls = stack.addrs.iter().rev().map(|address| (*address as u64).saturating_sub(1)).collect();
    let objects = (objects as f64 * stand_for).round() as u64;
    Some(Allocated { stack: stack_of_calls, objects, bytes: stack.weight.round() as u64 })
}

/// Objects and bytes that were sampled of each stack, in the order of the stacks.
fn sums(text: &str) -> impl Iterator<Item = (u64, u64)> {
    // those before the first stack are of all
    let after_all = text.lines().skip_while(|line| !line.starts_with('@'));
    let of_stacks = after_all.filter_map(|line| line.trim_start().strip_prefix("t*:"));
    of_stacks.map(|sums| {
        let mut numbers = sums.split([' ', ':']).filter_map(|number| number.parse().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    })
}

pub(super) fn activate(on: bool) -> Result<(), HeapUnavailable> {
    with(|sampler| {
        let done = match (on, sampler.activated()) {
            (true, false) => sampler.activate(),
            (false, true) => sampler.deactivate(),
            _ => Ok(()),
        };
        done.map_err(|cause| HeapUnavailable::Failed(cause.to_string()))
    })
}

pub(super) fn is_active() -> bool {
    with(|sampler| Ok(sampler.activated())).unwrap_or(false)
}

/// The allocator's file, from its beginning.
fn read(mut dumped: File) -> std::io::Result<String> {
    let bytes = dumped.metadata()?.len();
    if bytes > DUMP_BYTES_MAX {
        return Err(std::io::Error::other(format!("{bytes} bytes of stacks are more than {DUMP_BYTES_MAX}")));
    }
    dumped.rewind()?;
    let mut text = String::new();
    dumped.take(DUMP_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The same stacks with all that they ever allocated. A line of sums is `t*: 2: 160 [5: 400]`: objects and bytes in use,
/// then of all; the reader takes the first two.
fn with_all(dump: &str) -> String {
    let mut all = String::with_capacity(dump.len());
    for line in dump.lines() {
        let sums = line.trim_start().strip_prefix("t*:").and_then(|sums| sums.split_once('['));
        match sums {
            Some((in_use, of_all)) => {
                let of_all = of_all.trim_end().trim_end_matches(']');
                all.push_str(&format!("t*: {of_all} [{}]\n", in_use.trim()));
            }
            None => {
                all.push_str(line);
                all.push('\n');
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, time::Duration};

    use super::*;
    use crate::profiler::{Profiler, Settings, heap, pprof, profile::Profile, views};

    const MIB: u64 = 1 << 20;

    #[inline(never)]
    fn planted_allocation(bytes: u64) -> Vec<u8> {
        black_box(vec![1; bytes as usize])
    }

    /// Bytes below the planted function, and whether all of it is of one object.
    fn planted(profile: &Profile) -> (u64, u64) {
        let below = profile.samples.iter().filter(|sample| {
            let mut frames = profile.frames(&sample.stack);
            frames.any(|frame| frame.name.ends_with("planted_allocation"))
        });
        below.fold((0, 0), |(objects, bytes), sample| (objects + sample.count, bytes + sample.weight))
    }

    fn settings(heap: bool) -> Settings {
        Settings { heap, ..Settings::default() }
    }

    /// One test, because the sampler is one.
    #[test]
    fn what_is_in_use_and_what_was_allocated_are_told_instead_of_cpu_time() {
        assert!(!heap::is_active(), "compiled in, and asleep");
        assert!(matches!(heap::sampled(Allocations::InUse), Err(HeapUnavailable::Inactive)));
        let profiler = Profiler::start(settings(true));
        assert!(heap::is_active());
        let figures = profiler.figures();
        assert!(figures.sampler.is_none() && figures.why_not.unwrap().contains("profiler.heap"), "never both");
        assert!(profiler.switch(true).unwrap_err().to_string().contains("profiler.heap"));

        let kept = planted_allocation(64 * MIB);
        let in_use = profiler.allocations(Allocations::InUse).unwrap();
        assert_eq!(planted(&in_use), (1, 64 * MIB));
        assert_eq!(pprof::decode(&pprof::encode(&in_use)).unwrap().weight(), in_use.weight());
        let flat = views::top(&in_use, 1, views::By::Function).remove(0);
        assert!(!heap::is_allocator(&flat.name), "the allocator's own frames are cut off: {}", flat.name);
        drop(kept);
        assert_eq!(planted(&profiler.allocations(Allocations::InUse).unwrap()), (0, 0), "it is not there any more");
        assert_eq!(planted(&profiler.allocations(Allocations::All).unwrap()), (1, 64 * MIB), "but it was");
        heap::activate(false).unwrap();
        assert!(matches!(profiler.allocations(Allocations::All), Err(HeapUnavailable::Inactive)));
        assert_eq!(in_use.length, Duration::ZERO, "of a moment");
    }

    #[test]
    fn sums_of_all_take_the_place_of_those_in_use() {
        let dump = "heap_v2/524288\n  t*: 2: 160 [5: 400]\n  t3: 2: 160 [5: 400]\n@ 0x5 0x6\n  t*: 0: 0 [3: 240]\n";
        let expected = "heap_v2/524288\nt*: 5: 400 [2: 160]\n  t3: 2: 160 [5: 400]\n@ 0x5 0x6\nt*: 3: 240 [0: 0]\n";
        assert_eq!(with_all(dump), expected);
        assert_eq!(sums(dump).collect::<Vec<_>>(), [(0, 0)]);
        assert_eq!(sums(expected).collect::<Vec<_>>(), [(3, 240)]);
    }
}
