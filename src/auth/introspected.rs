//! Reads the answer of a token introspection endpoint (RFC 7662) that `io` asked.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Grant, KeySet,
    claims::{Claims, Rights},
    roles, verify,
};
use crate::protocol::{Code, Refusal};

/// What the endpoint's answer amounts to.
#[derive(Clone, Debug, PartialEq)]
pub enum Introspected {
    /// The token holds.
    Active(Box<Grant>),
    /// The token does not hold, or not any more.
    Refused(Refusal),
    /// The endpoint did not answer in its format: nothing is known of the token.
    NotAnAnswer,
}

/// RFC 7662 section 2.2, as far as it is not among the claims of a JWT.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Extra {
    active: Option<bool>,
    username: Option<String>,
    scope: Option<String>,
}

/// Reads an answer; the grant's key is `introspection`. Roles are those of the roles claim, and the scopes.
pub fn introspected(answer: &[u8], keys: &KeySet, now_unix_ms: u64) -> Introspected {
    let Ok(extra) = serde_json::from_slice::<Extra>(answer) else { return Introspected::NotAnAnswer };
    match extra.active {
        None => Introspected::NotAnAnswer,
        Some(false) => Introspected::Refused(Code::Unauthenticated.because("the token is not active, says its issuer")),
        Some(true) => active(answer, extra, keys, now_unix_ms),
    }
}

fn active(answer: &[u8], extra: Extra, keys: &KeySet, now_unix_ms: u64) -> Introspected {
    let Ok(mut claims) = serde_json::from_slice::<Claims<'_>>(answer) else { return Introspected::NotAnAnswer };
    if let Some(username) = extra.username {
        if claims.sub.is_empty() {
            claims.sub = Cow::Owned(username.clone());
        }
        claims.name.get_or_insert(username);
    }
    if let Err(refusal) = verify::in_time(&claims, &keys.rules, now_unix_ms) {
        return Introspected::Refused(refusal);
    }
    let rights = match claims.video.take() {
        Some(video) => Rights::Video(video),
        None => {
            let all: Value = serde_json::from_slice(answer).unwrap_or_default();
            let scopes = extra.scope.as_deref().unwrap_or_default().split_ascii_whitespace();
            let named = roles::names_at(&all, &keys.rules.roles_claim);
            Rights::Roles(roles::sum(&keys.rules.roles, named.into_iter().chain(scopes)))
        }
    };
    match claims.into_grant("introspection", rights, &keys.rules.limits, keys.rules.leeway_ms) {
        Ok(grant) => Introspected::Active(Box::new(grant)),
        Err(refusal) => Introspected::Refused(refusal),
    }
}
