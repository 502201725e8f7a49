//! Wiring, start, drain and live configuration: the only module that knows every other.

mod live;
mod observers;
mod settings;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use axum::Router;
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::live::Configured;
use self::{
    live::Parts,
    observers::Observers,
    settings::{
        gateway_settings, limit_settings, listener_settings, media_listener, ops_settings, random_seed, relay_listener,
        resume_secret, telemetry_settings,
    },
};
use crate::{
    config::{Config, Edition, InForce, Slice},
    event::{DrainPhase, Event},
    io::{
        admin::{self, AdminState},
        clock,
        directory::{Around, DirectoryHandle, DirectorySettings, Fleet, Homes, HomesDriver},
        fabric::Fabric,
        faults::Faults,
        finder::RoomFinder,
        gateway::{self, Gateway, GatewayParts},
        guard::Guard,
        identity::Authenticator,
        journal::Journal,
        keeping::{Keeper, Store},
        listener::{self, Listener},
        media::Media,
        ops::{Latch, Ops, OpsHandle, Shown, State},
        otlp::{Exporter, LogQueue},
        profiling,
        relay::{self, Relay},
        reloading::Reloading,
        rpc,
        shard::{ShardSettings, Shards, Surroundings},
        workers::Workers,
    },
    placement::NodeView,
    profiler::{Profiler, captures::Captures},
    protocol::Code,
    session::ResumeTokens,
    telemetry::Telemetry,
};

/// The runtime of the workers, as many threads as shards, and who they are.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime(config: &Config) -> Result<(Runtime, Workers)> {
    let watched = Workers::default();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers(config)).thread_name("worker").enable_all();
    let runtime = watched.attach(&mut builder).build().context("cannot start the worker threads")?;
    Ok((runtime, watched))
}

/// Worker threads, and so shards: `server.workers`, or the cores.
fn workers(config: &Config) -> usize {
    match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

/// What is known of the process that a router runs in: who its workers are, and where its CPU time goes.
#[derive(Debug)]
pub struct Watched {
    /// The worker threads.
    pub workers: Workers,
    /// Started before all threads.
    pub profiler: Profiler,
    /// What the process is there for.
    pub purpose: Purpose,
}

/// What a router is there for. The command line says so; no configuration can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// People.
    Serving,
    /// To be tried out (`--dev`): faults can be injected.
    Trying,
}

/// A router that runs.
#[derive(Debug)]
pub struct Running {
    client_addrs: Vec<SocketAddr>,
    ops: OpsHandle,
    state: Arc<State>,
    shards: Shards,
    telemetry: Arc<Telemetry>,
    faults: Option<Faults>,
    observers: Observers,
    exporter: Option<Exporter>,
    media: Media,
    directory: Option<DirectoryHandle>,
    keeper: Option<Keeper>,
    relay: Option<Relay>,
    media_addr: Option<SocketAddr>,
    connections: TaskTracker,
    /// Ends the accept loop: no new connections.
    accepting: CancellationToken,
    /// Ends everything.
    shutdown: CancellationToken,
    in_force: Arc<InForce>,
    reloading: Reloading,
}

