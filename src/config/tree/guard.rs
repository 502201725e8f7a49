//! What the router refuses to protect itself: limits by op and scope, and queues that are too long.

use std::{fmt, time::Duration};

use serde_json::{Value as Json, json};

use crate::{
    config::{
        schema::{Given, Key, Nature, Part, Setting, Visitor, join, section},
        values::{List, Millis, choice},
    },
    event::Scope,
    guard::{
        limits::{Bound, Slot},
        rate::Rate,
    },
};

section! {
    /// What the router refuses to protect itself. Each refusal names its limit and says when to try again.
    pub struct Guard {
        keys {
            /// Whether any of this holds, deadlines by signal.timeout_ms included.
            /// Off only to see what happens without it: under more load than it can serve a router is then late with everything.
            enabled: bool = true, (), live;
            /// A shard whose inputs have all waited that long, for a tenth of a second, takes no new joins; 0: it always does.
            /// A quarter of the promise of 80 ms: those who are in a call do not feel it yet.
            queue_joins_ms: Millis = Millis(20), 0..=10_000, live;
            /// The same for signals of those who are there; then those are refused that would wait longer. 0: none is.
            /// Less than half of the promise: with the way to the shard and back, what is let in is still in time.
            queue_signals_ms: Millis = Millis(30), 0..=10_000, live;
            /// Users, addresses and keys that are remembered after their last connection has ended, of each kind.
            /// 200 bytes each. They are forgotten once their limits are whole again; of more than these, the quietest first.
            cells: usize = 65_536, 0..=16_777_216, live;
            /// Whose limits are those of the whole fleet: `user`, `address`, `key`. Each router then allows its part of them; of a
            /// limit that is smaller than the fleet, one. Without a fleet a router has all of them.
            /// None: each router for itself. Parts fit where a balancer spreads what comes; what one router does not use no other one may.
            of_the_fleet: Vec<SharedScope> = Vec::new(), List { count: 0..=3, each: () }, live;
        }
        sections {
            /// Limits by op and by whose requests count together.
            ops: Limited;
        }
    }
}

choice! {
    /// Whose limits can be the whole fleet's.
    pub enum SharedScope {
        /// An identity's under its API key.
        User = "user",
        /// A client address's.
        Address = "address",
        /// An API key's.
        Key = "key",
    }
}

impl SharedScope {
    /// As the guard has it.
    pub const fn scope(self) -> Scope {
        match self {
            Self::User => Scope::User,
            Self::Address => Scope::Address,
            Self::Key => Scope::Key,
        }
    }
}

/// How often, and how many at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    rate: Option<Often>,
    at_once: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Often {
    count: u32,
    per: Per,
    burst: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
}

const MOST: u32 = 1_000_000;
const ALLOWED: &str = "words of `rate=N/s` or `rate=N/m`, with it `burst=N` (else the same N), and `at_once=N`, \
    each N 1 to 1000000; or empty: no limit";

impl Allowance {
    const fn often(count: u32, burst: u32) -> Self {
        Self { rate: Some(Often { count, per: Per::Second, burst }), at_once: None }
    }

    const fn at_once(self, most: u32) -> Self {
        Self { rate: self.rate, at_once: Some(most) }
    }

    fn parse(text: &str) -> Option<Self> {
        let (mut rate, mut burst, mut at_once) = (None, None, None);
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=')?;
            let twice = match name {
                "rate" => rate.replace(often(value)?).is_some(),
                "burst" => burst.replace(number(value)?).is_some(),
                "at_once" => at_once.replace(number(value)?).is_some(),
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        let rate = match (rate, burst) {
            (Some((count, per)), burst) => Some(Often { count, per, burst: burst.unwrap_or(count) }),
            (None, None) => None,
            // of what?
            (None, Some(_)) => return None,
        };
        Some(Self { rate, at_once })
    }

    /// As the guard has it.
    pub fn bound(self) -> Bound {
        let rate = self.rate.map(|Often { count, per, burst }| {
            let per = Duration::from_secs(if per == Per::Second { 1 } else { 60 });
            Rate::new(count, per, burst)
        });
        Bound { rate, at_once: self.at_once }
    }
}

fn number(text: &str) -> Option<u32> {
    text.replace('_', "").parse().ok().filter(|number| (1..=MOST).contains(number))
}

fn often(text: &str) -> Option<(u32, Per)> {
    let (count, per) = text.split_once('/')?;
    let per = match per {
        "s" => Per::Second,
        "m" => Per::Minute,
        _ => return None,
    };
    Some((number(count)?, per))
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Often { count, per, burst }) = self.rate {
            write!(f, "rate={count}/{} burst={burst}", if per == Per::Second { "s" } else { "m" })?;
        }
        match self.at_once {
            Some(most) if self.rate.is_some() => write!(f, " at_once={most}"),
            Some(most) => write!(f, "at_once={most}"),
            None => Ok(()),
        }
    }
}

