//! What happens in a room reaches every member that is there, or comes back within the history, exactly once and in one order.

use super::super::{
    chronicle::{LifeId, What},
    client::{Passed, State},
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
    if let What::Said { tag, .. } = &what
        && let Some((other, before)) = one.messages.insert(tag.clone(), (owner, offset))
        && world.chronicle.is_of(life, (other, before))
        && !world.chronicle.entry(life, offset).is_some_and(|entry| entry.acknowledged)
    {
        broken.push(format!("[once] {name} was told {tag}, which was said once, at {before} and at {offset}"));
    }
    one.sees(life, offset);
    world.broken.extend(broken);
    // what a router tells again is what stood there
    world.stands_at(life, offset, what);
}

/// Of all that was passed by, nothing was meant for the client.
pub(crate) fn at_the_end(world: &mut World) {
    let mut broken = Vec::new();
    for client in 0..world.clients.len() {
        let one = &world.clients[client];
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
                if counts && entry.what.is_for(&one.name) && !one.told.contains(&(owner, offset)) {
                    broken.push(format!("[delivery] {} was never told {:?} at {offset}", one.name, entry.what));
                }
            }
        }
    }
    world.broken.extend(broken);
}
