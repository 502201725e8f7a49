//! A router's journal: what Redis did not take lies on the router's disk, also over a kill, until it was brought. A model of
//! `io::journal`, which has threads and a disk: what is written where, and in which order, is the same.

use std::collections::{BTreeMap, BTreeSet};

use signalbox::{
    fabric::{
        Kept, Last, Left, Write, Written,
        memory::{Fold, Stored},
    },
    router::Input,
};

use super::{
    chronicle::LifeId,
    host::{Work, name},
    plan::{Ack, At, MS, Planted},
    redis::{Call, Came},
    world::{Event, World},
};

/// As of the program: how often it is tried to bring what lies there,
const EVERY: At = 250 * MS;
/// and how often from the beginning again, because Redis has lost what was brought.
const LOST_MAX: u32 = 3;

/// See the module. It is there also when its router is not.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    rooms: BTreeMap<usize, Lies>,
    /// Rooms whose next write is to be of all that is known of them, and lies here then.
    wanted: BTreeSet<usize>,
    /// Rooms that are brought once more, where that is planted.
    again: BTreeMap<usize, Vec<Lying>>,
}

/// What lies there of a room.
#[derive(Debug, Default)]
struct Lies {
    writes: Vec<Lying>,
    /// By a process that is gone.
    left: bool,
    /// Writes that are on their way to the disk.
    coming: usize,
    bringing: Option<Bringing>,
    /// What is being done about the room waits until the last of it was brought.
    waits: bool,
}

/// A write, or none: that the room ended.
#[derive(Clone, Debug)]
struct Lying {
    write: Option<Write>,
    fence: u64,
    life: Option<LifeId>,
}

#[derive(Debug, Default)]
struct Bringing {
    /// How many writes are there,
    at: usize,
    /// and how often they were lost.
    lost: u32,
    /// All are, and the room is let go of.
    releases: bool,
    /// Who wants the room, or for whom.
    then: Vec<(Option<LifeId>, Call)>,
}

impl Lies {
    /// What it comes to.
    fn folded(&self, router: &str) -> Option<Stored> {
        let mut fold = Fold::default();
        self.writes.iter().all(|lying| fold.add(router, lying.write.clone())).then(|| fold.end())?
    }

    /// All of it, to lie beside the room that another router has.
    fn goes_beside(&self, router: &str) -> Option<Last> {
        self.folded(router)?.into_last()
    }
}

impl Journal {
    /// Whether something of a room lies there.
    pub(crate) fn has(&self, room: usize) -> bool {
        self.rooms.contains_key(&room)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Its router was killed: what had not reached the disk is not there.
    pub(crate) fn is_left(&mut self, planted: Option<Planted>) {
        self.wanted.clear();
        if planted == Some(Planted::LostDisk) {
            self.rooms.clear();
        }
        self.rooms.retain(|_, lies| !lies.writes.is_empty());
        for lies in self.rooms.values_mut() {
            *lies = Lies { writes: std::mem::take(&mut lies.writes), left: true, ..Lies::default() };
        }
    }

    /// A room as it lies there, left by an earlier process of its router's.
    fn goes_on(&mut self, room: usize, router: &str) -> Option<Kept> {
        let lies = self.rooms.get_mut(&room).filter(|lies| lies.left)?;
        let kept = lies.folded(router)?.kept();
        lies.left = false;
        self.wanted.insert(room);
        Some(kept)
    }
}

impl World {
    fn has_journals(&self) -> bool {
        self.plan.settings.ack == Ack::Disk
    }

    /// Something is asked of Redis about a room: where there is a journal what lies there comes first, or it lies there as well.
    pub(crate) fn ask_redis(&mut self, (router, room): (usize, usize), life: Option<LifeId>, call: Call) {
        if !self.has_journals() {
            return self.call((router, room), life, call);
        }
        let journal = &mut self.journals[router];
        let lies = journal.has(room);
        // the other router looks for it in Redis: here it would not be found
        let leaves = matches!(self.hosts[router].work.get(&room), Some((_, Work::Leave(..))));
        match call {
            Call::Beside(_) if lies => self.bring(router, room, Some((life, call))),
            Call::Write(_) if lies && leaves => self.bring(router, room, Some((life, call))),
            Call::Beside(_) => self.call((router, room), life, call),
            Call::Write(_) if leaves => self.call((router, room), life, call),
            Call::Take { .. } if lies => self.bring(router, room, Some((life, call))),
            Call::Write(write) if journal.wanted.contains(&room) && !write.reset && !write.released => {
                let at = self.now + MS / 10;
                self.at_worked(router, room, at, Written::Missing);
            }
            Call::Write(write) => {
                let begins = write.reset && journal.wanted.remove(&room);
                match begins || lies {
                    true => self.append(router, room, Lying { fence: write.fence, write: Some(write), life }),
                    false => self.call((router, room), life, Call::Write(write)),
                }
            }
            Call::End { fence } if lies => {
                journal.wanted.remove(&room);
                self.append(router, room, Lying { fence, write: None, life });
            }
            Call::End { .. } | Call::Take { .. } => {
                journal.wanted.remove(&room);
                self.call((router, room), life, call);
            }
        }
    }

