//! A session as it is kept outside of its router, and one that was.

use super::{Held, HoldBounds, Lives, Replies, Session};
use crate::{
    event::Labels,
    fabric::{HeldKept, SessionKept},
    ids::{Identity, Offset, Seq},
};

impl Session {
    /// One of another router's that nobody has come back to yet. What it is to telemetry its next connection says.
    pub(crate) fn restored(identity: Identity, key: std::sync::Arc<str>, kept: SessionKept) -> Self {
        let lives = Lives::read(&kept);
        let held = kept.held.into_iter().map(|HeldKept { after, frame }| (Offset(after), frame));
        Self {
            id: kept.id.into(),
            key,
            identity,
            labels: Labels::default(),
            connection: None,
            generation: kept.generation,
            minted: kept.generation + 1,
            restored: true,
            lives,
            held: Held::restore(Seq(kept.seq), held),
            replies: Replies::restore(kept.replies.into_iter()),
        }
    }

    /// Its record. `handed_over`: with all that another router needs to go on as if nothing had happened.
    pub(crate) fn to_kept(&self, expires_at_ms: Option<u64>, handed_over: bool) -> SessionKept {
        let (mut held, mut replies) = (Vec::new(), Vec::new());
        if handed_over {
            held.extend(self.held.frames().map(|(after, frame)| HeldKept { after: after.0, frame: *frame }));
            replies.extend(self.replies.frames());
        }
        let mut kept = SessionKept {
            id: self.id.as_str().to_owned(),
            key: self.key.to_string(),
            generation: self.generation,
            seq: self.held.last().0,
            expires_at_ms,
            held,
            replies,
            ..SessionKept::default()
        };
        self.lives.keep(&mut kept);
        kept
    }

    /// While it was away here its client was with another router, which says so much of it: what was pushed to it here meanwhile comes
    /// after what was pushed there.
    pub(crate) fn absorb(&mut self, kept: SessionKept, bounds: HoldBounds) {
        self.generation = self.generation.max(kept.generation);
        self.minted = self.next_generation();
        let held = kept.held.into_iter().map(|HeldKept { after, frame }| (Offset(after), frame));
        self.held.absorb(Seq(kept.seq), held, bounds);
        self.replies.absorb(kept.replies.into_iter());
    }

    /// Of the highest resume token that was used.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether nobody came back to it since it was another router's.
    pub(crate) fn is_restored(&self) -> bool {
        self.restored
    }

    /// Somebody came back to it, and has seen directed pushes up to that one. Whether it was another router's until now.
    pub(crate) fn returns(&mut self, seen: Seq, labels: Labels) -> bool {
        if !self.restored {
            return false;
        }
        self.restored = false;
        self.labels = labels;
        self.held.has_seen(seen);
        true
    }
}
