//! Keeps the rooms of this process outside of it, and brings back those that are kept and wanted here.
//!
//! What shards ask of a room is carried out in order, one at a time. Who wants into a room that is not here waits until it is known
//! whether one is kept, and no longer than `redis.timeout_ms` and, where another router has to hand it over, `redis.handover_ms`.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use ahash::{AHashMap, AHashSet};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Shared},
    stream::{BoxStream, FuturesUnordered},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{
    directory::Homes,
    fabric::{Fabric, Writes},
    journal::Behind,
    listener::Observe,
    shard::Shards,
};
use crate::{
    event::{Event, FabricOutcome, KeepingFact},
    fabric::{
        Answer, Ask, Fault, Kept, Last, Left, Taken, Write, Written,
        keeper::{self, Ending, Lanes, Next, Parted, Parting, SETTLED_MAX, Taking, Tried},
    },
    ids::{Epoch, RoomId},
};

/// Rooms that are looked for at a time; past it nobody waits for them.
const FETCHING_MAX: usize = 1_024;

/// How often a place for a call is waited for,
const PLACE_TRIES: u32 = 30;
/// and how long each time.
const PLACE_AGAIN: Duration = Duration::from_millis(10);

/// It did not answer, or with an error; it has told why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

/// Hears of rooms of which something that was said to be written does not stand, and never will.
pub type Unkept = Box<dyn Fn(RoomId) -> BoxFuture<'static, ()> + Send + Sync>;

/// Whoever keeps rooms. Each call ends within a bound of its own.
pub trait Store: Send + Sync + 'static {
    /// This router wants a room; what another has only if that let go of it, or by force.
    fn take<'a>(&'a self, room: &'a RoomId, force: bool) -> BoxFuture<'a, Result<Taken, Unanswered>>;
    /// The same, of a room that is here already, whatever is kept of it.
    fn claim<'a>(&'a self, room: &'a RoomId, force: bool) -> BoxFuture<'a, Result<Taken, Unanswered>> {
        self.take(room, force)
    }
    /// Writes of a room.
    fn write<'a>(&'a self, room: &'a RoomId, write: &'a Write) -> BoxFuture<'a, Result<Written, Unanswered>>;
    /// Writes of several rooms at one moment; of each what came of it, as soon as that is known, with its number.
    fn write_all<'a>(&'a self, writes: Writes<'a>) -> BoxStream<'a, (usize, Result<Written, Unanswered>)> {
        each(writes, |room, write| self.write(room, write))
    }
    /// Writes the last of a room whose sessions go elsewhere once it is where the next router looks for it.
    fn write_last<'a>(&'a self, room: &'a RoomId, write: &'a Write) -> BoxFuture<'a, Result<Written, Unanswered>> {
        self.write(room, write)
    }
    /// Puts all of a room that another router has beside it; whether there was a place for it.
    fn put_beside<'a>(&'a self, room: &'a RoomId, last: &'a Last) -> BoxFuture<'a, Result<bool, Unanswered>>;
    /// Nothing is kept of a room any more.
    fn end<'a>(&'a self, room: &'a RoomId, fence: u64) -> BoxFuture<'a, Result<Written, Unanswered>>;
    /// Whom to tell, once a process. One that says of no write that it stands before it does has nothing to tell.
    fn tells(&self, _whom: Unkept) {}
}

/// Each by itself, all at once.
pub(super) fn each<'a>(
    writes: Writes<'a>,
    write: impl Fn(&'a RoomId, &'a Write) -> BoxFuture<'a, Result<Written, Unanswered>>,
) -> BoxStream<'a, (usize, Result<Written, Unanswered>)> {
    let one = |(at, room, one)| write(room, one).map(move |written| (at, written));
    writes.into_iter().map(one).collect::<FuturesUnordered<_>>().boxed()
}

impl Store for Fabric {
    fn take<'a>(&'a self, room: &'a RoomId, force: bool) -> BoxFuture<'a, Result<Taken, Unanswered>> {
        self.take(room, force).map(told).boxed()
    }

