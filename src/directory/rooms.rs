//! Which router has a room: one record a room, that of the router where it was first wanted.
//!
//! A record is written before its room is made, if etcd is well; else behind it. It stands under its router's lease, and nobody writes
//! over it while that router can be counted on. Of two that wrote at once the first has the room, and the other gives its own up.
//!
//! ```text
//! asked -> known here | known elsewhere | written: here | held by another: there, or taken over from one that ends, is silent or gone
//! ```

mod compared;
mod elsewhere;
mod others;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use ahash::AHashMap;

pub(super) use self::compared::Comparing;
pub use self::compared::{Compared, Side};
pub(super) use self::others::Others;
use super::{
    Answer, Fault, Holder, Home, Output, RouterRecord, Stored,
    pace::Pace,
    record::{RECORD_VERSION, RoomRecord},
    view::View,
};
use crate::{
    event::DirectoryFact,
    ids::{RoomId, RouterId},
};

/// Calls about rooms that are under way at a time: an etcd on a good disk commits many together.
const CALLS_MAX: usize = 64;
/// A record without a room stays so long: for a join that is on its way, or the next meeting of the same name.
const UNUSED: Duration = Duration::from_secs(5);
/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This router's record is to stand, if what stands there is of that revision; 0: nothing. Whose it was is told.
    Write { room: RoomId, lease: i64, expected: i64, from: Option<String> },
    /// Nothing is to stand there.
    Release { room: RoomId, expected: i64 },
    /// What stands there is read.
    Look { room: RoomId, question: u64 },
    /// A notice that was heard is taken away.
    Heard { key: String, expected: i64 },
    /// What stands under this lease is read.
    Compare { lease: i64 },
}

/// A room whose record is this router's, or is to be.
#[derive(Debug, Default)]
struct Entry {
    /// It is here.
    exists: bool,
    /// Who waits to hear where it is.
    questions: Vec<u64>,
    /// The lease and the revision of the record, as far as this router was told.
    written: Option<(i64, i64)>,
    /// What stands there, before it is written over: its revision, and whose it is.
    expected: i64,
    from: Option<String>,
    /// During or after which look at what stands there it was written.
    written_in: u64,
    /// Until when it is wanted though it is not here.
    unused_until: Option<Instant>,
    /// A call about it had no answer: what stands there may be ours, or come to be. It is written once more before it is forgotten.
    uncertain: bool,
    under_way: bool,
    queued: bool,
    /// Joins go on without asking, as was told.
    kept: bool,
}

