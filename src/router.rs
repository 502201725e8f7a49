//! Composes auth's grants, sessions and rooms: `(state, Input, now) -> Outputs`.
//!
//! One router owns a hash slice of the rooms, alone. No I/O, no clock, no lock, no await: time and
//! connections come in as values, everything that must happen outside leaves as an [`Output`].

mod admin;
mod contract;
mod ending;
mod opening;
mod ops;
mod snapshot;
#[cfg(test)]
mod tests;
mod timers;
mod update;

use std::time::Instant;

use ahash::AHashMap;
pub use contract::{AdminCall, AdminReply, IceSettings, Input, Now, Opening, Output, Settings, slice_of};
use timers::{Timer, Timers};

use crate::{
    event::{Event, Outcome},
    ids::{ConnectionId, Epoch, Offset, ParticipantId, RoomId, SessionId},
    protocol::{
        Code, OpKind, Refusal,
        v1::{self, ServerFrame, server_frame::Body},
    },
    room::{HistoryBounds, Push, Room, RoomSettings},
    session::{HeldBounds, ResumeTokens, Session},
};

/// See the module.
#[derive(Debug)]
pub struct Router {
    settings: Settings,
    tokens: ResumeTokens,
    random: fastrand::Rng,
    rooms: AHashMap<RoomId, Room>,
    sessions: AHashMap<SessionId, Session>,
    /// Which session a connection belongs to.
    connections: AHashMap<ConnectionId, SessionId>,
    /// Which session a participant belongs to.
    members: AHashMap<ParticipantId, SessionId>,
    timers: Timers,
    drain_until: Option<Instant>,
}

/// One request under way: who gets its answer.
#[derive(Clone, Copy, Debug)]
struct Request {
    connection: ConnectionId,
    id: Option<u64>,
    op: OpKind,
    received: Instant,
}

impl Router {
    /// A router without rooms.
    pub fn new(settings: Settings) -> Self {
        Self {
            tokens: ResumeTokens::new(&settings.resume_secret),
            random: fastrand::Rng::with_seed(settings.seed),
            settings,
            rooms: AHashMap::new(),
            sessions: AHashMap::new(),
            connections: AHashMap::new(),
            members: AHashMap::new(),
            timers: Timers::default(),
            drain_until: None,
        }
    }

    /// Rooms, empty ones included.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Sessions, lingering ones included.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Participants, lingering ones included.
    pub fn participants(&self) -> usize {
        self.members.len()
    }

