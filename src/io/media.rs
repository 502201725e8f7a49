//! The router's side of the wire to media nodes: where they register, a stream to each, the calls to them.
//!
//! ```text
//! registration, configuration -> known -> a line: stream.rs (hello, probes, reports, pushes), calling.rs (calls in order)
//! what becomes known of a node -> every shard; the outcome of a call, a push -> the room's shard
//! ```
//!
//! Must not know how a node is chosen, nor what a call is for. Everything that waits has a bound; what a node says is
//! taken for what a stranger says.

mod answers;
mod calling;
mod fleet;
mod gate;
mod known;
mod line;
mod order;
mod push;
mod registry;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod wanted;
mod words;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use ahash::AHashMap;
use arc_swap::ArcSwap;
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    answers::unavailable,
    known::{Change, Known, Refused, Told},
    line::{Asked, Line},
};
pub use self::{
    settings::{FixedNode, MediaSettings},
    words::{control_url, is_node_word, is_public_url},
};
use super::{
    faults::Faults,
    listener::{Listener, Observe},
    shard::{CallMedia, MediaAsk, Shards},
};
use crate::{
    event::{Called, Event, MediaFact, MediaOp},
    guard,
    ids::NodeId,
    placement::NodeFact,
    protocol::{Refusal, v1},
    router::{MediaCall, MediaOutcome},
};

/// Facts about nodes that wait to be told to the shards; past them, streams wait, and that a node answers is not told.
const FACTS_WAITING: usize = 1024;
/// How often it is looked for nodes that have fallen silent, in a time to live.
const SWEEPS: u32 = 10;
/// How long calls that are under way may take when the router ends: longer than any deadline of a signal that is usual.
const FINISH_MAX: Duration = Duration::from_millis(500);

/// All that is known of media nodes, and what keeps it; a handle, cheap to copy.
#[derive(Clone)]
pub struct Media(Arc<Shared>);

struct Shared {
    settings: ArcSwap<MediaSettings>,
    known: Mutex<Known>,
    /// Copied when a node comes or goes: calls find their node without a lock.
    lines: ArcSwap<AHashMap<NodeId, Arc<Line>>>,
    observe: Observe,
    faults: Option<Faults>,
    /// Set when it starts; nothing is told before.
    shards: OnceLock<Shards>,
    facts: mpsc::Sender<NodeFact>,
    /// Taken when it starts.
    told: Mutex<Option<mpsc::Receiver<NodeFact>>>,
    /// Of the workers: registrations and the configuration come from other threads as well.
    runtime: Handle,
    tasks: TaskTracker,
    /// No registrations any more.
    closing: CancellationToken,
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media").field("nodes", &self.0.lines.load().len()).finish_non_exhaustive()
    }
}

impl Media {
    /// Knows no node yet. To be made inside the workers' runtime.
    pub fn new(settings: MediaSettings, observe: Observe, faults: Option<Faults>) -> Self {
        let (facts, told) = mpsc::channel(FACTS_WAITING);
        Self(Arc::new(Shared {
            settings: ArcSwap::from_pointee(settings),
            known: Mutex::default(),
            lines: ArcSwap::default(),
            observe,
            faults,
            shards: OnceLock::new(),
            facts,
            told: Mutex::new(Some(told)),
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }))
    }

    /// What shards call nodes with.
    pub fn calls(&self) -> CallMedia {
        let shared = self.0.clone();
        Arc::new(move |ask| shared.call(ask))
    }

    /// Tells the shards of nodes from now on: connects to those of the configuration, and takes registrations at the
    /// listener, if there is one.
    pub fn start(&self, shards: Shards, listener: Option<Listener>) {
        let shared = &self.0;
        let told = shared.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(told) = told.filter(|_| shared.shards.set(shards.clone()).is_ok()) else { return };
        shared.runtime.spawn(tell_all(shards, told));
        self.configure((**shared.settings.load()).clone());
        shared.tasks.spawn_on(sweep(shared.clone()), &shared.runtime);
        if let Some(listener) = listener {
            let serving = registry::serve(listener, shared.clone());
            shared.tasks.spawn_on(serving, &shared.runtime);
        }
    }

    /// Other settings, for what begins from now on; nodes of the configuration come and go.
    pub fn configure(&self, settings: MediaSettings) {
        let (shared, now) = (&self.0, Instant::now());
        let nodes = settings.told();
        let breaker = settings.breaker;
        shared.settings.store(Arc::new(settings));
        shared.lines.load().values().for_each(|line| line.gate.configure(breaker, now));
        let mut known = shared.known();
        let (changes, gone) = known.configure(nodes, now);
        for id in gone {
            shared.end(&id, "configuration");
        }
        for (told, change) in changes {
            shared.apply(told, change, "configuration");
        }
    }

