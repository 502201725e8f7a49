//! In which order the calls to one node may run: those of one participant, and those about one track, one after the
//! other as they were asked for; the end of a room after all that came before it, and before all that comes after it.
//!
//! Pure: knows no node, no clock and no task. What may run now is taken from [`Order::next`], and given back with
//! [`Order::done`].

use std::collections::VecDeque;

use ahash::AHashMap;
use slab::Slab;

use crate::{ids::RoomId, router::MediaCall};

/// What calls have in common that must not overtake each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// A participant.
    Participant(RoomId, Box<str>),
    /// A track.
    Track(RoomId, Box<str>),
}

/// Calls of one participant, or about one track, that have not ended; one more is refused. A client that sends its candidates
/// one by one has some thirty under way.
const LANE_MAX: usize = 256;

/// Of which room a call is, and what it must not overtake.
pub(super) struct Place {
    room: RoomId,
    keys: Vec<Key>,
    /// Neither: the whole room.
    alone: bool,
}

impl Place {
    pub(super) fn of(call: &MediaCall) -> Self {
        let at = |room: &str, participant: &str, track: &str| {
            let room = RoomId::from(room);
            let participant = (!participant.is_empty()).then(|| Key::Participant(room.clone(), participant.into()));
            let track = (!track.is_empty()).then(|| Key::Track(room.clone(), track.into()));
            Self { keys: participant.into_iter().chain(track).collect(), room, alone: false }
        };
        match call {
            MediaCall::PutParticipant(of) => at(&of.room, &of.participant_id, ""),
            MediaCall::EndParticipant(of) => at(&of.room, &of.participant_id, ""),
            MediaCall::SetPermissions(of) => at(&of.room, &of.participant_id, ""),
            MediaCall::PutTrack(of) => {
                let track = of.track.as_ref().map_or("", |track| track.id.as_str());
                at(&of.room, &of.participant_id, track)
            }
            MediaCall::EndTrack(of) => at(&of.room, "", &of.track),
            MediaCall::MuteTrack(of) => at(&of.room, "", &of.track),
            MediaCall::Subscribe(of) => at(&of.room, &of.participant_id, ""),
            MediaCall::Offer(of) => at(&of.room, &of.participant_id, ""),
            MediaCall::Answer(of) => at(&of.room, &of.participant_id, ""),
            MediaCall::Candidate(of) => at(&of.room, &of.participant_id, ""),
            MediaCall::EndRoom(of) => Self { alone: true, ..at(&of.room, "", "") },
        }
    }
}

/// A call that has not ended.
struct Entry<C> {
    /// Until it runs.
    call: Option<C>,
    room: RoomId,
    keys: Vec<Key>,
    /// Of its keys, those at which others are before it.
    behind: usize,
}

/// Calls of a room that have not ended.
struct Room<C> {
    /// Those that run, or will once it is their turn.
    under_way: usize,
    /// The one that is under way is the end of the room.
    ends: bool,
    /// The end of the room, while others are under way, and what came after it, in order.
    held: VecDeque<(Place, C)>,
}

/// The calls to one node that have not ended.
pub(super) struct Order<C> {
    entries: Slab<Entry<C>>,
    lanes: AHashMap<Key, VecDeque<usize>>,
    rooms: AHashMap<RoomId, Room<C>>,
    ready: VecDeque<usize>,
}

/// A call that runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn(usize);

impl<C> Default for Order<C> {
    fn default() -> Self {
        Self { entries: Slab::new(), lanes: AHashMap::new(), rooms: AHashMap::new(), ready: VecDeque::new() }
    }
}

impl<C> Order<C> {
    /// One more, behind those that it must not overtake.
    ///
    /// # Errors
    /// Gives it back when too many of its participant or track have not ended.
    pub(super) fn push(&mut self, place: Place, call: C) -> Result<(), C> {
        if place.keys.iter().any(|key| self.lanes.get(key).is_some_and(|lane| lane.len() >= LANE_MAX)) {
            return Err(call);
        }
        match self.rooms.get_mut(&place.room) {
            Some(room) if place.alone || room.ends || !room.held.is_empty() => room.held.push_back((place, call)),
            _ => self.enter(place, call),
        }
        Ok(())
    }

