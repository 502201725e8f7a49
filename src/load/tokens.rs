//! Who the participants are: identities, rooms and access tokens.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::LoadError;
use crate::auth::{DEV_KEY, DEV_SECRET, TokenClaims, mint};

/// How long minted tokens are valid: longer than the longest run.
const VALID: Duration = Duration::from_secs(2 * 3_600);

/// Where tokens come from.
#[derive(Clone)]
pub enum TokenSource {
    /// Minted with an API key.
    Key {
        /// `iss`.
        key: String,
        /// Its secret.
        secret: String,
    },
    /// Given, one for each participant; room by room.
    Given(Vec<String>),
    /// The server asks for none.
    None,
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key { key, .. } => write!(f, "Key({key})"),
            Self::Given(tokens) => write!(f, "Given({})", tokens.len()),
            Self::None => f.write_str("None"),
        }
    }
}

impl TokenSource {
    /// The key of `serve --dev`.
    pub fn dev() -> Self {
        Self::Key { key: DEV_KEY.to_owned(), secret: DEV_SECRET.to_owned() }
    }

    /// Tokens from a file, one a line; empty lines and lines with `#` are skipped.
    ///
    /// # Errors
    /// When it cannot be read or holds none.
    pub fn from_file(path: &Path) -> Result<Self, LoadError> {
        let refused = |why: String| LoadError::Options(format!("--token-file {}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| refused(e.to_string()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let tokens: Vec<_> = lines.map(ToOwned::to_owned).collect();
        if tokens.is_empty() { Err(refused("no token in it".to_owned())) } else { Ok(Self::Given(tokens)) }
    }
}

/// One participant's way in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pass {
    pub(crate) room: String,
    pub(crate) identity: String,
    pub(crate) token: String,
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pass({} in {})", self.identity, self.room)
    }
}

/// Hands out passes.
#[derive(Debug)]
pub(crate) struct Passes {
    source: TokenSource,
    /// Names this run's rooms apart from every other run's.
    run: String,
    valid_until: u64,
}

impl Passes {
    pub(crate) fn new(source: TokenSource) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { source, run: format!("{:06x}", fastrand::u32(..0x0100_0000)), valid_until: (now + VALID).as_secs() }
    }

    /// The pass of that number, for a room of that number when tokens are minted.
    ///
    /// # Errors
    /// When there are fewer given tokens, or one of them is no JWT for a room.
    pub(crate) fn get(&self, number: usize, room: usize) -> Result<Pass, LoadError> {
        self.named(number, room, &format!("p{number}"))
    }

    /// As [`Passes::get`], with another identity when tokens are minted.
    pub(crate) fn named(&self, number: usize, room: usize, identity: &str) -> Result<Pass, LoadError> {
        let room = format!("load-{}-{room}", self.run);
        match &self.source {
            TokenSource::None => Ok(Pass { room, identity: identity.to_owned(), token: String::new() }),
            TokenSource::Key { key, secret } => {
                let claims = TokenClaims::join(&room, identity).expires_at(self.valid_until);
                let token = mint(key, secret, &claims).map_err(|e| LoadError::Options(e.to_string()))?;
                Ok(Pass { room, identity: identity.to_owned(), token })
            }
            TokenSource::Given(tokens) => {
                let short =
                    || LoadError::Options(format!("{} tokens given, more participants asked for", tokens.len()));
                let token = tokens.get(number).ok_or_else(short)?;
                let (named, identity) = claims_of(token).ok_or_else(|| {
                    let line = number + 1;
                    LoadError::Options(format!("token {line} of the file is not a JWT with `sub`"))
                })?;
                Ok(Pass { room: if named.is_empty() { room } else { named }, identity, token: token.clone() })
            }
        }
    }
}

/// Room and identity of a token, unverified: the router verifies.
fn claims_of(token: &str) -> Option<(String, String)> {
    #[derive(serde::Deserialize)]
    struct Claims {
        sub: String,
        #[serde(default)]
        video: Video,
    }
    #[derive(Default, serde::Deserialize)]
    struct Video {
        #[serde(default)]
        room: String,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some((claims.video.room, claims.sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_tokens_name_their_own_room_and_identity() {
        let minted = Passes::new(TokenSource::dev()).get(3, 7).unwrap();
        let given = Passes::new(TokenSource::Given(vec![minted.token.clone()]));
        assert_eq!(given.get(0, 0).unwrap(), minted);
        assert!(given.get(1, 0).unwrap_err().to_string().contains("1 tokens given"));
    }

    #[test]
    fn what_is_no_token_is_named_by_its_place() {
        let given = Passes::new(TokenSource::Given(vec!["secret-looking".to_owned()]));
        let refused = given.get(0, 0).unwrap_err().to_string();
        assert!(refused.contains("token 1"), "{refused}");
        assert!(!refused.contains("secret-looking"), "{refused}");
    }

    #[test]
    fn a_token_file_skips_comments_and_must_hold_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, "# mine\n\n a.b.c \n").unwrap();
        assert!(matches!(TokenSource::from_file(&path), Ok(TokenSource::Given(tokens)) if tokens == ["a.b.c"]));
        std::fs::write(&path, "# none\n").unwrap();
        assert!(TokenSource::from_file(&path).is_err());
    }

    #[test]
    fn secrets_and_tokens_are_not_in_debug_output() {
        let passes = Passes::new(TokenSource::dev());
        let text = format!("{passes:?} {:?}", passes.get(0, 0).unwrap());
        assert!(!text.contains(DEV_SECRET) && !text.contains("eyJ"), "{text}");
    }
}
