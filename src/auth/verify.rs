//! From a token's text to a grant: shape, key, algorithm, signature, dates, audience, claims, in that order.
//!
//! Errors name what was wrong; of the token they repeat `alg`, `kid` and `iss` only, shortened.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Algorithm, AlgorithmSet, Grant, KeySet, VerificationKey,
    claims::{Claims, Rights, unix_ms},
    keys::{KEYS_PER_NAME_MAX, Provider, Rules},
    roles,
};
use crate::protocol::{Code, Refusal};

/// Longest token that is looked at: metadata and attributes at their limits fit, and little more.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// When to come back while a provider's keys have not been fetched yet.
const KEYS_RETRY_MS: u64 = 1_000;

/// Checks a token against the live keys at that moment (Unix milliseconds).
///
/// Refuses with `unauthenticated`, `token_expired`, `token_not_yet_valid`, `limit_exceeded` (a claim is too long), or
/// `auth_unavailable` (the keys of its provider have not arrived yet).
pub fn verify(token: &str, keys: &KeySet, now_unix_ms: u64) -> Result<Grant, Refusal> {
    check(token, keys, now_unix_ms).map_err(Rejection::into_refusal)
}

/// Whether a token looks like a JWT; what does not is opaque, and only its issuer can say what it means.
pub fn is_jwt_shaped(token: &str) -> bool {
    // `ey` is how `{"` or `{ ` begins in base64url
    token.starts_with("ey") && token.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// A token that was not accepted, and whether fetching keys could change that.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// No.
    Refused(Refusal),
    /// Its provider may have a newer key.
    KeyUnknown {
        /// `jwks`, `oidc`.
        provider: &'static str,
        /// The answer if it has not.
        refusal: Refusal,
    },
}

impl Rejection {
    pub(crate) fn into_refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) | Self::KeyUnknown { refusal, .. } => refusal,
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

/// As [`verify`], and says when an unknown key is a reason to ask the provider again.
pub(crate) fn check(token: &str, keys: &KeySet, now_unix_ms: u64) -> Result<Grant, Rejection> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(malformed("it is longer than 65536 bytes").into());
    }
    let (message, signature) = token.rsplit_once('.').ok_or_else(|| malformed("it is not three parts"))?;
    let (header, payload) = message.split_once('.').ok_or_else(|| malformed("it is not three parts"))?;
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| malformed("its header is not base64url"))?;
    let header: Header<'_> =
        serde_json::from_slice(&header).map_err(|_| malformed("its header is not a JSON object with `alg`"))?;
    if header.crit.is_some() {
        // RFC 7515 section 4.1.11: what is critical must be understood
        return Err(malformed("its header has critical extensions, of which none is known").into());
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed("its payload is not base64url"))?;
    let claims = read_claims(&payload)?;
    let signed = Signed { header: &header, message, signature };

    if let Some(live) = keys.by_name.get(claims.iss.as_ref()) {
        signed.by_static(live, &claims.iss)?;
        in_time(&claims, &keys.rules, now_unix_ms)?;
        let key = claims.iss.clone();
        return Ok(grant(claims, &key, None, &keys.rules)?);
    }
    let provider = keys
        .providers
        .iter()
        .find(|p| p.issuer.as_deref().is_none_or(|issuer| issuer == claims.iss))
        .ok_or_else(|| unknown_issuer(&claims.iss))?;
    signed.by_provider(provider)?;
    in_time(&claims, &keys.rules, now_unix_ms)?;
    for_audience(&claims, provider)?;
    Ok(grant(claims, provider.name, Some(&payload), &keys.rules)?)
}

struct Signed<'a> {
    header: &'a Header<'a>,
    message: &'a str,
    signature: &'a str,
}

