//! Tracks of a room: publish, unpublish, mute, subscribe.

use std::time::Instant;

use super::{Audience, Participant, Push, Room, presence};
use crate::{
    ids::{Offset, ParticipantId, TrackId},
    protocol::{
        Code, Refusal,
        v1::{self, Permissions, TrackKind, TrackSource, event::Kind},
    },
};

/// Who mutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuteBy<'a> {
    /// A participant of the room: as owner, or else as admin.
    Participant(&'a ParticipantId),
    /// The admin API, under that name.
    Admin(&'a str),
}

/// Whether the permissions allow to publish from a source; the source that is missing is named.
///
/// # Errors
/// `permission_denied`.
fn may_publish(permissions: &Permissions, source: TrackSource) -> Result<(), Refusal> {
    if !permissions.can_publish {
        return Err(Code::PermissionDenied.because("the token lacks `canPublish`"));
    }
    let sources = &permissions.can_publish_sources;
    if sources.is_empty() || sources.contains(&(source as i32)) {
        return Ok(());
    }
    let name = source.as_str_name().trim_start_matches("TRACK_SOURCE_").to_ascii_lowercase();
    Err(Code::PermissionDenied.because(format!("`canPublishSources` does not hold `{name}`")))
}

impl Room {
    fn owner_of(&self, track: &str) -> Result<&Participant, Refusal> {
        self.participants
            .iter()
            .find(|p| p.tracks.iter().any(|t| t.id == track))
            .ok_or_else(|| Code::TrackNotFound.because(format!("no track `{track:.64}` in the room")))
    }

    fn actor(&self, id: &ParticipantId) -> Result<&Participant, Refusal> {
        self.participant(id).ok_or_else(|| Code::SessionGone.refuse())
    }

    /// A participant publishes a track.
    ///
    /// # Errors
    /// `permission_denied`, `limit_exceeded`, `already_exists`, `bad_request`.
    pub fn publish(
        &mut self,
        (by, id): (&ParticipantId, TrackId),
        publish: v1::Publish,
        tracks_max: usize,
        at: Instant,
        out: &mut Vec<Push>,
    ) -> Result<(Offset, v1::Track), Refusal> {
        let participant = self.actor(by)?;
        may_publish(&participant.permissions, publish.source())?;
        if publish.kind() == TrackKind::Unspecified {
            return Err(Code::BadRequest.because("publish.kind is missing; allowed: audio, video, data"));
        }
        if participant.tracks.len() >= tracks_max {
            let why = format!("limits.tracks: {} tracks are published, at most {tracks_max}", participant.tracks.len());
            return Err(Code::LimitExceeded.because(why));
        }
        if !publish.cid.is_empty() && participant.tracks.iter().any(|t| t.cid == publish.cid) {
            return Err(Code::AlreadyExists.because("publish.cid: a live track has it already"));
        }
        let track = v1::Track {
            id: id.to_string(),
            cid: publish.cid,
            participant: participant.identity.to_string(),
            kind: publish.kind,
            source: publish.source,
            name: publish.name,
            codec: publish.codec,
            layers: publish.layers,
            muted: publish.muted,
            muted_by_owner: publish.muted,
            muted_by_admin: false,
        };
        let audience = presence(participant);
        self.participant_mut(by).ok_or_else(|| Code::SessionGone.refuse())?.tracks.push(track.clone());
        let offset = self.emit(Kind::TrackPublished(Box::new(track.clone())), audience, at, out);
        Ok((offset, track))
    }

    /// A track's owner, or an admin, ends it.
    ///
    /// # Errors
    /// `track_not_found`, `permission_denied`.
    pub fn unpublish(
        &mut self,
        by: &ParticipantId,
        track: &str,
        at: Instant,
        out: &mut Vec<Push>,
    ) -> Result<Offset, Refusal> {
        let (owner, actor) = (self.owner_of(track)?, self.actor(by)?);
        if owner.id != actor.id && !actor.permissions.room_admin {
            return Err(Code::PermissionDenied.because("only its owner or a room admin may end a track"));
        }
        let owner = owner.id.clone();
        Ok(self.end_track(&owner, track, at, out))
    }

    fn end_track(&mut self, owner: &ParticipantId, track: &str, at: Instant, out: &mut Vec<Push>) -> Offset {
        let Some(participant) = self.participants.iter_mut().find(|p| p.id == *owner) else { return self.tip };
        participant.tracks.retain(|t| t.id != track);
        let kind = Kind::TrackUnpublished(v1::TrackUnpublished {
            track: track.to_owned(),
            participant: participant.identity.to_string(),
        });
        let audience = presence(participant);
        for participant in &mut self.participants {
            participant.exceptions.remove(track);
        }
        self.emit(kind, audience, at, out)
    }

    /// All tracks of a participant end.
    pub(super) fn end_tracks(&mut self, id: &ParticipantId, at: Instant, out: &mut Vec<Push>) {
        let tracks: Vec<String> =
            self.participant(id).map(|p| p.tracks.iter().map(|t| t.id.clone()).collect()).unwrap_or_default();
        for track in tracks {
            self.end_track(id, &track, at, out);
        }
    }

    /// The tracks that a participant may no longer publish end.
    pub(super) fn end_forbidden_tracks(&mut self, id: &ParticipantId, at: Instant, out: &mut Vec<Push>) {
        let Some(participant) = self.participant(id) else { return };
        let forbidden: Vec<String> = participant
            .tracks
            .iter()
            .filter(|t| may_publish(&participant.permissions, t.source()).is_err())
            .map(|t| t.id.clone())
            .collect();
        for track in forbidden {
            self.end_track(id, &track, at, out);
        }
    }

    /// Mutes or unmutes a track. What the owner muted only the owner unmutes, and likewise for admins.
    ///
    /// # Errors
    /// `track_not_found`, `permission_denied`, `muted_by_admin`, `muted_by_owner`.
    pub fn mute(
        &mut self,
        by: MuteBy<'_>,
        track: &str,
        muted: bool,
        at: Instant,
        out: &mut Vec<Push>,
    ) -> Result<(Offset, v1::Track), Refusal> {
        let owner = self.owner_of(track)?;
        let (as_owner, name) = match by {
            MuteBy::Admin(name) => (false, name.to_owned()),
            MuteBy::Participant(id) => {
                let actor = self.actor(id)?;
                if actor.id != owner.id && !actor.permissions.room_admin {
                    return Err(Code::PermissionDenied.because("only its owner or a room admin may mute a track"));
                }
                (actor.id == owner.id, actor.identity.to_string())
            }
        };
        let (owner, audience) = (owner.id.clone(), presence(owner));
        let participant = self.participant_mut(&owner).ok_or_else(|| Code::TrackNotFound.refuse())?;
        let track =
            participant.tracks.iter_mut().find(|t| t.id == track).ok_or_else(|| Code::TrackNotFound.refuse())?;
        set_muted(track, as_owner, muted)?;
        let track = track.clone();
        let kind = Kind::TrackMuted(v1::TrackMuted {
            track: track.id.clone(),
            participant: track.participant.clone(),
            muted: track.muted,
            muted_by_owner: track.muted_by_owner,
            muted_by_admin: track.muted_by_admin,
            by: name,
        });
        let offset = self.emit(kind, audience, at, out);
        Ok((offset, track))
    }

    /// Starts or ends subscriptions; all of them or, when one cannot be, none.
    ///
    /// # Errors
    /// `permission_denied`, `track_not_found`.
    pub fn subscribe(
        &mut self,
        by: &ParticipantId,
        subscribe: &v1::Subscribe,
        at: Instant,
        out: &mut Vec<Push>,
    ) -> Result<Option<Offset>, Refusal> {
        let actor = self.actor(by)?;
        if !actor.permissions.can_subscribe {
            return Err(Code::PermissionDenied.because("the token lacks `canSubscribe`"));
        }
        let mut owners = Vec::with_capacity(subscribe.tracks.len());
        for track in &subscribe.tracks {
            let owner = self.owner_of(track)?;
            if owner.permissions.hidden && !actor.permissions.room_admin && owner.id != actor.id {
                return Err(Code::TrackNotFound.because(format!("no track `{track:.64}` in the room")));
            }
            owners.push(owner.id.clone());
        }
        let identity = actor.identity.to_string();
        let mut last = None;
        for (track, owner) in subscribe.tracks.iter().zip(owners) {
            let Some(actor) = self.participant_mut(by) else { break };
            if actor.is_subscribed(track) == subscribe.subscribed {
                continue;
            }
            if actor.auto_subscribe == subscribe.subscribed {
                actor.exceptions.remove(track);
            } else {
                actor.exceptions.insert(track.clone());
            }
            let kind = Kind::TrackSubscribed(v1::TrackSubscribed {
                track: track.clone(),
                participant: identity.clone(),
                subscribed: subscribe.subscribed,
            });
            last = Some(self.emit(kind, Audience::Only(Box::new([owner, by.clone()])), at, out));
        }
        Ok(last)
    }
}

fn set_muted(track: &mut v1::Track, as_owner: bool, muted: bool) -> Result<(), Refusal> {
    let (own, other, code) = if as_owner {
        (&mut track.muted_by_owner, track.muted_by_admin, Code::MutedByAdmin)
    } else {
        (&mut track.muted_by_admin, track.muted_by_owner, Code::MutedByOwner)
    };
    if !muted && !*own && other {
        return Err(code.refuse());
    }
    *own = muted;
    track.muted = track.muted_by_owner || track.muted_by_admin;
    Ok(())
}
