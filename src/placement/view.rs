//! What can be seen of the choice: each node by its parts, and why a room is where it is.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

use ahash::AHashMap;
use serde::{Serialize, Serializer};

use super::{
    NodeInfo, Placement, Policy, Score, Standing, Wanted,
    health::Node,
    index::{Found, Rank},
};
use crate::ids::{NodeId, Region, Variant};

/// Which way a room went to its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// It is in the region that was wanted.
    Home,
    /// That region had none.
    SpillOver,
}

impl Route {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::SpillOver => "spill_over",
        }
    }
}

/// A node that was in question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Its id.
    #[serde(serialize_with = "as_text")]
    pub node: NodeId,
    /// Its score.
    pub score: f64,
    /// Its weight.
    pub weight: u32,
    /// Rooms that this router gave it since about its last report.
    pub recent: f64,
}

/// Why a room was given its node: kept with the room.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Which.
    pub node: Arc<NodeInfo>,
    /// What was wanted.
    pub wanted: Wanted,
    /// By which policy.
    pub policy: Policy,
    /// Which way.
    pub route: Route,
    /// Its own variant had none, so it is one of `default`.
    pub fell_back: bool,
    /// No node had any weight left, so it is the least bad.
    pub overloaded: bool,
    /// Of the node then.
    pub score: Score,
    /// Of the node then.
    pub weight: u32,
    /// Rooms that this router had given it since about its last report.
    pub recent: f64,
    /// Nodes in question: of that variant, in that region.
    pub candidates: usize,
    /// Nodes of that variant in other regions.
    pub elsewhere: usize,
    /// Nodes of other variants that take rooms.
    pub other_variants: usize,
    /// Who would have been next.
    pub next: Vec<Candidate>,
    /// How many nodes stood how, by [`Standing`].
    pub standings: [usize; Standing::ALL.len()],
}

fn as_text<T: fmt::Display, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// A node as it is looked at for a room, now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Considered {
    /// Its id, score, weight.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// Where it is.
    pub region: String,
    /// Whom it serves.
    pub variant: String,
    /// How it stands.
    pub standing: Standing,
    /// Why it is not in question: `region`, `variant`, `standing`; absent: it is.
    pub skipped: Option<&'static str>,
}

/// A node, by its parts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeView {
    /// Its id.
    #[serde(serialize_with = "as_text")]
    pub node: NodeId,
    /// Where it is.
    #[serde(serialize_with = "as_text")]
    pub region: Region,
    /// Whom it serves.
    #[serde(serialize_with = "as_text")]
    pub variant: Variant,
    /// Told to clients.
    pub url: String,
    /// How it stands.
    pub standing: Standing,
    /// Whether an operator took it out of the choice.
    pub cordoned: bool,
    /// Since when it has been in, seconds ago; absent: it is out.
    pub in_for_seconds: Option<f64>,
    /// When it reported last, seconds ago; absent: never.
    pub reported_seconds_ago: Option<f64>,
    /// Calls that failed in a row.
    pub failures: u32,
    /// Smoothed; absent: never measured.
    pub rtt_ms: Option<f64>,
    /// As it reported.
    pub cpu_percent: f64,
    /// As it reported.
    pub memory_percent: f64,
    /// Decayed over ten seconds, 0 to 1.
    pub loss: f64,
    /// By its parts.
    pub score: Score,
    /// What it is made of.
    pub base_weight: u32,
    /// Of the score, ramped.
    pub weight: u32,
    /// The part of its weight that it has: less than 1 for a while after it came back.
    pub ramp: f64,
    /// Of the rooms of its region and variant, by weight: 0 to 1.
    pub share_wanted: f64,
    /// The same, of the rooms that were given in the last minute; absent: there were none.
    pub share_got: Option<f64>,
    /// Rooms that it was given of late, by the minute: what the share is made of.
    pub given: f64,
    /// Rooms that it carries.
    pub rooms: usize,
}

impl NodeView {
    /// The nodes as several routers of one process see them: what they gave is added up, all else they know alike.
    pub fn merged(views: impl IntoIterator<Item = Arc<Vec<Self>>>) -> Vec<Self> {
        let mut merged = BTreeMap::<NodeId, Self>::new();
        for view in views.into_iter().flat_map(Arc::unwrap_or_clone) {
            match merged.get_mut(&view.node) {
                Some(known) => {
                    known.given += view.given;
                    known.rooms += view.rooms;
                }
                None => {
                    merged.insert(view.node.clone(), view);
                }
            }
        }
        let mut merged: Vec<Self> = merged.into_values().collect();
        share_out(&mut merged);
        merged
    }
}

