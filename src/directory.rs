//! What a fleet agrees on by etcd, as one router decides about it: its own registration, the media nodes that registered with it,
//! who else is registered, and the rules that all follow.
//!
//! `(state, Input, now) -> Outputs`: calls leave as outputs with a ticket, and each ticket comes back once with an answer.
//! Must not know sockets, tasks and clocks; `io::directory` drives it. Nothing on the way of a signal waits for it.
//!
//! ```text
//! Registration: grant -> put -> refresh -> put ...      Part (routers, nodes, rules): list -> watch -> changes -> View
//! Claims: the nodes that registered here, written where the view lacks them
//! Rooms: which router has a room, written when it is first wanted
//! ```

mod claims;
mod exchange;
mod following;
pub(crate) mod pace;
mod part;
pub mod record;
mod refusing;
mod registration;
mod rooms;
mod rules;
mod sharing;
mod shown;
mod view;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use claims::Claims;
pub use exchange::{Answer, Call, Fault, Heard, Holder, Home, Input, Output, Settings};
use following::Following;
use part::{Part, Told};
use record::RoomRecord;
pub use record::{Load, NodeRecord, RouterRecord};
use refusing::Refusing;
use registration::Registration;
pub use rooms::{Compared, Side};
use rooms::{Comparing, Others, Rooms};
use rules::RulesText;
pub use rules::{RULES_BYTES_MAX, RulesNews, RulesStanding, rules_key};
pub use sharing::Place;
use sharing::Sharing;
pub use shown::{ComparedRow, Figures, FleetView, RouterRow, SideRow, UnreadableRow};
pub use view::{Change, NodeNews, Stored};
use view::{News, View};

use crate::event::{DirectoryFact, DirectoryOp, DirectoryOutcome, ReadReason};

/// The parts, by what stands after the prefix of all keys.
const ROUTERS: &str = "routers";
const MEDIA: &str = "media";
/// Notices to this router: rooms of its own that others took over.
const TAKEN: &str = "taken";
/// Looked at one by one.
const ROOMS: &str = "rooms";
const RULES: &str = "rules";

/// A call that has not come back.
#[derive(Debug)]
struct Pending {
    op: DirectoryOp,
    /// Of a list or a watch: of which part.
    part: &'static str,
    /// What was known when it was made.
    revision: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Directory {
    prefix: String,
    own: RouterRecord,
    lease: Duration,
    registration: Registration,
    routers: Part<RouterRecord>,
    media: Part<NodeRecord>,
    taken: Part<RoomRecord>,
    rules: Part<RulesText>,
    claims: Claims,
    /// Absent: rooms are this router's own business.
    rooms: Option<Rooms>,
    refusing: Refusing,
    sharing: Sharing,
    pending: BTreeMap<u64, Pending>,
    tickets: u64,
    /// Which etcd answered last.
    cluster: Option<u64>,
    /// Why the last call was not done; absent: it was, or there was none.
    fault: Option<Fault>,
    /// Whether any call was done.
    found: bool,
}

impl Directory {
    /// Nothing was asked yet; all of it is due.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let Settings { prefix, own, lease, records_max, one_router_a_room, compare_every, seed } = settings;
        let comparing = Comparing::new(compare_every, prefix.len(), seed.wrapping_add(7), now);
        let following = |n| Following::new(lease, seed.wrapping_add(n), now);
        let by = (own.id.clone(), own.incarnation.clone());
        Self {
            prefix,
            lease,
            registration: Registration::new(lease, seed, now),
            routers: Part { name: ROUTERS, following: following(1), view: View::new(ROUTERS, records_max) },
            media: Part { name: MEDIA, following: following(2), view: View::new(MEDIA, records_max) },
            taken: Part { name: TAKEN, following: following(4), view: View::new(TAKEN, records_max) },
            rules: Part { name: RULES, following: following(6), view: View::new(RULES, 1) },
            claims: Claims::new(by, seed.wrapping_add(3), now),
            rooms: one_router_a_room.then(|| Rooms::new(&own, comparing, seed.wrapping_add(5), now)),
            refusing: Refusing::default(),
            sharing: Sharing::new(lease),
            own,
            pending: BTreeMap::new(),
            tickets: 0,
            cluster: None,
            fault: None,
            found: false,
        }
    }

