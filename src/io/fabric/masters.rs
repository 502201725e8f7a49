//! Which server has a room: by its name, by what Sentinels say, or by the slots of a Cluster.
//!
//! What was found is used until something else was: a master that is lost holds up its own rooms and no others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::Value;
use tokio::time::timeout_at;

use super::{
    link::{Dialing, Link},
    made::{Made, late},
    place,
    refusal::{fault, strange},
    scripts::{Keys, list, number, text},
    server::{Around, Server},
    settings::{Address, Credentials, FabricMode},
};
use crate::{
    event::{FabricCall, FabricFact, FabricOutcome},
    fabric::Fault,
};

/// From one search to the next, at least: while a master is lost, all routers search.
const AGAIN: Duration = Duration::from_millis(500);
/// Masters of a Cluster that are told in one line.
const TOLD_MAX: usize = 16;
/// Of a Cluster; past it, what it says is not believed.
const MASTERS_MAX: usize = 1_024;

/// See the module.
pub(super) enum Masters {
    Shards(Vec<(u64, Arc<Server>)>),
    Sentinel(Arc<Sentinels>),
    Cluster(Arc<Cluster>),
}

impl Masters {
    pub(super) fn new(around: &Arc<Around>) -> Self {
        let settings = &around.settings;
        let made = || Found { around: around.clone(), since: Instant::now() };
        match &settings.mode {
            FabricMode::Single => {
                let server = |address: &Address| {
                    let server = Server::new(address.clone(), around, dialing(around, false));
                    (place::hash(&address.to_string()), server)
                };
                Self::Shards(settings.addresses.iter().map(server).collect())
            }
            FabricMode::Sentinel { master, user } => Self::Sentinel(Arc::new(Sentinels {
                found: made(),
                name: master.clone(),
                user: user.clone(),
                master: Made::new(settings.timeout, AGAIN, around.seed),
            })),
            FabricMode::Cluster => Self::Cluster(Arc::new(Cluster {
                found: made(),
                slots: Made::new(settings.timeout, AGAIN, around.seed),
                known: Mutex::default(),
            })),
        }
    }

    /// The server of a room.
    pub(super) async fn of(&self, keys: &Keys, lane: u64, deadline: Instant) -> Result<Arc<Server>, Fault> {
        let found = match self {
            Self::Shards(servers) => {
                let place = place::shard(lane, servers.iter().map(|(hash, _)| *hash));
                return Ok(servers[place].1.clone());
            }
            Self::Sentinel(sentinels) => timeout_at(deadline.into(), sentinels.master()).await,
            Self::Cluster(cluster) => {
                let slots = timeout_at(deadline.into(), cluster.slots()).await;
                slots.map(|slots| slots.and_then(|slots| slots.of(place::slot(&keys.state))))
            }
        };
        found.unwrap_or_else(|_| Err(late(self.timeout())))
    }

    fn timeout(&self) -> Duration {
        match self {
            Self::Shards(_) => Duration::ZERO,
            Self::Sentinel(sentinels) => sentinels.found.around.settings.timeout,
            Self::Cluster(cluster) => cluster.found.around.settings.timeout,
        }
    }

    /// Keys of a slot are on another server from now on. Absent: this is no Cluster.
    pub(super) fn moved(&self, slot: u16, to: &Address, said: &Server) -> Option<Arc<Server>> {
        let Self::Cluster(cluster) = self else { return None };
        let server = cluster.server(on(to, &said.address));
        if let Some(slots) = cluster.slots.stands() {
            slots.moved().insert(slot % place::SLOTS, server.clone());
        }
        cluster.clone().find();
        Some(server)
    }

    /// The server that is to be asked this once. Absent: this is no Cluster.
    pub(super) fn ahead(&self, to: &Address, said: &Server) -> Option<Arc<Server>> {
        let Self::Cluster(cluster) = self else { return None };
        Some(cluster.server(on(to, &said.address)))
    }

