//! Keeps rooms in a Redis outside of this router: takes them, writes what changes, ends them.
//!
//! Every call ends within `redis.timeout_ms`, its connection included. A server that is away is tried again after a wait that
//! grows, and until then calls to it fail at once: nothing queues up. What is to be written stays the caller's.
//!
//! redis-rs speaks the protocol. Connections, waits and the way to the master (of Sentinels, of a Cluster) are ours, because
//! its own hold all calls up while one master is looked for, and retry without a bound that fits a deadline. It brings seven
//! small crates; fred, the other client, more, among them a second parser of RESP and a second source of chance. Neither bounds an
//! answer: what is read of a room is what routers wrote, within `rooms.*`.
//!
//! All changes of a room are scripts, refused before their first change or carried out whole.

mod link;
mod made;
mod masters;
mod place;
mod refusal;
mod scripts;
mod server;
mod settings;
mod together;

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::Value;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{MissedTickBehavior, interval, sleep},
};

use self::{
    masters::Masters,
    refusal::{Refusal, strange},
    scripts::{Asked, Keys, What},
    server::{Around, Server},
};
pub use self::{
    settings::{Address, Credentials, FabricMode, FabricSettings},
    together::Writes,
};
use super::{clock, listener::Observe};
use crate::{
    event::{FabricCall, FabricFact, FabricOutcome},
    fabric::{self, BranchKept, Fault, Kept, Taken, Write, Written},
    ids::{Epoch, RoomId},
    telemetry::{FabricFigures, Telemetry},
};

/// Servers that one call is sent on to.
const REDIRECTS_MAX: usize = 5;
/// Until keys that are on their way are asked for again.
const ON_THE_WAY: Duration = Duration::from_millis(10);
/// Each server is asked whether it answers, over its connections in turn, and figures are told, so often.
const PING_EVERY: Duration = Duration::from_secs(1);

/// Where rooms are kept. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Fabric(Arc<Inner>);

struct Inner {
    around: Arc<Around>,
    masters: Masters,
    under_way: Semaphore,
    /// Of the last call about a room. They go up over restarts as well, as far as the clock does.
    seq: AtomicU64,
    /// Whose turn it is to be asked whether it answers, of the connections to each server.
    turn: AtomicU64,
}

impl fmt::Debug for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fabric").field(&self.0.around.settings.addresses).finish()
    }
}

impl Fabric {
    /// Needs no Redis: one is looked for when something is asked.
    /// Waits are drawn from the seed, so that routers do not wait alike.
    pub fn new(settings: FabricSettings, observe: Observe, seed: u64) -> Self {
        let under_way = Semaphore::new(settings.calls_max);
        let around = Arc::new(Around { settings, observe, seed });
        let micros = u64::try_from(clock::since_epoch().as_micros()).unwrap_or_default();
        let (seq, turn) = (AtomicU64::new(micros), AtomicU64::new(0));
        Self(Arc::new(Inner { masters: Masters::new(&around), around, under_way, seq, turn }))
    }

    /// Takes a room: one that nobody has, that its router has released, or with `force` any.
    ///
    /// # Errors
    /// Redis did not answer, or not so; asked again, this router has the room if it was taken.
    pub async fn take(&self, room: &RoomId, force: bool) -> Result<Taken, Fault> {
        let me = &self.0.around.settings.router;
        self.call(FabricCall::Take, (me, room), What::Take { force }, |answer| {
            let taken = scripts::taken(answer)?;
            if let Taken::Nothing { fence } | Taken::Kept(Kept { fence, .. }) = &taken {
                self.0.seq.fetch_update(Relaxed, Relaxed, |seq| Some(fabric::numbers_from(seq, *fence))).ok();
            }
            let outcome = match &taken {
                Taken::Nothing { .. } | Taken::Kept(_) => FabricOutcome::Done,
                Taken::Held { .. } => FabricOutcome::Held,
            };
            Ok((taken, outcome))
        })
        .await
    }

    /// Writes changes of a room, all or none. Of one room, one at a time: the next once this one has ended.
    ///
    /// # Errors
    /// Redis did not answer, or not so. It may have been written: writing it again does no harm.
    pub async fn write(&self, room: &RoomId, write: &Write) -> Result<Written, Fault> {
        self.write_as(&self.0.around.settings.router, room, write).await
    }

