//! A client: what it knows of its session, what it was told, and what it saw.
//!
//! It goes on as a careful client does: where it is in the room's events moves with what it has seen, and a room that comes anew counts
//! once all that came with it is there.

use std::collections::{BTreeMap, BTreeSet};

use signalbox::protocol::v1::{self, ServerFrame, server_frame::Body};

use super::{
    chronicle::{LifeId, What},
    plan::At,
};

/// What a client asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) tag: String,
    /// To whom; none: to the room.
    pub(crate) to: Option<String>,
    pub(crate) answered: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// In no room, and wants into none.
    Out,
    /// It wants in: as somebody new, or back.
    Joins,
    Resumes,
    In,
}

/// A gap that is being filled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    /// Pushes that are still to come.
    left: u32,
    pub(crate) recovered: bool,
    /// Where the room was.
    offset: u64,
    /// Where what was not seen begins, of a room that comes anew.
    pub(crate) heard: Option<u64>,
}

/// What a frame says that the rules are about.
#[derive(Debug)]
pub(crate) enum Heard {
    Joined(Box<v1::Joined>),
    Resumed(Box<v1::Resumed>),
    /// An opening was refused.
    Refused(v1::Error),
    /// A request was answered.
    Answered {
        id: u64,
    },
    RequestRefused {
        code: String,
    },
    /// Something that happened in the room.
    Told {
        offset: u64,
        what: What,
    },
    /// Something to this client alone.
    Directed {
        seq: u64,
        tag: String,
    },
    /// To come back elsewhere, so much later.
    Advised {
        after: At,
    },
    Nothing,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) room: usize,
    pub(crate) state: State,
    /// Its connection; of which router it thinks that it has the room.
    pub(crate) connection: Option<u64>,
    pub(crate) router: usize,
    /// Its latest opening.
    pub(crate) opening: u64,
    pub(crate) token: String,
    pub(crate) session: String,
    pub(crate) participant: String,
    /// Where it is: in which life of the room, and what it saw last there.
    pub(crate) life: LifeId,
    pub(crate) offset: u64,
    pub(crate) seq: u64,
    /// In which life it joined, and at which offset.
    pub(crate) joined_in: LifeId,
    pub(crate) since: u64,
    pub(crate) gap: Option<Gap>,
    pub(crate) requests: Vec<Request>,
    requests_made: u64,
    /// Which client is the newer session of the same identity, once that comes.
    pub(crate) newer: Option<usize>,
    /// What it saw ever, by where that stands,
    pub(crate) told: BTreeSet<(LifeId, u64)>,
    /// what of it counts where it is now,
    pub(crate) seen: BTreeSet<(LifeId, u64)>,
    /// messages by what they say,
    pub(crate) messages: BTreeMap<String, (LifeId, u64)>,
    /// those that this session heard, wherever, and at which of its moves to where what it saw last is not known;
    pub(crate) heard: BTreeMap<String, u32>,
    pub(crate) moves: u32,
    /// those that were said where it got the room anew, without what it had missed,
    pub(crate) passed_by: BTreeSet<String>,
    /// Of which lives it got the room anew, and up to where: what was said before that it does not hear. Some of it may get known later.
    pub(crate) came_anew: Vec<(LifeId, u64)>,
    /// and what was said to it alone.
    pub(crate) directed: BTreeSet<String>,
    /// What it was not told though it was there: from after one offset of a life up to another; `said`: only messages count.
    pub(crate) passed: Vec<Passed>,
}

/// A stretch of a life's events of which nothing came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    pub(crate) life: LifeId,
    pub(crate) after: u64,
    pub(crate) to: u64,
    pub(crate) said: bool,
}

impl Client {
    pub(crate) fn new(number: usize, room: usize, router: usize) -> Self {
        let (connection, opening, token, session, participant, life, offset, seq, joined_in) = Default::default();
        let (since, gap, requests, requests_made, seen, messages, directed, passed) = Default::default();
        Self {
            name: format!("c{number}"),
            room,
            state: State::Out,
            connection,
            router,
            opening,
            token,
            session,
            participant,
            life,
            offset,
            seq,
            joined_in,
            since,
            gap,
            requests,
            requests_made,
            newer: None,
            told: BTreeSet::new(),
            seen,
            messages,
            heard: BTreeMap::new(),
            moves: 0,
            passed_by: BTreeSet::new(),
            came_anew: Vec::new(),
            directed,
            passed,
        }
    }

    /// One that comes under the same identity; its requests are others.
    pub(crate) fn double(&self) -> Self {
        let blank = Self::new(0, self.room, self.router);
        Self { name: self.name.clone(), requests_made: 1_000, ..blank }
    }

