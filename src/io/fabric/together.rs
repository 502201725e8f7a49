//! Writes of several rooms that come at one moment go together: one question to each connection, and an answer each.
//!
//! Rooms are written in beats (`router/keeping`), many in each. One by one each would cost a task, a turn of the connection's, and a
//! wake-up for its answer: more than what is written.

use std::{sync::Arc, time::Instant};

use futures_util::{
    Stream,
    stream::{self, FuturesUnordered, StreamExt as _},
};
use redis::Value;

use super::{
    Fabric, place,
    refusal::Refusal,
    scripts::{Asked, What},
    server::Server,
    written,
};
use crate::{
    event::FabricCall,
    fabric::{Fault, Write, Written},
    ids::RoomId,
};

/// Writes that go together,
const WRITES_MAX: usize = 64;
/// and about how many bytes of them: a server does nothing else while it does these.
const BYTES_MAX: usize = 256 * 1024;

/// Writes of rooms, by their numbers.
pub type Writes<'a> = Vec<(usize, &'a RoomId, &'a Write)>;

/// A write, and its number.
struct One<'a> {
    at: usize,
    room: &'a RoomId,
    asked: Asked<'a>,
}

/// Writes that go together.
struct Group<'a> {
    server: Arc<Server>,
    line: usize,
    bytes: usize,
    ones: Vec<One<'a>>,
}

/// What came of a write, by its number.
type Ended = (usize, Result<Written, Fault>);

impl Fabric {
    /// Writes changes of several rooms, as [`write`](Self::write) does of one; each answer as soon as it is known, with the number that
    /// its write came with.
    pub fn write_all<'a>(&'a self, writes: Writes<'a>) -> impl Stream<Item = Ended> + Send + 'a {
        let begun = Instant::now();
        stream::once(self.grouped(writes, begun)).flat_map(move |(nowhere, groups)| {
            let groups = groups.into_iter().map(|group| self.write_group(group, begun).boxed());
            stream::iter(nowhere).chain(stream::select_all(groups))
        })
    }

    /// Which go together, and those of rooms that no server has.
    async fn grouped<'a>(&'a self, writes: Writes<'a>, begun: Instant) -> (Vec<Ended>, Vec<Group<'a>>) {
        let (mut nowhere, mut groups) = (Vec::new(), Vec::<Group<'a>>::new());
        for (at, room, write) in writes {
            let asked = self.asked((&self.0.around.settings.router, room), What::Write(write));
            let lane = place::hash(room.as_str());
            let server = match self.0.masters.of(&asked.keys, lane, self.deadline(begun)).await {
                Ok(server) => server,
                Err(fault) => {
                    nowhere.push((at, self.wrote(Err(self.failed(fault)), begun)));
                    continue;
                }
            };
            let (line, bytes) = (server.line(lane), asked.bytes());
            let one = One { at, room, asked };
            let goes_with = |group: &&mut Group<'a>| {
                let has_place = group.ones.len() < WRITES_MAX && group.bytes + bytes <= BYTES_MAX;
                has_place && group.line == line && Arc::ptr_eq(&group.server, &server)
            };
            match groups.iter_mut().rev().find(goes_with) {
                Some(group) => {
                    group.bytes += bytes;
                    group.ones.push(one);
                }
                None => groups.push(Group { server, line, bytes, ones: vec![one] }),
            }
        }
        (nowhere, groups)
    }

    /// One question, and so one of the calls that may be under way; whoever has to be asked elsewhere is asked behind it.
    fn write_group<'a>(&'a self, group: Group<'a>, begun: Instant) -> impl Stream<Item = Ended> + Send + 'a {
        stream::once(self.ask_group(group, begun)).flat_map(move |(known, astray)| {
            let follow = move |one: One<'a>| async move {
                let answer = self.follow(one.room, &one.asked, self.deadline(begun)).await;
                (one.at, self.wrote(answer, begun))
            };
            let astray: FuturesUnordered<_> = astray.into_iter().map(follow).collect();
            stream::iter(known).chain(astray)
        })
    }

    /// What is known then, and those whose keys are elsewhere, or on their way.
    async fn ask_group<'a>(&'a self, group: Group<'a>, begun: Instant) -> (Vec<Ended>, Vec<One<'a>>) {
        let Group { server, line, ones, .. } = group;
        let _place = match self.place() {
            Ok(place) => place,
            Err(full) => {
                let refused = ones.iter().map(|one| (one.at, self.wrote(Err(full.clone()), begun)));
                return (refused.collect(), Vec::new());
            }
        };
        let asked: Vec<&Asked<'_>> = ones.iter().map(|one| &one.asked).collect();
        let answers = server.ask(line, &asked, false, self.deadline(begun)).await;
        let (mut known, mut astray) = (Vec::with_capacity(ones.len()), Vec::new());
        for (one, answer) in ones.into_iter().zip(answers) {
            match answer {
                Ok(answer) => known.push((one.at, self.wrote(Ok(answer), begun))),
                Err(Refusal::Fault(fault)) => known.push((one.at, self.wrote(Err(self.failed(fault)), begun))),
                Err(Refusal::Moved { .. } | Refusal::Ask { .. } | Refusal::TryAgain(_)) => astray.push(one),
            }
        }
        (known, astray)
    }

    fn wrote(&self, answer: Result<Value, Fault>, begun: Instant) -> Result<Written, Fault> {
        self.ended(FabricCall::Write, answer.and_then(written), begun)
    }
}
