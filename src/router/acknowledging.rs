//! Answers that wait until what they acknowledge is kept outside of this router, where that is asked for.
//!
//! Held are the answers to what a client, or the admin API, adds to a room's log; what it brings about is seen by the others at
//! once. Neither held nor refused is what must go on without whoever keeps rooms: who comes, comes back, leaves or is removed,
//! directed signals, pings, a fresh token.
//!
//! ```text
//! request -> admits_change -> done, seen -> Hold(ticket) -> a write stands that brings its offset: Release(ticket), ok
//!            refused: away, full                         \-> its deadline: Input::Late(ticket), an error; a repeat waits anew
//! ```

use std::collections::BTreeSet;

use ahash::AHashMap;

use super::{AdminCall, AdminReply, HallKey, Now, Output, Router, asking::end_with};
use crate::{
    event::{AnswerOutcome, Event, KeepingFact, Outcome},
    ids::{ConnectionId, Offset},
    protocol::{
        Code, Refusal,
        v1::{self, client_frame::Op},
    },
    room::Seat,
    session::Reply,
};

/// Answers of one room that wait. One that is written to in 2 ms, at 100,000 changes a second, has 200.
const ROOM_ANSWERS_MAX: usize = 4_096;
/// Those of one router: more than 400,000 changes a second, each held for its whole time.
const ANSWERS_MAX: usize = 65_536;
/// How soon a change that was refused is worth another try.
const AGAIN_MS: u64 = 1_000;
/// The same of one whose answer did not come in time.
const LATE_AGAIN_MS: u64 = 250;

/// Finds an answer that waits; numbers are never used again in a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AnswerTicket(pub u64);

/// Where what a request did has to stand before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Acknowledge {
    /// In the room, here.
    #[default]
    Here,
    /// Where rooms are kept.
    Kept,
}

/// Answers of one room that wait, by what they wait for.
pub(super) type Waiting = BTreeSet<(Offset, AnswerTicket)>;

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Answers {
    tickets: u64,
    by_ticket: AHashMap<AnswerTicket, Held>,
}

#[derive(Debug)]
struct Held {
    hall: HallKey,
    offset: Offset,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    ToSession { seat: Seat, connection: ConnectionId, id: u64, reply: Reply },
    ToAdmin { request: u64, reply: AdminReply },
}

impl Answers {
    /// A ticket that nobody had before.
    pub(super) fn ticket(&mut self) -> AnswerTicket {
        self.tickets += 1;
        AnswerTicket(self.tickets)
    }
}

impl Router {
    /// Whether this may be added to a room's log now: what cannot be kept is not begun.
    ///
    /// # Errors
    /// Whoever keeps rooms is away, has given the room to another router, or too many answers wait.
    pub(super) fn admits_change(&mut self, hall: HallKey) -> Result<(), Refusal> {
        if !self.holds_answers() {
            return Ok(());
        }
        let Some(keeping) = self.halls.get(hall).and_then(|hall| hall.keeping.as_deref()) else { return Ok(()) };
        let (outcome, refusal) = if keeping.is_away() {
            (AnswerOutcome::Away, away())
        } else if keeping.is_elsewhere() {
            (AnswerOutcome::Elsewhere, elsewhere())
        } else if keeping.waiting.len() >= ROOM_ANSWERS_MAX || self.answers.by_ticket.len() >= ANSWERS_MAX {
            (AnswerOutcome::Full, full())
        } else {
            return Ok(());
        };
        self.closing.push(told(outcome));
        Err(refusal)
    }

    /// The same, of the room of that seat.
    pub(super) fn admits_change_of(&mut self, seat: Seat) -> Result<(), Refusal> {
        match self.hall_that_holds(seat) {
            Some(hall) => self.admits_change(hall),
            None => Ok(()),
        }
    }

    /// The room of that seat, where answers wait: else a signal takes no look at it.
    fn hall_that_holds(&self, seat: Seat) -> Option<HallKey> {
        if !self.holds_answers() {
            return None;
        }
        self.sessions.get(&seat).map(|seated| seated.hall)
    }

