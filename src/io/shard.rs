//! The shard loop: one task that owns a router, feeds it inputs in order and carries out its outputs.
//!
//! Its inbox is bounded; who finds it full waits for a moment and then sheds (`overloaded`).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ahash::AHashMap;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{
    clock,
    outbound::{Attachment, Mark, Outbound, Seat, Unsent},
    workers,
};
use crate::{
    event::{Delivery, Event, Outcome, Signal, Stage},
    ids::{ConnectionId, RoomId},
    protocol::{Code, Encoding, Refusal, encode, v1::ServerFrame},
    router::{AdminCall, AdminReply, Input, Output, Router, Settings, slice_of},
    telemetry::{Population, Telemetry},
};

/// Inputs taken from the inbox in one turn.
const BATCH: usize = 256;

type AdminAnswer = oneshot::Sender<Result<AdminReply, Refusal>>;

/// Why an arrival was not taken, and the signal that it was of.
type Untaken = (Refusal, Option<Box<Signal>>);

/// What arrives in a shard's inbox.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// For the router as it is.
    Input(Input),
    /// A frame of a connection, and its signal, when signals are measured.
    Signal(ConnectionId, Input, Option<Box<Signal>>),
    /// The opening of a connection, with the queue its frames go to.
    Open(ConnectionId, Arc<Outbound>, Input, Option<Box<Signal>>),
    /// An admin call and where its answer goes.
    Admin(String, AdminCall, AdminAnswer),
}

impl Arrival {
    /// The signal that it is of.
    fn signal(self) -> Option<Box<Signal>> {
        match self {
            Self::Signal(_, _, signal) | Self::Open(_, _, _, signal) => signal,
            Self::Input(_) | Self::Admin(..) => None,
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    rooms: AtomicU64,
    sessions: AtomicU64,
    participants: AtomicU64,
}

#[derive(Debug, Clone)]
struct Handle {
    inbox: mpsc::Sender<Arrival>,
    population: Arc<Tally>,
}

/// Handles to every shard of the process.
#[derive(Debug, Clone)]
pub struct Shards {
    handles: Arc<[Handle]>,
    /// How long an arrival waits for a full inbox.
    patience: Duration,
}

impl Shards {
    /// Starts one shard a router setting, each a task of the current runtime. They end when the handles are gone.
    pub fn start(settings: Vec<Settings>, inbox_bound: usize, patience: Duration, telemetry: &Arc<Telemetry>) -> Self {
        let handles = settings
            .into_iter()
            .enumerate()
            .map(|(number, settings)| {
                let (inbox, arrivals) = mpsc::channel(inbox_bound);
                let population = Arc::<Tally>::default();
                let shard = Shard {
                    number: u16::try_from(number).unwrap_or(u16::MAX),
                    router: Router::new(settings),
                    outbounds: AHashMap::new(),
                    outputs: Vec::with_capacity(64),
                    overflowed: Vec::new(),
                    admin: BTreeMap::new(),
                    admin_calls: 0,
                    wake: None,
                    hand: Hand::default(),
                    attached: None,
                    left: None,
                    population: population.clone(),
                    telemetry: telemetry.clone(),
                };
                tokio::spawn(shard.run(arrivals));
                Handle { inbox, population }
            })
            .collect();
        Self { handles, patience }
    }

    /// The shard of a room.
    pub(crate) fn of(&self, room: &RoomId) -> usize {
        slice_of(room, self.handles.len())
    }

    /// Hands an arrival to a shard; waits a bounded time when its inbox is full.
    ///
    /// # Errors
    /// Why it was not taken, and the signal that it was of.
    pub(crate) async fn send(&self, shard: usize, arrival: Arrival) -> Result<(), Untaken> {
        match self.handles[shard].inbox.try_send(arrival) {
            Ok(()) => Ok(()),
            // boxed: it is rare, and its future would otherwise be part of every connection's task
            Err(mpsc::error::TrySendError::Full(arrival)) => Box::pin(self.wait(shard, arrival)).await,
            Err(mpsc::error::TrySendError::Closed(arrival)) => Err((Code::Draining.refuse(), arrival.signal())),
        }
    }

    async fn wait(&self, shard: usize, arrival: Arrival) -> Result<(), Untaken> {
        self.handles[shard].inbox.send_timeout(arrival, self.patience).await.map_err(|unsent| {
            let why = Code::Overloaded.because("the room's shard has a full inbox").retry_after_ms(1_000);
            (why, unsent.into_inner().signal())
        })
    }

    /// Tells a shard that a connection is gone. Waits without a bound: forgetting it would leak its session.
    pub(crate) async fn lost(&self, shard: usize, connection: ConnectionId, reason: Code) {
        let inbox = &self.handles[shard].inbox;
        let lost = Arrival::Input(Input::Lost { connection, reason });
        if let Err(mpsc::error::TrySendError::Full(lost)) = inbox.try_send(lost) {
            Box::pin(inbox.send(lost)).await.ok();
        }
    }

    /// Every shard begins to drain.
    pub async fn drain(&self, window: Duration) {
        for handle in self.handles.iter() {
            handle.inbox.send(Arrival::Input(Input::Drain { window })).await.ok();
        }
    }

    /// What the shards hold.
    pub fn counts(&self) -> Population {
        let mut counts = Population::default();
        for handle in self.handles.iter() {
            counts.rooms += handle.population.rooms.load(Ordering::Relaxed);
            counts.sessions += handle.population.sessions.load(Ordering::Relaxed);
            counts.participants += handle.population.participants.load(Ordering::Relaxed);
        }
        counts
    }

    /// Waiting inputs of each shard.
    pub fn inbox_depths(&self) -> impl Iterator<Item = usize> + '_ {
        self.handles.iter().map(|handle| handle.inbox.max_capacity() - handle.inbox.capacity())
    }

    /// Carries an admin call to the shard of its room; a list of rooms to all of them.
    ///
    /// # Errors
    /// What the router refuses, and `overloaded` when a shard's inbox stays full.
    pub async fn admin(&self, by: String, call: AdminCall) -> Result<AdminReply, Refusal> {
        let AdminCall::ListRooms { limit, .. } = &call else {
            let shard = self.of(&room_of(&call));
            return self.ask(shard, by, call).await;
        };
        let limit = *limit;
        let mut rooms = Vec::new();
        for shard in 0..self.handles.len() {
            if let AdminReply::Rooms(mut page) = self.ask(shard, by.clone(), call.clone()).await? {
                rooms.append(&mut page);
            }
        }
        rooms.sort_by(|a, b| a.name.cmp(&b.name));
        rooms.truncate(limit);
        Ok(AdminReply::Rooms(rooms))
    }

    async fn ask(&self, shard: usize, by: String, call: AdminCall) -> Result<AdminReply, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.send(shard, Arrival::Admin(by, call, answer)).await.map_err(|(refusal, _)| refusal)?;
        answered.await.unwrap_or_else(|_| Err(Code::Draining.refuse()))
    }
}

