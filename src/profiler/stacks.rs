//! Stacks, each kept once however often it is seen.
//!
//! Counted by who refers to them, and forgotten with the last of these. Knows nothing of time or threads.

use std::{mem::size_of, sync::Arc};

use ahash::AHashMap;
use slab::Slab;

/// The number of a stack while somebody refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct StackId(u32);

/// What one stack costs beside its addresses: its entry and its place in the index, which keeps some room free.
const OVERHEAD: usize = size_of::<Kept>() + 2 * (size_of::<Arc<[u64]>>() + size_of::<u32>()) + 2 * size_of::<usize>();

#[derive(Debug)]
struct Kept {
    addresses: Arc<[u64]>,
    uses: u32,
}

/// All stacks that are referred to.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    kept: Slab<Kept>,
    index: AHashMap<Arc<[u64]>, u32>,
    bytes: usize,
}

impl Stacks {
    /// The number of a stack, referred to once more.
    pub(super) fn intern(&mut self, addresses: &[u64]) -> StackId {
        if let Some(id) = self.index.get(addresses) {
            self.kept[*id as usize].uses += 1;
            return StackId(*id);
        }
        let addresses: Arc<[u64]> = addresses.into();
        self.bytes += cost(&addresses);
        let id = self.kept.insert(Kept { addresses: addresses.clone(), uses: 1 }) as u32;
        self.index.insert(addresses, id);
        StackId(id)
    }

    /// Refers to a known stack once more.
    pub(super) fn retain(&mut self, id: StackId) {
        self.kept[id.0 as usize].uses += 1;
    }

    /// Refers to it once less.
    pub(super) fn release(&mut self, id: StackId) {
        let kept = &mut self.kept[id.0 as usize];
        kept.uses -= 1;
        if kept.uses == 0 {
            let kept = self.kept.remove(id.0 as usize);
            self.bytes -= cost(&kept.addresses);
            self.index.remove(&kept.addresses);
        }
    }

    /// Its addresses.
    pub(super) fn get(&self, id: StackId) -> Arc<[u64]> {
        self.kept[id.0 as usize].addresses.clone()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// What they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn cost(addresses: &[u64]) -> usize {
    size_of_val(addresses) + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_kept_once_and_until_nobody_refers_to_it() {
        let mut stacks = Stacks::default();
        let first = stacks.intern(&[1, 2, 3]);
        assert_eq!(stacks.intern(&[1, 2, 3]), first);
        let other = stacks.intern(&[1, 2]);
        assert_ne!(other, first);
        stacks.retain(other);
        assert_eq!((stacks.len(), &*stacks.get(first)), (2, [1, 2, 3].as_slice()));
        stacks.release(first);
        assert_eq!(stacks.len(), 2);
        stacks.release(first);
        assert_eq!((stacks.len(), &*stacks.get(other)), (1, [1, 2].as_slice()));
        stacks.release(other);
        stacks.release(other);
        assert_eq!((stacks.len(), stacks.bytes()), (0, 0));
        stacks.intern(&[9]);
        assert_eq!(stacks.len(), 1);
    }
}
