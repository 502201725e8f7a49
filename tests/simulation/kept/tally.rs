//! What happened in a world, counted: rules that are never tested hold always.

use super::{chronicle::Ended, world::World};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Lives of rooms, those of them that went on from another, and how they ended.
    pub(crate) lives: usize,
    pub(crate) restored: usize,
    pub(crate) killed: usize,
    pub(crate) handed_over: usize,
    pub(crate) dropped: usize,
    /// Rooms that another router took while they were somewhere.
    pub(crate) fenced: usize,
    /// What was acknowledged, and of that what was lost for a reason.
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    /// Sessions that came back and had missed nothing, or got the room anew.
    pub(crate) recovered: usize,
    pub(crate) anew: usize,
    /// Requests that were repeated and answered as before.
    pub(crate) repeated: usize,
    /// What was said to one alone, and heard.
    pub(crate) directed: usize,
    /// Sessions that were gone.
    pub(crate) gone: usize,
    /// Requests that were refused because Redis was away, or whose answers came too late.
    pub(crate) refused: usize,
    pub(crate) late: usize,
    /// Writes that lay in a journal, were brought from there, and rooms of which some never were; rooms that another router had
    /// and that were put beside; and that went on with what lay there.
    pub(crate) journaled: usize,
    pub(crate) brought: usize,
    pub(crate) let_go: usize,
    pub(crate) set_beside: usize,
    pub(crate) gone_on: usize,
    /// Lives that came into others, and sessions of theirs that came back there and had missed nothing.
    pub(crate) merged: usize,
    pub(crate) joined_again: usize,
    /// Older sessions of an identity that were told so, or heard of it when they came back.
    pub(crate) replaced: usize,
    pub(crate) replaced_away: usize,
}

impl Tally {
    /// Of a world that was lived.
    pub(crate) fn of(world: &World) -> Self {
        let mut tally =
            Self { directed: world.clients.iter().map(|client| client.directed.len()).sum(), ..world.tally };
        for life in &world.chronicle.lives {
            tally.lives += 1;
            tally.restored += usize::from(life.parent.is_some());
            tally.fenced +=
                usize::from(life.fenced.is_some() && life.ended.is_none_or(|(_, how)| how != Ended::HandedOver));
            match life.ended {
                Some((_, Ended::Killed)) => tally.killed += 1,
                Some((_, Ended::HandedOver)) => tally.handed_over += 1,
                Some((_, Ended::Dropped)) => tally.dropped += 1,
                Some((_, Ended::Empty)) | None => {}
            }
            let acknowledged = life.entries.values().filter(|entry| entry.acknowledged);
            tally.acknowledged += acknowledged.count();
        }
        tally
    }

    /// With another's.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            lives: self.lives + other.lives,
            restored: self.restored + other.restored,
            killed: self.killed + other.killed,
            handed_over: self.handed_over + other.handed_over,
            dropped: self.dropped + other.dropped,
            fenced: self.fenced + other.fenced,
            acknowledged: self.acknowledged + other.acknowledged,
            lost: self.lost + other.lost,
            recovered: self.recovered + other.recovered,
            anew: self.anew + other.anew,
            repeated: self.repeated + other.repeated,
            directed: self.directed + other.directed,
            gone: self.gone + other.gone,
            refused: self.refused + other.refused,
            late: self.late + other.late,
            journaled: self.journaled + other.journaled,
            brought: self.brought + other.brought,
            let_go: self.let_go + other.let_go,
            set_beside: self.set_beside + other.set_beside,
            gone_on: self.gone_on + other.gone_on,
            merged: self.merged + other.merged,
            joined_again: self.joined_again + other.joined_again,
            replaced: self.replaced + other.replaced,
            replaced_away: self.replaced_away + other.replaced_away,
        }
    }
}