impl Running {
    /// Takes the addresses and starts everything on the current runtime, whose workers these are. Lines in the queue go
    /// to the collector.
    ///
    /// # Errors
    /// Names what could not be had: a port, a key, a certificate.
    pub fn start(configured: Configured, watched: &Watched, lines: Option<LogQueue>) -> Result<Self> {
        let edition = configured.edition();
        let config = &edition.loaded.config;
        raise_file_limit();
        let (instance_id, telemetry, observe) = measured(&edition);
        let authenticator = Authenticator::new(&config.auth_settings(), Arc::new(clock::unix_ms), observe.clone())?;
        let limits = listener::Limits::new(limit_settings(config));
        let ports = Ports::bind(config, limits.clone(), &observe)?;
        let (state, connections) = (Arc::new(State::new(Instant::now())), TaskTracker::new());
        let captures = open_captures(config, &instance_id, &telemetry);
        let (faults, resume_secret) = (faults(config, watched, &observe), resume_secret(config));
        let media = Media::new(config.media_settings(&instance_id), observe.clone(), faults.clone());
        let (homes, driver) = config.room_wait().map(|wait| Homes::new(wait, observe.clone())).unzip();
        let relay = relay_to_others(config, (&instance_id, &resume_secret), &telemetry, homes.clone());
        let finder = find_rooms(config, &instance_id, &telemetry, homes)?;
        let shards = start_shards(config, &resume_secret, &surroundings(&telemetry, &faults, &media, &finder));
        let (rooms, guard) = (driver.zip(Some(shards.clone())), Arc::new(Guard::new(config.guard_settings())));
        let (directory, fleet) = join_fleet(config, (&instance_id, &ports), (&telemetry, &media, &guard), rooms);
        let shown = Shown {
            telemetry: telemetry.clone(),
            state: state.clone(),
            profiler: watched.profiler.clone(),
            captures: captures.clone(),
            faults: faults.clone(),
            shards: shards.clone(),
            config: configured.in_force.clone(),
            fleet: fleet.clone(),
        };
        let ops = Ops::start(ops_settings(config, observe.clone()), shown)?;
        media.start(shards.clone(), ports.registry);
        let exporter = start_exporter(config, &instance_id, &telemetry, lines)?;
        let observers = Observers::start(config, watched, (&telemetry, &shards, &guard), captures)?;
        let parts = GatewayParts {
            shards: shards.clone(),
            telemetry: telemetry.clone(),
            authenticator,
            resume_tokens: ResumeTokens::new(&resume_secret),
            state: state.clone(),
            addresses: limits,
            guard,
            finder: finder.clone(),
            relay: relay.clone(),
            connections: connections.clone(),
            faults: faults.clone(),
        };
        let gateway = Gateway::new(gateway_settings(config), parts);
        let parts = Parts { watched, media: &media, rules: fleet.rules().clone(), instance_id };
        let running = Self {
            client_addrs: ports.client.local_addrs(),
            ops,
            state,
            shards,
            telemetry,
            faults,
            observers,
            exporter,
            connections,
            accepting: CancellationToken::new(),
            shutdown: CancellationToken::new(),
            in_force: configured.in_force.clone(),
            reloading: live::follow(configured, &gateway, parts, observe)?,
            media,
            directory,
            keeper: finder.keeper,
            relay,
            media_addr: ports.media_addr,
        };
        running.spawn(config, (ports.client, ports.links), (gateway, fleet));
        Ok(running)
    }

    fn spawn(
        &self,
        config: &Config,
        (listener, links): (Listener, Option<Listener>),
        (gateway, fleet): (Arc<Gateway>, Fleet),
    ) {
        if let (Some(links), Some(relay)) = (links, self.relay.clone()) {
            tokio::spawn(relay::serve(links, relay::Host { gateway: gateway.clone(), relay }));
        }
        tokio::spawn(gateway.authenticator.clone().run_refresh(self.shutdown.clone()));
        let header_timeout = config.client.header_timeout_ms.duration();
        let admin = AdminState::over(&gateway, fleet, header_timeout);
        let routes = Router::new()
            .route_service(rpc::PATH, rpc::Signaling::new(gateway.clone()))
            .merge(admin::routes(&admin))
            .fallback(|| async { admin::error_response(&Code::PathNotFound.refuse()) });
        let (connections, shutdown) = (self.connections.clone(), self.shutdown.clone());
        let handle = move |accepted| {
            let served = gateway::serve(gateway.clone(), routes.clone(), accepted, shutdown.clone());
            connections.track_future(served)
        };
        tokio::spawn(listener.run(self.accepting.clone(), handle));
        self.state.latch(Latch::Listener);
        self.state.latch(Latch::Keys);
    }

    /// Where clients connect.
    pub fn client_addrs(&self) -> &[SocketAddr] {
        &self.client_addrs
    }

    /// Where health and metrics are.
    pub fn ops_addr(&self) -> SocketAddr {
        self.ops.local_addr()
    }

    /// Where media nodes register; absent: nowhere.
    pub fn media_addr(&self) -> Option<SocketAddr> {
        self.media_addr
    }

    /// The media nodes as the router sees them.
    pub fn media_nodes(&self) -> Vec<NodeView> {
        self.shards.nodes()
    }

    /// The faults that can be injected; absent: none can.
    pub fn faults(&self) -> Option<&Faults> {
        self.faults.as_ref()
    }

    /// Reads the configuration again within a moment, on another thread.
    pub fn read_config_again(&self) {
        self.reloading.ask();
    }

