//! What another router had of a room that is here, and went on there for a while, comes into it: its events (see `room::merging`), its
//! members, their sessions, their media.
//!
//! - A session that is connected here, or was resumed here last, stays as it is here; any other is what the other router says of it.
//! - Of two sessions of one identity the one that is connected here stays, else the one that joined later; the other is replaced. By the
//!   clocks of two routers alone, somebody might be sent away by a session of its own that it has left.
//! - Who left on one side has left, unless its client came back on the other; that it lingered out where its client was not says nothing.
//! - Who finds no place any more is left out, and that is told.

use std::collections::BTreeMap;

use ahash::AHashMap;
use bytes::Bytes;

use super::{
    HallKey, MediaCall, Now, Output, Router, Timer,
    restoring::{Read, read},
    resume::saw,
};
use crate::{
    event::{Event, KeepingFact},
    fabric::{BranchKept, Kept, MemberKept, SessionKept, Unreadable},
    ids::{NodeId, Offset},
    protocol::{
        Code, ROOM_MERGED,
        v1::{self, server_frame::Body},
    },
    room::{Both, Branch, Merged, Said, Saw, Seat},
    session::Lives,
};

/// What came of the members of a branch.
#[derive(Debug, Default)]
struct Settled {
    /// Both sides, by participant.
    both: BTreeMap<String, Both>,
    /// Where those of the branch are who are members.
    seats: AHashMap<String, Seat>,
    /// Sessions that are here now and were not.
    sessions: usize,
    /// Who found no place.
    left_out: usize,
}

/// What is said after the fork, here and there.
type SaidOnBoth = (Said, Said);

impl Router {
    /// What lies beside a room comes into it.
    pub(super) fn merge_branches(&mut self, key: HallKey, branches: Vec<(String, Bytes)>, now: Now) {
        let mut anything = false;
        for (name, branch) in branches {
            let Some(keeping) = &self.halls[key].keeping else { continue };
            if keeping.merged.contains(&name) || keeping.unreadable.contains(&name) {
                continue;
            }
            anything = true;
            let merged = BranchKept::read(&branch).and_then(|kept| self.try_merge(key, (kept, true), now));
            let ended = merged.is_ok();
            self.tell_merged(key, merged);
            if let Some(keeping) = &mut self.halls[key].keeping {
                if ended { &mut keeping.merged } else { &mut keeping.unreadable }.push(name);
            }
        }
        if anything {
            self.keep_soon(key, now.at);
        }
    }

    /// What a claim found comes into the room that claimed it.
    pub(super) fn merge_claimed(&mut self, key: HallKey, kept: Kept, now: Now) {
        let branches = kept.branches.clone();
        if !kept.fields.is_empty() {
            if let Some(keeping) = &mut self.halls[key].keeping {
                keeping.found = true;
            }
            let merged = self.try_merge(key, (kept, false), now);
            self.tell_merged(key, merged);
        }
        self.merge_branches(key, branches, now);
    }

    fn tell_merged(&mut self, key: HallKey, merged: Result<Option<KeepingFact>, Unreadable>) {
        let fact = match merged {
            Ok(Some(fact)) => fact,
            Ok(None) => return,
            Err(why) => KeepingFact::RoomNotMerged { room: self.halls[key].room.id().clone(), why: why.to_string() },
        };
        self.closing.push(Output::Observe(Event::Keeping(fact)));
    }

