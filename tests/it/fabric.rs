//! Rooms that are kept in a real Redis: who has them, what is lost and what is not, and what a Redis that fails costs.

mod cluster;
mod kept;
mod outages;
#[allow(dead_code)] // the table of faults uses all of it
pub(crate) mod redis;
mod sentinel;
#[allow(dead_code)] // the table of faults uses all of it
pub(crate) mod servers;
mod together;
mod watched;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use signalbox::{
    event::{Event, FabricFact, FabricOutcome},
    fabric::{Fault, Kept, Taken, Write, Written},
    ids::RoomId,
    io::fabric::{Address, Fabric, FabricMode, FabricSettings},
};

use self::redis::Redis;
use crate::harness::answered;

/// What a router was told, in order.
type Facts = Arc<Mutex<Vec<FabricFact>>>;

/// A router's fabric, and what it tells.
struct Side {
    fabric: Fabric,
    facts: Facts,
}

impl Side {
    fn new(settings: FabricSettings) -> Self {
        let facts = Facts::default();
        let told = facts.clone();
        let observe = Arc::new(move |event| match event {
            Event::Fabric(fact) => told.lock().unwrap().push(fact),
            other => panic!("{other:?}"),
        });
        Self { fabric: Fabric::new(settings, observe, 7), facts }
    }

    /// Of that name, at those servers, each by itself.
    fn at(router: &str, servers: &[&Redis]) -> Self {
        Self::new(settings(router, servers))
    }

    async fn take(&self, room: &str) -> Result<Taken, Fault> {
        self.fabric.take(&room.into(), false).await
    }

    /// Takes a room of which nothing is kept; its fence.
    async fn made(&self, room: &str) -> u64 {
        match self.take(room).await {
            Ok(Taken::Nothing { fence }) => fence,
            other => panic!("{room:?}: {other:?}"),
        }
    }

    async fn force(&self, room: &str) -> Taken {
        self.fabric.take(&room.into(), true).await.unwrap()
    }

    async fn write(&self, room: &str, write: Write) -> Result<Written, Fault> {
        self.fabric.write(&room.into(), &write).await
    }

    /// One that Redis carries out.
    async fn wrote(&self, room: &str, write: Write) {
        assert_eq!(self.write(room, write).await, Ok(Written::Written), "{:?}", self.told());
    }

    fn told(&self) -> Vec<FabricFact> {
        self.facts.lock().unwrap().clone()
    }

    /// Asks until Redis does it again.
    async fn found_again(&self, room: &str) -> Taken {
        answered("the way to Redis", async || self.take(room).await.ok()).await
    }
}

/// Patient ones, so that a busy machine fails no test that is not about time.
fn settings(router: &str, servers: &[&Redis]) -> FabricSettings {
    FabricSettings {
        addresses: servers.iter().map(|server| address(server.address)).collect(),
        mode: FabricMode::Single,
        user: None,
        tls: None,
        prefix: "test:".to_owned(),
        scope: "fleet".to_owned(),
        router: router.to_owned(),
        timeout: Duration::from_secs(5),
        calls_max: 1024,
        connections: 2,
        keep: Duration::from_secs(60),
    }
}

fn address(at: SocketAddr) -> Address {
    Address { host: at.ip().to_string(), port: at.port() }
}

/// A room's fence, however it was taken.
fn fence(taken: &Taken) -> u64 {
    match taken {
        Taken::Nothing { fence } | Taken::Kept(Kept { fence, .. }) => *fence,
        Taken::Held { owner } => panic!("held by {owner}"),
    }
}

/// In an order that can be compared.
fn kept(taken: Taken) -> Kept {
    let Taken::Kept(mut kept) = taken else { panic!("{taken:?}") };
    kept.fields.sort();
    kept
}

fn field(name: &str, content: &str) -> (String, Bytes) {
    (name.to_owned(), Bytes::from(content.to_owned()))
}

fn entry(offset: u64) -> (u64, Bytes) {
    (offset, Bytes::from(format!("event {offset}")))
}

fn entries(offsets: impl IntoIterator<Item = u64>) -> Vec<(u64, Bytes)> {
    offsets.into_iter().map(entry).collect()
}

fn outcome<T: std::fmt::Debug>(answer: Result<T, Fault>) -> FabricOutcome {
    answer.expect_err("a fault").outcome
}

fn room(number: usize) -> RoomId {
    format!("room-{number}").into()
}
