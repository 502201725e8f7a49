//! Rules of the router, in virtual time: a world of connections around one router.

mod acknowledging;
mod administering;
mod bounds;
mod configuring;
mod draining;
mod ending;
mod joining;
mod keeping;
mod media;
mod messaging;
mod permissions;
mod placing;
mod recovery;
mod resuming;
mod timing;
mod tracks;
mod updating;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::*;
use crate::placement;
use crate::protocol::{
    Limits,
    v1::{self, ClientFrame, Permissions, client_frame::Op, event::Kind},
};
use crate::{fabric, ids::Epoch};

const EPOCH_MS: u64 = 1_800_000_000_000;

pub(super) fn settings() -> Settings {
    Settings {
        limits: Limits::default(),
        auto_create: true,
        empty_timeout: Duration::from_secs(30),
        participants_max: 100,
        rooms_max: 10,
        sessions_max: 100,
        history_events: 100,
        history_age: Duration::from_secs(60),
        history_bytes: 1 << 20,
        linger: Duration::from_secs(20),
        held_pushes: 8,
        held_bytes: 1 << 16,
        replies: 16,
        snapshot_part: 3,
        signal_timeout: Duration::from_millis(150),
        placement: placement::Settings::default(),
        tells_of_nodes: true,
        ping: Duration::from_secs(15),
        enforce_expiry: true,
        expiry_notice: Duration::from_secs(60),
        region: "sh".to_owned(),
        ice: IceSettings::default(),
        resume_secret: vec![7; 32],
        seed: 1,
        keeping: None,
        reconnect_url: "ws://else".to_owned(),
    }
}

pub(super) fn allowed() -> Permissions {
    Permissions { can_publish: true, can_subscribe: true, can_publish_data: true, ..Permissions::default() }
}

pub(super) fn admin() -> Permissions {
    Permissions { room_admin: true, ..allowed() }
}

pub(super) fn hidden() -> Permissions {
    Permissions { hidden: true, ..allowed() }
}

pub(super) fn grant(identity: &str) -> Grant {
    Grant {
        key: "key".to_owned(),
        identity: identity.into(),
        name: String::new(),
        metadata: String::new(),
        attributes: BTreeMap::new(),
        room: None,
        room_join: true,
        room_create: false,
        room_list: false,
        permissions: allowed(),
        expires_at_ms: None,
    }
}

pub(super) fn join_room(room: &str) -> v1::Join {
    v1::Join { room: room.to_owned(), ..v1::Join::default() }
}

/// Connections around one router.
pub(super) struct World {
    pub(super) router: Router,
    start: Instant,
    pub(super) elapsed: Duration,
    inbox: BTreeMap<u64, Vec<ServerFrame>>,
    pub(super) closed: BTreeMap<u64, Code>,
    pub(super) attached: BTreeSet<u64>,
    pub(super) events: Vec<Event>,
    /// How each signal ended, in order.
    pub(super) ended: Vec<Outcome>,
    /// What each connection was attached with.
    pub(super) labels: BTreeMap<u64, Labels>,
    /// Calls to media nodes since the last look: the node, the call, its ticket.
    pub(super) calls: Vec<(String, MediaCall, Option<MediaTicket>)>,
    /// What was asked of whoever keeps rooms since the last look.
    pub(super) asks: Vec<(RoomId, Epoch, fabric::Ask)>,
    /// Tickets that a signal waits for.
    waiting: BTreeSet<MediaTicket>,
    /// Answers that are held: when each is late, and whether a signal ends with it.
    pub(super) held: BTreeMap<AnswerTicket, (Instant, bool)>,
    /// Of whoever opens.
    pub(super) variant: Variant,
    wake: Option<Instant>,
    admin_reply: Option<Result<AdminReply, Refusal>>,
    request: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self {
            router: Router::new(settings),
            start: Instant::now(),
            elapsed: Duration::ZERO,
            inbox: BTreeMap::new(),
            closed: BTreeMap::new(),
            attached: BTreeSet::new(),
            events: Vec::new(),
            ended: Vec::new(),
            labels: BTreeMap::new(),
            calls: Vec::new(),
            asks: Vec::new(),
            waiting: BTreeSet::new(),
            held: BTreeMap::new(),
            variant: Variant::default(),
            wake: None,
            admin_reply: None,
            request: 100,
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { at: self.start + self.elapsed, unix_ms: EPOCH_MS + self.elapsed.as_millis() as u64 }
    }

