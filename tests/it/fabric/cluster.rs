//! A Cluster of three masters and a replica: slots that move, and a master that is lost.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use signalbox::{
    event::FabricOutcome,
    fabric::{Kept, Taken, Write, Written},
    io::fabric::{FabricMode, FabricSettings},
};

use super::{
    Side, address, entries, fence, field, kept, room,
    servers::{Cluster, SLOTS},
    settings,
};

/// A router that is told one of them alone.
pub(super) fn side(cluster: &Cluster, router: &str) -> Side {
    let addresses = vec![address(cluster.masters[0].address)];
    let timeout = Duration::from_millis(500);
    Side::new(FabricSettings { addresses, mode: FabricMode::Cluster, timeout, ..settings(router, &[]) })
}

async fn keys(cluster: &Cluster) -> Vec<i64> {
    join_all(cluster.masters.iter().map(async |master| match master.run(&["DBSIZE"]).await {
        ::redis::Value::Int(keys) => keys,
        other => panic!("{other:?}"),
    }))
    .await
}

/// The slot of that room's keys.
pub(super) async fn slot(cluster: &Cluster, room: &str) -> u16 {
    cluster.slot(&format!("test:{{r/fleet/{room}}}:state")).await
}

#[tokio::test]
async fn rooms_are_where_their_slots_are_and_are_followed_while_these_move() {
    let cluster = Cluster::start().await;
    let one = side(&cluster, "r1");
    let rooms: Vec<_> = (0..200).map(room).collect();
    let made = fence(&one.found_again("r").await);
    let taken = join_all(rooms.iter().map(|room| one.fabric.take(room, false))).await;
    assert!(taken.iter().all(|taken| matches!(taken, Ok(Taken::Nothing { .. }))), "{taken:?}");
    let spread = keys(&cluster).await;
    assert!(spread.iter().all(|keys| (40..=100).contains(keys)), "{spread:?}");
    one.wrote("r", Write { fence: made, set: vec![field("f", "room")], entries: entries([1]), ..Write::default() })
        .await;

    // the slot of one of them moves, while it is written
    let slot = slot(&cluster, "r").await;
    let from = SLOTS.iter().position(|(first, last)| (*first..=*last).contains(&slot)).unwrap();
    let to = (from + 1) % 3;
    cluster.begin_to_move(slot, from, to).await;
    let write = |offset| Write { fence: made, entries: entries([offset]), ..Write::default() };
    one.wrote("r", write(2)).await;
    cluster.move_key("test:{r/fleet/r}:state", from, to).await;
    // one of its keys is here, and one is there: soon
    let begun = Instant::now();
    let halfway = one.write("r", write(3)).await.unwrap_err();
    assert!(halfway.outcome == FabricOutcome::Busy && begun.elapsed() < Duration::from_secs(1), "{halfway:?}");
    cluster.move_key("test:{r/fleet/r}:log", from, to).await;
    // both are there, and who has the slot still says: ask there
    one.wrote("r", write(3)).await;
    cluster.end_move(slot, from, to).await;
    one.wrote("r", write(4)).await;
    let stands = Kept { fence: made, fields: vec![field("f", "room")], entries: entries(1..=4), ..Kept::default() };
    assert_eq!(kept(one.take("r").await.unwrap()), stands);
    // who comes anew finds it at once
    let anew = side(&cluster, "r2").fabric.take(&"r".into(), true).await.unwrap();
    assert_eq!(kept(anew), Kept { fence: made + 1, edition: 1, ..stands });
}

#[tokio::test]
async fn a_master_that_is_lost_is_followed_to_its_replica_and_holds_up_no_other_s_rooms() {
    let mut cluster = Cluster::start().await;
    let one = side(&cluster, "r1");
    let (mut lost, mut others) = (None, Vec::new());
    for number in 0.. {
        let room = format!("room-{number}");
        match (slot(&cluster, &room).await >= SLOTS[2].0, lost.is_some()) {
            (true, false) => lost = Some(room),
            (false, _) if others.len() < 20 => others.push(room),
            _ if others.len() == 20 && lost.is_some() => break,
            _ => {}
        }
    }
    let lost = lost.unwrap();
    let mut fences = Vec::new();
    for room in others.iter().chain([&lost]) {
        fences.push(fence(&one.found_again(room).await));
    }
    let made = fences[others.len()];
    one.wrote(&lost, Write { fence: made, set: vec![field("f", "room")], ..Write::default() }).await;
    cluster.replica.has_all_of(&cluster.masters[2]).await;
    // a Cluster that lacks slots goes on with those that it has
    for node in cluster.masters.iter().chain([&cluster.replica]) {
        node.run(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    cluster.masters[2].kill();
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    let again = loop {
        for (room, fence) in others.iter().zip(&fences) {
            let at = Instant::now();
            let write = Write { fence: *fence, set: vec![field("f", "x")], ..Write::default() };
            assert_eq!(one.write(room, write).await, Ok(Written::Written));
            slowest = slowest.max(at.elapsed());
        }
        if let Ok(taken) = one.take(&lost).await {
            break kept(taken);
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", one.told());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(again, Kept { fence: made, fields: vec![field("f", "room")], entries: Vec::new(), ..Kept::default() });
    assert!(slowest < Duration::from_millis(400), "{slowest:?}");
}
