//! Writes of rooms that Redis did not take lie on this router's disk until it does, in order: a store of rooms around the one that
//! is Redis.
//!
//! From the first write of a room that Redis did not take all of that room goes here, until what is here was brought there. The
//! first says all of the room (whoever writes it is told that nothing of it is kept), so that it can be brought also to a Redis
//! that has lost it, and from its beginning to one that loses it meanwhile. It is taken out when all of it is there. What comes a
//! second time, as of a file that could not be written to, changes nothing where a later write of its router's stands.
//!
//! What never will be there, though it was said to be kept, its room hears of, if it is here, and writes all of itself.
//!
//! What a process left behind that was killed is brought as what it was: in its name, under its fence. Its rooms are let go of
//! then, for whoever wants them; one that is wanted here before Redis answers goes on with what is here.

mod bringing;
mod disk;
mod entry;
mod index;
mod left;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    borrow::Cow,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use ahash::{AHashMap, AHashSet};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::sync::Mutex as Turn;

pub use self::disk::Unopened;
use self::{
    disk::Change,
    entry::Entry,
    index::{Index, Untaken, Waits},
    writer::{Place, Writer},
};
use super::{
    clock,
    fabric::Writes,
    keeping::{Store, Unanswered, Unkept, each},
    listener::Observe,
};
use crate::{
    event::{Event, JournalFact, JournalOutcome},
    fabric::{Kept, Last, ROOM_FIELD, RoomKept, Taken, Write, Written},
    ids::RoomId,
    router::slice_of,
    telemetry::Telemetry,
};

/// Rooms are brought in so many lanes: of one room one at a time, of all rooms so many at once.
const LANES: usize = 32;
/// That much may have lain in the file before the disk has its place back.
const SHRINK_BYTES: u64 = 4 << 20;
/// In the place of a fence that could not be asked for, until it is.
const UNASKED: u64 = 0;

/// Whoever keeps rooms, and can be written to in another's name.
pub trait Behind: Store {
    /// Writes of a room, as that router.
    fn write_as<'a>(
        &'a self,
        owner: &'a str,
        room: &'a RoomId,
        write: &'a Write,
    ) -> BoxFuture<'a, Result<Written, Unanswered>>;

    /// Nothing is kept of a room any more, as that router says.
    fn end_as<'a>(&'a self, owner: &'a str, room: &'a RoomId, fence: u64)
    -> BoxFuture<'a, Result<Written, Unanswered>>;
}

/// What the journal is.
#[derive(Clone, Debug)]
pub struct JournalSettings {
    /// The folder that its file is in.
    pub folder: PathBuf,
    /// What tells its rooms from those of others: where in Redis they are.
    pub of: String,
    /// As whom this router has rooms.
    pub router: String,
    /// Bytes of writes in it.
    pub bytes_max: u64,
    /// Whether it takes any; else it only brings what an earlier process left.
    pub takes: bool,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    behind: Box<dyn Behind>,
    router: String,
    takes: bool,
    writer: Writer,
    index: Mutex<Index>,
    /// Rooms whose next write is to be of all that is known of them, and comes here.
    wanted: Mutex<AHashSet<RoomId>>,
    /// Rooms of which the disk does not show what is here, and that write all of themselves to Redis next.
    anew: Mutex<AHashSet<RoomId>>,
    /// What the fence of a room became that could not be asked for.
    fences: Mutex<AHashMap<RoomId, u64>>,
    lanes: [Turn<()>; LANES],
    /// Since when the file can neither be read nor anything be taken out of it.
    unread: Mutex<Option<Instant>>,
    /// Whom to tell that something never will be there.
    tells: OnceLock<Unkept>,
    observe: Observe,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("takes", &self.0.takes).finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens the file, and finds what an earlier process left in it.
    ///
    /// # Errors
    /// Another process has the file, the disk says no, or the system gives no thread.
    pub fn open(settings: JournalSettings, behind: Box<dyn Behind>, observe: Observe) -> Result<Self, Unopened> {
        let place = Place { folder: settings.folder.clone(), of: settings.of.clone() };
        let disk = place.open(&observe)?;
        Self::over(disk, place, settings, (behind, observe))
    }

