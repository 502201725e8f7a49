//! A world: what happens next, until all of it has happened.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use signalbox::{
    directory::{Answer, Call, Fault, Heard, Input},
    event::DirectoryOutcome,
};

use super::{
    checks::{self, homes::TwoHomes},
    etcd::{Etcd, Watcher},
    network::Network,
    operators::OPERATORS,
    plan::{Act, At, CALM, END, Failure, HEALED, Plan, Planted, SECOND},
    router::{PREFIX, Router, Wants},
};
use crate::schedule::Schedule;

/// As the default of `etcd.timeout_ms`.
const TIMEOUT: At = 2 * SECOND;
/// How often who is sent to a router that is not there tries again, and where.
const TRIES: u8 = 3;

/// How often it is looked at what holds at any moment, and for how long once nothing fails any more.
const LOOK_EACH: At = SECOND / 5;
const LOOKS: At = 50 * SECOND;

/// Routers, media nodes, rules, and rooms that were taken: what a router follows.
const FOLLOWED: usize = 4;

/// What happens at a moment.
#[derive(Debug)]
enum Event {
    Act(Act),
    /// A call is at etcd.
    Asked(Watcher, Call),
    /// Its answer is at the router.
    Answered(Watcher, Result<Answer, Fault>),
    /// Nobody waits for it any more.
    Late(Watcher),
    /// A stream says something.
    Heard(Watcher, Heard),
    Probed(Watcher),
    Wake(usize, u64),
    /// etcd looks for leases that have ended.
    Expire,
    /// Routers say how much they carry.
    Load,
    /// Somebody who was sent on is there.
    Come {
        router: usize,
        room: usize,
        founds: bool,
        tries: u8,
    },
    /// A router that was stopped starts.
    Start(usize),
    Look,
    Check,
}

/// See the module.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) routers: Vec<Router>,
    pub(crate) etcd: Etcd,
    network: Network,
    pub(crate) now: At,
    schedule: Schedule<Event>,
    /// When each router is to be woken next.
    wakes: Vec<At>,
    /// Calls that nobody answered yet.
    pending: BTreeMap<Watcher, ()>,
    down: bool,
    /// What etcd was asked while it stood still.
    frozen: Option<Vec<(Watcher, Call)>>,
    /// By the number of an operator's call: the rules that stood, as its router had seen.
    pub(crate) written_by_operators: Vec<Option<String>>,
    /// Rooms with two homes; a limit that is passed, by whom, since when.
    pub(crate) two_homes: TwoHomes,
    pub(crate) passed: Option<(Vec<usize>, At)>,
    pub(crate) broken: Vec<String>,
    told: Option<Vec<String>>,
}

impl World {
    /// One whose routers hold their rooms against their records so often.
    pub(crate) fn new(plan: Plan, planted: Option<Planted>, compares: Duration) -> Self {
        let base = Instant::now();
        let router = |n: usize| {
            let seed = plan.seed.wrapping_add(n as u64);
            Router::new(n, (seed, base), (plan.clocks[n], compares), planted)
        };
        let mut world = Self {
            routers: (0..plan.routers).map(router).collect(),
            etcd: Etcd::new(planted),
            network: Network::new(plan.seed, plan.routers),
            now: 0,
            schedule: Schedule::default(),
            wakes: vec![At::MAX; plan.routers],
            pending: BTreeMap::new(),
            down: false,
            frozen: None,
            written_by_operators: Vec::new(),
            two_homes: TwoHomes::new(),
            passed: None,
            broken: Vec::new(),
            told: None,
            plan,
        };
        for (at, act) in std::mem::take(&mut world.plan.acts) {
            world.at(at, Event::Act(act));
        }
        for at in (0..END).step_by(SECOND as usize / 2) {
            world.at(at, Event::Expire);
        }
        for at in (0..HEALED + LOOKS).step_by(LOOK_EACH as usize) {
            world.at(at, Event::Look);
        }
        for second in 0..END / SECOND {
            world.at(second * SECOND, Event::Check);
        }
        for at in (0..END).step_by(9 * SECOND as usize) {
            world.at(at, Event::Load);
        }
        (0..world.routers.len()).for_each(|router| world.follow(router, Vec::new()));
        world
    }

