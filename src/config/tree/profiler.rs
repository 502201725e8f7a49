//! The profiler, and what it keeps of bad minutes.

use crate::{
    config::{schema::section, values::choice},
    profiler::Kind,
};

section! {
    /// The profiler: where the process spends its CPU time, all the time.
    pub struct Profiler {
        keys {
            /// Whether it samples from the start; `PUT /api/profiler` switches it while the router runs.
            /// On: the flamegraph of a bad minute must exist before anybody asks. Costs well below 1 % of the CPU.
            enabled: bool = true, (), live;
            /// What samples: `ctimer` (exact lines), `itimer` (functions only), `auto`: the first, and the second when it refuses.
            sampler: SamplerChoice = SamplerChoice::Auto, ();
            /// Samples a second of CPU time, of `ctimer`.
            /// Not a round number, so that it does not beat with what happens every ten milliseconds.
            hz: u32 = 99, 19..=999;
            /// The same of `itimer`, whose samples are some ten times as dear.
            fallback_hz: u32 = 19, 9..=99;
            /// Bytes that the last hour of samples may take, about; past them the oldest are thinned, then let go of.
            /// An hour of a busy router of two cores takes about a tenth of it.
            ring_bytes: usize = 32 * 1024 * 1024, 64 * 1024..=1024 * 1024 * 1024;
            /// Heap profiles instead of CPU profiles; needs a build with `--features heap-profiling`.
            /// Not both: two unwinders at once in one thread are not safe.
            heap: bool = false, ();
        }
        sections {
            /// What is kept of bad minutes.
            captures: Captures;
        }
    }
}

section! {
    /// Captures: profile, latencies, slow signals and state of the minute in which something left its band.
    pub struct Captures {
        keys {
            /// How many are kept; the oldest go first. 0: none are made.
            count: usize = 32, 0..=1000;
            /// Bytes that all of them may take.
            /// A capture has some hundred kilobytes to a few megabytes.
            bytes: usize = 128 * 1024 * 1024, 1024 * 1024..=16 * 1024 * 1024 * 1024;
            /// How many an hour may be made by themselves. Operators have six more of their own.
            /// A storm of alerts is one incident: its first minutes say why.
            an_hour: u32 = 12, 1..=360;
        }
    }
}

choice! {
    /// What samples.
    pub enum SamplerChoice {
        /// The default, and the fallback when it refuses.
        Auto = "auto",
        /// Timers of threads, exact lines.
        Ctimer = "ctimer",
        /// One timer of the process, functions only.
        Itimer = "itimer",
    }
}

impl SamplerChoice {
    /// Absent: whichever starts.
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Self::Auto => None,
            Self::Ctimer => Some(Kind::Ctimer),
            Self::Itimer => Some(Kind::Itimer),
        }
    }
}
