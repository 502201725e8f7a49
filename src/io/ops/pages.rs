//! Pages of the ops port for people: latencies, slow signals and captures, as a person reads them at three in the
//! morning.
//!
//! Each is also there as JSON for programs; which one is wanted is said by `format`, else by `Accept`.

mod captures;
mod latency;
mod plot;
mod slow;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header, request::Parts};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::de::DeserializeOwned;

pub(super) use self::{
    captures::{All, Pinned, capture_json, capture_page, captures_list},
    latency::{latency, latency_log},
    slow::slow,
};
use crate::{io::admin::error_response, protocol::Code, telemetry::views::WINDOW_MAX};

/// Windows that a page links to.
const WINDOWS: [&str; 5] = ["10s", "1m", "5m", "15m", "1h"];
/// When none is asked for.
const WINDOW_DEFAULT: Duration = Duration::from_secs(60);

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// For people.
    Html,
    /// For programs.
    Json,
    /// A picture.
    Svg,
}

/// `format`, else what `Accept` prefers: a browser asks for HTML first, a program for anything.
pub(super) fn shape(format: Option<&str>, headers: &HeaderMap) -> Result<Shape, Problem> {
    match format {
        Some("html") => Ok(Shape::Html),
        Some("json") => Ok(Shape::Json),
        Some("svg") => Ok(Shape::Svg),
        Some(other) => Err(Problem(format!("format is {}; allowed: html, json, svg", quoted(other)))),
        None => {
            let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            Ok(if accept.contains("text/html") { Shape::Html } else { Shape::Json })
        }
    }
}

/// A window as `90s`, `5m`, `1h`.
fn window(text: Option<&str>, otherwise: Duration) -> Result<Duration, Problem> {
    let Some(text) = text else { return Ok(otherwise) };
    let parsed = humantime::parse_duration(text).ok().filter(|window| *window >= Duration::from_secs(1));
    let parsed = parsed.filter(|window| *window <= WINDOW_MAX);
    parsed.ok_or_else(|| Problem(format!("window is {}; allowed: 1s to 1h, as 30s, 5m, 1h", quoted(text))))
}

/// What is wrong with a request, and what is allowed.
#[derive(Debug)]
pub(super) struct Problem(pub(super) String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        error_response(&Code::BadRequest.because(self.0))
    }
}

/// Of a question's text in a refusal; a longer part of it helps nobody.
const ASKED_CHARS_MAX: usize = 200;

/// The beginning of what was asked, in quotes.
pub(super) fn quoted(asked: &str) -> String {
    format!("{:?}", asked.chars().take(ASKED_CHARS_MAX).collect::<String>())
}

/// What the query asks; one that cannot be read is a [`Problem`] like any other.
#[derive(Debug)]
pub(super) struct Question<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Question<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let asked = serde_urlencoded::from_str(parts.uri.query().unwrap_or_default());
        let unread =
            |why: String| Problem(format!("the query cannot be read: {why:.ASKED_CHARS_MAX$}")).into_response();
        asked.map(Self).map_err(|error: serde_urlencoded::de::Error| unread(error.to_string()))
    }
}

/// A moment for people, UTC.
pub(super) fn utc(since_epoch: Duration) -> String {
    let moment: SystemTime = UNIX_EPOCH + since_epoch;
    humantime::format_rfc3339_millis(moment).to_string()
}

/// Milliseconds for people: three digits that matter.
fn ms(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bad: #d33; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p { margin: .3rem 0; } nav a, nav b { margin-right: .8rem; } .hint { opacity: .75; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .22rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; opacity: .8; } td.n, th.n { text-align: right; } td.name { max-width: 14rem; overflow: hidden; text-overflow: ellipsis; }
tbody tr:hover { background: var(--soft); } .bad { color: var(--bad); font-weight: 600; }
code { font-size: .92em; } svg { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
.bar { display: flex; width: 9rem; height: .9rem; border-radius: 2px; overflow: hidden; background: var(--soft); }
.bar i { display: block; height: 100%; } .key span { display: inline-block; white-space: nowrap; margin-right: .9rem; } .key i { display: inline-block; width: .8rem; height: .8rem; margin-right: .3rem; border-radius: 2px; }
h3 { font-size: 1rem; margin: 1.1rem 0 .2rem; } div.wide { overflow-x: auto; } td.trace { max-width: 6rem; overflow: hidden; text-overflow: ellipsis; } summary { cursor: pointer; opacity: .75; margin: .3rem 0; }
td.long { white-space: normal; overflow-wrap: anywhere; } .good { color: #0a0; font-weight: 600; } .lead { font-size: 1.15rem; }
.halves { display: grid; grid-template-columns: 1fr 1fr; gap: 0 2rem; } ul { margin: .3rem 0; padding-left: 1.2rem; }
pre { background: var(--soft); padding: .5rem .7rem; margin: .3rem 0; border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .92em; }
";

/// A whole page.
pub(super) fn page(title: &str, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "signalbox: " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                nav { a href="/" { "signalbox" } a href="/debug/latency" { "latency" } a href="/debug/slow" { "slow signals" } a href="/debug/pprof/" { "profiles" } a href="/debug/captures/" { "captures" } a href="/metrics" { "metrics" } }
                h1 { (title) }
                (body)
            }
        }
    };
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], page.into_string())
        .into_response()
}

#[cfg(test)]
mod tests;
