//! The ops port: health, metrics, status. On a thread and a runtime of its own, so that it answers while the workers are pegged.
//!
//! Knows nothing of rooms and sessions beyond their number. What it shows is told to it through [`State`] and
//! [`Telemetry`]; nothing here waits for a worker, but what is asked of a room or told of a node, for seconds at most.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
    service::TowerToHyperService,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

mod captures;
mod config;
mod fault;
mod fleet;
mod guard;
mod nodes;
mod pages;
mod pprof;
mod rendering;
mod routes;
mod scrape;
mod state;
mod variants;

pub use config::{Configuration, Proposed, ProposedMistake, ProposedVerdict, ShownConfig, ShownKey};
pub use state::{Latch, State};
pub use variants::{ShownRule, ShownVariants};

use self::{guard::Guard, rendering::RENDERING_MAX, routes::Shared};
use super::{
    directory::Fleet,
    faults::Faults,
    listener::{Accepted, BindError, ByteStream, Listener, ListenerSettings},
    shard::Shards,
};
use crate::{
    profiler::{
        Profiler,
        captures::Captures,
        threads::{self, Sampled},
    },
    telemetry::Telemetry,
};

/// A connection is asked to end at that age: whoever reads or writes without end does not keep its place.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
/// How much less important than the workers what renders is: a third of a worker's share of a core that both want (the
/// kernel's weights are 335 and 1024), so that a scrape still takes milliseconds on a machine that is full.
const RENDERING_NICE: i32 = 5;
/// What is under way at the end may take that long.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// What the ops port shows.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What is measured.
    pub telemetry: Arc<Telemetry>,
    /// Whether the router is ready.
    pub state: Arc<State>,
    /// Where the CPU time goes.
    pub profiler: Profiler,
    /// What is kept of bad minutes.
    pub captures: Arc<Captures>,
    /// What can be injected on purpose; absent: nothing.
    pub faults: Option<Faults>,
    /// The media nodes, and why rooms are on them.
    pub shards: Shards,
    /// What the router runs with.
    pub config: Arc<dyn Configuration>,
    /// The other routers, as far as there are any.
    pub fleet: Fleet,
}

/// What the ops port needs to know.
#[derive(Clone, Debug)]
pub struct OpsSettings {
    /// Its addresses, TLS and limits.
    pub listener: ListenerSettings,
    /// Holds the bearer token that `/debug` and `/api` ask for when an address is not loopback.
    pub token_file: Option<PathBuf>,
    /// For a request's headers to arrive; also how long a connection may idle.
    pub header_timeout: Duration,
}

/// Why the ops port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// The address or its certificates.
    #[error("the ops port: {0}")]
    Bind(#[from] BindError),
    /// The token's file is not there, or not ours to read.
    #[error("ops.token_file: cannot read {}: {cause}", path.display())]
    TokenUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The token's file holds no token.
    #[error("ops.token_file: {} {problem}", path.display())]
    TokenUnusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what it should be.
        problem: &'static str,
    },
    /// The system gives no thread or no runtime.
    #[error("the ops port: cannot start its thread: {0}")]
    Thread(io::Error),
}

/// The ops port, before it is opened.
#[derive(Debug)]
pub struct Ops;

impl Ops {
    /// Takes the addresses and begins to answer. Needs no runtime.
    ///
    /// # Errors
    /// Names the address or the file, and what is wrong with it. Nothing is left running then.
    pub fn start(settings: OpsSettings, shown: Shown) -> Result<OpsHandle, OpsError> {
        let OpsSettings { listener, token_file, header_timeout } = settings;
        let guard = Guard::new(&listener.addresses, token_file.as_deref())?;
        let listener = Listener::bind(listener)?;
        let addresses = listener.local_addrs();
        let runtime = tokio::runtime::Builder::new_current_thread()
            // beside what is rendered, one for profiles
            .max_blocking_threads(RENDERING_MAX + 1)
            .thread_name("rendering")
            .on_thread_start(begin_rendering)
            .on_thread_stop(threads::leave)
            .on_thread_park(threads::renew)
            .enable_all()
            .build()
            .map_err(OpsError::Thread)?;
        let router = routes::router(Shared::new(shown), guard);
        let shutdown = CancellationToken::new();
        let (alive, ended) = mpsc::channel(1);
        let port = Port { router, header_timeout, shutdown: shutdown.clone(), _alive: alive };
        let thread = thread::Builder::new()
            .name("ops".to_owned())
            .spawn(move || {
                let _sampled = Sampled::enter("ops");
                runtime.block_on(port.run(listener, ended));
                runtime.shutdown_timeout(END_PATIENCE);
            })
            .map_err(OpsError::Thread)?;
        Ok(OpsHandle { addresses, shutdown, thread: Some(thread) })
    }
}

/// A thread that renders can wait where the router's workers cannot; the ops thread itself, whose answers are short, keeps
/// its priority.
fn begin_rendering() {
    threads::enter("rendering");
    // of this thread alone (nice(2), NOTES)
    rustix::process::nice(RENDERING_NICE).ok();
}

/// An ops port that answers; dropped, it ends.
#[derive(Debug)]
pub struct OpsHandle {
    addresses: Vec<SocketAddr>,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl OpsHandle {
    /// The first address, with the port that was really given.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses, in the order of the settings.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends it: no new connections, a moment for what is under way. Blocks for about a second at most.
    pub fn stop(mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ops thread panicked");
        }
    }
}

impl Drop for OpsHandle {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// What all connections have in common.
#[derive(Clone)]
struct Port {
    router: axum::Router,
    header_timeout: Duration,
    shutdown: CancellationToken,
    /// Nothing is sent: once every copy is dropped, every connection has ended.
    _alive: mpsc::Sender<Infallible>,
}

impl Port {
    async fn run(self, listener: Listener, mut ended: mpsc::Receiver<Infallible>) {
        let shutdown = self.shutdown.clone();
        if let Err(error) = listener.run(shutdown, move |accepted| self.clone().serve(accepted)).await {
            tracing::error!(%error, "the ops port cannot be served");
        }
        // who does not end in time is cut off with the runtime
        timeout(END_PATIENCE, ended.recv()).await.ok();
    }

    async fn serve(self, accepted: Accepted) {
        let Accepted { stream, peer: _, permit } = accepted;
        let service = TowerToHyperService::new(self.router.clone());
        let ending = async {
            timeout(CONNECTION_AGE_MAX, self.shutdown.cancelled()).await.ok();
        };
        if speaks_http2(&stream) {
            let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            http.timer(TokioTimer::new())
                .keep_alive_interval(self.header_timeout)
                .keep_alive_timeout(self.header_timeout);
            see_out(http.serve_connection(TokioIo::new(stream), service), ending).await;
        } else {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(self.header_timeout);
            see_out(http.serve_connection(TokioIo::new(stream), service), ending).await;
        }
        drop(permit);
    }
}

/// Serves a connection to its end; `ending` asks it to end, with a moment for what is under way. How a connection of
/// an ops client ends is nobody's concern.
async fn see_out(connection: impl GracefulConnection, ending: impl Future<Output = ()>) {
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = ending => {
            connection.as_mut().graceful_shutdown();
            timeout(END_PATIENCE, connection).await.ok();
        }
    }
}

/// Whether the TLS handshake agreed on HTTP/2; without TLS this port speaks HTTP/1.1.
fn speaks_http2(stream: &ByteStream) -> bool {
    match stream {
        ByteStream::Tcp(_) => false,
        ByteStream::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
    }
}

#[cfg(test)]
pub(super) mod tests;
