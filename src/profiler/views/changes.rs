//! What takes a larger share of a profile than it took of another: the answer to "what was different".
//!
//! Shares, not weights: the two windows need not be of the same length, nor equally busy.

use std::collections::HashMap;

use super::top::{By, Key, Sum, share, sums};
use crate::profiler::profile::Profile;

/// What is no share worth looking at: as much is added to both before they are compared.
const FLOOR: f64 = 0.005;
/// Divergences closer than this are the same to the order of rows: one in a hundred is as fine as sampling tells.
const SAME_PER_DIVERGENCE: f64 = 100.0;

/// A function and its shares.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Change {
    /// Its whole path.
    pub name: String,
    /// Where it is written; empty: not known.
    pub file: String,
    /// Of the base's weight, what is in stacks that the function is in: 0 to 1.
    pub base_share: f64,
    /// The same of the target.
    pub target_share: f64,
}

impl Change {
    /// Positive: it grew. -1 to 1.
    pub fn growth(&self) -> f64 {
        self.target_share - self.base_share
    }

    /// How much it tells of what was different: its part of the Kullback-Leibler divergence of both, with the sign of
    /// its growth. What came from nothing tells more than the same growth of a function that is in every other stack,
    /// as a runtime's loop is.
    fn divergence(&self) -> f64 {
        self.growth().abs() * ((self.target_share + FLOOR) / (self.base_share + FLOOR)).ln()
    }
}

/// The `limit` functions that tell most of what was different from `base` to `target`: first those whose share of weight
/// grew, by how much and how many times; what shrank comes after, what shrank most last. Functions of equal shares are
/// left out.
///
/// A function that grew makes its callers grow as much: of these, the one nearest to the leaf is first.
pub fn changes(base: &Profile, target: &Profile, limit: usize) -> Vec<Change> {
    let mut pairs = HashMap::<Key<'_>, (Sum, Sum)>::new();
    for (key, sum) in sums(base, By::Function) {
        pairs.entry(key).or_default().0 = sum;
    }
    for (key, sum) in sums(target, By::Function) {
        pairs.entry(key).or_default().1 = sum;
    }
    let weights = (base.weight(), target.weight());
    let mut found: Vec<_> = pairs
        .iter()
        .map(|(key, (old, new))| {
            let change = Change {
                name: key.name(),
                file: key.file(),
                base_share: share(old.cum, weights.0),
                target_share: share(new.cum, weights.1),
            };
            (change, if new.cum > 0 { new.distance() } else { old.distance() })
        })
        .filter(|(change, _)| change.growth() != 0.0)
        .collect();
    found.sort_by(|(a, a_distance), (b, b_distance)| {
        let step = |change: &Change| (change.divergence() * SAME_PER_DIVERGENCE).round();
        let grown = step(b).total_cmp(&step(a)).then(a_distance.total_cmp(b_distance));
        grown.then(b.divergence().total_cmp(&a.divergence())).then_with(|| (&a.name, &a.file).cmp(&(&b.name, &b.file)))
    });
    found.into_iter().take(limit).map(|(change, _)| change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::views::fixture::Stacks;

    fn names(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.name.as_str()).collect()
    }

    #[test]
    fn what_grew_most_is_first_and_what_shrank_is_last() {
        let base = Stacks::default().add("main;join", 50).add("main;send", 50).profile();
        let target = Stacks::default().add("main;join", 40).add("main;send", 10).add("main;planted", 50).profile();
        let found = changes(&base, &target, 9);
        assert_eq!(names(&found), ["planted", "join", "send"], "main has all of both");
        assert_eq!((found[0].base_share, found[0].target_share), (0.0, 0.5));
        assert_eq!((found[2].base_share, found[2].target_share), (0.5, 0.1));
        assert_eq!(names(&changes(&base, &target, 1)), ["planted"]);
    }

    #[test]
    fn what_is_new_tells_more_than_what_was_in_every_stack_and_grew_as_much() {
        let base = Stacks::default().add("loop;send", 740).add("park", 260).profile();
        let target = Stacks::default().add("loop;send", 760).add("loop;join", 60).add("park", 180).profile();
        let found = changes(&base, &target, 9);
        assert_eq!(names(&found)[..2], ["join", "loop"]);
        assert_eq!(names(&found).last(), Some(&"park"));
    }

    #[test]
    fn shares_do_not_know_how_long_the_windows_are() {
        let base = Stacks::default().add("main;join", 1).add("main;send", 1).profile();
        let target = Stacks::default().add("main;join", 500).add("main;send", 500).profile();
        assert_eq!(changes(&base, &target, 9), []);
    }

    #[test]
    fn of_a_function_and_its_callers_the_function_is_first() {
        let base = Stacks::default().add("main;wait", 10).profile();
        let target =
            Stacks::default().add("main;a_thread;a_run;planted", 10_000).add("main;a_thread;a_run", 3).profile();
        assert_eq!(names(&changes(&base, &target, 9)), ["planted", "a_run", "a_thread", "wait"]);
    }

    #[test]
    fn recursion_counts_once_a_stack() {
        let base = Stacks::default().add("main", 1).profile();
        let found = changes(&base, &Stacks::default().add("main;walk;walk;walk", 1).add("main", 1).profile(), 9);
        assert_eq!((found[0].name.as_str(), found[0].target_share), ("walk", 0.5));
    }

    #[test]
    fn against_nothing_everything_is_growth() {
        let target = Stacks::default().add("main;join", 5).profile();
        let found = changes(&Stacks::default().profile(), &target, 9);
        assert!(found.len() == 2 && found.iter().all(|change| change.growth() == 1.0), "{found:?}");
        assert_eq!(changes(&Stacks::default().profile(), &Stacks::default().profile(), 9), []);
    }
}
