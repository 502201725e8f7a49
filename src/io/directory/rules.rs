//! The rules of the fleet between etcd, who takes them up, and operators who write them.
//!
//! The directory's task leaves here what stands in etcd; the thread that reads the configuration takes it from here, and leaves
//! what became of it for the record of this router. An operator's write is a call by itself: nobody but the operator waits for it,
//! and this router hears of it as all others do.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use arc_swap::ArcSwapOption;
use tokio::{runtime::Handle, sync::watch};

use super::etcd::{Done, Etcd};
use crate::{
    directory::{Answer, Call, Fault, RulesNews, RulesStanding},
    event::{DirectoryFact, DirectoryOp, DirectoryOutcome, Event},
    io::listener::Observe,
};

/// See the module.
#[derive(Clone)]
pub struct FleetRules(Arc<Shared>);

struct Shared {
    stand: ArcSwapOption<RulesNews>,
    /// Whether what stands there is to be looked at.
    came: AtomicBool,
    standing: watch::Sender<RulesStanding>,
    writer: OnceLock<Writer>,
}

/// Why rules were not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// This router has no fleet.
    Alone,
    /// What stands there is of another revision than was expected.
    Overtaken,
    /// etcd did not do it.
    Fault(Fault),
}

impl Default for FleetRules {
    fn default() -> Self {
        Self(Arc::new(Shared {
            stand: ArcSwapOption::empty(),
            came: AtomicBool::new(false),
            standing: watch::Sender::new(RulesStanding::default()),
            writer: OnceLock::new(),
        }))
    }
}

impl fmt::Debug for FleetRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetRules").field("standing", &*self.0.standing.borrow()).finish_non_exhaustive()
    }
}

impl FleetRules {
    /// These stand in etcd now; absent: none.
    pub fn offer(&self, news: Option<RulesNews>) {
        self.0.stand.store(news.map(Arc::new));
        self.0.came.store(true, Relaxed);
    }

    /// Whether others stand in etcd than were looked at last; they count as looked at.
    pub fn came(&self) -> bool {
        self.0.came.load(Relaxed) && self.0.came.swap(false, Relaxed)
    }

    /// What stands in etcd, as far as this router has heard.
    pub fn stand(&self) -> Option<Arc<RulesNews>> {
        self.0.stand.load_full()
    }

    /// How far this router follows them.
    pub fn standing(&self) -> RulesStanding {
        *self.0.standing.borrow()
    }

    /// It follows them so far from now on.
    pub fn follow(&self, standing: RulesStanding) {
        self.0.standing.send_if_modified(|before| std::mem::replace(before, standing) != standing);
    }

    /// Tells each time that it follows them otherwise.
    pub(super) fn followed(&self) -> watch::Receiver<RulesStanding> {
        self.0.standing.subscribe()
    }

    /// Operators can write from now on.
    pub(super) fn open(&self, writer: Writer) {
        // a router has one directory
        self.0.writer.set(writer).ok();
    }

    /// Puts a text in the place of what stands in etcd at that revision, or takes that away; 0: nothing stands there. The revision
    /// that it comes with.
    ///
    /// # Errors
    /// Says why it was not done. After [`DirectoryOutcome::Late`] and [`DirectoryOutcome::Unreachable`] it may have been.
    pub async fn write(&self, text: Option<String>, expected: i64) -> Result<i64, WriteError> {
        self.0.writer.get().ok_or(WriteError::Alone)?.write(text, expected).await
    }
}

/// Who writes.
pub(super) struct Writer {
    pub(super) etcd: Etcd,
    pub(super) key: String,
    pub(super) observe: Observe,
    /// Where connections to etcd live, wherever the operator is answered.
    pub(super) runtime: Handle,
}

impl Writer {
    async fn write(&self, text: Option<String>, expected: i64) -> Result<i64, WriteError> {
        let (begun, bytes) = (Instant::now(), text.as_ref().map(String::len));
        let (etcd, call) = (self.etcd.clone(), Call::Rules { key: self.key.clone(), text, expected });
        let made = self.runtime.spawn(async move { etcd.call(call).await }).await;
        let answer = made.unwrap_or_else(|_| {
            Err(Fault { outcome: DirectoryOutcome::Failed, why: "this router is about to end".to_owned() })
        });
        let (outcome, why) = match &answer {
            Ok(_) => (DirectoryOutcome::Done, String::new()),
            Err(fault) => (fault.outcome, fault.why.clone()),
        };
        let took = begun.elapsed();
        self.tell(DirectoryFact::CallEnded { op: DirectoryOp::Rules, outcome, took, why });
        match answer.map_err(WriteError::Fault)? {
            Done::Answer(Answer::Written { revision, .. }) => {
                self.tell(DirectoryFact::RulesWritten { revision, bytes });
                Ok(revision)
            }
            Done::Answer(_) | Done::Stream { .. } => Err(WriteError::Overtaken),
        }
    }

    fn tell(&self, fact: DirectoryFact) {
        (self.observe)(Event::Directory(fact));
    }
}
