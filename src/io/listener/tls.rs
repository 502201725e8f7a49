//! The certificate chain and key of a listener: read from PEM files, and read again when the files change.
//!
//! A new pair that cannot be used leaves the old one in force. Keys never appear in errors.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::clients::Clients;
use crate::io::file_version::{Version, version};

/// A chain of many large certificates stays far below.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM: the listener's certificate, then its intermediates.
    pub certificates: PathBuf,
    /// PEM: the private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
    /// PEM: who signs the certificates that the other side must show; absent: it shows none.
    pub client_ca: Option<PathBuf>,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system does not let the file be read.
    #[error("cannot read the {what} file {}: {cause}", path.display())]
    Unreadable {
        /// `certificate`, `key` or `client CA`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file holds something else.
    #[error("the {what} file {} {problem}", path.display())]
    Unusable {
        /// `certificate`, `key` or `client CA`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what it should be.
        problem: &'static str,
    },
    /// Certificate and key do not belong together.
    #[error("the key in {} is not the key of the certificate in {}", key.display(), certificates.display())]
    Mismatch {
        /// The certificates' file.
        certificates: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate or the key is of a kind that cannot be used.
    #[error("certificate {} and key {} cannot be used: {cause}", certificates.display(), key.display())]
    Refused {
        /// The certificates' file.
        certificates: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
}

type Versions = [Option<Version>; 3];

/// The pair in force, for every handshake that begins.
#[derive(Debug)]
struct InForce(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for InForce {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The certificates of one listener.
#[derive(Debug)]
pub(super) struct Certificates {
    settings: TlsSettings,
    provider: Arc<CryptoProvider>,
    in_force: Arc<InForce>,
    /// Absent: nobody shows one.
    clients: Option<Arc<Clients>>,
    seen: Mutex<Versions>,
}

impl Certificates {
    /// Reads the files for the first time.
    pub(super) fn load(settings: TlsSettings) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // First the versions, then the contents: a change between the two is then seen as one.
        let seen = Mutex::new(versions(&settings));
        let in_force = Arc::new(InForce(ArcSwap::from_pointee(read_pair(&settings, &provider)?)));
        let clients = settings.client_ca.as_deref().map(|path| Clients::read(path, &provider)).transpose()?;
        Ok(Self { settings, provider, in_force, clients: clients.map(Arc::new), seen })
    }

    /// For the handshakes of the listener, for as long as it lives: the certificates within follow the files.
    pub(super) fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let builder =
            ServerConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match &self.clients {
            Some(clients) => builder.with_client_cert_verifier(clients.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(self.in_force.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if self.clients.is_some() {
            // each connection shows its certificate: one that nobody signs for any more is not resumed
            config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            // Tickets instead of a session cache: nothing is held for clients that are gone.
            config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        }
        Ok(config)
    }

    /// When the own certificate in force ends being valid, since the Unix epoch; absent: it cannot be read.
    pub(super) fn expire(&self) -> Option<Duration> {
        let pair = self.in_force.0.load();
        let (_, certificate) = X509Certificate::from_der(pair.cert.first()?).ok()?;
        Some(Duration::from_secs(certificate.validity().not_after.timestamp().try_into().unwrap_or(0)))
    }

    /// Reads the files again if they changed since the last look. `None`: they did not.
    pub(super) fn refresh(&self) -> Option<Result<(), TlsError>> {
        let found = versions(&self.settings);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == found {
            return None;
        }
        *seen = found;
        drop(seen);
        Some(self.read_again())
    }

    /// All of it, or nothing.
    fn read_again(&self) -> Result<(), TlsError> {
        let pair = read_pair(&self.settings, &self.provider)?;
        if let (Some(clients), Some(path)) = (&self.clients, &self.settings.client_ca) {
            clients.0.store(Clients::read(path, &self.provider)?.0.load_full());
        }
        self.in_force.0.store(Arc::new(pair));
        Ok(())
    }
}

fn versions(settings: &TlsSettings) -> Versions {
    [version(&settings.certificates), version(&settings.key), settings.client_ca.as_deref().and_then(version)]
}

fn read_pair(settings: &TlsSettings, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain("certificate", &settings.certificates)?;
    let key = read_key(&settings.key)?;
    let (certificates, key_path) = (settings.certificates.clone(), settings.key.clone());
    CertifiedKey::from_der(chain, key, provider).map_err(|cause| match cause {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { certificates, key: key_path },
        cause => TlsError::Refused { certificates, key: key_path, cause },
    })
}

pub(super) fn read_chain(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |problem| TlsError::Unusable { what, path: path.to_owned(), problem };
    let chain = CertificateDer::pem_slice_iter(&read_file(what, path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable("is not valid PEM"))?;
    if chain.is_empty() {
        return Err(unusable("holds no certificate (expected PEM blocks `BEGIN CERTIFICATE`)"));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read_file("key", path)?;
    // The parser's own error may quote the file: it is left out.
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| TlsError::Unusable {
        what: "key",
        path: path.to_owned(),
        problem: "holds no private key (expected one PEM block `BEGIN PRIVATE KEY`, unencrypted)",
    })
}

fn read_file(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |cause| TlsError::Unreadable { what, path: path.to_owned(), cause };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsError::Unusable { what, path: path.to_owned(), problem: "is larger than 1 MiB" });
    }
    Ok(bytes)
}