    /// Lets it all happen; the rules that were broken.
    pub(crate) fn run(mut self) -> Vec<String> {
        self.live();
        checks::at_the_end(&mut self);
        self.broken
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
            self.etcd.forgetful = (CALM..HEALED).contains(&at);
            if let Some(told) = &mut self.told {
                told.push(format!("{at} {event:?}"));
            }
            self.happen(event);
            if !self.broken.is_empty() {
                return;
            }
        }
    }

    fn at(&mut self, at: At, event: Event) {
        self.schedule.add(at, event);
    }

    pub(crate) fn is_of(&self, (router, life, _): Watcher) -> bool {
        self.routers[router].runs && self.routers[router].life == life
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Act(act) => self.act(act),
            Event::Asked(of, call) => self.asked(of, call),
            Event::Answered(of, answer) => self.answered(of, answer),
            Event::Late(of) => {
                if self.pending.contains_key(&of) {
                    let why = "no answer within 2000 ms".to_owned();
                    self.answered(of, Err(Fault { outcome: DirectoryOutcome::Late, why }));
                }
            }
            Event::Heard(of, heard) => {
                if self.is_of(of) {
                    self.tell(of.0, Input::Heard { stream: of.2, heard });
                }
            }
            Event::Probed(of) => {
                if !self.down && self.frozen.is_none() {
                    self.etcd.probed(of);
                    self.say();
                }
            }
            Event::Wake(router, life) => {
                self.wakes[router] = At::MAX;
                if self.routers[router].runs && self.routers[router].life == life {
                    self.tell(router, Input::Tick);
                } else {
                    self.follow(router, Vec::new());
                }
            }
            Event::Expire => {
                if !self.down && self.frozen.is_none() {
                    self.etcd.expire(self.now);
                    self.say();
                }
            }
            Event::Load => {
                for router in 0..self.routers.len() {
                    if self.routers[router].runs {
                        let wants = self.routers[router].load(self.now);
                        self.follow(router, wants);
                    }
                }
            }
            Event::Come { router, room, founds, tries } => self.come(router, room, founds, tries),
            Event::Start(router) => {
                let seed = self.plan.seed.wrapping_add(router as u64);
                self.routers[router].start(seed, self.now);
                self.follow(router, Vec::new());
            }
            Event::Look => {
                checks::homes::now_and_then(self);
                checks::shares::now_and_then(self);
            }
            Event::Check => checks::each_second(self),
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Come { router, room, founds } => self.come(router, room, founds, TRIES),
            Act::Leave { room } => {
                for router in 0..self.routers.len() {
                    if self.routers[router].runs {
                        let wants = self.routers[router].end(room, self.now);
                        self.follow(router, wants);
                    }
                }
            }
            Act::Rules { router, number } => self.write_rules(router, number),
            Act::Node { router, node } => self.register_node(router, node),
            Act::NodeGone { router, id } => self.node_is_gone(router, id),
            Act::Fail(failure) => self.fail(failure),
            Act::Mend(failure) => self.mend(failure),
        }
    }

    fn fail(&mut self, failure: Failure) {
        match failure {
            Failure::Cut { router, told } => {
                self.network.fail(router, failure);
                for watcher in self.etcd.watchers_of(router) {
                    self.etcd.close(watcher);
                    if told {
                        self.at(self.now, Event::Heard(watcher, Heard::Ended { why: "reset".to_owned() }));
                    }
                }
            }
            Failure::Deaf { router } => self.network.fail(router, failure),
            Failure::Down => {
                self.down = true;
                self.break_watches();
            }
            Failure::Frozen => self.frozen = self.frozen.take().or(Some(Vec::new())),
            Failure::Compacted => self.etcd.compact(),
            Failure::Wiped => {
                self.break_watches();
                self.etcd.wipe();
            }
            Failure::Killed { router } => self.stop(router),
            Failure::Drained { router } => {
                if self.routers[router].runs {
                    self.routers[router].drains = true;
                    self.tell(router, Input::Draining);
                }
            }
        }
    }

    fn mend(&mut self, failure: Failure) {
        match failure {
            Failure::Cut { router, .. } | Failure::Deaf { router } => {
                self.network.mend(router, failure);
                // what was not told meanwhile is missing: the connection breaks
                for watcher in self.etcd.watchers_of(router) {
                    self.etcd.close(watcher);
                    self.at(self.now, Event::Heard(watcher, Heard::Ended { why: "reset".to_owned() }));
                }
            }
            Failure::Down => {
                self.down = false;
                self.etcd.renew_leases(self.now);
            }
            Failure::Frozen => {
                for (of, call) in self.frozen.take().unwrap_or_default() {
                    self.asked(of, call);
                }
            }
            Failure::Compacted | Failure::Wiped => {}
            Failure::Killed { router } => {
                if !self.routers[router].runs {
                    self.at(self.now, Event::Start(router));
                }
            }
            Failure::Drained { router } => {
                if self.routers[router].runs {
                    self.tell(router, Input::Leave);
                    // its sessions end with it, whether etcd heard or not
                    self.stop(router);
                    self.at(self.now + 3 * SECOND, Event::Start(router));
                }
            }
        }
    }

    fn stop(&mut self, router: usize) {
        self.routers[router].runs = false;
        (self.routers[router].rooms, self.routers[router].waiting) = Default::default();
        for watcher in self.etcd.watchers_of(router) {
            self.etcd.close(watcher);
        }
    }

    fn break_watches(&mut self) {
        for watcher in self.etcd.break_watches() {
            self.at(self.now, Event::Heard(watcher, Heard::Ended { why: "reset".to_owned() }));
        }
    }

    fn asked(&mut self, of: Watcher, call: Call) {
        if self.down {
            let why = "connection refused".to_owned();
            let fault = Fault { outcome: DirectoryOutcome::Unreachable, why };
            return self.at(self.now, Event::Answered(of, Err(fault)));
        }
        if let Some(waiting) = &mut self.frozen {
            return waiting.push((of, call));
        }
        let stood = matches!(call, Call::Rules { .. }).then(|| checks::views::rules(self)).flatten();
        let answer = self.etcd.carry_out(of, &call, self.now);
        if let (Call::Rules { .. }, Ok(Answer::Written { .. })) = (&call, &answer) {
            let seen = self.written_by_operators[(of.2 - OPERATORS) as usize].clone();
            checks::views::written(self, seen.as_ref(), stood.as_ref().map(|(_, text)| text));
        }
        if let Some(at) = self.network.at_router(of.0, self.now) {
            self.at(at, Event::Answered(of, answer));
        }
        self.say();
    }

    fn answered(&mut self, of: Watcher, answer: Result<Answer, Fault>) {
        if of.2 >= OPERATORS {
            // an operator hears it, and not the directory
            self.pending.remove(&of);
            return;
        }
        if self.pending.remove(&of).is_none() || !self.is_of(of) {
            // too late, or nobody's any more: a watch that it made is of no use
            return self.etcd.close(of);
        }
        self.tell(of.0, Input::Answered { ticket: of.2, took: Duration::from_millis(1), answer });
    }

    /// What etcd has to say is on its way.
    fn say(&mut self) {
        for (of, heard) in std::mem::take(&mut self.etcd.says) {
            if let Some(at) = self.network.at_router(of.0, self.now) {
                self.at(at, Event::Heard(of, heard));
            }
        }
    }

    pub(crate) fn tell(&mut self, router: usize, input: Input) {
        let wants = self.routers[router].tell(input, self.now);
        self.follow(router, wants);
    }

    /// A call is on its way to etcd.
    pub(crate) fn call(&mut self, of: Watcher, call: Call) {
        self.pending.insert(of, ());
        self.at(self.now + TIMEOUT, Event::Late(of));
        if let Some(at) = self.network.at_etcd(of.0, self.now) {
            self.at(at, Event::Asked(of, call));
        }
    }

    /// What a router wants is done.
    fn follow(&mut self, router: usize, wants: Vec<Wants>) {
        let life = self.routers[router].life;
        for want in wants {
            match want {
                Wants::Call(ticket, call) => {
                    self.call((router, life, ticket), call);
                }
                Wants::Probe(stream) => {
                    if let Some(at) = self.network.at_etcd(router, self.now) {
                        self.at(at, Event::Probed((router, life, stream)));
                    }
                }
                Wants::Close(stream) => self.etcd.close((router, life, stream)),
                Wants::SendOn { room, to, founds } => self.send(&to, room, founds),
                Wants::MoveOn { room, to } => {
                    checks::moved(self, router, room, &to);
                    self.send(&to, room, true);
                }
            }
        }
        let broken = std::mem::take(&mut self.routers[router].broken);
        self.broken.extend(broken);
        let wake = if self.routers[router].runs { self.routers[router].wake() } else { None };
        if let Some(wake) = wake.filter(|wake| *wake < self.wakes[router]) {
            self.wakes[router] = wake;
            self.at(wake.max(self.now), Event::Wake(router, life));
        }
    }

    fn send(&mut self, to: &str, room: usize, founds: bool) {
        let Some(router) = self.routers.iter().position(|router| router.id == to) else {
            return self.broken.push(format!("somebody was sent to `{to}`, which is no router"));
        };
        let at = self.network.at_another(self.now);
        self.at(at, Event::Come { router, room, founds, tries: TRIES });
    }

    /// A router that is not there is tried again, by way of another one.
    fn come(&mut self, router: usize, room: usize, founds: bool, tries: u8) {
        if self.routers[router].runs {
            let wants = self.routers[router].come(room, founds, self.now);
            return self.follow(router, wants);
        }
        if tries > 0 {
            let next = (router + 1) % self.routers.len();
            self.at(self.now + SECOND, Event::Come { router: next, room, founds, tries: tries - 1 });
        }
    }

    /// Whether a router and etcd see each other: its record stands, it is told of all that it follows, and words pass.
    pub(crate) fn sees(&self, router: usize) -> bool {
        let is_well = self.network.is_well(router, self.now) && !self.down && self.frozen.is_none();
        let Router { id, life, runs, .. } = &self.routers[router];
        let stands = || self.etcd.stored(&format!("{PREFIX}/routers/{id}")).is_some();
        is_well && *runs && stands() && self.etcd.watches((router, *life)) == FOLLOWED
    }

    /// Whether nothing has failed yet.
    pub(crate) fn is_calm(&self) -> bool {
        self.now < CALM
    }
}
