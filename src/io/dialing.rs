//! What connections of ours to other servers have in common: their files of certificates, and how it reads when one fails.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// PEM files, read anew for each connection, so that new ones are in force with the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Who signs the other side's certificates.
    pub ca: PathBuf,
    /// This router's own certificate chain and its key, for who asks for them.
    pub own: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// What stands in them now.
    ///
    /// # Errors
    /// Which file cannot be read, and why.
    pub(super) async fn config(&self) -> Result<ClientTlsConfig, String> {
        let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&self.ca).await?));
        Ok(match &self.own {
            Some((certificates, key)) => {
                config.identity(Identity::from_pem(read(certificates).await?, read(key).await?))
            }
            None => config,
        })
    }

    /// The same for who speaks TLS without HTTP.
    ///
    /// # Errors
    /// Which file cannot be read or used, and why.
    pub(super) async fn rustls(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca).await? {
            roots.add(certificate).map_err(|error| unusable(&self.ca, error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let Some((chain, key)) = &self.own else { return Ok(config.with_no_client_auth()) };
        let own = PrivateKeyDer::from_pem_slice(&read(key).await?).map_err(|error| unusable(key, error))?;
        config.with_client_auth_cert(certificates(chain).await?, own).map_err(|error| unusable(chain, error))
    }
}

async fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path).await?;
    CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> String {
    format!("cannot use {}: {error}", path.display())
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    tokio::fs::read(path).await.map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// An error with all that lies under it: one of the transport says little by itself.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut said = vec![error.to_string()];
    let mut under = error.source();
    while let Some(cause) = under {
        said.push(cause.to_string());
        under = cause.source();
    }
    said.dedup();
    said.join(": ")
}

/// As much of it as a line of the log may hold.
pub(super) fn line(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}
