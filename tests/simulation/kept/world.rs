//! A world: what happens next, until all of it has happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use fastrand::Rng;
use signalbox::{
    fabric::{Write, Written},
    router::{AdminCall, AnswerTicket, Input},
};

use super::{
    checks::{self, directed::Directed, owners::Owners},
    chronicle::{Chronicle, Ended, LifeId},
    client::Client,
    homes::Homes,
    host::{Host, Wants, Work, name},
    journal::Journal,
    keeping::{Asked, Pending, Restores},
    plan::{Act, At, END, Failure, MS, Plan, Planted, SECOND},
    redis::{Came, Redis},
    tally::Tally,
    wire::{Connection, Down, Up},
};
use crate::schedule::Schedule;

/// What happens at a moment.
#[derive(Debug)]
pub(crate) enum Event {
    Act(Act),
    /// A client's word is at its router, or a router's at its client.
    Up(u64, Up),
    Down(u64, Box<Down>),
    /// A router hears that a connection is gone.
    Lost(u64),
    /// A client tries to come in; of that opening of its.
    Try {
        client: usize,
        opening: u64,
    },
    /// It has waited for long enough.
    NoAnswer {
        client: usize,
        opening: u64,
    },
    /// The directory was asked where a room is.
    Sought {
        router: usize,
        start: u64,
        wants: Wants,
    },
    /// It hears that a room is here, or says that it is elsewhere, or hears that it is not here any more.
    Register {
        router: usize,
        start: u64,
        room: usize,
    },
    Notice {
        router: usize,
        start: u64,
        room: usize,
    },
    Release {
        router: usize,
        start: u64,
        room: usize,
    },
    Wake {
        router: usize,
        start: u64,
    },
    /// A call is at Redis, its answer back; nobody waits for it any more.
    Arrives(Box<Asked>),
    Answered {
        ticket: u64,
        came: Option<Came>,
    },
    Late {
        ticket: u64,
    },
    /// A pause of the keeper is over.
    WorkAgain {
        router: usize,
        start: u64,
        room: usize,
    },
    TakeAgain {
        router: usize,
        start: u64,
        room: usize,
        force: bool,
    },
    NotSettled {
        router: usize,
        start: u64,
        room: usize,
    },
    /// A write is on the disk; it is time to bring what lies there, or to look whether more of a room does.
    OnDisk {
        router: usize,
        start: u64,
        room: usize,
        write: Option<Box<Write>>,
        fence: u64,
        life: Option<LifeId>,
    },
    BringAll {
        router: usize,
        start: u64,
    },
    BringOn {
        router: usize,
        start: u64,
        room: usize,
    },
    /// What came of a write that went nowhere.
    Worked {
        router: usize,
        start: u64,
        room: usize,
        written: Written,
    },
    /// An answer has waited for long enough.
    HeldUntil {
        router: usize,
        start: u64,
        ticket: AnswerTicket,
    },
    /// A router that drained ends, if its keeper is done.
    Stop {
        router: usize,
        start: u64,
        by: At,
    },
    Start(usize),
    Check,
}

