//! The client port: admits connections, upgrades them to WebSocket, serves gRPC and the admin API beside it.
//!
//! Knows tokens and transports, nothing of rooms: a connection's frames go to the shard of its room, its
//! pushes come back through its [`Outbound`] queue.

mod door;
mod hints;
mod inbound;
mod serve;
mod trace_id;
mod upgrade;
mod websocket;

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ahash::AHashMap;
use arc_swap::ArcSwap;
pub(crate) use door::{Admission, Knock, bearer};
pub(crate) use inbound::{Arrived, Inbound, leave_push};
use ipnet::IpNet;
pub use serve::{ConnectionInfo, serve};
use tokio_util::task::TaskTracker;

use super::{
    faults::Faults,
    finder::RoomFinder,
    guard::Guard,
    identity::Authenticator,
    listener::Limits as AddressLimits,
    outbound::{Mark, Outbound, Peer, Sent, shared::Way},
    relay::Relay,
    shard::Shards,
};
use crate::{
    event::{Asked, DrainPhase, Event, Guarded, Limit, Origin, TraceId, Varied},
    gray,
    ids::ConnectionId,
    io::ops::State,
    protocol::{Code, Limits, Refusal},
    session::ResumeTokens,
    telemetry::{Telemetry, trace::new_span},
};

/// What the client port needs to know; from config.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// Limits of the protocol.
    pub limits: Limits,
    /// Bytes that may wait for one connection.
    pub outbound_bytes: usize,
    /// Whether a join makes the room that it is into, whatever its token says.
    pub auto_create: bool,
    /// Connections that one API key may hold.
    pub connections_per_key: usize,
    /// Most items on a page of the admin API.
    pub admin_page_max: usize,
    /// Pages that may connect.
    pub origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// For a request's headers, and for the first request of a connection.
    pub header_timeout: Duration,
    /// For `join` or `resume` after the upgrade.
    pub first_frame_timeout: Duration,
    /// Silence after which the server pings.
    pub ping: Duration,
    /// Silence after which a connection counts as dead.
    pub idle_timeout: Duration,
    /// How long a closing connection may take to read what waits for it.
    pub close_timeout: Duration,
    /// Who gets which variant.
    pub variants: gray::Rules,
}

/// What all connections of the client port share.
pub struct Gateway {
    /// As they are now: read where they are used.
    pub(crate) settings: ArcSwap<GatewaySettings>,
    pub(crate) shards: Shards,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) authenticator: Authenticator,
    pub(crate) resume_tokens: ResumeTokens,
    pub(crate) state: Arc<State>,
    pub(crate) addresses: Arc<AddressLimits>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) finder: RoomFinder,
    /// Absent: clients of other routers' rooms are sent there.
    pub(crate) relay: Option<Relay>,
    pub(crate) connections: TaskTracker,
    faults: Option<Faults>,
    next_connection: AtomicU64,
    per_key: Mutex<AHashMap<Arc<str>, usize>>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("settings", &self.settings.load()).finish_non_exhaustive()
    }
}

/// What a gateway is made of.
#[derive(Debug)]
pub struct GatewayParts {
    /// The shards.
    pub shards: Shards,
    /// Where events go.
    pub telemetry: Arc<Telemetry>,
    /// Verifies tokens.
    pub authenticator: Authenticator,
    /// Verifies resume tokens.
    pub resume_tokens: ResumeTokens,
    /// The drain phase.
    pub state: Arc<State>,
    /// Counts connections by address.
    pub addresses: Arc<AddressLimits>,
    /// Who may do how much.
    pub guard: Arc<Guard>,
    /// Where rooms are.
    pub finder: RoomFinder,
    /// Carries clients to the routers that have their rooms; absent: they are sent there.
    pub relay: Option<Relay>,
    /// Follows the tasks of connections, so that a drain can wait for them.
    pub connections: TaskTracker,
    /// Faults that can be injected; absent: none can.
    pub faults: Option<Faults>,
}

impl Gateway {
    /// A gateway over these parts.
    pub fn new(settings: GatewaySettings, parts: GatewayParts) -> Arc<Self> {
        let GatewayParts {
            shards,
            telemetry,
            authenticator,
            resume_tokens,
            state,
            addresses,
            guard,
            finder,
            relay,
            connections,
            faults,
        } = parts;
        let gateway = Self {
            settings: ArcSwap::from_pointee(settings),
            shards,
            telemetry,
            authenticator,
            resume_tokens,
            state,
            addresses,
            guard,
            finder,
            relay,
            connections,
            faults,
            next_connection: AtomicU64::new(1),
            per_key: Mutex::default(),
        };
        gateway.tell_variants(&gateway.settings.load().variants);
        Arc::new(gateway)
    }

