//! What a rule makes of series: tickets and pages in quiet weeks, how soon it finds what is wrong, and what it learns.

use std::ops::{AddAssign, Range};

use signalbox::telemetry::baseline::{DAY, Slot};

use super::{
    model::{DAY_MINUTES, Noise, Past, SLOT_MINUTES},
    rules::{Ours, Plain, Rule},
};

pub(crate) const DAYS: usize = 28;
/// The budget of the promise is burned six times too fast over five minutes and over an hour: then a breach pages.
const BURN: f64 = 6.0 * 0.01;

const REGRESSION: f64 = 1.3;

/// Of four quiet weeks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quiet {
    pub(crate) series: u32,
    pub(crate) tickets: u32,
    pub(crate) tickets_max: u32,
    pub(crate) pages: u32,
}

impl AddAssign for Quiet {
    fn add_assign(&mut self, other: Self) {
        self.series += other.series;
        self.tickets += other.tickets;
        self.tickets_max = self.tickets_max.max(other.tickets_max);
        self.pages += other.pages;
    }
}

fn burns(past: &Past, slot: usize) -> bool {
    let share = |slots: usize| {
        let from = (slot + 1).saturating_sub(slots);
        (from..=slot).map(|slot| past.slow_share(slot, |_| 1.0)).sum::<f64>() / (slot + 1 - from) as f64
    };
    share(1) > BURN && share(12) > BURN
}

/// How long after its start each of some regressions was found, minutes; absent: not within three hours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delays(pub(crate) Vec<Option<u32>>);

impl Delays {
    pub(crate) fn within(&self, minutes: u32) -> f64 {
        let found = self.0.iter().flatten().filter(|delay| **delay <= minutes).count();
        100.0 * found as f64 / self.0.len().max(1) as f64
    }
}

/// What one rule makes of series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) quiet: Quiet,
    /// Of +30 % that begins at 04:00, at 14:00, and at some minute of the day.
    pub(crate) delays: [Delays; 3],
}

impl Verdict {
    pub(crate) fn add(&mut self, other: Self) {
        self.quiet += other.quiet;
        for (delays, other) in self.delays.iter_mut().zip(other.delays) {
            delays.0.extend(other.0);
        }
    }
}

/// Tickets are times that it begins to fire; a page is one during which the promise's budget burns. Every other day of
/// the last two weeks, which is each day of a week, regressions begin beside that.
fn weeks<R: Rule>(past: &Past, mut rule: R, starts: [usize; 3]) -> Verdict {
    let mut verdict = Verdict { quiet: Quiet { series: 1, ..Quiet::default() }, ..Verdict::default() };
    let (mut fired, mut paged) = (false, false);
    for slot in 0..past.slots() {
        let (day, minute) = (slot * SLOT_MINUTES / DAY_MINUTES, slot * SLOT_MINUTES % DAY_MINUTES);
        for (delays, start) in verdict.delays.iter_mut().zip(starts) {
            if day >= 15 && day % 2 == 1 && minute == start / SLOT_MINUTES * SLOT_MINUTES {
                delays.0.push(found(past, rule.clone(), (slot, start % SLOT_MINUTES)));
            }
        }
        let fires = rule.fires(past.first + slot as Slot, past.seen(slot, |_| 1.0));
        let pages = fires && burns(past, slot);
        verdict.quiet.tickets += u32::from(fires && !fired);
        verdict.quiet.pages += u32::from(pages && !paged);
        (fired, paged) = (fires, pages);
    }
    verdict.quiet.tickets_max = verdict.quiet.tickets;
    verdict
}

/// A slot is looked at when it is over.
fn found<R: Rule>(past: &Past, mut rule: R, (from, after): (usize, usize)) -> Option<u32> {
    let start = from * SLOT_MINUTES + after;
    let slow = |minute: usize| if minute >= start { REGRESSION } else { 1.0 };
    let until = past.slots().min(from + 36);
    let slot = (from..until).find(|slot| rule.fires(past.first + *slot as Slot, past.seen(*slot, slow)))?;
    Some(((slot + 1) * SLOT_MINUTES - start) as u32)
}

/// The first firing at or after each of some days, minutes after it, and the last firing of all, hours after the first
/// of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) delays: Vec<Option<u32>>,
    pub(crate) last_hours: Option<f64>,
    /// The day on which the daily mean was first a quarter over that of a week before.
    pub(crate) drift_day: Option<usize>,
}

/// What ours makes of a series that is so many times as slow at each minute.
pub(crate) fn story(past: &Past, starts_minutes: &[usize], times: impl Fn(usize) -> f64) -> Story {
    let mut rule = Ours::default();
    let mut fired = Vec::new();
    let mut told = Story::default();
    for slot in 0..past.slots() {
        if rule.fires(past.first + slot as Slot, past.seen(slot, &times)) {
            fired.push((slot + 1) * SLOT_MINUTES);
        }
        if told.drift_day.is_none() && rule.drift().is_some_and(|drift| drift > 1.25) {
            told.drift_day = Some(slot / DAY as usize);
        }
    }
    let ends = starts_minutes.iter().skip(1).copied().chain([usize::MAX]);
    told.delays = starts_minutes
        .iter()
        .zip(ends)
        .map(|(start, end)| fired.iter().find(|at| (*start..end).contains(at)).map(|at| (at - start) as u32))
        .collect();
    let first = starts_minutes.first().copied().unwrap_or_default();
    told.last_hours = fired.iter().rfind(|at| **at >= first).map(|at| (at - first) as f64 / 60.0);
    told
}

/// Both rules on the same series of that noise and seed: ours, and the plain one.
pub(crate) fn judge(noise: Noise, series: Range<u64>, seed: u64) -> [Verdict; 2] {
    let mut verdicts = <[Verdict; 2]>::default();
    for number in series {
        let past = Past::new(noise, DAYS, seed << 32 | number);
        let anywhen = fastrand::Rng::with_seed(seed << 32 | number).usize(0..DAY_MINUTES);
        let starts = [4 * 60, 14 * 60, anywhen];
        verdicts[0].add(weeks(&past, Ours::default(), starts));
        verdicts[1].add(weeks(&past, Plain::default(), starts));
    }
    verdicts
}
