//! Clients that are connected to one router of a fleet (the edge) and whose rooms are on another (the host): the edge carries their
//! frames to the host, over one stream for all of them, and what is pushed back.
//!
//! ```text
//! client -> edge: gateway (token, limits of connections) -> link -> host: a task a connection -> Inbound -> shard
//! client <- edge: its outbound queue                     <- link <- host: the link's queue    <-            shard
//! ```
//!
//! To the host it is a connection like any other: it decodes, guards, measures and answers its frames. Nothing of it goes by etcd or
//! Redis. A link that cannot be had leaves the client what it has without one: `room_elsewhere`, and where to go. One that is lost
//! costs each of its clients a resume, by whichever router.

mod admin;
mod calls;
mod edge;
mod host;
mod leaving;
mod proof;
mod saying;
mod words;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ahash::AHashMap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::metadata::MetadataMap;

pub use self::host::{Host, serve};
pub(crate) use self::{edge::Carried, words::Guest};
use self::{edge::Link, proof::Proofs};
use super::{
    clock,
    dialing::TlsFiles,
    directory::Homes,
    finder::Elsewhere,
    outbound::{Mark, Outbound},
};
use crate::{
    event::{Event, Labels, RelayFact, RelayOpening, RelaySide},
    ids::RouterId,
    protocol::{Code, encode},
    router::{ADVICE_SHARE, ADVICE_STEP, reconnect_advice},
    telemetry::{RelayFigures, Telemetry},
};

/// The metadata that says who speaks,
const ROUTER: &str = "signalbox-router";
/// and that with which it is shown.
const PROOF: &str = "signalbox-proof";
/// Links of an edge at a time; past them, clients are sent to the host.
const LINKS_MAX: usize = 1_024;
/// How often figures are told.
const FIGURES_EVERY: Duration = Duration::from_secs(1);

/// What links need to know; from config.
#[derive(Clone)]
pub struct RelaySettings {
    /// This router's `server.id`.
    pub router: String,
    /// Of the fleet.
    pub secret: Vec<u8>,
    /// For hosts with https.
    pub tls: Option<TlsFiles>,
    /// For the making of a link, its TLS and the first word of the host included.
    pub connect_timeout: Duration,
    /// Frames that may wait for one link, together, at a host.
    pub link_bytes: usize,
    /// Connections of one link.
    pub connections_max: usize,
}

impl fmt::Debug for RelaySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelaySettings").field("router", &self.router).finish_non_exhaustive()
    }
}

/// The links of this router; a handle, cheap to copy.
#[derive(Clone)]
pub struct Relay(Arc<Shared>);

