//! `--dev`: what makes trying out easy and must not be seen beyond loopback.

use figment::value::{Dict, Value};

use crate::auth::{DEV_KEY, DEV_SECRET};

/// High enough that a load on one machine never meets it.
const HIGH: usize = 10_000_000;

/// Where media nodes register.
const MEDIA_LISTEN: &str = "127.0.0.1:7802";

/// A layer above the defaults; whoever says otherwise wins.
pub(super) fn preset() -> Dict {
    let limits = ["connections", "connections_per_address", "handshakes", "sessions", "sessions_per_key", "rooms"];
    let limits = Dict::from_iter(limits.map(|limit| {
        let high = if limit == "handshakes" { HIGH / 10 } else { HIGH };
        (limit.to_owned(), Value::from(high))
    }));
    // a load on one machine comes from one address
    let connect = Dict::from([("address".to_owned(), Value::from(""))]);
    let ops = Dict::from([("connect".to_owned(), Value::from(connect))]);
    let guard = Dict::from([("ops".to_owned(), Value::from(ops))]);
    let key = Dict::from([("secret".to_owned(), Value::from(DEV_SECRET))]);
    let keys = Dict::from([(DEV_KEY.to_owned(), Value::from(key))]);
    Dict::from([
        ("auth".to_owned(), Value::from(Dict::from([("keys".to_owned(), Value::from(keys))]))),
        ("client".to_owned(), Value::from(Dict::from([("origins".to_owned(), Value::from(vec!["*"]))]))),
        ("guard".to_owned(), Value::from(guard)),
        ("limits".to_owned(), Value::from(limits)),
        ("media".to_owned(), Value::from(Dict::from([("listen".to_owned(), Value::from(MEDIA_LISTEN))]))),
    ])
}
