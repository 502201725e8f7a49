//! Coming, going, being away and coming back.

use super::{Entrance, Member, Presence, Room, Seat, Turn};
use crate::{
    ids::{ConnectionId, Offset},
    protocol::{Code, v1::ParticipantState},
};

impl Room {
    /// Seats a new participant; its identity must have left before. Seats rise.
    pub(crate) fn join(&mut self, seat: Seat, entrance: Entrance, turn: &mut Turn<'_>) {
        // its own joining is the first event of its stay
        let since = Offset(self.tip().0 + 1);
        let member = Member::new(seat, since, entrance);
        self.seats.insert(member.identity().clone(), seat);
        let (audience, kind) = (member.others(), member.joined_kind());
        self.members.push(member);
        self.touch_at(self.members.len() - 1);
        self.emit(audience, kind, turn);
    }

    /// Ends a stay: its tracks end, the others see it leave.
    pub(crate) fn leave(&mut self, seat: Seat, reason: Code, turn: &mut Turn<'_>) {
        let Some(position) = self.position(seat) else { return };
        self.touch_at(position);
        // it does not see itself go
        self.members[position].connection = None;
        self.unpublish_where(seat, |_| true, turn);
        let member = self.members.remove(position);
        self.seats.remove(member.identity());
        self.emit(member.others(), member.left_kind(reason.name()), turn);
    }

    /// Its connection is gone; it keeps its place.
    pub(crate) fn drop_connection(&mut self, seat: Seat, turn: &mut Turn<'_>) {
        let Some(member) = self.member_mut(seat) else { return };
        member.connection = None;
        let (audience, kind) = (member.others(), member.presence_kind(Presence::Reconnecting));
        self.emit(audience, kind, turn);
    }

    /// It can be reached again; answers what it was before.
    pub(crate) fn reconnect(&mut self, seat: Seat, connection: ConnectionId) -> ParticipantState {
        let Some(member) = self.member_mut(seat) else { return ParticipantState::Unspecified };
        match member.connection.replace(connection) {
            Some(_) => ParticipantState::Connected,
            None => ParticipantState::Reconnecting,
        }
    }

    /// Tells the others that it is back.
    pub(crate) fn announce_return(&mut self, seat: Seat, turn: &mut Turn<'_>) {
        let Some(member) = self.member(seat) else { return };
        let (audience, kind) = (member.others(), member.presence_kind(Presence::Resumed));
        self.emit(audience, kind, turn);
    }
}
