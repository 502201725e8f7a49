//! With `redis.ack` other than `"local"` what is said to a room is acknowledged once it is kept: in Redis, or with `"disk"` in its
//! router's journal. So nothing is while Redis is away and there is no journal; and what lies in a journal arrives.

use super::super::{
    chronicle::LifeId,
    plan::{Ack, At, SECOND},
    world::World,
};

/// No answer is held for so long.
const LONG: At = SECOND;

/// What a client said to its room is acknowledged.
pub(crate) fn done(world: &mut World, (life, offset): (LifeId, u64), tag: &str) {
    let ack = world.plan.settings.ack;
    let entry = world.chronicle.entry(life, offset);
    // a history lets go of what was told to all who were there: whoever asks again long after hears that it was done
    let one = &world.chronicle.lives[life];
    let is_let_go = |at: At| offset + one.events <= one.tip && world.now > at + LONG;
    let is_kept = entry.is_some_and(|entry| entry.kept || is_let_go(entry.at));
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
