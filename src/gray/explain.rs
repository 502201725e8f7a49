//! Why a client gets its variant: every rule, in order, and what it answered.

use serde::{Deserialize, Serialize};

use super::{Hints, Rule, Rules, Test, place_of};

/// Why a client gets its variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// What it gets.
    pub variant: String,
    /// What decided: `ab_tag`, `users`, `percent`, `device_type`, `default`.
    pub by: String,
    /// The rule that decided; absent: none fitted.
    pub rule: Option<String>,
    /// Every rule, in order.
    pub steps: Vec<Step>,
}

/// What one rule made of the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The rule.
    pub rule: String,
    /// Where it sends whom it fits.
    pub variant: String,
    /// What it asks.
    pub asks: String,
    /// What it answered.
    pub answer: Answer,
    /// Why, in words.
    pub why: String,
}

/// What a rule answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It fits, and decided.
    Fits,
    /// It does not fit.
    Not,
    /// An earlier one had decided.
    NotAsked,
}

impl Answer {
    /// The words for it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Not => "does not fit",
            Self::NotAsked => "is not asked",
        }
    }
}

impl Rules {
    /// Why a client gets what [`assign`](Self::assign) gives it.
    pub fn explain(&self, hints: &Hints<'_>) -> Explained {
        let assigned = self.assign(hints);
        let mut decided = false;
        let step = |rule: &Rule| {
            let answer = match (decided, rule.fits(hints)) {
                (true, _) => Answer::NotAsked,
                (false, true) => Answer::Fits,
                (false, false) => Answer::Not,
            };
            decided |= answer == Answer::Fits;
            Step {
                rule: rule.name.to_string(),
                variant: rule.variant.to_string(),
                asks: rule.asks(),
                answer,
                why: rule.why(hints),
            }
        };
        let steps = self.rules().iter().map(step).collect();
        Explained {
            variant: assigned.variant.to_string(),
            by: assigned.by.name().to_owned(),
            rule: assigned.rule.map(|rule| rule.to_string()),
            steps,
        }
    }
}

impl Rule {
    /// What it asks, in words.
    pub fn asks(&self) -> String {
        match &self.test {
            Test::Tag(tag) => format!("the tag is `{tag}`"),
            Test::Users(users) if users.len() == 1 => "the user is the one that it names".to_owned(),
            Test::Users(users) => format!("the user is one of {}", users.len()),
            Test::Share { percent, .. } => format!("the user is in {percent} %"),
            Test::Device(device) => format!("the device fits `{}`", device.as_str()),
        }
    }

    fn why(&self, hints: &Hints<'_>) -> String {
        let given = |what: &str, given: Option<&str>| match given {
            Some(given) => format!("the {what} is `{given}`"),
            None => format!("there is no {what}"),
        };
        match &self.test {
            Test::Tag(_) => given("tag", hints.ab_tag),
            Test::Device(_) => given("device type", hints.device_type),
            Test::Users(_) | Test::Share { .. } if hints.user.is_empty() => given("user", None),
            Test::Users(users) => {
                let on = if users.contains(hints.user) { "on" } else { "not on" };
                format!("`{}` is {on} its list", hints.user)
            }
            Test::Share { percent, .. } => {
                let (place, below) = (place_of(&self.name, hints.user), percent.of_ten_thousand());
                format!("`{}:{}` hashes to {place} of 10000, and it takes those below {below}", self.name, hints.user)
            }
        }
    }
}