    /// A server did not answer: whether another one should be asked is found out meanwhile.
    pub(super) fn failed(&self, outcome: FabricOutcome) {
        match outcome {
            FabricOutcome::Late
            | FabricOutcome::Unreachable
            | FabricOutcome::Resting
            | FabricOutcome::ReadOnly
            | FabricOutcome::Busy => match self {
                Self::Shards(_) => {}
                Self::Sentinel(sentinels) => sentinels.clone().find(),
                Self::Cluster(cluster) => cluster.clone().find(),
            },
            FabricOutcome::Done
            | FabricOutcome::Held
            | FabricOutcome::Fenced
            | FabricOutcome::Missing
            | FabricOutcome::Full
            | FabricOutcome::Denied
            | FabricOutcome::Failed => {}
        }
    }

    /// All masters that are known; none: none was found yet, since then.
    pub(super) fn all(&self) -> Result<Vec<Arc<Server>>, Duration> {
        match self {
            Self::Shards(servers) => Ok(servers.iter().map(|(_, server)| server.clone()).collect()),
            Self::Sentinel(sentinels) => match sentinels.master.stands() {
                Some(master) => Ok(vec![master]),
                None => Err(sentinels.found.since.elapsed()),
            },
            Self::Cluster(cluster) => match cluster.slots.stands() {
                Some(slots) => Ok(slots.masters()),
                None => Err(cluster.found.since.elapsed()),
            },
        }
    }

    /// Looks for them, if none is known; nobody waits for it.
    pub(super) fn look(&self) {
        match self {
            Self::Shards(_) => {}
            Self::Sentinel(sentinels) => sentinels.clone().find(),
            Self::Cluster(cluster) => cluster.clone().find(),
        }
    }
}

fn dialing(around: &Around, wants_master: bool) -> Dialing {
    let settings = &around.settings;
    Dialing { user: settings.user.clone(), tls: settings.tls.clone(), wants_master }
}

/// An address as a server tells it: without a host it is its own.
fn on(to: &Address, said: &Address) -> Address {
    let host = if to.host.is_empty() { &said.host } else { &to.host };
    Address { host: host.clone(), port: to.port }
}

/// What those that have to be found share.
struct Found {
    around: Arc<Around>,
    since: Instant,
}

impl Found {
    /// Asks all of these at once, and goes by the first that has an answer.
    async fn first<T>(&self, asked: impl Iterator<Item = impl Future<Output = Result<T, Fault>>>) -> Result<T, Fault> {
        let begun = Instant::now();
        let mut answers: FuturesUnordered<_> = asked.collect();
        let mut last = Fault { outcome: FabricOutcome::Failed, why: "nobody could be asked".to_owned() };
        let deadline = begun + self.around.settings.timeout;
        let found = loop {
            match timeout_at(deadline.into(), answers.next()).await {
                Ok(Some(Ok(found))) => break Ok(found),
                Ok(Some(Err(fault))) => last = fault,
                Ok(None) => break Err(last),
                Err(_) => break Err(late(self.around.settings.timeout)),
            }
        };
        let (outcome, why) = match &found {
            Ok(_) => (FabricOutcome::Done, String::new()),
            Err(fault) => (fault.outcome, fault.why.clone()),
        };
        self.around.tell(FabricFact::Called { call: FabricCall::Find, outcome, took: begun.elapsed(), why });
        found
    }

    fn tell(&self, mut addresses: Vec<String>) {
        let count = addresses.len();
        addresses.truncate(TOLD_MAX);
        self.around.tell(FabricFact::MastersFound { addresses, count });
    }

    /// A question on a connection for it alone.
    async fn once(&self, to: &Address, user: Option<Credentials>, question: redis::Cmd) -> Result<Value, Fault> {
        let dialing = Dialing { user, tls: self.around.settings.tls.clone(), wants_master: false };
        let from = |fault: Fault| Fault { why: format!("{to}: {}", fault.why), ..fault };
        let link = Link::open(to, &dialing, 0, || ()).await.map_err(from)?;
        link.ask(&question).await.map_err(|error| from(fault(&error)))
    }
}

