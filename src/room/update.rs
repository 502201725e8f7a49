//! Changes of a participant: what it says of itself, and what it may do from now on.

use std::collections::BTreeMap;

use super::{Audience, Room, Seat, Turn, permissions, track};
use crate::{
    ids::Offset,
    protocol::{
        Code, Limits, Refusal,
        v1::{Permissions, event::Kind},
    },
};

/// Only what is set changes.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) metadata: Option<String>,
    /// Merged; an empty value removes.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Replace the present ones as a whole.
    pub(crate) permissions: Option<Permissions>,
}

impl Change {
    /// Whether it touches what a participant says of itself.
    pub(crate) fn is_of_profile(&self) -> bool {
        self.name.is_some() || self.metadata.is_some() || !self.attributes.is_empty()
    }
}

/// The attributes after a change.
///
/// # Errors
/// `limit_exceeded`, naming the limit that the result passes.
pub(crate) fn merge_attributes(
    present: &BTreeMap<String, String>,
    change: &BTreeMap<String, String>,
    limits: &Limits,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut merged = present.clone();
    for (name, value) in change {
        if value.is_empty() {
            merged.remove(name);
        } else {
            merged.insert(name.clone(), value.clone());
        }
    }
    let (count, bytes) = (merged.len(), merged.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>());
    if count > limits.attributes {
        let message = format!("{count} attributes; `limits.attributes` allows {}", limits.attributes);
        return Err(Code::LimitExceeded.because(message));
    }
    if bytes > limits.attributes_bytes {
        let allowed = limits.attributes_bytes;
        let message = format!("attributes of {bytes} bytes; `limits.attributes_bytes` allows {allowed}");
        return Err(Code::LimitExceeded.because(message));
    }
    Ok(merged)
}

impl Room {
    /// Changes a participant; answers the event's offset, none when all stayed as it was.
    ///
    /// # Errors
    /// `limit_exceeded` of its attributes; nothing has changed then.
    pub(crate) fn change(
        &mut self,
        seat: Seat,
        change: Change,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Offset>, Refusal> {
        let limits = self.bounds.limits;
        let member = self.member_mut(seat).ok_or_else(|| Code::ParticipantNotFound.refuse())?;
        let participant = &mut member.participant;
        let mut changed = false;
        if !change.attributes.is_empty() {
            let merged = merge_attributes(&participant.attributes, &change.attributes, &limits)?;
            changed |= participant.attributes != merged;
            participant.attributes = merged;
        }
        changed |= replace(&mut participant.name, change.name) | replace(&mut participant.metadata, change.metadata);
        match change.permissions {
            Some(permissions) if permissions != participant.permissions => {
                Ok(Some(self.change_permissions(seat, permissions, turn)))
            }
            _ if changed => Ok(Some(self.tell_update(seat, None, turn))),
            _ => Ok(None),
        }
    }

    /// Everything that follows from other permissions, in an order that each viewer can follow: what ends
    /// is told to those who saw it, then who appears or vanishes, then the new state.
    fn change_permissions(&mut self, seat: Seat, new: Permissions, turn: &mut Turn<'_>) -> Offset {
        self.unpublish_where(seat, |track| permissions::may_publish(&new, track.source).is_err(), turn);
        if !new.can_subscribe {
            self.end_subscriptions(seat, turn);
        }
        let Some(member) = self.member_mut(seat) else { return self.tip() };
        let (was_admin, was_hidden) = (member.is_admin(), member.is_hidden());
        member.set_permissions(new);
        let (is_admin, is_hidden) = (member.is_admin(), member.is_hidden());
        if was_hidden != is_hidden {
            self.show_or_hide(seat, Audience::OrdinaryExcept(seat), turn);
        }
        if was_admin != is_admin {
            self.show_or_hide_hidden_ones(seat, turn);
        }
        let to = (was_hidden != is_hidden).then_some(Audience::AdminsAnd(seat));
        self.tell_update(seat, to, turn)
    }

    fn tell_update(&mut self, seat: Seat, to: Option<Audience>, turn: &mut Turn<'_>) -> Offset {
        let Some(member) = self.member(seat) else { return self.tip() };
        let (audience, participant) = (to.unwrap_or(member.audience()), Box::new(member.to_wire()));
        self.emit(audience, Kind::ParticipantUpdated(participant), turn)
    }

    /// To those who are not admins, a participant that hides leaves and one that shows itself joins.
    fn show_or_hide(&mut self, seat: Seat, to: Audience, turn: &mut Turn<'_>) {
        let Some(member) = self.member(seat) else { return };
        if member.is_hidden() {
            let left = member.left_kind(Code::Left.name());
            self.retell_tracks(seat, to, track::unpublished, turn);
            self.emit(to, left, turn);
        } else {
            let joined = member.joined_kind();
            self.emit(to, joined, turn);
            self.retell_tracks(seat, to, track::published, turn);
        }
    }

    /// To a new admin the hidden participants join; to one who is admin no longer they leave.
    fn show_or_hide_hidden_ones(&mut self, viewer: Seat, turn: &mut Turn<'_>) {
        let is_admin = self.member(viewer).is_some_and(super::Member::is_admin);
        let hidden: Vec<Seat> =
            self.members.iter().filter(|m| m.is_hidden() && m.seat != viewer).map(|m| m.seat).collect();
        let to = Audience::Pair(viewer, viewer);
        for seat in hidden {
            let Some(member) = self.member(seat) else { continue };
            if is_admin {
                let joined = member.joined_kind();
                self.emit(to, joined, turn);
                self.retell_tracks(seat, to, track::published, turn);
            } else {
                let left = member.left_kind(Code::Left.name());
                self.retell_tracks(seat, to, track::unpublished, turn);
                self.emit(to, left, turn);
            }
        }
    }
}

fn replace(present: &mut Box<str>, new: Option<String>) -> bool {
    match new {
        Some(new) if *new != **present => {
            *present = new.into();
            true
        }
        _ => false,
    }
}
