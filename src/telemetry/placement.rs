//! What becomes of the choice of media nodes: rooms placed and moved, nodes that take rooms or do not.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use metrics::Counter;
use metrics_exporter_prometheus::PrometheusRecorder;
use tracing::{debug, info, warn};

use super::{
    Telemetry,
    catalog::{self, Metric, NODES_TOLD_MAX, OTHER},
    handles::{Grid, Row, counter},
    quiet::Quiet,
};
use crate::{
    event::{NodeSeen, Placing},
    ids::{NodeId, Region},
};

/// What is told of the choice of media nodes.
pub(super) struct PlacementHandles {
    placements: Row,
    fallbacks: Counter,
    moves: Grid,
    changes: Row,
    voids: Counter,
    refused: Counter,
    lines: Lines,
    seen: Mutex<Seen>,
}

/// The nodes as they stand.
#[derive(Debug, Default)]
struct Seen {
    /// By id.
    nodes: Vec<NodeSeen>,
    /// By region, as it is told apart: ready, out. One that was there once stays, at zero: so that its loss can be seen.
    regions: BTreeMap<String, [usize; 2]>,
}

/// Lines that many rooms, or a node that flaps, would repeat.
#[derive(Debug, Default)]
struct Lines {
    not_placed: Quiet,
    overloaded: Quiet,
    fell_back: Quiet,
    moved: Quiet,
    changed: Quiet,
    void: Quiet,
    refused: Quiet,
}

impl PlacementHandles {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            placements: Row::new(recorder, &catalog::PLACEMENTS),
            fallbacks: counter(recorder, &catalog::PLACEMENT_FALLBACKS, &[]),
            moves: Grid::new(recorder, &catalog::ROOM_MOVES),
            changes: Row::new(recorder, &catalog::NODE_CHANGES),
            voids: counter(recorder, &catalog::NODE_REPORTS_VOID, &[]),
            refused: counter(recorder, &catalog::NODES_REFUSED, &[]),
            lines: Lines::default(),
            seen: Mutex::default(),
        }
    }
}

/// Places in [`catalog::MOVED_TO`].
const NODE: usize = 0;
const NOWHERE: usize = 1;

impl Telemetry {
    pub(super) fn placing(&self, placing: &Placing, at: Instant) {
        let (handles, lines) = (&self.metrics.placement, &self.metrics.placement.lines);
        match placing {
            Placing::Placed { .. } => self.placed(placing, at),
            Placing::NotPlaced { room } => {
                handles.placements.of("none").increment(1);
                if let Some(held_back) = self.admit(&lines.not_placed, at) {
                    warn!(target: "signalbox", room = room.as_str(), held_back, "no media node takes the room");
                }
            }
            Placing::Moved { room, from, to, reason, participants } => {
                handles.moves.of(reason, if to.is_some() { NODE } else { NOWHERE }).increment(1);
                let (from, to) = (from.as_ref().map(NodeId::as_str), to.as_ref().map(NodeId::as_str));
                if let Some(held_back) = self.admit(&lines.moved, at) {
                    let room = room.as_str();
                    warn!(target: "signalbox", room, from, to, reason, participants, held_back, "room's media moved");
                }
            }
            Placing::NodeIn { node, region, was } => self.node_changed((node, region), "in", was, at),
            Placing::NodeOut { node, region, reason } => self.node_changed((node, region), reason, "taking rooms", at),
            Placing::ReportVoid { node, field, value } => {
                handles.voids.increment(1);
                if let Some(held_back) = self.admit(&lines.void, at) {
                    warn!(target: "signalbox", node = node.as_str(), field, value, held_back, "media node's report is void");
                }
            }
            Placing::NodeRefused { node, limit } => {
                handles.refused.increment(1);
                if let Some(held_back) = self.admit(&lines.refused, at) {
                    warn!(target: "signalbox", node = node.as_str(), limit, held_back, "media node refused: there are too many");
                }
            }
        }
    }

