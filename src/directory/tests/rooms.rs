//! Rooms of the fleet: one router each, whatever becomes of routers and of etcd.

mod compared;

use super::{record::RoomRecord, *};

/// A router that makes and ends rooms as its directory lets it.
struct Housed {
    driven: Driven,
    /// Rooms that are here.
    rooms: BTreeSet<RoomId>,
    /// Openings that wait, by question: the room, and whether it is made.
    waiting: std::collections::BTreeMap<u64, (RoomId, bool)>,
    questions: u64,
    /// What was found, by question.
    found: Vec<(u64, Home)>,
}

impl Housed {
    fn new(id: &str, now: Instant) -> Self {
        let own =
            RouterRecord { url: format!("wss://{id}"), relay_url: format!("http://{id}:7090"), ..record(id, "sh") };
        let driven = Driven::with(own, true, now);
        Self { driven, rooms: BTreeSet::new(), waiting: Default::default(), questions: 0, found: Vec::new() }
    }

    /// Started anew, with nothing but its name.
    fn restart(&mut self, etcd: &mut Etcd, id: &str, times: u64) {
        etcd.serve(id);
        etcd.cut();
        let (url, relay_url) = (format!("wss://{id}"), format!("http://{id}:7090"));
        let own = RouterRecord { incarnation: format!("x{times}"), url, relay_url, ..record(id, "sh") };
        let (now, questions) = (self.driven.now, self.questions);
        *self = Self { driven: Driven::with(own, true, now), questions, ..Self::new(id, now) };
    }

    fn name(&self) -> String {
        self.driven.directory.shown(self.driven.now).router
    }

    fn ask(&mut self, room: &str, founds: bool) -> u64 {
        self.questions += 1;
        let (question, room) = (self.questions, RoomId::from(room));
        if self.driven.kept.contains(&room) {
            self.open(&room, founds);
            self.found.push((question, Home::Here));
        } else {
            self.waiting.insert(question, (room.clone(), founds));
            self.driven.tell(Input::Asked { question, room, founds });
            self.follow();
        }
        question
    }

    fn open(&mut self, room: &RoomId, founds: bool) {
        if founds && self.rooms.insert(room.clone()) {
            self.driven.tell(Input::Rooms(vec![(room.clone(), true)]));
        }
    }

    fn end(&mut self, room: &str) {
        if self.rooms.remove(room) {
            self.driven.tell(Input::Rooms(vec![(room.into(), false)]));
        }
    }

    /// What shards and connections do about what the directory says.
    fn follow(&mut self) {
        while !self.driven.homes.is_empty() || !self.driven.lost.is_empty() {
            for (room, _) in std::mem::take(&mut self.driven.lost) {
                self.end(room.as_str());
            }
            for (question, home) in std::mem::take(&mut self.driven.homes) {
                let (room, founds) = self.waiting.remove(&question).expect("one answer a question");
                if !matches!(home, Home::There(_)) {
                    self.open(&room, founds);
                }
                self.found.push((question, home));
            }
        }
    }

    fn converse(&mut self, etcd: &mut Etcd) {
        etcd.serve(&self.name());
        converse(&mut self.driven, etcd);
        self.follow();
        converse(&mut self.driven, etcd);
        self.follow();
    }

    fn found(&self, question: u64) -> &Home {
        let found = self.found.iter().find(|(of, _)| *of == question);
        &found.unwrap_or_else(|| panic!("no answer to {question}: {:?}", self.waiting)).1
    }
}

fn live_all(routers: &mut [Housed], etcd: &mut Etcd, time: Duration) {
    let over = routers[0].driven.now + time;
    while routers[0].driven.now < over {
        for _ in 0..3 {
            routers.iter_mut().for_each(|router| router.converse(etcd));
        }
        for router in &mut *routers {
            router.driven.pass(Duration::from_millis(500));
            router.follow();
        }
        etcd.expire(routers[0].driven.now);
    }
    routers.iter_mut().for_each(|router| router.converse(etcd));
}

fn fleet(of: usize) -> (Vec<Housed>, Etcd) {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    let mut routers: Vec<_> = (1..=of).map(|n| Housed::new(&format!("r{n}"), now)).collect();
    live_all(&mut routers, &mut etcd, Duration::from_secs(2));
    (routers, etcd)
}

