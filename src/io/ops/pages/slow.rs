//! `/debug/slow`: the slowest signals of the last hour, each with where its time went.

use std::time::Instant;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Problem, Question, Shape, ms, page, shape};
use crate::{
    event::Stage,
    io::ops::routes::Shared,
    protocol::OpKind,
    telemetry::{
        PROMISE, Telemetry,
        slow::{SlowRow, StagePart},
        views::millis,
    },
};

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::io::ops) struct Asked {
    format: Option<String>,
}

/// `GET /debug/slow`.
pub(in crate::io::ops) async fn slow(
    State(shared): State<Shared>,
    Question(asked): Question<Asked>,
    headers: HeaderMap,
) -> Response {
    let shape = match shape(asked.format.as_deref(), &headers) {
        Ok(Shape::Svg) => return Problem("format is \"svg\"; allowed: html, json".to_owned()).into_response(),
        Ok(shape) => shape,
        Err(problem) => return problem.into_response(),
    };
    let answer = move |telemetry: &Telemetry| {
        let signals: Vec<_> = telemetry.slow_signals(Instant::now()).iter().map(SlowRow::of).collect();
        match shape {
            Shape::Html => page("Slow signals", &body(&signals)),
            Shape::Json | Shape::Svg => Json(signals).into_response(),
        }
    };
    shared.apart(answer).await
}

/// Colours of the stages, told apart by people who see no red or green as well (Okabe and Ito; the second of Tol).
const COLOURS: [&str; Stage::ALL.len()] =
    ["#56B4E9", "#882255", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2", "#999999"];

/// What a stage that stands out tells a person, by its name.
pub(super) fn meaning(name: &str) -> Option<&'static str> {
    Stage::ALL.into_iter().find(|stage| stage.name() == name).map(meant)
}

const fn meant(stage: Stage) -> &'static str {
    match stage {
        Stage::Decode => "reading and checking the frame",
        Stage::Verify => "asking whether the new token is good",
        Stage::Admit => "waiting for the room's shard: it was busy, see waiting",
        Stage::Handle => "the router's own work",
        Stage::Reply => "encoding the answer",
        Stage::Flush => "waiting for the client's socket to take it",
        Stage::Media => "a call to the media node",
        Stage::Directory => "a call to the directory",
        Stage::Fabric => "a call to the fabric",
    }
}

/// What a stage that was read back and is not known looks like.
const COLOUR_UNKNOWN: &str = "#555555";

/// The colour of a stage by its name.
fn colour(name: &str) -> &'static str {
    Stage::ALL.into_iter().find(|stage| stage.name() == name).map_or(COLOUR_UNKNOWN, |stage| COLOURS[stage as usize])
}

/// The time of day: the day is today's, or yesterday's an hour ago.
fn time_of(started: &str) -> &str {
    started.split('T').nth(1).unwrap_or_default().trim_end_matches('Z')
}

fn body(signals: &[SlowRow]) -> Markup {
    html! {
        p.hint { "The slowest of the last hour by op, slowest first, with where the time went. " (A_DELIVERY) }
        (key())
        nav { a href="?format=json" { "JSON" } }
        @if signals.is_empty() { p { "No signal yet." } }
        @for (title, of_kind) in kinds(signals) {
            h2 { (title) }
            (table(&of_kind))
        }
    }
}

/// What the rows of deliveries mean.
pub(super) const A_DELIVERY: &str =
    "A delivery is a push's way to one recipient: all until the router had handled the signal, then its flush.";

/// What the colours of [`table`] mean.
pub(super) fn key() -> Markup {
    html! {
        p.key { @for stage in Stage::ALL {
            span { i style=(format!("background:{}", COLOURS[stage as usize])) {} b { (stage.name()) } " " (meant(stage)) } " "
        } }
    }
}

/// By op, signals before deliveries, with a title each; in the order that they have.
pub(super) fn kinds(signals: &[SlowRow]) -> Vec<(String, Vec<&SlowRow>)> {
    let kinds = OpKind::ALL.into_iter().flat_map(|op| [(op, false), (op, true)]);
    kinds
        .filter_map(|(op, delivery)| {
            let of_kind: Vec<_> = signals.iter().filter(|s| s.op == op.name() && s.delivery == delivery).collect();
            let title = if delivery { format!("Deliveries of {}", op.name()) } else { op.name().to_owned() };
            (!of_kind.is_empty()).then_some((title, of_kind))
        })
        .collect()
}

/// Signals, each with where its time went.
pub(super) fn table(signals: &[&SlowRow]) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th.n { "ms" } th { "where" } th { "" } th { "outcome" } th { "room" } th { "region" } th { "client" }
                th.n { "waiting" } th.n { "shard" } th { "when (UTC)" } th { "trace" }
            } }
            tbody { @for signal in signals { (row(signal)) } }
        } }
    }
}

fn row(signal: &SlowRow) -> Markup {
    let share = |part: &StagePart| (100.0 * part.took_ms / signal.took_ms.max(1e-6)).clamp(0.0, 100.0);
    let longest = signal.stages.iter().max_by(|a, b| a.took_ms.total_cmp(&b.took_ms));
    let client = [signal.sdk_version.as_deref(), signal.scenario.as_deref()];
    let client = client.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let (session, peer) = (or_none(&signal.session), or_none(&signal.peer_ip));
    let about = format!("session {session}, from {peer} over {}", signal.transport);
    html! {
        tr {
            td.n.bad[signal.took_ms > millis(PROMISE)] { (ms(signal.took_ms)) }
            td { div.bar {
                @for part in &signal.stages {
                    i title=(format!("{} {} ms", called(signal, part), ms(part.took_ms)))
                        style=(format!("width:{:.1}%;background:{}", share(part), colour(&part.stage))) {}
                }
            } }
            td { @if let Some(part) = longest { (called(signal, part)) " " (ms(part.took_ms)) } }
            td { (signal.code.as_ref().unwrap_or(&signal.outcome)) }
            td.name title=(about) { (or_none(&signal.room)) }
            td { (signal.region) }
            td { (client) }
            td.n { @if signal.shard.is_some() { (signal.inbox_waiting) } }
            td.n { @if let Some(shard) = signal.shard { (shard) } }
            td title=(signal.started) { (time_of(&signal.started)) }
            td.trace title=[&signal.trace_id] { @if let Some(trace) = &signal.trace_id { code { (trace) } } }
        }
    }
}

/// Of a delivery all that came before is in `handle`: not only the router's work.
fn called<'a>(signal: &SlowRow, part: &'a StagePart) -> &'a str {
    if signal.delivery && part.stage == Stage::Handle.name() { "until handled" } else { &part.stage }
}
