//! The choice of the media node for a room. Pure: facts and the time come in, choices and what changed come out.
//!
//! Each router has its own: what it knows of the nodes, and whom it gave its rooms to. Knows nothing of rooms, sessions or
//! sockets. Nodes that take rooms stand in an index by variant and region, so that one choice looks at the ones in question
//! only.

mod health;
mod index;
mod node;
mod regions;
mod score;
mod settings;
#[cfg(test)]
mod tests;
mod two_choices;
mod view;
mod weighted;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use ahash::AHashMap;
use slab::Slab;

pub use self::{
    health::Standing,
    node::{NodeFact, NodeInfo, NodeLoad},
    score::{Condition, Score},
    settings::{Policy, Settings},
    view::{Candidate, Considered, Decision, NodeView, Route},
};
use self::{
    health::{Memory, Node},
    index::{Index, Rank},
};
use crate::{
    event::Placing,
    ids::{NodeId, Region, Variant},
};

/// Nodes of one router; a fleet of a hundred million connections a day has some hundreds.
const NODES_MAX: usize = 10_000;
/// Nodes that are gone, and remembered: for whether they flap, and for who was cordoned.
const MEMORIES_MAX: usize = 10_000;

/// What a room needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where its first participant is.
    pub region: Region,
    /// The variant of the member that created it.
    pub variant: Variant,
}

/// A node for a room, and why it is this one.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Which.
    pub node: Arc<NodeInfo>,
    /// Why.
    pub decision: Decision,
}

/// No node can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNode {
    /// There is none at all.
    NoneKnown,
    /// There are some, and none that takes rooms.
    NoneHealthy,
}

/// Why a node's rooms have to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leaving {
    /// It is silent, fails, or is gone.
    Failed,
    /// An operator wants them elsewhere.
    Drained,
}

/// What a fact, or time, brings about.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A node takes rooms that did not.
    In(Arc<NodeInfo>),
    /// Its rooms have to go.
    Out(Arc<NodeInfo>, Leaving),
    /// Something happened.
    Told(Placing),
}

/// The nodes, as one router sees them.
#[derive(Debug)]
pub struct Placement {
    settings: Settings,
    rng: fastrand::Rng,
    nodes: Slab<Node>,
    keys: AHashMap<NodeId, usize>,
    index: Index,
    /// How many stand how, by place.
    standings: [usize; Standing::ALL.len()],
    memories: BTreeMap<NodeId, Memory>,
    /// What every room may use when its own variant has no node.
    default: Variant,
}

