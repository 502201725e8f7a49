//! Gray release: which variant a client gets, by the first rule that fits it; else the default.
//!
//! A rule asks one thing: a tag, a list of users, a share of the users, or a kind of device. Pure; must not know how a
//! client said what it says, nor what becomes of it. What clients say are hints: whoever makes one up chooses a variant for
//! itself and nothing else.

mod device;
mod explain;
mod share;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

pub use self::{
    device::Device,
    explain::{Answer, Explained, Step},
    share::{Percent, place_of},
};
use crate::{
    event::{AssignedBy, RuleInForce},
    ids::Variant,
};

/// Variants beside the default that there can be at a time.
pub const NAMES_MAX: usize = 7;
/// Rules that there can be: each client that connects may have to be held against all of them.
pub const RULES_MAX: usize = 32;
/// Users that a rule may list.
pub const USERS_MAX: usize = 1_000;
/// A hint, a tag or a user of a rule may be so long, in bytes; a hint that is longer counts as not given.
pub const HINT_BYTES_MAX: usize = 256;

/// What is known of a client when it is let in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// `X-AB-Tag`.
    pub ab_tag: Option<&'a str>,
    /// `X-User-ID`, else its token's subject; empty: nobody is known.
    pub user: &'a str,
    /// `X-Device-Type`.
    pub device_type: Option<&'a str>,
}

/// What a client says, if that is a hint: one that is empty or too long counts as not given.
pub fn usable(said: Option<&str>) -> Option<&str> {
    said.filter(|text| (1..=HINT_BYTES_MAX).contains(&text.len()))
}

/// What a rule asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The tag is this one.
    Tag(String),
    /// The user is one of these.
    Users(BTreeSet<String>),
    /// The user is in this share.
    Share {
        /// How large it is.
        percent: Percent,
        /// What it was before the last promotion, to go back to.
        previous: Option<Percent>,
    },
    /// The device fits.
    Device(Device),
}

/// Sends whom it fits to a variant.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name; a share is drawn anew under another one.
    pub name: Arc<str>,
    /// Where it sends them.
    pub variant: Variant,
    /// Whom it fits.
    pub test: Test,
}

/// All rules, in the order in which they are asked, and the variants that there are.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Never empty: the default is the first.
    names: Vec<Variant>,
    rules: Vec<Rule>,
}

impl Default for Rules {
    /// Everybody gets the default.
    fn default() -> Self {
        Self::new([], Vec::new())
    }
}

/// What a client got, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The variant.
    pub variant: Variant,
    /// What decided.
    pub by: AssignedBy,
    /// The rule's name; absent: none fitted.
    pub rule: Option<Arc<str>>,
}

impl Rules {
    /// Those rules, and the variants beside the default.
    pub fn new(names: impl IntoIterator<Item = Variant>, rules: Vec<Rule>) -> Self {
        Self { names: [Variant::default()].into_iter().chain(names).collect(), rules }
    }

    /// The variants that there are, the default first.
    pub fn names(&self) -> &[Variant] {
        &self.names
    }

    /// The rules, in the order in which they are asked.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The variant of a client.
    pub fn assign(&self, hints: &Hints<'_>) -> Assigned {
        match self.rules.iter().find(|rule| rule.fits(hints)) {
            Some(Rule { name, variant, test }) => {
                Assigned { variant: variant.clone(), by: test.kind(), rule: Some(name.clone()) }
            }
            None => Assigned { variant: self.names[0].clone(), by: AssignedBy::Default, rule: None },
        }
    }

    /// What telemetry wants to know of the rules.
    pub fn told(&self) -> Vec<RuleInForce> {
        let told = |rule: &Rule| {
            let share = rule.percent().map(Percent::of_ten_thousand);
            RuleInForce { name: rule.name.clone(), variant: rule.variant.clone(), share }
        };
        self.rules.iter().map(told).collect()
    }
}

impl Rule {
    /// Whether it is this client's.
    pub fn fits(&self, hints: &Hints<'_>) -> bool {
        match &self.test {
            Test::Tag(tag) => hints.ab_tag == Some(tag.as_str()),
            Test::Users(users) => !hints.user.is_empty() && users.contains(hints.user),
            Test::Share { percent, .. } => !hints.user.is_empty() && percent.holds(place_of(&self.name, hints.user)),
            Test::Device(device) => hints.device_type.is_some_and(|given| device.fits(given)),
        }
    }

    /// The share of a rule that has one.
    pub const fn percent(&self) -> Option<Percent> {
        match &self.test {
            Test::Share { percent, .. } => Some(*percent),
            Test::Tag(_) | Test::Users(_) | Test::Device(_) => None,
        }
    }

    /// What its share was before.
    pub const fn previous_percent(&self) -> Option<Percent> {
        match &self.test {
            Test::Share { previous, .. } => *previous,
            Test::Tag(_) | Test::Users(_) | Test::Device(_) => None,
        }
    }
}

impl Test {
    /// The word for what it asks.
    pub const fn kind(&self) -> AssignedBy {
        match self {
            Self::Tag(_) => AssignedBy::AbTag,
            Self::Users(_) => AssignedBy::Users,
            Self::Share { .. } => AssignedBy::Percent,
            Self::Device(_) => AssignedBy::DeviceType,
        }
    }
}
