//! Rules of the journal, before a store in memory and disks that fail.

mod disks;
mod left;
mod lost;

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use bytes::Bytes;

use super::*;
use crate::{fabric::memory::Memory, ids::Epoch};

const PATIENCE: Duration = Duration::from_secs(20);

/// Whoever keeps rooms, for several routers; away, nobody is answered.
#[derive(Clone, Default)]
struct Away {
    memory: Arc<Mutex<Memory>>,
    away: Arc<AtomicBool>,
    writes: Arc<AtomicU64>,
    /// After so many more writes a replica takes its place that is as it was then.
    fails_over: Arc<Mutex<Option<(u64, Memory)>>>,
    /// Who is asked about takes.
    router: String,
}

impl Away {
    fn of(router: &str) -> Self {
        Self { router: router.to_owned(), ..Self::default() }
    }

    fn seen_by(&self, router: &str) -> Self {
        Self { router: router.to_owned(), ..self.clone() }
    }

    fn set(&self, away: bool) {
        self.away.store(away, SeqCst);
    }

    fn answer<'a, T: Send + 'a>(
        &self,
        call: impl FnOnce(&mut Memory) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Unanswered>> {
        let answer = match self.away.load(SeqCst) {
            true => Err(Unanswered),
            false => Ok(call(&mut self.memory.lock().unwrap())),
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer
        })
    }

    /// The room as another router that wants it finds it.
    fn taken(&self, room: &str, force: bool) -> Taken {
        let mut memory = self.memory.lock().unwrap();
        let by = memory.next(room, "other");
        memory.take(room, by, force)
    }
}

impl Store for Away {
    fn take<'a>(&'a self, room: &'a RoomId, force: bool) -> BoxFuture<'a, Result<Taken, Unanswered>> {
        let router = self.router.clone();
        self.answer(move |memory| memory.take(room.as_str(), memory.next(room.as_str(), &router), force))
    }

    fn write<'a>(&'a self, room: &'a RoomId, write: &'a Write) -> BoxFuture<'a, Result<Written, Unanswered>> {
        self.write_as(&self.router, room, write)
    }

    fn put_beside<'a>(&'a self, room: &'a RoomId, last: &'a Last) -> BoxFuture<'a, Result<bool, Unanswered>> {
        self.answer(move |memory| memory.put_last(room.as_str(), memory.next(room.as_str(), &self.router), last))
    }

    fn end<'a>(&'a self, room: &'a RoomId, fence: u64) -> BoxFuture<'a, Result<Written, Unanswered>> {
        self.end_as(&self.router, room, fence)
    }
}

impl Behind for Away {
    fn write_as<'a>(
        &'a self,
        owner: &'a str,
        room: &'a RoomId,
        write: &'a Write,
    ) -> BoxFuture<'a, Result<Written, Unanswered>> {
        self.writes.fetch_add(1, SeqCst);
        let mut fails_over = self.fails_over.lock().unwrap();
        match fails_over.take() {
            Some((0, replica)) => *self.memory.lock().unwrap() = replica,
            Some((left, replica)) => *fails_over = Some((left - 1, replica)),
            None => {}
        }
        drop(fails_over);
        self.answer(move |memory| memory.write(room.as_str(), memory.next(room.as_str(), owner), write.clone()))
    }

    fn end_as<'a>(
        &'a self,
        owner: &'a str,
        room: &'a RoomId,
        fence: u64,
    ) -> BoxFuture<'a, Result<Written, Unanswered>> {
        self.answer(move |memory| memory.end(room.as_str(), memory.next(room.as_str(), owner), fence))
    }
}

/// What was told.
type Facts = Arc<Mutex<Vec<JournalFact>>>;

fn observer() -> (Facts, Observe) {
    let facts = Facts::default();
    let told = facts.clone();
    let observe: Observe = Arc::new(move |event| match event {
        Event::Journal(fact) => told.lock().unwrap().push(fact),
        other => panic!("{other:?}"),
    });
    (facts, observe)
}

fn settings(folder: &std::path::Path) -> JournalSettings {
    let (of, router) = ("signalbox:fleet".to_owned(), "a".to_owned());
    JournalSettings { folder: folder.to_owned(), of, router, bytes_max: 1 << 20, takes: true }
}

