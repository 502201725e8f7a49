//! One connection's frames on their way in: decode, check, hand to the shard of the room.

use std::{sync::Arc, time::Instant};

use super::{Admission, Gateway, door::Places};
use crate::{
    auth::Grant,
    event::{Event, Labels, Opens, Outcome, Signal, Stage},
    ids::{ConnectionId, RoomId},
    io::{
        outbound::{Attachment, Mark, Outbound, Peer, Unsent},
        shard::Arrival,
    },
    protocol::{
        Code, Encoding, OpKind, Refusal, codec, encode,
        v1::{self, ClientFrame, ServerFrame, client_frame::Op, server_frame::Body},
        validate,
    },
    router::{Input, Opening},
    telemetry::trace::new_span,
};

/// See the module. Says `Lost` to its shard when [`end`](Self::end) is called, which every transport must do.
pub(crate) struct Inbound {
    gateway: Arc<Gateway>,
    id: ConnectionId,
    outbound: Arc<Outbound>,
    /// Kept until the connection is attached; the session has its own then.
    grant: Option<Box<Grant>>,
    room: Option<Box<str>>,
    shard: Option<usize>,
    encoding: Option<Encoding>,
    _places: Places,
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbound").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Inbound {
    /// For a connection that was just let in.
    pub(crate) fn new(gateway: Arc<Gateway>, admission: Admission, transport: &'static str) -> Self {
        let Admission { grant, room, peer_ip, trace, places } = admission;
        let (id, outbound) = gateway.connection(Peer { ip: Some(peer_ip), transport, trace: (trace, new_span()) });
        Self { gateway, id, outbound, grant: Some(grant), room, shard: None, encoding: None, _places: places }
    }

    /// The queue of the connection's pushes.
    pub(crate) fn outbound(&self) -> &Arc<Outbound> {
        &self.outbound
    }

    /// Lets go of what only an opening needs, once there can be no further one.
    pub(crate) fn settle(&mut self) {
        if self.grant.is_some() && self.outbound.attachment() == Attachment::Attached {
            self.grant = None;
            self.room = None;
        }
    }

    /// Whether the connection belongs to a session.
    pub(crate) fn is_attached(&self) -> bool {
        self.outbound.attachment() == Attachment::Attached
    }

    /// Takes one frame.
    ///
    /// # Errors
    /// Only what ends the connection; everything else is answered.
    pub(crate) async fn receive(&mut self, encoding: Encoding, bytes: &[u8], received: Instant) -> Result<(), Refusal> {
        match self.encoding {
            None => {
                self.encoding = Some(encoding);
                self.outbound.set_encoding(encoding);
            }
            Some(chosen) if chosen != encoding => {
                if let Some(signal) = self.gateway.telemetry.begin(OpKind::Unknown, "", received) {
                    let outcome = Outcome::Refused(Code::WrongEncoding);
                    self.gateway.observe_from(&Event::SignalEnded { signal, outcome }, &self.outbound);
                }
                return Err(Code::WrongEncoding.refuse());
            }
            Some(_) => {}
        }
        let limit = self.gateway.settings.limits.frame_bytes;
        if bytes.len() > limit {
            let why = format!("limits.frame_bytes: a frame of {} bytes, at most {limit}", bytes.len());
            return self.refuse_unread((encoding, bytes), Code::LimitExceeded.because(why), received);
        }
        let frame = match codec::decode(encoding, bytes) {
            // on the heap from the start: it would be part of every connection's task otherwise, more than once
            Ok(frame) => Box::new(frame),
            Err(refusal) => return self.refuse_unread((encoding, bytes), refusal, received),
        };
        let id = frame.id;
        let signal = self.gateway.telemetry.begin(OpKind::of(frame.op.as_ref()), &frame.traceparent, received);
        match self.hand_on(encoding, frame, signal).await {
            Ok(()) => Ok(()),
            Err((refusal, signal)) => self.refuse(id, refusal, signal),
        }
    }

    async fn hand_on(&mut self, encoding: Encoding, frame: Box<ClientFrame>, mut signal: Began) -> Result<(), Refused> {
        if let Err(refusal) = validate::validate(encoding, &frame, &self.gateway.settings.limits) {
            return Err((refusal, signal));
        }
        if let Some(signal) = &mut signal {
            signal.timeline.end(Stage::Decode, Instant::now());
        }
        let opens = matches!(frame.op, Some(Op::Join(_) | Op::Resume(_)));
        match (self.outbound.attachment(), opens) {
            // boxed: once a connection
            (Attachment::None, true) => Box::pin(self.open(frame, signal)).await,
            (Attachment::None, false) => Err((Code::NotJoined.refuse(), signal)),
            (Attachment::Pending | Attachment::Attached, _) => {
                let grant = match self.fresh_grant(&frame, &mut signal).await {
                    Ok(grant) => grant,
                    Err(refusal) => return Err((refusal, signal)),
                };
                let input = Input::Frame { connection: self.id, frame, grant };
                let shard = self.shard.expect("an opening under way has a shard");
                self.gateway.shards.send(shard, Arrival::Signal(self.id, input, signal)).await
            }
        }
    }

