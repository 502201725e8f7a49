//! A Cluster of three masters and a replica: slots that move, and a master that is lost.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use signalbox::{
    event::FabricOutcome,
    fabric::{Kept, Taken, Write, Written},
    io::fabric::{FabricMode, FabricSettings},
};

use super::{Redis, Side, address, entries, fence, field, kept, room, settings};
use crate::harness::{answered, free};

struct Cluster {
    masters: Vec<Redis>,
    replica: Redis,
}

const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

async fn node() -> Redis {
    let bus = free().port().to_string();
    let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "1000"];
    Redis::with(&[&arguments[..], &["--cluster-replica-validity-factor", "0"]].concat()).await
}

async fn id(of: &Redis) -> String {
    match of.run(&["CLUSTER", "MYID"]).await {
        ::redis::Value::BulkString(id) => String::from_utf8(id).unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn bus(of: &Redis) -> String {
    let ::redis::Value::Array(told) = of.run(&["CONFIG", "GET", "cluster-port"]).await else { panic!() };
    let [_, ::redis::Value::BulkString(port)] = &told[..] else { panic!("{told:?}") };
    String::from_utf8(port.clone()).unwrap()
}

async fn is_well(node: &Redis) -> Option<()> {
    match node.ask(&["CLUSTER", "INFO"]).await.ok()? {
        ::redis::Value::BulkString(text) => {
            let text = String::from_utf8(text).unwrap();
            let whole = text.contains("cluster_state:ok") && text.contains("cluster_known_nodes:4");
            whole.then_some(())
        }
        _ => None,
    }
}

impl Cluster {
    async fn start() -> Self {
        let masters = vec![node().await, node().await, node().await];
        let replica = node().await;
        for (master, (first, last)) in masters.iter().zip(SLOTS) {
            master.run(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
        }
        for other in masters[1..].iter().chain([&replica]) {
            let (port, bus) = (other.address.port().to_string(), bus(other).await);
            masters[0].run(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        }
        for node in masters.iter().chain([&replica]) {
            answered("the Cluster is whole", async || is_well(node).await).await;
        }
        replica.run(&["CLUSTER", "REPLICATE", &id(&masters[2]).await]).await;
        answered("the replica follows", async || {
            (replica.info("replication", "master_link_status").await? == "up").then_some(())
        })
        .await;
        Self { masters, replica }
    }

    /// It is told one of them alone.
    fn side(&self, router: &str) -> Side {
        let addresses = vec![address(self.masters[0].address)];
        let timeout = Duration::from_millis(500);
        Side::new(FabricSettings { addresses, mode: FabricMode::Cluster, timeout, ..settings(router, &[]) })
    }

    async fn keys(&self) -> Vec<i64> {
        join_all(self.masters.iter().map(async |master| match master.run(&["DBSIZE"]).await {
            ::redis::Value::Int(keys) => keys,
            other => panic!("{other:?}"),
        }))
        .await
    }

    /// The slot of that room's keys, as the Cluster counts.
    async fn slot(&self, room: &str) -> u16 {
        match self.masters[0].run(&["CLUSTER", "KEYSLOT", &format!("test:{{r/fleet/{room}}}:state")]).await {
            ::redis::Value::Int(slot) => slot.try_into().unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn rooms_are_where_their_slots_are_and_are_followed_while_these_move() {
    let cluster = Cluster::start().await;
    let one = cluster.side("r1");
    let rooms: Vec<_> = (0..200).map(room).collect();
    one.found_again("r").await;
    let taken = join_all(rooms.iter().map(|room| one.fabric.take(room, false))).await;
    assert!(taken.iter().all(|taken| taken == &Ok(Taken::Nothing { fence: 1 })), "{taken:?}");
    assert!(cluster.keys().await.iter().all(|keys| (40..=100).contains(keys)), "{:?}", cluster.keys().await);
    one.wrote("r", Write { fence: 1, set: vec![field("f", "room")], entries: entries([1]), ..Write::default() }).await;

    // the slot of one of them moves, while it is written
    let slot = cluster.slot("r").await;
    let from = SLOTS.iter().position(|(first, last)| (*first..=*last).contains(&slot)).unwrap();
    let (from, to) = (&cluster.masters[from], &cluster.masters[(from + 1) % 3]);
    let (from_id, to_id, slot) = (id(from).await, id(to).await, slot.to_string());
    to.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
    from.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
    let write = |offset| Write { fence: 1, entries: entries([offset]), ..Write::default() };
    one.wrote("r", write(2)).await;
    let port = to.address.port().to_string();
    let migrate = async |key: &str| {
        from.run(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
    };
    migrate("test:{r/fleet/r}:state").await;
    // one of its keys is here, and one is there: soon
    let begun = Instant::now();
    let halfway = one.write("r", write(3)).await.unwrap_err();
    assert!(halfway.outcome == FabricOutcome::Busy && begun.elapsed() < Duration::from_secs(1), "{halfway:?}");
    migrate("test:{r/fleet/r}:log").await;
    // both are there, and who has the slot still says: ask there
    one.wrote("r", write(3)).await;
    for node in [to, from] {
        node.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
    }
    one.wrote("r", write(4)).await;
    let stands = Kept { fence: 1, fields: vec![field("f", "room")], entries: entries(1..=4) };
    assert_eq!(kept(one.take("r").await.unwrap()), stands);
    // who comes anew finds it at once
    assert_eq!(kept(cluster.side("r2").fabric.take(&"r".into(), true).await.unwrap()), Kept { fence: 2, ..stands });
}

#[tokio::test]
async fn a_master_that_is_lost_is_followed_to_its_replica_and_holds_up_no_other_s_rooms() {
    let mut cluster = Cluster::start().await;
    let one = cluster.side("r1");
    let (mut lost, mut others) = (None, Vec::new());
    for number in 0.. {
        let room = format!("room-{number}");
        match (cluster.slot(&room).await >= SLOTS[2].0, lost.is_some()) {
            (true, false) => lost = Some(room),
            (false, _) if others.len() < 20 => others.push(room),
            _ if others.len() == 20 && lost.is_some() => break,
            _ => {}
        }
    }
    let lost = lost.unwrap();
    for room in others.iter().chain([&lost]) {
        assert_eq!(fence(&one.found_again(room).await), 1);
    }
    one.wrote(&lost, Write { fence: 1, set: vec![field("f", "room")], ..Write::default() }).await;
    cluster.replica.has_all_of(&cluster.masters[2]).await;
    // a Cluster that lacks slots goes on with those that it has
    for node in cluster.masters.iter().chain([&cluster.replica]) {
        node.run(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    cluster.masters[2].kill();
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    let again = loop {
        for room in &others {
            let at = Instant::now();
            let write = Write { fence: 1, set: vec![field("f", "x")], ..Write::default() };
            assert_eq!(one.write(room, write).await, Ok(Written::Written));
            slowest = slowest.max(at.elapsed());
        }
        if let Ok(taken) = one.take(&lost).await {
            break kept(taken);
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", one.told());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(again, Kept { fence: 1, fields: vec![field("f", "room")], entries: Vec::new() });
    assert!(slowest < Duration::from_millis(400), "{slowest:?}");
}
