//! The way to the router: its address, TLS, the token.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use http::Uri;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use super::{super::token::signing_key, Access};
use crate::{
    auth::{TokenClaims, mint},
    io::clock,
    ops_client::innermost,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a token that is minted for one command is valid.
const TOKEN_SECONDS: u64 = 60;

/// Connects to a router.
pub(super) async fn open(url: &str, ca: &Path) -> Result<Channel> {
    let uri: Uri = url.parse().with_context(|| format!("--url {url}: not a URL"))?;
    let endpoint = Endpoint::from(uri.clone()).connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT);
    let channel = match uri.scheme_str() {
        Some("http") => endpoint.connect().await,
        Some("https") => endpoint.tls_config(trusting(ca)?)?.connect().await,
        _ => bail!("--url {url}: must begin with http:// or https://"),
    };
    channel.map_err(|e| {
        let cause = innermost(&e);
        anyhow!("cannot reach {url}: {cause}. Is the router up (`signalbox serve --dev`)? Is it elsewhere (--url)?")
    })
}

/// Certificates that the router's may be signed by; with none of them nobody could be reached.
fn trusting(ca: &Path) -> Result<ClientTlsConfig> {
    let unusable = || format!("--ca {}: the certificates to trust cannot be read", ca.display());
    let pem = std::fs::read(ca).with_context(unusable)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    if certificates.with_context(unusable)?.is_empty() {
        bail!("--ca {}: holds no certificate", ca.display());
    }
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

/// The token to call with, as the header's value: given, from a file, or minted.
pub(super) fn token(access: &Access) -> Result<MetadataValue<Ascii>> {
    let token = match (&access.token_file, &access.token) {
        (Some(path), _) => {
            let read = std::fs::read_to_string(path);
            read.with_context(|| format!("token file {}", path.display()))?.trim().to_owned()
        }
        (None, Some(token)) => token.trim().to_owned(),
        (None, None) => {
            let (key, secret) = signing_key(&access.signing)?;
            let until = clock::unix_ms() / 1000 + TOKEN_SECONDS;
            mint(&key, &secret, &TokenClaims::admin(None).expires_at(until))?
        }
    };
    // the parser's own error would repeat the token
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {token}").parse().map_err(|_| anyhow!("the token holds characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}
