//! Tracks: what participants publish, and who muted it.

use super::{Audience, Room, Seat, Turn, permissions};
use crate::{
    ids::{Offset, TrackId},
    protocol::{
        Code, Refusal,
        v1::{self, event::Kind},
    },
};

/// In whose right something is done to a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Owner,
    Admin,
}

impl Room {
    /// Describes a new track of a participant.
    ///
    /// # Errors
    /// `permission_denied`, `bad_request` without a kind, `limit_exceeded`, `already_exists` for a cid in use.
    pub(crate) fn publish(
        &mut self,
        seat: Seat,
        id: TrackId,
        publish: v1::Publish,
        turn: &mut Turn<'_>,
    ) -> Result<(Offset, v1::Track), Refusal> {
        let limit = self.bounds.limits.tracks;
        let member = self.member_mut(seat).ok_or_else(|| Code::NotJoined.refuse())?;
        permissions::may_publish(member.permissions(), publish.source)?;
        if publish.kind == v1::TrackKind::Unspecified as i32 {
            return Err(Code::BadRequest.because("`publish.kind` is missing; allowed: audio, video, data"));
        }
        let tracks = &mut member.participant.tracks;
        if tracks.len() >= limit {
            return Err(Code::LimitExceeded.because(format!("`limits.tracks` allows {limit} tracks a participant")));
        }
        if tracks.iter().any(|track| track.cid == publish.cid) {
            return Err(Code::AlreadyExists.because("a live track of yours has this `cid` already"));
        }
        let track = describe(&id, member.participant.identity.as_str(), publish);
        member.participant.tracks.push(track.clone());
        let audience = member.audience();
        self.track_owners.insert(id, seat);
        let offset = self.emit(audience, Kind::TrackPublished(Box::new(track.clone())), turn);
        Ok((offset, track))
    }

    /// Ends a track: one's own, or as an admin anybody's.
    pub(crate) fn unpublish(&mut self, seat: Seat, track: &str, turn: &mut Turn<'_>) -> Result<Offset, Refusal> {
        let (owner, _) = self.right_over(seat, track)?;
        self.unpublish_where(owner, |candidate| candidate.id == track, turn).ok_or_else(|| Code::TrackNotFound.refuse())
    }

    /// Mutes or unmutes, as the owner or as an admin. Without a change there is no event.
    pub(crate) fn mute(&mut self, seat: Seat, mute: &v1::Mute, turn: &mut Turn<'_>) -> Result<Option<Offset>, Refusal> {
        let (owner, right) = self.right_over(seat, &mute.track)?;
        let by = self.seated(seat)?.identity().as_str().to_owned();
        self.mute_in_right(owner, right, mute, (by, turn))
    }

    /// Mutes or unmutes as the admin API.
    pub(crate) fn mute_as_admin(
        &mut self,
        identity: &str,
        mute: &v1::Mute,
        by: String,
        turn: &mut Turn<'_>,
    ) -> Result<v1::Track, Refusal> {
        let owner = self.seat_of(identity).ok_or_else(|| Code::ParticipantNotFound.refuse())?;
        self.mute_in_right(owner, Right::Admin, mute, (by, turn))?;
        self.track_of(owner, &mute.track).cloned()
    }

