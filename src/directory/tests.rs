//! A directory against an etcd of the tests' own, in virtual time.

mod etcd;
mod nodes;
mod rooms;
mod rules;
mod sharing;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use self::etcd::Etcd;
use super::*;
use crate::ids::{RoomId, RouterId};

const LEASE: Duration = Duration::from_secs(30);

pub(super) fn record(id: &str, region: &str) -> RouterRecord {
    RouterRecord {
        version: record::RECORD_VERSION,
        id: id.to_owned(),
        incarnation: "x".to_owned(),
        region: region.to_owned(),
        build: "0.1.0".to_owned(),
        url: String::new(),
        ops_url: String::new(),
        relay_url: String::new(),
        started_unix: 1,
        draining: false,
        rules: None,
        load: Load::default(),
        rest: serde_json::Map::new(),
    }
}

/// A router that knows up to five records, and all that it is told and asks for.
struct Driven {
    directory: Directory,
    facts: Vec<DirectoryFact>,
    calls: Vec<(u64, Call)>,
    closed: Vec<u64>,
    probed: Vec<u64>,
    nodes: Vec<NodeNews>,
    rules: Vec<Option<RulesNews>>,
    registered: Vec<NodeRecord>,
    homes: Vec<(u64, Home)>,
    kept: BTreeSet<RoomId>,
    lost: Vec<(RoomId, RouterId)>,
    places: Vec<Place>,
    now: Instant,
}

impl Driven {
    fn new(now: Instant) -> Self {
        Self::called("own", now)
    }

    fn called(id: &str, now: Instant) -> Self {
        Self::with(record(id, "sh"), false, now)
    }

    fn with(own: RouterRecord, one_router_a_room: bool, now: Instant) -> Self {
        let settings = Settings {
            prefix: "/s".to_owned(),
            own,
            lease: LEASE,
            records_max: 5,
            one_router_a_room,
            compare_every: LEASE,
            seed: 7,
        };
        let directory = Directory::new(settings, now);
        let (facts, calls, closed, probed, nodes, rules, registered) = Default::default();
        let (homes, kept, lost, places) = Default::default();
        let mut driven =
            Self { directory, facts, calls, closed, probed, nodes, rules, registered, homes, kept, lost, places, now };
        driven.tell(Input::Tick);
        driven
    }

    fn tell(&mut self, input: Input) {
        for output in self.directory.handle(input, self.now) {
            match output {
                Output::Call { ticket, call } => self.calls.push((ticket, call)),
                Output::Probe { stream } => self.probed.push(stream),
                Output::Close { stream } => self.closed.push(stream),
                Output::Observe(fact) => self.facts.push(fact),
                Output::Node(news) => self.nodes.push(news),
                Output::Home { question, home } => self.homes.push((question, home)),
                Output::Kept { room, kept } => drop(match kept {
                    true => self.kept.insert(room),
                    false => self.kept.remove(&room),
                }),
                Output::Lost { room, router, .. } => self.lost.push((room, router)),
                Output::Rules(news) => self.rules.push(news),
                Output::Place(place) => self.places.push(place),
            }
        }
    }

    fn answer(&mut self, ticket: u64, answer: Result<Answer, Fault>) {
        self.tell(Input::Answered { ticket, took: Duration::from_millis(1), answer });
    }

    fn pass(&mut self, time: Duration) {
        let over = self.now + time;
        while let Some(wake) = self.directory.wake().filter(|wake| *wake <= over) {
            self.now = self.now.max(wake);
            self.tell(Input::Tick);
        }
        self.now = over;
        self.tell(Input::Tick);
    }

    /// Takes the one call of that kind that is under way.
    fn take(&mut self, op: DirectoryOp) -> (u64, Call) {
        let at = self.calls.iter().position(|(_, call)| call.op() == op);
        self.calls.remove(at.unwrap_or_else(|| panic!("no {op:?} in {:?}", self.calls)))
    }

    fn names(&self) -> Vec<String> {
        self.directory.shown(self.now).routers.into_iter().map(|row| row.id).collect()
    }
}

/// Hands calls to etcd, and what it has to say back, until neither has anything to do.
fn converse(driven: &mut Driven, etcd: &mut Etcd) {
    for _ in 0..10_000 {
        for stream in std::mem::take(&mut driven.closed) {
            etcd.close(stream);
        }
        for stream in std::mem::take(&mut driven.probed) {
            etcd.probe(stream);
        }
        if let Some((stream, heard)) = etcd.said() {
            driven.tell(Input::Heard { stream, heard });
        } else if !driven.calls.is_empty() {
            let (ticket, call) = driven.calls.remove(0);
            let answer = etcd.answer(ticket, &call, driven.now);
            driven.answer(ticket, answer);
        } else {
            return;
        }
    }
    panic!("they do not come to an end");
}

