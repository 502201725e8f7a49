//! Clients' connections: words pass in order and take their time, and are lost with the connection; who is turned away, or cut off,
//! tries again.

use signalbox::{
    protocol::{
        Code,
        v1::{self, ClientFrame, ServerFrame, client_frame::Op, server_frame::Body},
    },
    router::{Input, Opening},
    session::{ResumeClaims, ResumeTokens},
};

use super::{
    checks::{delivery, directed, recovery, replaced, sessions},
    chronicle::LifeId,
    client::{Client, Heard, State},
    host::{SECRET, Wants, name},
    plan::{Ack, At, MS, Planted, SECOND},
    world::{Event, World},
};

/// How long a client waits for an answer before it tries again.
const PATIENCE: At = 1_500 * MS;

/// A connection of a client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: usize,
    pub(crate) router: usize,
    pub(crate) start: u64,
    /// The client has it open.
    open: bool,
    /// It is a session's, as its router says.
    pub(crate) attached: Option<String>,
    /// When the last word is there, up and down.
    last: (At, At),
}

/// What a client says.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Open(Box<Wants>),
    Frame(Box<ClientFrame>),
}

/// What a router says.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    /// In that life of the room.
    Frame(Box<ServerFrame>, Option<LifeId>),
    /// The connection ends.
    Close(Code, Option<String>),
    /// There is no router there.
    Refused,
    /// Another router has the room.
    Elsewhere(usize),
    /// What is kept of the room cannot be reached.
    Unavailable,
}

impl Down {
    /// Whether it was said to one client alone.
    fn is_for_one(&self) -> bool {
        let Self::Frame(frame, _) = self else { return false };
        match &frame.body {
            Some(Body::Data(push)) => push.seq.is_some(),
            body => matches!(body, Some(Body::Signal(_))),
        }
    }
}

impl World {
    fn connection(&mut self, id: u64) -> &mut Connection {
        &mut self.connections[id as usize - 1]
    }

    /// A client that is out wants into its room.
    pub(crate) fn wants_in(&mut self, client: usize) {
        let one = &self.clients[client];
        if one.state == State::Out && one.newer.is_none() {
            self.clients[client].state = State::Joins;
            self.again(client, 0);
        }
    }

    /// A client tries to come in after that time.
    pub(crate) fn again(&mut self, client: usize, after: At) {
        self.clients[client].opening += 1;
        let opening = self.clients[client].opening;
        self.at(self.now + after, Event::Try { client, opening });
    }

    pub(crate) fn try_to_open(&mut self, client: usize, opening: u64) {
        let one = &self.clients[client];
        if one.opening != opening || matches!(one.state, State::Out | State::In) {
            return;
        }
        let (router, room) = (one.router, one.room);
        let back = (one.state == State::Resumes).then(|| Box::new(resume(one, self.epoch(one.life))));
        let start = self.hosts[router].start;
        self.connections.push(Connection { client, router, start, open: true, attached: None, last: (0, 0) });
        let id = self.connections.len() as u64;
        self.clients[client].connection = Some(id);
        self.at(self.now + PATIENCE, Event::NoAnswer { client, opening });
        self.send_up(id, Up::Open(Box::new(Wants { connection: id, client, room, back })));
    }

    fn epoch(&self, life: LifeId) -> String {
        self.chronicle.lives.get(life).and_then(|life| life.epoch.clone()).unwrap_or_default()
    }

    pub(crate) fn no_answer(&mut self, client: usize, opening: u64) {
        let one = &self.clients[client];
        if one.opening == opening && matches!(one.state, State::Joins | State::Resumes) {
            self.drop_connection(client);
            self.elsewhere(client);
            self.again(client, 10 * MS);
        }
    }

    /// A client tries another router next.
    fn elsewhere(&mut self, client: usize) {
        self.clients[client].router = (self.clients[client].router + 1) % self.hosts.len();
    }

    fn send_up(&mut self, id: u64, word: Up) {
        let at = self.now + self.way_of_client();
        let connection = self.connection(id);
        connection.last.0 = connection.last.0.max(at);
        let at = connection.last.0;
        self.at(at, Event::Up(id, word));
    }