    /// Answers a request; what it was there to add to the room's log has to be kept first, where that is asked for.
    pub(super) fn reply(
        &mut self,
        (seat, connection): (Seat, ConnectionId),
        (id, changes): (Option<u64>, bool),
        reply: Reply,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let (Some(id), Reply::Ok { offset: Some(offset), .. }, true) = (id, &reply, changes) else {
            return end_with(connection, id, reply, out);
        };
        let (offset, hall) = (Offset(*offset), self.hall_that_holds(seat));
        let Some(hall) = hall.filter(|hall| self.is_unkept(*hall, offset)) else {
            return end_with(connection, Some(id), reply, out);
        };
        // a repeat comes on top of what was admitted
        if self.answers.by_ticket.len() >= ANSWERS_MAX {
            self.closing.push(told(AnswerOutcome::Full));
            return end_with(connection, Some(id), Reply::Refused(Box::new(full())), out);
        }
        out.push(self.hold((hall, offset), Answer::ToSession { seat, connection, id, reply }, now));
    }

    /// Carries out a call of the admin API, and answers it as a request is answered.
    pub(super) fn admin_answered(&mut self, (request, by): (u64, String), call: AdminCall, now: Now) -> Output {
        let named = |router: &Self, call: &AdminCall| router.names.get(call.room()?).copied();
        if let Err(refusal) = self.stays_here(named(self, &call).filter(|_| !only_looks(&call))) {
            return Output::AdminReply { request, reply: Err(refusal) };
        }
        let hall = named(self, &call).filter(|_| changes_room_as_admin(&call));
        let before = hall.map(|hall| self.halls[hall].room.tip());
        if let Some(Err(refusal)) = hall.map(|hall| self.admits_change(hall)) {
            return Output::AdminReply { request, reply: Err(refusal) };
        }
        let reply = self.admin(by, call, now);
        match (hall, before, reply) {
            (Some(hall), Some(before), Ok(reply)) => {
                let tip = self.halls[hall].room.tip();
                if tip > before && self.is_unkept(hall, tip) {
                    return self.hold((hall, tip), Answer::ToAdmin { request, reply }, now);
                }
                Output::AdminReply { request, reply: Ok(reply) }
            }
            (_, _, reply) => Output::AdminReply { request, reply },
        }
    }

    pub(super) fn holds_answers(&self) -> bool {
        self.settings.keeping.is_some_and(|keeping| keeping.acknowledge > Acknowledge::Here)
    }

    /// Whether an answer has to wait for what is written of the room up to there.
    fn is_unkept(&self, hall: HallKey, offset: Offset) -> bool {
        let keeping = self.halls.get(hall).and_then(|hall| hall.keeping.as_deref());
        self.holds_answers() && keeping.is_some_and(|keeping| offset > keeping.stands_up_to())
    }

    fn hold(&mut self, (hall, offset): (HallKey, Offset), answer: Answer, now: Now) -> Output {
        let ticket = self.answers.ticket();
        self.answers.by_ticket.insert(ticket, Held { hall, offset, answer });
        if let Some(keeping) = &mut self.halls[hall].keeping {
            keeping.waiting.insert((offset, ticket));
        }
        Output::Hold { ticket, by: now.at + self.settings.signal_timeout }
    }

    /// More of a room is kept than was: who waited for it is answered.
    pub(super) fn release_answers(&mut self, hall: HallKey) {
        while let Some(keeping) = self.halls.get_mut(hall).and_then(|hall| hall.keeping.as_deref_mut())
            && let Some((offset, ticket)) = keeping.waiting.first().copied()
            && offset <= keeping.stands_up_to()
        {
            keeping.waiting.pop_first();
            let kept = !keeping.has_missed(offset);
            let Some(held) = self.answers.by_ticket.remove(&ticket) else { continue };
            self.closing.push(Output::Release(ticket));
            self.end_answer(held.answer, kept);
        }
    }

    /// Says that it is kept, or that it is not known to be.
    fn end_answer(&mut self, answer: Answer, kept: bool) {
        match answer {
            Answer::ToAdmin { request, reply } => {
                let reply = if kept { Ok(reply) } else { Err(late()) };
                self.closing.push(Output::AdminReply { request, reply });
            }
            Answer::ToSession { seat, connection, id, reply } => {
                let reply = if kept { reply } else { Reply::Refused(Box::new(late())) };
                self.end_held((seat, connection), id, reply);
            }
        }
        self.closing.push(told(if kept { AnswerOutcome::Kept } else { AnswerOutcome::Late }));
    }