    /// Other settings, for what begins from now on.
    pub fn configure(&self, settings: GatewaySettings) {
        if self.settings.load().variants != settings.variants {
            // first, so that whoever is given one finds its name known
            self.tell_variants(&settings.variants);
        }
        self.settings.store(Arc::new(settings));
    }

    fn tell_variants(&self, rules: &gray::Rules) {
        self.observe(&Event::Variant(Varied::InForce { names: rules.names().to_vec(), rules: rules.told() }));
    }

    pub(crate) fn observe(&self, event: &Event) {
        self.telemetry.observe(event, Instant::now());
    }

    /// The same, of a connection.
    pub(crate) fn observe_from(&self, event: &Event, outbound: &Outbound) {
        self.telemetry.observe_from(event, &outbound.origin(), Instant::now());
    }

    fn is_draining(&self) -> bool {
        self.state.phase() != DrainPhase::Serving
    }

    /// What was sent has been handed to the connection's socket.
    pub(crate) fn flushed(&self, sent: &mut Sent, outbound: &Outbound) {
        let at = Instant::now();
        sent.flushed(at, |event| self.telemetry.observe_from(event, &outbound.origin(), at));
    }

    /// A frame cannot reach its client any more.
    fn gone(&self, mark: Mark, outbound: &Outbound) {
        if let Some(event) = mark.gone() {
            self.observe_from(&event, outbound);
        }
    }

    /// Nothing more is written to the connection's socket: neither what was sent nor what waits.
    pub(crate) fn abandoned(&self, sent: Sent, outbound: &Outbound) {
        sent.abandoned(|event| self.observe_from(event, outbound));
        for event in outbound.abandon(Code::ConnectionLost) {
            self.observe_from(&event, outbound);
        }
    }

    fn connection(&self, peer: Peer) -> (ConnectionId, Arc<Outbound>) {
        (self.connection_id(), Arc::new(Outbound::new(self.settings.load().outbound_bytes, peer)))
    }

    /// One whose frames leave by a link to another router.
    fn relayed(&self, way: Way, peer: Peer) -> (ConnectionId, Arc<Outbound>) {
        (self.connection_id(), Arc::new(Outbound::over(way, self.settings.load().outbound_bytes, peer)))
    }

    fn connection_id(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// A place among its key's connections, given back on drop.
    fn place(self: &Arc<Self>, key: &str) -> Result<Place, Refusal> {
        let mut per_key = self.per_key.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = self.settings.load().connections_per_key;
        if let Some((key, held)) = per_key.get_key_value(key).map(|(key, held)| (key.clone(), *held)) {
            if held >= allowed {
                let why = format!("limits.sessions_per_key: the key holds {held} connections, at most {allowed}");
                return Err(Code::TooManyConnections.because(why).retry_after_ms(1_000));
            }
            per_key.insert(key.clone(), held + 1);
            return Ok(Place { gateway: self.clone(), key });
        }
        let key: Arc<str> = key.into();
        per_key.insert(key.clone(), 1);
        Ok(Place { gateway: self.clone(), key })
    }

    /// Tells of a connection that the guard refuses.
    fn refuse_connection(&self, limit: Limit, peer_ip: IpAddr, trace: TraceId) {
        let origin = Origin { peer_ip: Some(peer_ip), trace: Some((trace, new_span())), ..Origin::default() };
        let event = Event::Guard(Guarded::Refused { asked: Asked::Connection, limit });
        self.telemetry.observe_from(&event, &origin, Instant::now());
    }

    fn shed(&self, refusal: &Refusal, peer_ip: IpAddr, trace: TraceId) {
        let origin = Origin { trace: Some((trace, new_span())), ..Origin::default() };
        let event = Event::Shed { code: refusal.code, peer_ip: Some(peer_ip) };
        self.telemetry.observe_from(&event, &origin, Instant::now());
    }
}

/// One connection of an API key.
pub(crate) struct Place {
    gateway: Arc<Gateway>,
    key: Arc<str>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.key).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut per_key = self.gateway.per_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = per_key.get_mut(&self.key) {
            *held -= 1;
            if *held == 0 {
                per_key.remove(&self.key);
            }
        }
    }
}
