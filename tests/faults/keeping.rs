//! Where the rooms of a fleet are kept: nowhere, in a Redis with a proxy before each router's way to it, in one that a Sentinel watches, or
//! in a Cluster.

use std::{net::SocketAddr, ops::AddAssign, path::Path, time::Duration};

use redis::Value;
use tempfile::TempDir;

use crate::{
    fault::Ground,
    fleet::ROUTERS,
    harness::{Authority, free},
    it::fabric::{
        redis::Redis,
        servers::{Cluster, MASTER, Watched},
    },
    load,
    proxy::{Proxy, Weather},
};

/// What the replica does not hear any more before its master fails.
const LACKS: Duration = Duration::from_millis(400);
/// Between the two keys of a room that moves, so that a write meanwhile finds half of it: of one room of each router longer than a
/// call may take, of the others as long as a key that is small takes.
const LONG: Duration = Duration::from_millis(400);
const SHORT: Duration = Duration::from_millis(15);
/// The last of a Cluster's masters: the one with a replica.
const LAST: usize = 2;
/// Of one room, at one moment: the offset of its latest event, those of its log's first and last entry, and how many it has.
const LOOK: &str = "local log = redis.call('XRANGE', KEYS[2], '-', '+')
    if #log == 0 then return {redis.call('HGET', KEYS[1], 't'), '0-0', '0-0', 0} end
    return {redis.call('HGET', KEYS[1], 't'), log[1][1], log[#log][1], #log}";

/// See the module.
pub(crate) enum Keeping {
    Nowhere,
    One(Redis, Vec<Proxy>, Option<Box<Sealed>>),
    Watched(Box<Watched>),
    Cluster(Box<Cluster>),
}

/// What routers speak TLS by with a Redis that the tests ask without.
pub(crate) struct Sealed {
    authority: Authority,
    folder: TempDir,
    address: SocketAddr,
}

impl Sealed {
    fn new() -> Self {
        let sealed = Self { authority: Authority::new(), folder: TempDir::new().unwrap(), address: free() };
        std::fs::write(sealed.folder.path().join("ca.pem"), sealed.authority.pem()).unwrap();
        certify(&sealed.authority, sealed.folder.path(), "redis", false);
        sealed
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A Redis that has a port for it, beside the one that it has anyway.
    async fn redis(&self) -> Redis {
        let (port, cert, key) = (self.address.port().to_string(), self.file("redis.crt"), self.file("redis.key"));
        let files = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &self.file("ca.pem")];
        let arguments: Vec<_> = ["--tls-port", &port, "--tls-auth-clients", "no"].into_iter().chain(files).collect();
        Redis::with(&arguments).await
    }
}

/// From now on who reads that pair anew has one that has expired, or one that is good.
pub(crate) fn certify(authority: &Authority, folder: &Path, name: &str, expired: bool) {
    let names = ["127.0.0.1"];
    let pair = if expired { authority.sign_until(&names, 2001) } else { authority.sign(&names) };
    pair.write(folder, name);
}

/// What shows on the side of Redis that a fault was one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Marks {
    /// Bytes that the master was told and its replica never was.
    pub(crate) lacked: u64,
    /// Times that somebody was sent on for good, sent on this once, and told to come again.
    pub(crate) moved: u64,
    pub(crate) asked: u64,
    pub(crate) later: u64,
}

impl AddAssign for Marks {
    fn add_assign(&mut self, more: Self) {
        self.lacked += more.lacked;
        self.moved += more.moved;
        self.asked += more.asked;
        self.later += more.later;
    }
}

impl Keeping {
    pub(crate) async fn start(ground: Ground) -> Self {
        match ground {
            Ground::Etcd | Ground::Tls | Ground::Links => Self::Nowhere,
            Ground::Redis | Ground::Disk => Self::One(Redis::start().await, Vec::new(), None),
            Ground::RedisTls => {
                let sealed = Box::new(Sealed::new());
                Self::One(sealed.redis().await, Vec::new(), Some(sealed))
            }
            Ground::Sentinel => Self::Watched(Box::new(Watched::start().await)),
            Ground::Cluster => Self::Cluster(Box::new(Cluster::start().await)),
        }
    }

    /// What the next router is to know of it.
    pub(crate) async fn settings(&mut self) -> Vec<(&'static str, String)> {
        let url = |at: SocketAddr| format!("redis://{at}");
        match self {
            Self::Nowhere => Vec::new(),
            Self::One(redis, ways, sealed) => {
                let way = Proxy::start(sealed.as_ref().map_or(redis.address, |sealed| sealed.address)).await;
                let at = way.at;
                ways.push(way);
                match sealed {
                    None => vec![("redis.addrs", url(at))],
                    Some(sealed) => {
                        vec![("redis.addrs", format!("rediss://{at}")), ("redis.ca_file", sealed.file("ca.pem"))]
                    }
                }
            }
            Self::Watched(watched) => vec![
                ("redis.addrs", url(watched.sentinel.address)),
                ("redis.mode", "sentinel".to_owned()),
                ("redis.sentinel_master", MASTER.to_owned()),
            ],
            Self::Cluster(cluster) => {
                let urls: Vec<_> = cluster.masters.iter().map(|master| url(master.address)).collect();
                vec![("redis.addrs", urls.join(",")), ("redis.mode", "cluster".to_owned())]
            }
        }
    }

    /// The one that there is.
    pub(crate) fn one(&mut self) -> &mut Redis {
        match self {
            Self::One(redis, ..) => redis,
            _ => panic!("rooms are kept in one Redis on this ground"),
        }
    }

    fn watched(&mut self) -> &mut Watched {
        match self {
            Self::Watched(watched) => watched,
            _ => panic!("rooms are kept behind a Sentinel on this ground"),
        }
    }

    fn cluster(&mut self) -> &mut Cluster {
        match self {
            Self::Cluster(cluster) => cluster,
            _ => panic!("rooms are kept in a Cluster on this ground"),
        }
    }

    /// The network of these routers to the one that there is.
    pub(crate) fn weather(&self, of: &[usize], weather: Weather) {
        if let Self::One(_, ways, _) = self {
            of.iter().for_each(|number| ways[*number].set(weather));
        }
    }

    /// It shows a certificate that has expired, or one that is good. Connections that stand are closed: they were shown the other one, and
    /// what routers log next is why there are none.
    pub(crate) async fn shows(&self, expired: bool) {
        let Self::One(redis, _, Some(sealed)) = self else { panic!("nobody speaks TLS with Redis on this ground") };
        certify(&sealed.authority, sealed.folder.path(), "redis", expired);
        redis.run(&["CONFIG", "SET", "tls-cert-file", &sealed.file("redis.crt")]).await;
        for kind in ["normal", "pubsub"] {
            redis.run(&["CLIENT", "KILL", "TYPE", kind]).await;
        }
    }

    /// The servers that rooms are written to.
    fn masters(&self) -> Vec<&Redis> {
        match self {
            Self::Nowhere => Vec::new(),
            Self::One(redis, ..) => vec![redis],
            Self::Watched(watched) => vec![&watched.master],
            Self::Cluster(cluster) => cluster.masters.iter().collect(),
        }
    }

    /// The replica hears nothing of what is written from now on, and some is. How many bytes the master had been told until then.
    pub(crate) async fn leave_the_replica_behind(&self) -> u64 {
        let master = self.with_a_replica();
        master.leaves_replicas_behind().await;
        let until = told(master).await;
        tokio::time::sleep(LACKS).await;
        until
    }

    /// A master that has a replica.
    fn with_a_replica(&self) -> &Redis {
        match self {
            Self::Watched(watched) => &watched.master,
            Self::Cluster(cluster) => &cluster.masters[LAST],
            Self::Nowhere | Self::One(..) => panic!("there is no replica on this ground"),
        }
    }

    /// The master is gone, or stands still: its replica, which knows what that one had been told until then, takes its place.
    pub(crate) async fn lose_the_master(&mut self, frozen: bool, until: u64) -> Marks {
        let lacked = told(self.with_a_replica()).await - until;
        match self {
            Self::Cluster(cluster) => {
                cluster.masters[LAST].kill();
                cluster.fails_over().await;
            }
            _ => {
                let watched = self.watched();
                if frozen {
                    watched.master.freeze();
                } else {
                    watched.master.kill();
                }
                watched.fails_over().await;
            }
        }
        Marks { lacked, ..Marks::default() }
    }

    /// The one that was the master is there again, as a replica.
    pub(crate) async fn get_it_back(&mut self, frozen: bool) {
        match self {
            Self::Cluster(cluster) => cluster.has_a_replica_again().await,
            _ if frozen => self.watched().demotes().await,
            _ => self.watched().has_a_replica_again().await,
        }
    }

    /// The first room of each router is in the last master of a Cluster, which is the one that can be lost.
    pub(crate) async fn arrange(&mut self) {
        let Self::Cluster(cluster) = self else { return };
        for (name, key, from) in rooms(&cluster.masters.iter().collect::<Vec<_>>()).await.unwrap() {
            if name.ends_with("-0") && from != LAST {
                let slot = cluster.slot(&key).await;
                cluster.move_slot(slot, (from, LAST), Duration::ZERO).await;
            }
        }
    }

    /// The slots of all rooms of the load move on to the next master, one after the other, while these are written.
    pub(crate) async fn move_slots(&mut self) -> Marks {
        let before = self.sent_on().await;
        let cluster = self.cluster();
        for (name, key, from) in rooms(&cluster.masters.iter().collect::<Vec<_>>()).await.unwrap() {
            let (slot, to) = (cluster.slot(&key).await, (from + 1) % cluster.masters.len());
            let pause = if name.ends_with("-0") { LONG } else { SHORT };
            cluster.move_slot(slot, (from, to), pause).await;
        }
        let now = self.sent_on().await;
        Marks {
            lacked: 0,
            moved: now.moved - before.moved,
            asked: now.asked - before.asked,
            later: now.later - before.later,
        }
    }

    /// How often the masters said that something is elsewhere, or on its way.
    async fn sent_on(&self) -> Marks {
        let mut marks = Marks::default();
        for master in self.masters() {
            let count = async |error: &str| {
                let told = master.info("errorstats", &format!("errorstat_{error}")).await;
                told.and_then(|told| told.strip_prefix("count=")?.parse().ok()).unwrap_or(0)
            };
            let (moved, asked, later) = (count("MOVED").await, count("ASK").await, count("TRYAGAIN").await);
            marks += Marks { lacked: 0, moved, asked, later };
        }
        marks
    }

    /// Whether all rooms of the load are there, each with all that it is to have: a log without a hole up to its latest event.
    pub(crate) async fn is_whole(&self) -> Result<(), String> {
        if matches!(self, Self::Nowhere) {
            return Ok(());
        }
        let masters = self.masters();
        let rooms = rooms(&masters).await?;
        if rooms.len() != ROUTERS * load::ROOMS {
            return Err(format!("Redis has {} rooms of the load", rooms.len()));
        }
        for (name, key, at) in rooms {
            let log = key.replace("}:state", "}:log");
            let told = masters[at].ask(&["EVAL", LOOK, "2", &key, &log]).await;
            let Ok(Value::Array(told)) = &told else { return Err(format!("{name}: {told:?}")) };
            let numbers: Option<Vec<u64>> = told.iter().map(number).collect();
            let Some([tip, first, last, count]) = numbers.as_deref() else { return Err(format!("{name}: {told:?}")) };
            if last != tip || last + 1 - first != *count {
                return Err(format!("{name}: {count} events from {first} to {last} of {tip}"));
            }
        }
        Ok(())
    }
}

/// How many bytes a master was told for its replicas.
async fn told(master: &Redis) -> u64 {
    master.info("replication", "master_repl_offset").await.and_then(|told| told.parse().ok()).unwrap()
}

/// The rooms of the load that are there: their names, the keys of their states, and the places of the servers that have them.
async fn rooms(masters: &[&Redis]) -> Result<Vec<(String, String, usize)>, String> {
    let mut rooms = Vec::new();
    for (place, master) in masters.iter().enumerate() {
        let keys = match master.ask(&["KEYS", "signalbox:*load-*:state"]).await {
            Ok(Value::Array(keys)) => keys,
            other => return Err(format!("Redis: {other:?}")),
        };
        for key in keys {
            let Value::BulkString(key) = key else { return Err(format!("Redis: {key:?}")) };
            let key = String::from_utf8_lossy(&key).into_owned();
            let name = key.rsplit('/').next().and_then(|rest| rest.split('}').next()).unwrap_or_default();
            rooms.push((name.to_owned(), key, place));
        }
    }
    rooms.sort();
    Ok(rooms)
}

/// A number, or the offset that an entry's name begins with.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => (*number).try_into().ok(),
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.split('-').next()?.parse().ok(),
        _ => None,
    }
}
