//! The PROXY protocol, version 2: the client's address as a balancer in front of the router tells it.
//!
//! Takes exactly the header's bytes from the socket and not one of what follows. Whether the teller may be believed is
//! the listener's to decide.

use std::net::SocketAddr;

use ppp::v2::{Addresses, Command, Header, PROTOCOL_PREFIX};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// Signature, version and command, family and protocol, length of the rest (PROXY protocol, section 2.2).
const FIXED_BYTES: usize = 16;
/// Of what follows the fixed part: two Unix addresses are 216 bytes, the rest is for the balancer's extras.
const PAYLOAD_BYTES_MAX: usize = 4096;

/// Why a header was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the connection ended within the PROXY header")]
    Ended(#[from] std::io::Error),
    #[error("the connection does not begin with a PROXY protocol version 2 header")]
    NoHeader,
    #[error("the PROXY header announces {announced} bytes, at most {PAYLOAD_BYTES_MAX} are taken")]
    TooLong { announced: usize },
    #[error("the PROXY header cannot be read: {0}")]
    Malformed(#[from] ppp::v2::ParseError),
}

/// Reads the header. `None`: the balancer speaks for itself (a health check), or tells no IP address.
pub(super) async fn read_header(stream: &mut TcpStream) -> Result<Option<SocketAddr>, ProxyError> {
    let mut fixed = [0; FIXED_BYTES];
    stream.read_exact(&mut fixed).await?;
    if !fixed.starts_with(PROTOCOL_PREFIX) {
        return Err(ProxyError::NoHeader);
    }
    let announced = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if announced > PAYLOAD_BYTES_MAX {
        return Err(ProxyError::TooLong { announced });
    }
    let mut whole = vec![0; FIXED_BYTES + announced];
    whole[..FIXED_BYTES].copy_from_slice(&fixed);
    stream.read_exact(&mut whole[FIXED_BYTES..]).await?;
    let header = Header::try_from(whole.as_slice())?;
    Ok(match (header.command, header.addresses) {
        (Command::Proxy, Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (Command::Proxy, Addresses::IPv6(ip)) => Some((ip.source_address.to_canonical(), ip.source_port).into()),
        (Command::Local, _) | (Command::Proxy, Addresses::Unspecified | Addresses::Unix(_)) => None,
    })
}

/// Whether the connection begins as a PROXY header does. Waits for its first bytes and takes none of them; a stranger
/// that dribbles the signature is judged by what has come: no HTTP request and no TLS handshake begins like it.
pub(super) async fn begins_with_header(stream: &TcpStream) -> std::io::Result<bool> {
    let mut seen = [0; PROTOCOL_PREFIX.len()];
    let count = stream.peek(&mut seen).await?;
    Ok(count > 0 && seen[..count] == PROTOCOL_PREFIX[..count])
}
