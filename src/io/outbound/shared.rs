//! The queue of a link to another router: the frames of all connections that came over it, in the order in which they were queued.
//!
//! Each connection's frames are bounded by its own [`Outbound`](super::Outbound), all of them together by the queue: past that it
//! takes nothing more, and whoever empties it is told to give the link up.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

use super::{Mark, Outgoing, Unsent};
use crate::protocol::Refusal;

/// What is to be told of a connection.
#[derive(Debug)]
pub(crate) enum Item {
    /// A frame for its client, and whether it is one that is bounded by itself.
    Frame(Outgoing, bool),
    /// It belongs to a session.
    Attached,
    /// Its opening was refused.
    Detached,
    /// It ends.
    Closed(Box<Refusal>),
    /// No connection's: a sign of life of that number goes back, behind all that waits.
    Echo(u64),
}

#[derive(Debug, Default)]
struct Waiting {
    items: Vec<(u64, Item)>,
    bytes: usize,
    /// Where the frame is that was queued last, and how long: one to many connections leaves once, and counts once.
    last: Option<(usize, usize)>,
    end: Option<End>,
}

/// What an item counts beside its frame.
const ITEM_BYTES: usize = 64;

/// Why a queue takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// More waited than may.
    Overflowed,
    /// The link is over.
    Closed,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct SharedQueue {
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
    bytes_max: usize,
}

impl SharedQueue {
    /// An empty one, for so many bytes of frames.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), waker: AtomicWaker::new(), bytes_max }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // no code that can panic runs under this lock
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds it, unless nothing more is taken.
    pub(crate) fn add(&self, connection: u64, item: Item) -> Result<(), Item> {
        let mut waiting = self.waiting();
        if waiting.end.is_some() {
            return Err(item);
        }
        let frame = match &item {
            Item::Frame(outgoing, _) => Some((outgoing.frame.as_ptr() as usize, outgoing.frame.len())),
            _ => None,
        };
        let again = frame.is_some() && waiting.last == frame;
        waiting.last = frame;
        waiting.bytes += ITEM_BYTES + frame.filter(|_| !again).map_or(0, |(_, bytes)| bytes);
        if waiting.bytes > self.bytes_max {
            waiting.end = Some(End::Overflowed);
            drop(waiting);
            self.waker.wake();
            return Err(item);
        }
        let was_empty = waiting.items.is_empty();
        waiting.items.push((connection, item));
        drop(waiting);
        if was_empty {
            self.waker.wake();
        }
        Ok(())
    }

    /// Takes what waits into a list that is empty, as soon as anything does; an end comes before what waits.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>, items: &mut Vec<(u64, Item)>) -> Poll<Result<(), End>> {
        self.waker.register(cx.waker());
        let mut waiting = self.waiting();
        if let Some(end) = waiting.end {
            return Poll::Ready(Err(end));
        }
        if waiting.items.is_empty() {
            return Poll::Pending;
        }
        std::mem::swap(&mut waiting.items, items);
        // what is taken may be gone, and another frame in its place
        (waiting.bytes, waiting.last) = (0, None);
        Poll::Ready(Ok(()))
    }

    /// Whether it took nothing more because too much waited.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.waiting().end == Some(End::Overflowed)
    }

    /// Takes nothing more, and answers what still waits; the first reason holds.
    pub(crate) fn close(&self) -> Vec<(u64, Item)> {
        let mut waiting = self.waiting();
        waiting.end.get_or_insert(End::Closed);
        let left = std::mem::take(&mut waiting.items);
        drop(waiting);
        self.waker.wake();
        left
    }
}

/// Where the frames of one connection leave.
#[derive(Debug)]
pub(crate) struct Way {
    queue: Arc<SharedQueue>,
    connection: u64,
}

impl Way {
    /// By that link, as that connection of it.
    pub(crate) fn new(queue: Arc<SharedQueue>, connection: u64) -> Self {
        Self { queue, connection }
    }

    pub(super) fn push(&self, outgoing: Outgoing, exempt: bool) -> Result<(), Unsent> {
        self.queue.add(self.connection, Item::Frame(outgoing, exempt)).map_err(|item| match item {
            Item::Frame(Outgoing { mark, .. }, _) => Unsent::Closed(mark),
            _ => Unsent::Closed(Mark::Unmeasured),
        })
    }

