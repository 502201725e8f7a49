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
    outbound::{Attachment, Full, Outbound},
};
use crate::{
    ids::{ConnectionId, RoomId},
    protocol::{Code, Encoding, Refusal, encode, v1::ServerFrame},
    router::{AdminCall, AdminReply, Input, Output, Router, Settings, slice_of},
    telemetry::{Population, Telemetry},
};

/// Inputs taken from the inbox in one turn.
const BATCH: usize = 256;

type AdminAnswer = oneshot::Sender<Result<AdminReply, Refusal>>;

/// What arrives in a shard's inbox.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// For the router as it is.
    Input(Input),
    /// The opening of a connection, with the queue its frames go to.
    Open(ConnectionId, Arc<Outbound>, Input),
    /// An admin call and where its answer goes.
    Admin(String, AdminCall, AdminAnswer),
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
            .map(|settings| {
                let (inbox, arrivals) = mpsc::channel(inbox_bound);
                let population = Arc::<Tally>::default();
                let shard = Shard {
                    router: Router::new(settings),
                    outbounds: AHashMap::new(),
                    outputs: Vec::with_capacity(64),
                    overflowed: Vec::new(),
                    admin: BTreeMap::new(),
                    admin_calls: 0,
                    wake: None,
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
    pub(crate) async fn send(&self, shard: usize, arrival: Arrival) -> Result<(), Refusal> {
        let inbox = &self.handles[shard].inbox;
        let arrival = match inbox.try_send(arrival) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Full(arrival)) => arrival,
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Code::Draining.refuse()),
        };
        match inbox.send_timeout(arrival, self.patience).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Code::Overloaded.because("the room's shard has a full inbox").retry_after_ms(1_000)),
        }
    }

    /// Tells a shard that a connection is gone. Waits without a bound: forgetting it would leak its session.
    pub(crate) async fn lost(&self, shard: usize, connection: ConnectionId, reason: Code) {
        self.handles[shard].inbox.send(Arrival::Input(Input::Lost { connection, reason })).await.ok();
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
        self.send(shard, Arrival::Admin(by, call, answer)).await?;
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

struct Shard {
    router: Router,
    outbounds: AHashMap<ConnectionId, Arc<Outbound>>,
    outputs: Vec<Output>,
    /// Connections whose queue passed its bound while outputs were carried out.
    overflowed: Vec<ConnectionId>,
    admin: BTreeMap<u64, AdminAnswer>,
    /// So far: numbers the next one.
    admin_calls: u64,
    wake: Option<Instant>,
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
                    batch.drain(..).for_each(|arrival| self.arrive(arrival));
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

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Input(input) => {
                if let Input::Lost { connection, .. } = &input {
                    self.outbounds.remove(connection);
                }
                self.turn(input);
            }
            Arrival::Open(connection, outbound, input) => {
                self.outbounds.insert(connection, outbound);
                self.turn(input);
            }
            Arrival::Admin(by, call, answer) => {
                self.admin_calls += 1;
                let request = self.admin_calls;
                self.admin.insert(request, answer);
                self.turn(Input::Admin { request, by, call });
            }
        }
    }

    /// One input, all its outputs, and what these in turn bring about.
    fn turn(&mut self, input: Input) {
        self.handle(input);
        while let Some(connection) = self.overflowed.pop() {
            if let Some(outbound) = self.outbounds.remove(&connection) {
                outbound.close(Code::SlowReader.refuse());
                self.handle(Input::Lost { connection, reason: Code::SlowReader });
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let now = clock::now();
        let mut outputs = std::mem::take(&mut self.outputs);
        self.router.handle(input, now, &mut outputs);
        for output in outputs.drain(..) {
            self.carry_out(output, now.at);
        }
        self.outputs = outputs;
    }

    fn carry_out(&mut self, output: Output, at: Instant) {
        match output {
            Output::Fanout { to, frame } => self.fan_out(&to, &frame),
            Output::Send { to, frame, exempt } => self.send(to, &frame, exempt),
            Output::Observe(event) => self.telemetry.observe(&event, at),
            Output::Wake(at) => self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at))),
            Output::Attach { connection } => self.set_attachment(connection, Attachment::Attached),
            // its queue stays known: frames that were sent right behind the opening are answered as well
            Output::Detach { connection } => self.set_attachment(connection, Attachment::None),
            Output::Close { connection, refusal } => {
                if let Some(outbound) = self.outbounds.remove(&connection) {
                    outbound.close(refusal);
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

    fn set_attachment(&self, connection: ConnectionId, attachment: Attachment) {
        if let Some(outbound) = self.outbounds.get(&connection) {
            outbound.set_attachment(attachment);
        }
    }

    fn send(&mut self, to: ConnectionId, frame: &ServerFrame, exempt: bool) {
        let Some(outbound) = self.outbounds.get(&to) else { return };
        let bytes = encode(outbound.encoding(), frame);
        if exempt {
            outbound.push_exempt(bytes);
        } else if outbound.push(bytes) == Err(Full) {
            self.overflowed.push(to);
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
            if outbound.push(bytes.clone()) == Err(Full) {
                self.overflowed.push(*connection);
            }
        }
    }
}

/// Reports what the shards hold, once a second, until the token is cancelled.
pub async fn report_population(
    shards: Shards,
    telemetry: Arc<Telemetry>,
    shutdown: tokio_util::sync::CancellationToken,
) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    while shutdown.run_until_cancelled(every.tick()).await.is_some() {
        let counts = shards.counts();
        telemetry.set_population(counts);
        for (shard, depth) in shards.inbox_depths().enumerate() {
            telemetry.set_inbox_depth(shard, depth);
        }
        telemetry.settle(Instant::now());
    }
}
