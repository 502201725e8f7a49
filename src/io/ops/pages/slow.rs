//! `/debug/slow`: the slowest signals of the last hour, each with where its time went.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::{Problem, Question, Shape, ms, page, shape, utc};
use crate::{
    event::Stage,
    io::ops::routes::Shared,
    protocol::OpKind,
    telemetry::{PROMISE, Telemetry, slow::SlowSignal, views::millis},
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
        let signals = telemetry.slow_signals(Instant::now());
        match shape {
            Shape::Html => page("Slow signals", &body(&signals)),
            Shape::Json | Shape::Svg => Json(signals.iter().map(Told::of).collect::<Vec<_>>()).into_response(),
        }
    };
    shared.apart(answer).await
}

/// A slow signal as JSON.
#[derive(Debug, Serialize)]
struct Told<'a> {
    op: &'static str,
    delivery: bool,
    outcome: &'static str,
    code: Option<&'static str>,
    started: String,
    took_ms: f64,
    /// In their order.
    stages: Vec<Part>,
    room: Option<&'a str>,
    session: Option<&'a str>,
    peer_ip: Option<String>,
    transport: &'static str,
    region: &'a str,
    sdk_version: Option<&'a str>,
    scenario: Option<&'a str>,
    shard: Option<u16>,
    inbox_waiting: u32,
    trace_id: Option<String>,
}

/// A part of its way.
#[derive(Debug, Serialize)]
struct Part {
    stage: &'static str,
    took_ms: f64,
}

impl<'a> Told<'a> {
    fn of(SlowSignal { case, trace }: &'a SlowSignal) -> Self {
        let part = |(stage, took): &(Stage, Duration)| Part { stage: stage.name(), took_ms: millis(*took) };
        Self {
            op: case.op.name(),
            delivery: case.delivery,
            outcome: case.outcome.name(),
            code: case.outcome.code().map(crate::protocol::Code::name),
            started: utc(case.started),
            took_ms: millis(case.took),
            stages: case.stages.iter().map(part).collect(),
            room: case.room.as_deref(),
            session: case.session.as_deref(),
            peer_ip: case.peer_ip.map(|ip| ip.to_string()),
            transport: case.transport,
            region: &case.region,
            sdk_version: case.sdk_version.as_deref(),
            scenario: case.scenario.as_deref(),
            shard: case.shard,
            inbox_waiting: case.waiting,
            trace_id: trace.map(|trace| trace.to_string()),
        }
    }
}

/// Colours of the stages, told apart by people who see no red or green as well (Okabe and Ito; the second of Tol).
const COLOURS: [&str; Stage::ALL.len()] =
    ["#56B4E9", "#882255", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2", "#999999"];

/// What a person does about a stage that stands out.
const fn meaning(stage: Stage) -> &'static str {
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

/// The time of day: the day is today's, or yesterday's an hour ago.
fn time_of(since_epoch: Duration) -> String {
    utc(since_epoch).split('T').nth(1).unwrap_or_default().trim_end_matches('Z').to_owned()
}

fn body(signals: &[SlowSignal]) -> Markup {
    html! {
        p.hint { "The slowest of the last hour by op, slowest first, with where the time went. A delivery is a push's way to one recipient: all until the router had handled the signal, then its flush." }
        p.key { @for stage in Stage::ALL {
            span { i style=(format!("background:{}", COLOURS[stage as usize])) {} b { (stage.name()) } " " (meaning(stage)) } " "
        } }
        nav { a href="?format=json" { "JSON" } }
        @if signals.is_empty() { p { "No signal yet." } }
        @for op in OpKind::ALL {
            @for delivery in [false, true] {
                @let of_kind: Vec<_> = signals.iter().filter(|s| s.case.op == op && s.case.delivery == delivery).collect();
                @if !of_kind.is_empty() {
                    h2 { @if delivery { "Deliveries of " } (op.name()) }
                    (table(&of_kind))
                }
            }
        }
    }
}

fn table(signals: &[&SlowSignal]) -> Markup {
    html! {
        table {
            thead { tr {
                th.n { "ms" } th { "where" } th { "" } th { "outcome" } th { "room" } th { "region" } th { "client" }
                th.n { "waiting" } th.n { "shard" } th { "when (UTC)" } th { "trace" }
            } }
            tbody { @for signal in signals { (row(signal)) } }
        }
    }
}

fn row(SlowSignal { case, trace }: &SlowSignal) -> Markup {
    let share = |took: Duration| 100.0 * took.as_secs_f64() / case.took.as_secs_f64().max(1e-9);
    // all that came before is in it: not only the router's work
    let called = |stage: Stage| if case.delivery && stage == Stage::Handle { "until handled" } else { stage.name() };
    let longest = case.stages.iter().max_by_key(|(_, took)| *took);
    let client = [case.sdk_version.as_deref(), case.scenario.as_deref()];
    let client = client.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let (session, peer) = (case.session.as_deref().unwrap_or("-"), case.peer_ip.map(|ip| ip.to_string()));
    let about = format!("session {session}, from {} over {}", peer.as_deref().unwrap_or("-"), case.transport);
    html! {
        tr {
            td.n.bad[case.took > PROMISE] { (ms(millis(case.took))) }
            td { div.bar {
                @for (stage, took) in &case.stages {
                    i title=(format!("{} {} ms", called(*stage), ms(millis(*took))))
                        style=(format!("width:{:.1}%;background:{}", share(*took), COLOURS[*stage as usize])) {}
                }
            } }
            td { @if let Some((stage, took)) = longest { (called(*stage)) " " (ms(millis(*took))) } }
            td { (case.outcome.code().map_or(case.outcome.name(), crate::protocol::Code::name)) }
            td.name title=(about) { (case.room.as_deref().unwrap_or("-")) }
            td { (case.region) }
            td { (client) }
            td.n { @if case.shard.is_some() { (case.waiting) } }
            td.n { @if let Some(shard) = case.shard { (shard) } }
            td title=(utc(case.started)) { (time_of(case.started)) }
            td { @if let Some(trace) = trace { code { (trace) } } }
        }
    }
}
