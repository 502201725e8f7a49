//! Signals to the room's media node, and what it pushes: a signal waits for the node's outcome under its deadline.

use ahash::AHashMap;

use super::{
    HallKey, MediaCall, MediaOutcome, MediaTicket, Now, Output, Router,
    telling::{Told, all_of},
};
use crate::{
    event::{Event, Outcome},
    ids::{ConnectionId, NodeId},
    protocol::{
        Code, Refusal,
        v1::{self, SignalPush},
    },
    room::Seat,
    session::{Directed, Reply},
};

/// Calls of one router whose outcome is looked at. A node that takes the whole deadline for each would need 400,000
/// signals a second to fill it.
const ASKED_MAX: usize = 65_536;
/// How soon a signal that found no node is worth another try: nodes report every two seconds.
const RETRY_MS: u64 = 1_000;

/// A call whose outcome is looked at.
#[derive(Debug)]
pub(super) enum Asked {
    /// A signal ends with it.
    Signal(Box<Asking>),
    /// Nobody waits.
    Told(Told),
}

/// A signal to a media node.
#[derive(Debug)]
pub(super) struct Asking {
    seat: Seat,
    /// The one that the answer goes to.
    connection: ConnectionId,
    id: Option<u64>,
    hall: HallKey,
    node: NodeId,
    call: MediaCall,
    /// The node did not know the participant, and has been told.
    again: bool,
}

/// Calls under way.
#[derive(Debug, Default)]
pub(super) struct Asks {
    tickets: u64,
    by_ticket: AHashMap<MediaTicket, Asked>,
    by_request: AHashMap<(Seat, u64), MediaTicket>,
}

impl Asks {
    /// A ticket for a call; none when there are too many.
    pub(super) fn ticket(&mut self, asked: impl FnOnce() -> Asked) -> Option<MediaTicket> {
        if self.by_ticket.len() >= ASKED_MAX {
            return None;
        }
        self.tickets += 1;
        let ticket = MediaTicket(self.tickets);
        self.by_ticket.insert(ticket, asked());
        Some(ticket)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_ticket.len()
    }
}

impl Router {
    /// A signal without `to`: it ends when the node has answered.
    ///
    /// # Errors
    /// What keeps it from being asked at all.
    pub(super) fn signal_node(
        &mut self,
        (seat, connection): (Seat, ConnectionId),
        id: Option<u64>,
        signal: v1::Signal,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let under_way = id.and_then(|id| self.asked.by_request.get(&(seat, id)).copied());
        if let Some(ticket) = under_way {
            return self.repeat_asking(ticket, connection, out);
        }
        let hall = self.hall_of(seat)?;
        let node = self.halls[hall].media.node().map(|node| node.id.clone()).ok_or_else(no_node)?;
        let call = self.media_call((hall, seat), id, signal)?;
        self.ask(Box::new(Asking { seat, connection, id, hall, node, call, again: false }), now, out)
    }

    fn media_call(
        &self,
        (hall, seat): (HallKey, Seat),
        id: Option<u64>,
        signal: v1::Signal,
    ) -> Result<MediaCall, Refusal> {
        let room = &self.halls[hall].room;
        let member = room.member(seat).ok_or_else(|| Code::NotJoined.refuse())?;
        let (room, participant_id) = (room.id().as_str().to_owned(), member.id().as_str().to_owned());
        let v1::Signal { to: _, offer, answer, candidate, end_of_candidates } = signal;
        if offer.is_some() {
            if id.is_none() {
                let why = "an offer to the media node needs an `id`: the node's answer comes as its reply";
                return Err(Code::BadRequest.because(why));
            }
            return Ok(MediaCall::Offer(v1::MediaOfferRequest { room, participant_id, offer }));
        }
        if answer.is_some() {
            return Ok(MediaCall::Answer(v1::MediaAnswerRequest { room, participant_id, answer }));
        }
        Ok(MediaCall::Candidate(v1::MediaCandidateRequest { room, participant_id, candidate, end_of_candidates }))
    }

    /// The same request again, before it was answered: whoever asked last gets the answer.
    fn repeat_asking(
        &mut self,
        ticket: MediaTicket,
        connection: ConnectionId,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        match self.asked.by_ticket.get_mut(&ticket) {
            Some(Asked::Signal(asking)) if asking.connection != connection => {
                asking.connection = connection;
                out.push(Output::Awaits(ticket));
                Ok(())
            }
            _ => Err(Code::AlreadyExists.because("a request of this `id` waits for its answer")),
        }
    }

    fn ask(&mut self, asking: Box<Asking>, now: Now, out: &mut Vec<Output>) -> Result<(), Refusal> {
        let (node, call) = (asking.node.clone(), Box::new(asking.call.clone()));
        let request = asking.id.map(|id| (asking.seat, id));
        let Some(ticket) = self.asked.ticket(|| Asked::Signal(asking)) else {
            let why = format!("{ASKED_MAX} calls to media nodes are under way");
            return Err(Code::Overloaded.because(why).retry_after_ms(RETRY_MS));
        };
        if let Some(request) = request {
            self.asked.by_request.insert(request, ticket);
        }
        out.push(Output::Awaits(ticket));
        out.push(Output::Media { node, call, ticket: Some(ticket), by: now.at + self.settings.signal_timeout });
        Ok(())
    }

