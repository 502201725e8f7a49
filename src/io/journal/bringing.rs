//! What waits in the journal is brought to Redis: a room's writes in order, rooms beside each other.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    Inner, LANES, SHRINK_BYTES, UNASKED,
    disk::Change,
    entry::Entry,
    index::{Index, Waits},
    locked, released,
};
use crate::{
    event::JournalOutcome,
    fabric::{Write, Written},
    ids::RoomId,
    io::keeping::Unanswered,
    telemetry::{JournalFigures, Telemetry},
};

/// How often it is tried, and figures are told.
const EVERY: Duration = Duration::from_millis(250);
/// Rooms that may fail before the others wait for the next time.
const FAILED_MAX: usize = 32;
/// A write that is on its way to the disk is there after that, or soon.
const ON_THE_WAY: Duration = Duration::from_millis(2);
/// How often it is waited for.
const LOOKS_MAX: u32 = 1_000;

/// How long the disk may show nothing until rooms that are here write themselves instead: it is opened anew meanwhile.
const UNREAD_MAX: Duration = Duration::from_secs(2);
/// How often a room is brought from its beginning again, because Redis has lost what was brought before.
const LOST_MAX: u32 = 3;

/// Brings what waits, again and again.
pub(super) async fn run(journal: Weak<Inner>, telemetry: Arc<Telemetry>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(journal) = journal.upgrade() else { return };
        let figures = journal.index(|index| index.figures(Instant::now()));
        telemetry.set_journal(JournalFigures {
            rooms: figures.rooms,
            writes: figures.writes,
            bytes: figures.bytes,
            age: figures.age,
        });
        let mut rooms = journal.index(|index| index.rooms());
        // of several servers one may be away
        fastrand::shuffle(&mut rooms);
        let failed = AtomicUsize::new(0);
        stream::iter(rooms)
            .for_each_concurrent(LANES, async |room| {
                // it comes again, with the next tick
                if failed.load(Relaxed) < FAILED_MAX && journal.bring(&RoomId::from(room)).await.is_err() {
                    failed.fetch_add(1, Relaxed);
                }
            })
            .await;
    }
}

/// The last of a room is on its way; until this is dropped nothing is added to it.
struct Closing<'a> {
    journal: &'a Inner,
    room: &'a RoomId,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.journal.index(|index| index.close(self.room.as_str(), false));
    }
}

/// How much of a room is there: up to which write, and how many they are.
#[derive(Clone, Copy, Default)]
struct Brought {
    number: u64,
    writes: u64,
}

