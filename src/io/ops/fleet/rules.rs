//! `/api/fleet/rules`: the rules that the whole fleet follows, read, judged, written and taken away.
//!
//! A text is judged over what this router runs before it is written, and written only over the revision that its writer saw. Every
//! refusal says whose fault it is and whether the same may be tried again.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::super::{
    config::{Proposed, ProposedVerdict},
    routes::Shared,
};
use crate::{
    directory::{Fault, RULES_BYTES_MAX},
    event::DirectoryOutcome,
    io::directory::WriteError,
};

/// When an etcd that did not answer may be asked again.
const RETRY_SECONDS: u32 = 1;

/// Why it was not done.
#[derive(Debug)]
enum Refused {
    /// This router has no fleet.
    Alone,
    /// The request does not say over what it writes, or not so that it can be read.
    Revision,
    /// The body is no text, or too long.
    Body,
    /// This router would refuse it as a whole.
    Mistaken(Box<Proposed>),
    /// Something else stands there than the writer saw; as far as this router has heard, rules of that revision.
    Overtaken { stands: i64 },
    /// etcd did not do it.
    Away(Fault),
    /// A defect of ours.
    Internal,
}

impl Refused {
    /// Status, word, whose fault it is, and whether the same may be tried again.
    const fn kind(&self) -> (StatusCode, &'static str, &'static str, bool) {
        match self {
            Self::Alone => (StatusCode::CONFLICT, "no_fleet", "router", false),
            Self::Revision => (StatusCode::PRECONDITION_REQUIRED, "revision_missing", "client", false),
            Self::Body => (StatusCode::PAYLOAD_TOO_LARGE, "rules_unreadable", "client", false),
            Self::Mistaken(_) => (StatusCode::UNPROCESSABLE_ENTITY, "rules_mistaken", "client", false),
            Self::Overtaken { .. } => (StatusCode::PRECONDITION_FAILED, "rules_overtaken", "client", false),
            Self::Away(Fault { outcome: DirectoryOutcome::Denied, .. }) => {
                (StatusCode::BAD_GATEWAY, "etcd_denied", "dependency", false)
            }
            Self::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "etcd_unavailable", "dependency", true),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "router", true),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Alone => {
                "this router runs alone: etcd.endpoints is empty, so there are no rules of a fleet".to_owned()
            }
            Self::Revision => {
                "If-Match is missing or none: it holds the revision that GET /api/fleet/rules told, 0 where \
                nothing stands; nothing was written"
                    .to_owned()
            }
            Self::Body => format!("the body must be TOML of at most {RULES_BYTES_MAX} bytes; nothing was written"),
            Self::Mistaken(proposed) => {
                let mut why: Vec<_> =
                    proposed.mistakes.iter().map(|mistake| format!("{}: {}", mistake.key, mistake.problem)).collect();
                let fixed = proposed.changes.iter().filter(|change| !change.live);
                why.extend(fixed.map(|change| format!("{change} needs a restart")));
                format!("this router would refuse it, so nothing was written: {}", why.join("; "))
            }
            Self::Overtaken { stands } => format!(
                "something else stands there than what was to be replaced (as far as this router has heard, {}): somebody wrote \
                 meanwhile. Nothing was written; read the rules again, then write over their revision",
                if *stands == 0 { "nothing".to_owned() } else { format!("revision {stands}") }
            ),
            Self::Away(Fault { outcome: DirectoryOutcome::Late | DirectoryOutcome::Unreachable, why }) => format!(
                "etcd did not say that it did it: {why}. It may have done it all the same; read the rules again, then try again"
            ),
            Self::Away(Fault { why, .. }) => format!("etcd did not do it: {why}. Nothing was written"),
            Self::Internal => "the rules could not be judged; nothing was written".to_owned(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code, side, retry) = self.kind();
        let mut told = json!({ "error": { "code": code, "message": self.message(), "side": side, "retry": retry } });
        if let Self::Mistaken(proposed) = &self {
            told["mistakes"] = json!(proposed.mistakes);
            told["changes"] = json!(proposed.changes);
        }
        let mut response = (status, [(header::CACHE_CONTROL, "no-store")], Json(told)).into_response();
        if retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        response
    }
}

