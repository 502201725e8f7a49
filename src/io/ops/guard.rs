//! Who may ask for what on the ops port.
//!
//! Beyond loopback `/debug` and `/api` ask for a bearer token; without a configured one they stay shut. Nothing that
//! changes state is taken from a web page, wherever the port listens.

use std::{io::Read as _, net::SocketAddr, path::Path, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, Method, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{OpsError, pprof};
use crate::{
    io::{admin::error_response, gateway::bearer},
    protocol::Code,
};

/// Shorter ones could be guessed.
const TOKEN_BYTES_MIN: usize = 16;
const TOKEN_BYTES_MAX: usize = 4096;

/// What the port asks of a request.
#[derive(Clone)]
pub(super) enum Guard {
    /// It listens on loopback only: whoever is there may ask.
    Open,
    /// The token whose hash this is.
    Token(Arc<[u8; 32]>),
    /// A token is asked for, but none is configured.
    Shut,
}

impl Guard {
    /// Reads the token when there is a file for it.
    pub(super) fn new(addresses: &[SocketAddr], token_file: Option<&Path>) -> Result<Self, OpsError> {
        let token = token_file.map(read_token).transpose()?;
        if addresses.iter().all(|address| address.ip().to_canonical().is_loopback()) {
            return Ok(Self::Open);
        }
        // kept and compared as a hash: neither its bytes nor its length can be measured
        Ok(token.map_or(Self::Shut, |token| Self::Token(Arc::new(Sha256::digest(token.trim()).into()))))
    }

    fn admits(&self, headers: &HeaderMap) -> Result<(), Refused> {
        match self {
            Self::Open => Ok(()),
            Self::Shut => Err(Refused::Shut),
            Self::Token(expected) => {
                let given = bearer(headers).ok_or(Refused::Token)?;
                let given: [u8; 32] = Sha256::digest(given).into();
                if bool::from(given.ct_eq(expected.as_slice())) { Ok(()) } else { Err(Refused::Token) }
            }
        }
    }
}

/// Why a request is turned away.
#[derive(Clone, Copy)]
enum Refused {
    Token,
    Shut,
    Origin,
}

impl Refused {
    const fn why(self) -> &'static str {
        match self {
            Self::Token => "needs the bearer token of ops.token_file",
            Self::Shut => "beyond loopback this needs ops.token_file to be set",
            Self::Origin => "the ops port takes no change from a web page",
        }
    }

    fn response(self) -> Response {
        let code = match self {
            Self::Token => Code::Unauthenticated,
            Self::Shut => Code::PermissionDenied,
            Self::Origin => Code::OriginRefused,
        };
        error_response(&code.because(self.why()))
    }
}

/// Lets a request through, or answers it.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && request.headers().contains_key(header::ORIGIN) {
        return Refused::Origin.response();
    }
    let path = request.uri().path();
    if is_private(path)
        && let Err(refused) = guard.admits(request.headers())
    {
        let response = refused.response();
        return if is_below(path, "/debug/pprof") { pprof::for_people(response, refused.why()) } else { response };
    }
    next.run(request).await
}

/// Everything under `/debug` and `/api`, whether it exists or not. Routes match the path as it is written, so another
/// spelling of these leads nowhere.
fn is_private(path: &str) -> bool {
    ["/debug", "/api"].into_iter().any(|folder| is_below(path, folder))
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn read_token(path: &Path) -> Result<String, OpsError> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(TOKEN_BYTES_MAX as u64 + 1).read_to_string(&mut text))
        .map_err(|cause| OpsError::TokenUnreadable { path: path.to_owned(), cause })?;
    let unusable = |problem| Err(OpsError::TokenUnusable { path: path.to_owned(), problem });
    let token = text.trim();
    if token.len() < TOKEN_BYTES_MIN || text.len() > TOKEN_BYTES_MAX {
        return unusable("must hold one token of 16 to 4096 bytes");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return unusable("must hold one token of printable ASCII without spaces, on one line");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debug_and_api_and_what_is_below_are_private() {
        for path in ["/debug", "/debug/", "/debug/pprof/profile", "/api", "/api/status"] {
            assert!(is_private(path), "{path}");
        }
        for path in ["/", "/metrics", "/health/ready", "/apix", "/debugger", "/health/api"] {
            assert!(!is_private(path), "{path}");
        }
    }

    #[test]
    fn a_token_file_that_cannot_be_used_is_named_and_its_contents_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let missing = read_token(&path).unwrap_err().to_string();
        assert!(missing.contains("ops.token_file") && missing.contains("token:"), "{missing}");
        for bad in ["", "\n", "short-secret", "a token of several words", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            std::fs::write(&path, bad).unwrap();
            let error = read_token(&path).unwrap_err().to_string();
            assert!(error.contains("must hold one token"), "{error}");
            assert!(bad.trim().is_empty() || !error.contains(bad), "{error}");
        }
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        assert!(read_token(&path).is_ok());
    }

    #[test]
    fn loopback_alone_is_open_and_one_other_address_asks_for_the_token() {
        let loopback = ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"].map(|a| a.parse().unwrap());
        assert!(matches!(Guard::new(&loopback, None), Ok(Guard::Open)));
        let wider = ["127.0.0.1:1", "0.0.0.0:1"].map(|a| a.parse().unwrap());
        assert!(matches!(Guard::new(&wider, None), Ok(Guard::Shut)));
    }
}
