//! One connection's frames on their way in: decode, check, hand to the shard of the room.

mod opening;

use std::{sync::Arc, time::Instant};

use super::{Admission, Gateway, door::Places};
use crate::{
    auth::Grant,
    event::{Asked, Event, Guarded, Limit, Outcome, Signal, Stage, Varied},
    gray::Assigned,
    guard::deadline,
    ids::{ConnectionId, Variant},
    io::{
        faults::AtTheDoor,
        guard::UnderWay,
        outbound::{Attachment, Mark, Outbound, Peer, Unsent, shared::Way},
        relay::{Carried, Guest},
        shard::{Arrival, Brought},
    },
    protocol::{
        Code, Encoding, OpKind, Refusal, codec, encode,
        v1::{self, ClientFrame, ServerFrame, client_frame::Op, server_frame::Body},
        validate,
    },
    router::Input,
    telemetry::trace::{new_span, new_trace},
};

/// When a frame arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    /// From its client, wherever that is connected: latencies are from then.
    pub(crate) received: Instant,
    /// At this router: limits and deadlines are from then.
    pub(crate) heard: Instant,
}

impl Arrived {
    /// Here, from its client.
    pub(crate) const fn here(at: Instant) -> Self {
        Self { received: at, heard: at }
    }
}

/// Who takes the frames of a connection.
#[derive(Debug)]
enum Taker {
    /// The shard of its room.
    Shard(usize),
    /// Another router, which has its room.
    Host(Carried),
}

/// See the module. Says to who took its frames that it is over when [`end`](Self::end) is called, which every transport must do.
pub(crate) struct Inbound {
    gateway: Arc<Gateway>,
    id: ConnectionId,
    outbound: Arc<Outbound>,
    /// Kept until the connection is attached; the session has its own then.
    grant: Option<Box<Grant>>,
    room: Option<Box<str>>,
    variant: Variant,
    taker: Option<Taker>,
    encoding: Option<Encoding>,
    /// Held as long as the connection lives.
    places: Places,
    /// Whether its room may be on another router than this one: not if it came from another router itself.
    carries: bool,
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbound").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Inbound {
    /// For a connection that was just let in.
    pub(crate) fn new(gateway: Arc<Gateway>, admission: Admission, transport: &'static str) -> Self {
        let Admission { grant, room, assigned, peer_ip, trace, places } = admission;
        let (id, outbound) = gateway.connection(Peer { ip: Some(peer_ip), transport, trace: (trace, new_span()) });
        let Assigned { variant, by, rule } = assigned;
        gateway.observe_from(&Event::Variant(Varied::Assigned { variant: variant.clone(), by, rule }), &outbound);
        let (grant, carries) = (Some(grant), true);
        Self { gateway, id, outbound, grant, room, variant, taker: None, encoding: None, places, carries }
    }

