//! What truly happened in each room, by the lives that it had: seen from outside, by what routers say of it.
//!
//! A life is a room at one router, from when it is made or restored there until it ends. Its offsets go on from those of the life
//! that it was restored from, so an offset of a life is its own or one of those before.

use std::collections::BTreeMap;

use signalbox::protocol::v1::event::Kind;

use super::plan::{Ack, At, MS, Settings};

/// The place of a life among all.
pub(crate) type LifeId = usize;

/// Half the pause after a write that failed, as of the core.
const RETRY: At = 20 * MS;
/// Clocks that run apart, and are cut off to milliseconds.
const ROUNDED: At = 3 * MS;

/// What stands at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A client said this.
    Said { tag: String, by: String },
    /// Something happened, to a participant of that identity and id or to all.
    Happened { word: &'static str, identity: String, id: String },
}

impl What {
    pub(crate) fn of(kind: &Kind) -> Self {
        let (word, identity, id) = match kind {
            Kind::ParticipantJoined(one) => ("joined", &one.identity, &one.id),
            Kind::ParticipantLeft(one) => ("left", &one.identity, &one.id),
            Kind::ParticipantReconnecting(one) => ("reconnecting", &one.identity, &one.id),
            Kind::ParticipantResumed(one) => ("resumed", &one.identity, &one.id),
            Kind::ParticipantUpdated(one) => ("updated", &one.identity, &one.id),
            Kind::RoomMerged(edge) => {
                return Self::Happened { word: "merged", identity: String::new(), id: edge.epoch.clone() };
            }
            Kind::RoomContinued(edge) => {
                return Self::Happened { word: "continued", identity: String::new(), id: edge.epoch.clone() };
            }
            _ => return Self::Happened { word: "else", identity: String::new(), id: String::new() },
        };
        Self::Happened { word, identity: identity.clone(), id: id.clone() }
    }

    /// Whether somebody of that identity is told.
    pub(crate) fn is_for(&self, identity: &str) -> bool {
        match self {
            Self::Said { by, .. } => by != identity,
            Self::Happened { identity: about, .. } => about != identity,
        }
    }
}

/// One offset's worth.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) what: What,
    pub(crate) at: At,
    /// Somebody was told that it is done.
    pub(crate) acknowledged: bool,
    /// Redis has it,
    pub(crate) stands: bool,
    /// or had it once, or a router's disk.
    pub(crate) kept: bool,
    /// A router's disk has it, to be brought.
    pub(crate) on_disk: bool,
    /// It was found to be lost, with a reason.
    pub(crate) excused: bool,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With its router, from one moment to the next.
    Killed,
    /// All had left it.
    Empty,
    /// Written whole for another router.
    HandedOver,
    /// It was not kept, and another router had it.
    Dropped,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) room: usize,
    pub(crate) router: usize,
    pub(crate) epoch: Option<String>,
    /// Which life it went on from, and up to where that was kept.
    pub(crate) parent: Option<(LifeId, u64)>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) tip: u64,
    pub(crate) ended: Option<(At, Ended)>,
    /// When another router took it first.
    pub(crate) fenced: Option<At>,
    /// Until when it could not be written for a reason that the world gave.
    pub(crate) hindered: At,
    /// How many calls about it failed in a row.
    failures: u32,
    /// What it had written was taken back at that moment, and it has not been written since.
    pub(crate) taken_back: Option<At>,
    /// What the latest calls about it took.
    took: [At; 3],
    /// Whether its last write, to hand it over, stands.
    pub(crate) parted: bool,
    /// When all of it was put beside what another router had of its room.
    pub(crate) beside: Option<At>,
    /// Lives that are in it, up to where, and behind which of its own events.
    pub(crate) merges: Vec<(LifeId, u64, u64)>,
    /// What is in it of those, from, to.
    pub(crate) copies: Vec<(u64, u64)>,
    /// It was written when Redis had lost what it had: some of the history is gone.
    pub(crate) parted_short: bool,
    /// The first offset of which the history can be whole.
    pub(crate) first: u64,
    pub(crate) gather: At,
    pub(crate) ack: Ack,
    /// How many events its history holds.
    pub(crate) events: u64,
    /// It is written at least so often.
    pub(crate) refresh: At,
}

