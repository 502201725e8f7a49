//! The guard at the door, with moments of the test's choice.

use std::time::Duration;

use super::*;
use crate::guard::{limits::Bound, rate::Rate};

const MS: Duration = Duration::from_millis(1);

fn rate(count: u32, burst: u32) -> Bound {
    Bound { rate: Some(Rate::new(count, Duration::from_secs(1), burst)), at_once: None }
}

const fn at_once(most: u32) -> Bound {
    Bound { rate: None, at_once: Some(most) }
}

/// A limit: of what, for whom, and how much.
type Limited = (Slot, Scope, fn() -> Bound);

/// With these limits and no others.
fn guard(limits: &'static [Limited]) -> Guard {
    let bound = move |slot, scope| {
        let found = limits.iter().find(|(of, whose, _)| (*of, *whose) == (slot, scope));
        found.map_or_else(Bound::default, |(.., bound)| bound())
    };
    Guard::new(GuardSettings { rules: Rules::new(bound), cells: 1_000, of_the_fleet: Vec::new() })
}

fn ip(last: u8) -> IpAddr {
    [203, 0, 113, last].into()
}

fn enter(guard: &Guard, address: u8, user: &str, at: Instant) -> Result<Entered, Shed> {
    guard.enter(guard.knock(ip(address), at)?, ("key", user), at)
}

#[test]
fn a_burst_of_ten_times_the_limit_is_cut_to_it_and_told_which_limit_and_when() {
    let guard = guard(&[(Slot::Send, Scope::User, || rate(100, 100))]);
    let now = Instant::now();
    let alice = enter(&guard, 1, "alice", now).unwrap();
    let asked: Vec<_> = (0..1_000).map(|_| guard.signal(&alice.scopes, OpKind::Send, now)).collect();
    assert_eq!(asked.iter().filter(|asked| asked.is_ok()).count(), 100);
    let shed = asked.into_iter().find_map(Result::err).unwrap();
    let refusal = shed.refusal();
    assert_eq!((shed.limit, refusal.code), (Limit::Rate(Scope::User), Code::RateLimited));
    assert_eq!(refusal.message, "guard.ops.send.user: more than 100/s, 100 in a burst");
    assert_eq!(refusal.retry_after_ms, Some(10));
    assert!(guard.signal(&alice.scopes, OpKind::Send, now + 10 * MS).is_ok());
    assert!(guard.signal(&alice.scopes, OpKind::Mute, now).is_ok(), "other ops have their own limits");
    assert!(guard.signal(&alice.scopes, OpKind::Leave, now).is_ok());
}

#[test]
fn all_connections_of_a_user_count_together_and_those_of_another_do_not() {
    let guard = guard(&[(Slot::Any, Scope::User, || rate(10, 10))]);
    let now = Instant::now();
    let connections: Vec<_> = (0..5).map(|address| enter(&guard, address, "alice", now).unwrap()).collect();
    let passed =
        |connection: &Entered| (0..10).filter(|_| guard.signal(&connection.scopes, OpKind::Ping, now).is_ok()).count();
    assert_eq!(connections.iter().map(passed).sum::<usize>(), 10);
    assert_eq!(passed(&enter(&guard, 1, "bob", now).unwrap()), 10);
}

#[test]
fn a_user_who_comes_back_goes_on_where_it_was() {
    let guard = guard(&[(Slot::Any, Scope::User, || rate(10, 10))]);
    let now = Instant::now();
    let first = enter(&guard, 1, "alice", now).unwrap();
    assert!((0..10).all(|_| guard.signal(&first.scopes, OpKind::Ping, now).is_ok()));
    drop(first);
    guard.tidy(now + MS);
    let again = enter(&guard, 1, "alice", now + MS).unwrap();
    assert!(guard.signal(&again.scopes, OpKind::Ping, now + MS).is_err());
    drop(again);
    let much_later = now + 10_000 * MS;
    let left = guard.tidy(much_later);
    assert!(left.iter().all(|(_, remembered)| *remembered == Remembered::default()), "{left:?}");
}

#[test]
fn one_user_with_ten_thousand_connections_gets_as_many_as_are_allowed_and_all_others_theirs() {
    let guard = guard(&[(Slot::Connect, Scope::User, || at_once(500))]);
    let now = Instant::now();
    let (held, refused): (Vec<_>, Vec<_>) =
        (0..10_000).map(|_| enter(&guard, 1, "alice", now)).partition(Result::is_ok);
    assert_eq!((held.len(), refused.len()), (500, 9_500));
    let refusal = refused.into_iter().find_map(Result::err).unwrap().refusal();
    assert_eq!((refusal.code, refusal.code.http()), (Code::TooManyConnections, 429));
    assert_eq!(refusal.message, "guard.ops.connect.user: more than 500 at once");
    assert!(enter(&guard, 1, "bob", now).is_ok());
    drop(held);
    assert!(enter(&guard, 1, "alice", now).is_ok());
}

#[test]
fn a_connection_has_a_place_in_each_scope_and_gives_each_back_once() {
    let guard = guard(&[
        (Slot::Connect, Scope::Router, || at_once(3)),
        (Slot::Connect, Scope::Address, || at_once(2)),
        (Slot::Connect, Scope::User, || at_once(1)),
    ]);
    let now = Instant::now();
    for _ in 0..3 {
        let alice = enter(&guard, 1, "alice", now).unwrap();
        assert_eq!(enter(&guard, 1, "alice", now).unwrap_err().limit, Limit::AtOnce(Scope::User));
        // who was refused has kept no place of its address
        let bob = enter(&guard, 1, "bob", now).unwrap();
        assert_eq!(enter(&guard, 1, "carol", now).unwrap_err().limit, Limit::AtOnce(Scope::Address));
        let carol = enter(&guard, 2, "carol", now).unwrap();
        assert_eq!(enter(&guard, 3, "dave", now).unwrap_err().limit, Limit::AtOnce(Scope::Router));
        drop((alice, bob, carol));
        assert!(guard.router.is_empty());
    }
}

