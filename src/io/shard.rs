//! The shard loop: one task that owns a router, feeds it inputs in order and carries out its outputs.
//!
//! Its inbox is bounded; who finds it full waits for a moment and then sheds (`overloaded`).

mod admin;
mod admitting;
mod answers;
mod arrival;
mod configuring;
mod deadlines;
mod media;
mod nodes;
mod run;
mod telling;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ahash::AHashMap;
use arc_swap::ArcSwap;
use futures_util::future::{Either, ready};
use tokio::sync::mpsc;

pub(crate) use self::arrival::{Arrival, Brought};
pub use self::media::{CallMedia, MediaAsk};
use self::{
    answers::Answers,
    arrival::{AdminAnswer, Untaken, op_of},
    configuring::Patience,
    media::Calls,
    nodes::is_told_to,
};
use super::{
    clock,
    faults::{Afflicted, Faults},
    finder::RoomFinder,
    guard::{Bounds, Gauge, QueueSettings, UnderWay},
    outbound::{Attachment, Mark, Outbound, Seat},
};
use crate::{
    event::{Delivery, Outcome, Signal, Stage},
    fabric::{Answer, Kept},
    guard::overload::Overload,
    ids::{ConnectionId, Epoch, RoomId},
    placement::NodeView,
    protocol::{Code, Refusal},
    router::{Input, Now, Output, Router, Settings, slice_of},
    telemetry::{KeepingFigures, Population, Telemetry},
};

#[derive(Debug, Default)]
struct Tally {
    rooms: AtomicU64,
    sessions: AtomicU64,
    participants: AtomicU64,
    /// Rooms of which something waits to be written,
    behind: AtomicU64,
    /// and since when, in microseconds of this router's clock; 0: nothing waits.
    behind_since: AtomicU64,
    /// The media nodes, as this shard saw them about a second ago.
    nodes: ArcSwap<Vec<NodeView>>,
}

#[derive(Debug, Clone)]
struct Handle {
    inbox: mpsc::Sender<Arrival>,
    population: Arc<Tally>,
    gauge: Arc<Gauge>,
    /// Whether its rooms are kept outside of this process.
    keeps: bool,
}

/// What all shards have in common.
#[derive(Clone, Copy, Debug)]
pub struct ShardSettings {
    /// Arrivals that may wait for one.
    pub inbox_bound: usize,
    /// How long an arrival waits for a full inbox; and, where deadlines hold, how old a signal may be.
    pub timeout: Duration,
    /// When a queue is too long, and whether deadlines hold.
    pub queues: QueueSettings,
}

impl ShardSettings {
    /// With a small inbox, and no bound of time.
    #[cfg(test)]
    pub(crate) fn patient(timeout: Duration) -> Self {
        Self { inbox_bound: 64, timeout, queues: QueueSettings::default() }
    }
}

/// Handles to every shard of the process.
#[derive(Debug, Clone)]
pub struct Shards {
    handles: Arc<[Handle]>,
    /// How long an arrival waits for a full inbox.
    patience: Patience,
    bounds: Bounds,
}

/// What the shards of a process have to do with.
#[derive(Clone)]
pub struct Surroundings {
    /// Hears of all that happens.
    pub telemetry: Arc<Telemetry>,
    /// Absent: no fault can be injected.
    pub faults: Option<Faults>,
    /// Carries out calls to media nodes; absent: there are none.
    pub media: Option<CallMedia>,
    /// Hears which rooms are here, and keeps them.
    pub finder: RoomFinder,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl Shards {
    /// Starts one shard a router setting, each a task of the current runtime. They end when the handles are gone.
    pub fn start(settings: Vec<Settings>, shared: ShardSettings, around: &Surroundings) -> Self {
        let ShardSettings { inbox_bound, timeout, queues } = shared;
        let (patience, bounds) = (Patience::new(timeout), Bounds::new(queues));
        let handles = settings
            .into_iter()
            .enumerate()
            .map(|(number, settings)| {
                let (inbox, arrivals) = mpsc::channel(inbox_bound);
                let keeps = settings.keeping.is_some();
                let (population, gauge) = (Arc::<Tally>::default(), Arc::<Gauge>::default());
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
                    nodes_shown: None,
                    media: Calls::through(around.media.clone()),
                    answers: Answers::default(),
                    finder: around.finder.clone(),
                    population: population.clone(),
                    queue: Overload::default(),
                    gauge: gauge.clone(),
                    patience: patience.clone(),
                    bounds: bounds.clone(),
                    telemetry: around.telemetry.clone(),
                    afflicted: around.faults.clone().map(Afflicted::by),
                };
                tokio::spawn(shard.run(arrivals));
                Handle { inbox, population, gauge, keeps }
            })
            .collect();
        Self { handles, patience, bounds }
    }

