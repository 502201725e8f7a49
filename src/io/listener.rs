//! The accepting side of a port: sockets in, connections out that hold their places, know their client's address and
//! have TLS behind them.
//!
//! Knows nothing of HTTP, rooms or configuration files; what it refuses it tells as [`Event::Shed`]. Its connections
//! go to the gateway or to the ops port.

mod accept;
mod address;
mod bind;
mod clients;
mod files;
mod limits;
mod origin;
mod proxy;
mod refusal;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub(crate) use self::limits::origin_of;
use self::{
    accept::{Door, accept_loop},
    refusal::Refusals,
    tls::Certificates,
};
pub use self::{
    address::{client_ip, is_trusted},
    bind::BindError,
    files::{FileLimit, raise_file_limit},
    limits::{AddressPermit, HandshakePermit, LimitSettings, Limits, Permit},
    origin::{is_origin_entry, origin_allowed},
    stream::ByteStream,
    tls::{TlsError, TlsSettings},
};
use crate::event::Event;

/// Where a listener tells what happened.
pub type Observe = Arc<dyn Fn(Event) + Send + Sync>;

/// Whether balancers in front tell the client's address in a header of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// PROXY protocol version 2: demanded from trusted proxies, refused from all others.
    V2,
}

/// All that a listener needs to know.
#[derive(Clone)]
pub struct ListenerSettings {
    /// `client`, `ops` or `media`.
    pub name: &'static str,
    /// Where to listen; at least one.
    pub addresses: Vec<SocketAddr>,
    /// Certificate and key; absent: bare TCP.
    pub tls: Option<TlsSettings>,
    /// How often the certificate files are looked at.
    pub tls_poll: Duration,
    /// Whether the PROXY protocol is spoken.
    pub proxy_protocol: ProxyProtocol,
    /// The networks of the proxies in front.
    pub trusted_proxies: Vec<IpNet>,
    /// For the PROXY header and the TLS handshake together.
    pub handshake_timeout: Duration,
    /// The places; shared with the gateway, which counts the addresses behind proxies.
    pub limits: Arc<Limits>,
    /// Where to tell what happened.
    pub observe: Observe,
}

impl fmt::Debug for ListenerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerSettings")
            .field("addresses", &self.addresses)
            .field("tls", &self.tls)
            .field("proxy_protocol", &self.proxy_protocol)
            .field("trusted_proxies", &self.trusted_proxies)
            .field("limits", &self.limits.settings())
            .finish_non_exhaustive()
    }
}

/// A connection that may speak now.
#[derive(Debug)]
pub struct Accepted {
    /// Its bytes.
    pub stream: ByteStream,
    /// The other end: the socket's, or as a trusted proxy's PROXY header told it. IPv4 inside IPv6 is given as IPv4.
    pub peer: SocketAddr,
    /// Its places, to be held for as long as the connection lives.
    pub permit: Permit,
}

/// Bound addresses, not yet accepting.
#[derive(Debug)]
pub struct Listener {
    settings: ListenerSettings,
    sockets: Vec<std::net::TcpListener>,
    tls: Option<Tls>,
}

struct Tls {
    certificates: Arc<Certificates>,
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

impl Tls {
    fn new(settings: TlsSettings) -> Result<Self, BindError> {
        let certificates = Certificates::load(settings)?;
        let config = certificates.server_config().map_err(BindError::TlsSetUp)?;
        Ok(Self { certificates: Arc::new(certificates), acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

impl Listener {
    /// Reads the certificates and takes the addresses. Needs no runtime.
    ///
    /// # Errors
    /// Names the address or the file, the cause, and what to do.
    pub fn bind(settings: ListenerSettings) -> Result<Self, BindError> {
        let tls = settings.tls.clone().map(Tls::new).transpose()?;
        let sockets = bind::bind_all(&settings.addresses)?;
        Ok(Self { settings, sockets, tls })
    }

    /// The addresses with the ports that were really given, in the order of the settings.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Accepts connections until the shutdown and runs `handle` for each in a task of its own. Connections that were
    /// handed over outlive it; unfinished handshakes do not.
    ///
    /// # Errors
    /// When the runtime cannot take the sockets. Nothing that happens later ends it.
    pub async fn run<F, Fut>(self, shutdown: CancellationToken, handle: F) -> io::Result<()>
    where
        F: Fn(Accepted) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { settings, sockets, tls } = self;
        let sockets = sockets.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<Vec<_>>>()?;
        let mut tasks = JoinSet::new();
        let tls = tls.map(|Tls { certificates, acceptor }| {
            let shown = Shown { listener: settings.name, certificates, observe: settings.observe.clone() };
            tasks.spawn(follow(shown, settings.tls_poll, shutdown.clone()));
            acceptor
        });
        let door = Arc::new(Door {
            tls,
            proxy_protocol: settings.proxy_protocol,
            trusted_proxies: settings.trusted_proxies,
            handshake_timeout: settings.handshake_timeout,
            limits: settings.limits,
            observe: settings.observe,
            refusals: Refusals::default(),
            shutdown,
        });
        let handle = Arc::new(handle);
        for socket in sockets {
            tasks.spawn(accept_loop(socket, door.clone(), handle.clone()));
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// The certificates of one listener, and whom to tell of them.
struct Shown {
    listener: &'static str,
    certificates: Arc<Certificates>,
    observe: Observe,
}

impl Shown {
    /// Until when the own certificate is valid; nothing when it does not tell.
    fn tell(&self) {
        if let Some(expires) = self.certificates.expire() {
            (self.observe)(Event::CertificateShown { listener: self.listener, expires });
        }
    }
}

/// Takes the certificates up again whenever their files change.
async fn follow(shown: Shown, every: Duration, shutdown: CancellationToken) {
    shown.tell();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let certificates = shown.certificates.clone();
        // Files may lie on a slow volume: never on a worker.
        match tokio::task::spawn_blocking(move || certificates.refresh()).await {
            Ok(Some(Ok(()))) => {
                tracing::info!("new certificates are in force");
                (shown.observe)(Event::CertificatesReloaded { ok: true });
                shown.tell();
            }
            Ok(Some(Err(error))) => {
                tracing::error!(%error, "the new certificates cannot be used, the old ones stay in force");
                (shown.observe)(Event::CertificatesReloaded { ok: false });
            }
            Ok(None) | Err(_) => {}
        }
    }
}
