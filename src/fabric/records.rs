//! A room and its members as records: JSON, so that what a newer version wrote beside what is known here is kept.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::protocol::v1;

/// Of all that is kept of a room. A router leaves a room of a higher one alone.
pub const FORMAT: u32 = 1;

/// What was kept cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be read: {why}")]
pub struct Unreadable {
    what: &'static str,
    why: String,
}

impl Unreadable {
    /// That, because of this.
    pub fn new(what: &'static str, why: impl fmt::Display) -> Self {
        Self { what, why: why.to_string() }
    }
}

/// The room itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoomKept {
    /// [`FORMAT`] of who wrote it.
    pub format: u32,
    /// The life that it is in.
    pub epoch: String,
    /// The lives before, oldest first, as far as events of them are kept.
    pub edges: Vec<EdgeKept>,
    /// Lives that went on beside this one and are in its log, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merges: Vec<MergeKept>,
    /// As applications set it.
    pub metadata: String,
    /// In Unix milliseconds.
    pub created_at_ms: u64,
    /// How many it holds.
    pub participants_max: u32,
    /// How long it stays when it is empty.
    pub empty_timeout_ms: u64,
    /// That of its first member; absent: nobody came yet.
    pub variant: Option<String>,
    /// Where its media should be; absent: nobody came yet.
    pub media_region: Option<String>,
    /// The node that carries its media.
    pub media_node: Option<String>,
    /// What a newer version knows.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The end of one life of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeKept {
    /// Which.
    pub epoch: String,
    /// The offset of its last event that was kept.
    pub last: u64,
}

/// A life that went on beside another, and where its events stand in the other's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MergeKept {
    /// Which.
    pub epoch: String,
    /// Up to there both logs are the same.
    pub fork: u64,
    /// The offset of its last event.
    pub last: u64,
    /// Its events after the fork.
    pub stretches: Vec<StretchKept>,
}

/// Offsets in a row, in two logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct StretchKept {
    /// The first of them in the log that was merged,
    pub of: u64,
    /// and here;
    pub at: u64,
    /// how many.
    pub len: u64,
}

/// A participant and its session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberKept {
    /// As clients see it.
    pub participant: v1::Participant,
    /// What it published.
    pub tracks: Vec<v1::Track>,
    /// The offset of its joining, by which members are ordered.
    pub since: u64,
    /// Whether it takes all tracks but the exceptions, or only those.
    pub auto_subscribe: bool,
    /// See there.
    pub exceptions: Vec<String>,
    /// Of the log, what it saw elsewhere: offsets from, to;
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<(u64, u64)>,
    /// and where it saw the messages, and got the room anew since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heard_said: Vec<(u64, u64)>,
    /// Its session.
    pub session: SessionKept,
    /// What a newer version knows.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a session needs to be resumed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionKept {
    /// Its id.
    pub id: String,
    /// The API key that it came with.
    pub key: String,
    /// How many resumes it had, at least.
    pub generation: u64,
    /// Of its latest directed push, at least.
    pub seq: u64,
    /// When its token expires, in Unix milliseconds.
    pub expires_at_ms: Option<u64>,
    /// Of which life of the room its client was told what is not in this one, and up to where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saw: Option<(String, u64)>,
    /// The same of lives that it came from before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub saw_before: Vec<(String, u64)>,
    /// Directed pushes that were not acknowledged; only of a room that was handed over.
    pub held: Vec<HeldKept>,
    /// Its latest answers by request, as frames; only of a room that was handed over.
    pub replies: Vec<v1::ServerFrame>,
    /// What a newer version knows.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A directed push that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldKept {
    /// The room's tip when it was pushed.
    pub after: u64,
    /// As it is sent.
    pub frame: v1::ServerFrame,
}

impl RoomKept {
    /// As it is written.
    pub fn bytes(&self) -> Bytes {
        written(self)
    }

    /// What was written.
    ///
    /// # Errors
    /// It is no such thing, or of a format that is not known here.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let room: Self = read("the room's record", bytes)?;
        if room.format > FORMAT {
            let why = format!("its format is {}; this router knows up to {FORMAT}", room.format);
            return Err(Unreadable::new("the room's record", why));
        }
        Ok(room)
    }
}

impl MemberKept {
    /// As it is written.
    pub fn bytes(&self) -> Bytes {
        written(self)
    }

    /// What was written.
    ///
    /// # Errors
    /// It is no such thing.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        read("a member's record", bytes)
    }
}

fn read<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, Unreadable> {
    // where, and not what: a record holds what clients said
    serde_json::from_slice(bytes).map_err(|why| {
        let (line, column) = (why.line(), why.column());
        Unreadable::new(what, format_args!("{:?} at line {line}, column {column}", why.classify()))
    })
}

fn written(record: &impl Serialize) -> Bytes {
    // maps with text for keys, numbers and text: nothing that JSON could not say
    serde_json::to_vec(record).unwrap_or_default().into()
}
