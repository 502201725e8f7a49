//! Composes auth's grants, sessions and rooms: `(state, Input, now) -> Outputs`.
//!
//! One router owns a hash slice of the rooms, alone. No I/O, no clock, no lock, no await: time and
//! connections come in as values, everything that must happen outside leaves as an [`Output`].

mod acknowledging;
mod admin;
mod asking;
mod carriage;
mod contract;
mod directed;
mod drain;
mod ending;
mod explain;
mod frame;
mod halls;
mod ice;
mod join;
mod keeping;
mod leaving;
mod looking;
mod media;
mod merging;
mod ops;
mod records;
mod restoring;
mod resume;
mod settings;
mod telling;
#[cfg(test)]
mod tests;
mod timers;
mod update;
mod welcome;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Instant,
};

use ahash::AHashMap;
use slab::Slab;

pub(crate) use self::drain::{ADVICE_SHARE, STEP as ADVICE_STEP, reconnect_advice};
use self::{
    acknowledging::Answers,
    asking::{Asked, Asks},
    carriage::Carried,
    drain::Drain,
    halls::{Hall, HallKey},
    keeping::{Beat, Rest},
    looking::HeldOpenings,
    timers::{Timer, Timers},
};
pub use self::{
    acknowledging::{Acknowledge, AnswerTicket},
    contract::{AdminCall, AdminReply, Input, Now, Opening, Output},
    explain::{Decided, Explanation, Skipped},
    media::{MediaCall, MediaOutcome, MediaTicket},
    settings::{IceSettings, Keeping as KeepingSettings, Settings},
};
use crate::{
    auth::Grant,
    event::{Event, Labels, Outcome},
    ids::{ConnectionId, RoomId, SessionId, Variant},
    placement::{Change, Placement},
    protocol::{
        Code, Refusal,
        v1::{ServerFrame, server_frame::Body},
    },
    room::{Bounds, Push, Room, Seat, Turn},
    session::{HoldBounds, ResumeTokens, Session},
};

/// The rooms of one slice and the sessions in them.
pub struct Router {
    settings: Settings,
    bounds: Arc<Bounds>,
    tokens: ResumeTokens,
    /// Ids, epochs, jitter. Nothing secret: what must not be guessed is signed.
    rng: fastrand::Rng,
    halls: Slab<Box<Hall>>,
    names: BTreeMap<RoomId, HallKey>,
    sessions: AHashMap<Seat, Box<Seated>>,
    session_ids: AHashMap<SessionId, Seat>,
    connections: AHashMap<ConnectionId, Seat>,
    timers: Timers,
    drain: Option<Drain>,
    placement: Placement,
    carried: Carried,
    /// Rooms of which something waits to be written to whoever keeps them, and since when.
    behind: BTreeSet<(Instant, HallKey)>,
    /// When these are written.
    written_from: Beat,
    /// Calls to media nodes that are under way.
    asked: Asks,
    /// Answers that wait until what they acknowledge is kept.
    answers: Answers,
    /// Openings that wait until it was looked what else there is of their room.
    openings: HeldOpenings,
    /// Rooms that are just being put where another router looks for them.
    departing: BTreeSet<HallKey>,
    seats_given: u64,
    /// Of the latest join.
    latest_key: Arc<str>,
    /// Of the input at hand: what rooms push,
    pushes: Vec<Push>,
    /// and what follows after that. The reply goes before both.
    closing: Vec<Output>,
    /// What the fact at hand changes.
    changes: Vec<Change>,
}

/// A session and where it sits.
#[derive(Debug)]
struct Seated {
    session: Session,
    hall: HallKey,
    lingers_until: Option<Instant>,
    /// The next of the two moments of its token: the notice, then the end.
    expiry: Option<Instant>,
    expiry_told: bool,
    expires_at_ms: Option<u64>,
    /// What a newer version wrote into the records of the participant and of the session.
    rest: Option<Box<(Rest, Rest)>>,
}

