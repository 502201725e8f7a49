//! A limit of the whole fleet is passed by no more than a tenth, and of it nine tenths can be used: the routers' shares add up to that.
//!
//! At any time by those that take sessions and have seen each other for a second; which leaves out who is cut off from etcd, and drains:
//! such a router keeps its last share, and the others share the whole among themselves once it is gone from their view. In the end by all.

use signalbox::guard::limits::Share;

use super::super::{
    plan::{At, SECOND},
    world::World,
};

/// What the fleet allows.
const LIMIT: u32 = 1_000;
const MOST: u32 = LIMIT + LIMIT / 10;
const LEAST: u32 = LIMIT - LIMIT / 10;
/// How long routers may pass it that see each other.
const SEEN: At = SECOND;

/// The sum of what routers allow.
fn sum(shares: impl Iterator<Item = Share>) -> u32 {
    shares.map(|share| share.part(LIMIT)).sum()
}

/// Holds at any moment.
pub(crate) fn now_and_then(world: &mut World) {
    let takes = |router: &usize| world.routers[*router].runs && !world.routers[*router].drains;
    let shares = |routers: &[usize]| sum(routers.iter().map(|router| world.routers[*router].share));
    let mut routers: Vec<usize> = (0..world.routers.len()).filter(takes).collect();
    // it is looked closer only where there is something to be seen
    if shares(&routers) > MOST {
        routers.retain(|router| world.sees(*router));
    }
    let all = shares(&routers);
    let passed = (all > MOST).then_some(routers);
    let before = world.passed.take();
    world.passed = passed.map(|by| match before {
        Some((before, since)) if before == by => (by, since),
        _ => (by, world.now),
    });
    if let Some((by, since)) = &world.passed
        && world.now > since + SEEN
    {
        let what = format!("[shares] {all} of {LIMIT} are allowed by {by:?}, who see each other since {since}");
        world.broken.push(what);
    }
}

/// Holds once everything was mended for long enough.
pub(crate) fn at_the_end(world: &mut World) {
    let all = sum(world.routers.iter().filter(|router| router.runs).map(|router| router.share));
    if !(LEAST..=MOST).contains(&all) {
        world.broken.push(format!("[shares] all routers allow {all} of {LIMIT}"));
    }
}
