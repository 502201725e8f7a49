//! Rooms are written behind to whoever keeps them, so that another router can go on with them.
//!
//! A room's history is what waits to be written: nothing else is kept for it, and what leaves the history unwritten could not have
//! been resumed from anyway.
//!
//! ```text
//! made -> Claim -> the whole -> what changed, gathered -> ...     no answer: again, later; gone there: the whole again
//!           ^________ another has it: nothing is written, and asked again now and then
//! ```

mod beat;
mod composing;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

pub(super) use self::{beat::Beat, composing::Extent};
use super::{Acknowledge, HallKey, Now, Output, Router, Timer, acknowledging::Waiting, looking::Look};
use crate::{
    event::{Event, KeepingFact},
    fabric::{Answer, Ask, Kept, Written},
    ids::{Epoch, Offset, ParticipantId, RoomId},
    protocol::Refusal,
    room::Seat,
};

/// Members who left and that nobody was told of; past it all is written anew.
const CHANGED_MAX: usize = 1_024;
/// Until a room that another router has is claimed again.
const CLAIM_AGAIN: Duration = Duration::from_secs(2);
/// Half the pause after a write that failed,
const RETRY: Duration = Duration::from_millis(20);
/// the longest one after several in a row,
const RETRY_MAX: Duration = Duration::from_secs(2);
/// and how often the pause is doubled until then.
const DOUBLED_MAX: u32 = 8;

/// What a record holds that is not known here.
pub(super) type Rest = serde_json::Map<String, serde_json::Value>;

/// How far a room is kept.
#[derive(Debug)]
pub(super) struct Keeping {
    /// Under which it is ours to write.
    pub(super) fence: Option<u64>,
    /// Of what is there, as far as that is known.
    pub(super) there: There,
    /// What the write that is under way brings there.
    pub(super) under_way: Option<UnderWay>,
    /// When something is due.
    pub(super) due: Option<Instant>,
    /// Since when something waits to be written.
    pub(super) behind: Option<Instant>,
    /// Writes and claims in a row that came to nothing.
    failures: u32,
    /// Of the write that was composed last.
    edition: u64,
    /// Another router has it.
    elsewhere: bool,
    /// It is to leave for there: what its members are told then.
    pub(super) leaving: Option<Box<Refusal>>,
    /// What of it lies beside it elsewhere, and who waits to know.
    pub(super) look: Look,
    /// Branches that are in this room and still lie beside it, and those that cannot be read here.
    pub(super) merged: Vec<String>,
    pub(super) unreadable: Vec<String>,
    /// Something of another life stands there, and is here: it goes when all that is here takes its place.
    pub(super) found: bool,
    /// Answers that wait until it is kept up to an offset.
    pub(super) waiting: Waiting,
}

/// What stands elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct There {
    /// Nothing that counts: all has to be written, in place of what is there.
    nothing: bool,
    /// By which of this router's writes; 0: by none.
    edition: u64,
    /// The log up to here,
    tip: Offset,
    /// and with all that it made of the room and its members up to here.
    complete: Offset,
    /// What was said before that and had not been written is not in it: the history had let go of it.
    oldest: Offset,
    /// Nothing before that is in the log any more.
    trimmed: Offset,
    /// All members, but for those of whom the room knows that they changed.
    members: bool,
    /// The room's record, by its hash; absent: none of this life.
    record: Option<u64>,
}

impl There {
    pub(super) const NOTHING: Self = Self {
        nothing: true,
        edition: 0,
        tip: Offset(0),
        complete: Offset(0),
        oldest: Offset(0),
        trimmed: Offset(0),
        members: false,
        record: None,
    };
}

#[derive(Debug)]
pub(super) enum UnderWay {
    Claim,
    Look,
    /// Composed at that moment.
    Write {
        brings: There,
        members: BTreeMap<Seat, ParticipantId>,
        at: Instant,
    },
    Leave {
        members: BTreeMap<Seat, ParticipantId>,
    },
}

impl Keeping {
    pub(super) fn new(fence: Option<u64>) -> Self {
        Self {
            fence,
            there: There::NOTHING,
            under_way: None,
            due: None,
            behind: None,
            failures: 0,
            edition: 0,
            elsewhere: false,
            leaving: None,
            look: Look::default(),
            merged: Vec::new(),
            unreadable: Vec::new(),
            found: false,
            waiting: Waiting::new(),
        }
    }

