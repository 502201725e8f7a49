//! Carries out the calls to one node: in order, so many at a time, each under its deadline.
//!
//! A call ends exactly once, and so is told exactly once: to who waits for it, to the shards as a fact about the node,
//! and as an event.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{sync::mpsc, time::timeout_at};
use tonic::{Request, metadata::MetadataValue, transport::Channel};

use super::{
    Shared,
    answers::{Answer, unavailable},
    line::{Asked, Line},
    order::{Order, Place, Turn},
};
use crate::{
    event::{Called, MediaOp, SpanRef, TraceId},
    guard::breaker::Ended,
    ids::RoomId,
    io::{shard::MediaAsk, workers},
    placement::NodeFact,
    protocol::{
        Code, Refusal,
        v1::{self, media_client::MediaClient},
    },
    router::{MediaCall, MediaOutcome, MediaTicket},
};

/// Timers round: a failure this close to the deadline is the deadline, whoever noticed it first.
const ROUNDING: Duration = Duration::from_millis(1);

/// Until the node's line ends; then what still waits is refused.
pub(super) async fn carry_out(shared: Arc<Shared>, line: Arc<Line>, mut asked: mpsc::Receiver<Asked>) {
    let mut order = Order::default();
    let mut under_way = FuturesUnordered::new();
    let mut open = true;
    while open || !order.is_empty() {
        let most = shared.settings.load().calls_in_flight;
        while under_way.len() < most
            && let Some((turn, asked)) = order.next()
        {
            under_way.push(one(shared.clone(), line.clone(), turn, asked));
        }
        tokio::select! {
            biased;
            () = line.ends.cancelled(), if open && !asked.is_closed() => asked.close(),
            Some(turn) = under_way.next() => order.done(turn),
            next = asked.recv(), if open => match next {
                Some(next) => enter(&shared, &line, &mut order, next).await,
                None => open = false,
            },
        }
        workers::step();
    }
}

async fn enter(shared: &Shared, line: &Line, order: &mut Order<Asked>, asked: Asked) {
    if let Err(asked) = order.push(Place::of(&asked.ask.call), asked) {
        let refusal = Code::Overloaded.because("too many calls of this participant wait for the media node");
        let answer = Answer { outcome: Called::Full, result: Err(refusal.retry_after_ms(1_000)) };
        finish(shared, line, Told::of(&asked), answer).await;
    }
}

/// Who and what is told how a call ended.
struct Told {
    op: MediaOp,
    at: Instant,
    waits: Option<(MediaTicket, RoomId)>,
}

impl Told {
    fn of(Asked { ask, op, at }: &Asked) -> Self {
        Self { op: *op, at: *at, waits: ask.ticket.map(|ticket| (ticket, RoomId::from(ask.call.room()))) }
    }
}

/// One call, from its turn to its end.
async fn one(shared: Arc<Shared>, line: Arc<Line>, turn: Turn, asked: Asked) -> Turn {
    let told = Told::of(&asked);
    let answer = send(&shared, &line, asked).await;
    finish(&shared, &line, told, answer).await;
    turn
}

async fn finish(shared: &Shared, line: &Line, told: Told, answer: Answer) {
    line.ended();
    shared.call_ended(&line.id, told.op, answer.outcome, told.at.elapsed());
    if let Some((ticket, room)) = told.waits {
        shared.reply(MediaOutcome { ticket, room, result: answer.result }).await;
    }
}

fn unsent(refusal: Refusal) -> Answer {
    Answer { outcome: Called::Unsent, result: Err(refusal) }
}

async fn send(shared: &Shared, line: &Line, Asked { ask, op, .. }: Asked) -> Answer {
    let now = Instant::now();
    let MediaAsk { call, by, parent, trace, .. } = ask;
    if by <= now {
        let refusal = Code::DeadlineExceeded.because("the deadline passed while the call waited for its turn");
        return Answer { outcome: Called::Expired, result: Err(refusal) };
    }
    let Some(channel) = line.channel() else {
        return unsent(unavailable("the room's media node is not connected"));
    };
    let mut leave = None;
    if !op.is_relief() {
        let (entered, change) = line.gate.enter(now);
        shared.breaker_changed(&line.id, change);
        match entered {
            Ok(entered) => leave = Some(entered),
            Err(refusal) => return unsent(refusal),
        }
    }
    let labels = Labels { left: by - now, parent, trace };
    let called = async {
        let answer = call_node(channel, call, labels, shared.settings.load().message_bytes).await;
        shared.suffer().await;
        answer
    };
    let answer = tokio::select! {
        answer = timeout_at(by.into(), called) => answer.unwrap_or_else(|_| Answer::late()),
        () = line.ends.cancelled() => unsent(unavailable("the room's media node is gone")),
    };
    let ended = Instant::now();
    // the library has a timer of its own, for `grpc-timeout`, and calls its end something else
    let answer = if answer.outcome == Called::Failed && ended + ROUNDING >= by { Answer::late() } else { answer };
    if let Some(leave) = leave {
        let how = match answer.outcome {
            Called::Unsent => Ended::Withdrawn,
            _ if answer.is_of_the_node() => Ended::Answered(ended - now),
            _ => Ended::Failed,
        };
        shared.breaker_changed(&line.id, line.gate.ended(leave, how, ended));
    }
    tell(shared, line, &answer, ended);
    answer
}