    /// One line of it: what is wrong with the choice, if anything is.
    fn placed(&self, placing: &Placing, at: Instant) {
        let Placing::Placed { room, node, wanted, region, route, fell_back, overloaded } = placing else { return };
        let (handles, lines) = (&self.metrics.placement, &self.metrics.placement.lines);
        handles.placements.of(if *overloaded { "overloaded" } else { route }).increment(1);
        handles.fallbacks.increment(u64::from(fell_back.is_some()));
        let (room, node) = (room.as_str(), node.as_str());
        let overloaded = overloaded.then(|| self.admit(&lines.overloaded, at)).flatten();
        let fell_back =
            fell_back.as_ref().and_then(|variant| Some((variant.as_str(), self.admit(&lines.fell_back, at)?)));
        match (overloaded, fell_back) {
            (Some(held_back), _) => {
                warn!(target: "signalbox", room, node, held_back, "all media nodes are overloaded");
            }
            (None, Some((variant, held_back))) => {
                warn!(target: "signalbox", room, node, variant, held_back, "no media node of the room's variant");
            }
            (None, None) => {
                let (wanted, region) = (wanted.as_str(), region.as_str());
                debug!(target: "signalbox", room, node, wanted, region, route, "room placed");
            }
        }
    }

    fn node_changed(&self, (node, region): (&NodeId, &Region), to: &str, was: &str, at: Instant) {
        self.metrics.placement.changes.of(to).increment(1);
        let (node, region) = (node.as_str(), region.as_str());
        let Some(held_back) = self.admit(&self.metrics.placement.lines.changed, at) else { return };
        match to {
            "in" => info!(target: "signalbox", node, region, was, held_back, "media node takes rooms"),
            reason => warn!(target: "signalbox", node, region, reason, held_back, "media node takes no rooms"),
        }
    }

    /// The media nodes as they stand, by id; told about once a second by whoever asks the shards.
    pub fn set_nodes(&self, nodes: Vec<NodeSeen>) {
        let mut seen = self.seen_nodes();
        seen.regions.values_mut().for_each(|counts| *counts = [0, 0]);
        for node in &nodes {
            let region = self.region(self.place_of(node.region.as_str())).to_owned();
            seen.regions.entry(region).or_default()[usize::from(!node.ready)] += 1;
        }
        seen.nodes = nodes;
    }

    fn seen_nodes(&self) -> MutexGuard<'_, Seen> {
        // no code that can panic runs under this lock
        self.metrics.placement.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gauges of nodes: metric, labels, value. Those past the bound are one: the worst score, the sum of all else.
    pub(super) fn placement_gauges(&self) -> Vec<(&'static Metric, Vec<String>, f64)> {
        let seen = self.seen_nodes();
        let mut told = Vec::new();
        for (region, counts) in &seen.regions {
            for (state, count) in catalog::NODE_READY.iter().zip(counts) {
                told.push((&catalog::PLACEMENT_NODES, vec![region.clone(), (*state).to_owned()], *count as f64));
            }
        }
        let (apart, rest) = seen.nodes.split_at(seen.nodes.len().min(NODES_TOLD_MAX));
        apart.iter().for_each(|node| gauges(node.node.as_str(), std::slice::from_ref(node), &mut told));
        if !rest.is_empty() {
            gauges(OTHER, rest, &mut told);
        }
        told
    }

    /// What repeated lines about placements held back.
    pub(super) fn settle_placement(&self, told: impl Fn(&Quiet, &str, &str)) {
        let lines = &self.metrics.placement.lines;
        for (quiet, line) in [
            (&lines.not_placed, "no media node takes the room"),
            (&lines.overloaded, "all media nodes are overloaded"),
            (&lines.fell_back, "no media node of the room's variant"),
            (&lines.moved, "room's media moved"),
            (&lines.changed, "media node takes rooms, or none"),
            (&lines.void, "media node's report is void"),
            (&lines.refused, "media node refused"),
        ] {
            told(quiet, line, "");
        }
    }
}

