//! What an edge says by a link: taken from its queue many at once.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    Shared,
    words::{hello, micros},
};
use crate::protocol::{Code, relay};

/// Said in one message.
const SAID_TOGETHER: usize = 64;

/// What is to be said to the host.
#[derive(Debug)]
pub(super) enum Said {
    Open(u64, Box<relay::Open>),
    Frame(u64, Bytes, Instant, OwnedSemaphorePermit),
    Lost(u64, Code),
    Probe(u64),
    /// Nothing more.
    End,
}

/// What is said to the host: a hello, then what comes, many at once.
pub(super) struct Spoken {
    hello: Option<relay::Hello>,
    ended: bool,
    hears: mpsc::Receiver<Said>,
    together: Vec<Said>,
    round_trip_us: Arc<AtomicU32>,
}

impl Spoken {
    pub(super) fn new(shared: &Shared, hears: mpsc::Receiver<Said>, round_trip_us: Arc<AtomicU32>) -> Self {
        let hello = hello(&shared.settings.router);
        Self { hello: Some(hello), ended: false, hears, together: Vec::with_capacity(SAID_TOGETHER), round_trip_us }
    }

    /// None: it ends here.
    fn item(&self, said: Said, now: Instant) -> Option<relay::EdgeItem> {
        let round_trip_us = self.round_trip_us.load(Ordering::Relaxed);
        let blank = relay::EdgeItem::default();
        Some(match said {
            Said::Open(connection, open) => relay::EdgeItem { connection, open: Some(*open), ..blank },
            Said::Frame(connection, bytes, received, place) => {
                drop(place);
                let age_us = micros(now.saturating_duration_since(received)).saturating_add(round_trip_us / 2);
                relay::EdgeItem { connection, frame: Some(relay::Frame { bytes, age_us }), ..blank }
            }
            Said::Lost(connection, code) => relay::EdgeItem { connection, lost: code.name().to_owned(), ..blank },
            Said::Probe(number) => relay::EdgeItem { probe: Some(relay::Probe { number, round_trip_us }), ..blank },
            Said::End => return None,
        })
    }
}

impl Stream for Spoken {
    type Item = relay::FromEdge;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(hello) = this.hello.take() {
            return Poll::Ready(Some(relay::FromEdge { hello: Some(hello), items: Vec::new() }));
        }
        if this.ended || ready!(this.hears.poll_recv_many(cx, &mut this.together, SAID_TOGETHER)) == 0 {
            return Poll::Ready(None);
        }
        let now = Instant::now();
        let together = std::mem::take(&mut this.together);
        let said = together.len();
        let items: Vec<_> = together.into_iter().map_while(|said| this.item(said, now)).collect();
        this.ended = items.len() < said;
        Poll::Ready(Some(relay::FromEdge { hello: None, items }))
    }
}
