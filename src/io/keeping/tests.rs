//! A keeper before a store in memory: who is asked when, and what shards hear of it.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use super::*;
use crate::{
    config::{Config, Slice},
    fabric::{keeper::PARTS, memory::Memory},
    io::{
        finder::RoomFinder,
        ops::tests::telemetry,
        shard::{ShardSettings, Surroundings},
    },
    protocol::v1,
    router::{Acknowledge, AdminCall, KeepingSettings, Settings},
};

/// A store that several routers share; each call takes that long.
#[derive(Clone)]
struct Shelf {
    memory: Arc<Mutex<Memory>>,
    router: &'static str,
    takes_ms: u64,
    calls: Arc<AtomicUsize>,
    /// How many writes came together, each time.
    together: Arc<Mutex<Vec<usize>>>,
    /// Calls that fail from now on.
    fails: Arc<AtomicUsize>,
    /// Whom it tells that something does not stand.
    tells: Arc<OnceLock<Unkept>>,
}

impl Shelf {
    fn of(router: &'static str) -> Self {
        Self {
            memory: Arc::default(),
            router,
            takes_ms: 5,
            calls: Arc::default(),
            together: Arc::default(),
            fails: Arc::default(),
            tells: Arc::default(),
        }
    }

    /// The same store, as another router has it.
    fn seen_by(&self, router: &'static str) -> Self {
        Self { router, calls: Arc::default(), fails: Arc::default(), tells: Arc::default(), ..self.clone() }
    }

    fn answer<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Memory, &'static str) -> T + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Unanswered>> {
        let shelf = self.clone();
        Box::pin(async move {
            shelf.calls.fetch_add(1, SeqCst);
            sleep(Duration::from_millis(shelf.takes_ms)).await;
            let fails = shelf.fails.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            if fails {
                return Err(Unanswered);
            }
            Ok(call(&mut shelf.memory.lock().unwrap(), shelf.router))
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

impl Store for Shelf {
    fn take<'a>(&'a self, room: &'a RoomId, force: bool) -> BoxFuture<'a, Result<Taken, Unanswered>> {
        let room = room.clone();
        self.answer(move |memory, router| memory.take(room.as_str(), memory.next(room.as_str(), router), force))
    }

    fn write<'a>(&'a self, room: &'a RoomId, write: &'a Write) -> BoxFuture<'a, Result<Written, Unanswered>> {
        let (room, write) = (room.clone(), write.clone());
        self.answer(move |memory, router| memory.write(room.as_str(), memory.next(room.as_str(), router), write))
    }

    fn write_all<'a>(&'a self, writes: Writes<'a>) -> BoxStream<'a, (usize, Result<Written, Unanswered>)> {
        self.together.lock().unwrap().push(writes.len());
        each(writes, |room, write| self.write(room, write))
    }

    fn put_beside<'a>(&'a self, room: &'a RoomId, last: &'a Last) -> BoxFuture<'a, Result<bool, Unanswered>> {
        let (room, last) = (room.clone(), last.clone());
        self.answer(move |memory, router| memory.put_last(room.as_str(), memory.next(room.as_str(), router), &last))
    }

    fn end<'a>(&'a self, room: &'a RoomId, fence: u64) -> BoxFuture<'a, Result<Written, Unanswered>> {
        let room = room.clone();
        self.answer(move |memory, router| memory.end(room.as_str(), memory.next(room.as_str(), router), fence))
    }

    fn tells(&self, whom: Unkept) {
        assert!(self.tells.set(whom).is_ok(), "once");
    }
}

/// What a router gets that takes room `r` without force.
fn taken(shelf: &Shelf, router: &str) -> Taken {
    let mut memory = shelf.memory.lock().unwrap();
    let by = memory.next("r", router);
    memory.take("r", by, false)
}

/// What happened to rooms.
type Facts = Arc<Mutex<Vec<KeepingFact>>>;

fn keeper(shelf: &Shelf, handover_ms: u64, homes: Option<Homes>) -> (Keeper, Facts) {
    let facts = Facts::default();
    let told = facts.clone();
    let observe: Observe = Arc::new(move |event| {
        if let Event::Keeping(fact) = event {
            told.lock().unwrap().push(fact);
        }
    });
    (Keeper::new(Box::new(shelf.clone()), Duration::from_millis(handover_ms), homes, observe), facts)
}

