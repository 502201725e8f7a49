//! A room that another router had goes on here: its members are away until they come back, and its log goes on in a new epoch.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{HallKey, Now, Output, Rest, Router, Seated, Timer};
use crate::{
    event::{Event, KeepingFact},
    fabric::{
        BranchKept, EntryFound, Kept, MEMBER_PREFIX, MemberKept, ROOM_FIELD, RoomKept, SessionKept, TIP_FIELD,
        Unreadable,
    },
    ids::{Epoch, NodeId, Offset, Region, RoomId, Variant},
    placement::Wanted,
    room::{Founding, Returned, Room, Seat},
    session::{Reply, Session},
};

/// What was kept of a room, read.
pub(super) struct Read {
    pub(super) room: RoomKept,
    pub(super) tip: Offset,
    /// In the order of joining.
    pub(super) members: Vec<MemberKept>,
    pub(super) entries: Vec<(u64, EntryFound)>,
}

impl Router {
    /// Goes on with a room that was kept, unless it is here.
    pub(super) fn restore(&mut self, id: RoomId, kept: Kept, now: Now) {
        if let Some(&key) = self.names.get(&id) {
            return self.keep_instead(key, kept, now);
        }
        let fact = match self.try_restore(&id, kept, now) {
            Ok((sessions, entries)) => KeepingFact::RoomRestored { room: id, sessions, entries },
            Err(why) => KeepingFact::RoomNotRestored { room: id, why: why.to_string() },
        };
        self.closing.push(Output::Observe(Event::Keeping(fact)));
    }

    /// How many sessions came with it, and how many events.
    fn try_restore(&mut self, id: &RoomId, kept: Kept, now: Now) -> Result<(usize, usize), Unreadable> {
        let (kept, stands, mut branches) = alone(kept)?;
        let Kept { fence, edition, .. } = kept;
        let Read { room: record, tip, members, entries } = read(kept)?;
        self.has_place(members.len())?;
        let founding = Founding {
            id: id.clone(),
            epoch: Epoch(self.rng.u64(1..)),
            metadata: record.metadata.as_str().into(),
            created_at_ms: record.created_at_ms,
            participants_max: record.participants_max,
            empty_timeout: Duration::from_millis(record.empty_timeout_ms),
        };
        let mut sessions = Vec::with_capacity(members.len());
        let mut seated = Vec::with_capacity(members.len());
        for mut member in members {
            self.seats_given += 1;
            let seat = Seat(self.seats_given);
            sessions.push((
                seat,
                member.participant.identity.clone(),
                std::mem::take(&mut member.session),
                std::mem::take(&mut member.rest),
            ));
            seated.push((seat, member));
        }
        let when = (now.at, now.unix_ms);
        let room = Room::restore((founding, &record), tip, (seated, entries), (self.bounds.clone(), when))?;
        let (count, events) = (sessions.len(), (tip.0 + 1 - room.first_kept().0) as usize);
        let key = self.admit_hall(room, Some(fence));
        let hall = &mut self.halls[key];
        hall.variant = record.variant.map(Variant::from);
        hall.rest = Some(record.rest).filter(|rest| !rest.is_empty()).map(Box::new);
        if let Some(keeping) = &mut hall.keeping {
            match stands {
                None => keeping.stands(tip, edition),
                Some(name) => {
                    keeping.found = true;
                    keeping.merged.push(name);
                }
            }
        }
        for (seat, identity, session, rest) in sessions {
            self.seat_again((key, seat), identity, (session, rest), now);
        }
        self.answer_again(key);
        let (room, mut turn) = self.room_turn(key, now.at);
        room.go_on(&mut turn);
        if let Some(region) = record.media_region {
            let variant = self.halls[key].variant.clone().unwrap_or_default();
            let wanted = Wanted { region: Region::from(region), variant };
            self.place_again(key, wanted, record.media_node.map(NodeId::from), now);
        }
        self.settle(key, now.at);
        self.merge_branches(key, std::mem::take(&mut branches), now);
        Ok((count, events))
    }

