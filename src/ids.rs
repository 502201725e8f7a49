//! Identifiers and positions: what names a thing, and where in its order it stands.
//!
//! Knows nothing of what it names. Everything else imports it.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text, as it travels.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

text_id! {
    /// A room's name, chosen by the application; 1 to `limits.room_name_bytes` bytes.
    RoomId
}
text_id! {
    /// Who a participant is: the `sub` of its token. Unique in a room.
    Identity
}
text_id! {
    /// One stay of an identity in a room; a newer join of the same identity has another.
    ParticipantId
}
text_id! {
    /// One client connection, its resumes included.
    SessionId
}
text_id! {
    /// A published track.
    TrackId
}
text_id! {
    /// A place: `sh`, `eu-west`.
    Region
}

text_id! {
    /// A media node, as it registered; 1 to 64 letters, digits, `.`, `_`, `-`.
    NodeId
}
text_id! {
    /// A router of a fleet, its `server.id`; 1 to 64 letters, digits, `.`, `_`, `-`.
    RouterId
}
text_id! {
    /// The version pool that gray-release rules send a client to; `default` is always one.
    Variant
}

impl Variant {
    /// The one that always is, and that clients get whom no rule sends elsewhere.
    pub const DEFAULT: &str = "default";
}

impl Default for Variant {
    fn default() -> Self {
        Self::from(Self::DEFAULT)
    }
}

/// One transport connection of this process. A session has at most one at a time; numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// One life of a room's event log; offsets of different epochs do not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Epoch {
    /// As it is written; absent: it is none.
    pub fn read(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

/// The place of an event in its room's log, from 1 within an epoch; 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub u64);

/// The place of a directed push in its session's order, from 1; 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);