    fn enter(&mut self, place: Place, call: C) {
        let Place { room, keys, alone } = place;
        let of = self.rooms.entry(room.clone());
        let of = of.or_insert_with(|| Room { under_way: 0, ends: false, held: VecDeque::new() });
        of.under_way += 1;
        of.ends = alone;
        let at = self.entries.insert(Entry { call: Some(call), room, keys: Vec::new(), behind: 0 });
        let mut behind = 0;
        for key in &keys {
            let lane = self.lanes.entry(key.clone()).or_default();
            behind += usize::from(!lane.is_empty());
            lane.push_back(at);
        }
        self.entries[at].keys = keys;
        self.entries[at].behind = behind;
        if behind == 0 {
            self.ready.push_back(at);
        }
    }

    /// The next one that may run, the longest waiting first.
    pub(super) fn next(&mut self) -> Option<(Turn, C)> {
        let at = self.ready.pop_front()?;
        let call = self.entries[at].call.take();
        call.map(|call| (Turn(at), call))
    }

    /// It has ended: what waited for it may run.
    pub(super) fn done(&mut self, Turn(at): Turn) {
        let Entry { room, keys, .. } = self.entries.remove(at);
        for key in keys {
            self.leave(&key);
        }
        let Some(of) = self.rooms.get_mut(&room) else { return };
        of.under_way -= 1;
        if of.under_way == 0 {
            of.ends = false;
            self.release(&room);
        }
    }