    /// The offset up to which the room is kept.
    pub(super) fn stands_up_to(&self) -> Offset {
        if self.there.nothing { Offset(0) } else { self.there.complete }
    }

    /// Whether what waited for that offset to be kept left the history before it was.
    pub(super) fn has_missed(&self, offset: Offset) -> bool {
        offset < self.there.oldest
    }

    /// Whether whoever keeps rooms did not take the last that it was asked to.
    pub(super) fn is_away(&self) -> bool {
        self.failures > 0
    }

    /// Whether it is this router's to write, and whoever keeps rooms took the last that it was asked to.
    pub(super) fn is_ours(&self) -> bool {
        self.fence.is_some() && !self.is_away()
    }

    /// Whether another router has the room, as far as is known.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// What was restored is there, by that write.
    pub(super) fn stands(&mut self, tip: Offset, edition: u64) {
        self.edition = edition;
        self.there = There { nothing: false, edition, tip, complete: tip, members: true, ..There::NOTHING };
    }

    /// Nothing that was written counts, nor what is on its way: all is to be written anew.
    fn is_lost(&mut self) {
        self.there = There::NOTHING;
        if let Some(UnderWay::Write { brings, .. }) = &mut self.under_way {
            *brings = There::NOTHING;
        }
    }

    /// Takes over what another life of the room left.
    fn takes(&mut self, fence: u64) {
        (self.fence, self.there, self.elsewhere) = (Some(fence), There::NOTHING, false);
    }
}

impl Router {
    /// What is to be told of rooms that are kept: how many wait to be written, and since when the one that waits longest.
    pub fn behind(&self) -> (usize, Option<Instant>) {
        (self.behind.len(), self.behind.first().map(|(since, _)| *since))
    }

    /// Since when something of a room waits to be written; absent: all is.
    fn set_behind(&mut self, key: HallKey, since: Option<Instant>) {
        let Some(keeping) = self.halls.get_mut(key).and_then(|hall| hall.keeping.as_mut()) else { return };
        if let Some(before) = std::mem::replace(&mut keeping.behind, since) {
            self.behind.remove(&(before, key));
        }
        self.behind.extend(since.map(|since| (since, key)));
    }

    /// Something of a room may have changed.
    pub(super) fn keep_soon(&mut self, key: HallKey, at: Instant) {
        let (Some(settings), rooms) = (self.settings.keeping, self.halls.len()) else { return };
        let Some(hall) = self.halls.get_mut(key) else { return };
        let Some(keeping) = &mut hall.keeping else { return };
        if keeping.behind.is_none() {
            keeping.behind = Some(at);
            self.behind.insert((at, key));
        }
        if hall.room.changed() > hall.room.members().len() + CHANGED_MAX {
            // who came and went while nobody took it is not told one by one; nor does what is under way change that
            hall.room.take_touched();
            keeping.is_lost();
        }
        // what is under way says what comes next; after a failure, and before a claim, their own pauses hold
        let waits = keeping.under_way.is_some() || keeping.failures > 0;
        if waits || (keeping.fence.is_none() && keeping.due.is_some()) {
            return;
        }
        // who waits for an answer gathers no more than what comes while a write is under way
        let at_once = keeping.fence.is_none() || settings.acknowledge > Acknowledge::Here;
        let due = if at_once { at } else { self.written_from.next(at, settings.gather, (key, rooms)) };
        if keeping.due.is_none_or(|set| set > due) {
            self.timers.arm(&mut keeping.due, due, Timer::Keep(key));
        }
    }

