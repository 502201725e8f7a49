//! What auth needs to know, as plain data: from config, or made by a test.
//!
//! Must not know files or the environment: who fills it has read them.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{AlgorithmSet, UnknownGrant, roles};
use crate::protocol::{Limits, v1::TrackSource};

/// Whose tokens are accepted, and what they may say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Static keys; several may share a name (rotation by `kid`).
    pub keys: Vec<KeySettings>,
    /// How far the clocks of token servers may be off.
    pub leeway: Duration,
    /// Bounds on names, metadata and attributes in tokens.
    pub limits: Limits,
    /// Keys fetched from a URL.
    pub jwks: Option<JwksSettings>,
    /// Keys found through an OpenID provider's discovery document.
    pub oidc: Option<OidcSettings>,
    /// Opaque tokens asked about at their issuer.
    pub introspection: Option<IntrospectionSettings>,
    /// What a role allows, for tokens of a provider that carry no `video` claim.
    pub roles: BTreeMap<String, RoleSettings>,
    /// The claim that names roles: a string or a list; dots go into objects (`realm_access.roles`).
    pub roles_claim: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            leeway: Duration::from_secs(5),
            limits: Limits::default(),
            jwks: None,
            oidc: None,
            introspection: None,
            roles: BTreeMap::new(),
            roles_claim: "roles".to_owned(),
        }
    }
}

impl Settings {
    /// The same, with one more shared secret under an API key's name.
    #[must_use]
    pub fn with_secret(mut self, name: &str, secret: &str) -> Self {
        self.keys.push(KeySettings {
            name: name.to_owned(),
            kid: None,
            material: KeyMaterial::Secret(Secret::from(secret)),
            algorithms: AlgorithmSet::EMPTY,
        });
        self
    }

    /// Whether no token could ever be accepted.
    pub fn accepts_nothing(&self) -> bool {
        self.keys.is_empty() && self.jwks.is_none() && self.oidc.is_none() && self.introspection.is_none()
    }
}

/// One static key.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// The API key: a token's `iss`.
    pub name: String,
    /// Which of the keys under that name, as a token's `kid` says it; absent: any.
    pub kid: Option<String>,
    /// What signatures are checked with.
    pub material: KeyMaterial,
    /// The allow-list; empty: all that suit the material.
    pub algorithms: AlgorithmSet,
}

/// What signatures are checked with.
#[derive(Clone, Debug)]
pub enum KeyMaterial {
    /// A shared secret, for HMAC.
    Secret(Secret),
    /// A public key in PEM.
    PublicKeyPem(String),
}

/// Text that must not show up anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// Keys fetched from a URL (RFC 7517).
#[derive(Clone, Debug)]
pub struct JwksSettings {
    /// Where.
    pub url: String,
    /// How often.
    pub refresh: Duration,
    /// Only tokens with this `iss`; absent: any that is not the name of a static key.
    pub issuer: Option<String>,
    /// Only tokens for this audience; absent: not checked.
    pub audience: Option<String>,
    /// The allow-list; empty: every asymmetric one.
    pub algorithms: AlgorithmSet,
}

/// An OpenID provider.
#[derive(Clone, Debug)]
pub struct OidcSettings {
    /// Its issuer URL, also the `iss` of its tokens.
    pub issuer: String,
    /// Only tokens for this audience; absent: not checked.
    pub audience: Option<String>,
    /// How often its keys are fetched.
    pub refresh: Duration,
    /// The allow-list; empty: every asymmetric one.
    pub algorithms: AlgorithmSet,
}

/// Token introspection (RFC 7662).
#[derive(Clone, Debug)]
pub struct IntrospectionSettings {
    /// Where.
    pub url: String,
    /// Who we are there.
    pub client_id: String,
    /// How we prove it.
    pub client_secret: Secret,
    /// How long an answer is believed, at most.
    pub cache: Duration,
    /// Answers kept; 0: none.
    pub cache_entries: usize,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// What a role allows; several roles of one token add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleSettings {
    /// Join rooms.
    pub room_join: bool,
    /// Create rooms.
    pub room_create: bool,
    /// List rooms.
    pub room_list: bool,
    /// Administer rooms.
    pub room_admin: bool,
    /// Publish tracks.
    pub can_publish: bool,
    /// Subscribe to tracks.
    pub can_subscribe: bool,
    /// Send data.
    pub can_publish_data: bool,
    /// Change the own name, metadata and attributes.
    pub can_update_own_metadata: bool,
    /// Be seen by admins only.
    pub hidden: bool,
    /// Sources that it may publish; empty: every source.
    pub can_publish_sources: Vec<TrackSource>,
}

impl RoleSettings {
    /// The names that [`RoleSettings::from_names`] takes, each also in camelCase.
    pub const NAMES: [&'static str; 9] = roles::NAMES;

    /// The role that allows what the names say (`room_join`, or `roomJoin` as in a token).
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownGrant> {
        let mut role = Self::default();
        for name in names {
            roles::allow(&mut role, name)?;
        }
        Ok(role)
    }
}
