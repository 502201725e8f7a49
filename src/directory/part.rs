//! A part of the directory that is followed: its records, and how far what is known of them is new.

use std::time::Instant;

use super::{
    Answer, Fault, Heard,
    following::{Following, Step},
    view::{News, Record, View},
};
use crate::event::{DirectoryFact, ReadReason};

/// What following it brings.
#[derive(Debug)]
pub(super) enum Told {
    /// Something is known.
    News(News),
    /// That stream is of no use any more.
    Close(u64),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Part<R> {
    /// What stands after the prefix of all keys.
    pub(super) name: &'static str,
    pub(super) following: Following,
    pub(super) view: View<R>,
}

fn fact(fact: DirectoryFact) -> Told {
    Told::News(News::Fact(fact))
}

impl<R: Record> Part<R> {
    /// All records were read, or could not be.
    pub(super) fn listed(&mut self, answer: Result<Answer, Fault>, now: Instant) -> Vec<Told> {
        let Ok(Answer::Listed { revision, records, more, .. }) = answer else {
            self.following.failed(now);
            return Vec::new();
        };
        let Some(reason) = self.following.listed(revision, now) else { return Vec::new() };
        let read = DirectoryFact::Read { part: self.name, reason, revision, records: records.len() };
        let news = self.view.replace(records, more, now).into_iter().map(Told::News);
        [fact(read)].into_iter().chain(news).collect()
    }

    /// A stream stands, or could not be made.
    pub(super) fn opened(&mut self, stream: u64, answer: &Result<Answer, Fault>, now: Instant) -> Option<Told> {
        if !matches!(answer, Ok(Answer::Watching)) {
            self.following.failed(now);
            return None;
        }
        let (part, revision) = (self.name, self.following.revision());
        Some(match self.following.opened(stream, now) {
            true => fact(DirectoryFact::WatchStands { part, revision }),
            false => Told::Close(stream),
        })
    }

    /// A stream said something; nothing follows from one that does not count any more.
    pub(super) fn heard(&mut self, stream: u64, heard: Heard, now: Instant) -> Vec<Told> {
        if let Heard::Ended { why } = heard {
            return self.following.ended(stream, now).map(|()| self.lost(why)).into_iter().collect();
        }
        if !self.following.heard(stream, now) {
            return Vec::new();
        }
        match heard {
            Heard::Ended { .. } | Heard::Alive => Vec::new(),
            Heard::Compacted => self.read_again(ReadReason::Compacted, now).into_iter().collect(),
            Heard::Changed { revision, changes } => {
                let mut told = Vec::new();
                for change in changes {
                    told.extend(self.view.apply(change, now).into_iter().map(Told::News));
                }
                self.following.changed(revision);
                if self.view.has_room_for_others() {
                    told.extend(self.read_again(ReadReason::Overfull, now));
                }
                told
            }
        }
    }

    /// The stream gives no sign of life, or ended.
    pub(super) fn lost(&self, why: String) -> Told {
        fact(DirectoryFact::WatchLost { part: self.name, why })
    }

    /// All has to be read again.
    pub(super) fn read_again(&mut self, reason: ReadReason, now: Instant) -> Option<Told> {
        self.following.read_again(reason, now).map(Told::Close)
    }

    /// The next step of following it, if it is time.
    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        self.following.step(now)
    }
}