    /// Takes one input; what must happen is added to `out`, in order.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Frame { connection, frame, grant, received } => {
                let request = Request { connection, id: frame.id, op: OpKind::of(frame.op.as_ref()), received };
                self.frame(request, *frame, grant, now, out);
            }
            Input::Open { connection, grant, id, opening, received } => {
                let op = match &opening {
                    Opening::Join(_) => OpKind::Join,
                    Opening::Resume { .. } => OpKind::Resume,
                };
                self.open(Request { connection, id, op, received }, *grant, opening, now, out);
            }
            Input::Lost { connection, reason } => self.lost(connection, reason, now, out),
            Input::Admin { request, by, call } => {
                let reply = self.admin(&by, call, now, out);
                out.push(Output::AdminReply { request, reply });
            }
            Input::Drain { window } => self.drain(window, now, out),
            Input::Tick => self.tick(now, out),
        }
        if let Some(at) = self.timers.next() {
            out.push(Output::Wake(at));
        }
    }

    /// A random id of 96 bits under a prefix.
    fn new_id(&mut self, prefix: &str) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let mut id = String::with_capacity(prefix.len() + 16);
        id.push_str(prefix);
        id.extend((0..16).map(|_| char::from(ALPHABET[self.random.usize(..ALPHABET.len())])));
        id
    }

    fn held_bounds(&self) -> HeldBounds {
        HeldBounds { pushes: self.settings.held_pushes, bytes: self.settings.held_bytes }
    }

    /// Makes a room; says nothing when it exists.
    fn create_room(
        &mut self,
        id: &RoomId,
        asked: Option<&v1::CreateRoomRequest>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        if self.rooms.contains_key(id) {
            return Ok(());
        }
        if self.rooms.len() >= self.settings.rooms_max {
            let why = format!("limits.rooms: the router holds {} rooms", self.rooms.len());
            return Err(Code::RouterFull.because(why).retry_after_ms(1_000));
        }
        let settings = &self.settings;
        let seconds = asked.and_then(|a| a.empty_timeout_seconds).map(|s| std::time::Duration::from_secs(s.into()));
        let room_settings = RoomSettings {
            metadata: asked.map(|a| a.metadata.clone()).unwrap_or_default(),
            participants_max: asked.and_then(|a| a.participants_max).unwrap_or(settings.participants_max),
            empty_timeout: seconds.unwrap_or(settings.empty_timeout),
            history: HistoryBounds {
                events: settings.history_events,
                age: settings.history_age,
                bytes: settings.history_bytes,
            },
        };
        let epoch = Epoch(self.random.u64(..));
        let mut room = Room::new(id.clone(), epoch, now.unix_ms, room_settings);
        room.empty_since = Some(now.at);
        self.timers.add(now.at + room.empty_timeout(), Timer::Empty(id.clone()));
        self.rooms.insert(id.clone(), room);
        out.push(Output::Observe(Event::RoomCreated { room: id.clone() }));
        Ok(())
    }

    /// The one session and room of a participant of this router.
    fn pair(&mut self, session: &SessionId) -> Option<(&mut Session, &mut Room)> {
        let session = self.sessions.get_mut(session)?;
        let room = self.rooms.get_mut(&session.room)?;
        Some((session, room))
    }

    /// Answers a request, once, and remembers the answer for a repeat.
    fn reply(&mut self, request: Request, body: Body, out: &mut Vec<Output>) {
        let outcome = match &body {
            Body::Error(error) => Outcome::Refused(Code::by_name(&error.code).unwrap_or(Code::Internal)),
            _ => Outcome::Ok,
        };
        let silent = request.id.is_none() && matches!(body, Body::Ok(_));
        if !silent {
            let frame = ServerFrame { id: request.id, body: Some(body) };
            if let Some(id) = request.id
                && let Some(session) = self.connections.get(&request.connection)
                && let Some(session) = self.sessions.get_mut(session)
            {
                session.replies.keep(id, frame.clone(), self.settings.replies);
            }
            out.push(Output::Send { to: request.connection, frame: Box::new(frame), exempt: false });
        }
        self.observe_signal(request, outcome, out);
    }

    fn refuse(&mut self, request: Request, refusal: &Refusal, out: &mut Vec<Output>) {
        self.reply(request, Body::Error(refusal.to_wire()), out);
    }

    fn observe_signal(&self, request: Request, outcome: Outcome, out: &mut Vec<Output>) {
        // the outputs are still to be carried out: the timeline of a later change measures up to the flush
        let took = std::time::Duration::ZERO;
        let _ = request.received;
        out.push(Output::Observe(Event::SignalHandled { op: request.op, outcome, took }));
    }

    /// Keeps a directed push for its session and sends it when it is there.
    ///
    /// # Errors
    /// `hold_full` when the session is away and its bound is reached.
    fn direct(
        &mut self,
        to: &ParticipantId,
        make: impl FnOnce(u64) -> Body,
        after: Offset,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let bounds = self.held_bounds();
        let session = self.members.get(to).and_then(|id| self.sessions.get_mut(id));
        let session = session.ok_or_else(|| Code::ParticipantNotFound.refuse())?;
        let frame = ServerFrame { id: None, body: Some(make(session.held.next_seq().0)) };
        let away = session.connection.is_none();
        if away && !session.held.has_room_away(prost::Message::encoded_len(&frame), bounds) {
            let why =
                format!("rooms.held_pushes, rooms.held_bytes: `{}` is away and holds all it may", session.identity);
            return Err(Code::HoldFull.because(why).retry_after_ms(1_000));
        }
        if session.held.keep(frame.clone(), after, away, bounds) == crate::session::Kept::Discarded {
            out.push(Output::Observe(Event::PushDiscarded { buffer: "held" }));
        }
        if let Some(connection) = session.connection {
            out.push(Output::Send { to: connection, frame: Box::new(frame), exempt: false });
        }
        Ok(())
    }
}

/// Hands a room's pushes on.
fn fan_out(pushes: Vec<Push>, out: &mut Vec<Output>) {
    out.extend(pushes.into_iter().map(|push| Output::Fanout { to: push.to, frame: push.frame }));
}
