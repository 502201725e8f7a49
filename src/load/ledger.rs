//! What one receiver saw of each flow: losses, doubles and wrong order are counted here and nowhere else.

use std::collections::BTreeSet;

/// Numbers that one flow may be missing at a time; what is missing beyond them counts as lost for good.
const MISSING_MAX: usize = 4096;

/// How a payload arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// After all that came before it, some of which may be missing yet.
    InOrder,
    /// After one that was sent later.
    Late,
    /// It had arrived before.
    Twice,
    /// Of a flow that the receiver should not see.
    Stray,
}

/// The flows towards one receiver.
#[derive(Debug)]
pub(crate) struct Ledger {
    flows: Vec<Flow>,
}

/// What is missing of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) flow: usize,
    /// The number of the first that is missing,
    pub(crate) first: u64,
    /// and how many are.
    pub(crate) missing: u64,
}

#[derive(Clone, Debug, Default)]
struct Flow {
    newest: u64,
    missing: BTreeSet<u64>,
    given_up: u64,
}

impl Ledger {
    /// For that many flows, numbered from 0.
    pub(crate) fn new(flows: usize) -> Self {
        Self { flows: vec![Flow::default(); flows] }
    }

    /// Notes one payload.
    pub(crate) fn note(&mut self, flow: u32, number: u64) -> Arrival {
        self.flows.get_mut(flow as usize).map_or(Arrival::Stray, |flow| flow.note(number))
    }

    /// How many are missing when each flow has had that many sent.
    pub(crate) fn missing(&self, sent: impl Fn(usize) -> u64) -> u64 {
        self.gaps(sent).map(|gap| gap.missing).sum()
    }

    /// The flows that something is missing of, when each has had that many sent.
    pub(crate) fn gaps(&self, sent: impl Fn(usize) -> u64) -> impl Iterator<Item = Gap> {
        self.flows.iter().enumerate().filter_map(move |(flow, seen)| {
            let missing = sent(flow).saturating_sub(seen.newest) + seen.missing.len() as u64 + seen.given_up;
            let first = seen.missing.first().copied().unwrap_or(seen.newest + 1);
            (missing > 0).then_some(Gap { flow, first, missing })
        })
    }
}

impl Flow {
    fn note(&mut self, number: u64) -> Arrival {
        if number > self.newest {
            let skipped = number - self.newest - 1;
            let room = (MISSING_MAX - self.missing.len()) as u64;
            let given_up = skipped.saturating_sub(room);
            self.given_up += given_up;
            self.missing.extend(self.newest + 1 + given_up..number);
            self.newest = number;
            return Arrival::InOrder;
        }
        if self.missing.remove(&number) { Arrival::Late } else { Arrival::Twice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_flow_in_order_misses_nothing() {
        let mut ledger = Ledger::new(2);
        for number in 1..=5 {
            assert_eq!(ledger.note(1, number), Arrival::InOrder);
        }
        assert_eq!(ledger.missing(|flow| [0, 5][flow]), 0);
    }

    #[test]
    fn gaps_and_a_missing_end_are_losses() {
        let mut ledger = Ledger::new(1);
        ledger.note(0, 1);
        ledger.note(0, 4);
        assert_eq!(ledger.missing(|_| 4), 2);
        assert_eq!(ledger.gaps(|_| 4).collect::<Vec<_>>(), [Gap { flow: 0, first: 2, missing: 2 }]);
        assert_eq!(ledger.missing(|_| 6), 4);
    }

    #[test]
    fn what_comes_late_is_no_loss_and_what_comes_again_is_a_double() {
        let mut ledger = Ledger::new(1);
        ledger.note(0, 1);
        ledger.note(0, 3);
        assert_eq!(ledger.note(0, 2), Arrival::Late);
        assert_eq!(ledger.note(0, 2), Arrival::Twice);
        assert_eq!(ledger.note(0, 3), Arrival::Twice);
        assert_eq!(ledger.missing(|_| 3), 0);
    }

    #[test]
    fn an_unknown_flow_is_a_stray() {
        assert_eq!(Ledger::new(1).note(1, 1), Arrival::Stray);
    }

    #[test]
    fn a_huge_gap_is_counted_and_not_stored() {
        let mut ledger = Ledger::new(1);
        assert_eq!(ledger.note(0, 1_000_001), Arrival::InOrder);
        assert_eq!(ledger.flows[0].missing.len(), MISSING_MAX);
        assert_eq!(ledger.missing(|_| 1_000_001), 1_000_000);
    }
}
