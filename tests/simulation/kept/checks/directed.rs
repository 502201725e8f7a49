//! What is said to one client alone reaches it once at most; and once, as long as rooms are handed on whole. A router that is killed
//! loses what it held. It does not come before what happened in the room that its sender had been told when it said that (`[after]`).

use super::super::{
    chronicle::{LifeId, What},
    client::State,
    world::World,
};

/// Something that was said to one client alone.
#[derive(Clone, Debug)]
pub(crate) struct Directed {
    /// To whom: a client, and its session then,
    session: String,
    client: usize,
    /// or its newer one, which is there under the same identity or wants to be.
    newer: Option<usize>,
    /// In which lives of the room that was carried out.
    pub(crate) lives: Vec<LifeId>,
}

impl Directed {
    /// Whether it may be for this session of a client.
    pub(crate) fn is_for(&self, client: usize, session: &str) -> bool {
        (self.client == client && self.session == session) || self.newer == Some(client)
    }
}

/// A router has done it: said something to one client, who hears it now or once it is back.
pub(crate) fn done(world: &mut World, life: LifeId, (by, id): (usize, u64)) {
    let request = world.clients[by].requests.iter().find(|request| request.id == id);
    let Some((tag, to)) = request.and_then(|request| Some((request.tag.clone(), request.to.clone()?))) else { return };
    let Some(client) = world.clients.iter().position(|client| client.name == to) else { return };
    let one = &world.clients[client];
    let (session, newer) = (one.session.clone(), one.newer);
    let directed = world.directed.entry(tag).or_insert(Directed { session, client, newer, lives: Vec::new() });
    directed.newer = directed.newer.or(newer);
    if directed.lives.last() != Some(&life) {
        directed.lives.push(life);
    }
}

/// A client hears what was said to it alone.
pub(crate) fn heard(world: &mut World, client: usize, seq: u64, tag: &str) {
    comes_after(world, client, tag);
    let one = &mut world.clients[client];
    let name = one.name.clone();
    if seq <= one.seq {
        world.broken.push(format!("[directed] {name} heard {tag} as {seq}, after {}", one.seq));
    }
    one.seq = one.seq.max(seq);
    if one.directed.insert(tag.to_owned()) {
        return;
    }
    // Who had no answer before its router was lost asks again, and nothing is known there of what was said to one alone: it is said
    // twice, in two lives, and only then.
    let lives = world.directed.get(tag).map_or(&[][..], |directed| &directed.lives);
    let again =
        lives.iter().zip(lives.iter().skip(1)).any(|(first, then)| !world.chronicle.is_handed_on(*first, *then));
    if !again {
        world.broken.push(format!("[directed] {name} heard {tag} twice"));
    }
}

/// All that the sender had been told when it said that, its hearer has been told, too, as far as it was for it, and both are in one
/// life of the room or in ones that went on from it. Of a room that it gets anew nothing of that comes any more.
fn comes_after(world: &mut World, client: usize, tag: &str) {
    let Some((said_in, after)) = world.sent_after.get(tag).copied() else { return };
    let one = &world.clients[client];
    let gets_anew = one.gap.is_some_and(|gap| !gap.recovered);
    if gets_anew || !world.chronicle.is_of(one.life, (said_in, after)) {
        return;
    }
    let mut missing = (one.offset + 1..=after).filter(|offset| {
        let Some(entry) = world.chronicle.entry(one.life, *offset) else { return false };
        let told = one.told.contains(&(world.chronicle.owner(one.life, *offset), *offset));
        // what came from another life of the room it may have heard there
        let elsewhere = match &entry.what {
            What::Said { tag, .. } => one.heard.contains_key(tag) || one.passed_by.contains(tag),
            What::Happened { .. } => world.chronicle.is_copy(one.life, *offset),
        };
        entry.what.is_for(&one.name) && !told && !elsewhere
    });
    if let Some(offset) = missing.next() {
        let what = format!(
            "[after] {} heard {tag}, which was said after {after}, before what happened at {offset}: it had seen {}",
            one.name, one.offset
        );
        world.broken.push(what);
    }
}

/// Who is in the room yet was told all that rooms that are handed on take along.
pub(crate) fn at_the_end(world: &mut World) {
    let mut broken = Vec::new();
    for (tag, directed) in &world.directed {
        let one = &world.clients[directed.client];
        let stayed = one.state == State::In && one.session == directed.session && directed.newer.is_none();
        // one that ended where that was held for it is another one where it came in again
        let over = world.sessions_ended.contains_key(&directed.session);
        // of a session that two lives had, what was held in the one that it was not resumed in last is not brought to the other
        let two = !world.chronicle.lives[one.life].merges.is_empty();
        let kept = !over && !two && directed.lives.iter().any(|life| world.chronicle.is_handed_on(*life, one.life));
        if stayed && kept && !one.directed.contains(tag) {
            broken.push(format!("[directed] {} never heard {tag}", one.name));
        }
    }
    world.broken.extend(broken);
}
