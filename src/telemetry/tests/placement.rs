//! The choice of media nodes: what each of its events counts as.

use super::*;
use crate::event::{NodeSeen, Placing};

/// A node in full.
pub(in crate::telemetry) fn seen() -> NodeSeen {
    NodeSeen {
        node: "n1".into(),
        region: "sh".into(),
        ready: true,
        score: 92.5,
        weight: 18,
        share_wanted: 1.0,
        share_got: Some(1.0),
        rooms: 3,
    }
}

pub(super) fn events() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let placed = |route, fell_back, overloaded| {
        Event::Placement(Placing::Placed {
            room: "r1".into(),
            node: "m1".into(),
            wanted: "sh".into(),
            region: "sz".into(),
            route,
            fell_back,
            overloaded,
        })
    };
    let moved = |to, reason| {
        Event::Placement(Placing::Moved { room: "r1".into(), from: Some("m1".into()), to, reason, participants: 2 })
    };
    let out = |reason| Event::Placement(Placing::NodeOut { node: "m1".into(), region: "sh".into(), reason });
    vec![
        (placed("home", None, false), vec![("signalbox_placements_total{result=\"home\"}", 1.0)]),
        (
            placed("spill_over", Some("canary".into()), false),
            vec![
                ("signalbox_placements_total{result=\"spill_over\"}", 1.0),
                ("signalbox_placement_fallbacks_total", 1.0),
            ],
        ),
        (placed("home", None, true), vec![("signalbox_placements_total{result=\"overloaded\"}", 1.0)]),
        (
            Event::Placement(Placing::NotPlaced { room: "r1".into() }),
            vec![("signalbox_placements_total{result=\"none\"}", 1.0)],
        ),
        (
            moved(Some("m2".into()), "node_failed"),
            vec![("signalbox_room_moves_total{reason=\"node_failed\",to=\"node\"}", 1.0)],
        ),
        (
            moved(None, "node_drained"),
            vec![("signalbox_room_moves_total{reason=\"node_drained\",to=\"nowhere\"}", 1.0)],
        ),
        (
            Event::Placement(Placing::NodeIn { node: "m1".into(), region: "sh".into(), was: "returning" }),
            vec![("signalbox_node_changes_total{to=\"in\"}", 1.0)],
        ),
        (out("silent"), vec![("signalbox_node_changes_total{to=\"silent\"}", 1.0)]),
        (out("by magic"), vec![("signalbox_node_changes_total{to=\"other\"}", 1.0)]),
        (
            Event::Placement(Placing::ReportVoid { node: "m1".into(), field: "loss", value: f64::NAN }),
            vec![("signalbox_node_reports_void_total", 1.0)],
        ),
        (
            Event::Placement(Placing::NodeRefused { node: "m1".into(), limit: 1 }),
            vec![("signalbox_nodes_refused_total", 1.0)],
        ),
    ]
}