    fn over(
        disk: disk::Disk,
        place: Place,
        settings: JournalSettings,
        (behind, observe): (Box<dyn Behind>, Observe),
    ) -> Result<Self, Unopened> {
        let failed = |error: String| Unopened::Failed(settings.folder.clone(), error);
        let index = found(&disk, settings.bytes_max).map_err(|error| failed(error.to_string()))?;
        let left = index.figures(Instant::now());
        let writer = Writer::start(disk, place, observe.clone()).map_err(|error| failed(error.to_string()))?;
        if left.writes > 0 {
            observe(Event::Journal(JournalFact::Found { writes: left.writes, rooms: left.rooms }));
        }
        Ok(Self(Arc::new(Inner {
            behind,
            router: settings.router,
            takes: settings.takes,
            writer,
            index: Mutex::new(index),
            wanted: Mutex::default(),
            anew: Mutex::default(),
            fences: Mutex::default(),
            lanes: [const { Turn::const_new(()) }; LANES],
            unread: Mutex::default(),
            tells: OnceLock::new(),
            observe,
        })))
    }

    /// Brings what waits to Redis once that answers, and tells figures. Ends when nobody else has the journal any more.
    pub fn run(&self, telemetry: &Arc<Telemetry>) {
        tokio::spawn(bringing::run(Arc::downgrade(&self.0), telemetry.clone()));
    }
}

/// What is in the file.
fn found(disk: &disk::Disk, bytes_max: u64) -> Result<Index, redb::Error> {
    let mut index = Index::new(bytes_max);
    let (now, unix_ms) = (Instant::now(), clock::unix_ms());
    disk.each(|room, number, bytes| {
        let size = bytes.len();
        // one that cannot be read is let go of when its turn comes
        let read = Entry::read(bytes).ok();
        let age = read.as_ref().map_or(0, |entry| unix_ms.saturating_sub(entry.at_unix_ms));
        let since = now.checked_sub(Duration::from_millis(age)).unwrap_or(now);
        index.found(room, number, size, (since, read.and_then(|entry| entry.whole())));
    })?;
    Ok(index)
}

impl Store for Journal {
    fn take<'a>(&'a self, room: &'a RoomId, force: bool) -> BoxFuture<'a, Result<Taken, Unanswered>> {
        self.0.take(room, force).boxed()
    }

    fn claim<'a>(&'a self, room: &'a RoomId, force: bool) -> BoxFuture<'a, Result<Taken, Unanswered>> {
        self.0.claim(room, force).boxed()
    }

    fn write<'a>(&'a self, room: &'a RoomId, write: &'a Write) -> BoxFuture<'a, Result<Written, Unanswered>> {
        self.0.write(room, write).boxed()
    }

    fn write_all<'a>(&'a self, writes: Writes<'a>) -> BoxStream<'a, (usize, Result<Written, Unanswered>)> {
        self.0.write_all(writes)
    }

    fn write_last<'a>(&'a self, room: &'a RoomId, write: &'a Write) -> BoxFuture<'a, Result<Written, Unanswered>> {
        self.0.write_last(room, write).boxed()
    }

    fn put_beside<'a>(&'a self, room: &'a RoomId, last: &'a Last) -> BoxFuture<'a, Result<bool, Unanswered>> {
        self.0.put_beside(room, last).boxed()
    }

    fn end<'a>(&'a self, room: &'a RoomId, fence: u64) -> BoxFuture<'a, Result<Written, Unanswered>> {
        self.0.end(room, fence).boxed()
    }

    fn tells(&self, whom: Unkept) {
        // once a process
        self.0.tells.set(whom).ok();
    }
}

impl Inner {
    /// What is here of the room goes first; while that cannot be brought, the room may go on with it.
    async fn take(&self, room: &RoomId, force: bool) -> Result<Taken, Unanswered> {
        let taken = match self.bring(room).await {
            Ok(()) => self.behind.take(room, force).await,
            Err(Unanswered) => Err(Unanswered),
        };
        if taken.is_err() {
            return self.go_on(room).await.ok_or(Unanswered);
        }
        // who looks whether anything lies beside a room goes on under what it was told
        if let (Some(known), Ok(Taken::Nothing { fence } | Taken::Kept(Kept { fence, .. }))) =
            (locked(&self.fences).get_mut(room), &taken)
        {
            *known = *fence;
        }
        locked(&self.wanted).remove(room);
        locked(&self.anew).remove(room);
        taken
    }

    /// A room that is here is kept also when Redis cannot be asked for it.
    async fn claim(&self, room: &RoomId, force: bool) -> Result<Taken, Unanswered> {
        match self.take(room, force).await {
            Err(Unanswered) if self.takes => {
                locked(&self.fences).remove(room);
                Ok(Taken::Nothing { fence: UNASKED })
            }
            taken => {
                locked(&self.fences).remove(room);
                taken
            }
        }
    }

