//! A steady load within rooms: every member speaks to its room and to one other member in turns, and writes down what it
//! said, what was acknowledged and what it heard.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use signalbox::{
    load::client::{Client, ClientError},
    protocol::{
        Code,
        v1::{self, ClientFrame, ServerFrame, client_frame::Op, server_frame::Body},
    },
};
use tokio::{
    task::JoinHandle,
    time::{Instant, interval_at},
};

use crate::{
    comers::{self, Identity},
    fleet::ROUTERS,
    harness::{Router, answered},
    ledger::{Counts, Ended, Ledger, Line, Mark, SIZE},
};

/// Rooms that each router has.
pub(crate) const ROOMS: usize = 2;
/// Where routers carry each other's clients, so many of them have as many rooms more, whose members are connected to one router each.
const SPREAD_BY: usize = 2;
/// The rooms whose members are all connected to the router that has them, by place,
pub(crate) const LOCAL: Range<usize> = 0..ROUTERS * ROOMS;
/// and the others.
pub(crate) const SPREAD: Range<usize> = LOCAL.end..LOCAL.end + SPREAD_BY * ROOMS;
/// A member speaks so often: 360 messages a second of all, 540 deliveries.
const SPEAKS_EVERY: Duration = Duration::from_millis(50);
/// Directed pushes are acknowledged so often, by messages.
const ACKNOWLEDGES_EVERY: u64 = 40;
/// Who lost its connection tries so often to come back, in milliseconds.
const TRIES_EVERY_MS: std::ops::RangeInclusive<u64> = 50..=500;
/// After which answers and pushes that are still missing do not come any more.
const LATE_MAX: Duration = Duration::from_secs(5);

/// The name of a room of the load, by the router that has it.
pub(crate) fn room(router: usize, number: usize) -> String {
    format!("load-{router}-{number}")
}

/// The name of a room whose members are connected to one router each, by the one that has it.
fn spread(router: usize, number: usize) -> String {
    format!("spread-{router}-{number}")
}

/// Who is carried to that router: the rooms and the members.
pub(crate) fn carried_to(router: usize) -> BTreeSet<(String, usize)> {
    (0..ROOMS).flat_map(|number| (1..SIZE).map(move |member| (spread(router, number), member))).collect()
}

/// Of each room by its place: its name, the router that has it, and how much further on each next member is connected.
fn rooms(is_spread: bool) -> Vec<(String, usize, usize)> {
    let numbered = |routers: usize| (0..routers).flat_map(|at| (0..ROOMS).map(move |number| (at, number)));
    let mut rooms: Vec<_> = numbered(ROUTERS).map(|(at, number)| (room(at, number), at, 0)).collect();
    if is_spread {
        rooms.extend(numbered(SPREAD_BY).map(|(at, number)| (spread(at, number), at, 1)));
    }
    rooms
}

/// See the module.
pub(crate) struct Load {
    ledger: Arc<Mutex<Ledger>>,
    members: Vec<JoinHandle<()>>,
}

impl Load {
    /// Everybody is in, and each has been heard; spread: some by other routers than those that have their rooms.
    pub(crate) async fn start(routers: &[Router], is_spread: bool) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let urls: Vec<_> = routers.iter().map(comers::url).collect();
        let mut joined = Vec::new();
        for (room, (name, at, further)) in rooms(is_spread).into_iter().enumerate() {
            for member in 0..SIZE {
                let (name, mut urls) = (name.clone(), urls.clone());
                urls.rotate_left((at + further * member) % ROUTERS);
                let identity = Identity::new(&format!("m{member}"));
                // where it is to be, and no further
                let (client, _) = comers::join_at(&urls[0], &name, &identity).await.unwrap();
                let ledger = ledger.clone();
                joined.push(Member { room, member, name, urls, identity, client, ledger, turn: 0, seq: 0 });
            }
        }
        let (begin, members) = (Instant::now(), joined.len() as u32);
        let speaks = |(number, member): (usize, Member)| {
            tokio::spawn(member.run(begin + SPEAKS_EVERY * (number as u32) / members))
        };
        let members = joined.into_iter().enumerate().map(speaks).collect();
        let load = Self { ledger, members };
        // what is done for the first time takes longer
        answered("a load that is under way", async || (load.ledger().heard() > 1_000).then_some(())).await;
        load
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// What became of it so far, and how many are away.
    fn seen(&self, from: &Mark, to: &Mark) -> (Counts, u64) {
        let ledger = self.ledger();
        (ledger.counts(from, to), ledger.away())
    }

