//! What becomes of writes in the journal, and the series that each moves.

use crate::event::{Event, JournalFact, JournalOutcome, JournalWork};

/// All of them.
pub(in crate::telemetry) fn events() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let found = (Event::Journal(JournalFact::Found { writes: 3, rooms: 2 }), Vec::new());
    let ended = JournalOutcome::ALL.map(|outcome| {
        let series = match outcome {
            JournalOutcome::Appended => "signalbox_journal_writes_total{outcome=\"appended\"}",
            JournalOutcome::Brought => "signalbox_journal_writes_total{outcome=\"brought\"}",
            JournalOutcome::Superseded => "signalbox_journal_writes_total{outcome=\"superseded\"}",
            JournalOutcome::SetBeside => "signalbox_journal_writes_total{outcome=\"set_beside\"}",
            JournalOutcome::Fenced => "signalbox_journal_writes_total{outcome=\"fenced\"}",
            JournalOutcome::Missing => "signalbox_journal_writes_total{outcome=\"missing\"}",
            JournalOutcome::Incomplete => "signalbox_journal_writes_total{outcome=\"incomplete\"}",
            JournalOutcome::Unreadable => "signalbox_journal_writes_total{outcome=\"unreadable\"}",
            JournalOutcome::Full => "signalbox_journal_writes_total{outcome=\"full\"}",
            JournalOutcome::Failed => "signalbox_journal_writes_total{outcome=\"failed\"}",
        };
        (Event::Journal(JournalFact::Ended { room: "r".into(), writes: 2, outcome }), vec![(series, 2.0)])
    });
    let failed = JournalWork::ALL.map(|doing| {
        let series = match doing {
            JournalWork::Open => "signalbox_journal_failures_total{doing=\"open\"}",
            JournalWork::Write => "signalbox_journal_failures_total{doing=\"write\"}",
            JournalWork::Read => "signalbox_journal_failures_total{doing=\"read\"}",
            JournalWork::SetAside => "signalbox_journal_failures_total{doing=\"set_aside\"}",
        };
        (Event::Journal(JournalFact::Failed { doing, why: "no space left".to_owned() }), vec![(series, 1.0)])
    });
    [found].into_iter().chain(ended).chain(failed).collect()
}
