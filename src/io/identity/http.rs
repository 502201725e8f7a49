//! The one HTTP client towards identity providers: no redirects, no proxies, bounded in time and bytes.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, Url, redirect::Policy};

use super::IdentityError;
use crate::auth::Settings;

/// How long a connection to a provider may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Idle connections that are kept to each provider.
const IDLE_MAX: usize = 4;

/// Why a provider gave no answer. Says nothing of what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot connect")]
    Away,
    #[error("no answer in time")]
    Slow,
    #[error("too many questions are on their way")]
    Crowded,
    #[error("the answer broke off")]
    Broken,
    #[error("status {0}, not 200")]
    Status(StatusCode),
    #[error("the answer is longer than {0} bytes")]
    Oversized(usize),
    #[error("the answer is not of the expected format")]
    Format,
    #[error("the document's issuer is not the configured one")]
    Issuer,
    #[error("jwks_uri is not a URL, or is http while the issuer is https")]
    JwksUri,
}

/// A client towards providers, and where they are.
#[derive(Clone)]
pub(super) struct Outward {
    pub(super) client: Client,
    pub(super) jwks: Option<Url>,
    pub(super) discovery: Option<Url>,
    pub(super) introspection: Option<Url>,
}

impl Outward {
    /// Absent when no provider is configured: then no client and no root certificates are loaded.
    pub(super) fn new(settings: &Settings) -> Result<Option<Self>, IdentityError> {
        let jwks = settings.jwks.as_ref().map(|jwks| parse("auth.jwks.url", &jwks.url)).transpose()?;
        let discovery = settings
            .oidc
            .as_ref()
            .map(|oidc| {
                let issuer = oidc.issuer.trim_end_matches('/');
                parse("auth.oidc.issuer", &format!("{issuer}/.well-known/openid-configuration"))
            })
            .transpose()?;
        let introspection =
            settings.introspection.as_ref().map(|i| parse("auth.introspection.url", &i.url)).transpose()?;
        let urls = [&jwks, &discovery, &introspection];
        if urls.iter().all(|url| url.is_none()) {
            return Ok(None);
        }
        let encrypted = urls.into_iter().flatten().any(|url| url.scheme() == "https");
        let client = client(encrypted).map_err(IdentityError::Http)?;
        Ok(Some(Self { client, jwks, discovery, introspection }))
    }
}

fn parse(key: &'static str, url: &str) -> Result<Url, IdentityError> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or(IdentityError::Url { key })
}

fn client(encrypted: bool) -> Result<Client, reqwest::Error> {
    // an error means that the process has a provider already, which is as good
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_MAX)
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("signalbox/", env!("CARGO_PKG_VERSION")));
    // without https the system's root certificates are neither needed nor required to be there
    if encrypted { builder.build() } else { builder.tls_certs_only([]).build() }
}

/// The body of a 200 answer within that time and that size.
pub(super) async fn answer(request: RequestBuilder, timeout: Duration, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let mut response = request.timeout(timeout).send().await.map_err(|e| fault(&e))?;
    if response.status() != StatusCode::OK {
        return Err(Fault::Status(response.status()));
    }
    if response.content_length().is_some_and(|bytes| bytes > bytes_max as u64) {
        return Err(Fault::Oversized(bytes_max));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| fault(&e))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Fault::Oversized(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn fault(error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        Fault::Slow
    } else if error.is_connect() {
        Fault::Away
    } else {
        Fault::Broken
    }
}
