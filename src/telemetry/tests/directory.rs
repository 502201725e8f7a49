//! What happens between this router and the directory of its fleet, and the series that each moves.

use std::{collections::BTreeSet, time::Duration};

use crate::event::{DirectoryFact, DirectoryOp, DirectoryOutcome, Event, HomeFound, ReadReason};

type Moved = Vec<(&'static str, f64)>;

/// All of them.
pub(in crate::telemetry) fn events() -> Vec<(Event, Moved)> {
    let facts = [of_this_router(), of_others()].concat();
    let kinds: BTreeSet<usize> = facts.iter().map(|(fact, _)| kind(fact)).collect();
    assert_eq!(kinds, (0..=20).collect());
    facts.into_iter().map(|(fact, moved)| (Event::Directory(fact), moved)).collect()
}

fn of_this_router() -> Vec<(DirectoryFact, Moved)> {
    let ended = |op, outcome| DirectoryFact::CallEnded {
        op,
        outcome,
        took: Duration::from_millis(250),
        why: "no leader".to_owned(),
    };
    vec![
        (
            ended(DirectoryOp::Grant, DirectoryOutcome::Done),
            vec![("signalbox_directory_calls_total{call=\"grant\",outcome=\"ok\"}", 1.0)],
        ),
        (
            ended(DirectoryOp::Refresh, DirectoryOutcome::Gone),
            vec![("signalbox_directory_calls_total{call=\"refresh\",outcome=\"gone\"}", 1.0)],
        ),
        (
            ended(DirectoryOp::Watch, DirectoryOutcome::Denied),
            vec![("signalbox_directory_calls_total{call=\"watch\",outcome=\"denied\"}", 1.0)],
        ),
        (DirectoryFact::Registered { lease: 7, revision: 9 }, Vec::new()),
        (DirectoryFact::LeaseLost { lease: 7 }, vec![("signalbox_directory_leases_lost_total", 1.0)]),
        (DirectoryFact::Left, Vec::new()),
        (
            DirectoryFact::Read { part: "media", reason: ReadReason::Compacted, revision: 9, records: 3 },
            vec![("signalbox_directory_reads_total{reason=\"compacted\"}", 1.0)],
        ),
        (DirectoryFact::WatchStands { part: "media", revision: 9 }, Vec::new()),
        (
            DirectoryFact::WatchLost { part: "media", why: "reset".to_owned() },
            vec![("signalbox_directory_watches_lost_total", 1.0)],
        ),
    ]
}

fn of_others() -> Vec<(DirectoryFact, Moved)> {
    let router = || "r2".into();
    vec![
        (DirectoryFact::RouterSeen { router: router(), region: "sh".to_owned(), build: "1".to_owned() }, Vec::new()),
        (
            DirectoryFact::IdTaken { router: router(), ops_url: "http://b:9600".to_owned(), started_unix: 7 },
            vec![("signalbox_directory_id_taken_total", 1.0)],
        ),
        (
            DirectoryFact::RoomSought { found: HomeFound::Elsewhere },
            vec![("signalbox_directory_rooms_sought_total{found=\"elsewhere\"}", 1.0)],
        ),
        (
            DirectoryFact::RoomTakenOver { room: "r".into(), router: router() },
            vec![("signalbox_directory_rooms_taken_over_total", 1.0)],
        ),
        (
            DirectoryFact::RoomGivenUp { room: "r".into(), router: router() },
            vec![("signalbox_directory_rooms_given_up_total", 1.0)],
        ),
        (
            DirectoryFact::RoomsDiffer { here: 2, there: 3, named_here: vec!["r".into()], named_there: Vec::new() },
            vec![
                ("signalbox_directory_rooms_mended_total{side=\"here\"}", 2.0),
                ("signalbox_directory_rooms_mended_total{side=\"there\"}", 3.0),
            ],
        ),
        (DirectoryFact::RoomsNotCompared { rooms: 90_000, limit: 4_000_000 }, Vec::new()),
        (DirectoryFact::RouterDraining { router: router() }, Vec::new()),
        (DirectoryFact::RouterRefused { router: router() }, Vec::new()),
        (DirectoryFact::RouterGone { router: router() }, Vec::new()),
        (DirectoryFact::RecordUnreadable { key: "x".to_owned(), why: "no version".to_owned() }, Vec::new()),
        (DirectoryFact::Overfull { limit: 9 }, Vec::new()),
        (DirectoryFact::ShareNotKept { doing: "write", why: "no space".to_owned() }, Vec::new()),
        (DirectoryFact::RulesWritten { revision: 9, bytes: Some(7) }, Vec::new()),
    ]
}

/// A number for each kind of fact. A new one does not compile until it is here, and fails above until it is there.
fn kind(fact: &DirectoryFact) -> usize {
    match fact {
        DirectoryFact::CallEnded { .. } => 0,
        DirectoryFact::Registered { .. } => 1,
        DirectoryFact::LeaseLost { .. } => 2,
        DirectoryFact::Left => 3,
        DirectoryFact::Read { .. } => 4,
        DirectoryFact::WatchStands { .. } => 5,
        DirectoryFact::WatchLost { .. } => 6,
        DirectoryFact::RouterSeen { .. } => 7,
        DirectoryFact::RouterDraining { .. } => 8,
        DirectoryFact::RouterGone { .. } => 9,
        DirectoryFact::RecordUnreadable { .. } => 10,
        DirectoryFact::Overfull { .. } => 11,
        DirectoryFact::IdTaken { .. } => 12,
        DirectoryFact::RoomSought { .. } => 13,
        DirectoryFact::RoomTakenOver { .. } => 14,
        DirectoryFact::RoomGivenUp { .. } => 15,
        DirectoryFact::RulesWritten { .. } => 16,
        DirectoryFact::RoomsDiffer { .. } => 17,
        DirectoryFact::RoomsNotCompared { .. } => 18,
        DirectoryFact::RouterRefused { .. } => 19,
        DirectoryFact::ShareNotKept { .. } => 20,
    }
}
