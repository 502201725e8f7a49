//! What happened, past tense, one enum. Telemetry decides in one exhaustive match what becomes of each.
//!
//! Built by the core and by `io`; knows nothing of metrics, logs or spans.

mod captured;
mod directory;
mod fabric;
mod fault;
mod guard;
mod journal;
mod keeping;
mod media;
mod placement;
mod relay;
mod timeline;
mod trace;
mod variant;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

pub use self::{
    captured::Captured,
    directory::{DirectoryFact, DirectoryOp, DirectoryOutcome, HomeFound, ReadReason},
    fabric::{FabricCall, FabricFact, FabricLoss, FabricOutcome},
    fault::Fault,
    guard::{Asked, BreakerReason, BreakerState, Guarded, Limit, Pressure, Scope},
    journal::{JournalFact, JournalOutcome, JournalWork},
    keeping::{AnswerOutcome, KeepingFact, KeepingOutcome},
    media::{Called, MediaFact, MediaOp, NodeRefusal},
    placement::{NodeSeen, Placing},
    relay::{RelayEnd, RelayFact, RelayOpening, RelaySide},
    timeline::{Stage, Timeline, nanos},
    trace::{SpanId, SpanRef, TraceId},
    variant::{AssignedBy, RuleInForce, Varied},
};
use crate::{
    ids::{ConnectionId, Identity, RoomId, SessionId},
    protocol::{Code, OpKind},
};

/// How a signal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Done.
    Ok,
    /// Refused, with the code that the client got.
    Refused(Code),
    /// Its connection ended before the answer was handed over.
    Gone,
}

impl Outcome {
    /// The word for it in metrics: `ok`, `error`, `shed` (refused on purpose), `expired`, `gone`.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.place()]
    }

    /// All the words.
    pub const NAMES: [&str; 5] = ["ok", "error", "shed", "expired", "gone"];

    /// The place of its word among [`NAMES`](Self::NAMES).
    pub const fn place(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::Refused(code) if code.is_shed() => 2,
            Self::Refused(Code::DeadlineExceeded) => 3,
            Self::Refused(_) => 1,
            Self::Gone => 4,
        }
    }

    /// By place, whether the promise is about it: ok and expired. Refusals are fast, and counted apart.
    pub const PROMISED: [bool; Self::NAMES.len()] = [true, false, false, true, false];

    /// The code that the client got, if it got one.
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::Refused(code) => Some(code),
            Self::Ok | Self::Gone => None,
        }
    }
}

/// What telemetry wants to know of a session's client; kept and given back by the core, which never looks inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Labels {
    /// The place of its region among the configured ones; past the last: none of them.
    pub region: u8,
    /// Its SDK and version, as telemetry numbered it; 0: none.
    pub sdk_version: u32,
    /// Its scenario, as telemetry numbered it; 0: none.
    pub scenario: u32,
    /// Its variant, as telemetry numbered it; 0: the default.
    pub variant: u8,
}

impl Default for Labels {
    fn default() -> Self {
        Self { region: u8::MAX, sdk_version: 0, scenario: 0, variant: 0 }
    }
}

/// What is known of the connection that an event is about. For logs, spans and labels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// The client's address.
    pub peer_ip: Option<IpAddr>,
    /// `websocket`, `grpc`, `relay` (over a link between routers); empty: no connection.
    pub transport: &'static str,
    /// Its `X-Trace-ID`, and a span id for the session: what the spans of its signals link to.
    pub trace: Option<(TraceId, SpanId)>,
    /// Its room, once it is in one.
    pub room: Option<&'a RoomId>,
    /// Its session, once it has one.
    pub session: Option<&'a SessionId>,
    /// What its client said of itself.
    pub labels: Labels,
}

/// A signal on its way, with all that is known of it besides its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// Its kind.
    pub op: OpKind,
    /// Its stamps.
    pub timeline: Timeline,
    /// Where its client's `traceparent` puts it.
    pub parent: Option<Box<SpanRef>>,
    /// What a join or resume asks for, before its connection has it.
    pub opens: Option<Box<Opens>>,
    /// Inputs that waited for its shard when it was admitted.
    pub waiting: u32,
    /// The shard that took it.
    pub shard: Option<u16>,
}

/// What the first signal of a connection asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Opens {
    /// The room.
    pub room: RoomId,
    /// What it says of its client.
    pub labels: Labels,
}

impl Signal {
    /// Of a frame whose last byte arrived then, and of which nothing else is known yet.
    pub const fn new(op: OpKind, received: Instant) -> Self {
        Self { op, timeline: Timeline::new(received), parent: None, opens: None, waiting: 0, shard: None }
    }
}

