//! Messages: to the room, in its order; to some, each in its own, held while they are away.

use super::{HallKey, Now, Output, Router};
use crate::{
    event::Event,
    ids::Offset,
    protocol::{
        Code, Refusal,
        v1::{self, SignalPush},
    },
    room::{Member, Message, Push, Seat},
    session::{Directed, Reply},
};

impl Router {
    /// A message to the room (the hot path), or to some of it.
    pub(super) fn send(&mut self, seat: Seat, send: v1::Send, now: Now) -> Result<Reply, Refusal> {
        let hall = self.hall_of(seat)?;
        let from = self.halls[hall].room.sender(seat)?;
        let v1::Send { to, data, bytes, topic } = send;
        let message = Message { from, data, bytes, topic };
        if to.is_empty() {
            return Ok(Reply::done(Some(self.say(hall, Some(seat), message, now))));
        }
        let targets = self.targets(hall, Some(seat), &to)?;
        self.direct(hall, &targets, Directed::Data(Box::new(message.into_push())))?;
        Ok(Reply::done(None))
    }

    /// An offer, answer or candidate for another participant.
    pub(super) fn signal(&mut self, seat: Seat, signal: v1::Signal) -> Result<Reply, Refusal> {
        let hall = self.hall_of(seat)?;
        let target = self.target(hall, Some(seat), &signal.to)?;
        if target == seat {
            return Err(Code::BadRequest.because("`signal.to` is yourself; allowed: another participant's identity"));
        }
        let Some(sender) = self.halls[hall].room.member(seat) else { return Err(Code::NotJoined.refuse()) };
        let push = SignalPush {
            from: sender.identity().as_str().to_owned(),
            from_id: sender.id().as_str().to_owned(),
            seq: 0,
            offer: signal.offer,
            answer: signal.answer,
            candidate: signal.candidate,
            end_of_candidates: signal.end_of_candidates,
        };
        self.direct(hall, &[target], Directed::Signal(Box::new(push)))?;
        Ok(Reply::done(None))
    }

    /// Says something to the room; `from` does not hear it.
    pub(super) fn say(&mut self, hall: HallKey, from: Option<Seat>, message: Message, now: Now) -> Offset {
        let (offset, push) = self.halls[hall].room.message(from, message, now.at);
        self.pushes.push(push);
        self.settle(hall, now.at);
        offset
    }

    /// The seats of these identities, each once.
    ///
    /// # Errors
    /// `participant_not_found` names the first who is not there, or whom the sender may not see.
    pub(super) fn targets(&self, hall: HallKey, from: Option<Seat>, to: &[String]) -> Result<Vec<Seat>, Refusal> {
        let mut targets = Vec::with_capacity(to.len());
        for identity in to {
            let target = self.target(hall, from, identity)?;
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        Ok(targets)
    }

    fn target(&self, hall: HallKey, from: Option<Seat>, identity: &str) -> Result<Seat, Refusal> {
        let room = &self.halls[hall].room;
        let target = room.seat_of(identity).and_then(|seat| room.member(seat));
        let visible = |target: &&Member| match from {
            Some(from) => room.member(from).is_some_and(|sender| sender.sees(target)),
            // the admin API sees everybody
            None => true,
        };
        match target.filter(visible) {
            Some(target) => Ok(target.seat),
            None => Err(Code::ParticipantNotFound.because(format!("no participant `{identity:.256}` in the room"))),
        }
    }

    /// Pushes to each of these seats: to all of them or, when one has no place for more, to none.
    pub(super) fn direct(&mut self, hall: HallKey, targets: &[Seat], push: Directed) -> Result<(), Refusal> {
        let (after, bounds, bytes) = (self.halls[hall].room.tip(), self.hold_bounds(), push.size());
        for seat in targets {
            if let Some(seated) = self.sessions.get(seat) {
                seated.session.held.admits(bytes, bounds)?;
            }
        }
        for seat in targets {
            let Some(seated) = self.sessions.get_mut(seat) else { continue };
            let (frame, discarded) = seated.session.held.take(push.clone(), after, bounds);
            for _ in 0..discarded {
                self.closing.push(Output::Observe(Event::PushDiscarded { buffer: "held" }));
            }
            if let Some(connection) = seated.session.connection() {
                self.pushes.push(Push { to: vec![connection], frame });
            }
        }
        Ok(())
    }
}
