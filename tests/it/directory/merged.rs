//! A router that is cut off from etcd and from Redis, and another that takes its room over, go on beside each other; then each side gets
//! the other's whole.

use super::{
    kept::{Member, all_is_written, keeping_with, outcome},
    proxy::{Proxy, Weather},
    *,
};
use crate::fabric::redis::Redis;

#[tokio::test]
async fn two_routers_that_went_on_with_one_room_have_all_of_it_after_the_heal() {
    let (etcd, redis) = (Etcd::start().await, Redis::start().await);
    let ways = [Proxy::start(etcd.address()).await, Proxy::start(redis.address).await];
    let (to_etcd, to_redis) = (format!("http://{}", ways[0].at), format!("redis://{}", ways[1].at));
    let cut = [("etcd.endpoints", to_etcd.as_str()), ("redis.addrs", to_redis.as_str())];
    // who is away is back in time, whatever else this machine does
    let lingers = ("rooms.linger_seconds", "60");
    let one = keeping_with(&etcd, &redis, "r1", &[&cut[..], &[lingers]].concat());
    let other = keeping_with(&etcd, &redis, "r2", &[lingers]);
    agree(&[&one, &other], &["r1", "r2"]).await;
    let mut alice = Member::join(&one, "r", "alice").await;
    let mut bob = Member::join(&one, "r", "bob").await;
    alice.say(1).await;
    bob.hears(1).await;
    all_is_written(&one).await;

    ways.iter().for_each(|way| way.set(Weather { reset: true, ..Weather::default() }));
    // bob goes to the other one, which takes the room over once nothing is heard of the first
    assert!(bob.back(&other).await, "all of it was written");
    alice.say(2).await;
    bob.say(3).await;
    alice.say(4).await;

    ways.iter().for_each(|way| way.set(Weather::default()));
    // nobody is sent away before all that the first one has is where the other looks for it
    let leave = alice.socket.push_of("leave").await;
    assert_eq!(leave["code"], "room_elsewhere", "{leave}");
    assert!(alice.back(&other).await, "from a life of the room that the other one had not");
    alice.hears(3).await;
    bob.hears(2).await;
    bob.hears(4).await;
    bob.say(5).await;
    alice.hears(5).await;
    alice.say(6).await;
    bob.hears(6).await;
    let counts = async |router, of| metric(router, &outcome(of)).await;
    assert_eq!((counts(&one, "set_beside").await, counts(&other, "merged").await), (Some(1.0), Some(1.0)));
    assert_eq!(counts(&other, "not_merged").await, Some(0.0));
}
