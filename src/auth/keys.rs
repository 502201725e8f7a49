//! What signatures are checked with: static keys by API key, and the keys of providers.

use std::{collections::BTreeMap, sync::Arc};

use jsonwebtoken::{
    AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk},
};

use super::{
    Algorithm, AlgorithmSet,
    settings::{KeyMaterial, KeySettings, RoleSettings, Settings},
};
use crate::protocol::Limits;

/// Shortest shared secret: as long as the output of SHA-256 (RFC 7518 section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// RSA moduli: RFC 7518 section 3.3 asks for 2048 bits, the library takes 4096 at most.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// Keys under one API key: rotation needs two, and each may cost a token without `kid` one verification.
pub(super) const KEYS_PER_NAME_MAX: usize = 8;
/// Names that grants of providers bear, so no static key may.
const PROVIDER_NAMES: [&str; 3] = ["jwks", "oidc", "introspection"];

/// A key that cannot be used. Says what is wrong with it, never what it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An empty or a provider's name.
    #[error("key {name:?}: a name must not be empty or one of {}", PROVIDER_NAMES.join(", "))]
    Name {
        /// The API key.
        name: String,
    },
    /// More keys under one name than are tried.
    #[error("key {name:?}: has more than {KEYS_PER_NAME_MAX} live keys")]
    TooMany {
        /// The API key.
        name: String,
    },
    /// Two keys of one name with one `kid`.
    #[error("key {name:?}: kid {kid:?} is there twice")]
    KidTwice {
        /// The API key.
        name: String,
        /// The `kid`.
        kid: String,
    },
    /// The material of a named key is bad.
    #[error("key {name:?}: {fault}")]
    Bad {
        /// The API key.
        name: String,
        /// What is wrong.
        fault: KeyFault,
    },
    /// A key document is not one.
    #[error("not a JSON Web Key Set")]
    NotAKeySet,
}

/// What is wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// A shared secret that could be guessed.
    #[error("the secret has {bytes} bytes, at least {SECRET_BYTES_MIN} are needed")]
    ShortSecret {
        /// Its length.
        bytes: usize,
    },
    /// A private key where the public one belongs.
    #[error("this is a private key; give the public one")]
    Private,
    /// Not a public key of a known kind.
    #[error("not a public key in PEM of RSA (2048 to 4096 bits), P-256, P-384 or Ed25519")]
    NotAPublicKey,
    /// The allow-list names what the key cannot do.
    #[error("algorithms {asked} do not suit the key; it can verify {possible}")]
    Algorithms {
        /// What does not suit.
        asked: AlgorithmSet,
        /// What would.
        possible: AlgorithmSet,
    },
}

/// One key, with the algorithms that it may be used with.
#[derive(Clone, Debug)]
pub struct VerificationKey {
    pub(super) kid: Option<String>,
    pub(super) algorithms: AlgorithmSet,
    pub(super) key: DecodingKey,
}

