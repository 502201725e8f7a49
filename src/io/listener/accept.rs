//! From an accepted socket to a connection that may speak HTTP: its places, its true address, its TLS.
//!
//! What may take its time runs in a task of its own that ends before the connection's begins, so that neither a slow
//! handshake holds others up nor a finished one is paid for in memory by the connection.

use std::{future::poll_fn, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{
    Accepted, ByteStream, HandshakePermit, Limits, Observe, Permit, ProxyProtocol, is_trusted, proxy, refusal::Refusals,
};
use crate::{event::Event, io::workers, protocol::Code};

/// After an accept that failed for want of files or memory; doubles up to the second.
const BACK_OFF_MIN: Duration = Duration::from_millis(5);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// What all connections of a listener have in common.
pub(super) struct Door {
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) handshake_timeout: Duration,
    pub(super) limits: Arc<Limits>,
    pub(super) observe: Observe,
    pub(super) refusals: Refusals,
    pub(super) shutdown: CancellationToken,
}

/// A socket on its way in.
struct Entering {
    stream: TcpStream,
    peer: SocketAddr,
    permit: Permit,
}

/// Accepts until the shutdown; no error ends it.
pub(super) async fn accept_loop<F, Fut>(listener: TcpListener, door: Arc<Door>, handle: Arc<F>)
where
    F: Fn(Accepted) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut back_off = BACK_OFF_MIN;
    loop {
        let accepted = tokio::select! {
            biased;
            () = door.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                back_off = BACK_OFF_MIN;
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                door.clone().begin(stream, peer, &handle);
            }
            Err(error) if is_of_one_connection(&error) => door.shed(Code::ConnectionLost, None),
            Err(error) => {
                (door.observe)(Event::AcceptFailed { error: error.to_string() });
                tokio::select! {
                    () = door.shutdown.cancelled() => return,
                    () = sleep(back_off) => {}
                }
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
        }
    }
}

/// Whether the accept failed because that one connection had ended already: the next one may be tried at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl Door {
    fn shed(&self, code: Code, peer: Option<SocketAddr>) {
        (self.observe)(Event::Shed { code, peer_ip: peer.map(|peer| peer.ip()) });
    }

    /// Refuses a connection of which nothing was read yet. Under TLS it could not read the answer: it is just closed.
    fn refuse(&self, stream: TcpStream, peer: SocketAddr, code: Code) {
        self.shed(code, Some(peer));
        if self.tls.is_none() {
            self.refusals.speak(stream, code);
        }
    }

    fn begin<F, Fut>(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, handle: &Arc<F>)
    where
        F: Fn(Accepted) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let permit = match self.limits.enter() {
            Ok(permit) => permit,
            Err(code) => return self.refuse(stream, peer, code),
        };
        // Without it small frames wait for the acknowledgement of those before; a socket that refuses is dying anyway.
        let _ = stream.set_nodelay(true);
        let entering = Entering { stream, peer, permit };
        if self.tls.is_none() && self.proxy_protocol == ProxyProtocol::Off {
            if let Some(Entering { stream, peer, permit }) = self.count_address(entering) {
                tokio::spawn(handle(Accepted { stream: ByteStream::Tcp(stream), peer, permit }));
            }
            return;
        }
        let unfinished = match self.limits.enter_handshake() {
            Ok(unfinished) => unfinished,
            Err(code) => return self.refuse(entering.stream, peer, code),
        };
        let handle = handle.clone();
        tokio::spawn(async move {
            if let Some(accepted) = self.finish(entering, unfinished).await {
                tokio::spawn(handle(accepted));
            }
        });
    }

    /// Counts it with those of its address. A trusted proxy's is not counted: its clients are, once they are known.
    fn count_address(&self, mut entering: Entering) -> Option<Entering> {
        if is_trusted(entering.peer.ip(), &self.trusted_proxies) {
            return Some(entering);
        }
        match entering.permit.enter_address(entering.peer.ip()) {
            Ok(()) => Some(entering),
            Err(code) => {
                self.refuse(entering.stream, entering.peer, code);
                None
            }
        }
    }

    /// The PROXY header and the TLS handshake, both within the one time limit.
    async fn finish(&self, entering: Entering, unfinished: HandshakePermit) -> Option<Accepted> {
        let peer = entering.peer;
        let finished = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return None,
            finished = timeout(self.handshake_timeout, self.greet(entering)) => finished,
        };
        drop(unfinished);
        finished.unwrap_or_else(|_| {
            self.shed(Code::HandshakeTimeout, Some(peer));
            None
        })
    }

    async fn greet(&self, mut entering: Entering) -> Option<Accepted> {
        if self.proxy_protocol == ProxyProtocol::V2 {
            entering = self.learn_address(entering).await?;
        }
        let Entering { stream, peer, permit } = self.count_address(entering)?;
        let stream = match &self.tls {
            None => ByteStream::Tcp(stream),
            Some(tls) => match shake_hands(tls, stream).await {
                Ok(stream) => ByteStream::Tls(Box::new(stream)),
                Err(error) => {
                    tracing::debug!(%error, peer_ip = %peer.ip(), "the TLS handshake failed");
                    self.shed(Code::BadRequest, Some(peer));
                    return None;
                }
            },
        };
        Some(Accepted { stream, peer, permit })
    }

    /// Takes the client's address from a trusted proxy's header, and refuses the header of anybody else.
    async fn learn_address(&self, mut entering: Entering) -> Option<Entering> {
        let socket = entering.peer;
        let refused = if is_trusted(socket.ip(), &self.trusted_proxies) {
            match proxy::read_header(&mut entering.stream).await {
                Ok(told) => {
                    entering.peer = told.unwrap_or(socket);
                    return Some(entering);
                }
                Err(error) => {
                    tracing::debug!(%error, peer_ip = %socket.ip(), "the PROXY header was refused");
                    Code::BadRequest
                }
            }
        } else {
            match proxy::begins_with_header(&entering.stream).await {
                Ok(false) => return Some(entering),
                Ok(true) => Code::PermissionDenied,
                Err(_) => Code::ConnectionLost,
            }
        };
        self.shed(refused, Some(socket));
        None
    }
}

/// The TLS handshake. Its signature is the longest that a worker computes in one go: many of them, one after the other,
/// are work and no stall.
async fn shake_hands(tls: &TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut accepting = tls.accept(stream);
    poll_fn(|cx| {
        workers::step();
        Pin::new(&mut accepting).poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_one_connection_are_passed_over_without_a_pause() {
        for one in [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted] {
            assert!(is_of_one_connection(&one.into()), "{one:?}");
        }
        // EMFILE, ENFILE and ENOMEM on Linux.
        for ours in [24, 23, 12] {
            assert!(!is_of_one_connection(&io::Error::from_raw_os_error(ours)), "{ours}");
        }
    }
}
