//! Two choices: of two nodes drawn by weight, the one that was given less of late for what it weighs.
//!
//! Drawing keeps shares by weight; taking the better of two keeps the fullest within a hair of the mean (Mitzenmacher, 2001),
//! without an order that routers would have to keep.

use ahash::AHashMap;

/// Draws until one is taken, at most: a group whose weights differ by a hundred takes fifty on average.
const DRAWS_MAX: usize = 256;

/// See the module. Keys are the caller's.
#[derive(Debug, Default)]
pub(super) struct TwoChoices {
    nodes: Vec<(usize, u32)>,
    places: AHashMap<usize, usize>,
    /// No weight is above it.
    heaviest: u32,
}

impl TwoChoices {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Puts one at that weight; 0 takes it out.
    pub(super) fn set(&mut self, key: usize, weight: u32) {
        match (self.places.get(&key).copied(), weight) {
            (None, 0) => return,
            (None, weight) => {
                self.places.insert(key, self.nodes.len());
                self.nodes.push((key, weight));
            }
            (Some(place), 0) => {
                self.nodes.swap_remove(place);
                self.places.remove(&key);
                if let Some((moved, _)) = self.nodes.get(place) {
                    self.places.insert(*moved, place);
                }
            }
            (Some(place), weight) => self.nodes[place].1 = weight,
        }
        self.heaviest = self.heaviest.max(weight);
    }

    /// Draws two and takes the one with less of `given` for its weight.
    pub(super) fn pick(&mut self, rng: &mut fastrand::Rng, given: impl Fn(usize) -> f64) -> Option<usize> {
        let first = self.draw(rng)?;
        let second = self.draw(rng)?;
        let load = |place: usize| {
            let (key, weight) = self.nodes[place];
            (given(key) + 1.0) / f64::from(weight)
        };
        let place = if load(second) < load(first) { second } else { first };
        Some(self.nodes[place].0)
    }

    /// A place, each as likely as its weight says.
    fn draw(&mut self, rng: &mut fastrand::Rng) -> Option<usize> {
        if self.nodes.is_empty() {
            return None;
        }
        for _ in 0..DRAWS_MAX {
            let place = rng.usize(..self.nodes.len());
            if rng.u32(..self.heaviest.max(1)) < self.nodes[place].1 {
                return Some(place);
            }
        }
        // whoever was the heaviest weighs less by now, or one outweighs all others: any one will do, once
        self.heaviest = self.nodes.iter().map(|(_, weight)| *weight).max().unwrap_or(1);
        Some(rng.usize(..self.nodes.len()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_that_was_taken_out_is_not_drawn_and_the_rest_are() {
        let (mut two, mut rng) = (TwoChoices::default(), fastrand::Rng::with_seed(1));
        (0..5).for_each(|key| two.set(key, 10));
        two.set(1, 0);
        two.set(1, 0);
        let drawn: std::collections::BTreeSet<_> = (0..200).filter_map(|_| two.pick(&mut rng, |_| 0.0)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 2, 3, 4]);
        [0, 2, 3, 4].into_iter().for_each(|key| two.set(key, 0));
        assert_eq!((two.pick(&mut rng, |_| 0.0), two.len()), (None, 0));
    }

    #[test]
    fn a_node_that_outweighs_all_others_is_found_again_after_it_has_become_light() {
        let (mut two, mut rng) = (TwoChoices::default(), fastrand::Rng::with_seed(1));
        two.set(0, 2_000);
        (1..4).for_each(|key| two.set(key, 1));
        two.set(0, 1);
        let mut counts = [0; 4];
        (0..4_000).filter_map(|_| two.pick(&mut rng, |_| 0.0)).for_each(|key| counts[key] += 1);
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn shares_follow_weights(weights in prop::collection::vec(1_u32..40, 1..12), seed in any::<u64>()) {
            let (mut two, mut rng) = (TwoChoices::default(), fastrand::Rng::with_seed(seed));
            weights.iter().enumerate().for_each(|(key, weight)| two.set(key, *weight));
            let (mut counts, turns) = (vec![0.0; weights.len()], 4_000);
            for _ in 0..turns {
                let key = two.pick(&mut rng, |key| counts[key]).unwrap();
                counts[key] += 1.0;
            }
            let total: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(&weights) {
                let share = f64::from(*weight) / f64::from(total) * f64::from(turns);
                prop_assert!((count - share).abs() <= 0.1 * share + 12.0, "{counts:?} of {weights:?}");
            }
        }
    }
}
