//! The last hour of samples, in ten-second slots, bounded in bytes; and windows that are being recorded.
//!
//! Time is told. When the bound is passed the oldest slots are thinned first: stacks seen once become `[thinned]`, so
//! that the sums stay true; only when all are thinned is the oldest let go of. Knows nothing of names of functions.

use std::{collections::VecDeque, mem::size_of, sync::Arc, time::Duration};

use ahash::AHashMap;
use slab::Slab;

use super::{
    sampler::Name,
    stacks::{StackId, Stacks},
    threads::OTHER,
};

/// How the ring is bounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The length of a slot.
    pub(super) slot: Duration,
    /// Closed slots that are kept at most.
    pub(super) slots: usize,
    /// Bytes of slots and stacks together, about.
    pub(super) bytes: usize,
}

/// Distinct stacks of one slot, or one recording; what more there is becomes `[thinned]`.
const ENTRIES_MAX: usize = 16_384;
/// Recordings under way.
const RECORDINGS_MAX: usize = 64;
/// Names of threads told apart; past them a thread is `other`.
const NAMES_MAX: usize = 1_024;

/// One sample, or several of the same stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) at: Duration,
    pub(super) thread: &'a str,
    pub(super) stack: &'a [u64],
    pub(super) count: u32,
    pub(super) weight: Duration,
}

/// How often a stack was seen on a thread, and for how much CPU time it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u32,
    weight_ns: u64,
}

impl Sum {
    fn add(&mut self, count: u32, weight_ns: u64) {
        self.count = self.count.saturating_add(count);
        self.weight_ns = self.weight_ns.saturating_add(weight_ns);
    }
}

/// A stack on a thread.
type Key = (StackId, u16);

#[derive(Clone, Copy, Debug)]
struct Entry {
    stack: StackId,
    thread: u16,
    sum: Sum,
}

#[derive(Debug)]
struct Slot {
    from: Duration,
    until: Duration,
    entries: Box<[Entry]>,
    thinned: bool,
}

/// Sums by stack and thread, each stack referred to once a key.
#[derive(Debug, Default)]
struct Sums(AHashMap<Key, Sum>);

impl Sums {
    /// Adds to a key; past the bound to that of nothing in particular.
    fn add(&mut self, key: Key, seen: Sum, stacks: &mut Stacks) {
        let key = if self.0.len() < ENTRIES_MAX || self.0.contains_key(&key) { key } else { thinned(stacks, key.1) };
        let sum = self.0.entry(key).or_insert_with(|| {
            stacks.retain(key.0);
            Sum::default()
        });
        sum.add(seen.count, seen.weight_ns);
    }

    fn release(self, stacks: &mut Stacks) {
        for (stack, _) in self.0.into_keys() {
            stacks.release(stack);
        }
    }
}

/// The stack of what is known by its sum only: the empty one. It is never forgotten, see [`Ring::new`].
fn thinned(stacks: &mut Stacks, thread: u16) -> Key {
    let id = stacks.intern(&[]);
    stacks.release(id);
    (id, thread)
}

#[derive(Debug)]
struct Recording {
    from: Duration,
    until: Duration,
    sums: Sums,
}

/// A recording under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(usize);

/// What was seen in a time, without names of functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The beginning: of its first slot, or as asked for.
    pub(super) from: Duration,
    /// The end.
    pub(super) until: Duration,
    /// Stacks; an empty one is what was thinned.
    pub(super) stacks: Vec<Stack>,
}

/// A stack on a thread in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) addresses: Arc<[u64]>,
    pub(super) thread: Name,
    pub(super) count: u64,
    pub(super) weight: Duration,
}

/// How full it is, for people and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Closed slots.
    pub slots: usize,
    /// Distinct stacks.
    pub stacks: usize,
    /// Bytes of slots and stacks, about.
    pub bytes: usize,
    /// The bound of these.
    pub bytes_max: usize,
    /// Slots that were thinned so far.
    pub thinned: u64,
    /// How far back the oldest slot reaches, from the last one's end.
    pub reaches_back: Duration,
}

/// The samples of the last hour.
#[derive(Debug)]
pub(super) struct Ring {
    bounds: Bounds,
    stacks: Stacks,
    names: Vec<Name>,
    numbers: AHashMap<Name, u16>,
    closed: VecDeque<Slot>,
    open: Sums,
    open_from: Duration,
    recordings: Slab<Recording>,
    thinned: u64,
}

impl Ring {
    /// Empty; the first slot begins then.
    pub(super) fn new(bounds: Bounds, now: Duration) -> Self {
        let mut stacks = Stacks::default();
        // referred to for ever: what is thinned always has a stack to be
        stacks.intern(&[]);
        let other: Name = OTHER.into();
        Self {
            bounds,
            stacks,
            numbers: AHashMap::from_iter([(other.clone(), 0)]),
            names: vec![other],
            closed: VecDeque::new(),
            open: Sums::default(),
            open_from: now,
            recordings: Slab::new(),
            thinned: 0,
        }
    }

    /// Takes note of a sample.
    pub(super) fn add(&mut self, seen: Seen<'_>) {
        self.advance(seen.at);
        let thread = self.number(seen.thread);
        let id = self.stacks.intern(seen.stack);
        let sum = Sum { count: seen.count, weight_ns: seen.weight.as_nanos() as u64 };
        self.open.add((id, thread), sum, &mut self.stacks);
        for (_, recording) in &mut self.recordings {
            if recording.from <= seen.at && seen.at < recording.until {
                recording.sums.add((id, thread), sum, &mut self.stacks);
            }
        }
        self.stacks.release(id);
    }

