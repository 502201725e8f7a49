//! Who takes which track: everything by default, and exceptions.

use super::{Audience, Room, Seat, Turn, permissions};
use crate::{
    ids::{Offset, TrackId},
    protocol::{
        Code, Refusal,
        v1::{self, event::Kind},
    },
};

impl Room {
    /// Starts or ends subscriptions; all of them or, when one track is unknown, none. Only changes are events.
    pub(crate) fn subscribe(
        &mut self,
        seat: Seat,
        request: &v1::Subscribe,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Offset>, Refusal> {
        permissions::may_subscribe(self.seated(seat)?.permissions())?;
        let mut owners = Vec::with_capacity(request.tracks.len());
        for track in &request.tracks {
            let owner = self.visible_owner(seat, track)?;
            if owner == seat {
                return Err(Code::BadRequest.because(format!("track `{track:.64}` is your own")));
            }
            owners.push(owner);
        }
        let mut last = None;
        for (track, owner) in request.tracks.iter().zip(owners) {
            last = self.set_subscribed(seat, owner, (track, request.subscribed), turn).or(last);
        }
        Ok(last)
    }

    /// Ends every subscription of a participant; tracks to come are not taken either.
    pub(super) fn end_subscriptions(&mut self, seat: Seat, turn: &mut Turn<'_>) {
        let Some(viewer) = self.member(seat) else { return };
        let others = self.members.iter().filter(|m| m.seat != seat && viewer.sees(m));
        let tracks: Vec<(Seat, String)> = others
            .flat_map(|owner| owner.participant.tracks.iter().map(|track| (owner.seat, track.id.clone())))
            .collect();
        for (owner, track) in tracks {
            self.set_subscribed(seat, owner, (&track, false), turn);
        }
        if let Some(member) = self.member_mut(seat) {
            member.participant.auto_subscribe = false;
            member.participant.exceptions.clear();
        }
    }

    /// Exceptions kept, all participants together.
    #[cfg(test)]
    pub(crate) fn exceptions(&self) -> usize {
        self.members.iter().map(|member| member.participant.exceptions.len()).sum()
    }

    fn set_subscribed(
        &mut self,
        seat: Seat,
        owner: Seat,
        (track, subscribed): (&str, bool),
        turn: &mut Turn<'_>,
    ) -> Option<Offset> {
        let participant = &mut self.member_mut(seat)?.participant;
        let changed = if subscribed == participant.auto_subscribe {
            participant.exceptions.remove(track)
        } else {
            participant.exceptions.insert(TrackId::from(track))
        };
        if !changed {
            return None;
        }
        let identity = participant.identity.as_str().to_owned();
        let event = v1::TrackSubscribed { track: track.to_owned(), participant: identity, subscribed };
        Some(self.emit(Audience::Pair(owner, seat), Kind::TrackSubscribed(event), turn))
    }
}
