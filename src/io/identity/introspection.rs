//! Asks the issuer of an opaque token what it means (RFC 7662), and remembers the answer for a while.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{Client, Url};
use tokio::sync::Semaphore;

use super::{
    Shared,
    cache::{self, Cache, TokenHash, Verdict},
    http::{Fault, Outward, answer},
};
use crate::{
    auth::{Introspected, TOKEN_BYTES_MAX, introspected, settings::IntrospectionSettings},
    event::Event,
    protocol::{Code, Refusal},
};

/// Size of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Questions on the way at once; past it new tokens are told to come back.
const IN_FLIGHT_MAX: usize = 256;
/// How long a refusal is believed at most: a token may have been presented before its issuer knew of it.
const REFUSAL_CACHE_MAX: Duration = Duration::from_secs(5);
/// When to come back while the endpoint does not answer.
const RETRY_MS: u64 = 1_000;

/// The endpoint, and what it said lately.
pub(super) struct Introspection {
    settings: IntrospectionSettings,
    url: Option<Url>,
    client: Client,
    in_flight: Semaphore,
    cache: Mutex<Cache>,
}

impl Introspection {
    pub(super) fn new(settings: IntrospectionSettings, outward: Outward) -> Self {
        Self {
            cache: Mutex::new(Cache::new(settings.cache_entries)),
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            url: outward.introspection,
            client: outward.client,
            settings,
        }
    }

    pub(super) async fn verify(&self, token: &str, shared: &Shared) -> Verdict {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(Code::Unauthenticated.because("the token is empty or longer than 65536 bytes"));
        }
        let hash = cache::hash(token);
        if let Some(verdict) = self.cache().get(&hash, (shared.clock)()) {
            return verdict.clone();
        }
        let asked = self.ask(token, shared).await;
        let verdict = match asked {
            Ok(Introspected::Active(grant)) => Ok(*grant),
            Ok(Introspected::Refused(refusal)) => Err(refusal),
            Ok(Introspected::NotAnAnswer) => return Err(Self::unavailable(Fault::Format, shared)),
            Err(fault) => return Err(Self::unavailable(fault, shared)),
        };
        self.remember(hash, &verdict, (shared.clock)());
        verdict
    }

    async fn ask(&self, token: &str, shared: &Shared) -> Result<Introspected, Fault> {
        let (Some(url), Ok(_permit)) = (&self.url, self.in_flight.try_acquire()) else { return Err(Fault::Crowded) };
        let request = self
            .client
            .post(url.clone())
            .header(http::header::ACCEPT, "application/json")
            // RFC 6749 section 2.3.1: both are form-encoded before they become a Basic credential
            .basic_auth(form(&self.settings.client_id), Some(form(self.settings.client_secret.expose())))
            .form(&[("token", token), ("token_type_hint", "access_token")]);
        let body = answer(request, self.settings.timeout, ANSWER_BYTES_MAX).await?;
        Ok(introspected(&body, &shared.keys.load(), (shared.clock)()))
    }

    fn remember(&self, hash: TokenHash, verdict: &Verdict, now: u64) {
        let longest = match verdict {
            Ok(_) => self.settings.cache,
            Err(_) => self.settings.cache.min(REFUSAL_CACHE_MAX),
        };
        let until = now.saturating_add(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX));
        let ends = verdict.as_ref().ok().and_then(|grant| grant.expires_at_ms).unwrap_or(u64::MAX);
        self.cache().put(hash, verdict.clone(), until.min(ends), now);
    }

    fn unavailable(fault: Fault, shared: &Shared) -> Refusal {
        (shared.observer)(Event::IntrospectionFailed { fault: fault.to_string() });
        Code::AuthUnavailable.refuse().retry_after_ms(RETRY_MS)
    }

    /// Asks anew about every token.
    pub(super) fn forget(&self) {
        *self.cache() = Cache::new(self.settings.cache_entries);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // a panic while it was held leaves at worst an entry too few
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `application/x-www-form-urlencoded` of one value.
fn form(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