/// A push that a signal brought about, on its way to one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The kind of the signal.
    pub op: OpKind,
    /// When the signal's frame arrived, nanoseconds since telemetry began: there is one a recipient, so it is small, and
    /// told from the moment it leaves without the clock's arithmetic.
    pub received_ns: u64,
    /// From then until the router had handled it, microseconds.
    pub handled_after_us: u32,
}

/// Where a thread is, as far as the system tells; absent: it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// `running` (or waiting for a CPU), `sleeping`, `waiting for a disk` …
    pub state: Option<&'static str>,
    /// The kernel's function that it sleeps in.
    pub waits_in: Option<String>,
    /// The number of the system call that it is in, as the architecture counts them.
    pub syscall: Option<u64>,
    /// The kernel's functions that it is in, innermost first; only the privileged are told.
    pub kernel_stack: Option<String>,
}

/// Which part of a drain the router is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DrainPhase {
    /// Not draining.
    Serving,
    /// Not ready, no new sessions; advice goes out over the drain window.
    Advising,
    /// The window is over: the sessions that are left are closed with the reconnect code.
    Closing,
    /// Nothing is left.
    Drained,
}

/// A key of the configuration whose value differs. Secrets are hidden.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Changed {
    /// The key.
    pub key: String,
    /// What runs, or ran.
    pub from: String,
    /// What is asked for, or runs now.
    pub to: String,
    /// Whether it is taken up while the router runs.
    pub live: bool,
}

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, from, to, live: _ } = self;
        write!(f, "{key}: {from} -> {to}")
    }
}