/// Sentinels, and the master that they agree on.
pub(super) struct Sentinels {
    found: Found,
    name: String,
    user: Option<Credentials>,
    master: Arc<Made<Arc<Server>>>,
}

impl Sentinels {
    async fn master(self: &Arc<Self>) -> Result<Arc<Server>, Fault> {
        self.master.get(|| self.clone().search()).await
    }

    fn find(self: Arc<Self>) {
        self.master.renew(|| self.clone().search());
    }

    async fn search(self: Arc<Self>) -> Result<Arc<Server>, Fault> {
        let sentinels = self.found.around.settings.addresses.clone();
        let server = self.found.first(sentinels.iter().map(|sentinel| self.ask(sentinel))).await?;
        if self.master.stands().is_none_or(|stands| !Arc::ptr_eq(&stands, &server)) {
            self.found.tell(vec![server.address.to_string()]);
        }
        Ok(server)
    }

    /// Goes by what it says once who it names says the same of itself.
    async fn ask(&self, sentinel: &Address) -> Result<Arc<Server>, Fault> {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let answer = self.found.once(sentinel, self.user.clone(), question).await?;
        let Some(parts) = list(answer) else {
            let why = format!("{sentinel}: it does not know a master {:?}", self.name);
            return Err(Fault { outcome: FabricOutcome::Failed, why });
        };
        let mut parts = parts.into_iter();
        let named = parts.next().and_then(text).zip(parts.next().and_then(number));
        let address = named.and_then(|(host, port)| Some(Address { host, port: port.try_into().ok()? }));
        let address = address.ok_or_else(|| strange("where the master is"))?;
        let server = match self.master.stands() {
            Some(server) if server.address == address => server,
            _ => Server::new(address, &self.found.around, dialing(&self.found.around, true)),
        };
        let deadline = Instant::now() + self.found.around.settings.timeout;
        server.command(0, redis::cmd("PING"), deadline).await?;
        Ok(server)
    }
}

/// A Cluster.
pub(super) struct Cluster {
    found: Found,
    slots: Arc<Made<Arc<Slots>>>,
    /// Servers by address: those of the slots, and those that were named since.
    known: Mutex<HashMap<Address, Arc<Server>>>,
}

/// Who has which slot.
pub(super) struct Slots {
    /// First and last, in order.
    ranges: Vec<(u16, u16, Arc<Server>)>,
    /// Those that have moved since.
    moved: Mutex<HashMap<u16, Arc<Server>>>,
}

impl Slots {
    fn of(&self, slot: u16) -> Result<Arc<Server>, Fault> {
        if let Some(server) = self.moved().get(&slot) {
            return Ok(server.clone());
        }
        let at = self.ranges.partition_point(|(_, last, _)| *last < slot);
        match self.ranges.get(at) {
            Some((first, _, server)) if *first <= slot => Ok(server.clone()),
            _ => Err(Fault { outcome: FabricOutcome::Busy, why: format!("no master has slot {slot}") }),
        }
    }

    fn masters(&self) -> Vec<Arc<Server>> {
        let mut masters: Vec<Arc<Server>> = self.ranges.iter().map(|(.., server)| server.clone()).collect();
        masters.sort_by(|one, other| one.address.cmp(&other.address));
        masters.dedup_by(|one, other| one.address == other.address);
        masters
    }

