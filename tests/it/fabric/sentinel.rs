//! A master, its replica and a Sentinel: when the master fails, the replica is found.

use std::time::{Duration, Instant};

use signalbox::{
    event::{FabricFact, FabricOutcome},
    fabric::{Kept, Write},
    io::fabric::{Address, FabricMode, FabricSettings},
};

use super::{Redis, Side, address, entries, fence, field, kept, outcome, settings};
use crate::harness::answered;

struct Watched {
    master: Redis,
    replica: Redis,
    sentinel: Redis,
}

impl Watched {
    async fn start() -> Self {
        let master = Redis::start().await;
        let port = master.address.port().to_string();
        let replica = Redis::with(&["--replicaof", "127.0.0.1", &port]).await;
        answered("the replica follows", async || {
            (replica.info("replication", "master_link_status").await? == "up").then_some(())
        })
        .await;
        let sentinel = Redis::sentinel(&master, "rooms").await;
        answered("the Sentinel knows the replica", async || {
            let found = sentinel.ask(&["SENTINEL", "REPLICAS", "rooms"]).await.ok()?;
            matches!(found, ::redis::Value::Array(replicas) if replicas.len() == 1).then_some(())
        })
        .await;
        Self { master, replica, sentinel }
    }

    /// The first of its Sentinels is not there.
    fn settings(&self, name: &str) -> FabricSettings {
        let addresses = vec![Address { host: "127.0.0.1".to_owned(), port: 1 }, address(self.sentinel.address)];
        let mode = FabricMode::Sentinel { master: name.to_owned(), user: None };
        FabricSettings { addresses, mode, timeout: Duration::from_millis(500), ..settings("r1", &[]) }
    }
}

fn masters(facts: &[FabricFact]) -> Vec<String> {
    let found = |fact: &FabricFact| match fact {
        FabricFact::MastersFound { addresses, count: 1 } => Some(addresses.concat()),
        _ => None,
    };
    facts.iter().filter_map(found).collect()
}

#[tokio::test]
async fn when_the_master_is_killed_the_one_in_its_place_is_found_with_what_it_was_told() {
    let mut watched = Watched::start().await;
    let one = Side::new(watched.settings("rooms"));
    assert_eq!(fence(&one.found_again("r").await), 1);
    one.wrote("r", Write { fence: 1, set: vec![field("f", "room")], entries: entries([1, 2]), ..Write::default() })
        .await;
    let (before, after) = (watched.master.address.to_string(), watched.replica.address.to_string());
    assert_eq!(masters(&one.told()), [before.as_str()]);
    watched.replica.has_all_of(&watched.master).await;
    watched.master.kill();
    let begun = Instant::now();
    let again = kept(one.found_again("r").await);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(again, Kept { fence: 1, fields: vec![field("f", "room")], entries: entries([1, 2]) });
    assert_eq!(masters(&one.told()), [before, after]);
    one.wrote("r", Write { fence: 1, entries: entries([3]), ..Write::default() }).await;
}

#[tokio::test]
async fn a_master_that_hands_over_is_followed_within_moments() {
    let watched = Watched::start().await;
    let one = Side::new(watched.settings("rooms"));
    one.found_again("r").await;
    // it has to have heard of the replica what it needs
    answered("the handover", async || watched.sentinel.ask(&["SENTINEL", "FAILOVER", "rooms"]).await.ok()).await;
    answered("the new master", async || {
        let write = Write { fence: 1, set: vec![field("f", "room")], ..Write::default() };
        one.write("r", write).await.ok();
        (masters(&one.told()).last()? == &watched.replica.address.to_string()).then_some(())
    })
    .await;
    let write = Write { fence: 1, reset: true, set: vec![field("f", "room")], ..Write::default() };
    answered("a write", async || one.write("r", write.clone()).await.ok()).await;
    let found = watched.replica.run(&["EXISTS", "test:{r/fleet/r}:state"]).await;
    assert_eq!(found, ::redis::Value::Int(1));
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_told_by_its_name() {
    let watched = Watched::start().await;
    let one = Side::new(watched.settings("halls"));
    let refused = one.take("r").await.unwrap_err();
    assert!(refused.outcome == FabricOutcome::Failed || refused.outcome == FabricOutcome::Unreachable, "{refused:?}");
    assert!(format!("{:?}", one.told()).contains("halls"), "{:?}", one.told());
    assert_eq!(outcome(one.take("r").await), FabricOutcome::Resting);
}
