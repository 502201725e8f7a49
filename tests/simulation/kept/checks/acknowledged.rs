//! With `redis.ack` other than `"local"` what is said to a room is acknowledged once it is kept: in Redis, or with `"disk"` in its
//! router's journal. So nothing is while Redis is away and there is no journal; and what lies in a journal arrives.

use super::super::{chronicle::LifeId, plan::Ack, world::World};

/// What a client said to its room is acknowledged.
pub(crate) fn done(world: &mut World, (life, offset): (LifeId, u64), tag: &str) {
    let ack = world.plan.settings.ack;
    let Some(entry) = world.chronicle.entry(life, offset) else { return };
    // what the history let go of before it could be kept was told to all who were there; a repeat is answered as before
    let one = &world.chronicle.lives[life];
    let is_kept = entry.kept || offset + one.events <= one.tip;
    if ack != Ack::Local && !is_kept {
        world.broken.push(format!("[kept] {tag} at {offset} was acknowledged ({ack:?}) and was kept nowhere"));
    }
}

/// Once everything was mended for long enough nothing lies on a disk any more.
pub(crate) fn at_the_end(world: &mut World) {
    for (host, journal) in world.hosts.iter().zip(&world.journals) {
        if host.runs && !journal.is_empty() {
            let what = format!("[journal] {} has not brought all that lies there: {journal:?}", host.name);
            world.broken.push(what);
        }
    }
}
