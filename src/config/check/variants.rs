//! Rules of gray release: what they need, and whether what they ask can be asked.

use std::collections::BTreeSet;

use super::Check;
use crate::{
    config::{
        schema::join,
        tree::{Config, VariantRule},
    },
    gray::{Device, RULES_MAX},
    ids::Variant,
};

/// What a rule asks, by the names of its keys.
const ASKS: &str = "ab_tag, users, percent, device_type";

impl Check<'_> {
    pub(super) fn variants(&mut self, config: &Config) {
        let variants = &config.variants;
        let mut names = BTreeSet::from([Variant::DEFAULT]);
        for name in &variants.names {
            if !names.insert(name) {
                self.mistake("variants.names", name.as_str(), "stands there twice");
            }
        }
        if variants.rules.len() > RULES_MAX {
            let problem = format!("allowed: at most {RULES_MAX} rules");
            self.mistake("variants.rules", variants.rules.len().to_string(), problem);
        }
        let mut known = BTreeSet::new();
        for (i, rule) in variants.rules.iter().enumerate() {
            let listed = self.provenance.contains_key(&format!("variants.rules.{i}.name"));
            let at = if listed { format!("variants.rules.{i}") } else { "variants.rules".to_owned() };
            self.variant_rule(&at, rule, &names);
            if let Some(name) = rule.name.as_deref()
                && !known.insert(name)
            {
                self.mistake(&join(&at, "name"), name, "an earlier rule has this name");
            }
        }
    }

    fn variant_rule(&mut self, at: &str, rule: &VariantRule, names: &BTreeSet<&str>) {
        // a value that could not be read is a mistake of its own, and not missing
        let unread = |check: &Self, key: &str| check.mistakes.iter().any(|m| m.key == join(at, key));
        if rule.name.is_none() && !unread(self, "name") {
            self.mistake(&join(at, "name"), "", "a rule needs a name");
        }
        let all = names.iter().copied().collect::<Vec<_>>().join(", ");
        match rule.variant.as_deref() {
            None if unread(self, "variant") => {}
            None => self.mistake(&join(at, "variant"), "", format!("a rule needs a variant; allowed: {all}")),
            Some(variant) if !names.contains(variant) => {
                self.mistake(&join(at, "variant"), variant, format!("is not in variants.names; allowed: {all}"));
            }
            Some(_) => {}
        }
        let asks = [rule.ab_tag.is_some(), !rule.users.is_empty(), rule.percent.is_some(), rule.device_type.is_some()];
        let unreadable = ASKS.split(", ").any(|key| unread(self, key));
        if !unreadable && asks.iter().filter(|asks| **asks).count() != 1 {
            self.mistake(at, rule.name.as_deref().unwrap_or_default(), format!("set exactly one of {ASKS}"));
        }
        if let (Some(previous), None) = (rule.previous_percent, rule.percent)
            && !unreadable
        {
            self.mistake(&join(at, "previous_percent"), previous.to_string(), "is only for a rule with percent");
        }
        if let Some(text) = &rule.device_type
            && let Err(why) = Device::new(text)
        {
            self.mistake(&join(at, "device_type"), text.as_str(), why);
        }
    }
}
