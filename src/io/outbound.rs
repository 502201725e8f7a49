//! The queue of one connection's outgoing frames: filled by its shard, emptied by the task that owns the socket.
//!
//! Bounded in bytes, and what is taken counts until it has been written. When the bound is passed the shard
//! closes the connection (`slow_reader`); nothing blocks and nobody else waits. The frames of a connection that came over a link
//! from another router leave by the link's own queue, and count here all the same.

pub(crate) mod shared;

use std::{
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

use self::shared::{Item, Way};
use crate::{
    event::{Delivery, Event, Labels, Origin, Outcome, Signal, SpanId, Stage, TraceId},
    ids::{RoomId, SessionId},
    protocol::{Code, Encoding, Refusal},
};

/// Where a connection stands with its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Attachment {
    /// No opening is under way.
    None,
    /// An opening was sent to a shard.
    Pending,
    /// The connection belongs to a session.
    Attached,
}

/// What the writer tells once a frame has been handed to the socket.
#[derive(Debug, PartialEq)]
pub enum Mark {
    /// Only that it was there.
    Unmeasured,
    /// It brought a signal's effect to a recipient.
    Delivery(Delivery),
    /// It answered a signal, which so has ended.
    Answer(Box<Signal>, Outcome),
    /// Nothing: another router tells what is to be told.
    Told,
}

impl Mark {
    /// What has happened when the frame cannot reach its client any more. A push that is not delivered is nothing.
    pub fn gone(self) -> Option<Event> {
        match self {
            Self::Answer(signal, _) => Some(Event::SignalEnded { signal, outcome: Outcome::Gone }),
            Self::Unmeasured | Self::Delivery(_) | Self::Told => None,
        }
    }
}

/// What to tell of the frames that are being written.
#[derive(Debug, Default)]
pub struct Sent {
    /// Signals that their answers end.
    answers: Vec<(Box<Signal>, Outcome)>,
    deliveries: Vec<Delivery>,
    others: u32,
}

/// Lists up to this are kept from one write to the next; larger ones are left from a burst, and would only hold memory.
const KEPT_MAX: usize = 64;

/// An emptied list for the next time, without its memory when that is too much to keep.
fn spare<T>(emptied: Vec<T>) -> Vec<T> {
    if emptied.capacity() <= KEPT_MAX { emptied } else { Vec::new() }
}

impl Sent {
    /// One more frame is being written.
    pub fn add(&mut self, mark: Mark) {
        match mark {
            Mark::Unmeasured => self.others += 1,
            Mark::Delivery(delivery) => self.deliveries.push(delivery),
            Mark::Answer(signal, outcome) => self.answers.push((signal, outcome)),
            Mark::Told => {}
        }
    }

    /// All of them were handed to the socket at that moment.
    pub fn flushed(&mut self, at: Instant, mut tell: impl FnMut(&Event)) {
        for (mut signal, outcome) in std::mem::take(&mut self.answers) {
            signal.timeline.end(Stage::Flush, at);
            tell(&Event::SignalEnded { signal, outcome });
        }
        let others = std::mem::take(&mut self.others);
        if self.deliveries.is_empty() && others == 0 {
            return;
        }
        let told = Event::Delivered { deliveries: std::mem::take(&mut self.deliveries), others };
        tell(&told);
        if let Event::Delivered { mut deliveries, .. } = told {
            deliveries.clear();
            self.deliveries = spare(deliveries);
        }
    }

    /// None of them will be.
    pub fn abandoned(self, mut tell: impl FnMut(&Event)) {
        for (signal, _) in self.answers {
            tell(&Event::SignalEnded { signal, outcome: Outcome::Gone });
        }
    }
}

/// An encoded frame, and what to tell of it.
#[derive(Debug)]
pub struct Outgoing {
    /// The frame.
    pub frame: Bytes,
    /// What to tell.
    pub mark: Mark,
}

/// A frame that the queue does not take, and what was to be told of it.
#[derive(Debug, PartialEq)]
pub enum Unsent {
    /// The queue is past its bound.
    Full(Mark),
    /// The connection is closing.
    Closed(Mark),
}

