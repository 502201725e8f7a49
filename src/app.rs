//! Wiring, start and drain: the only file that knows every module.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use axum::Router;
use tokio::runtime::{Handle, Runtime};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, Slice, Tls},
    event::{DrainPhase, Event},
    io::{
        admin::{self, AdminState},
        clock,
        gateway::{self, Gateway, GatewayParts, GatewaySettings},
        identity::Authenticator,
        listener::{self, LimitSettings, Listener, ListenerSettings, ProxyProtocol, TlsSettings},
        metronome::Metronome,
        ops::{Latch, Ops, OpsHandle, OpsSettings, State},
        otlp::{Exporter, LogQueue},
        rpc,
        shard::Shards,
        workers::{Watchdog, Workers},
    },
    protocol::Code,
    session::ResumeTokens,
    telemetry::{self, Telemetry},
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

/// A router that runs.
#[derive(Debug)]
pub struct Running {
    client_addrs: Vec<SocketAddr>,
    ops: OpsHandle,
    state: Arc<State>,
    shards: Shards,
    telemetry: Arc<Telemetry>,
    _metronome: Metronome,
    exporter: Option<Exporter>,
    _watchdog: Option<Watchdog>,
    connections: TaskTracker,
    /// Ends the accept loop: no new connections.
    accepting: CancellationToken,
    /// Ends everything.
    shutdown: CancellationToken,
    drain_window: Duration,
}

impl Running {
    /// Takes the addresses and starts everything on the current runtime, whose workers these are. Lines in the queue go
    /// to the collector.
    ///
    /// # Errors
    /// Names what could not be had: a port, a key, a certificate.
    pub fn start(config: &Config, watched: &Workers, lines: Option<LogQueue>) -> Result<Self> {
        let files = listener::raise_file_limit();
        if let Ok(limit) = files {
            tracing::debug!(target: "signalbox", soft = limit.soft, "open files");
        }
        let workers = workers(config);
        let settings = telemetry_settings(config);
        let collector = config.otlp_settings(&settings.instance_id);
        let telemetry = Arc::new(Telemetry::new(settings));
        let observed = telemetry.clone();
        let observe: listener::Observe = Arc::new(move |event| observed.observe(&event, Instant::now()));
        let authenticator = Authenticator::new(&config.auth_settings(), Arc::new(clock::unix_ms), observe.clone())?;
        let limits = listener::Limits::new(LimitSettings {
            connections_max: config.limits.connections,
            connections_per_address_max: config.limits.connections_per_address,
            handshakes_max: config.limits.handshakes,
        });
        let listener = Listener::bind(listener_settings(config, limits.clone(), observe.clone()))?;
        let client_addrs = listener.local_addrs();
        let state = Arc::new(State::new(Instant::now()));
        let ops = Ops::start(ops_settings(config, observe.clone()), telemetry.clone(), state.clone())?;
        let resume_secret = resume_secret(config);
        let settings = (0..workers)
            .map(|_| config.router_settings(Slice { seed: random_seed(), count: workers }, &resume_secret))
            .collect();
        let patience = config.signal.timeout_ms.duration();
        let shards = Shards::start(settings, config.limits.shard_inbox, patience, &telemetry);
        let exporter = collector.map(|c| Exporter::start(&c, telemetry.clone(), lines)).transpose()?;
        let measured = Handle::current().metrics();
        let metronome =
            Metronome::start(telemetry.clone(), shards.clone(), measured).context("cannot start the metronome")?;
        let watchdog = watchdog(config, watched, observe.clone())?;
        let connections = TaskTracker::new();
        let gateway = Gateway::new(
            gateway_settings(config),
            GatewayParts {
                shards: shards.clone(),
                telemetry: telemetry.clone(),
                authenticator: authenticator.clone(),
                resume_tokens: ResumeTokens::new(&resume_secret),
                state: state.clone(),
                addresses: limits,
                connections: connections.clone(),
            },
        );
        let running = Self {
            client_addrs,
            ops,
            state,
            shards,
            telemetry,
            _metronome: metronome,
            exporter,
            _watchdog: watchdog,
            connections,
            accepting: CancellationToken::new(),
            shutdown: CancellationToken::new(),
            drain_window: config.drain.seconds.duration(),
        };
        let admin =
            AdminState::over(&gateway, config.limits.admin_page_max, config.client.header_timeout_ms.duration());
        running.spawn(listener, gateway, &admin);
        running.state.latch(Latch::Listener);
        running.state.latch(Latch::Keys);
        tokio::spawn(authenticator.run_refresh(running.shutdown.clone()));
        Ok(running)
    }

    fn spawn(&self, listener: Listener, gateway: Arc<Gateway>, admin: &AdminState) {
        let routes = Router::new()
            .route_service(rpc::PATH, rpc::Signaling::new(gateway.clone()))
            .merge(admin::routes(admin))
            .fallback(|| async { admin::error_response(&Code::PathNotFound.refuse()) });
        let (connections, shutdown) = (self.connections.clone(), self.shutdown.clone());
        let handle = move |accepted| {
            let served = gateway::serve(gateway.clone(), routes.clone(), accepted, shutdown.clone());
            connections.track_future(served)
        };
        tokio::spawn(listener.run(self.accepting.clone(), handle));
    }

    /// Where clients connect.
    pub fn client_addrs(&self) -> &[SocketAddr] {
        &self.client_addrs
    }