impl Setting for Allowance {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        Self::parse(given.value.as_str()?)
    }

    fn shown(&self) -> Json {
        json!(self.to_string())
    }

    fn allowed((): &()) -> String {
        ALLOWED.to_owned()
    }
}

/// By slot and scope.
#[derive(Clone, Debug, PartialEq)]
pub struct Limited([[Allowance; Scope::ALL.len()]; Slot::ALL.len()]);

impl Limited {
    /// What is allowed there.
    pub fn of(&self, slot: Slot, scope: Scope) -> Allowance {
        self.0[slot as usize][scope as usize]
    }
}

/// High enough that no client of a call meets them, so that what does meet them is a defect or an attack.
impl Default for Limited {
    fn default() -> Self {
        let mut ops = Self([[Allowance::default(); Scope::ALL.len()]; Slot::ALL.len()]);
        let mut set = |slot: Slot, scope: Scope, allowance| ops.0[slot as usize][scope as usize] = allowance;
        // candidates of a call with ten others are some hundred at once
        set(Slot::Any, Scope::User, Allowance::often(2_000, 10_000).at_once(1_000));
        // one identity in hundreds of rooms is a recorder; in more it is one that goes round in circles
        set(Slot::Connect, Scope::User, Allowance::often(50, 200).at_once(500));
        // a large office comes back after a cut of its line; more a second is somebody who tries tokens
        set(Slot::Connect, Scope::Address, Allowance::often(1_000, 5_000));
        set(Slot::Join, Scope::User, Allowance::often(20, 100));
        set(Slot::Resume, Scope::User, Allowance::often(20, 100));
        ops
    }
}

const OPS: &[&str] = &[
    "Limits by op and by whose requests count together: `rate` and `burst` in a time, `at_once` under way.",
    "A request has to pass those of its op and those of `any`, of its user, address, key and of the router. `leave` has none.",
];

/// What counts in each slot, and why its defaults are what they are.
const fn what(slot: Slot) -> &'static [&'static str] {
    match slot {
        Slot::Any => &[
            "All signals together but `leave`, those that cannot be read included.",
            "A user's default is ten times what the busiest client of a call sends.",
        ],
        Slot::Connect => &[
            "Connections, before a room is known; at_once counts those that are open. An address's limit holds before any token is looked at.",
            "Defaults: no person connects 50 times a second, no office 1,000 times; beside limits.connections_per_address.",
        ],
        Slot::Join => &["`join`.", "A client that joins more often than that goes round in circles."],
        Slot::Resume => &["`resume`.", "As for `join`."],
        Slot::Publish => &["`publish`."],
        Slot::Unpublish => &["`unpublish`."],
        Slot::Mute => &["`mute`."],
        Slot::Subscribe => &["`subscribe`."],
        Slot::Signal => &["`signal`: offers, answers, candidates."],
        Slot::Send => &["`send`."],
        Slot::Update => &["`update`."],
    }
}

const fn whose(scope: Scope) -> &'static [&'static str] {
    match scope {
        Scope::Router => &["Of this router in all."],
        Scope::Key => &["Of one API key."],
        Scope::Address => &["Of one client address (IPv6: of one /64)."],
        Scope::User => &["Of one identity under its API key."],
    }
}

impl Part for Limited {
    fn visit<V: Visitor>(&mut self, at: &str, visitor: &mut V) {
        visitor.section(at, OPS);
        for slot in Slot::ALL {
            let path = join(at, slot.name());
            visitor.section(&path, what(slot));
            for scope in Scope::ALL {
                let key = Key { path: &join(&path, scope.name()), why: whose(scope), nature: Nature::Live };
                visitor.key(key, &mut self.0[slot as usize][scope as usize], &());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_reads_as_it_was_written() {
        for (text, shown) in [
            ("", ""),
            ("rate=20/s", "rate=20/s burst=20"),
            ("burst=40 rate=20/s", "rate=20/s burst=40"),
            ("rate=10/m, burst=1, at_once=3", "rate=10/m burst=1 at_once=3"),
            ("at_once=1_000", "at_once=1000"),
        ] {
            let allowance = Allowance::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(allowance.to_string(), shown);
            assert_eq!(Allowance::parse(shown), Some(allowance));
        }
    }

    #[test]
    fn what_is_no_allowance_is_none() {
        for text in [
            "20",
            "rate",
            "rate=",
            "rate=20",
            "rate=20/h",
            "rate=0/s",
            "rate=-1/s",
            "rate=1.5/s",
            "rate=1000001/s",
            "burst=5",
            "at_once=0",
            "rate=1/s rate=2/s",
            "rats=1/s",
            "rate = 1/s",
            "at_once=1 at_once=1",
        ] {
            assert_eq!(Allowance::parse(text), None, "{text}");
        }
    }
}