/// Lets time pass while etcd is well.
fn live(driven: &mut Driven, etcd: &mut Etcd, time: Duration) {
    let over = driven.now + time;
    while driven.now < over {
        converse(driven, etcd);
        driven.pass(Duration::from_millis(500));
        etcd.expire(driven.now);
    }
    converse(driven, etcd);
}

#[test]
fn a_router_registers_sees_others_and_is_seen() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    etcd.put("/s/routers/a", record("a", "bj").bytes());
    etcd.put("/s/rooms/r", b"of no concern".to_vec());
    let mut driven = Driven::new(now);
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    assert_eq!(driven.names(), ["a", "own"]);
    etcd.put("/s/routers/b", record("b", "bj").bytes());
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    assert_eq!(driven.names(), ["a", "b", "own"]);
    let shown = driven.directory.shown(driven.now);
    assert!(shown.answers && shown.registered && shown.why.is_none(), "{shown:?}");
    assert_eq!((shown.watch, shown.revision, shown.unreadable.len()), ("watching", etcd.revision(), 0));
    assert_eq!(driven.facts.iter().filter(|f| matches!(f, DirectoryFact::Registered { .. })).count(), 1);
}

#[test]
fn the_load_is_written_with_each_refresh_and_draining_at_once() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    let mut driven = Driven::new(now);
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    let own = |etcd: &Etcd| RouterRecord::read("own", &etcd.get("/s/routers/own").unwrap()).unwrap();
    let load = Load { sessions: 4, rooms: 2, journal_writes: 3, journal_age_ms: 1_500, ..Load::default() };
    driven.tell(Input::Loaded(load));
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    assert_eq!(own(&etcd).load.sessions, 0, "not for each session");
    live(&mut driven, &mut etcd, LEASE / 3);
    let written = own(&etcd).load;
    assert!(written.digest.is_some(), "as its view was then: {written:?}");
    assert!(written.watch_lag_ms <= 1_000, "{written:?}");
    assert_eq!(written, Load { digest: written.digest, watch_lag_ms: written.watch_lag_ms, ..load });
    let row = driven.directory.shown(driven.now).routers[0].clone();
    assert_eq!((row.journal_writes, row.journal_age_seconds, row.digest.len()), (3, 1.5, 12));
    driven.tell(Input::Draining);
    converse(&mut driven, &mut etcd);
    assert!(own(&etcd).draining);
    driven.tell(Input::Leave);
    converse(&mut driven, &mut etcd);
    assert!(driven.directory.has_left() && etcd.get("/s/routers/own").is_none());
    assert!(driven.facts.contains(&DirectoryFact::Left));
}

#[test]
fn another_router_with_the_same_id_is_told_and_one_that_made_way_is_not() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    let theirs = RouterRecord { incarnation: "theirs".to_owned(), started_unix: 9, ..record("own", "sh") };
    // of the process before this one, until its lease ends
    etcd.put("/s/routers/own", theirs.bytes());
    let mut driven = Driven::new(now);
    live(&mut driven, &mut etcd, LEASE * 2);
    let taken = |driven: &Driven| driven.facts.iter().filter(|f| matches!(f, DirectoryFact::IdTaken { .. })).count();
    assert_eq!(taken(&driven), 0, "{:?}", driven.facts);
    for times in 1..=3 {
        etcd.put("/s/routers/own", theirs.bytes());
        live(&mut driven, &mut etcd, LEASE / 2);
        assert_eq!(taken(&driven), times);
    }
    let router = "own".into();
    assert!(driven.facts.contains(&DirectoryFact::IdTaken { router, ops_url: String::new(), started_unix: 9 }));
}