/// See the module.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) planted: Option<Planted>,
    pub(crate) rng: Rng,
    pub(crate) hosts: Vec<Host>,
    pub(crate) clients: Vec<Client>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) redis: Redis,
    /// By router: what lies on its disk.
    pub(crate) journals: Vec<Journal>,
    pub(crate) homes: Homes,
    pub(crate) chronicle: Chronicle,
    pub(crate) owners: Owners,
    owners_behind: Owners,
    pub(crate) directed: BTreeMap<String, Directed>,
    /// By what was said to one alone: how far in its room who said it was.
    pub(crate) sent_after: BTreeMap<String, (LifeId, u64)>,
    /// Routers whose calls to Redis are lost.
    pub(crate) lossy: BTreeSet<usize>,
    /// and those of which none arrive.
    pub(crate) cut_off: BTreeSet<usize>,
    /// Of the input at hand: lives of its room that came with it, and their ends.
    pub(crate) merges: Vec<(usize, u64)>,
    /// When Redis lost some of what it had last.
    pub(crate) lost_at: Option<At>,
    pub(crate) pending: BTreeMap<u64, Pending>,
    pub(crate) tickets: u64,
    /// The call at hand is for what lies in a journal.
    pub(crate) by_journal: bool,
    pub(crate) now: At,
    schedule: Schedule<Event>,
    /// Of the input at hand: the room that is restored;
    pub(crate) restores: Option<Restores>,
    /// that it is not known whether the room is kept; who comes in; which room another router has.
    pub(crate) unknown: bool,
    pub(crate) comes_in: Option<usize>,
    pub(crate) moved: BTreeSet<(usize, usize)>,
    /// By router and session: when it was left there.
    pub(crate) left_at: BTreeMap<(usize, String), At>,
    /// By session: in which lives it ended.
    pub(crate) sessions_ended: BTreeMap<String, Vec<usize>>,
    /// Of the input at hand: routers, and sessions there that others took the place of.
    pub(crate) replaced: Vec<(usize, String)>,
    pub(crate) tally: Tally,
    pub(crate) broken: Vec<String>,
    told: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(plan: Plan, planted: Option<Planted>) -> Self {
        let base = Instant::now();
        let mut rng = Rng::with_seed(plan.seed ^ 0x0077_6f72_6c64);
        let clients = plan.clients.iter().enumerate();
        let clients = clients.map(|(number, room)| Client::new(number, *room, rng.usize(0..plan.routers))).collect();
        let mut clients: Vec<Client> = clients;
        clients.extend(plan.doubles.iter().map(|of| clients[*of].double()).collect::<Vec<_>>());
        let (connections, homes, chronicle, owners, owners_behind, directed, lossy, pending) = Default::default();
        let (schedule, restores, comes_in, moved, left_at, sessions_ended, broken, told) = Default::default();
        let mut world = Self {
            hosts: (0..plan.routers).map(|router| Host::new(&plan, router, base, planted)).collect(),
            clients,
            connections,
            redis: Redis::new(planted),
            journals: (0..plan.routers).map(|_| Journal::default()).collect(),
            homes,
            chronicle,
            owners,
            owners_behind,
            directed,
            sent_after: BTreeMap::new(),
            lossy,
            cut_off: BTreeSet::new(),
            merges: Vec::new(),
            lost_at: None,
            pending,
            tickets: 0,
            by_journal: false,
            now: 0,
            schedule,
            restores,
            unknown: false,
            comes_in,
            moved,
            left_at,
            sessions_ended,
            replaced: Vec::new(),
            tally: Tally::default(),
            broken,
            told,
            rng,
            planted,
            plan,
        };
        for (at, act) in std::mem::take(&mut world.plan.acts) {
            world.at(at, Event::Act(act));
        }
        for router in 0..world.plan.routers {
            world.at(0, Event::BringAll { router, start: 1 });
        }
        for at in (0..END).step_by(SECOND as usize / 2) {
            world.at(at, Event::Check);
        }
        world
    }

    /// Lets it all happen; the rules that were broken, and what there was.
    pub(crate) fn run(mut self) -> (Vec<String>, Tally) {
        self.live();
        if self.broken.is_empty() {
            checks::owners::at_the_end(&mut self);
            checks::whole::at_the_end(&mut self);
            checks::figures::at_the_end(&mut self);
            checks::sessions::at_the_end(&mut self);
            checks::replaced::at_the_end(&mut self);
            checks::delivery::at_the_end(&mut self);
            checks::directed::at_the_end(&mut self);
            checks::acknowledged::at_the_end(&mut self);
            checks::branches::at_the_end(&mut self);
            for room in 0..self.plan.rooms {
                // in one that is nowhere nobody wants to be: of that another rule sees to it
                if let Some(life) = self.life_of(room) {
                    self.judge(room, Some(life), false);
                }
            }
        }
        let tally = Tally::of(&self);
        (self.broken, tally)
    }

    /// Lets it all happen; what happened, in words.
    pub(crate) fn history(mut self) -> Vec<String> {
        self.told = Some(Vec::new());
        self.live();
        self.told.unwrap_or_default()
    }

    fn live(&mut self) {
        while let Some((at, event)) = self.schedule.next() {
            if at > END {
                return;
            }
            self.now = at;
            if self.told.is_some() {
                self.tell(|| format!("{event:?}"));
            }
            self.happen(event);
            if !self.broken.is_empty() {
                return;
            }
        }
    }

    /// For who reads what happened.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        let at = self.now;
        if let Some(told) = &mut self.told {
            told.push(format!("{at} {}", what()));
        }
    }

    pub(crate) fn at(&mut self, at: At, event: Event) {
        self.schedule.add(at, event);
    }

    /// Whether what is said of a router is of the one that runs.
    fn is_of(&self, router: usize, start: u64) -> bool {
        self.hosts[router].runs && self.hosts[router].start == start
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Act(act) => self.act(act),
            Event::Up(connection, word) => self.up(connection, word),
            Event::Down(connection, word) => self.down(connection, *word),
            Event::Lost(connection) => self.lost(connection),
            Event::Try { client, opening } => self.try_to_open(client, opening),
            Event::NoAnswer { client, opening } => self.no_answer(client, opening),
            Event::Sought { router, start, wants } if self.is_of(router, start) => self.sought(router, wants),
            Event::Register { router, start, room } if self.is_of(router, start) => self.register(router, room),
            Event::Notice { router, start, room } if self.is_of(router, start) => self.noticed(router, room),
            Event::Release { router, start, room } if self.is_of(router, start) => self.release(router, room),
            Event::Wake { router, start } if self.is_of(router, start) => self.woken(router),
            Event::Arrives(asked) => self.arrives(*asked),
            Event::Answered { ticket, came } => self.answered(ticket, came, false),
            Event::Late { ticket } => self.answered(ticket, None, true),
            Event::WorkAgain { router, start, room } if self.is_of(router, start) => self.go_on_with(router, room),
            Event::TakeAgain { router, start, room, force } if self.is_of(router, start) => {
                self.ask_redis((router, room), None, super::redis::Call::Take { force });
            }
            Event::NotSettled { router, start, room } if self.is_of(router, start) => self.not_settled(router, room),
            Event::Stop { router, start, by } if self.is_of(router, start) => self.stop_drained(router, by),
            Event::Start(router) if !self.hosts[router].runs => {
                self.hosts[router].start(&self.plan, router, (self.now, self.planted));
                self.bring_all(router);
            }
            Event::OnDisk { router, start, room, write, fence, life } if self.is_of(router, start) => {
                self.on_disk((router, room), write.map(|write| *write), (fence, life));
            }
            Event::BringAll { router, start } if self.is_of(router, start) => self.bring_all(router),
            Event::BringOn { router, start, room } if self.is_of(router, start) => self.bring_on(router, room),
            Event::Worked { router, start, room, written } if self.is_of(router, start) => {
                self.worked(router, room, Some(Came::Written(written)));
            }
            Event::HeldUntil { router, start, ticket } if self.is_of(router, start) => {
                self.handle(router, Input::Late(ticket));
            }
            Event::Check => checks::figures::now_and_then(self),
            // of a router that has ended
            _ => {}
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Join { client } => self.wants_in(client),
            Act::Say { client } => self.say(client),
            Act::Tell { client, to } => self.say_to(client, to),
            Act::Repeat { client, back } => self.repeat(client, back),
            Act::Cut { client, away } => self.cut(client, away),
            Act::Leave { client } => self.leave(client),
            Act::Double(double) => self.double(double),
            Act::Fail(failure) => self.fail(failure),
            Act::Mend(failure) => self.mend(failure),
            Act::Behind => {
                self.redis.fall_behind();
                self.owners_behind = self.owners.clone();
            }
            Act::LastWord => {
                for room in 0..self.plan.rooms {
                    self.last_word(room);
                }
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        match failure {
            Failure::Away { refuses } => {
                self.hinder_all();
                self.redis.away = Some(refuses);
            }
            Failure::Flushed => {
                self.redis.flush();
                self.owners.forget();
                self.taken_back();
            }
            Failure::Failover => {
                self.hinder_all();
                if self.redis.fail_over() {
                    self.owners = self.owners_behind.clone();
                    self.taken_back();
                }
            }
            Failure::Lossy { router } => {
                self.lossy.insert(router);
            }
            Failure::Killed { router } => self.kill(router),
            Failure::Drained { router, window } => {
                if self.hosts[router].runs && !self.hosts[router].drains {
                    self.hosts[router].drains = true;
                    let (start, window) = (self.hosts[router].start, Duration::from_micros(window));
                    let ends = self.now + self.hosts[router].pause(window) + 20 * MS;
                    self.at(ends, Event::Stop { router, start, by: ends + 5 * SECOND });
                    self.handle(router, Input::Drain { window });
                }
            }
            Failure::Doubted { room, by, heard_after } => {
                self.homes.doubts.insert(room, (self.now + SECOND, heard_after));
                let member = (0..self.clients.len()).find(|client| self.clients[*client].room == room);
                if let Some(client) = member {
                    self.cut(client, MS);
                    self.clients[client].router = by;
                }
            }
            Failure::Blind { router } => self.hosts[router].blind = true,
            Failure::CutOff { router, by, until } => self.cut_off_from_all(router, by, until),
        }
    }

    /// A router hears neither of the directory nor of Redis, and goes on with those of its clients who stay; others take its rooms over.
    fn cut_off_from_all(&mut self, router: usize, by: usize, until: At) {
        self.hosts[router].blind = true;
        self.cut_off.insert(router);
        for room in self.hosts[router].here.keys().copied().collect::<Vec<_>>() {
            self.homes.doubts.insert(room, (until, 0));
        }
        let there = |client: &usize| self.clients[*client].router == router && client.is_multiple_of(2);
        for client in (0..self.clients.len()).filter(there).collect::<Vec<_>>() {
            self.cut(client, MS);
            self.clients[client].router = by;
        }
    }

    fn mend(&mut self, failure: Failure) {
        match failure {
            Failure::Away { .. } => self.redis.away = None,
            Failure::Lossy { router } => {
                self.lossy.remove(&router);
            }
            Failure::Killed { router } => self.at(self.now, Event::Start(router)),
            Failure::Blind { router } => self.hosts[router].blind = false,
            Failure::CutOff { router, .. } => {
                self.hosts[router].blind = false;
                self.cut_off.remove(&router);
            }
            Failure::Flushed | Failure::Failover | Failure::Drained { .. } | Failure::Doubted { .. } => {}
        }
    }

    /// A router ends from one moment to the next.
    fn kill(&mut self, router: usize) {
        if !self.hosts[router].runs {
            return;
        }
        (self.hosts[router].runs, self.hosts[router].ended_at) = (false, self.now);
        self.journals[router].is_left(self.planted);
        for (_, life) in std::mem::take(&mut self.hosts[router].here) {
            self.chronicle.end(life, self.now, Ended::Killed);
        }
        for (room, (epoch, work)) in std::mem::take(&mut self.hosts[router].work) {
            // its last write was on its way
            if let (Work::Part(..), Some(life)) = (work, self.chronicle.find(room, &epoch.to_string())) {
                self.chronicle.lives[life].hindered = self.now;
            }
        }
        for connection in std::mem::take(&mut self.hosts[router].connections) {
            let after = self.rng.u64(MS..100 * MS);
            self.breaks(connection, after);
        }
    }

    /// A router that has drained ends once its keeper has nothing more to do, and then by force.
    fn stop_drained(&mut self, router: usize, by: At) {
        if self.hosts[router].lanes.is_empty() || self.now >= by {
            self.kill(router);
            return self.at(self.now + SECOND, Event::Start(router));
        }
        let start = self.hosts[router].start;
        self.at(self.now + 10 * MS, Event::Stop { router, start, by });
    }

    /// Somebody says the last word in a room.
    fn last_word(&mut self, room: usize) {
        let Some(router) = (0..self.hosts.len()).find(|router| self.hosts[*router].here.contains_key(&room)) else {
            return;
        };
        let data = Some(format!("\"last:{room}\""));
        let call = signalbox::protocol::v1::SendDataRequest { room: name(room), data, ..Default::default() };
        self.handle(router, Input::Admin { request: 1, by: "ops".to_owned(), call: AdminCall::SendData(call) });
    }

    /// The life that a room is in.
    pub(crate) fn life_of(&self, room: usize) -> Option<usize> {
        self.hosts.iter().filter(|host| host.runs).find_map(|host| host.here.get(&room).copied())
    }
}
