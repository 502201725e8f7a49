//! Servers of Redis that belong together: a master with its replica and a Sentinel, and a Cluster whose slots can move.

use std::time::Duration;

use ::redis::Value;

use super::redis::Redis;
use crate::harness::{answered, free};

/// What the Sentinel calls the master.
pub(crate) const MASTER: &str = "rooms";
/// Of the three masters at first; the last one has a replica.
pub(crate) const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];
/// Keys that are asked for at a time.
const KEYS_AT_ONCE: &str = "100";

/// A master, its replica, and a Sentinel that puts the one in the place of the other.
pub(crate) struct Watched {
    pub(crate) master: Redis,
    pub(crate) replica: Redis,
    pub(crate) sentinel: Redis,
}

impl Watched {
    pub(crate) async fn start() -> Self {
        let master = Redis::start().await;
        let port = master.address.port().to_string();
        let replica = Redis::with(&["--replicaof", "127.0.0.1", &port]).await;
        replica.follows().await;
        let sentinel = Redis::sentinel(&master, MASTER).await;
        let watched = Self { master, replica, sentinel };
        watched.is_known().await;
        watched
    }

    /// Waits until the replica follows, as the Sentinel knows.
    async fn is_known(&self) {
        self.replica.follows().await;
        answered("the Sentinel knows the replica", async || {
            let Value::Array(replicas) = self.sentinel.ask(&["SENTINEL", "REPLICAS", MASTER]).await.ok()? else {
                return None;
            };
            let [Value::Array(told)] = &replicas[..] else { return None };
            let told: Vec<_> = told.iter().map(text).collect();
            let flags = told.iter().position(|word| word == "flags").map(|at| told[at + 1].as_str());
            (flags == Some("slave")).then_some(())
        })
        .await;
    }

    /// Waits until the Sentinel has put the replica in the place of the master: from then on it is called so.
    pub(crate) async fn fails_over(&mut self) {
        answered("the replica is the master", async || {
            (self.replica.info("replication", "role").await? == "master").then_some(())
        })
        .await;
        std::mem::swap(&mut self.master, &mut self.replica);
    }

    /// The one that was killed is there again, as the replica that it is now.
    pub(crate) async fn has_a_replica_again(&mut self) {
        self.replica.again_behind(&self.master).await;
        self.is_known().await;
    }

    /// The one that stood still hears that it is the master no more.
    pub(crate) async fn demotes(&mut self) {
        self.replica.thaw();
        self.is_known().await;
        self.replica.lets_replicas_hear().await;
    }
}

/// A Cluster of three masters, the last of which has a replica.
pub(crate) struct Cluster {
    pub(crate) masters: Vec<Redis>,
    pub(crate) replica: Redis,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let masters = vec![node().await, node().await, node().await];
        let replica = node().await;
        for (master, (first, last)) in masters.iter().zip(SLOTS) {
            master.run(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        }
        for other in masters[1..].iter().chain([&replica]) {
            let (port, bus) = (other.address.port().to_string(), bus(other).await);
            masters[0].run(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        }
        let cluster = Self { masters, replica };
        cluster.is_whole().await;
        cluster.replica.run(&["CLUSTER", "REPLICATE", &id(&cluster.masters[2]).await]).await;
        cluster.replica.follows().await;
        cluster
    }

    async fn is_whole(&self) {
        for node in self.masters.iter().chain([&self.replica]) {
            answered("the Cluster is whole", async || is_well(node).await).await;
        }
    }

    /// The slot of that key, as the Cluster counts.
    pub(crate) async fn slot(&self, key: &str) -> u16 {
        match self.masters[0].run(&["CLUSTER", "KEYSLOT", key]).await {
            Value::Int(slot) => slot.try_into().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// A slot is to be on another master: from here on who asks for what is not there is sent on.
    pub(crate) async fn begin_to_move(&self, slot: u16, from: usize, to: usize) {
        let (from, to, slot) = (&self.masters[from], &self.masters[to], slot.to_string());
        let ids = (id(from).await, id(to).await);
        to.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids.0]).await;
        from.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids.1]).await;
    }

    /// One of its keys moves.
    pub(crate) async fn move_key(&self, key: &str, from: usize, to: usize) {
        let port = self.masters[to].address.port().to_string();
        self.masters[from].run(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
    }

    /// All of them have: the slot is there from now on, as all are told.
    pub(crate) async fn end_move(&self, slot: u16, from: usize, to: usize) {
        let (slot, owner) = (slot.to_string(), id(&self.masters[to]).await);
        let others = (0..self.masters.len()).filter(|other| ![from, to].contains(other));
        for master in [to, from].into_iter().chain(others) {
            self.masters[master].run(&["CLUSTER", "SETSLOT", &slot, "NODE", &owner]).await;
        }
    }

    /// All that is in a slot moves, key by key, so long after one another, while who writes goes on.
    pub(crate) async fn move_slot(&self, slot: u16, (from, to): (usize, usize), pause: Duration) {
        self.begin_to_move(slot, from, to).await;
        loop {
            let slot = slot.to_string();
            let found = self.masters[from].run(&["CLUSTER", "GETKEYSINSLOT", &slot, KEYS_AT_ONCE]).await;
            let Value::Array(keys) = found else { panic!("{found:?}") };
            if keys.is_empty() {
                break;
            }
            for key in &keys {
                self.move_key(&text(key), from, to).await;
                // between two of a room, it is neither here nor there; after the last one all is there, and who asks is sent on
                tokio::time::sleep(pause).await;
            }
        }
        self.end_move(slot, from, to).await;
    }

    /// Waits until the replica has taken the place of the last master: from then on it is called so.
    pub(crate) async fn fails_over(&mut self) {
        answered("the replica is a master", async || {
            (self.replica.info("replication", "role").await? == "master").then_some(())
        })
        .await;
        std::mem::swap(&mut self.masters[2], &mut self.replica);
    }

    /// The one that was killed is there again, as the replica that it is now.
    pub(crate) async fn has_a_replica_again(&mut self) {
        self.replica.again().await;
        self.replica.follows().await;
        self.is_whole().await;
    }
}

async fn node() -> Redis {
    let bus = free().port().to_string();
    let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "1000"];
    Redis::with(&[&arguments[..], &["--cluster-replica-validity-factor", "0"]].concat()).await
}

async fn id(of: &Redis) -> String {
    text(&of.run(&["CLUSTER", "MYID"]).await)
}

async fn bus(of: &Redis) -> String {
    let Value::Array(told) = of.run(&["CONFIG", "GET", "cluster-port"]).await else { panic!() };
    let [_, port] = &told[..] else { panic!("{told:?}") };
    text(port)
}

async fn is_well(node: &Redis) -> Option<()> {
    let told = text(&node.ask(&["CLUSTER", "INFO"]).await.ok()?);
    (told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:4")).then_some(())
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(text) => String::from_utf8(text.clone()).unwrap(),
        other => panic!("{other:?}"),
    }
}