/// The room that a call is about; a list has none.
fn room_of(call: &AdminCall) -> RoomId {
    let name = match call {
        AdminCall::CreateRoom(request) => &request.name,
        AdminCall::ListRooms { after, .. } => after,
        AdminCall::GetRoom(request) => &request.room,
        AdminCall::DeleteRoom(request) => &request.room,
        AdminCall::UpdateRoom(request) => &request.room,
        AdminCall::ListParticipants { room, .. } => room,
        AdminCall::GetParticipant(request) => &request.room,
        AdminCall::RemoveParticipant(request) => &request.room,
        AdminCall::UpdateParticipant(request) => &request.room,
        AdminCall::MuteTrack(request) => &request.room,
        AdminCall::SendData(request) => &request.room,
    };
    RoomId::from(name.as_str())
}

/// What is at hand while its outputs are carried out.
#[derive(Debug, Default)]
struct Hand {
    /// The signal and its connection, until it has ended.
    signal: Option<(ConnectionId, Box<Signal>)>,
    /// What pushes to others are measured from, and whose signal it was.
    cause: Option<(ConnectionId, Delivery)>,
}

impl Hand {
    /// The mark of a push: one to the sender itself is its echo, no delivery.
    fn push_to(&self, to: ConnectionId) -> Mark {
        match self.cause {
            Some((from, delivery)) if from != to => Mark::Delivery(delivery),
            _ => Mark::Unmeasured,
        }
    }
}

struct Shard {
    number: u16,
    router: Router,
    outbounds: AHashMap<ConnectionId, Arc<Outbound>>,
    outputs: Vec<Output>,
    /// Connections whose queue passed its bound while outputs were carried out.
    overflowed: Vec<ConnectionId>,
    admin: BTreeMap<u64, AdminAnswer>,
    /// So far: numbers the next one.
    admin_calls: u64,
    wake: Option<Instant>,
    hand: Hand,
    /// The connections that a session got, and lost, last in this turn.
    attached: Option<Arc<Outbound>>,
    left: Option<Arc<Outbound>>,
    population: Arc<Tally>,
    telemetry: Arc<Telemetry>,
}

