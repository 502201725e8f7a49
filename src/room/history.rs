//! The latest events of a room by offset, bounded by count, age and bytes.
//!
//! Offsets have no gaps, so that an entry's offset is its distance from the tip. Knows audiences, not who is in them.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

use super::{Audience, Bounds, Message, Request};
use crate::{
    ids::{Identity, Offset},
    protocol::v1::{DataPush, event::Kind},
};

/// What an entry weighs beside its content, roughly.
const ENTRY_BYTES: usize = 128;

/// What happened, to be told again.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Event(Box<Kind>),
    Message(Said),
    /// What a newer build wrote and this one does not know, as it lies there: it is told to nobody, and stays in its place.
    Unknown(Bytes),
}

/// A message, without its place.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) from: Identity,
    pub(super) data: Option<Box<str>>,
    pub(super) bytes: Option<Bytes>,
    pub(super) topic: Box<str>,
}

impl Said {
    fn size(&self) -> usize {
        let bytes = self.bytes.as_ref().map_or(0, Bytes::len);
        self.data.as_ref().map_or(0, |data| data.len()) + bytes + self.topic.len()
    }

    /// As it travels.
    pub(super) fn to_push(&self, offset: Offset) -> DataPush {
        DataPush {
            from: self.from.as_str().to_owned(),
            data: self.data.as_deref().map(str::to_owned),
            bytes: self.bytes.clone(),
            topic: self.topic.to_string(),
            offset: Some(offset.0),
            seq: None,
        }
    }
}

/// One offset's worth.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Instant,
    pub(super) audience: Audience,
    bytes: usize,
    pub(super) kept: Kept,
    /// Whose request it was, and which.
    pub(super) by: Option<Request>,
    /// As it was written elsewhere, where that says more than this build knows.
    pub(super) written: Option<Box<Bytes>>,
}

impl Entry {
    /// As it was kept elsewhere.
    pub(super) fn new(at: Instant, audience: Audience, kept: Kept, by: Option<Request>) -> Self {
        let bytes = ENTRY_BYTES
            + match &kept {
                Kept::Event(kind) => kind.encoded_len(),
                Kept::Message(said) => said.size(),
                Kept::Unknown(written) => written.len(),
            };
        Self { at, audience, bytes, kept, by, written: None }
    }

    /// The same, to be written again as it was.
    pub(super) fn written_as(self, written: Option<Bytes>) -> Self {
        let bytes = self.bytes + written.as_ref().map_or(0, Bytes::len);
        Self { bytes, written: written.map(Box::new), ..self }
    }
}

/// The log's end.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: VecDeque<Entry>,
    tip: u64,
    bytes: usize,
    /// Whose request is at hand: what is appended is its doing.
    pub(super) request: Option<Request>,
}

impl History {
    /// A log as it was kept elsewhere: what comes before a gap is let go of.
    pub(super) fn restore(tip: Offset, entries: impl DoubleEndedIterator<Item = (Offset, Entry)>) -> Self {
        let (mut history, mut next) = (Self { tip: tip.0, ..Self::default() }, tip.0);
        for (offset, entry) in entries.rev() {
            if offset.0 != next || next == 0 {
                break;
            }
            next -= 1;
            history.bytes += entry.bytes;
            history.entries.push_front(entry);
        }
        history
    }

    /// The offset of the oldest event that is kept; without any, of the next one.
    pub(super) fn first(&self) -> Offset {
        Offset(self.tip + 1 - self.entries.len() as u64)
    }

    pub(super) fn tip(&self) -> Offset {
        Offset(self.tip)
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.at)
    }

    pub(super) fn keep_event(&mut self, at: Instant, audience: Audience, kind: Kind, bounds: &Bounds) -> Offset {
        let bytes = ENTRY_BYTES + kind.encoded_len();
        let kept = Kept::Event(Box::new(kind));
        self.append(Entry { at, audience, bytes, kept, by: self.request, written: None }, bounds)
    }

    pub(super) fn keep_message(
        &mut self,
        at: Instant,
        audience: Audience,
        message: &Message,
        bounds: &Bounds,
    ) -> Offset {
        let kept = Kept::Message(Said {
            from: message.from.clone(),
            data: message.data.as_deref().map(Into::into),
            // a copy, since the original may keep a whole read buffer alive
            bytes: message.bytes.as_deref().map(Bytes::copy_from_slice),
            topic: message.topic.as_str().into(),
        });
        let bytes = ENTRY_BYTES + message.size();
        self.append(Entry { at, audience, bytes, kept, by: self.request, written: None }, bounds)
    }

    /// What happened elsewhere comes after all that happened here; it is as old as it is.
    pub(super) fn append_kept(&mut self, entry: Entry, at: Instant, bounds: &Bounds) -> Offset {
        let offset = self.append(entry, bounds);
        self.trim(at, bounds);
        offset
    }

    fn append(&mut self, entry: Entry, bounds: &Bounds) -> Offset {
        self.tip += 1;
        self.bytes += entry.bytes;
        let at = entry.at;
        self.entries.push_back(entry);
        self.trim(at, bounds);
        Offset(self.tip)
    }

    /// Lets go of what is past the bounds.
    pub(super) fn trim(&mut self, at: Instant, bounds: &Bounds) {
        while let Some(oldest) = self.entries.front() {
            let fits = self.entries.len() <= bounds.history_events
                && self.bytes <= bounds.history_bytes
                && at.saturating_duration_since(oldest.at) <= bounds.history_age;
            if fits {
                return;
            }
            self.bytes -= oldest.bytes;
            self.entries.pop_front();
        }
        // an idle room gives its memory back
        self.entries = VecDeque::new();
    }

    /// Whether every event after that offset is still here.
    pub(super) fn covers(&self, after: Offset) -> bool {
        after.0 <= self.tip && self.tip - after.0 <= self.entries.len() as u64
    }

    /// The events after that offset; those that are still here.
    pub(super) fn after(&self, after: Offset) -> impl Iterator<Item = (Offset, &Entry)> {
        let first = self.first().0;
        let skip = (after.0 + 1).saturating_sub(first) as usize;
        self.entries.iter().enumerate().skip(skip).map(move |(index, entry)| (Offset(first + index as u64), entry))
    }
}
