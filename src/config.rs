//! The typed configuration: a tree of sections, each key declared once with its default, bounds and reason.
//!
//! Layers (`--dev`, file, rules of the fleet, environment, flags) come in as [`Sources`]; what goes out is one [`Config`] with where
//! each value came from, or all mistakes at once. [`InForce`] is the one that runs, and judges what is to replace it.
//! Must not know sockets or rooms; `app` hands its values on.

mod check;
mod dev;
mod difference;
mod in_force;
mod layers;
mod mistake;
mod read;
mod rules;
mod schema;
mod settings;
mod show;
mod tree;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use in_force::{Edition, InForce, Taken, Verdict};
use layers::Reading;
pub use layers::{ENV_PREFIX, Sources};
pub(crate) use mistake::columns;
pub use mistake::{ConfigError, Mistake, Source};
pub use rules::Rules;
pub use settings::Slice;
pub use show::{Row, example};
pub use tree::{
    ApiKey, Auth, Client, Config, Drain, Etcd, Expiry, Ice, IceServer, Introspection, Jwks, Limits, Log, Media,
    MediaBreaker, MediaNode, NodeTls, Oidc, Ops, Otlp, RegistryTls, Resume, Role, Rooms, Server, Signal, Telemetry,
    Tls, VariantRule, Variants,
};
pub use values::{Millis, Seconds, Url};

pub use crate::auth::settings::Secret;

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The tree; secrets that were in files are in it.
    pub config: Config,
    /// Where the value of each key came from.
    pub provenance: BTreeMap<String, Source>,
    /// What the file said; it may hold secrets.
    text: Option<Secret>,
}

impl Loaded {
    /// The same file once more, as it was then.
    fn reading(&self) -> Reading<'_> {
        self.text.as_ref().map_or(Reading::Again, |text| Reading::Proposed(text.expose()))
    }
}

/// Merges the layers, reads the files that hold secrets, and checks everything.
///
/// # Errors
/// All mistakes together, when there is at least one.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    load_by(sources, &Reading::AtStart)
}

/// The same, with that text in the place of the file's.
///
/// # Errors
/// All mistakes together, when there is at least one.
pub fn load_text(sources: &Sources, text: &str) -> Result<Loaded, ConfigError> {
    load_by(sources, &Reading::Proposed(text))
}

fn load_by(sources: &Sources, reading: &Reading<'_>) -> Result<Loaded, ConfigError> {
    let (mut merged, unreadable) = layers::Merged::of(sources, reading);
    let mut read = read::read(&merged);
    if unreadable.is_empty() {
        check::check(&mut read, sources.dev, reading.files());
        rules::check(&mut read, &merged);
    }
    // without the file, what it may say cannot be missed
    let mut mistakes = unreadable;
    mistakes.append(&mut read.mistakes);
    if mistakes.is_empty() {
        let text = merged.text.take().map(Secret::from);
        return Ok(Loaded { config: read.config, provenance: read.provenance, text });
    }
    mistakes.sort_by(|one, other| one.key.cmp(&other.key));
    Err(ConfigError { mistakes })
}
