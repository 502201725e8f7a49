//! Where rooms are, for those who want into one: rooms that are known to be here are found at once, others are asked for.
//!
//! Nothing but an opening asks, and none waits longer than `etcd.room_wait_ms`: past it a router goes by what it has.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use ahash::{AHashMap, AHashSet};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};

use crate::{
    directory::{Holder, Home},
    event::{DirectoryFact, Event, HomeFound},
    ids::{RoomId, RouterId},
    io::{finder::Elsewhere, listener::Observe},
    protocol::Refusal,
};

/// Openings that wait to hear where a room is; past it they do not.
const ASKING_MAX: usize = 1_024;

/// A question that waits for its answer.
pub(super) struct Asking {
    pub(super) room: RoomId,
    pub(super) founds: bool,
    pub(super) answer: oneshot::Sender<Home>,
}

/// What the driver is asked and told, in its order.
pub(super) enum Asked {
    Home(Asking),
    /// Nobody listens where that router should.
    Refused(RouterId),
}

/// The driver's end of it.
pub struct HomesDriver {
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) homes: Homes,
}

impl fmt::Debug for HomesDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HomesDriver").finish_non_exhaustive()
    }
}

/// See the module.
#[derive(Clone)]
pub struct Homes(Arc<Shared>);

struct Shared {
    /// Rooms that joins go on into without asking.
    kept: RwLock<AHashSet<RoomId>>,
    /// Rooms that came to be here, or ended here, and whose last word the driver has not taken yet: as many as there are rooms at most.
    changes: Mutex<AHashMap<RoomId, bool>>,
    changed: Notify,
    asks: mpsc::Sender<Asked>,
    /// Whether the others still count on this router, as far as it knows.
    counts: AtomicBool,
    wait: Duration,
    observe: Observe,
}

impl fmt::Debug for Homes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Homes").field("wait", &self.0.wait).finish_non_exhaustive()
    }
}

impl Homes {
    /// Nothing is known yet. Who asks waits that long at most.
    pub fn new(wait: Duration, observe: Observe) -> (Self, HomesDriver) {
        let (asks, asked) = mpsc::channel(ASKING_MAX);
        let (kept, changes, changed) = Default::default();
        let counts = AtomicBool::new(true);
        let homes = Self(Arc::new(Shared { kept, changes, changed, asks, counts, wait, observe }));
        (homes.clone(), HomesDriver { asked, homes })
    }

    /// Whether another router has a room that somebody wants into. `founds`: who comes in makes it where it is not.
    pub(crate) async fn elsewhere(&self, room: &RoomId, founds: bool) -> Option<Elsewhere> {
        let home = if self.keeps(room) { Home::Here } else { self.ask(room, founds).await };
        let (found, elsewhere) = match home {
            Home::Here => (HomeFound::Here, None),
            Home::There(Holder { router, url, relay_url }) => {
                let refusal = Refusal::elsewhere(router.as_str(), &url);
                (HomeFound::Elsewhere, Some(Elsewhere { router, relay_url, refusal }))
            }
            Home::Nowhere => (HomeFound::Nowhere, None),
            Home::Unknown => (HomeFound::Unknown, None),
        };
        (self.0.observe)(Event::Directory(DirectoryFact::RoomSought { found }));
        elsewhere
    }

    async fn ask(&self, room: &RoomId, founds: bool) -> Home {
        let (answer, answered) = oneshot::channel();
        let asking = Asking { room: room.clone(), founds, answer };
        if self.0.asks.try_send(Asked::Home(asking)).is_err() {
            return Home::Unknown;
        }
        match timeout(self.0.wait, answered).await {
            Ok(Ok(home)) => home,
            // too late, or the driver ended
            Ok(Err(_)) | Err(_) => Home::Unknown,
        }
    }

    /// Nobody listens where that router should. Who asks from now on hears what follows from it.
    pub(in crate::io) fn refused(&self, router: &RouterId) {
        // with no place for it, as with none for a question, things are as they were
        self.0.asks.try_send(Asked::Refused(router.clone())).ok();
    }

    /// Whether the room is known to be this router's.
    pub(crate) fn keeps(&self, room: &RoomId) -> bool {
        self.0.kept.read().unwrap_or_else(PoisonError::into_inner).contains(room)
    }

