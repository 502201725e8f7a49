//! Writes of many rooms at one moment: each is answered as if it were alone.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, future::join_all};
use signalbox::event::FabricCall;

use super::{
    servers::{Cluster, SLOTS},
    *,
};

/// Rooms that a side has, and the fence of each.
async fn made(side: &Side, count: usize) -> Vec<(RoomId, u64)> {
    let rooms: Vec<RoomId> = (0..count).map(room).collect();
    let taken = join_all(rooms.iter().map(|room| side.fabric.take(room, false))).await;
    rooms.into_iter().zip(taken.iter().map(|taken| fence(taken.as_ref().unwrap()))).collect()
}

/// Of each of them that entry.
fn say(rooms: &[(RoomId, u64)], offset: u64) -> Vec<Write> {
    let write = |(_, fence): &(RoomId, u64)| Write { fence: *fence, entries: entries([offset]), ..Write::default() };
    rooms.iter().map(write).collect()
}

/// What came of them, by their numbers; each has one answer.
async fn write_all(side: &Side, rooms: &[(RoomId, u64)], writes: &[Write]) -> Vec<Result<Written, Fault>> {
    let all = rooms.iter().zip(writes).enumerate().map(|(at, ((room, _), write))| (at, room, write)).collect();
    let answers: Vec<_> = side.fabric.write_all(all).collect().await;
    assert_eq!(answers.len(), rooms.len());
    let answers: BTreeMap<_, _> = answers.into_iter().collect();
    assert_eq!(answers.len(), rooms.len());
    answers.into_values().collect()
}

fn is_written(answer: &Result<Written, Fault>) -> bool {
    *answer == Ok(Written::Written)
}

#[tokio::test]
async fn each_is_carried_out_in_its_order_also_by_one_that_forgot_the_scripts() {
    let redis = Redis::start().await;
    let (one, other) = (Side::at("r1", &[&redis]), Side::at("r2", &[&redis]));
    let rooms = made(&one, 300).await;
    assert!(write_all(&one, &rooms, &say(&rooms, 1)).await.iter().all(is_written));
    redis.run(&["SCRIPT", "FLUSH"]).await;
    other.force("room-7").await;
    let answers = write_all(&one, &rooms, &say(&rooms, 2)).await;
    let fenced = Written::Fenced { owner: "r2".to_owned() };
    assert_eq!(answers[7], Ok(fenced));
    assert_eq!(answers.iter().filter(|answer| is_written(answer)).count(), 299);
    for (at, (room, _)) in rooms.iter().enumerate() {
        let there = kept(one.fabric.take(room, true).await.unwrap());
        assert_eq!(there.entries, entries(1..=if at == 7 { 1 } else { 2 }));
    }
    let told = one.told();
    let count = |wanted| {
        let called = |fact: &&FabricFact| matches!(fact, FabricFact::Called { call: FabricCall::Write, outcome, .. } if *outcome == wanted);
        told.iter().filter(called).count()
    };
    assert_eq!((count(FabricOutcome::Done), count(FabricOutcome::Fenced)), (599, 1), "each is told");
}

#[tokio::test]
async fn those_that_go_together_are_one_of_the_calls_that_may_be_under_way() {
    let redis = Redis::start().await;
    let one = Side::new(FabricSettings { calls_max: 1, ..settings("r1", &[&redis]) });
    let mut rooms = Vec::new();
    for number in 0..40 {
        rooms.push((room(number), one.made(room(number).as_str()).await));
    }
    // two connections, and so two questions
    let answers = write_all(&one, &rooms, &say(&rooms, 1)).await;
    let (written, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(is_written);
    assert!(written.len() > 5 && refused.len() > 5, "{refused:?}");
    assert!(refused.into_iter().all(|answer| outcome(answer) == FabricOutcome::Full));
    let (first, fence) = &rooms[0];
    let write = Write { fence: *fence, entries: entries([2]), ..Write::default() };
    one.wrote(first.as_str(), write).await;
}

#[tokio::test]
async fn a_server_that_is_away_fails_those_of_its_rooms() {
    let mut servers = [Redis::start().await, Redis::start().await, Redis::start().await];
    let one = Side::at("r1", &servers.iter().collect::<Vec<_>>());
    let rooms = made(&one, 300).await;
    servers[1].kill();
    let answers = write_all(&one, &rooms, &say(&rooms, 1)).await;
    let lost = answers.iter().filter(|answer| answer.is_err()).count();
    assert!((50..=150).contains(&lost), "{lost}");
    assert!(answers.iter().filter(|answer| answer.is_ok()).all(is_written));
}

#[tokio::test]
async fn in_a_cluster_each_goes_to_its_slot_and_follows_it_where_it_moves() {
    let cluster = Cluster::start().await;
    let one = cluster::side(&cluster, "r1");
    one.found_again("r").await;
    let rooms = made(&one, 200).await;
    assert!(write_all(&one, &rooms, &say(&rooms, 1)).await.iter().all(is_written));
    let slot = cluster::slot(&cluster, "room-7").await;
    let from = SLOTS.iter().position(|(first, last)| (*first..=*last).contains(&slot)).unwrap();
    let to = (from + 1) % 3;
    cluster.begin_to_move(slot, from, to).await;
    cluster.move_key("test:{r/fleet/room-7}:state", from, to).await;
    // one of its keys is here, and one is there: soon; nobody else waits for that
    let writes = say(&rooms, 2);
    let all = rooms.iter().zip(&writes).enumerate().map(|(at, ((room, _), write))| (at, room, write)).collect();
    let answers: Vec<_> = one.fabric.write_all(all).collect().await;
    let (last, others) = answers.split_last().unwrap();
    assert!(last.0 == 7 && outcome(last.1.clone()) == FabricOutcome::Busy, "{last:?}");
    assert!(others.len() == 199 && others.iter().all(|(_, answer)| is_written(answer)));
    cluster.move_key("test:{r/fleet/room-7}:log", from, to).await;
    let answers = write_all(&one, &rooms, &say(&rooms, 2)).await;
    assert!(answers.iter().all(is_written), "who has the slot says: ask there; {:?}", answers[7]);
    cluster.end_move(slot, from, to).await;
    let answers = write_all(&one, &rooms, &say(&rooms, 3)).await;
    assert!(answers.iter().all(is_written), "{:?}", answers[7]);
    assert_eq!(kept(one.fabric.take(&room(7), false).await.unwrap()).entries, entries(1..=3));
}