impl Signed<'_> {
    fn by_static(&self, live: &[VerificationKey], name: &str) -> Result<(), Refusal> {
        let Some(kid) = self.header.kid.as_deref() else { return self.by_any(live.iter(), name) };
        let known = live.iter().any(|key| key.kid.as_deref() == Some(kid));
        // keys without a kid take any: token servers may write one that config does not know
        let wanted = if known { Some(kid) } else { None };
        let chosen = live.iter().filter(|key| key.kid.as_deref() == wanted);
        if chosen.clone().next().is_none() {
            return Err(unknown_kid(kid, name));
        }
        self.by_any(chosen, name)
    }

    fn by_provider(&self, provider: &Provider) -> Result<(), Rejection> {
        let Some(live) = provider.keys.as_deref() else {
            let refusal = Code::AuthUnavailable
                .because("the keys of the identity provider have not been fetched yet")
                .retry_after_ms(KEYS_RETRY_MS);
            return Err(Rejection::KeyUnknown { provider: provider.name, refusal });
        };
        // before anything is fetched for it: an algorithm that is never allowed is not a reason to ask
        self.algorithm_in(provider.algorithms, provider.name)?;
        let Some(kid) = self.header.kid.as_deref() else {
            return Ok(self.by_any(live.iter(), provider.name)?);
        };
        let known = |key: &&VerificationKey| key.kid.as_deref() == Some(kid);
        if live.iter().any(|key| known(&key)) {
            return Ok(self.by_any(live.iter().filter(known), provider.name)?);
        }
        Err(Rejection::KeyUnknown { provider: provider.name, refusal: unknown_kid(kid, provider.name) })
    }

    fn algorithm_in(&self, allowed: AlgorithmSet, name: &str) -> Result<Algorithm, Refusal> {
        Algorithm::by_name(&self.header.alg).filter(|algorithm| allowed.contains(*algorithm)).ok_or_else(|| {
            let message = format!(
                "algorithm {} is not allowed for key {}; allowed: {allowed}",
                quoted(&self.header.alg),
                quoted(name)
            );
            Code::Unauthenticated.because(message)
        })
    }

    fn by_any<'k>(&self, live: impl Iterator<Item = &'k VerificationKey> + Clone, name: &str) -> Result<(), Refusal> {
        let allowed = live.clone().fold(AlgorithmSet::EMPTY, |set, key| set.or(key.algorithms));
        let algorithm = self.algorithm_in(allowed, name)?;
        let genuine = live
            .filter(|key| key.algorithms.contains(algorithm))
            .take(KEYS_PER_NAME_MAX)
            .any(|key| self.is_by(key, algorithm));
        if genuine {
            return Ok(());
        }
        Err(Code::Unauthenticated.because(format!("the token's signature is not by key {}", quoted(name))))
    }

    fn is_by(&self, key: &VerificationKey, algorithm: Algorithm) -> bool {
        jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), &key.key, algorithm.jwa())
            .unwrap_or(false) // a signature that is not even base64url is a bad one
    }
}

fn read_claims(payload: &[u8]) -> Result<Claims<'_>, Refusal> {
    serde_json::from_slice(payload).map_err(|_| {
        // once more, slowly, to say which claim it is; the reader's own words could repeat its value
        let reader = &mut serde_json::Deserializer::from_slice(payload);
        let path = serde_path_to_error::deserialize::<_, Claims<'_>>(reader)
            .map_or_else(|e| e.path().to_string(), |_| String::new());
        let claim = path.split(['.', '[']).next().unwrap_or_default();
        match claim {
            "iss" | "sub" | "exp" | "nbf" | "aud" | "name" | "metadata" | "attributes" | "video" => {
                malformed(&format!("its claim `{claim}` has the wrong type"))
            }
            _ => malformed("its payload is not a JSON object of claims"),
        }
    })
}

pub(super) fn in_time(claims: &Claims<'_>, rules: &Rules, now_unix_ms: u64) -> Result<(), Refusal> {
    if claims.exp.is_some_and(|exp| now_unix_ms >= unix_ms(exp).saturating_add(rules.leeway_ms)) {
        return Err(Code::TokenExpired.refuse());
    }
    if claims.nbf.is_some_and(|nbf| now_unix_ms.saturating_add(rules.leeway_ms) < unix_ms(nbf)) {
        return Err(Code::TokenNotYetValid.refuse());
    }
    Ok(())
}

fn for_audience(claims: &Claims<'_>, provider: &Provider) -> Result<(), Refusal> {
    let Some(wanted) = provider.audience.as_deref() else { return Ok(()) };
    if claims.aud.as_ref().is_some_and(|audience| audience.contains(wanted)) {
        return Ok(());
    }
    Err(Code::Unauthenticated.because("the token is for another audience (claim `aud`)"))
}

/// The grant of claims that hold. `payload` is given for tokens of providers: their roles count when they carry no
/// `video` claim. Without either a static key's token still names an identity, and allows nothing.
pub(super) fn grant(
    mut claims: Claims<'_>,
    key: &str,
    payload: Option<&[u8]>,
    rules: &Rules,
) -> Result<Grant, Refusal> {
    let rights = match claims.video.take() {
        Some(video) => Rights::Video(video),
        None => {
            let payload: serde_json::Value =
                payload.map_or(Ok(serde_json::Value::Null), serde_json::from_slice).unwrap_or_default();
            Rights::Roles(roles::sum(&rules.roles, roles::names_at(&payload, &rules.roles_claim)))
        }
    };
    claims.into_grant(key, rights, &rules.limits, rules.leeway_ms)
}

fn malformed(what: &str) -> Refusal {
    Code::Unauthenticated.because(format!("the token is malformed: {what}"))
}

fn unknown_issuer(issuer: &str) -> Refusal {
    if issuer.is_empty() {
        return Code::Unauthenticated.because("the token names no key (claim `iss`)");
    }
    Code::Unauthenticated.because(format!("the token's key {} (claim `iss`) is not known", quoted(issuer)))
}

fn unknown_kid(kid: &str, name: &str) -> Refusal {
    Code::Unauthenticated.because(format!("key {} has no live key of kid {}", quoted(name), quoted(kid)))
}

/// A name out of a token, escaped and at most 64 characters of it.
fn quoted(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    format!("{short:?}")
}
