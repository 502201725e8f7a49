//! What a keeper decides: which of the things that were asked about a room comes next, and what follows when whoever keeps rooms does
//! not answer, or says that another router has the room.
//!
//! Who carries it out asks, waits and says what came of it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use ahash::AHashMap;

use super::{Answer, Ask, Kept, Left, Taken, Written};
use crate::ids::{Epoch, RoomId};

/// Until it is looked again whether another router has handed a room over.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How often the last write of a room is tried,
pub(crate) const PARTS: u32 = 3;
/// and the pause in between.
const PART_AGAIN: Duration = Duration::from_millis(50);
/// How often the end of a room is tried,
const ENDS: u32 = 60;
/// and the pause in between.
const END_AGAIN: Duration = Duration::from_secs(1);
/// How long who wants into a room waits until all that was asked about it is done.
pub const SETTLED_MAX: Duration = Duration::from_millis(300);

/// Rooms that something is done about, and what comes next: of each one thing at a time.
#[derive(Debug, Default)]
pub struct Lanes(AHashMap<RoomId, VecDeque<(Epoch, Ask)>>);

impl Lanes {
    /// Something is asked about a room: it is to be done at once, or none; else it comes after what was asked before.
    pub fn ask(&mut self, room: &RoomId, asked: (Epoch, Ask)) -> Option<(Epoch, Ask)> {
        if let Some(lane) = self.0.get_mut(room) {
            lane.push_back(asked);
            return None;
        }
        self.0.insert(room.clone(), VecDeque::new());
        Some(asked)
    }

    /// What was done about a room is done: what is next. None: nothing more.
    pub fn next(&mut self, room: &RoomId) -> Option<(Epoch, Ask)> {
        let next = self.0.get_mut(room).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.0.remove(room);
        }
        next
    }

    /// Whether something is done about a room.
    pub fn is_busy(&self, room: &RoomId) -> bool {
        self.0.contains_key(room)
    }

    /// Whether nothing is done about any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A room that is wanted here is taken: of another router that has it, once that has let go of it or had the time to.
#[derive(Clone, Copy, Debug)]
pub struct Taking {
    until: Instant,
    force: bool,
}

/// What follows from what a take brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is this router's, with what was kept. None: nothing was.
    Has(Option<Kept>),
    /// To be taken again after that pause.
    Again {
        /// The pause.
        after: Duration,
        /// From whoever has it.
        force: bool,
    },
    /// Another router has it, and it is not this one's to take.
    Held {
        /// Which.
        owner: String,
    },
}

impl Taking {
    /// Another router has until then to hand it over.
    pub const fn new(until: Instant) -> Self {
        Self { until, force: false }
    }

    /// What follows. `may_force`: the fleet agrees that the room is this router's.
    pub fn next(&mut self, taken: Taken, now: Instant, may_force: bool) -> Next {
        match taken {
            Taken::Nothing { .. } => Next::Has(None),
            Taken::Kept(kept) => Next::Has(kept.has_room().then_some(kept)),
            Taken::Held { owner: _ } if now < self.until => Next::Again { after: LOOK_AGAIN, force: self.force },
            Taken::Held { owner: _ } if may_force && !self.force => {
                self.force = true;
                Next::Again { after: Duration::ZERO, force: true }
            }
            Taken::Held { owner } => Next::Held { owner },
        }
    }
}

/// What came of a claim, or of a look at what lies beside a room; none: no answer.
pub fn claimed(taken: Option<Taken>) -> Answer {
    match taken {
        Some(Taken::Nothing { fence }) => Answer::Claimed(Box::new(Kept { fence, ..Kept::default() })),
        Some(Taken::Kept(kept)) => Answer::Claimed(Box::new(kept)),
        Some(Taken::Held { owner }) => Answer::Held { owner },
        None => Answer::Failed,
    }
}

/// What came of a write; none: no answer.
pub fn written(written: Option<Written>) -> Answer {
    written.map_or(Answer::Failed, Answer::Written)
}

/// The last write of a room: as the room itself while it is this router's, else as a branch beside it.
#[derive(Clone, Copy, Debug)]
pub struct Parting {
    tries: u32,
    beside: bool,
}

/// What came of a try of the last write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// Of writing it.
    Wrote(Written),
    /// Of putting it beside the room: whether there was a place.
    Put(bool),
    /// There was no answer.
    Unanswered,
}

/// What follows from a try of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parted {
    /// It stands.
    Stands(Left),
    /// It is tried again after that pause.
    Again {
        /// The pause.
        after: Duration,
        /// As all there is of the room: nothing else is kept of it any more.
        reset: bool,
    },
    /// It does not stand: the room goes on as it was written before.
    Lost,
}

impl Parting {
    /// Of a room that is this router's, as far as is known.
    pub const fn new(owned: bool) -> Self {
        Self { tries: 0, beside: !owned }
    }

    /// Whether the next try is to put it beside the room.
    pub const fn is_beside(&self) -> bool {
        self.beside
    }

