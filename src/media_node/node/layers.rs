//! Which one layer of a simulcast is forwarded: the largest that is being sent.

use str0m::media::Rid;

/// The layers of one track's media.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// As announced, the largest first.
    ranked: Vec<Rid>,
    /// Those that send, in the order in which they began to.
    alive: Vec<Rid>,
    chosen: Option<Rid>,
}

impl Layers {
    pub(super) fn ranked(ranked: Vec<Rid>) -> Self {
        Self { ranked, ..Self::default() }
    }

    /// A packet of that layer came. Whether its layer is another than before: then a keyframe is needed.
    pub(super) fn sends(&mut self, rid: Rid) -> bool {
        if self.alive.contains(&rid) {
            return false;
        }
        self.alive.push(rid);
        self.choose()
    }

    /// The layer fell silent. Whether another is forwarded now.
    pub(super) fn pauses(&mut self, rid: Rid) -> bool {
        self.alive.retain(|alive| *alive != rid);
        self.choose()
    }

    /// What is forwarded. `None`: whatever has no layer.
    pub(super) fn chosen(&self) -> Option<Rid> {
        self.chosen
    }

    fn choose(&mut self) -> bool {
        let rank = |rid: &Rid| self.ranked.iter().position(|ranked| ranked == rid).unwrap_or(usize::MAX);
        // what falls silent last stays: it may come back
        let best = self.alive.iter().copied().min_by_key(rank).or(self.chosen);
        let changed = best != self.chosen;
        self.chosen = best;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rid(text: &str) -> Rid {
        Rid::from(text)
    }

    #[test]
    fn the_largest_layer_that_sends_is_chosen() {
        let mut layers = Layers::ranked(vec![rid("h"), rid("m"), rid("l")]);
        assert!(layers.sends(rid("l")));
        assert_eq!(layers.chosen(), Some(rid("l")));
        assert!(layers.sends(rid("h")) && !layers.sends(rid("m")) && !layers.sends(rid("h")));
        assert_eq!(layers.chosen(), Some(rid("h")));
        assert!(layers.pauses(rid("h")) && !layers.pauses(rid("l")));
        assert_eq!(layers.chosen(), Some(rid("m")));
        assert!(!layers.pauses(rid("m")), "nothing is left: the choice stands");
        assert_eq!(layers.chosen(), Some(rid("m")));
        assert!(layers.sends(rid("l")));
        assert_eq!(layers.chosen(), Some(rid("l")));
    }

    #[test]
    fn layers_that_nobody_announced_rank_by_who_came_first() {
        let mut layers = Layers::default();
        assert!(layers.sends(rid("a")) && !layers.sends(rid("b")));
        assert_eq!(layers.chosen(), Some(rid("a")));
    }
}
