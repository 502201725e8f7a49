//! What is kept of a room, and who may change it.

use std::time::Duration;

use bytes::Bytes;
use signalbox::{
    event::FabricOutcome,
    fabric::{Kept, Last, TIP_FIELD, Taken, Write, Written, memory::Memory},
    ids::Epoch,
};

use super::{Redis, Side, entries, entry, fence, field, kept, outcome, settings};
use crate::harness::answered;

#[tokio::test]
async fn a_room_is_whose_router_took_it_until_that_one_releases_it_or_is_overruled() {
    let redis = Redis::start().await;
    let (one, other) = (Side::at("r1", &[&redis]), Side::at("r2", &[&redis]));
    let made = one.made("r").await;
    assert_eq!(other.take("r").await, Ok(Taken::Held { owner: "r1".to_owned() }));
    let write = Write { fence: made, set: vec![field("f", "room")], entries: entries([1, 2]), ..Write::default() };
    one.wrote("r", write).await;
    // again by the same router: as if it had never asked
    let again = Kept { fence: made, fields: vec![field("f", "room")], entries: entries([1, 2]), ..Kept::default() };
    assert_eq!(kept(one.take("r").await.unwrap()), again);

    one.wrote("r", Write { fence: made, released: true, set: vec![field("m:1", "alice")], ..Write::default() }).await;
    let handed = Kept {
        fence: made + 1,
        fields: vec![field("f", "room"), field("m:1", "alice")],
        entries: entries([1, 2]),
        edition: 1,
        ..Kept::default()
    };
    assert_eq!(kept(other.take("r").await.unwrap()), handed);
    // released once: not for everybody after that
    assert_eq!(one.take("r").await, Ok(Taken::Held { owner: "r2".to_owned() }));
    assert_eq!(kept(one.force("r").await), Kept { fence: made + 2, ..handed });
    assert!(other.made("another").await > made, "a number of its own");
}

#[tokio::test]
async fn a_router_that_was_overtaken_changes_nothing_and_hears_by_whom() {
    let redis = Redis::start().await;
    let (one, other) = (Side::at("r1", &[&redis]), Side::at("r2", &[&redis]));
    let made = one.made("r").await;
    one.wrote("r", Write { fence: made, set: vec![field("f", "before")], ..Write::default() }).await;
    assert_eq!(fence(&other.force("r").await), made + 1);
    let fenced = Ok(Written::Fenced { owner: "r2".to_owned() });
    for reset in [false, true] {
        let set = vec![field("f", "after")];
        let late = Write { fence: made, reset, released: true, set, entries: entries([9]), ..Write::default() };
        assert_eq!(one.write("r", late).await, fenced);
    }
    assert_eq!(one.fabric.end(&"r".into(), made).await, fenced);
    let stands = Kept {
        fence: made + 1,
        fields: vec![field("f", "before")],
        entries: Vec::new(),
        edition: 1,
        ..Kept::default()
    };
    assert_eq!(kept(other.take("r").await.unwrap()), stands);
    // the same router under an older fence: a word of before it lost the room and got it back
    assert_eq!(fence(&one.force("r").await), made + 2);
    let old = Write { fence: made, set: vec![field("f", "old")], ..Write::default() };
    assert_eq!(one.write("r", old).await, Ok(Written::Fenced { owner: "r1".to_owned() }));
}

#[tokio::test]
async fn what_was_under_way_when_the_room_was_taken_again_changes_nothing_once_it_arrives() {
    let redis = Redis::start().await;
    // what the first sends from now on is what it sent before the second was there, and Redis did not read until now
    let (before, after) = (Side::at("r1", &[&redis]), Side::at("r1", &[&redis]));
    let made = before.made("r").await;
    before.wrote("r", Write { fence: made, set: vec![field("f", "before")], ..Write::default() }).await;
    after.take("r").await.unwrap();
    after
        .wrote("r", Write { fence: made, set: vec![field("f", "after")], entries: entries([1]), ..Write::default() })
        .await;
    let late = Write { fence: made, set: vec![field("f", "late")], entries: entries([2]), ..Write::default() };
    let fenced = Ok(Written::Fenced { owner: "r1".to_owned() });
    assert_eq!(before.write("r", Write { reset: true, ..late.clone() }).await, fenced);
    assert_eq!(before.write("r", late).await, fenced);
    assert_eq!(before.fabric.end(&"r".into(), made).await, fenced);
    let stands = Kept { fence: made, fields: vec![field("f", "after")], entries: entries([1]), ..Kept::default() };
    assert_eq!(kept(after.take("r").await.unwrap()), stands);
}