impl Life {
    /// What a change waits at most until it stands, while nothing hinders that.
    pub(crate) fn slack(&self) -> At {
        self.gather + self.gather / 50 + ROUNDED + self.took.iter().sum::<At>()
    }

    pub(crate) fn call_took(&mut self, took: At) {
        self.took.rotate_left(1);
        self.took[2] = took;
    }

    /// A call about it fails, or is refused, at that moment: when the next one comes at the latest.
    pub(crate) fn call_fails(&mut self, at: At, pause_min: At) {
        self.failures += 1;
        let pause = (RETRY << self.failures.min(8)).min(2_000 * MS).max(pause_min);
        self.hindered = self.hindered.max(at + pause + pause / 50);
    }

    pub(crate) fn call_stands(&mut self) {
        self.failures = 0;
    }
}

/// All lives of all rooms.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    pub(crate) lives: Vec<Life>,
    by_epoch: BTreeMap<(usize, String), LifeId>,
    /// Where each message stands.
    tags: BTreeMap<String, Vec<(LifeId, u64)>>,
}

impl Chronicle {
    pub(crate) fn begin(
        &mut self,
        (room, router): (usize, usize),
        parent: Option<(LifeId, u64)>,
        Settings { events, gather, refresh, ack, .. }: Settings,
    ) -> LifeId {
        let tip = parent.map_or(0, |(_, last)| last);
        let (epoch, ended, fenced, taken_back) = Default::default();
        self.lives.push(Life {
            room,
            router,
            epoch,
            parent,
            entries: BTreeMap::new(),
            tip,
            ended,
            fenced,
            hindered: 0,
            failures: 0,
            taken_back,
            took: [0; 3],
            parted: false,
            parted_short: false,
            beside: None,
            merges: Vec::new(),
            copies: Vec::new(),
            first: 1,
            gather,
            ack,
            events: events as u64,
            refresh: refresh + refresh / 50,
        });
        self.lives.len() - 1
    }

    pub(crate) fn end(&mut self, life: LifeId, at: At, how: Ended) {
        self.lives[life].ended.get_or_insert((at, how));
    }

    /// A life is called so by its router.
    pub(crate) fn name(&mut self, life: LifeId, epoch: &str) -> Result<(), String> {
        match &self.lives[life].epoch {
            Some(known) if known == epoch => Ok(()),
            Some(known) => Err(format!("[order] a life of a room is {known}, and then {epoch}")),
            None => {
                self.lives[life].epoch = Some(epoch.to_owned());
                let before = self.by_epoch.insert((self.lives[life].room, epoch.to_owned()), life);
                before.map_or(Ok(()), |_| Err(format!("[order] two lives of a room are {epoch}")))
            }
        }
    }

    pub(crate) fn find(&self, room: usize, epoch: &str) -> Option<LifeId> {
        self.by_epoch.get(&(room, epoch.to_owned())).copied()
    }

    /// Whose an offset of a life is: its own or one of those before.
    pub(crate) fn owner(&self, mut life: LifeId, offset: u64) -> LifeId {
        while let Some((parent, last)) = self.lives[life].parent
            && offset <= last
        {
            life = parent;
        }
        life
    }

    /// Whether what stands at an offset of one life stands there in another, too.
    pub(crate) fn is_of(&self, life: LifeId, (of, offset): (LifeId, u64)) -> bool {
        self.owner(life, offset) == self.owner(of, offset) && offset <= self.lives[life].tip
    }

    /// Where what a life has in common with another ends, going by the one that is asked for.
    pub(crate) fn end_of(&self, mut life: LifeId, of: LifeId) -> Option<u64> {
        while let Some((parent, last)) = self.lives[life].parent {
            if parent == of {
                return Some(last);
            }
            life = parent;
        }
        None
    }

    pub(crate) fn entry(&self, life: LifeId, offset: u64) -> Option<&Entry> {
        self.lives[self.owner(life, offset)].entries.get(&offset)
    }