    fn moved(&self) -> MutexGuard<'_, HashMap<u16, Arc<Server>>> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    async fn slots(self: &Arc<Self>) -> Result<Arc<Slots>, Fault> {
        self.slots.get(|| self.clone().search()).await
    }

    fn find(self: Arc<Self>) {
        self.slots.renew(|| self.clone().search());
    }

    /// Asks those that were configured, and those that are known.
    async fn search(self: Arc<Self>) -> Result<Arc<Slots>, Fault> {
        let mut asked = self.found.around.settings.addresses.clone();
        let known = self.slots.stands().map(|slots| slots.masters()).unwrap_or_default();
        asked.extend(known.iter().map(|server| server.address.clone()).take(TOLD_MAX));
        asked.sort();
        asked.dedup();
        let slots = Arc::new(self.found.first(asked.iter().map(|address| self.ask(address))).await?);
        let addresses =
            |slots: &[Arc<Server>]| slots.iter().map(|server| server.address.to_string()).collect::<Vec<_>>();
        let (before, after) = (addresses(&known), addresses(&slots.masters()));
        if before != after {
            self.found.tell(after);
        }
        // whoever is no master is not called any more
        let masters = slots.masters();
        self.known().retain(|address, _| masters.iter().any(|master| master.address == *address));
        Ok(slots)
    }

    async fn ask(&self, address: &Address) -> Result<Slots, Fault> {
        let mut question = redis::cmd("CLUSTER");
        question.arg("SLOTS");
        let answer = self.found.once(address, self.found.around.settings.user.clone(), question).await?;
        let ranges = ranges(answer, address).ok_or_else(|| strange("CLUSTER SLOTS"))?;
        if ranges.is_empty() {
            return Err(Fault { outcome: FabricOutcome::Busy, why: format!("{address}: it knows of no slots") });
        }
        let served = |(first, last, address)| (first, last, self.server(address));
        let mut ranges: Vec<_> = ranges.into_iter().map(served).collect();
        ranges.sort_by_key(|(first, ..)| *first);
        Ok(Slots { ranges, moved: Mutex::default() })
    }

    fn server(&self, address: Address) -> Arc<Server> {
        let around = &self.found.around;
        let mut known = self.known();
        if known.len() >= MASTERS_MAX && !known.contains_key(&address) {
            known.clear();
        }
        known.entry(address.clone()).or_insert_with(|| Server::new(address, around, dialing(around, false))).clone()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Address, Arc<Server>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of `CLUSTER SLOTS`: first, last, then the master's host (empty: the one that was asked), port and more.
fn ranges(answer: Value, asked: &Address) -> Option<Vec<(u16, u16, Address)>> {
    let range = |value| {
        let mut parts = list(value)?.into_iter();
        let (first, last) = (number(parts.next()?)?, number(parts.next()?)?);
        let mut master = list(parts.next()?)?.into_iter();
        let host = match master.next()? {
            Value::Nil => String::new(),
            host => text(host)?,
        };
        let told = Address { host, port: number(master.next()?)?.try_into().ok()? };
        Some((first.try_into().ok()?, last.try_into().ok()?, on(&told, asked)))
    };
    let ranges: Vec<_> = list(answer)?.into_iter().map(range).collect::<Option<_>>()?;
    (ranges.len() <= usize::from(place::SLOTS)).then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_as_a_cluster_tells_them() {
        let asked = Address { host: "seed".to_owned(), port: 1 };
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), bulk("id"), Value::Array(vec![])]);
        let range = |first, last, node| Value::Array(vec![Value::Int(first), Value::Int(last), node]);
        let told = Value::Array(vec![
            range(0, 5460, node(bulk("10.0.0.1"), 7000)),
            range(5461, 16_383, node(bulk(""), 7001)),
            range(9, 9, node(Value::Nil, 7002)),
        ]);
        let read = ranges(told, &asked).unwrap();
        let at = |host: &str, port| Address { host: host.to_owned(), port };
        assert_eq!(read, [(0, 5460, at("10.0.0.1", 7000)), (5461, 16_383, at("seed", 7001)), (9, 9, at("seed", 7002))]);
        for odd in
            [Value::Nil, Value::Array(vec![Value::Int(1)]), Value::Array(vec![range(0, 99_999, node(Value::Nil, 1))])]
        {
            assert_eq!(ranges(odd.clone(), &asked), None, "{odd:?}");
        }
    }
}
