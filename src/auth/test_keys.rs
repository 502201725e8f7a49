//! Key pairs for tests: made on the spot, except for RSA.

use jsonwebtoken::{EncodingKey, Header, jwk::Jwk};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm};

use super::{Algorithm, TokenClaims, mint::mint_with};

/// Signs as one algorithm's key pair.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) public_pem: String,
    key: EncodingKey,
}

impl Signer {
    /// A new pair; the RSA one is always the same.
    pub(crate) fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => panic!("{algorithm:?} has no public key"),
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => Self {
                algorithm,
                public_pem: include_str!("../../tests/data/rsa_test_key.pub.pem").to_owned(),
                key: EncodingKey::from_rsa_pem(include_bytes!("../../tests/data/rsa_test_key.pem")).unwrap(),
            },
            Algorithm::Es256 => Self::made(algorithm, &PKCS_ECDSA_P256_SHA256, EncodingKey::from_ec_der),
            Algorithm::Es384 => Self::made(algorithm, &PKCS_ECDSA_P384_SHA384, EncodingKey::from_ec_der),
            Algorithm::EdDsa => Self::made(algorithm, &PKCS_ED25519, EncodingKey::from_ed_der),
        }
    }

    fn made(algorithm: Algorithm, kind: &'static SignatureAlgorithm, key: fn(&[u8]) -> EncodingKey) -> Self {
        let pair = KeyPair::generate_for(kind).unwrap();
        Self { algorithm, public_pem: pair.public_key_pem(), key: key(&pair.serialize_der()) }
    }

    /// A token with that `iss` and `kid`.
    pub(crate) fn sign(&self, iss: &str, kid: Option<&str>, claims: &TokenClaims) -> String {
        let mut header = Header::new(self.algorithm.jwa());
        header.kid = kid.map(ToOwned::to_owned);
        mint_with(&header, iss, &self.key, claims).unwrap()
    }

    /// A token of any claims.
    pub(crate) fn sign_json(&self, kid: Option<&str>, claims: &serde_json::Value) -> String {
        let mut header = Header::new(self.algorithm.jwa());
        header.kid = kid.map(ToOwned::to_owned);
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    /// The public half as a key of a key set.
    pub(crate) fn jwk(&self, kid: &str) -> serde_json::Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm.jwa());
        if self.algorithm == Algorithm::EdDsa {
            // the library takes the older form of the private key only; the public one will do
            let public = jsonwebtoken::DecodingKey::from_ed_pem(self.public_pem.as_bytes()).unwrap();
            jwk = Jwk::from_decoding_key(&public, Some(self.algorithm.jwa()));
        }
        let mut jwk = jwk.unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        serde_json::to_value(jwk).unwrap()
    }
}
