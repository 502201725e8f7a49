//! The typed configuration: a tree of sections, each key declared once with its default, bounds and reason.
//!
//! Layers (file, environment, flags) come in as values; what goes out is one [`Config`] or all mistakes at once.

mod check;
mod dev;
mod layers;
mod mistake;
mod read;
mod schema;
mod settings;
mod tree;
mod values;

use std::collections::BTreeMap;

pub use layers::{ENV_PREFIX, Sources};
pub use mistake::{ConfigError, Mistake, Source};
pub use tree::{
    ApiKey, Auth, Client, Config, Drain, Expiry, Ice, IceServer, Introspection, Jwks, Limits, Log, Oidc, Ops, Resume,
    Role, Rooms, Server, Signal, Tls,
};
pub use values::{Millis, Seconds, Url};

pub use crate::auth::settings::Secret;

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where the value of each key came from.
    pub provenance: BTreeMap<String, Source>,
}

/// Reads all layers.
///
/// # Errors
/// Every mistake that was found.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let (merged, mut mistakes) = layers::Merged::of(sources);
    let read = read::read(&merged);
    mistakes.extend(read.mistakes);
    let (mut config, provenance) = (read.config, read.provenance);
    // what a mistake left at its default says nothing about the whole
    if mistakes.is_empty() {
        mistakes = check::check(&mut config, &provenance, sources.dev);
    }
    if mistakes.is_empty() {
        return Ok(Loaded { config, provenance });
    }
    mistakes.sort_by(|a, b| a.key.cmp(&b.key));
    Err(ConfigError { mistakes })
}