    /// What came of a try.
    pub fn next(&mut self, tried: &Tried) -> Parted {
        self.tries += 1;
        let more = self.tries < PARTS;
        match tried {
            Tried::Wrote(Written::Written | Written::Branched) => Parted::Stands(Left::Written),
            Tried::Put(true) => Parted::Stands(Left::Beside),
            // another has it already, with what it had
            Tried::Wrote(Written::Fenced { .. }) => {
                (self.tries, self.beside) = (0, true);
                Parted::Again { after: Duration::ZERO, reset: false }
            }
            // it has all but the history that was written before: that went with the rest, and the members need not
            Tried::Wrote(Written::Missing) if more => Parted::Again { after: Duration::ZERO, reset: true },
            Tried::Unanswered if more => Parted::Again { after: PART_AGAIN, reset: false },
            Tried::Wrote(Written::Missing) | Tried::Put(false) | Tried::Unanswered => Parted::Lost,
        }
    }
}

/// The end of a room. What cannot be ended ends by itself, when nobody has written it for long.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending(u32);

impl Ending {
    /// It was tried: the pause until it is tried again. None: it is not.
    pub fn next(&mut self, answered: bool) -> Option<Duration> {
        self.0 += 1;
        (!answered && self.0 < ENDS).then_some(END_AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_room_one_thing_is_done_at_a_time_in_order() {
        let mut lanes = Lanes::default();
        let (room, other) = (RoomId::from("r"), RoomId::from("s"));
        let end = |fence| (Epoch(fence), Ask::End { fence });
        assert_eq!(lanes.ask(&room, end(1)), Some(end(1)));
        assert_eq!((lanes.ask(&room, end(2)), lanes.ask(&room, end(3))), (None, None));
        assert_eq!(lanes.ask(&other, end(9)), Some(end(9)));
        assert_eq!((lanes.next(&room), lanes.next(&room)), (Some(end(2)), Some(end(3))));
        assert!(lanes.is_busy(&room));
        assert_eq!((lanes.next(&room), lanes.next(&other)), (None, None));
        assert!(lanes.is_empty() && !lanes.is_busy(&room));
    }

    #[test]
    fn a_room_is_taken_by_force_once_its_router_had_its_time_and_the_fleet_agrees() {
        let (begun, wait) = (Instant::now(), Duration::from_millis(250));
        let held = || Taken::Held { owner: "a".to_owned() };
        let mut taking = Taking::new(begun + wait);
        let again = |after, force| Next::Again { after, force };
        assert_eq!(taking.next(held(), begun, true), again(LOOK_AGAIN, false));
        assert_eq!(taking.next(held(), begun + wait, false), Next::Held { owner: "a".to_owned() });
        assert_eq!(taking.next(held(), begun + wait, true), again(Duration::ZERO, true));
        assert_eq!(taking.next(held(), begun + wait, true), Next::Held { owner: "a".to_owned() }, "once");
        let kept = Kept { fence: 2, fields: vec![("f".to_owned(), "x".into())], ..Kept::default() };
        assert_eq!(taking.next(Taken::Kept(kept.clone()), begun, true), Next::Has(Some(kept)));
        let bare = Kept { fence: 2, ..Kept::default() };
        assert_eq!(taking.next(Taken::Kept(bare), begun, true), Next::Has(None), "whoever had it lost it");
    }

    #[test]
    fn a_last_write_is_tried_thrice_and_goes_beside_the_room_where_another_has_it() {
        let mut parting = Parting::new(true);
        let again = |after, reset| Parted::Again { after, reset };
        assert_eq!(parting.next(&Tried::Unanswered), again(PART_AGAIN, false));
        assert_eq!(parting.next(&Tried::Unanswered), again(PART_AGAIN, false));
        assert_eq!(parting.next(&Tried::Unanswered), Parted::Lost);
        let mut parting = Parting::new(true);
        let fenced = Tried::Wrote(Written::Fenced { owner: "b".to_owned() });
        assert_eq!((parting.next(&fenced), parting.is_beside()), (again(Duration::ZERO, false), true));
        assert_eq!(parting.next(&Tried::Unanswered), again(PART_AGAIN, false));
        assert_eq!(parting.next(&Tried::Put(true)), Parted::Stands(Left::Beside));
        assert_eq!(Parting::new(false).next(&Tried::Put(false)), Parted::Lost, "there is no place");
        let missing = Tried::Wrote(Written::Missing);
        assert_eq!(Parting::new(true).next(&missing), again(Duration::ZERO, true), "with what it has");
        for stands in [Written::Written, Written::Branched] {
            assert_eq!(Parting::new(true).next(&Tried::Wrote(stands)), Parted::Stands(Left::Written));
        }
    }

    #[test]
    fn an_end_is_tried_until_it_is_answered_and_not_for_ever() {
        let mut ending = Ending::default();
        let tries = (1..).take_while(|_| ending.next(false) == Some(END_AGAIN)).count();
        assert_eq!(tries + 1, ENDS as usize);
        assert_eq!(Ending::default().next(true), None);
    }
}
