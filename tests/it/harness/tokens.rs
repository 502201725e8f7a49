//! Access tokens, wrong ones included: signed by hand, so that every part can be bent.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::remember;

const SECRET: &[u8] = b"secretsecretsecretsecretsecretsecret";

/// A token on its way to being signed.
pub(crate) struct Token {
    header: Value,
    pub(crate) claims: Value,
}

impl Token {
    /// For an identity in a room, with the usual grants, for ten minutes, of the key `devkey`.
    pub(crate) fn new(room: &str, identity: &str) -> Self {
        let video = json!({ "roomJoin": true, "room": room });
        let claims = json!({ "iss": "devkey", "sub": identity, "exp": unix_now() + 600, "video": video });
        Self { header: json!({ "alg": "HS256", "typ": "JWT" }), claims }
    }

    /// With a claim set.
    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// With a grant set.
    pub(crate) fn grant(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims["video"][name] = value.into();
        self
    }

    pub(crate) fn algorithm(mut self, name: &str) -> Self {
        self.header["alg"] = name.into();
        self
    }

    /// Names its key by that `kid`.
    pub(crate) fn kid(mut self, name: &str) -> Self {
        self.header["kid"] = name.into();
        self
    }

    fn content(&self) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}", encode(&self.header), encode(&self.claims))
    }

    /// Signed with the well-known secret.
    pub(crate) fn sign(&self) -> String {
        self.sign_with(SECRET)
    }

    pub(crate) fn sign_with(&self, secret: &[u8]) -> String {
        let content = self.content();
        let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(&content);
        let token = format!("{content}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
        remember(&token);
        token
    }

    /// With an empty signature.
    pub(crate) fn unsigned(&self) -> String {
        format!("{}.", self.content())
    }
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
