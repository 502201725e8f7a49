//! Whether a P99 is above its band for long enough, and for how long that has left points out of the clean series.

use std::collections::VecDeque;

use super::{DAY, Slot};

/// Slots in a row that it takes: `for: 5m`.
const FOR: u8 = 1;
/// Slots for which it goes on after the P99 is back: `keep_firing_for: 10m`.
const KEEP: u8 = 2;
/// Points are left out for at most 12 hours in 48.
const LEFT_OUT_MAX: usize = 144;
const LEFT_OUT_SLOTS: Slot = 2 * DAY;

/// A slot is one evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Alarm {
    /// Within the band.
    #[default]
    Quiet,
    /// Above it, not yet for long enough.
    Pending {
        /// The first such slot.
        since: Slot,
    },
    /// It is told.
    Firing {
        /// The first slot above the band.
        since: Slot,
        /// Slots since the P99 was last above it.
        back_for: u8,
    },
}

impl Alarm {
    /// What it is after a slot that was above the band, or was not.
    pub(super) fn after(self, slot: Slot, above: bool) -> Self {
        match (self, above) {
            (Self::Quiet, true) => Self::Pending { since: slot },
            (Self::Pending { since }, true) if slot - since >= Slot::from(FOR) => Self::Firing { since, back_for: 0 },
            (Self::Pending { .. }, true) => self,
            (Self::Firing { since, .. }, true) => Self::Firing { since, back_for: 0 },
            (Self::Firing { since, back_for }, false) if back_for < KEEP => {
                Self::Firing { since, back_for: back_for + 1 }
            }
            (Self::Quiet | Self::Pending { .. } | Self::Firing { .. }, false) => Self::Quiet,
        }
    }

    /// Whether it can have come to be.
    pub(super) fn is_sound(self, latest: Slot) -> bool {
        match self {
            Self::Quiet => true,
            Self::Pending { since } | Self::Firing { since, .. } => (0..=latest).contains(&since),
        }
    }

    /// The first slot above the band, once it is told.
    pub(super) fn since(self) -> Option<Slot> {
        match self {
            Self::Firing { since, .. } => Some(since),
            Self::Quiet | Self::Pending { .. } => None,
        }
    }
}

/// Slots whose points were left out, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct LeftOut(VecDeque<Slot>);

impl LeftOut {
    /// Whether the next slot's point is left out: it fires, and there is some of its 12 hours left.
    pub(super) fn step(&mut self, slot: Slot, firing: bool) -> bool {
        while self.0.front().is_some_and(|oldest| *oldest <= slot - LEFT_OUT_SLOTS) {
            self.0.pop_front();
        }
        let leaves = firing && self.0.len() < LEFT_OUT_MAX;
        if leaves {
            self.0.push_back(slot);
        }
        leaves
    }

    /// Whether it can have come to be.
    pub(super) fn is_sound(&self, latest: Slot) -> bool {
        let ascending = self.0.iter().zip(self.0.iter().skip(1)).all(|(one, next)| one < next);
        ascending && self.0.len() <= LEFT_OUT_MAX && self.0.back().is_none_or(|last| *last <= latest)
    }

    /// Lets go of that slot and of what came after it.
    pub(super) fn forget_from(&mut self, slot: Slot) {
        self.0.retain(|left_out| *left_out < slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_slots_make_it_and_it_goes_on_for_two_that_are_back() {
        let mut alarm = Alarm::default();
        let told: Vec<bool> = "100110100010000"
            .chars()
            .zip(1..)
            .map(|(above, slot)| {
                alarm = alarm.after(slot, above == '1');
                alarm.since().is_some()
            })
            .collect();
        let expected = "000011111000000".chars().map(|c| c == '1').collect::<Vec<_>>();
        assert_eq!(told, expected);
    }

    #[test]
    fn twelve_hours_in_forty_eight_are_left_out() {
        let mut left_out = LeftOut::default();
        let leaves: Vec<bool> = (1..=1_000).map(|slot| left_out.step(slot, true)).collect();
        assert!(leaves[..144].iter().all(|leaves| *leaves) && leaves[144..576].iter().all(|leaves| !leaves));
        assert!(leaves[576..720].iter().all(|leaves| *leaves) && left_out.is_sound(1_000));
        for from in 0..leaves.len() - 576 {
            assert!(leaves[from..from + 576].iter().filter(|leaves| **leaves).count() <= 144, "{from}");
        }
        left_out.forget_from(580);
        assert!(left_out.step(581, true) && !LeftOut::is_sound(&left_out, 580));
    }
}
