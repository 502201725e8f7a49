//! The two ports.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;

use crate::{
    auth::settings::Secret,
    config::{
        schema::section,
        values::{List, Millis, Seconds, Text},
    },
    io::listener::is_origin_entry,
};

section! {
    /// The port for clients and the admin API: WebSocket, gRPC and HTTP.
    pub struct Client {
        keys {
            /// Addresses to listen on; port 0 takes a free one.
            /// Loopback, so that nothing is public before someone says so.
            listen: Vec<SocketAddr> = vec![SocketAddr::from(([127, 0, 0, 1], 7800))], List { count: 1..=16, each: () }, own;
            /// Origins of web pages that may connect, as `https://app.example.com` or `https://*.example.com`; `*`: any.
            /// None: pages of the router's own host, and programs (which send no Origin).
            origins: Vec<String> = Vec::new(), List { count: 0..=256, each: ORIGIN }, live;
            /// Proxies and balancers whose X-Forwarded-For and PROXY header are believed.
            /// None: anybody could invent an address.
            trusted_proxies: Vec<IpNet> = Vec::new(), List { count: 0..=256, each: () };
            /// Trusted proxies begin each connection with a PROXY protocol v2 header; needs client.trusted_proxies.
            /// Off: most HTTP balancers send X-Forwarded-For instead.
            proxy_protocol: bool = false, ();
            /// For the headers of a request, and for the first request of a connection.
            /// A slow phone needs one or two seconds; a connection held open on purpose, forever.
            header_timeout_ms: Millis = Millis(5000), 100..=60_000;
            /// For the PROXY header and the TLS handshake: two round trips and a signature.
            tls_handshake_timeout_ms: Millis = Millis(5000), 100..=60_000;
            /// For `join` or `resume` after the upgrade; a client sends it at once.
            /// Long enough for a slow token callback in the application.
            first_frame_timeout_ms: Millis = Millis(10_000), 100..=120_000, live;
            /// Silence after which the server pings a connection.
            /// Below the 30 s after which mobile networks and balancers forget idle connections.
            ping_seconds: Seconds = Seconds(15), 1..=300, live;
            /// Silence after which a connection counts as dead; more than client.ping_seconds.
            /// Two pings and some seconds: one lost ping is no reason to drop a call.
            idle_timeout_seconds: Seconds = Seconds(40), 2..=3600, live;
            /// How long a closing connection may take to read what waits for it.
            /// A round trip and some; a dead one should not hold up a drain.
            close_timeout_ms: Millis = Millis(2000), 10..=60_000, live;
        }
        sections {
            /// TLS for clients; without it, TLS ends at a proxy in front.
            tls: Tls;
        }
    }
}

section! {
    /// The port for operators: health, metrics, debugging. Nothing on it is for clients.
    pub struct Ops {
        keys {
            /// Address to listen on; port 0 takes a free one.
            /// Loopback: what it shows is for operators.
            listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9600)), (), own;
            /// File with the bearer token for /debug and /api; needed when ops.listen is not loopback.
            /// Read when the router starts: another token needs a restart.
            token_file: Option<PathBuf> = None, ();
        }
        sections {
            /// TLS for operators.
            tls: Tls;
        }
        derived {
            /// What is in `token_file`.
            token: Option<Secret>;
        }
    }
}

section! {
    /// A certificate and its key, taken up again when the files change. Both or none.
    pub struct Tls {
        keys {
            /// Certificate chain in PEM, the own certificate first.
            cert_file: Option<PathBuf> = None, ();
            /// Private key in PEM.
            key_file: Option<PathBuf> = None, ();
        }
    }
}

impl Tls {
    /// Certificate and key, when TLS is on.
    pub fn files(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.cert_file.as_ref().zip(self.key_file.as_ref())
    }
}

const ORIGIN: Text = Text { allowed: "`*`, https://host[:port] or https://*.host", test: is_origin_entry };