/// Who is at the other end, as far as telemetry wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// `websocket`, `grpc`.
    pub transport: &'static str,
    /// The connection's trace and a span in it.
    pub trace: (TraceId, SpanId),
}

/// The session that a connection belongs to.
#[derive(Debug)]
pub struct Seat {
    /// The session.
    pub session: SessionId,
    /// Its room.
    pub room: RoomId,
    /// What its join said of the client.
    pub labels: Labels,
}

/// Frames that were taken together, and what they count against the bound.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order.
    pub frames: Vec<Outgoing>,
    /// What they count.
    counted_bytes: usize,
    /// What earlier ones of this batch count, all of them taken out and not yet [`written`](Outbound::written).
    earlier_bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    frames: Vec<Outgoing>,
    /// Of the waiting frames.
    waiting_bytes: usize,
    /// Of the waiting frames and of those being written.
    held_bytes: usize,
    close: Option<Box<Refusal>>,
    closed: Option<Code>,
}

/// See the module.
#[derive(Debug)]
pub struct Outbound {
    queue: Mutex<Queue>,
    /// Whether the queue has anything for the writer, so that it can look without the lock.
    waiting: AtomicBool,
    waker: AtomicWaker,
    encoding: AtomicU8,
    attachment: AtomicU8,
    bound_bytes: usize,
    peer: Peer,
    seat: OnceLock<Seat>,
    /// Absent: the connection's own task empties the queue.
    way: Option<Box<Way>>,
}

const PROTOBUF: u8 = 1;

impl Outbound {
    /// An empty queue that holds at most that many bytes.
    pub fn new(bound_bytes: usize, peer: Peer) -> Self {
        Self {
            queue: Mutex::default(),
            waiting: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            encoding: AtomicU8::new(0),
            attachment: AtomicU8::new(Attachment::None as u8),
            bound_bytes,
            peer,
            seat: OnceLock::new(),
            way: None,
        }
    }

    /// One whose frames leave by a link's queue.
    pub(crate) fn over(way: Way, bound_bytes: usize, peer: Peer) -> Self {
        Self { way: Some(Box::new(way)), ..Self::new(bound_bytes, peer) }
    }

