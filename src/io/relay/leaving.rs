//! What leaves a host by a link: taken from its queue many at once, the same frame to many connections as one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
    vec,
};

use bytes::Bytes;

use super::{
    edge::MESSAGE_BYTES_MAX,
    host::HostLink,
    words::{closed, push},
};
use crate::{
    io::{
        gateway::Gateway,
        outbound::{Mark, Outgoing, Sent, shared::Item},
    },
    protocol::{Code, relay},
};

/// Frames of one message; a larger one has a message to itself.
const BYTES_TOGETHER: usize = 256 << 10;
/// A longer frame is not carried: what the other end takes as a message, less its frame of its own.
const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (1 << 20);
/// Items of one message.
const ITEMS_TOGETHER: usize = 1_024;

/// See the module.
#[derive(Debug)]
pub(super) struct Leaving {
    gateway: Arc<Gateway>,
    link: Arc<HostLink>,
    /// Whether the answer's body was asked for more since this was looked at last.
    asked: Arc<AtomicBool>,
    taken: vec::IntoIter<(u64, Item)>,
    /// Given, and not yet known to be taken by HTTP/2: what was given before its body is asked for more is.
    given: Vec<(u64, usize, Mark)>,
}

/// What the last item of a message is, as far as the next one may join it.
type Last = Option<(Bytes, Option<crate::event::Delivery>)>;

impl Leaving {
    /// Of that link.
    pub(super) fn new(gateway: Arc<Gateway>, link: Arc<HostLink>, asked: Arc<AtomicBool>) -> Self {
        Self { gateway, link, asked, taken: Vec::new().into_iter(), given: Vec::new() }
    }

    /// The next message's items; none: the link is over.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<relay::HostItem>>> {
        self.tell_taken();
        if self.taken.as_slice().is_empty() {
            let mut items = Vec::new();
            if ready!(self.link.queue.poll_take(cx, &mut items)).is_err() {
                return Poll::Ready(None);
            }
            self.taken = items.into_iter();
        }
        Poll::Ready(Some(self.message()))
    }

    fn message(&mut self) -> Vec<relay::HostItem> {
        let (now, way) = (Instant::now(), self.link.way());
        let telemetry = self.gateway.telemetry.clone();
        let (mut items, mut bytes, mut last): (Vec<relay::HostItem>, usize, Last) = (Vec::new(), 0, None);
        while bytes < BYTES_TOGETHER && items.len() < ITEMS_TOGETHER {
            let Some((connection, item)) = self.taken.next() else { break };
            let Item::Frame(Outgoing { frame, mark }, exempt) = item else {
                last = None;
                items.push(self.said(connection, item));
                continue;
            };
            if frame.len() > FRAME_BYTES_MAX {
                last = None;
                self.too_large(connection, frame.len(), mark);
                continue;
            }
            let delivery = if let Mark::Delivery(delivery) = &mark { Some(*delivery) } else { None };
            let same = |(before, measured): &(Bytes, _)| {
                before.as_ptr() == frame.as_ptr() && before.len() == frame.len() && *measured == delivery
            };
            match items.last_mut() {
                Some(item) if !exempt && last.as_ref().is_some_and(same) => item.connections.push(connection),
                _ => {
                    bytes += frame.len();
                    let push = push(frame.clone(), (&mark, exempt), &telemetry, (now, way));
                    let connections = vec![connection];
                    items.push(relay::HostItem { connections, push: Some(push), ..relay::HostItem::default() });
                }
            }
            let counts = if exempt { 0 } else { frame.len() };
            last = (!exempt).then_some((frame, delivery));
            self.given.push((connection, counts, mark));
        }
        items
    }

    /// A frame that no message can have: its connection ends, and no other one.
    fn too_large(&self, connection: u64, bytes: usize, mark: Mark) {
        let outbounds = self.link.outbounds();
        let Some(outbound) = outbounds.get(&connection) else { return };
        if let Some(event) = mark.gone() {
            self.gateway.observe_from(&event, outbound);
        }
        let why =
            format!("a frame of {bytes} bytes for the client, and a link between routers carries {FRAME_BYTES_MAX}");
        outbound.close(Code::LimitExceeded.because(why));
    }

    /// What is no frame.
    fn said(&self, connection: u64, item: Item) -> relay::HostItem {
        let blank = relay::HostItem { connections: vec![connection], ..relay::HostItem::default() };
        match item {
            Item::Attached => relay::HostItem { attached: self.attached(connection), ..blank },
            Item::Detached => relay::HostItem { detached: true, ..blank },
            Item::Closed(refusal) => relay::HostItem { closed: Some(closed(&refusal)), ..blank },
            Item::Echo(number) => {
                relay::HostItem { echo: Some(relay::Probe { number, round_trip_us: 0 }), ..relay::HostItem::default() }
            }
            Item::Frame(..) => blank,
        }
    }

    /// None: the connection is over.
    fn attached(&self, connection: u64) -> Option<relay::Attached> {
        let outbounds = self.link.outbounds();
        let origin = outbounds.get(&connection)?.origin();
        Some(relay::Attached {
            session: origin.session?.as_str().to_owned(),
            room: origin.room?.as_str().to_owned(),
            region: self.gateway.telemetry.region_of(origin.labels).unwrap_or_default().to_owned(),
        })
    }

    /// What was given has been taken: signals that it answers have ended, when it is there.
    fn tell_taken(&mut self) {
        if !self.asked.swap(false, Ordering::Relaxed) || self.given.is_empty() {
            return;
        }
        let there = Instant::now() + self.link.way();
        let outbounds = self.link.outbounds();
        for (connection, counts, mark) in self.given.drain(..) {
            let Some(outbound) = outbounds.get(&connection) else {
                if let Some(event) = mark.gone() {
                    self.gateway.observe(&event);
                }
                continue;
            };
            outbound.left(counts);
            // pushes are told where they end, at the edge
            if matches!(mark, Mark::Answer(..)) {
                let mut sent = Sent::default();
                sent.add(mark);
                sent.flushed(there, |event| self.gateway.observe_from(event, outbound));
            }
        }
    }
}

impl Drop for Leaving {
    /// The edge takes nothing more: what was given last is not known to have left.
    fn drop(&mut self) {
        let given = self.given.drain(..).map(|(connection, _, mark)| (connection, mark));
        tell_gone(&self.gateway, &self.link, given.chain(self.taken.by_ref().filter_map(mark_of)));
    }
}

/// Nothing more leaves by the link.
pub(super) fn abandon(gateway: &Gateway, link: &HostLink) {
    tell_gone(gateway, link, link.queue.close().into_iter().filter_map(mark_of));
}

/// What was to be told of a frame.
fn mark_of((connection, item): (u64, Item)) -> Option<(u64, Mark)> {
    match item {
        Item::Frame(Outgoing { mark, .. }, _) => Some((connection, mark)),
        _ => None,
    }
}

fn tell_gone(gateway: &Gateway, link: &HostLink, marks: impl Iterator<Item = (u64, Mark)>) {
    let outbounds = link.outbounds();
    for (connection, mark) in marks {
        let Some(event) = mark.gone() else { continue };
        match outbounds.get(&connection) {
            Some(outbound) => gateway.observe_from(&event, outbound),
            None => gateway.observe(&event),
        }
    }
}