#[test]
fn a_watch_that_says_nothing_is_asked_then_closed_and_resumed_after_what_it_told() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    let mut driven = Driven::new(now);
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    let known = driven.directory.shown(driven.now).revision;
    // nothing is answered any more, and nothing is told
    driven.pass(LEASE * 2);
    let stream = driven.probed[0];
    assert_eq!((driven.probed.len(), driven.closed.len()), (6, 3), "of all parts");
    assert!(driven.closed.contains(&stream));
    assert!(
        driven.facts.iter().any(|fact| matches!(fact, DirectoryFact::WatchLost { why, .. } if why.contains("30 s")))
    );
    let mut watches = [(); 3].map(|()| driven.take(DirectoryOp::Watch).1);
    watches.sort_by_key(|watch| format!("{watch:?}"));
    let Call::Watch { prefix, from } = &watches[1] else { panic!("{watches:?}") };
    assert_eq!((prefix.as_str(), *from), ("/s/routers/", known + 1));
    assert!(driven.directory.shown(driven.now).watch_lag_seconds > 30.0);
}

#[test]
fn a_compacted_watch_reads_all_again_once() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    let mut driven = Driven::new(now);
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    etcd.cut();
    converse(&mut driven, &mut etcd);
    etcd.put("/s/routers/a", record("a", "bj").bytes());
    etcd.put("/s/routers/b", record("b", "bj").bytes());
    etcd.delete("/s/routers/a");
    etcd.compact();
    live(&mut driven, &mut etcd, Duration::from_secs(9));
    assert_eq!(driven.names(), ["b", "own"]);
    let reads = driven.facts.iter().filter_map(|fact| match fact {
        DirectoryFact::Read { part: "routers", reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reads.collect::<Vec<_>>(), [ReadReason::Start, ReadReason::Compacted]);
}

#[test]
fn an_etcd_that_was_made_anew_is_read_anew_and_registered_with() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    etcd.put("/s/routers/gone", record("gone", "bj").bytes());
    let mut driven = Driven::new(now);
    live(&mut driven, &mut etcd, Duration::from_secs(120));
    etcd.wipe();
    etcd.put("/s/routers/new", record("new", "bj").bytes());
    live(&mut driven, &mut etcd, LEASE);
    assert_eq!(driven.names(), ["new", "own"]);
    assert!(driven.facts.iter().any(|fact| matches!(fact, DirectoryFact::LeaseLost { .. })));
    let rewound = |fact: &&DirectoryFact| matches!(fact, DirectoryFact::Read { reason: ReadReason::Rewound, .. });
    assert_eq!(driven.facts.iter().filter(rewound).count(), 3, "each part once");
}

#[test]
fn answers_that_were_not_asked_for_and_streams_that_do_not_count_change_nothing() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    let mut driven = Driven::new(now);
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    let before = driven.directory.shown(driven.now);
    let stored = Stored { key: "z".to_owned(), value: record("z", "sh").bytes(), revision: 99 };
    let listed = Answer::Listed { cluster: 1, revision: 99, records: vec![stored.clone()], more: false };
    driven.answer(9_999, Ok(listed));
    let changed = Heard::Changed { revision: 99, changes: vec![Change::Put(stored)] };
    for heard in [changed, Heard::Alive, Heard::Compacted, Heard::Ended { why: String::new() }] {
        driven.tell(Input::Heard { stream: 9_999, heard });
    }
    assert_eq!(driven.directory.shown(driven.now), before);
}

#[test]
fn a_wrong_password_is_told_and_tried_on() {
    let mut driven = Driven::new(Instant::now());
    for _ in 0..9 {
        for (ticket, _) in std::mem::take(&mut driven.calls) {
            let why = "authentication failed".to_owned();
            driven.answer(ticket, Err(Fault { outcome: DirectoryOutcome::Denied, why }));
        }
        driven.pass(Duration::from_secs(9));
    }
    let shown = driven.directory.shown(driven.now);
    assert_eq!((shown.answers, shown.registered, shown.why.as_deref()), (false, false, Some("authentication failed")));
    assert!(shown.lease_age_seconds > 80.0 && shown.watch_lag_seconds > 80.0);
    assert_eq!(driven.calls.len(), 4, "registration and all parts are tried on: {:?}", driven.calls);
}

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Happening {
    Put(u8, bool),
    Delete(u8),
    /// Media nodes are registered with this router: those of these numbers.
    Register(Vec<u8>),
    /// Another router writes a media node, or takes it away.
    Node(u8, bool),
    /// The rules are another text, or none.
    Rules(Option<u8>),
    Compact,
    Cut,
    Wipe,
    /// Answers fail, the oldest call first.
    Fail(u8),
    /// The oldest call was carried out, and its answer lost on the way.
    Lose,
    Converse,
    Pass(u16),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        6 => (0..9u8, any::<bool>()).prop_map(|(key, readable)| Happening::Put(key, readable)),
        4 => (0..9u8).prop_map(Happening::Delete),
        3 => prop::collection::vec(0..4u8, 0..4).prop_map(Happening::Register),
        3 => (0..4u8, any::<bool>()).prop_map(|(node, there)| Happening::Node(node, there)),
        3 => prop::option::of(0..9u8).prop_map(Happening::Rules),
        1 => Just(Happening::Compact),
        2 => Just(Happening::Cut),
        1 => Just(Happening::Wipe),
        2 => (1..4u8).prop_map(Happening::Fail),
        2 => Just(Happening::Lose),
        4 => Just(Happening::Converse),
        4 => (1..50_000u16).prop_map(Happening::Pass),
    ];
    prop::collection::vec(one, 0..60)
}

