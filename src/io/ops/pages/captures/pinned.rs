//! The parts of a capture, read for a page: one that cannot be read is told of, and the others are shown.

use axum::body::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    profiler::{
        captures::{Capture, Latencies, Part, PartError, Runtime, State},
        pprof,
        profile::Profile,
        views::{self, Change},
    },
    telemetry::slow::SlowRow,
};

/// A capture with what its page shows.
#[derive(Debug)]
pub(in crate::io::ops) struct Pinned {
    pub(super) capture: Capture,
    /// Of the window,
    pub(super) profile: Option<Profile>,
    /// and of the quiet hour.
    pub(super) quiet: Option<Profile>,
    /// Functions whose share of CPU time grew first, those that shrank last.
    pub(super) changes: Vec<Change>,
    pub(super) latency: Option<Latencies>,
    pub(super) slow: Vec<SlowRow>,
    pub(super) runtime: Option<Runtime>,
    /// Of a stalled worker, the innermost frame first.
    pub(super) stack: Vec<String>,
    /// Parts that cannot be shown, and why.
    pub(super) unreadable: Vec<(Part, String)>,
}

impl Pinned {
    /// Reads the parts that the capture has, each by asking for its bytes. Takes a while: files, and profiles to
    /// unpack.
    pub(in crate::io::ops) fn read(capture: Capture, bytes: impl Fn(Part) -> Result<Bytes, PartError>) -> Self {
        let mut reading = Reading { capture: &capture, bytes, unreadable: Vec::new() };
        let profile = |bytes: &[u8]| pprof::decode(bytes).map_err(|error| error.to_string());
        let lines = |bytes: &[u8]| Ok(String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect());
        let mut pinned = Self {
            profile: reading.part(Part::Profile, profile),
            quiet: reading.part(Part::Quiet, profile),
            changes: Vec::new(),
            latency: reading.part(Part::Latency, json),
            slow: reading.part(Part::Slow, json).unwrap_or_default(),
            runtime: reading.part(Part::Runtime, json),
            stack: reading.part(Part::Stall, lines).unwrap_or_default(),
            unreadable: reading.unreadable,
            capture,
        };
        if let Some((quiet, bad)) = pinned.profiles() {
            pinned.changes = views::changes(quiet, bad, usize::MAX);
        }
        pinned.slow.sort_by(|a, b| b.took_ms.total_cmp(&a.took_ms));
        pinned
    }

    /// Both profiles, when there are two with something in them.
    pub(super) fn profiles(&self) -> Option<(&Profile, &Profile)> {
        let (quiet, bad) = (self.quiet.as_ref()?, self.profile.as_ref()?);
        (quiet.weight() > 0 && bad.weight() > 0).then_some((quiet, bad))
    }
}

struct Reading<'a, F> {
    capture: &'a Capture,
    bytes: F,
    unreadable: Vec<(Part, String)>,
}

impl<F: Fn(Part) -> Result<Bytes, PartError>> Reading<'_, F> {
    /// One part, when there is one and it can be read.
    fn part<T>(&mut self, part: Part, decode: impl FnOnce(&[u8]) -> Result<T, String>) -> Option<T> {
        if self.capture.state == State::Recording || self.capture.part(part).is_none() {
            return None;
        }
        let read = (self.bytes)(part).map_err(|error| error.to_string()).and_then(|bytes| decode(&bytes));
        read.map_err(|why| self.unreadable.push((part, why))).ok()
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
