//! What a fabric has to know, in its own words.

use std::{fmt, time::Duration};

use crate::{auth::settings::Secret, io::dialing::TlsFiles};

/// Where a server is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// A name or an IP address; an IPv6 one without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`; an IPv6 address with or without brackets, as a Cluster tells it. Absent: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How servers belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FabricMode {
    /// Each on its own: a room is on the one that its name falls to.
    Single,
    /// The addresses are those of Sentinels, which say who the master is.
    Sentinel {
        /// What the Sentinels call it.
        master: String,
        /// Who the router is to them, when they ask.
        user: Option<Credentials>,
    },
    /// Some servers of a Cluster, which tell all others.
    Cluster,
}

/// Who the router is to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Absent: Redis's `default`.
    pub name: Option<String>,
    /// The password.
    pub password: Secret,
}

/// Where rooms are kept, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FabricSettings {
    /// One or more.
    pub addresses: Vec<Address>,
    /// How they belong together.
    pub mode: FabricMode,
    /// Who the router is to them, when they ask.
    pub user: Option<Credentials>,
    /// Absent: connections are in the clear.
    pub tls: Option<TlsFiles>,
    /// All keys begin with it. No `{` is in it.
    pub prefix: String,
    /// Rooms of one name in different scopes are different rooms.
    pub scope: String,
    /// Who takes rooms: no two routers that run are named so.
    pub router: String,
    /// For one call, its connection included.
    pub timeout: Duration,
    /// Most calls under way.
    pub calls_max: usize,
    /// To each server.
    pub connections: usize,
    /// How long a room is kept after the last word of its router.
    pub keep: Duration,
}
