//! Whether a shard's queue is too long, by the delay that it stands at and never by its length alone.
//!
//! As in CoDel (RFC 8289), what tells is a delay that has not been below its bound for an interval: a burst that is
//! worked off within it is none of our business, a delay that stands is a queue that only makes everybody late. New joins are turned away at the lower bound, signals of those who are there at the higher one only, and then
//! only those that would wait longer than it: so the queue stays as long as it helps and no longer.

use std::time::{Duration, Instant};

use crate::{event::Pressure, protocol::OpKind};

/// How long a delay has to stand before anything is turned away (RFC 8289 section 4.3: a round trip of the slow kind).
pub const INTERVAL: Duration = Duration::from_millis(100);
/// The share of the newest in the running mean: 1 in 32.
const MEAN_OF: u64 = 32;
/// One counts as this at most: a moment without a CPU tells nothing of the work that waits.
const EACH_MAX: Duration = Duration::from_millis(50);

/// Delays from which on a shard turns away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverloadSettings {
    /// New joins; zero: never.
    pub joins: Duration,
    /// Signals of those who are there; zero: never.
    pub signals: Duration,
}

/// How soon something is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A new participant: first.
    Join,
    /// What somebody does who is there, or comes back.
    Established,
    /// To go, and to acknowledge: never, for it makes room.
    Always,
}

impl Class {
    /// Of an op.
    #[inline]
    pub const fn of(op: OpKind) -> Self {
        match op {
            OpKind::Join => Self::Join,
            OpKind::Leave | OpKind::Ping => Self::Always,
            _ => Self::Established,
        }
    }

    /// The same where a bound is none: then nothing is turned away by it. The pressure may be of a moment ago, when it was one.
    #[inline]
    fn under(self, settings: OverloadSettings) -> Self {
        match self {
            Self::Join if settings.joins.is_zero() => Self::Established.under(settings),
            Self::Established if settings.signals.is_zero() => Self::Always,
            class => class,
        }
    }
}

/// The pressure changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What was turned away.
    pub from: Pressure,
    /// What is from now on.
    pub to: Pressure,
    /// The delay that stood in the interval before.
    pub waited: Duration,
}

/// What is known of one shard's queue.
#[derive(Debug, Default)]
pub struct Overload {
    pressure: Pressure,
    /// Since when everything has waited for a bound, by bound.
    above: [Option<Instant>; 2],
    ends: Option<Instant>,
    /// The least that anything waited in this interval.
    least: Option<Duration>,
    /// Signals of those who are there were turned away in this interval.
    turned_away: bool,
    /// The least that anything waited in the interval before.
    standing: Duration,
    taken: Option<Instant>,
    /// What was taken last is worked on since then.
    works: Option<Instant>,
    /// What one that is worked on takes, with what its worker does besides; nanoseconds, a running mean.
    each_ns: u64,
}

impl Overload {
    /// Something was taken from the queue that came into it at that moment.
    #[inline]
    pub fn took(&mut self, came: Instant, now: Instant, settings: OverloadSettings) -> Option<Changed> {
        self.taken = Some(now);
        // what came later did not wait for the one before: the time between tells nothing of that one
        if let Some(since) = self.works.take().filter(|since| came <= *since) {
            let took = now.saturating_duration_since(since).min(EACH_MAX);
            self.each_ns = (self.each_ns * (MEAN_OF - 1) + took.as_nanos() as u64) / MEAN_OF;
        }
        let waited = now.saturating_duration_since(came);
        self.least = Some(self.least.map_or(waited, |least| least.min(waited)));
        let mut stands = [false; 2];
        for ((above, bound), stands) in self.above.iter_mut().zip([settings.joins, settings.signals]).zip(&mut stands) {
            if bound.is_zero() || waited < bound {
                *above = None;
            } else {
                *stands = now.saturating_duration_since(*above.get_or_insert(now)) >= INTERVAL;
            }
        }
        let rises = match stands {
            [_, true] => Pressure::Signals,
            [true, false] => Pressure::Joins,
            [false, false] => Pressure::Calm,
        };
        if rises > self.pressure {
            self.begin_interval(now);
            return self.change(rises, waited);
        }
        self.conclude(now, settings)
    }