impl Placement {
    /// Without nodes. The seed makes routers that know the same choose differently.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            index: Index::new(settings.policy),
            settings,
            rng: fastrand::Rng::with_seed(seed),
            nodes: Slab::new(),
            keys: AHashMap::new(),
            standings: [0; Standing::ALL.len()],
            memories: BTreeMap::new(),
            default: Variant::default(),
        }
    }

    /// Other settings, for every choice from now on.
    pub fn configure(&mut self, settings: Settings, now: Instant) {
        self.settings = settings;
        self.index = Index::new(self.settings.policy);
        for (key, node) in &mut self.nodes {
            node.weigh(&self.settings, now);
            self.index.set(key, node, &mut self.rng);
        }
    }

    /// Takes a fact; what it brings about is appended. A fact about a node that is not known is nothing.
    pub fn take(&mut self, fact: NodeFact, now: Instant, changes: &mut Vec<Change>) {
        match fact {
            NodeFact::Known(info) => self.known(info, now, changes),
            NodeFact::Reported { node, load } => self.reported(&node, &load, now, changes),
            NodeFact::RoundTrip { node, rtt } => self.alter(&node, (now, changes), |node, _| node.round_trip(rtt)),
            NodeFact::Answered { node } => {
                // each answered call says so: nothing to weigh anew
                if let Some(key) = self.keys.get(&node) {
                    self.nodes[*key].answered();
                }
            }
            NodeFact::Failed { node } => self.alter(&node, (now, changes), |node, settings| node.failed(settings, now)),
            NodeFact::Cordoned { node, cordoned } => self.alter(&node, (now, changes), |node, _| {
                node.cordoned = cordoned;
                // a node that takes rooms again is not drained
                node.drained &= cordoned;
            }),
            NodeFact::Drained { node } => self.alter(&node, (now, changes), |node, _| node.drained = true),
            NodeFact::Gone { node } => self.gone(&node, now, changes),
        }
    }

    /// Time has passed: who missed reports, who has its weight back.
    pub fn tick(&mut self, now: Instant, changes: &mut Vec<Change>) {
        let keys: Vec<usize> = self.nodes.iter().map(|(key, _)| key).collect();
        for key in keys {
            let before = self.nodes[key].standing();
            self.nodes[key].look(&self.settings, now);
            if self.nodes[key].standing() != before || self.nodes[key].ramps() {
                self.settle(key, before, now, changes);
            }
        }
    }

    /// Whether there is any node, and so a reason to [`tick`](Self::tick).
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether rooms that are on that node stay there.
    pub fn carries(&self, node: &NodeId) -> bool {
        self.keys.get(node).is_some_and(|key| self.nodes[*key].standing().carries())
    }

    /// That node, if rooms that are on it stay there.
    pub fn carrying(&self, node: &NodeId) -> Option<Arc<NodeInfo>> {
        let node = &self.nodes[*self.keys.get(node)?];
        node.standing().carries().then(|| node.info.clone())
    }

    /// Whether that node is there at all.
    pub fn knows(&self, node: &NodeId) -> bool {
        self.keys.contains_key(node)
    }

    /// The node for a room: of its variant in its region, else elsewhere, else of the variant `default`; nodes that their
    /// score leaves no weight only when there are no others.
    ///
    /// # Errors
    /// When there is none.
    pub fn choose(&mut self, wanted: &Wanted, now: Instant) -> Result<Choice, NoNode> {
        if self.nodes.is_empty() {
            return Err(NoNode::NoneKnown);
        }
        let default = (wanted.variant != self.default).then_some(&self.default);
        let variants = [Some(&wanted.variant), default];
        for rank in [Rank::Ready, Rank::Overloaded] {
            for variant in variants.into_iter().flatten() {
                let (nodes, settings) = (&self.nodes, &self.settings);
                let recent = |key: usize| nodes[key].recent(settings, now);
                let asked = (variant, &wanted.region, rank);
                let Some(found) = self.index.pick(asked, &settings.region_weights, (&mut self.rng, recent)) else {
                    continue;
                };
                let decision = self.decision(wanted, (variant, rank), &found, now);
                self.nodes[found.key].assign(&self.settings, now);
                return Ok(Choice { node: self.nodes[found.key].info.clone(), decision });
            }
        }
        Err(NoNode::NoneHealthy)
    }

    fn known(&mut self, mut info: NodeInfo, now: Instant, changes: &mut Vec<Change>) {
        if info.base_weight == 0 {
            info.base_weight = self.settings.base_weight;
        }
        if let Some(key) = self.keys.get(&info.id).copied() {
            if *self.nodes[key].info != info {
                let before = self.nodes[key].standing();
                // it may stand elsewhere from now on
                self.index.remove(key, &self.nodes[key].info);
                self.nodes[key].info = Arc::new(info);
                self.settle(key, before, now, changes);
            }
            return;
        }
        if self.nodes.len() >= NODES_MAX {
            changes.push(Change::Told(Placing::NodeRefused { node: info.id, limit: NODES_MAX }));
            return;
        }
        let memory = self.memories.remove(&info.id);
        let id = info.id.clone();
        let key = self.nodes.insert(Node::new(Arc::new(info), memory, now));
        self.keys.insert(id, key);
        self.standings[self.nodes[key].standing() as usize] += 1;
    }

    fn reported(&mut self, node: &NodeId, load: &NodeLoad, now: Instant, changes: &mut Vec<Change>) {
        if let Some((field, value)) = score::void(load) {
            // as if it had said nothing: one that goes on so is silent
            if self.keys.contains_key(node) {
                changes.push(Change::Told(Placing::ReportVoid { node: node.clone(), field, value }));
            }
            return;
        }
        self.alter(node, (now, changes), |node, settings| node.report(load, settings, now));
    }

    fn gone(&mut self, id: &NodeId, now: Instant, changes: &mut Vec<Change>) {
        let Some(key) = self.keys.remove(id) else { return };
        let node = self.nodes.remove(key);
        let before = node.standing();
        self.standings[before as usize] -= 1;
        self.index.remove(key, &node.info);
        if self.memories.len() >= MEMORIES_MAX {
            let oldest = self.memories.iter().min_by_key(|(_, memory)| memory.gone_at).map(|(id, _)| id.clone());
            oldest.map(|oldest| self.memories.remove(&oldest));
        }
        self.memories.insert(id.clone(), node.memory(now));
        tell(&node.info, (before, "gone"), (takes(before), false), changes);
        if before.carries() {
            changes.push(Change::Out(node.info, Leaving::Failed));
        }
    }

    fn alter(
        &mut self,
        node: &NodeId,
        (now, changes): (Instant, &mut Vec<Change>),
        alter: impl FnOnce(&mut Node, &Settings),
    ) {
        let Some(key) = self.keys.get(node).copied() else { return };
        let before = self.nodes[key].standing();
        alter(&mut self.nodes[key], &self.settings);
        self.settle(key, before, now, changes);
    }

    /// After something was said of a node: its weight, its place in the index, and what follows.
    fn settle(&mut self, key: usize, before: Standing, now: Instant, changes: &mut Vec<Change>) {
        let node = &mut self.nodes[key];
        node.weigh(&self.settings, now);
        let after = node.standing();
        self.index.set(key, node, &mut self.rng);
        if before == after {
            return;
        }
        self.standings[before as usize] -= 1;
        self.standings[after as usize] += 1;
        tell(&node.info, (before, after.name()), (takes(before), takes(after)), changes);
        if before.carries() && !after.carries() {
            let leaving = if after == Standing::Drained { Leaving::Drained } else { Leaving::Failed };
            changes.push(Change::Out(node.info.clone(), leaving));
        } else if !takes(before) && takes(after) {
            changes.push(Change::In(node.info.clone()));
        }
    }
}

fn takes(standing: Standing) -> bool {
    matches!(standing, Standing::Ready | Standing::Overloaded)
}

/// Whether it takes rooms is told as it changes, and nothing else of it.
fn tell(info: &NodeInfo, (was, is): (Standing, &'static str), (took, takes): (bool, bool), changes: &mut Vec<Change>) {
    let (node, region) = (info.id.clone(), info.region.clone());
    match (took, takes) {
        (false, true) => changes.push(Change::Told(Placing::NodeIn { node, region, was: was.name() })),
        (true, false) => changes.push(Change::Told(Placing::NodeOut { node, region, reason: is })),
        _ => {}
    }
}