    fn mute_in_right(
        &mut self,
        owner: Seat,
        right: Right,
        mute: &v1::Mute,
        (by, turn): (String, &mut Turn<'_>),
    ) -> Result<Option<Offset>, Refusal> {
        self.track_of(owner, &mute.track)?;
        let member = self.member_mut(owner).ok_or_else(|| Code::TrackNotFound.refuse())?;
        let audience = member.audience();
        let track = member.participant.tracks.iter_mut().find(|track| track.id == mute.track);
        let track = track.ok_or_else(|| Code::TrackNotFound.refuse())?;
        let (mine, theirs, refusal) = match right {
            Right::Owner => (&mut track.muted_by_owner, track.muted_by_admin, Code::MutedByAdmin),
            Right::Admin => (&mut track.muted_by_admin, track.muted_by_owner, Code::MutedByOwner),
        };
        if *mine == mute.muted {
            // nothing of one's own to undo, and the other's mute is not ours to undo
            return if !mute.muted && theirs { Err(refusal.refuse()) } else { Ok(None) };
        }
        *mine = mute.muted;
        track.muted = track.muted_by_owner || track.muted_by_admin;
        let event = v1::TrackMuted {
            track: track.id.clone(),
            participant: track.participant.clone(),
            muted: track.muted,
            muted_by_owner: track.muted_by_owner,
            muted_by_admin: track.muted_by_admin,
            by,
        };
        Ok(Some(self.emit(audience, Kind::TrackMuted(event), turn)))
    }

    /// Whether a track is muted, by whomever; absent: there is none of that id.
    pub(crate) fn is_muted(&self, track: &str) -> Option<bool> {
        let owner = self.member(*self.track_owners.get(track)?)?;
        owner.tracks().iter().find(|candidate| candidate.id == track).map(|track| track.muted)
    }

    /// Whose track it is and in whose right this participant touches it.
    fn right_over(&self, seat: Seat, track: &str) -> Result<(Seat, Right), Refusal> {
        let owner = self.visible_owner(seat, track)?;
        match owner == seat {
            true => Ok((owner, Right::Owner)),
            false if self.seated(seat)?.is_admin() => Ok((owner, Right::Admin)),
            false => Err(permissions::denied("roomAdmin")),
        }
    }

    /// The owner of a track, unless it is hidden from the one who asks.
    pub(super) fn visible_owner(&self, seat: Seat, track: &str) -> Result<Seat, Refusal> {
        let viewer = self.seated(seat)?;
        let owner = self.track_owners.get(track).and_then(|owner| self.member(*owner));
        match owner {
            Some(owner) if viewer.sees(owner) => Ok(owner.seat),
            _ => Err(Code::TrackNotFound.because(format!("no track `{track:.64}` in the room"))),
        }
    }

    fn track_of(&self, owner: Seat, track: &str) -> Result<&v1::Track, Refusal> {
        let member = self.member(owner).ok_or_else(|| Code::ParticipantNotFound.refuse())?;
        let mut tracks = member.participant.tracks.iter();
        tracks.find(|candidate| candidate.id == track).ok_or_else(|| Code::TrackNotFound.refuse())
    }

    /// Ends those of a participant's tracks that are chosen; answers the last event.
    pub(super) fn unpublish_where(
        &mut self,
        seat: Seat,
        chosen: impl Fn(&v1::Track) -> bool,
        turn: &mut Turn<'_>,
    ) -> Option<Offset> {
        let member = self.member_mut(seat)?;
        let audience = member.audience();
        let ended: Vec<v1::Track> = member.participant.tracks.extract_if(.., |track| chosen(track)).collect();
        let mut last = None;
        for track in ended {
            self.forget_track(&track.id);
            last = Some(self.emit(audience, unpublished(&track), turn));
        }
        last
    }

    /// Nobody keeps a subscription to a track that is gone.
    fn forget_track(&mut self, track: &str) {
        self.track_owners.remove(track);
        for member in &mut self.members {
            member.participant.exceptions.remove(track);
        }
    }

    /// Tells one audience of all tracks of a participant, as if they had just begun or ended.
    pub(super) fn retell_tracks(&mut self, of: Seat, to: Audience, kind: fn(&v1::Track) -> Kind, turn: &mut Turn<'_>) {
        let Some(member) = self.member(of) else { return };
        let kinds: Vec<Kind> = member.participant.tracks.iter().map(kind).collect();
        for kind in kinds {
            self.emit(to, kind, turn);
        }
    }
}

fn describe(id: &TrackId, owner: &str, publish: v1::Publish) -> v1::Track {
    v1::Track {
        id: id.as_str().to_owned(),
        cid: publish.cid,
        participant: owner.to_owned(),
        kind: publish.kind,
        source: publish.source,
        name: publish.name,
        codec: publish.codec,
        layers: publish.layers,
        muted: publish.muted,
        muted_by_owner: publish.muted,
        muted_by_admin: false,
    }
}

pub(super) fn published(track: &v1::Track) -> Kind {
    Kind::TrackPublished(Box::new(track.clone()))
}

pub(super) fn unpublished(track: &v1::Track) -> Kind {
    Kind::TrackUnpublished(v1::TrackUnpublished { track: track.id.clone(), participant: track.participant.clone() })
}
