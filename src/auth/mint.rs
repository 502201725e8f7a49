//! Tokens out: what `signalbox token`, the load generator and the tests sign.

use std::collections::BTreeMap;

use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use super::VideoGrants;

/// What a token shall say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenClaims {
    /// `sub`: who it is for. May be empty for a token that cannot join.
    #[serde(rename = "sub", skip_serializing_if = "String::is_empty")]
    pub identity: String,
    /// `exp`, Unix seconds; absent: never.
    #[serde(rename = "exp", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// `nbf`, Unix seconds; absent: from the start.
    #[serde(rename = "nbf", skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// Display name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Participant metadata.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// Participant attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// What it allows.
    #[serde(rename = "video")]
    pub grants: VideoGrants,
}

impl TokenClaims {
    /// A token that lets an identity into one room with the field's default grants.
    pub fn join(room: &str, identity: &str) -> Self {
        Self { identity: identity.to_owned(), grants: VideoGrants::join(room), ..Self::default() }
    }

    /// A back end's token for the admin API: one room's, or with `None` every room's.
    pub fn admin(room: Option<&str>) -> Self {
        let grants = VideoGrants {
            room: room.map(ToOwned::to_owned),
            room_admin: Some(true),
            room_create: Some(true),
            room_list: Some(true),
            ..VideoGrants::default()
        };
        Self { grants, ..Self::default() }
    }

    /// The same, until that Unix second.
    #[must_use]
    pub fn expires_at(mut self, unix_seconds: u64) -> Self {
        self.expires_at = Some(unix_seconds);
        self
    }

    /// The same, with a display name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the token cannot be signed")]
pub struct MintError(#[from] jsonwebtoken::errors::Error);

/// Signs a token with an API key's shared secret (HS256).
pub fn mint(key: &str, secret: &str, claims: &TokenClaims) -> Result<String, MintError> {
    mint_with(&Header::default(), key, &EncodingKey::from_secret(secret.as_bytes()), claims)
}

/// The claims and their issuer, as they are signed.
#[derive(Serialize)]
struct Issued<'a> {
    iss: &'a str,
    #[serde(flatten)]
    claims: &'a TokenClaims,
}

/// Signs with any key and header; [`mint`] is the case that leaves this module.
pub(super) fn mint_with(
    header: &Header,
    key: &str,
    signing_key: &EncodingKey,
    claims: &TokenClaims,
) -> Result<String, MintError> {
    Ok(jsonwebtoken::encode(header, &Issued { iss: key, claims }, signing_key)?)
}
