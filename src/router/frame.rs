//! A frame of a session: answered once, whether it comes once or twice.

use super::{Now, Output, Router, acknowledging::changes_room, asking::end_with, send_error};
use crate::{
    auth::Grant,
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
        let Some(&seat) = self.connections.get(&connection) else {
            let id = frame.id;
            if let Err(refusal) = self.hold_frame(connection, (frame, grant), now, out) {
                send_error(connection, id, &refusal, out);
            }
            return;
        };
        let ClientFrame { id, op, .. } = *frame;
        let repeated = id.and_then(|id| self.sessions.get(&seat)?.session.replies.find(id).cloned());
        let changes = changes_room(op.as_ref());
        if let Some(reply) = repeated {
            return self.reply((seat, connection), (id, changes), reply, now, out);
        }
        if !matches!(op, Some(Op::Ping(_) | Op::Leave(_)))
            && let Err(refusal) = self.stays_here_with(seat)
        {
            return end_with(connection, id, Reply::Refused(Box::new(refusal)), out);
        }
        // not kept as the answer: the same request may be carried out in a moment
        if changes && let Err(refusal) = self.admits_change_of(seat) {
            return end_with(connection, id, Reply::Refused(Box::new(refusal)), out);
        }
        let result = match op {
            Some(Op::Signal(signal)) if signal.to.is_empty() => {
                match self.signal_node((seat, connection), id, signal, now, out) {
                    // the node's answer ends it
                    Ok(()) => return,
                    Err(refusal) => Err(refusal),
                }
            }
            op => {
                self.note_request(seat, id);
                let result = self.carry_out(seat, op, (grant, now));
                self.note_request(seat, None);
                result
            }
        };
        let reply = result.unwrap_or_else(|refusal| Reply::Refused(Box::new(refusal)));
        self.keep_reply(seat, id, &reply);
        self.reply((seat, connection), (id, changes), reply, now, out);
    }

    /// So that a repeat is answered, and not carried out again.
    pub(super) fn keep_reply(&mut self, seat: Seat, id: Option<u64>, reply: &Reply) {
        if let Some(id) = id
            && let Some(seated) = self.sessions.get_mut(&seat)
        {
            seated.session.replies.keep(id, reply.clone(), self.settings.replies);
        }
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
            Some(Op::Unpublish(unpublish)) => self.unpublish(seat, unpublish, now),
            Some(Op::Mute(mute)) => self.mute(seat, &mute, now),
            Some(Op::Subscribe(subscribe)) => self.subscribe(seat, subscribe, now),
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
