//! The way to the router: its address, TLS, the token.

use std::{io, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::{super::token::signing_key, Access};
use crate::{
    auth::{TokenClaims, mint},
    io::clock,
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
        Some("https") => endpoint.connect_with_connector(tls_connector(&uri, ca)?).await,
        _ => bail!("--url {url}: must begin with http:// or https://"),
    };
    channel.map_err(|e| {
        let cause = innermost(&e);
        anyhow!("cannot reach {url}: {cause}. Is the router up (`signalbox serve --dev`)? Is it elsewhere (--url)?")
    })
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

type Connected = io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>>;
type Connecting = std::pin::Pin<Box<dyn Future<Output = Connected> + Send>>;

/// TLS is below the connector, so that the channel need not know of it.
fn tls_connector(uri: &Uri, ca: &Path) -> Result<tower::util::ServiceFn<impl FnMut(Uri) -> Connecting + use<>>> {
    let host = uri.host().context("--url: no host")?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(443);
    let name = ServerName::try_from(host.clone()).with_context(|| format!("--url: {host}: not a host name"))?;
    let connector = TlsConnector::from(Arc::new(trusting(ca)?));
    Ok(tower::service_fn(move |_: Uri| {
        let (host, name, connector) = (host.clone(), name.clone(), connector.clone());
        let connecting = async move {
            let socket = TcpStream::connect((host.as_str(), port)).await?;
            Ok(TokioIo::new(connector.connect(name, socket).await?))
        };
        Box::pin(connecting) as Connecting
    }))
}

fn trusting(ca: &Path) -> Result<ClientConfig> {
    let unusable = || format!("--ca {}: the certificates to trust cannot be read", ca.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).with_context(unusable)? {
        // a system's bundle may hold one that is not understood; the others count
        roots.add(certificate.with_context(unusable)?).ok();
    }
    if roots.is_empty() {
        bail!("--ca {}: holds no certificate", ca.display());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
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