#[tokio::test]
async fn a_write_that_comes_twice_or_late_adds_nothing_and_old_entries_go() {
    let redis = Redis::start().await;
    let one = Side::at("r1", &[&redis]);
    let made = one.made("r").await;
    let write = |offsets, trim_below| Write { fence: made, trim_below, entries: entries(offsets), ..Write::default() };
    for _ in 0..2 {
        one.wrote("r", write(1..=5, 0)).await;
    }
    one.wrote("r", write(4..=7, 3)).await;
    assert_eq!(kept(one.take("r").await.unwrap()).entries, entries(3..=7));
    // all of them have gone: what was written before still adds nothing
    one.wrote("r", write(7..=7, 100)).await;
    one.wrote("r", write(6..=7, 0)).await;
    assert_eq!(kept(one.take("r").await.unwrap()).entries, []);
    one.wrote("r", write(8..=9, 0)).await;
    let write = Write { fence: made, set: vec![field("a", "1"), field("b", "2")], ..Write::default() };
    one.wrote("r", write).await;
    let write = Write { fence: made, set: vec![field("a", "3")], delete: vec!["b".to_owned()], ..Write::default() };
    one.wrote("r", write).await;
    let stands = Kept { fence: made, fields: vec![field("a", "3")], entries: entries(8..=9), ..Kept::default() };
    assert_eq!(kept(one.take("r").await.unwrap()), stands);
    // whole anew: another log begins where it likes
    one.wrote("r", Write { fence: made, reset: true, entries: entries([2]), ..Write::default() }).await;
    assert_eq!(
        kept(one.take("r").await.unwrap()),
        Kept { fence: made, fields: vec![], entries: entries([2]), ..Kept::default() }
    );
}

#[tokio::test]
async fn what_redis_has_lost_is_written_anew_as_a_whole_and_not_in_part() {
    let redis = Redis::start().await;
    let (one, other) = (Side::at("r1", &[&redis]), Side::at("r2", &[&redis]));
    let made = one.made("r").await;
    assert_eq!(fence(&other.force("r").await), made + 1);
    other
        .wrote(
            "r",
            Write { fence: made + 1, set: vec![field("f", "room")], entries: entries(1..=3), ..Write::default() },
        )
        .await;
    redis.run(&["FLUSHALL"]).await;
    let part = Write { fence: made + 1, set: vec![field("m:1", "alice")], entries: entries([4]), ..Write::default() };
    assert_eq!(other.write("r", part).await, Ok(Written::Missing));
    // it is still nobody else's
    assert_eq!(one.take("r").await, Ok(Taken::Held { owner: "r2".to_owned() }));
    assert_eq!(kept(other.take("r").await.unwrap()), Kept { fence: made + 1, ..Kept::default() });
    let whole = Write {
        fence: made + 1,
        reset: true,
        set: vec![field("f", "room"), field("m:1", "alice")],
        entries: entries(1..=4),
        ..Write::default()
    };
    other.wrote("r", whole.clone()).await;
    let stands = Kept { fence: made + 1, fields: whole.set.clone(), entries: entries(1..=4), ..Kept::default() };
    assert_eq!(kept(other.take("r").await.unwrap()), stands);
    // at once, too
    redis.run(&["FLUSHALL"]).await;
    other.wrote("r", whole).await;
    assert_eq!(kept(other.take("r").await.unwrap()), stands);
}

