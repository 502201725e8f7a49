//! What a shard says of its queue, to be read at the door: a few numbers, written by the shard and read by everybody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    event::{Limit, Pressure, nanos},
    guard::overload::{Class, Overload, OverloadSettings, sheds_at_the_door},
};

/// When queues are too long, and whether deadlines hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// Delays from which on a shard turns away.
    pub overload: OverloadSettings,
    /// Whether a signal whose time is over is refused.
    pub deadlines: bool,
}

/// The same as they are now; all shards and the door share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    joins_ns: AtomicU64,
    signals_ns: AtomicU64,
    deadlines: AtomicBool,
}

impl Bounds {
    pub(crate) fn new(settings: QueueSettings) -> Self {
        let bounds = Self::default();
        bounds.configure(settings);
        bounds
    }

    pub(crate) fn configure(&self, settings: QueueSettings) {
        self.0.joins_ns.store(nanos(settings.overload.joins), Relaxed);
        self.0.signals_ns.store(nanos(settings.overload.signals), Relaxed);
        self.0.deadlines.store(settings.deadlines, Relaxed);
    }

    #[inline]
    pub(crate) fn overload(&self) -> OverloadSettings {
        let at = |number: &AtomicU64| Duration::from_nanos(number.load(Relaxed));
        OverloadSettings { joins: at(&self.0.joins_ns), signals: at(&self.0.signals_ns) }
    }

    #[inline]
    pub(crate) fn deadlines(&self) -> bool {
        self.0.deadlines.load(Relaxed)
    }
}

/// What one shard says of its queue.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// The place of a [`Pressure`].
    pressure: AtomicU8,
    each_ns: AtomicU64,
    standing_ns: AtomicU64,
    /// Taken from the inbox and not yet looked at.
    in_hand: AtomicUsize,
    /// The door has turned away a signal of somebody who is there, since the shard looked last.
    turned_away: AtomicBool,
}

impl Gauge {
    /// Says it anew.
    pub(crate) fn set(&self, overload: &Overload) {
        self.each_ns.store(nanos(overload.each()), Relaxed);
        self.standing_ns.store(nanos(overload.standing()), Relaxed);
        self.pressure.store(overload.pressure() as u8, Relaxed);
    }

    /// How many it has taken from its inbox and not yet looked at: they wait as well.
    #[inline]
    pub(crate) fn set_in_hand(&self, count: usize) {
        self.in_hand.store(count, Relaxed);
    }

    /// The same.
    pub(crate) fn in_hand(&self) -> usize {
        self.in_hand.load(Relaxed)
    }

    /// What it turns away.
    #[inline]
    pub(crate) fn pressure(&self) -> Pressure {
        match self.pressure.load(Relaxed) {
            0 => Pressure::Calm,
            1 => Pressure::Joins,
            _ => Pressure::Signals,
        }
    }

    /// The delay that stands.
    pub(crate) fn standing(&self) -> Duration {
        Duration::from_nanos(self.standing_ns.load(Relaxed))
    }

    /// Which limit turns something away that would wait behind so many.
    pub(crate) fn sheds(&self, class: Class, waiting: impl FnOnce() -> usize, bounds: &Bounds) -> Option<Limit> {
        let pressure = self.pressure();
        if pressure == Pressure::Calm {
            return None;
        }
        let each = Duration::from_nanos(self.each_ns.load(Relaxed));
        if !sheds_at_the_door(pressure, class, (waiting(), each), bounds.overload()) {
            return None;
        }
        if class == Class::Established {
            self.turned_away.store(true, Relaxed);
        }
        Some(limit_of(class))
    }

    /// Whether the door has turned away a signal of somebody who is there since this was asked last.
    pub(crate) fn take_turned_away(&self) -> bool {
        self.turned_away.load(Relaxed) && self.turned_away.swap(false, Relaxed)
    }
}

/// Which of the two bounds of a queue it was.
pub(crate) fn limit_of(class: Class) -> Limit {
    if class == Class::Join { Limit::QueueOfJoins } else { Limit::QueueOfSignals }
}
