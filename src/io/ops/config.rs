//! `/api/config`: what runs and where it came from, and what a file would change. Nothing here changes anything.

use std::fmt;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use serde_json::Value;

use super::{
    pages::{Problem, Question, quoted},
    routes::Shared,
};
use crate::{event::Changed, gray::Rules, io::admin::error_response, protocol::Code};

/// The configuration as the ops port sees it.
pub trait Configuration: fmt::Debug + Send + Sync {
    /// What runs; secrets are hidden.
    fn shown(&self) -> ShownConfig;
    /// Who gets which variant.
    fn variants(&self) -> Rules;
    /// What would become of a file with that text. May read the files that it names.
    fn proposed(&self, text: &str) -> Proposed;
    /// What would become of rules of the fleet with that text, or if there were none. May read the files that the file names.
    fn proposed_rules(&self, text: Option<&str>) -> Proposed;
}

/// What runs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ShownConfig {
    /// 1 at start, one more each time that something changed.
    pub generation: u64,
    /// As `signalbox_config_hash`.
    pub hash: u64,
    /// Whether the file was refused when it was read last.
    pub refused: bool,
    /// Every key.
    pub keys: Vec<ShownKey>,
}

/// A key.
#[derive(Clone, Debug, Serialize)]
pub struct ShownKey {
    /// Its name.
    pub key: String,
    /// What it is; secrets are hidden.
    pub value: Value,
    /// Who said so.
    pub source: String,
    /// Whether another value is taken up while the router runs.
    pub live: bool,
}

/// What would become of a file.
#[derive(Clone, Debug, Serialize)]
pub struct Proposed {
    /// What the router would do with it.
    pub verdict: ProposedVerdict,
    /// What is wrong with it.
    pub mistakes: Vec<ProposedMistake>,
    /// What would change, live or not.
    pub changes: Vec<Changed>,
    /// What was changed by asking: nothing.
    pub applied: [Changed; 0],
    /// All of it for people.
    #[serde(skip)]
    pub text: String,
}

/// What the router would do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposedVerdict {
    /// Take it up as a whole.
    Applicable,
    /// Nothing: it says what runs.
    Unchanged,
    /// Refuse it as a whole until it is started anew.
    NeedsRestart,
    /// Refuse it as a whole, and not start with it either.
    Mistaken,
}

/// One value that cannot be used.
#[derive(Clone, Debug, Serialize)]
pub struct ProposedMistake {
    /// Its key.
    pub key: String,
    /// What was given; hidden when it may be a secret.
    pub value: String,
    /// By whom.
    pub source: String,
    /// What is wrong with it, or what is allowed.
    pub problem: String,
}

/// `GET /api/config`.
pub(super) async fn shown(State(shared): State<Shared>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(shared.config.shown())).into_response()
}

#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Wanted {
    format: Option<String>,
}

/// `POST /api/config/check`, with the text of a file (TOML) as its body.
pub(super) async fn check(
    State(shared): State<Shared>,
    Question(wanted): Question<Wanted>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let as_text = match (wanted.format.as_deref(), headers.get(header::ACCEPT)) {
        (Some("text"), _) => true,
        (Some("json"), _) => false,
        (Some(other), _) => {
            return Problem(format!("format is {}; allowed: json, text", quoted(other))).into_response();
        }
        (None, accept) => accept.is_some_and(|accept| accept.as_bytes().starts_with(b"text/plain")),
    };
    let wrong = |why: &str| error_response(&Code::BadRequest.because(why.to_owned()));
    let Ok(body) = body else { return wrong("the body must be a file in TOML, and is too long or broke off") };
    let Ok(text) = String::from_utf8(body.into()) else { return wrong("the body is not text; a file in TOML is") };
    let config = shared.config.clone();
    let answer = shared.apart(move |_| {
        let proposed = config.proposed(&text);
        let status = match proposed.verdict {
            ProposedVerdict::Mistaken => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::OK,
        };
        let fresh = [(header::CACHE_CONTROL, "no-store")];
        match as_text {
            true => (status, fresh, proposed.text).into_response(),
            false => (status, fresh, Json(proposed)).into_response(),
        }
    });
    answer.await
}