    pub(super) fn handle(&mut self, input: Input) {
        let mut out = Vec::new();
        let now = self.now();
        let signals = match &input {
            Input::Open { .. } | Input::Frame { .. } => 1,
            Input::MediaReply(outcome) => usize::from(self.waiting.remove(&outcome.ticket)),
            _ => 0,
        };
        let of_signal = matches!(input, Input::Open { .. } | Input::Frame { .. });
        let (mut awaiting, mut released) = (0, 0);
        if let Input::Late(ticket) = &input {
            let (by, is_signal) = self.held.remove(ticket).expect("late once, and not when it was released");
            assert!(by <= now.at);
            released += usize::from(is_signal);
        }
        let before = self.ended.len();
        self.router.handle(input, now, &mut out);
        for output in out {
            match output {
                Output::Attach { connection, labels, .. } => {
                    assert!(self.attached.insert(connection.0));
                    self.labels.insert(connection.0, labels);
                }
                Output::Detach { connection } => assert!(!self.attached.contains(&connection.0)),
                Output::Send { to, frame, ends, .. } => {
                    self.ended.extend(ends);
                    self.deliver(to, &frame);
                }
                Output::Ended(outcome) => self.ended.push(outcome),
                Output::Fanout { to, frame } => to.into_iter().for_each(|to| self.deliver(to, &frame)),
                Output::Close { connection, refusal } => {
                    assert!(self.attached.remove(&connection.0));
                    assert_eq!(self.closed.insert(connection.0, refusal.code), None);
                }
                Output::AdminReply { reply, .. } => self.admin_reply = Some(reply),
                Output::Awaits(ticket) => {
                    // one that waits for it on another connection has ended
                    self.waiting.insert(ticket);
                    awaiting += 1;
                }
                Output::Hold { ticket, by } => {
                    assert_eq!(self.held.insert(ticket, (by, of_signal)), None);
                    awaiting += usize::from(of_signal);
                }
                Output::Release(ticket) => {
                    let (by, is_signal) = self.held.remove(&ticket).expect("released once");
                    assert!(now.at <= by, "in time");
                    released += usize::from(is_signal);
                }
                Output::Media { node, call, ticket, .. } => {
                    self.calls.push((node.as_str().to_owned(), *call, ticket));
                }
                Output::Keep { room, epoch, ask } => self.asks.push((room, epoch, ask)),
                Output::Wake(at) => self.wake = Some(at),
                Output::Observe(event) => self.events.push(event),
            }
        }
        let ended = self.ended.len() - before;
        assert_eq!(ended + awaiting, signals + released, "a signal ends once, and nothing else does");
    }

    fn deliver(&mut self, to: ConnectionId, frame: &ServerFrame) {
        assert!(!self.closed.contains_key(&to.0), "a frame after the close: {frame:?}");
        self.inbox.entry(to.0).or_default().push(frame.clone());
    }

    pub(super) fn open(&mut self, connection: u64, grant: Grant, opening: Opening) -> Vec<ServerFrame> {
        let labels = Labels { scenario: connection as u32, ..Labels::default() };
        let (grant, variant) = (Box::new(grant), self.variant.clone());
        self.handle(Input::Open { connection: ConnectionId(connection), grant, id: Some(1), opening, labels, variant });
        self.take_replies(connection, 1)
    }

    /// Joins; the parts of the answer.
    pub(super) fn enter(
        &mut self,
        connection: u64,
        grant: Grant,
        join: v1::Join,
    ) -> Result<Vec<v1::Joined>, v1::Error> {
        let frames = self.open(connection, grant, Opening::Join(Box::new(join)));
        frames.into_iter().map(joined_of).collect()
    }

    /// Joins room `r` and must succeed.
    pub(super) fn join(&mut self, connection: u64, identity: &str) -> v1::Joined {
        self.join_as(connection, identity, allowed())
    }

    pub(super) fn join_as(&mut self, connection: u64, identity: &str, permissions: Permissions) -> v1::Joined {
        let grant = Grant { permissions, ..grant(identity) };
        let mut parts = self.enter(connection, grant, join_room("r")).expect("the join succeeds");
        parts.swap_remove(0)
    }