impl Shard {
    async fn run(mut self, mut arrivals: mpsc::Receiver<Arrival>) {
        let mut batch = Vec::with_capacity(BATCH);
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        loop {
            let received = tokio::select! {
                biased;
                () = timer.as_mut(), if self.wake.is_some() => None,
                received = arrivals.recv_many(&mut batch, BATCH) => Some(received),
            };
            match received {
                Some(0) => return,
                Some(_) => {
                    // whoever wakes a task is followed by it at once: one turn more, and the other readers that have
                    // something have brought it too, so that a room's pushes leave in fewer writes
                    tokio::task::yield_now().await;
                    while batch.len() < BATCH
                        && let Ok(arrival) = arrivals.try_recv()
                    {
                        batch.push(arrival);
                    }
                    // once a batch, not an arrival: a batch that takes too long is a worker that does not come back
                    workers::step();
                    let mut waiting = arrivals.len() + batch.len();
                    for arrival in batch.drain(..) {
                        waiting -= 1;
                        self.arrive(arrival, waiting);
                    }
                }
                None => {
                    self.wake = None;
                    self.turn(Input::Tick);
                }
            }
            // setting a timer goes through the runtime's wheel: only when there is something new to set
            if let Some(at) = self.wake
                && timer.deadline() != at.into()
            {
                timer.as_mut().reset(at.into());
            }
            self.population.rooms.store(self.router.rooms() as u64, Ordering::Relaxed);
            self.population.sessions.store(self.router.sessions() as u64, Ordering::Relaxed);
            self.population.participants.store(self.router.participants() as u64, Ordering::Relaxed);
        }
    }

    fn arrive(&mut self, arrival: Arrival, waiting: usize) {
        match arrival {
            Arrival::Input(input) => {
                if let Input::Lost { connection, .. } = &input {
                    self.left = self.outbounds.remove(connection);
                }
                self.turn(input);
            }
            Arrival::Signal(connection, input, signal) => self.signal(connection, input, signal, waiting),
            Arrival::Open(connection, outbound, input, signal) => {
                self.outbounds.insert(connection, outbound);
                self.signal(connection, input, signal, waiting);
            }
            Arrival::Admin(by, call, answer) => {
                self.admin_calls += 1;
                let request = self.admin_calls;
                self.admin.insert(request, answer);
                self.turn(Input::Admin { request, by, call });
            }
        }
    }

    fn signal(&mut self, connection: ConnectionId, input: Input, signal: Option<Box<Signal>>, waiting: usize) {
        self.hand.signal = signal.map(|mut signal| {
            signal.waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
            signal.shard = Some(self.number);
            (connection, signal)
        });
        self.turn(input);
        debug_assert!(self.hand.signal.is_none(), "every signal ends, by an answer or without one");
        // a fault of ours, and then an error like any other: it must not be missing from the count
        self.end_unanswered(Outcome::Refused(Code::Internal), Instant::now());
    }

    /// One input, all its outputs, and what these in turn bring about.
    fn turn(&mut self, input: Input) {
        self.handle(input);
        self.hand.cause = None;
        while let Some(connection) = self.overflowed.pop() {
            if let Some(outbound) = self.outbounds.remove(&connection) {
                outbound.close(Code::SlowReader.refuse());
                self.left = Some(outbound);
                self.handle(Input::Lost { connection, reason: Code::SlowReader });
            }
        }
        (self.attached, self.left) = (None, None);
    }

    fn handle(&mut self, input: Input) {
        let now = clock::now();
        let mut outputs = std::mem::take(&mut self.outputs);
        self.router.handle(input, now, &mut outputs);
        if let Some((from, signal)) = &mut self.hand.signal {
            let handled = Instant::now();
            signal.timeline.end(Stage::Admit, now.at);
            signal.timeline.end(Stage::Handle, handled);
            let received = signal.timeline.received();
            let after = handled.saturating_duration_since(received);
            self.hand.cause = Some((*from, self.telemetry.delivery(signal.op, received, after)));
        }
        for output in outputs.drain(..) {
            self.carry_out(output, now.at);
        }
        self.outputs = outputs;
    }