    /// Where health and metrics are.
    pub fn ops_addr(&self) -> SocketAddr {
        self.ops.local_addr()
    }

    /// Not ready, no new sessions, advice over the window, then the reconnect code for who is left; last, what waits
    /// for the collector.
    pub async fn drain(&self) {
        self.advance(DrainPhase::Advising);
        self.shards.drain(self.drain_window).await;
        let over = tokio::time::Instant::now() + self.drain_window;
        let mut every = tokio::time::interval(Duration::from_millis(50));
        while tokio::time::Instant::now() < over && self.shards.counts().sessions > 0 {
            every.tick().await;
        }
        self.advance(DrainPhase::Closing);
        self.accepting.cancel();
        self.shutdown.cancel();
        self.connections.close();
        // closed sessions still say goodbye to their clients
        tokio::time::timeout(CLOSING_MAX, self.connections.wait()).await.ok();
        self.advance(DrainPhase::Drained);
        if let Some(exporter) = &self.exporter {
            exporter.finish().await;
        }
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

/// How long closed connections may take to go.
const CLOSING_MAX: Duration = Duration::from_secs(2);

/// How often certificate files are looked at.
const TLS_POLL: Duration = Duration::from_secs(5);

/// Where log lines wait for the collector, when they are to go there.
pub fn log_queue(config: &Config) -> Option<LogQueue> {
    let otlp = &config.telemetry.otlp;
    (otlp.endpoint.is_some() && otlp.logs).then(|| LogQueue::new(otlp.logs_waiting))
}

/// Unless it is switched off.
fn watchdog(config: &Config, watched: &Workers, observe: listener::Observe) -> Result<Option<Watchdog>> {
    let bound = config.telemetry.stall_ms.duration();
    if bound.is_zero() {
        return Ok(None);
    }
    let started = Watchdog::start(watched.clone(), Handle::current().metrics(), bound, observe);
    started.map(Some).context("cannot start the watchdog")
}

fn telemetry_settings(config: &Config) -> telemetry::Settings {
    let otlp = &config.telemetry.otlp;
    telemetry::Settings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance_id: config
            .server
            .id
            .clone()
            .unwrap_or_else(|| format!("{:032x}", u128::from(random_seed()) << 64 | u128::from(random_seed()))),
        shards: workers(config),
        inbox_bound: config.limits.shard_inbox,
        region: config.server.region.clone(),
        regions: config.server.regions.clone(),
        measures: config.telemetry.measure,
        traces_waiting_max: if otlp.endpoint.is_some() { otlp.traces_waiting } else { 0 },
        head_rate: f64::from(otlp.head_per_million) / 1e6,
        started: Instant::now(),
        started_unix: clock::since_epoch(),
    }
}

fn tls_settings(tls: &Tls) -> Option<TlsSettings> {
    tls.files().map(|(certificates, key)| TlsSettings { certificates: certificates.clone(), key: key.clone() })
}

fn listener_settings(config: &Config, limits: Arc<listener::Limits>, observe: listener::Observe) -> ListenerSettings {
    let client = &config.client;
    ListenerSettings {
        addresses: client.listen.clone(),
        tls: tls_settings(&client.tls),
        tls_poll: TLS_POLL,
        proxy_protocol: if client.proxy_protocol { ProxyProtocol::V2 } else { ProxyProtocol::Off },
        trusted_proxies: client.trusted_proxies.clone(),
        handshake_timeout: client.tls_handshake_timeout_ms.duration(),
        limits,
        observe,
    }
}

fn ops_settings(config: &Config, observe: listener::Observe) -> OpsSettings {
    let limits = LimitSettings { connections_max: 256, connections_per_address_max: 256, handshakes_max: 64 };
    let listener = ListenerSettings {
        addresses: vec![config.ops.listen],
        tls: tls_settings(&config.ops.tls),
        tls_poll: TLS_POLL,
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        handshake_timeout: config.client.tls_handshake_timeout_ms.duration(),
        limits: listener::Limits::new(limits),
        observe,
    };
    let header_timeout = config.client.header_timeout_ms.duration();
    OpsSettings { listener, token_file: config.ops.token_file.clone(), header_timeout }
}

/// Configured, or made for this process: resume tokens then do not survive a restart.
fn resume_secret(config: &Config) -> Vec<u8> {
    match &config.resume.secret {
        Some(secret) => secret.expose().as_bytes().to_vec(),
        None => random_bytes(32),
    }
}

/// From the system's own source.
fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let filled = rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes);
    assert!(filled.is_ok(), "the system gives no randomness; nothing here could be kept secret");
    bytes
}

fn random_seed() -> u64 {
    random_bytes(8).iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

fn gateway_settings(config: &Config) -> GatewaySettings {
    let client = &config.client;
    GatewaySettings {
        limits: config.protocol_limits(),
        outbound_bytes: config.limits.outbound_bytes,
        connections_per_key: config.limits.sessions_per_key,
        origins: client.origins.clone(),
        trusted_proxies: client.trusted_proxies.clone(),
        header_timeout: client.header_timeout_ms.duration(),
        first_frame_timeout: client.first_frame_timeout_ms.duration(),
        ping: client.ping_seconds.duration(),
        idle_timeout: client.idle_timeout_seconds.duration(),
        close_timeout: client.close_timeout_ms.duration(),
    }
}
