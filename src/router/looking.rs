//! Who comes back with a session, or from a life of the room, that is not known here waits until it was looked whether another router
//! put what it had of the room beside it.
//!
//! ```text
//! resume, unknown -> Hold(ticket) -> Look -> merged, if there was anything -> Release(ticket): as known as it is then
//!                                    no answer, its deadline, a frame too many behind it: as known as it is now
//! ```

use std::time::{Duration, Instant};

use ahash::AHashMap;

use super::{AnswerTicket, HallKey, Now, Opened, Output, Router, Timer, refuse_opening, send_error};
use crate::{
    auth::Grant,
    ids::{ConnectionId, Epoch, Offset},
    protocol::{
        Code, Refusal,
        v1::{self, ClientFrame},
    },
    session::ResumeClaims,
};

/// After a look nobody waits for another one for that long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Where something lies beside a room that cannot be merged here, it is looked again after that.
const NOTHING_NEW: Duration = Duration::from_secs(60);
/// Openings of one room that wait.
const OPENINGS_MAX: usize = 1_024;
/// Frames that one of them is followed by.
const FRAMES_MAX: usize = 16;

/// What is known of what lies beside a room.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// It is to be looked.
    pub(super) wanted: bool,
    /// When it was looked last.
    at: Option<Instant>,
    /// Not before that for what a write says.
    not_before: Option<Instant>,
    /// Who waits for it, in order.
    openings: Vec<ConnectionId>,
}

/// An opening that waits.
#[derive(Debug)]
pub(super) struct HeldOpening {
    hall: HallKey,
    ticket: AnswerTicket,
    opened: Opened,
    claims: ResumeClaims,
    resume: v1::Resume,
    frames: Vec<HeldFrame>,
}

/// A frame behind it.
#[derive(Debug)]
struct HeldFrame {
    ticket: AnswerTicket,
    frame: Box<ClientFrame>,
    grant: Option<Box<Grant>>,
}

/// All that wait.
pub(super) type HeldOpenings = AHashMap<ConnectionId, HeldOpening>;

impl Router {
    /// The room that is looked at first, for somebody who comes back.
    pub(super) fn looks_first(&self, claims: &ResumeClaims, resume: &v1::Resume, now: Now) -> Option<HallKey> {
        let key = *self.names.get(&claims.room)?;
        let hall = &self.halls[key];
        let keeping = hall.keeping.as_deref()?;
        let lately = keeping.look.at.is_some_and(|at| now.at.saturating_duration_since(at) < LOOK_AGAIN);
        let full = keeping.look.openings.len() >= OPENINGS_MAX;
        if keeping.fence.is_none() || keeping.leaving.is_some() || keeping.is_away() || lately || full {
            return None;
        }
        let place = Epoch::read(&resume.epoch).and_then(|epoch| hall.room.place_of(epoch, Offset(resume.offset)));
        let is_known = self.session_ids.contains_key(&claims.session) && place.is_some_and(|place| place.exact);
        (!is_known).then_some(key)
    }

    /// It waits until it was looked.
    pub(super) fn hold_opening(
        &mut self,
        key: HallKey,
        opened: Opened,
        (claims, resume): (ResumeClaims, v1::Resume),
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let (ticket, connection) = (self.answers.ticket(), opened.connection);
        let held = HeldOpening { hall: key, ticket, opened, claims, resume, frames: Vec::new() };
        self.openings.insert(connection, held);
        out.push(Output::Hold { ticket, by: now.at + self.settings.signal_timeout });
        let Some(keeping) = &mut self.halls[key].keeping else { return };
        keeping.look.openings.push(connection);
        keeping.look.wanted = true;
        if keeping.under_way.is_none() {
            self.timers.cancel(&mut keeping.due, Timer::Keep(key));
            self.keep(key, now);
        }
    }

    /// A frame of a connection that is in no session: behind an opening that waits, it waits as well.
    ///
    /// # Errors
    /// No opening waits, or too much behind it.
    pub(super) fn hold_frame(
        &mut self,
        connection: ConnectionId,
        (frame, grant): (Box<ClientFrame>, Option<Box<Grant>>),
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let ticket = self.answers.ticket();
        let held = self.openings.get_mut(&connection).ok_or_else(|| Code::NotJoined.refuse())?;
        if held.frames.len() >= FRAMES_MAX {
            return Err(Code::Overloaded.because("more came behind a resume that is not answered yet than may wait"));
        }
        held.frames.push(HeldFrame { ticket, frame, grant });
        out.push(Output::Hold { ticket, by: now.at + self.settings.signal_timeout });
        Ok(())
    }