    /// What is known of the connection.
    pub fn origin(&self) -> Origin<'_> {
        let Peer { ip, transport, trace } = self.peer;
        let seat = self.seat.get();
        Origin {
            peer_ip: ip,
            transport,
            trace: Some(trace),
            room: seat.map(|seat| &seat.room),
            session: seat.map(|seat| &seat.session),
            labels: seat.map(|seat| seat.labels).unwrap_or_default(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // no code that can panic runs under this lock
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How frames must be encoded for this connection.
    pub fn encoding(&self) -> Encoding {
        if self.encoding.load(Ordering::Relaxed) == PROTOBUF { Encoding::Protobuf } else { Encoding::Json }
    }

    /// Chosen by the first frame.
    pub fn set_encoding(&self, encoding: Encoding) {
        self.encoding.store(u8::from(encoding == Encoding::Protobuf), Ordering::Relaxed);
    }

    /// Where the connection stands.
    pub fn attachment(&self) -> Attachment {
        match self.attachment.load(Ordering::Acquire) {
            0 => Attachment::None,
            1 => Attachment::Pending,
            _ => Attachment::Attached,
        }
    }

    /// Said by the shard: the connection now belongs to this session. A connection has one in its life.
    pub fn attach(&self, seat: Seat) {
        self.seat.set(seat).ok();
        self.set_attachment(Attachment::Attached);
    }

    /// Said by the gateway when it sends an opening, by the shard when it is decided.
    pub fn set_attachment(&self, attachment: Attachment) {
        self.attachment.store(attachment as u8, Ordering::Release);
        if let Some(way) = &self.way {
            match attachment {
                Attachment::None => way.tell(Item::Detached),
                Attachment::Attached => way.tell(Item::Attached),
                Attachment::Pending => {}
            }
        }
    }

    /// Adds a frame that counts against the bound.
    ///
    /// # Errors
    /// When the bound would be passed, or the connection is closing: the frame is not added.
    pub fn push(&self, frame: Bytes, mark: Mark) -> Result<(), Unsent> {
        let mut queue = self.queue();
        if queue.closed.is_some() {
            return Err(Unsent::Closed(mark));
        }
        if queue.held_bytes + frame.len() > self.bound_bytes {
            return Err(Unsent::Full(mark));
        }
        queue.held_bytes += frame.len();
        if let Some(way) = &self.way {
            return way.push(Outgoing { frame, mark }, false);
        }
        queue.waiting_bytes += frame.len();
        self.add(queue, Outgoing { frame, mark });
        Ok(())
    }

    /// Adds a frame of a snapshot or a replay, which are bounded by themselves.
    ///
    /// # Errors
    /// When the connection is closing.
    pub fn push_exempt(&self, frame: Bytes, mark: Mark) -> Result<(), Unsent> {
        let queue = self.queue();
        if queue.closed.is_some() {
            return Err(Unsent::Closed(mark));
        }
        if let Some(way) = &self.way {
            return way.push(Outgoing { frame, mark }, true);
        }
        self.add(queue, Outgoing { frame, mark });
        Ok(())
    }

    fn add(&self, mut queue: MutexGuard<'_, Queue>, outgoing: Outgoing) {
        let was_empty = queue.frames.is_empty();
        queue.frames.push(outgoing);
        self.waiting.store(true, Ordering::Release);
        drop(queue);
        if was_empty {
            self.waker.wake();
        }
    }

    /// Ends the connection once what waits has been written; later frames are dropped, the first reason holds.
    pub fn close(&self, refusal: Refusal) {
        let mut queue = self.queue();
        if queue.closed.is_some() {
            return;
        }
        queue.closed = Some(refusal.code);
        if let Some(way) = &self.way {
            return way.tell(Item::Closed(Box::new(refusal)));
        }
        queue.close = Some(Box::new(refusal));
        self.waiting.store(true, Ordering::Release);
        drop(queue);
        self.waker.wake();
    }

    /// The writer's side: ready when frames wait, or when the connection must close.
    pub fn poll_waiting(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_waiting() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        if self.is_waiting() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// The same for a writer that is held up by the client: ready only when the connection must close.
    pub fn poll_closing(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.queue().close.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Why the connection was closed from this side.
    pub fn closed(&self) -> Option<Code> {
        self.queue().closed
    }

    /// Takes all that waits. `batch` must be empty, and its memory is used again; the frames that were taken out of it
    /// count until they are [`written`](Self::written).
    pub fn take(&self, batch: &mut Batch) -> Option<Box<Refusal>> {
        let mut queue = self.queue();
        std::mem::swap(&mut queue.frames, &mut batch.frames);
        batch.earlier_bytes += std::mem::replace(&mut batch.counted_bytes, std::mem::take(&mut queue.waiting_bytes));
        self.waiting.store(false, Ordering::Release);
        queue.close.take()
    }

    /// Closes it, if it is open, and answers what has happened to what still waits: nobody will write it.
    pub fn abandon(&self, code: Code) -> Vec<Event> {
        self.close(code.refuse());
        let left = std::mem::take(&mut self.queue().frames);
        left.into_iter().filter_map(|outgoing| outgoing.mark.gone()).collect()
    }

    /// The last byte of what was taken out of a batch has been handed to the socket: gives back what that counted. Frames
    /// that are still in it go on counting, and those that came with them.
    pub fn written(&self, batch: &mut Batch) {
        let mut counted = std::mem::take(&mut batch.earlier_bytes);
        if batch.frames.is_empty() {
            batch.frames = spare(std::mem::take(&mut batch.frames));
            counted += std::mem::take(&mut batch.counted_bytes);
        }
        if counted > 0 {
            self.queue().held_bytes -= counted;
        }
    }

    /// So much of what left by a link's queue has been handed to the link.
    pub(crate) fn left(&self, bytes: usize) {
        self.queue().held_bytes -= bytes;
    }
}

#[cfg(test)]
pub(in crate::io) mod tests {
    use super::*;
    use crate::protocol::OpKind;

    /// A queue to nobody in particular.
    pub(in crate::io) fn outbound(bound_bytes: usize) -> Outbound {
        let trace = (TraceId::new(1).unwrap(), SpanId::new(2).unwrap());
        Outbound::new(bound_bytes, Peer { ip: None, transport: "websocket", trace })
    }

    fn frame(size: usize) -> Bytes {
        vec![b'x'; size].into()
    }

    #[test]
    fn what_was_taken_counts_until_it_is_written() {
        let outbound = outbound(100);
        outbound.push(frame(60), Mark::Unmeasured).unwrap();
        let full = Err(Unsent::Full(Mark::Unmeasured));
        assert_eq!(outbound.push(frame(60), Mark::Unmeasured), full);
        let mut batch = Batch::default();
        assert!(outbound.take(&mut batch).is_none());
        assert_eq!(batch.frames.len(), 1);
        assert_eq!(outbound.push(frame(60), Mark::Unmeasured), full);
        batch.frames.clear();
        outbound.written(&mut batch);
        assert!(batch.frames.capacity() <= KEPT_MAX);
        assert_eq!(outbound.push(frame(60), Mark::Unmeasured), Ok(()));
    }

    #[test]
    fn what_is_written_is_given_back_while_later_frames_still_wait_in_the_batch() {
        let outbound = outbound(100);
        let mut batch = Batch::default();
        for _ in 0..10 {
            outbound.push(frame(60), Mark::Unmeasured).unwrap();
            outbound.take(&mut batch);
            batch.frames.clear();
            outbound.push(frame(40), Mark::Unmeasured).unwrap();
            outbound.take(&mut batch);
            outbound.written(&mut batch);
            let full = outbound.push(frame(61), Mark::Unmeasured);
            assert_eq!(full, Err(Unsent::Full(Mark::Unmeasured)), "the second still counts");
            outbound.push(frame(60), Mark::Unmeasured).unwrap();
            batch.frames.clear();
            outbound.take(&mut batch);
            batch.frames.clear();
            outbound.written(&mut batch);
        }
    }

    #[test]
    fn exempt_frames_do_not_count_and_keep_their_place() {
        let outbound = outbound(10);
        outbound.push(frame(5), Mark::Unmeasured).unwrap();
        outbound.push_exempt(frame(1000), Mark::Unmeasured).unwrap();
        outbound.push(frame(5), Mark::Unmeasured).unwrap();
        let mut batch = Batch::default();
        outbound.take(&mut batch);
        assert_eq!(batch.frames.iter().map(|outgoing| outgoing.frame.len()).collect::<Vec<_>>(), [5, 1000, 5]);
    }

    #[test]
    fn nothing_is_added_after_a_close_and_its_first_reason_holds() {
        let outbound = outbound(10);
        outbound.close(Code::Replaced.refuse());
        outbound.close(Code::Idle.refuse());
        let closed = Err(Unsent::Closed(Mark::Unmeasured));
        assert_eq!(outbound.push(frame(1), Mark::Unmeasured), closed);
        assert_eq!(outbound.push_exempt(frame(1), Mark::Unmeasured), closed);
        let mut batch = Batch::default();
        let refusal = outbound.take(&mut batch).unwrap();
        assert_eq!(refusal.code, Code::Replaced);
        assert!(batch.frames.is_empty());
    }

    #[test]
    fn an_answer_that_nobody_will_write_ends_its_signal_as_gone_and_a_push_is_nothing() {
        let outbound = outbound(100);
        let signal = Box::new(Signal::new(OpKind::Ping, Instant::now()));
        outbound.push(frame(1), Mark::Unmeasured).unwrap();
        outbound.push(frame(1), Mark::Answer(signal.clone(), Outcome::Ok)).unwrap();
        let ended = [Event::SignalEnded { signal: signal.clone(), outcome: Outcome::Gone }];
        assert_eq!(outbound.abandon(Code::ConnectionLost), ended);
        let late = outbound.push(frame(1), Mark::Answer(signal, Outcome::Ok)).unwrap_err();
        let Unsent::Closed(mark) = late else { panic!("{late:?}") };
        assert_eq!(mark.gone().as_slice(), ended);
        assert_eq!(outbound.closed(), Some(Code::ConnectionLost));
    }
}