    /// `beside`: it was put there for this room; else it is what was kept under its name, and may be of this very life.
    fn try_merge(
        &mut self,
        key: HallKey,
        (kept, beside): (Kept, bool),
        now: Now,
    ) -> Result<Option<KeepingFact>, Unreadable> {
        let Read { room: record, tip, members, entries } = read(kept)?;
        let branch = Branch::read(&record, tip, entries)?;
        let (epoch, room) = (branch.epoch, &self.halls[key].room);
        let fork = room.fork(&branch);
        if epoch == room.epoch() || room.has_merged(epoch, tip) || (!beside && tip <= fork) {
            return Ok(None);
        }
        let said = room.said_after(fork, &branch);
        let settled = self.settle_members(key, members, (fork, tip), &said, now);
        let saw = self.who_saw(key);
        let (room, mut turn) = self.room_turn(key, now.at);
        let merged = room.merge((branch, fork, &said), (&settled.seats, &saw), now.unix_ms, &mut turn);
        room.tell_differences(&settled.both, fork, &said, &mut turn);
        let room = room.id().clone();
        self.answer_again(key);
        for seat in settled.seats.values() {
            if let Some(seated) = self.sessions.get_mut(seat) {
                seated.session.replies.unplace();
            }
        }
        self.bring_media(key, record.media_node, &settled, now);
        self.settle(key, now.at);
        let Settled { sessions, left_out, .. } = settled;
        let Merged { after, events, missing } = merged;
        Ok(Some(KeepingFact::RoomMerged { room, epoch, last: tip, after, events, missing, sessions, left_out }))
    }

    fn settle_members(
        &mut self,
        key: HallKey,
        members: Vec<MemberKept>,
        (fork, tip): (Offset, Offset),
        said: &SaidOnBoth,
        now: Now,
    ) -> Settled {
        let mut settled = Settled::default();
        // after all that comes into the log
        let after = self.halls[key].room.tip().0 + tip.0 + 1;
        for member in self.halls[key].room.members() {
            let both = Both { here: Some(member.to_kept()), there: None };
            settled.both.insert(member.id().as_str().to_owned(), both);
        }
        for mut member in members {
            let id = member.participant.id.clone();
            let session = moved(std::mem::take(&mut member.session), fork, after);
            let both = settled.both.entry(id.clone()).or_insert(Both { here: None, there: None });
            both.there = Some(member.clone());
            let known = self.session_ids.get(session.id.as_str()).copied();
            let known = known.filter(|seat| self.sessions.get(seat).is_some_and(|seated| seated.hall == key));
            if let Some(seat) = known {
                settled.seats.insert(id, seat);
                let Some(seated) = self.sessions.get_mut(&seat) else { continue };
                Lives::read(&session).iter().for_each(|came| seated.session.lives.add(came));
                // whoever was resumed last
                let (ours, theirs) = (&seated.session, session.generation);
                let later = ours.generation() < theirs || (ours.generation() == theirs && ours.is_restored());
                if ours.connection().is_none() && later {
                    member.session = session;
                    self.becomes(key, seat, member, now);
                }
                continue;
            }
            // its client was here, and left
            if said.0.left(&id).is_some_and(|reason| reason != Code::LingeredOut.name()) {
                continue;
            }
            if !self.makes_place(key, &member, now) {
                continue;
            }
            if self.halls[key].room.is_full() || self.sessions.len() >= self.settings.sessions_max {
                settled.left_out += 1;
                continue;
            }
            member.session = session;
            settled.sessions += 1;
            let seat = self.comes_in(key, member, fork, now);
            settled.seats.insert(id, seat);
        }
        self.those_who_left(key, &settled.both, fork, &said.1, now);
        settled
    }

    /// Lives that members came from, and up to where they were told there: also of those who are no members there any more.
    fn who_saw(&self, key: HallKey) -> Vec<Saw> {
        let of_one = |seat: Seat| Some(self.sessions.get(&seat)?.session.lives.iter().map(move |came| saw(seat, came)));
        self.halls[key].room.members().iter().filter_map(|member| of_one(member.seat)).flatten().collect()
    }

    /// Whether one of that identity who is here gives way, if there is one.
    fn makes_place(&mut self, key: HallKey, member: &MemberKept, now: Now) -> bool {
        let room = &self.halls[key].room;
        let Some(other) = room.seat_of(&member.participant.identity) else { return true };
        let Some(here) = room.member(other) else { return true };
        if here.connection.is_some() || here.to_wire().joined_at_ms >= member.participant.joined_at_ms {
            return false;
        }
        self.end_session(other, Code::Replaced, now);
        true
    }