    /// What was taken last is carried out, from that moment on.
    #[inline]
    pub fn works(&mut self, now: Instant) {
        self.works = Some(now);
    }

    /// A signal of somebody who is there was turned away, at the door or here: more comes than can be served, even if
    /// the queue is short by that.
    #[inline]
    pub fn turned_away(&mut self) {
        self.turned_away = true;
    }

    /// The time of [`settles`](Self::settles) has come, whether or not anything was taken meanwhile.
    pub fn settle(&mut self, now: Instant, settings: OverloadSettings) -> Option<Changed> {
        self.conclude(now, settings)
    }

    /// When it wants to be told that nothing was taken; absent: it does not, for it knows that nothing waits.
    pub fn settles(&self) -> Option<Instant> {
        let waits = self.pressure > Pressure::Calm || self.least.is_some() || !self.standing.is_zero();
        self.ends.filter(|_| waits)
    }

    /// When something was taken last.
    pub const fn taken(&self) -> Option<Instant> {
        self.taken
    }

    /// What is turned away now.
    pub const fn pressure(&self) -> Pressure {
        self.pressure
    }

    /// The delay that stood in the last interval.
    pub const fn standing(&self) -> Duration {
        self.standing
    }

    /// What one waiting input takes, as of late.
    pub const fn each(&self) -> Duration {
        Duration::from_nanos(self.each_ns)
    }

    /// Whether something that was taken after such a wait is turned away all the same: what was let in at the door was
    /// let in by an estimate, so here the bound for signals is half as high again.
    #[inline]
    pub fn sheds(&self, class: Class, waited: Duration, settings: OverloadSettings) -> bool {
        match (self.pressure, class.under(settings)) {
            (Pressure::Calm, _) | (_, Class::Always) => false,
            (_, Class::Join) => waited >= settings.joins,
            (Pressure::Joins, Class::Established) => false,
            (Pressure::Signals, Class::Established) => waited > settings.signals.saturating_add(settings.signals / 2),
        }
    }

    /// At the end of an interval: whether the delay that stood in it is so short that less is turned away.
    fn conclude(&mut self, now: Instant, settings: OverloadSettings) -> Option<Changed> {
        match self.ends {
            Some(ends) if now < ends => return None,
            Some(_) => {}
            None => {
                self.begin_interval(now);
                return None;
            }
        }
        // nothing was taken: nothing waits
        self.standing = self.least.unwrap_or_default();
        let refused = self.turned_away;
        self.begin_interval(now);
        let stays = |bound: Duration| !bound.is_zero() && self.standing >= bound / 2;
        let falls = match self.pressure {
            Pressure::Signals if refused && !settings.signals.is_zero() || stays(settings.signals) => Pressure::Signals,
            Pressure::Signals | Pressure::Joins if stays(settings.joins) => Pressure::Joins,
            _ => Pressure::Calm,
        };
        self.change(falls, self.standing)
    }

    fn begin_interval(&mut self, now: Instant) {
        self.ends = Some(now + INTERVAL);
        self.least = None;
        self.turned_away = false;
    }

    fn change(&mut self, to: Pressure, waited: Duration) -> Option<Changed> {
        let from = std::mem::replace(&mut self.pressure, to);
        (from != to).then_some(Changed { from, to, waited })
    }
}

/// Whether something is turned away at the door of a shard, where so many inputs wait that take so long each.
#[inline]
pub fn sheds_at_the_door(
    pressure: Pressure,
    class: Class,
    (waiting, each): (usize, Duration),
    settings: OverloadSettings,
) -> bool {
    match (pressure, class.under(settings)) {
        (Pressure::Calm, _) | (_, Class::Always) => false,
        (_, Class::Join) => true,
        (Pressure::Joins, Class::Established) => false,
        (Pressure::Signals, Class::Established) => {
            each.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX)) > settings.signals
        }
    }
}

#[cfg(test)]
mod tests;
