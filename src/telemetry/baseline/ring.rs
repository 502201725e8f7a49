//! The latest slots of one series, with gaps, and the moments of its week.

use super::{DAY, Slot, WEEK};

/// Values by slot, the oldest making way; a gap is not a number. Four bytes each: a P99 is not known to seven digits.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    values: Box<[f32]>,
    latest: Slot,
    /// Of the last [`WEEK`] slots.
    week: Moments,
}

/// Count, sum and sum of squares, of which a value can be taken away again.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: u32,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    fn remove(&mut self, value: f64) {
        self.count -= 1;
        self.sum -= value;
        self.squares -= value * value;
    }
}

impl Ring {
    /// What clean series keep: the week, and for drift the day that was a week ago.
    pub(super) const CLEAN_SLOTS: Slot = WEEK + DAY;

    /// Of gaps up to that slot; of at least a week.
    pub(super) fn new(slots: Slot, latest: Slot) -> Self {
        debug_assert!(slots >= WEEK);
        Self { values: vec![f32::NAN; slots as usize].into(), latest, week: Moments::default() }
    }

    /// As it was written out, the oldest first.
    pub(super) fn of(values: &[f32], latest: Slot) -> Self {
        let slots = values.len() as Slot;
        let mut ring = Self::new(slots, latest - slots);
        values.iter().for_each(|value| ring.push(Some(*value).filter(|value| !value.is_nan()).map(f64::from)));
        ring
    }

    /// All of it, the oldest first.
    pub(super) fn values(&self) -> impl Iterator<Item = f32> {
        let first = self.latest + 1 - self.values.len() as Slot;
        (first..=self.latest).map(|slot| self.values[self.place(slot)])
    }

    pub(super) fn latest(&self) -> Slot {
        self.latest
    }

    pub(super) fn get(&self, slot: Slot) -> Option<f64> {
        let kept = slot <= self.latest && self.latest - slot < self.values.len() as Slot;
        kept.then(|| self.values[self.place(slot)]).filter(|value| !value.is_nan()).map(f64::from)
    }

    /// What the next slot has.
    pub(super) fn push(&mut self, value: Option<f64>) {
        if let Some(leaving) = self.get(self.latest + 1 - WEEK) {
            self.week.remove(leaving);
        }
        self.latest += 1;
        let place = self.place(self.latest);
        self.values[place] = value.map_or(f32::NAN, |value| value as f32);
        if let Some(value) = self.get(self.latest) {
            self.week.add(value);
        }
        // so that what rounding leaves behind does not add up
        if self.latest % DAY == 0 {
            self.count_anew();
        }
    }

    fn count_anew(&mut self) {
        let mut week = Moments::default();
        self.last(WEEK, self.latest).for_each(|value| week.add(value));
        self.week = week;
    }

    /// The values of so many slots up to that one, as far as they are kept, in no order.
    fn last(&self, slots: Slot, until: Slot) -> impl Iterator<Item = f64> {
        let kept_from = self.latest + 1 - self.values.len() as Slot;
        let (from, until) = ((until + 1 - slots).max(kept_from), until.min(self.latest));
        let count = usize::try_from(until + 1 - from).unwrap_or(0);
        let begin = self.place(from);
        let first = &self.values[begin..self.values.len().min(begin + count)];
        let rest = &self.values[..count - first.len()];
        first.iter().chain(rest).filter(|value| !value.is_nan()).map(|value| f64::from(*value))
    }

    /// The mean of so many slots up to that one, and of how many values; absent: it has none.
    pub(super) fn mean_of(&self, slots: Slot, until: Slot) -> Option<(f64, u32)> {
        let (count, sum) = self.last(slots, until).fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
        (count > 0).then(|| (sum / f64::from(count), count))
    }

    /// Values of the last week.
    pub(super) fn count(&self) -> u32 {
        self.week.count
    }

    /// Of the last week.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.week.count > 0).then(|| self.week.sum / f64::from(self.week.count))
    }

    /// The standard deviation of all of the last week, 0 of one value.
    pub(super) fn deviation(&self) -> f64 {
        let count = f64::from(self.week.count.max(1));
        let mean = self.week.sum / count;
        (self.week.squares / count - mean * mean).max(0.0).sqrt()
    }

    /// Lets go of that slot and of what came after it.
    pub(super) fn forget_from(&mut self, slot: Slot) {
        let slots = self.values.len() as Slot;
        let mut kept = Self::new(slots, slot - 1 - slots);
        (slot - slots..slot).for_each(|slot| kept.push(self.get(slot)));
        *self = kept;
    }

    fn place(&self, slot: Slot) -> usize {
        slot.rem_euclid(self.values.len() as Slot) as usize
    }
}

impl PartialEq for Ring {
    fn eq(&self, other: &Self) -> bool {
        let bits = |ring: &Self| ring.values().map(f32::to_bits).collect::<Vec<_>>();
        self.latest == other.latest && bits(self) == bits(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_week_and_gaps_are_not_values() {
        let mut ring = Ring::new(Ring::CLEAN_SLOTS, 0);
        let mut random = fastrand::Rng::with_seed(1);
        let mut all = Vec::new();
        for slot in 1..=5 * WEEK {
            let value = (random.f64() > 0.1).then(|| if slot < WEEK { 50.0 } else { 0.02 + 0.001 * random.f64() });
            ring.push(value);
            all.push(value);
        }
        let week: Vec<f64> = all[all.len() - WEEK as usize..].iter().flatten().copied().collect();
        let mean = week.iter().sum::<f64>() / week.len() as f64;
        let deviation = (week.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / week.len() as f64).sqrt();
        assert_eq!(ring.count() as usize, week.len());
        assert!((ring.mean().unwrap() / mean - 1.0).abs() < 1e-6);
        assert!((ring.deviation() / deviation - 1.0).abs() < 1e-3, "{} {deviation}", ring.deviation());
        assert_eq!(ring.get(5 * WEEK + 1), None);
        assert_eq!(ring.get(5 * WEEK - Ring::CLEAN_SLOTS), None);
    }

    #[test]
    fn it_reads_back_as_it_was_and_forgets_what_came_after() {
        let mut ring = Ring::new(WEEK, 100);
        (0..3_000).for_each(|n| ring.push((n % 7 != 0).then_some(f64::from(n))));
        let again = Ring::of(&ring.values().collect::<Vec<_>>(), ring.latest());
        assert_eq!(again, ring);
        assert_eq!((again.count(), again.mean()), (ring.count(), ring.mean()));
        let last = ring.latest();
        ring.forget_from(last - 9);
        assert_eq!((ring.latest(), ring.get(last - 9)), (last - 10, None));
        assert_eq!(ring.get(last - 11), again.get(last - 11));
        assert!(ring.get(last - 11).is_some() && ring.count() < again.count());
    }
}
