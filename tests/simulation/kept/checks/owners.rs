//! A room is written by the router that took it last, and by no other; of that one's calls, none that comes after a later one.

use std::collections::BTreeMap;

use signalbox::fabric::{Kept, Taken, Written};

use super::super::{
    host::name,
    redis::{Call, Came},
    world::World,
};

/// By room: which router took it last, under which fence, and the number of the latest call that counted. Kept beside Redis, which is
/// not asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners(BTreeMap<usize, (usize, u64, u64)>);

impl Owners {
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Redis carried a call out.
pub(crate) fn carried_out(world: &mut World, (router, room, seq): (usize, usize, u64), call: &Call, came: &Came) {
    match (call, came) {
        (_, Came::Taken(Taken::Nothing { fence } | Taken::Kept(Kept { fence, .. }))) => {
            world.owners.0.insert(room, (router, *fence, seq));
            taken(world, router, room);
        }
        (Call::Write(write), Came::Written(Written::Written | Written::Branched)) => {
            check(world, (router, room), (write.fence, seq));
            world.owners.0.insert(room, (router, write.fence, seq));
        }
        // of a room that is there, and older than its router was told, nothing was changed
        (Call::Write(write), Came::Written(Written::Missing)) => {
            world.owners.0.entry(room).or_insert((router, write.fence, seq));
        }
        (Call::End { fence }, Came::Written(Written::Branched)) => {
            check(world, (router, room), (*fence, seq));
            world.owners.0.insert(room, (router, *fence, seq));
        }
        (Call::End { fence }, Came::Written(Written::Written)) => {
            check(world, (router, room), (*fence, seq));
            world.owners.0.remove(&room);
        }
        _ => {}
    }
}

fn check(world: &mut World, (router, room): (usize, usize), (fence, seq): (u64, u64)) {
    let Some((owner, under, latest)) = world.owners.0.get(&room).copied() else { return };
    if (owner, under) != (router, fence) {
        world.broken.push(format!(
            "[fence] r{router} changed {} under fence {fence}, which is r{owner}'s under {under}",
            name(room)
        ));
    } else if seq <= latest {
        world.broken.push(format!("[late] call {seq} of r{router} changed {} after call {latest}", name(room)));
    }
}

/// A router took a room: whoever had it cannot write it any more.
fn taken(world: &mut World, router: usize, room: usize) {
    for life in world.chronicle.lives.iter_mut().filter(|life| life.room == room) {
        if life.router != router {
            life.fenced.get_or_insert(world.now);
        } else if life.ended.is_none() {
            life.fenced = None;
        }
    }
}

/// Holds once everything was mended for long enough: a room is at one router, of which the directory and Redis know.
pub(crate) fn at_the_end(world: &mut World) {
    let mut broken = Vec::new();
    for room in 0..world.plan.rooms {
        let on: Vec<usize> =
            (0..world.hosts.len()).filter(|router| world.hosts[*router].here.contains_key(&room)).collect();
        let stored = world.redis.stored(&name(room));
        match on.as_slice() {
            [] => {
                if let Some(home) = world.home(room).filter(|home| world.hosts[*home].keeps.contains(&room)) {
                    let waits = world.hosts[home].fetches.contains_key(&room);
                    if waits {
                        broken.push(format!("[owners] room {room} is nowhere, and r{home} still looks for it"));
                    }
                }
            }
            [one] => {
                if world.home(room) != Some(*one) {
                    broken.push(format!(
                        "[owners] room {room} is on r{one}, and the directory says {:?}",
                        world.home(room)
                    ));
                }
                if stored.is_none_or(|stored| stored.owner != world.hosts[*one].name || stored.released) {
                    let owner = stored.map(|stored| (&stored.owner, stored.released));
                    broken.push(format!("[owners] room {room} is on r{one}, and Redis says {owner:?}"));
                }
            }
            on => broken.push(format!("[owners] room {room} is on {on:?}")),
        }
    }
    world.broken.extend(broken);
}
