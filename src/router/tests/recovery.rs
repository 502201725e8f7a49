//! Exactly once and in order, over random disconnects: several clients send, lose their connections with some of
//! what was written to them undelivered, come back, and repeat what was not answered.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const CLIENTS: usize = 4;

/// What happens next, and to whom.
#[derive(Clone, Debug)]
enum Step {
    /// Sends to the room.
    Say,
    /// Sends to one other.
    Tell(usize),
    /// Sends to the room, but the connection breaks before it arrives.
    SayInVain,
    /// Reads so many frames.
    Read(usize),
    /// Acknowledges the directed pushes it has read.
    Ping,
    /// The connection breaks, and the server knows.
    Drop,
    /// The connection breaks, and the server has not noticed when the client comes back.
    HalfOpen,
    /// Comes back.
    Resume,
    /// Time goes by.
    Wait(u64),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let what = prop_oneof![
        6 => Just(Step::Say),
        4 => (1..CLIENTS).prop_map(Step::Tell),
        1 => Just(Step::SayInVain),
        6 => (1usize..12).prop_map(Step::Read),
        1 => Just(Step::Ping),
        2 => Just(Step::Drop),
        1 => Just(Step::HalfOpen),
        4 => Just(Step::Resume),
        1 => (1u64..500).prop_map(Step::Wait),
    ];
    (0..CLIENTS, what)
}

/// A client as an SDK would be: it keeps its place and what was not answered.
#[derive(Debug, Default)]
struct Client {
    identity: String,
    /// The connection, and whether it has read that it may speak on it.
    connection: Option<(u64, bool)>,
    place: v1::Resume,
    unanswered: BTreeMap<u64, Op>,
    next_id: u64,
    /// Offsets of its own accepted messages, with their text.
    said: Vec<(u64, String)>,
    /// Directed messages that were accepted, with whom they are for.
    told: Vec<(String, String)>,
    /// Messages to the room that it read, by offset.
    heard: Vec<(u64, String)>,
    /// Directed ones, by seq.
    received: Vec<String>,
    unrecovered: usize,
}

struct Call {
    world: World,
    clients: Vec<Client>,
    connections: u64,
    texts: u64,
}

impl Call {
    fn new(settings: Settings) -> Self {
        let mut world = World::with(settings);
        let mut clients = Vec::new();
        for n in 0..CLIENTS {
            let identity = format!("p{n}");
            let joined = world.join(n as u64, &identity);
            let (connection, place) = (Some((n as u64, true)), resume_of(&joined));
            clients.push(Client { identity, connection, place, next_id: 2, ..Client::default() });
        }
        Self { world, clients, connections: CLIENTS as u64, texts: 0 }
    }

    fn run(&mut self, who: usize, step: &Step) {
        match step {
            Step::Say => {
                let op = say(&self.text());
                self.request(who, op);
            }
            Step::Tell(further) => {
                let to = self.clients[(who + further) % CLIENTS].identity.clone();
                let op = say_to(&[&to], &self.text());
                self.request(who, op);
            }
            Step::SayInVain => {
                if self.clients[who].connection.is_some_and(|(_, ready)| ready) {
                    let op = say(&self.text());
                    self.remember(who, op);
                    self.disconnect(who, true);
                }
            }
            Step::Read(frames) => self.read(who, *frames),
            Step::Ping => {
                let seq = self.clients[who].place.seq;
                if let Some((connection, true)) = self.clients[who].connection {
                    self.world.frame(connection, None, Op::Ping(v1::Ping { seq, timestamp_ms: 0 }), None);
                }
            }
            Step::Drop => self.disconnect(who, true),
            Step::HalfOpen => self.disconnect(who, false),
            Step::Resume => self.resume(who),
            Step::Wait(milliseconds) => self.world.pass(Duration::from_millis(*milliseconds)),
        }
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        format!("t{}", self.texts)
    }

    fn remember(&mut self, who: usize, op: Op) -> u64 {
        let client = &mut self.clients[who];
        client.next_id += 1;
        client.unanswered.insert(client.next_id, op);
        client.next_id
    }

    fn request(&mut self, who: usize, op: Op) {
        if let Some((connection, true)) = self.clients[who].connection {
            let id = self.remember(who, op.clone());
            self.world.frame(connection, Some(id), op, None);
        }
    }

    fn disconnect(&mut self, who: usize, noticed: bool) {
        let Some((connection, _)) = self.clients[who].connection.take() else { return };
        self.world.take(connection);
        if noticed {
            self.world.lose(connection);
        }
    }

    fn resume(&mut self, who: usize) {
        if self.clients[who].connection.is_some() {
            return;
        }
        let place = self.clients[who].place.clone();
        let claims = ResumeTokens::new(&[7; 32]).verify(&place.resume_token).unwrap();
        let (connection, labels) = (ConnectionId(self.connections), Labels::default());
        self.connections += 1;
        self.clients[who].connection = Some((connection.0, false));
        let grant = Box::new(grant(&self.clients[who].identity));
        let opening = Opening::Resume { claims, resume: place };
        let variant = Variant::default();
        self.world.handle(Input::Open { connection, grant, id: Some(1), opening, labels, variant });
    }