impl Inner {
    /// Nothing of the room waits here any more, once this is done.
    ///
    /// # Errors
    /// Redis did not answer, or the disk.
    pub(super) async fn bring(&self, room: &RoomId) -> Result<(), Unanswered> {
        if !self.index(|index| index.lies(room.as_str())) {
            return Ok(());
        }
        let _turn = self.lane(room).lock().await;
        let Some(waits) = self.index(|index| index.waits(room.as_str())) else { return Ok(()) };
        if waits.brought {
            self.take_out(room, waits.latest, (0, JournalOutcome::Brought)).await;
            return Ok(());
        }
        // what comes while the last of it is on its way waits, and then goes to Redis: else it might follow for ever
        let _closing = Closing { journal: self, room };
        let (mut at, mut lost, mut looks) = (Brought::default(), 0, 0);
        while let Some(Waits { latest, brings, .. }) = self.index(|index| index.waits(room.as_str())) {
            let Some(last) = brings else {
                self.let_go(room, JournalOutcome::Incomplete).await;
                return Ok(());
            };
            if at.number >= last {
                self.index(|index| index.close(room.as_str(), true));
                if self.index(|index| index.waits(room.as_str())).is_some_and(|waits| waits.brings > Some(last)) {
                    continue;
                }
                self.take_out(room, last, (at.writes, JournalOutcome::Brought)).await;
                if latest > last {
                    self.let_go(room, JournalOutcome::Incomplete).await;
                }
                return Ok(());
            }
            let writes = self.read(room, (at.number, last)).await?;
            looks = if writes.is_empty() { looks + 1 } else { 0 };
            if looks > LOOKS_MAX {
                self.let_go(room, JournalOutcome::Unreadable).await;
                return Ok(());
            }
            if writes.last().is_some_and(|(number, _)| *number >= last) {
                self.index(|index| index.close(room.as_str(), true));
            }
            match self.bring_these(room, writes, last, &mut at).await? {
                None => {}
                // from the whole with which it begins
                Some(JournalOutcome::Missing) if lost < LOST_MAX => (at, lost) = (Brought::default(), lost + 1),
                Some(outcome) => {
                    // nothing is added while it is put elsewhere
                    self.index(|index| index.close(room.as_str(), true));
                    let last = self.index(|index| index.waits(room.as_str())?.brings).unwrap_or(last);
                    let outcome = self.set_beside(room, (last, outcome)).await?;
                    self.let_go(room, outcome).await;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Writes of the room after one, up to another; none, after a moment: they are on their way to the disk.
    async fn read(&self, room: &RoomId, (after, last): (u64, u64)) -> Result<Vec<(u64, Bytes)>, Unanswered> {
        let Some(mut writes) = self.writer.read(room.as_str(), after).await else {
            // busy, or opened anew in a moment
            let since = *locked(&self.unread).get_or_insert_with(Instant::now);
            if since.elapsed() >= UNREAD_MAX {
                self.supersede(room).await?;
            }
            return Err(Unanswered);
        };
        *locked(&self.unread) = None;
        writes.retain(|(number, _)| *number <= last);
        if writes.is_empty() {
            sleep(ON_THE_WAY).await;
        }
        Ok(writes)
    }

    /// Brings these, up to the last of all; why one of them, and what follows it, never will be there.
    async fn bring_these(
        &self,
        room: &RoomId,
        writes: Vec<(u64, Bytes)>,
        last: u64,
        at: &mut Brought,
    ) -> Result<Option<JournalOutcome>, Unanswered> {
        for (number, bytes) in writes {
            let Ok(entry) = Entry::read(bytes) else { return Ok(Some(JournalOutcome::Unreadable)) };
            let (owner, fence, edition, ends) = (entry.owner.clone(), entry.fence, entry.edition, entry.ends);
            let written = match ends {
                true => self.end_these(&owner, room, fence).await?,
                false => self.carry_whole(&owner, room, entry.into_write()).await?,
            };
            match written {
                Written::Written | Written::Branched => {}
                // it has ended, or was another's by then
                Written::Missing | Written::Fenced { .. } if ends => {}
                Written::Missing => return Ok(Some(JournalOutcome::Missing)),
                Written::Fenced { .. } => return Ok(Some(JournalOutcome::Fenced)),
            }
            *at = Brought { number, writes: at.writes + 1 };
            if number == last && !ends && self.index(|index| index.is_left(room.as_str())) {
                // who wrote it is gone: whoever may want the room may have it
                self.carry(&owner, room, &released(fence, edition)).await?;
            }
        }
        Ok(None)
    }

    /// A room ended, under the fence that it was written under.
    async fn end_these(&self, owner: &str, room: &RoomId, fence: u64) -> Result<Written, Unanswered> {
        let known = locked(&self.fences).remove(room).filter(|_| fence == UNASKED);
        self.behind.end_as(owner, room, known.unwrap_or(fence)).await
    }

    /// The last word of a router has all of a room but its history: of a Redis that lost what it stands upon it is what there is.
    async fn carry_whole(&self, owner: &str, room: &RoomId, write: Write) -> Result<Written, Unanswered> {
        match self.carry(owner, room, &write).await? {
            Written::Missing if write.released => self.carry(owner, room, &Write { reset: true, ..write }).await,
            written => Ok(written),
        }
    }

    /// The disk does not show what is here. If Redis answers, all rooms that are here write all of themselves, which they have in memory;
    /// what is here counts no more once they have. What another process left is nowhere else, and waits for the disk.
    async fn supersede(&self, room: &RoomId) -> Result<(), Unanswered> {
        if self.index(|index| index.is_left(room.as_str())) {
            return Err(Unanswered);
        }
        self.behind.take(room, false).await?;
        for room in self.index(|index| index.here()) {
            let room = RoomId::from(room);
            let is_new = locked(&self.anew).insert(room.clone());
            if is_new {
                self.tell_its_room(&room).await;
            }
        }
        Ok(())
    }

    /// What is here of the room never gets to Redis; its room, if it is here, writes all of itself.
    async fn let_go(&self, room: &RoomId, outcome: JournalOutcome) {
        let Some(Waits { latest, .. }) = self.index(|index| index.waits(room.as_str())) else { return };
        self.take_out(room, latest, (0, outcome)).await;
        self.tell_its_room(room).await;
    }

    async fn tell_its_room(&self, room: &RoomId) {
        if let Some(tells) = self.tells.get() {
            tells(room.clone()).await;
        }
    }

    /// Writes up to there are done with; `count`: how many that are, if it is known. What cannot be taken out of the file goes with it,
    /// once nothing in it counts any more.
    async fn take_out(&self, room: &RoomId, up_to: u64, (count, outcome): (u64, JournalOutcome)) {
        if self.writer.change(Change::Forget { room: room.as_str().to_owned(), up_to }).await {
            *locked(&self.unread) = None;
            let (before, gone) = self.index(|index| (index.has(room.as_str()), index.forget(room.as_str(), up_to)));
            let count = if count > 0 { count } else { gone };
            self.tell(room, if before { count } else { 0 }, outcome);
            if self.index(|index| index.may_shrink(SHRINK_BYTES)) {
                self.writer.shrink();
            }
            return;
        }
        let gone = self.index(|index| index.brought(room.as_str(), up_to));
        self.tell(room, if count > 0 { count } else { gone }, outcome);
        if self.index(Index::goes) {
            let went = self.writer.clear().await;
            self.index(|index| index.gone(went));
        }
    }
}