    fn send_down(&mut self, id: u64, word: Down) {
        let at = self.now + self.way_of_client();
        let connection = self.connection(id);
        if !connection.open {
            return;
        }
        connection.last.1 = connection.last.1.max(at);
        let at = connection.last.1;
        let early = self.planted == Some(Planted::EarlyPush) && word.is_for_one();
        self.at(if early { self.now + 1 } else { at }, Event::Down(id, Box::new(word)));
    }

    pub(crate) fn send_frame(&mut self, id: u64, frame: ServerFrame, life: Option<LifeId>) {
        self.send_down(id, Down::Frame(Box::new(frame), life));
    }

    pub(crate) fn send_close(&mut self, id: u64, code: Code, url: Option<String>) {
        let router = self.connection(id).router;
        self.hosts[router].connections.remove(&id);
        self.send_down(id, Down::Close(code, url));
    }

    pub(crate) fn send_on(&mut self, id: u64, router: usize) {
        self.send_down(id, Down::Elsewhere(router));
    }

    fn way_of_client(&mut self) -> At {
        let slow = self.rng.u8(0..30) == 0;
        self.rng.u64(if slow { 20 * MS..200 * MS } else { 200..8 * MS })
    }

    /// A client's word is at its router.
    pub(crate) fn up(&mut self, id: u64, word: Up) {
        let Connection { router, start, open, .. } = *self.connection(id);
        if !open {
            return;
        }
        if !self.hosts[router].runs || self.hosts[router].start != start {
            return self.send_down(id, Down::Refused);
        }
        match word {
            Up::Open(wants) => {
                self.hosts[router].connections.insert(id);
                self.seek(router, *wants);
            }
            Up::Frame(frame) => {
                self.handle(router, Input::Frame { connection: signalbox::ids::ConnectionId(id), frame, grant: None });
            }
        }
    }

    /// A client comes in, as far as its router's core lets it. `known`: whether the room is kept elsewhere is known.
    pub(crate) fn open(&mut self, router: usize, wants: Wants, known: bool) {
        let Wants { connection, client, room, back } = wants;
        if !self.connection(connection).open {
            return;
        }
        if back.is_some() && !known {
            return self.send_down(connection, Down::Unavailable);
        }
        let opening = match back {
            Some(back) => Opening::Resume { claims: back.0, resume: back.1 },
            None => Opening::Join(Box::new(v1::Join { room: name(room), ..v1::Join::default() })),
        };
        let mut grant = Box::new(sessions::grant(&self.clients[client].name));
        if self.planted == Some(Planted::StrangeTwin) && client >= self.plan.clients.len() {
            grant.identity = format!("{} again", grant.identity).into();
        }
        (self.unknown, self.comes_in) = (!known, Some(client));
        self.handle(
            router,
            Input::Open {
                connection: signalbox::ids::ConnectionId(connection),
                grant,
                id: Some(1),
                opening,
                labels: signalbox::event::Labels::default(),
                variant: signalbox::ids::Variant::default(),
            },
        );
        (self.unknown, self.comes_in) = (false, None);
    }

    /// A router's word is at its client.
    pub(crate) fn down(&mut self, id: u64, word: Down) {
        let Connection { client, open, .. } = *self.connection(id);
        if !open || self.clients[client].connection != Some(id) {
            return;
        }
        match word {
            Down::Frame(frame, life) => self.hears(client, *frame, life),
            Down::Close(code, url) => {
                self.hang_up(client);
                self.closed(client, code, url);
            }
            Down::Refused => {
                self.hang_up(client);
                self.elsewhere(client);
                self.back_again(client, 50 * MS);
            }
            Down::Elsewhere(router) => {
                self.drop_connection(client);
                self.clients[client].router = router;
                self.back_again(client, 5 * MS);
            }
            Down::Unavailable => {
                self.drop_connection(client);
                self.back_again(client, 500 * MS);
            }
        }
    }

    /// A client that was in, or wanted in, comes again after that time.
    fn back_again(&mut self, client: usize, after: At) {
        if self.clients[client].state == State::In {
            self.clients[client].state = State::Resumes;
        }
        self.again(client, after);
    }