    /// The same in the name of another router, or of an earlier life of this one.
    ///
    /// # Errors
    /// As of a write.
    pub async fn write_as(&self, owner: &str, room: &RoomId, write: &Write) -> Result<Written, Fault> {
        self.call(FabricCall::Write, (owner, room), What::Write(write), written).await
    }

    /// Puts a branch beside a room, in place of those of its life. Whether there was a place for it.
    ///
    /// # Errors
    /// Redis did not answer, or not so. It may lie there: to put another in its place does no harm.
    pub async fn put_beside(&self, room: &RoomId, epoch: Epoch, write: &Write) -> Result<bool, Fault> {
        let (name, instead) = (BranchKept::name(epoch, write.edition), BranchKept::names_of(epoch));
        let branch = BranchKept::of(write).bytes();
        let what = What::Beside { name: &name, instead: &instead, branch: &branch };
        self.call(FabricCall::Beside, (&self.0.around.settings.router, room), what, |answer| {
            let put = scripts::put(answer)?;
            Ok((put, if put { FabricOutcome::Done } else { FabricOutcome::Held }))
        })
        .await
    }

    /// Ends a room: nothing is kept of it any more.
    ///
    /// # Errors
    /// Redis did not answer, or not so. What is kept goes by itself after `redis.keep_seconds`.
    pub async fn end(&self, room: &RoomId, fence: u64) -> Result<Written, Fault> {
        self.end_as(&self.0.around.settings.router, room, fence).await
    }

    /// The same in the name of another router, or of an earlier life of this one.
    ///
    /// # Errors
    /// As of an end.
    pub async fn end_as(&self, owner: &str, room: &RoomId, fence: u64) -> Result<Written, Fault> {
        self.call(FabricCall::End, (owner, room), What::End { fence }, written).await
    }

    /// Asks every server that is known once a second whether it answers, and tells figures. Ends when nobody else has the
    /// fabric any more.
    pub fn watch(&self, telemetry: &Arc<Telemetry>) {
        let (fabric, telemetry) = (Arc::downgrade(&self.0), telemetry.clone());
        tokio::spawn(watch(fabric, telemetry));
    }

    async fn call<T>(
        &self,
        call: FabricCall,
        (me, room): (&str, &RoomId),
        what: What<'_>,
        read: impl FnOnce(Value) -> Result<(T, FabricOutcome), Fault>,
    ) -> Result<T, Fault> {
        let begun = Instant::now();
        let answered = self.ask((me, room), what, begun).await.and_then(read);
        self.ended(call, answered, begun)
    }

    /// Tells what came of a call.
    fn ended<T>(
        &self,
        call: FabricCall,
        answered: Result<(T, FabricOutcome), Fault>,
        begun: Instant,
    ) -> Result<T, Fault> {
        let (outcome, why) = match &answered {
            Ok((_, outcome)) => (*outcome, String::new()),
            Err(fault) => (fault.outcome, fault.why.clone()),
        };
        self.0.around.tell(FabricFact::Called { call, outcome, took: begun.elapsed(), why });
        answered.map(|(answer, _)| answer)
    }

    async fn ask(&self, (me, room): (&str, &RoomId), what: What<'_>, begun: Instant) -> Result<Value, Fault> {
        let _place = self.place()?;
        self.follow(room, &self.asked((me, room), what), self.deadline(begun)).await
    }

