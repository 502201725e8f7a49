//! Profiles in the format of pprof, that `go tool pprof`, Grafana Alloy and Parca read.
//!
//! Its schema is `proto/profile.proto` of github.com/google/pprof. Must not know where bytes come from: [`decode`] takes
//! those of a stranger, or of a damaged disk, and answers with a profile or with an error.

mod decode;
mod encode;
mod wire;

#[cfg(test)]
mod tests;

pub use decode::{DecodeError, INFLATED_BYTES_MAX, decode};
pub use encode::encode;