    fn write<'a>(&'a self, room: &'a RoomId, write: &'a Write) -> BoxFuture<'a, Result<Written, Unanswered>> {
        self.write(room, write).map(told).boxed()
    }

    fn write_all<'a>(&'a self, writes: Writes<'a>) -> BoxStream<'a, (usize, Result<Written, Unanswered>)> {
        self.write_all(writes).map(|(at, written)| (at, told(written))).boxed()
    }

    fn put_beside<'a>(&'a self, room: &'a RoomId, last: &'a Last) -> BoxFuture<'a, Result<bool, Unanswered>> {
        self.put_beside(room, last.epoch, &last.write).map(told).boxed()
    }

    fn end<'a>(&'a self, room: &'a RoomId, fence: u64) -> BoxFuture<'a, Result<Written, Unanswered>> {
        self.end(room, fence).map(told).boxed()
    }
}

impl Behind for Fabric {
    fn write_as<'a>(
        &'a self,
        owner: &'a str,
        room: &'a RoomId,
        write: &'a Write,
    ) -> BoxFuture<'a, Result<Written, Unanswered>> {
        once_there_is_a_place(move || self.write_as(owner, room, write)).boxed()
    }

    fn end_as<'a>(
        &'a self,
        owner: &'a str,
        room: &'a RoomId,
        fence: u64,
    ) -> BoxFuture<'a, Result<Written, Unanswered>> {
        once_there_is_a_place(move || self.end_as(owner, room, fence)).boxed()
    }
}

/// That too many calls are under way says nothing of Redis: the journal is for what Redis does not take.
async fn once_there_is_a_place<T, F: Future<Output = Result<T, Fault>>>(call: impl Fn() -> F) -> Result<T, Unanswered> {
    for _ in 1..PLACE_TRIES {
        match call().await {
            Err(Fault { outcome: FabricOutcome::Full, .. }) => sleep(PLACE_AGAIN).await,
            answer => return told(answer),
        }
    }
    told(call().await)
}

fn told<T>(answer: Result<T, Fault>) -> Result<T, Unanswered> {
    answer.map_err(|_| Unanswered)
}

/// See the module.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    store: Box<dyn Store>,
    /// How long another router may take to hand a room over.
    handover: Duration,
    /// Says which rooms are this router's; absent: all that it has.
    homes: Option<Homes>,
    observe: Observe,
    shards: OnceLock<Shards>,
    /// Rooms that are here.
    here: RwLock<AHashSet<RoomId>>,
    fetching: Mutex<AHashMap<RoomId, Shared<BoxFuture<'static, bool>>>>,
    lanes: Mutex<Lanes>,
    /// Writes of this moment; there is a task that takes them.
    due: Mutex<Vec<Due>>,
    /// Told when nothing more is done about a room.
    ended: Notify,
}

/// A write that is to go.
struct Due {
    room: RoomId,
    epoch: Epoch,
    write: Box<Write>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("handover", &self.0.handover).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Keeps nothing before [`serve`](Self::serve). `handover`: how long another router may take to hand a room over.
    pub fn new(store: Box<dyn Store>, handover: Duration, homes: Option<Homes>, observe: Observe) -> Self {
        let (shards, here, fetching, lanes, due, ended) = Default::default();
        Self(Arc::new(Inner { store, handover, homes, observe, shards, here, fetching, lanes, due, ended }))
    }

    /// Whose rooms they are.
    pub fn serve(&self, shards: Shards) {
        // once a process
        self.0.shards.set(shards).ok();
        let keeper = Arc::downgrade(&self.0);
        self.0.store.tells(Box::new(move |room| {
            let shards = keeper.upgrade().and_then(|keeper| keeper.shards.get().cloned());
            async move {
                if let Some(shards) = shards {
                    shards.unkept(room).await;
                }
            }
            .boxed()
        }));
    }

    /// A room came to be here, or ended here.
    pub(crate) fn changed(&self, room: &RoomId, exists: bool) {
        let mut here = self.0.here.write().unwrap_or_else(PoisonError::into_inner);
        if exists {
            here.insert(room.clone());
        } else {
            here.remove(room);
        }
    }

