//! The directory of a fleet: where etcd is, and how this router speaks with it.

use std::path::PathBuf;

use super::WORDS;
use crate::{
    auth::settings::Secret,
    config::{
        schema::section,
        values::{List, Millis, Seconds, Text, Url, choice},
    },
};

section! {
    /// The directory that the routers of a fleet agree on, in etcd (3.4 or newer).
    pub struct Etcd {
        keys {
            /// etcd's members, as `https://etcd-1.example.com:2379`; one after the other is tried.
            /// None: the router runs alone, and nothing is asked of anybody.
            endpoints: Vec<Url> = Vec::new(), List { count: 0..=16, each: () };
            /// The user that this router is to etcd; empty: etcd asks nobody who they are.
            username: Option<String> = None, WORDS;
            /// Its password.
            password: Option<Secret> = None, 1..=4096;
            /// The same, read from a file; its last line break does not count.
            password_file: Option<PathBuf> = None, ();
            /// Who signs etcd's certificates, in PEM; needed for https.
            /// The system's own are not trusted by themselves: etcd is inside, and so is who signs for it.
            ca_file: Option<PathBuf> = None, ();
            /// The router's own certificate chain, for an etcd that asks for one. The files are read again for each connection.
            cert_file: Option<PathBuf> = None, ();
            /// Its private key.
            key_file: Option<PathBuf> = None, ();
            /// All keys begin with it. Two fleets on one etcd have two.
            prefix: String = "/signalbox".to_owned(), PREFIX;
            /// For one call to etcd, its connection included; past it, it is tried again. No signal waits for any of them.
            /// An etcd that is well answers in some milliseconds, and within a second while it elects a leader.
            timeout_ms: Millis = Millis(2000), 50..=60_000;
            /// How long what stands for this router stays when it falls silent; refreshed every third of it.
            /// The usual lease: two lost refreshes do nothing. etcd itself grants none under two seconds.
            lease_seconds: Seconds = Seconds(30), 2..=3600;
            /// Whether a room is on `one_router` of the fleet, to which all others send who wants into it, or `apart`: each router
            /// has rooms of its own, whatever their names. Those of one name do not hear each other then, unless a balancer in
            /// front sends all of a room to one router.
            rooms: RoomsChoice = RoomsChoice::OneRouter, ();
            /// How long who wants into a room waits to hear which router has it; past it, it goes by what this router has.
            /// An etcd that is well writes in some milliseconds.
            room_wait_ms: Millis = Millis(250), 1..=5_000;
        }
    }
}

choice! {
    /// Which routers of a fleet may have a room.
    pub enum RoomsChoice {
        /// One, and all others know it.
        OneRouter = "one_router",
        /// Each for itself.
        Apart = "apart",
    }
}

const PREFIX: Text = Text { allowed: "/ and 1 to 128 of a-z A-Z 0-9 - _ . /, not ending in /", test: is_prefix };

fn is_prefix(text: &str) -> bool {
    (2..=129).contains(&text.len())
        && text.starts_with('/')
        && !text.ends_with('/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
}
