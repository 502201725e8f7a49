//! The rules that every world keeps.

pub(crate) mod homes;
pub(crate) mod shares;
pub(crate) mod views;

use std::collections::{BTreeMap, BTreeSet};

use signalbox::directory::record::RoomRecord;

use super::{
    plan::SECOND,
    router::{PREFIX, number},
    world::World,
};

/// Whoever asks hears within the time of one call to etcd, and the way there and back of another.
const ANSWER_MAX: u64 = 5 * SECOND;

/// Which router has a room, as it stands in etcd.
fn records(world: &World) -> BTreeMap<usize, String> {
    let below = format!("{PREFIX}/rooms/");
    let read = |(room, value): (&str, &[u8])| (number(room), RoomRecord::read(value).unwrap().router);
    world.etcd.below(&below).map(read).collect()
}

/// Which rooms are where, as it is.
fn rooms(world: &World) -> BTreeMap<usize, Vec<String>> {
    let mut rooms: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for router in world.routers.iter().filter(|router| router.runs) {
        for room in &router.rooms {
            rooms.entry(*room).or_default().push(router.id.clone());
        }
    }
    rooms
}

/// Holds at any moment.
pub(crate) fn each_second(world: &mut World) {
    let mut broken = Vec::new();
    for router in world.routers.iter().filter(|router| router.runs) {
        if let Some((question, (since, ..))) =
            router.waiting.iter().find(|(_, (since, ..))| world.now > since + ANSWER_MAX)
        {
            broken.push(format!("{}: question {question} waits since {since}, now {}", router.id, world.now));
        }
        if !router.rooms.is_subset(&router.kept) {
            broken.push(format!("{}: joins into a room that is here ask etcd: {:?}", router.id, router.rooms));
        }
        if router.rooms_unwritten(world.now) > router.rooms.len() {
            broken.push(format!("{}: more rooms are not written than there are", router.id));
        }
    }
    if world.is_calm() {
        for (room, on) in rooms(world).into_iter().filter(|(_, on)| on.len() > 1) {
            broken.push(format!("nothing has failed, and room {room} is on {on:?}"));
        }
    }
    world.broken.extend(broken);
}

/// A router gave a room up.
pub(crate) fn moved(world: &mut World, router: usize, room: usize, to: &str) {
    let id = world.routers[router].id.clone();
    if to == id {
        world.broken.push(format!("{id} gave room {room} up to itself"));
    }
    if world.is_calm() {
        world.broken.push(format!("nothing has failed, and {id} gave room {room} up to {to}"));
    }
}

/// Holds once everything was mended for long enough.
pub(crate) fn at_the_end(world: &mut World) {
    if !world.broken.is_empty() {
        return;
    }
    let mut broken = Vec::new();
    let (there, here) = (records(world), rooms(world));
    for (room, on) in &here {
        match (on.as_slice(), there.get(room)) {
            ([one], Some(holder)) if one == holder => {}
            (on, holder) => broken.push(format!("room {room} is on {on:?}, and its record says {holder:?}")),
        }
    }
    for (room, holder) in there.iter().filter(|(room, _)| !here.contains_key(room)) {
        broken.push(format!("room {room} is nowhere, and its record says {holder}"));
    }
    let notices = world.etcd.below(&format!("{PREFIX}/taken/")).count();
    if notices > 0 {
        broken.push(format!("{notices} notices were not taken away"));
    }
    let running = || world.routers.iter().filter(|router| router.runs);
    let digests: BTreeSet<String> = running().map(|router| router.digest(world.now)).collect();
    if digests.len() > 1 {
        broken.push(format!("views differ: {digests:?}"));
    }
    let registered = world.etcd.below(&format!("{PREFIX}/routers/")).count();
    if registered != running().count() || running().any(|router| router.has_left()) {
        broken.push(format!("{registered} of {} routers are registered", running().count()));
    }
    for router in running() {
        let compared = router.compared(world.now);
        if compared.is_some_and(|([here, there], alone)| here != there || alone > 0) {
            broken.push(format!("{}: its rooms and their records differ: {compared:?}", router.id));
        }
        let unwritten = router.rooms_unwritten(world.now);
        if unwritten > 0 || router.kept != router.rooms {
            broken.push(format!(
                "{}: {unwritten} rooms not written, {:?} kept, {:?} here",
                router.id, router.kept, router.rooms
            ));
        }
    }
    world.broken.extend(broken);
    views::at_the_end(world);
    shares::at_the_end(world);
}
