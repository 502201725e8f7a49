//! Many routers' directories, an etcd with the real one's semantics, a network that loses, delays and parts, routers that crash and
//! drain, clocks that run apart.

mod checks;
mod etcd;
mod network;
mod operators;
mod plan;
mod router;
mod world;

use std::{collections::BTreeSet, time::Duration};

use self::{
    plan::{Plan, Planted},
    router::{COMPARES, NEVER},
    world::World,
};
use super::search::{Kind, search};

/// Every so manyth world has a hundred routers; the others three to five.
const LARGE_EACH: u64 = 500;
/// Worlds that are tried to find what was planted.
const PLANTED_SEEDS: u64 = 200;

const KIND: Kind = Kind { name: "directory", seeds: 2_000, broken: |seed| broken(seed, None, COMPARES), history };

fn world(seed: u64, planted: Option<Planted>, compares: Duration) -> World {
    World::new(Plan::new(seed, seed % LARGE_EACH == LARGE_EACH - 1), planted, compares)
}

/// What the rules say of a world.
fn broken(seed: u64, planted: Option<Planted>, compares: Duration) -> Vec<String> {
    world(seed, planted, compares).run()
}

fn history(seed: u64) -> Vec<String> {
    world(seed, None, COMPARES).history()
}

#[test]
fn in_every_world_each_room_ends_on_one_router_and_all_agree() {
    KIND.holds();
}

/// Bugs that were found here once, where rooms were not held against their records: that is a call more, which makes another world of
/// a seed. A seed stays what it was only while the worlds do; the rule it broke is kept beside it.
#[test]
fn worlds_that_broke_a_rule_once_do_not_any_more() {
    for (seed, bug) in [
        (28, "a record that was taken away, without an answer, was believed to stand"),
        (17, "a record was written late, by an etcd that had stood still, and forgotten"),
        (32, "a record of one's own that was found, and not wanted any more, stayed"),
        (127, "who asked while a record was taken away, which failed, was never answered"),
    ] {
        assert_eq!(broken(seed, None, NEVER), Vec::<String>::new(), "again: {bug}");
    }
}

#[test]
fn what_is_planted_is_found() {
    for planted in Planted::ALL {
        let found = search(0..PLANTED_SEEDS, 1, |seed| broken(seed, Some(planted), NEVER));
        assert!(!found.is_empty(), "{planted:?} was not found in {PLANTED_SEEDS} worlds");
    }
}

#[test]
fn what_is_planted_is_found_by_the_rule_that_is_about_it() {
    for (planted, rule) in [
        (Planted::UntoldRules, "[rules]"),
        (Planted::UntoldNodes, "[nodes]"),
        (Planted::BlindWrite, "[written]"),
        (Planted::LostNotice, "[homes]"),
        (Planted::UnseenRouter, "[shares]"),
        (Planted::CountsItself, "[shares]"),
    ] {
        let found = search(0..PLANTED_SEEDS, 1, |seed| {
            let broken = broken(seed, Some(planted), COMPARES).into_iter();
            broken.filter(|what| what.starts_with(rule)).collect()
        });
        assert!(!found.is_empty(), "{planted:?} was not found by {rule} in {PLANTED_SEEDS} worlds");
    }
}

#[test]
fn an_etcd_that_forgets_is_found_out_and_what_it_forgot_is_mended() {
    for planted in Planted::MENDED {
        let without = search(0..PLANTED_SEEDS, usize::MAX, |seed| broken(seed, Some(planted), NEVER)).len();
        let found = search(0..PLANTED_SEEDS, 3, |seed| broken(seed, Some(planted), COMPARES));
        println!("{planted:?}: {without} of {PLANTED_SEEDS} worlds break a rule where nobody compares");
        assert!(without > 10 && found.is_empty(), "{planted:?}: {without} without it; with it {found:?}");
    }
}

#[test]
fn a_seed_is_the_same_world_each_time() {
    let told = |seed| World::new(Plan::new(seed, false), None, COMPARES).history();
    assert_eq!(told(7), told(7));
    let worlds: BTreeSet<Vec<String>> = (0..20).map(told).collect();
    assert_eq!(worlds.len(), 20);
}
