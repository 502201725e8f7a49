//! What becomes of rooms that are kept outside of their router, and the series that each moves.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    event::{AnswerOutcome, Event, KeepingFact, KeepingOutcome, Labels},
    ids::{Epoch, Offset},
};

/// All of them.
pub(in crate::telemetry) fn events() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let (room, owner) = (|| "kept".into(), "b/7".to_owned());
    let (epoch, after) = (Epoch(7), Offset(3));
    let merged = KeepingFact::RoomMerged {
        room: room(),
        epoch,
        last: after,
        after,
        events: 4,
        missing: 1,
        sessions: 1,
        left_out: 0,
    };
    let facts = [
        (KeepingFact::RoomWritten { behind: Duration::from_millis(21) }, "written"),
        (KeepingFact::RoomHeld { room: room(), owner }, "held"),
        (KeepingFact::RoomWrittenAnew { room: room() }, "written_anew"),
        (KeepingFact::RoomRestored { room: room(), sessions: 2, entries: 9 }, "restored"),
        (KeepingFact::RoomNotRestored { room: room(), why: "it is missing".to_owned() }, "not_restored"),
        (KeepingFact::RoomHandedOver { room: room(), sessions: 2 }, "handed_over"),
        (KeepingFact::RoomNotHandedOver { room: room() }, "not_handed_over"),
        (KeepingFact::RoomSetBeside { room: room(), sessions: 2 }, "set_beside"),
        (merged, "merged"),
        (KeepingFact::RoomNotMerged { room: room(), why: "it is missing".to_owned() }, "not_merged"),
    ];
    let outcomes: BTreeSet<usize> = facts.iter().map(|(fact, _)| fact.outcome().unwrap() as usize).collect();
    assert_eq!(outcomes, (0..KeepingOutcome::ALL.len()).collect());
    let series = |outcome| match outcome {
        "written" => "signalbox_fabric_rooms_total{outcome=\"written\"}",
        "held" => "signalbox_fabric_rooms_total{outcome=\"held\"}",
        "written_anew" => "signalbox_fabric_rooms_total{outcome=\"written_anew\"}",
        "restored" => "signalbox_fabric_rooms_total{outcome=\"restored\"}",
        "not_restored" => "signalbox_fabric_rooms_total{outcome=\"not_restored\"}",
        "handed_over" => "signalbox_fabric_rooms_total{outcome=\"handed_over\"}",
        "set_beside" => "signalbox_fabric_rooms_total{outcome=\"set_beside\"}",
        "merged" => "signalbox_fabric_rooms_total{outcome=\"merged\"}",
        "not_merged" => "signalbox_fabric_rooms_total{outcome=\"not_merged\"}",
        _ => "signalbox_fabric_rooms_total{outcome=\"not_handed_over\"}",
    };
    let returned = Event::Keeping(KeepingFact::SessionReturned { labels: Labels::default() });
    let moved = |outcome| match outcome {
        "restored" => vec![(series(outcome), 1.0), ("signalbox_variant_sessions{variant=\"default\"}", 2.0)],
        "merged" => vec![(series(outcome), 1.0), ("signalbox_variant_sessions{variant=\"default\"}", 1.0)],
        outcome => vec![(series(outcome), 1.0)],
    };
    let facts = facts.into_iter().map(|(fact, outcome)| (Event::Keeping(fact), moved(outcome)));
    let answers = AnswerOutcome::ALL.map(|outcome| {
        let series = match outcome {
            AnswerOutcome::Kept => "signalbox_fabric_answers_total{outcome=\"kept\"}",
            AnswerOutcome::Late => "signalbox_fabric_answers_total{outcome=\"late\"}",
            AnswerOutcome::Away => "signalbox_fabric_answers_total{outcome=\"away\"}",
            AnswerOutcome::Elsewhere => "signalbox_fabric_answers_total{outcome=\"elsewhere\"}",
            AnswerOutcome::Full => "signalbox_fabric_answers_total{outcome=\"full\"}",
        };
        (Event::Keeping(KeepingFact::AnswerEnded { outcome }), vec![(series, 1.0)])
    });
    facts.chain([(returned, Vec::new())]).chain(answers).collect()
}