    /// Not ready, no new sessions, advice over the window, then the reconnect code for who is left; last, captures that
    /// are being recorded, the baseline and what waits for the collector.
    pub async fn drain(&self) {
        self.advance(DrainPhase::Advising);
        self.directory.iter().for_each(DirectoryHandle::drain);
        let drain = self.in_force.edition().loaded.config.drain.clone();
        let window = drain.seconds.duration();
        let over = tokio::time::Instant::now() + window;
        if let Some(relay) = &self.relay {
            relay.drain(window, drain.reconnect_url);
        }
        self.shards.drain(window).await;
        let mut every = tokio::time::interval(Duration::from_millis(50));
        while tokio::time::Instant::now() < over && self.holds_anybody() {
            every.tick().await;
        }
        self.advance(DrainPhase::Closing);
        self.accepting.cancel();
        self.shutdown.cancel();
        self.connections.close();
        if let Some(relay) = &self.relay {
            relay.finish(CLOSING_MAX).await;
        }
        // closed sessions still say goodbye to their clients
        tokio::time::timeout(CLOSING_MAX, self.connections.wait()).await.ok();
        // what the ends of sessions and rooms mean for their nodes
        self.media.finish().await;
        // and the last word on rooms that others go on with, before the directory says that this router is gone
        if let Some(keeper) = &self.keeper {
            keeper.finish(CLOSING_MAX).await;
        }
        if let Some(directory) = &self.directory {
            directory.finish().await;
        }
        self.observers.finish().await;
        self.advance(DrainPhase::Drained);
        if let Some(exporter) = &self.exporter {
            exporter.finish().await;
        }
    }

    /// Whether anybody is here whose session or connection would be closed.
    fn holds_anybody(&self) -> bool {
        self.shards.counts().sessions > 0 || self.relay.as_ref().is_some_and(|relay| relay.connections() > 0)
    }

    fn advance(&self, phase: DrainPhase) {
        self.state.set_phase(phase);
        self.telemetry.observe(&Event::DrainAdvanced { phase }, Instant::now());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.cancel();
        self.shutdown.cancel();
    }
}

/// The ports that a router takes, but for that of its operators.
struct Ports {
    client: Listener,
    /// Where media nodes register, and its address.
    registry: Option<Listener>,
    media_addr: Option<SocketAddr>,
    /// Where links of other routers come in, and what they are told.
    links: Option<Listener>,
    relay_url: Option<String>,
}

impl Ports {
    fn bind(config: &Config, limits: Arc<listener::Limits>, observe: &listener::Observe) -> Result<Self> {
        let client = Listener::bind(listener_settings(config, limits, observe.clone()))?;
        let (registry, media_addr) = media_listener(config, observe)?;
        let (links, relay_url) = relay_listener(config, observe)?.unzip();
        Ok(Self { client, registry, media_addr, links, relay_url })
    }
}

/// How long closed connections may take to go.
const CLOSING_MAX: Duration = Duration::from_secs(2);

/// Where log lines wait for the collector, when they are to go there.
pub fn log_queue(config: &Config) -> Option<LogQueue> {
    let otlp = &config.telemetry.otlp;
    (otlp.endpoint.is_some() && otlp.logs).then(|| LogQueue::new(otlp.logs_waiting))
}

/// What names this process, what is measured of it, and what tells it.
fn measured(edition: &Edition) -> (String, Arc<Telemetry>, listener::Observe) {
    let settings = telemetry_settings(edition);
    let instance_id = settings.instance_id.clone();
    let telemetry = Arc::new(Telemetry::new(settings));
    let observe = observer(&telemetry);
    (instance_id, telemetry, observe)
}

/// Takes note of what happens, at the moment that it is told.
fn observer(telemetry: &Arc<Telemetry>) -> listener::Observe {
    let telemetry = telemetry.clone();
    Arc::new(move |event| telemetry.observe(&event, Instant::now()))
}

/// None in a router that serves people.
fn faults(config: &Config, watched: &Watched, observe: &listener::Observe) -> Option<Faults> {
    let allowed = watched.purpose == Purpose::Trying;
    allowed.then(|| Faults::new(config.telemetry.stall_ms.duration(), observe.clone()))
}

/// What all shards have to do with.
fn surroundings(
    telemetry: &Arc<Telemetry>,
    faults: &Option<Faults>,
    media: &Media,
    finder: &RoomFinder,
) -> Surroundings {
    let (telemetry, faults, finder) = (telemetry.clone(), faults.clone(), finder.clone());
    Surroundings { telemetry, faults, media: Some(media.calls()), finder }
}

