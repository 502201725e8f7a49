//! The reference media node: a small SFU that speaks `signalbox.v1.Media` and forwards each participant's announced tracks
//! to the others of its room.
//!
//! `node` is its state and knows no socket or clock; `pump` owns the UDP port and drives it; `serve` is the control port;
//! `register` makes it known to routers. It knows nothing of the router's own modules: what it is told comes in over gRPC.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Server;

pub use self::{
    limits::{Limits, Refusal},
    tls::Tls,
};
use self::{
    meter::Meter,
    node::{Node, Totals},
    pump::Pump,
    register::Registration,
    serve::{PROTOCOL, Serve},
};
use crate::{
    ids::{NodeId, Region, Variant},
    protocol::v1::{NodeHello, RegisterRequest, media_server::MediaServer},
};

pub mod crypto;
mod limits;
mod meter;
pub mod node;
mod pump;
mod register;
mod serve;
pub mod tls;

/// Calls that may wait for their turn.
const CALLS_WAITING_MAX: usize = 1_024;
/// Pushes that a router's stream may be behind.
const PUSHES_BEHIND_MAX: usize = 1_024;
/// A router that says nothing at all is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Once told to end, tasks that are left hold nothing that matters.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// How often a node that drains looks whether a room is left.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// What a node is, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its id, unique among all nodes.
    pub id: NodeId,
    /// One of the routers' regions.
    pub region: Region,
    /// Whom it serves.
    pub variant: Variant,
    /// 1 to 1,000.
    pub base_weight: u32,
    /// Told to clients; may be empty.
    pub public_url: String,
    /// Where routers call it; port 0 takes a free one.
    pub control: SocketAddr,
    /// As which URL it is registered. Absent: `control` as it was bound.
    pub control_url: Option<String>,
    /// Where media goes; port 0 takes a free one.
    pub udp: SocketAddr,
    /// The address that clients are told instead of `udp`'s.
    pub announce: Option<IpAddr>,
    /// What it takes at most.
    pub limits: Limits,
    /// Of the control port. Absent: in clear.
    pub tls: Option<Tls>,
    /// `MediaRegistry` of routers to register with.
    pub routers: Vec<String>,
    /// PEM: who signs the certificates of `https://` routers.
    pub router_ca: Option<PathBuf>,
}

impl Settings {
    /// On free ports of loopback, known to nobody.
    pub fn local(id: &str, region: &str) -> Self {
        Self {
            id: NodeId::from(id),
            region: Region::from(region),
            variant: Variant::from("default"),
            base_weight: 10,
            public_url: String::new(),
            control: SocketAddr::from(([127, 0, 0, 1], 0)),
            control_url: None,
            udp: SocketAddr::from(([127, 0, 0, 1], 0)),
            announce: None,
            limits: Limits::default(),
            tls: None,
            routers: Vec::new(),
            router_ca: None,
        }
    }

    fn announced(&self, bound: SocketAddr) -> Result<SocketAddr> {
        let announced = SocketAddr::new(self.announce.unwrap_or(bound.ip()), bound.port());
        if announced.ip().is_unspecified() {
            bail!("{}: clients cannot send there; say which address they are to be told (announce)", announced.ip());
        }
        str0m::Candidate::host(announced, "udp").with_context(|| format!("{announced} cannot be announced"))?;
        Ok(announced)
    }

    fn control_url(&self, bound: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.control_url.clone().unwrap_or_else(|| format!("{scheme}://{bound}"))
    }
}

/// A running node. Dropped, it ends at once.
#[derive(Debug)]
pub struct MediaNode {
    control: SocketAddr,
    control_url: String,
    udp: SocketAddr,
    totals: Arc<Mutex<Totals>>,
    draining: watch::Sender<bool>,
    drain: CancellationToken,
    end: CancellationToken,
    registrations: Vec<JoinHandle<()>>,
    tasks: TaskTracker,
}

impl Drop for MediaNode {
    fn drop(&mut self) {
        self.drain.cancel();
        self.end.cancel();
    }
}

