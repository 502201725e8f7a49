//! One (op, region): its points, and the band that follows from them.

use super::{
    DAY, MATURE_POINTS, SIGNALS_MIN, Slot, Standing, WEEK,
    alarm::{Alarm, LeftOut},
    ring::Ring,
};

/// Slots after which it is known whether a point belongs to an incident.
pub(super) const LAG: Slot = 3;
/// Slots before and after this time of day that are the hour around it, and the six hours.
const HOUR: Slot = 6;
const SIX_HOURS: Slot = 36;
/// The margins of the band.
const DEVIATIONS: f64 = 2.0;
const FACTOR: f64 = 1.25;
/// In its first week, when nobody knows yet what a Monday looks like.
const FACTOR_YOUNG: f64 = 1.5;
const MARGIN_SECONDS: f64 = 0.005;
/// What the latest minute must pass, of the band: it tells a breach that goes on from one that is over.
const CONFIRMED: f64 = 0.9;
/// What a P99 that was above the band must stay above, of it: so that noise at its edge does not begin anew each time.
const SUSTAINED: f64 = 0.95;
/// A day of relative points that is so many times the week's is a step.
const STEPPED: f64 = 1.05;
/// Points of six hours, of 73, without which they do not tell how that day was.
const LEVEL_POINTS_MIN: u32 = 54;
/// Points without which a day is not taken as one.
const DAY_POINTS_MIN: u32 = 250;

/// What was seen in five minutes, of outcomes ok and expired.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Their P99.
    pub p99_seconds: f64,
    /// That of the last minute of them; absent: it had no signal.
    pub last_minute_seconds: Option<f64>,
    /// How many signals.
    pub signals: u64,
}

impl Seen {
    /// Whether there were enough signals for a P99 to say something.
    pub(super) fn is_point(&self) -> bool {
        self.signals >= SIGNALS_MIN && self.p99_seconds.is_finite()
    }
}

/// What is usual now, and what may not be passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Clean points of the last seven days.
    pub points: u32,
    /// Their mean,
    pub mean_seconds: f64,
    /// and their standard deviation.
    pub deviation_seconds: f64,
    /// What P99 was around this time of day; absent: not known of any day.
    pub expected_seconds: Option<f64>,
    /// What is usual now: what is expected, as it has turned out lately; without it the mean.
    pub usual_seconds: f64,
    /// What may not be passed.
    pub upper_seconds: f64,
    /// Mean + 2 deviations, to be drawn beside it.
    pub plain_upper_seconds: f64,
}

impl Band {
    /// Whether there are points enough for it to speak.
    pub fn is_mature(&self) -> bool {
        self.points >= MATURE_POINTS
    }
}

/// What P99 was at one time of day.
struct Days {
    /// The mean of the days that have it.
    mean: f64,
    /// That of a week ago, and of how many points.
    week_ago: Option<(f64, u32)>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    /// What was seen in the latest slot, however few signals it had.
    pub(super) before: Option<f64>,
    /// Of the latest slots, [`LAG`] of them and the present one, the oldest first.
    pub(super) points: [Option<f64>; LAG as usize + 1],
    pub(super) clean: Ring,
    /// Clean points by what was expected of them.
    pub(super) relative: Ring,
    pub(super) alarm: Alarm,
    pub(super) left_out: LeftOut,
    /// As it was after the latest slot.
    pub(super) band: Option<Band>,
}

impl Series {
    /// Of which nothing is known up to that slot.
    pub(super) fn new(latest: Slot) -> Self {
        Self {
            before: None,
            points: [None; LAG as usize + 1],
            clean: Ring::new(Ring::CLEAN_SLOTS, latest),
            relative: Ring::new(WEEK, latest),
            alarm: Alarm::default(),
            left_out: LeftOut::default(),
            band: None,
        }
    }

    pub(super) fn latest(&self) -> Slot {
        self.clean.latest()
    }

