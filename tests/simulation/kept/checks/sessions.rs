//! No failure of Redis closes a session; none is gone but those that left, were away for too long, or whose joining was lost.

use std::collections::BTreeMap;

use signalbox::{
    auth::Grant,
    protocol::{Code, v1::Permissions},
};

use super::super::{
    chronicle::{Ended, LifeId},
    client::State,
    world::World,
};

/// What a client's token grants.
pub(crate) fn grant(identity: &str) -> Grant {
    let permissions =
        Permissions { can_publish: true, can_subscribe: true, can_publish_data: true, ..Permissions::default() };
    Grant {
        key: "key".to_owned(),
        identity: identity.into(),
        name: String::new(),
        metadata: String::new(),
        attributes: BTreeMap::new(),
        room: None,
        room_join: true,
        room_create: false,
        room_list: false,
        permissions,
        expires_at_ms: None,
    }
}

/// A session ended at a router.
pub(crate) fn ended(world: &mut World, router: usize, session: &str, reason: Code) {
    let whose = world.clients.iter().position(|client| client.session == session);
    let room = whose.map(|client| world.clients[client].room);
    let allowed = match reason {
        Code::Left => true,
        Code::LingeredOut => {
            let left_at = world.left_at.get(&(router, session.to_owned())).copied();
            // clocks run apart
            left_at.is_some_and(|at| world.now - at >= world.plan.settings.linger * 98 / 100)
        }
        Code::Replaced => world.comes_in.is_some() || !world.merges.is_empty(),
        // where another router has it, or where nothing of it was written
        Code::RoomElsewhere => room.is_none_or(|room| world.moved.contains(&(router, room))),
        Code::Draining => world.hosts[router].drains,
        _ => false,
    };
    if !allowed {
        world.broken.push(format!("[sessions] r{router} closed session {session} with {}", reason.name()));
    }
    if reason == Code::Replaced {
        world.replaced.push((router, session.to_owned()));
    }
    if matches!(reason, Code::Left | Code::LingeredOut | Code::Replaced)
        && let Some(life) = room.and_then(|room| world.hosts[router].here.get(&room))
    {
        world.sessions_ended.entry(session.to_owned()).or_default().push(*life);
    }
}

/// A client hears that its session is gone, from a router that had that life of its room.
pub(crate) fn gone(world: &mut World, client: usize, life: Option<LifeId>) {
    world.tally.gone += 1;
    let one = &world.clients[client];
    let (room, router, session, name) = (one.room, one.router, one.session.clone(), one.name.clone());
    let joined = (one.joined_in, one.since);
    let Some(life) = life else {
        let last = world.chronicle.lives.iter().rev().find(|life| life.room == room);
        let ended = last.is_some_and(|life| matches!(life.ended, Some((_, Ended::Empty))));
        if !ended {
            world.judge(room, world.life_of(room), false);
        }
        return;
    };
    let ended = world.sessions_ended.get(&session).is_some_and(|ended| {
        ended.iter().any(|ended_in| {
            world.chronicle.comes_from(life, *ended_in) || world.chronicle.is_merged(life, (*ended_in, 1))
        })
    });
    // that it joined is lost: whether that may be another rule says
    let lost = !world.chronicle.is_of(life, joined);
    if !ended && !lost {
        world.broken.push(format!("[sessions] {name} hears at r{router} that its session is gone, and it is a member"));
    }
}

/// Everybody who wants to be in a room is.
pub(crate) fn at_the_end(world: &mut World) {
    for client in &world.clients {
        if !matches!(client.state, State::In | State::Out) {
            let what = format!("[sessions] {} cannot come in: {:?}", client.name, client.state);
            world.broken.push(what);
        }
    }
}