    pub(super) fn refused_join(&mut self, connection: u64, grant: Grant, join: v1::Join) -> Code {
        let error = self.enter(connection, grant, join).expect_err("the join is refused");
        assert!(!self.attached.contains(&connection));
        Code::by_name(&error.code).expect("a code of the table")
    }

    pub(super) fn frame(&mut self, connection: u64, id: Option<u64>, op: Op, grant: Option<Grant>) {
        let frame = Box::new(ClientFrame { id, traceparent: String::new(), op: Some(op) });
        self.handle(Input::Frame { connection: ConnectionId(connection), frame, grant: grant.map(Box::new) });
    }

    /// A request and its one reply.
    pub(super) fn ask(&mut self, connection: u64, op: Op) -> Body {
        self.ask_with(connection, op, None)
    }

    pub(super) fn ask_with(&mut self, connection: u64, op: Op, grant: Option<Grant>) -> Body {
        self.request += 1;
        let id = self.request;
        self.frame(connection, Some(id), op, grant);
        let mut replies = self.take_replies(connection, id);
        assert_eq!(replies.len(), 1, "one reply to each request");
        replies.remove(0).body.expect("a body")
    }

    /// A request that succeeds.
    pub(super) fn done(&mut self, connection: u64, op: Op) -> v1::Ok {
        match self.ask(connection, op) {
            Body::Ok(ok) => *ok,
            other => panic!("refused: {other:?}"),
        }
    }

    /// A request that is refused.
    pub(super) fn refused(&mut self, connection: u64, op: Op) -> Code {
        code_of(&self.ask(connection, op))
    }

    pub(super) fn admin(&mut self, call: AdminCall) -> Result<AdminReply, Refusal> {
        self.start_admin(call);
        self.admin_reply.take().expect("an answer to each call")
    }

    /// A call whose answer may be held.
    pub(super) fn start_admin(&mut self, call: AdminCall) {
        self.handle(Input::Admin { request: 1, by: "ops".to_owned(), call });
    }

    /// Its answer, if it has one by now.
    pub(super) fn admin_answer(&mut self) -> Option<Result<AdminReply, Refusal>> {
        self.admin_reply.take()
    }

    /// A request whose answer may be held; its id.
    pub(super) fn start(&mut self, connection: u64, op: Op) -> u64 {
        self.request += 1;
        let id = self.request;
        self.frame(connection, Some(id), op, None);
        id
    }

    /// Answers that came to a request since the last look.
    pub(super) fn answers(&mut self, connection: u64, id: u64) -> Vec<Body> {
        self.take_replies(connection, id).into_iter().filter_map(|frame| frame.body).collect()
    }

    pub(super) fn lose(&mut self, connection: u64) {
        self.attached.remove(&connection);
        self.handle(Input::Lost { connection: ConnectionId(connection), reason: Code::ConnectionLost });
    }

    /// Resumes with a token as the gateway would have verified it.
    pub(super) fn resume(&mut self, connection: u64, grant: Grant, resume: v1::Resume) -> Vec<ServerFrame> {
        let claims = ResumeTokens::new(&[7; 32]).verify(&resume.resume_token).expect("a token of ours");
        self.open(connection, grant, Opening::Resume { claims, resume })
    }

    /// Resumes and must succeed.
    pub(super) fn back(&mut self, connection: u64, identity: &str, resume: v1::Resume) -> v1::Resumed {
        let mut frames = self.resume(connection, grant(identity), resume);
        match frames.remove(0).body {
            Some(Body::Resumed(resumed)) => *resumed,
            other => panic!("not resumed: {other:?}"),
        }
    }

    /// What was pushed to a connection since the last look.
    pub(super) fn pushes(&mut self, connection: u64) -> Vec<Body> {
        let (pushes, replies): (Vec<_>, Vec<_>) =
            self.take(connection).into_iter().partition(|frame| frame.id.is_none());
        self.inbox.insert(connection, replies);
        pushes.into_iter().filter_map(|frame| frame.body).collect()
    }

    /// The room events among the pushes.
    pub(super) fn kinds(&mut self, connection: u64) -> Vec<Kind> {
        self.pushes(connection).into_iter().filter_map(kind_of).collect()
    }

    pub(super) fn take(&mut self, connection: u64) -> Vec<ServerFrame> {
        self.inbox.remove(&connection).unwrap_or_default()
    }

    pub(super) fn take_replies(&mut self, connection: u64, id: u64) -> Vec<ServerFrame> {
        let (replies, rest): (Vec<_>, Vec<_>) = self.take(connection).into_iter().partition(|f| f.id == Some(id));
        self.inbox.insert(connection, rest);
        replies
    }

