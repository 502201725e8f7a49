//! Calls to media nodes, and the signals that wait for them: held by ticket, each ended once, by the node's answer or at
//! its deadline.
//!
//! The router hears of every ticket exactly once. What comes later than that is nobody's any more.

use std::{fmt, sync::Arc, time::Instant};

use ahash::AHashMap;

use super::{
    Arrival, Shard, Shards,
    deadlines::{Deadlines, since_arrival},
};
use crate::{
    event::{Outcome, Signal, SpanRef, Stage, TraceId},
    ids::{ConnectionId, NodeId, RoomId},
    io::guard::UnderWay,
    placement::NodeFact,
    protocol::{Code, Refusal, v1},
    router::{Input, MediaCall, MediaOutcome, MediaTicket},
};

/// A call to a media node, with what is known of where it comes from.
#[derive(Debug)]
pub struct MediaAsk {
    /// Which node.
    pub node: NodeId,
    /// What.
    pub call: MediaCall,
    /// Set: the outcome is waited for, and goes to [`Shards::media_reply`].
    pub ticket: Option<MediaTicket>,
    /// Later than that its answer is of no use.
    pub by: Instant,
    /// Where it stands in a trace: below the client's own span, else below its connection's.
    pub parent: Option<SpanRef>,
    /// The `X-Trace-ID` of the client's connection.
    pub trace: Option<TraceId>,
}

/// Takes a call to a media node, or refuses it; never waits.
pub type CallMedia = Arc<dyn Fn(MediaAsk) -> Result<(), Refusal> + Send + Sync>;

/// What one shard knows of its calls.
#[derive(Default)]
pub(super) struct Calls {
    /// Absent: nobody carries them out.
    call: Option<CallMedia>,
    waiting: AHashMap<MediaTicket, Waiting>,
    deadlines: Deadlines<MediaTicket>,
    /// Calls that were not taken; the router has yet to hear of it.
    untaken: Vec<MediaOutcome>,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

/// Somebody waits for a call's outcome.
#[derive(Debug)]
struct Waiting {
    /// The signal that ends with it, and its connection; absent: none does, or signals are not measured.
    signal: Option<(ConnectionId, Box<Signal>)>,
    /// The signal's places among those that may be under way at once.
    under_way: Option<UnderWay>,
    since: Instant,
    /// Once the call has left.
    by: Option<Instant>,
}

impl Waiting {
    fn since(at: Instant) -> Self {
        Self { signal: None, under_way: None, since: at, by: None }
    }
}

impl Calls {
    pub(super) fn through(call: Option<CallMedia>) -> Self {
        Self { call, ..Self::default() }
    }

    /// When the next one has waited for long enough.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    fn take(&mut self, ticket: MediaTicket) -> Option<Waiting> {
        let waiting = self.waiting.remove(&ticket)?;
        if let Some(by) = waiting.by {
            self.deadlines.clear(by, ticket);
        }
        Some(waiting)
    }

    /// The ticket's call has to be answered by then.
    fn limit(&mut self, ticket: MediaTicket, by: Instant, at: Instant) -> Instant {
        let waiting = self.waiting.entry(ticket).or_insert_with(|| Waiting::since(at));
        let by = since_arrival(waiting.signal.as_ref(), by, at);
        if let Some(before) = waiting.by.replace(by) {
            self.deadlines.clear(before, ticket);
        }
        self.deadlines.set(by, ticket);
        by
    }
}

impl Shard {
    /// The signal at hand ends with the outcome of a call. One that waited for it before, on a connection that is gone,
    /// has ended.
    pub(super) fn awaits(&mut self, ticket: MediaTicket, at: Instant) {
        let (signal, under_way) = (self.hand.signal.take(), self.hand.under_way.take());
        let waiting = self.media.waiting.entry(ticket).or_insert_with(|| Waiting::since(at));
        waiting.under_way = under_way;
        let before = std::mem::replace(&mut waiting.signal, signal);
        if let Some((connection, signal)) = before {
            self.signal_ended(connection, signal, Outcome::Gone, at);
        }
    }

