//! What a fleet agrees on by etcd, as one router decides about it: its own registration, and who else is registered.
//!
//! `(state, Input, now) -> Outputs`: calls leave as outputs with a ticket, and each ticket comes back once with an answer.
//! Must not know sockets, tasks and clocks; `io::directory` drives it. Nothing of a room or a session depends on it.
//!
//!     Registration: grant -> put -> refresh -> put ...      Following: list -> watch -> changes, signs of life -> View

mod following;
mod pace;
pub mod record;
mod registration;
mod shown;
mod view;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use following::Following;
pub use record::{Load, RouterRecord};
use registration::Registration;
pub use shown::{Figures, FleetView, RouterRow, UnreadableRow};
use view::View;
pub use view::{Change, Stored};

use crate::event::{DirectoryFact, DirectoryOp, DirectoryOutcome, ReadReason};

/// What a router knows of itself and of its directory at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All keys begin with it.
    pub prefix: String,
    /// What this router says of itself at first.
    pub own: RouterRecord,
    /// How long a lease lasts that is not refreshed; a watch that is silent for so long counts as dead.
    pub lease: Duration,
    /// Most records that are kept.
    pub records_max: usize,
    /// Of the jitter between retries.
    pub seed: u64,
}

/// What happens to it.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// How much the router carries now; written with the next refresh.
    Loaded(Load),
    /// The router is about to end: others should hear of it now.
    Draining,
    /// The router ends: what stands for it goes.
    Leave,
    /// How a call ended, and how long it took. Each call ends once.
    Answered {
        /// Of the call.
        ticket: u64,
        /// From when it was to be made.
        took: Duration,
        /// What etcd said.
        answer: Result<Answer, Fault>,
    },
    /// A stream of changes, which has its call's ticket, said something.
    Heard {
        /// The ticket.
        stream: u64,
        /// What.
        heard: Heard,
    },
}

/// What etcd answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A lease.
    Granted {
        /// Its number.
        lease: i64,
    },
    /// Whether the lease is there.
    Refreshed {
        /// It lasts its whole time from now on; else it is gone.
        alive: bool,
    },
    /// The record was written.
    Written {
        /// Which etcd it is, by the number of its cluster; one that was restored from a copy has another.
        cluster: u64,
        /// The revision that it came with.
        revision: i64,
    },
    /// All records.
    Listed {
        /// Which etcd it is.
        cluster: u64,
        /// As of that revision.
        revision: i64,
        /// In the order of their keys, as many as were asked for.
        records: Vec<Stored>,
        /// There are others.
        more: bool,
    },
    /// The stream stands.
    Watching,
    /// The lease is given back.
    Revoked,
}

/// Why a call was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// As a word; never [`DirectoryOutcome::Done`].
    pub outcome: DirectoryOutcome,
    /// For people; holds no secret.
    pub why: String,
}

/// What a stream of changes says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// These changes, all up to that revision.
    Changed {
        /// The revision.
        revision: i64,
        /// In their order.
        changes: Vec<Change>,
    },
    /// That it is alive.
    Alive,
    /// That its revision is forgotten; it says nothing more.
    Compacted,
    /// It ended.
    Ended {
        /// Why, for people.
        why: String,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A call to etcd.
    Call {
        /// Comes back with its answer.
        ticket: u64,
        /// Which.
        call: Call,
    },
    /// A sign of life is asked of a stream.
    Probe {
        /// Its ticket.
        stream: u64,
    },
    /// A stream is of no use any more.
    Close {
        /// Its ticket.
        stream: u64,
    },
    /// A fact.
    Observe(DirectoryFact),
}

