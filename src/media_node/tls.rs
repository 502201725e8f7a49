//! TLS of the control port and towards routers, read from PEM files at the start.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};

/// The certificate of the control port, which is also the node's own towards routers that ask for one.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM: the certificate, then its intermediates.
    pub certificates: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: who signs the certificates that callers have to show. Absent: anybody may call.
    pub client_ca: Option<PathBuf>,
}

/// For the control port.
pub(super) fn server(tls: &Tls) -> Result<ServerTlsConfig> {
    let config = ServerTlsConfig::new().identity(identity(tls)?);
    match &tls.client_ca {
        Some(path) => Ok(config.client_ca_root(authority("client CA", path)?)),
        None => Ok(config),
    }
}

/// The way to a router or node: `http://` as it is, `https://` trusting `ca`, with a certificate of one's own if there is one.
///
/// # Errors
/// Names the URL or the file that cannot be used.
pub fn endpoint(url: &str, ca: Option<&Path>, own: Option<&Tls>) -> Result<Endpoint> {
    let endpoint = Endpoint::from_shared(url.to_owned()).with_context(|| format!("{url}: not a URL"))?;
    match (endpoint.uri().scheme_str(), ca) {
        (Some("http"), _) => Ok(endpoint),
        (Some("https"), Some(ca)) => {
            let config = ClientTlsConfig::new().ca_certificate(authority("CA", ca)?);
            let config = if let Some(own) = own { config.identity(identity(own)?) } else { config };
            endpoint.tls_config(config).with_context(|| format!("{url}: TLS cannot be set up"))
        }
        (Some("https"), None) => bail!("{url}: whose certificate to trust is not said"),
        _ => bail!("{url}: must begin with http:// or https://"),
    }
}

fn identity(tls: &Tls) -> Result<Identity> {
    let certificates = authority("certificate", &tls.certificates)?;
    let key = std::fs::read(&tls.key).with_context(|| format!("key file {}", tls.key.display()))?;
    // the parser's own error may quote the file: it is left out
    if PrivateKeyDer::from_pem_slice(&key).is_err() {
        bail!("key file {}: holds no private key", tls.key.display());
    }
    Ok(Identity::from_pem(certificates, key))
}

fn authority(what: &str, path: &Path) -> Result<Certificate> {
    let named = || format!("{what} file {}", path.display());
    let pem = std::fs::read(path).with_context(named)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    if certificates.with_context(named)?.is_empty() {
        bail!("{}: holds no certificate", named());
    }
    Ok(Certificate::from_pem(pem))
}