    /// Nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.band.is_none() && self.points.iter().all(Option::is_none)
    }

    pub(super) fn standing(&self) -> Standing {
        Standing { band: self.band, above_since: self.alarm.since(), drift: self.drift() }
    }

    /// Takes the next slot; absent: there were no signals, or nobody looked.
    pub(super) fn step(&mut self, seen: Option<Seen>) {
        let slot = self.latest() + 1;
        let before = std::mem::replace(&mut self.before, seen.map(|seen| seen.p99_seconds));
        let seen = seen.filter(Seen::is_point);
        self.points.rotate_left(1);
        self.points[LAG as usize] = seen.map(|seen| seen.p99_seconds);
        let firing = self.alarm.since().is_some();
        let left_out = self.left_out.step(slot, firing);
        let clean = self.points[0].filter(|_| !left_out).map(|point| self.cleaned(point, firing));
        self.clean.push(clean);
        // as it is kept: so that both series say the same
        let relative = self.clean.get(slot).zip(self.expected(slot - LAG)).map(|(clean, expected)| clean / expected);
        self.relative.push(relative);
        self.band = self.band_of(slot);
        let above = seen.zip(self.band).is_some_and(|(seen, band)| is_above(&seen, before, &band));
        self.alarm = self.alarm.after(slot, above);
    }

    /// A point that is not left out. A breach too short to fire counts as the band.
    fn cleaned(&self, point: f64, firing: bool) -> f64 {
        match self.band {
            Some(band) if band.is_mature() && !firing => point.min(band.upper_seconds),
            _ => point,
        }
    }

    /// What P99 was in the hour around that slot's time of day, the mean over the last seven days, by how much that day
    /// of the week is above or below the others; or what it was in that hour a week ago, if that is more.
    fn expected(&self, slot: Slot) -> Option<f64> {
        let hour = self.days(slot, HOUR)?;
        let six_hours = self.days(slot, SIX_HOURS)?;
        let week_ago = six_hours.week_ago.filter(|(_, points)| *points >= LEVEL_POINTS_MIN);
        let level = week_ago.map_or(1.0, |(week_ago, _)| week_ago / six_hours.mean);
        let expected = hour.mean * level;
        Some(hour.week_ago.map_or(expected, |(week_ago, _)| week_ago.max(expected))).filter(|expected| *expected > 0.0)
    }

    /// Clean points around that time of day on each of the last seven days.
    fn days(&self, slot: Slot, around: Slot) -> Option<Days> {
        let of_day = |day: Slot| self.clean.mean_of(2 * around + 1, slot - day * DAY + around + LAG);
        let (days, sum) = (1..=7).filter_map(of_day).fold((0, 0.0), |(days, sum), (mean, _)| (days + 1, sum + mean));
        (days > 0).then(|| Days { mean: sum / f64::from(days), week_ago: of_day(7) })
    }

    fn band_of(&self, slot: Slot) -> Option<Band> {
        let (mean, deviation) = (self.clean.mean()?, self.clean.deviation());
        let expected = self.expected(slot);
        let relative = self.relative_mean();
        let plain = mean + DEVIATIONS * deviation;
        let (usual, upper) = match (expected, relative) {
            (Some(expected), Some(relative)) => {
                let usual = expected * relative;
                let deviated = expected * (relative + DEVIATIONS * self.relative.deviation());
                (usual, deviated.max(self.with_margins(usual, slot)))
            }
            _ => (mean, plain.max(self.with_margins(mean, slot))),
        };
        Some(Band {
            points: self.clean.count(),
            mean_seconds: mean,
            deviation_seconds: deviation,
            expected_seconds: expected,
            usual_seconds: usual,
            upper_seconds: upper,
            plain_upper_seconds: plain,
        })
    }

    /// How what is expected turns out: over the week, or over the last day if that is a twentieth more. So a step for good is
    /// learned within a day of the points that are no longer left out.
    fn relative_mean(&self) -> Option<f64> {
        let week = self.relative.mean().filter(|_| self.relative.count() >= MATURE_POINTS)?;
        let day = self.relative.mean_of(DAY, self.latest()).filter(|(_, points)| *points >= DAY_POINTS_MIN);
        Some(day.map(|(day, _)| day).filter(|day| *day > STEPPED * week).unwrap_or(week))
    }

    fn with_margins(&self, usual: f64, slot: Slot) -> f64 {
        let known_for_a_week = self.clean.mean_of(DAY / 2, slot - 6 * DAY - DAY / 2).is_some();
        let factor = if known_for_a_week { FACTOR } else { FACTOR_YOUNG };
        (usual * factor).max(usual + MARGIN_SECONDS)
    }

    /// A slow drift never leaves a band that follows it.
    fn drift(&self) -> Option<f64> {
        let (day, _) = self.clean.mean_of(DAY, self.latest())?;
        let (before, points) = self.clean.mean_of(DAY, self.latest() - WEEK)?;
        (points >= DAY_POINTS_MIN && before > 0.0).then(|| day / before)
    }

    /// Lets go of that slot and of what came after it.
    pub(super) fn forget_from(&mut self, slot: Slot) {
        self.before = None;
        self.points = [None; LAG as usize + 1];
        self.clean.forget_from(slot);
        self.relative.forget_from(slot);
        self.left_out.forget_from(slot);
        self.alarm = Alarm::default();
        self.band = self.band_of(slot - 1);
    }

    /// As it follows from the rest, after it was read back.
    pub(super) fn with_band(mut self) -> Self {
        self.band = self.band_of(self.latest());
        self
    }
}

/// Above the band, or hardly back after it was above it; and the latest minute nearly too: a short spike stays in five
/// minutes long after it is over.
fn is_above(seen: &Seen, before: Option<f64>, band: &Band) -> bool {
    let upper = band.upper_seconds;
    let worst = before.map_or(seen.p99_seconds, |before| before.max(seen.p99_seconds));
    let confirmed = seen.last_minute_seconds.is_some_and(|latest| latest > CONFIRMED * upper);
    band.is_mature() && worst > upper && seen.p99_seconds > SUSTAINED * upper && confirmed
}
