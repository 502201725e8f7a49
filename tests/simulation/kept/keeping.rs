//! What a router's keeper does, by what `fabric::keeper` decides: calls to Redis, of each room one at a time and in order, and the way
//! there and back, on which calls are lost or late.

use signalbox::{
    fabric::{
        Answer, Ask, BranchKept, Kept, Left, Taken, Write, Written,
        keeper::{Ending, Next, Parted, Parting, SETTLED_MAX, Taking, Tried, claimed, written},
        numbers_from,
    },
    ids::Epoch,
    router::Input,
};

use super::{
    checks::{branches, loss, owners, whole},
    chronicle::LifeId,
    host::{Fetch, Wants, Work, name},
    plan::{At, MS, Planted, SECOND},
    redis::{Call, Came},
    world::{Event, World},
};

/// As the default of `redis.timeout_ms`.
pub(crate) const TIMEOUT: At = 300 * MS;
/// Until a room that another router has is claimed again.
const CLAIM_AGAIN: At = 2 * SECOND;

/// A call that a router waits for.
#[derive(Debug)]
pub(crate) struct Pending {
    router: usize,
    start: u64,
    room: usize,
    /// The life that it is about; none: somebody wants the room.
    pub(crate) life: Option<LifeId>,
    since: At,
    carried_out: bool,
    writes: bool,
    /// For what lies in its router's journal.
    by_journal: bool,
}

/// A room that is restored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restores {
    pub(crate) room: usize,
    /// The life that it goes on from, and that one's last event.
    pub(crate) before: Option<LifeId>,
    pub(crate) last: u64,
    /// Since when its history can be whole.
    pub(crate) first: u64,
    /// As its router's disk has it, while Redis does not answer: what Redis has of it comes in with the claim.
    pub(crate) from_disk: bool,
}

/// A call on its way.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    ticket: u64,
    router: usize,
    room: usize,
    seq: u64,
    call: Call,
    life: Option<LifeId>,
    /// Its answer arrives.
    answers: bool,
}

impl World {
    /// A core asks something of whoever keeps its rooms.
    pub(crate) fn ask(&mut self, router: usize, room: usize, epoch: Epoch, ask: Ask) {
        if let Some((epoch, ask)) = self.hosts[router].lanes.ask(&name(room).into(), (epoch, ask)) {
            self.begin_work(router, room, epoch, ask);
        }
    }

    fn begin_work(&mut self, router: usize, room: usize, epoch: Epoch, ask: Ask) {
        let work = match ask {
            Ask::Claim => Work::Claim,
            Ask::Write(write) => Work::Write(*write),
            Ask::Look => Work::Look,
            Ask::Part(last) => Work::Part(Parting::new(last.owned), last),
            Ask::Leave(last) => Work::Leave(Parting::new(last.owned), last),
            Ask::End { fence } => Work::End(Ending::default(), fence),
        };
        self.hosts[router].work.insert(room, (epoch, work));
        self.go_on_with(router, room);
    }

    /// Calls Redis for what is being done about a room.
    pub(crate) fn go_on_with(&mut self, router: usize, room: usize) {
        // one that has not heard of the directory for long is not sure of what it has
        let may_force = self.hosts[router].keeps.contains(&room) && self.home(room) == Some(router);
        let Some((epoch, work)) = self.hosts[router].work.get(&room) else { return };
        let life = self.chronicle.find(room, &epoch.to_string());
        let call = match work {
            Work::Claim => Call::Take { force: may_force },
            Work::Look => Call::Take { force: false },
            Work::Write(write) => Call::Write(write.clone()),
            Work::Part(parting, last) | Work::Leave(parting, last) => match parting.is_beside() {
                true => Call::Beside(last.clone()),
                false => Call::Write((*last.write).clone()),
            },
            Work::End(_, fence) => Call::End { fence: *fence },
        };
        self.ask_redis((router, room), life, call);
    }

