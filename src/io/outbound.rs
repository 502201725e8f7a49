//! The queue of one connection's outgoing frames: filled by its shard, emptied by the task that owns the socket.
//!
//! Bounded in bytes, and what is taken counts until it has been written. When the bound is passed the shard
//! closes the connection (`slow_reader`); nothing blocks and nobody else waits.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

use crate::protocol::{Code, Encoding, Refusal};

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

/// The queue is past its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Frames that were taken together, and what they count against the bound.
#[derive(Debug, Default)]
pub struct Batch {
    /// Encoded frames, in order.
    pub frames: Vec<Bytes>,
    /// To be given back by [`Outbound::written`].
    counted_bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    frames: Vec<Bytes>,
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
}

const PROTOBUF: u8 = 1;

impl Outbound {
    /// An empty queue that holds at most that many bytes.
    pub fn new(bound_bytes: usize) -> Self {
        Self {
            queue: Mutex::default(),
            waiting: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            encoding: AtomicU8::new(0),
            attachment: AtomicU8::new(Attachment::None as u8),
            bound_bytes,
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

    /// Said by the gateway when it sends an opening, by the shard when it is decided.
    pub fn set_attachment(&self, attachment: Attachment) {
        self.attachment.store(attachment as u8, Ordering::Release);
    }

    /// Adds a frame that counts against the bound.
    ///
    /// # Errors
    /// [`Full`] when the bound would be passed; the frame is not added.
    pub fn push(&self, frame: Bytes) -> Result<(), Full> {
        let mut queue = self.queue();
        if queue.closed.is_some() {
            return Ok(());
        }
        if queue.held_bytes + frame.len() > self.bound_bytes {
            return Err(Full);
        }
        queue.held_bytes += frame.len();
        queue.waiting_bytes += frame.len();
        self.add(queue, frame);
        Ok(())
    }

    /// Adds a frame of a snapshot or a replay, which are bounded by themselves.
    pub fn push_exempt(&self, frame: Bytes) {
        let queue = self.queue();
        if queue.closed.is_none() {
            self.add(queue, frame);
        }
    }

    fn add(&self, mut queue: MutexGuard<'_, Queue>, frame: Bytes) {
        let was_empty = queue.frames.is_empty();
        queue.frames.push(frame);
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

    /// Takes all that waits. `batch` must be empty and its last frames [`written`](Self::written); its memory is used again.
    pub fn take(&self, batch: &mut Batch) -> Option<Box<Refusal>> {
        let mut queue = self.queue();
        std::mem::swap(&mut queue.frames, &mut batch.frames);
        batch.counted_bytes = std::mem::take(&mut queue.waiting_bytes);
        self.waiting.store(false, Ordering::Release);
        queue.close.take()
    }

    /// Gives back what a batch counted, once its last byte was handed to the socket.
    pub fn written(&self, batch: &mut Batch) {
        let counted = std::mem::take(&mut batch.counted_bytes);
        if counted > 0 {
            self.queue().held_bytes -= counted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(size: usize) -> Bytes {
        vec![b'x'; size].into()
    }

    #[test]
    fn what_was_taken_counts_until_it_is_written() {
        let outbound = Outbound::new(100);
        outbound.push(frame(60)).unwrap();
        assert_eq!(outbound.push(frame(60)), Err(Full));
        let mut batch = Batch::default();
        assert!(outbound.take(&mut batch).is_none());
        assert_eq!(batch.frames.len(), 1);
        assert_eq!(outbound.push(frame(60)), Err(Full));
        batch.frames.clear();
        outbound.written(&mut batch);
        assert_eq!(outbound.push(frame(60)), Ok(()));
    }

    #[test]
    fn exempt_frames_do_not_count_and_keep_their_place() {
        let outbound = Outbound::new(10);
        outbound.push(frame(5)).unwrap();
        outbound.push_exempt(frame(1000));
        outbound.push(frame(5)).unwrap();
        let mut batch = Batch::default();
        outbound.take(&mut batch);
        assert_eq!(batch.frames.iter().map(Bytes::len).collect::<Vec<_>>(), [5, 1000, 5]);
    }

    #[test]
    fn nothing_is_added_after_a_close_and_its_first_reason_holds() {
        let outbound = Outbound::new(10);
        outbound.close(Code::Replaced.refuse());
        outbound.close(Code::Idle.refuse());
        outbound.push(frame(1)).unwrap();
        let mut batch = Batch::default();
        let refusal = outbound.take(&mut batch).unwrap();
        assert_eq!(refusal.code, Code::Replaced);
        assert!(batch.frames.is_empty());
    }
}
