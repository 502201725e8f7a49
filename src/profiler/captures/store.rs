//! The captures that there are, bounded in number and bytes: the oldest go first, one being recorded never.
//!
//! Decides and remembers; the parts of captures in a folder are not held here, and no file is touched: what has to be
//! deleted is told. [`folder`] does that.

pub(super) mod folder;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    capture::{Capture, CaptureId, Cause, Kept, State},
    parts::Parts,
};

/// Captures that are being recorded at one time.
pub(super) const RECORDINGS_MAX: usize = 8;
/// A recording that nobody finished so long after its end is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(300);

/// What there may be of captures that are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many.
    pub captures: usize,
    /// Their parts and what is known of them, together.
    pub bytes: u64,
}

/// Why a capture went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeWay {
    /// There were as many as there may be.
    Number,
    /// They weighed as much as they may.
    Bytes,
}

/// Where the parts are.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// There are none yet.
    Recording(Recording),
    /// They are being written.
    Writing,
    Memory(Parts),
    Folder,
}

/// What is known while there are no parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recording {
    /// Its end, by the clock that does not step.
    pub(super) until: Instant,
    /// Of the stalled worker, as seen when it began.
    pub(super) stack: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    capture: Capture,
    bytes: u64,
    body: Body,
}

impl Entry {
    /// Recordings weigh nothing and stay.
    fn is_bounded(&self) -> bool {
        !matches!(self.body, Body::Recording(_))
    }
}

/// See the module. Ids begin with the time, so their order is that of age.
#[derive(Debug)]
pub(super) struct Store {
    bounds: Bounds,
    entries: BTreeMap<CaptureId, Entry>,
}