    fn has_place(&self, sessions: usize) -> Result<(), Unreadable> {
        let refuse = |why: String| Err(Unreadable::new("the room", why));
        if self.drain.is_some() {
            return refuse("this router drains".to_owned());
        }
        if let Err(full) = self.admits_room() {
            return refuse(full.to_string());
        }
        if self.sessions.len() + sessions > self.settings.sessions_max {
            let max = self.settings.sessions_max;
            return refuse(format!(
                "with its {sessions} sessions the router would pass its limit of {max} (`sessions_max`)"
            ));
        }
        Ok(())
    }

    /// The session of a member that was kept, away from now on. `rest`: what the member's record holds that is not known here.
    pub(super) fn seat_again(
        &mut self,
        (hall, seat): (HallKey, Seat),
        identity: String,
        (mut session, rest): (SessionKept, Rest),
        now: Now,
    ) {
        let rest = (rest, std::mem::take(&mut session.rest));
        let rest = (!rest.0.is_empty() || !rest.1.is_empty()).then(|| Box::new(rest));
        let (expires_at_ms, key) = (session.expires_at_ms, Arc::from(session.key.as_str()));
        let session = Session::restored(identity.into(), key, session);
        self.session_ids.insert(session.id.clone(), seat);
        let mut seated =
            Seated { session, hall, lingers_until: None, expiry: None, expiry_told: false, expires_at_ms, rest };
        self.timers.arm(&mut seated.lingers_until, now.at + self.settings.linger, Timer::Linger(seat));
        self.sessions.insert(seat, Box::new(seated));
    }

    /// Requests that are in the log were carried out: a client that repeats one gets the answer that it had, or missed.
    pub(super) fn answer_again(&mut self, key: HallKey) {
        let returned: Vec<Returned> = self.halls[key].room.returned().collect();
        for Returned { by: (seat, request), offset, track } in returned {
            if let Some(seated) = self.sessions.get_mut(&seat)
                && seated
                    .session
                    .replies
                    .find(request)
                    .is_none_or(|reply| matches!(reply, Reply::Ok { offset: Some(known), .. } if *known < offset.0))
            {
                let reply = Reply::Ok { offset: Some(offset.0), track };
                seated.session.replies.keep(request, reply, self.settings.replies);
            }
        }
    }
}

/// Branches by name.
type Branches = Vec<(String, Bytes)>;

/// A room of which there is nothing but what lies beside it is the first of that, called so; the others come into it.
fn alone(mut kept: Kept) -> Result<(Kept, Option<String>, Branches), Unreadable> {
    let mut branches = std::mem::take(&mut kept.branches);
    if !kept.fields.is_empty() || branches.is_empty() {
        return Ok((kept, None, branches));
    }
    let (name, first) = branches.remove(0);
    Ok((Kept { fence: kept.fence, ..BranchKept::read(&first)? }, Some(name), branches))
}

/// What was kept, as values.
pub(super) fn read(kept: Kept) -> Result<Read, Unreadable> {
    let find = |name: &str| kept.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
    let missing = |what| Unreadable::new(what, "it is missing");
    let room = RoomKept::read(find(ROOM_FIELD).ok_or_else(|| missing("the room's record"))?)?;
    let tip = find(TIP_FIELD).and_then(number).ok_or_else(|| missing("the offset of the latest event"))?;
    let members = kept.fields.iter().filter(|(field, _)| field.starts_with(MEMBER_PREFIX));
    let mut members = members.map(|(_, value)| MemberKept::read(value)).collect::<Result<Vec<_>, _>>()?;
    members.sort_by_key(|member| member.since);
    let entries = kept.entries.iter().map(|(offset, entry)| Ok((*offset, EntryFound::read(entry)?)));
    Ok(Read { room, tip: Offset(tip), members, entries: entries.collect::<Result<_, Unreadable>>()? })
}

fn number(text: &Bytes) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
