//! What a write is made of, as protobuf: contents by name, and by their place in the log.

use bytes::Bytes;
use prost::Message;

/// A field of a room.
#[derive(Clone, PartialEq, Message)]
pub struct Named {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it holds.
    #[prost(bytes = "bytes", tag = "2")]
    pub content: Bytes,
}

/// An entry of its log.
#[derive(Clone, PartialEq, Message)]
pub struct Placed {
    /// Where it stands.
    #[prost(uint64, tag = "1")]
    pub offset: u64,
    /// What it says.
    #[prost(bytes = "bytes", tag = "2")]
    pub content: Bytes,
}

impl Named {
    /// All of them.
    pub fn all(fields: &[(String, Bytes)]) -> Vec<Self> {
        fields.iter().map(|(name, content)| Self { name: name.clone(), content: content.clone() }).collect()
    }

    /// As a write has them.
    pub fn into_fields(all: Vec<Self>) -> Vec<(String, Bytes)> {
        all.into_iter().map(|Self { name, content }| (name, content)).collect()
    }
}

impl Placed {
    /// All of them.
    pub fn all(entries: &[(u64, Bytes)]) -> Vec<Self> {
        entries.iter().map(|(offset, content)| Self { offset: *offset, content: content.clone() }).collect()
    }

    /// As a write has them.
    pub fn into_entries(all: Vec<Self>) -> Vec<(u64, Bytes)> {
        all.into_iter().map(|Self { offset, content }| (offset, content)).collect()
    }
}