    /// The connection is gone; what waited of it ends with it.
    pub(super) fn forget_opening(&mut self, connection: ConnectionId) {
        let Some(held) = self.openings.remove(&connection) else { return };
        if let Some(keeping) = self.halls.get_mut(held.hall).and_then(|hall| hall.keeping.as_mut()) {
            keeping.look.openings.retain(|other| *other != connection);
        }
        for ticket in std::iter::once(held.ticket).chain(held.frames.into_iter().map(|held| held.ticket)) {
            self.closing.push(Output::Release(ticket));
            self.closing.push(Output::Ended(crate::event::Outcome::Gone));
        }
    }

    /// What a write says lies beside the room is looked at, unless that was in vain a moment ago.
    pub(super) fn look_soon(&mut self, key: HallKey, now: Now) {
        if let Some(keeping) = &mut self.halls[key].keeping {
            keeping.look.wanted |= keeping.look.not_before.is_none_or(|at| now.at >= at);
        }
    }

    /// It was looked, and what is called so lay there.
    pub(super) fn has_looked(&mut self, key: HallKey, names: &[String], now: Now) {
        if let Some(keeping) = &mut self.halls[key].keeping {
            let in_vain = !names.is_empty() && names.iter().all(|name| keeping.unreadable.contains(name));
            keeping.look.wanted = false;
            keeping.look.at = Some(now.at);
            keeping.look.not_before = in_vain.then(|| now.at + NOTHING_NEW);
            keeping.unreadable.retain(|name| names.contains(name));
        }
    }

    /// There was no answer: nobody waits for the next one for a while.
    pub(super) fn looked_in_vain(&mut self, key: HallKey, now: Now) {
        if let Some(keeping) = &mut self.halls[key].keeping {
            keeping.look.at = Some(now.at);
        }
    }

    /// Who waited comes in, as known as it is now.
    pub(super) fn end_openings(&mut self, key: HallKey, now: Now, out: &mut Vec<Output>) {
        let Some(keeping) = self.halls.get_mut(key).and_then(|hall| hall.keeping.as_mut()) else { return };
        keeping.look.wanted = false;
        for connection in std::mem::take(&mut keeping.look.openings) {
            if let Some(held) = self.openings.remove(&connection) {
                self.flush(out);
                out.push(Output::Release(held.ticket));
                self.end_opening(held, now, out);
            }
        }
    }

    /// What is at hand comes in, and then what came behind it.
    fn end_opening(&mut self, held: HeldOpening, now: Now, out: &mut Vec<Output>) {
        let HeldOpening { opened, claims, resume, frames, .. } = held;
        let (connection, id) = (opened.connection, opened.id);
        if let Err(refusal) = self.resume(opened, (&claims, &resume), now, out) {
            refuse_opening(connection, id, &refusal, out);
        }
        for HeldFrame { ticket, frame, grant } in frames {
            self.flush(out);
            out.push(Output::Release(ticket));
            self.frame(connection, (frame, grant), now, out);
        }
    }

    /// The time of an opening, or of a frame behind one, is over, and it is at hand; whether it was one.
    pub(super) fn opening_late(&mut self, ticket: AnswerTicket, now: Now, out: &mut Vec<Output>) -> bool {
        let of = |held: &HeldOpening| held.ticket == ticket || held.frames.iter().any(|held| held.ticket == ticket);
        let Some(connection) = self.openings.iter().find(|(_, held)| of(held)).map(|(connection, _)| *connection)
        else {
            return false;
        };
        if let Some(held) = self.openings.get_mut(&connection).filter(|held| held.ticket != ticket) {
            let at = held.frames.iter().position(|held| held.ticket == ticket).unwrap_or_default();
            let id = held.frames.remove(at).frame.id;
            send_error(connection, id, &Code::DeadlineExceeded.refuse(), out);
            return true;
        }
        let Some(held) = self.openings.remove(&connection) else { return false };
        if let Some(keeping) = self.halls.get_mut(held.hall).and_then(|hall| hall.keeping.as_mut()) {
            keeping.look.openings.retain(|other| *other != connection);
        }
        self.end_opening(held, now, out);
        true
    }

    /// The room is not here any more.
    pub(super) fn refuse_openings(&mut self, key: HallKey, refusal: &Refusal) {
        let Some(keeping) = self.halls.get_mut(key).and_then(|hall| hall.keeping.as_mut()) else { return };
        for connection in std::mem::take(&mut keeping.look.openings) {
            let Some(held) = self.openings.remove(&connection) else { continue };
            self.closing.push(Output::Release(held.ticket));
            refuse_opening(connection, held.opened.id, refusal, &mut self.closing);
            for HeldFrame { ticket, frame, .. } in held.frames {
                self.closing.push(Output::Release(ticket));
                send_error(connection, frame.id, &Code::NotJoined.refuse(), &mut self.closing);
            }
        }
    }
}
