//! Where rooms are kept outside of their routers: where Redis is, and how this router speaks with it.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::WORDS;
use crate::{
    auth::settings::Secret,
    config::{
        schema::{Given, Setting, section},
        values::{List, Millis, Seconds, Text, choice, redacted},
    },
    io::fabric::Address,
};

section! {
    /// The Redis (6.2 or newer) or Valkey that rooms are written to as they change, so that another router can go on with them.
    pub struct Redis {
        keys {
            /// Its servers, as `redis://redis-1.example.com:6379`, or `rediss://` for TLS; what they are, `mode` says.
            /// None: a room is gone with its router.
            addrs: Vec<RedisUrl> = Vec::new(), List { count: 0..=16, each: () };
            /// `single`: each by itself, with the rooms whose names fall to it; the same list on all routers. `sentinel`: they are
            /// Sentinels, which know the master. `cluster`: some servers of a Cluster, which tell all others.
            mode: RedisMode = RedisMode::Single, ();
            /// What the Sentinels call the master.
            sentinel_master: Option<String> = None, LABEL;
            /// The user that this router is to the Sentinels, where they ask; empty: their `default`.
            sentinel_username: Option<String> = None, WORDS;
            /// Its password.
            sentinel_password: Option<Secret> = None, 1..=4096;
            /// The same, read from a file; its last line break does not count.
            sentinel_password_file: Option<PathBuf> = None, ();
            /// The user that this router is to Redis; empty: its `default`.
            username: Option<String> = None, WORDS;
            /// Its password; none: Redis asks nobody who they are.
            password: Option<Secret> = None, 1..=4096;
            /// The same, read from a file; its last line break does not count.
            password_file: Option<PathBuf> = None, ();
            /// Who signs Redis's certificates, in PEM; needed for rediss.
            /// The system's own are not trusted by themselves: Redis is inside, and so is who signs for it.
            ca_file: Option<PathBuf> = None, ();
            /// The router's own certificate chain, for a Redis that asks for one. The files are read again for each connection.
            cert_file: Option<PathBuf> = None, ();
            /// Its private key.
            key_file: Option<PathBuf> = None, ();
            /// All keys begin with it. Two fleets on one Redis have two.
            prefix: String = "signalbox:".to_owned(), PREFIX;
            /// For one call to Redis, its connection included. No signal waits for it, but for the first one into a room that has
            /// to be taken over. A Redis that is well answers in a millisecond.
            timeout_ms: Millis = Millis(300), 10..=10_000;
            /// Most calls under way; what is past it is not tried, and written later.
            calls_max: usize = 1024, 1..=65_536;
            /// To each server. One carries some ten thousand calls a second; two keep a large room from holding up all others.
            connections: usize = 2, 1..=16;
            /// How long a room is kept after the last word of its router. Shorter than a router is away, and its rooms are gone;
            /// longer, and they take up memory for nobody.
            keep_seconds: Seconds = Seconds(120), 10..=86_400;
            /// How often changes of rooms are written: a change waits so long at most, and is lost when its router is killed before that.
            /// Where acknowledgements wait for it (`ack`) nothing is gathered but what comes while a write is under way.
            write_ms: Millis = Millis(50), 1..=1000;
            /// When a change of a room is acknowledged. `local`: as soon as this router has it. `disk`: once Redis has it, or this router's
            /// journal. `remote`: once Redis has it. With the latter two it is written at once and not after `write_ms`; who waits longer than
            /// `signal.timeout_ms` is told so, and while there is nowhere to write to changes are refused (`room_unavailable`). Others see
            /// a change at once in any case.
            ack: RedisAck = RedisAck::Local, ();
            /// Bytes of writes that Redis did not take and that wait on this router's disk, in `server.data_dir`; the file takes up to about
            /// twice that. Past it, what is not in Redis is in memory only. Messages are in it, as they are in Redis.
            journal_bytes: usize = 256 << 20, 1 << 20..=64 << 30;
            /// How long a router that is sent a room waits for the one before to hand it over; past it, it takes the room.
            handover_ms: Millis = Millis(250), 0..=5000;
        }
    }
}

choice! {
    /// How servers of Redis belong together.
    pub enum RedisMode {
        /// Each by itself.
        Single = "single",
        /// Sentinels know the master.
        Sentinel = "sentinel",
        /// A Cluster.
        Cluster = "cluster",
    }
}

choice! {
    /// When a change of a room is acknowledged.
    pub enum RedisAck {
        /// As soon as its router has it.
        Local = "local",
        /// Once Redis has it, or this router's disk.
        Disk = "disk",
        /// Once Redis has it.
        Remote = "remote",
    }
}

const PREFIX: Text = Text { allowed: "1 to 128 of a-z A-Z 0-9 - _ . / :", test: is_prefix };
const LABEL: Text = Text { allowed: "1 to 128 of a-z A-Z 0-9 - _ .", test: is_label };

fn is_prefix(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b))
}

fn is_label(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// A `redis` or `rediss` address; a name and password in it are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

/// Redis's own.
const PORT: u16 = 6379;

impl RedisUrl {
    pub(in crate::config) fn is_tls(&self) -> bool {
        self.0.starts_with("rediss://")
    }

    /// With name and password hidden.
    pub(in crate::config) fn redacted(&self) -> String {
        redacted(&self.0)
    }

    /// Host and port; absent: there is more in it, or no host.
    pub(in crate::config) fn address(&self) -> Option<Address> {
        let uri: http::Uri = self.0.parse().ok()?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        bare.then(|| Address { host: host.to_owned(), port: authority.port_u16().unwrap_or(PORT) })
    }

    pub(in crate::config) fn names_somebody(&self) -> bool {
        self.0.contains('@')
    }
}

impl std::fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Setting for RedisUrl {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        let url = given.value.as_str()?;
        let uri: http::Uri = url.parse().ok()?;
        let known = matches!(uri.scheme_str(), Some("redis" | "rediss")) && uri.host().is_some_and(|h| !h.is_empty());
        known.then(|| Self(url.to_owned()))
    }

    fn shown(&self) -> Json {
        json!(self.redacted())
    }

    fn whole(&self) -> Json {
        json!(self.0)
    }

    fn allowed((): &()) -> String {
        "a URL, redis:// or rediss://".to_owned()
    }
}