    /// Something is said to stand at an offset of a life.
    pub(crate) fn note(&mut self, life: LifeId, offset: u64, what: What, at: At) -> Result<(), String> {
        let owner = self.owner(life, offset);
        let known = &mut self.lives[owner];
        if let Some(entry) = known.entries.get(&offset) {
            let what_stood = &entry.what;
            return match *what_stood == what {
                true => Ok(()),
                false => {
                    Err(format!("[order] room {} has {what:?} at {offset}, where {what_stood:?} stood", known.room))
                }
            };
        }
        if let What::Said { tag, .. } = &what {
            self.tags.entry(tag.clone()).or_default().push((owner, offset));
        }
        known.entries.insert(
            offset,
            Entry { what, at, acknowledged: false, stands: false, kept: false, on_disk: false, excused: false },
        );
        self.lives[life].tip = self.lives[life].tip.max(offset);
        Ok(())
    }

    /// Somebody is told that what stands at an offset of a life is done; whether it is for the first time.
    pub(crate) fn acknowledge(&mut self, life: LifeId, offset: u64) -> bool {
        let owner = self.owner(life, offset);
        let entry = self.lives[owner].entries.get_mut(&offset);
        entry.is_some_and(|entry| !std::mem::replace(&mut entry.acknowledged, true))
    }

    /// Where a message stands.
    pub(crate) fn places(&self, tag: &str) -> &[(LifeId, u64)] {
        self.tags.get(tag).map_or(&[], Vec::as_slice)
    }

    /// Messages that stand in a life up to an offset.
    pub(crate) fn said_up_to(&self, life: LifeId, tip: u64) -> Vec<String> {
        let stands = |places: &[(LifeId, u64)]| places.iter().any(|at| at.1 <= tip && self.is_of(life, *at));
        self.tags.iter().filter(|(_, places)| stands(places)).map(|(tag, _)| tag.clone()).collect()
    }

    /// Redis has what stands at an offset of a life, or has it no more.
    pub(crate) fn stands(&mut self, life: LifeId, offset: u64, stands: bool) {
        let owner = self.owner(life, offset);
        if let Some(entry) = self.lives[owner].entries.get_mut(&offset) {
            entry.stands = stands;
            entry.kept |= stands;
        }
    }

    /// A router's disk has what stands at an offset of a life, or has it no more.
    pub(crate) fn on_disk(&mut self, life: LifeId, offset: u64, on_disk: bool) {
        let owner = self.owner(life, offset);
        if let Some(entry) = self.lives[owner].entries.get_mut(&offset) {
            entry.on_disk = on_disk;
            entry.kept |= on_disk;
        }
    }

    /// Whether a life is another, or went on from it.
    pub(crate) fn comes_from(&self, life: LifeId, from: LifeId) -> bool {
        let mut at = Some(life);
        while let Some(life) = at {
            if life == from {
                return true;
            }
            at = self.lives[life].parent.map(|(parent, _)| parent);
        }
        false
    }

    /// Whether what stands at an offset of one life came into another, or into one that it went on from: by itself, or with a third
    /// that it had come into.
    pub(crate) fn is_merged(&self, life: LifeId, of: (LifeId, u64)) -> bool {
        self.is_merged_up_to(life, u64::MAX, of)
    }

    /// The same by an offset of that life.
    fn is_merged_up_to(&self, life: LifeId, mut upto: u64, of: (LifeId, u64)) -> bool {
        let mut at = Some(life);
        while let Some(life) = at {
            let one = &self.lives[life];
            let mut came = one.merges.iter().filter(|(_, _, behind)| *behind <= upto);
            // each came before what it came into was merged itself
            if came.any(|(other, last, _)| {
                self.is_of(*other, of) && of.1 <= *last || self.is_merged_up_to(*other, *last, of)
            }) {
                return true;
            }
            (at, upto) = one.parent.map_or((None, 0), |(parent, last)| (Some(parent), last));
        }
        false
    }

    /// Whether an offset of a life is of what came into it, or into one that it went on from.
    pub(crate) fn is_copy(&self, life: LifeId, offset: u64) -> bool {
        self.lives[self.owner(life, offset)].copies.iter().any(|(from, to)| (*from..=*to).contains(&offset))
    }

    /// Whether all that sessions had was handed on from a life to another.
    pub(crate) fn is_handed_on(&self, life: LifeId, mut to: LifeId) -> bool {
        while to != life {
            let Some((parent, last)) = self.lives[to].parent else { return false };
            let before = &self.lives[parent];
            if !before.parted || before.fenced.is_some() || last < before.tip {
                return false;
            }
            to = parent;
        }
        true
    }
}
