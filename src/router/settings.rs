//! What a router needs to know of its surroundings; filled from config.

use std::{fmt, time::Duration};

use super::Acknowledge;
use crate::{
    placement,
    protocol::{Limits, v1},
};

/// What a router needs to know of its surroundings; from config.
#[derive(Clone)]
pub struct Settings {
    /// Limits of the protocol.
    pub limits: Limits,
    /// Make a room on first join when the token says nothing of it.
    pub auto_create: bool,
    /// How long an empty room stays.
    pub empty_timeout: Duration,
    /// Participants of a room, lingering ones included, when its creation says nothing.
    pub participants_max: u32,
    /// Rooms of this router.
    pub rooms_max: usize,
    /// Sessions of this router.
    pub sessions_max: usize,
    /// Events that a room keeps for resumes: how many,
    pub history_events: usize,
    /// for how long,
    pub history_age: Duration,
    /// and how many bytes.
    pub history_bytes: usize,
    /// How long a dropped participant keeps its place.
    pub linger: Duration,
    /// Directed pushes that a session keeps until acknowledged: how many,
    pub held_pushes: usize,
    /// and how many bytes.
    pub held_bytes: usize,
    /// Latest replies that a session keeps, to answer a repeated request.
    pub replies: usize,
    /// Participants in one part of a snapshot.
    pub snapshot_part: usize,
    /// What any one signal may take, calls to media nodes included.
    pub signal_timeout: Duration,
    /// How a room's media node is chosen.
    pub placement: placement::Settings,
    /// Whether this router tells what becomes of nodes: one of a process does, since all of them see the same.
    pub tells_of_nodes: bool,
    /// How often the server pings, told to clients.
    pub ping: Duration,
    /// Close a session when its token expires.
    pub enforce_expiry: bool,
    /// How long before expiry a session is told.
    pub expiry_notice: Duration,
    /// This router's region, told to clients.
    pub region: String,
    /// ICE servers told to clients.
    pub ice: IceSettings,
    /// Signs resume tokens; at least 32 bytes.
    pub resume_secret: Vec<u8>,
    /// Seeds ids, epochs and jitter.
    pub seed: u64,
    /// How rooms are kept outside of this router; absent: they are not.
    pub keeping: Option<Keeping>,
    /// Where drained clients are sent; empty: to where they came from.
    pub reconnect_url: String,
}

/// How rooms are kept outside of their router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Changes of rooms are written so often, those of one moment together.
    pub gather: Duration,
    /// A room is written at least so often, changed or not: who keeps it lets go of what nobody has written for long.
    pub refresh: Duration,
    /// Where a change has to stand before it is acknowledged. Elsewhere than here, it is not gathered but written at once.
    pub acknowledge: Acknowledge,
}

/// ICE servers, and TURN credentials made a session (coturn `use-auth-secret`).
#[derive(Clone, Default)]
pub struct IceSettings {
    /// As they are.
    pub fixed: Vec<v1::IceServer>,
    /// TURN servers that share a secret with us.
    pub turn_urls: Vec<String>,
    /// The shared secret.
    pub turn_secret: Vec<u8>,
    /// How long a credential is valid.
    pub turn_ttl: Duration,
}

// secrets stay out of logs: both forms name themselves only

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("limits", &self.limits).field("region", &self.region).finish_non_exhaustive()
    }
}

impl fmt::Debug for IceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceSettings").field("turn_urls", &self.turn_urls).finish_non_exhaustive()
    }
}