    /// Something came of what is being done about a room; none: no answer.
    pub(crate) fn worked(&mut self, router: usize, room: usize, mut came: Option<Came>) {
        if came.is_none() && self.lies_on_disk(router, room, &mut came) {
            return;
        }
        let Some((epoch, mut work)) = self.hosts[router].work.remove(&room) else { return };
        let life = self.chronicle.find(room, &epoch.to_string());
        let tried = match &came {
            Some(Came::Written(written)) => Tried::Wrote(written.clone()),
            Some(Came::Put(put)) => Tried::Put(*put),
            Some(Came::Taken(_)) | None => Tried::Unanswered,
        };
        let (taken, wrote) = match came {
            None | Some(Came::Put(_)) => (None, None),
            Some(Came::Taken(taken)) => (Some(taken), None),
            Some(Came::Written(written)) => (None, Some(written)),
        };
        let waits = matches!(work, Work::Leave(..));
        let again = match &mut work {
            Work::Claim | Work::Look => {
                self.kept(router, (room, epoch, life), claimed(taken));
                None
            }
            Work::Write(_) => {
                self.kept(router, (room, epoch, life), written(wrote));
                None
            }
            Work::Part(parting, last) | Work::Leave(parting, last) => match parting.next(&tried) {
                Parted::Again { after, reset } => {
                    last.write.reset |= reset;
                    Some(after)
                }
                Parted::Stands(left) => {
                    self.left(life, left);
                    if waits {
                        self.kept(router, (room, epoch, life), Answer::Left(left));
                    }
                    None
                }
                Parted::Lost if waits => {
                    // the next try is after that
                    life.iter().for_each(|life| self.chronicle.lives[*life].call_fails(self.now, SECOND));
                    self.kept(router, (room, epoch, life), Answer::Failed);
                    None
                }
                Parted::Lost => {
                    whole::not_handed_over(self, room, life, wrote.as_ref());
                    None
                }
            },
            Work::End(ending, _) => ending.next(wrote.is_some()),
        };
        if let Some(after) = again {
            self.hosts[router].work.insert(room, (epoch, work));
            let (at, start) = (self.now + self.hosts[router].pause(after), self.hosts[router].start);
            return self.at(at, Event::WorkAgain { router, start, room });
        }
        if let Some((epoch, ask)) = self.hosts[router].lanes.next(&name(room).into()) {
            return self.begin_work(router, room, epoch, ask);
        }
        self.settled(router, room);
    }

    fn kept(&mut self, router: usize, (room, epoch, life): (usize, Epoch, Option<LifeId>), answer: Answer) {
        if let Some(life) = life {
            let life = &mut self.chronicle.lives[life];
            match &answer {
                Answer::Claimed(_)
                | Answer::Left(_)
                | Answer::Written(Written::Written | Written::Branched | Written::Missing) => life.call_stands(),
                Answer::Failed => life.call_fails(self.now, 0),
                Answer::Held { .. } | Answer::Written(Written::Fenced { .. }) => life.call_fails(self.now, CLAIM_AGAIN),
            }
        }
        if let Answer::Claimed(kept) = &answer {
            // of this very life nothing comes in
            if whole::epoch(kept) != Some(epoch.to_string()) {
                branches::found(self, (router, room), kept);
            }
            branches::looked(self, (router, room), &kept.branches);
        }
        self.handle(router, Input::Kept { room: name(room).into(), epoch, answer });
        self.merges.clear();
    }

    /// Where the last of a life went.
    pub(super) fn left(&mut self, life: Option<LifeId>, left: Left) {
        if let Some(life) = life.filter(|_| left == Left::Beside) {
            self.chronicle.lives[life].beside = Some(self.now);
        }
    }

    /// A room that is kept and not here is brought back, and whoever wants into it comes in then.
    pub(crate) fn bring_back(&mut self, router: usize, wants: Wants) {
        let (room, start) = (wants.room, self.hosts[router].start);
        let host = &mut self.hosts[router];
        if host.here.contains_key(&room) {
            return self.open(router, wants, true);
        }
        if let Some(fetch) = host.fetches.get_mut(&room) {
            return fetch.waits.push(wants);
        }
        host.fetches.insert(room, Fetch { taking: None, waits: vec![wants] });
        if host.lanes.is_busy(&name(room).into()) {
            let at = self.now + host.pause(SETTLED_MAX);
            self.at(at, Event::NotSettled { router, start, room });
        } else {
            self.settled(router, room);
        }
    }

    /// Nothing more is done about a room: whoever waited for that goes on.
    fn settled(&mut self, router: usize, room: usize) {
        let (now, handover) = (self.hosts[router].now(self.now).at, self.plan.settings.handover);
        let Some(fetch) = self.hosts[router].fetches.get_mut(&room).filter(|fetch| fetch.taking.is_none()) else {
            return;
        };
        fetch.taking = Some(Taking::new(now + std::time::Duration::from_micros(handover)));
        self.ask_redis((router, room), None, Call::Take { force: false });
    }

    /// It took too long until nothing more was done about a room.
    pub(crate) fn not_settled(&mut self, router: usize, room: usize) {
        if self.hosts[router].fetches.get(&room).is_some_and(|fetch| fetch.taking.is_none()) {
            self.fetched((router, room), (None, false), false);
        }
    }