    /// A call has ended.
    pub(super) fn media_reply(&mut self, outcome: MediaOutcome, now: Now, out: &mut Vec<Output>) {
        match self.asked.by_ticket.remove(&outcome.ticket) {
            Some(Asked::Signal(asking)) => self.node_answered(asking, outcome.result, now, out),
            Some(Asked::Told(told)) => self.told(told, outcome.result.is_ok(), now),
            None => {}
        }
    }

    fn node_answered(&mut self, mut asking: Box<Asking>, result: NodeResult, now: Now, out: &mut Vec<Output>) {
        if let Some(id) = asking.id {
            self.asked.by_request.remove(&(asking.seat, id));
        }
        let is_here = self.sessions.get(&asking.seat).is_some_and(|seated| seated.hall == asking.hall);
        if !is_here {
            return out.push(Output::Ended(Outcome::Gone));
        }
        let moved = !self.halls[asking.hall].media.is_on(&asking.node);
        let (seat, connection, id) = (asking.seat, asking.connection, asking.id);
        let result = match result {
            _ if moved => Err(Code::NoMediaNode.because("another media node has the room by now: offer anew")),
            Err(refusal) if is_unknown(refusal.code) && !asking.again => {
                asking.again = true;
                self.put_again(&asking, now, out);
                match self.ask(asking, now, out) {
                    Ok(()) => return,
                    Err(refusal) => Err(refusal),
                }
            }
            Err(refusal) if is_unknown(refusal.code) => Err(Code::NoMediaNode
                .because("the room's media node does not know the participant")
                .retry_after_ms(RETRY_MS)),
            other => other,
        };
        let reply = match result {
            Ok(Some(answer)) => Reply::Answer(Box::new(answer)),
            Ok(None) => Reply::done(None),
            Err(refusal) => Reply::Refused(Box::new(refusal)),
        };
        self.keep_reply(seat, id, &reply);
        // one that is on another connection by now asks again there
        if self.sessions.get(&seat).is_some_and(|seated| seated.session.connection() == Some(connection)) {
            end_with(connection, id, reply, out);
        } else {
            out.push(Output::Ended(Outcome::Gone));
        }
    }

    /// Before the call that it is needed for.
    fn put_again(&mut self, asking: &Asking, now: Now, out: &mut Vec<Output>) {
        let room = &self.halls[asking.hall].room;
        let Some(member) = room.member(asking.seat) else { return };
        let by = now.at + self.settings.signal_timeout;
        for call in all_of(room.id().as_str(), member) {
            out.push(Output::Media { node: asking.node.clone(), call: Box::new(call), ticket: None, by });
        }
    }

    /// What a node says to a participant, as a push without a sender; of another room's node it is nothing.
    pub(super) fn media_push(&mut self, node: &NodeId, push: v1::MediaPush) {
        let v1::MediaPush { room, participant_id, offer, candidate, end_of_candidates } = push;
        let said = [offer.is_some(), candidate.is_some(), end_of_candidates.is_some()];
        let Some(hall) = self.names.get(room.as_str()).copied().filter(|hall| self.halls[*hall].media.is_on(node))
        else {
            return;
        };
        let member = self.halls[hall].room.members().iter().find(|member| member.id().as_str() == participant_id);
        let Some(seat) = member.map(|member| member.seat) else { return };
        if said.into_iter().filter(|said| *said).count() != 1 {
            return;
        }
        let push = SignalPush { offer, candidate, end_of_candidates, ..SignalPush::default() };
        if self.direct(hall, &[seat], Directed::Signal(Box::new(push))).is_err() {
            // it is away, and no more can be held for it: it will have to offer anew
            self.closing.push(Output::Observe(Event::PushDiscarded { buffer: "held" }));
        }
    }
}

type NodeResult = Result<Option<v1::SessionDescription>, Refusal>;

/// Answers a request, or ends it without an answer when it wants none.
pub(super) fn end_with(to: ConnectionId, id: Option<u64>, reply: Reply, out: &mut Vec<Output>) {
    let outcome = reply.refused().map_or(Outcome::Ok, Outcome::Refused);
    if id.is_some() || reply.is_unasked() {
        out.push(Output::Send { to, frame: reply.into_frame(id), exempt: false, ends: Some(outcome) });
    } else {
        out.push(Output::Ended(outcome));
    }
}

/// What a node says of a participant or a room that it was not told of, or has forgotten.
const fn is_unknown(code: Code) -> bool {
    matches!(code, Code::ParticipantNotFound | Code::RoomNotFound)
}

fn no_node() -> Refusal {
    Code::NoMediaNode.refuse().retry_after_ms(RETRY_MS)
}
