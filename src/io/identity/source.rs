//! Where a provider's keys come from: a key set's URL, or the discovery document that names it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::watch;

use super::{
    Shared,
    http::{Fault, Outward, answer},
};
use crate::{
    auth::{Settings, VerificationKey, parse_jwks},
    event::Event,
};

/// How long one document may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Size of a key set; 64 RSA keys with certificate chains fit.
const JWKS_BYTES_MAX: usize = 512 * 1024;
/// Size of a discovery document.
const DISCOVERY_BYTES_MAX: usize = 64 * 1024;
/// Tokens of unknown keys cause one fetch in that time, however many they are.
pub(super) const UNKNOWN_KEY_PAUSE_MS: u64 = 5_000;
/// Longest pause after failed fetches.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// One provider.
pub(super) struct KeySource {
    /// Its name in key sets, grants and events.
    pub(super) name: &'static str,
    place: Place,
    client: Client,
    refresh: Duration,
    state: Mutex<State>,
    /// How many fetches have ended; the last one's outcome.
    ended: watch::Sender<Ended>,
}

/// Whether to fetch now.
#[derive(Default)]
struct State {
    fetching: bool,
    ended_at_unix_ms: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct Ended {
    worked: bool,
}

enum Place {
    KeySet(Url),
    Discovery { url: Url, issuer: String },
}

/// The sources that the settings name.
pub(super) fn of(settings: &Settings, outward: Option<&Outward>) -> Vec<Arc<KeySource>> {
    let Some(outward) = outward else { return Vec::new() };
    let source = |name, place, refresh| KeySource {
        name,
        place,
        client: outward.client.clone(),
        refresh,
        state: Mutex::default(),
        ended: watch::Sender::default(),
    };
    let jwks = settings.jwks.as_ref().zip(outward.jwks.clone());
    let oidc = settings.oidc.as_ref().zip(outward.discovery.clone());
    let jwks = jwks.map(|(jwks, url)| source("jwks", Place::KeySet(url), jwks.refresh));
    let oidc =
        oidc.map(|(oidc, url)| source("oidc", Place::Discovery { url, issuer: oidc.issuer.clone() }, oidc.refresh));
    jwks.into_iter().chain(oidc).map(Arc::new).collect()
}

/// The part of a discovery document that is needed (OpenID Connect Discovery 1.0 section 3).
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl KeySource {
    /// Fetches and takes the keys into use; on failure the old ones stay. Says whether it worked.
    pub(super) async fn fetch_now(self: &Arc<Self>, shared: &Arc<Shared>) -> bool {
        let mut ended = self.ended.subscribe();
        self.start(shared, 0);
        ended.changed().await.is_ok() && ended.borrow().worked
    }

    /// The same, for a token whose key is not known: waits for a fetch that is on its way, and starts none when the
    /// last one was a moment ago.
    pub(super) async fn fetch_unless_recent(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut ended = self.ended.subscribe();
        if self.start(shared, UNKNOWN_KEY_PAUSE_MS) {
            ended.changed().await.ok(); // the sender lives as long as `self`
        }
    }

    /// Starts a fetch unless there is one, or one ended within `pause_ms`. Says whether one is on its way.
    ///
    /// It is a task of its own, so that a client that goes away does not take the fetch for all others with it.
    fn start(self: &Arc<Self>, shared: &Arc<Shared>, pause_ms: u64) -> bool {
        let mut state = self.state();
        // a clock that was set back must not stop the fetching for as long
        if state.ended_at_unix_ms.is_some_and(|at| (shared.clock)().abs_diff(at) < pause_ms) {
            return state.fetching;
        }
        if !state.fetching {
            state.fetching = true;
            let (source, shared) = (Arc::clone(self), Arc::clone(shared));
            tokio::spawn(async move {
                let worked = source.fetch_into(&shared).await;
                *source.state() = State { fetching: false, ended_at_unix_ms: Some((shared.clock)()) };
                source.ended.send_replace(Ended { worked });
            });
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // two plain fields, always whole
    }

    async fn fetch_into(&self, shared: &Shared) -> bool {
        let keys = match self.fetch(shared).await {
            Ok(keys) => keys,
            Err(fault) => {
                (shared.observer)(Event::KeysRefreshed { source: self.name, keys: Err(fault.to_string()) });
                return false;
            }
        };
        let count = keys.len();
        shared.keys.rcu(|live| live.with_provider_keys(self.name, keys.clone()));
        (shared.observer)(Event::KeysRefreshed { source: self.name, keys: Ok(count) });
        true
    }

    async fn fetch(&self, shared: &Shared) -> Result<Vec<VerificationKey>, Fault> {
        let url = match &self.place {
            Place::KeySet(url) => url.clone(),
            Place::Discovery { url, issuer } => self.discover(url, issuer).await?,
        };
        let document = answer(self.client.get(url), FETCH_TIMEOUT, JWKS_BYTES_MAX).await?;
        let allowed = shared.keys.load().provider_algorithms(self.name);
        parse_jwks(&document, allowed).map_err(|_| Fault::Format)
    }

    async fn discover(&self, url: &Url, issuer: &str) -> Result<Url, Fault> {
        let document = answer(self.client.get(url.clone()), FETCH_TIMEOUT, DISCOVERY_BYTES_MAX).await?;
        let found: Discovered = serde_json::from_slice(&document).map_err(|_| Fault::Format)?;
        if found.issuer != issuer {
            return Err(Fault::Issuer);
        }
        let keys = Url::parse(&found.jwks_uri).map_err(|_| Fault::JwksUri)?;
        let as_safe = keys.scheme() == "https" || keys.scheme() == url.scheme();
        if as_safe && keys.has_host() { Ok(keys) } else { Err(Fault::JwksUri) }
    }

    /// How long to wait after that many failures in a row: with jitter, so that a fleet does not ask in step.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let base = match failures {
            0 => self.refresh,
            _ => Duration::from_secs(1 << failures.min(6)).min(RETRY_MAX).min(self.refresh),
        };
        base.mul_f64(0.9 + 0.2 * fastrand::f64())
    }
}
