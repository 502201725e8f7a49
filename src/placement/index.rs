//! Nodes that take rooms, by variant and region, each group in the order of its policy.

use std::collections::BTreeMap;

use super::{
    NodeInfo, Policy, Standing,
    health::Node,
    regions::{self, Turn},
    two_choices::TwoChoices,
    weighted::Weighted,
};
use crate::ids::{Region, Variant};

/// Nodes with a weight, and those that their score leaves none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    Ready,
    Overloaded,
}

/// A node that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: usize,
    /// It is in another region than was asked for.
    pub(super) spilled: bool,
    /// Nodes of its group, itself included.
    pub(super) group: usize,
    /// Nodes of its variant and rank, itself included.
    pub(super) pool: usize,
    /// Whose turn is next, a few of them; the policy of two choices knows none.
    pub(super) next: [Option<usize>; NEXT],
}

/// How many of those that are next are remembered with a decision.
pub(super) const NEXT: usize = 4;

/// One policy at work on one group.
#[derive(Debug)]
enum Order {
    Weighted(Weighted),
    TwoChoices(TwoChoices),
}

impl Order {
    fn new(policy: Policy) -> Self {
        match policy {
            Policy::Weighted => Self::Weighted(Weighted::default()),
            Policy::TwoChoices => Self::TwoChoices(TwoChoices::default()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Weighted(order) => order.len(),
            Self::TwoChoices(order) => order.len(),
        }
    }

    fn set(&mut self, key: usize, weight: u32, rng: &mut fastrand::Rng) {
        match self {
            Self::Weighted(order) => order.set(key, weight, rng.f64()),
            Self::TwoChoices(order) => order.set(key, weight),
        }
    }

    fn pick(&mut self, rng: &mut fastrand::Rng, recent: impl Fn(usize) -> f64) -> Option<usize> {
        match self {
            Self::Weighted(order) => order.pick(),
            Self::TwoChoices(order) => order.pick(rng, recent),
        }
    }

    fn next(&self) -> [Option<usize>; NEXT] {
        let mut next = [None; NEXT];
        if let Self::Weighted(order) = self {
            next.iter_mut().zip(order.upcoming()).for_each(|(place, key)| *place = Some(key));
        }
        next
    }
}

/// Nodes of one region, and its turn when rooms of others spill over.
#[derive(Debug)]
struct Group {
    order: Order,
    turn: Turn,
}

/// Nodes of one rank.
#[derive(Debug)]
struct Pool {
    regions: BTreeMap<Region, Group>,
    nodes: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    policy: Policy,
    /// By variant: those with a weight, those without.
    variants: BTreeMap<Variant, [Pool; 2]>,
}

impl Index {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, variants: BTreeMap::new() }
    }

    /// Puts a node where it stands now.
    pub(super) fn set(&mut self, key: usize, node: &Node, rng: &mut fastrand::Rng) {
        let (ready, overloaded) = match node.standing() {
            Standing::Ready => (node.weight, 0),
            // one as good as the other
            Standing::Overloaded => (0, 1),
            _ => (0, 0),
        };
        if ready + overloaded == 0 {
            return self.remove(key, &node.info);
        }
        let pools = self.variants.entry(node.info.variant.clone()).or_insert_with(|| [Pool::new(), Pool::new()]);
        for (pool, weight) in pools.iter_mut().zip([ready, overloaded]) {
            pool.set(self.policy, (key, &node.info.region), weight, rng);
        }
    }

    /// Takes a node out from where it stood.
    pub(super) fn remove(&mut self, key: usize, info: &NodeInfo) {
        let Some(pools) = self.variants.get_mut(&info.variant) else { return };
        for pool in &mut *pools {
            // nothing is drawn for one that goes
            pool.set(self.policy, (key, &info.region), 0, &mut fastrand::Rng::with_seed(0));
        }
        if pools.iter().all(|pool| pool.nodes == 0) {
            self.variants.remove(&info.variant);
        }
    }

    /// A node of that variant and rank: in the region, else where the weights of the regions say.
    pub(super) fn pick(
        &mut self,
        (variant, region, rank): (&Variant, &Region, Rank),
        weights: &BTreeMap<Region, f64>,
        (rng, recent): (&mut fastrand::Rng, impl Fn(usize) -> f64),
    ) -> Option<Found> {
        let pool = &mut self.variants.get_mut(variant)?[rank as usize];
        let spilled = !pool.regions.contains_key(region);
        let group = if spilled {
            regions::pick(&mut pool.regions, |group| &mut group.turn, weights)?
        } else {
            pool.regions.get_mut(region)?
        };
        let order = &mut group.order;
        let key = order.pick(rng, recent)?;
        Some(Found { key, spilled, group: order.len(), pool: pool.nodes, next: order.next() })
    }
}

impl Pool {
    fn new() -> Self {
        Self { regions: BTreeMap::new(), nodes: 0 }
    }

    /// Regions without nodes are not kept.
    fn set(&mut self, policy: Policy, (key, region): (usize, &Region), weight: u32, rng: &mut fastrand::Rng) {
        let group = match self.regions.get_mut(region) {
            Some(group) => group,
            None if weight == 0 => return,
            None => self
                .regions
                .entry(region.clone())
                .or_insert_with(|| Group { order: Order::new(policy), turn: Turn::default() }),
        };
        let order = &mut group.order;
        let before = order.len();
        order.set(key, weight, rng);
        self.nodes = self.nodes + order.len() - before;
        if order.len() == 0 {
            self.regions.remove(region);
        }
    }
}
