//! Directed pushes of a session: numbered by `seq` and kept, bounded, until acknowledged.
//!
//! Nothing that was pushed since the recipient dropped is ever let go of: when there is no more place the
//! sender is told. What it was sent while connected gives way to newer pushes.

use std::collections::VecDeque;

use prost::Message;

use crate::{
    ids::{Offset, Seq},
    protocol::{
        Code, Refusal,
        v1::{DataPush, ServerFrame, SignalPush, server_frame::Body},
    },
};

/// What a held push weighs beside its content, roughly.
const PUSH_BYTES: usize = 64;

/// How much one session may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HoldBounds {
    pub(crate) pushes: usize,
    pub(crate) bytes: usize,
}

/// A push to one participant.
#[derive(Clone, Debug)]
pub(crate) enum Directed {
    Signal(Box<SignalPush>),
    Data(Box<DataPush>),
}

impl Directed {
    pub(crate) fn size(&self) -> usize {
        PUSH_BYTES
            + match self {
                Self::Signal(push) => push.encoded_len(),
                Self::Data(push) => push.encoded_len(),
            }
    }

    fn number(&mut self, seq: Seq) {
        match self {
            Self::Signal(push) => push.seq = seq.0,
            Self::Data(push) => push.seq = Some(seq.0),
        }
    }

    /// What a frame pushes; absent: it is no directed push.
    fn of(frame: ServerFrame) -> Option<(Seq, Self)> {
        match frame.body? {
            Body::Signal(push) => Some((Seq(push.seq), Self::Signal(Box::new(push)))),
            Body::Data(push) => Some((Seq(push.seq?), Self::Data(Box::new(push)))),
            _ => None,
        }
    }

    fn into_frame(self) -> Box<ServerFrame> {
        let body = match self {
            Self::Signal(push) => Body::Signal(*push),
            Self::Data(push) => Body::Data(*push),
        };
        Box::new(ServerFrame { id: None, body: Some(body) })
    }
}

#[derive(Debug)]
struct HeldPush {
    /// The room's tip when it was pushed: its place among the room's events.
    after: Offset,
    bytes: usize,
    push: Directed,
}

/// The session's directed pushes. Nothing is allocated while there are none.
#[derive(Debug, Default)]
pub(crate) struct Held {
    last: u64,
    store: Option<Box<Store>>,
}

#[derive(Debug, Default)]
struct Store {
    kept: VecDeque<HeldPush>,
    bytes: usize,
    away: Option<Away>,
}

/// What has come since the recipient dropped.
#[derive(Debug, Default)]
struct Away {
    pushes: usize,
    bytes: usize,
}

impl Held {
    /// What was held elsewhere, up to that seq; the recipient is away. What comes before a gap is let go of.
    pub(super) fn restore(last: Seq, frames: impl DoubleEndedIterator<Item = (Offset, ServerFrame)>) -> Self {
        let (mut store, mut next) = (Box::<Store>::default(), last.0);
        for (after, frame) in frames.rev() {
            let Some((_, push)) = Directed::of(frame).filter(|(seq, _)| seq.0 == next && next > 0) else { break };
            next -= 1;
            let bytes = push.size();
            store.bytes += bytes;
            store.kept.push_front(HeldPush { after, bytes, push });
        }
        let mut held = Self { last: last.0, store: Some(store) };
        held.recipient_left();
        held
    }

    /// What was held elsewhere, up to that seq, comes before what came here since the recipient left.
    pub(super) fn absorb(
        &mut self,
        last: Seq,
        frames: impl DoubleEndedIterator<Item = (Offset, ServerFrame)>,
        bounds: HoldBounds,
    ) {
        let own = self.store.take().map_or_else(VecDeque::new, |store| {
            let since = store.away.as_ref().map_or(0, |away| away.pushes);
            let mut kept = store.kept;
            kept.drain(..kept.len().saturating_sub(since));
            kept
        });
        *self = Self::restore(last, frames);
        for HeldPush { after, push, .. } in own {
            self.take(push, after, bounds);
        }
    }

