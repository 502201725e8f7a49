//! One event of a room's log as it is kept: what was said, who may see it, whose request it was.
//!
//! Participants are named by their id: seats are a router's own.

use bytes::Bytes;
use prost::Message;

use super::Unreadable;
use crate::protocol::v1;

/// See the module. Protobuf: fields that are not known are not kept, and nobody writes an entry twice.
#[derive(Clone, PartialEq, Message)]
pub struct EntryKept {
    /// When, in Unix milliseconds of the router that wrote it.
    #[prost(uint64, tag = "1")]
    pub at_unix_ms: u64,
    /// To whom, a [`To`].
    #[prost(enumeration = "To", tag = "2")]
    pub to: i32,
    /// Whom the audience names; empty: nobody, or somebody who left meanwhile.
    #[prost(string, tag = "3")]
    pub one: String,
    /// The other of a pair.
    #[prost(string, tag = "4")]
    pub other: String,
    /// Whose request it was; empty: nobody's who would repeat it.
    #[prost(string, tag = "5")]
    pub by: String,
    /// The request's `id`.
    #[prost(uint64, tag = "6")]
    pub request: u64,
    /// What happened.
    #[prost(oneof = "SaidKept", tags = "10, 11")]
    pub said: Option<SaidKept>,
}

/// What an entry says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum SaidKept {
    /// Something happened.
    #[prost(message, tag = "10")]
    Event(v1::Event),
    /// Somebody said something.
    #[prost(message, tag = "11")]
    Data(v1::DataPush),
}

/// Who may see an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum To {
    /// Nobody: what a newer version says in a word of its own.
    Nobody = 0,
    /// Everybody.
    All = 1,
    /// Everybody but `one`.
    Except = 2,
    /// Admins, and `one`.
    AdminsAnd = 3,
    /// Admins but `one`.
    AdminsExcept = 4,
    /// Everybody who is no admin, but `one`.
    OrdinaryExcept = 5,
    /// `one` and `other`.
    Pair = 6,
}

/// An audience with its participants by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudienceKept<'a> {
    /// Which.
    pub to: To,
    /// Whom it names.
    pub one: &'a str,
    /// The other of a pair.
    pub other: &'a str,
}

impl EntryKept {
    /// As it is written.
    pub fn bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// What was written.
    ///
    /// # Errors
    /// It is no such thing.
    pub fn read(bytes: &Bytes) -> Result<Self, Unreadable> {
        Self::decode(bytes.clone()).map_err(|why| Unreadable::new("an entry of the log", why))
    }

    /// Who may see it.
    pub fn audience(&self) -> AudienceKept<'_> {
        AudienceKept { to: self.to(), one: &self.one, other: &self.other }
    }
}
