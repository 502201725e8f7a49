//! All that touches the world for the router: listeners, sockets, shard tasks, key fetching, the ops port.

pub mod admin;
pub mod clock;
pub mod gateway;
pub mod identity;
pub mod listener;
pub mod metronome;
pub mod ops;
pub mod otlp;
pub mod outbound;
pub mod rpc;
pub mod shard;
mod ticking;
pub mod workers;
