//! `recovered: true` only when nothing was missed; and who comes back within the history misses nothing.

use signalbox::protocol::v1::Resumed;

use super::super::{chronicle::LifeId, world::World};

/// A client came back, and is told so in that life of its room.
pub(crate) fn resumed(world: &mut World, client: usize, life: LifeId, resumed: &Resumed) {
    let one = &world.clients[client];
    let (name, since, before, tip) = (one.name.clone(), one.since, (one.life, one.offset), resumed.offset);
    world.chronicle.lives[life].tip = world.chronicle.lives[life].tip.max(tip);
    // a router that had the room before knows nothing of the lives that came since
    let shared = world.chronicle.comes_from(life, before.0) && world.chronicle.is_of(life, before);
    let merged = !shared && world.chronicle.is_merged(life, before);
    world.tally.recovered += usize::from(resumed.recovered);
    world.tally.anew += usize::from(!resumed.recovered);
    let events = world.plan.settings.events as u64;
    if resumed.recovered && !shared && !merged {
        world.broken.push(format!(
            "[recovered] {name} saw {} of a life that ended before, and is told that it missed nothing",
            before.1
        ));
    }
    let first = world.chronicle.lives[life].first;
    let within = |heard: u64| tip - heard <= events && heard >= since && heard + 1 >= first;
    if !resumed.recovered && shared && within(before.1) && !misses_directed(world, client, life) {
        world.broken.push(format!(
            "[history] {name} saw {} of {tip} events, {events} are kept, and it gets the room anew",
            before.1
        ));
    }
    if !shared {
        // it saw more than this router has of the room, or another life of it, and gets it as it was before: that does not count here
        let (one, chronicle) = (&mut world.clients[client], &world.chronicle);
        one.seen.retain(|seen| chronicle.is_of(life, *seen));
        one.messages.retain(|_, seen| chronicle.is_of(life, *seen));
    }
    let heard = if shared { Some(before.1) } else { world.chronicle.end_of(life, before.0) };
    let heard = heard.filter(|heard| *heard <= tip && within(*heard) && !merged);
    if !shared && !merged {
        super::branches::moved(world, client);
    }
    if !resumed.recovered && heard.is_none() {
        super::branches::misses(world, client, (life, tip));
    }
    if resumed.recovered && merged {
        world.tally.joined_again += 1;
    }
    world.clients[client].resumed(life, heard, resumed);
}

/// Whether something was said to the client alone that went with a router that was lost.
fn misses_directed(world: &World, client: usize, life: LifeId) -> bool {
    let one = &world.clients[client];
    world.directed.iter().any(|(tag, push)| {
        push.is_for(client, &one.session)
            && !one.directed.contains(tag)
            && push.lives.iter().any(|said_in| !world.chronicle.is_handed_on(*said_in, life))
    })
}
