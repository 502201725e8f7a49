//! The tree: every section and key, with its type, default, bounds and reason.

mod auth;
mod etcd;
mod guard;
mod media;
mod otlp;
mod placement;
mod ports;
mod profiler;
mod redis;
mod relay;
mod rooms;
mod variants;

pub use auth::{ApiKey, Auth, Expiry, Introspection, Jwks, Oidc, Role};
pub use etcd::Etcd;
pub(super) use etcd::RoomsChoice;
use guard::Guard;
pub use media::{Media, MediaBreaker, MediaNode, NodeTls, RegistryTls};
pub use otlp::Otlp;
use placement::Placement;
pub(super) use placement::RegionWeight;
pub use ports::{Client, Ops, Tls};
use profiler::Profiler;
use redis::Redis;
pub(super) use redis::{RedisAck, RedisMode};
use relay::Relay;
pub use rooms::{Ice, IceServer, Limits, Rooms};
pub use variants::{VariantRule, Variants};

use super::{
    schema::section,
    values::{List, Millis, Seconds, Text},
};
use crate::{
    auth::settings::Secret,
    telemetry::{
        catalog::{OTHER, REGIONS_MAX},
        logs::{Format, check_level},
    },
};

section! {
    /// The configuration of a router.
    pub struct Config {
        keys {}
        sections {
            /// The process.
            server: Server;
            /// The port for clients and the admin API.
            client: Client;
            /// The port for operators.
            ops: Ops;
            /// Whose tokens are accepted.
            auth: Auth;
            /// Rooms and what they remember.
            rooms: Rooms;
            /// The choice of the media node for a room.
            placement: Placement;
            /// Bounds.
            limits: Limits;
            /// Servers that clients find a path with.
            ice: Ice;
            /// Media nodes: where they register, which are known anyway, and how they are called.
            media: Media;
            /// The directory of a fleet.
            etcd: Etcd;
            /// Rooms, kept outside of their routers.
            redis: Redis;
            /// Links between the routers of a fleet: a client may be connected to any of them, whichever has its room.
            relay: Relay;
            /// Coming back after a lost connection.
            resume: Resume;
            /// The way out.
            drain: Drain;
            /// One signal.
            signal: Signal;
            /// Gray release.
            variants: Variants;
            /// What the router refuses to protect itself.
            guard: Guard;
            /// Logs.
            log: Log;
            /// What is measured.
            telemetry: Telemetry;
            /// The profiler: where the process spends its CPU time, all the time.
            profiler: Profiler;
        }
    }
}

section! {
    /// The process.
    pub struct Server {
        keys {
            /// Where this router runs; told to clients.
            /// One word is right for a router that runs alone.
            region: String = "default".to_owned(), REGION, own;
            /// Other regions that clients may say they are in; metrics tell these apart, and call all others `other`.
            /// None: a router that runs alone has clients of its own region. More would multiply every series.
            regions: Vec<String> = Vec::new(), List { count: 0..=REGIONS_MAX - 1, each: REGION };
            /// Names this process among all routers, in metrics, traces and logs; empty: drawn at start.
            id: Option<String> = None, LABEL, own;
            /// Where clients reach this router itself, past any balancer; told to the other routers of its fleet. May be empty.
            url: String = String::new(), PUBLIC_URL, own;
            /// Where operators reach its ops port; told likewise. May be empty.
            ops_url: String = String::new(), OPS_URL, own;
            /// A folder for what is to outlive the process, one for each: captures of bad minutes, the baseline, and what a Redis that is
            /// away did not take (`redis.journal_bytes`). Empty: they are kept in memory.
            /// Nothing that calls need is in it, so a router without one is whole.
            data_dir: Option<std::path::PathBuf> = None, (), own;
            /// Worker threads, each with a slice of the rooms; 0: as many as cores.
            /// More than cores only adds switching.
            workers: usize = 0, 0..=1024, own;
        }
    }
}

