//! What happens in a room reaches every member that is there, or comes back within the history, exactly once and in one order.

use std::collections::BTreeSet;

use super::super::{
    chronicle::{LifeId, What},
    client::{Passed, State},
    plan::Ack,
    world::World,
};

/// A client was told what stands at an offset of a life.
pub(crate) fn told(world: &mut World, client: usize, (life, offset): (LifeId, u64), what: What) {
    let owner = world.chronicle.owner(life, offset);
    let one = &mut world.clients[client];
    let name = one.name.clone();
    let mut broken = Vec::new();
    one.told.insert((owner, offset));
    if !one.seen.insert((owner, offset)) {
        broken.push(format!("[once] {name} was told {what:?} at {offset} twice"));
    }
    if one.gap.is_none_or(|gap| gap.recovered) && offset <= one.offset {
        broken.push(format!("[order] {name} was told {what:?} at {offset} after {}", one.offset));
    }
    let before = match &what {
        What::Said { tag, .. } => one.messages.insert(tag.clone(), (owner, offset)).map(|before| (tag, before)),
        What::Happened { .. } => None,
    };
    one.sees(life, offset);
    if let Some((tag, (other, before))) = before
        && world.chronicle.is_of(life, (other, before))
        && !is_done_again(world, (life, offset), (other, before))
        && !(world.chronicle.is_copy(life, offset) && super::branches::is_done_twice(world, tag))
    {
        broken.push(format!("[once] {name} was told {tag}, which was said once, at {before} and at {offset}"));
    }
    world.broken.extend(broken);
    super::branches::heard(world, client, life, &what);
    // what a router tells again is what stood there
    world.stands_at(life, offset, what);
}

/// Whether a request may have been carried out again that the history does not know any more: where it is acknowledged at once another
/// rule has judged that it was.
fn is_done_again(world: &World, (life, offset): (LifeId, u64), (other, before): (LifeId, u64)) -> bool {
    match world.plan.settings.ack {
        Ack::Local => world.chronicle.entry(life, offset).is_some_and(|entry| entry.acknowledged),
        Ack::Disk | Ack::Remote => {
            let events = world.plan.settings.events as u64;
            world.chronicle.owner(life, offset) != other && offset - before >= events
        }
    }
}

/// Of all that was passed by, nothing was meant for the client.
pub(crate) fn at_the_end(world: &mut World) {
    let mut broken = Vec::new();
    for client in 0..world.clients.len() {
        let one = &world.clients[client];
        let before = |(life, tip): &(usize, u64)| world.chronicle.said_up_to(*life, *tip);
        let before: BTreeSet<String> = one.came_anew.iter().flat_map(before).collect();
        let mut passed = one.passed.clone();
        if one.state == State::In {
            let (life, after) = (one.life, one.offset);
            passed.push(Passed { life, after, to: world.chronicle.lives[life].tip, said: false });
        }
        for Passed { life, after, to, said } in passed {
            for offset in after + 1..=to {
                let owner = world.chronicle.owner(life, offset);
                let Some(entry) = world.chronicle.entry(life, offset) else { continue };
                let counts = !said || matches!(entry.what, What::Said { .. });
                // what came from another router it may have heard there
                let elsewhere = match &entry.what {
                    What::Said { tag, .. } => {
                        one.heard.contains_key(tag) || one.passed_by.contains(tag) || before.contains(tag)
                    }
                    What::Happened { .. } => world.chronicle.is_copy(life, offset),
                };
                // or where what stands here by itself had come in
                let as_copy = || {
                    one.told.iter().any(|(life, at)| {
                        let copy = world.chronicle.entry(*life, *at).filter(|copy| copy.what == entry.what);
                        copy.is_some() && world.chronicle.is_copy(*life, *at)
                    })
                };
                if counts
                    && entry.what.is_for(&one.name)
                    && !one.told.contains(&(owner, offset))
                    && !elsewhere
                    && !as_copy()
                {
                    broken.push(format!("[delivery] {} was never told {:?} at {offset}", one.name, entry.what));
                }
            }
        }
    }
    world.broken.extend(broken);
}
