//! Rules of one room, seen from close by: its log and its views.

use std::collections::BTreeMap;

use super::{place::Heard, *};
use crate::protocol::v1::Permissions;

fn room(bounds: Bounds) -> Room {
    let founding = Founding {
        id: "r".into(),
        epoch: Epoch(1),
        metadata: "".into(),
        created_at_ms: 0,
        participants_max: 2,
        empty_timeout: Duration::ZERO,
    };
    Room::new(founding, Arc::new(bounds))
}

fn bounds() -> Bounds {
    Bounds {
        limits: Limits::default(),
        history_events: 4,
        history_age: Duration::from_secs(10),
        history_bytes: 1 << 20,
    }
}

fn entrance(identity: &str, connection: u64) -> Entrance {
    Entrance {
        id: format!("PA_{identity}").into(),
        identity: identity.into(),
        name: String::new(),
        metadata: String::new(),
        attributes: BTreeMap::new(),
        permissions: Permissions { can_publish_data: true, ..Permissions::default() },
        region: String::new(),
        joined_at_ms: 0,
        auto_subscribe: true,
        connection: ConnectionId(connection),
    }
}

fn message(text: &str) -> Message {
    Message { from: "ann".into(), data: Some(text.to_owned()), bytes: None, topic: String::new() }
}

/// ann on seat 1 and bob on seat 2.
fn pair(at: Instant) -> (Room, Vec<Push>) {
    let mut room = room(bounds());
    let mut pushes = Vec::new();
    for (seat, identity) in [(1, "ann"), (2, "bob")] {
        room.join(Seat(seat), entrance(identity, seat), &mut Turn { at, pushes: &mut pushes });
    }
    (room, pushes)
}

#[test]
fn a_push_names_the_connections_of_its_audience() {
    let at = Instant::now();
    let (mut room, pushes) = pair(at);
    let [push] = &pushes[..] else { panic!("the first to come has nobody to tell: {pushes:?}") };
    assert_eq!(push.to, [ConnectionId(1)]);
    let (offset, push) = room.message(Some(Seat(1)), message("1"), at);
    assert_eq!((offset, push.to), (Offset(3), vec![ConnectionId(2)]));
    let (_, push) = room.message(None, message("2"), at);
    assert_eq!(push.to, [ConnectionId(1), ConnectionId(2)]);
}

#[test]
fn those_who_are_away_are_not_pushed_to() {
    let at = Instant::now();
    let (mut room, mut pushes) = pair(at);
    room.drop_connection(Seat(2), &mut Turn { at, pushes: &mut pushes });
    assert!(room.message(Some(Seat(1)), message("1"), at).1.to.is_empty());
    assert_eq!(room.reconnect(Seat(2), ConnectionId(9)), v1::ParticipantState::Reconnecting);
    assert_eq!(room.message(Some(Seat(1)), message("2"), at).1.to, [ConnectionId(9)]);
}

#[test]
fn the_log_keeps_the_latest_by_count_and_by_age() {
    let at = Instant::now();
    let (mut room, _) = pair(at);
    for text in ["1", "2", "3"] {
        room.message(Some(Seat(1)), message(text), at);
    }
    let epoch = room.epoch();
    let place = |offset| Place { upto: Offset(offset), heard: Heard::default(), exact: true };
    assert_eq!(room.place_of(epoch, Offset(3)), Some(place(3)));
    assert_eq!(room.tip(), Offset(5));
    assert!(!room.can_replay(Seat(1), &place(0), at), "before it came");
    assert!(room.can_replay(Seat(2), &place(2), at));
    assert_eq!(room.replay(Seat(2), &place(2)).iter().map(|(offset, _)| offset.0).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(room.replay(Seat(2), &place(4)).len(), 1);
    assert!(room.replay(Seat(1), &place(2)).is_empty(), "one's own");
    let later = at + Duration::from_secs(5);
    room.message(Some(Seat(1)), message("4"), later);
    room.message(Some(Seat(1)), message("5"), later);
    assert!(!room.can_replay(Seat(2), &place(2), later), "only four are kept");
    let late = later + Duration::from_secs(6);
    assert!(!room.can_replay(Seat(2), &place(4), late), "too old");
    assert!(room.can_replay(Seat(2), &place(5), late));
    assert_eq!(room.history_ends_at(), Some(later + Duration::from_secs(10)));
    assert_eq!(room.trim(late + Duration::from_secs(10)), None);
    assert!(room.can_replay(Seat(2), &place(7), late) && room.place_of(Epoch(epoch.0 + 1), Offset(7)).is_none());
}

#[test]
fn a_seat_is_found_by_identity_until_it_is_left() {
    let at = Instant::now();
    let (mut room, mut pushes) = pair(at);
    assert!(room.is_full() && !room.is_empty());
    assert_eq!(room.seat_of("bob"), Some(Seat(2)));
    room.leave(Seat(2), Code::Left, &mut Turn { at, pushes: &mut pushes });
    assert_eq!(room.seat_of("bob"), None);
    assert!(room.member(Seat(2)).is_none() && room.member(Seat(1)).is_some());
    let ghost = room.change(Seat(2), Change::default(), &mut Turn { at, pushes: &mut pushes });
    assert_eq!(ghost.unwrap_err().code, Code::ParticipantNotFound);
    room.leave(Seat(2), Code::Left, &mut Turn { at, pushes: &mut pushes });
    assert_eq!(room.tip(), Offset(3), "leaving twice is leaving once");
}