impl VerificationKey {
    /// A shared secret of 32 bytes or more, for HMAC only.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyFault> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyFault::ShortSecret { bytes: secret.len() });
        }
        Ok(Self { kid: None, algorithms: AlgorithmSet::HMAC, key: DecodingKey::from_secret(secret) })
    }

    /// A public key in PEM (SPKI, or PKCS#1 for RSA), for its own kind of signature only.
    pub fn from_public_pem(pem: &str) -> Result<Self, KeyFault> {
        if pem.contains("PRIVATE KEY") {
            return Err(KeyFault::Private);
        }
        let pem = pem.as_bytes();
        let key = DecodingKey::from_rsa_pem(pem)
            .or_else(|_| DecodingKey::from_ec_pem(pem))
            .or_else(|_| DecodingKey::from_ed_pem(pem))
            .map_err(|_| KeyFault::NotAPublicKey)?;
        let jwk = Jwk::from_decoding_key(&key, None).map_err(|_| KeyFault::NotAPublicKey)?;
        Self::asymmetric(key, &jwk.algorithm)
    }

    /// A public key of a key set. Symmetric keys are refused: what is published is no secret.
    pub(super) fn from_jwk(jwk: &Jwk) -> Result<Self, KeyFault> {
        if !is_sound(&jwk.algorithm) {
            return Err(KeyFault::NotAPublicKey);
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|_| KeyFault::NotAPublicKey)?;
        let mut made = Self::asymmetric(key, &jwk.algorithm)?;
        made.kid.clone_from(&jwk.common.key_id);
        Ok(made)
    }

    fn asymmetric(key: DecodingKey, parameters: &AlgorithmParameters) -> Result<Self, KeyFault> {
        if !is_sound(parameters) {
            return Err(KeyFault::NotAPublicKey);
        }
        let algorithms = possible(parameters).ok_or(KeyFault::NotAPublicKey)?;
        let made = Self { kid: None, algorithms, key };
        // points off the curve show only when the library builds its verifier; better now than at every token
        let algorithm = if made.key.family() == AlgorithmFamily::Rsa { None } else { algorithms.first() };
        if let Some(algorithm) = algorithm {
            jsonwebtoken::crypto::verify("", b"", &made.key, algorithm.jwa()).map_err(|_| KeyFault::NotAPublicKey)?;
        }
        Ok(made)
    }

    /// The same, known by that `kid`.
    #[must_use]
    pub fn with_kid(mut self, kid: Option<String>) -> Self {
        self.kid = kid;
        self
    }

    /// The same, with an allow-list; an empty one leaves what suits the key.
    pub fn with_algorithms(mut self, asked: AlgorithmSet) -> Result<Self, KeyFault> {
        let unsuited = asked.without(self.algorithms);
        if !unsuited.is_empty() {
            return Err(KeyFault::Algorithms { asked: unsuited, possible: self.algorithms });
        }
        if !asked.is_empty() {
            self.algorithms = asked;
        }
        Ok(self)
    }
}

/// What a public key can verify.
fn possible(parameters: &AlgorithmParameters) -> Option<AlgorithmSet> {
    match parameters {
        AlgorithmParameters::RSA(_) => Some(AlgorithmSet::RSA),
        AlgorithmParameters::EllipticCurve(point) => match point.curve {
            EllipticCurve::P256 => Some(AlgorithmSet::of(Algorithm::Es256)),
            EllipticCurve::P384 => Some(AlgorithmSet::of(Algorithm::Es384)),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Some(AlgorithmSet::of(Algorithm::EdDsa))
        }
        _ => None,
    }
}

/// Whether the numbers of a key have the sizes of its kind; the library slices some of them unchecked.
fn is_sound(parameters: &AlgorithmParameters) -> bool {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_or(0, |bytes| bytes.len());
    match parameters {
        AlgorithmParameters::RSA(rsa) => RSA_MODULUS_BYTES.contains(&bytes(&rsa.n)) && bytes(&rsa.e) <= 8,
        AlgorithmParameters::EllipticCurve(point) => {
            let side = if point.curve == EllipticCurve::P384 { 48 } else { 32 };
            bytes(&point.x) == side && bytes(&point.y) == side
        }
        AlgorithmParameters::OctetKeyPair(pair) => bytes(&pair.x) == 32,
        _ => false,
    }
}

/// A source of keys outside the config.
#[derive(Clone, Debug)]
pub(super) struct Provider {
    /// The `key` of its grants.
    pub(super) name: &'static str,
    /// The `iss` of its tokens; absent: any that no static key has.
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    /// What its keys may be used with.
    pub(super) algorithms: AlgorithmSet,
    /// Absent: never fetched yet.
    pub(super) keys: Option<Arc<[VerificationKey]>>,
}

/// How far clocks may be off, what claims may hold, and what roles allow.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) leeway_ms: u64,
    pub(super) limits: Limits,
    pub(super) roles: BTreeMap<String, RoleSettings>,
    pub(super) roles_claim: String,
}

/// Every key that is live, and the rules for what they sign. Cheap to clone: a refresh makes a new one.
#[derive(Clone, Debug)]
pub struct KeySet {
    pub(super) by_name: Arc<ahash::HashMap<String, Vec<VerificationKey>>>,
    pub(super) providers: Vec<Provider>,
    pub(super) rules: Arc<Rules>,
}

