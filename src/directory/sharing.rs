//! Which place this router has among those that take sessions: by it, it allows its part of the fleet's limits.
//!
//! A part shrinks at once and grows late: a router that is not seen any more counts for one more lease. It may only be cut
//! off from etcd, and allows its part still; and after an etcd that came back with nothing, nobody is seen for a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    RouterRecord,
    view::{Kept, View},
};

/// The place of one router, from 0, among so many that share the fleet's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which,
    pub rank: u32,
    /// among how many: 1 at least.
    pub of: u32,
}

/// Who shares, as this router counts them.
#[derive(Debug)]
pub(super) struct Sharing {
    /// For how long a router counts that is gone.
    late: Duration,
    /// The others that took sessions when it was looked last.
    others: BTreeSet<String>,
    /// Those of them that are gone, and until when they count.
    gone: BTreeMap<String, Instant>,
    /// The last that was told.
    told: Option<Place>,
    /// Whether the view may show something else by now.
    stirred: bool,
}

impl Sharing {
    /// Nobody was looked for yet.
    pub(super) const fn new(late: Duration) -> Self {
        Self { late, others: BTreeSet::new(), gone: BTreeMap::new(), told: None, stirred: false }
    }

    /// Something became known of routers.
    pub(super) const fn stir(&mut self) {
        self.stirred = true;
    }

    /// When the next one does not count any more.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.gone.values().min().copied()
    }

    /// This router's place, where it is another one by now. One that is about to end keeps its last: it takes no sessions.
    pub(super) fn look(&mut self, own: &RouterRecord, view: &View<RouterRecord>, now: Instant) -> Option<Place> {
        if own.draining {
            self.gone.clear();
            return None;
        }
        let due = self.wake().is_some_and(|until| until <= now);
        if !(std::mem::take(&mut self.stirred) || due) {
            return None;
        }
        // whose record cannot be read takes sessions all the same
        let takes = |kept: &Kept<RouterRecord>| kept.record.as_ref().map_or(true, |record| !record.draining);
        let others = view.kept().filter(|(id, kept)| *id != own.id && takes(kept)).map(|(id, _)| id.to_owned());
        let others: BTreeSet<String> = others.collect();
        // whoever is about to end has said so, and is still there
        let went = self.others.difference(&others).filter(|id| view.get(id).is_none());
        let (until, room) = (now + self.late, view.limit().saturating_sub(self.gone.len()));
        let went: Vec<String> = went.take(room).cloned().collect();
        self.gone.extend(went.into_iter().map(|id| (id, until)));
        self.gone.retain(|id, until| *until > now && !others.contains(id));
        self.others = others;
        let all = || self.others.iter().chain(self.gone.keys());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX - 1);
        let rank = number(all().filter(|id| **id < own.id).count());
        let place = Place { rank, of: number(all().count()) + 1 };
        (self.told.replace(place) != Some(place)).then_some(place)
    }
}