/// A fact about this router.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A signal has ended: its answer was handed to the socket, or it was handled and wanted none, or its connection
    /// ended first. Each signal ends once.
    SignalEnded {
        /// The signal.
        signal: Box<Signal>,
        /// How it ended.
        outcome: Outcome,
    },
    /// Pushes were handed to a socket, together.
    Delivered {
        /// Those that signals brought about.
        deliveries: Vec<Delivery>,
        /// How many others: of timers, of the admin API, snapshots and replays.
        others: u32,
    },
    /// A session began.
    SessionOpened {
        /// Its id.
        session: SessionId,
        /// Who.
        identity: Identity,
        /// Where.
        room: RoomId,
        /// On which connection.
        connection: ConnectionId,
        /// What its join said of the client.
        labels: Labels,
    },
    /// A dropped session came back.
    SessionResumed {
        /// Its id.
        session: SessionId,
        /// Whether all that was missed could be given.
        recovered: bool,
    },
    /// A session lost its connection and lingers.
    SessionDropped {
        /// Its id.
        session: SessionId,
        /// Why the connection ended.
        reason: Code,
    },
    /// A session ended for good.
    SessionClosed {
        /// Its id.
        session: SessionId,
        /// Why.
        reason: Code,
        /// What its join said of the client.
        labels: Labels,
    },
    /// A room came to be.
    RoomCreated {
        /// Its name.
        room: RoomId,
    },
    /// A room ended.
    RoomClosed {
        /// Its name.
        room: RoomId,
        /// Why.
        reason: Code,
    },
    /// A bounded log or buffer let go of its oldest entry.
    PushDiscarded {
        /// Whose: `held`, `history`, `replies`.
        buffer: &'static str,
    },
    /// A connection was accepted.
    ConnectionOpened {
        /// `websocket`, `grpc`, `http`, `relay`.
        transport: &'static str,
    },
    /// A connection of a client ended.
    ConnectionClosed {
        /// `websocket`, `grpc`, `http`, `relay`.
        transport: &'static str,
        /// Why.
        reason: Code,
    },
    /// A connection or a request was refused before it reached a room.
    Shed {
        /// Why.
        code: Code,
        /// The client's address.
        peer_ip: Option<IpAddr>,
    },
    /// An admin changed something.
    AdminCalled {
        /// The call's name (`delete_room`).
        call: &'static str,
        /// The API key of its token.
        key: String,
        /// The room concerned.
        room: Option<String>,
        /// How it ended.
        outcome: Outcome,
    },
    /// The drain went on to its next phase.
    DrainAdvanced {
        /// The phase that begins.
        phase: DrainPhase,
    },
    /// Keys were fetched, or could not be.
    KeysRefreshed {
        /// `jwks`, `oidc`.
        source: &'static str,
        /// Keys now held, or why the fetch failed; the old ones then stay.
        keys: Result<usize, String>,
    },
    /// Traces or log lines could not be handed to their collector.
    ExportFailed {
        /// `traces`, `logs`.
        kind: &'static str,
        /// What was in the way, in this router's words.
        cause: String,
        /// How many will not arrive.
        lost: u64,
    },
    /// The collector takes them again.
    ExportRecovered {
        /// `traces`, `logs`.
        kind: &'static str,
    },
    /// A token could not be introspected for want of the endpoint.
    IntrospectionFailed {
        /// Why; says nothing of what was asked.
        fault: String,
    },
    /// The system did not hand over a connection that waited to be accepted: files or memory are short.
    AcceptFailed {
        /// What the system said.
        error: String,
    },
    /// Certificates were taken up again, or could not be.
    CertificatesReloaded {
        /// Whether the new ones are in force.
        ok: bool,
    },
    /// A listener shows a certificate, from now on.
    CertificateShown {
        /// `client` or `ops`.
        listener: &'static str,
        /// When it ends being valid, since the Unix epoch.
        expires: Duration,
    },
    /// A worker thread has not come back from a task for longer than is allowed. Told once a stall.
    WorkerStalled {
        /// Its number in the runtime.
        worker: usize,
        /// Its thread, as the system numbers it.
        tid: Option<u32>,
        /// How long it has been away so far.
        stalled_for: Duration,
        /// Where it is.
        place: Box<Whereabouts>,
    },
    /// Where a stalled worker was when its thread was asked: told after [`Event::WorkerStalled`], once there are names.
    StallPlaced {
        /// Its number in the runtime.
        worker: usize,
        /// Its thread, as the system numbers it.
        tid: Option<u32>,
        /// Whether it waited for something; else it ran, or could have.
        blocked: bool,
        /// Its functions, the innermost first.
        stack: Vec<String>,
    },
    /// A worker thread that was stalled has come back, or has ended.
    WorkerReturned {
        /// Its number in the runtime.
        worker: usize,
        /// Its thread, as the system numbers it.
        tid: Option<u32>,
        /// How long it was away in all.
        stalled_for: Duration,
    },
    /// The profiler began to sample, with another sampler than before, or ended; by configuration, by an operator, or
    /// because a sampler refused.
    ProfilerChanged {
        /// The sampler that runs now; absent: none.
        sampler: Option<&'static str>,
        /// Why none runs, or why not the default.
        why: Option<String>,
    },
    /// Something happened to a capture of a bad minute.
    Captured(Captured),
    /// Something happened to variants.
    Variant(Varied),
    /// Something happened in the choice of media nodes.
    Placement(Placing),
    /// The baseline could not be read back, or could not be kept.
    BaselineFailed {
        /// `read`, `write`.
        doing: &'static str,
        /// What was in the way, and what became of the file.
        why: String,
    },
    /// What a thread beside the workers does at an interval panicked, once; it goes on at its next one. The panic's
    /// own words are not part of this: they may hold anything.
    TickPanicked {
        /// `metronome` (drains latencies), `watchdog`, `profiler`, `captures`, `baseline` (keeps it).
        thread: &'static str,
    },
    /// The guard did something.
    Guard(Guarded),
    /// A fault was injected on purpose, which only a router that runs with `--dev` allows.
    FaultInjected {
        /// Which.
        fault: Fault,
    },
    /// A fault that was injected on purpose is over.
    FaultEnded {
        /// Which.
        fault: Fault,
        /// How long it was there.
        lasted: Duration,
    },
    /// The configuration was read again and is what runs; all that it changes is in force for what begins from now on.
    ConfigReloaded {
        /// 1 at start, one more each time that something changed.
        generation: u64,
        /// Of all values that routers of a fleet have in common.
        hash: u64,
        /// What changed; nothing: it says what ran already.
        changes: Vec<Changed>,
        /// Of the rules of the fleet that run, their revision; 0: none.
        rules: i64,
        /// Whether the file is refused all the same: only the rules of the fleet were taken up.
        refused: bool,
    },
    /// The configuration was read again and refused as a whole; what ran runs on.
    ConfigRefused {
        /// Each mistake, or each change that needs a restart; values of secrets are hidden.
        why: Vec<String>,
        /// The revision of the rules of the fleet that were refused, 0 when they were to go; absent: the file was refused.
        rules: Option<i64>,
    },
    /// Something happened between this router and a media node.
    Media(MediaFact),
    /// Something happened between this router and the directory of its fleet.
    Directory(DirectoryFact),
    /// Something happened to a room that is kept outside of its router.
    Keeping(KeepingFact),
    /// Something happened to what Redis did not take.
    Journal(JournalFact),
    /// Something happened between this router and the Redis that keeps its rooms.
    Fabric(FabricFact),
    /// Something happened between this router and one whose rooms its clients are in, or the other way round.
    Relay(RelayFact),
    /// What is logged was changed while running.
    LogLevelChanged {
        /// What was logged before.
        from: String,
        /// What is logged now.
        to: String,
    },
}