/// A call to etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A lease that lasts so long.
    Grant {
        /// How long.
        ttl: Duration,
    },
    /// Keeps a lease.
    Refresh {
        /// Which.
        lease: i64,
    },
    /// Writes a record.
    Put {
        /// Where.
        key: String,
        /// What.
        value: Vec<u8>,
        /// Gone with it.
        lease: i64,
    },
    /// All records whose keys begin so.
    List {
        /// How the keys begin; answers have what follows.
        prefix: String,
        /// At most so many.
        limit: usize,
    },
    /// Changes of them.
    Watch {
        /// How the keys begin; changes have what follows.
        prefix: String,
        /// The first revision that is told.
        from: i64,
    },
    /// Gives a lease back.
    Revoke {
        /// Which.
        lease: i64,
    },
}

impl Call {
    /// Its kind.
    pub const fn op(&self) -> DirectoryOp {
        match self {
            Self::Grant { .. } => DirectoryOp::Grant,
            Self::Refresh { .. } => DirectoryOp::Refresh,
            Self::Put { .. } => DirectoryOp::Put,
            Self::List { .. } => DirectoryOp::List,
            Self::Watch { .. } => DirectoryOp::Watch,
            Self::Revoke { .. } => DirectoryOp::Revoke,
        }
    }
}

/// A call that has not come back.
#[derive(Debug)]
struct Pending {
    op: DirectoryOp,
    /// What was known when it was made.
    revision: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Directory {
    prefix: String,
    own: RouterRecord,
    lease: Duration,
    registration: Registration,
    following: Following,
    view: View,
    pending: BTreeMap<u64, Pending>,
    tickets: u64,
    /// Which etcd answered last.
    cluster: Option<u64>,
    /// Why the last call was not done; absent: it was, or there was none.
    fault: Option<Fault>,
    /// Whether any call was done.
    found: bool,
}

impl Directory {
    /// Nothing was asked yet; all of it is due.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let Settings { prefix, own, lease, records_max, seed } = settings;
        Self {
            prefix,
            own,
            lease,
            registration: Registration::new(lease, seed, now),
            following: Following::new(lease, seed.wrapping_add(1), now),
            view: View::new(records_max),
            pending: BTreeMap::new(),
            tickets: 0,
            cluster: None,
            fault: None,
            found: false,
        }
    }

