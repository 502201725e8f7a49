//! Smooth weighted round robin: each gets its share, a heavy one spread out and not in bursts.
//!
//! Stride scheduling (Waldspurger, 1995): everyone has a moment at which it is due, `1/weight` after the one before; whoever is
//! due first is next. Over fixed weights the shares are those of the round robin that adds every weight to a running sum at
//! each turn, which costs a walk over all nodes a turn; this costs the depth of a tree. A changed weight stretches what is
//! left until one is due: so a turn that was taken is never forgotten, and what came between two reports counts against its
//! node.

use std::collections::BTreeSet;

use ahash::AHashMap;

/// The time between two turns of a weight of 1. Weights divide it with an error below one in a million.
const STRIDE: u128 = 1 << 48;

/// See the module. Keys are the caller's.
#[derive(Debug, Default)]
pub(super) struct Weighted {
    /// Who is due when, soonest first.
    queue: BTreeSet<(u128, usize)>,
    slots: AHashMap<usize, Slot>,
    /// When the latest turn was due.
    now: u128,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    due: u128,
    weight: u32,
}

impl Weighted {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Puts one at that weight; 0 takes it out. A new one is first due after the `phase` part of its stride, 0 to 1:
    /// routers that begin together do not choose alike when each draws its own.
    pub(super) fn set(&mut self, key: usize, weight: u32, phase: f64) {
        let before = self.slots.get(&key).copied();
        if before.map_or(0, |slot| slot.weight) == weight {
            return;
        }
        self.slots.remove(&key);
        if let Some(slot) = before {
            self.queue.remove(&(slot.due, key));
        }
        if weight == 0 {
            return;
        }
        let left = match before {
            Some(slot) => (slot.due - self.now) * u128::from(slot.weight) / u128::from(weight),
            None => (stride(weight) as f64 * phase.clamp(0.0, 1.0)) as u128,
        };
        let slot = Slot { due: self.now + left, weight };
        self.slots.insert(key, slot);
        self.queue.insert((slot.due, key));
    }

    /// Whose turn it is.
    pub(super) fn pick(&mut self) -> Option<usize> {
        let (due, key) = self.queue.pop_first()?;
        self.now = due;
        let slot = self.slots.get_mut(&key)?;
        slot.due = due + stride(slot.weight);
        self.queue.insert((slot.due, key));
        Some(key)
    }

    /// Who is due next, in order.
    pub(super) fn upcoming(&self) -> impl Iterator<Item = usize> + '_ {
        self.queue.iter().map(|(_, key)| *key)
    }
}

fn stride(weight: u32) -> u128 {
    STRIDE / u128::from(weight.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The round robin of the books: all weights are added, the largest sum has its turn and pays the total.
    struct ByTheBook(Vec<(i64, i64)>);

    impl ByTheBook {
        fn pick(&mut self) -> usize {
            let total: i64 = self.0.iter().map(|(weight, _)| weight).sum();
            self.0.iter_mut().for_each(|(weight, sum)| *sum += *weight);
            let most = self.0.iter().map(|(_, sum)| *sum).max().unwrap_or_default();
            let chosen = self.0.iter().position(|(_, sum)| *sum == most).unwrap_or_default();
            self.0[chosen].1 -= total;
            chosen
        }
    }

    fn of(weights: &[u32], phase: f64) -> Weighted {
        let mut weighted = Weighted::default();
        weights.iter().enumerate().for_each(|(key, weight)| weighted.set(key, *weight, phase));
        weighted
    }

    fn counts(weighted: &mut Weighted, keys: usize, turns: usize) -> Vec<usize> {
        let mut counts = vec![0; keys];
        (0..turns).filter_map(|_| weighted.pick()).for_each(|key| counts[key] += 1);
        counts
    }

    #[test]
    fn a_heavy_node_is_spread_out_and_not_bursty() {
        let mut weighted = of(&[5, 1, 1], 1.0);
        let turns: Vec<_> = (0..14).filter_map(|_| weighted.pick()).collect();
        assert_eq!(turns.iter().filter(|key| **key == 0).count(), 10);
        let longest = turns.split(|key| *key != 0).map(<[usize]>::len).max();
        assert!(longest <= Some(5) && turns[..7].contains(&1) && turns[..7].contains(&2), "{turns:?}");
    }

    #[test]
    fn a_turn_that_was_taken_counts_when_the_weight_changes() {
        let mut weighted = of(&[10, 10], 0.0);
        assert_eq!(weighted.pick(), Some(0));
        // it has had its turn: a better report does not give it the next one as well
        weighted.set(0, 20, 0.0);
        assert_eq!(weighted.pick(), Some(1));
        weighted.set(0, 0, 0.0);
        assert_eq!((weighted.pick(), weighted.len()), (Some(1), 1));
        weighted.set(1, 0, 0.0);
        assert_eq!(weighted.pick(), None);
    }

    proptest! {
        /// In any number of turns each has its share, give or take one and its part of one turn of everybody's.
        #[test]
        fn shares_follow_weights(
            weights in prop::collection::vec(1_u32..40, 1..20), phase in 0.0..1.0_f64, turns in 1_usize..2_000,
        ) {
            let total: u32 = weights.iter().sum();
            let counts = counts(&mut of(&weights, phase), weights.len(), turns);
            for (count, weight) in counts.iter().zip(&weights) {
                let share = f64::from(*weight) / f64::from(total);
                let slack = 1.0 + share * weights.len() as f64;
                prop_assert!((*count as f64 - share * turns as f64).abs() <= slack, "{counts:?} of {weights:?}");
            }
        }

        /// After whole rounds the counts are those of the round robin of the books.
        #[test]
        fn whole_rounds_are_those_of_the_book(weights in prop::collection::vec(1_u32..20, 1..10), rounds in 1_usize..5) {
            let turns = weights.iter().sum::<u32>() as usize * rounds;
            let counts = counts(&mut of(&weights, 1.0), weights.len(), turns);
            let mut book = ByTheBook(weights.iter().map(|weight| (i64::from(*weight), 0)).collect());
            let mut expected = vec![0_usize; weights.len()];
            (0..turns).for_each(|_| expected[book.pick()] += 1);
            for (found, expected) in counts.iter().zip(&expected) {
                // strides are whole numbers: the last turn of a round may fall into the next
                prop_assert!(found.abs_diff(*expected) <= 1, "{counts:?}, not {expected:?}");
            }
        }

        /// A node that leaves takes nobody's turn but its own, and the others' order stays.
        #[test]
        fn when_one_leaves_the_others_keep_their_order(
            weights in prop::collection::vec(1_u32..20, 2..10), turns in 0_usize..50,
        ) {
            let (mut with, mut without) = (of(&weights, 0.5), of(&weights, 0.5));
            (0..turns).for_each(|_| { with.pick(); without.pick(); });
            let leaving = weights.len() - 1;
            let expected: Vec<_> = (0..200).filter_map(|_| with.pick()).filter(|key| *key != leaving).take(20).collect();
            without.set(leaving, 0, 0.0);
            let found: Vec<_> = (0..expected.len()).filter_map(|_| without.pick()).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
