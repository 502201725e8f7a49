//! Resume tokens: signed claims, so that any router with the secret can check one and find its room.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    ids::{RoomId, SessionId},
    protocol::{Code, Refusal},
};

/// What a resume token says, once its signature has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeClaims {
    /// The session.
    pub session: SessionId,
    /// Its room, which says who owns it.
    pub room: RoomId,
    /// The API key and identity it was issued to.
    pub key: String,
    /// The identity.
    pub identity: String,
    /// How many resumes came before it; a token is spent when a later one has been used.
    pub generation: u64,
}

/// As it travels: version, session, room, key, identity, generation.
#[derive(Serialize, Deserialize)]
struct Wire(u8, String, String, String, String, u64);

const VERSION: u8 = 1;
/// HMAC-SHA256, cut to 16 bytes (RFC 2104 section 5 allows half the output).
const TAG_BYTES: usize = 16;
/// Longer ones are not ours.
const TOKEN_BYTES_MAX: usize = 4096;

/// Mints and verifies resume tokens.
#[derive(Clone)]
pub struct ResumeTokens {
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for ResumeTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResumeTokens(hidden)")
    }
}

impl ResumeTokens {
    /// With that secret; routers that share sessions share it.
    pub fn new(secret: &[u8]) -> Self {
        Self { mac: Hmac::new_from_slice(secret).expect("HMAC takes a key of any length") }
    }

    /// A token with these claims.
    pub fn mint(&self, claims: &ResumeClaims) -> String {
        let wire = Wire(
            VERSION,
            claims.session.to_string(),
            claims.room.to_string(),
            claims.key.clone(),
            claims.identity.clone(),
            claims.generation,
        );
        let mut bytes = serde_json::to_vec(&wire).expect("text and numbers always serialise");
        let tag = self.mac.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&tag[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The claims of a token that this secret signed.
    ///
    /// # Errors
    /// `resume_token_invalid` for everything else.
    pub fn verify(&self, token: &str) -> Result<ResumeClaims, Refusal> {
        let invalid = || Code::ResumeTokenInvalid.refuse();
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let (claims, tag) = bytes.split_at_checked(bytes.len().saturating_sub(TAG_BYTES)).ok_or_else(invalid)?;
        self.mac.clone().chain_update(claims).verify_truncated_left(tag).map_err(|_| invalid())?;
        let Ok(Wire(VERSION, session, room, key, identity, generation)) = serde_json::from_slice(claims) else {
            return Err(invalid());
        };
        Ok(ResumeClaims { session: session.into(), room: room.into(), key, identity, generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> ResumeClaims {
        ResumeClaims {
            session: "SE_1".into(),
            room: "r".into(),
            key: "k".to_owned(),
            identity: "alice".to_owned(),
            generation: 7,
        }
    }

    #[test]
    fn what_was_minted_is_verified() {
        let tokens = ResumeTokens::new(b"secret");
        assert_eq!(tokens.verify(&tokens.mint(&claims())).unwrap(), claims());
    }

    #[test]
    fn a_forged_truncated_or_foreign_token_is_refused() {
        let tokens = ResumeTokens::new(b"secret");
        let token = tokens.mint(&claims());
        let foreign = ResumeTokens::new(b"other").mint(&claims());
        let mut flipped = token.clone().into_bytes();
        flipped[3] ^= 1;
        let flipped = String::from_utf8(flipped).unwrap();
        let long = "A".repeat(5000);
        for bad in ["", "x", "%%%", &token[..token.len() - 4], &foreign, &flipped, &long] {
            assert_eq!(tokens.verify(bad).unwrap_err().code, Code::ResumeTokenInvalid, "{bad}");
        }
    }
}