    /// The shard of a room.
    pub(crate) fn of(&self, room: &RoomId) -> usize {
        slice_of(room, self.handles.len())
    }

    /// Hands an arrival to a shard; waits a bounded time when its inbox is full.
    ///
    /// # Errors
    /// Why it was not taken, and the signal that it was of.
    pub(crate) fn send(&self, shard: usize, arrival: Arrival) -> impl Future<Output = Result<(), Untaken>> {
        // what an arrival is stays out of the future, which is part of every connection's task; that one waits is rare
        match self.handles[shard].inbox.try_send(arrival) {
            Ok(()) => Either::Left(ready(Ok(()))),
            Err(mpsc::error::TrySendError::Full(arrival)) => Either::Right(Box::pin(self.wait(shard, arrival))),
            Err(mpsc::error::TrySendError::Closed(arrival)) => Either::Left(ready(Err((gone(), arrival.signal())))),
        }
    }

    async fn wait(&self, shard: usize, arrival: Arrival) -> Result<(), Untaken> {
        self.handles[shard].inbox.send_timeout(arrival, self.patience.get()).await.map_err(|unsent| {
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

    /// Ends a room that another router has. Waits without a bound: it would be on both.
    pub(crate) async fn make_way(&self, room: RoomId, refusal: Refusal) {
        let inbox = &self.handles[self.of(&room)].inbox;
        inbox.send(Arrival::Input(Input::Elsewhere { room, refusal })).await.ok();
    }

    /// Brings a room back that was kept. Waits without a bound: who wants into it would make another.
    pub(crate) async fn restore(&self, room: RoomId, kept: Kept) {
        let inbox = &self.handles[self.of(&room)].inbox;
        inbox.send(Arrival::Input(Input::Restore { room, kept: Box::new(kept) })).await.ok();
    }

    /// Tells what came of keeping a room. Waits without a bound: it would never be written again.
    pub(crate) async fn kept(&self, room: RoomId, epoch: Epoch, answer: Answer) {
        let inbox = &self.handles[self.of(&room)].inbox;
        inbox.send(Arrival::Input(Input::Kept { room, epoch, answer })).await.ok();
    }

    /// Tells that of a room something that was said to be written does not stand. Waits without a bound, as of what came of it.
    pub(crate) async fn unkept(&self, room: RoomId) {
        let inbox = &self.handles[self.of(&room)].inbox;
        inbox.send(Arrival::Input(Input::Unkept { room })).await.ok();
    }

    /// Every shard begins to drain. One whose inbox stays full for the whole window does not, and holds up no other: its
    /// sessions are closed with what comes after.
    pub async fn drain(&self, window: Duration) {
        let begin = |handle: &Handle| {
            let inbox = handle.inbox.clone();
            async move { inbox.send_timeout(Arrival::Input(Input::Drain { window }), window).await.ok() }
        };
        futures_util::future::join_all(self.handles.iter().map(begin)).await;
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

    /// How far rooms are kept outside of this process; absent: they are not.
    pub(crate) fn keeping(&self, now: Instant) -> Option<KeepingFigures> {
        let mut figures = None;
        for handle in self.handles.iter().filter(|handle| handle.keeps) {
            let figures: &mut KeepingFigures = figures.get_or_insert_default();
            figures.rooms_behind += handle.population.behind.load(Ordering::Relaxed) as usize;
            let since = handle.population.behind_since.load(Ordering::Relaxed);
            let waited = Duration::from_micros(clock::micros(now).saturating_sub(since));
            figures.behind = figures.behind.max(if since == 0 { Duration::ZERO } else { waited });
        }
        figures
    }

    /// Waiting inputs of each shard.
    pub fn inbox_depths(&self) -> impl Iterator<Item = usize> + '_ {
        self.handles.iter().map(|handle| handle.inbox.max_capacity() - handle.inbox.capacity())
    }
}

/// Shards outlive their handles, unless one panicked.
fn gone() -> Refusal {
    Code::Internal.because("the room's shard has ended by a defect of the router")
}

/// What is at hand while its outputs are carried out.
#[derive(Debug, Default)]
struct Hand {
    /// The signal and its connection, until it has ended.
    signal: Option<(ConnectionId, Box<Signal>)>,
    /// Its places among those that may be under way at once, which are given back when it has ended.
    under_way: Option<UnderWay>,
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
    media: Calls,
    answers: Answers,
    finder: RoomFinder,
    nodes_shown: Option<Instant>,
    population: Arc<Tally>,
    /// What is known of the queue in front of it, and where that is told.
    queue: Overload,
    gauge: Arc<Gauge>,
    patience: Patience,
    bounds: Bounds,
    telemetry: Arc<Telemetry>,
    /// Absent: no fault can be injected.
    afflicted: Option<Afflicted>,
}

impl Shard {
    fn tell_population(&self) {
        self.population.rooms.store(self.router.rooms() as u64, Ordering::Relaxed);
        self.population.sessions.store(self.router.sessions() as u64, Ordering::Relaxed);
        self.population.participants.store(self.router.participants() as u64, Ordering::Relaxed);
        let (behind, since) = self.router.behind();
        self.population.behind.store(behind as u64, Ordering::Relaxed);
        self.population.behind_since.store(since.map_or(0, clock::micros), Ordering::Relaxed);
    }

    fn arrive(&mut self, arrival: Arrival, waiting: usize) {
        match arrival {
            Arrival::Input(Input::MediaReply(outcome)) => self.media_reply(outcome, Instant::now()),
            Arrival::Input(input) => {
                if let Input::Lost { connection, .. } = &input {
                    self.left = self.outbounds.remove(connection);
                }
                let told_to = is_told_to(&input);
                self.turn(input);
                if told_to {
                    self.show_nodes(Instant::now());
                }
            }
            Arrival::Signal(connection, input, brought) => self.signal(connection, input, brought, waiting),
            Arrival::Open(connection, outbound, input, brought) => {
                self.outbounds.insert(connection, outbound);
                self.signal(connection, input, brought, waiting);
            }
            Arrival::Explain(room, answer) => self.explain(&room, answer),
            Arrival::Admin(by, call, answer) => {
                self.admin_calls += 1;
                let request = self.admin_calls;
                self.admin.insert(request, answer);
                self.turn(Input::Admin { request, by, call });
            }
        }
        self.tell_untaken();
    }

    fn signal(&mut self, connection: ConnectionId, input: Input, brought: Brought, waiting: usize) {
        let Brought { signal, received, under_way } = brought;
        self.hand.under_way = under_way;
        self.hand.signal = signal.map(|mut signal| {
            signal.waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
            signal.shard = Some(self.number);
            (connection, signal)
        });
        let (op, now) = (op_of(&input), clock::now());
        match self.admits(op, received, now.at) {
            Ok(()) => self.turn_at(input, now),
            Err(refused) => self.turn_away(&input, op, refused, now.at),
        }
        debug_assert!(self.hand.signal.is_none(), "every signal ends, by an answer or without one");
        // a fault of ours, and then an error like any other: it must not be missing from the count
        self.end_unanswered(Outcome::Refused(Code::Internal), Instant::now());
        self.hand.under_way = None;
    }

    /// One input, all its outputs, and what these in turn bring about.
    fn turn(&mut self, input: Input) {
        self.turn_at(input, clock::now());
    }

    fn turn_at(&mut self, input: Input, now: Now) {
        self.handle(input, now);
        self.hand.cause = None;
        self.end_turn();
        // of what was released in it
        self.hand.under_way = None;
    }

    /// What else a turn brought about.
    fn end_turn(&mut self) {
        while let Some(connection) = self.overflowed.pop() {
            if let Some(outbound) = self.outbounds.remove(&connection) {
                outbound.close(Code::SlowReader.refuse());
                self.left = Some(outbound);
                self.handle(Input::Lost { connection, reason: Code::SlowReader }, clock::now());
            }
        }
        (self.attached, self.left) = (None, None);
    }

    fn handle(&mut self, input: Input, now: Now) {
        let mut outputs = std::mem::take(&mut self.outputs);
        let admitted = !matches!(input, Input::MediaReply(_));
        let answered = match &mut self.afflicted {
            Some(afflicted) => afflicted.meets(&input, now.at, &mut outputs),
            None => false,
        };
        if !answered {
            self.router.handle(input, now, &mut outputs);
        }
        if let Some((from, signal)) = &mut self.hand.signal {
            let handled = Instant::now();
            if admitted {
                signal.timeline.end(Stage::Admit, now.at);
            }
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
            Output::Awaits(ticket) => self.awaits(ticket, at),
            Output::Hold { ticket, by } => self.hold(ticket, by, at),
            Output::Release(ticket) => self.release(ticket, at),
            Output::Media { node, call, ticket, by } => self.call_media((node, *call), (ticket, by), at),
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
            Output::Keep { room, epoch, ask } => self.finder.ask(room, epoch, ask),
            Output::AdminReply { request, reply } => {
                if let Some(answer) = self.admin.remove(&request) {
                    // the caller may have gone; its call was carried out all the same
                    answer.send(reply).ok();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