    pub(crate) fn took(&mut self, router: usize, room: usize, came: Option<Came>) {
        let (now, may_force) = (self.hosts[router].now(self.now).at, self.hosts[router].keeps.contains(&room));
        let Some(taking) = self.hosts[router].fetches.get_mut(&room).and_then(|fetch| fetch.taking.as_mut()) else {
            return;
        };
        let Some(Came::Taken(taken)) = came else {
            let kept = self.goes_on_from_journal(router, room);
            let known = kept.is_some();
            return self.fetched((router, room), (kept, true), known);
        };
        match taking.next(taken, now, may_force) {
            Next::Has(kept) => self.fetched((router, room), (kept, false), true),
            Next::Again { after, force } => {
                let (at, start) = (self.now + self.hosts[router].pause(after), self.hosts[router].start);
                self.at(at, Event::TakeAgain { router, start, room, force });
            }
            Next::Held { .. } => self.fetched((router, room), (None, false), false),
        }
    }

    fn fetched(&mut self, (router, room): (usize, usize), (kept, from_disk): (Option<Kept>, bool), known: bool) {
        let Some(fetch) = self.hosts[router].fetches.remove(&room) else { return };
        if let Some(kept) = kept {
            self.restore((router, room), kept, from_disk);
        }
        for wants in fetch.waits {
            self.open(router, wants, known);
        }
    }

    fn restore(&mut self, (router, room): (usize, usize), all: Kept, from_disk: bool) {
        // of which there is nothing else but what lies beside it
        let alone = all.fields.is_empty();
        let kept = match all.branches.first().filter(|_| alone) {
            Some((_, branch)) => BranchKept::read(branch).unwrap_or_default(),
            None => all.clone(),
        };
        let Some(epoch) = whole::epoch(&kept) else {
            return self.broken.push(format!("[whole] room {room} has no record that can be read"));
        };
        let before = self.chronicle.find(room, &epoch);
        let first = match alone {
            true => kept.entries.first().map_or(u64::MAX, |(offset, _)| *offset),
            false => before.map_or(1, |life| whole::first(self, life, &kept)),
        };
        let last = whole::tip(&kept).unwrap_or_default();
        self.restores = Some(Restores { room, before, last, first, from_disk });
        whole::log_is_whole(self, room, &kept, first);
        let sessions = whole::sessions(&kept);
        for session in sessions {
            self.left_at.insert((router, session), self.now);
        }
        branches::looked(self, (router, room), &all.branches);
        self.handle(router, Input::Restore { room: name(room).into(), kept: Box::new(all) });
        self.merges.clear();
        self.restores = None;
    }

    /// A router calls Redis with what lies in its journal.
    pub(crate) fn call_for_journal(&mut self, about: (usize, usize), life: Option<LifeId>, call: Call) {
        self.by_journal = true;
        self.call(about, life, call);
    }

    /// A router calls Redis.
    pub(crate) fn call(&mut self, (router, room): (usize, usize), life: Option<LifeId>, call: Call) {
        self.tickets += 1;
        let (ticket, now) = (self.tickets, self.now);
        let host = &mut self.hosts[router];
        host.seq += 1;
        let (seq, start, late) = (host.seq, host.start, now + host.pause(std::time::Duration::from_micros(TIMEOUT)));
        let writes = matches!(call, Call::Write(_));
        let by_journal = std::mem::take(&mut self.by_journal);
        let pending = Pending { router, start, room, life, since: now, carried_out: false, writes, by_journal };
        self.pending.insert(ticket, pending);
        self.at(late, Event::Late { ticket });
        let mut arrives = Some(now + self.way());
        let mut answers = true;
        if self.cut_off.contains(&router) {
            arrives = None;
        } else if self.lossy.contains(&router) {
            match self.rng.u8(0..8) {
                0 | 1 => arrives = None,
                2 | 3 => answers = false,
                4 => arrives = Some(now + self.rng.u64(TIMEOUT..3 * TIMEOUT)),
                _ => {}
            }
        }
        let fails = arrives.is_none_or(|at| at >= late) || !answers || self.redis.away.is_some();
        if let Some(life) = life.filter(|_| fails) {
            self.chronicle.lives[life].hindered = self.chronicle.lives[life].hindered.max(late);
        }
        if let Some(at) = arrives {
            self.at(at, Event::Arrives(Box::new(Asked { ticket, router, room, seq, call, life, answers })));
        }
    }

    fn way(&mut self) -> At {
        let slow = self.rng.u8(0..50) == 0;
        self.rng.u64(if slow { 5 * MS..30 * MS } else { 100..2 * MS })
    }