    /// A connection was closed for that reason.
    fn closed(&mut self, client: usize, code: Code, url: Option<String>) {
        match code {
            Code::RoomElsewhere => {
                if let Some(router) = url.and_then(|url| url.parse().ok()) {
                    self.clients[client].router = router;
                }
                self.back_again(client, 5 * MS);
            }
            Code::Draining => {
                self.elsewhere(client);
                self.back_again(client, 5 * MS);
            }
            Code::Left => self.clients[client].state = State::Out,
            Code::Replaced => {
                replaced::is_over(self, client, code);
            }
            other => {
                let name = &self.clients[client].name;
                self.broken.push(format!("[sessions] {name} was closed with {}", other.name()));
            }
        }
    }

    /// An opening was refused.
    fn refused(&mut self, client: usize, error: &v1::Error, life: Option<LifeId>) {
        match error.code.as_str() {
            "draining" => {
                self.drop_connection(client);
                self.elsewhere(client);
                self.again(client, 50 * MS);
            }
            "room_unavailable" => {
                self.drop_connection(client);
                self.again(client, 100 * MS);
            }
            // an opening that waited to know more, of a room that left meanwhile
            "room_elsewhere" if error.url.parse::<usize>().is_ok() => {
                self.drop_connection(client);
                self.closed(client, Code::RoomElsewhere, Some(error.url.clone()));
            }
            "session_gone" => {
                sessions::gone(self, client, life);
                self.drop_connection(client);
                if !replaced::is_over(self, client, Code::SessionGone) {
                    self.clients[client].state = State::Joins;
                    self.again(client, MS);
                }
            }
            code => {
                let name = &self.clients[client].name;
                self.broken.push(format!("[sessions] {name} was refused with {code}: {}", error.message));
            }
        }
    }

    fn hears(&mut self, client: usize, frame: ServerFrame, life: Option<LifeId>) {
        let heard = Client::read(frame);
        match (heard, life) {
            (Heard::Joined(joined), Some(life)) => {
                self.clients[client].joined(life, &joined);
                self.clients[client].came_anew.push((life, joined.offset));
            }
            (Heard::Resumed(resumed), Some(life)) => recovery::resumed(self, client, life, &resumed),
            (Heard::Told { offset, what }, Some(life)) => {
                delivery::told(self, client, (life, offset), what);
                self.clients[client].push_came(life);
            }
            (Heard::Directed { seq, tag }, Some(life)) => {
                directed::heard(self, client, seq, &tag);
                self.clients[client].push_came(life);
            }
            (Heard::Refused(error), life) => self.refused(client, &error, life),
            (Heard::Answered { id }, _) => {
                for request in self.clients[client].requests.iter_mut().filter(|request| request.id == id) {
                    request.answered = true;
                }
            }
            (Heard::RequestRefused { code }, _) => {
                let waits = self.plan.settings.ack != Ack::Local;
                let known = ["participant_not_found", "hold_full", "bad_request", "room_unavailable"];
                if waits && ["room_unavailable", "deadline_exceeded"].contains(&code.as_str()) {
                    self.tally.refused += usize::from(code == "room_unavailable");
                    self.tally.late += usize::from(code == "deadline_exceeded");
                } else if !known.contains(&code.as_str()) {
                    let name = &self.clients[client].name;
                    self.broken.push(format!("[sessions] a request of {name} was refused with {code}"));
                }
            }
            (Heard::Advised { after }, _) => {
                let router = self.clients[client].router;
                if self.hosts[router].drains {
                    self.elsewhere(client);
                }
                self.cut(client, after);
            }
            (Heard::Joined(_) | Heard::Resumed(_) | Heard::Told { .. } | Heard::Directed { .. }, None) => {
                self.broken.push("[order] a frame of a room that is nowhere".to_owned());
            }
            (Heard::Nothing, _) => {}
        }
    }

    /// The client's end of its connection is gone, and its router's too.
    fn hang_up(&mut self, client: usize) {
        let Some(id) = self.clients[client].connection.take() else { return };
        self.connection(id).open = false;
    }