    /// Takes note of what happened, and says what is to be done.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Tick => {}
            Input::Loaded(load) => self.own.load = load,
            Input::Registered(nodes) => self.claims.registered(nodes),
            Input::Asked { question, room, founds } => match &mut self.rooms {
                Some(rooms) => rooms.asked(question, room, founds, now),
                None => outputs.push(Output::Home { question, home: Home::Unknown }),
            },
            Input::Refused { router } => {
                if let Some(rooms) = &mut self.rooms
                    && self.refusing.note(&router, &self.routers.view)
                {
                    rooms.forget_elsewhere_of(&router);
                    outputs.push(Output::Observe(DirectoryFact::RouterRefused { router }));
                }
            }
            Input::Rooms(changes) => {
                if let Some(rooms) = &mut self.rooms {
                    changes.iter().for_each(|(room, exists)| rooms.changed(room, *exists, now));
                }
            }
            Input::RulesTaken(standing) => {
                if self.own.rules.replace(standing) != Some(standing) {
                    self.registration.changed(now);
                }
            }
            Input::Draining => {
                self.own.draining = true;
                self.registration.changed(now);
            }
            Input::Leave => self.registration.leave(now),
            Input::Answered { ticket, took, answer } => self.answered((ticket, took), answer, now, &mut outputs),
            Input::Heard { stream, heard } => {
                let told = match () {
                    () if self.media.following.is_told_by(stream) => self.media.heard(stream, heard, now),
                    () if self.taken.following.is_told_by(stream) => self.taken.heard(stream, heard, now),
                    () if self.rules.following.is_told_by(stream) => {
                        self.rules.heard(stream, rules::only_heard(heard), now)
                    }
                    () => self.routers.heard(stream, heard, now),
                };
                self.take(told, &mut outputs);
                if let Some(rooms) = &mut self.rooms {
                    rooms.hear(&self.taken.view, now);
                }
            }
        }
        self.go_on(now, &mut outputs);
        outputs.extend(self.sharing.look(&self.own, &self.routers.view, now).map(Output::Place));
        for output in &outputs {
            // it has just taken a room from this one
            if let Output::Lost { router, .. } = output {
                self.refusing.runs(router);
            }
        }
        outputs
    }

    /// When it is to be told that time has passed.
    pub fn wake(&self) -> Option<Instant> {
        let claims = self.registration.lease().and(self.claims.wake());
        let (rooms, taken) = (self.rooms.as_ref().and_then(Rooms::wake), self.taken.following.wake());
        let parts = [self.routers.following.wake(), self.media.following.wake(), self.rules.following.wake()];
        let of_rooms = [rooms, taken.filter(|_| self.rooms.is_some())];
        parts.into_iter().chain(of_rooms).chain([self.registration.wake(), claims, self.sharing.wake()]).flatten().min()
    }

    /// Whether nothing of this router is left there, as far as it could be taken away.
    pub fn has_left(&self) -> bool {
        self.registration.has_left()
    }

    /// All that is known goes up to that revision, or further.
    fn revision(&self) -> i64 {
        let parts = [&self.routers.following, &self.media.following, &self.rules.following, &self.taken.following];
        parts.map(Following::revision).into_iter().max().unwrap_or_default()
    }

    /// What a part brought.
    fn take(&mut self, told: impl IntoIterator<Item = Told>, outputs: &mut Vec<Output>) {
        for told in told {
            // of what it sees, claims follow
            self.claims.stir();
            if let Told::News(News::Fact(DirectoryFact::Read { part: MEDIA, .. })) = told {
                self.claims.forget_revisions();
            }
            if let Told::News(News::Fact(fact)) = &told
                && is_of_routers(fact)
            {
                self.sharing.stir();
            }
            let taken = self.is_taken(&told).map(Output::Observe);
            outputs.push(match told {
                Told::Close(stream) => Output::Close { stream },
                Told::News(News::Fact(fact)) => Output::Observe(fact),
                Told::News(News::Node(news)) => Output::Node(news),
                Told::News(News::Rules) => Output::Rules(rules::standing(&self.rules.view)),
            });
            outputs.extend(taken);
        }
    }

    /// Whether a router that was seen is another one with this one's id. One that stood there before this one wrote its
    /// record has made way for it, and is none.
    fn is_taken(&self, told: &Told) -> Option<DirectoryFact> {
        let Told::News(News::Fact(DirectoryFact::RouterSeen { router, .. })) = told else { return None };
        let (record, revision) = self.routers.view.get(&self.own.id).filter(|_| router.as_str() == self.own.id)?;
        let other = record.as_ref().ok().filter(|record| record.incarnation != self.own.incarnation)?;
        let (ops_url, started_unix) = (other.ops_url.clone(), other.started_unix);
        let taken = DirectoryFact::IdTaken { router: router.clone(), ops_url, started_unix };
        self.registration.is_overwritten_by(revision).then_some(taken)
    }

    fn answered(
        &mut self,
        (ticket, took): (u64, Duration),
        answer: Result<Answer, Fault>,
        now: Instant,
        outputs: &mut Vec<Output>,
    ) {
        let Some(Pending { op, part, revision: known }) = self.pending.remove(&ticket) else { return };
        let (outcome, why) = match &answer {
            Ok(_) => (DirectoryOutcome::Done, String::new()),
            Err(fault) => (fault.outcome, fault.why.clone()),
        };
        outputs.push(Output::Observe(DirectoryFact::CallEnded { op, outcome, took, why }));
        // a lease that is gone is an answer as well
        let fault = answer.as_ref().err().filter(|fault| fault.outcome != DirectoryOutcome::Gone).cloned();
        // nothing stands or falls with a look
        if op != DirectoryOp::Under {
            self.found |= fault.is_none();
            self.fault = fault;
        }
        let rewound = self.is_rewound(&answer, known);
        match op {
            DirectoryOp::Grant | DirectoryOp::Refresh | DirectoryOp::Put | DirectoryOp::Revoke => {
                outputs.extend(self.registration.answered(answer.as_ref(), now).map(Output::Observe));
                self.claims.stir();
            }
            DirectoryOp::Release if part != MEDIA => self.answered_of_rooms(ticket, answer, now),
            // whoever wrote rules was answered, and this router hears of them by its watch
            DirectoryOp::Rules => {}
            DirectoryOp::Claim | DirectoryOp::Release => self.claims.answered(answer.as_ref(), now),
            DirectoryOp::Hold | DirectoryOp::Look | DirectoryOp::Under => self.answered_of_rooms(ticket, answer, now),
            DirectoryOp::List => {
                let told = match part {
                    MEDIA => self.media.listed(answer, now),
                    TAKEN => self.taken.listed(answer, now),
                    RULES => self.rules.listed(rules::only_listed(answer), now),
                    _ => self.routers.listed(answer, now),
                };
                self.take(told, outputs);
                if let Some(rooms) = &mut self.rooms {
                    rooms.hear(&self.taken.view, now);
                }
            }
            DirectoryOp::Watch => {
                let told = match part {
                    MEDIA => self.media.opened(ticket, &answer, now),
                    TAKEN => self.taken.opened(ticket, &answer, now),
                    RULES => self.rules.opened(ticket, &answer, now),
                    _ => self.routers.opened(ticket, &answer, now),
                };
                self.take(told, outputs);
            }
        }
        if rewound {
            // what was just read is as new as the answer
            let read = (op == DirectoryOp::List).then_some(part);
            let again = |name| (read != Some(name)).then_some(ReadReason::Rewound);
            let routers = again(ROUTERS).and_then(|reason| self.routers.read_again(reason, now));
            let media = again(MEDIA).and_then(|reason| self.media.read_again(reason, now));
            let rules = again(RULES).and_then(|reason| self.rules.read_again(reason, now));
            let taken = again(TAKEN).and_then(|reason| self.taken.read_again(reason, now));
            self.take([routers, media, rules, taken].into_iter().flatten(), outputs);
            if let Some(rooms) = &mut self.rooms {
                rooms.write_all_again();
            }
        }
    }

    /// How a call about a room ended.
    fn answered_of_rooms(&mut self, ticket: u64, answer: Result<Answer, Fault>, now: Instant) {
        let lag = self.routers.following.lag(now);
        let others = Others { routers: &self.routers.view, lag, lease: self.lease, refusing: &self.refusing };
        if let Some(rooms) = &mut self.rooms {
            rooms.answered(ticket, answer, others, now);
        }
    }

    /// Whether an answer is of another history than what was known when it was asked for. Both kinds are answered as of the
    /// newest revision that there is.
    fn is_rewound(&mut self, answer: &Result<Answer, Fault>, known: i64) -> bool {
        let Ok(Answer::Written { cluster, revision } | Answer::Listed { cluster, revision, .. }) = answer else {
            return false;
        };
        let before = self.cluster.replace(*cluster);
        *revision < known || before.is_some_and(|before| before != *cluster)
    }

    /// All that is due.
    fn go_on(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        while let Some(step) = self.registration.step(now) {
            let call = match step {
                registration::Step::Grant => Call::Grant { ttl: self.lease },
                registration::Step::Refresh { lease } => Call::Refresh { lease },
                registration::Step::Revoke { lease } => Call::Revoke { lease },
                registration::Step::Put { lease } => {
                    let watch_lag_ms = u64::try_from(self.lag(now).as_millis()).unwrap_or(u64::MAX);
                    // of the view as it is then: it is no work of each second
                    self.own.load = Load { watch_lag_ms, digest: Some(self.digest()), ..self.own.load };
                    Call::Put { key: self.key(ROUTERS, &self.own.id), value: self.own.bytes(), lease }
                }
            };
            outputs.push(self.call(call, ROUTERS));
        }
        while let Some(step) = self.routers.step(now) {
            self.follow(step, ROUTERS, outputs);
        }
        while let Some(step) = self.media.step(now) {
            self.follow(step, MEDIA, outputs);
        }
        self.go_on_with_rooms(now, outputs);
        while let Some(step) = self.rules.step(now) {
            self.follow(step, RULES, outputs);
        }
        let Some(lease) = self.registration.lease() else { return };
        if let Some(step) = self.claims.step(&self.media.view, self.media.following.revision(), now) {
            let call = match step {
                claims::Step::Claim { id, value, expected } => {
                    Call::Claim { key: self.key(MEDIA, &id), value, lease, expected }
                }
                claims::Step::Release { id, expected } => {
                    Call::Release { key: self.key(MEDIA, &id), expected, says: None }
                }
            };
            outputs.push(self.call(call, MEDIA));
        }
    }

    /// Notices are followed, and records written, read and taken away, under a lease that this router is known by.
    fn go_on_with_rooms(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        if self.rooms.is_none() {
            return;
        }
        while let Some(step) = self.taken.step(now) {
            self.follow(step, TAKEN, outputs);
        }
        let lease = self.registration.lease().filter(|_| self.registration.stands());
        let Some(mut rooms) = self.rooms.take() else { return };
        rooms.under(lease);
        while let Some(step) = rooms.step(self.tickets + 1, now) {
            let call = self.call_about_a_room(step, &rooms);
            outputs.push(self.call(call, ROOMS));
        }
        outputs.append(&mut rooms.take_outputs());
        self.rooms = Some(rooms);
    }

    fn call_about_a_room(&self, step: rooms::Step, rooms: &Rooms) -> Call {
        match step {
            rooms::Step::Write { room, lease, expected, from } => {
                let own = rooms.own();
                let notice = from.map(|from| (self.key(TAKEN, &format!("{from}/{room}")), own.bytes()));
                let (key, value) = (self.key(ROOMS, room.as_str()), own.bytes());
                Call::Hold { key, value, lease, expected, notice }
            }
            rooms::Step::Release { room, expected } => {
                let says = Some(rooms.own().bytes());
                Call::Release { key: self.key(ROOMS, room.as_str()), expected, says }
            }
            rooms::Step::Compare { lease } => Call::Under { lease, prefix: self.key(ROOMS, "") },
            rooms::Step::Look { room, .. } => Call::Look { key: self.key(ROOMS, room.as_str()) },
            rooms::Step::Heard { key, expected } => {
                Call::Release { key: format!("{}{key}", self.prefix_of(TAKEN)), expected, says: None }
            }
        }
    }

    /// How the keys of a part begin that is followed.
    fn prefix_of(&self, part: &str) -> String {
        match part {
            TAKEN => self.key(TAKEN, &format!("{}/", self.own.id)),
            part => self.key(part, ""),
        }
    }

    fn follow(&mut self, step: following::Step, part: &'static str, outputs: &mut Vec<Output>) {
        let (prefix, limit) = match part {
            RULES => (rules_key(&self.prefix), self.rules.view.limit()),
            part => (self.prefix_of(part), self.routers.view.limit()),
        };
        let output = match step {
            following::Step::List => self.call(Call::List { prefix, limit }, part),
            following::Step::Watch { from } => self.call(Call::Watch { prefix, from }, part),
            following::Step::Probe { stream } => Output::Probe { stream },
            following::Step::Close { stream } => {
                let why = format!("not a word for {} s", self.lease.as_secs());
                outputs.push(Output::Observe(DirectoryFact::WatchLost { part, why }));
                Output::Close { stream }
            }
        };
        outputs.push(output);
    }

    fn key(&self, part: &str, id: &str) -> String {
        format!("{}/{part}/{id}", self.prefix)
    }

    fn call(&mut self, call: Call, part: &'static str) -> Output {
        self.tickets += 1;
        let (ticket, revision) = (self.tickets, self.revision());
        self.pending.insert(ticket, Pending { op: call.op(), part, revision });
        Output::Call { ticket, call }
    }
}

/// Whether who takes sessions may be others since then.
fn is_of_routers(fact: &DirectoryFact) -> bool {
    matches!(
        fact,
        DirectoryFact::Read { part: ROUTERS, .. }
            | DirectoryFact::RouterSeen { .. }
            | DirectoryFact::RouterDraining { .. }
            | DirectoryFact::RouterGone { .. }
            | DirectoryFact::RecordUnreadable { .. }
    )
}
