//! What a router tells of rooms that wait to be written is so.

use signalbox::fabric::TIP_FIELD;

use super::super::{host::name, world::World};

/// A router of which nothing waits has written all that happened, as long as Redis has what it was told.
pub(crate) fn now_and_then(world: &mut World) {
    let mut broken = Vec::new();
    for (number, host) in world.hosts.iter().enumerate().filter(|(_, host)| host.runs) {
        let (rooms, since) = host.core.behind();
        if rooms > host.here.len() || (rooms > 0) != since.is_some() {
            broken.push(format!(
                "[figures] {} says {rooms} rooms are behind since {since:?}, and has {}",
                host.name,
                host.here.len()
            ));
        }
        if host.core.rooms() != host.here.len() {
            broken.push(format!(
                "[figures] {} says it has {} rooms, and has {:?}",
                host.name,
                host.core.rooms(),
                host.here
            ));
        }
        for (room, life) in host.here.iter().filter(|_| rooms == 0) {
            let life = &world.chronicle.lives[*life];
            // another router has taken it, and its disk has put all of it beside what that one has
            let is_beside = life.fenced.is_some() || life.beside.is_some();
            if life.taken_back.is_some() || is_beside || world.journals[number].has(*room) {
                continue;
            }
            let stored = world.redis.stored(&name(*room));
            let tip = stored
                .and_then(|stored| stored.fields.get(TIP_FIELD))
                .map(|tip| String::from_utf8_lossy(tip).into_owned());
            let tip = tip.and_then(|tip| tip.parse::<u64>().ok()).unwrap_or_default();
            if tip < life.tip {
                broken.push(format!(
                    "[figures] {} says that all is written, and of {} {tip} of {} is",
                    host.name,
                    name(*room),
                    life.tip
                ));
            }
        }
    }
    world.broken.extend(broken);
}

/// Holds once everything was mended for long enough: nothing waits.
pub(crate) fn at_the_end(world: &mut World) {
    for host in world.hosts.iter().filter(|host| host.runs) {
        let (rooms, since) = host.core.behind();
        if rooms > 0 {
            let what = format!("[figures] {rooms} rooms of {} wait since {since:?}", host.name);
            world.broken.push(what);
        }
    }
}