    /// The client lets go of its connection; its router hears of it later, now and then much later.
    pub(crate) fn drop_connection(&mut self, client: usize) {
        let Some(id) = self.clients[client].connection else { return };
        self.hang_up(client);
        let late = if self.rng.u8(0..8) == 0 { 2 * SECOND } else { 50 * MS };
        let at = self.now + self.rng.u64(MS..late);
        self.at(at, Event::Lost(id));
    }

    /// A connection breaks at its router's end; its client finds out later.
    pub(crate) fn breaks(&mut self, id: u64, after: At) {
        let (client, open) = (self.connection(id).client, self.connection(id).open);
        if open && self.clients[client].connection == Some(id) {
            self.hang_up(client);
            self.elsewhere(client);
            self.back_again(client, after);
        }
    }

    pub(crate) fn lost(&mut self, id: u64) {
        let Connection { router, start, .. } = *self.connection(id);
        if !self.hosts[router].runs || self.hosts[router].start != start || !self.hosts[router].connections.remove(&id)
        {
            return;
        }
        if let Some(session) = self.connection(id).attached.clone() {
            self.left_at.insert((router, session), self.now);
        }
        let connection = signalbox::ids::ConnectionId(id);
        self.handle(router, Input::Lost { connection, reason: Code::ConnectionLost });
    }

    /// A client's connection is lost; it comes back after that time.
    pub(crate) fn cut(&mut self, client: usize, away: At) {
        if self.clients[client].state == State::In {
            self.drop_connection(client);
            self.back_again(client, away);
        }
    }

    pub(crate) fn leave(&mut self, client: usize) {
        if self.clients[client].state == State::In {
            self.send_request(client, None, Op::Leave(v1::Leave::default()));
        }
    }

    pub(crate) fn say(&mut self, client: usize) {
        if self.clients[client].state == State::In {
            let request = self.clients[client].request(None);
            self.send_request(client, Some(request.id), said(&request.tag, None));
        }
    }

    pub(crate) fn say_to(&mut self, client: usize, to: usize) {
        let one = &self.clients[to];
        if self.clients[client].state == State::In && client != to && one.room == self.clients[client].room {
            let to = one.name.clone();
            let request = self.clients[client].request(Some(to.clone()));
            self.sent_after.insert(request.tag.clone(), (self.clients[client].life, self.clients[client].offset));
            self.send_request(client, Some(request.id), said(&request.tag, Some(to)));
        }
    }

    /// A client repeats a request, as one does that heard no answer; some do that heard one.
    pub(crate) fn repeat(&mut self, client: usize, back: usize) {
        let one = &self.clients[client];
        let Some(request) = one.requests.iter().rev().nth(back).filter(|_| one.state == State::In) else { return };
        // whom a push was lost for with its router nobody knows: who has an answer does not ask again
        if request.to.is_some() && request.answered {
            return;
        }
        let (id, op) = (request.id, said(&request.tag, request.to.clone()));
        self.send_request(client, Some(id), op);
    }

    fn send_request(&mut self, client: usize, id: Option<u64>, op: Op) {
        if let Some(connection) = self.clients[client].connection {
            let frame = Box::new(ClientFrame { id, traceparent: String::new(), op: Some(op) });
            self.send_up(connection, Up::Frame(frame));
        }
    }
}

/// What a request asks for; of what is said to one alone, some are offers.
fn said(tag: &str, to: Option<String>) -> Op {
    if let Some(to) = to.clone().filter(|_| tag.ends_with(['0', '2', '4', '6', '8'])) {
        let offer = Some(v1::SessionDescription { sdp: tag.to_owned(), ice_restart: false });
        return Op::Signal(v1::Signal { to, offer, ..v1::Signal::default() });
    }
    Op::Send(v1::Send { to: to.into_iter().collect(), data: Some(format!("\"{tag}\"")), ..v1::Send::default() })
}

/// How a client comes back.
fn resume(client: &Client, epoch: String) -> (ResumeClaims, v1::Resume) {
    let claims = ResumeTokens::new(&SECRET).verify(&client.token).unwrap();
    let resume = v1::Resume { resume_token: client.token.clone(), epoch, offset: client.offset, seq: client.seq };
    (claims, resume)
}