/// Shares among those of the same region and variant.
fn share_out(views: &mut [NodeView]) {
    let mut sums = AHashMap::<(Region, Variant), (f64, f64)>::new();
    let takes = |view: &NodeView| view.standing == Standing::Ready;
    for view in &*views {
        let (weight, given) = sums.entry((view.region.clone(), view.variant.clone())).or_default();
        *weight += if takes(view) { f64::from(view.weight) } else { 0.0 };
        *given += view.given;
    }
    for view in views {
        let Some((weight, given)) = sums.get(&(view.region.clone(), view.variant.clone())) else { continue };
        view.share_wanted = if takes(view) { f64::from(view.weight) / weight } else { 0.0 };
        // less than a hundredth of a room is a memory of one
        view.share_got = (*given >= 0.01).then(|| view.given / given);
    }
}

impl Placement {
    /// Every node, by id.
    pub fn view(&self, rooms: impl Fn(&NodeId) -> usize, now: Instant) -> Vec<NodeView> {
        let mut views: Vec<NodeView> = self.nodes.iter().map(|(_, node)| self.seen(node, &rooms, now)).collect();
        views.sort_unstable_by(|a, b| a.node.cmp(&b.node));
        share_out(&mut views);
        views
    }

    fn seen(&self, node: &Node, rooms: &impl Fn(&NodeId) -> usize, now: Instant) -> NodeView {
        let ago = |at: Instant| now.saturating_duration_since(at).as_secs_f64();
        let (info, condition) = (&node.info, &node.condition);
        NodeView {
            node: info.id.clone(),
            region: info.region.clone(),
            variant: info.variant.clone(),
            url: info.public_url.clone(),
            standing: node.standing(),
            cordoned: node.cordoned,
            in_for_seconds: node.in_since.map(ago),
            reported_seconds_ago: node.reported_at.map(ago),
            failures: node.failures,
            rtt_ms: condition.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            cpu_percent: condition.cpu_percent,
            memory_percent: condition.memory_percent,
            loss: condition.loss,
            score: node.score,
            base_weight: info.base_weight,
            weight: node.weight,
            ramp: node.ramp(&self.settings, now),
            share_wanted: 0.0,
            share_got: None,
            given: node.given(now),
            rooms: rooms(&info.id),
        }
    }

    /// Every node as it would be looked at for a room now: those in question first, then by id; so many at most.
    pub fn consider(&self, wanted: &Wanted, limit: usize, now: Instant) -> Vec<Considered> {
        let mut all: Vec<Considered> = self
            .nodes
            .iter()
            .map(|(key, node)| Considered {
                candidate: self.candidate(key, now),
                region: node.info.region.as_str().to_owned(),
                variant: node.info.variant.as_str().to_owned(),
                standing: node.standing(),
                skipped: skipped(node, wanted),
            })
            .collect();
        all.sort_by(|a, b| {
            let order = |c: &Considered| (c.skipped.is_some(), std::cmp::Reverse(c.candidate.weight));
            order(a).cmp(&order(b)).then_with(|| a.candidate.node.cmp(&b.candidate.node))
        });
        all.truncate(limit);
        all
    }

    fn candidate(&self, key: usize, now: Instant) -> Candidate {
        let node = &self.nodes[key];
        Candidate {
            node: node.info.id.clone(),
            score: node.score.value,
            weight: node.weight,
            recent: node.recent(&self.settings, now),
        }
    }

    pub(super) fn decision(
        &self,
        wanted: &Wanted,
        (variant, rank): (&Variant, Rank),
        found: &Found,
        now: Instant,
    ) -> Decision {
        let node = &self.nodes[found.key];
        let standing = if rank == Rank::Ready { Standing::Ready } else { Standing::Overloaded };
        Decision {
            node: node.info.clone(),
            wanted: wanted.clone(),
            policy: self.settings.policy,
            route: if found.spilled { Route::SpillOver } else { Route::Home },
            fell_back: *variant != wanted.variant,
            overloaded: rank == Rank::Overloaded,
            score: node.score,
            weight: node.weight,
            recent: node.recent(&self.settings, now),
            candidates: found.group,
            elsewhere: found.pool - found.group,
            other_variants: self.standings[standing as usize].saturating_sub(found.pool),
            next: found.next.iter().flatten().map(|key| self.candidate(*key, now)).collect(),
            standings: self.standings,
        }
    }
}

/// Why a node is not in question for a room.
fn skipped(node: &Node, wanted: &Wanted) -> Option<&'static str> {
    match () {
        () if node.standing() != Standing::Ready => Some("standing"),
        () if node.info.variant != wanted.variant => Some("variant"),
        () if node.info.region != wanted.region => Some("region"),
        () => None,
    }
}