    fn is_here(&self, room: &RoomId) -> bool {
        self.0.here.read().unwrap_or_else(PoisonError::into_inner).contains(room)
    }

    /// A room that is kept and not here is here when this is done, if that can be. Answers whether it is known that there is no other.
    pub(crate) async fn bring_back(&self, room: &RoomId) -> bool {
        if self.is_here(room) {
            return true;
        }
        let fetched = {
            let mut fetching = self.fetching();
            match fetching.get(room) {
                Some(fetched) => fetched.clone(),
                None if fetching.len() >= FETCHING_MAX => return false,
                None => {
                    let fetched = self.clone().fetch(room.clone()).boxed().shared();
                    fetching.insert(room.clone(), fetched.clone());
                    // it goes on when who asked first does not wait for it
                    tokio::spawn(fetched.clone());
                    fetched
                }
            }
        };
        fetched.await
    }

    async fn fetch(self, room: RoomId) -> bool {
        // one that ends here at this moment must not come back
        let settled = self.until(SETTLED_MAX, |lanes| !lanes.is_busy(&room)).await;
        let taken = if settled { self.take(&room).await } else { Err(Unanswered) };
        let is_known = taken.is_ok();
        if let (Ok(Some(kept)), Some(shards)) = (taken, self.0.shards.get()) {
            shards.restore(room.clone(), kept).await;
        }
        self.fetching().remove(&room);
        is_known
    }

    /// Takes a room that is kept; of another router that has it, once that has let go of it or had the time to. None: nothing is kept.
    async fn take(&self, room: &RoomId) -> Result<Option<Kept>, Unanswered> {
        let mut taking = Taking::new((Instant::now() + self.0.handover).into_std());
        let mut forced = false;
        loop {
            let taken = self.0.store.take(room, forced).await?;
            match taking.next(taken, Instant::now().into_std(), self.may_force(room)) {
                Next::Has(kept) => return Ok(kept),
                Next::Again { after, force } => {
                    sleep(after).await;
                    forced = force;
                }
                Next::Held { owner } => {
                    self.tell(KeepingFact::RoomHeld { room: room.clone(), owner });
                    return Err(Unanswered);
                }
            }
        }
    }

    /// Whether the fleet agrees that the room is this router's; without a fleet all rooms are.
    fn may_force(&self, room: &RoomId) -> bool {
        self.0.homes.as_ref().is_none_or(|homes| homes.keeps(room))
    }

    /// Does that about a room, after what was asked before.
    pub(crate) fn ask(&self, room: RoomId, epoch: Epoch, ask: Ask) {
        let next = self.lanes().ask(&room, (epoch, ask));
        if let Some(next) = next {
            self.begin(room, next);
        }
    }

    /// Writes of one moment go together.
    fn begin(&self, room: RoomId, next: (Epoch, Ask)) {
        match next {
            (epoch, Ask::Write(write)) => {
                let is_first = {
                    let mut due = self.due();
                    due.push(Due { room, epoch, write });
                    due.len() == 1
                };
                if is_first {
                    tokio::spawn(self.clone().write_due());
                }
            }
            next => drop(tokio::spawn(self.clone().work(room, next))),
        }
    }

    async fn write_due(self) {
        let due = std::mem::take(&mut *self.due());
        let writes = due.iter().enumerate().map(|(at, due)| (at, &due.room, &*due.write)).collect();
        // a shard that takes no answer holds up no room of another one
        let told = self.0.store.write_all(writes).for_each_concurrent(None, async |(at, written)| {
            let Due { room, epoch, .. } = &due[at];
            self.done(room, *epoch, Some(keeper::written(written.ok()))).await;
        });
        told.await;
    }

    async fn work(self, room: RoomId, (epoch, ask): (Epoch, Ask)) {
        let answer = self.carry_out(&room, ask).await;
        self.done(&room, epoch, answer).await;
    }