    /// What is due of a room: to be claimed, or to be written.
    pub(super) fn keep(&mut self, key: HallKey, now: Now) {
        let Some(hall) = self.halls.get_mut(key) else { return };
        let Some(keeping) = &mut hall.keeping else { return };
        keeping.due = None;
        if keeping.under_way.is_some() {
            return;
        }
        let ask = match keeping.fence {
            _ if keeping.leaving.is_some() => self.ask_to_leave(key, now),
            None => {
                keeping.under_way = Some(UnderWay::Claim);
                Ask::Claim
            }
            Some(_) if keeping.look.wanted => {
                keeping.under_way = Some(UnderWay::Look);
                Ask::Look
            }
            Some(fence) => Ask::Write(Box::new(self.next_write(key, fence, now))),
        };
        let room = &self.halls[key].room;
        let (room, epoch) = (room.id().clone(), room.epoch());
        self.closing.push(Output::Keep { room, epoch, ask });
    }

    /// What came of a claim or a write.
    pub(super) fn kept(&mut self, (room, epoch): (&RoomId, Epoch), answer: Answer, now: Now, out: &mut Vec<Output>) {
        let (Some(_), Some(&key)) = (self.settings.keeping, self.names.get(room)) else { return };
        let hall = &mut self.halls[key];
        if hall.room.epoch() != epoch {
            return;
        }
        let Some(keeping) = &mut hall.keeping else { return };
        let under_way = keeping.under_way.take();
        if answer != Answer::Failed {
            keeping.failures = 0;
        }
        let answered =
            !matches!(answer, Answer::Failed | Answer::Held { .. } | Answer::Written(Written::Fenced { .. }));
        let pause = match answer {
            Answer::Claimed(kept) => {
                let lay: Vec<String> = kept.branches.iter().map(|(name, _)| name.clone()).collect();
                self.is_claimed(key, *kept, now);
                if matches!(under_way, Some(UnderWay::Look)) {
                    self.has_looked(key, &lay, now);
                    self.end_openings(key, now, out);
                }
                Duration::ZERO
            }
            Answer::Left(left) => return self.has_left(key, left, now),
            Answer::Written(Written::Written) => self.is_written(key, under_way, now),
            Answer::Written(Written::Branched) => {
                let pause = self.is_written(key, under_way, now);
                self.look_soon(key, now);
                pause
            }
            Answer::Written(Written::Missing) => {
                let stood = !std::mem::replace(&mut keeping.there, There::NOTHING).nothing;
                self.write_again(key, under_way);
                if stood {
                    let fact = KeepingFact::RoomWrittenAnew { room: room.clone() };
                    self.closing.push(Output::Observe(Event::Keeping(fact)));
                }
                Duration::ZERO
            }
            Answer::Written(Written::Fenced { owner }) | Answer::Held { owner } => {
                (keeping.fence, keeping.there, keeping.elsewhere) = (None, There::NOTHING, true);
                self.write_again(key, under_way);
                let fact = KeepingFact::RoomHeld { room: room.clone(), owner };
                self.closing.push(Output::Observe(Event::Keeping(fact)));
                CLAIM_AGAIN
            }
            // what is written may lie elsewhere until there is an answer again
            Answer::Failed if matches!(under_way, Some(UnderWay::Look)) => {
                self.looked_in_vain(key, now);
                Duration::ZERO
            }
            Answer::Failed => {
                keeping.failures = keeping.failures.saturating_add(1);
                let pause = RETRY * (1 << keeping.failures.min(DOUBLED_MAX));
                let leaves = matches!(under_way, Some(UnderWay::Leave { .. }));
                self.write_again(key, under_way);
                if leaves { self.stays(key) } else { pause.min(RETRY_MAX) }
            }
        };
        self.goes_on(key, (answered, pause), now, out);
    }

    /// It is this router's: as it was, with what lies beside it, or anew, with what was found.
    fn is_claimed(&mut self, key: HallKey, kept: Kept, now: Now) {
        let hall = &mut self.halls[key];
        let Some(keeping) = &mut hall.keeping else { return };
        if keeping.fence == Some(kept.fence) {
            return self.merge_branches(key, kept.branches, now);
        }
        if !keeping.there.nothing && kept.fields.is_empty() {
            let fact = KeepingFact::RoomWrittenAnew { room: hall.room.id().clone() };
            self.closing.push(Output::Observe(Event::Keeping(fact)));
        }
        keeping.takes(kept.fence);
        keeping.edition = keeping.edition.max(kept.edition);
        self.merge_claimed(key, kept, now);
    }