struct Shared {
    settings: RelaySettings,
    proofs: Proofs,
    telemetry: Arc<Telemetry>,
    /// Hears which routers take no connection.
    homes: Option<Homes>,
    /// Where links stood once, by router: an address that was never right says nothing of who should be there.
    reached: Mutex<AHashMap<RouterId, Reached>>,
    /// As edge: one a host, made when it is first needed, gone when it is over.
    links: Mutex<AHashMap<RouterId, Arc<Link>>>,
    /// As host.
    hosted: Hosted,
    frames: Arc<Frames>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// Frames of clients of this router.
#[derive(Debug, Default)]
struct Frames {
    /// Towards hosts,
    to_host: AtomicU64,
    /// and pushed from there.
    to_client: AtomicU64,
}

/// Where a link stood.
#[derive(Debug)]
struct Reached {
    url: String,
    /// Since when nobody listens there.
    refuses: Option<Instant>,
}

/// Links and connections that this router is the host of.
#[derive(Debug, Default)]
struct Hosted {
    links: AtomicU64,
    connections: AtomicU64,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Relay {
    /// No link stands. To be made inside the workers' runtime.
    pub fn new(settings: RelaySettings, telemetry: Arc<Telemetry>, homes: Option<Homes>) -> Self {
        let relay = Self(Arc::new(Shared {
            proofs: Proofs::new(&settings.secret),
            settings,
            telemetry,
            homes,
            reached: Mutex::default(),
            links: Mutex::default(),
            hosted: Hosted::default(),
            frames: Arc::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }));
        tokio::spawn(relay.clone().tell_figures());
        relay
    }

    /// Carries a connection to the router that has the room that it wants into.
    ///
    /// # Errors
    /// Why it has to go there itself.
    pub(crate) async fn carry(
        &self,
        there: &Elsewhere,
        guest: &Guest,
        (outbound, labels): (&Arc<Outbound>, Labels),
    ) -> Result<Carried, RelayOpening> {
        let carried = self.try_carry(there, guest, (outbound, labels)).await;
        let outcome = carried.as_ref().err().copied().unwrap_or(RelayOpening::Relayed);
        self.0.observe(RelayFact::Opening { outcome });
        carried
    }

    /// Whether nobody listens any more where the router that has a room did. Then the directory has been told so.
    pub(crate) async fn finds_nobody(&self, there: &Elsewhere) -> bool {
        if there.relay_url.is_empty() || self.0.closing.is_cancelled() {
            return false;
        }
        match self.link(there) {
            Ok(link) => link.finds_nobody().await,
            Err(_) => false,
        }
    }

    async fn try_carry(
        &self,
        there: &Elsewhere,
        guest: &Guest,
        client: (&Arc<Outbound>, Labels),
    ) -> Result<Carried, RelayOpening> {
        if there.relay_url.is_empty() {
            return Err(RelayOpening::NoAddress);
        }
        if self.0.closing.is_cancelled() {
            return Err(RelayOpening::Unreachable);
        }
        let link = self.link(there)?;
        link.stands().await?;
        link.enter(guest, client, self.0.settings.connections_max)
    }

    /// The link to a router, made where there is none.
    fn link(&self, there: &Elsewhere) -> Result<Arc<Link>, RelayOpening> {
        let mut links = self.0.links();
        if let Some(link) = links.get(&there.router) {
            return Ok(link.clone());
        }
        if links.len() >= LINKS_MAX {
            return Err(RelayOpening::Full);
        }
        let link = edge::begin(&self.0, there);
        links.insert(there.router.clone(), link.clone());
        Ok(link)
    }

    /// Clients of this router whose rooms are on others.
    pub fn connections(&self) -> usize {
        self.0.links().values().map(|link| link.connections()).sum()
    }

    fn clients(&self) -> Vec<Arc<Outbound>> {
        self.0.links().values().flat_map(|link| link.clients()).collect()
    }

    /// Advises every client whose room is on another router to go elsewhere, spread over the window: it is this router that ends.
    /// They are told that URL; empty: to come back by the way they came.
    pub fn drain(&self, window: Duration, url: String) {
        let mut clients = self.clients();
        fastrand::shuffle(&mut clients);
        let step = window.mul_f64(ADVICE_SHARE) / u32::try_from(clients.len()).unwrap_or(u32::MAX).max(1);
        self.0.tasks.spawn(async move {
            let began = tokio::time::Instant::now();
            for (place, client) in clients.into_iter().enumerate() {
                let due = began + step * u32::try_from(place).unwrap_or(u32::MAX);
                if due > tokio::time::Instant::now() + ADVICE_STEP {
                    tokio::time::sleep_until(due).await;
                }
                advise(&client, &url);
            }
        });
    }

    /// Closes who is left, then all links, within a bounded time.
    pub async fn finish(&self, longest: Duration) {
        self.clients().iter().for_each(|client| client.close(Code::Draining.refuse()));
        let over = tokio::time::Instant::now() + longest;
        let mut every = tokio::time::interval(Duration::from_millis(5));
        // those whose rooms were here are still being told that these go
        let hosted = || self.0.hosted.connections.load(Ordering::Relaxed) > 0;
        while tokio::time::Instant::now() < over && (self.connections() > 0 || hosted()) {
            every.tick().await;
        }
        self.0.closing.cancel();
        self.0.tasks.close();
        tokio::time::timeout_at(over, self.0.tasks.wait()).await.ok();
    }

    async fn tell_figures(self) {
        let mut every = tokio::time::interval(FIGURES_EVERY);
        loop {
            tokio::select! {
                _ = every.tick() => self.0.telemetry.set_relay(self.figures()),
                () = self.0.closing.cancelled() => return,
            }
        }
    }

    fn figures(&self) -> RelayFigures {
        let mut figures = RelayFigures::default();
        figures.links[RelaySide::Edge as usize] = self.0.links().values().filter(|link| link.is_up()).count();
        figures.connections[RelaySide::Edge as usize] = self.connections();
        let read = |count: &AtomicU64| usize::try_from(count.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        figures.links[RelaySide::Host as usize] = read(&self.0.hosted.links);
        figures.connections[RelaySide::Host as usize] = read(&self.0.hosted.connections);
        figures.frames = [&self.0.frames.to_host, &self.0.frames.to_client].map(|count| count.load(Ordering::Relaxed));
        figures
    }
}

/// Tells a client to come back, by the same way or by that address.
fn advise(client: &Outbound, url: &str) {
    let bytes = encode(client.encoding(), &reconnect_advice(0, url.to_owned()));
    if client.push(bytes, Mark::Unmeasured).is_err() {
        client.close(Code::SlowReader.refuse());
    }
}

impl Shared {
    fn links(&self) -> MutexGuard<'_, AHashMap<RouterId, Arc<Link>>> {
        // one map, changed at once
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link to that router stands.
    fn reached(&self, there: &Elsewhere) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.len() >= LINKS_MAX && !reached.contains_key(&there.router) {
            // ids may be drawn at each start: most of those that are remembered are of nobody then
            let standing = self.links();
            reached.retain(|router, _| standing.contains_key(router));
        }
        if reached.len() < LINKS_MAX {
            let url = there.relay_url.clone();
            reached.insert(there.router.clone(), Reached { url, refuses: None });
        }
    }

    /// Nobody listens where a link to that router was to be made. Whether that tells anything of the router: twice, where one stood,
    /// it does, and then the directory hears it.
    fn found_nobody(&self, there: &Elsewhere) -> bool {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stood) = reached.get_mut(&there.router).filter(|stood| stood.url == there.relay_url) else {
            return false;
        };
        let again = stood.refuses.is_some_and(|since| since.elapsed() >= edge::REST);
        stood.refuses.get_or_insert_with(Instant::now);
        if let Some(homes) = self.homes.as_ref().filter(|_| again) {
            homes.refused(&there.router);
        }
        again
    }

    /// Shows that router that this one is of its fleet.
    fn prove(&self, to: &RouterId, metadata: &mut MetadataMap) {
        let from = self.settings.router.as_str();
        let proof = self.proofs.make(from, to.as_str(), clock::unix_ms());
        // a router's id and base64url are what metadata can be
        if let (Ok(from), Ok(proof)) = (from.parse(), proof.parse()) {
            metadata.insert(ROUTER, from);
            metadata.insert(PROOF, proof);
        }
    }

    fn observe(&self, fact: RelayFact) {
        self.telemetry.observe(&Event::Relay(fact), Instant::now());
    }
}