    pub(super) fn call_media(
        &mut self,
        (node, call): (NodeId, MediaCall),
        (ticket, by): (Option<MediaTicket>, Instant),
        at: Instant,
    ) {
        let by = ticket.map_or(by, |ticket| self.media.limit(ticket, by, at));
        let (parent, trace) = self.trace_of(ticket);
        let room = RoomId::from(call.room());
        let taken = match &self.media.call {
            Some(carry_out) => carry_out(MediaAsk { node, call, ticket, by, parent, trace }),
            None => Err(Code::NoMediaNode.refuse()),
        };
        if let (Err(refusal), Some(ticket)) = (taken, ticket) {
            self.media.untaken.push(MediaOutcome { ticket, room, result: Err(refusal) });
        }
    }

    /// Where a call stands in a trace: by the signal that waits for it, else by the one that brought it about.
    fn trace_of(&self, ticket: Option<MediaTicket>) -> (Option<SpanRef>, Option<TraceId>) {
        let waiting = ticket.and_then(|ticket| self.media.waiting.get(&ticket)?.signal.as_ref());
        let connection = waiting.map(|(connection, _)| *connection).or(self.hand.cause.map(|(from, _)| from));
        let outbound = connection.and_then(|connection| self.outbounds.get(&connection));
        let origin = outbound.and_then(|outbound| outbound.origin().trace);
        let parent = waiting.and_then(|(_, signal)| signal.parent.as_deref().copied());
        let parent = parent.or(origin.map(|(trace, span)| SpanRef { trace, span, sampled: false }));
        (parent, origin.map(|(trace, _)| trace))
    }

    /// A call has ended: the signal that waited for it is at hand again, until the router has ended it.
    pub(super) fn media_reply(&mut self, outcome: MediaOutcome, at: Instant) {
        let Some(waiting) = self.media.take(outcome.ticket) else { return };
        self.hand.under_way = waiting.under_way;
        self.hand.signal = waiting.signal.map(|(connection, mut signal)| {
            signal.timeline.call(Stage::Media, at.saturating_duration_since(waiting.since));
            (connection, signal)
        });
        self.turn(Input::MediaReply(outcome));
        debug_assert!(self.hand.signal.is_none(), "a signal ends with the call that it waited for");
        self.end_unanswered(Outcome::Refused(Code::Internal), at);
        self.hand.under_way = None;
    }

    /// Calls that were not taken end at once.
    pub(super) fn tell_untaken(&mut self) {
        while let Some(outcome) = self.media.untaken.pop() {
            self.media_reply(outcome, Instant::now());
        }
    }

    /// What was due by now: calls that were not answered in time, then the router's timers.
    pub(super) fn time_came(&mut self) {
        let now = Instant::now();
        while let Some(ticket) = self.media.deadlines.expired(now) {
            let result =
                Err(Code::DeadlineExceeded.because("the media node did not answer before the signal's deadline"));
            self.media_reply(MediaOutcome { ticket, room: RoomId::from(""), result }, now);
        }
        self.end_late_answers(now);
        if self.wake.is_some_and(|at| at <= now) {
            self.wake = None;
            self.turn(Input::Tick);
            self.show_nodes_in_time(now);
        }
        self.tell_untaken();
    }
}

impl Shards {
    /// Tells every shard a fact about a media node. Waits for room in their inboxes: a fact that one of them misses would
    /// make it choose otherwise than the others, for good.
    pub async fn node(&self, fact: NodeFact) {
        let tell = |inbox: tokio::sync::mpsc::Sender<Arrival>| {
            let fact = Arrival::Input(Input::Node(fact.clone()));
            // one that has ended chooses nothing
            async move { inbox.send(fact).await.ok() }
        };
        futures_util::future::join_all(self.handles.iter().map(|handle| tell(handle.inbox.clone()))).await;
    }

    /// The outcome of a call that had a ticket.
    pub async fn media_reply(&self, outcome: MediaOutcome) {
        let inbox = &self.handles[self.of(&outcome.room)].inbox;
        inbox.send(Arrival::Input(Input::MediaReply(outcome))).await.ok();
    }

    /// What a node has to say to a participant; waits a bounded time when the room's shard has a full inbox.
    ///
    /// # Errors
    /// `overloaded` when it was not taken.
    pub async fn media_push(&self, node: NodeId, push: v1::MediaPush) -> Result<(), Refusal> {
        let shard = self.of(&RoomId::from(push.room.as_str()));
        let arrival = Arrival::Input(Input::MediaPush { node, push: Box::new(push) });
        self.send(shard, arrival).await.map_err(|(refusal, _)| refusal)
    }
}