    fn at_worked(&mut self, router: usize, room: usize, at: At, written: Written) {
        let start = self.hosts[router].start;
        self.at(at, Event::Worked { router, start, room, written });
    }

    /// Redis did not take a write. Whether it is on its way to the disk instead; else what its router is told.
    pub(crate) fn lies_on_disk(&mut self, router: usize, room: usize, came: &mut Option<Came>) -> bool {
        let (epoch, write) = match self.hosts[router].work.get(&room) {
            Some((epoch, Work::Write(write))) => (epoch, write),
            Some((epoch, Work::Part(parting, last))) if !parting.is_beside() => (epoch, &*last.write),
            _ => return false,
        };
        if !self.has_journals() {
            return false;
        }
        if write.reset || write.released {
            let life = self.chronicle.find(room, &epoch.to_string());
            self.append(router, room, Lying { fence: write.fence, write: Some(write.clone()), life });
            return true;
        }
        self.journals[router].wanted.insert(room);
        *came = Some(Came::Written(Written::Missing));
        false
    }

    /// One more write of a room goes to the disk.
    fn append(&mut self, router: usize, room: usize, lying: Lying) {
        let lies = self.journals[router].rooms.entry(room).or_default();
        let all = lies.writes.len();
        if lies.coming == 0 && lies.bringing.as_ref().is_some_and(|bringing| bringing.at + 1 >= all) {
            // else it might follow for ever
            lies.waits = true;
            return;
        }
        lies.coming += 1;
        let (takes, start) = (self.rng.u64(MS / 2..8 * MS), self.hosts[router].start);
        if let Some(life) = lying.life {
            self.chronicle.lives[life].call_took(takes);
        }
        let (write, fence, life) = (lying.write.map(Box::new), lying.fence, lying.life);
        self.at(self.now + takes, Event::OnDisk { router, start, room, write, fence, life });
    }

    /// It is there.
    pub(crate) fn on_disk(
        &mut self,
        (router, room): (usize, usize),
        write: Option<Write>,
        (fence, life): (u64, Option<LifeId>),
    ) {
        let lying = Lying { write, fence, life };
        self.note_on_disk(&lying, true);
        let lies = self.journals[router].rooms.entry(room).or_default();
        (lies.coming, lies.left) = (lies.coming.saturating_sub(1), false);
        lies.writes.push(lying);
        self.tally.journaled += 1;
        self.worked(router, room, Some(Came::Written(Written::Written)));
    }

    fn note_on_disk(&mut self, Lying { write, life, .. }: &Lying, on_disk: bool) {
        if let (Some(life), Some(write)) = (life, write) {
            write.entries.iter().for_each(|(offset, _)| self.chronicle.on_disk(*life, *offset, on_disk));
        }
    }

    /// What lies in the journal of a router is brought, now and then.
    pub(crate) fn bring_all(&mut self, router: usize) {
        if !self.has_journals() {
            return;
        }
        for (room, writes) in std::mem::take(&mut self.journals[router].again) {
            self.journals[router].rooms.entry(room).or_insert(Lies { writes, ..Lies::default() });
        }
        let rooms: Vec<usize> = self.journals[router].rooms.keys().copied().collect();
        for room in rooms {
            self.bring(router, room, None);
        }
        let (at, start) = (self.now + EVERY, self.hosts[router].start);
        self.at(at, Event::BringAll { router, start });
    }

    fn bring(&mut self, router: usize, room: usize, then: Option<(Option<LifeId>, Call)>) {
        let Some(lies) = self.journals[router].rooms.get_mut(&room) else { return };
        let begins = lies.bringing.is_none();
        lies.bringing.get_or_insert_default().then.extend(then);
        if begins {
            self.bring_on(router, room);
        }
    }

