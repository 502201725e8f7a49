//! Who presents this token? Static keys answer at once; a provider's keys are fetched, opaque tokens asked about.
//!
//! All deciding is `auth`'s; here is what needs sockets and time. Tokens and secrets never reach a log or an error.

mod cache;
mod http;
mod introspection;
mod source;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use self::{introspection::Introspection, source::KeySource};
use crate::{
    auth::{Grant, KeyError, KeySet, Rejection, Settings, check, is_jwt_shaped},
    event::Event,
    protocol::Refusal,
};

/// Reads the wall clock, Unix milliseconds.
pub type UnixClock = Arc<dyn Fn() -> u64 + Send + Sync>;
/// Takes what happened.
pub type Observer = Arc<dyn Fn(Event) + Send + Sync>;

/// An authenticator that cannot be made of its settings.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A static key is bad.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A URL is not one.
    #[error("{key}: not an http or https URL")]
    Url {
        /// The config key.
        key: &'static str,
    },
    /// No HTTP client: usually the system's root certificates are missing.
    #[error("no HTTP client for the identity provider (are the system's root certificates installed?)")]
    Http(#[source] reqwest::Error),
}

/// Verifies tokens. Cheap to clone; all clones share keys and caches.
#[derive(Clone)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

struct Shared {
    keys: ArcSwap<KeySet>,
    sources: Vec<Arc<KeySource>>,
    introspection: Option<Introspection>,
    clock: UnixClock,
    observer: Observer,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("keys", &self.shared.keys.load()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Takes the static keys into use. Fetches nothing yet: that is [`Authenticator::run_refresh`]'s, or the first
    /// token's.
    pub fn new(settings: &Settings, clock: UnixClock, observer: Observer) -> Result<Self, IdentityError> {
        let keys = KeySet::new(settings)?;
        let outward = http::Outward::new(settings)?;
        let sources = source::of(settings, outward.as_ref());
        let introspection = match (&settings.introspection, outward) {
            (Some(introspection), Some(outward)) => Some(Introspection::new(introspection.clone(), outward)),
            _ => None,
        };
        let shared = Shared { keys: ArcSwap::from_pointee(keys), sources, introspection, clock, observer };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The grant of a token that holds now. Waits only for a provider: when the token is opaque, or signed by a key that
    /// is not known yet; both waits are bounded.
    pub async fn verify(&self, token: &str) -> Result<Grant, Refusal> {
        let shared = &*self.shared;
        if let Some(introspection) = &shared.introspection
            && !is_jwt_shaped(token)
        {
            return introspection.verify(token, shared).await;
        }
        let before = shared.keys.load_full();
        match check(token, &before, (shared.clock)()) {
            Ok(grant) => Ok(grant),
            Err(Rejection::Refused(refusal)) => Err(refusal),
            Err(Rejection::KeyUnknown { provider, refusal }) => {
                self.fetch_for_unknown_key(provider).await;
                let now_live = shared.keys.load_full();
                if Arc::ptr_eq(&before, &now_live) {
                    return Err(refusal);
                }
                check(token, &now_live, (shared.clock)()).map_err(Rejection::into_refusal)
            }
        }
    }

    /// Other static keys and rules, for every token that is shown from now on. Providers stay what they were at start.
    pub fn configure(&self, keys: &KeySet) {
        // a provider's keys may come in between: made anew then
        self.shared.keys.rcu(|live| live.with_static(keys));
        // what was remembered was granted by the old rules
        if let Some(introspection) = &self.shared.introspection {
            introspection.forget();
        }
    }

    /// Keeps the keys of providers fresh until shutdown; returns at once when there are none.
    pub async fn run_refresh(self, shutdown: CancellationToken) {
        let refreshes = self.shared.sources.iter().map(|source| self.keep_fresh(source));
        let refreshes = futures_util::future::join_all(refreshes);
        tokio::select! {
            _ = refreshes => (),
            () = shutdown.cancelled() => (),
        }
    }

    async fn keep_fresh(&self, source: &Arc<KeySource>) {
        let mut failures = 0;
        loop {
            let fetched = source.fetch_now(&self.shared).await;
            failures = if fetched { 0 } else { failures + 1 };
            tokio::time::sleep(source.pause(failures)).await;
        }
    }

    async fn fetch_for_unknown_key(&self, provider: &str) {
        if let Some(source) = self.shared.sources.iter().find(|source| source.name == provider) {
            source.fetch_unless_recent(&self.shared).await;
        }
    }
}