fn happen(driven: &mut Driven, etcd: &mut Etcd, happening: &Happening) {
    let key = |key: &u8| format!("/s/routers/{key}");
    let late = || Fault { outcome: DirectoryOutcome::Late, why: "late".to_owned() };
    match happening {
        Happening::Put(at, true) => etcd.put(&key(at), record(&at.to_string(), "bj").bytes()),
        Happening::Put(at, false) => etcd.put(&key(at), b"{\"version\":2}".to_vec()),
        Happening::Delete(at) => etcd.delete(&key(at)),
        Happening::Register(numbers) => {
            driven.registered = numbers.iter().map(|n| nodes::node(&format!("n{n}"), "x", "")).collect();
            driven.tell(Input::Registered(driven.registered.clone()));
        }
        Happening::Node(n, true) => {
            etcd.put(&format!("/s/media/n{n}"), nodes::node(&format!("n{n}"), "y", "other").bytes());
        }
        Happening::Node(n, false) => etcd.delete(&format!("/s/media/n{n}")),
        Happening::Rules(Some(text)) => etcd.put("/s/rules", vec![b'0' + text]),
        Happening::Rules(None) => etcd.delete("/s/rules"),
        Happening::Compact => etcd.compact(),
        Happening::Cut => etcd.cut(),
        Happening::Wipe => etcd.wipe(),
        Happening::Fail(count) => {
            for _ in 0..usize::from(*count).min(driven.calls.len()) {
                let (ticket, _) = driven.calls.remove(0);
                driven.answer(ticket, Err(late()));
            }
        }
        Happening::Lose => {
            if !driven.calls.is_empty() {
                let (ticket, call) = driven.calls.remove(0);
                etcd.answer(ticket, &call, driven.now).ok();
                etcd.close(ticket);
                driven.answer(ticket, Err(late()));
            }
        }
        Happening::Converse => converse(driven, etcd),
        Happening::Pass(milliseconds) => {
            driven.pass(Duration::from_millis(u64::from(*milliseconds)));
            etcd.expire(driven.now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_view_ends_as_what_is_there(happenings in happenings()) {
        let (mut etcd, now) = (Etcd::default(), Instant::now());
        let mut driven = Driven::new(now);
        for happening in &happenings {
            happen(&mut driven, &mut etcd, happening);
        }
        live(&mut driven, &mut etcd, LEASE * 4);
        // another one that begins now sees the same
        let mut fresh = Driven::new(driven.now);
        fresh.tell(Input::Registered(driven.registered.clone()));
        converse(&mut fresh, &mut etcd);
        let (one, other) = (driven.directory.shown(driven.now), fresh.directory.shown(fresh.now));
        prop_assert_eq!(&one.digest, &other.digest, "{:?} {:?}", one, other);
        let there: Vec<String> = etcd.keys("/s/routers/").into_iter().take(5).collect();
        let mut seen: Vec<String> = one.routers.into_iter().map(|row| row.id).collect();
        seen.extend(one.unreadable.iter().filter_map(|row| row.key.strip_prefix("routers/").map(str::to_owned)));
        seen.sort();
        prop_assert_eq!(seen, there);
        prop_assert!(one.registered && one.answers && one.watch == "watching");
        let told = driven.rules.last().cloned().flatten().map(|news| news.text.unwrap().as_bytes().to_vec());
        prop_assert_eq!(told, etcd.get("/s/rules"));
        // who registered here stands there, and nobody else in the name of this router
        let mut here: Vec<String> = driven.registered.iter().map(|node| node.id.clone()).collect();
        here.sort();
        here.dedup();
        let ours = |key: &String| nodes::read(&etcd, key).by == "own";
        let there: Vec<String> = etcd.keys("/s/media/").into_iter().filter(ours).collect();
        prop_assert_eq!(there, here);
    }
}