    async fn write(&self, room: &RoomId, write: &Write) -> Result<Written, Unanswered> {
        let (anew, wanted) = (locked(&self.anew).contains(room), locked(&self.wanted).contains(room));
        if (anew || wanted) && !write.reset && !write.released {
            return Ok(Written::Missing);
        }
        if anew && let Ok(written) = self.carry(&self.router, room, write).await {
            if written != Written::Missing {
                self.superseded(room);
            }
            return Ok(written);
        }
        // the disk may show it again before Redis answers
        locked(&self.anew).remove(room);
        let begins = write.reset && locked(&self.wanted).remove(room);
        if begins || self.index(|index| index.has(room.as_str())) {
            match self.append(room, Entry::of(&self.router, clock::unix_ms(), write), begins).await {
                Ok(()) => return Ok(Written::Written),
                Err(NotHere::Refused) => return Err(Unanswered),
                // brought meanwhile: what it was to follow is there
                Err(NotHere::Gone) => {}
            }
        }
        let carried = self.carry(&self.router, room, write).await;
        if write.released {
            locked(&self.fences).remove(room);
        }
        self.carried(room, write, carried).await
    }

    /// Those of rooms of which nothing is here go to Redis together.
    fn write_all<'a>(&'a self, writes: Writes<'a>) -> BoxStream<'a, (usize, Result<Written, Unanswered>)> {
        let (straight, others): (Writes<'a>, Writes<'a>) = {
            let (anew, wanted, index) = (locked(&self.anew), locked(&self.wanted), locked(&self.index));
            writes.into_iter().partition(|(_, room, write)| {
                let is_here = anew.contains(*room) || wanted.contains(*room) || index.has(room.as_str());
                !is_here && !write.released && write.fence != UNASKED
            })
        };
        let of: AHashMap<usize, (&RoomId, &Write)> =
            straight.iter().map(|(at, room, write)| (*at, (*room, *write))).collect();
        let lanes = straight.len().max(1);
        let straight = self.behind.write_all(straight).map(move |(at, written)| {
            let untaken = written.is_err().then(|| of.get(&at).copied()).flatten();
            async move {
                match untaken {
                    Some((room, write)) => (at, self.carried(room, write, Err(Unanswered)).await),
                    None => (at, written),
                }
            }
        });
        let others = each(others, |room, write| self.write(room, write).boxed());
        stream::select(straight.buffer_unordered(lanes), others).boxed()
    }

    /// What follows from what came of a write at Redis.
    async fn carried(
        &self,
        room: &RoomId,
        write: &Write,
        carried: Result<Written, Unanswered>,
    ) -> Result<Written, Unanswered> {
        match carried {
            Err(Unanswered) if !self.takes || !self.index(|index| index.takes()) => Err(Unanswered),
            // nobody asks for the last word of a router once more
            Err(Unanswered) if write.reset || write.released => {
                let entry = Entry::of(&self.router, clock::unix_ms(), write);
                self.append(room, entry, true).await.map(|()| Written::Written).map_err(|_| Unanswered)
            }
            Err(Unanswered) => {
                locked(&self.wanted).insert(room.clone());
                Ok(Written::Missing)
            }
            written => written,
        }
    }

    /// The other router looks for it in Redis: here it would not be found.
    async fn write_last(&self, room: &RoomId, write: &Write) -> Result<Written, Unanswered> {
        let anew = self.brings_first(room).await?;
        if anew && !write.reset {
            return Ok(Written::Missing);
        }
        let carried = self.carry(&self.router, room, write).await?;
        if anew && carried != Written::Missing {
            self.superseded(room);
        }
        if carried.stands() {
            locked(&self.fences).remove(room);
            locked(&self.wanted).remove(room);
        }
        Ok(carried)
    }

    /// What is here of the room goes first, as far as it is still this router's.
    async fn put_beside(&self, room: &RoomId, last: &Last) -> Result<bool, Unanswered> {
        let anew = self.brings_first(room).await?;
        let put = self.behind.put_beside(room, last).await?;
        if anew && put {
            self.superseded(room);
        }
        locked(&self.fences).remove(room);
        locked(&self.wanted).remove(room);
        locked(&self.anew).remove(room);
        Ok(put)
    }

    /// Brings what is here of a room, unless the disk does not show it: then all of the room goes in its place, and that is what this answers.
    async fn brings_first(&self, room: &RoomId) -> Result<bool, Unanswered> {
        let anew = locked(&self.anew).contains(room);
        if !anew {
            self.bring(room).await?;
        }
        Ok(anew)
    }

    async fn end(&self, room: &RoomId, fence: u64) -> Result<Written, Unanswered> {
        locked(&self.wanted).remove(room);
        locked(&self.anew).remove(room);
        let fence = locked(&self.fences).remove(room).filter(|_| fence == UNASKED).unwrap_or(fence);
        let (lies, has) = self.index(|index| (index.lies(room.as_str()), index.has(room.as_str())));
        // also after what counts no more: brought a second time, it would make the room again
        if lies {
            match self.append(room, Entry::of_end(&self.router, clock::unix_ms(), fence), !has).await {
                Ok(()) => return Ok(Written::Written),
                Err(NotHere::Refused) if has => return Err(Unanswered),
                Err(NotHere::Refused | NotHere::Gone) => {}
            }
        }
        self.behind.end(room, fence).await
    }