fn holder(etcd: &Etcd, room: &str) -> Option<String> {
    let record = RoomRecord::read(&etcd.get(&format!("/s/rooms/{room}"))?).unwrap();
    Some(record.router)
}

fn there(router: &str) -> Home {
    let relay_url = format!("http://{router}:7090");
    Home::There(Holder { router: router.into(), url: format!("wss://{router}"), relay_url })
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_first_router_has_the_room_and_the_others_send_there() {
    let (mut routers, mut etcd) = fleet(3);
    let first = routers[0].ask("room/of all", true);
    routers[0].converse(&mut etcd);
    assert_eq!(routers[0].found(first), &Home::Here);
    assert_eq!(holder(&etcd, "room/of all").as_deref(), Some("r1"));
    for n in [1, 2] {
        let (join, resume) = (routers[n].ask("room/of all", true), routers[n].ask("room/of all", false));
        routers[n].converse(&mut etcd);
        assert_eq!([routers[n].found(join), routers[n].found(resume)], [&there("r1"), &there("r1")]);
        assert!(routers[n].rooms.is_empty() && routers[n].driven.kept.is_empty());
    }
    // into a room that is here nobody asks, and what another has is not asked for each join
    let calls = |routers: &[Housed]| routers.iter().map(|router| router.driven.calls.len()).sum::<usize>();
    routers[0].ask("room/of all", true);
    for _ in 0..50 {
        routers[1].ask("room/of all", true);
    }
    assert_eq!(calls(&routers), 0);
}

#[test]
fn of_many_who_make_a_room_at_once_one_call_is_made_and_a_resume_makes_none() {
    let (mut routers, mut etcd) = fleet(2);
    let asked: Vec<u64> = (0..20).map(|_| routers[0].ask("r", true)).collect();
    assert_eq!(routers[0].driven.calls.len(), 1, "{:?}", routers[0].driven.calls);
    routers[0].converse(&mut etcd);
    asked.iter().for_each(|question| assert_eq!(routers[0].found(*question), &Home::Here));
    let resume = routers[1].ask("nowhere", false);
    routers[1].converse(&mut etcd);
    assert_eq!(routers[1].found(resume), &Home::Nowhere);
    assert_eq!(holder(&etcd, "nowhere"), None);
}

#[test]
fn a_room_that_ends_is_free_after_a_moment_and_so_is_one_that_nobody_made() {
    let (mut routers, mut etcd) = fleet(2);
    routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, SECOND);
    routers[0].end("r");
    live_all(&mut routers, &mut etcd, 2 * SECOND);
    assert_eq!(holder(&etcd, "r").as_deref(), Some("r1"), "a meeting of that name may go on");
    routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, 9 * SECOND);
    assert_eq!(holder(&etcd, "r").as_deref(), Some("r1"));
    routers[0].end("r");
    live_all(&mut routers, &mut etcd, 9 * SECOND);
    assert_eq!((holder(&etcd, "r"), routers[0].driven.kept.len()), (None, 0));
    // asked for, and then not made: the token was for another room, or the room was full
    routers[0].driven.tell(Input::Asked { question: 999, room: "s".into(), founds: true });
    etcd.serve("r1");
    converse(&mut routers[0].driven, &mut etcd);
    assert_eq!(holder(&etcd, "s").as_deref(), Some("r1"));
    routers[0].driven.homes.clear();
    live_all(&mut routers, &mut etcd, 9 * SECOND);
    assert_eq!((holder(&etcd, "s"), routers[0].driven.kept.len()), (None, 0));
}

