//! A write as it lies in the journal: to be brought to Redis later, as whoever wrote it.

use bytes::Bytes;
use prost::Message;

use crate::fabric::{Named, Placed, ROOM_FIELD, Unreadable, Write};

/// See the module.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    /// When, in Unix milliseconds of the router that wrote it.
    #[prost(uint64, tag = "1")]
    pub(super) at_unix_ms: u64,
    /// The router's name.
    #[prost(string, tag = "2")]
    pub(super) owner: String,
    #[prost(uint64, tag = "3")]
    pub(super) fence: u64,
    /// The room ended; nothing of what follows is there then.
    #[prost(bool, tag = "4")]
    pub(super) ends: bool,
    #[prost(bool, tag = "5")]
    pub(super) reset: bool,
    #[prost(bool, tag = "6")]
    released: bool,
    #[prost(uint64, tag = "7")]
    trim_below: u64,
    #[prost(message, repeated, tag = "8")]
    set: Vec<Named>,
    #[prost(string, repeated, tag = "9")]
    delete: Vec<String>,
    #[prost(message, repeated, tag = "10")]
    log: Vec<Placed>,
    #[prost(uint64, tag = "11")]
    pub(super) edition: u64,
    #[prost(uint64, tag = "12")]
    after: u64,
}

impl Entry {
    /// Of a write.
    pub(super) fn of(owner: &str, at_unix_ms: u64, write: &Write) -> Self {
        let Write {
            fence,
            edition,
            after,
            reset,
            released,
            trim_below,
            ref set,
            ref delete,
            ref entries,
            unless_later: _,
        } = *write;
        Self {
            at_unix_ms,
            owner: owner.to_owned(),
            fence,
            ends: false,
            reset,
            released,
            trim_below,
            set: Named::all(set),
            delete: delete.clone(),
            log: Placed::all(entries),
            edition,
            after,
        }
    }

    /// Of the end of a room.
    pub(super) fn of_end(owner: &str, at_unix_ms: u64, fence: u64) -> Self {
        Self { at_unix_ms, owner: owner.to_owned(), fence, ends: true, ..Self::default() }
    }

    /// What was written, or that the room ended. It may come a second time, after what was written since.
    pub(super) fn into_write(self) -> Write {
        Write {
            fence: self.fence,
            edition: self.edition,
            after: self.after,
            unless_later: true,
            reset: self.reset,
            released: self.released,
            trim_below: self.trim_below,
            set: Named::into_fields(self.set),
            delete: self.delete,
            entries: Placed::into_entries(self.log),
        }
    }

    /// What this says of all that stands of the room in the journal: whether it is a whole by itself. Absent: nothing.
    pub(super) fn whole(&self) -> Option<bool> {
        let has_room = self.set.iter().any(|field| field.name == ROOM_FIELD);
        match () {
            // the last that its router says of it follows what is in Redis, if nothing is here
            () if self.ends || has_room || self.released => Some(true),
            () if self.reset => Some(false),
            () => None,
        }
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// What was written.
    ///
    /// # Errors
    /// It is no such thing.
    pub(super) fn read(bytes: Bytes) -> Result<Self, Unreadable> {
        Self::decode(bytes).map_err(|why| Unreadable::new("a write of the journal", why))
    }
}
