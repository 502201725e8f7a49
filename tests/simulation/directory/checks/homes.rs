//! Routers that raced for a room agree within a second of seeing each other: no room has two homes for longer.
//!
//! Two routers see each other while each of them has its record in etcd, is told of all that it follows, and no word between it and
//! etcd is lost or slow; a watch that is dead, and not known to be, tells nothing. One that could not write its rooms' records may be in a pause after a call that failed, as everybody is whose call
//! has, and is found out with its next try: so long the second has not begun.

use std::collections::BTreeMap;

use super::super::{
    plan::{At, SECOND},
    world::World,
};

/// How long they may take.
const AGREE: At = SECOND;
/// The longest pause after a call that failed: five seconds and half of that more, by a clock that may be slow.
const PAUSE: At = 76 * SECOND / 10;

/// Rooms with two homes that see each other: since when, by the room, both routers, and whether one of these has rooms to write.
pub(crate) type TwoHomes = BTreeMap<(usize, usize, usize, bool), At>;

/// Holds at any moment.
pub(crate) fn now_and_then(world: &mut World) {
    // what that did is found out by comparing, once in a while
    if world.etcd.forgets_rooms() {
        return;
    }
    let mut homes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, router) in world.routers.iter().enumerate().filter(|(_, router)| router.runs) {
        for room in &router.rooms {
            homes.entry(*room).or_default().push(number);
        }
    }
    let mut two = TwoHomes::new();
    for (room, mut on) in homes.into_iter().filter(|(_, on)| on.len() > 1) {
        on.retain(|router| world.sees(*router));
        for (one, other) in on.iter().zip(on.iter().skip(1)) {
            let writes = |router: &usize| world.routers[*router].rooms_unwritten(world.now) > 0;
            let key = (room, *one, *other, writes(one) || writes(other));
            two.insert(key, world.two_homes.get(&key).copied().unwrap_or(world.now));
        }
    }
    for ((room, one, other, writes), since) in &two {
        let may = if *writes { PAUSE + AGREE } else { AGREE };
        if world.now > since + may {
            let what = format!("[homes] room {room} is on r{one} and r{other}, who see each other since {since}");
            world.broken.push(what);
        }
    }
    world.two_homes = two;
}