#[test]
fn a_room_of_a_router_that_drains_is_taken_over_and_makes_way_at_once() {
    let (mut routers, mut etcd) = fleet(2);
    routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, SECOND);
    routers[0].driven.tell(Input::Draining);
    live_all(&mut routers, &mut etcd, SECOND);
    let (resume, join) = (routers[1].ask("r", false), routers[1].ask("r", true));
    live_all(&mut routers, &mut etcd, SECOND);
    assert_eq!([routers[1].found(resume), routers[1].found(join)], [&Home::Nowhere, &Home::Here]);
    assert_eq!((routers[0].rooms.len(), routers[1].rooms.len()), (0, 1));
    assert_eq!(holder(&etcd, "r").as_deref(), Some("r2"));
    assert_eq!(etcd.keys("/s/taken/").len(), 0, "the notice was taken away");
    let told =
        |n: usize, of: fn(&DirectoryFact) -> bool| routers[n].driven.facts.iter().filter(|fact| of(fact)).count();
    assert_eq!(told(0, |fact| matches!(fact, DirectoryFact::RoomGivenUp { router, .. } if router.as_str() == "r2")), 1);
    assert_eq!(
        told(1, |fact| matches!(fact, DirectoryFact::RoomTakenOver { router, .. } if router.as_str() == "r1")),
        1
    );
}

#[test]
fn a_room_of_a_router_that_fell_silent_is_taken_over_after_half_its_lease() {
    let (mut routers, mut etcd) = fleet(2);
    routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, SECOND);
    let mut silent = routers.remove(0);
    live_all(&mut routers, &mut etcd, LEASE / 4);
    let early = routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, LEASE / 2);
    assert_eq!(routers[0].found(early), &there("r1"), "it may have missed one refresh");
    let late = routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, SECOND);
    assert_eq!(routers[0].found(late), &Home::Here);
    // it was not dead
    silent.driven.now = routers[0].driven.now;
    routers.push(silent);
    live_all(&mut routers, &mut etcd, LEASE);
    assert_eq!((routers[0].rooms.len(), routers[1].rooms.len()), (1, 0));
    assert_eq!(holder(&etcd, "r").as_deref(), Some("r2"));
}

#[test]
fn a_room_of_a_router_where_nobody_listens_is_taken_over_at_once() {
    let (mut routers, mut etcd) = fleet(2);
    routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, 3 * SECOND);
    let killed = routers.remove(0);
    let before = routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, SECOND);
    assert_eq!(routers[0].found(before), &there("r1"));
    let refused = || Input::Refused { router: "r1".into() };
    routers[0].driven.tell(refused());
    routers[0].driven.tell(refused());
    let told = |fact: &&DirectoryFact| matches!(fact, DirectoryFact::RouterRefused { .. });
    assert_eq!(routers[0].driven.facts.iter().filter(told).count(), 1);
    // what was remembered for a second is not believed either
    let after = routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, SECOND);
    assert_eq!(routers[0].found(after), &Home::Here);
    assert_eq!(holder(&etcd, "r").as_deref(), Some("r2"));
    drop(killed);
}

#[test]
fn a_router_that_is_heard_of_after_nobody_listened_there_is_counted_on_whatever_is_said_of_it() {
    let (mut routers, mut etcd) = fleet(2);
    for room in ["r", "s"] {
        routers[0].ask(room, true);
    }
    live_all(&mut routers, &mut etcd, 3 * SECOND);
    routers[1].driven.tell(Input::Refused { router: "nobody".into() });
    routers[1].driven.tell(Input::Refused { router: "r1".into() });
    let first = routers[1].ask("r", true);
    live_all(&mut routers, &mut etcd, SECOND);
    assert_eq!(routers[1].found(first), &Home::Here);
    assert!(!routers[0].rooms.contains("r"), "it lives, and makes way");
    // it refreshes its record, so it runs
    live_all(&mut routers, &mut etcd, LEASE / 2);
    routers[1].driven.tell(Input::Refused { router: "r1".into() });
    let second = routers[1].ask("s", true);
    live_all(&mut routers, &mut etcd, SECOND);
    assert_eq!(routers[1].found(second), &there("r1"));
    // another start of it is another matter
    routers[0].restart(&mut etcd, "r1", 2);
    live_all(&mut routers, &mut etcd, SECOND);
    routers[0].ask("t", true);
    live_all(&mut routers, &mut etcd, 3 * SECOND);
    routers[1].driven.tell(Input::Refused { router: "r1".into() });
    let third = routers[1].ask("t", true);
    live_all(&mut routers, &mut etcd, SECOND);
    assert_eq!(routers[1].found(third), &Home::Here);
}

