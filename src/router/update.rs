//! `update`: metadata, attributes, a fresh token.

use std::collections::BTreeMap;

use super::{Now, Output, Router, fan_out};
use crate::{
    auth::Grant,
    ids::{Offset, SessionId},
    protocol::{Code, Limits, Refusal, v1, validate},
    room::{Change, Participant},
};

impl Router {
    pub(super) fn update(
        &mut self,
        id: &SessionId,
        update: v1::Update,
        grant: Option<&Grant>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<Option<Offset>, Refusal> {
        if let Some(grant) = grant {
            self.check_fresh(id, grant)?;
        }
        let limits = self.settings.limits;
        let Some((session, room)) = self.pair(id) else { return Err(Code::SessionGone.refuse()) };
        let participant = room.participant(&session.participant).ok_or_else(|| Code::SessionGone.refuse())?;
        // a fresh token's grants decide what the same frame may change
        let permissions = grant.map_or(&participant.permissions, |grant| &grant.permissions);
        let own = update.name.is_some() || update.metadata.is_some() || !update.attributes.is_empty();
        if own && !permissions.can_update_own_metadata && !permissions.room_admin {
            return Err(Code::PermissionDenied.because("the token lacks `canUpdateOwnMetadata`"));
        }
        if update.room_metadata.is_some() && !permissions.room_admin {
            return Err(Code::PermissionDenied.because("update.room_metadata: the token lacks `roomAdmin`"));
        }
        let attributes = merged(participant, &update.attributes, &limits)?;
        let participant = session.participant.clone();
        let mut pushes = Vec::new();
        let mut offset = None;
        if own {
            let change = Change { name: update.name, metadata: update.metadata, attributes, permissions: None };
            offset = room.change(&participant, change, now.at, &mut pushes);
        }
        if let Some(metadata) = update.room_metadata {
            offset = Some(room.set_metadata(metadata, now.at, &mut pushes));
        }
        fan_out(pushes, out);
        if let Some(grant) = grant {
            offset = self.replace_grant(id, grant, now, out).or(offset);
            self.watch_expiry(id, now);
        }
        Ok(offset)
    }

    fn check_fresh(&self, id: &SessionId, grant: &Grant) -> Result<(), Refusal> {
        let session = self.sessions.get(id).ok_or_else(|| Code::SessionGone.refuse())?;
        if *grant.key != *session.key || grant.identity != session.identity {
            return Err(Code::PermissionDenied.because("update.token is of another key or identity"));
        }
        if grant.room.as_ref().is_some_and(|room| *room != session.room) {
            return Err(Code::WrongRoom.because("update.token is for another room"));
        }
        if !grant.room_join {
            return Err(Code::PermissionDenied.because("update.token lacks `roomJoin`"));
        }
        Ok(())
    }

    /// The permissions and the end of validity of a grant replace the present ones.
    pub(super) fn replace_grant(
        &mut self,
        id: &SessionId,
        grant: &Grant,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Option<Offset> {
        let (session, room) = self.pair(id)?;
        session.expires_at_ms = grant.expires_at_ms;
        session.noticed = false;
        let participant = session.participant.clone();
        if room.participant(&participant)?.permissions == grant.permissions {
            return None;
        }
        let change = Change { permissions: Some(grant.permissions.clone()), ..Change::default() };
        let mut pushes = Vec::new();
        let offset = room.change(&participant, change, now.at, &mut pushes);
        fan_out(pushes, out);
        offset
    }
}

/// The attributes after a change, when there is one, within the limits.
pub(super) fn merged(
    participant: &Participant,
    changes: &BTreeMap<String, String>,
    limits: &Limits,
) -> Result<Option<BTreeMap<String, String>>, Refusal> {
    if changes.is_empty() {
        return Ok(None);
    }
    let merged = participant.merged_attributes(changes);
    validate::attributes("attributes", &merged, limits)?;
    Ok(Some(merged))
}