section! {
    /// Coming back after a lost connection.
    pub struct Resume {
        keys {
            /// Signs resume tokens; all routers of a fleet share it.
            /// Without one it is random: tokens then do not survive a restart.
            secret: Option<Secret> = None, SECRET_BYTES;
            /// The same, read from a file; its last line break does not count.
            secret_file: Option<std::path::PathBuf> = None, ();
        }
    }
}

section! {
    /// The way out: SIGTERM advises all sessions to reconnect, spread over a window, and then closes.
    pub struct Drain {
        keys {
            /// Length of the window.
            /// Thirty seconds fit inside the grace that orchestrators give before they kill.
            seconds: Seconds = Seconds(30), 0..=3600, live;
            /// Where drained clients are sent; empty: to where they came from.
            /// A balancer in front finds another router by itself.
            reconnect_url: String = String::new(), RECONNECT_URL, live;
        }
    }
}

section! {
    /// One signal, from its arrival to its answer.
    pub struct Signal {
        keys {
            /// How old a signal may be when it is carried out, from the arrival of its frame; past it, it is refused as
            /// `deadline_exceeded`, calls to media nodes included. Also how long it may wait for a full inbox before it is shed as
            /// `overloaded`.
            /// The deadline that the router promises for any one signal.
            timeout_ms: Millis = Millis(150), 10..=10_000, live;
        }
    }
}

section! {
    /// Logs, on standard error.
    pub struct Log {
        keys {
            /// What is logged: off, error, warn, info, debug, trace, or a list as `warn,signalbox=debug`.
            /// `info` tells what an operator acts on and stays quiet under load.
            level: String = "info".to_owned(), LEVEL, live;
            /// `pretty` for people, `json` for collectors, `auto`: pretty on a terminal and JSON elsewhere.
            format: Format = Format::Auto, ();
        }
    }
}

section! {
    /// What is measured.
    pub struct Telemetry {
        keys {
            /// Whether signals are stamped, and their latencies recorded.
            /// Off only to see what it costs: boards, alerts, traces and the list of slow signals are then empty.
            measure: bool = true, ();
            /// How long a worker thread may be away in one task before it counts as stalled; 0: nobody looks.
            /// More than twice the promise of 80 ms: a fault, and not one slow moment. Less than 100 could not be told.
            stall_ms: Millis = Millis(200), 0..=60_000;
        }
        sections {
            /// Traces, and logs where asked for, for an OpenTelemetry collector.
            otlp: Otlp;
        }
    }
}

/// A word that can be a metric's label.
const LABEL: Text = Text { allowed: "1 to 64 of a-z A-Z 0-9 - _ .", test: is_label };
/// A region; metrics call all that they do not tell apart `other`.
const REGION: Text =
    Text { allowed: "1 to 64 of a-z A-Z 0-9 - _ ., but not `other`", test: |text| is_label(text) && text != OTHER };
/// A shared secret: as long as SHA-256's output (RFC 7518 section 3.2), and no more than makes sense.
pub(super) const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=4096;
const RECONNECT_URL: Text =
    Text { allowed: "a URL, ws:// or wss:// or http:// or https://, or empty", test: is_reconnect };
const PUBLIC_URL: Text = Text {
    allowed: "a URL, ws://, wss://, http:// or https://, of at most 512 bytes, or empty",
    test: |text| is_reconnect(text) && text.len() <= 512,
};
const OPS_URL: Text = Text {
    allowed: "a URL, http:// or https://, of at most 512 bytes, or empty",
    test: |text| is_reconnect(text) && !text.starts_with("ws") && text.len() <= 512,
};
const LEVEL: Text = Text {
    allowed: "off, error, warn, info, debug, trace, or a list as warn,signalbox=debug",
    test: |t| check_level(t).is_ok(),
};
/// Names, claims, issuers.
const WORDS: Text = Text { allowed: "1 to 256 bytes", test: |t| (1..=256).contains(&t.len()) };

fn is_label(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn is_reconnect(text: &str) -> bool {
    text.is_empty()
        || text.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("ws" | "wss" | "http" | "https"))
                && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
        })
}
