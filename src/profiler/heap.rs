//! Where memory was allocated: samples that jemalloc takes, one in 512 KiB, as pprof reads them.
//!
//! Only in builds with the feature `heap-profiling`, whose allocator is jemalloc; in others everything here answers
//! [`HeapUnavailable::NotBuilt`]. Sampling is off until it is [activated](activate), and must stay so while a CPU
//! sampler runs: both walk stacks, one of them from a signal that may come while the other is at it.

#[cfg(feature = "heap-profiling")]
mod jemalloc;
#[cfg(not(feature = "heap-profiling"))]
mod none;

#[cfg(feature = "heap-profiling")]
use self::jemalloc as source;
#[cfg(not(feature = "heap-profiling"))]
use self::none as source;

/// Bytes between two samples, about: what jemalloc is told in `.cargo/config.toml`, as a power of two.
pub(super) const SAMPLED_BYTES: u64 = 1 << 19;

/// Which allocations a profile is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocations {
    /// What is there now.
    InUse,
    /// All that was allocated since sampling began, whether it is there or not.
    All,
}

/// Why there is no heap profile. Says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum HeapUnavailable {
    /// Another allocator.
    #[error(
        "this build has no heap profiles: build with `cargo build --release --features heap-profiling`, and set \
         profiler.heap = true"
    )]
    NotBuilt,
    /// jemalloc was told at its start not to be able to sample.
    #[error(
        "heap profiles are off in the allocator: start without `prof:false` in the environment variable \
         _RJEM_MALLOC_CONF"
    )]
    Disabled,
    /// Nobody asked for sampling.
    #[error("heap sampling is off: set profiler.heap = true; it then takes the place of the CPU sampler")]
    Inactive,
    /// The allocator's file of samples could not be written or read: it goes through the folder for temporary files.
    #[error("the heap profile could not be made: {0}")]
    Failed(String),
}

/// Allocations of one call stack, as many as the samples stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allocated {
    /// Addresses of calls, the innermost first; it begins inside the allocator.
    pub(super) stack: Vec<u64>,
    /// How many.
    pub(super) objects: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl Allocations {
    /// What the two values of a profile are called.
    pub(super) const fn values(self) -> [&'static str; 2] {
        match self {
            Self::InUse => ["inuse_objects", "inuse_space"],
            Self::All => ["alloc_objects", "alloc_space"],
        }
    }
}

/// Stacks with what they allocated. Reads a file that the allocator writes, hence not for async tasks.
pub(super) fn sampled(allocations: Allocations) -> Result<Vec<Allocated>, HeapUnavailable> {
    source::sampled(allocations)
}

/// Begins to sample, or ends it and forgets all samples.
///
/// # Errors
/// See [`HeapUnavailable`].
pub fn activate(on: bool) -> Result<(), HeapUnavailable> {
    source::activate(on)
}

/// Whether allocations are sampled.
pub fn is_active() -> bool {
    source::is_active()
}

/// Whether a function is the allocator's own, or Rust's way to it: of no interest above who allocated.
pub(super) fn is_allocator(function: &str) -> bool {
    ["_rjem_", "prof_", "__rust_", "__rustc::__rust_"].iter().any(|prefix| function.starts_with(prefix))
        || function.contains("tikv_jemallocator::")
}