    /// A place among the calls that may be under way.
    fn place(&self) -> Result<SemaphorePermit<'_>, Fault> {
        self.0.under_way.try_acquire().map_err(|_| {
            let why = format!("{} calls are under way (redis.calls_max)", self.0.around.settings.calls_max);
            Fault { outcome: FabricOutcome::Full, why }
        })
    }

    fn asked<'a>(&self, (me, room): (&'a str, &RoomId), what: What<'a>) -> Asked<'a> {
        let settings = &self.0.around.settings;
        let keys = Keys::new(&settings.prefix, &settings.scope, room);
        Asked { keys, me, seq: self.0.seq.fetch_add(1, Relaxed) + 1, keep_ms: settings.keep.as_millis(), what }
    }

    fn deadline(&self, begun: Instant) -> Instant {
        begun + self.0.around.settings.timeout
    }

    /// To the server that has the room, and on to where it says that it is.
    async fn follow(&self, room: &RoomId, asked: &Asked<'_>, deadline: Instant) -> Result<Value, Fault> {
        let masters = &self.0.masters;
        let lane = place::hash(room.as_str());
        let (mut next, mut redirects): (Option<(Arc<Server>, bool)>, _) = (None, 0);
        let mut on_the_way = None;
        loop {
            let (server, ahead) = match next.take() {
                Some(next) => next,
                None => match masters.of(&asked.keys, lane, deadline).await {
                    Ok(server) => (server, false),
                    Err(fault) => return Err(self.failed(fault)),
                },
            };
            let answer = server.ask(server.line(lane), &[asked], ahead, deadline).await.pop();
            let towards = match answer.unwrap_or_else(|| Err(strange("nothing").into())) {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Moved { slot, to }) => masters.moved(slot, &to, &server).map(|server| (server, false)),
                Err(Refusal::Ask { to }) => masters.ahead(&to, &server).map(|server| (server, true)),
                Err(Refusal::TryAgain(fault)) => {
                    if Instant::now() + ON_THE_WAY >= deadline {
                        return Err(self.failed(fault));
                    }
                    (on_the_way, redirects) = (Some(fault), 0);
                    sleep(ON_THE_WAY).await;
                    continue;
                }
                Err(Refusal::Fault(fault)) => {
                    let late = fault.outcome == FabricOutcome::Late;
                    return Err(self.failed(on_the_way.filter(|_| late).unwrap_or(fault)));
                }
            };
            redirects += 1;
            if towards.is_none() || redirects > REDIRECTS_MAX {
                return Err(self.failed(astray(&server, towards.is_none())));
            }
            next = towards;
        }
    }

    fn failed(&self, fault: Fault) -> Fault {
        self.0.masters.failed(fault.outcome);
        fault
    }
}

/// A server sends on, and there is nowhere to go.
fn astray(server: &Server, alone: bool) -> Fault {
    let address = &server.address;
    let (outcome, why) = match alone {
        true => (FabricOutcome::Failed, format!("{address} is of a Cluster: redis.mode is to be \"cluster\"")),
        false => (FabricOutcome::Busy, format!("sent on {REDIRECTS_MAX} times, last by {address}")),
    };
    Fault { outcome, why }
}

fn written(answer: Value) -> Result<(Written, FabricOutcome), Fault> {
    let written = scripts::written(answer)?;
    let outcome = match &written {
        Written::Written | Written::Branched => FabricOutcome::Done,
        Written::Missing => FabricOutcome::Missing,
        Written::Fenced { .. } => FabricOutcome::Fenced,
    };
    Ok((written, outcome))
}

async fn watch(fabric: Weak<Inner>, telemetry: Arc<Telemetry>) {
    let mut every = interval(PING_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(fabric) = fabric.upgrade() else { return };
        fabric.ping().await;
        telemetry.set_fabric(fabric.figures());
    }
}

impl Inner {
    async fn ping(&self) {
        let Ok(servers) = self.masters.all() else { return self.masters.look() };
        let turn = self.turn.fetch_add(1, Relaxed);
        join_all(servers.iter().map(async |server| {
            let begun = Instant::now();
            let answer = server.command(turn, redis::cmd("PING"), begun + self.around.settings.timeout).await;
            let (outcome, why) = match answer {
                Ok(_) => (FabricOutcome::Done, String::new()),
                Err(fault) => (fault.outcome, fault.why),
            };
            self.masters.failed(outcome);
            self.around.tell(FabricFact::Called { call: FabricCall::Ping, outcome, took: begun.elapsed(), why });
        }))
        .await;
    }

    fn figures(&self) -> FabricFigures {
        match self.masters.all() {
            Ok(servers) => FabricFigures {
                servers: servers.len(),
                connections: servers.iter().map(|server| server.connections()).sum(),
                silent: servers.iter().map(|server| server.silent()).max().unwrap_or_default(),
            },
            Err(silent) => FabricFigures { servers: 0, connections: 0, silent },
        }
    }
}
