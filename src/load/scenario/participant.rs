//! One session that asks, is answered, listens, drops its connection and comes back: what `call` and `resume` play with.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    SETTLING_MAX,
    absence::{self, Sent},
    group::Group,
};
use crate::{
    load::{
        client::{Client, ClientError, PATIENCE},
        ledger::Ledger,
        measure::Measure,
        media::Told,
        run::{Present, Run},
        stamp::Stamp,
        tokens::Pass,
    },
    protocol::{
        Code,
        v1::{self, ClientFrame, ServerFrame, client_frame::Op, event::Kind, server_frame::Body},
    },
};

/// Requests that may wait for their replies.
const PENDING_MAX: usize = 1_024;

/// Directed pushes after which they are acknowledged.
const ACKNOWLEDGE_EVERY: u64 = 16;

/// What ended a spell of listening.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Its time is over.
    Time,
    /// Somebody of that identity offers.
    Offer(String),
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) measure: Measure,
    due_ns: u64,
    pub(super) op: Op,
}

/// A session and what it waits for.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) run: Arc<Run>,
    pub(super) group: Arc<Group>,
    /// Its place in the room.
    pub(super) me: usize,
    pub(super) number: usize,
    pub(super) pass: Pass,
    /// Absent while it is away.
    pub(super) client: Option<Client>,
    pub(super) pending: BTreeMap<u64, Pending>,
    ledger: Ledger,
    offers: VecDeque<String>,
    /// Places in the room of those it spoke to alone.
    targets: BTreeMap<String, usize>,
    pub(super) tracks: Vec<String>,
    pub(super) acknowledged: u64,
    pub(super) told: Told,
    pub(super) sent: Sent,
    /// How often it went to another router.
    pub(super) moves: u64,
    /// It has said so.
    pub(super) leaves: bool,
}

/// From the join to the end of the books: what is special about a scenario is what its participants `play`.
pub(super) async fn stay(
    run: &Arc<Run>,
    group: &Group,
    entered: Result<Participant, ClientError>,
    play: impl AsyncFnOnce(&mut Participant) -> Result<(), ClientError>,
) {
    group.note_ready();
    let mut participant = match entered {
        Ok(participant) => participant,
        Err(e) => {
            group.note_done();
            return run.refused(&e);
        }
    };
    let _present = Present::new(&run.counts);
    let played = async {
        play(&mut participant).await?;
        participant.settle().await
    };
    if let Err(e) = played.await {
        group.note_done();
        run.refused(&e);
        return participant.close_books();
    }
    if let Err(e) = participant.leave().await {
        run.refused(&e);
    }
    participant.close_books();
}

impl Participant {
    /// Joins with that pass; `due` is when it should have begun to.
    pub(super) async fn enter(
        run: &Arc<Run>,
        group: &Arc<Group>,
        (me, number): (usize, usize),
        pass: Pass,
        due: Instant,
    ) -> Result<Self, ClientError> {
        let (client, joined, retried) = absence::come_in(run, number, &pass).await?;
        run.media.joined(&joined);
        let mut told = Told::default();
        told.joined(&joined);
        if !retried {
            run.record(number, Measure::Join, run.nanos(due), Instant::now());
        }
        let mut participant = Self {
            run: run.clone(),
            group: group.clone(),
            me,
            number,
            pass,
            client: Some(client),
            pending: BTreeMap::new(),
            ledger: Ledger::new(group.flows()),
            offers: VecDeque::new(),
            targets: BTreeMap::new(),
            tracks: Vec::new(),
            acknowledged: 0,
            told,
            sent: Sent::default(),
            moves: 0,
            leaves: false,
        };
        participant.take_kept();
        Ok(participant)
    }

    pub(super) fn client(&mut self) -> Result<&mut Client, ClientError> {
        self.client.as_mut().ok_or_else(|| ClientError::Lost("the participant is away".to_owned()))
    }

    /// Sends a request that was due at that moment; its reply is measured.
    pub(super) async fn ask(&mut self, measure: Measure, due: Instant, op: Op) -> Result<(), ClientError> {
        if self.pending.len() == PENDING_MAX {
            return Err(ClientError::Silence);
        }
        self.run.counts.requests.fetch_add(1, Relaxed);
        let due_ns = self.run.nanos(due);
        let client = self.client()?;
        // noted before it is sent: should the connection break meanwhile, it is asked again
        let id = client.last_id() + 1;
        client.continue_ids_after(id);
        self.pending.insert(id, Pending { measure, due_ns, op: op.clone() });
        match self.client()?.send(ClientFrame { id: Some(id), traceparent: String::new(), op: Some(op) }).await {
            Err(end) => self.follow(end).await,
            Ok(()) => Ok(()),
        }
    }

