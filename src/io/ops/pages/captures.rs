//! `/debug/captures/`: what was pinned when a minute was bad, and one page a capture that answers what was different.
//!
//! Made of plain values: who asks, and where captures are kept, is the routes' business. All in a capture may have been
//! read back from a disk and is text to show, nothing else.

mod differences;
mod pinned;
mod wording;

#[cfg(test)]
mod tests;

use std::{path::Path, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use maud::{Markup, html};
use serde_json::{Value, json};

pub(in crate::io::ops) use self::pinned::Pinned;
use self::wording::{ago, in_short, size, subject, told};
use super::{Shape, page, slow, utc};
use crate::profiler::captures::{Capture, Cause, Kept, Part, StallState, State};

/// How often the page of a capture that is being recorded asks again.
const REFRESH_SECONDS: u64 = 3;
/// Slow signals of one op that the page shows; all are in the JSON.
const SLOW_SHOWN: usize = 5;

/// What the answer to all captures is made of.
#[derive(Clone, Copy, Debug)]
pub(in crate::io::ops) struct All<'a> {
    /// Newest first.
    pub(in crate::io::ops) captures: &'a [Capture],
    /// Where they are kept; absent: in memory.
    pub(in crate::io::ops) place: Option<&'a Path>,
    /// Now, since the Unix epoch.
    pub(in crate::io::ops) now: Duration,
}

/// `GET /debug/captures/`: a page, or a list as JSON.
pub(in crate::io::ops) fn captures_list(all: All<'_>, shape: Shape) -> Response {
    match shape {
        Shape::Html => page("Captures", &list(all)),
        Shape::Json | Shape::Svg => {
            Json(all.captures.iter().map(|capture| as_json(capture, all.now)).collect::<Vec<_>>()).into_response()
        }
    }
}

/// `GET /debug/captures/<id>` as JSON. `now` is since the Unix epoch.
pub(in crate::io::ops) fn capture_json(capture: &Capture, now: Duration) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(as_json(capture, now))).into_response()
}

/// `GET /debug/captures/<id>` for people. `now` is since the Unix epoch; `origin` is how the reader reached this port,
/// as `http://router-7:9600`, for commands to copy.
pub(in crate::io::ops) fn capture_page(pinned: &Pinned, now: Duration, origin: &str) -> Response {
    let capture = &pinned.capture;
    let title = format!("Capture {}", capture.id);
    let recording = capture.state == State::Recording;
    let body = html! {
        p.lead { (told(capture, now)) }
        @if !capture.also.is_empty() { (also(capture)) }
        (about(capture))
        @if recording { (waiting(capture, now)) } @else { (pages(capture)) (found(pinned)) (to_take_along(capture, origin)) }
    };
    let mut response = page(&title, &body);
    if recording {
        response.headers_mut().insert(header::REFRESH, HeaderValue::from(REFRESH_SECONDS));
    }
    response
}

fn as_json(capture: &Capture, now: Duration) -> Value {
    let Capture { id, state, cause, also, window, quiet, router, parts, kept, .. } = capture;
    let piece = |part: Part, bytes: u64| json!({ "part": part, "bytes": bytes, "path": path(capture, part.name()) });
    json!({
        "id": id,
        "state": state,
        "ready_in_seconds": ready_in(capture, now),
        "cause": cause,
        "also": also,
        "at": utc(Duration::from_millis(capture.at_unix_ms)),
        "at_unix_ms": capture.at_unix_ms,
        "window": window,
        "quiet": quiet,
        "router": router,
        "parts": parts.iter().map(|told| piece(told.part, told.bytes)).collect::<Vec<_>>(),
        "kept": kept,
        "page": path(capture, ""),
    })
}

/// Whole seconds until it is ready.
fn ready_in(capture: &Capture, now: Duration) -> u64 {
    capture.ready_in(now).as_secs_f64().ceil() as u64
}

/// Of something of a capture; of the capture itself when that is empty.
fn path(capture: &Capture, what: &str) -> String {
    let slash = if what.is_empty() { "" } else { "/" };
    format!("/debug/captures/{}{slash}{what}", capture.id)
}

fn list(All { captures, place, now }: All<'_>) -> Markup {
    html! {
        p.hint { "What was pinned when a minute was bad: profile, latencies, slow signals and the state of the router, beside those of the quiet hour before." }
        p.hint {
            @if let Some(place) = place { "Kept in " code { (place.display()) } ", also over a restart." }
            @else { "Kept in memory: a restart loses them. Set " code { "server.data_dir" } " to keep them." }
        }
        nav { a href="?format=json" { "JSON" } }
        @if captures.is_empty() {
            p { "No capture yet. One is made when a P99 leaves its band, when a worker does not come back from a task, and when you ask for it: " code { "signalbox profile capture" } "." }
        } @else {
            table {
                thead { tr { th { "when (UTC)" } th { "what" } th { "state" } th { "look at" } th.n { "size" } th { "kept" } } }
                tbody { @for capture in captures { (row(capture, now)) } }
            }
        }
    }
}