    /// A link that is over tells nobody.
    pub(super) fn tell(&self, item: Item) {
        self.queue.add(self.connection, item).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::{
        event::{SpanId, TraceId},
        io::outbound::{Attachment, Outbound, Peer},
        protocol::Code,
    };

    fn of(queue: &Arc<SharedQueue>, connection: u64, bound_bytes: usize) -> Outbound {
        let trace = (TraceId::new(1).unwrap(), SpanId::new(2).unwrap());
        Outbound::over(Way::new(queue.clone(), connection), bound_bytes, Peer { ip: None, transport: "relay", trace })
    }

    fn take(queue: &SharedQueue) -> Poll<Result<Vec<(u64, Item)>, End>> {
        let mut items = Vec::new();
        queue.poll_take(&mut Context::from_waker(Waker::noop()), &mut items).map_ok(|()| items)
    }

    #[test]
    fn what_is_said_of_connections_keeps_its_order_and_counts_until_it_has_left() {
        let queue = Arc::new(SharedQueue::new(1_000));
        let (one, two) = (of(&queue, 1, 100), of(&queue, 2, 100));
        one.set_attachment(Attachment::Pending);
        one.set_attachment(Attachment::Attached);
        one.push(vec![0; 60].into(), Mark::Unmeasured).unwrap();
        two.push_exempt(vec![0; 400].into(), Mark::Unmeasured).unwrap();
        let full = one.push(vec![0; 60].into(), Mark::Unmeasured);
        assert_eq!(full, Err(Unsent::Full(Mark::Unmeasured)));
        two.close(Code::Idle.refuse());
        let Poll::Ready(Ok(items)) = take(&queue) else { panic!("four wait") };
        let told = items.iter().map(|(connection, item)| match item {
            Item::Frame(outgoing, exempt) => (*connection, outgoing.frame.len(), *exempt),
            Item::Attached => (*connection, 1, false),
            Item::Detached => (*connection, 2, false),
            Item::Closed(refusal) => (*connection, usize::from(refusal.code.number()), false),
            Item::Echo(_) => panic!("nobody asked"),
        });
        assert_eq!(told.collect::<Vec<_>>(), [(1, 1, false), (1, 60, false), (2, 400, true), (2, 4002, false)]);
        assert!(take(&queue).is_pending());
        assert_eq!(one.push(vec![0; 60].into(), Mark::Unmeasured), Err(Unsent::Full(Mark::Unmeasured)));
        one.left(60);
        assert_eq!(one.push(vec![0; 60].into(), Mark::Unmeasured), Ok(()));
        assert_eq!(two.push(vec![0].into(), Mark::Unmeasured), Err(Unsent::Closed(Mark::Unmeasured)));
    }

    #[test]
    fn past_its_bound_it_takes_nothing_more_and_says_so() {
        let queue = Arc::new(SharedQueue::new(300));
        let (one, two) = (of(&queue, 1, 1_000), of(&queue, 2, 1_000));
        one.push(vec![0; 100].into(), Mark::Unmeasured).unwrap();
        assert_eq!(two.push(vec![0; 100].into(), Mark::Unmeasured), Err(Unsent::Closed(Mark::Unmeasured)));
        assert!(matches!(take(&queue), Poll::Ready(Err(End::Overflowed))));
        assert_eq!(queue.close().len(), 1, "what waited is not lost without a word");
        assert!(matches!(take(&queue), Poll::Ready(Err(End::Overflowed))), "the first reason holds");
    }

    #[test]
    fn a_frame_to_many_counts_once() {
        let queue = Arc::new(SharedQueue::new(2_000));
        let frame: bytes::Bytes = vec![0; 1_000].into();
        for connection in 1..=10 {
            of(&queue, connection, 5_000).push(frame.clone(), Mark::Unmeasured).unwrap();
        }
        let other = of(&queue, 11, 5_000).push(vec![0; 1_000].into(), Mark::Unmeasured);
        assert_eq!(other, Err(Unsent::Closed(Mark::Unmeasured)), "another one of the same size does");
    }

    #[test]
    fn a_link_that_is_over_wakes_who_empties_it_and_takes_nothing() {
        let queue = Arc::new(SharedQueue::new(100));
        let one = of(&queue, 1, 1_000);
        assert!(queue.close().is_empty());
        assert!(matches!(take(&queue), Poll::Ready(Err(End::Closed))));
        assert_eq!(one.push(vec![0; 8].into(), Mark::Unmeasured), Err(Unsent::Closed(Mark::Unmeasured)));
        one.set_attachment(Attachment::None);
        one.close(Code::Idle.refuse());
        assert_eq!(one.closed(), Some(Code::Idle));
    }
}
