//! A master, its replica and a Sentinel: when the master fails, the replica is found.

use std::time::{Duration, Instant};

use signalbox::{
    event::{FabricFact, FabricOutcome},
    fabric::{Kept, Write, Written},
    io::fabric::{Address, FabricMode, FabricSettings},
};

use super::{Side, address, entries, fence, field, kept, outcome, servers::Watched, settings};
use crate::harness::answered;

/// The first of its Sentinels is not there.
fn found_by(watched: &Watched, name: &str) -> FabricSettings {
    let addresses = vec![Address { host: "127.0.0.1".to_owned(), port: 1 }, address(watched.sentinel.address)];
    let mode = FabricMode::Sentinel { master: name.to_owned(), user: None };
    FabricSettings { addresses, mode, timeout: Duration::from_millis(500), ..settings("r1", &[]) }
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
    let one = Side::new(found_by(&watched, "rooms"));
    let made = fence(&one.found_again("r").await);
    one.wrote("r", Write { fence: made, set: vec![field("f", "room")], entries: entries([1, 2]), ..Write::default() })
        .await;
    let (before, after) = (watched.master.address.to_string(), watched.replica.address.to_string());
    assert_eq!(masters(&one.told()), [before.as_str()]);
    watched.replica.has_all_of(&watched.master).await;
    watched.master.kill();
    let begun = Instant::now();
    let again = kept(one.found_again("r").await);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(
        again,
        Kept { fence: made, fields: vec![field("f", "room")], entries: entries([1, 2]), ..Kept::default() }
    );
    assert_eq!(masters(&one.told()), [before, after]);
    one.wrote("r", Write { fence: made, entries: entries([3]), ..Write::default() }).await;
}

#[tokio::test]
async fn a_master_that_hands_over_is_followed_within_moments() {
    let watched = Watched::start().await;
    let one = Side::new(found_by(&watched, "rooms"));
    let made = fence(&one.found_again("r").await);
    // it has to have heard of the replica what it needs
    answered("the handover", async || watched.sentinel.ask(&["SENTINEL", "FAILOVER", "rooms"]).await.ok()).await;
    answered("the new master", async || {
        let write = Write { fence: made, set: vec![field("f", "room")], ..Write::default() };
        one.write("r", write).await.ok();
        (masters(&one.told()).last()? == &watched.replica.address.to_string()).then_some(())
    })
    .await;
    let write = Write { fence: made, reset: true, set: vec![field("f", "room")], ..Write::default() };
    answered("a write", async || one.write("r", write.clone()).await.ok()).await;
    let found = watched.replica.run(&["EXISTS", "test:{r/fleet/r}:state"]).await;
    assert_eq!(found, ::redis::Value::Int(1));
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_told_by_its_name() {
    let watched = Watched::start().await;
    let one = Side::new(found_by(&watched, "halls"));
    let refused = one.take("r").await.unwrap_err();
    assert!(refused.outcome == FabricOutcome::Failed || refused.outcome == FabricOutcome::Unreachable, "{refused:?}");
    assert!(format!("{:?}", one.told()).contains("halls"), "{:?}", one.told());
    assert_eq!(outcome(one.take("r").await), FabricOutcome::Resting);
}

#[tokio::test]
async fn what_the_one_in_its_place_had_not_heard_of_is_noticed_by_the_next_write() {
    let mut watched = Watched::start().await;
    let one = Side::new(found_by(&watched, "rooms"));
    let made = fence(&one.found_again("r").await);
    let numbered = |edition, after| Write { fence: made, edition, after, ..Write::default() };
    one.wrote("r", Write { set: vec![field("f", "room")], entries: entries([1]), ..numbered(1, 0) }).await;
    watched.replica.has_all_of(&watched.master).await;
    watched.master.leaves_replicas_behind().await;
    one.wrote("r", Write { entries: entries([2]), ..numbered(2, 1) }).await;
    watched.master.kill();
    watched.fails_over().await;
    let next = Write { entries: entries([3]), ..numbered(3, 2) };
    let written = answered("a word of the new master", async || one.write("r", next.clone()).await.ok()).await;
    assert_eq!(written, Written::Missing);
    let whole = Write { reset: true, set: vec![field("f", "room")], entries: entries(1..=3), ..numbered(4, 0) };
    one.wrote("r", whole).await;
    let stands =
        Kept { fence: made, fields: vec![field("f", "room")], entries: entries(1..=3), edition: 4, ..Kept::default() };
    assert_eq!(kept(one.take("r").await.unwrap()), stands);
}
