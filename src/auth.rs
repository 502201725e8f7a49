//! Tokens in, a [`Grant`] out.
//!
//! Pure: verifying reads no clock and no socket; keys and the time are arguments. Fetching keys is `io`'s.

mod algorithm;
mod claims;
mod introspected;
mod jwks;
mod keys;
mod mint;
mod roles;
pub mod settings;
mod verify;

#[cfg(test)]
pub(crate) mod test_keys;
#[cfg(test)]
mod tests;

pub use algorithm::{Algorithm, AlgorithmSet};
pub use claims::VideoGrants;
pub use introspected::{Introspected, introspected};
pub use jwks::parse_jwks;
pub use keys::{KeyError, KeyFault, KeySet, VerificationKey};
pub use mint::{MintError, TokenClaims, mint};
pub use roles::UnknownGrant;
pub use settings::Settings;
pub(crate) use verify::{Rejection, check};
pub use verify::{TOKEN_BYTES_MAX, is_jwt_shaped, verify};

/// Key of `serve --dev`, and of the commands that are given none.
pub const DEV_KEY: &str = "devkey";
/// Secret of [`DEV_KEY`]: known to everybody, so good on loopback only.
pub const DEV_SECRET: &str = "secretsecretsecretsecretsecretsecret";

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Identity, RoomId},
    protocol::v1::Permissions,
};

/// What a verified token allows. Routers of a fleet tell it to each other as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The API key (`iss`) that signed it, or the provider's name.
    pub key: String,
    /// `sub`: who it is. Empty only when `room_join` is not granted (a back end's token for the admin API).
    pub identity: Identity,
    /// Display name; may be empty.
    pub name: String,
    /// Participant metadata; may be empty.
    pub metadata: String,
    /// Participant attributes.
    pub attributes: BTreeMap<String, String>,
    /// The room it is for; absent: any (for admins).
    pub room: Option<RoomId>,
    /// May join.
    pub room_join: bool,
    /// May create rooms, by the admin API or by joining.
    pub room_create: bool,
    /// May list rooms.
    pub room_list: bool,
    /// What it may do in the room; `room_admin` is in here.
    pub permissions: Permissions,
    /// From when on it is refused, Unix milliseconds: the token's `exp` and the leeway; absent: never.
    pub expires_at_ms: Option<u64>,
}
