//! What travels: the messages of `signalbox.v1`, their two encodings, the code table and the limits.
//!
//! Must not know rooms, sessions or sockets. Frames go from here to the router, and from the router here.

pub mod codec;
pub mod codes;
pub mod json;
pub mod limits;
pub mod op;
pub mod validate;

pub use codec::{Encoding, decode, encode};
pub use codes::{Code, ELSEWHERE, Refusal};
pub use limits::Limits;
pub use op::OpKind;

/// Messages and services generated from `protocol/signalbox/v1/*.proto`; the IDL documents each.
#[allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("signalbox.v1");
}

/// Messages and service generated from `protocol/signalbox/relay/v1/relay.proto`: what routers of a fleet say to each other.
#[allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod relay {
    include!(concat!(env!("OUT_DIR"), "/relay/signalbox.relay.v1.rs"));
}

/// Version of what routers of a fleet say to each other.
pub const RELAY_VERSION: u32 = 1;

/// Version of the protocol that this build speaks; `joined` names it.
pub const PROTOCOL_VERSION: u32 = 1;

/// Why `media_moved` is told to who was in a room that another router had as well, and on a node of its own.
pub const ROOM_MERGED: &str = "room_merged";

/// What a client may rely on, named in `joined.server.features`.
pub const FEATURES: [&str; 4] = ["resume", "directed_data", "attributes", "advice"];
