//! What lies here of a room that another router has, and that nobody here has in memory.

use super::*;
use crate::fabric::{BRANCHES_MAX, BranchKept, memory::Caller};

/// Entries of what lies beside the room; one or none.
fn beside(there: &Kept) -> Option<Vec<(u64, Bytes)>> {
    assert!(there.branches.len() <= 1, "{there:?}");
    there.branches.first().map(|(_, branch)| BranchKept::read(branch).unwrap().entries)
}

#[tokio::test]
async fn what_a_killed_process_left_of_a_room_that_another_took_lies_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let away = killed(folder.path(), 200).await;
    assert_eq!(kept(away.taken("r", true)).fence, 2);
    let (again, facts) = reopened(settings(folder.path()), &away).await;
    let told = told_by(&again);
    assert_eq!(again.0.bring(&"r".into()).await, Err(Unanswered), "nothing of it goes before there is an answer");
    away.set(false);
    brought(&again).await;
    assert_eq!(ended(&facts, JournalOutcome::SetBeside), 198);
    assert_eq!(ended(&facts, JournalOutcome::Fenced), 0);
    let there = kept(away.taken("r", false));
    assert_eq!((there.fence, there.entries.clone()), (2, entries(1..=2)), "the other's is as it was");
    assert_eq!(beside(&there), Some(entries(1..=200)));
    assert_eq!(*told.lock().unwrap(), [RoomId::from("r")]);
}

#[tokio::test]
async fn a_room_that_is_here_and_that_another_router_took_hears_of_it_and_a_kill_before_it_goes_there_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, facts, away) = one_that_stands(folder.path()).await;
    let told = told_by(&journal);
    away.set(true);
    for said in 3..=5 {
        say(&journal, 1, said).await;
    }
    assert_eq!(kept(away.taken("r", true)).fence, 2);
    away.set(false);
    brought(&journal).await;
    assert_eq!(ended(&facts, JournalOutcome::SetBeside), 3);
    assert_eq!(*told.lock().unwrap(), [RoomId::from("r")], "so that it asks for the room at once");
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=2), "the other's is as it was");
    assert_eq!(beside(&kept(away.taken("r", true))), Some(entries(1..=5)));
    let fenced = Written::Fenced { owner: "other".to_owned() };
    assert_eq!(journal.write(&"r".into(), &next(1, 6)).await, Ok(fenced));
}

#[tokio::test]
async fn so_does_the_last_word_of_a_router_that_drained() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, facts, away) = one_that_stands(folder.path()).await;
    away.set(true);
    let last = Write { released: true, set: vec![record(1)], ..next(1, 3) };
    assert_eq!(journal.write(&"r".into(), &last).await, Ok(Written::Written));
    away.taken("r", true);
    away.set(false);
    brought(&journal).await;
    assert_eq!(ended(&facts, JournalOutcome::SetBeside), 1);
    assert_eq!(beside(&kept(away.taken("r", false))), Some(entries(3..=3)));
}

#[tokio::test]
async fn one_that_was_made_while_nobody_answered_lies_beside_another_life_that_is_anybodys() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, away) = one_that_nobody_answered(folder.path(), 3).await;
    drop(journal);
    away.set(false);
    let taken = away.taken("r", false);
    assert!(matches!(taken, Taken::Nothing { fence: 1 }), "{taken:?}");
    let other = Write { set: vec![record(2)], released: true, ..whole(1, 1) };
    let by = Caller { name: "other", seq: 9 };
    assert_eq!(away.memory.lock().unwrap().write("r", by, other), Written::Written);
    let (again, facts) = reopened(settings(folder.path()), &away).await;
    brought(&again).await;
    assert_eq!(ended(&facts, JournalOutcome::SetBeside), 1);
    let there = kept(away.taken("r", false));
    assert_eq!((there.fields.clone(), there.entries.clone()), (vec![record(2)], entries(1..=1)));
    assert_eq!(beside(&there), Some(entries(1..=3)));
}

#[tokio::test]
async fn where_there_is_no_place_beside_it_it_is_let_go_of_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let away = killed(folder.path(), 5).await;
    away.taken("r", true);
    let full = |life: usize| {
        let (name, instead) = (format!("b:{life}.1"), format!("b:{life}."));
        let by = Caller { name: "c", seq: 1 };
        away.memory.lock().unwrap().put_beside("r", by, (&name, &instead), Bytes::new())
    };
    assert!((0..BRANCHES_MAX).all(full));
    let (again, facts) = reopened(settings(folder.path()), &away).await;
    away.set(false);
    brought(&again).await;
    assert_eq!(ended(&facts, JournalOutcome::Fenced), 3);
}
