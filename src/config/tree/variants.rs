//! Gray release: the variants that there are, and who gets which.

use super::LABEL;
use crate::{
    config::{
        schema::{Given, Setting, section},
        values::{List, Text},
    },
    gray::{HINT_BYTES_MAX, NAMES_MAX, Percent, USERS_MAX},
    ids::Variant,
    telemetry::catalog::OTHER,
};

section! {
    /// Gray release: the variants that there are beside `default`, and rules that say who gets which.
    pub struct Variants {
        keys {
            /// Variants beside `default`.
            /// None: everybody gets the default. A router tells twelve apart in its life; metrics call further ones `other`.
            names: Vec<String> = Vec::new(), List { count: 0..=NAMES_MAX, each: NAME }, live;
        }
        sections {
            /// Who gets which variant: asked in this order, and the first that fits decides; at most 32.
            rules: Vec<VariantRule>;
        }
    }
}

section! {
    /// Sends whom it fits to a variant; asks exactly one of ab_tag, users, percent and device_type. The first rule that fits decides.
    pub struct VariantRule {
        keys {
            /// Its name, which no other rule has. A share is drawn by it: under another name it is other users.
            name: Option<String> = None, LABEL, live;
            /// Where it sends whom it fits: one of variants.names, or `default`.
            variant: Option<String> = None, LABEL, live;
            /// Fits who says so: `X-AB-Tag`, or `?ab_tag=`, is exactly this.
            ab_tag: Option<String> = None, HINT, live;
            /// Fits these users: `X-User-ID`, or `?user_id=`, else the token's subject.
            users: Vec<String> = Vec::new(), List { count: 0..=USERS_MAX, each: HINT }, live;
            /// Fits this share of the users; who is in it stays in while it grows.
            percent: Option<Percent> = None, (), live;
            /// What `percent` was before the last promotion: `signalbox variant rollback` goes back to it. Decides nothing.
            previous_percent: Option<Percent> = None, (), live;
            /// Fits devices: this regular expression is found in `X-Device-Type`, or `?device_type=`. ASCII classes; `^` and `$` anchor it.
            device_type: Option<String> = None, HINT, live;
        }
    }
}

/// A variant beside the default; metrics call those that they do not tell apart `other`.
const NAME: Text = Text {
    allowed: "1 to 64 of a-z A-Z 0-9 - _ ., but neither `default` nor `other`",
    test: |text| (LABEL.test)(text) && ![Variant::DEFAULT, OTHER].contains(&text),
};
const HINT: Text = Text { allowed: "1 to 256 bytes", test: |text| (1..=HINT_BYTES_MAX).contains(&text.len()) };

impl Setting for Percent {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        let number = match given.value {
            figment::value::Value::String(_, digits) if given.text => digits.trim().parse().ok()?,
            value => value.to_f64().or_else(|| value.to_i128().map(|whole| whole as f64))?,
        };
        Self::new(number)
    }

    fn shown(&self) -> serde_json::Value {
        let number = self.number();
        if number.fract() == 0.0 { serde_json::json!(number as u64) } else { serde_json::json!(number) }
    }

    fn allowed((): &()) -> String {
        "0 to 100, with two decimals at most".to_owned()
    }
}
