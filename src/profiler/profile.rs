//! A profile with names: what every view of the profiler is made of.
//!
//! Knows nothing of how it was sampled, kept or fetched: a [`Profile`] of this process, of a capture on disk and of
//! another router's answer are the same to every view.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Label of the thread's name.
pub const THREAD: &str = "thread";
/// Label of the op that was in hand.
pub const OP: &str = "op";
/// What a label says when it is not known: the stack was cut short.
pub const UNKNOWN: &str = "unknown";

/// What one of a sample's two values is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueType {
    /// `samples`, `cpu`, `inuse_space` …
    pub kind: Arc<str>,
    /// `count`, `nanoseconds`, `bytes`.
    pub unit: Arc<str>,
}

impl ValueType {
    /// Of these words.
    pub fn new(kind: &str, unit: &str) -> Self {
        Self { kind: kind.into(), unit: unit.into() }
    }
}

/// A function that was compiled on its own or inlined somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    /// Its whole path, demangled, without the hash.
    pub name: Arc<str>,
    /// Where it is written; empty: not known.
    pub file: Arc<str>,
}

/// One function at an address, and the line in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// Its place in [`Profile::functions`].
    pub function: u32,
    /// From 1; 0: not known.
    pub line: u32,
}

/// An address of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// As it was in the process.
    pub address: u64,
    /// Its place in [`Profile::mappings`].
    pub mapping: Option<u32>,
    /// Inlined functions, the innermost first, then the one they are inlined into.
    pub lines: Vec<Line>,
}

/// A file that code came from, and where it was in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first address.
    pub start: u64,
    /// The first that is not part of it any more.
    pub limit: u64,
    /// Of `start` in the file.
    pub offset: u64,
    /// The path.
    pub file: Arc<str>,
    /// In hexadecimal digits; empty: it has none.
    pub build_id: Arc<str>,
}

/// A call stack, and how often it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Places in [`Profile::locations`], the leaf first.
    pub stack: Vec<u32>,
    /// Of the first [`ValueType`].
    pub count: u64,
    /// Of the second.
    pub weight: u64,
    /// Name and value, each name once.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

impl Sample {
    /// What a label says.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }
}

/// Stacks over a time, with the names of what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What count and weight are.
    pub values: [ValueType; 2],
    /// Weight between two samples: nanoseconds of CPU time, bytes allocated.
    pub period: u64,
    /// The beginning, since the Unix epoch.
    pub started: Duration,
    /// From the beginning to the end.
    pub length: Duration,
    /// The stacks.
    pub samples: Vec<Sample>,
    /// What stacks refer to.
    pub locations: Vec<Location>,
    /// What locations refer to.
    pub functions: Vec<Function>,
    /// Where locations are.
    pub mappings: Vec<Mapping>,
    /// For people: what is special about this profile.
    pub comments: Vec<String>,
}

impl Profile {
    /// Of CPU time, with nothing in it.
    pub fn cpu(period: Duration, started: Duration, length: Duration) -> Self {
        Self {
            values: [ValueType::new("samples", "count"), ValueType::new("cpu", "nanoseconds")],
            period: period.as_nanos() as u64,
            started,
            length,
            samples: Vec::new(),
            locations: Vec::new(),
            functions: Vec::new(),
            mappings: Vec::new(),
            comments: Vec::new(),
        }
    }

    /// The sum of all weights.
    pub fn weight(&self) -> u64 {
        self.samples.iter().map(|sample| sample.weight).sum()
    }

    /// The sum of all counts.
    pub fn count(&self) -> u64 {
        self.samples.iter().map(|sample| sample.count).sum()
    }

    /// Drops the samples whose label does not say that.
    pub fn retain(&mut self, label: &str, value: &str) {
        self.samples.retain(|sample| sample.label(label) == Some(value));
    }

    /// The functions of a stack, the innermost first, with their lines; an address without a name is its file in
    /// brackets, or `[unknown]`.
    pub fn frames<'a>(&'a self, stack: &'a [u32]) -> impl Iterator<Item = Frame<'a>> {
        stack.iter().filter_map(|place| self.locations.get(*place as usize)).flat_map(move |location| {
            let nameless = location.lines.is_empty().then(|| self.nameless(location));
            let named = location.lines.iter().filter_map(|line| {
                let function = self.functions.get(line.function as usize)?;
                Some(Frame { name: &function.name, file: &function.file, line: line.line })
            });
            named.chain(nameless)
        })
    }

    fn nameless(&self, location: &Location) -> Frame<'_> {
        let mapping = location.mapping.and_then(|place| self.mappings.get(place as usize));
        Frame { name: mapping.map_or("[unknown]", |mapping| &mapping.file), file: "", line: 0 }
    }

    /// Weight by what a label says, the heaviest first.
    pub fn by_label(&self, label: &str) -> Vec<(String, u64)> {
        let mut sums = BTreeMap::<&str, u64>::new();
        for sample in &self.samples {
            if let Some(value) = sample.label(label) {
                *sums.entry(value).or_default() += sample.weight;
            }
        }
        let mut sums: Vec<_> = sums.into_iter().map(|(value, weight)| (value.to_owned(), weight)).collect();
        sums.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        sums
    }
}

/// A function in a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame<'a> {
    /// Its whole path.
    pub name: &'a str,
    /// Where it is written; empty: not known.
    pub file: &'a str,
    /// From 1; 0: not known.
    pub line: u32,
}
