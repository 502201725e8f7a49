//! What connections of ours to other servers have in common: how they are made over HTTP/2, their files of certificates, and how
//! it reads when one fails.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::time::timeout;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// A connection that says nothing for so long is asked whether it lives.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
/// And ends when it does not say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A chain of causes in one line.
const CAUSE_CHARS_MAX: usize = 200;
/// What one side may send before the other has read it: HTTP/2's own 64 KiB are less than a round trip between regions carries.
const WINDOW_BYTES: u32 = 2 << 20;

/// How to make a connection.
#[derive(Debug)]
pub(super) struct Dial<'a> {
    /// For addresses with https.
    pub(super) tls: Option<&'a TlsFiles>,
    /// The key of the configuration that is missing where there is none.
    pub(super) tls_key: &'static str,
    /// How long it may take.
    pub(super) patience: Duration,
}

/// Why a connection was not made.
#[derive(Debug)]
pub(super) struct Unmade {
    /// In this side's words.
    pub(super) why: String,
    /// The other side's machine answered, and nobody listens there: whoever should has ended.
    pub(super) nobody: bool,
}

impl From<String> for Unmade {
    fn from(why: String) -> Self {
        Self { why, nobody: false }
    }
}

/// Connects by HTTP/2. A channel would connect again by itself, to whoever is there then: it is let go of with what was begun on it.
///
/// # Errors
/// What was in the way.
pub(super) async fn connect(url: &str, dial: &Dial<'_>) -> Result<Channel, Unmade> {
    let mut endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|_| "its address cannot be used".to_owned())?
        .connect_timeout(dial.patience)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if url.starts_with("https://") {
        let files = dial.tls.ok_or_else(|| format!("https needs {}", dial.tls_key))?;
        endpoint = endpoint.tls_config(files.config().await?).map_err(|error| cause(&error))?;
    }
    match timeout(dial.patience, endpoint.connect()).await {
        Ok(connected) => connected.map_err(|error| Unmade { why: cause(&error), nobody: is_of_nobody(&error) }),
        Err(_) => Err(format!("no connection within {:?}", dial.patience).into()),
    }
}

/// Whether it says that nobody listens there, and not that the way there is long or closed.
fn is_of_nobody(error: &(dyn Error + 'static)) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref().is_some_and(refused) {
            return true;
        }
        next = error.source();
    }
    false
}

/// What lies under an error of the transport, which says only that it is one.
fn cause(error: &tonic::transport::Error) -> String {
    let said = error.source().map_or_else(|| error.to_string(), causes);
    line(&said, CAUSE_CHARS_MAX)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn that_nobody_listens_is_told_from_all_else_that_is_in_the_way() {
        let dial = Dial { tls: None, tls_key: "x.ca_file", patience: Duration::from_millis(300) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let Unmade { why, nobody } = connect(&url, &dial).await.unwrap_err();
        assert!(nobody, "{why}");
        for url in ["https://127.0.0.1:1", "http://nowhere.invalid:1", "not a url"] {
            let Unmade { why, nobody } = connect(url, &dial).await.unwrap_err();
            assert!(!nobody, "{url}: {why}");
        }
    }
}
