//! Which router has a room, as the fleet agrees on: a model of the directory, which other worlds simulate as it is.
//!
//! A record is its router's while that one can be counted on: not draining, and not gone for so long that the others know. It can be
//! wrong for a while: a router that lives is taken for one that does not, and hears late that its room is another's.

use std::collections::BTreeMap;

use super::{
    host::{Wants, name},
    plan::{At, MS, SECOND},
    world::{Event, World},
};
use signalbox::{protocol::Refusal, router::Input};

/// How long a router that was killed is still counted on.
const COUNTED_ON: At = SECOND;
/// Until who could not be answered is.
const AGAIN: At = 200 * MS;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    /// By room: which router, and which start of it.
    records: BTreeMap<usize, (usize, u64)>,
    /// By room: until when its router is doubted, and how much later it hears.
    pub(crate) doubts: BTreeMap<usize, (At, At)>,
}

impl World {
    fn holder(&self, room: usize) -> Option<(usize, u64)> {
        self.homes.records.get(&room).copied()
    }

    /// Which router has a room.
    pub(crate) fn home(&self, room: usize) -> Option<usize> {
        self.holder(room).map(|(router, _)| router)
    }

    fn counts_on(&self, (router, start): (usize, u64), room: usize) -> bool {
        let host = &self.hosts[router];
        let doubted = self.homes.doubts.get(&room).is_some_and(|(until, _)| self.now < *until);
        let is_there = host.start == start && (host.runs || self.now < host.ended_at + COUNTED_ON);
        is_there && !host.drains && !doubted
    }

    /// Somebody asks at a router where a room is.
    pub(crate) fn seek(&mut self, router: usize, wants: Wants) {
        if self.hosts[router].keeps.contains(&wants.room) {
            return self.bring_back(router, wants);
        }
        let at = self.now + self.rng.u64(MS / 2..4 * MS);
        let at = if self.hosts[router].blind { at + 100 * MS } else { at };
        let start = self.hosts[router].start;
        self.at(at, Event::Sought { router, start, wants });
    }

    pub(crate) fn sought(&mut self, router: usize, wants: Wants) {
        if self.hosts[router].blind {
            return self.bring_back(router, wants);
        }
        match self.holder(wants.room) {
            Some((holder, start)) if holder != router && self.counts_on((holder, start), wants.room) => {
                self.send_on(wants.connection, holder);
            }
            _ => {
                self.hold(router, wants.room);
                self.bring_back(router, wants);
            }
        }
    }

    /// A room is this router's from now on; who had it before hears of it.
    fn hold(&mut self, router: usize, room: usize) {
        let start = self.hosts[router].start;
        let before = self.homes.records.insert(room, (router, start));
        self.hosts[router].keeps.insert(room);
        if let Some((older, older_start)) = before.filter(|before| *before != (router, start)) {
            let late = self.homes.doubts.remove(&room).map_or(0, |(_, late)| late);
            let at = self.now + self.rng.u64(2 * MS..20 * MS) + late;
            self.at(at, Event::Notice { router: older, start: older_start, room });
        }
    }

    /// A router hears that a room is another's.
    pub(crate) fn noticed(&mut self, router: usize, room: usize) {
        let Some(home) = self.home(room) else { return self.register(router, room) };
        if home == router {
            return;
        }
        if self.hosts[router].blind {
            let start = self.hosts[router].start;
            return self.at(self.now + AGAIN, Event::Notice { router, start, room });
        }
        self.hosts[router].keeps.remove(&room);
        let refusal = Refusal::elsewhere(&self.hosts[home].name, &home.to_string());
        self.moved.insert((router, room));
        self.handle(router, Input::Elsewhere { room: name(room).into(), refusal });
    }

    /// A room came to be at a router.
    pub(crate) fn register(&mut self, router: usize, room: usize) {
        if !self.hosts[router].here.contains_key(&room) {
            return;
        }
        let start = self.hosts[router].start;
        if self.hosts[router].blind {
            return self.at(self.now + AGAIN, Event::Register { router, start, room });
        }
        match self.holder(room) {
            Some(holder) if holder == (router, start) => {
                self.hosts[router].keeps.insert(room);
            }
            Some(holder) if holder.0 != router && self.counts_on(holder, room) => self.noticed(router, room),
            _ => self.hold(router, room),
        }
    }

    /// A room is not at a router any more.
    pub(crate) fn release(&mut self, router: usize, room: usize) {
        self.hosts[router].keeps.remove(&room);
        if self.holder(room) == Some((router, self.hosts[router].start))
            && !self.hosts[router].fetches.contains_key(&room)
        {
            self.homes.records.remove(&room);
            // one that has it, and was to hear that it is another's, finds that it is nobody's
            for other in 0..self.hosts.len() {
                let start = self.hosts[other].start;
                if self.hosts[other].here.contains_key(&room) {
                    let at = self.now + self.rng.u64(2 * MS..20 * MS);
                    self.at(at, Event::Register { router: other, start, room });
                }
            }
        }
    }
}