#[test]
fn an_address_is_refused_before_anything_else_is_known_of_it() {
    let guard = guard(&[(Slot::Connect, Scope::Address, || rate(5, 5))]);
    let now = Instant::now();
    let passed = |address: IpAddr| (0..50).filter(|_| guard.knock(address, now).is_ok()).count();
    assert_eq!((passed(ip(1)), passed(ip(2))), (5, 5));
    // one /64 is one address
    assert_eq!((passed("2001:db8::1".parse().unwrap()), passed("2001:db8::2".parse().unwrap())), (5, 0));
    let shed = guard.knock(ip(1), now).unwrap_err();
    assert_eq!((shed.limit, shed.refusal().retry_after_ms), (Limit::Rate(Scope::Address), Some(200)));
}

#[test]
fn what_is_under_way_holds_its_places_until_it_is_over() {
    let guard = guard(&[
        (Slot::Join, Scope::Key, || at_once(2)),
        (Slot::Any, Scope::User, || at_once(3)),
        (Slot::Any, Scope::Router, || at_once(4)),
    ]);
    let now = Instant::now();
    let (alice, bob) = (enter(&guard, 1, "alice", now).unwrap(), enter(&guard, 2, "bob", now).unwrap());
    let ask = |who: &Entered, op| guard.signal(&who.scopes, op, now);
    let joins: Vec<_> = (0..2).map(|_| ask(&alice, OpKind::Join).unwrap()).collect();
    assert_eq!(ask(&bob, OpKind::Join).unwrap_err().limit, Limit::AtOnce(Scope::Key));
    let third = ask(&alice, OpKind::Send).unwrap();
    let shed = ask(&alice, OpKind::Send).unwrap_err();
    assert_eq!((shed.limit, shed.refusal().code), (Limit::AtOnce(Scope::User), Code::TooManyAtOnce));
    let fourth = ask(&bob, OpKind::Send).unwrap();
    let shed = ask(&bob, OpKind::Send).unwrap_err();
    // of all together nobody has too many: it is the router that is full
    assert_eq!((shed.limit, shed.refusal().code), (Limit::AtOnce(Scope::Router), Code::Overloaded));
    drop((joins, third, fourth));
    for who in [&alice, &bob] {
        let all: Vec<_> = (0..3).map(|_| ask(who, OpKind::Send)).collect();
        assert!(all.iter().all(Result::is_ok), "who was refused before kept no place");
    }
    assert!(guard.router.is_empty());
}

#[test]
fn other_limits_count_from_then_on_for_connections_that_are_there() {
    let guard = guard(&[]);
    let now = Instant::now();
    let alice = enter(&guard, 1, "alice", now).unwrap();
    assert!((0..10_000).all(|_| guard.signal(&alice.scopes, OpKind::Send, now).is_ok()));
    let rules = Rules::new(|slot, scope| match (slot, scope) {
        (Slot::Send, Scope::User) => rate(1, 3),
        _ => Bound::default(),
    });
    guard.configure(GuardSettings { rules, cells: 1, of_the_fleet: Vec::new() });
    assert_eq!((0..10).filter(|_| guard.signal(&alice.scopes, OpKind::Send, now).is_ok()).count(), 3);
}

#[test]
fn a_million_users_and_addresses_take_no_more_than_the_bound() {
    let guard = guard(&[(Slot::Connect, Scope::User, || rate(1, 5)), (Slot::Connect, Scope::Address, || rate(1, 5))]);
    let now = Instant::now();
    for number in 0..1_000_000_u32 {
        let address = IpAddr::from(number.to_be_bytes());
        // each comes and goes, and is counting still
        let entered = guard.enter(guard.knock(address, now).unwrap(), ("key", &number.to_string()), now);
        assert!(entered.is_ok());
    }
    for (scope, remembered) in guard.tidy(now) {
        let Remembered { cells, forgotten } = remembered;
        match scope {
            Scope::Key => assert_eq!((cells, forgotten), (0, 0), "nothing is counted of a key here"),
            _ => {
                assert!(cells <= 1_016, "{scope:?}: {cells}");
                assert_eq!(cells as u64 + forgotten, 1_000_000, "{scope:?}");
            }
        }
    }
    let later = guard.tidy(now + Duration::from_secs(60));
    assert!(later.iter().all(|(_, remembered)| remembered.cells == 0));
}

#[test]
fn what_a_queue_turns_away_comes_back_spread_out() {
    let again = |class| {
        let all: std::collections::BTreeSet<_> =
            (0..100).map(|_| queue_refusal(class).retry_after_ms.unwrap()).collect();
        assert_eq!(queue_refusal(class).code, Code::Overloaded);
        assert!(all.len() > 10, "{all:?}");
        (*all.first().unwrap(), *all.last().unwrap())
    };
    let (joins, signals) = (again(Class::Join), again(Class::Established));
    assert!(joins.0 >= 1_000 && joins.1 <= 2_000 && signals.0 >= 150 && signals.1 <= 300);
}