/// `GET /api/fleet/rules`: what stands in etcd and who has it in force, as far as this router has heard.
pub(in crate::io::ops) async fn shown(State(shared): State<Shared>) -> Response {
    let Some(view) = shared.fleet.view() else { return Refused::Alone.into_response() };
    let stand = shared.fleet.rules().stand();
    let (text, unreadable) = match stand.as_ref().map(|news| &news.text) {
        Some(Ok(text)) => (Some(&**text), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let revision = stand.as_ref().map_or(0, |news| news.revision);
    let router = |row: &crate::directory::RouterRow| {
        json!({
            "id": row.id, "region": row.region, "version": row.version, "draining": row.draining, "rules": row.rules,
        })
    };
    let told = json!({
        "router": view.router,
        "answers": view.answers,
        "why": view.why,
        "revision": revision,
        "text": text,
        "unreadable": unreadable,
        "here": shared.fleet.rules().standing(),
        "routers": view.routers.iter().map(router).collect::<Vec<_>>(),
    });
    answered(revision, told)
}

/// `POST /api/fleet/rules/check`, with rules (TOML) as its body: what this router would do with them. Nothing is written.
pub(in crate::io::ops) async fn check(State(shared): State<Shared>, body: Result<Bytes, BytesRejection>) -> Response {
    let judged = match text_of(body) {
        Ok(text) => judge(&shared, Some(text)).await,
        Err(refused) => Err(refused),
    };
    match judged {
        Ok(proposed) => ([(header::CACHE_CONTROL, "no-store")], Json(proposed)).into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// `PUT /api/fleet/rules`, with rules (TOML) as its body.
pub(in crate::io::ops) async fn put(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let written = match text_of(body) {
        Ok(text) => write(&shared, &headers, Some(text)).await,
        Err(refused) => Err(refused),
    };
    written.unwrap_or_else(IntoResponse::into_response)
}

/// `DELETE /api/fleet/rules`.
pub(in crate::io::ops) async fn delete(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    write(&shared, &headers, None).await.unwrap_or_else(IntoResponse::into_response)
}

async fn write(shared: &Shared, headers: &HeaderMap, text: Option<String>) -> Result<Response, Refused> {
    if shared.fleet.view().is_none() {
        return Err(Refused::Alone);
    }
    let expected = expected(headers).ok_or(Refused::Revision)?;
    let proposed = judge(shared, text.clone()).await?;
    let rules = shared.fleet.rules();
    match rules.write(text, expected).await {
        Ok(revision) => Ok(answered(revision, json!({ "revision": revision, "changes": proposed.changes }))),
        Err(WriteError::Alone) => Err(Refused::Alone),
        Err(WriteError::Overtaken) => Err(Refused::Overtaken { stands: rules.stand().map_or(0, |news| news.revision) }),
        Err(WriteError::Fault(fault)) => Err(Refused::Away(fault)),
    }
}

/// What this router would do with them, when that is something.
async fn judge(shared: &Shared, text: Option<String>) -> Result<Proposed, Refused> {
    let config = shared.config.clone();
    let judged = shared.rendering.apart(move || config.proposed_rules(text.as_deref())).await;
    let proposed = judged.ok_or(Refused::Internal)?;
    match proposed.verdict {
        ProposedVerdict::Applicable | ProposedVerdict::Unchanged => Ok(proposed),
        ProposedVerdict::NeedsRestart | ProposedVerdict::Mistaken => Err(Refused::Mistaken(Box::new(proposed))),
    }
}

fn text_of(body: Result<Bytes, BytesRejection>) -> Result<String, Refused> {
    let body = body.ok().filter(|body| body.len() <= RULES_BYTES_MAX).ok_or(Refused::Body)?;
    String::from_utf8(body.into()).map_err(|_| Refused::Body)
}

/// The revision that is to be replaced, as an entity tag or bare.
fn expected(headers: &HeaderMap) -> Option<i64> {
    let tag = headers.get(header::IF_MATCH)?.to_str().ok()?.trim();
    let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
    tag.parse().ok().filter(|revision| *revision >= 0)
}

fn answered(revision: i64, told: Value) -> Response {
    let tag = format!("\"{revision}\"");
    ([(header::CACHE_CONTROL, "no-store".to_owned()), (header::ETAG, tag)], Json(told)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(outcome: DirectoryOutcome) -> Refused {
        Refused::Away(Fault { outcome, why: "in etcd's words".to_owned() })
    }

    #[test]
    fn an_etcd_that_did_not_answer_may_have_done_it_and_one_that_refused_has_not() {
        for outcome in [DirectoryOutcome::Late, DirectoryOutcome::Unreachable] {
            let refused = away(outcome);
            assert!(refused.kind() == (StatusCode::SERVICE_UNAVAILABLE, "etcd_unavailable", "dependency", true));
            let told = refused.message();
            assert!(told.contains("in etcd's words") && told.contains("may have done it all the same"), "{told}");
            assert_eq!(refused.into_response().headers()[header::RETRY_AFTER], "1");
        }
        for (outcome, retry) in [(DirectoryOutcome::Denied, false), (DirectoryOutcome::Failed, true)] {
            let refused = away(outcome);
            assert_eq!((refused.kind().2, refused.kind().3), ("dependency", retry));
            assert!(refused.message().ends_with("Nothing was written"), "{}", refused.message());
        }
    }

    #[test]
    fn the_revision_is_an_entity_tag_or_a_bare_number_and_nothing_else() {
        let of =
            |text: &str| expected(&HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_str(text).unwrap())]));
        assert_eq!([of("\"12\""), of("12"), of(" 0 ")], [Some(12), Some(12), Some(0)]);
        for none in ["*", "W/\"12\"", "\"12", "-1", "1, 2", "", "99999999999999999999"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(expected(&HeaderMap::new()), None);
    }
}