/// What the shards learn of the node. That one answers is told now and then; who has no room for it hears of the next one.
fn tell(shared: &Shared, line: &Line, answer: &Answer, at: Instant) {
    let node = line.id.clone();
    if answer.is_of_the_node() {
        if line.answered(at) {
            shared.mention(NodeFact::Answered { node });
        }
    } else if answer.outcome != Called::Unsent {
        line.failed();
        shared.mention(NodeFact::Failed { node });
    }
}

/// What travels beside a call.
#[derive(Clone, Copy)]
struct Labels {
    left: Duration,
    parent: Option<SpanRef>,
    trace: Option<TraceId>,
}

impl Labels {
    fn on<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        // as `grpc-timeout`
        request.set_timeout(self.left);
        let metadata = request.metadata_mut();
        let parent =
            self.parent.map(|SpanRef { trace, span, sampled }| format!("00-{trace}-{span}-{:02x}", u8::from(sampled)));
        for (name, value) in [("traceparent", parent), ("x-trace-id", self.trace.map(|trace| trace.to_string()))] {
            if let Some(value) = value.and_then(|value| MetadataValue::try_from(value).ok()) {
                metadata.insert(name, value);
            }
        }
        request
    }
}

async fn call_node(channel: Channel, call: MediaCall, labels: Labels, message_bytes: usize) -> Answer {
    let mut node = MediaClient::new(channel).max_decoding_message_size(message_bytes);
    let done = match call {
        MediaCall::Offer(request) => {
            return match node.offer(labels.on(request)).await {
                Ok(reply) => match reply.into_inner().answer {
                    Some(answer) if !answer.sdp.is_empty() => Answer::done(Some(answer)),
                    _ => Answer::garbage("holds no SDP"),
                },
                Err(status) => Answer::of(&status),
            };
        }
        MediaCall::PutParticipant(request) => node.put_participant(labels.on(request)).await,
        MediaCall::EndParticipant(request) => node.end_participant(labels.on(request)).await,
        MediaCall::SetPermissions(request) => node.set_permissions(labels.on(request)).await,
        MediaCall::PutTrack(request) => node.put_track(labels.on(request)).await,
        MediaCall::EndTrack(request) => node.end_track(labels.on(request)).await,
        MediaCall::MuteTrack(request) => node.mute_track(labels.on(request)).await,
        MediaCall::Subscribe(request) => node.subscribe(labels.on(request)).await,
        MediaCall::Answer(request) => node.answer(labels.on(request)).await,
        MediaCall::Candidate(request) => node.candidate(labels.on(request)).await,
        MediaCall::EndRoom(request) => node.end_room(labels.on(request)).await,
    };
    done.map_or_else(|status| Answer::of(&status), |_| Answer::done(None))
}

/// Asks a node whose breaker is not closed how it is, if it is time to: so that one that nobody calls any more recovers.
pub(super) async fn probe(shared: Arc<Shared>, line: Arc<Line>, patience: Duration) {
    let begun = Instant::now();
    let Some(channel) = line.channel().filter(|_| !line.gate.is_closed()) else { return };
    let (leave, change) = line.gate.enter(begun);
    shared.breaker_changed(&line.id, change);
    let Ok(leave) = leave else { return };
    let labels = Labels { left: patience, parent: None, trace: None };
    let mut node = MediaClient::new(channel).max_decoding_message_size(shared.settings.load().message_bytes);
    let asked = async {
        let answer = node.health(labels.on(v1::HealthRequest {})).await;
        shared.suffer().await;
        answer
    };
    let answer = match tokio::time::timeout(patience, asked).await {
        Ok(Ok(_)) => Answer::done(None),
        Ok(Err(status)) => Answer::of(&status),
        Err(_) => Answer::late(),
    };
    let took = begun.elapsed();
    let how = if answer.is_of_the_node() { Ended::Answered(took) } else { Ended::Failed };
    shared.breaker_changed(&line.id, line.gate.ended(leave, how, Instant::now()));
    shared.call_ended(&line.id, MediaOp::Health, answer.outcome, took);
    tell(&shared, &line, &answer, Instant::now());
}
