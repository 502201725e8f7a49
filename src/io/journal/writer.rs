//! The thread that has the journal's file: what waits is committed together, so that no worker waits for a disk, and many
//! writes cost one.

use std::{
    io,
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::disk::{Change, Disk, Unopened};
use crate::{
    event::{Event, JournalFact, JournalWork},
    io::listener::Observe,
    profiler::threads::{self, Sampled},
};

/// What may wait for the thread; past it, a write is not taken.
const WAITING_MAX: usize = 4_096;
/// Changes that are committed together,
const TOGETHER_MAX: usize = 1_024;
/// and their bytes.
const TOGETHER_BYTES: usize = 8 << 20;
/// Until a file that failed is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether it was done.
pub(super) type Done = oneshot::Sender<bool>;

/// What is asked of the thread.
pub(super) enum Command {
    /// To be on the disk.
    Change(Change, Done),
    /// The oldest writes of a room after that one; none, when the disk says no.
    Read(String, u64, oneshot::Sender<Option<Vec<(u64, Bytes)>>>),
    /// Nothing is in it any more: the disk gets its place back.
    Shrink,
    /// Nothing in it counts any more, and it cannot be taken out: the file goes.
    Clear(Done),
}

/// How to speak to the thread. It ends when nobody can any more.
#[derive(Clone, Debug)]
pub(super) struct Writer(SyncSender<Command>);

impl Writer {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(disk: Disk, place: Place, observe: Observe) -> io::Result<Self> {
        let (ask, asked) = sync_channel(WAITING_MAX);
        let thread = Thread { disk: Some(disk), place, failed: None, observe };
        thread::Builder::new().name("journal".to_owned()).spawn(move || thread.run(&asked))?;
        Ok(Self(ask))
    }

    /// Whether that change is on the disk.
    pub(super) async fn change(&self, change: Change) -> bool {
        let (done, is_done) = oneshot::channel();
        self.ask(Command::Change(change, done)) && is_done.await.unwrap_or(false)
    }

    /// The oldest writes of a room after that one.
    pub(super) async fn read(&self, room: &str, after: u64) -> Option<Vec<(u64, Bytes)>> {
        let (show, shown) = oneshot::channel();
        if !self.ask(Command::Read(room.to_owned(), after, show)) {
            return None;
        }
        shown.await.ok()?
    }

    /// Sees to it that the file takes no more than it has to; nobody waits.
    pub(super) fn shrink(&self) {
        self.ask(Command::Shrink);
    }

    /// Whether the file is gone.
    pub(super) async fn clear(&self) -> bool {
        let (done, is_done) = oneshot::channel();
        self.ask(Command::Clear(done)) && is_done.await.unwrap_or(false)
    }

    fn ask(&self, command: Command) -> bool {
        match self.0.try_send(command) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// Where the file is, and whose rooms are in it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) of: String,
}

impl Place {
    /// Opens the file; tells when one that was there is set aside.
    pub(super) fn open(&self, observe: &Observe) -> Result<Disk, Unopened> {
        let (disk, aside) = Disk::open(&self.folder, &self.of)?;
        if let Some(why) = aside {
            observe(Event::Journal(JournalFact::Failed { doing: JournalWork::SetAside, why }));
        }
        Ok(disk)
    }
}

struct Thread {
    /// Absent: it failed, or was cleared.
    disk: Option<Disk>,
    place: Place,
    failed: Option<Instant>,
    observe: Observe,
}

impl Thread {
    fn run(mut self, asked: &Receiver<Command>) {
        let _sampled = Sampled::enter("journal");
        while let Ok(first) = asked.recv() {
            threads::renew();
            let (mut changes, mut waiting, mut bytes) = (Vec::new(), Vec::new(), 0);
            let mut next = Some(first);
            while let Some(Command::Change(change, done)) = next {
                bytes += match &change {
                    Change::Append { bytes, .. } => bytes.len(),
                    Change::Forget { .. } => 0,
                };
                changes.push(change);
                waiting.push(done);
                let has_room = changes.len() < TOGETHER_MAX && bytes < TOGETHER_BYTES;
                next = has_room.then(|| asked.try_recv().ok()).flatten();
            }
            if !changes.is_empty() {
                let done = self.commit(&changes);
                // who does not wait any more does not need to know
                for waiting in waiting {
                    waiting.send(done).ok();
                }
            }
            match next {
                Some(Command::Read(room, after, show)) => {
                    show.send(self.read(&room, after)).ok();
                }
                Some(Command::Shrink) => self.shrink(),
                Some(Command::Clear(done)) => {
                    done.send(self.clear()).ok();
                }
                Some(Command::Change(..)) | None => {}
            }
        }
    }

    fn commit(&mut self, changes: &[Change]) -> bool {
        let Some(disk) = self.disk() else { return false };
        match disk.commit(changes) {
            Ok(()) => true,
            Err(error) => self.fail(JournalWork::Write, error.to_string()),
        }
    }

    fn read(&mut self, room: &str, after: u64) -> Option<Vec<(u64, Bytes)>> {
        match self.disk()?.read(room, after) {
            Ok(read) => Some(read),
            Err(error) => {
                self.fail(JournalWork::Read, error.to_string());
                None
            }
        }
    }

    fn shrink(&mut self) {
        if let Some(Err(why)) = self.disk.as_mut().map(Disk::shrink) {
            self.fail(JournalWork::Write, why);
        }
    }

    fn clear(&mut self) -> bool {
        self.disk = None;
        match Disk::discard(&self.place.folder) {
            // a new one is made when something is to be in it
            Ok(()) => {
                self.failed = None;
                true
            }
            Err(error) => self.fail(JournalWork::Write, error.to_string()),
        }
    }

    /// After a failure the database is of no use until it was opened anew.
    fn fail(&mut self, doing: JournalWork, why: String) -> bool {
        self.disk = None;
        self.failed = Some(Instant::now());
        (self.observe)(Event::Journal(JournalFact::Failed { doing, why }));
        false
    }

    fn disk(&mut self) -> Option<&Disk> {
        if self.disk.is_none() && self.failed.is_none_or(|failed| failed.elapsed() >= AGAIN) {
            match self.place.open(&self.observe) {
                Ok(disk) => (self.disk, self.failed) = (Some(disk), None),
                Err(why) => {
                    self.fail(JournalWork::Open, why.to_string());
                }
            }
        }
        self.disk.as_ref()
    }
}