/// One shard whose rooms that keeper keeps.
fn shards(keeper: &Keeper) -> Shards {
    let acknowledge = Acknowledge::Here;
    let keeping = KeepingSettings { gather: Duration::from_millis(5), refresh: Duration::from_secs(40), acknowledge };
    let settings = Config::default().router_settings(Slice { seed: fastrand::u64(..), count: 1 }, &[7; 32]);
    let settings = Settings { keeping: Some(keeping), ..settings };
    let finder = RoomFinder { homes: None, keeper: Some(keeper.clone()) };
    let around = Surroundings { telemetry: telemetry(), faults: None, media: None, finder };
    let shards = Shards::start(vec![settings], ShardSettings::patient(Duration::from_secs(20)), &around);
    keeper.serve(shards.clone());
    shards
}

async fn make(shards: &Shards, room: &str) {
    let call =
        AdminCall::CreateRoom(v1::CreateRoomRequest { name: room.to_owned(), ..v1::CreateRoomRequest::default() });
    shards.admin("ops".to_owned(), call).await.unwrap();
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    timeout(Duration::from_secs(20), async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{what}"));
}

/// Room `r` is made, written, and its router is gone.
async fn left_behind(shelf: &Shelf) {
    let (keeper, _) = keeper(shelf, 0, None);
    let shards = shards(&keeper);
    make(&shards, "r").await;
    until("it is claimed and written", || shelf.calls() >= 2).await;
    keeper.finish(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn many_who_want_a_room_that_is_kept_bring_it_back_once() {
    let shelf = Shelf::of("a");
    left_behind(&shelf).await;
    let shelf = shelf.seen_by("b");
    let (keeper, facts) = keeper(&shelf, 0, None);
    let shards = shards(&keeper);
    let room = RoomId::from("r");
    let waits = (0..20).map(|_| keeper.bring_back(&room));
    futures_util::future::join_all(waits).await;
    // held, and then by force
    assert_eq!(shelf.calls(), 2);
    until("it is here", || shards.counts().rooms == 1).await;
    until("it is known to be here", || keeper.is_here(&room)).await;
    keeper.bring_back(&room).await;
    assert_eq!(facts.lock().unwrap().len(), 0, "what is restored the shard tells");
}

#[tokio::test]
async fn a_room_that_its_router_lets_go_of_meanwhile_is_not_taken_by_force() {
    let shelf = Shelf::of("a");
    left_behind(&shelf).await;
    let other = shelf.seen_by("b");
    let (keeper, _) = keeper(&other, 5_000, None);
    let begun = Instant::now();
    let room = RoomId::from("r");
    let letting_go = async {
        sleep(Duration::from_millis(50)).await;
        let last = Write { fence: 1, released: true, ..Write::default() };
        let mut memory = shelf.memory.lock().unwrap();
        let by = memory.next("r", "a");
        assert_eq!(memory.write("r", by, last), Written::Written);
    };
    let (kept, ()) = tokio::join!(keeper.take(&room), letting_go);
    assert_eq!(kept.unwrap().unwrap().fence, 2);
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_room_that_the_fleet_does_not_say_is_ours_is_left_to_who_has_it() {
    let shelf = Shelf::of("a");
    left_behind(&shelf).await;
    let (homes, _driver) = Homes::new(Duration::from_millis(1), Arc::new(|_| {}));
    let (keeper, facts) = keeper(&shelf.seen_by("b"), 20, Some(homes.clone()));
    let room = RoomId::from("r");
    assert_eq!(keeper.take(&room).await, Err(Unanswered));
    assert_eq!(*facts.lock().unwrap(), [KeepingFact::RoomHeld { room: room.clone(), owner: "a".to_owned() }]);
    assert_eq!(keeper.claim(&room).await, Answer::Held { owner: "a".to_owned() });
    homes.keep(room.clone(), true);
    assert!(matches!(keeper.take(&room).await, Ok(Some(_))));
}

#[tokio::test]
async fn writes_of_one_moment_go_together_and_of_one_room_one_after_the_other() {
    let shelf = Shelf::of("a");
    let (keeper, _) = keeper(&shelf, 0, None);
    let rooms: Vec<RoomId> = (0..20).map(|number| RoomId::from(format!("r{number}"))).collect();
    let write = |edition: u64| {
        let set = vec![("f".to_owned(), edition.to_string().into())];
        Ask::Write(Box::new(Write { edition, reset: edition == 1, set, ..Write::default() }))
    };
    for edition in 1..=2 {
        rooms.iter().for_each(|room| keeper.ask(room.clone(), Epoch(1), write(edition)));
    }
    keeper.ask(rooms[0].clone(), Epoch(1), Ask::End { fence: 0 });
    keeper.finish(Duration::from_secs(20)).await;
    let together = shelf.together.lock().unwrap().clone();
    assert!(together[0] == 20 && together.iter().sum::<usize>() == 40, "{together:?}");
    let memory = shelf.memory.lock().unwrap();
    assert_eq!(memory.stored("r0"), None, "it ended after that");
    for room in &rooms[1..] {
        assert_eq!(memory.stored(room.as_str()).map(|stored| stored.edition), Some(2));
    }
}

#[tokio::test]
async fn a_room_of_which_something_never_will_stand_is_written_again_at_once() {
    let shelf = Shelf::of("a");
    let (keeper, _) = keeper(&shelf, 0, None);
    let shards = shards(&keeper);
    make(&shards, "r").await;
    let stands = || shelf.memory.lock().unwrap().stored("r").is_some_and(|stored| !stored.fields.is_empty());
    until("it is claimed and written", stands).await;
    keeper.finish(Duration::from_secs(5)).await;
    shelf.memory.lock().unwrap().flush();
    (shelf.tells.get().unwrap())("r".into()).await;
    // and not only when it is written so that it stays
    until("it is written", stands).await;
}

#[tokio::test]
async fn a_room_that_has_just_ended_does_not_come_back() {
    let shelf = Shelf { takes_ms: 30, ..Shelf::of("a") };
    let (keeper, _) = keeper(&shelf, 0, None);
    let shards = shards(&keeper);
    make(&shards, "r").await;
    until("it is claimed and written", || shelf.calls() >= 2).await;
    keeper.finish(Duration::from_secs(5)).await;
    // its end fails once, and is tried again
    shelf.fails.store(1, SeqCst);
    let delete = AdminCall::DeleteRoom(v1::DeleteRoomRequest { room: "r".to_owned() });
    shards.admin("ops".to_owned(), delete).await.unwrap();
    keeper.bring_back(&RoomId::from("r")).await;
    assert_eq!(shards.counts().rooms, 0);
    keeper.finish(Duration::from_secs(5)).await;
    assert!(shelf.memory.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_last_write_that_fails_is_tried_again_and_told_when_it_never_stands() {
    let shelf = Shelf::of("a");
    left_behind(&shelf).await;
    let (keeper, facts) = keeper(&shelf, 0, None);
    let part = |text: &str| {
        let set = vec![("f".to_owned(), text.to_owned().into())];
        let write = Box::new(Write { fence: 1, released: true, set, ..Write::default() });
        Ask::Part(Last { write, owned: true, epoch: Epoch(1) })
    };
    shelf.fails.store(PARTS as usize - 1, SeqCst);
    keeper.ask("r".into(), Epoch(1), part("whole"));
    keeper.finish(Duration::from_secs(5)).await;
    let Taken::Kept(kept) = taken(&shelf, "b") else { panic!("let go of") };
    assert!(kept.fields.contains(&("f".to_owned(), "whole".into())));
    assert!(facts.lock().unwrap().is_empty());
    // b has it now: it lies beside what that one has
    keeper.ask("r".into(), Epoch(1), part("late"));
    keeper.finish(Duration::from_secs(5)).await;
    assert_eq!(*facts.lock().unwrap(), [KeepingFact::RoomSetBeside { room: "r".into(), sessions: 0 }]);
    let Taken::Kept(kept) = taken(&shelf, "b") else { panic!("b's") };
    assert_eq!((kept.branches.len(), kept.branches[0].0.starts_with("b:0000000000000001.")), (1, true));
    facts.lock().unwrap().clear();
    shelf.fails.store(PARTS as usize, SeqCst);
    keeper.ask("r".into(), Epoch(1), part("lost"));
    keeper.finish(Duration::from_secs(5)).await;
    assert_eq!(*facts.lock().unwrap(), [KeepingFact::RoomNotHandedOver { room: "r".into() }]);
}

#[tokio::test]
async fn who_resumes_hears_that_it_is_not_known_whether_the_room_is_kept_and_who_joins_goes_on() {
    let shelf = Shelf::of("a");
    left_behind(&shelf).await;
    let shelf = shelf.seen_by("b");
    let (keeper, _) = keeper(&shelf, 0, None);
    let shards = shards(&keeper);
    let finder = RoomFinder { homes: None, keeper: Some(keeper) };
    let room = RoomId::from("r");
    shelf.fails.store(2, SeqCst);
    assert!(finder.bring_back(&room, false).await.is_ok());
    let refused = finder.bring_back(&room, true).await.unwrap_err();
    assert_eq!((refused.code.name(), refused.code.reconnect()), ("room_unavailable", true));
    assert!(refused.retry_after_ms.is_some());
    // and it was not lost by asking
    assert!(finder.bring_back(&room, true).await.is_ok());
    until("it is here", || shards.counts().rooms == 1).await;
}
