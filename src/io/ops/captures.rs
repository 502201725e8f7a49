//! `/debug/captures/`: the routes. Ids and parts are looked up among what is known; none of them is ever a path.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::{
    pages::{self, All, Pinned, Problem, Question, Shape, quoted, shape},
    pprof::{caption, difference, no_guessing, picture},
    routes::Shared,
};
use crate::{
    io::{
        admin::error_response,
        profiling::{now, tell},
    },
    profiler::{
        captures::{Captures, Part, PartError, Told},
        pprof as format,
        profile::Profile,
        views,
    },
    protocol::{Code, Refusal},
};

/// Everything under `/debug/captures`.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/debug/captures", get(async || Redirect::permanent("/debug/captures/")).post(ask))
        .route("/debug/captures/", get(list).post(ask))
        .route("/debug/captures/latest", get(latest))
        .route("/debug/captures/{id}", get(one))
        .route("/debug/captures/{id}/", get(one))
        .route("/debug/captures/{id}/{part}", get(part))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    format: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedLatest {
    op: Option<String>,
    region: Option<String>,
}

async fn list(State(shared): State<Shared>, Question(asked): Question<Asked>, headers: HeaderMap) -> Response {
    let shape = match page_or_json(&asked, &headers) {
        Ok(shape) => shape,
        Err(problem) => return problem.into_response(),
    };
    let captures = shared.captures.list();
    pages::captures_list(All { captures: &captures, place: shared.captures.place(), now: now().unix }, shape)
}

/// A page or JSON; a picture is none of these.
fn page_or_json(asked: &Asked, headers: &HeaderMap) -> Result<Shape, Problem> {
    match shape(asked.format.as_deref(), headers) {
        Ok(Shape::Svg) => Err(Problem("format is \"svg\"; allowed: html, json".to_owned())),
        told => told,
    }
}

/// What an operator says of the moment.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Note {
    note: String,
}

/// `POST /debug/captures`: an operator wants this moment kept.
async fn ask(State(shared): State<Shared>, body: Result<Bytes, BytesRejection>) -> Response {
    let unread = || error_response(&Code::BadRequest.because("the body must be {\"note\": \"…\"}, or empty"));
    let note = match body.as_deref() {
        Ok([]) => Note::default(),
        Ok(bytes) => match serde_json::from_slice(bytes) {
            Ok(note) => note,
            Err(_) => return unread(),
        },
        Err(_) => return unread(),
    };
    let now = now();
    match shared.captures.ask(now, &note.note) {
        Ok(capture) => {
            tell(&shared.telemetry, &Told::Made(Box::new(capture.clone())));
            let ready_in = capture.ready_in(now.unix).as_secs_f64().ceil() as u64;
            let told = json!({ "id": capture.id, "state": capture.state, "ready_in_seconds": ready_in });
            let location = HeaderValue::try_from(format!("/debug/captures/{}", capture.id));
            let location = location.unwrap_or_else(|_| HeaderValue::from_static("/debug/captures/"));
            (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(told)).into_response()
        }
        Err(refused) => {
            let retry_after_ms = refused.retry_after.as_millis() as u64;
            let told = refused.to_string();
            tell(&shared.telemetry, &Told::Refused(refused));
            error_response(&Code::Overloaded.because(told).retry_after_ms(retry_after_ms))
        }
    }
}

/// `GET /debug/captures/latest?op=join&region=sh`: leads to the newest that fits.
async fn latest(State(shared): State<Shared>, Question(asked): Question<AskedLatest>) -> Response {
    let word = |asked: Option<String>| asked.filter(|asked| !asked.is_empty());
    let (op, region) = (word(asked.op), word(asked.region));
    match shared.captures.latest(op.as_deref(), region.as_deref()) {
        Some(capture) => Redirect::temporary(&format!("/debug/captures/{}", capture.id)).into_response(),
        None => {
            let about = [op, region].into_iter().flatten().map(|word| quoted(&word)).collect::<Vec<_>>().join(", ");
            let about = if about.is_empty() { String::new() } else { format!(" about {about}") };
            error_response(&not_found(format!("there is no capture{about} yet; /debug/latency has the last hour")))
        }
    }
}

fn not_found(why: String) -> Refusal {
    Code::PathNotFound.because(why)
}