    /// The next write of a room that is brought.
    pub(crate) fn bring_on(&mut self, router: usize, room: usize) {
        let Some(lies) = self.journals[router].rooms.get_mut(&room) else { return };
        let Some(bringing) = &mut lies.bringing else { return };
        let last = lies.writes.last().cloned();
        let (life, call) = match (lies.writes.get(bringing.at).cloned(), last) {
            (Some(Lying { write: Some(write), life, .. }), _) => {
                let unless_later = self.planted != Some(Planted::BroughtTwice);
                (life, Call::Write(Write { unless_later, ..write }))
            }
            (Some(Lying { write: None, fence, life }), _) => (life, Call::End { fence }),
            (None, _) if lies.coming > 0 => {
                let (at, start) = (self.now + MS, self.hosts[router].start);
                return self.at(at, Event::BringOn { router, start, room });
            }
            (None, Some(Lying { write: Some(write), fence, .. })) if lies.left && !bringing.releases => {
                bringing.releases = true;
                let edition = write.edition;
                (None, Call::Write(Write { fence, edition, released: true, unless_later: true, ..Write::default() }))
            }
            (None, _) => return self.brought(router, room, true),
        };
        self.call_for_journal((router, room), life, call);
    }

    /// What came of it; none: no answer.
    pub(crate) fn journal_answered(&mut self, router: usize, room: usize, came: Option<Came>) {
        let Some(lies) = self.journals[router].rooms.get_mut(&room) else { return };
        let written = match came {
            Some(Came::Written(written)) => written,
            Some(Came::Put(put)) => {
                let life = lies.writes.last().and_then(|lying| lying.life);
                self.tally.set_beside += usize::from(put);
                self.tally.let_go += usize::from(!put);
                if put {
                    self.left(life, Left::Beside);
                }
                return self.brought(router, room, true);
            }
            Some(Came::Taken(_)) | None => return self.brought(router, room, false),
        };
        if matches!(written, Written::Fenced { .. })
            && let Some(last) = lies.goes_beside(&self.hosts[router].name)
        {
            return self.call_for_journal((router, room), None, Call::Beside(last));
        }
        let Some(bringing) = &mut lies.bringing else { return };
        let at = bringing.at;
        let write = lies.writes.get_mut(at).and_then(|lying| lying.write.as_mut());
        match (written, write) {
            (Written::Written | Written::Branched, _) | (_, None) => bringing.at += 1,
            (Written::Missing, Some(write)) if write.released && !write.reset => write.reset = true,
            (Written::Missing, _) if bringing.lost < LOST_MAX => (bringing.at, bringing.lost) = (0, bringing.lost + 1),
            (Written::Missing | Written::Fenced { .. }, _) => {
                self.tally.let_go += 1;
                self.brought(router, room, true);
                return self.handle(router, Input::Unkept { room: name(room).into() });
            }
        }
        self.bring_on(router, room);
    }

    /// All of a room was brought, or counts no more; or Redis does not answer. Whoever waited for that goes on.
    fn brought(&mut self, router: usize, room: usize, done: bool) {
        let Some(lies) = self.journals[router].rooms.get_mut(&room) else { return };
        let bringing = lies.bringing.take().unwrap_or_default();
        let waits = std::mem::take(&mut lies.waits);
        if done && let Some(lies) = self.journals[router].rooms.remove(&room) {
            self.tally.brought += lies.writes.len();
            lies.writes.iter().for_each(|lying| self.note_on_disk(lying, false));
            if self.planted == Some(Planted::BroughtTwice) && bringing.at > 0 {
                self.journals[router].again.insert(room, lies.writes);
            }
        }
        for (life, call) in bringing.then {
            match (done, life) {
                (true, _) => self.call((router, room), life, call),
                (false, Some(_)) => self.worked(router, room, None),
                (false, None) => self.took(router, room, None),
            }
        }
        if waits {
            self.go_on_with(router, room);
        }
    }

    /// A room that is wanted, and that Redis does not show, as it lies in the journal.
    pub(crate) fn goes_on_from_journal(&mut self, router: usize, room: usize) -> Option<Kept> {
        let name = self.hosts[router].name.clone();
        let kept = self.journals[router].goes_on(room, &name);
        self.tally.gone_on += usize::from(kept.is_some());
        kept
    }
}