    /// Who was first at a key has ended: the next one is.
    fn leave(&mut self, key: &Key) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.pop_front();
        match lane.front() {
            Some(&first) => {
                let entry = &mut self.entries[first];
                entry.behind -= 1;
                if entry.behind == 0 {
                    self.ready.push_back(first);
                }
            }
            None => drop(self.lanes.remove(key)),
        }
    }

    /// Nothing of the room is under way: what was held comes in, up to the next thing that must be alone.
    fn release(&mut self, room: &RoomId) {
        while let Some(of) = self.rooms.get_mut(room) {
            let alone = of.held.front().is_some_and(|(place, _)| place.alone);
            if of.ends || alone && of.under_way > 0 {
                return;
            }
            match of.held.pop_front() {
                Some((place, call)) => self.enter(place, call),
                None => {
                    if of.under_way == 0 {
                        self.rooms.remove(room);
                    }
                    return;
                }
            }
        }
    }

    /// Nothing is under way and nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::v1;

    fn offer(room: &str, of: &str) -> MediaCall {
        MediaCall::Offer(v1::MediaOfferRequest { room: room.into(), participant_id: of.into(), offer: None })
    }

    fn put_track(room: &str, of: &str, track: &str) -> MediaCall {
        let track = Some(v1::Track { id: track.into(), ..v1::Track::default() });
        MediaCall::PutTrack(v1::PutTrackRequest { room: room.into(), participant_id: of.into(), track })
    }

    fn mute(room: &str, track: &str) -> MediaCall {
        MediaCall::MuteTrack(v1::MuteMediaRequest { room: room.into(), track: track.into(), muted: true })
    }

    fn end_room(room: &str) -> MediaCall {
        MediaCall::EndRoom(v1::EndMediaRoomRequest { room: room.into() })
    }

    fn all(order: &mut Order<u32>, calls: &[MediaCall]) {
        calls.iter().zip(0..).for_each(|(call, number)| order.push(Place::of(call), number).unwrap());
    }

    /// All that may run now, by number.
    fn running(order: &mut Order<u32>) -> Vec<(u32, Turn)> {
        std::iter::from_fn(|| order.next()).map(|(turn, call)| (call, turn)).collect()
    }

    fn numbers(running: &[(u32, Turn)]) -> Vec<u32> {
        running.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn calls_of_one_participant_run_one_after_the_other_and_hold_up_nobody_else() {
        let mut order = Order::default();
        for (number, of) in [(0, "a"), (1, "a"), (2, "b"), (3, "a")] {
            order.push(Place::of(&offer("r", of)), number).unwrap();
        }
        let mut now = running(&mut order);
        assert_eq!(numbers(&now), [0, 2]);
        order.done(now.remove(1).1);
        assert_eq!(running(&mut order), []);
        for expected in [1, 3] {
            order.done(now.remove(0).1);
            now = running(&mut order);
            assert_eq!(numbers(&now), [expected]);
        }
        order.done(now.remove(0).1);
        assert!(order.is_empty());
    }

    #[test]
    fn participants_and_tracks_of_one_name_in_two_rooms_are_two() {
        let mut order = Order::default();
        all(&mut order, &[offer("r", "a"), offer("s", "a"), mute("r", "a"), mute("s", "a")]);
        assert_eq!(numbers(&running(&mut order)), [0, 1, 2, 3]);
    }

    #[test]
    fn a_track_is_muted_after_it_was_put_and_put_after_its_participant() {
        let mut order = Order::default();
        let calls = [offer("r", "a"), put_track("r", "a", "t"), mute("r", "t"), mute("r", "u"), offer("r", "a")];
        all(&mut order, &calls);
        let mut now = running(&mut order);
        assert_eq!(numbers(&now), [0, 3]);
        order.done(now.remove(0).1);
        let mut put = running(&mut order);
        assert_eq!(numbers(&put), [1]);
        order.done(put.remove(0).1);
        assert_eq!(numbers(&running(&mut order)), [4, 2]);
    }

    #[test]
    fn a_room_ends_after_all_that_came_before_and_before_all_that_comes_after() {
        let mut order = Order::default();
        let early = [offer("r", "a"), mute("r", "t"), end_room("r"), offer("r", "a"), offer("r", "b"), end_room("r")];
        all(&mut order, &[&early[..], &[offer("r", "c"), offer("other", "a")]].concat());
        let mut ran = Vec::new();
        loop {
            let now = running(&mut order);
            if now.is_empty() {
                break;
            }
            ran.push(numbers(&now));
            now.into_iter().for_each(|(_, turn)| order.done(turn));
        }
        assert_eq!(ran, [vec![0, 1, 7], vec![2], vec![3, 4], vec![5], vec![6]]);
        assert!(order.is_empty());
    }

    #[test]
    fn a_call_that_comes_while_its_room_ends_runs_after_it() {
        let mut order = Order::default();
        order.push(Place::of(&end_room("r")), 0).unwrap();
        let ending = running(&mut order);
        all(&mut order, &[offer("r", "a")]);
        assert_eq!(running(&mut order), []);
        ending.into_iter().for_each(|(_, turn)| order.done(turn));
        assert_eq!(numbers(&running(&mut order)), [0]);
    }

    #[test]
    fn a_participant_that_asks_without_end_is_refused_and_nobody_else() {
        let mut order = Order::default();
        (0..LANE_MAX as u32).for_each(|number| order.push(Place::of(&offer("r", "a")), number).unwrap());
        assert_eq!(order.push(Place::of(&offer("r", "a")), 7), Err(7));
        assert_eq!(order.push(Place::of(&offer("r", "b")), 8), Ok(()));
        let first = running(&mut order).remove(0).1;
        order.done(first);
        assert_eq!(order.push(Place::of(&offer("r", "a")), 9), Ok(()));
    }

    #[test]
    fn whatever_ends_first_each_call_runs_once_and_in_its_order() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let mut order = Order::default();
            let calls: Vec<MediaCall> = (0..40)
                .map(|_| {
                    let (who, track) = (["a", "b", "c"][rng.usize(..3)], ["t", "u"][rng.usize(..2)]);
                    match rng.u8(..10) {
                        0 => end_room("r"),
                        1..4 => mute("r", track),
                        4..6 => put_track("r", who, track),
                        _ => offer("r", who),
                    }
                })
                .collect();
            let (mut pushed, mut started, mut under_way) = (0, Vec::new(), Vec::<(u32, Turn)>::new());
            while started.len() < calls.len() || !under_way.is_empty() {
                if pushed < calls.len() && rng.bool() {
                    order.push(Place::of(&calls[pushed]), pushed as u32).unwrap();
                    pushed += 1;
                }
                for (number, turn) in running(&mut order) {
                    let place = |n: u32| Place::of(&calls[n as usize]);
                    let clash = |a: u32, b: u32| {
                        let (a, b) = (place(a), place(b));
                        a.alone || b.alone || a.keys.iter().any(|key| b.keys.contains(key))
                    };
                    assert!(under_way.iter().all(|(other, _)| !clash(*other, number)));
                    assert!((0..number).all(|before| !clash(before, number) || started.contains(&before)));
                    started.push(number);
                    under_way.push((number, turn));
                }
                if !under_way.is_empty() && rng.bool() {
                    order.done(under_way.swap_remove(rng.usize(..under_way.len())).1);
                }
            }
            assert!(order.is_empty());
        }
    }
}
