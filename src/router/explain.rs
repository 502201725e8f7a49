//! Why a room is on its media node: what was decided then, and how the nodes stand now.

use std::time::Instant;

use serde::Serialize;

use super::Router;
use crate::{
    placement::{Candidate, Considered, Decision, NodeView, Route, Score, Standing},
    protocol::{Code, Refusal},
};

/// Nodes that an explanation lists.
const CONSIDERED_MAX: usize = 100;

/// Why a room is on its media node.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The room's name.
    pub room: String,
    /// The region that its first participant said; absent: nobody has come yet.
    pub region: Option<String>,
    /// The variant that it wants.
    pub variant: Option<String>,
    /// The node that carries it; absent: none does.
    pub node: Option<String>,
    /// What was decided; absent: nothing was, so far.
    pub decided: Option<Decided>,
    /// The nodes as they stand now, those in question first.
    pub nodes: Vec<Considered>,
    /// Nodes that are not listed.
    pub left_out: usize,
}

/// What was decided, and by what.
#[derive(Clone, Debug, Serialize)]
pub struct Decided {
    /// How long ago.
    pub seconds_ago: f64,
    /// For which node.
    pub node: String,
    /// Where it is.
    pub region: String,
    /// Whom it serves.
    pub variant: String,
    /// `weighted`, `two_choices`.
    pub policy: &'static str,
    /// Whether the region had one.
    pub route: Route,
    /// The variant had none: it is one of `default`.
    pub fell_back: bool,
    /// No node had any weight left.
    pub overloaded: bool,
    /// The node's score then.
    pub score: Score,
    /// Its weight then.
    pub weight: u32,
    /// Rooms that this shard had given it since about its last report.
    pub recent: f64,
    /// Nodes in question, itself included.
    pub candidates: usize,
    /// Who would have been next; of two choices nobody can say.
    pub next: Vec<Candidate>,
    /// Nodes that were skipped then, and why.
    pub skipped: Vec<Skipped>,
}

/// Nodes that were skipped for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Skipped {
    /// `region`, `variant`, or how they stood.
    pub reason: &'static str,
    /// How many.
    pub nodes: usize,
}

impl Router {
    /// The media nodes as this router sees them.
    pub fn nodes(&self, at: Instant) -> Vec<NodeView> {
        self.placement.view(|node| self.carried.on(node), at)
    }

    /// Whether there is any media node to show.
    pub fn has_nodes(&self) -> bool {
        !self.placement.is_empty()
    }

    /// Why a room is on its media node.
    ///
    /// # Errors
    /// `room_not_found`.
    pub fn explain(&self, room: &str, at: Instant) -> Result<Explanation, Refusal> {
        let missing = || Code::RoomNotFound.because(format!("no room `{room:.128}`"));
        let media = &self.halls[*self.names.get(room).ok_or_else(missing)?].media;
        let wanted = media.wanted();
        let all = wanted.map(|wanted| self.placement.consider(wanted, usize::MAX, at)).unwrap_or_default();
        let left_out = all.len().saturating_sub(CONSIDERED_MAX);
        let decided = media
            .decision()
            .map(|(decision, since)| decided(decision, at.saturating_duration_since(since).as_secs_f64()));
        Ok(Explanation {
            room: room.to_owned(),
            region: wanted.map(|wanted| wanted.region.as_str().to_owned()),
            variant: wanted.map(|wanted| wanted.variant.as_str().to_owned()),
            node: media.node().map(|node| node.id.as_str().to_owned()),
            decided,
            nodes: all.into_iter().take(CONSIDERED_MAX).collect(),
            left_out,
        })
    }
}

fn decided(decision: &Decision, seconds_ago: f64) -> Decided {
    let skipped = |reason, nodes| Skipped { reason, nodes };
    let mut all = vec![skipped("region", decision.elsewhere), skipped("variant", decision.other_variants)];
    let ready = if decision.overloaded { Standing::Overloaded } else { Standing::Ready };
    let others = Standing::ALL.into_iter().filter(|standing| *standing != ready);
    all.extend(others.map(|standing| skipped(standing.name(), decision.standings[standing as usize])));
    all.retain(|skipped| skipped.nodes > 0);
    Decided {
        seconds_ago,
        node: decision.node.id.as_str().to_owned(),
        region: decision.node.region.as_str().to_owned(),
        variant: decision.node.variant.as_str().to_owned(),
        policy: decision.policy.name(),
        route: decision.route,
        fell_back: decision.fell_back,
        overloaded: decision.overloaded,
        score: decision.score,
        weight: decision.weight,
        recent: decision.recent,
        candidates: decision.candidates,
        next: decision.next.clone(),
        skipped: all,
    }
}
