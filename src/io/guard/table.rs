//! Whose cell is whose: bounded, whoever comes and however many.
//!
//! A cell that a connection holds stays, so that all connections of a scope share it; there are no more of these than
//! connections. Of the others a bounded number is remembered, because a rate goes on counting after its connection has
//! ended. One that knows nothing any more goes at the next look. When a newcomer finds no room, the one goes that
//! would have known nothing the soonest: whoever that was begins anew, which is what it costs to be one of too many.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use ahash::RandomState;

use super::cell::Cell;

/// Parts with a lock each.
const PARTS: usize = 16;
/// Cells that a newcomer looks at for one that may go.
const LOOKED_AT: usize = 8;

/// See the module. Names are not kept, only 64 bits of a keyed hash: two that share them share a cell.
#[derive(Debug)]
pub(crate) struct Table {
    hasher: RandomState,
    parts: [Mutex<Part>; PARTS],
    /// Cells to remember at most.
    bound: AtomicUsize,
    /// Let go of while they still knew something.
    forgotten: AtomicU64,
}

#[derive(Debug, Default)]
struct Part {
    /// Where a cell stands.
    places: HashMap<u64, u32, BuildHasherDefault<Hashed>>,
    cells: Vec<(u64, Arc<Cell>)>,
    /// Where the next look begins.
    hand: usize,
}

