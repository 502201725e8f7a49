//! A request that is repeated is not carried out again, as far as the history that is kept goes.

use super::{
    super::{
        chronicle::{LifeId, What},
        world::World,
    },
    acknowledged,
};

/// A client's request was done: what it said to the room stands at that offset of a life.
pub(crate) fn done(world: &mut World, (life, offset): (LifeId, u64), client: usize, id: u64) {
    let one = &world.clients[client];
    let Some(request) = one.requests.iter().find(|request| request.id == id) else {
        return world.broken.push(format!("[repeat] {} hears of request {id}, which it did not make", one.name));
    };
    let (tag, name) = (request.tag.clone(), one.name.clone());
    world.stands_at(life, offset, What::Said { tag: tag.clone(), by: name });
    acknowledged::done(world, (life, offset), &tag);
    if !world.chronicle.acknowledge(life, offset) {
        world.tally.repeated += 1;
        return;
    }
    let events = world.plan.settings.events as u64;
    for (other, before) in world.chronicle.places(&tag) {
        let is_there = world.chronicle.is_of(life, (*other, *before)) && *before < offset;
        // in the life that carried it out the answer itself is kept
        if is_there && (*other == world.chronicle.owner(life, offset) || offset - before < events) {
            world.broken.push(format!("[repeat] {tag} was carried out at {before}, and again at {offset}"));
            return;
        }
    }
}
