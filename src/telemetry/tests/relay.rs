//! What happens between this router and others over links, and the series that each moves.

use std::{collections::BTreeSet, time::Duration};

use crate::event::{Event, RelayEnd, RelayFact, RelayOpening, RelaySide};

/// All of them.
pub(in crate::telemetry) fn events() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let down = |side, end| RelayFact::LinkDown {
        side,
        router: "b".into(),
        end,
        connections: 40,
        why: "connection reset".to_owned(),
    };
    let opening = |outcome| RelayFact::Opening { outcome };
    let facts = vec![
        (RelayFact::LinkUp { side: RelaySide::Edge, router: "b".into() }, Vec::new()),
        (
            down(RelaySide::Edge, RelayEnd::Lost),
            vec![("signalbox_relay_links_ended_total{side=\"edge\",reason=\"lost\"}", 1.0)],
        ),
        (
            down(RelaySide::Host, RelayEnd::Closed),
            vec![("signalbox_relay_links_ended_total{side=\"host\",reason=\"closed\"}", 1.0)],
        ),
        (
            down(RelaySide::Edge, RelayEnd::Refused),
            vec![("signalbox_relay_links_ended_total{side=\"edge\",reason=\"refused\"}", 1.0)],
        ),
        (opening(RelayOpening::Relayed), vec![("signalbox_relay_openings_total{outcome=\"relayed\"}", 1.0)]),
        (opening(RelayOpening::NoAddress), vec![("signalbox_relay_openings_total{outcome=\"no_address\"}", 1.0)]),
        (opening(RelayOpening::Unreachable), vec![("signalbox_relay_openings_total{outcome=\"unreachable\"}", 1.0)]),
        (opening(RelayOpening::Full), vec![("signalbox_relay_openings_total{outcome=\"full\"}", 1.0)]),
        (RelayFact::RoundTrip { router: "b".into(), took: Duration::from_millis(1) }, Vec::new()),
    ];
    let kinds: BTreeSet<usize> = facts.iter().map(|(fact, _)| kind(fact)).collect();
    assert_eq!(kinds, (0..=3).collect());
    facts.into_iter().map(|(fact, moved)| (Event::Relay(fact), moved)).collect()
}

/// A number for each kind of fact. A new one does not compile until it is here, and fails above until it is there.
fn kind(fact: &RelayFact) -> usize {
    match fact {
        RelayFact::LinkUp { .. } => 0,
        RelayFact::LinkDown { .. } => 1,
        RelayFact::Opening { .. } => 2,
        RelayFact::RoundTrip { .. } => 3,
    }
}
