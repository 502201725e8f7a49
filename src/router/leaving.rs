//! A room leaves this router for another: all that is known of it goes where that one looks for it, and everybody is sent there.
//!
//! ```text
//! drained  -> Part: written whole, nobody waits                           not this router's any more: put beside the room, as a
//!             (also where another router has taken the room from one that drains)
//! elsewhere -> Leave: the same, and the room goes on here until it stands                   branch that the other router merges
//!              no answer: it goes on, and is tried again                                    ^ changes are refused meanwhile
//! ```

use std::{collections::BTreeMap, time::Duration};

use super::{
    Hall, HallKey, Now, Output, Router, Timer,
    keeping::{Extent, There, UnderWay},
};
use crate::{
    event::{Event, KeepingFact},
    fabric::{Ask, Last, Left},
    ids::ParticipantId,
    protocol::{Code, Refusal},
    room::Seat,
};

/// Until a room that could not leave is tried to be sent after the others again.
const LEAVE_AGAIN: Duration = Duration::from_secs(1);
/// How soon what a room that leaves refuses is worth another try, most likely with the other router.
const AGAIN_MS: u64 = 100;

impl Router {
    /// Another router has a room that is kept: it leaves, once all of it is where that router looks for it.
    pub(super) fn leave_room(&mut self, key: HallKey, refusal: &Refusal, now: Now) {
        let Some(keeping) = &mut self.halls[key].keeping else { return };
        keeping.leaving = Some(Box::new(refusal.clone()));
        if keeping.under_way.is_none() {
            self.timers.cancel(&mut keeping.due, Timer::Keep(key));
            self.keep(key, now);
        }
    }

    /// All of the room, to be put where another router looks for it; no client changes anything of it until there is an answer.
    pub(super) fn ask_to_leave(&mut self, key: HallKey, now: Now) -> Ask {
        let (last, members) = self.last_of(key, now);
        if let Some(keeping) = &mut self.halls[key].keeping {
            keeping.under_way = Some(UnderWay::Leave { members });
        }
        self.departing.insert(key);
        Ask::Leave(last)
    }

    /// All that is known of a room, and whose changes that takes up.
    fn last_of(&mut self, key: HallKey, now: Now) -> (Last, BTreeMap<Seat, ParticipantId>) {
        let keeping = self.halls[key].keeping.as_deref();
        let fence = keeping.and_then(|keeping| keeping.fence);
        // whatever comes of a write that is under way, it is before this one
        let there = match keeping {
            Some(keeping) if fence.is_some() && keeping.under_way.is_none() => keeping.there,
            _ => There::NOTHING,
        };
        let (mut write, _, members) = self.compose(key, (fence.unwrap_or_default(), there), Extent::Whole, now);
        write.released = true;
        let epoch = self.halls[key].room.epoch();
        (Last { write: Box::new(write), owned: fence.is_some(), epoch }, members)
    }

    /// The room could not leave yet: it goes on here until that is tried again. How long until then.
    pub(super) fn stays(&mut self, key: HallKey) -> Duration {
        self.departing.remove(&key);
        LEAVE_AGAIN
    }

    /// All of the room is where another router looks for it: everybody is sent there.
    pub(super) fn has_left(&mut self, key: HallKey, left: Left, now: Now) {
        let leaving = self.halls[key].keeping.as_mut().and_then(|keeping| keeping.leaving.take());
        let refusal = leaving.map_or_else(|| Code::RoomUnavailable.refuse(), |refusal| *refusal);
        let sessions = self.send_away(key, &refusal);
        let room = self.halls[key].room.id().clone();
        self.closing.push(Output::Observe(Event::Keeping(match left {
            Left::Written => KeepingFact::RoomHandedOver { room, sessions },
            Left::Beside => KeepingFact::RoomSetBeside { room, sessions },
        })));
        self.close_hall(key, refusal.code, now.at);
    }

    /// Another router goes on with the room: it gets all that this one knows, and everybody is sent there. Whether that can be:
    /// a room that is not kept ends.
    pub(super) fn hand_over(&mut self, key: HallKey, refusal: &Refusal, now: Now) -> bool {
        if self.halls[key].keeping.is_none() {
            return false;
        }
        let (room, epoch) = (self.halls[key].room.id().clone(), self.halls[key].room.epoch());
        let (last, _) = self.last_of(key, now);
        let owned = last.owned;
        self.closing.push(Output::Keep { room: room.clone(), epoch, ask: Ask::Part(last) });
        let sessions = self.send_away(key, refusal);
        if owned {
            self.closing.push(Output::Observe(Event::Keeping(KeepingFact::RoomHandedOver { room, sessions })));
        }
        self.close_hall(key, refusal.code, now.at);
        true
    }

    /// Everybody is sent away; whoever has the room next goes on with it, and with its media.
    fn send_away(&mut self, key: HallKey, refusal: &Refusal) -> usize {
        self.refuse_openings(key, refusal);
        let seats = self.seats_of(key);
        let sessions = seats.len();
        for seat in seats {
            self.forget_session(seat, refusal.clone());
        }
        self.leave_media(key);
        if let Some(keeping) = &mut self.halls[key].keeping {
            keeping.fence = None;
        }
        sessions
    }

    /// The room ends: nothing is kept of it any more.
    pub(super) fn stop_keeping(&mut self, hall: &mut Hall, key: HallKey) {
        self.departing.remove(&key);
        let Some(mut keeping) = hall.keeping.take() else { return };
        self.timers.cancel(&mut keeping.due, Timer::Keep(key));
        if let Some(since) = keeping.behind {
            self.behind.remove(&(since, key));
        }
        if let Some(fence) = keeping.fence {
            let (room, epoch) = (hall.room.id().clone(), hall.room.epoch());
            self.closing.push(Output::Keep { room, epoch, ask: Ask::End { fence } });
        }
    }

    /// Whether a room just leaves: what would be added to it would not come along.
    ///
    /// # Errors
    /// It does; the other router has it in a moment.
    pub(super) fn stays_here(&self, hall: Option<HallKey>) -> Result<(), Refusal> {
        match hall {
            Some(hall) if self.departing.contains(&hall) => {
                let why = "not done: the room is on its way to another router";
                Err(Code::RoomUnavailable.because(why).retry_after_ms(AGAIN_MS))
            }
            _ => Ok(()),
        }
    }

    /// The same, of the room of that seat. Where no room leaves, a signal takes no look at its own.
    pub(super) fn stays_here_with(&self, seat: Seat) -> Result<(), Refusal> {
        if self.departing.is_empty() {
            return Ok(());
        }
        self.stays_here(self.sessions.get(&seat).map(|seated| seated.hall))
    }
}
