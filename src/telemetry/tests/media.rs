//! What happens between this router and media nodes, and the series that each moves.

use std::{collections::BTreeSet, time::Duration};

use crate::event::{BreakerReason, BreakerState, Called, Event, MediaFact, MediaOp, NodeRefusal};

type Moved = Vec<(&'static str, f64)>;

/// In an order in which a node lives.
pub(in crate::telemetry) fn events() -> Vec<(Event, Moved)> {
    let facts = [coming(), living(), going()].concat();
    let kinds: BTreeSet<usize> = facts.iter().map(|(fact, _)| kind(fact)).collect();
    assert_eq!(kinds, (0..=12).collect());
    facts.into_iter().map(|(fact, moved)| (Event::Media(fact), moved)).collect()
}

fn coming() -> Vec<(MediaFact, Moved)> {
    let node = || "n1".into();
    let known = |by| MediaFact::Known {
        node: node(),
        region: "sh".into(),
        variant: "default".into(),
        control_url: "http://n1:7810".into(),
        by,
    };
    let refused = |node, reason| MediaFact::Refused { node, reason, why: "what is allowed".into() };
    vec![
        (
            known("registration"),
            vec![("signalbox_media_nodes", 1.0), ("signalbox_media_registrations_total{result=\"new\"}", 1.0)],
        ),
        // known already, and nobody registered
        (known("configuration"), Vec::new()),
        (MediaFact::Renewed { node: node() }, vec![("signalbox_media_registrations_total{result=\"renewed\"}", 1.0)]),
        (MediaFact::Changed { node: node() }, vec![("signalbox_media_registrations_total{result=\"changed\"}", 1.0)]),
        (
            MediaFact::StreamUp { node: node(), version: "sfu/1".into() },
            vec![("signalbox_media_node_up{node=\"n1\"}", 1.0)],
        ),
        (refused(None, NodeRefusal::Invalid), vec![("signalbox_media_registrations_total{result=\"invalid\"}", 1.0)]),
        // who says falsely that it is the node changes nothing of it
        (
            refused(Some(node()), NodeRefusal::Certificate),
            vec![("signalbox_media_registrations_total{result=\"certificate\"}", 1.0)],
        ),
    ]
}

fn living() -> Vec<(MediaFact, Moved)> {
    let node = || "n1".into();
    let ended = |op, outcome| MediaFact::CallEnded { node: node(), op, outcome, took: Duration::from_millis(250) };
    vec![
        (
            MediaFact::Measured { node: node(), rtt: Duration::from_millis(500) },
            vec![("signalbox_media_rtt_seconds{node=\"n1\"}", 0.5)],
        ),
        // of a node that is not known: no series is made
        (MediaFact::Measured { node: "stranger".into(), rtt: Duration::from_millis(500) }, Vec::new()),
        (
            MediaFact::Skewed { node: node(), seconds: -2.5 },
            vec![("signalbox_media_clock_skew_seconds{node=\"n1\"}", -2.5)],
        ),
        (
            ended(MediaOp::Offer, Called::Done),
            vec![
                ("signalbox_media_calls_total{call=\"offer\",outcome=\"ok\"}", 1.0),
                ("signalbox_media_call_seconds_total{call=\"offer\"}", 0.25),
            ],
        ),
        (
            ended(MediaOp::Health, Called::Late),
            vec![
                ("signalbox_media_calls_total{call=\"health\",outcome=\"late\"}", 1.0),
                ("signalbox_media_call_seconds_total{call=\"health\"}", 0.25),
            ],
        ),
        (
            MediaFact::BreakerChanged {
                node: node(),
                from: BreakerState::Closed,
                to: BreakerState::Open,
                reason: BreakerReason::Failures,
                open_for: Duration::from_secs(1),
            },
            vec![
                ("signalbox_media_breaker_changes_total{to=\"open\",reason=\"failures\"}", 1.0),
                ("signalbox_media_breaker_state{node=\"n1\"}", 1.0),
            ],
        ),
        (
            MediaFact::PushDropped { node: node(), why: "bad".into() },
            vec![("signalbox_media_pushes_dropped_total", 1.0)],
        ),
    ]
}

fn going() -> Vec<(MediaFact, Moved)> {
    let node = || "n1".into();
    let stranger = MediaFact::Refused { node: Some(node()), reason: NodeRefusal::Stranger, why: "another".into() };
    vec![
        (
            MediaFact::StreamDown { node: node(), why: "reset".into() },
            vec![("signalbox_media_streams_lost_total", 1.0), ("signalbox_media_node_up{node=\"n1\"}", -1.0)],
        ),
        (stranger, vec![("signalbox_media_registrations_total{result=\"stranger\"}", 1.0)]),
        (MediaFact::Leaving { node: node() }, vec![("signalbox_media_registrations_total{result=\"leaving\"}", 1.0)]),
        (
            MediaFact::Gone { node: "n1".into(), why: "silent" },
            vec![("signalbox_media_nodes", -1.0), ("signalbox_media_nodes_gone_total{why=\"silent\"}", 1.0)],
        ),
    ]
}

/// A number for each kind of fact. A new one does not compile until it is here, and fails above until it is there.
fn kind(fact: &MediaFact) -> usize {
    match fact {
        MediaFact::Known { .. } => 0,
        MediaFact::Changed { .. } => 1,
        MediaFact::Renewed { .. } => 2,
        MediaFact::Leaving { .. } => 3,
        MediaFact::Gone { .. } => 4,
        MediaFact::Refused { .. } => 5,
        MediaFact::StreamUp { .. } => 6,
        MediaFact::StreamDown { .. } => 7,
        MediaFact::Measured { .. } => 8,
        MediaFact::Skewed { .. } => 9,
        MediaFact::CallEnded { .. } => 10,
        MediaFact::BreakerChanged { .. } => 11,
        MediaFact::PushDropped { .. } => 12,
    }
}