fn row(capture: &Capture, now: Duration) -> Markup {
    let at = Duration::from_millis(capture.at_unix_ms);
    let size_of_all = capture.parts.iter().map(|piece| piece.bytes).sum();
    html! {
        tr {
            td title=(ago(at, now)) { a href=(path(capture, "")) { (wording::to_the_second(at)) } }
            td.long { (told(capture, now)) @if !capture.also.is_empty() { " And " (capture.also.len()) " more." } }
            @match capture.state {
                State::Recording => { td { "ready in " (ready_in(capture, now)) " s" } td {} td {} td {} }
                State::Ready => {
                    td { "ready" }
                    td { @if capture.part(Part::Profile).is_some() {
                        a href=(path(capture, "flamegraph")) { "flamegraph" }
                        @if capture.part(Part::Quiet).is_some() { " " a href=(path(capture, "diff")) { "diff" } }
                    } }
                    td.n { (size(size_of_all)) }
                    td { @match &capture.kept { Kept::Folder => "folder", Kept::Memory(why) => { span title=(why) { "memory" } } } }
                }
            }
        }
    }
}

fn also(capture: &Capture) -> Markup {
    let shown =
        |slow| format!("{} (P99 {} ms, bound {} ms)", subject(slow), super::ms(slow.p99_ms), super::ms(slow.bound_ms));
    html! {
        p { "Meanwhile also: " (capture.also.iter().map(shown).collect::<Vec<_>>().join("; ")) "." }
    }
}

fn about(capture: &Capture) -> Markup {
    let Capture { window, quiet, router, .. } = capture;
    let (from, until) = (wording::to_the_second(window.from()), wording::time_of_day(window.until()));
    html! {
        p.hint {
            "Window: " (from) " to " (until) " UTC. Held against the quiet hour before: "
            (wording::time_of_day(quiet.from())) " to " (wording::time_of_day(quiet.until()))
            ". Made by router " code { (router.id) } ", version " (router.version) "."
        }
        @if capture.state == State::Ready {
            p.hint { @match &capture.kept {
                Kept::Folder => "Kept in the folder of captures, also over a restart.",
                Kept::Memory(why) => { "Kept in memory, a restart loses it: " (why) "." }
            } }
        }
    }
}

fn waiting(capture: &Capture, now: Duration) -> Markup {
    html! { p { b { "It is being recorded; ready in " (ready_in(capture, now)) " s." } " This page asks again by itself." } }
}

/// What to look at next.
fn pages(capture: &Capture) -> Markup {
    let has = |part| capture.part(part).is_some();
    html! {
        nav {
            @if has(Part::Profile) { a href=(path(capture, "flamegraph")) { b { "flamegraph" } } }
            @if has(Part::Profile) && has(Part::Quiet) { a href=(path(capture, "diff")) { b { "red/blue against the quiet hour" } } }
            @for part in Part::ALL { @if has(part) && part != Part::Stall {
                a href=(path(capture, part.name())) { (wording::part_in_words(part)) }
            } }
            a href="?format=json" { "JSON" }
        }
    }
}

fn found(pinned: &Pinned) -> Markup {
    html! {
        @for (part, why) in &pinned.unreadable {
            p.bad { "The " (wording::part_in_words(*part)) " cannot be shown: " (why) }
        }
        h2 { "In short" }
        ul { @for line in in_short(pinned) { li { (line) } } }
        @if !pinned.stack.is_empty() { (stack(pinned)) }
        h2 { "What was different" }
        (differences::runtime(pinned))
        (differences::functions(pinned))
        (differences::shares(pinned))
        (differences::latencies(pinned))
        (slow_signals(pinned))
    }
}

fn stack(Pinned { capture, stack, .. }: &Pinned) -> Markup {
    let how = match &capture.cause {
        Cause::Stall { state: StallState::OnCpu, .. } => "on the CPU: the innermost function is what it was busy with",
        Cause::Stall { state: StallState::Blocked, .. } => "blocked: the innermost function is what it waited in",
        _ => "not told whether on the CPU or blocked",
    };
    html! {
        h2 { "Where the worker was" }
        p.hint { "Innermost first, " (how) "." }
        pre { @for line in stack { (line) "\n" } }
    }
}

fn slow_signals(pinned: &Pinned) -> Markup {
    html! {
        h2 { "Slow signals of the window" }
        @if pinned.slow.is_empty() { p { "None was kept." } }
        @else {
            p.hint { "Slowest first, with where the time went. " (slow::A_DELIVERY) }
            (slow::key())
            @for (title, of_kind) in slow::kinds(&pinned.slow) {
                h3 { (title) }
                (slow::table(&of_kind[..of_kind.len().min(SLOW_SHOWN)]))
                @if of_kind.len() > SLOW_SHOWN { p.hint { (of_kind.len() - SLOW_SHOWN) " more are in the JSON." } }
            }
        }
    }
}

/// Commands to copy.
fn to_take_along(capture: &Capture, origin: &str) -> Markup {
    let url = |part: Part| format!("{origin}{}", path(capture, part.name()));
    let (profile, quiet) = (url(Part::Profile), url(Part::Quiet));
    html! {
        @if capture.part(Part::Profile).is_some() {
            h2 { "To take along" }
            pre {
                "go tool pprof -http=: " (profile) "\n"
                @if capture.part(Part::Quiet).is_some() { "go tool pprof -http=: -diff_base " (quiet) " " (profile) "\n" }
                "signalbox profile diff --url " (origin) " quiet:" (capture.id) " capture:" (capture.id) "\n"
            }
            p.hint { "Beyond loopback this port wants a token, which Go's tool cannot send: "
                code { "curl -H 'Authorization: Bearer …' -o profile.pb.gz " (profile) } ", then " code { "go tool pprof -http=: profile.pb.gz" } "." }
        }
    }
}