#[test]
fn two_routers_that_find_nobody_at_each_other_do_not_take_a_room_in_turns() {
    let (mut routers, mut etcd) = fleet(2);
    routers[0].ask("r", true);
    live_all(&mut routers, &mut etcd, SECOND);
    for (taker, from) in [(1, "r1"), (0, "r2")] {
        routers[taker].driven.tell(Input::Refused { router: from.into() });
        let question = routers[taker].ask("r", true);
        live_all(&mut routers, &mut etcd, SECOND);
        assert_eq!(routers[taker].found(question), &Home::Here);
    }
    // it took the room, so it runs
    routers[1].driven.tell(Input::Refused { router: "r1".into() });
    let question = routers[1].ask("r", true);
    live_all(&mut routers, &mut etcd, SECOND);
    assert_eq!(routers[1].found(question), &there("r1"));
}

#[test]
fn with_etcd_away_each_goes_by_what_it_has_and_then_one_of_them_makes_way() {
    let (mut routers, mut etcd) = fleet(2);
    routers[0].ask("old", true);
    live_all(&mut routers, &mut etcd, SECOND);
    for router in &mut routers {
        let question = router.ask("new", true);
        for (ticket, _) in std::mem::take(&mut router.driven.calls) {
            router.driven.answer(ticket, Err(Fault { outcome: DirectoryOutcome::Late, why: "late".to_owned() }));
        }
        router.follow();
        assert_eq!(router.found(question), &Home::Unknown);
        // and nobody waits for the next one
        let question = router.ask("newer", false);
        assert_eq!(router.found(question), &Home::Unknown);
    }
    let into_old = routers[0].ask("old", true);
    assert_eq!(routers[0].found(into_old), &Home::Here, "what is here needs no etcd");
    assert!(routers.iter().all(|router| router.rooms.contains("new")));
    assert_eq!(routers[0].driven.directory.figures(routers[0].driven.now).rooms_unwritten, 1);
    live_all(&mut routers, &mut etcd, LEASE);
    let with: Vec<_> = routers.iter().filter(|router| router.rooms.contains("new")).map(Housed::name).collect();
    assert_eq!(with, [holder(&etcd, "new").unwrap()]);
    assert_eq!(routers[0].driven.directory.figures(routers[0].driven.now).rooms_unwritten, 0);
}

#[test]
fn what_cannot_be_read_is_left_alone_and_told() {
    let (mut routers, mut etcd) = fleet(1);
    etcd.put("/s/rooms/r", b"{\"version\":2}".to_vec());
    let (join, resume) = (routers[0].ask("r", true), routers[0].ask("r", false));
    routers[0].converse(&mut etcd);
    assert_eq!([routers[0].found(join), routers[0].found(resume)], [&Home::Unknown, &Home::Unknown]);
    assert!(routers[0].driven.facts.iter().any(
        |fact| matches!(fact, DirectoryFact::RecordUnreadable { key, why } if key == "rooms/r" && why.contains("version 2"))
    ));
    // it goes, and the room that was made meanwhile is written
    etcd.delete("/s/rooms/r");
    live_all(&mut routers, &mut etcd, 9 * SECOND);
    assert_eq!(holder(&etcd, "r").as_deref(), Some("r1"));
}

/// What may happen, in any order, to one of three routers.
#[derive(Clone, Debug)]
enum Chance {
    Ask(u8, u8, bool),
    End(u8, u8),
    Fail(u8, u8),
    Lose(u8),
    Converse(u8),
    Drain(u8),
    Restart(u8),
    Cut,
    Compact,
    Wipe,
    /// All of them live, but that one.
    Live(u8, u16),
}

fn chances() -> impl Strategy<Value = Vec<Chance>> {
    let router = || 0..3u8;
    let one = prop_oneof![
        8 => (router(), 0..4u8, any::<bool>()).prop_map(|(n, room, founds)| Chance::Ask(n, room, founds)),
        3 => (router(), 0..4u8).prop_map(|(n, room)| Chance::End(n, room)),
        2 => (router(), 1..4u8).prop_map(|(n, calls)| Chance::Fail(n, calls)),
        3 => router().prop_map(Chance::Lose),
        5 => router().prop_map(Chance::Converse),
        1 => router().prop_map(Chance::Drain),
        1 => router().prop_map(Chance::Restart),
        1 => Just(Chance::Cut),
        1 => Just(Chance::Compact),
        1 => Just(Chance::Wipe),
        3 => (0..6u8, 1..40_000u16).prop_map(|(but, milliseconds)| Chance::Live(but, milliseconds)),
    ];
    prop::collection::vec(one, 0..50)
}

