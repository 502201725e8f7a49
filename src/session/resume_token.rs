//! Resume tokens: what a session was issued for, signed, so that any router of the fleet can check it.
//!
//! `base64url(version ‖ generation ‖ four texts with their lengths ‖ lives ‖ HMAC-SHA256)`. Not encrypted: it holds
//! nothing that its bearer does not know.
//!
//! Version 1 has no lives; version 2 has one or more, each an epoch, an offset, and 1 where the room came anew since. As long as a room
//! stays where it is its tokens are of version 1.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{Came, Lives, ResumeClaims};
use crate::{
    ids::{Epoch, Offset},
    protocol::{Code, Refusal},
};

const VERSION: u8 = 1;
const VERSION_WITH_LIVES: u8 = 2;
const MAC_BYTES: usize = 32;
/// No token of ours is longer: an identity and a room name are bounded well below.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Signs and checks resume tokens.
#[derive(Clone)]
pub struct ResumeTokens {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for ResumeTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResumeTokens").finish_non_exhaustive()
    }
}

impl ResumeTokens {
    /// With a secret that all routers of a fleet share; 32 bytes or more.
    pub fn new(secret: &[u8]) -> Self {
        Self { keyed: Hmac::new_from_slice(secret).expect("HMAC takes keys of every length") }
    }

    /// The token that says this.
    pub fn mint(&self, claims: &ResumeClaims) -> String {
        let texts = [claims.session.as_str(), claims.room.as_str(), &claims.key, &claims.identity];
        let mut bytes = Vec::with_capacity(128);
        bytes.push(if claims.lives.is_empty() { VERSION } else { VERSION_WITH_LIVES });
        bytes.extend_from_slice(&claims.generation.to_be_bytes());
        for text in texts {
            bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        for Came { epoch, upto, anew } in claims.lives.iter() {
            bytes.extend_from_slice(&epoch.0.to_be_bytes());
            bytes.extend_from_slice(&upto.0.to_be_bytes());
            bytes.push(u8::from(anew));
        }
        self.signed(bytes)
    }

    pub(super) fn signed(&self, mut bytes: Vec<u8>) -> String {
        let mac = self.keyed.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token says.
    ///
    /// # Errors
    /// `resume_token_invalid` when it is forged, truncated or not a token at all.
    pub fn verify(&self, token: &str) -> Result<ResumeClaims, Refusal> {
        self.read(token).ok_or_else(|| Code::ResumeTokenInvalid.because("not a resume token of this service"))
    }

    fn read(&self, token: &str) -> Option<ResumeClaims> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signed, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        self.keyed.clone().chain_update(signed).verify_slice(mac).ok()?;
        let (version, rest) = signed.split_first()?;
        let (generation, mut rest) = rest.split_first_chunk()?;
        let mut claims = ResumeClaims {
            generation: u64::from_be_bytes(*generation),
            session: text(&mut rest)?.into(),
            room: text(&mut rest)?.into(),
            key: text(&mut rest)?.to_owned(),
            identity: text(&mut rest)?.to_owned(),
            lives: Lives::default(),
        };
        match *version {
            VERSION => {}
            VERSION_WITH_LIVES => claims.lives = lives(&mut rest)?,
            _ => return None,
        }
        rest.is_empty().then_some(claims)
    }
}

/// One or more.
fn lives(rest: &mut &[u8]) -> Option<Lives> {
    let mut lives = Lives::default();
    while lives.is_empty() || !rest.is_empty() {
        let (epoch, after) = rest.split_first_chunk()?;
        let (upto, after) = after.split_first_chunk()?;
        let (anew, after) = after.split_first()?;
        let (epoch, upto) = (Epoch(u64::from_be_bytes(*epoch)), Offset(u64::from_be_bytes(*upto)));
        lives.add(Came { epoch, upto, anew: *anew != 0 });
        *rest = after;
    }
    Some(lives)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, after) = rest.split_first_chunk()?;
    let (text, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}