    /// The grant of an `update`'s token.
    async fn fresh_grant(&self, frame: &ClientFrame, signal: &mut Began) -> Result<Option<Box<Grant>>, Refusal> {
        match &frame.op {
            Some(Op::Update(update)) if !update.token.is_empty() => {
                // boxed: asking a provider is rare, and its future would otherwise be part of every connection's
                let verified = Box::pin(self.gateway.authenticator.verify(&update.token)).await;
                if let Some(signal) = signal {
                    signal.timeline.end(Stage::Verify, Instant::now());
                }
                Ok(Some(Box::new(verified?)))
            }
            _ => Ok(None),
        }
    }

    async fn open(&mut self, frame: Box<ClientFrame>, mut signal: Began) -> Result<(), Refused> {
        let id = frame.id;
        let (room, opening, grant) = match self.opening(frame) {
            Ok(opening) => opening,
            Err(refusal) => return Err((refusal, signal)),
        };
        let labels = match &opening {
            Opening::Join(join) => self.gateway.telemetry.labels(join),
            Opening::Resume { .. } => Labels::default(),
        };
        if let Some(signal) = &mut signal {
            signal.opens = Some(Box::new(Opens { room: room.clone(), labels }));
        }
        let shard = self.gateway.shards.of(&room);
        if let Some(before) = self.shard.replace(shard)
            && before != shard
        {
            self.gateway.shards.lost(before, self.id, Code::Left).await;
        }
        self.outbound.set_attachment(Attachment::Pending);
        let input = Input::Open { connection: self.id, grant, id, opening, labels };
        let arrival = Arrival::Open(self.id, self.outbound.clone(), input, signal);
        let sent = self.gateway.shards.send(shard, arrival).await;
        if sent.is_err() {
            self.outbound.set_attachment(Attachment::None);
        }
        sent
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

    /// Answers a frame that could not be read.
    fn refuse_unread(
        &self,
        (encoding, bytes): (Encoding, &[u8]),
        refusal: Refusal,
        received: Instant,
    ) -> Result<(), Refusal> {
        let signal = self.gateway.telemetry.begin(OpKind::Unknown, "", received);
        self.refuse(codec::id_of_broken(encoding, bytes), refusal, signal)
    }

    /// Answers what did not reach a shard.
    fn refuse(&self, id: Option<u64>, refusal: Refusal, signal: Began) -> Result<(), Refusal> {
        let frame = ServerFrame { id, body: Some(Body::Error(refusal.to_wire())) };
        let bytes = encode(self.outbound.encoding(), &frame);
        let mark = signal.map_or(Mark::Unmeasured, |mut signal| {
            signal.timeline.end(Stage::Reply, Instant::now());
            Mark::Answer(signal, Outcome::Refused(refusal.code))
        });
        let (unsent, full) = match self.outbound.push(bytes, mark) {
            Ok(()) => return Ok(()),
            Err(Unsent::Closed(mark)) => (mark, false),
            Err(Unsent::Full(mark)) => (mark, true),
        };
        self.gateway.gone(unsent, &self.outbound);
        if full { Err(Code::SlowReader.refuse()) } else { Ok(()) }
    }

    /// The connection is over.
    pub(crate) async fn end(self, reason: Code) {
        if let Some(shard) = self.shard {
            self.gateway.shards.lost(shard, self.id, reason).await;
        }
        let transport = self.outbound.origin().transport;
        self.gateway.observe_from(&Event::ConnectionClosed { transport, reason }, &self.outbound);
    }
}

/// A signal that was begun, when signals are measured.
type Began = Option<Box<Signal>>;
/// Why it was refused before it reached a shard.
type Refused = (Refusal, Began);

/// The last push of a connection.
pub(crate) fn leave_push(refusal: &Refusal) -> ServerFrame {
    ServerFrame {
        id: None,
        body: Some(Body::Leave(v1::LeavePush {
            code: refusal.code.name().to_owned(),
            number: refusal.code.number().into(),
            message: refusal.message.clone().into_owned(),
            reconnect: refusal.code.reconnect(),
            retry_after_ms: refusal.retry_after_ms,
        })),
    }
}
