//! How much a client saw of lives of its room before it came back to another.
//!
//! A router may be told of that by the client alone, and end before it kept it: so the next resume token says it as well.

use crate::{
    fabric::SessionKept,
    ids::{Epoch, Offset},
};

/// Lives that are remembered of a client, the latest.
const LIVES_MAX: usize = 4;

/// A life of the room that a client came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// Which.
    pub epoch: Epoch,
    /// What it was told there last.
    pub upto: Offset,
    /// It got the room anew since: what happened there may be told to it again, what was said may not.
    pub anew: bool,
}

/// The lives that a client came from, the latest last; none, as long as its room stayed in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lives(Vec<Came>);

impl Lives {
    /// As it was kept.
    pub(crate) fn read(kept: &SessionKept) -> Self {
        let mut lives = Self::default();
        for (epoch, upto) in kept.saw_before.iter().chain(&kept.saw) {
            if let Some(epoch) = Epoch::read(epoch) {
                // who kept more of it than that kept it with the member
                lives.add(Came { epoch, upto: Offset(*upto), anew: true });
            }
        }
        lives
    }

    /// As it is kept.
    pub(crate) fn keep(&self, kept: &mut SessionKept) {
        let mut all: Vec<_> = self.0.iter().map(|came| (came.epoch.to_string(), came.upto.0)).collect();
        kept.saw = all.pop();
        kept.saw_before = all;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Came> {
        self.0.iter().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// It came from there.
    pub(crate) fn add(&mut self, came: Came) {
        if self.0.iter().any(|known| known.epoch == came.epoch && known.upto > came.upto) {
            return;
        }
        self.0.retain(|known| known.epoch != came.epoch);
        self.0.push(came);
        self.0.drain(..self.0.len().saturating_sub(LIVES_MAX));
    }

    /// It gets the room anew.
    pub(crate) fn begin_anew(&mut self) {
        self.0.iter_mut().for_each(|came| came.anew = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn came(epoch: u64, upto: u64, anew: bool) -> Came {
        Came { epoch: Epoch(epoch), upto: Offset(upto), anew }
    }

    #[test]
    fn of_a_life_the_most_that_was_seen_is_known_and_of_lives_the_latest() {
        let mut lives = Lives::default();
        assert!(lives.is_empty());
        lives.add(came(1, 5, true));
        lives.add(came(1, 4, false));
        assert_eq!(lives.iter().collect::<Vec<_>>(), [came(1, 5, true)], "less of it is no news");
        lives.add(came(1, 5, false));
        assert_eq!(lives.iter().collect::<Vec<_>>(), [came(1, 5, false)], "it did not get the room anew after all");
        (2..=4).for_each(|epoch| lives.add(came(epoch, 9, false)));
        // it was there again
        lives.add(came(1, 7, false));
        lives.add(came(5, 1, false));
        let all: Vec<_> = lives.iter().map(|came| (came.epoch.0, came.upto.0)).collect();
        assert_eq!(all, [(3, 9), (4, 9), (1, 7), (5, 1)]);
    }

    #[test]
    fn it_is_read_as_it_was_kept_by_this_version_and_by_one_that_kept_the_latest_alone() {
        let mut lives = Lives::default();
        (1..=3).for_each(|epoch| lives.add(came(epoch, epoch * 10, false)));
        let mut kept = SessionKept::default();
        lives.keep(&mut kept);
        lives.begin_anew();
        assert_eq!(Lives::read(&kept), lives);
        kept.saw_before.clear();
        assert_eq!(Lives::read(&kept).iter().collect::<Vec<_>>(), [came(3, 30, true)]);
        Lives::default().keep(&mut kept);
        assert_eq!(kept, SessionKept::default());
    }
}
