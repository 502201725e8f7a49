//! What a Redis that fails costs: whoever asks hears of it in time, nothing queues up, and it is found again.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use signalbox::{
    event::{FabricFact, FabricLoss, FabricOutcome},
    fabric::{Kept, Taken, Write},
    io::{
        dialing::TlsFiles,
        fabric::{Credentials, FabricSettings},
    },
};

use super::{Redis, Side, entries, fence, field, kept, outcome, room, settings};
use crate::harness::{Authority, answered};

const TIMEOUT: Duration = Duration::from_millis(300);
/// A task that is due may still wait for a busy machine.
const LEEWAY: Duration = Duration::from_millis(700);

fn hasty(router: &str, servers: &[&Redis]) -> FabricSettings {
    FabricSettings { timeout: TIMEOUT, ..settings(router, servers) }
}

fn losses(facts: &[FabricFact]) -> Vec<FabricLoss> {
    let loss = |fact: &FabricFact| match fact {
        FabricFact::Unconnected { loss, .. } => Some(*loss),
        _ => None,
    };
    facts.iter().filter_map(loss).collect()
}

#[tokio::test]
async fn one_that_is_killed_is_told_at_once_and_found_again_with_what_it_had() {
    let mut redis = Redis::start().await;
    let one = Side::new(hasty("r1", &[&redis]));
    let made = one.made("r").await;
    one.wrote("r", Write { fence: made, set: vec![field("f", "room")], entries: entries([1]), ..Write::default() })
        .await;
    redis.kill();
    let write = || Write { fence: made, entries: entries([2]), ..Write::default() };
    let begun = Instant::now();
    let first = outcome(one.write("r", write()).await);
    assert!(matches!(first, FabricOutcome::Unreachable | FabricOutcome::Resting), "{first:?}");
    // not tried for each
    for _ in 0..1_000 {
        let refused = outcome(one.write("r", write()).await);
        assert!(matches!(refused, FabricOutcome::Unreachable | FabricOutcome::Resting), "{refused:?}");
    }
    assert!(begun.elapsed() < LEEWAY, "{:?}", begun.elapsed());
    assert!(losses(&one.told()).len() < 20, "{:?}", losses(&one.told()));
    answered("an attempt", async || {
        (outcome(one.write("r", write()).await) == FabricOutcome::Unreachable).then_some(())
    })
    .await;
    assert!(losses(&one.told()).contains(&FabricLoss::Closed), "{:?}", one.told());
    redis.again().await;
    // it knows no script any more
    let again = kept(one.found_again("r").await);
    assert_eq!(again, Kept { fence: made, fields: vec![field("f", "room")], entries: entries([1]), ..Kept::default() });
    one.wrote("r", write()).await;
}

#[tokio::test]
async fn one_that_forgot_the_scripts_is_told_them_again_by_all_who_ask() {
    let redis = Redis::start().await;
    let one = Side::at("r1", &[&redis]);
    let rooms: Vec<_> = (0..100).map(room).collect();
    let mut fences = Vec::new();
    for _ in 0..2 {
        redis.run(&["SCRIPT", "FLUSH"]).await;
        let taken = join_all(rooms.iter().map(|room| one.fabric.take(room, false))).await;
        fences.push(taken.iter().map(|taken| fence(taken.as_ref().unwrap())).collect::<Vec<_>>());
    }
    assert_eq!(fences[0], fences[1]);
}