    fn read(&mut self, who: usize, frames: usize) {
        let Some((connection, _)) = self.clients[who].connection else { return };
        let mut waiting = VecDeque::from(self.world.take(connection));
        let rest = waiting.split_off(frames.min(waiting.len()));
        self.world.inbox.insert(connection, rest.into());
        let mut again = Vec::new();
        for frame in waiting {
            again.extend(self.clients[who].hear(frame));
        }
        for (id, op) in again {
            self.world.frame(connection, Some(id), op, None);
        }
    }

    /// Everybody comes back and reads until nothing is left to read.
    fn settle(&mut self) {
        for _ in 0..3 {
            for who in 0..CLIENTS {
                self.resume(who);
                self.read(who, usize::MAX);
                self.read(who, usize::MAX);
            }
        }
    }
}

impl Client {
    /// Takes one frame in; answers what is to be sent again.
    fn hear(&mut self, frame: ServerFrame) -> Vec<(u64, Op)> {
        match frame.body.unwrap() {
            Body::Resumed(resumed) => return self.resumed(*resumed),
            Body::Ok(ok) => self.answered(frame.id.unwrap(), ok.offset),
            Body::Event(event) => self.passed(event.offset),
            Body::Data(push) => {
                let text = push.data.unwrap();
                if let Some(offset) = push.offset {
                    self.passed(offset);
                    self.heard.push((offset, text));
                } else {
                    self.place.seq += 1;
                    assert_eq!(push.seq, Some(self.place.seq), "{}: seq without gaps", self.identity);
                    self.received.push(text);
                }
            }
            Body::Pong(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
        Vec::new()
    }

    fn resumed(&mut self, resumed: v1::Resumed) -> Vec<(u64, Op)> {
        self.place.resume_token = resumed.resume_token;
        assert_eq!(resumed.recovered, resumed.snapshot.is_none());
        if let Some(snapshot) = resumed.snapshot {
            self.unrecovered += 1;
            assert_eq!(snapshot.participants.len(), CLIENTS - 1);
            assert!(snapshot.offset >= self.place.offset && !snapshot.more);
            self.place.offset = snapshot.offset;
        }
        self.connection = self.connection.map(|(connection, _)| (connection, true));
        self.unanswered.iter().map(|(id, op)| (*id, op.clone())).collect()
    }

    fn passed(&mut self, offset: u64) {
        assert!(offset > self.place.offset, "{}: offsets rise", self.identity);
        self.place.offset = offset;
    }

    fn answered(&mut self, id: u64, offset: Option<u64>) {
        let op = self.unanswered.remove(&id).expect("each request is answered once");
        let Op::Send(send) = op else { panic!("only messages are requests here") };
        let text = send.data.unwrap();
        match (offset, send.to.first()) {
            (Some(offset), None) => self.said.push((offset, text)),
            (None, Some(to)) => self.told.push((to.clone(), text)),
            other => panic!("an offset goes with a message to the room: {other:?}"),
        }
    }
}

/// Everything that was said by the others, in the room's order.
fn said_to(call: &Call, who: usize) -> Vec<(u64, String)> {
    let others = call.clients.iter().enumerate().filter(|(other, _)| *other != who);
    let mut said: Vec<_> = others.flat_map(|(_, client)| client.said.clone()).collect();
    said.sort();
    said
}

fn check_directed(call: &Call) {
    for client in &call.clients {
        assert!(client.unanswered.is_empty(), "{} waits for an answer", client.identity);
        let told = call.clients.iter().flat_map(|sender| &sender.told).filter(|(to, _)| *to == client.identity);
        let mut expected: Vec<_> = told.map(|(_, text)| text).collect();
        let mut received: Vec<_> = client.received.iter().collect();
        expected.sort();
        received.sort();
        assert_eq!(received, expected, "{}: each directed message once", client.identity);
    }
}

fn patient() -> Settings {
    Settings {
        linger: Duration::from_secs(3600),
        history_age: Duration::from_secs(3600),
        history_events: 10_000,
        held_pushes: 10_000,
        replies: 10_000,
        ..settings()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_is_heard_exactly_once_and_in_order(steps in prop::collection::vec(step(), 1..250)) {
        let mut call = Call::new(patient());
        for (who, step) in &steps {
            call.run(*who, step);
        }
        call.settle();
        check_directed(&call);
        for (who, client) in call.clients.iter().enumerate() {
            prop_assert_eq!(client.unrecovered, 0);
            prop_assert_eq!(&client.heard, &said_to(&call, who));
        }
    }

    #[test]
    fn with_little_history_a_gap_is_a_snapshot_and_nothing_is_heard_twice(
        steps in prop::collection::vec(step(), 50..250),
    ) {
        let mut call = Call::new(Settings { history_events: 3, ..patient() });
        for (who, step) in &steps {
            call.run(*who, step);
        }
        call.settle();
        check_directed(&call);
        for (who, client) in call.clients.iter().enumerate() {
            let said = said_to(&call, who);
            prop_assert!(client.heard.iter().all(|heard| said.contains(heard)));
            prop_assert!(client.unrecovered > 0 || client.heard == said);
        }
    }
}

#[test]
fn a_long_absence_with_little_history_is_not_recovered() {
    let mut call = Call::new(Settings { history_events: 3, ..patient() });
    call.run(0, &Step::Drop);
    for _ in 0..10 {
        call.run(1, &Step::Say);
    }
    call.settle();
    assert_eq!(call.clients[0].unrecovered, 1);
    assert!(call.clients[0].heard.is_empty());
    assert_eq!(call.clients[2].heard.len(), 10);
}