fn open(settings: JournalSettings, behind: &Away) -> (Journal, Facts) {
    let (facts, observe) = observer();
    (Journal::open(settings, Box::new(behind.clone()), observe).unwrap(), facts)
}

/// The rooms that hear that something of them never will be there.
fn told_by(journal: &Journal) -> Arc<Mutex<Vec<RoomId>>> {
    let told = Arc::<Mutex<Vec<RoomId>>>::default();
    let tells = told.clone();
    journal.tells(Box::new(move |room| {
        tells.lock().unwrap().push(room);
        Box::pin(async {})
    }));
    told
}

/// The record of a room, of one of its lives.
fn record(life: u64) -> (String, Bytes) {
    let record = RoomKept { epoch: Epoch(life).to_string(), ..RoomKept::default() };
    (ROOM_FIELD.to_owned(), record.bytes())
}

/// All that is known of a room that has said so much.
fn whole(fence: u64, said: u64) -> Write {
    let set = vec![record(1), ("t".to_owned(), said.to_string().into())];
    Write { fence, edition: said, reset: true, set, entries: entries(1..=said), ..Write::default() }
}

/// What it said next.
fn next(fence: u64, said: u64) -> Write {
    let set = vec![("t".to_owned(), said.to_string().into())];
    let after = said.saturating_sub(1);
    Write { fence, edition: said, after, set, entries: entries(said..=said), ..Write::default() }
}

fn entries(offsets: std::ops::RangeInclusive<u64>) -> Vec<(u64, Bytes)> {
    offsets.map(|offset| (offset, offset.to_string().into())).collect()
}

fn kept(taken: Taken) -> Kept {
    match taken {
        Taken::Kept(kept) => kept,
        other => panic!("kept: {other:?}"),
    }
}

fn ended(facts: &Facts, outcome: JournalOutcome) -> u64 {
    let facts = facts.lock().unwrap();
    let ended = facts.iter().filter_map(|fact| match fact {
        JournalFact::Ended { writes, outcome: known, .. } if *known == outcome => Some(*writes),
        _ => None,
    });
    ended.sum()
}

/// What the core does: a write for which the journal wants all there is comes again as that.
async fn say(journal: &Journal, fence: u64, said: u64) {
    let room = "r".into();
    match journal.write(&room, &next(fence, said)).await {
        Ok(Written::Written) => {}
        Ok(Written::Missing) => {
            assert_eq!(journal.write(&room, &whole(fence, said)).await, Ok(Written::Written));
        }
        other => panic!("{said}: {other:?}"),
    }
}

async fn brought(journal: &Journal) {
    let brings = async {
        while journal.0.bring(&"r".into()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, brings).await.expect("brought");
    assert!(!journal.0.index(|index| index.has("r")));
}

/// A room that stands in the store, of a router that has a journal.
async fn one_that_stands(folder: &std::path::Path) -> (Journal, Facts, Away) {
    let away = Away::of("a");
    let (journal, facts) = open(settings(folder), &away);
    assert_eq!(journal.take(&"r".into(), false).await, Ok(Taken::Nothing { fence: 1 }));
    assert_eq!(journal.write(&"r".into(), &whole(1, 2)).await, Ok(Written::Written));
    (journal, facts, away)
}

/// A room that was made while nobody answered, up to there.
async fn one_that_nobody_answered(folder: &std::path::Path, up_to: u64) -> (Journal, Away) {
    let away = Away::of("a");
    away.set(true);
    let (journal, _) = open(settings(folder), &away);
    let room = RoomId::from("r");
    assert_eq!(journal.claim(&room, false).await, Ok(Taken::Nothing { fence: UNASKED }));
    assert_eq!(journal.write(&room, &whole(UNASKED, up_to)).await, Ok(Written::Written));
    (journal, away)
}

/// A room with that much in the journal, of which a kill left it there.
async fn killed(folder: &std::path::Path, up_to: u64) -> Away {
    let (journal, _, away) = one_that_stands(folder).await;
    away.set(true);
    for said in 3..=up_to {
        say(&journal, 1, said).await;
    }
    away
}

#[tokio::test]
async fn what_the_store_takes_never_touches_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, facts, _away) = one_that_stands(folder.path()).await;
    say(&journal, 1, 3).await;
    assert_eq!(facts.lock().unwrap().len(), 0);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(folder.path().join(disk::NAME)).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "messages are in it");
}

