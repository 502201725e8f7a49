//! What connections of ours to other servers have in common: their files of certificates, and how it reads when one fails.

use std::{
    error::Error,
    path::{Path, PathBuf},
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