    /// Sends a message to the room.
    pub(super) async fn say(&mut self, due: Instant) -> Result<(), ClientError> {
        let stamp = self.group.stamp_to_room(self.me, self.run.nanos(due));
        self.send(stamp, due, Vec::new()).await
    }

    /// Sends a message to one of the room.
    pub(super) async fn whisper(&mut self, due: Instant, (to, identity): (usize, String)) -> Result<(), ClientError> {
        let stamp = self.group.stamp_to(self.me, to, self.run.nanos(due));
        self.speaks_to(&identity, to);
        self.send(stamp, due, vec![identity]).await
    }

    /// Somebody of that identity is at that place.
    pub(super) fn speaks_to(&mut self, identity: &str, to: usize) {
        if !self.targets.contains_key(identity) {
            self.targets.insert(identity.to_owned(), to);
        }
    }

    async fn send(&mut self, stamp: Stamp, due: Instant, to: Vec<String>) -> Result<(), ClientError> {
        self.run.counts.sent.fetch_add(1, Relaxed);
        let send = v1::Send { to, data: Some(stamp.message(&self.run.padding)), ..v1::Send::default() };
        self.ask(Measure::Send, due, Op::Send(send)).await
    }

    /// Takes what comes until that moment, or until somebody offers. Goes to another router when it has to.
    pub(super) async fn listen_until(&mut self, at: Instant) -> Result<Heard, ClientError> {
        let timer = tokio::time::sleep_until(at.into());
        tokio::pin!(timer);
        loop {
            if let Some(from) = self.offers.pop_front() {
                return Ok(Heard::Offer(from));
            }
            let goes_at = self.sent.goes_at.filter(|_| !self.leaves);
            let goes = tokio::time::sleep_until(goes_at.unwrap_or(at).into());
            let heard = tokio::select! {
                biased;
                heard = self.client()?.next_frame() => heard,
                () = goes, if goes_at.is_some() => {
                    self.move_on().await?;
                    continue;
                }
                () = timer.as_mut() => return Ok(Heard::Time),
            };
            let taken = match heard {
                Ok(frame) => {
                    self.take(frame);
                    self.acknowledge().await
                }
                Err(end) => Err(end),
            };
            if let Err(end) = taken {
                self.follow(end).await?;
            }
        }
    }

    pub(super) fn take_kept(&mut self) {
        while let Some(frame) = self.client.as_mut().and_then(Client::kept) {
            self.take(frame);
        }
    }

    fn take(&mut self, frame: ServerFrame) {
        if let Some(id) = frame.id {
            return self.take_reply(id, frame.body);
        }
        match frame.body {
            Some(Body::Data(push)) => {
                let stamp = push.data.as_deref().and_then(|data| Stamp::find(data.as_bytes()));
                self.note(Measure::Delivery, stamp);
            }
            Some(Body::Signal(push)) => self.take_signal(push),
            Some(Body::Leave(leave)) => self.sent.closed(leave),
            Some(Body::Advice(advice)) => self.sent.advised(advice),
            Some(Body::Event(event)) => {
                if let Some(Kind::MediaMoved(moved)) = &event.kind {
                    self.told.moved(&event, moved, &self.group.moves, &self.run.media);
                }
            }
            _ => {}
        }
    }

    fn take_reply(&mut self, id: u64, body: Option<Body>) {
        let Some(pending) = self.pending.remove(&id) else {
            // a request is answered exactly once
            self.run.counts.doubled.fetch_add(1, Relaxed);
            return;
        };
        match body {
            Some(Body::Error(error)) => {
                self.run.refused(&ClientError::Error(error));
                self.withdraw(&pending.op);
            }
            body => {
                if pending.due_ns >= self.group.away_until_ns(self.me) {
                    self.run.record(self.number, pending.measure, pending.due_ns, Instant::now());
                }
                if let Some(Body::Ok(ok)) = body {
                    self.tracks.extend(ok.track.map(|track| track.id));
                }
            }
        }
    }

    /// The router refused it: nobody waits for what it carried.
    fn withdraw(&self, op: &Op) {
        let to = match op {
            Op::Send(send) => send.to.first(),
            // an end of candidates carries nothing that is waited for
            Op::Signal(signal) if signal.end_of_candidates.is_none() => Some(&signal.to),
            _ => return,
        };
        match to {
            None => self.group.note_refused(self.me, None),
            Some(identity) => {
                if let Some(receiver) = self.targets.get(identity) {
                    self.group.note_refused(self.me, Some(*receiver));
                }
            }
        }
    }