    fn number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.names.len() >= NAMES_MAX {
            return 0;
        }
        let (name, number) = (Name::from(name), self.names.len() as u16);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    /// Time has come so far: closes the slot at hand when it is over. An idle time makes no empty slots.
    pub(super) fn advance(&mut self, now: Duration) {
        if now < self.open_from + self.bounds.slot {
            return;
        }
        let until = self.open_from + self.bounds.slot;
        let sums = std::mem::take(&mut self.open);
        let entry = |((stack, thread), sum)| Entry { stack, thread, sum };
        let entries: Box<[Entry]> = sums.0.into_iter().map(entry).collect();
        self.closed.push_back(Slot { from: self.open_from, until, entries, thinned: false });
        // the slot that now falls into, on the same grid
        let slots_over = (now - until).as_nanos() / self.bounds.slot.as_nanos().max(1);
        self.open_from = until + self.bounds.slot * u32::try_from(slots_over).unwrap_or(u32::MAX);
        self.bound(now);
    }

    fn bound(&mut self, now: Duration) {
        let reach = self.bounds.slot * u32::try_from(self.bounds.slots).unwrap_or(u32::MAX);
        while self.closed.len() > self.bounds.slots || self.closed.front().is_some_and(|slot| slot.until + reach < now)
        {
            self.let_go();
        }
        while self.bytes() > self.bounds.bytes && !self.closed.is_empty() {
            match self.closed.iter().position(|slot| !slot.thinned) {
                Some(place) => self.thin(place),
                None => self.let_go(),
            }
        }
    }

    /// Of one slot, what was seen once is kept as a sum.
    fn thin(&mut self, place: usize) {
        let Self { closed, stacks, thinned: count, .. } = self;
        let Some(slot) = closed.get_mut(place) else { return };
        let mut sums = Sums::default();
        for entry in &slot.entries {
            let key = (entry.stack, entry.thread);
            let key = if entry.sum.count > 1 { key } else { thinned(stacks, entry.thread) };
            sums.add(key, entry.sum, stacks);
        }
        for entry in &slot.entries {
            stacks.release(entry.stack);
        }
        slot.entries = sums.0.into_iter().map(|((stack, thread), sum)| Entry { stack, thread, sum }).collect();
        slot.thinned = true;
        *count += 1;
    }

    fn let_go(&mut self) {
        for entry in self.closed.pop_front().iter().flat_map(|slot| &slot.entries) {
            self.stacks.release(entry.stack);
        }
    }

    /// Begins to record what is sampled from then until then; absent: too many are under way.
    pub(super) fn record(&mut self, from: Duration, until: Duration) -> Option<Ticket> {
        let fits = self.recordings.len() < RECORDINGS_MAX;
        fits.then(|| Ticket(self.recordings.insert(Recording { from, until, sums: Sums::default() })))
    }

    /// Ends a recording and gives what it has.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Window> {
        let recording = self.recordings.try_remove(ticket.0)?;
        let stacks = recording.sums.0.iter().map(|(key, sum)| self.stack(*key, *sum)).collect();
        recording.sums.release(&mut self.stacks);
        Some(Window { from: recording.from, until: recording.until, stacks })
    }

    /// All slots that a time touches, the one at hand included; `now` ends that one.
    pub(super) fn window(&self, from: Duration, until: Duration, now: Duration) -> Window {
        let open_until = now.min(self.open_from + self.bounds.slot).max(self.open_from);
        let touches = |begin: Duration, end: Duration| begin < until && from < end;
        let mut sums = AHashMap::<Key, Sum>::new();
        let mut extent: Option<(Duration, Duration)> = None;
        let mut widen = |begin: Duration, end: Duration| {
            extent = Some(extent.map_or((begin, end), |(first, last)| (first.min(begin), last.max(end))));
        };
        let mut add = |key: Key, sum: Sum| {
            sums.entry(key).or_default().add(sum.count, sum.weight_ns);
        };
        for slot in self.closed.iter().filter(|slot| touches(slot.from, slot.until)) {
            widen(slot.from, slot.until);
            slot.entries.iter().for_each(|entry| add((entry.stack, entry.thread), entry.sum));
        }
        if touches(self.open_from, open_until) {
            widen(self.open_from, open_until);
            self.open.0.iter().for_each(|(key, sum)| add(*key, *sum));
        }
        let (from, until) = extent.unwrap_or((from.min(now), from.min(now)));
        let stacks = sums.into_iter().map(|(key, sum)| self.stack(key, sum)).collect();
        Window { from, until, stacks }
    }

    fn stack(&self, (id, thread): Key, sum: Sum) -> Stack {
        Stack {
            addresses: self.stacks.get(id),
            thread: self.names[usize::from(thread)].clone(),
            count: sum.count.into(),
            weight: Duration::from_nanos(sum.weight_ns),
        }
    }

    fn bytes(&self) -> usize {
        let entries: usize = self.closed.iter().map(|slot| slot.entries.len()).sum();
        self.stacks.bytes() + entries * size_of::<Entry>() + self.closed.len() * size_of::<Slot>()
    }

    /// How full it is.
    pub(super) fn fill(&self) -> Fill {
        let reaches_back = self.closed.front().map_or(Duration::ZERO, |slot| self.open_from.saturating_sub(slot.from));
        Fill {
            slots: self.closed.len(),
            stacks: self.stacks.len(),
            bytes: self.bytes(),
            bytes_max: self.bounds.bytes,
            thinned: self.thinned,
            reaches_back,
        }
    }
}

#[cfg(test)]
mod tests;
