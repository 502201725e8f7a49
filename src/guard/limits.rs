//! Which limit holds for whom: rates and places by op and by scope, put in the order in which they are asked.

use super::rate::Rate;
use crate::{
    event::{Limit, Scope},
    protocol::OpKind,
};

/// What has limits of its own. `leave` has none: to go is never refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// All signals together, `leave` excepted.
    Any,
    /// Connections, before a room is known; those that are open count as under way.
    Connect,
    /// Enter a room.
    Join,
    /// Come back.
    Resume,
    /// Describe a track.
    Publish,
    /// End a track.
    Unpublish,
    /// Mute or unmute.
    Mute,
    /// Subscriptions.
    Subscribe,
    /// Offers, answers, candidates.
    Signal,
    /// Messages.
    Send,
    /// Metadata, attributes, tokens.
    Update,
}

impl Slot {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Any,
        Self::Connect,
        Self::Join,
        Self::Resume,
        Self::Publish,
        Self::Unpublish,
        Self::Mute,
        Self::Subscribe,
        Self::Signal,
        Self::Send,
        Self::Update,
    ];

    /// The word for it in the configuration and in refusals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Connect => "connect",
            Self::Join => "join",
            Self::Resume => "resume",
            Self::Publish => "publish",
            Self::Unpublish => "unpublish",
            Self::Mute => "mute",
            Self::Subscribe => "subscribe",
            Self::Signal => "signal",
            Self::Send => "send",
            Self::Update => "update",
        }
    }

    /// The limits of an op's own; `ping` and what cannot be read count with all others only.
    const fn of(op: OpKind) -> Option<Self> {
        match op {
            OpKind::Join => Some(Self::Join),
            OpKind::Resume => Some(Self::Resume),
            OpKind::Publish => Some(Self::Publish),
            OpKind::Unpublish => Some(Self::Unpublish),
            OpKind::Mute => Some(Self::Mute),
            OpKind::Subscribe => Some(Self::Subscribe),
            OpKind::Signal => Some(Self::Signal),
            OpKind::Send => Some(Self::Send),
            OpKind::Update => Some(Self::Update),
            OpKind::Leave | OpKind::Ping | OpKind::Unknown => None,
        }
    }
}

/// A rate, a number of places, both or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// How often.
    pub rate: Option<Rate>,
    /// How many at once.
    pub at_once: Option<u32>,
}

impl Bound {
    const fn is_none(self) -> bool {
        self.rate.is_none() && self.at_once.is_none()
    }
}

/// One question on the way of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whose state is asked.
    pub scope: Scope,
    /// Which part of it.
    pub slot: Slot,
    /// What is allowed.
    pub bound: Bound,
}

impl Check {
    /// The reason of a refusal, by its rate.
    pub const fn rate_limit(&self) -> Limit {
        Limit::Rate(self.scope)
    }

    /// The same, by its places.
    pub const fn places_limit(&self) -> Limit {
        Limit::AtOnce(self.scope)
    }
}

/// All limits, as they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    connect: Vec<Check>,
    /// By op.
    signals: [Vec<Check>; OpKind::ALL.len()],
}

/// The narrowest first: whom it refuses has taken nothing from the wider ones.
const ORDER: [Scope; 4] = [Scope::User, Scope::Address, Scope::Key, Scope::Router];

impl Rules {
    /// From what is allowed to each slot and scope.
    pub fn new(bound: impl Fn(Slot, Scope) -> Bound) -> Self {
        let checks = |slots: &[Slot]| {
            let each = ORDER.iter().flat_map(|scope| slots.iter().map(move |slot| (*scope, *slot)));
            let checks = each.map(|(scope, slot)| Check { scope, slot, bound: bound(slot, scope) });
            checks.filter(|check| !check.bound.is_none()).collect()
        };
        let of = |op: OpKind| match (op, Slot::of(op)) {
            (OpKind::Leave, _) => Vec::new(),
            (_, Some(own)) => checks(&[own, Slot::Any]),
            (_, None) => checks(&[Slot::Any]),
        };
        Self { connect: checks(&[Slot::Connect]), signals: OpKind::ALL.map(of) }
    }

    /// What is asked of a connection, in this order. The scopes of a user and key are known later than the address.
    pub fn connect(&self) -> &[Check] {
        &self.connect
    }

    /// What is asked of a signal, in this order.
    #[inline]
    pub fn signal(&self, op: OpKind) -> &[Check] {
        &self.signals[op as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everywhere() -> Rules {
        Rules::new(|_, _| Bound { rate: None, at_once: Some(1) })
    }

    #[test]
    fn each_op_is_asked_by_its_own_limits_and_by_those_of_all_narrow_scopes_first() {
        let rules = everywhere();
        let asked = |op| rules.signal(op).iter().map(|check| (check.scope, check.slot)).collect::<Vec<_>>();
        let join = asked(OpKind::Join);
        assert_eq!(join[..2], [(Scope::User, Slot::Join), (Scope::User, Slot::Any)]);
        assert_eq!(join[6..], [(Scope::Router, Slot::Join), (Scope::Router, Slot::Any)]);
        assert_eq!(asked(OpKind::Ping).len(), 4);
        assert!(asked(OpKind::Leave).is_empty(), "to go is never refused");
        assert_eq!(rules.connect().len(), 4);
    }

    #[test]
    fn what_has_no_limit_is_not_asked() {
        let none = Rules::new(|_, _| Bound::default());
        assert!(OpKind::ALL.iter().all(|op| none.signal(*op).is_empty()) && none.connect().is_empty());
        let one = Rules::new(|slot, scope| match (slot, scope) {
            (Slot::Send, Scope::User) => Bound { rate: None, at_once: Some(3) },
            _ => Bound::default(),
        });
        assert_eq!((one.signal(OpKind::Send).len(), one.signal(OpKind::Join).len()), (1, 0));
    }

    #[test]
    fn every_op_and_slot_stands_at_its_own_place() {
        for (place, op) in OpKind::ALL.into_iter().enumerate() {
            assert_eq!(op as usize, place);
        }
        for (place, slot) in Slot::ALL.into_iter().enumerate() {
            assert_eq!(slot as usize, place);
        }
    }
}