    /// All of a room was written to Redis itself, or is another router's: what is here of it counts no more.
    fn superseded(&self, room: &RoomId) {
        locked(&self.anew).remove(room);
        let writes = self.index(|index| match index.waits(room.as_str()) {
            Some(Waits { latest, .. }) => index.brought(room.as_str(), latest),
            None => 0,
        });
        self.tell(room, writes, JournalOutcome::Superseded);
    }

    /// Writes to Redis in that router's name. The fence of a room that could not be asked for is asked for first: under none that is made
    /// up is a room written.
    async fn carry(&self, owner: &str, room: &RoomId, write: &Write) -> Result<Written, Unanswered> {
        let known = locked(&self.fences).get(room).copied();
        let fence = match known {
            _ if write.fence != UNASKED || owner != self.router => write.fence,
            Some(fence) => fence,
            None => match self.behind.take(room, false).await? {
                // it is to be claimed, and comes into the room that is here; or nobody here has it, and what is here comes into that
                Taken::Kept(kept) if is_another_life(&kept, write) => {
                    if write.released || self.index(|index| index.is_left(room.as_str())) {
                        self.behind.write(room, &released(kept.fence, kept.edition)).await?;
                    }
                    return Ok(Written::Fenced { owner: self.router.clone() });
                }
                Taken::Nothing { fence } | Taken::Kept(Kept { fence, .. }) => {
                    locked(&self.fences).insert(room.clone(), fence);
                    fence
                }
                Taken::Held { owner } => return Ok(Written::Fenced { owner }),
            },
        };
        self.behind.write_as(owner, room, &under(fence, write)).await
    }

    /// One more write of the room; `begins`: also if nothing of it is here.
    async fn append(&self, room: &RoomId, entry: Entry, begins: bool) -> Result<(), NotHere> {
        let (bytes, whole, ends) = (entry.bytes(), entry.whole(), entry.ends);
        let number = loop {
            let reserved =
                self.index(|index| index.reserve(room.as_str(), (bytes.len(), whole, ends), begins, Instant::now()));
            match reserved {
                Ok(number) => break number,
                Err(Untaken::Elsewhere) => return Err(NotHere::Gone),
                // the last of it is on its way
                Err(Untaken::Closing) => drop(self.lane(room).lock().await),
                Err(Untaken::Full) => {
                    self.tell(room, 1, JournalOutcome::Full);
                    return Err(NotHere::Refused);
                }
            }
        };
        let change = Change::Append { room: room.as_str().to_owned(), number, bytes };
        if self.writer.change(change).await {
            self.tell(room, 1, JournalOutcome::Appended);
            return Ok(());
        }
        self.index(|index| index.missed(room.as_str(), number));
        self.tell(room, 1, JournalOutcome::Failed);
        Err(NotHere::Refused)
    }

    fn lane(&self, room: &RoomId) -> &Turn<()> {
        &self.lanes[slice_of(room, LANES)]
    }

    fn tell(&self, room: &RoomId, writes: u64, outcome: JournalOutcome) {
        if writes > 0 {
            (self.observe)(Event::Journal(JournalFact::Ended { room: room.clone(), writes, outcome }));
        }
    }

    fn index<T>(&self, with: impl FnOnce(&mut Index) -> T) -> T {
        with(&mut locked(&self.index))
    }
}

/// A write is not in the journal.
enum NotHere {
    /// Nothing of its room is any more: it goes to Redis.
    Gone,
    /// It is full, or the disk did not do it.
    Refused,
}

/// Whether what stands is another life of the room than the one that is to be written as a whole.
fn is_another_life(kept: &Kept, write: &Write) -> bool {
    let epoch = |fields: &[(String, bytes::Bytes)]| {
        let (_, record) = fields.iter().find(|(name, _)| name == ROOM_FIELD)?;
        Some(RoomKept::read(record).ok()?.epoch)
    };
    epoch(&kept.fields).zip(epoch(&write.set)).is_some_and(|(there, here)| there != here)
}

/// Whoever wants the room may have it, after that write of it.
fn released(fence: u64, edition: u64) -> Write {
    Write { fence, edition, released: true, unless_later: true, ..Write::default() }
}

/// The same write under that fence.
fn under(fence: u64, write: &Write) -> Cow<'_, Write> {
    if fence == write.fence { Cow::Borrowed(write) } else { Cow::Owned(Write { fence, ..write.clone() }) }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    // each of them is changed at once
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