    /// The recipient, who has been away since this was restored, has seen pushes up to that one. Of those that are not known here
    /// the ones that came since come after it.
    pub(super) fn has_seen(&mut self, seq: Seq) {
        let since = self.store.as_ref().and_then(|store| store.away.as_ref()).map_or(0, |away| away.pushes);
        if seq.0 <= self.last - since as u64 {
            return;
        }
        self.last = seq.0 + since as u64;
        let Some(store) = &mut self.store else { return };
        while store.kept.len() > since {
            store.discard_oldest();
        }
        for (held, seq) in store.kept.iter_mut().rev().zip((0..=self.last).rev()) {
            held.push.number(Seq(seq));
        }
    }

    /// The latest seq.
    pub(crate) fn last(&self) -> Seq {
        Seq(self.last)
    }

    /// How many wait to be acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.store.as_ref().map_or(0, |store| store.kept.len())
    }

    /// Whether a push of that size can be taken.
    ///
    /// # Errors
    /// `hold_full`: the recipient is away and what came since has reached the bound.
    pub(crate) fn admits(&self, bytes: usize, bounds: HoldBounds) -> Result<(), Refusal> {
        match self.store.as_ref().and_then(|store| store.away.as_ref()) {
            Some(away) if away.pushes >= bounds.pushes || away.bytes + bytes > bounds.bytes => {
                Err(Code::HoldFull.refuse())
            }
            _ => Ok(()),
        }
    }

    /// Takes a push that was admitted; answers its frame, and how many unacknowledged ones gave way.
    pub(crate) fn take(&mut self, mut push: Directed, after: Offset, bounds: HoldBounds) -> (Box<ServerFrame>, usize) {
        // measured as it was when it was admitted, before its number
        let bytes = push.size();
        self.last += 1;
        push.number(Seq(self.last));
        let frame = push.clone().into_frame();
        let store = self.store.get_or_insert_default();
        if let Some(away) = &mut store.away {
            away.pushes += 1;
            away.bytes += bytes;
        }
        store.bytes += bytes;
        store.kept.push_back(HeldPush { after, bytes, push });
        let mut discarded = 0;
        while store.kept.len() > bounds.pushes || store.bytes > bounds.bytes {
            store.discard_oldest();
            discarded += 1;
        }
        (frame, discarded)
    }

    /// The client has seen everything up to this one. A seq that was never given acknowledges nothing.
    pub(crate) fn acknowledge(&mut self, seq: Seq) {
        let Some(store) = &mut self.store else { return };
        if seq.0 > self.last {
            return;
        }
        // those after it stay
        while store.kept.len() as u64 > self.last - seq.0 {
            store.discard_oldest();
        }
        self.tidy();
    }

    /// Whether every push after that seq is still here.
    pub(crate) fn covers(&self, seen: Seq) -> bool {
        seen.0 <= self.last && self.last - seen.0 <= self.len() as u64
    }

    /// What is held, oldest first, each with its place among the room's events.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (Offset, Box<ServerFrame>)> {
        let kept = self.store.iter().flat_map(|store| &store.kept);
        kept.map(|held| (held.after, held.push.clone().into_frame()))
    }

    pub(super) fn recipient_left(&mut self) {
        self.store.get_or_insert_default().away.get_or_insert_default();
    }

    pub(super) fn recipient_returned(&mut self) {
        if let Some(store) = &mut self.store {
            store.away = None;
        }
        self.tidy();
    }

    /// Most sessions are idle most of the time: they give their memory back.
    fn tidy(&mut self) {
        if self.store.as_ref().is_some_and(|store| store.kept.is_empty() && store.away.is_none()) {
            self.store = None;
        }
    }
}

impl Store {
    fn discard_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.bytes;
        }
    }
}
