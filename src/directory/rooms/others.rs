//! Whether the router that has a room can be counted on, as far as this one has heard of it.

use std::time::{Duration, Instant};

use crate::directory::{RouterRecord, record::RoomRecord, refusing::Refusing, view::View};

/// What is known of the other routers, when an answer is judged.
#[derive(Clone, Copy, Debug)]
pub(in crate::directory) struct Others<'a> {
    pub(in crate::directory) routers: &'a View<RouterRecord>,
    /// For how long nothing has proven that this is new.
    pub(in crate::directory) lag: Duration,
    /// How long a lease lasts.
    pub(in crate::directory) lease: Duration,
    /// Where nobody listens.
    pub(in crate::directory) refusing: &'a Refusing,
}

impl Others<'_> {
    /// Whether whoever holds a room can be counted on. One that is not known yet can: what it wrote has not ended.
    pub(super) fn can_count_on(&self, holder: &RoomRecord, now: Instant) -> bool {
        let Some(kept) = self.routers.find(&holder.router) else { return true };
        let Ok(router) = &kept.record else { return true };
        // silent for longer than one refresh may be missed, as far as this router would have heard
        let silent = kept.age(now).saturating_sub(self.lag) > self.lease / 2;
        let gone = silent || self.refusing.is_gone(&holder.router, kept);
        router.incarnation == holder.incarnation && !router.draining && !gone
    }
}
