//! Reads a JSON Web Key Set (RFC 7517) that `io` fetched.

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use super::{Algorithm, AlgorithmSet, KeyError, VerificationKey};

/// Keys that are kept of one set; providers publish a handful.
pub(super) const KEYS_MAX: usize = 64;

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// The keys of a set that can verify an allowed algorithm, the first 64 of them. Others (for encryption, of unknown
/// kinds, malformed) are left out, as RFC 7517 section 5 asks.
pub fn parse_jwks(document: &[u8], allowed: AlgorithmSet) -> Result<Vec<VerificationKey>, KeyError> {
    let document: Document = serde_json::from_slice(document).map_err(|_| KeyError::NotAKeySet)?;
    Ok(document.keys.into_iter().filter_map(|key| usable(key, allowed)).take(KEYS_MAX).collect())
}

fn usable(key: Value, allowed: AlgorithmSet) -> Option<VerificationKey> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let key = VerificationKey::from_jwk(&jwk).ok()?;
    let algorithms = key.algorithms.and(allowed).and(declared(jwk.common.key_algorithm));
    if algorithms.is_empty() {
        return None;
    }
    key.with_algorithms(algorithms).ok()
}

/// What the key's own `alg` leaves; absent, all.
fn declared(algorithm: Option<KeyAlgorithm>) -> AlgorithmSet {
    match algorithm {
        None => AlgorithmSet::ASYMMETRIC,
        Some(named) => Algorithm::by_name(&named.to_string()).map_or(AlgorithmSet::EMPTY, AlgorithmSet::of),
    }
}
