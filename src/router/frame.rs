//! A frame of a session: answered once, whether it comes once or twice.

use super::{Now, Output, Router, send_error};
use crate::{
    auth::Grant,
    event::Outcome,
    ids::ConnectionId,
    protocol::{
        Code, Refusal,
        v1::{ClientFrame, client_frame::Op},
    },
    room::Seat,
    session::Reply,
};

impl Router {
    pub(super) fn frame(
        &mut self,
        connection: ConnectionId,
        (frame, grant): (Box<ClientFrame>, Option<Box<Grant>>),
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let ClientFrame { id, op, .. } = *frame;
        let Some(&seat) = self.connections.get(&connection) else {
            return send_error(connection, id, &Code::NotJoined.refuse(), out);
        };
        let repeated = id.and_then(|id| self.sessions.get(&seat)?.session.replies.find(id).cloned());
        let reply = match repeated {
            Some(reply) => reply,
            None => self.answer(seat, id, op, (grant, now)),
        };
        let outcome = reply.refused().map_or(Outcome::Ok, Outcome::Refused);
        if id.is_some() || reply.is_unasked() {
            let frame = reply.into_frame(id);
            out.push(Output::Send { to: connection, frame, exempt: false, ends: Some(outcome) });
        } else {
            out.push(Output::Ended(outcome));
        }
    }

    /// Carries a request out and remembers its reply.
    fn answer(&mut self, seat: Seat, id: Option<u64>, op: Option<Op>, with: (Option<Box<Grant>>, Now)) -> Reply {
        let result = self.carry_out(seat, op, with);
        let reply = result.unwrap_or_else(|refusal| Reply::Refused(Box::new(refusal)));
        if let Some(id) = id
            && let Some(seated) = self.sessions.get_mut(&seat)
        {
            seated.session.replies.keep(id, reply.clone(), self.settings.replies);
        }
        reply
    }

    fn carry_out(
        &mut self,
        seat: Seat,
        op: Option<Op>,
        (grant, now): (Option<Box<Grant>>, Now),
    ) -> Result<Reply, Refusal> {
        match op {
            Some(Op::Send(send)) => self.send(seat, send, now),
            Some(Op::Signal(signal)) => self.signal(seat, signal),
            Some(Op::Ping(ping)) => Ok(self.ping(seat, &ping, now)),
            Some(Op::Publish(publish)) => self.publish(seat, *publish, now),
            Some(Op::Unpublish(unpublish)) => self.unpublish(seat, &unpublish, now),
            Some(Op::Mute(mute)) => self.mute(seat, &mute, now),
            Some(Op::Subscribe(subscribe)) => self.subscribe(seat, &subscribe, now),
            Some(Op::Update(update)) => self.update(seat, *update, grant, now),
            Some(Op::Leave(_)) => {
                self.end_session(seat, Code::Left, now);
                Ok(Reply::done(None))
            }
            Some(Op::Join(_) | Op::Resume(_)) => Err(Code::AlreadyJoined.refuse()),
            None => Err(Code::BadRequest.because("the frame has no op")),
        }
    }
}