    /// A new request; its number.
    pub(crate) fn request(&mut self, to: Option<String>) -> Request {
        self.requests_made += 1;
        // openings have ids of their own
        let id = 10 + self.requests_made;
        let tag = format!("{}:{id}", self.name);
        let request = Request { id, tag, to, answered: false };
        self.requests.push(request.clone());
        request
    }

    /// What a frame says.
    pub(crate) fn read(frame: ServerFrame) -> Heard {
        let ServerFrame { id, body } = frame;
        match (id, body) {
            (_, Some(Body::Joined(joined))) => Heard::Joined(joined),
            (_, Some(Body::Resumed(resumed))) => Heard::Resumed(resumed),
            (Some(1), Some(Body::Error(error))) => Heard::Refused(error),
            (Some(id), Some(Body::Ok(_))) => Heard::Answered { id },
            (_, Some(Body::Error(error))) => Heard::RequestRefused { code: error.code },
            (_, Some(Body::Data(push))) => match (push.offset, push.seq) {
                (Some(offset), None) => Heard::Told { offset, what: said(&push) },
                (_, seq) => Heard::Directed { seq: seq.unwrap_or_default(), tag: tag(&push) },
            },
            (_, Some(Body::Signal(push))) => {
                Heard::Directed { seq: push.seq, tag: push.offer.map(|offer| offer.sdp).unwrap_or_default() }
            }
            (_, Some(Body::Event(event))) => match &event.kind {
                Some(kind) => Heard::Told { offset: event.offset, what: What::of(kind) },
                None => Heard::Nothing,
            },
            (_, Some(Body::Advice(advice))) => match advice.reconnect {
                Some(reconnect) => Heard::Advised { after: reconnect.after_ms * 1_000 },
                None => Heard::Nothing,
            },
            _ => Heard::Nothing,
        }
    }

    /// It is in, as somebody new.
    pub(crate) fn joined(&mut self, life: LifeId, joined: &v1::Joined) {
        self.state = State::In;
        (self.token, self.session) = (joined.resume_token.clone(), joined.session.clone());
        self.participant = joined.you.as_ref().map(|you| you.id.clone()).unwrap_or_default();
        (self.life, self.offset, self.seq, self.since) = (life, joined.offset, joined.seq, joined.offset);
        (self.gap, self.joined_in) = (None, life);
        self.passed_by.extend(std::mem::take(&mut self.heard).into_keys());
        // what an earlier session asked for is not this one's to repeat
        self.requests.clear();
        // nor was it told to this one: whoever comes from another life of the room gets all of it (what is told before that breaks the order)
        self.seen.clear();
        self.messages.clear();
    }

    /// It is back. `heard`: what it saw last, as far as that counts there.
    pub(crate) fn resumed(&mut self, life: LifeId, heard: Option<u64>, resumed: &v1::Resumed) {
        self.state = State::In;
        self.token.clone_from(&resumed.resume_token);
        let (recovered, offset) = (resumed.recovered, resumed.offset);
        if recovered {
            self.life = life;
            self.offset = resumed.from.unwrap_or(self.offset);
        }
        self.gap = Some(Gap { left: resumed.missed, recovered, offset, heard });
        self.filled(life);
    }

    /// A push came. Whether that was the last of a gap.
    pub(crate) fn push_came(&mut self, life: LifeId) {
        if let Some(gap) = &mut self.gap {
            gap.left = gap.left.saturating_sub(1);
        }
        self.filled(life);
    }

    fn filled(&mut self, life: LifeId) {
        let Some(gap) = self.gap.filter(|gap| gap.left == 0) else { return };
        self.gap = None;
        if gap.recovered {
            return self.pass(life, gap.offset);
        }
        if let Some(after) = gap.heard {
            self.passed.push(Passed { life, after, to: gap.offset, said: true });
        }
        (self.life, self.offset) = (life, gap.offset);
    }

    /// It saw what stands at an offset.
    pub(crate) fn sees(&mut self, life: LifeId, offset: u64) {
        if let Some(gap) = self.gap.as_mut().filter(|gap| !gap.recovered) {
            // of a room that comes anew: where it is from there on, if no more of it comes
            if let Some(after) = gap.heard.replace(offset) {
                self.passed.push(Passed { life, after, to: offset, said: true });
            }
            (self.life, self.offset) = (life, offset);
            return;
        }
        self.pass(life, offset - 1);
        self.offset = self.offset.max(offset);
    }

    /// Nothing up to there came.
    pub(crate) fn pass(&mut self, life: LifeId, to: u64) {
        if to > self.offset {
            self.passed.push(Passed { life, after: self.offset, to, said: false });
            self.offset = to;
        }
    }
}

pub(crate) fn said(push: &v1::DataPush) -> What {
    What::Said { tag: tag(push), by: push.from.clone() }
}

fn tag(push: &v1::DataPush) -> String {
    push.data.as_deref().unwrap_or_default().trim_matches('"').to_owned()
}