    /// For a connection that was let in by another router, and whose frames leave that way.
    pub(crate) fn relayed(gateway: Arc<Gateway>, guest: Guest, way: Way) -> Self {
        let Guest { grant, variant, peer_ip, trace, json: _ } = guest;
        let trace = (trace.unwrap_or_else(new_trace), new_span());
        let (id, outbound) = gateway.relayed(way, Peer { ip: Some(peer_ip), transport: "relay", trace });
        let user = (&*grant.key, grant.identity.as_str());
        let places = Places::elsewhere(gateway.guard.relayed(peer_ip, user, Instant::now()));
        let (grant, carries) = (Some(grant), false);
        Self { gateway, id, outbound, grant, room: None, variant, taker: None, encoding: None, places, carries }
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
    pub(crate) async fn receive(&mut self, encoding: Encoding, bytes: &[u8], at: Arrived) -> Result<(), Refusal> {
        let received = at.received;
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
        let limit = self.gateway.settings.load().limits.frame_bytes;
        if bytes.len() > limit {
            let why = format!("limits.frame_bytes: a frame of {} bytes, at most {limit}", bytes.len());
            return self.refuse_unread((encoding, bytes), Code::LimitExceeded.because(why), received);
        }
        if let Some(Taker::Host(host)) = &self.taker
            && self.outbound.attachment() != Attachment::None
        {
            // a link that has no place for it, or is over: the client comes back
            return host.frame(bytes, received).await;
        }
        let frame = match codec::decode(encoding, bytes) {
            // on the heap from the start: it would be part of every connection's task otherwise, more than once
            Ok(frame) => Box::new(frame),
            Err(refusal) => return self.refuse_unread((encoding, bytes), refusal, received),
        };
        let id = frame.id;
        let op = OpKind::of(frame.op.as_ref());
        let signal = self.gateway.telemetry.begin(op, &frame.traceparent, received);
        let brought = match self.allowed(op, at.heard) {
            // the way here was in no queue: neither is the signal late by it, nor the shard behind
            Ok(under_way) => Brought { signal, received: at.heard, under_way },
            Err(refusal) => return self.turn_away(id, op, refusal, signal),
        };
        match self.hand_on((encoding, bytes), frame, op, brought).await {
            Ok(()) => Ok(()),
            Err((refusal, signal)) if refusal.code.is_shed() => self.turn_away(id, op, refusal, signal),
            Err((refusal, signal)) => self.refuse(id, refusal, signal),
        }
    }

    /// Whether the connection's scopes allow one such signal now.
    fn allowed(&self, op: OpKind, received: Instant) -> Result<Option<UnderWay>, Refusal> {
        self.gateway.guard.signal(self.places.scopes(), op, received).map_err(|shed| {
            self.tell_refused(op, shed.limit);
            shed.refusal()
        })
    }

    fn tell_refused(&self, op: OpKind, limit: Limit) {
        let event = Event::Guard(Guarded::Refused { asked: Asked::Signal(op), limit });
        self.gateway.observe_from(&event, &self.outbound);
    }

    /// Answers a signal that is turned away; nobody waits for an answer who gave it no number, but to come in.
    fn turn_away(&self, id: Option<u64>, op: OpKind, refusal: Refusal, signal: Began) -> Result<(), Refusal> {
        if id.is_some() || matches!(op, OpKind::Join | OpKind::Resume | OpKind::Unknown) {
            return self.refuse(id, refusal, signal);
        }
        if let Some(mut signal) = signal {
            signal.timeline.end(Stage::Reply, Instant::now());
            let outcome = Outcome::Refused(refusal.code);
            self.gateway.observe_from(&Event::SignalEnded { signal, outcome }, &self.outbound);
        }
        Ok(())
    }

    async fn hand_on(
        &mut self,
        (encoding, bytes): (Encoding, &[u8]),
        frame: Box<ClientFrame>,
        op: OpKind,
        mut brought: Brought,
    ) -> Result<(), Refused> {
        let signal = &mut brought.signal;
        if let Err(refusal) = validate::validate(encoding, &frame, &self.gateway.settings.load().limits) {
            return Err((refusal, brought.signal));
        }
        if let Some(signal) = signal {
            signal.timeline.end(Stage::Decode, Instant::now());
        }
        let opens = matches!(op, OpKind::Join | OpKind::Resume);
        match (self.outbound.attachment(), opens) {
            // boxed: once a connection
            (Attachment::None, true) => Box::pin(self.open((frame, bytes), op, brought)).await,
            (Attachment::None, false) => Err((Code::NotJoined.refuse(), brought.signal)),
            (Attachment::Pending | Attachment::Attached, _) => {
                if let Some(met) = self.at_the_door() {
                    match met {
                        // boxed: its future would otherwise be part of every connection's task
                        AtTheDoor::Waits(length) => Box::pin(tokio::time::sleep(length)).await,
                        AtTheDoor::Fails(refusal) => return Err((refusal, brought.signal)),
                    }
                }
                let Some(Taker::Shard(shard)) = self.taker else {
                    return Err((Code::NotJoined.refuse(), brought.signal));
                };
                if let Err(refusal) = self.taken_by(shard, op) {
                    return Err((refusal, brought.signal));
                }
                let grant = match self.fresh_grant(&frame, &mut brought).await {
                    Ok(grant) => grant,
                    Err(refusal) => return Err((refusal, brought.signal)),
                };
                let input = Input::Frame { connection: self.id, frame, grant };
                self.gateway.shards.send(shard, Arrival::Signal(self.id, input, brought)).await
            }
        }
    }

    /// A fault that is injected on purpose.
    fn at_the_door(&self) -> Option<AtTheDoor> {
        let faults = self.gateway.faults.as_ref()?;
        faults.at_the_door(|| self.outbound.origin().labels.variant)
    }

    /// Whether that shard takes such a signal now, or is too far behind.
    fn taken_by(&self, shard: usize, op: OpKind) -> Result<(), Refusal> {
        let Some((limit, refusal)) = self.gateway.shards.turns_away(shard, op) else { return Ok(()) };
        self.tell_refused(op, limit);
        Err(refusal)
    }

    /// The grant of an `update`'s token, which may take longer to be verified than there is time for it.
    async fn fresh_grant(&self, frame: &ClientFrame, brought: &mut Brought) -> Result<Option<Box<Grant>>, Refusal> {
        match &frame.op {
            Some(Op::Update(update)) if !update.token.is_empty() => {
                // boxed: asking a provider is rare, and its future would otherwise be part of every connection's
                let verified = Box::pin(self.gateway.authenticator.verify(&update.token)).await;
                let now = Instant::now();
                if let Some(signal) = &mut brought.signal {
                    signal.timeline.end(Stage::Verify, now);
                }
                let timeout = self.gateway.shards.deadline();
                if timeout.is_some_and(|most| deadline::left(OpKind::Update, brought.received, most, now).is_none()) {
                    self.tell_refused(OpKind::Update, Limit::Deadline);
                    let why = "signal.timeout_ms: its token took longer to be verified";
                    return Err(Code::DeadlineExceeded.because(why));
                }
                Ok(Some(Box::new(verified?)))
            }
            _ => Ok(None),
        }
    }

    /// Answers a frame that could not be read.
    fn refuse_unread(
        &self,
        (encoding, bytes): (Encoding, &[u8]),
        refusal: Refusal,
        received: Instant,
    ) -> Result<(), Refusal> {
        let signal = self.gateway.telemetry.begin(OpKind::Unknown, "", received);
        // what cannot be read counts as well: it costs as much
        let refusal = self.allowed(OpKind::Unknown, received).err().unwrap_or(refusal);
        self.refuse(codec::id_of_broken(encoding, bytes), refusal, signal)
    }

    /// Answers what did not reach a shard.
    fn refuse(&self, id: Option<u64>, refusal: Refusal, signal: Began) -> Result<(), Refusal> {
        if !self.carries && self.outbound.attachment() == Attachment::None {
            // first, as a shard does: another opening may be one for another router
            self.outbound.set_attachment(Attachment::None);
        }
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
    pub(crate) async fn end(mut self, reason: Code) {
        if let Some(taker) = self.taker.take() {
            self.tell_over(taker, reason).await;
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
            url: refusal.url.as_deref().unwrap_or_default().to_owned(),
        })),
    }
}