#[tokio::test]
async fn what_the_store_does_not_take_waits_in_order_and_arrives_when_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, facts, away) = one_that_stands(folder.path()).await;
    away.set(true);
    for said in 3..=50 {
        say(&journal, 1, said).await;
    }
    assert_eq!(journal.0.bring(&"r".into()).await, Err(Unanswered));
    // the room as a whole, and what came after it
    assert_eq!(journal.0.index(|index| index.figures(Instant::now())).writes, 48);
    away.set(false);
    let before = away.writes.load(SeqCst);
    // and still through here, until all is there: nothing overtakes what waits
    say(&journal, 1, 51).await;
    assert_eq!(away.writes.load(SeqCst), before);
    brought(&journal).await;
    say(&journal, 1, 52).await;
    let there = kept(away.taken("r", true));
    assert_eq!(there.entries, entries(1..=52));
    assert_eq!((ended(&facts, JournalOutcome::Appended), ended(&facts, JournalOutcome::Brought)), (49, 49));
    assert_eq!(journal.0.index(|index| index.figures(Instant::now())), index::Figures::default());
}

#[tokio::test]
async fn what_a_process_left_that_was_killed_is_brought_and_let_go_of_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _, away) = one_that_stands(folder.path()).await;
    away.set(true);
    for said in 3..=40 {
        say(&journal, 1, said).await;
    }
    drop(journal);
    // the same store, and another name: it is brought as what it was
    let (again, facts) = reopened(JournalSettings { router: "b".to_owned(), ..settings(folder.path()) }, &away).await;
    assert_eq!(facts.lock().unwrap()[0], JournalFact::Found { writes: 38, rooms: 1 });
    assert_eq!(again.take(&"r".into(), true).await, Err(Unanswered), "not before what is here is there");
    away.set(false);
    brought(&again).await;
    let there = kept(away.taken("r", false));
    assert_eq!((there.entries, there.fence), (entries(1..=40), 2), "whoever wants it has it without force");
    drop(again);
    let (empty, facts) = reopened(settings(folder.path()), &away).await;
    assert!(!empty.0.index(|index| index.has("r")) && facts.lock().unwrap().is_empty(), "and once");
}

/// The thread of the one before ends by itself, and its file is locked until then.
async fn reopened(settings: JournalSettings, behind: &Away) -> (Journal, Facts) {
    let opens = async {
        loop {
            let (facts, observe) = observer();
            match Journal::open(settings.clone(), Box::new(behind.seen_by(&settings.router)), observe) {
                Ok(journal) => return (journal, facts),
                Err(Unopened::Taken(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opens).await.expect("the file is free")
}

#[tokio::test]
async fn a_room_that_was_lost_where_rooms_are_kept_is_there_again_from_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _, away) = one_that_stands(folder.path()).await;
    away.set(true);
    say(&journal, 1, 3).await;
    say(&journal, 1, 4).await;
    // away for so long that it keeps nothing any more
    away.memory.lock().unwrap().flush();
    away.set(false);
    brought(&journal).await;
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=4));
}

#[tokio::test]
async fn a_room_that_was_made_while_nobody_answered_is_kept_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let away = Away::of("a");
    away.set(true);
    let (journal, _) = open(settings(folder.path()), &away);
    assert_eq!(journal.take(&"r".into(), false).await, Err(Unanswered), "who wants what may be kept waits");
    assert_eq!(journal.claim(&"r".into(), false).await, Ok(Taken::Nothing { fence: UNASKED }));
    assert_eq!(journal.write(&"r".into(), &whole(UNASKED, 2)).await, Ok(Written::Written));
    say(&journal, UNASKED, 3).await;
    // an earlier life of it is there, under a fence of its own
    {
        let mut memory = away.memory.lock().unwrap();
        let by = memory.next("r", "a");
        assert_eq!(memory.take("r", by, false), Taken::Nothing { fence: 1 });
    }
    away.set(false);
    brought(&journal).await;
    say(&journal, UNASKED, 4).await;
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=4));
}

#[tokio::test]
async fn one_that_the_store_knows_nothing_of_gets_a_fence_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, away) = one_that_nobody_answered(folder.path(), 2).await;
    away.set(false);
    brought(&journal).await;
    say(&journal, UNASKED, 3).await;
    let there = kept(away.taken("r", true));
    assert_eq!((there.fence, there.entries), (2, entries(1..=3)));
}