    fn carry_out(&mut self, output: Output, at: Instant) {
        match output {
            Output::Fanout { to, frame } => self.fan_out(&to, &frame),
            Output::Send { to, frame, exempt, ends } => self.send(to, &frame, exempt, ends),
            Output::Ended(outcome) => self.end_unanswered(outcome, at),
            Output::Observe(event) => self.observe(&event, at),
            Output::Wake(at) => self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at))),
            Output::Attach { connection, session, room, labels } => {
                if let Some(outbound) = self.outbounds.get(&connection) {
                    outbound.attach(Seat { session, room, labels });
                    self.attached = Some(outbound.clone());
                }
            }
            // its queue stays known: frames that were sent right behind the opening are answered as well
            Output::Detach { connection } => {
                if let Some(outbound) = self.outbounds.get(&connection) {
                    outbound.set_attachment(Attachment::None);
                }
            }
            Output::Close { connection, refusal } => {
                if let Some(outbound) = self.outbounds.remove(&connection) {
                    outbound.close(refusal);
                    self.left = Some(outbound);
                }
            }
            Output::AdminReply { request, reply } => {
                if let Some(answer) = self.admin.remove(&request) {
                    // the caller may have gone; its call was carried out all the same
                    answer.send(reply).ok();
                }
            }
        }
    }

    /// What happens to a session is told with all that is known of the connection that it got, or that it lost.
    fn observe(&self, event: &Event, at: Instant) {
        let (session, outbound) = match event {
            Event::SessionOpened { session, .. } | Event::SessionResumed { session, .. } => (session, &self.attached),
            Event::SessionDropped { session, .. } | Event::SessionClosed { session, .. } => (session, &self.left),
            _ => return self.telemetry.observe(event, at),
        };
        match outbound.as_ref().map(|outbound| outbound.origin()).filter(|origin| origin.session == Some(session)) {
            Some(origin) => self.telemetry.observe_from(event, &origin, at),
            None => self.telemetry.observe(event, at),
        }
    }

    fn send(&mut self, to: ConnectionId, frame: &ServerFrame, exempt: bool, ends: Option<Outcome>) {
        let outbound = self.outbounds.get(&to);
        let bytes = outbound.map(|outbound| encode(outbound.encoding(), frame));
        let mark = match ends {
            Some(outcome) => self.answer(outcome),
            None if exempt => Mark::Unmeasured,
            None => self.hand.push_to(to),
        };
        let (Some(outbound), Some(bytes)) = (self.outbounds.get(&to), bytes) else {
            return self.gone(to, mark);
        };
        let pushed = if exempt { outbound.push_exempt(bytes, mark) } else { outbound.push(bytes, mark) };
        match pushed {
            Ok(()) => {}
            Err(Unsent::Closed(mark)) => self.gone(to, mark),
            Err(Unsent::Full(mark)) => {
                self.overflowed.push(to);
                self.gone(to, mark);
            }
        }
    }

    /// The mark of the frame that answers the signal at hand.
    fn answer(&mut self, outcome: Outcome) -> Mark {
        match self.hand.signal.take() {
            Some((_, mut signal)) => {
                signal.timeline.end(Stage::Reply, Instant::now());
                Mark::Answer(signal, outcome)
            }
            None => Mark::Unmeasured,
        }
    }

    fn end_unanswered(&mut self, outcome: Outcome, at: Instant) {
        let Some((connection, signal)) = self.hand.signal.take() else { return };
        let event = Event::SignalEnded { signal, outcome };
        match self.outbounds.get(&connection) {
            Some(outbound) => self.telemetry.observe_from(&event, &outbound.origin(), at),
            None => self.telemetry.observe(&event, at),
        }
    }

    /// A frame that will not reach its client.
    fn gone(&self, to: ConnectionId, mark: Mark) {
        let Some(event) = mark.gone() else { return };
        let at = Instant::now();
        match self.outbounds.get(&to) {
            Some(outbound) => self.telemetry.observe_from(&event, &outbound.origin(), at),
            None => self.telemetry.observe(&event, at),
        }
    }

    /// Encodes at most once an encoding; every connection gets a reference to the same bytes.
    fn fan_out(&mut self, to: &[ConnectionId], frame: &ServerFrame) {
        let (mut json, mut protobuf): (Option<Bytes>, Option<Bytes>) = (None, None);
        for connection in to {
            let Some(outbound) = self.outbounds.get(connection) else { continue };
            let bytes = match outbound.encoding() {
                Encoding::Json => json.get_or_insert_with(|| encode(Encoding::Json, frame)),
                Encoding::Protobuf => protobuf.get_or_insert_with(|| encode(Encoding::Protobuf, frame)),
            };
            if let Err(Unsent::Full(_)) = outbound.push(bytes.clone(), self.hand.push_to(*connection)) {
                self.overflowed.push(*connection);
            }
        }
    }
}