    /// Lets time pass; ticks come when they were asked for.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.elapsed + time;
        loop {
            let late = self.held.iter().map(|(ticket, (by, _))| (*by, *ticket)).min();
            let next = late.map(|(by, _)| by).into_iter().chain(self.wake).min();
            let Some(next) = next.filter(|next| *next <= self.start + end) else { break };
            self.elapsed = self.elapsed.max(next - self.start);
            match late.filter(|(by, _)| *by == next) {
                Some((_, ticket)) => self.handle(Input::Late(ticket)),
                None => {
                    self.wake = None;
                    self.handle(Input::Tick);
                }
            }
        }
        self.elapsed = end;
    }
}

pub(super) fn kind_of(body: Body) -> Option<Kind> {
    match body {
        Body::Event(event) => event.kind,
        _ => None,
    }
}

fn joined_of(frame: ServerFrame) -> Result<v1::Joined, v1::Error> {
    match frame.body {
        Some(Body::Joined(joined)) => Ok(*joined),
        Some(Body::Error(error)) => Err(error),
        other => panic!("neither joined nor refused: {other:?}"),
    }
}

pub(super) fn code_of(body: &Body) -> Code {
    match body {
        Body::Error(error) => Code::by_name(&error.code).expect("a code of the table"),
        other => panic!("not refused: {other:?}"),
    }
}

/// `left ann left`, for short assertions.
pub(super) fn words(kinds: &[Kind]) -> Vec<String> {
    kinds.iter().map(word).collect()
}

fn word(kind: &Kind) -> String {
    match kind {
        Kind::ParticipantJoined(p) => format!("joined {}", p.identity),
        Kind::ParticipantLeft(p) => format!("left {} {}", p.identity, p.reason),
        Kind::ParticipantReconnecting(p) => format!("reconnecting {}", p.identity),
        Kind::ParticipantResumed(p) => format!("resumed {}", p.identity),
        Kind::ParticipantUpdated(p) => format!("updated {}", p.identity),
        Kind::TrackPublished(t) => format!("published {}", t.participant),
        Kind::TrackUnpublished(t) => format!("unpublished {}", t.participant),
        Kind::TrackMuted(t) => format!("muted {} {} by {}", t.participant, t.muted, t.by),
        Kind::TrackSubscribed(t) => format!("subscribed {} {}", t.participant, t.subscribed),
        Kind::RoomUpdated(r) => format!("room {}", r.metadata),
        Kind::RoomClosed(r) => format!("closed {}", r.reason),
        Kind::RoomContinued(c) => format!("continued after {}", c.offset),
        Kind::RoomMerged(m) => format!("merged {}..{}", m.after, m.last),
        Kind::MediaMoved(m) => {
            format!("moved {} {}", m.media.as_ref().map_or("nowhere", |media| &media.node), m.reason)
        }
    }
}

pub(super) fn say(text: &str) -> Op {
    Op::Send(v1::Send { data: Some(format!("\"{text}\"")), ..v1::Send::default() })
}

pub(super) fn say_to(to: &[&str], text: &str) -> Op {
    let to = to.iter().map(|to| (*to).to_owned()).collect();
    Op::Send(v1::Send { to, data: Some(format!("\"{text}\"")), ..v1::Send::default() })
}

pub(super) fn offer_to(to: &str) -> Op {
    let offer = Some(v1::SessionDescription { sdp: "v=0".to_owned(), ice_restart: false });
    Op::Signal(v1::Signal { to: to.to_owned(), offer, ..v1::Signal::default() })
}

pub(super) fn camera(cid: &str) -> Op {
    Op::Publish(Box::new(v1::Publish {
        cid: cid.to_owned(),
        kind: v1::TrackKind::Video as i32,
        source: v1::TrackSource::Camera as i32,
        ..v1::Publish::default()
    }))
}

pub(super) fn set_mute(track: &str, muted: bool) -> Op {
    Op::Mute(v1::Mute { track: track.to_owned(), muted })
}

pub(super) fn resume_of(joined: &v1::Joined) -> v1::Resume {
    v1::Resume {
        resume_token: joined.resume_token.clone(),
        epoch: joined.epoch.clone(),
        offset: joined.offset,
        seq: joined.seq,
    }
}