    /// Takes note of what happened, and says what is to be done.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Tick => {}
            Input::Loaded(load) => self.own.load = load,
            Input::Draining => {
                self.own.draining = true;
                self.registration.changed(now);
            }
            Input::Leave => self.registration.leave(now),
            Input::Answered { ticket, took, answer } => self.answered((ticket, took), answer, now, &mut outputs),
            Input::Heard { stream, heard } => self.heard(stream, heard, now, &mut outputs),
        }
        self.go_on(now, &mut outputs);
        outputs
    }

    /// When it is to be told that time has passed.
    pub fn wake(&self) -> Option<Instant> {
        [self.registration.wake(), self.following.wake()].into_iter().flatten().min()
    }

    /// Whether nothing of this router is left there, as far as it could be taken away.
    pub fn has_left(&self) -> bool {
        self.registration.has_left()
    }

    fn answered(
        &mut self,
        (ticket, took): (u64, Duration),
        answer: Result<Answer, Fault>,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        let Some(Pending { op, revision: known }) = self.pending.remove(&ticket) else { return };
        let (outcome, why) = match &answer {
            Ok(_) => (DirectoryOutcome::Done, String::new()),
            Err(fault) => (fault.outcome, fault.why.clone()),
        };
        outputs.push(Output::Observe(DirectoryFact::CallEnded { op, outcome, took, why }));
        // a lease that is gone is an answer as well
        self.fault = answer.as_ref().err().filter(|fault| fault.outcome != DirectoryOutcome::Gone).cloned();
        self.found |= self.fault.is_none();
        let rewound = self.is_rewound(&answer, known);
        match op {
            DirectoryOp::Grant | DirectoryOp::Refresh | DirectoryOp::Put | DirectoryOp::Revoke => {
                let fact = self.registration.answered(answer.as_ref(), now);
                outputs.extend(fact.map(Output::Observe));
                if rewound {
                    self.read_again(ReadReason::Rewound, now, outputs);
                }
            }
            DirectoryOp::List => self.listed(answer, now, outputs),
            DirectoryOp::Watch => self.opened(ticket, &answer, now, outputs),
        }
    }

    /// Whether an answer is of another history than what was known when it was asked for. Both kinds are answered as of the
    /// newest revision that there is.
    fn is_rewound(&mut self, answer: &Result<Answer, Fault>, known: i64) -> bool {
        let Ok(Answer::Written { cluster, revision } | Answer::Listed { cluster, revision, .. }) = answer else {
            return false;
        };
        let before = self.cluster.replace(*cluster);
        *revision < known || before.is_some_and(|before| before != *cluster)
    }

    fn listed(&mut self, answer: Result<Answer, Fault>, now: Instant, outputs: &mut Vec<Output>) {
        let Ok(Answer::Listed { revision, records, more, .. }) = answer else { return self.following.failed(now) };
        let Some(reason) = self.following.listed(revision, now) else { return };
        let count = records.len();
        outputs.push(Output::Observe(DirectoryFact::Read { reason, revision, records: count }));
        outputs.extend(self.view.replace(records, more, now).into_iter().map(Output::Observe));
    }

    fn opened(&mut self, stream: u64, answer: &Result<Answer, Fault>, now: Instant, outputs: &mut Vec<Output>) {
        if !matches!(answer, Ok(Answer::Watching)) {
            return self.following.failed(now);
        }
        outputs.push(match self.following.opened(stream, now) {
            true => Output::Observe(DirectoryFact::WatchStands { revision: self.following.revision() }),
            false => Output::Close { stream },
        });
    }

    fn heard(&mut self, stream: u64, heard: Heard, now: Instant, outputs: &mut Vec<Output>) {
        match heard {
            Heard::Ended { why } => outputs.extend(self.following.ended(stream, why, now).map(Output::Observe)),
            // of a stream that does not count any more
            _ if !self.following.heard(stream, now) => {}
            Heard::Alive => {}
            Heard::Compacted => self.read_again(ReadReason::Compacted, now, outputs),
            Heard::Changed { revision, changes } => {
                for change in changes {
                    outputs.extend(self.view.apply(change, now).into_iter().map(Output::Observe));
                }
                self.following.changed(revision);
                if self.view.has_room_for_others() {
                    self.read_again(ReadReason::Overfull, now, outputs);
                }
            }
        }
    }

    fn read_again(&mut self, reason: ReadReason, now: Instant, outputs: &mut Vec<Output>) {
        outputs.extend(self.following.read_again(reason, now).map(|stream| Output::Close { stream }));
    }

    /// All that is due.
    fn go_on(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        while let Some(step) = self.registration.step(now) {
            let call = match step {
                registration::Step::Grant => Call::Grant { ttl: self.lease },
                registration::Step::Refresh { lease } => Call::Refresh { lease },
                registration::Step::Revoke { lease } => Call::Revoke { lease },
                registration::Step::Put { lease } => {
                    let key = format!("{}{}", self.routers(), self.own.id);
                    Call::Put { key, value: self.own.bytes(), lease }
                }
            };
            outputs.push(self.call(call));
        }
        while let Some(step) = self.following.step(now) {
            let output = match step {
                following::Step::List => {
                    let limit = self.view.limit();
                    self.call(Call::List { prefix: self.routers(), limit })
                }
                following::Step::Watch { from } => self.call(Call::Watch { prefix: self.routers(), from }),
                following::Step::Probe { stream } => Output::Probe { stream },
                following::Step::Close { stream } => {
                    let why = format!("not a word for {} s", self.lease.as_secs());
                    outputs.push(Output::Observe(DirectoryFact::WatchLost { why }));
                    Output::Close { stream }
                }
            };
            outputs.push(output);
        }
    }

    fn routers(&self) -> String {
        format!("{}/routers/", self.prefix)
    }

    fn call(&mut self, call: Call) -> Output {
        self.tickets += 1;
        let ticket = self.tickets;
        self.pending.insert(ticket, Pending { op: call.op(), revision: self.following.revision() });
        Output::Call { ticket, call }
    }
}