impl Entry {
    /// Whether its record is to stand.
    fn is_wanted(&self, now: Instant) -> bool {
        let unused = self.unused_until.is_some_and(|until| until > now);
        self.exists || unused || !self.questions.is_empty()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Rooms {
    own: RoomRecord,
    entries: AHashMap<RoomId, Entry>,
    /// Rooms with something to be done.
    todo: VecDeque<RoomId>,
    /// Rooms that are to be looked at again.
    later: BTreeSet<(Instant, RoomId)>,
    looks: VecDeque<(u64, RoomId)>,
    /// How many wait to hear of a room whose record is to be written.
    asking: usize,
    /// Notices that were heard, by key, with their revision.
    notices: VecDeque<(String, i64)>,
    notices_heard: BTreeMap<String, i64>,
    elsewhere: AHashMap<RoomId, Holder>,
    elsewhere_until: VecDeque<(Instant, RoomId)>,
    under_way: BTreeMap<u64, Step>,
    lease: Option<i64>,
    due: Instant,
    pace: Pace,
    pub(super) comparing: Comparing,
    outputs: Vec<Output>,
}

impl Rooms {
    pub(super) fn new(own: &RouterRecord, comparing: Comparing, seed: u64, now: Instant) -> Self {
        let own = RoomRecord {
            version: RECORD_VERSION,
            router: own.id.clone(),
            incarnation: own.incarnation.clone(),
            url: own.url.clone(),
            relay_url: own.relay_url.clone(),
            rest: serde_json::Map::new(),
        };
        Self {
            own,
            entries: AHashMap::new(),
            todo: VecDeque::new(),
            later: BTreeSet::new(),
            looks: VecDeque::new(),
            asking: 0,
            notices: VecDeque::new(),
            notices_heard: BTreeMap::new(),
            elsewhere: AHashMap::new(),
            elsewhere_until: VecDeque::new(),
            under_way: BTreeMap::new(),
            lease: None,
            due: now,
            pace: Pace::new(seed),
            comparing,
            outputs: Vec::new(),
        }
    }

    /// Rooms that are here without a record that stands.
    pub(super) fn unwritten(&self) -> usize {
        self.entries.values().filter(|entry| entry.exists && !self.stands(entry)).count()
    }

    /// What this router writes for its rooms.
    pub(super) const fn own(&self) -> &RoomRecord {
        &self.own
    }

    /// What came of the latest input.
    pub(super) fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    fn stands(&self, entry: &Entry) -> bool {
        entry.written.is_some_and(|(lease, _)| Some(lease) == self.lease)
    }

    /// Somebody wants into a room; `founds`: who comes in makes it where it is not.
    pub(super) fn asked(&mut self, question: u64, room: RoomId, founds: bool, now: Instant) {
        self.forget_elsewhere(now);
        let stands = self.entries.get(&room).is_some_and(|entry| entry.exists || self.stands(entry));
        let home = match self.elsewhere.get(&room) {
            _ if stands => {
                self.stays_wanted(&room, now);
                Home::Here
            }
            Some(holder) => Home::There(holder.clone()),
            // no lease, or the last call failed: nobody waits for an etcd that is not well
            None if self.lease.is_none() || self.due > now => Home::Unknown,
            None if founds => {
                self.entries.entry(room.clone()).or_default().questions.push(question);
                self.asking += 1;
                return self.queue(&room);
            }
            None => return self.looks.push_back((question, room)),
        };
        self.outputs.push(Output::Home { question, home });
    }

    /// A room came to be here, or ended here.
    pub(super) fn changed(&mut self, room: &RoomId, exists: bool, now: Instant) {
        if exists {
            self.entries.entry(room.clone()).or_default().exists = true;
        } else if let Some(entry) = self.entries.get_mut(room) {
            entry.exists = false;
            self.stays_wanted(room, now);
        }
        self.queue(room);
        self.tell_kept(room);
    }

    /// This lease is the one to write under now; absent: none is.
    pub(super) fn under(&mut self, lease: Option<i64>) {
        if lease != self.lease {
            self.lease = lease;
            self.write_all_again();
            if lease.is_none() {
                self.let_nobody_wait();
            }
        }
    }

    /// Nothing that was written is known to stand.
    pub(super) fn write_all_again(&mut self) {
        self.comparing.doubt();
        let all: Vec<RoomId> = self.entries.keys().cloned().collect();
        for room in &all {
            if let Some(entry) = self.entries.get_mut(room).filter(|entry| !entry.under_way) {
                (entry.written, entry.expected, entry.from) = (None, 0, None);
            }
            self.queue(room);
            self.tell_kept(room);
        }
    }

    /// Rooms that other routers took over, as far as notices stand.
    pub(super) fn hear(&mut self, notices: &View<RoomRecord>, now: Instant) {
        self.notices_heard.retain(|key, _| notices.find(key).is_some());
        for (key, kept) in notices.kept() {
            if self.notices_heard.insert(key.to_owned(), kept.revision) == Some(kept.revision) {
                continue;
            }
            self.notices.push_back((key.to_owned(), kept.revision));
            let Ok(taken) = &kept.record else { continue };
            let room = RoomId::from(key);
            let Some(entry) = self.entries.get(&room) else { continue };
            // a call that is under way will say; and what was written after the notice stands
            let newer = entry.written.is_some_and(|(_, revision)| revision > kept.revision);
            if !entry.under_way && !newer {
                self.is_elsewhere(&room, &Holder::from(taken), now);
            }
        }
    }

    /// When the next step is due; absent: there is none, or as many are under way as may be.
    pub(super) fn wake(&self) -> Option<Instant> {
        let has_work = !(self.todo.is_empty() && self.looks.is_empty() && self.notices.is_empty());
        let work = (has_work && self.lease.is_some() && self.under_way.len() < CALLS_MAX).then_some(self.due);
        let look = self.comparing.wake().filter(|_| self.lease.is_some() && self.under_way.len() < CALLS_MAX);
        let later = self.later.first().map(|(at, _)| *at);
        work.into_iter().chain(look.map(|at| at.max(self.due))).chain(later).min()
    }

    /// The next step, if there is one and it is time; it is under way by that ticket.
    pub(super) fn step(&mut self, ticket: u64, now: Instant) -> Option<Step> {
        while let Some((_, room)) = self.later.first().filter(|(at, _)| *at <= now).cloned() {
            self.later.pop_first();
            self.queue(&room);
        }
        let lease = self.lease?;
        if self.due > now || self.under_way.len() >= CALLS_MAX {
            return None;
        }
        if self.is_to_compare(now) {
            let step = Step::Compare { lease };
            self.under_way.insert(ticket, step.clone());
            return Some(step);
        }
        let look = self.looks.pop_front().map(|(question, room)| Step::Look { room, question });
        let heard = || self.notices.pop_front().map(|(key, expected)| Step::Heard { key, expected });
        let step = look.or_else(heard).or_else(|| self.next_write(lease, now))?;
        self.under_way.insert(ticket, step.clone());
        Some(step)
    }

    fn next_write(&mut self, lease: i64, now: Instant) -> Option<Step> {
        loop {
            let room = self.todo.pop_front()?;
            let Some(entry) = self.entries.get_mut(&room) else { continue };
            entry.queued = false;
            if entry.under_way {
                continue;
            }
            let wanted = entry.is_wanted(now);
            let step = match entry.written.filter(|(under, _)| *under == lease) {
                Some(_) if wanted => continue,
                Some((_, expected)) => {
                    // from here on nobody knows, until etcd has answered
                    entry.written = None;
                    Step::Release { room: room.clone(), expected }
                }
                None if wanted || entry.uncertain => {
                    Step::Write { room: room.clone(), lease, expected: entry.expected, from: entry.from.clone() }
                }
                None => {
                    self.forget(&room);
                    continue;
                }
            };
            entry.under_way = true;
            self.tell_kept(&room);
            return Some(step);
        }
    }

    /// How a call ended.
    pub(super) fn answered(&mut self, ticket: u64, answer: Result<Answer, Fault>, others: Others<'_>, now: Instant) {
        let Some(step) = self.under_way.remove(&ticket) else { return };
        if let Step::Compare { lease } = step {
            return self.looked_under(lease, answer, now);
        }
        match &answer {
            Ok(_) => self.pace.done(),
            Err(_) => {
                self.due = now + self.pace.failed();
                self.comparing.doubt();
            }
        }
        let failed = answer.is_err();
        match step {
            Step::Look { room, question } => {
                let home = self.looked(&room, answer, others, now);
                self.outputs.push(Output::Home { question, home });
            }
            Step::Heard { key, expected } => {
                if answer.is_err() {
                    self.notices.push_back((key, expected));
                }
            }
            Step::Compare { .. } => {}
            Step::Write { room, lease, from, .. } => self.wrote(&room, (lease, from), answer, others, now),
            Step::Release { room, .. } => {
                if let Some(entry) = self.entries.get_mut(&room) {
                    (entry.under_way, entry.uncertain) = (false, failed);
                }
                self.queue(&room);
            }
        }
        if failed {
            self.let_nobody_wait();
        }
    }

    fn looked(&mut self, room: &RoomId, answer: Result<Answer, Fault>, others: Others<'_>, now: Instant) -> Home {
        let held = match answer {
            Ok(Answer::Held(stored)) => RoomRecord::read(&stored.value),
            Ok(_) => return Home::Nowhere,
            Err(_) => return Home::Unknown,
        };
        match held {
            Ok(holder) if holder.router == self.own.router => Home::Here,
            Ok(holder) if others.can_count_on(&holder, now) => {
                let holder = Holder::from(&holder);
                self.remember(room, &holder, now);
                Home::There(holder)
            }
            Ok(_) => Home::Nowhere,
            Err(why) => {
                self.outputs.push(Output::Observe(unreadable(room, why)));
                Home::Unknown
            }
        }
    }

    fn wrote(
        &mut self,
        room: &RoomId,
        (lease, from): (i64, Option<String>),
        answer: Result<Answer, Fault>,
        others: Others<'_>,
        now: Instant,
    ) {
        let Some(entry) = self.entries.get_mut(room) else { return };
        (entry.under_way, entry.uncertain) = (false, answer.is_err());
        (entry.expected, entry.from) = (0, None);
        match answer {
            Ok(Answer::Written { revision, .. }) => {
                entry.written = Some((lease, revision));
                entry.written_in = self.comparing.looks();
                if let Some(router) = from {
                    let router = RouterId::from(router.as_str());
                    self.outputs.push(Output::Observe(DirectoryFact::RoomTakenOver { room: room.clone(), router }));
                }
                self.answer_all(room, &Home::Here);
                self.stays_wanted(room, now);
                self.tell_kept(room);
            }
            Ok(Answer::Held(stored)) => {
                if let Err(again) = self.is_held(room, &stored, others, now) {
                    self.later.insert((again, room.clone()));
                    return;
                }
            }
            // what stood there is gone
            Ok(_) => {}
            Err(_) => self.answer_all(room, &Home::Unknown),
        }
        self.queue(room);
    }

    /// Something stands there already. Whether that is settled, or when to look again.
    fn is_held(&mut self, room: &RoomId, stored: &Stored, others: Others<'_>, now: Instant) -> Result<(), Instant> {
        let holder = match RoomRecord::read(&stored.value) {
            Ok(holder) => holder,
            Err(why) => {
                self.outputs.push(Output::Observe(unreadable(room, why)));
                self.answer_all(room, &Home::Unknown);
                // by whom it may be written over, nobody can say
                return Err(now + UNUSED);
            }
        };
        let ours = holder.router == self.own.router;
        if !ours && others.can_count_on(&holder, now) {
            self.is_elsewhere(room, &Holder::from(&holder), now);
        } else if let Some(entry) = self.entries.get_mut(room).filter(|entry| ours && !entry.is_wanted(now)) {
            // to be taken away
            entry.written = self.lease.map(|lease| (lease, stored.revision));
        } else if let Some(entry) = self.entries.get_mut(room) {
            (entry.expected, entry.from) = (stored.revision, (!ours).then_some(holder.router));
        }
        Ok(())
    }

    /// Another router has the room: what is here of it makes way.
    fn is_elsewhere(&mut self, room: &RoomId, holder: &Holder, now: Instant) {
        self.remember(room, holder, now);
        self.answer_all(room, &Home::There(holder.clone()));
        let exists = self.entries.get(room).is_some_and(|entry| entry.exists);
        self.forget(room);
        if exists {
            let (room, Holder { router, url, .. }) = (room.clone(), holder.clone());
            self.outputs.push(Output::Lost { room: room.clone(), router: router.clone(), url });
            self.outputs.push(Output::Observe(DirectoryFact::RoomGivenUp { room, router }));
        }
    }

    /// Whoever's question is not under way would wait for an etcd that is not well.
    fn let_nobody_wait(&mut self) {
        // of many rooms that wait for etcd few are asked for, and mostly none
        if self.asking > 0 {
            let todo: Vec<RoomId> = self.todo.iter().cloned().collect();
            todo.iter().for_each(|room| self.answer_all(room, &Home::Unknown));
        }
        let looks = std::mem::take(&mut self.looks).into_iter();
        self.outputs.extend(looks.map(|(question, _)| Output::Home { question, home: Home::Unknown }));
    }

    fn answer_all(&mut self, room: &RoomId, home: &Home) {
        let questions =
            self.entries.get_mut(room).map(|entry| std::mem::take(&mut entry.questions)).unwrap_or_default();
        self.asking -= questions.len();
        let answers = questions.into_iter();
        self.outputs.extend(answers.map(|question| Output::Home { question, home: home.clone() }));
    }

    /// It is kept for a while, whether it is here or not.
    fn stays_wanted(&mut self, room: &RoomId, now: Instant) {
        let Some(entry) = self.entries.get_mut(room).filter(|entry| !entry.exists) else { return };
        if let Some(before) = entry.unused_until.replace(now + UNUSED) {
            self.later.remove(&(before, room.clone()));
        }
        self.later.insert((now + UNUSED, room.clone()));
    }

    fn queue(&mut self, room: &RoomId) {
        if let Some(entry) = self.entries.get_mut(room)
            && !std::mem::replace(&mut entry.queued, true)
        {
            self.todo.push_back(room.clone());
        }
    }

    fn forget(&mut self, room: &RoomId) {
        let Some(entry) = self.entries.remove(room) else { return };
        self.comparing.note_forgotten(room);
        if let Some(until) = entry.unused_until {
            self.later.remove(&(until, room.clone()));
        }
        if entry.kept {
            self.outputs.push(Output::Kept { room: room.clone(), kept: false });
        }
    }

    fn tell_kept(&mut self, room: &RoomId) {
        let Some(entry) = self.entries.get(room) else { return };
        let kept = entry.exists || self.stands(entry);
        if kept != entry.kept {
            self.outputs.push(Output::Kept { room: room.clone(), kept });
            self.entries.entry(room.clone()).and_modify(|entry| entry.kept = kept);
        }
    }
}

fn unreadable(room: &RoomId, why: String) -> DirectoryFact {
    let key = format!("rooms/{room}").chars().filter(|c| !c.is_control()).take(128).collect();
    DirectoryFact::RecordUnreadable { key, why }
}
