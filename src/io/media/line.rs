//! One node as this router reaches it: its connection while it stands, the calls that wait, its breaker.
//!
//! Shared by who asks (the shards) and the two tasks of the node.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{answers::unavailable, gate::Gate, settings::MediaSettings};
use crate::{
    event::{Called, MediaOp},
    ids::NodeId,
    io::shard::MediaAsk,
    placement::{NodeInfo, NodeLoad},
    protocol::{Code, Refusal},
};

/// That a node answers is told to the shards no more often, unless it failed in between.
const ANSWERED_EVERY: Duration = Duration::from_millis(500);

/// A call that the core asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ask: MediaAsk,
    pub(super) op: MediaOp,
    pub(super) at: Instant,
}

/// A node's line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: NodeId,
    /// Ends both tasks.
    pub(super) ends: CancellationToken,
    /// It is called elsewhere from now on.
    pub(super) moved: Notify,
    pub(super) gate: Gate,
    queue: mpsc::Sender<Asked>,
    /// Calls that have not ended.
    unended: AtomicUsize,
    /// Absent: the stream does not stand, or it is not known yet who answers.
    channel: ArcSwapOption<Channel>,
    state: Mutex<State>,
    begun: Instant,
    /// Since `begun`; when it was told last that the node answers.
    answered_told_ms: AtomicU64,
    /// It was told last that the node failed.
    failed: AtomicBool,
}

/// What changes seldom.
#[derive(Debug)]
struct State {
    info: NodeInfo,
    /// Where it is called.
    url: String,
    /// The shards know of it.
    introduced: bool,
    /// It is about to go: whatever it reports, it wants no new rooms.
    leaving: bool,
    /// Which start of it answered last.
    incarnation: Option<String>,
    /// As it reported last.
    load: Option<NodeLoad>,
}

impl Line {
    /// A node that nobody has spoken to yet, and where its calls come out.
    pub(super) fn new(info: NodeInfo, url: String, settings: &MediaSettings) -> (Arc<Self>, mpsc::Receiver<Asked>) {
        // never full: `ask` counts
        let (queue, asked) = mpsc::channel(settings.calls_in_flight + settings.calls_waiting);
        let line = Self {
            id: info.id.clone(),
            ends: CancellationToken::new(),
            moved: Notify::new(),
            gate: Gate::new(settings.breaker, Instant::now()),
            queue,
            unended: AtomicUsize::new(0),
            channel: ArcSwapOption::empty(),
            state: Mutex::new(State { info, url, introduced: false, leaving: false, incarnation: None, load: None }),
            begun: Instant::now(),
            answered_told_ms: AtomicU64::new(u64::MAX),
            failed: AtomicBool::new(false),
        };
        (Arc::new(line), asked)
    }

    /// Takes a call, or says at once why not.
    ///
    /// # Errors
    /// How the call ended, and what to tell who waits for it.
    pub(super) fn ask(&self, asked: Asked, settings: &MediaSettings) -> Result<(), (Called, Refusal)> {
        if asked.ask.by <= asked.at {
            return Err((Called::Expired, Code::DeadlineExceeded.refuse()));
        }
        if self.channel.load().is_none() {
            return Err((Called::Unsent, unavailable("the room's media node is not connected")));
        }
        // what takes work off it goes to a node that is otherwise left alone: it need not hold what nobody uses
        if !asked.op.is_relief()
            && let Err(refusal) = self.gate.look(asked.at)
        {
            return Err((Called::Unsent, refusal));
        }
        let most = settings.calls_in_flight + settings.calls_waiting;
        let full = || {
            Code::Overloaded
                .because("media.calls_waiting: too many calls wait for the media node")
                .retry_after_ms(1_000)
        };
        let room = self.unended.fetch_update(Relaxed, Relaxed, |unended| (unended < most).then_some(unended + 1));
        if room.is_err() {
            return Err((Called::Full, full()));
        }
        self.queue.try_send(asked).map_err(|_| {
            self.ended();
            (Called::Unsent, unavailable("the room's media node is gone"))
        })
    }

    /// A call has ended.
    pub(super) fn ended(&self) {
        self.unended.fetch_sub(1, Relaxed);
    }

    /// Calls that have not ended.
    pub(super) fn unended(&self) -> usize {
        self.unended.load(Relaxed)
    }

    /// To call it; absent: not now.
    pub(super) fn channel(&self) -> Option<Channel> {
        self.channel.load().as_deref().cloned()
    }

    /// Whether it is connected, and is who it should be.
    pub(super) fn is_up(&self) -> bool {
        self.channel.load().is_some()
    }

    /// Whether it ever was.
    pub(super) fn was_up(&self) -> bool {
        self.state().incarnation.is_some()
    }

    /// It is called there from now on.
    pub(super) fn connected(&self, channel: Channel) {
        self.channel.store(Some(Arc::new(channel)));
    }

    /// It is not called any more.
    pub(super) fn hang_up(&self) {
        self.channel.store(None);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // no code that can panic runs under this lock
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is called.
    pub(super) fn url(&self) -> String {
        self.state().url.clone()
    }

    /// It is something else, or elsewhere: then it is connected to anew. Whether the shards know of it, and so must be told.
    pub(super) fn change(&self, info: NodeInfo, url: String) -> bool {
        let mut state = self.state();
        state.info = info;
        if std::mem::replace(&mut state.url, url.clone()) != url {
            self.moved.notify_one();
        }
        state.introduced
    }

    /// The node that answers is started so often as that. What the shards must be told: that what it held is gone, and
    /// that it is known.
    pub(super) fn greet(&self, incarnation: &str) -> Greeting {
        let mut state = self.state();
        let before = state.incarnation.replace(incarnation.to_owned());
        let anew = before.is_some_and(|before| before != incarnation) && state.introduced;
        let known = (anew || !state.introduced).then(|| state.info.clone());
        state.introduced = true;
        Greeting { anew, known }
    }

    /// Whether the shards know of it, and from now on do not.
    pub(super) fn part(&self) -> bool {
        std::mem::take(&mut self.state().introduced)
    }

    /// It is about to go, or thought better of it. Its last report, from now on one of a node that wants no new rooms.
    pub(super) fn set_leaving(&self, leaving: bool) -> Option<NodeLoad> {
        let mut state = self.state();
        state.leaving = leaving;
        state.load.map(|load| NodeLoad { draining: load.draining || leaving, ..load })
    }

    /// It reported.
    pub(super) fn reported(&self, load: NodeLoad) -> NodeLoad {
        let mut state = self.state();
        state.load = Some(load);
        NodeLoad { draining: load.draining || state.leaving, ..load }
    }

    /// Whether it is about to go.
    pub(super) fn is_leaving(&self) -> bool {
        self.state().leaving
    }

    /// A call was answered at that moment. Whether that is news to the shards.
    pub(super) fn answered(&self, at: Instant) -> bool {
        let now = at.saturating_duration_since(self.begun).as_millis() as u64;
        let told = self.answered_told_ms.load(Relaxed);
        let due = told == u64::MAX || now >= told.saturating_add(ANSWERED_EVERY.as_millis() as u64);
        let news = self.failed.swap(false, Relaxed) || due;
        if news {
            self.answered_told_ms.store(now, Relaxed);
        }
        news
    }

    /// A call was not answered. Each is told.
    pub(super) fn failed(&self) {
        self.failed.store(true, Relaxed);
    }
}

/// What follows from a node's first word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// It was started anew: what it held is gone.
    pub(super) anew: bool,
    /// The shards have to be told that it is there.
    pub(super) known: Option<NodeInfo>,
}