/// As many as workers.
fn start_shards(config: &Config, resume_secret: &[u8], around: &Surroundings) -> Shards {
    let count = workers(config);
    let router = |_| config.router_settings(Slice { seed: random_seed(), count }, resume_secret);
    let mut settings: Vec<_> = (0..count).map(router).collect();
    // all of them see the same nodes
    settings.iter_mut().take(1).for_each(|first| first.tells_of_nodes = true);
    let keeper = around.finder.keeper.clone();
    let shared = ShardSettings {
        inbox_bound: config.limits.shard_inbox,
        timeout: config.signal.timeout_ms.duration(),
        queues: config.queue_settings(),
    };
    let shards = Shards::start(settings, shared, around);
    if let Some(keeper) = keeper {
        keeper.serve(shards.clone());
    }
    shards
}

/// Carries clients to the routers that have their rooms; absent: they are sent there.
fn relay_to_others(
    config: &Config,
    (instance_id, secret): (&str, &[u8]),
    telemetry: &Arc<Telemetry>,
    homes: Option<Homes>,
) -> Option<Relay> {
    config.relay_settings(instance_id, secret).map(|settings| Relay::new(settings, telemetry.clone(), homes))
}

/// Where the fleet agrees, and what is seen of it; absent: this router runs alone.
fn join_fleet(
    config: &Config,
    (instance_id, ports): (&str, &Ports),
    (telemetry, media, guard): (&Arc<Telemetry>, &Media, &Arc<Guard>),
    rooms: Option<(HomesDriver, Shards)>,
) -> (Option<DirectoryHandle>, Fleet) {
    let fleet = Fleet::default();
    let start = |mut settings: DirectorySettings| {
        settings.relay_url = ports.relay_url.clone().unwrap_or_default();
        let (observe, telemetry, media) = (observer(telemetry), telemetry.clone(), media.clone());
        let around = Around {
            observe,
            telemetry,
            media,
            fleet: fleet.clone(),
            guard: guard.clone(),
            rooms,
            seed: random_seed(),
        };
        DirectoryHandle::start(settings, around)
    };
    (config.directory_settings(instance_id).map(start), fleet)
}

/// Where rooms are, and where they are kept outside of this router, which is asked once a second whether it answers.
fn find_rooms(
    config: &Config,
    instance_id: &str,
    telemetry: &Arc<Telemetry>,
    homes: Option<Homes>,
) -> Result<RoomFinder> {
    let Some(settings) = config.fabric_settings(instance_id) else { return Ok(RoomFinder { homes, keeper: None }) };
    let journal = config.journal_settings(&settings);
    let fabric = Fabric::new(settings, observer(telemetry), random_seed());
    fabric.watch(telemetry);
    let store: Box<dyn Store> = match journal {
        None => Box::new(fabric),
        Some(settings) => {
            let journal = Journal::open(settings, Box::new(fabric), observer(telemetry));
            let journal = journal.context("cannot open the journal of what Redis does not take (server.data_dir)")?;
            journal.run(telemetry);
            Box::new(journal)
        }
    };
    let keeper = Keeper::new(store, config.handover_wait(), homes.clone(), observer(telemetry));
    Ok(RoomFinder { homes, keeper: Some(keeper) })
}

/// What goes to a collector; absent: nothing does.
fn start_exporter(
    config: &Config,
    instance_id: &str,
    telemetry: &Arc<Telemetry>,
    lines: Option<LogQueue>,
) -> Result<Option<Exporter>> {
    let settings = config.otlp_settings(instance_id);
    Ok(settings.map(|settings| Exporter::start(&settings, telemetry.clone(), lines)).transpose()?)
}

/// As far as the system lets us.
fn raise_file_limit() {
    if let Ok(limit) = listener::raise_file_limit() {
        tracing::debug!(target: "signalbox", soft = limit.soft, "open files");
    }
}

/// Where captures of bad minutes are kept, and what is there already.
fn open_captures(config: &Config, instance_id: &str, telemetry: &Telemetry) -> Arc<Captures> {
    let (captures, told) = Captures::open(config.capture_settings(instance_id));
    told.iter().for_each(|told| profiling::tell(telemetry, told));
    Arc::new(captures)
}
