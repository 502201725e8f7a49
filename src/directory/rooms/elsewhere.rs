//! Rooms of other routers, which are remembered for a moment: who comes for one of them is sent on without a call.

use std::time::{Duration, Instant};

use super::{Holder, Rooms};
use crate::ids::{RoomId, RouterId};

/// What another router has is asked again after that long.
const ELSEWHERE: Duration = Duration::from_secs(1);
/// Rooms of others that are remembered.
const ELSEWHERE_MAX: usize = 10_000;

impl Rooms {
    pub(super) fn remember(&mut self, room: &RoomId, holder: &Holder, now: Instant) {
        if self.elsewhere.insert(room.clone(), holder.clone()).is_none() {
            self.elsewhere_until.push_back((now + ELSEWHERE, room.clone()));
        }
        if self.elsewhere_until.len() > ELSEWHERE_MAX
            && let Some((_, oldest)) = self.elsewhere_until.pop_front()
        {
            self.elsewhere.remove(&oldest);
        }
    }

    /// What that router has is to be asked anew.
    pub(in crate::directory) fn forget_elsewhere_of(&mut self, router: &RouterId) {
        self.elsewhere.retain(|_, holder| holder.router != *router);
    }

    pub(super) fn forget_elsewhere(&mut self, now: Instant) {
        while self.elsewhere_until.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, room)) = self.elsewhere_until.pop_front() {
                self.elsewhere.remove(&room);
            }
        }
    }
}