    /// What comes after an answer.
    fn goes_on(&mut self, key: HallKey, (answered, pause): (bool, Duration), now: Now, out: &mut Vec<Output>) {
        let Some(settings) = self.settings.keeping else { return };
        if !answered {
            // who waits to know more does not wait for whoever is away
            self.end_openings(key, now, out);
        }
        let Some(keeping) = self.halls.get(key).and_then(|hall| hall.keeping.as_ref()) else { return };
        if answered && (keeping.look.wanted || keeping.leaving.is_some()) {
            return self.keep(key, now);
        }
        if pause.is_zero() && settings.acknowledge > Acknowledge::Here {
            return self.keep(key, now);
        }
        if let Some(keeping) = self.halls.get_mut(key).and_then(|hall| hall.keeping.as_mut()) {
            self.timers.arm(&mut keeping.due, now.at + pause, Timer::Keep(key));
        }
    }

    /// Of a room that is here, something that was said to be written does not stand: all of it is written, and soon.
    pub(super) fn unkept(&mut self, room: &RoomId, now: Now) {
        let Some(&key) = self.names.get(room) else { return };
        let Some(keeping) = &mut self.halls[key].keeping else { return };
        keeping.is_lost();
        // whoever keeps rooms has just answered
        keeping.failures = 0;
        self.keep_soon(key, now.at);
    }

    /// What another life of the room left is this router's; it comes into the room that is here.
    pub(super) fn keep_instead(&mut self, key: HallKey, kept: Kept, now: Now) {
        let Some(keeping) = self.halls.get_mut(key).and_then(|hall| hall.keeping.as_mut()) else { return };
        // a claim that is under way will say the same
        if keeping.fence.is_none() && keeping.under_way.is_none() {
            self.is_claimed(key, kept, now);
        }
        if let Some(keeping) = self.halls.get_mut(key).and_then(|hall| hall.keeping.as_mut())
            && keeping.fence.is_some()
            && keeping.under_way.is_none()
        {
            self.timers.arm(&mut keeping.due, now.at, Timer::Keep(key));
        }
    }

    /// A write stands; until when the next one can wait.
    fn is_written(&mut self, key: HallKey, under_way: Option<UnderWay>, now: Now) -> Duration {
        let (Some(settings), Some(hall)) = (self.settings.keeping, self.halls.get_mut(key)) else {
            return Duration::ZERO;
        };
        let (Some(keeping), Some(UnderWay::Write { brings, at, .. })) = (&mut hall.keeping, under_way) else {
            return settings.refresh;
        };
        keeping.there = brings;
        // each write that says all of it takes all of these away
        if brings.complete == brings.tip && !brings.nothing {
            keeping.merged.clear();
            keeping.found = false;
        }
        let all = !brings.nothing && hall.room.changed() == 0 && hall.room.tip() == brings.tip;
        // else it was written only to stay
        if let Some(since) = keeping.behind {
            let behind = now.at.saturating_duration_since(since);
            self.closing.push(Output::Observe(Event::Keeping(KeepingFact::RoomWritten { behind })));
        }
        // what came meanwhile came after it
        self.set_behind(key, (!all).then_some(at));
        self.release_answers(key);
        if all {
            settings.refresh
        } else if settings.acknowledge > Acknowledge::Here || brings.complete < brings.tip {
            // for the latter it was more than goes into one write
            Duration::ZERO
        } else {
            let next = self.written_from.next(now.at, settings.gather, (key, self.halls.len()));
            next.saturating_duration_since(now.at)
        }
    }

    /// What a write had taken up is still to be written.
    fn write_again(&mut self, key: HallKey, under_way: Option<UnderWay>) {
        if let Some(UnderWay::Write { members, .. } | UnderWay::Leave { members }) = under_way {
            self.halls[key].room.touch_again(members);
        }
    }

    /// Whose request is at hand: what comes of it is kept with it, so that a repeat elsewhere is not carried out again.
    pub(super) fn note_request(&mut self, seat: Seat, id: Option<u64>) {
        if self.settings.keeping.is_none() {
            return;
        }
        if let Some(seated) = self.sessions.get(&seat) {
            self.halls[seated.hall].room.set_request(id.map(|id| (seat, id)));
        }
    }
}
