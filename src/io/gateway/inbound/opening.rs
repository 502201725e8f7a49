//! A connection's opening: which room it wants into, where that is, and who takes its frames from then on.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use super::{Inbound, Refused, Taker};
use crate::{
    auth::Grant,
    event::{Labels, Opens, Origin, Stage},
    ids::RoomId,
    io::{
        finder::Elsewhere,
        outbound::Attachment,
        relay::Guest,
        shard::{Arrival, Brought},
    },
    protocol::{
        Code, Encoding, OpKind, Refusal,
        v1::{ClientFrame, client_frame::Op},
    },
    router::{Input, Opening},
};

/// Why a room is not here.
enum Absent {
    Elsewhere(Elsewhere),
    Refused(Refusal),
}

impl Inbound {
    pub(super) async fn open(
        &mut self,
        (frame, bytes): (Box<ClientFrame>, &[u8]),
        op: OpKind,
        mut brought: Brought,
    ) -> Result<(), Refused> {
        let id = frame.id;
        let (room, opening, grant) = match self.opening(frame) {
            Ok(opening) => opening,
            Err(refusal) => return Err((refusal, brought.signal)),
        };
        let shard = self.gateway.shards.of(&room);
        if let Err(refusal) = self.taken_by(shard, op) {
            return Err((refusal, brought.signal));
        }
        let labels = match &opening {
            Opening::Join(join) => self.gateway.telemetry.labels(join),
            Opening::Resume { .. } => Labels::default(),
        };
        let labels = Labels { variant: self.gateway.telemetry.variant(&self.variant), ..labels };
        let mut here = self.is_here((&room, &opening, &grant), &mut brought).await;
        if let Err(Absent::Elsewhere(there)) = &here
            && self.finds_nobody(there, &mut brought).await
        {
            // whoever has the room has ended: it may be had from there now
            here = self.is_here((&room, &opening, &grant), &mut brought).await;
        }
        match here {
            Ok(()) => {}
            Err(Absent::Refused(refusal)) => return Err((refusal, brought.signal)),
            Err(Absent::Elsewhere(there)) => {
                // to be counted where it is carried out
                let received = brought.signal.as_ref().map_or(brought.received, |signal| signal.timeline.received());
                let carried = self.carry(there, (grant, labels), (bytes, received)).await;
                return carried.map_err(|refusal| (refusal, brought.signal));
            }
        }
        if let Some(signal) = &mut brought.signal {
            signal.opens = Some(Box::new(Opens { room: room.clone(), labels }));
        }
        self.taken_from_now_on_by(Taker::Shard(shard)).await;
        self.outbound.set_attachment(Attachment::Pending);
        let input = Input::Open { connection: self.id, grant, id, opening, labels, variant: self.variant.clone() };
        let arrival = Arrival::Open(self.id, self.outbound.clone(), input, brought);
        let sent = self.gateway.shards.send(shard, arrival).await;
        if sent.is_err() {
            self.outbound.set_attachment(Attachment::None);
        }
        sent
    }

    /// Whoever took an opening before hears that it came to nothing.
    async fn taken_from_now_on_by(&mut self, taker: Taker) {
        let same = matches!((&self.taker, &taker), (Some(Taker::Shard(before)), Taker::Shard(now)) if before == now);
        if let Some(before) = self.taker.replace(taker)
            && !same
        {
            self.tell_over(before, Code::Left).await;
        }
    }

    pub(super) async fn tell_over(&self, taker: Taker, reason: Code) {
        match taker {
            Taker::Shard(shard) => self.gateway.shards.lost(shard, self.id, reason).await,
            Taker::Host(host) => host.end(reason),
        }
    }

    /// Whether nobody listens any more where the router that has the room did.
    async fn finds_nobody(&self, there: &Elsewhere, brought: &mut Brought) -> bool {
        let Some(relay) = self.gateway.relay.as_ref().filter(|_| self.carries) else { return false };
        let asked = Instant::now();
        let nobody = relay.finds_nobody(there).await;
        // as below
        brought.received += asked.elapsed();
        nobody
    }

    /// Hands the opening, and all that follows it, to the router that has the room.
    async fn carry(
        &mut self,
        there: Elsewhere,
        (grant, labels): (Box<Grant>, Labels),
        (bytes, received): (&[u8], Instant),
    ) -> Result<(), Refusal> {
        let relay = if self.carries { self.gateway.relay.as_ref() } else { None };
        let Some(relay) = relay else { return Err(there.refusal) };
        let Origin { peer_ip, trace, .. } = self.outbound.origin();
        let guest = Guest {
            grant,
            variant: self.variant.clone(),
            peer_ip: peer_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            trace: trace.map(|(trace, _)| trace),
            json: self.outbound.encoding() == Encoding::Json,
        };
        let Ok(host) = relay.carry(&there, &guest, (&self.outbound, labels)).await else { return Err(there.refusal) };
        self.outbound.set_attachment(Attachment::Pending);
        let sent = host.frame(bytes, received).await;
        self.taken_from_now_on_by(Taker::Host(host)).await;
        if sent.is_err() {
            self.outbound.set_attachment(Attachment::None);
        }
        sent
    }

    /// Whether no other router of the fleet has the room; one that is kept is brought back.
    async fn is_here(
        &self,
        (room, opening, grant): (&RoomId, &Opening, &Grant),
        brought: &mut Brought,
    ) -> Result<(), Absent> {
        let finder = &self.gateway.finder;
        if finder.asks_nobody() {
            return Ok(());
        }
        // who could not come in is told so by the shard, and leaves no record of a room behind
        let makes = grant.room_create || self.gateway.settings.load().auto_create;
        let founds = match opening {
            Opening::Join(_) => finder.founds(makes, false),
            Opening::Resume { .. } => finder.founds(false, true),
        } && may_enter(grant, room);
        let asked = Instant::now();
        let mut here = finder.is_here(room, founds).await.map_err(Absent::Elsewhere);
        let heard = Instant::now();
        if here.is_ok() {
            let returns = matches!(opening, Opening::Resume { .. });
            here = finder.bring_back(room, returns).await.map_err(Absent::Refused);
        }
        let found = Instant::now();
        // this wait has a bound of its own and was in no queue: neither is the signal late by it, nor the shard behind
        brought.received += found.saturating_duration_since(asked);
        if let Some(signal) = &mut brought.signal {
            signal.timeline.end(Stage::Directory, heard);
            signal.timeline.end(Stage::Fabric, found);
        }
        here
    }

    /// What the first frame asks for: which room, how, and with which grant.
    fn opening(&self, frame: Box<ClientFrame>) -> Result<(RoomId, Opening, Box<Grant>), Refusal> {
        let (room, opening) = match frame.op {
            Some(Op::Join(join)) => {
                if self.room.as_deref().is_some_and(|asked| asked != join.room) {
                    return Err(Code::WrongRoom.because("join.room differs from the connection's ?room="));
                }
                (RoomId::from(join.room.as_str()), Opening::Join(join))
            }
            Some(Op::Resume(resume)) => {
                let claims = self.gateway.resume_tokens.verify(&resume.resume_token)?;
                (claims.room.clone(), Opening::Resume { claims, resume })
            }
            _ => return Err(Code::NotJoined.refuse()),
        };
        let grant = self.grant.clone().ok_or_else(|| Code::AlreadyJoined.refuse())?;
        Ok((room, opening, grant))
    }
}

/// Whether the token is one for that room; the shard says what is wrong with it.
fn may_enter(grant: &Grant, room: &RoomId) -> bool {
    grant.room_join && !room.as_str().is_empty() && grant.room.as_ref().is_none_or(|own| own == room)
}