#[tokio::test]
async fn one_that_hangs_costs_each_call_no_more_than_its_time_and_then_none() {
    let redis = Redis::start().await;
    let one = Side::new(hasty("r1", &[&redis]));
    let rooms: Vec<_> = (0..200).map(room).collect();
    let taken = join_all(rooms.iter().map(|room| one.fabric.take(room, false))).await;
    let made: Vec<_> = taken.iter().map(|taken| fence(taken.as_ref().unwrap())).collect();
    redis.freeze();
    let begun = Instant::now();
    let late = join_all(rooms.iter().map(|room| one.fabric.take(room, false))).await;
    assert!(begun.elapsed() < TIMEOUT + LEEWAY, "{:?}", begun.elapsed());
    assert!(late.into_iter().all(|answer| outcome(answer) == FabricOutcome::Late));
    assert!(losses(&one.told()).contains(&FabricLoss::Silent), "{:?}", losses(&one.told()));
    // the kernel still takes connections for it: each attempt takes its time, and who asks meanwhile waits for that one
    answered("a rest", async || (outcome(one.take("r").await) == FabricOutcome::Resting).then_some(())).await;
    let begun = Instant::now();
    for _ in 0..50 {
        let room = room(begun.elapsed().subsec_nanos() as usize);
        let refused = outcome(one.fabric.take(&room, false).await);
        assert!(matches!(refused, FabricOutcome::Late | FabricOutcome::Resting), "{refused:?}");
    }
    assert!(begun.elapsed() < (TIMEOUT + LEEWAY) * 3, "{:?}", begun.elapsed());
    redis.thaw();
    let begun = Instant::now();
    assert_eq!(fence(&one.found_again("room-0").await), made[0]);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn calls_past_the_bound_are_turned_away_and_take_no_time() {
    let redis = Redis::start().await;
    let one = Side::new(FabricSettings { calls_max: 4, ..hasty("r1", &[&redis]) });
    one.take("r").await.unwrap();
    redis.freeze();
    let rooms: Vec<_> = (0..10).map(room).collect();
    let refused = join_all(rooms.iter().map(|room| one.fabric.take(room, false))).await;
    redis.thaw();
    let of = |wanted| refused.iter().filter(|answer| answer.as_ref().unwrap_err().outcome == wanted).count();
    assert_eq!((of(FabricOutcome::Late), of(FabricOutcome::Full)), (4, 6), "{refused:?}");
    assert!(refused[9].as_ref().unwrap_err().why.contains("redis.calls_max"));
    assert!(one.found_again("r").await != Taken::Held { owner: "r1".to_owned() });
}

#[tokio::test]
async fn who_the_router_is_has_to_be_right_and_is_not_told_to_anybody_else() {
    let redis = Redis::with_password("the right one").await;
    let user = |password: &str| Some(Credentials { name: None, password: password.into() });
    let with = |user| Side::new(FabricSettings { user, ..settings("r1", &[&redis]) });
    for wrong in [None, user("a secret guess")] {
        let one = with(wrong);
        assert_eq!(outcome(one.take("r").await), FabricOutcome::Denied, "{:?}", one.told());
        assert_eq!(outcome(one.take("r").await), FabricOutcome::Resting);
        assert_eq!(losses(&one.told()), [FabricLoss::Denied]);
        assert!(!format!("{:?}", one.told()).contains("secret guess"));
    }
    let one = with(user("the right one"));
    let made = one.made("r").await;
    assert!(!format!("{:?}{:?}", one.fabric, one.told()).contains("right"));
    redis.run(&["ACL", "SETUSER", "rooms", "on", ">another", "~test:*", "+@all"]).await;
    let named = Credentials { name: Some("rooms".to_owned()), password: "another".into() };
    assert_eq!(fence(&with(Some(named.clone())).take("r").await.unwrap()), made);
    // it may not touch these keys
    let elsewhere = FabricSettings { user: Some(named), prefix: "x:".to_owned(), ..settings("r1", &[&redis]) };
    assert_eq!(outcome(Side::new(elsewhere).take("r").await), FabricOutcome::Denied);
}

#[tokio::test]
async fn over_tls_both_sides_show_who_they_are() {
    let (authority, folder) = (Authority::new(), tempfile::TempDir::new().unwrap());
    authority.sign(&["127.0.0.1"]).write(folder.path(), "redis");
    authority.sign(&["router"]).write(folder.path(), "router");
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("ca.pem"), authority.pem()).unwrap();
    std::fs::write(file("other.pem"), Authority::new().pem()).unwrap();
    let redis = Redis::with_tls(folder.path()).await;
    let own = || Some((file("router.crt"), file("router.key")));
    let with = |ca: &str, own| {
        let tls = Some(TlsFiles { ca: file(ca), own });
        Side::new(FabricSettings { tls, ..settings("r1", &[&redis]) })
    };
    with("ca.pem", own()).made("r").await;
    let stranger = with("other.pem", own()).take("r").await.unwrap_err();
    assert_eq!(stranger.outcome, FabricOutcome::Unreachable);
    assert!(stranger.why.contains("certificate"), "{stranger:?}");
    assert_eq!(outcome(with("ca.pem", None).take("r").await), FabricOutcome::Unreachable);
    let missing = with("gone.pem", own()).take("r").await.unwrap_err();
    assert!(missing.why.contains("gone.pem"), "{missing:?}");
}

#[tokio::test]
async fn one_that_is_a_master_no_more_is_told_and_its_connections_are_let_go_of() {
    let (redis, other) = (Redis::start().await, Redis::start().await);
    let one = Side::at("r1", &[&redis]);
    let made = one.made("r").await;
    redis.run(&["REPLICAOF", "127.0.0.1", &other.address.port().to_string()]).await;
    let write = Write { fence: made, set: vec![field("f", "room")], ..Write::default() };
    answered("the refusal", async || {
        let refused = outcome(one.write("r", write.clone()).await);
        (refused == FabricOutcome::ReadOnly).then_some(())
    })
    .await;
    assert!(losses(&one.told()).contains(&FabricLoss::Demoted), "{:?}", one.told());
    redis.run(&["REPLICAOF", "NO", "ONE"]).await;
    one.found_again("r").await;
}

#[tokio::test]
async fn of_several_each_has_its_own_rooms_and_one_that_is_away_holds_up_no_others() {
    let mut servers = [Redis::start().await, Redis::start().await, Redis::start().await];
    let one = Side::at("r1", &servers.iter().collect::<Vec<_>>());
    let rooms: Vec<_> = (0..300).map(room).collect();
    assert!(join_all(rooms.iter().map(|room| one.fabric.take(room, false))).await.iter().all(Result::is_ok));
    // whoever lists them in another order finds them as well
    let other = Side::at("r2", &[&servers[2], &servers[0], &servers[1]]);
    let seen = join_all(rooms.iter().map(|room| other.fabric.take(room, false))).await;
    assert!(seen.iter().all(|seen| *seen == Ok(Taken::Held { owner: "r1".to_owned() })));
    for server in &servers {
        let ::redis::Value::Int(has) = server.run(&["DBSIZE"]).await else { panic!() };
        assert!((50..=150).contains(&has), "{has}");
    }
    servers[1].kill();
    let begun = Instant::now();
    let again = join_all(rooms.iter().map(|room| one.fabric.take(room, false))).await;
    let lost = again.iter().filter(|answer| answer.is_err()).count();
    assert!((50..=150).contains(&lost) && begun.elapsed() < LEEWAY, "{lost} lost in {:?}", begun.elapsed());
}