#[tokio::test]
async fn the_last_word_of_a_router_that_drains_waits_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _, away) = one_that_stands(folder.path()).await;
    away.set(true);
    let last = Write { released: true, ..next(1, 3) };
    assert_eq!(journal.write(&"r".into(), &last).await, Ok(Written::Written));
    drop(journal);
    let (again, facts) = reopened(settings(folder.path()), &away).await;
    away.set(false);
    brought(&again).await;
    assert_eq!(ended(&facts, JournalOutcome::Brought), 1);
    assert_eq!(kept(away.taken("r", false)).entries, entries(1..=3));
}

#[tokio::test]
async fn a_room_that_ended_meanwhile_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _, away) = one_that_stands(folder.path()).await;
    away.set(true);
    say(&journal, 1, 3).await;
    assert_eq!(journal.end(&"r".into(), 1).await, Ok(Written::Written));
    away.set(false);
    brought(&journal).await;
    assert!(away.memory.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_passes_the_bound_is_refused_and_what_is_there_still_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let away = Away::of("a");
    let (journal, facts) = open(JournalSettings { bytes_max: 2_000, ..settings(folder.path()) }, &away);
    assert_eq!(journal.take(&"r".into(), false).await, Ok(Taken::Nothing { fence: 1 }));
    away.set(true);
    assert_eq!(journal.write(&"r".into(), &whole(1, 2)).await, Ok(Written::Written));
    let mut said = 3;
    while journal.write(&"r".into(), &next(1, said)).await == Ok(Written::Written) {
        said += 1;
        assert!(said < 100);
    }
    assert!(said > 5);
    assert_eq!(journal.write(&"r".into(), &next(1, said)).await, Err(Unanswered));
    assert_eq!(journal.write(&"other".into(), &whole(1, 9)).await, Err(Unanswered), "nor a room of its own");
    assert_eq!(ended(&facts, JournalOutcome::Full), 3);
    away.set(false);
    brought(&journal).await;
    say(&journal, 1, said).await;
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=said));
}

#[tokio::test]
async fn with_nothing_to_be_added_it_still_brings_what_was_left() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _, away) = one_that_stands(folder.path()).await;
    away.set(true);
    say(&journal, 1, 3).await;
    drop(journal);
    let (remote, _) = reopened(JournalSettings { takes: false, ..settings(folder.path()) }, &away).await;
    assert_eq!(remote.write(&"s".into(), &whole(1, 1)).await, Err(Unanswered));
    assert_eq!(remote.claim(&"s".into(), false).await, Err(Unanswered));
    away.set(false);
    brought(&remote).await;
    assert_eq!(kept(away.taken("r", false)).entries, entries(1..=3));
}

#[tokio::test]
async fn the_beginning_of_a_room_alone_is_not_put_over_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _, away) = one_that_stands(folder.path()).await;
    away.set(true);
    let part = Write { fence: 1, reset: true, entries: entries(1..=1), ..Write::default() };
    assert_eq!(journal.write(&"r".into(), &part).await, Ok(Written::Written));
    // killed before the rest
    drop(journal);
    let (again, facts) = reopened(settings(folder.path()), &away).await;
    away.set(false);
    brought(&again).await;
    assert_eq!(ended(&facts, JournalOutcome::Incomplete), 1);
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=2));
}

#[tokio::test]
async fn many_rooms_at_once_cost_few_commits_and_all_of_them_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let away = Away::of("a");
    let (journal, facts) = open(settings(folder.path()), &away);
    let rooms: Vec<RoomId> = (0..100).map(|number| RoomId::from(format!("r{number}"))).collect();
    for room in &rooms {
        assert_eq!(journal.take(room, false).await, Ok(Taken::Nothing { fence: 1 }));
    }
    away.set(true);
    let begun = Instant::now();
    let write = whole(1, 3);
    let writes = rooms.iter().map(|room| journal.write(room, &write));
    assert!(futures_util::future::join_all(writes).await.iter().all(|written| *written == Ok(Written::Written)));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    away.set(false);
    for room in &rooms {
        assert_eq!(journal.0.bring(room).await, Ok(()));
        assert_eq!(kept(away.taken(room.as_str(), true)).entries, entries(1..=3));
    }
    assert_eq!(ended(&facts, JournalOutcome::Brought), 100);
}