impl Router {
    /// An empty router.
    pub fn new(settings: Settings) -> Self {
        Self {
            bounds: Arc::new(bounds_of(&settings)),
            tokens: ResumeTokens::new(&settings.resume_secret),
            rng: fastrand::Rng::with_seed(settings.seed),
            halls: Slab::new(),
            names: BTreeMap::new(),
            sessions: AHashMap::new(),
            session_ids: AHashMap::new(),
            connections: AHashMap::new(),
            timers: Timers::default(),
            drain: None,
            placement: Placement::new(settings.placement.clone(), settings.seed),
            carried: Carried::default(),
            behind: BTreeSet::new(),
            written_from: Beat::new(settings.seed),
            asked: Asks::default(),
            answers: Answers::default(),
            openings: HeldOpenings::default(),
            departing: BTreeSet::new(),
            seats_given: 0,
            latest_key: "".into(),
            pushes: Vec::new(),
            closing: Vec::new(),
            changes: Vec::new(),
            settings,
        }
    }

    /// Rooms that exist.
    pub fn rooms(&self) -> usize {
        self.halls.len()
    }

    /// Sessions, lingering ones included.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions that are connected.
    pub fn attached(&self) -> usize {
        self.connections.len()
    }

    /// Participants, lingering ones included: each session is one.
    pub fn participants(&self) -> usize {
        self.sessions.len()
    }

    /// Carries out one input; what follows from it is appended to `out`, to be carried out in order.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Frame { connection, frame, grant } => self.frame(connection, (frame, grant), now, out),
            Input::Open { connection, grant, id, opening, labels, variant } => {
                self.open(Opened { connection, grant, id, labels, variant }, opening, now, out);
            }
            Input::Lost { connection, reason } => self.lost(connection, reason, now),
            Input::Admin { request, by, call } => {
                let answered = self.admin_answered((request, by), call, now);
                out.push(answered);
            }
            Input::Drain { window } => self.start_drain(window, now),
            Input::Configure(settings) => self.configure(*settings, now),
            Input::Node(fact) => self.node(fact, now),
            Input::MediaReply(outcome) => self.media_reply(outcome, now, out),
            Input::MediaPush { node, push } => self.media_push(&node, *push),
            Input::Elsewhere { room, refusal } => self.make_way(&room, &refusal, now),
            Input::Restore { room, kept } => self.restore(room, *kept, now),
            Input::Kept { room, epoch, answer } => self.kept((&room, epoch), answer, now, out),
            Input::Unkept { room } => self.unkept(&room, now),
            Input::Late(ticket) => {
                if !self.opening_late(ticket, now, out) {
                    self.answer_late(ticket);
                }
            }
            Input::Tick => self.run_timers(now),
        }
        self.flush(out);
        if let Some(at) = self.timers.wake() {
            out.push(Output::Wake(at));
        }
    }

    /// Rooms that exist take the new bounds of what is said in them and of their history; how many they hold and how long
    /// they stay empty was said when they were made. Timers that run are not set anew.
    fn configure(&mut self, settings: Settings, now: Now) {
        self.bounds = Arc::new(bounds_of(&settings));
        for (_, hall) in &mut self.halls {
            hall.room.set_bounds(self.bounds.clone());
        }
        self.placement.configure(settings.placement.clone(), now.at);
        let (seed, resume_secret) = (self.settings.seed, std::mem::take(&mut self.settings.resume_secret));
        self.settings = Settings { seed, resume_secret, tells_of_nodes: self.settings.tells_of_nodes, ..settings };
    }

    fn open(&mut self, opened: Opened, opening: Opening, now: Now, out: &mut Vec<Output>) {
        let (connection, id) = (opened.connection, opened.id);
        if self.connections.contains_key(&connection) || self.openings.contains_key(&connection) {
            return send_error(connection, id, &Code::AlreadyJoined.refuse(), out);
        }
        let result = match opening {
            Opening::Join(join) => self
                .stays_here(self.names.get(join.room.as_str()).copied())
                .and_then(|()| self.join(opened, *join, now, out)),
            Opening::Resume { claims, resume } => match self.looks_first(&claims, &resume, now) {
                Some(hall) => return self.hold_opening(hall, opened, (claims, resume), now, out),
                None => self
                    .stays_here(self.names.get(&claims.room).copied())
                    .and_then(|()| self.resume(opened, (&claims, &resume), now, out)),
            },
        };
        if let Err(refusal) = result {
            refuse_opening(connection, id, &refusal, out);
        }
    }

    /// A connection ended without `leave`.
    fn lost(&mut self, connection: ConnectionId, reason: Code, now: Now) {
        let Some(seat) = self.connections.remove(&connection) else { return self.forget_opening(connection) };
        let Some(seated) = self.sessions.get_mut(&seat) else { return };
        seated.session.detach();
        if self.settings.linger.is_zero() {
            self.end_session(seat, Code::LingeredOut, now);
            return;
        }
        self.timers.arm(&mut seated.lingers_until, now.at + self.settings.linger, Timer::Linger(seat));
        let (hall, session) = (seated.hall, seated.session.id.clone());
        let (room, mut turn) = self.room_turn(hall, now.at);
        room.drop_connection(seat, &mut turn);
        self.settle(hall, now.at);
        self.closing.push(Output::Observe(Event::SessionDropped { session, reason }));
    }

    /// The room and what it needs to speak.
    fn room_turn(&mut self, hall: HallKey, at: Instant) -> (&mut Room, Turn<'_>) {
        (&mut self.halls[hall].room, Turn { at, pushes: &mut self.pushes })
    }

    fn hold_bounds(&self) -> HoldBounds {
        HoldBounds { pushes: self.settings.held_pushes, bytes: self.settings.held_bytes }
    }

    fn new_id(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + ID_LETTERS);
        id.push_str(prefix);
        id.extend(std::iter::repeat_with(|| self.rng.alphanumeric()).take(ID_LETTERS));
        id
    }

    fn flush(&mut self, out: &mut Vec<Output>) {
        for Push { to, frame } in self.pushes.drain(..) {
            match *to {
                [] => {}
                [to] => out.push(Output::Send { to, frame, exempt: false, ends: None }),
                _ => out.push(Output::Fanout { to, frame }),
            }
        }
        out.append(&mut self.closing);
    }
}