    /// Something about a room is done; what was asked about it after that is next.
    async fn done(&self, room: &RoomId, epoch: Epoch, answer: Option<Answer>) {
        if let (Some(answer), Some(shards)) = (answer, self.0.shards.get()) {
            shards.kept(room.clone(), epoch, answer).await;
        }
        let next = self.lanes().next(room);
        match next {
            Some(next) => self.begin(room.clone(), next),
            None => self.0.ended.notify_waiters(),
        }
    }

    async fn carry_out(&self, room: &RoomId, ask: Ask) -> Option<Answer> {
        match ask {
            Ask::Claim => Some(self.claim(room).await),
            Ask::Write(write) => Some(keeper::written(self.0.store.write(room, &write).await.ok())),
            Ask::Look => Some(keeper::claimed(self.0.store.take(room, false).await.ok())),
            Ask::Leave(last) => Some(self.part(room, last, true).await.map_or(Answer::Failed, Answer::Left)),
            Ask::Part(last) => {
                match self.part(room, last, false).await {
                    Some(Left::Beside) => self.tell(KeepingFact::RoomSetBeside { room: room.clone(), sessions: 0 }),
                    Some(Left::Written) | None => {}
                }
                None
            }
            Ask::End { fence } => {
                self.end(room, fence).await;
                None
            }
        }
    }

    /// A room that is here is not taken back from another router on the word of a directory that was not heard of for long.
    async fn claim(&self, room: &RoomId) -> Answer {
        let force = self.may_force(room) && self.0.homes.as_ref().is_none_or(Homes::counts);
        keeper::claimed(self.0.store.claim(room, force).await.ok())
    }

    /// The last write of a room; where it is, if it is anywhere. `waits`: the room goes on here until it is where others look for it.
    async fn part(&self, room: &RoomId, mut last: Last, waits: bool) -> Option<Left> {
        let mut parting = Parting::new(last.owned);
        loop {
            let tried = match (parting.is_beside(), waits) {
                (true, _) => self.0.store.put_beside(room, &last).await.map(Tried::Put),
                (false, true) => self.0.store.write_last(room, &last.write).await.map(Tried::Wrote),
                (false, false) => self.0.store.write(room, &last.write).await.map(Tried::Wrote),
            };
            let tried = tried.unwrap_or(Tried::Unanswered);
            match parting.next(&tried) {
                Parted::Stands(left) => return Some(left),
                Parted::Again { after, reset } => {
                    last.write.reset |= reset;
                    sleep(after).await;
                }
                Parted::Lost => {
                    // one that waits for Redis to be back is not lost; one that finds no place there is told of each time
                    if !waits || tried == Tried::Put(false) {
                        self.tell(KeepingFact::RoomNotHandedOver { room: room.clone() });
                    }
                    return None;
                }
            }
        }
    }

    /// Nothing is kept of a room that ended: it would come back. What cannot be ended ends by itself, when nobody has written it
    /// for long.
    async fn end(&self, room: &RoomId, fence: u64) {
        let mut ending = Ending::default();
        while let Some(after) = ending.next(self.0.store.end(room, fence).await.is_ok()) {
            sleep(after).await;
        }
    }

    /// Waits until all that was asked is done, but not for ever.
    pub async fn finish(&self, longest: Duration) {
        self.until(longest, |lanes| lanes.is_empty()).await;
    }

    /// Waits until that holds of what is being done, but not for ever; answers whether it does.
    async fn until(&self, longest: Duration, holds: impl Fn(&Lanes) -> bool) -> bool {
        let waits = async {
            loop {
                let ended = self.0.ended.notified();
                if holds(&self.lanes()) {
                    return;
                }
                ended.await;
            }
        };
        timeout(longest, waits).await.is_ok()
    }

    fn tell(&self, fact: KeepingFact) {
        (self.0.observe)(Event::Keeping(fact));
    }

    fn fetching(&self) -> MutexGuard<'_, AHashMap<RoomId, Shared<BoxFuture<'static, bool>>>> {
        self.0.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self) -> MutexGuard<'_, Vec<Due>> {
        self.0.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