fn gauges(name: &str, nodes: &[NodeSeen], told: &mut Vec<(&'static Metric, Vec<String>, f64)>) {
    let sum = |value: fn(&NodeSeen) -> f64| nodes.iter().map(value).sum::<f64>();
    let named = || vec![name.to_owned()];
    let shared = |share: &str| vec![name.to_owned(), share.to_owned()];
    told.push((&catalog::NODE_SCORE, named(), nodes.iter().map(|node| node.score).fold(f64::INFINITY, f64::min)));
    told.push((&catalog::NODE_WEIGHT, named(), sum(|node| f64::from(node.weight))));
    told.push((&catalog::NODE_ROOMS, named(), sum(|node| node.rooms as f64)));
    told.push((&catalog::NODE_SHARE, shared("wanted"), sum(|node| node.share_wanted)));
    if nodes.iter().any(|node| node.share_got.is_some()) {
        told.push((&catalog::NODE_SHARE, shared("got"), sum(|node| node.share_got.unwrap_or_default())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::tests::telemetry;

    fn node(number: usize, region: &str, ready: bool) -> NodeSeen {
        NodeSeen {
            node: format!("n{number:04}").into(),
            region: region.into(),
            ready,
            score: 50.0 + number as f64,
            weight: 10,
            share_wanted: 0.5,
            share_got: ready.then_some(0.25),
            rooms: 3,
        }
    }

    fn of(telemetry: &Telemetry, metric: &Metric) -> Vec<(Vec<String>, f64)> {
        let all = telemetry.placement_gauges().into_iter();
        all.filter(|(of, ..)| of.name == metric.name).map(|(_, labels, value)| (labels, value)).collect()
    }

    #[test]
    fn nodes_are_told_by_their_parts_and_a_region_that_lost_all_of_them_stays_at_zero() {
        let telemetry = telemetry(Instant::now());
        assert_eq!(telemetry.placement_gauges(), []);
        telemetry.set_nodes(vec![node(1, "sh", true), node(2, "sz", false), node(3, "mars", true)]);
        let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
        assert_eq!(of(&telemetry, &catalog::NODE_SCORE)[0], (labels(&["n0001"]), 51.0));
        let shares = of(&telemetry, &catalog::NODE_SHARE);
        assert_eq!(shares[..2], [(labels(&["n0001", "wanted"]), 0.5), (labels(&["n0001", "got"]), 0.25)]);
        assert_eq!(shares.len(), 5, "who was given nothing has no share of it");
        let counts = |telemetry: &Telemetry| of(telemetry, &catalog::PLACEMENT_NODES).into_iter().map(|(_, n)| n);
        assert_eq!(counts(&telemetry).collect::<Vec<_>>(), [1.0, 0.0, 1.0, 0.0, 0.0, 1.0], "other, sh, sz");
        telemetry.set_nodes(Vec::new());
        assert_eq!(counts(&telemetry).collect::<Vec<_>>(), [0.0; 6]);
        assert_eq!(of(&telemetry, &catalog::NODE_ROOMS), []);
    }

    #[test]
    fn past_the_bound_the_rest_is_one() {
        let telemetry = telemetry(Instant::now());
        telemetry.set_nodes((0..NODES_TOLD_MAX + 2).map(|number| node(number, "sh", true)).collect());
        let scores = of(&telemetry, &catalog::NODE_SCORE);
        let (labels, worst) = scores.last().unwrap();
        assert_eq!(
            (scores.len(), labels.as_slice(), *worst),
            (NODES_TOLD_MAX + 1, &["other".to_owned()][..], 50.0 + NODES_TOLD_MAX as f64)
        );
        assert_eq!(of(&telemetry, &catalog::NODE_ROOMS).last().map(|(_, rooms)| *rooms), Some(6.0));
    }
}