    /// What a request did is not known to be kept, and its time is over.
    pub(super) fn answer_late(&mut self, ticket: AnswerTicket) {
        let Some(Held { hall, offset, answer }) = self.answers.by_ticket.remove(&ticket) else { return };
        // another room may have its place by now
        if let Some(keeping) = self.halls.get_mut(hall).and_then(|hall| hall.keeping.as_deref_mut()) {
            keeping.waiting.remove(&(offset, ticket));
        }
        self.end_answer(answer, false);
    }

    /// Ends the signal at hand; one whose session is on another connection by now asks again there.
    fn end_held(&mut self, (seat, connection): (Seat, ConnectionId), id: u64, reply: Reply) {
        if self.sessions.get(&seat).is_some_and(|seated| seated.session.connection() == Some(connection)) {
            end_with(connection, Some(id), reply, &mut self.closing);
        } else {
            self.closing.push(Output::Ended(Outcome::Gone));
        }
    }

    #[cfg(test)]
    pub(super) fn held_answers(&self) -> usize {
        self.answers.by_ticket.len()
    }
}

/// Whether it is there to add to the room's log. A fresh token may as well, by what it grants, and has to be taken all the same.
pub(super) fn changes_room(op: Option<&Op>) -> bool {
    match op {
        Some(Op::Send(send)) => send.to.is_empty(),
        Some(Op::Publish(_) | Op::Unpublish(_) | Op::Mute(_) | Op::Subscribe(_)) => true,
        Some(Op::Update(update)) => !is_fresh_token_alone(update),
        Some(Op::Join(_) | Op::Resume(_) | Op::Leave(_) | Op::Signal(_) | Op::Ping(_)) | None => false,
    }
}

fn is_fresh_token_alone(update: &v1::Update) -> bool {
    let v1::Update { name, metadata, attributes, room_metadata, token: _ } = update;
    name.is_none() && metadata.is_none() && attributes.is_empty() && room_metadata.is_none()
}

/// The same of the admin API. To remove somebody, or a room, must not wait for anybody.
fn changes_room_as_admin(call: &AdminCall) -> bool {
    match call {
        AdminCall::UpdateRoom(_) | AdminCall::UpdateParticipant(_) | AdminCall::MuteTrack(_) => true,
        AdminCall::SendData(send) => send.to.is_empty(),
        AdminCall::CreateRoom(_)
        | AdminCall::ListRooms { .. }
        | AdminCall::GetRoom(_)
        | AdminCall::DeleteRoom(_)
        | AdminCall::ListParticipants { .. }
        | AdminCall::GetParticipant(_)
        | AdminCall::RemoveParticipant(_)
        | AdminCall::GetUser { .. } => false,
    }
}

/// What the room is after it as before.
fn only_looks(call: &AdminCall) -> bool {
    matches!(
        call,
        AdminCall::CreateRoom(_)
            | AdminCall::GetRoom(_)
            | AdminCall::ListParticipants { .. }
            | AdminCall::GetParticipant(_)
            | AdminCall::ListRooms { .. }
            | AdminCall::GetUser { .. }
    )
}

fn told(outcome: AnswerOutcome) -> Output {
    Output::Observe(Event::Keeping(KeepingFact::AnswerEnded { outcome }))
}

fn away() -> Refusal {
    let why = "not done: what keeps rooms cannot be written to just now, and nothing is acknowledged that is not kept";
    Code::RoomUnavailable.because(why).retry_after_ms(AGAIN_MS)
}

fn elsewhere() -> Refusal {
    let why = "not done: another router keeps this room, and nothing is acknowledged that is not kept";
    Code::RoomUnavailable.because(why).retry_after_ms(AGAIN_MS)
}

fn full() -> Refusal {
    let why = format!("{ROOM_ANSWERS_MAX} answers of this room, or {ANSWERS_MAX} of the router, wait to be kept");
    Code::Overloaded.because(why).retry_after_ms(AGAIN_MS)
}

fn late() -> Refusal {
    let why = "done, and others may have seen it, but not known to be kept yet; the same request with the same `id` is \
               safe, and tells";
    Code::DeadlineExceeded.because(why).retry_after_ms(LATE_AGAIN_MS)
}
