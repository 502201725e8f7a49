//! Whose certificates the other side of a listener must show: mutual TLS.
//!
//! Who signs them is read again when its file changes, for every handshake that begins from then on.

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::tls::{TlsError, read_chain};

/// Takes certificates that are signed by those in force.
#[derive(Debug)]
pub(super) struct Clients(pub(super) ArcSwap<Arc<dyn ClientCertVerifier>>);

impl Clients {
    /// Reads who signs them.
    pub(super) fn read(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let unusable = |problem| TlsError::Unusable { what: "client CA", path: path.to_owned(), problem };
        let mut roots = RootCertStore::empty();
        for certificate in read_chain("client CA", path)? {
            roots.add(certificate).map_err(|_| unusable("holds a certificate that cannot sign others"))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let verifier = verifier.map_err(|_| unusable("cannot be used to verify certificates"))?;
        Ok(Self(ArcSwap::from_pointee(verifier)))
    }
}

impl ClientCertVerifier for Clients {
    /// No hints: they may change, and who has only one certificate needs none.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.load().verify_client_cert(own, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.load().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().supported_verify_schemes()
    }
}
