//! Taking a listener's addresses, eagerly: whatever is wrong with one is said before anything is served.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::tls::TlsError;

/// Connections that the kernel completes before they are accepted; it caps it by `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Why a listener cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// There is nothing to listen on.
    #[error("a listener needs at least one address")]
    NoAddress,
    /// Somebody else listens there.
    #[error("cannot listen on {address}: the port is taken; stop the program that holds it or choose another port")]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// A port below 1024, most often.
    #[error("cannot listen on {address}: permission denied; choose a port from 1024 on or grant CAP_NET_BIND_SERVICE")]
    PermissionDenied {
        /// The address.
        address: SocketAddr,
    },
    /// The address belongs to no interface of this machine.
    #[error("cannot listen on {address}: this machine has no such address; choose one of its own, 0.0.0.0 or [::]")]
    NotOurs {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {cause}")]
    Failed {
        /// The address.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// Its certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    TlsSetUp(rustls::Error),
}

impl BindError {
    fn new(address: SocketAddr, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { address },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { address },
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { address },
            _ => Self::Failed { address, cause },
        }
    }
}

/// Binds all of them, or none.
pub(super) fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    if addresses.is_empty() {
        return Err(BindError::NoAddress);
    }
    addresses
        .iter()
        .map(|&address| {
            // `[::]` takes IPv4 as well, unless an address of the list is there to do it.
            let v4_apart = addresses.iter().any(|other| other.is_ipv4() && other.port() == address.port());
            bind(address, v4_apart).map_err(|cause| BindError::new(address, cause))
        })
        .collect()
}

fn bind(address: SocketAddr, v4_apart: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && v4_apart {
        socket.set_only_v6(true)?;
    }
    // A restart need not wait for the connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
