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

/// Which part of a limit of the whole fleet one router allows: the parts of all its routers are the limit, to the last
/// place of it. Of a limit that is smaller than the fleet some routers have no place; of a rate each has its part, and a
/// burst of one at least, without which it would admit nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    rank: u32,
    of: u32,
}

impl Share {
    /// Of a router that runs alone.
    pub const WHOLE: Self = Self { rank: 0, of: 1 };
    /// Of one of a fleet that was told nothing of it yet, nor by an earlier process: a tenth and no more, so that what the
    /// others allow, who may be all of it, is passed by no more than that.
    pub const UNKNOWN: Self = Self { rank: 9, of: 10 };

    /// That of the router which is at this place, from 0, among so many.
    pub const fn new(rank: u32, of: u32) -> Self {
        let of = if of == 0 { 1 } else { of };
        Self { rank: rank % of, of }
    }

    /// At which place this router is, from 0.
    pub const fn rank(self) -> u32 {
        self.rank
    }

    /// How many routers there are.
    pub const fn of(self) -> u32 {
        self.of
    }

    /// This router's part of so many.
    pub fn part(self, whole: u32) -> u32 {
        whole / self.of + u32::from(self.rank < whole % self.of)
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl Bound {
    /// A router's part of what the fleet allows.
    fn shared(self, share: Share) -> Self {
        let rate = self.rate.map(|rate| rate.part(share.of, share.part(rate.burst())));
        Self { rate, at_once: self.at_once.map(|most| share.part(most)) }
    }

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
    /// Among how many routers what the fleet allows is shared; 1: it is this router's alone.
    pub of: u32,
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
            let checks = each.map(|(scope, slot)| Check { scope, slot, bound: bound(slot, scope), of: 1 });
            checks.filter(|check| !check.bound.is_none()).collect()
        };
        let of = |op: OpKind| match (op, Slot::of(op)) {
            (OpKind::Leave, _) => Vec::new(),
            (_, Some(own)) => checks(&[own, Slot::Any]),
            (_, None) => checks(&[Slot::Any]),
        };
        Self { connect: checks(&[Slot::Connect]), signals: OpKind::ALL.map(of) }
    }

    /// The same where the limits of these scopes are the whole fleet's, of which this router allows a share.
    pub fn shared(&self, scopes: &[Scope], share: Share) -> Self {
        let one = |check: &Check| match scopes.contains(&check.scope) {
            true => Check { bound: check.bound.shared(share), of: share.of, ..*check },
            false => *check,
        };
        let all = |checks: &Vec<Check>| checks.iter().map(one).collect();
        Self { connect: all(&self.connect), signals: self.signals.each_ref().map(all) }
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
    fn the_parts_of_all_routers_are_the_limit_however_many_they_are() {
        for of in 1..=100 {
            for whole in [1, 2, 9, 10, 25, 99, 100, 1_000, 65_535] {
                let parts: Vec<u32> = (0..of).map(|rank| Share::new(rank, of).part(whole)).collect();
                assert_eq!(parts.iter().sum::<u32>(), whole, "{whole} among {of}");
                assert!(parts.iter().max().unwrap() - parts.iter().min().unwrap() <= 1);
            }
        }
        assert_eq!(Share::new(7, 0), Share::WHOLE);
        for whole in [1, 9, 10, 99, 1_000, 65_535] {
            assert!(Share::UNKNOWN.part(whole) <= whole / 10, "{whole}");
        }
    }

    #[test]
    fn three_routers_together_admit_what_one_would_have() {
        let per = std::time::Duration::from_secs(1);
        let whole = Bound { rate: Some(Rate::new(100, per, 20)), at_once: None };
        let admitted = |bound: Bound| {
            let (mut state, mut count) = (0, 0);
            // a request each millisecond for ten seconds: more than is allowed
            for now in (1..=10_000_u64).map(|ms| 1_000_000_000 + ms * 1_000_000) {
                if let Ok(next) = bound.rate.unwrap().decide(state, now) {
                    (state, count) = (next, count + 1);
                }
            }
            count
        };
        let alone = admitted(whole);
        let together: u32 = (0..3).map(|rank| admitted(whole.shared(Share::new(rank, 3)))).sum();
        assert!((1_015..=1_021).contains(&alone), "{alone}");
        assert!(together.abs_diff(alone) <= 3, "{together} and {alone}");
    }

    #[test]
    fn only_the_scopes_that_are_the_fleets_are_shared() {
        let rules = everywhere().shared(&[Scope::Key], Share::new(0, 3));
        let of = |scope| rules.connect().iter().find(|check| check.scope == scope).unwrap().of;
        assert_eq!((of(Scope::Key), of(Scope::User), of(Scope::Router)), (3, 1, 1));
        assert_eq!(everywhere().shared(&[Scope::Key], Share::WHOLE), everywhere());
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
