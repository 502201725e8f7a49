//! Two routers that went on with one room: each side gets the other's whole, and nobody anything twice.

use std::collections::BTreeMap;

use signalbox::fabric::{BranchKept, Kept};

use super::{
    super::{
        chronicle::{Ended, Life, LifeId, What},
        plan::At,
        world::World,
    },
    whole,
};

/// A router's claim found what another life of the room left. Whose session comes in with it may linger there from now on.
pub(crate) fn found(world: &mut World, (router, room): (usize, usize), kept: &Kept) {
    for session in whole::sessions(kept) {
        world.left_at.entry((router, session)).or_insert(world.now);
    }
    let life = whole::epoch(kept).and_then(|epoch| world.chronicle.find(room, &epoch));
    world.merges.extend(life.zip(whole::tip(kept)));
}

/// A router gets what lies beside a room.
pub(crate) fn looked(world: &mut World, (router, room): (usize, usize), branches: &[(String, bytes::Bytes)]) {
    for (name, branch) in branches {
        match BranchKept::read(branch) {
            Ok(kept) => found(world, (router, room), &kept),
            Err(why) => world.broken.push(format!("[branches] {name} of room {room}: {why}")),
        }
    }
}

/// What another router had of a room came into it; so many events, behind one that says so.
pub(crate) fn merged(world: &mut World, life: LifeId, (of, last): (&str, u64), (behind, events): (u64, u64)) {
    let room = world.chronicle.lives[life].room;
    let known = world.chronicle.find(room, of);
    let Some(other) = known.filter(|other| world.merges.contains(&(*other, last))) else {
        return world
            .broken
            .push(format!("[branches] room {room} is merged with {of} up to {last}, which nobody handed on"));
    };
    world.tally.merged += 1;
    let life = &mut world.chronicle.lives[life];
    life.merges.push((other, last, behind));
    life.copies.push((behind + 1, behind + events));
}

/// Who has no answer before its router is lost asks again elsewhere: what is not there then is carried out again, and is twice if it
/// comes there after all. Both know it by its request while its session is there.
pub(crate) fn is_done_twice(world: &World, tag: &str) -> bool {
    let places = world.chronicle.places(tag);
    places.iter().filter(|(of, offset)| !world.chronicle.is_copy(*of, *offset)).count() > 1
}

/// A client heard what was said to the room.
pub(crate) fn heard(world: &mut World, client: usize, life: LifeId, what: &What) {
    let What::Said { tag, .. } = what else { return };
    let one = &mut world.clients[client];
    let moves = one.moves;
    if one.heard.insert(tag.clone(), moves).is_none() {
        return;
    }
    if !is_done_twice(world, tag) {
        let name = world.clients[client].name.clone();
        world.broken.push(format!("[branches] {name} heard {tag} again, in life {life}"));
    }
}

/// A client comes to a life of its room where what it saw last is not known. Of where it was before that, and comes to a second time,
/// nobody can tell any more what it heard.
pub(crate) fn moved(world: &mut World, client: usize) {
    let one = &mut world.clients[client];
    one.moves += 1;
    let moves = one.moves;
    let before = std::mem::take(&mut one.heard);
    let (heard, forgotten): (BTreeMap<_, _>, BTreeMap<_, _>) = before.into_iter().partition(|(_, at)| *at + 1 >= moves);
    one.heard = heard;
    one.passed_by.extend(forgotten.into_keys());
}

/// A client gets the room anew, without what was said.
pub(crate) fn misses(world: &mut World, client: usize, (life, tip): (LifeId, u64)) {
    world.clients[client].came_anew.push((life, tip));
}

/// Holds once everything was mended for long enough.
pub(crate) fn at_the_end(world: &mut World) {
    let mut broken = Vec::new();
    for (id, life) in world.chronicle.lives.iter().enumerate() {
        let (Some(at), Some(here)) = (life.beside.or(left_on_disk(life)), world.life_of(life.room)) else { continue };
        // Redis lost what it had, or all had left the room since
        let lost = world.lost_at.is_some_and(|lost| lost >= at);
        // a short history lets go of much of what comes in while it does
        let short = world.plan.settings.events < 1_000;
        if lost || short || ended_empty(world, life.room, at) {
            continue;
        }
        let first = (life.tip + 1).saturating_sub(life.events);
        // of one that was killed it is what its disk had
        let is_killed = matches!(life.ended, Some((_, Ended::Killed)));
        for (offset, entry) in life.entries.range(first..) {
            let What::Said { tag, .. } = &entry.what else { continue };
            let there = world.chronicle.is_of(here, (id, *offset))
                || world.chronicle.places(tag).iter().any(|place| world.chronicle.is_of(here, *place));
            if entry.acknowledged && !there && (entry.on_disk || entry.stands || !is_killed) {
                broken.push(format!(
                    "[branches] {tag} was acknowledged by r{} at {}, in life {id}, was put beside room {} at {at}, or its disk had it when it \
                     was killed then, and is not in life {here}",
                    life.router, entry.at, life.room
                ));
            }
        }
    }
    world.broken.extend(broken);
}

/// When its router was killed, if there is more of the life on its disk than in Redis.
fn left_on_disk(life: &Life) -> Option<At> {
    let (at, how) = life.ended?;
    let is_more = life.entries.values().any(|entry| entry.on_disk && !entry.stands);
    (how == Ended::Killed && is_more).then_some(at)
}

/// Whether a life of the room ended since then because nobody was in it.
fn ended_empty(world: &World, room: usize, since: u64) -> bool {
    world
        .chronicle
        .lives
        .iter()
        .filter(|life| life.room == room)
        .any(|life| matches!(life.ended, Some((at, Ended::Empty)) if at >= since))
}
