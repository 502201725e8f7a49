//! Profiles made by hand, for tests: stacks as text, the root first.

use std::{sync::Arc, time::Duration};

use crate::profiler::profile::{Function, Line, Location, Mapping, Profile, Sample};

/// Adds stacks to a profile of CPU time.
///
/// A frame is `name`, `name:12` for a line of it (else it is not known), or `@/path` for an address without a name in
/// that file. Frames joined by `+` are at one address, the outermost first: the others are inlined into it.
#[derive(Debug)]
pub(crate) struct Stacks(Profile);

impl Default for Stacks {
    fn default() -> Self {
        let started = Duration::from_secs(1_764_100_000);
        Self(Profile::cpu(Duration::from_nanos(10_101_010), started, Duration::from_secs(10)))
    }
}

impl Stacks {
    /// A stack of that weight, seen once.
    pub(crate) fn add(self, stack: &str, weight: u64) -> Self {
        self.labelled(stack, weight, &[])
    }

    /// A stack with labels.
    pub(crate) fn labelled(mut self, stack: &str, weight: u64, labels: &[(&str, &str)]) -> Self {
        let frames = stack.split(';').filter(|frame| !frame.is_empty());
        let mut stack: Vec<u32> = frames.map(|frame| self.location(frame)).collect();
        stack.reverse();
        let labels = labels.iter().map(|(name, value)| (Arc::from(*name), Arc::from(*value))).collect();
        self.0.samples.push(Sample { stack, count: 1, weight, labels });
        self
    }

    pub(crate) fn profile(self) -> Profile {
        self.0
    }

    fn location(&mut self, frame: &str) -> u32 {
        let (mapping, lines) = match frame.strip_prefix('@') {
            Some(file) => (Some(self.mapping(file)), Vec::new()),
            None => (None, frame.split('+').rev().map(|function| self.line(function)).collect()),
        };
        let address = 0x1000 + 0x10 * self.0.locations.len() as u64;
        place(&mut self.0.locations, Location { address, mapping, lines }, |a, b| {
            (a.mapping, &a.lines) == (b.mapping, &b.lines)
        })
    }

    fn mapping(&mut self, file: &str) -> u32 {
        let start = 0x10_0000 * (1 + self.0.mappings.len() as u64);
        let made = Mapping { start, limit: start + 0x1000, offset: 0, file: file.into(), build_id: "0a0b".into() };
        place(&mut self.0.mappings, made, |a, b| a.file == b.file)
    }

    fn line(&mut self, function: &str) -> Line {
        // paths of Rust have colons in pairs
        let line = function.rsplit_once(':').and_then(|(name, line)| Some((name, line.parse().ok()?)));
        let (name, line) = line.unwrap_or((function, 0));
        let made = Function { name: name.into(), file: "src/planted.rs".into() };
        Line { function: place(&mut self.0.functions, made, |a, b| a == b), line }
    }
}

fn place<T>(all: &mut Vec<T>, made: T, same: fn(&T, &T) -> bool) -> u32 {
    let found = all.iter().position(|known| same(known, &made));
    found.unwrap_or_else(|| {
        all.push(made);
        all.len() - 1
    }) as u32
}