    /// A member who is away is what the other router says of it.
    fn becomes(&mut self, key: HallKey, seat: Seat, mut member: MemberKept, now: Now) {
        let bounds = self.hold_bounds();
        let session = std::mem::take(&mut member.session);
        if let Some(seated) = self.sessions.get_mut(&seat) {
            seated.expires_at_ms = session.expires_at_ms;
            seated.session.absorb(session, bounds);
            self.timers.arm(&mut seated.lingers_until, now.at + self.settings.linger, Timer::Linger(seat));
        }
        self.halls[key].room.become_kept(seat, member);
    }

    /// A member that is not here comes in, away.
    fn comes_in(&mut self, key: HallKey, mut member: MemberKept, fork: Offset, now: Now) -> Seat {
        self.seats_given += 1;
        let seat = Seat(self.seats_given);
        let kept = (std::mem::take(&mut member.session), std::mem::take(&mut member.rest));
        let identity = member.participant.identity.clone();
        self.halls[key].room.seat_from(seat, member, fork);
        self.seat_again((key, seat), identity, kept, now);
        seat
    }

    /// Members of before the fork, away here since then, who are not members there any more.
    fn those_who_left(&mut self, key: HallKey, both: &BTreeMap<String, Both>, fork: Offset, there: &Said, now: Now) {
        for (id, both) in both {
            let (Some(here), None) = (&both.here, &both.there) else { continue };
            let Some(seat) = self.halls[key].room.seat_of(&here.participant.identity) else { continue };
            let stayed_away = self.sessions.get(&seat).is_some_and(|seated| seated.session.is_restored());
            if here.since > fork.0 || !stayed_away {
                continue;
            }
            if there.left(id).is_none() {
                self.end_session(seat, Code::Left, now);
                continue;
            }
            self.end_member(key, seat, now.at);
            self.forget_session(seat, Code::Left.refuse());
            self.halls[key].room.remove_untold(seat);
        }
    }

    /// Members whose media another node carried hear that this room's does now; that one hears that the room is not there any more.
    fn bring_media(&mut self, key: HallKey, node: Option<String>, settled: &Settled, now: Now) {
        let here = self.halls[key].media.node().map(|node| node.id.clone());
        let there = node.map(NodeId::from);
        if there.is_some() && here != there {
            let away =
                |seat: &&Seat| self.sessions.get(seat).is_some_and(|seated| seated.session.connection().is_none());
            let mut seats: Vec<Seat> = settled.seats.values().filter(away).copied().collect();
            seats.sort_unstable();
            let moved = v1::MediaMoved { media: self.halls[key].media.to_wire(), reason: ROOM_MERGED.to_owned() };
            let (room, mut turn) = self.room_turn(key, now.at);
            for seat in seats {
                room.move_media_of(seat, moved.clone(), &mut turn);
            }
            if let Some(old) = there.and_then(|node| self.placement.carrying(&node)) {
                let room = self.halls[key].room.id().as_str().to_owned();
                let call = MediaCall::EndRoom(v1::EndMediaRoomRequest { room });
                self.tell_node((key, old.id.clone()), call, now.at);
            }
        }
        self.put_everything(key, now.at);
    }
}

/// A session of a branch, whose offsets after the fork are others here: those of answers are found in the log, if they still are in it,
/// and what is held for it comes after all that it was said after.
fn moved(mut session: SessionKept, fork: Offset, after: u64) -> SessionKept {
    for frame in &mut session.replies {
        if let Some(Body::Ok(ok)) = &mut frame.body
            && ok.offset.is_some_and(|offset| offset > fork.0)
        {
            ok.offset = Some(0);
        }
    }
    for held in session.held.iter_mut().filter(|held| held.after > fork.0) {
        held.after = after;
    }
    session
}