    /// What became of all that was said between two marks, once all has come, and everybody is there, or nothing more will.
    pub(crate) async fn settled(&self, from: &Mark, to: &Mark) -> Counts {
        let since = Instant::now();
        loop {
            let (counts, away) = self.seen(from, to);
            if (counts.lost == 0 && counts.unanswered == 0 && away == 0) || since.elapsed() > LATE_MAX {
                return counts;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.members.iter().for_each(JoinHandle::abort);
    }
}

/// What was said and is not answered yet, by the request's number.
type Waiting = HashMap<u64, (Line, usize)>;

/// One of them.
struct Member {
    room: usize,
    member: usize,
    name: String,
    /// Of all routers, the one that it is connected to first.
    urls: Vec<String>,
    identity: Identity,
    client: Client,
    ledger: Arc<Mutex<Ledger>>,
    turn: u64,
    /// Of the last directed push that was heard.
    seq: u64,
}

impl Member {
    async fn run(mut self, begin: Instant) {
        let mut ticks = interval_at(begin, SPEAKS_EVERY);
        let mut waiting = Waiting::new();
        loop {
            let done = tokio::select! {
                due = ticks.tick() => self.speak(due, &mut waiting).await,
                frame = self.client.next_frame() => frame.map(|frame| self.hear(frame, &mut waiting)),
            };
            if let Err(ended) = done {
                let (room, member, at) = (self.name.clone(), self.member, std::time::Instant::now());
                self.ledger.lock().unwrap().closed.push(Ended { room, member, why: ended.reason(), at });
                self.come_back(&mut waiting).await;
                // who is away does not speak
                ticks.reset();
            }
        }
    }

    /// By resume, at any router; what was not answered is said again under the number that it had. A session that is gone begins
    /// anew, so that what is told of the next fault is about that one.
    async fn come_back(&mut self, waiting: &mut Waiting) {
        let (position, last_id) = (self.client.position().clone(), self.client.last_id());
        for url in self.urls.clone().iter().cycle() {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(TRIES_EVERY_MS))).await;
            match comers::resume(url, &self.identity, (&position, last_id)).await {
                Ok(client) => {
                    self.client = client;
                    let mut ledger = self.ledger.lock().unwrap();
                    ledger.resumed += 1;
                    ledger.back = Some(std::time::Instant::now());
                    drop(ledger);
                    break;
                }
                Err(ClientError::Error(error)) if error.code == Code::SessionGone.name() => {
                    if let Ok((client, _)) = comers::join(url, &self.name, &self.identity).await {
                        self.client = client;
                        self.ledger.lock().unwrap().gone += 1;
                        return waiting.clear();
                    }
                }
                Err(_) => {}
            }
        }
        while let Some(frame) = self.client.kept() {
            self.hear(frame, waiting);
        }
        let mut again: Vec<_> = waiting.iter().map(|(id, said)| (*id, *said)).collect();
        again.sort_unstable_by_key(|(id, _)| *id);
        for (id, (line, number)) in again {
            // should it be lost once more, whoever reads next hears of it
            self.client.send(frame(id, line, number)).await.ok();
        }
    }

    async fn speak(&mut self, due: Instant, waiting: &mut Waiting) -> Result<(), ClientError> {
        self.turn += 1;
        let other = 1 + (self.turn as usize / 2) % (SIZE - 1);
        let to = (self.turn % 2 == 1).then_some((self.member + other) % SIZE);
        let line = Line { room: self.room, from: self.member, to };
        let number = self.ledger.lock().unwrap().say(line, due.into_std());
        let id = self.client.last_id() + 1;
        self.client.continue_ids_after(id);
        waiting.insert(id, (line, number));
        self.client.send(frame(id, line, number)).await?;
        if self.turn.is_multiple_of(ACKNOWLEDGES_EVERY) {
            self.client.ask(Op::Ping(v1::Ping { seq: self.seq, timestamp_ms: 0 })).await?;
        }
        Ok(())
    }

    fn hear(&mut self, frame: ServerFrame, waiting: &mut Waiting) {
        let now = std::time::Instant::now();
        let mut ledger = self.ledger.lock().unwrap();
        if let Some(asked) = frame.id {
            if let Some((line, number)) = waiting.remove(&asked) {
                ledger.answer(line, number, matches!(frame.body, Some(Body::Ok(_))));
            }
            return;
        }
        let (from, to, number) = match frame.body {
            Some(Body::Data(push)) => (push.from, None, push.data),
            Some(Body::Signal(push)) => {
                self.seq = self.seq.max(push.seq);
                (push.from, Some(self.member), push.end_of_candidates.and_then(|end| end.sdp_mid))
            }
            _ => return,
        };
        let from = from.trim_start_matches('m').parse().unwrap();
        let number = number.and_then(|number| number.parse().ok()).unwrap();
        ledger.hear(Line { room: self.room, from, to }, number, self.member, now);
    }
}

/// A message as it is sent.
fn frame(id: u64, line: Line, number: usize) -> ClientFrame {
    let op = match line.to {
        None => Op::Send(v1::Send { data: Some(number.to_string()), ..v1::Send::default() }),
        Some(to) => Op::Signal(v1::Signal {
            to: format!("m{to}"),
            end_of_candidates: Some(v1::EndOfCandidates { sdp_mid: Some(number.to_string()) }),
            ..v1::Signal::default()
        }),
    };
    ClientFrame { id: Some(id), traceparent: String::new(), op: Some(op) }
}