    /// A call is at Redis.
    pub(crate) fn arrives(&mut self, asked: Asked) {
        let Asked { ticket, router, room, seq, call, life, answers } = asked;
        if let Some(refuses) = self.redis.away {
            if refuses && answers {
                let at = self.now + self.way();
                self.at(at, Event::Answered { ticket, came: None });
            }
            return;
        }
        let router_name = self.hosts[router].name.clone();
        let changes = match (&call, self.redis.stored(&name(room))) {
            (Call::Write(write), Some(stored)) => !write.unless_later || stored.edition <= write.edition,
            _ => true,
        };
        let came = self.redis.carry_out(&name(room), (&router_name, seq), call.clone());
        let waits = self.pending.get_mut(&ticket).map(|pending| pending.carried_out = true).is_some();
        owners::carried_out(self, (router, room, seq), &call, &came);
        if let (Call::Write(write), Came::Written(Written::Written | Written::Branched), Some(life), true) =
            (&call, &came, life, changes)
        {
            self.stands(life, write, waits);
        }
        if answers {
            let at = self.now + self.way();
            self.at(at, Event::Answered { ticket, came: Some(came) });
        }
    }

    /// Redis has what a life wrote. `waits`: its router waits to hear of it; what comes late has not what was written since.
    fn stands(&mut self, life: LifeId, write: &Write, waits: bool) {
        if write.reset {
            self.wiped(life);
        }
        for (offset, _) in &write.entries {
            self.chronicle.stands(life, *offset, true);
        }
        let life = &mut self.chronicle.lives[life];
        life.parted |= write.released;
        // Redis had lost some of it, and the last write brings only what it never had
        life.parted_short |= write.released && life.taken_back.is_some();
        life.taken_back = life.taken_back.filter(|_| !waits);
    }

    /// A life writes all of its room anew: what another life had written is not there any more.
    fn wiped(&mut self, by: LifeId) {
        let room = self.chronicle.lives[by].room;
        for other in 0..self.chronicle.lives.len() {
            let life = &self.chronicle.lives[other];
            if life.room != room {
                continue;
            }
            let apart = |offset: &u64| !self.chronicle.is_of(by, (other, *offset));
            let apart: Vec<u64> = life.entries.keys().copied().filter(apart).collect();
            let life = &mut self.chronicle.lives[other];
            for offset in apart {
                life.taken_back = Some(self.now);
                if let Some(entry) = life.entries.get_mut(&offset) {
                    entry.stands = false;
                }
            }
        }
    }

    /// Redis has lost what it had, or some of it.
    pub(crate) fn taken_back(&mut self) {
        self.lost_at = Some(self.now);
        for id in 0..self.chronicle.lives.len() {
            let life = &self.chronicle.lives[id];
            let stored = self.redis.stored(&name(life.room));
            let epoch = stored.and_then(|stored| whole::epoch(&stored.kept()));
            let of = epoch.and_then(|epoch| self.chronicle.find(life.room, &epoch));
            let stands = |offset: u64| {
                stored.is_some_and(|stored| stored.log.contains_key(&offset))
                    && of.is_some_and(|of| self.chronicle.is_of(of, (id, offset)))
            };
            let gone: Vec<u64> = life.entries.keys().copied().filter(|offset| !stands(*offset)).collect();
            self.chronicle.lives[id].taken_back = Some(self.now);
            gone.into_iter().for_each(|offset| self.chronicle.stands(id, offset, false));
        }
    }

    /// Redis went away: whoever waits for it waits in vain.
    pub(crate) fn hinder_all(&mut self) {
        let until = self.now + TIMEOUT + 5 * MS;
        for life in self.pending.values().filter_map(|pending| pending.life) {
            let life = &mut self.chronicle.lives[life];
            life.hindered = life.hindered.max(until);
        }
    }

    /// An answer is at its router, or does not come any more.
    pub(crate) fn answered(&mut self, ticket: u64, came: Option<Came>, late: bool) {
        let Some(pending) = self.pending.remove(&ticket) else { return };
        let Pending { router, start, room, life, since, carried_out, writes, by_journal } = pending;
        if !self.hosts[router].runs || self.hosts[router].start != start {
            return;
        }
        let mut came = came.filter(|_| self.redis.away.is_none());
        if late && writes && !carried_out && self.planted == Some(Planted::LostGap) {
            came = Some(Came::Written(Written::Written));
        }
        if let (Some(life), true) = (life, came.is_some()) {
            self.chronicle.lives[life].call_took(self.now - since);
        }
        if let Some(Came::Taken(Taken::Nothing { fence } | Taken::Kept(Kept { fence, .. }))) = &came {
            self.hosts[router].seq = numbers_from(self.hosts[router].seq, *fence);
        }
        match life {
            _ if by_journal => self.journal_answered(router, room, came),
            Some(_) => self.worked(router, room, came),
            None => self.took(router, room, came),
        }
    }

    /// A life begins, and what is not in it is judged.
    pub(crate) fn judge(&mut self, room: usize, goes_on: Option<LifeId>, unknown: bool) {
        let (broken, lost) = loss::judge(&mut self.chronicle, room, goes_on, unknown);
        self.tally.lost += lost;
        self.broken.extend(broken);
    }
}
