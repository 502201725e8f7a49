//! Rooms as the router keeps them: found by name, with the timers of their end and of their history.

use std::time::{Duration, Instant};

use super::{
    Output, Router, Timer,
    carriage::Carriage,
    keeping::{Keeping, Rest},
};
use crate::{
    event::Event,
    ids::{Epoch, RoomId, Variant},
    protocol::{Code, Refusal, v1},
    room::{Founding, Room},
};

/// Where a room is kept; used again after its end.
pub(super) type HallKey = usize;

/// How soon a room's history is looked at again at the earliest; ageing is not urgent.
const TRIM_PAUSE: Duration = Duration::from_secs(5);

/// How long a client that found the router full waits before it tries again.
pub(super) const FULL_RETRY_MS: u64 = 2_000;

#[derive(Debug)]
pub(super) struct Hall {
    pub(super) room: Room,
    pub(super) empty_until: Option<Instant>,
    pub(super) trim_at: Option<Instant>,
    pub(super) media: Carriage,
    /// How far it is kept outside of this router; absent: it is not.
    pub(super) keeping: Option<Box<Keeping>>,
    /// What a newer version wrote into its record.
    pub(super) rest: Option<Box<Rest>>,
    /// That of the first member, which stays; absent: nobody has come yet.
    pub(super) variant: Option<Variant>,
}

impl Hall {
    /// The room as the admin API shows it.
    pub(super) fn info(&self) -> v1::RoomInfo {
        let variant = self.variant.as_ref().map_or(Variant::DEFAULT, Variant::as_str).to_owned();
        v1::RoomInfo { variant, ..self.room.info() }
    }
}

/// What its creator may choose.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) metadata: String,
    pub(super) participants_max: Option<u32>,
    pub(super) empty_timeout: Option<Duration>,
}

impl Router {
    pub(super) fn admits_room(&self) -> Result<(), Refusal> {
        if self.halls.len() < self.settings.rooms_max {
            return Ok(());
        }
        let message = format!("the router has its limit of {} rooms (`rooms_max`)", self.settings.rooms_max);
        Err(Code::RouterFull.because(message).retry_after_ms(FULL_RETRY_MS))
    }

    /// Makes a room that does not exist; who calls has asked `admits_room`.
    pub(super) fn found_room(&mut self, id: RoomId, plan: Plan, unix_ms: u64) -> HallKey {
        let founding = Founding {
            id,
            epoch: Epoch(self.rng.u64(1..)),
            metadata: plan.metadata.into(),
            created_at_ms: unix_ms,
            participants_max: plan.participants_max.unwrap_or(self.settings.participants_max),
            empty_timeout: plan.empty_timeout.unwrap_or(self.settings.empty_timeout),
        };
        self.admit_hall(Room::new(founding, self.bounds.clone()), None)
    }

    /// The room is here from now on. `fence`: under which it is kept already.
    pub(super) fn admit_hall(&mut self, mut room: Room, fence: Option<u64>) -> HallKey {
        let id = room.id().clone();
        let keeping = self.settings.keeping.map(|_| {
            room.note_changes();
            Box::new(Keeping::new(fence))
        });
        let media = Carriage::default();
        let hall = Hall { room, empty_until: None, trim_at: None, media, keeping, rest: None, variant: None };
        let hall = self.halls.insert(Box::new(hall));
        self.names.insert(id.clone(), hall);
        self.closing.push(Output::Observe(Event::RoomCreated { room: id }));
        hall
    }

    /// After something happened in a room: its timers follow from its state.
    pub(super) fn settle(&mut self, key: HallKey, at: Instant) {
        let Some(hall) = self.halls.get_mut(key) else { return };
        if hall.trim_at.is_none()
            && let Some(ends) = hall.room.history_ends_at()
        {
            self.timers.arm(&mut hall.trim_at, ends.max(at + TRIM_PAUSE), Timer::Trim(key));
        }
        self.keep_soon(key, at);
        let Some(hall) = self.halls.get_mut(key) else { return };
        match (hall.room.is_empty(), hall.empty_until) {
            (true, None) => {
                let until = at + hall.room.empty_timeout();
                self.timers.arm(&mut hall.empty_until, until, Timer::Empty(key));
            }
            (false, Some(_)) => self.timers.cancel(&mut hall.empty_until, Timer::Empty(key)),
            _ => {}
        }
    }

    pub(super) fn trim_hall(&mut self, key: HallKey, at: Instant) {
        let Some(hall) = self.halls.get_mut(key) else { return };
        hall.trim_at = None;
        if let Some(ends) = hall.room.trim(at) {
            self.timers.arm(&mut hall.trim_at, ends.max(at + TRIM_PAUSE), Timer::Trim(key));
        }
    }

    pub(super) fn hall_stayed_empty(&mut self, key: HallKey, at: Instant) {
        let Some(hall) = self.halls.get_mut(key) else { return };
        hall.empty_until = None;
        if hall.room.is_empty() {
            self.close_hall(key, Code::Left, at);
        }
    }

    /// Forgets a room that nobody is in any more.
    pub(super) fn close_hall(&mut self, key: HallKey, reason: Code, at: Instant) {
        self.refuse_openings(key, &reason.refuse());
        self.end_media(key, at);
        let Some(mut hall) = self.halls.try_remove(key) else { return };
        self.timers.cancel(&mut hall.empty_until, Timer::Empty(key));
        self.timers.cancel(&mut hall.trim_at, Timer::Trim(key));
        self.names.remove(hall.room.id());
        self.stop_keeping(&mut hall, key);
        self.closing.push(Output::Observe(Event::RoomClosed { room: hall.room.id().clone(), reason }));
    }
}
