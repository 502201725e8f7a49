//! A router of a world: its directory, as it is in the program, and what shards and connections would do about what it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use signalbox::{
    directory::{
        Call, Directory, Holder, Home, Input, Load, NodeNews, NodeRecord, Output, Place, RouterRecord, RulesNews,
        RulesStanding, Settings, record::RECORD_VERSION,
    },
    guard::limits::Share,
    ids::RoomId,
};

use super::plan::{At, Planted};

/// As the default of `etcd.lease_seconds`.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const PREFIX: &str = "/s";

/// Rooms are held against their records so often, as in the program; and so seldom that they never are.
pub(crate) const COMPARES: Duration = Duration::from_secs(30);
pub(crate) const NEVER: Duration = Duration::from_secs(1_000_000);

/// What it wants of the world.
#[derive(Debug)]
pub(crate) enum Wants {
    Call(u64, Call),
    Probe(u64),
    Close(u64),
    /// Somebody who came for a room is sent to another router.
    SendOn {
        room: usize,
        to: String,
        founds: bool,
    },
    /// All who are in a room are.
    MoveOn {
        room: usize,
        to: String,
    },
}

/// See the module.
pub(crate) struct Router {
    pub(crate) id: String,
    /// Which start of it; calls and streams of an earlier one are nobody's.
    pub(crate) life: u64,
    pub(crate) runs: bool,
    pub(crate) drains: bool,
    directory: Directory,
    planted: Option<Planted>,
    /// Its share of what the fleet allows.
    pub(crate) share: Share,
    /// Rules that stand, as it was told, and media nodes by id.
    pub(crate) rules: Option<RulesNews>,
    pub(crate) nodes: BTreeMap<String, NodeRecord>,
    follows: RulesStanding,
    /// Media nodes that are registered with it.
    pub(crate) registered: BTreeMap<String, NodeRecord>,
    compares: Duration,
    base: Instant,
    /// How fast its clock runs.
    rate: f64,
    /// Rooms that are here.
    pub(crate) rooms: BTreeSet<usize>,
    /// Rooms that joins go on into without asking, as it was told.
    pub(crate) kept: BTreeSet<usize>,
    /// Who waits to hear, since when: the room, and whether it is made.
    pub(crate) waiting: BTreeMap<u64, (At, usize, bool)>,
    questions: u64,
    /// Rules that it broke by itself.
    pub(crate) broken: Vec<String>,
    /// Rooms that it gave up, and to whom.
    pub(crate) gave_up: Vec<(usize, String)>,
    /// Openings that went by what it has, because etcd was not well.
    pub(crate) unknown: usize,
}

fn name(room: usize) -> String {
    format!("room {room}")
}

pub(crate) fn number(room: &str) -> usize {
    room.strip_prefix("room ").and_then(|number| number.parse().ok()).unwrap()
}

impl Router {
    pub(crate) fn new(
        number: usize,
        (seed, base): (u64, Instant),
        (clock, compares): (i32, Duration),
        planted: Option<Planted>,
    ) -> Self {
        let id = format!("r{number}");
        let mut router = Self {
            directory: directory(&id, (seed, 1), compares, base),
            drains: false,
            planted,
            share: Share::UNKNOWN,
            rules: None,
            follows: RulesStanding::default(),
            nodes: BTreeMap::new(),
            registered: BTreeMap::new(),
            compares,
            id,
            life: 1,
            runs: true,
            base,
            rate: 1.0 + f64::from(clock) / 1e6,
            rooms: BTreeSet::new(),
            kept: BTreeSet::new(),
            waiting: BTreeMap::new(),
            questions: 0,
            broken: Vec::new(),
            gave_up: Vec::new(),
            unknown: 0,
        };
        router.start(seed, 0);
        router
    }

    /// Starts it anew: nothing is left of what it knew.
    pub(crate) fn start(&mut self, seed: u64, now: At) {
        self.life += 1;
        self.runs = true;
        self.directory = directory(&self.id, (seed, self.life), self.compares, self.local(now));
        (self.rooms, self.kept, self.waiting) = Default::default();
        // its share is in its data folder
        self.drains = false;
        (self.rules, self.follows, self.nodes, self.registered) = Default::default();
    }

    fn local(&self, now: At) -> Instant {
        self.base + Duration::from_micros((now as f64 * self.rate) as u64)
    }

    /// When it is to be told that time has passed.
    pub(crate) fn wake(&self) -> Option<At> {
        let local = self.directory.wake()?.saturating_duration_since(self.base).as_micros() as f64;
        // by a clock that is cut off to microseconds
        Some((local / self.rate) as At + 4)
    }

    pub(crate) fn has_left(&self) -> bool {
        self.directory.has_left()
    }

    pub(crate) fn digest(&self, now: At) -> String {
        let shown = self.directory.shown(self.local(now));
        format!("{} {} {}", shown.digest, shown.routers.len(), shown.watch)
    }

    pub(crate) fn rooms_unwritten(&self, now: At) -> usize {
        self.directory.figures(self.local(now)).rooms_unwritten
    }

