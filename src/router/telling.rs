//! What a room's media node has to know: who is there, what it may do, its tracks and subscriptions.
//!
//! Desired state: each change is told as it happens, and when the node missed one, everything is told anew.

use std::time::{Duration, Instant};

use super::{Asked, HallKey, MediaCall, Now, Output, Router, Timer};
use crate::{
    ids::NodeId,
    protocol::{
        Refusal,
        v1::{self, Permissions},
    },
    room::{Change, Member, Seat},
};

/// How long a node may take for it: nobody waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// Until everything is told anew; doubled each time in a row,
const AGAIN: Duration = Duration::from_secs(1);
/// so often.
const AGAIN_DOUBLED_MAX: u32 = 5;
/// Ends that a node missed: so many of a room are told again. Beyond that the node's own idle timeouts have to do.
const OWED_MAX: usize = 256;

/// Something that a node was told.
#[derive(Debug)]
pub(super) struct Told {
    hall: HallKey,
    node: NodeId,
    call: Box<MediaCall>,
}

impl Router {
    /// Tells a node, and looks whether it heard.
    pub(super) fn tell_node(&mut self, (hall, node): (HallKey, NodeId), call: MediaCall, at: Instant) {
        let call = Box::new(call);
        let told = Told { hall, node: node.clone(), call: call.clone() };
        // past its bound nobody looks
        let ticket = self.asked.ticket(|| Asked::Told(told));
        self.closing.push(Output::Media { node, call, ticket, by: at + PATIENCE });
    }

    /// Tells the room's node, when it has one.
    fn tell(&mut self, hall: HallKey, call: impl FnOnce(String) -> MediaCall, at: Instant) {
        let Some(node) = self.halls[hall].media.node().map(|node| node.id.clone()) else { return };
        let call = call(self.halls[hall].room.id().as_str().to_owned());
        self.tell_node((hall, node), call, at);
    }

    /// A participant with all that is its own.
    pub(super) fn put_member(&mut self, hall: HallKey, seat: Seat, at: Instant) {
        let Some(node) = self.halls[hall].media.node().map(|node| node.id.clone()) else { return };
        let room = &self.halls[hall].room;
        let calls = room.member(seat).map(|member| all_of(room.id().as_str(), member)).unwrap_or_default();
        for call in calls {
            self.tell_node((hall, node.clone()), call, at);
        }
    }

    pub(super) fn put_everything(&mut self, hall: HallKey, at: Instant) {
        let seats: Vec<Seat> = self.halls[hall].room.members().iter().map(|member| member.seat).collect();
        for seat in seats {
            self.put_member(hall, seat, at);
        }
    }

    pub(super) fn end_member(&mut self, hall: HallKey, seat: Seat, at: Instant) {
        let Some(member) = self.halls[hall].room.member(seat) else { return };
        let participant_id = member.id().as_str().to_owned();
        self.tell(hall, |room| MediaCall::EndParticipant(v1::EndParticipantRequest { room, participant_id }), at);
    }

    pub(super) fn put_track(&mut self, (hall, seat): (HallKey, Seat), track: v1::Track, at: Instant) {
        let Some(member) = self.halls[hall].room.member(seat) else { return };
        let participant_id = member.id().as_str().to_owned();
        let put = |room| MediaCall::PutTrack(v1::PutTrackRequest { room, participant_id, track: Some(track) });
        self.tell(hall, put, at);
    }

    pub(super) fn end_track(&mut self, hall: HallKey, track: String, at: Instant) {
        self.tell(hall, |room| MediaCall::EndTrack(v1::EndTrackRequest { room, track }), at);
    }

    /// Whether it is muted now, by whomever.
    pub(super) fn tell_mute(&mut self, hall: HallKey, track: &str, at: Instant) {
        let Some(muted) = self.halls[hall].room.is_muted(track) else { return };
        let track = track.to_owned();
        self.tell(hall, |room| MediaCall::MuteTrack(v1::MuteMediaRequest { room, track, muted }), at);
    }

    pub(super) fn tell_subscription(&mut self, (hall, seat): (HallKey, Seat), subscribe: v1::Subscribe, at: Instant) {
        let Some(member) = self.halls[hall].room.member(seat) else { return };
        let participant_id = member.id().as_str().to_owned();
        let v1::Subscribe { tracks, subscribed } = subscribe;
        let call = |room| MediaCall::Subscribe(v1::SubscribeMediaRequest { room, participant_id, tracks, subscribed });
        self.tell(hall, call, at);
    }

