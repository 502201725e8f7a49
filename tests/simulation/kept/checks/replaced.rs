//! A duplicate identity on another router replaces the older session: in the end the newer one alone is a member, and the older one was
//! told, with `replaced` where it was connected, else with `session_gone` once it came back.
//!
//! While two routers have a room of their own both sessions are members, each there. When these come together, whoever is connected to
//! the router that stays is believed, which may be the older one (clocks are not: `router/merging.rs`). The newer one hears then that
//! its session is gone, comes in anew, and replaces the older one after all; so the rule is about the end, and not about each moment.

use signalbox::protocol::Code;

use super::{
    super::{client::State, world::World},
    whole,
};

/// A router ended a session because another took its place: who is connected to it is told in the same breath.
pub(crate) fn left_open(world: &mut World, router: usize) {
    for (by, session) in std::mem::take(&mut world.replaced) {
        let open = world.hosts[by].connections.iter();
        let mut attached = open.filter_map(|id| world.connections[*id as usize - 1].attached.as_ref());
        if by == router && attached.any(|other| *other == session) {
            world.broken.push(format!("[replaced] r{router} replaced session {session} and did not tell it"));
        }
    }
}

/// A client is told that it was replaced, or that its session is gone; whether it stays away then, because it is there as another one.
pub(crate) fn is_over(world: &mut World, client: usize, code: Code) -> bool {
    let one = &mut world.clients[client];
    let is_older = one.newer.is_some();
    world.tally.replaced += usize::from(is_older && code == Code::Replaced);
    world.tally.replaced_away += usize::from(is_older && code == Code::SessionGone);
    if code == Code::Replaced && !is_older {
        let name = one.name.clone();
        world
            .broken
            .push(format!("[replaced] {name} was told that a newer session took its place, and it is the newest"));
    }
    if is_older {
        world.clients[client].state = State::Out;
    }
    is_older
}

/// Holds once everything was mended for long enough.
pub(crate) fn at_the_end(world: &mut World) {
    for older in 0..world.clients.len() {
        let one = &world.clients[older];
        let Some(newer) = one.newer.map(|newer| &world.clients[newer]) else { continue };
        let (name, room, participant) = (one.name.clone(), one.room, newer.participant.clone());
        if one.state != State::Out {
            world
                .broken
                .push(format!("[replaced] {name} came once more, and the older session goes on: {:?}", one.state));
            continue;
        }
        let is_in = newer.state == State::In;
        let Some(life) = world.life_of(room).filter(|_| is_in) else {
            world.broken.push(format!("[replaced] {name} came once more, and is not in its room"));
            continue;
        };
        let router = world.chronicle.lives[life].router;
        let there: Vec<String> = whole::participants(world, router, room)
            .into_iter()
            .filter(|one| one.identity == name)
            .map(|one| one.id)
            .collect();
        if there != [participant.clone()] {
            world
                .broken
                .push(format!("[replaced] {name} is in its room as {there:?}, and the newer one is {participant}"));
        }
    }
}