    /// Digests of its rooms and of their records, and how many differ; absent: they were not compared yet.
    pub(crate) fn compared(&self, now: At) -> Option<([u64; 2], usize)> {
        let (compared, _) = self.directory.figures(self.local(now)).rooms?;
        let (here, there) = (compared.here, compared.there);
        Some(([here.digest, there.digest], here.alone + there.alone))
    }

    /// Somebody came for a room.
    pub(crate) fn come(&mut self, room: usize, founds: bool, now: At) -> Vec<Wants> {
        if self.kept.contains(&room) {
            return self.open(room, founds, now);
        }
        self.questions += 1;
        let question = self.questions;
        self.waiting.insert(question, (now, room, founds));
        self.tell(Input::Asked { question, room: RoomId::from(name(room)), founds }, now)
    }

    fn open(&mut self, room: usize, founds: bool, now: At) -> Vec<Wants> {
        match founds && self.rooms.insert(room) {
            true => self.tell(Input::Rooms(vec![(name(room).into(), true)]), now),
            false => Vec::new(),
        }
    }

    /// All left a room.
    pub(crate) fn end(&mut self, room: usize, now: At) -> Vec<Wants> {
        match self.rooms.remove(&room) {
            true => self.tell(Input::Rooms(vec![(name(room).into(), false)]), now),
            false => Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, input: Input, now: At) -> Vec<Wants> {
        let mut wants = Vec::new();
        for output in self.directory.handle(input, self.local(now)) {
            match output {
                Output::Call { ticket, call } => wants.push(Wants::Call(ticket, call)),
                Output::Probe { stream } => wants.push(Wants::Probe(stream)),
                Output::Close { stream } => wants.push(Wants::Close(stream)),
                Output::Observe(_) => {}
                Output::Place(Place { rank, of }) => self.allow(Share::new(rank, of)),
                Output::Node(NodeNews::There(node)) => drop(self.nodes.insert(node.id.clone(), *node)),
                Output::Node(NodeNews::Gone { node }) => drop(self.nodes.remove(node.as_str())),
                Output::Rules(news) => wants.extend(self.rules_came(news, now)),
                Output::Kept { room, kept } => {
                    let room = number(room.as_str());
                    let _ = if kept { self.kept.insert(room) } else { self.kept.remove(&room) };
                }
                Output::Lost { room, router, .. } => {
                    let room = number(room.as_str());
                    self.gave_up.push((room, router.as_str().to_owned()));
                    wants.push(Wants::MoveOn { room, to: router.as_str().to_owned() });
                    wants.extend(self.end(room, now));
                }
                Output::Home { question, home } => wants.extend(self.found(question, home, now)),
            }
        }
        wants
    }

    /// This part of what the fleet allows, from now on.
    fn allow(&mut self, share: Share) {
        self.share = match self.planted {
            Some(Planted::UnseenRouter) if share.of() > self.share.of() => return,
            Some(Planted::CountsItself) => Share::new(share.rank(), share.of() + 1),
            _ => share,
        };
    }

    /// Other rules stand: it follows them at once.
    fn rules_came(&mut self, news: Option<RulesNews>, now: At) -> Vec<Wants> {
        let revision = news.as_ref().map_or(0, |news| news.revision);
        self.rules = news;
        let follows = RulesStanding { revision, judged: revision, refused: false };
        match std::mem::replace(&mut self.follows, follows) == follows {
            true => Vec::new(),
            false => self.tell(Input::RulesTaken(follows), now),
        }
    }

    fn found(&mut self, question: u64, home: Home, now: At) -> Vec<Wants> {
        let Some((_, room, founds)) = self.waiting.remove(&question) else {
            self.broken.push(format!("{} answered question {question} that nobody asked, or twice", self.id));
            return Vec::new();
        };
        match home {
            Home::There(Holder { router, .. }) => {
                vec![Wants::SendOn { room, to: router.as_str().to_owned(), founds }]
            }
            Home::Unknown => {
                self.unknown += 1;
                self.open(room, founds, now)
            }
            Home::Here | Home::Nowhere => self.open(room, founds, now),
        }
    }

    /// Told once in a while, as a router that runs does.
    pub(crate) fn load(&mut self, now: At) -> Vec<Wants> {
        let load = Load { rooms: self.rooms.len() as u64, ..Load::default() };
        self.tell(Input::Loaded(load), now)
    }
}

fn directory(id: &str, (seed, life): (u64, u64), compare_every: Duration, now: Instant) -> Directory {
    let own = RouterRecord {
        version: RECORD_VERSION,
        id: id.to_owned(),
        incarnation: format!("{id}.{life}"),
        region: "sh".to_owned(),
        build: "1".to_owned(),
        url: format!("wss://{id}"),
        ops_url: String::new(),
        relay_url: String::new(),
        started_unix: 1,
        draining: false,
        load: Load::default(),
        rules: None,
        rest: serde_json::Map::new(),
    };
    let settings = Settings {
        prefix: PREFIX.to_owned(),
        own,
        lease: LEASE,
        records_max: 10_000,
        one_router_a_room: true,
        compare_every,
        seed: seed ^ life.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    };
    Directory::new(settings, now)
}
