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

use super::{Inner, LANES, SHRINK_BYTES, UNASKED, disk::Change, entry::Entry, index::Index, locked};
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

/// How long the disk may show nothing before it counts as one that will not: shorter than until it is opened anew, with nothing in it.
const UNREAD_MAX: Duration = Duration::from_millis(500);

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

/// What came of one write.
enum Came {
    /// It is there.
    Brought,
    /// It, and what follows it, never will be.
    Never(JournalOutcome),
}

impl Inner {
    /// Nothing of the room waits here any more, once this is done.
    ///
    /// # Errors
    /// Redis did not answer, or the disk.
    pub(super) async fn bring(&self, room: &RoomId) -> Result<(), Unanswered> {
        if !self.index(|index| index.has(room.as_str())) {
            return Ok(());
        }
        let _turn = self.lane(room).lock().await;
        let (left, whole) = self.index(|index| index.standing(room.as_str()));
        if left && !whole {
            return self.let_go(room, JournalOutcome::Incomplete).await;
        }
        // what comes while the last of it is on its way waits, and then goes to Redis: else it might follow for ever
        let _closing = Closing { journal: self, room };
        let mut looks = 0;
        while let Some(latest) = self.index(|index| index.latest(room.as_str())) {
            let Some(writes) = self.writer.read(room.as_str()).await else {
                // busy, or opened anew in a moment
                let since = *locked(&self.unread).get_or_insert_with(Instant::now);
                return if since.elapsed() < UNREAD_MAX { Err(Unanswered) } else { self.supersede(room).await };
            };
            let Some((last, _)) = writes.last() else {
                looks += 1;
                if looks > LOOKS_MAX {
                    return self.let_go(room, JournalOutcome::Unreadable).await;
                }
                sleep(ON_THE_WAY).await;
                continue;
            };
            let (last, count) = (*last, writes.len() as u64);
            if last >= latest {
                self.index(|index| index.close(room.as_str(), true));
            }
            if let Came::Never(outcome) = self.bring_these(room, writes, latest).await? {
                return self.let_go(room, outcome).await;
            }
            self.take_out(room, last, (count, JournalOutcome::Brought)).await?;
        }
        Ok(())
    }

    async fn bring_these(&self, room: &RoomId, writes: Vec<(u64, Bytes)>, latest: u64) -> Result<Came, Unanswered> {
        for (number, bytes) in writes {
            let Ok(entry) = Entry::read(bytes) else { return Ok(Came::Never(JournalOutcome::Unreadable)) };
            let (owner, fence, ends) = (entry.owner.clone(), entry.fence, entry.ends);
            let written = match ends {
                true => self.end_these(&owner, room, fence).await?,
                false => self.carry_whole(&owner, room, entry.into_write()).await?,
            };
            match written {
                Written::Written => {}
                // it has ended, or was another's by then
                Written::Missing | Written::Fenced { .. } if ends => {}
                Written::Missing => return Ok(Came::Never(JournalOutcome::Missing)),
                Written::Fenced { .. } => return Ok(Came::Never(JournalOutcome::Fenced)),
            }
            if number == latest && !ends && self.index(|index| index.standing(room.as_str())).0 {
                // who wrote it is gone: whoever wants the room may have it
                self.carry(&owner, room, &Write { fence, released: true, ..Write::default() }).await?;
            }
        }
        Ok(Came::Brought)
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

    /// The disk does not show what is here. Once Redis answers, rooms that are here write all of themselves, which they have in memory,
    /// and the file goes: later it would put them back. What another process left is nowhere else, and stays.
    async fn supersede(&self, room: &RoomId) -> Result<(), Unanswered> {
        self.behind.take(room, false).await?;
        let rooms = self.index(Index::goes_if_here).ok_or(Unanswered)?;
        let went = self.writer.clear().await;
        if went {
            locked(&self.anew).extend(rooms.iter().map(|(room, _)| RoomId::from(room.as_str())));
        }
        self.index(|index| index.gone(went));
        if !went {
            return Err(Unanswered);
        }
        for (room, writes) in rooms {
            self.tell(&RoomId::from(room), writes, JournalOutcome::Superseded);
        }
        Ok(())
    }

    /// What is here of the room never gets to Redis.
    async fn let_go(&self, room: &RoomId, outcome: JournalOutcome) -> Result<(), Unanswered> {
        let Some(latest) = self.index(|index| index.latest(room.as_str())) else { return Ok(()) };
        self.take_out(room, latest, (0, outcome)).await
    }

    /// Writes up to there are done with. They are out of the file before anything else of the room is written: a second time, after that,
    /// they would put it back. Where they cannot be taken out, the file goes with the last that counts.
    async fn take_out(
        &self,
        room: &RoomId,
        up_to: u64,
        (count, outcome): (u64, JournalOutcome),
    ) -> Result<(), Unanswered> {
        if self.writer.change(Change::Forget { room: room.as_str().to_owned(), up_to }).await {
            *locked(&self.unread) = None;
            let gone = self.index(|index| index.forget(room.as_str(), up_to));
            self.tell(room, if count > 0 { count } else { gone }, outcome);
            if self.index(|index| index.may_shrink(SHRINK_BYTES)) {
                self.writer.shrink();
            }
            return Ok(());
        }
        if self.index(|index| index.brought(room.as_str(), up_to)) {
            let went = self.writer.clear().await;
            self.index(|index| index.gone(went));
            if went {
                return Ok(());
            }
        }
        Err(Unanswered)
    }
}