    /// Whether what is known of whose rooms are can still be so: who is not heard of for half a lease has them taken from it.
    pub(crate) fn counts(&self) -> bool {
        self.0.counts.load(Relaxed)
    }

    pub(in crate::io) fn set_counts(&self, counts: bool) {
        self.0.counts.store(counts, Relaxed);
    }

    pub(in crate::io) fn keep(&self, room: RoomId, kept: bool) {
        let mut all = self.0.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept {
            all.insert(room);
        } else {
            all.remove(&room);
        }
    }

    /// A room came to be here, or ended here.
    pub(crate) fn changed(&self, room: &RoomId, exists: bool) {
        self.changes().insert(room.clone(), exists);
        self.0.changed.notify_one();
    }

    fn changes(&self) -> MutexGuard<'_, AHashMap<RoomId, bool>> {
        // one map, changed at once
        self.0.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until rooms came or ended, and says which.
    pub(super) async fn changes_of_rooms(&self) -> Vec<(RoomId, bool)> {
        loop {
            let changes = std::mem::take(&mut *self.changes());
            if !changes.is_empty() {
                return changes.into_iter().collect();
            }
            self.0.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes() -> (Homes, HomesDriver, Arc<Mutex<Vec<HomeFound>>>) {
        let told = Arc::<Mutex<Vec<HomeFound>>>::default();
        let sink = told.clone();
        let observe: Observe = Arc::new(move |event| {
            if let Event::Directory(DirectoryFact::RoomSought { found }) = event {
                sink.lock().unwrap().push(found);
            }
        });
        let (homes, driver) = Homes::new(Duration::from_millis(20), observe);
        (homes, driver, told)
    }

    #[tokio::test]
    async fn a_room_that_is_known_to_be_here_is_not_asked_for() {
        let (homes, mut driver, told) = homes();
        homes.keep("r".into(), true);
        assert_eq!(homes.elsewhere(&"r".into(), true).await, None);
        assert!(driver.asked.try_recv().is_err());
        homes.keep("r".into(), false);
        assert_eq!(homes.elsewhere(&"r".into(), true).await, None, "nobody answers: too late");
        assert!(driver.asked.try_recv().is_ok());
        assert_eq!(*told.lock().unwrap(), [HomeFound::Here, HomeFound::Unknown]);
    }

    #[tokio::test]
    async fn who_asks_is_sent_to_the_router_that_has_it_and_more_questions_than_may_wait_do_not_wait() {
        let (homes, mut driver, told) = homes();
        let answering = tokio::spawn(async move {
            let Some(Asked::Home(Asking { room, founds, answer })) = driver.asked.recv().await else { panic!() };
            assert_eq!((room.as_str(), founds), ("r", true));
            let (url, relay_url) = ("wss://b".to_owned(), "http://b:7090".to_owned());
            answer.send(Home::There(Holder { router: "b".into(), url, relay_url })).unwrap();
            driver
        });
        let Elsewhere { router, relay_url, refusal } = homes.elsewhere(&"r".into(), true).await.unwrap();
        assert_eq!((router.as_str(), relay_url.as_str()), ("b", "http://b:7090"));
        assert_eq!((refusal.code.name(), refusal.url.as_deref()), ("room_elsewhere", Some("wss://b")));
        let _driver = answering.await.unwrap();
        for _ in 0..ASKING_MAX {
            let (answer, _) = oneshot::channel();
            homes.0.asks.try_send(Asked::Home(Asking { room: "x".into(), founds: false, answer })).ok().unwrap();
        }
        assert_eq!(homes.elsewhere(&"r".into(), true).await, None);
        assert_eq!(*told.lock().unwrap(), [HomeFound::Elsewhere, HomeFound::Unknown]);
    }

    #[tokio::test]
    async fn of_many_changes_of_a_room_the_last_is_told() {
        let (homes, _driver, _) = homes();
        [true, false, true, false].into_iter().for_each(|exists| homes.changed(&"r".into(), exists));
        homes.changed(&"s".into(), true);
        let mut told = homes.changes_of_rooms().await;
        told.sort();
        assert_eq!(told, [("r".into(), false), ("s".into(), true)]);
        assert!(timeout(Duration::from_millis(5), homes.changes_of_rooms()).await.is_err());
    }
}
