//! The parts of a capture: what they are called, as a file, in a path and to a browser, and their bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    capture::Piece,
    latency::Latencies,
    moments::{Difference, Moment, compare},
};
use crate::telemetry::slow::SlowRow;

/// Lines of a stall's stack that are kept, the innermost first,
const STACK_LINES_MAX: usize = 256;
/// and characters of each.
const STACK_LINE_CHARS_MAX: usize = 512;

/// A part of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The CPU profile of the window, as pprof has it.
    #[serde(rename = "profile")]
    Profile,
    /// That of the quiet hour before.
    #[serde(rename = "quiet")]
    Quiet,
    /// Quantiles of the window and of the quiet hour: [`Latencies`].
    #[serde(rename = "latency")]
    Latency,
    /// The same minutes as an interval log.
    #[serde(rename = "latency.hlog")]
    LatencyLog,
    /// The slow signals of the window: a list of [`SlowRow`].
    #[serde(rename = "slow")]
    Slow,
    /// How the router was, and what was different: [`Runtime`].
    #[serde(rename = "runtime")]
    Runtime,
    /// The stack of the worker that was stalled, a line a frame.
    #[serde(rename = "stall")]
    Stall,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Profile, Self::Quiet, Self::Latency, Self::LatencyLog, Self::Slow, Self::Runtime, Self::Stall];

    /// The word for it, in paths and in `capture.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Quiet => "quiet",
            Self::Latency => "latency",
            Self::LatencyLog => "latency.hlog",
            Self::Slow => "slow",
            Self::Runtime => "runtime",
            Self::Stall => "stall",
        }
    }

    /// The part of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// The name of its file.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Profile => "profile.pb.gz",
            Self::Quiet => "quiet.pb.gz",
            Self::Latency => "latency.json",
            Self::LatencyLog => "latency.hlog",
            Self::Slow => "slow.json",
            Self::Runtime => "runtime.json",
            Self::Stall => "stall.txt",
        }
    }

    /// What a browser takes it for.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Profile | Self::Quiet => "application/octet-stream",
            Self::Latency | Self::Slow | Self::Runtime => "application/json",
            Self::LatencyLog | Self::Stall => "text/plain; charset=utf-8",
        }
    }
}

/// How the router was in both times, and what was different.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Runtime {
    /// The most different first.
    pub differences: Vec<Difference>,
    /// The steps of the window,
    pub window: Vec<Moment>,
    /// and of the quiet hour.
    pub quiet: Vec<Moment>,
}

impl Runtime {
    /// Of these steps.
    pub fn of(quiet: Vec<Moment>, window: Vec<Moment>) -> Self {
        Self { differences: compare(&quiet, &window), window, quiet }
    }
}

/// The bytes of parts, as far as there are any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts(BTreeMap<Part, Bytes>);

impl Parts {
    /// With the profile of the window, gzip'd.
    pub fn profile(self, pprof: impl Into<Bytes>) -> Self {
        self.with(Part::Profile, pprof)
    }

    /// With that of the quiet hour.
    pub fn quiet(self, pprof: impl Into<Bytes>) -> Self {
        self.with(Part::Quiet, pprof)
    }

    /// With the interval log.
    pub fn latency_log(self, log: impl Into<Bytes>) -> Self {
        self.with(Part::LatencyLog, log)
    }

    /// With quantiles.
    pub fn latency(self, latencies: &Latencies) -> Self {
        self.json(Part::Latency, latencies)
    }

    /// With slow signals.
    pub fn slow(self, slow: &[SlowRow]) -> Self {
        self.json(Part::Slow, slow)
    }

    /// With how the router was.
    pub fn runtime(self, runtime: &Runtime) -> Self {
        self.json(Part::Runtime, runtime)
    }

    /// With the stack of a stalled worker, the innermost frame first; nothing when there is none.
    pub fn stall(self, stack: &[String]) -> Self {
        if stack.is_empty() {
            return self;
        }
        let line = |line: &String| line.chars().filter(|c| *c != '\n').take(STACK_LINE_CHARS_MAX).collect::<String>();
        let lines: Vec<_> = stack.iter().take(STACK_LINES_MAX).map(line).collect();
        self.with(Part::Stall, lines.join("\n") + "\n")
    }

    fn json(self, part: Part, value: &(impl Serialize + ?Sized)) -> Self {
        self.with(part, serde_json::to_vec(value).expect("plain values with text keys can be written as JSON"))
    }

    fn with(mut self, part: Part, bytes: impl Into<Bytes>) -> Self {
        self.0.insert(part, bytes.into());
        self
    }

    /// One of them.
    pub fn get(&self, part: Part) -> Option<&Bytes> {
        self.0.get(&part)
    }

    /// What there is of each.
    pub fn pieces(&self) -> Vec<Piece> {
        self.iter().map(|(part, bytes)| Piece { part, bytes: bytes.len() as u64 }).collect()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Part, &Bytes)> {
        self.0.iter().map(|(part, bytes)| (*part, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_one_name_everywhere() {
        for part in Part::ALL {
            assert_eq!(Part::of(part.name()), Some(part));
            assert_eq!(serde_json::to_value(part).unwrap(), part.name());
            assert_eq!(serde_json::from_value::<Part>(part.name().into()).unwrap(), part);
            assert!(part.file().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'), "{part:?}");
        }
        for stranger in ["", "capture.json", "../profile", "Profile"] {
            assert_eq!(Part::of(stranger), None);
        }
    }

    #[test]
    fn a_stack_is_a_bounded_number_of_lines() {
        let stack = vec!["a\nb".repeat(1_000); 1_000];
        let parts = Parts::default().stall(&stack);
        let text = std::str::from_utf8(parts.get(Part::Stall).unwrap()).unwrap();
        assert_eq!(text.lines().count(), STACK_LINES_MAX);
        assert!(text.lines().all(|line| line.len() == STACK_LINE_CHARS_MAX));
        assert_eq!(Parts::default().stall(&[]), Parts::default());
    }

    #[test]
    fn runtime_says_what_was_different_and_reads_back() {
        let quiet = vec![Moment { threads: 10, ..Moment::default() }];
        let runtime = Runtime::of(quiet, vec![Moment { threads: 400, ..Moment::default() }]);
        assert_eq!((runtime.differences[0].name.as_str(), runtime.differences[0].ratio), ("threads", Some(40.0)));
        let parts = Parts::default().runtime(&runtime);
        let text = parts.get(Part::Runtime).unwrap();
        assert_eq!(serde_json::from_slice::<Runtime>(text).unwrap(), runtime);
    }
}