    /// Changes a participant, and tells the node what it may do from now on.
    pub(super) fn change_member(
        &mut self,
        (hall, seat): (HallKey, Seat),
        change: Change,
        at: Instant,
    ) -> Result<Option<crate::ids::Offset>, Refusal> {
        let before = self.media_rights(hall, seat);
        let (room, mut turn) = self.room_turn(hall, at);
        let changed = room.change(seat, change, &mut turn)?;
        let after = self.media_rights(hall, seat);
        if before == after {
            return Ok(changed);
        }
        let (Some((_, took_all)), Some((permissions, takes_all))) = (before, after) else { return Ok(changed) };
        if took_all == takes_all {
            let Some(member) = self.halls[hall].room.member(seat) else { return Ok(changed) };
            let participant_id = member.id().as_str().to_owned();
            let permissions = Some(permissions);
            let call =
                |room| MediaCall::SetPermissions(v1::SetPermissionsRequest { room, participant_id, permissions });
            self.tell(hall, call, at);
        } else {
            // its subscriptions are others now
            self.put_member(hall, seat, at);
        }
        Ok(changed)
    }

    fn media_rights(&self, hall: HallKey, seat: Seat) -> Option<(Permissions, bool)> {
        let hall = &self.halls[hall];
        hall.media.node()?;
        hall.room.member(seat).map(|member| (member.permissions().clone(), member.takes_all()))
    }

    /// Whether a node heard what it was told.
    pub(super) fn told(&mut self, told: Told, heard: bool, now: Now) {
        let Told { hall: key, node, call } = told;
        let Some(hall) = self.halls.get_mut(key) else { return };
        // another room may have its place by now
        if !hall.media.is_on(&node) || hall.room.id().as_str() != call.room() {
            return;
        }
        if heard {
            hall.media.again = 0;
            return;
        }
        let is_end = matches!(*call, MediaCall::EndParticipant(_) | MediaCall::EndTrack(_));
        if is_end && hall.media.owed.len() < OWED_MAX {
            hall.media.owed.push(*call);
        }
        if hall.media.again_at.is_none() {
            let pause = AGAIN * (1 << hall.media.again.min(AGAIN_DOUBLED_MAX));
            hall.media.again += 1;
            self.timers.arm(&mut hall.media.again_at, now.at + pause, Timer::Again(key));
        }
    }

    /// The node missed something: ends first, then everything.
    pub(super) fn tell_again(&mut self, key: HallKey, at: Instant) {
        let Some(hall) = self.halls.get_mut(key) else { return };
        hall.media.again_at = None;
        let Some(node) = hall.media.node().map(|node| node.id.clone()) else { return };
        for call in std::mem::take(&mut hall.media.owed) {
            self.tell_node((key, node.clone()), call, at);
        }
        self.put_everything(key, at);
    }
}

/// A participant, its tracks, and where its subscriptions differ from its rule.
pub(super) fn all_of(room: &str, member: &Member) -> Vec<MediaCall> {
    let (room, participant_id) = (room.to_owned(), member.id().as_str().to_owned());
    let mut calls = vec![MediaCall::PutParticipant(v1::PutParticipantRequest {
        room: room.clone(),
        participant_id: participant_id.clone(),
        identity: member.identity().as_str().to_owned(),
        permissions: Some(member.permissions().clone()),
        auto_subscribe: member.takes_all(),
    })];
    let (room_of, id_of) = (|| room.clone(), || participant_id.clone());
    calls.extend(member.tracks().iter().map(|track| {
        MediaCall::PutTrack(v1::PutTrackRequest {
            room: room_of(),
            participant_id: id_of(),
            track: Some(track.clone()),
        })
    }));
    let tracks: Vec<String> = member.exceptions().map(|track| track.as_str().to_owned()).collect();
    if !tracks.is_empty() {
        let subscribed = !member.takes_all();
        calls.push(MediaCall::Subscribe(v1::SubscribeMediaRequest { room, participant_id, tracks, subscribed }));
    }
    calls
}