/// The simulation and the core's tests go by a model of Redis: it answers as Redis does, and keeps what Redis keeps.
#[tokio::test]
async fn the_model_of_redis_does_as_redis_does() {
    let redis = Redis::start().await;
    let (names, mut memory) = (["r1", "r2"], Memory::default());
    let sides = names.map(|name| Side::at(name, &[&redis]));
    let mut rng = fastrand::Rng::with_seed(11);
    // the fence that the room got when it was made last: there, and in the model
    let mut made = (1, 1);
    // the room was made by what was put beside it, and nobody was told its fence
    let mut untold = false;
    for number in 0u64..1_500 {
        let side = rng.usize(0..2);
        let (side, by) = (&sides[side], memory.next("r", names[side]));
        let (since, offset) = (rng.u64(0..3), rng.u64(1..30));
        match rng.u8(0..20) {
            0..4 => {
                let force = rng.u8(0..3) == 0;
                let (there, here) = (side.fabric.take(&"r".into(), force).await.unwrap(), memory.take("r", by, force));
                if let (Taken::Nothing { fence: there }, Taken::Nothing { fence: here }) = (&there, &here) {
                    assert!(*there != made.0, "another each time");
                    made = (*there, *here);
                }
                if let (true, Taken::Kept(there), Taken::Kept(here)) = (untold, &there, &here) {
                    assert!(there.fence - 1 > made.0, "another each time");
                    made = (there.fence - 1, here.fence - 1);
                }
                untold = false;
                assert_eq!(sorted(there, made.0), sorted(here, made.1), "call {number}");
            }
            4 => {
                let there = side.fabric.end(&"r".into(), made.0 + since).await;
                untold |= there == Ok(Written::Branched);
                assert_eq!(there, Ok(memory.end("r", by, made.1 + since)), "call {number}");
            }
            5 if rng.bool() => {
                let (life, branch) = (Epoch(rng.u64(1..12)), Write { edition: number, ..Write::default() });
                let put = side.fabric.put_beside(&"r".into(), life, &branch).await;
                let last = Last { write: Box::new(branch), owned: false, epoch: life };
                untold |= memory.stored("r").is_none();
                assert_eq!(put, Ok(memory.put_last("r", by, &last)), "call {number}");
            }
            5 if rng.u8(0..4) == 0 => {
                redis.run(&["FLUSHALL"]).await;
                memory.flush();
                untold = false;
            }
            _ => {
                let write = drawn(&mut rng, (number, offset), &memory);
                let write = Write { fence: made.0 + since, ..write };
                let there = side.write("r", write.clone()).await;
                let here = memory.write("r", by, Write { fence: made.1 + since, ..write });
                assert_eq!(there, Ok(here), "call {number}");
            }
        }
    }
}

/// Any write, of a room that may have branches beside it.
fn drawn(rng: &mut fastrand::Rng, (number, offset): (u64, u64), memory: &Memory) -> Write {
    Write {
        fence: 0,
        reset: rng.u8(0..6) == 0,
        edition: number.saturating_sub(rng.u64(0..4)),
        after: if rng.bool() { 0 } else { number.saturating_sub(rng.u64(0..30)) },
        unless_later: rng.u8(0..4) == 0,
        released: rng.u8(0..10) == 0,
        trim_below: if rng.bool() { 0 } else { offset.saturating_sub(5) },
        set: vec![field(TIP_FIELD, &offset.to_string()), field("m:1", "alice")],
        delete: match rng.u8(0..4) {
            0 => vec!["m:1".to_owned()],
            // what was merged of what lies there
            1 => memory.stored("r").and_then(|stored| stored.branches.keys().next().cloned()).into_iter().collect(),
            _ => Vec::new(),
        },
        entries: entries(offset..offset + rng.u64(0..4)),
    }
}

/// In an order that can be compared, and the fence as of that one.
fn sorted(taken: Taken, made: u64) -> Taken {
    match taken {
        Taken::Kept(mut kept) => {
            kept.fields.sort();
            kept.branches.sort();
            Taken::Kept(Kept { fence: kept.fence - made, ..kept })
        }
        Taken::Nothing { fence } => Taken::Nothing { fence: fence - made },
        held @ Taken::Held { .. } => held,
    }
}

#[tokio::test]
async fn a_room_that_has_ended_leaves_nothing() {
    let redis = Redis::start().await;
    let one = Side::at("r1", &[&redis]);
    let made = one.made("r").await;
    one.wrote("r", Write { fence: made, set: vec![field("f", "room")], entries: entries([1]), ..Write::default() })
        .await;
    assert_eq!(one.fabric.end(&"r".into(), made).await, Ok(Written::Written));
    assert_eq!(one.fabric.end(&"r".into(), made).await, Ok(Written::Missing));
    assert_eq!(redis.run(&["DBSIZE"]).await, ::redis::Value::Int(0));
    assert!(Side::at("r2", &[&redis]).made("r").await > made, "it never bears that fence again");
}