    /// No registrations any more; calls that are under way may end, within a bounded time; then all streams end.
    pub async fn finish(&self) {
        let shared = &self.0;
        shared.closing.cancel();
        let over = tokio::time::Instant::now() + FINISH_MAX;
        let mut every = tokio::time::interval(Duration::from_millis(5));
        while tokio::time::Instant::now() < over && shared.lines.load().values().any(|line| line.unended() > 0) {
            every.tick().await;
        }
        shared.lines.load().values().for_each(|line| line.ends.cancel());
        shared.tasks.close();
        tokio::time::timeout_at(over + FINISH_MAX, shared.tasks.wait()).await.ok();
    }
}

/// Facts in the order in which they became known. A shard that misses one would choose otherwise than the others.
async fn tell_all(shards: Shards, mut told: mpsc::Receiver<NodeFact>) {
    while let Some(fact) = told.recv().await {
        shards.node(fact).await;
    }
}

/// Forgets nodes that have fallen silent.
async fn sweep(shared: Arc<Shared>) {
    loop {
        let ttl = shared.settings.load().ttl;
        tokio::select! {
            () = tokio::time::sleep(ttl / SWEEPS) => {}
            () = shared.closing.cancelled() => return,
        }
        let mut known = shared.known();
        for id in known.sweep(ttl, Instant::now()) {
            shared.end(&id, "silent");
        }
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        // it is changed as a whole
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self, fact: MediaFact) {
        (self.observe)(Event::Media(fact));
    }

    fn line(&self, id: &NodeId) -> Option<Arc<Line>> {
        self.lines.load().get(id).cloned()
    }

    /// Takes a call, or says at once why not; never waits.
    fn call(&self, ask: MediaAsk) -> Result<(), Refusal> {
        let (at, op) = (Instant::now(), op_of(&ask.call));
        let node = ask.node.clone();
        let taken = match self.lines.load().get(&node) {
            Some(line) => line.ask(Asked { ask, op, at }, &self.settings.load()),
            None => Err((Called::Unsent, unavailable("the room's media node is gone"))),
        };
        taken.map_err(|(outcome, refusal)| {
            self.call_ended(&node, op, outcome, at.elapsed());
            refusal
        })
    }

    fn call_ended(&self, node: &NodeId, op: MediaOp, outcome: Called, took: Duration) {
        self.observe(MediaFact::CallEnded { node: node.clone(), op, outcome, took });
    }

    fn breaker_changed(&self, node: &NodeId, change: Option<guard::breaker::Change>) {
        if let Some(guard::breaker::Change { from, to, reason, open_for }) = change {
            self.observe(MediaFact::BreakerChanged { node: node.clone(), from, to, reason, open_for });
        }
    }

    /// Tells the shards a fact; waits while many wait to be told.
    async fn tell(&self, fact: NodeFact) {
        // the router ends: nobody is left to be told
        self.facts.send(fact).await.ok();
    }

    /// Tells it if there is room: another one of its kind comes soon.
    fn mention(&self, fact: NodeFact) {
        self.facts.try_send(fact).ok();
    }

    async fn reply(&self, outcome: MediaOutcome) {
        if let Some(shards) = self.shards.get() {
            shards.media_reply(outcome).await;
        }
    }

    async fn push(&self, node: &NodeId, push: v1::MediaPush) -> Result<(), Refusal> {
        match self.shards.get() {
            Some(shards) => shards.media_push(node.clone(), push).await,
            None => Ok(()),
        }
    }

    /// The fault on purpose of a slow node.
    async fn suffer(&self) {
        if let Some(delay) = self.faults.as_ref().and_then(Faults::media_delay) {
            tokio::time::sleep(delay).await;
        }
    }

    /// Carries out what a registration or a configuration changed; under the lock of what is known, so that two changes
    /// are carried out in their order.
    fn apply(self: &Arc<Self>, told: Told, change: Change, by: &'static str) {
        let node = told.info.id.clone();
        match change {
            Change::New => {
                self.observe(MediaFact::Known {
                    node,
                    region: told.info.region.to_string(),
                    variant: told.info.variant.to_string(),
                    control_url: told.control_url.clone(),
                    by,
                });
                self.begin(told);
            }
            Change::Same => {
                // it said that it would go, and thought better of it
                if let Some(line) = self.line(&node).filter(|line| line.is_leaving()) {
                    self.leave(&line, false);
                }
                self.observe(MediaFact::Renewed { node });
            }
            Change::Figures | Change::Moved => {
                self.observe(MediaFact::Changed { node: node.clone() });
                if let Some(line) = self.line(&node)
                    && line.change(told.info.clone(), told.control_url)
                {
                    self.tell_at_once(NodeFact::Known(told.info));
                }
            }
            Change::Restarted => {
                self.observe(MediaFact::Changed { node: node.clone() });
                self.stop(&node);
                self.begin(told);
            }
        }
    }

    /// A node registers.
    fn register(self: &Arc<Self>, told: Told) -> Result<(), Refused> {
        let (settings, now) = (self.settings.load(), Instant::now());
        let mut known = self.known();
        let id = &told.info.id;
        // connected, or so new that it could not be yet
        let lately = known.seen(id).is_some_and(|seen| now.saturating_duration_since(seen) < settings.connect_timeout);
        let alive = self.line(id).is_some_and(|line| line.is_up() || lately && !line.was_up());
        let change = known.register(told.clone(), alive, settings.nodes_max, now)?;
        self.apply(told, change, "registration");
        Ok(())
    }

    /// A node says that it is about to go.
    fn deregister(&self, id: &NodeId, incarnation: &str) -> Result<(), Refused> {
        let mut known = self.known();
        if known.deregister(id, incarnation)? {
            self.observe(MediaFact::Leaving { node: id.clone() });
            if let Some(line) = self.line(id) {
                self.leave(&line, true);
            }
        }
        Ok(())
    }

    /// The two tasks of a node.
    fn begin(self: &Arc<Self>, told: Told) {
        let settings = self.settings.load();
        let (line, asked) = Line::new(told.info, told.control_url, &settings);
        self.change_lines(|lines| drop(lines.insert(line.id.clone(), line.clone())));
        self.tasks.spawn_on(stream::keep(self.clone(), line.clone()), &self.runtime);
        self.tasks.spawn_on(calling::carry_out(self.clone(), line, asked), &self.runtime);
    }

    /// Ends a node's tasks; the shards forget it.
    fn stop(&self, id: &NodeId) {
        let Some(line) = self.line(id) else { return };
        self.change_lines(|lines| drop(lines.remove(id)));
        line.hang_up();
        line.ends.cancel();
        if line.part() {
            self.tell_at_once(NodeFact::Gone { node: id.clone() });
        }
    }

    /// A node is not known any more.
    fn end(&self, id: &NodeId, why: &'static str) {
        self.stop(id);
        self.observe(MediaFact::Gone { node: id.clone(), why });
    }

    /// A node is about to go, or stays after all: what it reported last is told again with that.
    fn leave(&self, line: &Line, leaving: bool) {
        if let Some(load) = line.set_leaving(leaving) {
            self.tell_at_once(NodeFact::Reported { node: line.id.clone(), load });
        }
    }

    /// A node that said it would go has gone.
    fn forget(&self, id: &NodeId, why: &'static str) {
        let mut known = self.known();
        if known.is_leaving(id) {
            known.forget(id);
            self.end(id, why);
        }
    }

    fn change_lines(&self, change: impl FnOnce(&mut AHashMap<NodeId, Arc<Line>>)) {
        // under the lock of what is known: nobody else changes them meanwhile
        let mut lines = (**self.lines.load()).clone();
        change(&mut lines);
        self.lines.store(Arc::new(lines));
    }

    /// For who cannot wait.
    fn tell_at_once(&self, fact: NodeFact) {
        if let Err(mpsc::error::TrySendError::Full(fact)) = self.facts.try_send(fact) {
            let facts = self.facts.clone();
            self.tasks.spawn_on(async move { drop(facts.send(fact).await) }, &self.runtime);
        }
    }
}

const fn op_of(call: &MediaCall) -> MediaOp {
    match call {
        MediaCall::PutParticipant(_) => MediaOp::PutParticipant,
        MediaCall::EndParticipant(_) => MediaOp::EndParticipant,
        MediaCall::SetPermissions(_) => MediaOp::SetPermissions,
        MediaCall::PutTrack(_) => MediaOp::PutTrack,
        MediaCall::EndTrack(_) => MediaOp::EndTrack,
        MediaCall::MuteTrack(_) => MediaOp::MuteTrack,
        MediaCall::Subscribe(_) => MediaOp::Subscribe,
        MediaCall::Offer(_) => MediaOp::Offer,
        MediaCall::Answer(_) => MediaOp::Answer,
        MediaCall::Candidate(_) => MediaOp::Candidate,
        MediaCall::EndRoom(_) => MediaOp::EndRoom,
    }
}