impl Store {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: BTreeMap::new() }
    }

    /// Whether there is room for another recording, else how long until there may be.
    pub(super) fn room(&self, now: Instant) -> Result<(), Duration> {
        let ends: Vec<_> = self.recorded().map(|(_, recording)| recording.until).collect();
        match ends.iter().min() {
            // one that is due is finished within a second
            Some(first) if ends.len() >= RECORDINGS_MAX => {
                Err(first.saturating_duration_since(now).max(Duration::from_secs(1)))
            }
            _ => Ok(()),
        }
    }

    /// A recording begins.
    pub(super) fn begin(&mut self, capture: Capture, recording: Recording) {
        let entry = Entry { bytes: 0, body: Body::Recording(recording), capture };
        self.entries.insert(entry.capture.id.clone(), entry);
    }

    /// A recording is to be written. Absent: there is no such recording.
    pub(super) fn take(&mut self, id: &CaptureId) -> Option<(Capture, Recording)> {
        let entry = self.entries.get_mut(id)?;
        let Body::Recording(recording) = &entry.body else { return None };
        let recording = recording.clone();
        entry.body = Body::Writing;
        Some((entry.capture.clone(), recording))
    }

    /// Makes room for one that is being written and weighs that much: those that went, oldest first, and why.
    ///
    /// # Errors
    /// When there never is room for it: it is gone then.
    pub(super) fn make_room(&mut self, id: &CaptureId, bytes: u64) -> Result<Vec<(Capture, MadeWay)>, TooLarge> {
        if bytes > self.bounds.bytes || self.bounds.captures == 0 {
            self.entries.remove(id);
            return Err(TooLarge { bytes, bounds: self.bounds });
        }
        if let Some(entry) = self.entries.get_mut(id) {
            entry.bytes = bytes;
        }
        Ok(self.shrink(Some(id)))
    }

    /// It was written.
    pub(super) fn put(&mut self, capture: Capture, bytes: u64, body: Body) {
        self.entries.insert(capture.id.clone(), Entry { capture, bytes, body });
    }

    /// Lets go of the oldest until what is there is within its bounds.
    pub(super) fn shrink(&mut self, but: Option<&CaptureId>) -> Vec<(Capture, MadeWay)> {
        let mut gone = Vec::new();
        loop {
            let bounded = || self.entries.values().filter(|entry| entry.is_bounded());
            let why = if bounded().count() > self.bounds.captures {
                MadeWay::Number
            } else if bounded().map(|entry| entry.bytes).sum::<u64>() > self.bounds.bytes {
                MadeWay::Bytes
            } else {
                return gone;
            };
            let may_go = |entry: &&Entry| entry.capture.state == State::Ready && Some(&entry.capture.id) != but;
            let Some(oldest) = self.entries.values().find(may_go).map(|entry| entry.capture.id.clone()) else {
                return gone;
            };
            gone.extend(self.entries.remove(&oldest).map(|entry| (entry.capture, why)));
        }
    }

    /// All recordings, oldest first.
    pub(super) fn recorded(&self) -> impl Iterator<Item = (&Capture, &Recording)> {
        self.entries.values().filter_map(|entry| match &entry.body {
            Body::Recording(recording) => Some((&entry.capture, recording)),
            Body::Writing | Body::Memory(_) | Body::Folder => None,
        })
    }

    /// Recordings whose time has passed, oldest first.
    pub(super) fn due(&self, now: Instant) -> Vec<Capture> {
        self.recorded().filter(|(_, recording)| recording.until <= now).map(|(capture, _)| capture.clone()).collect()
    }

    /// A recording that a further breach may become part of: the newest of latency.
    pub(super) fn joinable(&mut self) -> Option<&mut Capture> {
        let mut newest_first = self.entries.values_mut().rev();
        let open = newest_first
            .find(|entry| matches!(entry.capture.cause, Cause::Latency(_)) && matches!(entry.body, Body::Recording(_)));
        open.map(|entry| &mut entry.capture)
    }

    /// Gives up recordings that nobody finished.
    pub(super) fn give_up(&mut self, now: Instant) -> Vec<CaptureId> {
        let overdue = self.recorded().filter(|(_, recording)| recording.until + GIVEN_UP_AFTER < now);
        let overdue: Vec<_> = overdue.map(|(capture, _)| capture.id.clone()).collect();
        overdue.iter().for_each(|id| drop(self.entries.remove(id)));
        overdue
    }

    pub(super) fn knows(&self, id: &CaptureId) -> bool {
        self.entries.contains_key(id)
    }

    /// What is known of one, and where its parts are.
    pub(super) fn get(&self, id: &str) -> Option<(&Capture, &Body)> {
        self.entries.get(id).map(|entry| (&entry.capture, &entry.body))
    }

    /// Newest first.
    pub(super) fn list(&self) -> impl Iterator<Item = &Capture> {
        self.entries.values().rev().map(|entry| &entry.capture)
    }

    /// Of those that are ready, or nearly.
    pub(super) fn weight(&self) -> Weight {
        let ready = || self.entries.values().filter(|entry| entry.is_bounded());
        Weight {
            captures: ready().count(),
            in_memory: ready().filter(|entry| entry.capture.kept != Kept::Folder).count(),
            bytes: ready().map(|entry| entry.bytes).sum(),
        }
    }
}

/// What captures there are that are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// How many.
    pub captures: usize,
    /// Of these, those that are in memory only.
    pub in_memory: usize,
    /// What all of them weigh.
    pub bytes: u64,
}

/// There never is room for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it weighs {bytes} bytes; at most {} captures of {} bytes together are kept", bounds.captures, bounds.bytes)]
pub(super) struct TooLarge {
    bytes: u64,
    bounds: Bounds,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::captures::capture::tests::capture;

    const SECOND: Duration = Duration::from_secs(1);

    fn numbered(number: u32) -> Capture {
        let told = capture(Cause::Operator { note: String::new() });
        Capture { id: CaptureId::parse(&format!("20261125T2127{number:02}Z-operator")).unwrap(), ..told }
    }