async fn one(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Question(asked): Question<Asked>,
    headers: HeaderMap,
) -> Response {
    let shape = match page_or_json(&asked, &headers) {
        Ok(shape) => shape,
        Err(problem) => return problem.into_response(),
    };
    let Some(capture) = shared.captures.get(&id) else { return refused(&PartError::UnknownCapture) };
    if shape == Shape::Json {
        return pages::capture_json(&capture, now().unix);
    }
    let captures = shared.captures.clone();
    let origin = origin(&headers);
    let read = move |_: &_| {
        let pinned = Pinned::read(capture, |part| captures.part(now(), &id, part));
        pages::capture_page(&pinned, now().unix, &origin)
    };
    shared.profiles.apart(read).await
}

/// How the reader reached this port, for commands to copy: only what can be the name of a host, since a page shows it.
fn origin(headers: &HeaderMap) -> String {
    let plain = |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(plain);
    format!("http://{}", host.unwrap_or("127.0.0.1:9600"))
}

async fn part(State(shared): State<Shared>, Path((id, what)): Path<(String, String)>) -> Response {
    let captures = shared.captures.clone();
    shared
        .profiles
        .apart(move |_| match what.as_str() {
            "flamegraph" => drawn(captures.part(now(), &id, Part::Profile), |profile| {
                views::flamegraph(profile, &caption(profile, &format!("CPU, capture {id}"), None))
            }),
            "diff" => match profiles(&captures, &id) {
                Ok((quiet, bad)) => {
                    let caption = caption(&bad, &format!("CPU, capture {id} and the quiet hour before"), None);
                    pictured(difference(&quiet, &bad, caption))
                }
                Err(error) => refused(&error),
            },
            name => match Part::of(name) {
                Some(part) => plain(&captures, &id, part),
                None => refused(&PartError::NoSuchPart),
            },
        })
        .await
}

/// The bytes of a part, as a file where a browser would not show it.
fn plain(captures: &Arc<Captures>, id: &str, part: Part) -> Response {
    let bytes = match captures.part(now(), id, part) {
        Ok(bytes) => bytes,
        Err(error) => return refused(&error),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(part.content_type()));
    if matches!(part, Part::Profile | Part::Quiet | Part::LatencyLog) {
        // an id is letters, digits and hyphens
        let disposition = HeaderValue::try_from(format!("attachment; filename=\"{id}-{}\"", part.file()));
        headers.extend(disposition.ok().map(|named| (header::CONTENT_DISPOSITION, named)));
    }
    (headers, no_guessing(bytes)).into_response()
}

/// Both profiles of a capture: of its quiet hour, and of its window.
fn profiles(captures: &Captures, id: &str) -> Result<(Profile, Profile), PartError> {
    Ok((profile(captures, id, Part::Quiet)?, profile(captures, id, Part::Profile)?))
}

/// A profile of a capture: [`Part::Profile`] or [`Part::Quiet`].
pub(super) fn profile(captures: &Captures, id: &str, part: Part) -> Result<Profile, PartError> {
    let bytes = captures.part(now(), id, part)?;
    format::decode(&bytes).map_err(|error| PartError::Unreadable(error.to_string()))
}

fn drawn(bytes: Result<Bytes, PartError>, draw: impl FnOnce(&Profile) -> Result<String, views::ViewError>) -> Response {
    let read = bytes.and_then(|bytes| format::decode(&bytes).map_err(|error| PartError::Unreadable(error.to_string())));
    match read {
        Ok(profile) => pictured(draw(&profile)),
        Err(error) => refused(&error),
    }
}

fn pictured(drawn: Result<String, views::ViewError>) -> Response {
    match drawn {
        Ok(svg) => picture(svg),
        Err(error) => error_response(&Code::Internal.because(error.to_string())),
    }
}

fn refused(error: &PartError) -> Response {
    error_response(&match error {
        PartError::UnknownCapture | PartError::NoSuchPart => not_found(error.to_string()),
        PartError::Recording { ready_in } => {
            let again = (*ready_in).max(Duration::from_secs(1)).as_millis() as u64;
            Code::NotReady.because(error.to_string()).retry_after_ms(again)
        }
        PartError::Unreadable(_) => Code::Internal.because(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_none_is_never_shown() {
        let origin_of = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            origin(&headers)
        };
        assert_eq!(origin_of("router-7:9600"), "http://router-7:9600");
        assert_eq!(origin_of("[::1]:9600"), "http://[::1]:9600");
        for wrong in ["<script>", "a b", "x;rm -rf", "\"", "$(id)"] {
            assert_eq!(origin_of(wrong), "http://127.0.0.1:9600", "{wrong}");
        }
        assert_eq!(origin(&HeaderMap::new()), "http://127.0.0.1:9600");
    }
}