impl MediaNode {
    /// Binds its ports and starts its tasks on this runtime.
    ///
    /// # Errors
    /// Names the setting that cannot be used, or the address that is taken.
    pub async fn start(settings: Settings) -> Result<Self> {
        let taken = |address: SocketAddr| move || format!("cannot listen at {address}");
        let listener = TcpListener::bind(settings.control).await.with_context(taken(settings.control))?;
        let (socket, out) = pump::bind(settings.udp).with_context(taken(settings.udp))?;
        let (control, udp) = (listener.local_addr()?, socket.local_addr()?);
        let announced = settings.announced(udp)?;
        let node = Node::new(settings.limits, announced).context("cannot make a certificate")?;
        let control_url = settings.control_url(control);
        let incarnation = format!("{:016x}", fastrand::u64(..));
        let registrations = registrations(&settings, &control_url, &incarnation)?;

        let (asks, asked) = mpsc::channel(CALLS_WAITING_MAX);
        let (pushes, _) = broadcast::channel(PUSHES_BEHIND_MAX);
        let (draining, is_draining) = watch::channel(false);
        let (totals, tasks, end) = (Arc::<Mutex<Totals>>::default(), TaskTracker::new(), CancellationToken::new());
        let serve = Serve {
            hello: hello(&settings, incarnation),
            asks,
            pushes: pushes.clone(),
            totals: totals.clone(),
            draining: is_draining,
            watchers: tasks.clone(),
            end: end.clone(),
            meter: Arc::new(Mutex::new(Meter::new(&totals))),
        };
        let mut server = Server::builder().http2_keepalive_interval(Some(KEEPALIVE)).tcp_nodelay(true);
        if let Some(tls) = &settings.tls {
            server = server.tls_config(tls::server(tls)?).context("TLS of the control port cannot be set up")?;
        }
        let served = server
            .add_service(MediaServer::new(serve))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), end.clone().cancelled_owned());
        tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the control port ended");
            }
        });
        let pump = Pump { node, socket, out, asks: asked, pushes, totals: totals.clone() };
        let pump = tokio::spawn(pump.run(end.clone()));
        let over = end.clone();
        tasks.spawn(async move {
            if pump.await.is_err() {
                tracing::error!("the task that carries media panicked: the node ends");
            }
            // without it routers are to see at once that there is no node any more
            over.cancel();
        });
        let drain = CancellationToken::new();
        let registrations = registrations.into_iter().map(|r| tokio::spawn(r.run(drain.clone()))).collect();
        Ok(Self { control, control_url, udp: announced, totals, draining, drain, end, registrations, tasks })
    }

    /// Where routers call it.
    pub fn control(&self) -> SocketAddr {
        self.control
    }

    /// The URL that it registers.
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// Where clients send media.
    pub fn udp(&self) -> SocketAddr {
        self.udp
    }

    /// Takes leave of the routers and says in its reports that it wants no new rooms; waits until none is left.
    pub async fn drain(&mut self) {
        self.draining.send_replace(true);
        self.drain.cancel();
        join_all(self.registrations.drain(..)).await;
        while self.totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner).rooms > 0 {
            sleep(DRAIN_LOOK).await;
        }
    }

    /// Waits until it has ended by itself, which it does when it broke.
    pub async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Ends: clients and routers are told.
    pub async fn end(mut self) {
        self.drain.cancel();
        timeout(END_PATIENCE, join_all(self.registrations.drain(..))).await.ok();
        self.end.cancel();
        self.tasks.close();
        timeout(END_PATIENCE, self.tasks.wait()).await.ok();
    }
}

fn hello(settings: &Settings, incarnation: String) -> NodeHello {
    NodeHello { id: settings.id.as_str().to_owned(), version: version(), protocol: PROTOCOL, incarnation }
}

fn version() -> String {
    format!("signalbox {}", env!("CARGO_PKG_VERSION"))
}

fn registrations(settings: &Settings, control_url: &str, incarnation: &str) -> Result<Vec<Registration>> {
    let request = RegisterRequest {
        id: settings.id.as_str().to_owned(),
        region: settings.region.as_str().to_owned(),
        variant: settings.variant.as_str().to_owned(),
        control_url: control_url.to_owned(),
        public_url: settings.public_url.clone(),
        base_weight: settings.base_weight,
        version: version(),
        protocol: PROTOCOL,
        incarnation: incarnation.to_owned(),
    };
    let registration = |url: &String| {
        let router = tls::endpoint(url, settings.router_ca.as_deref(), settings.tls.as_ref())?;
        Ok(Registration { router: router.connect_timeout(KEEPALIVE), request: request.clone() })
    };
    settings.routers.iter().map(registration).collect()
}