fn befall(routers: &mut Vec<Housed>, etcd: &mut Etcd, chance: &Chance, number: u64) {
    let late = || Fault { outcome: DirectoryOutcome::Late, why: "late".to_owned() };
    let room = |n: &u8| format!("room {n}");
    match chance {
        Chance::Ask(n, of, founds) => drop(routers[usize::from(*n)].ask(&room(of), *founds)),
        Chance::End(n, of) => routers[usize::from(*n)].end(&room(of)),
        Chance::Fail(n, calls) => {
            let router = &mut routers[usize::from(*n)];
            for _ in 0..usize::from(*calls).min(router.driven.calls.len()) {
                let (ticket, _) = router.driven.calls.remove(0);
                router.driven.answer(ticket, Err(late()));
            }
            router.follow();
        }
        Chance::Lose(n) => {
            let router = &mut routers[usize::from(*n)];
            etcd.serve(&router.name());
            if !router.driven.calls.is_empty() {
                let (ticket, call) = router.driven.calls.remove(0);
                etcd.answer(ticket, &call, router.driven.now).ok();
                etcd.close(ticket);
                router.driven.answer(ticket, Err(late()));
            }
            router.follow();
        }
        Chance::Converse(n) => routers[usize::from(*n)].converse(etcd),
        Chance::Drain(n) => routers[usize::from(*n)].driven.tell(Input::Draining),
        Chance::Restart(n) => {
            let name = routers[usize::from(*n)].name();
            routers[usize::from(*n)].restart(etcd, &name, number);
        }
        Chance::Cut => etcd.cut(),
        Chance::Compact => etcd.compact(),
        Chance::Wipe => etcd.wipe(),
        Chance::Live(but, milliseconds) => {
            let time = Duration::from_millis(u64::from(*milliseconds));
            if usize::from(*but) < routers.len() {
                let mut silent = routers.remove(usize::from(*but));
                live_all(routers, etcd, time);
                silent.driven.now = routers[0].driven.now;
                routers.insert(usize::from(*but), silent);
            } else {
                live_all(routers, etcd, time);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_room_ends_on_one_router_and_all_agree(chances in chances()) {
        let (mut routers, mut etcd) = fleet(3);
        for (number, chance) in chances.iter().enumerate() {
            befall(&mut routers, &mut etcd, chance, number as u64);
        }
        live_all(&mut routers, &mut etcd, LEASE * 4);
        let mut had: Vec<(String, String)> = Vec::new();
        for router in &routers {
            prop_assert!(router.waiting.is_empty(), "each question is answered");
            prop_assert_eq!(&router.driven.kept, &router.rooms);
            had.extend(router.rooms.iter().map(|room| (room.as_str().to_owned(), router.name())));
        }
        had.sort();
        let known = etcd.keys("/s/rooms/").into_iter().map(|room| (room.clone(), holder(&etcd, &room).unwrap()));
        prop_assert_eq!(known.collect::<Vec<_>>(), had, "each room on one router, and no record of another");
        prop_assert_eq!(etcd.keys("/s/taken/").len(), 0);
        for router in &routers {
            let (compared, _) = router.driven.directory.figures(router.driven.now).rooms.unwrap();
            prop_assert_eq!(compared.here, compared.there, "its rooms and their records");
        }
        // and all others are sent there
        for n in 0..4u8 {
            let room = format!("room {n}");
            let Some(holder) = holder(&etcd, &room) else { continue };
            for router in &mut routers {
                let question = router.ask(&room, false);
                router.converse(&mut etcd);
                let expected = if router.name() == holder { Home::Here } else { there(&holder) };
                let draining = router.found(question) == &Home::Nowhere;
                prop_assert!(draining || router.found(question) == &expected, "{:?}", router.found(question));
            }
        }
    }
}
