//! Writes of several rooms that come at one moment go together: one question to each connection, and an answer each.
//!
//! Rooms are written in beats (`router/keeping`), many in each. One by one each would cost a task, a turn of the connection's, and a
//! wake-up for its answer: more than what is written.

use std::{sync::Arc, time::Instant};

use futures_util::{
    Stream,
    future::join_all,
    stream::{self, FuturesUnordered, StreamExt as _},
};
use tokio::sync::SemaphorePermit;

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

/// A write, and its place among all.
struct One<'a> {
    at: usize,
    room: &'a RoomId,
    asked: Asked<'a>,
    /// Its place among the calls that may be under way.
    _place: SemaphorePermit<'a>,
}

/// Writes that go together.
struct Group<'a> {
    server: Arc<Server>,
    line: usize,
    bytes: usize,
    ones: Vec<One<'a>>,
}

impl Fabric {
    /// Writes changes of several rooms, as [`write`](Self::write) does of one; each answer as soon as it is known, with the number that
    /// its write came with.
    pub fn write_all<'a>(
        &'a self,
        writes: Vec<(usize, &'a RoomId, &'a Write)>,
    ) -> impl Stream<Item = (usize, Result<Written, Fault>)> + Send + 'a {
        let begun = Instant::now();
        stream::once(self.grouped(writes, begun)).flat_map(move |(refused, groups)| {
            let groups: FuturesUnordered<_> = groups.into_iter().map(|group| self.write_group(group, begun)).collect();
            stream::iter(refused).chain(groups.flat_map(stream::iter))
        })
    }

    /// Which go together, and those that do not go at all.
    async fn grouped<'a>(
        &'a self,
        writes: Vec<(usize, &'a RoomId, &'a Write)>,
        begun: Instant,
    ) -> (Vec<(usize, Result<Written, Fault>)>, Vec<Group<'a>>) {
        let (mut refused, mut groups) = (Vec::new(), Vec::<Group<'a>>::new());
        for (at, room, write) in writes {
            match self.to_write(at, room, write, begun).await {
                Ok((server, one)) => {
                    let (line, bytes) = (server.line(place::hash(room.as_str())), one.asked.bytes());
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
                Err(fault) => refused.push((at, self.ended(FabricCall::Write, Err(fault), begun))),
            }
        }
        (refused, groups)
    }

    async fn to_write<'a>(
        &'a self,
        at: usize,
        room: &'a RoomId,
        write: &'a Write,
        begun: Instant,
    ) -> Result<(Arc<Server>, One<'a>), Fault> {
        let place = self.place()?;
        let asked = self.asked((&self.0.around.settings.router, room), What::Write(write));
        let lane = place::hash(room.as_str());
        let server = self.0.masters.of(&asked.keys, lane, self.deadline(begun)).await;
        let server = server.map_err(|fault| self.failed(fault))?;
        Ok((server, One { at, room, asked, _place: place }))
    }

    async fn write_group(&self, group: Group<'_>, begun: Instant) -> Vec<(usize, Result<Written, Fault>)> {
        let (Group { server, line, ones, .. }, deadline) = (group, self.deadline(begun));
        let asked: Vec<&Asked<'_>> = ones.iter().map(|one| &one.asked).collect();
        let answers = server.ask(line, &asked, false, deadline).await;
        join_all(ones.iter().zip(answers).map(async |(one, answer)| {
            let answer = match answer {
                Ok(answer) => Ok(answer),
                Err(Refusal::Fault(fault)) => Err(self.failed(fault)),
                // its keys are elsewhere, or on their way
                Err(Refusal::Moved { .. } | Refusal::Ask { .. } | Refusal::TryAgain(_)) => {
                    self.follow(one.room, &one.asked, deadline).await
                }
            };
            (one.at, self.ended(FabricCall::Write, answer.and_then(written), begun))
        }))
        .await
    }
}
