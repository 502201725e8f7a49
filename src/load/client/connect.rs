//! Where to connect, and how.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use http::Uri;

use super::{
    Client, ClientError, Link, PATIENCE, Position, grpc, handshake,
    wire::{Tls, Wire},
};
use crate::protocol::Encoding;

/// What carries the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// WebSocket.
    Ws,
    /// gRPC bidirectional stream; always protobuf.
    Grpc,
}

/// What is spoken over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The protocol of signalbox.
    Signalbox,
    /// The words of the floor of `make bench`: `join <room>`, `joined`, then text that goes to the room as it is.
    Bare,
}

/// A target as it is named.
#[derive(Clone, Debug)]
pub struct TargetSettings {
    /// `ws://…/v1/signal`, `wss://…`; of gRPC `http://…`, `https://…`.
    pub url: String,
    /// WebSocket or gRPC.
    pub transport: Transport,
    /// Of WebSocket frames.
    pub encoding: Encoding,
    /// Certificates (PEM) to trust for `wss` and `https`.
    pub authorities: Option<PathBuf>,
    /// What is spoken.
    pub dialect: Dialect,
}

impl TargetSettings {
    /// A router of signalbox at that URL: JSON over WebSocket.
    pub fn websocket(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            transport: Transport::Ws,
            encoding: Encoding::Json,
            authorities: None,
            dialect: Dialect::Signalbox,
        }
    }

    /// The same router as its fleet names it, reached as the others are: its URL may be that of the other transport.
    pub(crate) fn of_its_transport(mut self) -> Self {
        let url = grpc_url(&self.url);
        self.url = match self.transport {
            Transport::Grpc => url,
            Transport::Ws => format!("{}{SIGNAL}", url.replacen("http", "ws", 1)),
        };
        self
    }
}

/// Where WebSockets are upgraded.
const SIGNAL: &str = "/v1/signal";

/// The URL of a router for gRPC and HTTP, of one that clients are told: `wss://r7.example.com/v1/signal`.
pub fn grpc_url(url: &str) -> String {
    let base = url.trim_end_matches('/').trim_end_matches(SIGNAL);
    match base.strip_prefix("ws") {
        Some(rest) => format!("http{rest}"),
        None => base.to_owned(),
    }
}

/// A target whose name has been resolved.
#[derive(Debug)]
pub struct Target {
    pub(super) uri: Uri,
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Tls>,
    transport: Transport,
    encoding: Encoding,
    dialect: Dialect,
}

impl Target {
    /// Resolves the host, once for all connections.
    ///
    /// # Errors
    /// Names what of the URL cannot be used and what can.
    pub async fn resolve(settings: &TargetSettings) -> Result<Arc<Self>, ClientError> {
        let refused = |why: String| ClientError::Target(format!("url `{}`: {why}", settings.url));
        let uri: Uri = settings.url.parse().map_err(|e| refused(format!("{e}")))?;
        let secure = match (settings.transport, uri.scheme_str()) {
            (Transport::Ws, Some("ws")) | (Transport::Grpc, Some("http")) => false,
            (Transport::Ws, Some("wss")) | (Transport::Grpc, Some("https")) => true,
            (Transport::Ws, _) => return Err(refused("ws:// or wss:// is needed".to_owned())),
            (Transport::Grpc, _) => return Err(refused("http:// or https:// is needed for gRPC".to_owned())),
        };
        let host = uri.host().ok_or_else(|| refused("no host".to_owned()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let mut addresses = tokio::net::lookup_host((host.as_str(), port)).await.map_err(|e| refused(e.to_string()))?;
        let address = addresses.next().ok_or_else(|| refused("the host has no address".to_owned()))?;
        let alpn: &[u8] = if settings.transport == Transport::Ws { b"http/1.1" } else { b"h2" };
        let tls = match (secure, &settings.authorities) {
            (false, _) => None,
            (true, Some(authorities)) => Some(Tls::trusting(authorities, &host, alpn)?),
            (true, None) => return Err(refused("TLS needs --ca FILE, the certificates (PEM) to trust".to_owned())),
        };
        let encoding = if settings.transport == Transport::Grpc { Encoding::Protobuf } else { settings.encoding };
        Ok(Arc::new(Self { uri, address, tls, transport: settings.transport, encoding, dialect: settings.dialect }))
    }

    /// Connects and is let in with that token; no frame is sent yet.
    ///
    /// # Errors
    /// The server's refusal, or what went wrong on the way.
    pub async fn connect(self: &Arc<Self>, token: &str, source: Option<IpAddr>) -> Result<Client, ClientError> {
        let opening = async {
            Ok::<_, ClientError>(match self.transport {
                Transport::Grpc => Link::Grpc(grpc::open(self, token, source).await?),
                Transport::Ws => {
                    let wire = Wire::connect(self.address, source, self.tls.as_ref()).await?;
                    Link::WebSocket(Box::new(handshake::upgrade(wire, self, token).await?))
                }
            })
        };
        let link = tokio::time::timeout(PATIENCE, opening).await.map_err(|_| ClientError::Silence)??;
        Ok(Client {
            link,
            encoding: self.encoding,
            dialect: self.dialect,
            last_id: 0,
            kept: VecDeque::new(),
            position: Position::default(),
        })
    }

    /// A source address for the connection of that number: sixteen loopback addresses towards loopback, so
    /// that closed connections in TIME_WAIT leave enough ports; else the system's choice.
    pub fn source(&self, number: usize) -> Option<IpAddr> {
        let spread = (number % 16) as u8;
        match self.address.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => Some(Ipv4Addr::new(127, 0, 0, 1 + spread).into()),
            _ => None,
        }
    }

    /// Whether it answers connections at all.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn reach(&self) -> Result<(), ClientError> {
        let reached = tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(self.address)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(ClientError::Target(format!("nothing answers at {}: {e}", self.address))),
            Err(_) => Err(ClientError::Silence),
        }
    }

    /// WebSocket or gRPC.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Of its frames.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_is_reached_by_either_transport_however_its_fleet_names_it() {
        for told in
            ["wss://r7.example.com:8443/v1/signal", "https://r7.example.com:8443", "https://r7.example.com:8443/"]
        {
            assert_eq!(grpc_url(told), "https://r7.example.com:8443");
            let settings = |transport| TargetSettings { transport, ..TargetSettings::websocket(told) };
            assert_eq!(settings(Transport::Ws).of_its_transport().url, "wss://r7.example.com:8443/v1/signal");
            assert_eq!(settings(Transport::Grpc).of_its_transport().url, "https://r7.example.com:8443");
        }
        assert_eq!(grpc_url("ws://127.0.0.1:7800/v1/signal"), "http://127.0.0.1:7800");
    }
}