    fn take_signal(&mut self, push: v1::SignalPush) {
        let text = match (&push.offer, &push.answer, &push.candidate) {
            (Some(description), ..) | (_, Some(description), _) => &description.sdp,
            (.., Some(candidate)) => &candidate.candidate,
            _ => return,
        };
        self.note(Measure::SignalDelivery, Stamp::find(text.as_bytes()));
        if push.offer.is_some() {
            self.offers.push_back(push.from);
        }
    }

    fn note(&mut self, measure: Measure, stamp: Option<Stamp>) {
        let Some(stamp) = stamp else { return };
        let fresh = self.group.is_fresh(self.me, stamp).then_some(measure);
        let arrival = self.ledger.note(stamp.flow, stamp.number);
        self.run.arrived(self.number, fresh, stamp, arrival);
    }

    /// Tells the router which directed pushes it need not keep any longer.
    async fn acknowledge(&mut self) -> Result<(), ClientError> {
        let seen = self.client()?.position().seq;
        if seen < self.acknowledged + ACKNOWLEDGE_EVERY {
            return Ok(());
        }
        self.acknowledged = seen;
        let ping = v1::Ping { seq: seen, timestamp_ms: 0 };
        self.client()?.send(ClientFrame { op: Some(Op::Ping(ping)), ..ClientFrame::default() }).await
    }

    /// Waits, all sending done, until nothing is missing and nothing unanswered, or for too long since all were there.
    pub(super) async fn settle(&mut self) -> Result<(), ClientError> {
        let mut until = Instant::now() + SETTLING_MAX;
        let mut done = false;
        while Instant::now() < until {
            if self.group.is_anybody_away() {
                until = Instant::now() + SETTLING_MAX;
            }
            if self.pending.is_empty() && !done {
                done = true;
                self.group.note_done();
            }
            if done && self.group.all_done() && self.missing() == 0 {
                break;
            }
            // an offer that comes now is of a call that is over
            self.listen_until(Instant::now() + Duration::from_millis(10)).await?;
        }
        if !done {
            self.group.note_done();
        }
        Ok(())
    }

    fn missing(&self) -> u64 {
        let missing = self.ledger.missing(|flow| self.group.sent(self.me, flow));
        missing.saturating_sub(self.group.refused(self.me))
    }

    /// Counts what it had to see and what it never saw. Called once, last.
    pub(super) fn close_books(&self) {
        let counts = &self.run.counts;
        counts.expected.fetch_add(self.group.expected(self.me), Relaxed);
        let missing = self.missing();
        counts.lost.fetch_add(missing, Relaxed);
        if missing > 0 {
            self.tell_what_is_missing();
        }
        counts.unanswered.fetch_add(self.pending.len() as u64, Relaxed);
        counts.sessions_moved.fetch_add(u64::from(self.moves > 0), Relaxed);
        self.told.close(&self.group.moves, &self.run.media);
    }

    /// Whose messages, and which: where a loss is looked for begins with it.
    fn tell_what_is_missing(&self) {
        for gap in self.ledger.gaps(|flow| self.group.sent(self.me, flow)) {
            let to = if gap.flow.is_multiple_of(2) { "the room" } else { "it alone" };
            self.run.tell(&format!(
                "lost in {}: {} misses {} that place {} said to {to}, from number {} on; it had moved {} times",
                self.pass.room,
                self.pass.identity,
                gap.missing,
                gap.flow / 2,
                gap.first,
                self.moves,
            ));
        }
    }

    /// Leaves; a close with `left` is as good as the reply.
    pub(super) async fn leave(&mut self) -> Result<(), ClientError> {
        let due = Instant::now();
        self.leaves = true;
        self.ask(Measure::Leave, due, Op::Leave(v1::Leave {})).await?;
        let until = due + PATIENCE;
        while !self.pending.is_empty() && Instant::now() < until {
            match self.listen_until(until).await {
                Err(end) if has_left(&end) => {
                    self.pending.retain(|_, pending| pending.measure != Measure::Leave);
                    return Ok(());
                }
                heard => drop(heard?),
            }
        }
        Ok(())
    }
}

/// Whether the session ended because it left; the answer may have been lost with its router.
fn has_left(end: &ClientError) -> bool {
    matches!(end, ClientError::Closed { number, .. } if *number == Code::Left.number()) || absence::is_gone(end)
}
