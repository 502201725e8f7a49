//! Frames of sessions that have joined.

use super::{Now, Output, Request, Router, fan_out};
use crate::{
    auth::Grant,
    event::Outcome,
    ids::{ParticipantId, Seq, SessionId, TrackId},
    protocol::{
        Code, Refusal,
        v1::{self, ClientFrame, client_frame::Op, server_frame::Body},
    },
    room::{MuteBy, Push, Room},
    session::Session,
};

impl Router {
    pub(super) fn frame(
        &mut self,
        request: Request,
        frame: ClientFrame,
        grant: Option<Box<Grant>>,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let Some(id) = self.connections.get(&request.connection).cloned() else {
            self.refuse(request, &Code::NotJoined.refuse(), out);
            return;
        };
        if let Some(reply) = request.id.and_then(|asked| self.sessions.get(&id)?.replies.get(asked)) {
            // asked before: answered again, not redone
            out.push(Output::Send { to: request.connection, frame: Box::new(reply.clone()), exempt: false });
            return;
        }
        match self.op(request, &id, frame, grant, now, out) {
            Ok(Some(body)) => self.reply(request, body, out),
            Ok(None) => self.observe_signal(request, Outcome::Ok, out),
            Err(refusal) => self.refuse(request, &refusal, out),
        }
    }

    /// `None`: the answer has been given.
    fn op(
        &mut self,
        request: Request,
        id: &SessionId,
        frame: ClientFrame,
        grant: Option<Box<Grant>>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<Option<Body>, Refusal> {
        let at = now.at;
        let ok = |offset: Option<u64>| Body::Ok(Box::new(v1::Ok { offset, track: None }));
        let op = frame.op.ok_or_else(|| Code::BadRequest.because("no op"))?;
        Ok(Some(match op {
            Op::Join(_) | Op::Resume(_) => return Err(Code::AlreadyJoined.refuse()),
            Op::Send(send) => ok(self.send(id, send, now, out)?),
            Op::Signal(signal) => {
                self.signal(id, signal, out)?;
                ok(None)
            }
            Op::Ping(ping) => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.held.acknowledge(Seq(ping.seq));
                }
                Body::Pong(v1::Pong { timestamp_ms: ping.timestamp_ms, server_time_ms: now.unix_ms })
            }
            Op::Publish(publish) => {
                let track = TrackId::from(self.new_id("TR_"));
                let tracks_max = self.settings.limits.tracks;
                let publish = |room: &mut Room, who: &ParticipantId, pushes: &mut Vec<Push>| {
                    room.publish((who, track), *publish, tracks_max, at, pushes)
                };
                let (offset, track) = self.in_room(id, out, publish)?;
                Body::Ok(Box::new(v1::Ok { offset: Some(offset.0), track: Some(track) }))
            }
            Op::Unpublish(unpublish) => {
                let offset =
                    self.in_room(id, out, |room, who, pushes| room.unpublish(who, &unpublish.track, at, pushes))?;
                ok(Some(offset.0))
            }
            Op::Mute(mute) => {
                let (offset, track) = self.in_room(id, out, |room, who, pushes| {
                    room.mute(MuteBy::Participant(who), &mute.track, mute.muted, at, pushes)
                })?;
                Body::Ok(Box::new(v1::Ok { offset: Some(offset.0), track: Some(track) }))
            }
            Op::Subscribe(subscribe) => {
                let offset = self.in_room(id, out, |room, who, pushes| room.subscribe(who, &subscribe, at, pushes))?;
                ok(offset.map(|offset| offset.0))
            }
            Op::Update(update) => ok(self.update(id, *update, grant.as_deref(), now, out)?.map(|offset| offset.0)),
            Op::Leave(_) => {
                self.reply(request, ok(None), out);
                self.close_session(id, &Code::Left.refuse(), now, out);
                return Ok(None);
            }
        }))
    }

    /// Does something in a session's room as its participant.
    fn in_room<T>(
        &mut self,
        id: &SessionId,
        out: &mut Vec<Output>,
        act: impl FnOnce(&mut Room, &ParticipantId, &mut Vec<Push>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (session, room) = self.pair(id).ok_or_else(|| Code::SessionGone.refuse())?;
        let mut pushes = Vec::new();
        let done = act(room, &session.participant, &mut pushes);
        fan_out(pushes, out);
        done
    }

    /// Offers, answers, candidates, from participant to participant.
    fn signal(&mut self, id: &SessionId, signal: v1::Signal, out: &mut Vec<Output>) -> Result<(), Refusal> {
        if signal.to.is_empty() {
            return Err(
                Code::NoMediaNode.because("signal without `to` goes to the room's media node, and there is none")
            );
        }
        let (session, room) = self.pair(id).ok_or_else(|| Code::SessionGone.refuse())?;
        let sender = room.participant(&session.participant).ok_or_else(|| Code::SessionGone.refuse())?;
        let target = room.visible(&signal.to, sender)?.id.clone();
        if target == sender.id {
            return Err(Code::BadRequest.because("signal.to is the sender itself"));
        }
        let (from, from_id, after) = (sender.identity.to_string(), sender.id.to_string(), room.tip());
        let v1::Signal { offer, answer, candidate, end_of_candidates, .. } = signal;
        let push =
            |seq| Body::Signal(v1::SignalPush { from, from_id, seq, offer, answer, candidate, end_of_candidates });
        self.direct(&target, push, after, out)
    }

    /// A message to the room (it gets an offset) or to some.
    fn send(
        &mut self,
        id: &SessionId,
        send: v1::Send,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<Option<u64>, Refusal> {
        let (session, room) = self.pair(id).ok_or_else(|| Code::SessionGone.refuse())?;
        let sender = room.participant(&session.participant).ok_or_else(|| Code::SessionGone.refuse())?;
        if !sender.permissions.can_publish_data {
            return Err(Code::PermissionDenied.because("the token lacks `canPublishData`"));
        }
        let v1::Send { to, data, bytes, topic } = send;
        let push = v1::DataPush { from: sender.identity.to_string(), data, bytes, topic, offset: None, seq: None };
        if to.is_empty() {
            return Ok(Some(send_to_room(room, session, push, now, out)));
        }
        let targets =
            to.iter().map(|to| Ok(room.visible(to, sender)?.id.clone())).collect::<Result<Vec<_>, Refusal>>()?;
        let after = room.tip();
        self.send_to(targets, &push, after, out)?;
        Ok(None)
    }

    /// To each target once; when one of them cannot hold any more, nothing is sent.
    pub(super) fn send_to(
        &mut self,
        mut targets: Vec<ParticipantId>,
        push: &v1::DataPush,
        after: crate::ids::Offset,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        targets.sort_unstable();
        targets.dedup();
        let (bounds, bytes) = (self.held_bounds(), prost::Message::encoded_len(push) + 16);
        for target in &targets {
            let session = self.members.get(target).and_then(|id| self.sessions.get(id));
            let full = session.is_some_and(|s| s.connection.is_none() && !s.held.has_room_away(bytes, bounds));
            if full {
                return Err(Code::HoldFull.refuse().retry_after_ms(1_000));
            }
        }
        for target in &targets {
            let body = |seq| Body::Data(v1::DataPush { seq: Some(seq), ..push.clone() });
            self.direct(target, body, after, out)?;
        }
        Ok(())
    }
}

fn send_to_room(room: &mut Room, session: &Session, push: v1::DataPush, now: Now, out: &mut Vec<Output>) -> u64 {
    let mut pushes = Vec::new();
    let offset = room.send(push, Some(&session.participant), now.at, &mut pushes);
    fan_out(pushes, out);
    offset.0
}
