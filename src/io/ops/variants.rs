//! `/api/variants`: who gets which variant and why, what each rule was to get and got, and how each variant is served.

use std::time::Instant;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;
use serde::{Deserialize, Serialize};

use super::{pages::Question, routes::Shared};
use crate::{
    gray::{Explained, Hints, Percent, Rule, Rules, usable},
    telemetry::{RuleRow, VariantRow, VariantsReport},
};

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownVariants {
    /// How long these rules have been in force, seconds: what they did is counted since.
    pub in_force_seconds: f64,
    /// In the order in which they are asked.
    pub rules: Vec<ShownRule>,
    /// The default first.
    pub variants: Vec<VariantRow>,
    /// Why the client that was asked about gets what it gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownRule {
    /// What it asks, in words.
    pub asks: String,
    /// What it asks, as the key of the configuration says it.
    pub by: String,
    /// What its share was before the last promotion.
    pub previous_percent: Option<f64>,
    /// What it has done.
    #[serde(flatten)]
    pub done: RuleRow,
}

/// Whom to explain; nobody: nothing is explained.
#[derive(Debug, Default, Deserialize)]
pub(super) struct About {
    user_id: Option<String>,
    device_type: Option<String>,
    ab_tag: Option<String>,
}

/// `GET /api/variants`.
pub(super) async fn shown(State(shared): State<Shared>, Question(about): Question<About>) -> Response {
    let rules = shared.config.variants();
    let VariantsReport { in_force_seconds, rules: done, variants } = shared.telemetry.variants_report(Instant::now());
    let explained = about.hints().map(|hints| rules.explain(&hints));
    let rules = ShownRule::all(&rules, &done);
    let told = ShownVariants { in_force_seconds, rules, variants, explained };
    ([(header::CACHE_CONTROL, "no-store")], Json(told)).into_response()
}

impl About {
    /// As a client that says so would be taken: what is empty or too long counts as not said.
    fn hints(&self) -> Option<Hints<'_>> {
        let Self { user_id, device_type, ab_tag } = self;
        [user_id, device_type, ab_tag].into_iter().any(Option::is_some).then(|| Hints {
            ab_tag: usable(ab_tag.as_deref()),
            user: usable(user_id.as_deref()).unwrap_or_default(),
            device_type: usable(device_type.as_deref()),
        })
    }
}

impl ShownRule {
    /// Each rule, with what is known of what it did.
    pub fn all(rules: &Rules, done: &[RuleRow]) -> Vec<Self> {
        rules.rules().iter().map(|rule| Self::of(rule, done)).collect()
    }

    fn of(rule: &Rule, done: &[RuleRow]) -> Self {
        let known = done.iter().find(|row| *row.rule == *rule.name);
        let none = || RuleRow {
            rule: rule.name.to_string(),
            variant: rule.variant.to_string(),
            wanted_percent: rule.percent().map(Percent::number),
            asked: 0,
            fitted: 0,
            got_percent: None,
        };
        Self {
            asks: rule.asks(),
            by: rule.test.kind().name().to_owned(),
            previous_percent: rule.previous_percent().map(Percent::number),
            done: known.cloned().unwrap_or_else(none),
        }
    }
}
