//! The routers that connections go to: those that were named, in turns, and those that they send to.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    client::{Client, ClientError, Target, TargetSettings},
    locked,
};
use crate::protocol::Code;

/// How often one opening is sent on before it counts as refused.
const SENT_ON_MAX: usize = 3;
/// Routers that may be sent to.
const ROUTERS_MAX: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Routers {
    settings: TargetSettings,
    named: Vec<Arc<Target>>,
    /// Those that were sent to, by URL.
    sent_to: Mutex<BTreeMap<String, Arc<Target>>>,
    sent_on: AtomicU64,
}

impl Routers {
    /// Those of these URLs, all spoken to alike; the first one is that of the settings.
    pub(crate) async fn resolve(settings: TargetSettings, others: &[String]) -> Result<Self, ClientError> {
        let mut named = vec![Target::resolve(&settings).await?];
        for url in others {
            named.push(Target::resolve(&TargetSettings { url: url.clone(), ..settings.clone() }).await?);
        }
        Ok(Self { settings, named, sent_to: Mutex::default(), sent_on: AtomicU64::new(0) })
    }

    /// Whether all that were named answer connections.
    pub(crate) async fn reach(&self) -> Result<(), ClientError> {
        for target in &self.named {
            target.reach().await?;
        }
        Ok(())
    }

    /// Where the connection of that number begins.
    pub(crate) fn of(&self, number: usize) -> &Arc<Target> {
        &self.named[number % self.named.len()]
    }

    /// How many openings were sent on to another router.
    pub(crate) fn sent_on(&self) -> u64 {
        self.sent_on.load(Relaxed)
    }

    /// The way of the connection of that number to the router that has its room.
    pub(crate) fn way(&self, number: usize) -> Way<'_> {
        Way { routers: self, target: self.of(number).clone(), number, sent_on: 0 }
    }

    /// The way of the connection of that number, by a router that somebody named.
    pub(crate) async fn way_to(&self, url: &str, number: usize) -> Result<Way<'_>, ClientError> {
        Ok(Way { routers: self, target: self.at(url).await?, number, sent_on: 0 })
    }

    /// The router at a URL that another one named.
    async fn at(&self, url: &str) -> Result<Arc<Target>, ClientError> {
        if let Some(known) = locked(&self.sent_to).get(url) {
            return Ok(known.clone());
        }
        let settings = TargetSettings { url: url.to_owned(), ..self.settings.clone() }.of_its_transport();
        let target = Target::resolve(&settings).await?;
        let mut sent_to = locked(&self.sent_to);
        if sent_to.len() < ROUTERS_MAX {
            sent_to.insert(url.to_owned(), target.clone());
        }
        Ok(target)
    }
}

/// See [`Routers::way`].
#[derive(Debug)]
pub(crate) struct Way<'a> {
    routers: &'a Routers,
    target: Arc<Target>,
    number: usize,
    sent_on: usize,
}

impl Way<'_> {
    /// Connects with that token, where it was sent to last.
    pub(crate) async fn connect(&self, token: &str) -> Result<Client, ClientError> {
        self.target.connect(token, self.target.source(self.number)).await
    }

    /// Follows a refusal that sends on to another router; any other one is the answer.
    pub(crate) async fn follow(&mut self, refusal: ClientError) -> Result<(), ClientError> {
        let ClientError::Error(error) = &refusal else { return Err(refusal) };
        let sends_on = error.code == Code::RoomElsewhere.name() && !error.url.is_empty();
        if !sends_on || self.sent_on == SENT_ON_MAX {
            return Err(refusal);
        }
        self.sent_on += 1;
        self.routers.sent_on.fetch_add(1, Relaxed);
        self.target = self.routers.at(&error.url).await?;
        Ok(())
    }
}