#[tokio::test]
async fn a_room_goes_by_itself_when_its_router_says_nothing_more_and_not_before() {
    let redis = Redis::start().await;
    let one = Side::new(super::FabricSettings { keep: Duration::from_millis(1_500), ..settings("r1", &[&redis]) });
    let made = one.made("r").await;
    let write = || Write { fence: made, set: vec![field("f", "room")], entries: entries([1]), ..Write::default() };
    for _ in 0..4 {
        one.wrote("r", write()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let redis = &redis;
    let left = async |key| match redis.run(&["PTTL", key]).await {
        ::redis::Value::Int(left) => left,
        other => panic!("{other:?}"),
    };
    for key in ["test:{r/fleet/r}:state", "test:{r/fleet/r}:log"] {
        let left = left(key).await;
        assert!((0..=1_500).contains(&left), "{key}: {left}");
    }
    answered("the room's end", async || (redis.run(&["DBSIZE"]).await == ::redis::Value::Int(0)).then_some(())).await;
    assert_eq!(one.write("r", write()).await, Ok(Written::Missing));
}

#[tokio::test]
async fn bytes_come_back_as_they_went_whatever_they_are_and_whatever_the_room_is_called() {
    let redis = Redis::start().await;
    let one = Side::at("r1", &[&redis]);
    let all: Bytes = (0..=255).cycle().take(1_000).collect::<Vec<u8>>().into();
    for room in ["plain", "a}b{c", "{}", "with space\r\n*1", "\u{1f4de}"] {
        let made = one.made(room).await;
        let fields = vec![("f".to_owned(), all.clone()), ("m:empty".to_owned(), Bytes::new())];
        let log = vec![(1, all.clone()), (2, Bytes::new()), ((1 << 53) - 1, all.clone())];
        one.wrote(room, Write { fence: made, set: fields.clone(), entries: log.clone(), ..Write::default() }).await;
        assert_eq!(
            kept(one.take(room).await.unwrap()),
            Kept { fence: made, fields, entries: log, ..Kept::default() },
            "{room:?}"
        );
    }
}

#[tokio::test]
async fn a_large_room_is_written_and_taken_in_one_call_each() {
    let redis = Redis::start().await;
    let one = Side::at("r1", &[&redis]);
    let made = one.made("r").await;
    let event = Bytes::from(vec![0xa5; 1024]);
    let log: Vec<_> = (1..=2_000).map(|offset| (offset, event.clone())).collect();
    let members: Vec<_> = (0..500).map(|seat| (format!("m:{seat}"), event.clone())).collect();
    let whole = Write { fence: made, reset: true, set: members, entries: log.clone(), ..Write::default() };
    one.wrote("r", whole).await;
    let taken = kept(Side::at("r2", &[&redis]).force("r").await);
    assert!(taken.entries == log && taken.fields.len() == 500 && taken.fence == made + 1);
}

#[tokio::test]
async fn what_redis_has_no_memory_for_is_not_written_in_part() {
    let redis = Redis::start().await;
    let one = Side::at("r1", &[&redis]);
    let made = one.made("r").await;
    one.wrote("r", Write { fence: made, set: vec![field("f", "room")], entries: entries([1]), ..Write::default() })
        .await;
    redis.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let write = Write { fence: made, set: vec![field("f", "else")], entries: vec![entry(2)], ..Write::default() };
    assert_eq!(outcome(one.write("r", write.clone()).await), FabricOutcome::Failed);
    let whole = Write { reset: true, ..write };
    assert_eq!(outcome(one.write("r", whole).await), FabricOutcome::Failed);
    redis.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let stands = Kept { fence: made, fields: vec![field("f", "room")], entries: entries([1]), ..Kept::default() };
    assert_eq!(kept(one.take("r").await.unwrap()), stands);
}

#[tokio::test]
async fn a_write_upon_one_that_is_not_there_changes_nothing_and_one_that_stands_again_is_whole() {
    let redis = Redis::start().await;
    let one = Side::at("r1", &[&redis]);
    let made = one.made("r").await;
    let numbered = |edition, after| Write { fence: made, edition, after, ..Write::default() };
    one.wrote("r", Write { set: vec![field("f", "room")], entries: entries([1]), ..numbered(10, 0) }).await;
    one.wrote("r", Write { entries: entries([2]), ..numbered(11, 10) }).await;
    // as far as this router was told; and whatever came since without its knowledge does no harm
    one.wrote("r", Write { entries: entries([3]), ..numbered(12, 10) }).await;
    let upon_lost = Write { set: vec![field("f", "after")], entries: entries([5]), ..numbered(14, 13) };
    assert_eq!(one.write("r", upon_lost.clone()).await, Ok(Written::Missing));
    let stands =
        Kept { fence: made, fields: vec![field("f", "room")], entries: entries(1..=3), edition: 12, ..Kept::default() };
    assert_eq!(kept(one.take("r").await.unwrap()), stands, "with the number of the latest");
    one.wrote("r", Write { reset: true, entries: entries([4, 5]), ..upon_lost }).await;
    let whole = Kept {
        fence: made,
        fields: vec![field("f", "after")],
        entries: entries([4, 5]),
        edition: 14,
        ..Kept::default()
    };
    assert_eq!(kept(one.take("r").await.unwrap()), whole);
    one.wrote("r", numbered(15, 14)).await;
    // whoever takes it numbers its own
    assert_eq!(kept(Side::at("r2", &[&redis]).force("r").await).edition, 1);
}