    fn ending(until: Instant) -> Recording {
        Recording { until, stack: vec!["main".to_owned()] }
    }

    fn recording(number: u32) -> Capture {
        Capture { state: State::Recording, ..numbered(number) }
    }

    /// With that many of ten bytes each.
    fn store(captures: usize, bytes: u64, ready: u32) -> Store {
        let mut store = Store::new(Bounds { captures, bytes });
        (0..ready).for_each(|number| store.put(numbered(number), 10, Body::Folder));
        store
    }

    fn ids(store: &Store) -> Vec<&str> {
        store.list().map(|capture| &capture.id.as_str()[13..15]).collect()
    }

    #[test]
    fn the_oldest_make_way_for_the_new_one_by_number_and_by_bytes() {
        let mut told = store(3, 1_000, 3);
        told.begin(recording(3), ending(Instant::now()));
        told.take(&numbered(3).id).unwrap();
        let gone = told.make_room(&numbered(3).id, 10).unwrap();
        assert_eq!(gone, [(numbered(0), MadeWay::Number)]);
        told.put(numbered(3), 10, Body::Folder);
        assert_eq!(ids(&told), ["03", "02", "01"]);
        let mut told = store(9, 40, 4);
        told.begin(recording(4), ending(Instant::now()));
        told.take(&numbered(4).id).unwrap();
        let gone = told.make_room(&numbered(4).id, 15).unwrap();
        assert_eq!(gone, [(numbered(0), MadeWay::Bytes), (numbered(1), MadeWay::Bytes)]);
        assert_eq!((ids(&told), told.weight().bytes), (vec!["04", "03", "02"], 35));
    }

    #[test]
    fn one_being_recorded_or_written_never_goes_however_old_it_is() {
        let mut told = Store::new(Bounds { captures: 2, bytes: 1_000 });
        let until = Instant::now();
        (0..2).for_each(|number| told.begin(recording(number), ending(until)));
        assert_eq!(told.take(&recording(0).id), Some((recording(0), ending(until))));
        (2..9).for_each(|number| told.put(numbered(number), 10, Body::Folder));
        assert_eq!(told.shrink(None).len(), 6);
        assert_eq!(ids(&told), ["08", "01", "00"], "that which is written is one of the two");
        assert_eq!(told.take(&recording(0).id), None, "nobody else writes it");
    }

    #[test]
    fn what_is_heavier_than_all_may_be_is_not_kept_and_takes_nothing_with_it() {
        for (mut told, bytes) in [(store(9, 40, 4), 41), (store(0, 40, 0), 1)] {
            told.begin(recording(9), ending(Instant::now()));
            told.take(&numbered(9).id).unwrap();
            let error = told.make_room(&numbered(9).id, bytes).unwrap_err();
            assert!(error.to_string().contains(&format!("weighs {bytes} bytes")), "{error}");
            assert!(!told.knows(&numbered(9).id) && told.shrink(None).is_empty());
        }
    }

    #[test]
    fn recordings_are_bounded_and_one_that_nobody_finishes_is_given_up() {
        let mut told = Store::new(Bounds { captures: 2, bytes: 1_000 });
        let now = Instant::now();
        for number in 0..RECORDINGS_MAX as u32 {
            assert_eq!(told.room(now), Ok(()));
            told.begin(recording(number), ending(now + 30 * SECOND));
        }
        assert_eq!(told.room(now), Err(30 * SECOND));
        assert_eq!((told.room(now + 90 * SECOND), told.due(now + 29 * SECOND)), (Err(SECOND), Vec::new()));
        assert_eq!(told.due(now + 30 * SECOND).len(), RECORDINGS_MAX);
        assert_eq!(told.give_up(now + 330 * SECOND), []);
        assert_eq!(told.give_up(now + 331 * SECOND).len(), RECORDINGS_MAX);
        assert_eq!(told.room(now), Ok(()));
    }
}
