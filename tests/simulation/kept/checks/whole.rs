//! What stands in Redis of a room is what another router needs to go on: the room, its members, its log without a gap.

use std::collections::BTreeMap;

use signalbox::{
    fabric::{Kept, MEMBER_PREFIX, MemberKept, ROOM_FIELD, RoomKept, TIP_FIELD, Written},
    protocol::v1::Participant,
    router::{AdminCall, AdminReply, Input, Output},
};

use super::super::{chronicle::LifeId, host::name, world::World};

/// The sessions of the members that are kept.
pub(crate) fn sessions(kept: &Kept) -> Vec<String> {
    members(kept).into_values().collect()
}

/// Participants, and their sessions.
fn members(kept: &Kept) -> BTreeMap<String, String> {
    let members = kept.fields.iter().filter(|(field, _)| field.starts_with(MEMBER_PREFIX));
    let read = members.filter_map(|(_, value)| MemberKept::read(value).ok());
    read.map(|member| (member.participant.id, member.session.id)).collect()
}

/// The offset of its latest event.
pub(crate) fn tip(kept: &Kept) -> Option<u64> {
    let (_, value) = kept.fields.iter().find(|(field, _)| field == TIP_FIELD)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A log that is kept has as much as a history holds, up to the tip. `from`: since an offset that is known.
pub(crate) fn log_is_whole(world: &mut World, room: usize, kept: &Kept, from: u64) {
    let Some(tip) = tip(kept) else {
        return world.broken.push(format!("[whole] the tip of room {room} is not kept"));
    };
    let first = (tip + 1).saturating_sub(world.plan.settings.events as u64).max(from);
    let missing: Vec<u64> =
        (first..=tip).filter(|offset| !kept.entries.iter().any(|(kept, _)| kept == offset)).collect();
    let beyond = kept.entries.last().map_or(0, |(last, _)| *last);
    if !missing.is_empty() || beyond > tip {
        world
            .broken
            .push(format!("[gap] of room {room}, up to {tip}, events {missing:?} are not kept; the last is {beyond}"));
    }
}

/// From which offset on a log that was kept of a life can be whole. A router that hands a room over just after Redis lost some of it
/// has its last write only: all members, and of the history what was never written before.
pub(crate) fn first(world: &World, life: LifeId, kept: &Kept) -> u64 {
    let before = &world.chronicle.lives[life];
    if !before.parted_short {
        return before.first;
    }
    let offsets = kept.entries.iter().rev().map(|(offset, _)| *offset);
    let tip = tip(kept).unwrap_or_default();
    offsets
        .zip((0..=tip).rev())
        .take_while(|(offset, next)| offset == next)
        .last()
        .map_or(tip + 1, |(offset, _)| offset)
}

/// The last write of a room does not stand: only if Redis could not be reached, or another router has the room. That one may have it
/// again because Redis lost that it was taken from it: whoever took it hears of that with its next write, and this one was its last.
pub(crate) fn not_handed_over(world: &mut World, room: usize, life: Option<LifeId>, wrote: Option<&Written>) {
    let Some(life) = life.map(|life| &world.chronicle.lives[life]) else { return };
    let reached = life.ended.is_some_and(|(at, _)| life.hindered < at);
    let taken_back = life.taken_back.is_some() && matches!(wrote, Some(Written::Fenced { .. }));
    if reached && life.fenced.is_none() && !taken_back {
        let what = format!("[whole] the last write of room {room} does not stand, and Redis could be reached");
        world.broken.push(what);
    }
}

/// The life that is kept.
pub(crate) fn epoch(kept: &Kept) -> Option<String> {
    let (_, value) = kept.fields.iter().find(|(field, _)| field == ROOM_FIELD)?;
    RoomKept::read(value).ok().map(|record| record.epoch)
}

/// Holds once everything was mended for long enough.
pub(crate) fn at_the_end(world: &mut World) {
    for room in 0..world.plan.rooms {
        let Some(life) = world.life_of(room) else { continue };
        let Some(stored) = world.redis.stored(&name(room)) else { continue };
        let (kept, router) = (stored.kept(), world.chronicle.lives[life].router);
        log_is_whole(world, room, &kept, world.chronicle.lives[life].first);
        let epoch = epoch(&kept);
        if epoch != world.chronicle.lives[life].epoch {
            let epochs = (epoch, world.chronicle.lives[life].epoch.clone());
            world.broken.push(format!("[whole] room {room} is kept as another life: {epochs:?}"));
        }
        if tip(&kept) != Some(world.chronicle.lives[life].tip) {
            let tips = (tip(&kept), world.chronicle.lives[life].tip);
            world.broken.push(format!("[whole] the tip of room {room} is kept as {tips:?}"));
        }
        let there: Vec<String> = members(&kept).into_keys().collect();
        let mut here: Vec<String> = participants(world, router, room).into_iter().map(|one| one.id).collect();
        here.sort();
        if there != here {
            world.broken.push(format!("[whole] members of room {room} are {here:?}, and kept are {there:?}"));
        }
    }
}

/// Who is in a room, as its router says.
pub(super) fn participants(world: &mut World, router: usize, room: usize) -> Vec<Participant> {
    let call = AdminCall::ListParticipants { room: name(room), after: String::new(), limit: 1_000 };
    let (mut outputs, now) = (Vec::new(), world.hosts[router].now(world.now));
    world.hosts[router].core.handle(Input::Admin { request: 2, by: "ops".to_owned(), call }, now, &mut outputs);
    outputs
        .into_iter()
        .filter_map(|output| match output {
            Output::AdminReply { reply: Ok(AdminReply::Participants(all)), .. } => Some(all),
            _ => None,
        })
        .flatten()
        .filter_map(|info| info.participant)
        .collect()
}
