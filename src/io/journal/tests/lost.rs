//! What was brought is lost there, or comes a second time; what a killed process had not finished; rooms that go on with what is here.

use super::*;

#[tokio::test]
async fn a_replica_that_takes_over_between_two_batches_gets_all_from_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, facts, away) = one_that_stands(folder.path()).await;
    let told = told_by(&journal);
    let replica = away.memory.lock().unwrap().clone();
    away.set(true);
    for said in 3..=200 {
        say(&journal, 1, said).await;
    }
    away.set(false);
    *away.fails_over.lock().unwrap() = Some((100, replica));
    brought(&journal).await;
    assert!(away.fails_over.lock().unwrap().is_none(), "it did");
    assert_eq!(ended(&facts, JournalOutcome::Brought), 198);
    assert!(told.lock().unwrap().is_empty());
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=200));
}

#[tokio::test]
async fn also_of_a_process_that_is_gone_and_of_a_store_that_forgets_everything() {
    let folder = tempfile::tempdir().unwrap();
    let away = killed(folder.path(), 200).await;
    let (again, facts) = reopened(settings(folder.path()), &away).await;
    away.set(false);
    *away.fails_over.lock().unwrap() = Some((150, Memory::default()));
    brought(&again).await;
    assert_eq!(ended(&facts, JournalOutcome::Brought), 198);
    let there = kept(away.taken("r", false));
    assert_eq!(there.entries, entries(1..=200), "and whoever wants it has it");
}

#[tokio::test]
async fn a_store_that_loses_it_again_and_again_is_not_tried_for_ever_and_the_room_hears_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, facts, away) = one_that_stands(folder.path()).await;
    let told = told_by(&journal);
    away.set(true);
    // it stands upon what is nowhere
    assert_eq!(journal.write(&"r".into(), &whole(1, 3)).await, Ok(Written::Written));
    assert_eq!(journal.write(&"r".into(), &next(1, 9)).await, Ok(Written::Written));
    away.set(false);
    brought(&journal).await;
    assert_eq!(ended(&facts, JournalOutcome::Missing), 2);
    assert_eq!(*told.lock().unwrap(), [RoomId::from("r")]);
}

#[tokio::test]
async fn what_comes_a_second_time_does_not_put_back_what_was_written_since() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(disk::NAME);
    let away = killed(folder.path(), 20).await;
    drop(reopened(settings(folder.path()), &away).await);
    free(folder.path()).await;
    // as if taking it out had not reached the disk
    let before = fs::read(&file).unwrap();
    let (journal, _) = reopened(settings(folder.path()), &away).await;
    away.set(false);
    brought(&journal).await;
    assert_eq!(kept(journal.take(&"r".into(), false).await.unwrap()).entries, entries(1..=20));
    for said in 21..=30 {
        say(&journal, 1, said).await;
    }
    drop(journal);
    free(folder.path()).await;
    fs::write(&file, before).unwrap();
    let (again, _) = reopened(settings(folder.path()), &away).await;
    brought(&again).await;
    assert_eq!(away.taken("r", false), Taken::Held { owner: "a".to_owned() }, "nor is it let go of");
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=30));
}

/// Waits until nobody has the file.
async fn free(folder: &std::path::Path) {
    while matches!(disk::Disk::open(folder, &settings(folder).of), Err(Unopened::Taken(_))) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_whole_that_a_kill_cut_short_leaves_what_was_there_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, away) = one_that_nobody_answered(folder.path(), 3).await;
    let room = RoomId::from("r");
    assert_eq!(journal.write(&room, &next(UNASKED, 4)).await, Ok(Written::Written));
    let begins = Write { fence: UNASKED, edition: 5, reset: true, entries: entries(1..=2), ..Write::default() };
    assert_eq!(journal.write(&room, &begins).await, Ok(Written::Written));
    drop(journal);
    let (again, facts) = reopened(settings(folder.path()), &away).await;
    away.set(false);
    brought(&again).await;
    assert_eq!((ended(&facts, JournalOutcome::Brought), ended(&facts, JournalOutcome::Incomplete)), (2, 1));
    assert_eq!(kept(away.taken("r", false)).entries, entries(1..=4));
}

#[tokio::test]
async fn who_wants_a_room_that_a_killed_process_left_here_has_it_before_the_store_answers() {
    let folder = tempfile::tempdir().unwrap();
    let away = killed(folder.path(), 100).await;
    let (again, _) = reopened(settings(folder.path()), &away).await;
    let room = RoomId::from("r");
    let there = kept(again.take(&room, false).await.unwrap());
    assert_eq!((there.fence, there.edition, there.entries), (1, 100, entries(1..=100)));
    // what comes next is all of it, whatever the store has meanwhile
    assert_eq!(again.write(&room, &next(1, 101)).await, Ok(Written::Missing));
    assert_eq!(again.write(&room, &whole(1, 101)).await, Ok(Written::Written));
    assert_eq!(again.write(&room, &next(1, 102)).await, Ok(Written::Written));
    away.set(false);
    brought(&again).await;
    say(&again, 1, 103).await;
    assert_eq!(away.taken("r", false), Taken::Held { owner: "a".to_owned() }, "it is here");
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=103));
}

#[tokio::test]
async fn not_what_another_router_left_nor_what_ended() {
    let folder = tempfile::tempdir().unwrap();
    let away = killed(folder.path(), 5).await;
    let (other, _) = reopened(JournalSettings { router: "b".to_owned(), ..settings(folder.path()) }, &away).await;
    assert_eq!(other.take(&"r".into(), false).await, Err(Unanswered));
    drop(other);
    let (again, _) = reopened(settings(folder.path()), &away).await;
    assert!(again.take(&"r".into(), false).await.is_ok());
    assert_eq!(again.end(&"r".into(), 1).await, Ok(Written::Written));
    drop(again);
    let (last, _) = reopened(settings(folder.path()), &away).await;
    assert_eq!(last.take(&"r".into(), false).await, Err(Unanswered));
    away.set(false);
    brought(&last).await;
    assert!(away.memory.lock().unwrap().is_empty());
}