fn bounds_of(settings: &Settings) -> Bounds {
    Bounds {
        limits: settings.limits,
        history_events: settings.history_events,
        history_age: settings.history_age,
        history_bytes: settings.history_bytes,
    }
}

/// Letters of an id after its prefix: 71 bits.
const ID_LETTERS: usize = 12;

/// The connection that opens, and what it may do.
#[derive(Debug)]
struct Opened {
    connection: ConnectionId,
    grant: Box<Grant>,
    id: Option<u64>,
    labels: Labels,
    variant: Variant,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("rooms", &self.rooms())
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

fn send_error(to: ConnectionId, id: Option<u64>, refusal: &Refusal, out: &mut Vec<Output>) {
    let frame = Box::new(ServerFrame { id, body: Some(Body::Error(refusal.to_wire())) });
    out.push(Output::Send { to, frame, exempt: false, ends: Some(Outcome::Refused(refusal.code)) });
}

fn refuse_opening(connection: ConnectionId, id: Option<u64>, refusal: &Refusal, out: &mut Vec<Output>) {
    // before the answer: a client that has read it may open anew at once
    out.push(Output::Detach { connection });
    send_error(connection, id, refusal, out);
}

/// Answers a signal that is not carried out, in its router's place; nobody waits for what is no signal.
pub fn refuse(input: &Input, refusal: &Refusal, out: &mut Vec<Output>) {
    match input {
        Input::Open { connection, id, .. } => refuse_opening(*connection, *id, refusal, out),
        Input::Frame { connection, frame, .. } if frame.id.is_some() => {
            send_error(*connection, frame.id, refusal, out);
        }
        Input::Frame { .. } => out.push(Output::Ended(Outcome::Refused(refusal.code))),
        Input::Lost { .. }
        | Input::Admin { .. }
        | Input::Drain { .. }
        | Input::Configure(_)
        | Input::Node(_)
        | Input::MediaReply(_)
        | Input::MediaPush { .. }
        | Input::Elsewhere { .. }
        | Input::Restore { .. }
        | Input::Kept { .. }
        | Input::Unkept { .. }
        | Input::Late(_)
        | Input::Tick => {}
    }
}

/// Which of `slices` routers a room belongs to (stable within a process).
pub fn slice_of(room: &RoomId, slices: usize) -> usize {
    use std::hash::{BuildHasher, Hasher};
    // fixed keys: every part of the process must agree
    let mut hasher = ahash::RandomState::with_seeds(1, 2, 3, 4).build_hasher();
    hasher.write(room.as_str().as_bytes());
    (hasher.finish() % slices.max(1) as u64) as usize
}
