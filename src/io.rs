//! All that touches the world for the router: listeners, sockets, shard tasks, key fetching, the ops port.

pub mod admin;
pub mod baseline;
pub mod clock;
pub mod dialing;
pub mod directory;
pub mod fabric;
pub mod faults;
mod file_version;
pub mod finder;
pub mod gateway;
pub mod guard;
pub mod identity;
pub mod journal;
pub mod keeping;
pub mod listener;
pub mod media;
pub mod metronome;
pub mod ops;
pub mod otlp;
pub mod outbound;
pub(crate) mod process;
pub mod profiling;
pub mod relay;
pub mod reloading;
pub mod rpc;
pub mod shard;
#[cfg(test)]
pub(crate) mod test_authority;
mod ticking;
mod whole_file;
pub mod workers;
