//! What happens between this router and the Redis that keeps its rooms, and the series that each moves.

use std::{collections::BTreeSet, time::Duration};

use crate::event::{Event, FabricCall, FabricFact, FabricLoss, FabricOutcome};

type Moved = Vec<(&'static str, f64)>;

/// All of them.
pub(in crate::telemetry) fn events() -> Vec<(Event, Moved)> {
    let called = |call, outcome| FabricFact::Called {
        call,
        outcome,
        took: Duration::from_millis(3),
        why: "no answer".to_owned(),
    };
    let unconnected = |loss| FabricFact::Unconnected {
        address: "10.0.0.1:6379".to_owned(),
        loss,
        why: "connection refused".to_owned(),
    };
    let facts = vec![
        (
            called(FabricCall::Take, FabricOutcome::Done),
            vec![("signalbox_fabric_calls_total{call=\"take\",outcome=\"ok\"}", 1.0)],
        ),
        (
            called(FabricCall::Write, FabricOutcome::Fenced),
            vec![("signalbox_fabric_calls_total{call=\"write\",outcome=\"fenced\"}", 1.0)],
        ),
        (
            called(FabricCall::Find, FabricOutcome::Late),
            vec![("signalbox_fabric_calls_total{call=\"find\",outcome=\"late\"}", 1.0)],
        ),
        (FabricFact::Connected { address: "10.0.0.1:6379".to_owned() }, Vec::new()),
        (
            unconnected(FabricLoss::Unreachable),
            vec![("signalbox_fabric_connection_failures_total{reason=\"unreachable\"}", 1.0)],
        ),
        (
            unconnected(FabricLoss::Demoted),
            vec![("signalbox_fabric_connection_failures_total{reason=\"demoted\"}", 1.0)],
        ),
        (
            FabricFact::MastersFound { addresses: vec!["10.0.0.1:6379".to_owned()], count: 1 },
            vec![("signalbox_fabric_masters_found_total", 1.0)],
        ),
    ];
    let kinds: BTreeSet<usize> = facts.iter().map(|(fact, _)| kind(fact)).collect();
    assert_eq!(kinds, (0..=3).collect());
    facts.into_iter().map(|(fact, moved)| (Event::Fabric(fact), moved)).collect()
}

/// A number for each kind of fact. A new one does not compile until it is here, and fails above until it is there.
fn kind(fact: &FabricFact) -> usize {
    match fact {
        FabricFact::Called { .. } => 0,
        FabricFact::Connected { .. } => 1,
        FabricFact::Unconnected { .. } => 2,
        FabricFact::MastersFound { .. } => 3,
    }
}