/// The key is a hash already.
#[derive(Clone, Copy, Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "keys are numbers");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Table {
    /// Remembers that many cells, beside those that are held.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            parts: std::array::from_fn(|_| Mutex::default()),
            bound: AtomicUsize::new(bound),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Remembers another number of cells from now on.
    pub(crate) fn configure(&self, bound: usize) {
        self.bound.store(bound, Relaxed);
    }

    /// The cell of that name.
    pub(crate) fn cell(&self, name: impl Hash, now_ns: u64) -> Arc<Cell> {
        let hash = self.hasher.hash_one(name);
        // the map takes its places from the low bits and its tags from the highest
        let mut part = self.part((hash >> 32) as usize % PARTS);
        if let Some(place) = part.places.get(&hash) {
            return part.cells[*place as usize].1.clone();
        }
        let bound = self.bound.load(Relaxed).div_ceil(PARTS);
        if part.cells.len() >= bound {
            let forgotten = part.make_room(bound.saturating_sub(1), now_ns);
            self.forgotten.fetch_add(forgotten, Relaxed);
        }
        part.add(hash)
    }

    /// Lets go of cells that know nothing any more and are held by nobody. For a thread that has the time.
    pub(crate) fn tidy(&self, now_ns: u64) {
        for number in 0..PARTS {
            self.part(number).tidy(now_ns);
        }
    }

    /// Cells now, held ones included.
    pub(crate) fn len(&self) -> usize {
        (0..PARTS).map(|number| self.part(number).cells.len()).sum()
    }

    /// How many were let go of while they still knew something, since this was asked last.
    pub(crate) fn take_forgotten(&self) -> u64 {
        self.forgotten.swap(0, Relaxed)
    }

    fn part(&self, number: usize) -> MutexGuard<'_, Part> {
        // what a part is in is whole between two calls
        self.parts[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody but the table has it.
fn is_free(cell: &Arc<Cell>) -> bool {
    Arc::strong_count(cell) == 1
}

impl Part {
    fn add(&mut self, hash: u64) -> Arc<Cell> {
        let cell = Arc::<Cell>::default();
        self.places.insert(hash, u32::try_from(self.cells.len()).unwrap_or(u32::MAX));
        self.cells.push((hash, cell.clone()));
        cell
    }

    /// Looks at a few cells and lets go of all that know nothing, and of one more if that was none.
    fn make_room(&mut self, most: usize, now_ns: u64) -> u64 {
        let mut soonest: Option<(u64, u64)> = None;
        for _ in 0..LOOKED_AT.min(self.cells.len()) {
            self.hand = if self.hand >= self.cells.len() { 0 } else { self.hand };
            let Some((hash, cell)) = self.cells.get(self.hand) else { break };
            let ahead = cell.ahead_ns(now_ns);
            match is_free(cell) {
                // what stood last stands here now: it is looked at next
                true if ahead == 0 => self.remove(self.hand),
                free => {
                    if free && soonest.is_none_or(|(_, least)| ahead < least) {
                        soonest = Some((*hash, ahead));
                    }
                    self.hand += 1;
                }
            }
        }
        match soonest.and_then(|(hash, _)| self.places.get(&hash).copied()) {
            Some(place) if self.cells.len() > most => {
                self.remove(place as usize);
                1
            }
            _ => 0,
        }
    }

    fn tidy(&mut self, now_ns: u64) {
        let mut place = 0;
        while let Some((_, cell)) = self.cells.get(place) {
            if is_free(cell) && cell.ahead_ns(now_ns) == 0 {
                self.remove(place);
            } else {
                place += 1;
            }
        }
        // a crowd that has left leaves no empty table behind
        if self.cells.capacity() > 256 && self.cells.len() < self.cells.capacity() / 4 {
            let kept = self.cells.len() * 2;
            self.cells.shrink_to(kept);
            self.places.shrink_to(kept);
        }
    }

    fn remove(&mut self, place: usize) {
        let (hash, _) = self.cells.swap_remove(place);
        self.places.remove(&hash);
        if let Some((moved, _)) = self.cells.get(place) {
            self.places.insert(*moved, u32::try_from(place).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::guard::{
        limits::{Bound, Slot},
        rate::Rate,
    };

    const SECOND: u64 = 1_000_000_000;

    fn slow() -> Bound {
        Bound { rate: Some(Rate::new(1, Duration::from_secs(1), 5)), at_once: None }
    }

    #[test]
    fn a_name_finds_its_cell_again_and_two_names_do_not_share_one() {
        let table = Table::new(1_000);
        let cell = table.cell("alice", 1);
        assert!(Arc::ptr_eq(&cell, &table.cell("alice", 1)) && !Arc::ptr_eq(&cell, &table.cell("bob", 1)));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_million_names_take_no_more_than_the_bound() {
        let table = Table::new(10_000);
        for user in 0..1_000_000_u32 {
            // each is still counting when the next ones come
            table.cell(user, 1 + u64::from(user)).take(Slot::Any, slow(), 1 + u64::from(user)).unwrap();
        }
        assert!(table.len() <= 10_000 + PARTS, "{}", table.len());
        assert_eq!(table.take_forgotten(), 1_000_000 - table.len() as u64, "and it is told how many had to go");
        let (cells, places) = table
            .parts
            .iter()
            .map(|part| part.lock().unwrap())
            .fold((0, 0), |(cells, places), part| (cells + part.cells.capacity(), places + part.places.capacity()));
        assert!(cells <= 2 * 16_384 && places <= 2 * 16_384, "{cells} {places}");
        table.tidy(10 * SECOND);
        assert_eq!(table.len(), 0, "nobody holds one, and none knows anything any more");
    }

    #[test]
    fn what_a_connection_holds_stays_and_what_nobody_holds_makes_room() {
        let table = Table::new(0);
        let held: Vec<_> = (0..1_000_u32).map(|user| table.cell(user, 1)).collect();
        for user in 1_000..100_000_u32 {
            table.cell(user, 1);
        }
        assert!(table.len() <= 1_000 + 20 * PARTS, "{}", table.len());
        assert!(held.iter().zip(0_u32..).all(|(cell, user)| Arc::ptr_eq(cell, &table.cell(user, 1))));
        drop(held);
        table.tidy(1);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn what_still_counts_is_remembered_while_there_is_room() {
        let table = Table::new(1_000);
        for _ in 0..5 {
            table.cell("loud", SECOND).take(Slot::Any, slow(), SECOND).unwrap();
        }
        table.tidy(SECOND);
        for quiet in 0..100_000_u32 {
            table.cell(quiet, SECOND);
        }
        assert!(table.cell("loud", SECOND).take(Slot::Any, slow(), SECOND).is_err(), "quiet ones go first");
        assert_eq!(table.take_forgotten(), 0);
    }

    proptest! {
        /// After whatever came and went, each cell stands where it is looked for.
        #[test]
        fn a_part_keeps_its_books(names in prop::collection::vec((0_u64..50, any::<bool>(), 0_u64..4), 1..400), bound in 0_usize..200) {
            let table = Table::new(bound);
            let mut held = Vec::new();
            for (name, hold, tidy) in names {
                let cell = table.cell(name, 1);
                if hold {
                    held.push((name, cell));
                } else if !held.is_empty() {
                    held.remove(0);
                }
                if tidy == 0 {
                    table.tidy(1);
                }
                for part in &table.parts {
                    let part = part.lock().unwrap();
                    prop_assert_eq!(part.places.len(), part.cells.len());
                    for (at, (hash, _)) in part.cells.iter().enumerate() {
                        prop_assert_eq!(part.places[hash] as usize, at);
                    }
                }
            }
            for (name, cell) in &held {
                prop_assert!(Arc::ptr_eq(cell, &table.cell(name, 1)));
            }
        }
    }
}