impl KeySet {
    /// The static keys of the settings, and the providers' places with no keys in them yet.
    pub fn new(settings: &Settings) -> Result<Self, KeyError> {
        let mut by_name: ahash::HashMap<String, Vec<VerificationKey>> = ahash::HashMap::default();
        for key in &settings.keys {
            add_static(&mut by_name, key)?;
        }
        let rules = Rules {
            leeway_ms: u64::try_from(settings.leeway.as_millis()).unwrap_or(u64::MAX),
            limits: settings.limits,
            roles: settings.roles.clone(),
            roles_claim: settings.roles_claim.clone(),
        };
        Ok(Self { by_name: Arc::new(by_name), providers: providers(settings), rules: Arc::new(rules) })
    }

    /// The same, with the keys that a provider (`jwks`, `oidc`) has now.
    #[must_use]
    pub fn with_provider_keys(&self, provider: &str, keys: Vec<VerificationKey>) -> Self {
        let mut next = self.clone();
        if let Some(place) = next.providers.iter_mut().find(|p| p.name == provider) {
            place.keys = Some(keys.into());
        }
        next
    }

    /// The same providers and what they have, with the static keys and the rules of the other.
    #[must_use]
    pub fn with_static(&self, other: &Self) -> Self {
        Self { providers: self.providers.clone(), ..other.clone() }
    }

    /// Whether a provider's keys were fetched at least once.
    pub fn has_provider_keys(&self, provider: &str) -> bool {
        self.providers.iter().any(|p| p.name == provider && p.keys.is_some())
    }

    /// The algorithms that a provider's keys may be used with.
    pub fn provider_algorithms(&self, provider: &str) -> AlgorithmSet {
        self.providers.iter().find(|p| p.name == provider).map_or(AlgorithmSet::EMPTY, |p| p.algorithms)
    }
}

fn add_static(
    by_name: &mut ahash::HashMap<String, Vec<VerificationKey>>,
    settings: &KeySettings,
) -> Result<(), KeyError> {
    let name = settings.name.clone();
    if name.is_empty() || PROVIDER_NAMES.contains(&name.as_str()) {
        return Err(KeyError::Name { name });
    }
    let key = match &settings.material {
        KeyMaterial::Secret(secret) => VerificationKey::from_secret(secret.expose().as_bytes()),
        KeyMaterial::PublicKeyPem(pem) => VerificationKey::from_public_pem(pem),
    }
    .and_then(|key| key.with_algorithms(settings.algorithms))
    .map_err(|fault| KeyError::Bad { name: name.clone(), fault })?
    .with_kid(settings.kid.clone());
    let keys = by_name.entry(name.clone()).or_default();
    if let Some(kid) = key.kid.as_ref().filter(|kid| keys.iter().any(|other| other.kid.as_ref() == Some(*kid))) {
        return Err(KeyError::KidTwice { name, kid: kid.clone() });
    }
    if keys.len() == KEYS_PER_NAME_MAX {
        return Err(KeyError::TooMany { name });
    }
    keys.push(key);
    Ok(())
}

fn providers(settings: &Settings) -> Vec<Provider> {
    // published keys are public: never HMAC, whatever the allow-list says
    let allowed = |asked: AlgorithmSet| {
        if asked.is_empty() { AlgorithmSet::ASYMMETRIC } else { asked.and(AlgorithmSet::ASYMMETRIC) }
    };
    let oidc = settings.oidc.as_ref().map(|oidc| Provider {
        name: "oidc",
        issuer: Some(oidc.issuer.clone()),
        audience: oidc.audience.clone(),
        algorithms: allowed(oidc.algorithms),
        keys: None,
    });
    let jwks = settings.jwks.as_ref().map(|jwks| Provider {
        name: "jwks",
        issuer: jwks.issuer.clone(),
        audience: jwks.audience.clone(),
        algorithms: allowed(jwks.algorithms),
        keys: None,
    });
    // the one that names its issuer comes first, so that one that takes any does not hide it
    oidc.into_iter().chain(jwks).collect()
}
