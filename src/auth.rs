//! Tokens in, a [`Grant`] out.
//!
//! Pure: verifying reads no clock and no socket; keys and the time are arguments. Fetching keys is `io`'s.

use std::collections::BTreeMap;

use crate::{
    ids::{Identity, RoomId},
    protocol::v1::Permissions,
};

/// What a verified token allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The API key (`iss`) that signed it, or the provider's name.
    pub key: String,
    /// `sub`: who it is.
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
    /// When it ends, Unix milliseconds; absent: never.
    pub expires_at_ms: Option<u64>,
}
