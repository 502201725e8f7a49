//! `/debug/latency`: quantiles by op, region and outcome, the percentile plot, and the interval log.

use axum::{
    Json,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;

use super::{Problem, Shape, WINDOWS, ms, page, plot, shape, utc, window};
use crate::{
    io::ops::routes::{Shared, apart},
    protocol::OpKind,
    telemetry::views::{ClientRow, LatencyReport, Quantiles, Row},
};

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub(in crate::io::ops) struct Asked {
    window: Option<String>,
    op: Option<String>,
    format: Option<String>,
}

/// `GET /debug/latency`.
pub(in crate::io::ops) async fn latency(
    State(shared): State<Shared>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let checked = (|| Ok((shape(asked.format.as_deref(), &headers)?, window(asked.window.as_deref())?, op(&asked)?)))();
    let (shape, window, op) = match checked {
        Ok(checked) => checked,
        Err(problem) => return Problem::into_response(problem),
    };
    apart(move || {
        let telemetry = &shared.telemetry;
        match shape {
            Shape::Json => Json(telemetry.latency_report(window, op)).into_response(),
            Shape::Svg => match draw(&shared, window, op) {
                Ok(svg) => ([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response(),
                Err(error) => super::super::routes::refusal(crate::protocol::Code::Internal, &error.to_string()),
            },
            Shape::Html => {
                let report = telemetry.latency_report(window, op);
                page("Latency", &body(&report, op, &draw(&shared, window, op).unwrap_or_else(|e| e.to_string())))
            }
        }
    })
    .await
}

/// `GET /debug/latency.hlog`.
pub(in crate::io::ops) async fn latency_log(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Response {
    let window = match asked.window.as_deref().map_or(Ok(crate::telemetry::views::WINDOW_MAX), |w| window(Some(w))) {
        Ok(window) => window,
        Err(problem) => return problem.into_response(),
    };
    apart(move || match shared.telemetry.latency_log(window) {
        Ok(log) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"latency.hlog\""),
            ];
            (headers, log).into_response()
        }
        Err(error) => super::super::routes::refusal(crate::protocol::Code::Internal, &error.to_string()),
    })
    .await
}

fn op(asked: &Asked) -> Result<Option<&'static str>, Problem> {
    let Some(asked) = asked.op.as_deref().filter(|op| !op.is_empty()) else { return Ok(None) };
    let known = OpKind::ALL.into_iter().map(OpKind::name);
    known
        .clone()
        .find(|op| *op == asked)
        .map(Some)
        .ok_or_else(|| Problem(format!("op is {asked:?}; allowed: {}", known.collect::<Vec<_>>().join(", "))))
}

fn draw(shared: &Shared, window: std::time::Duration, op: Option<&str>) -> Result<String, plot::PlotError> {
    let title = format!("{} over {}", op.unwrap_or("all ops"), humantime::format_duration(window));
    plot::plot(&title, &shared.telemetry.latency_curves(window, op))
}

fn body(report: &LatencyReport, op: Option<&str>, svg: &str) -> Markup {
    let here = |window: &str| humantime::parse_duration(window).is_ok_and(|w| w.as_secs() == report.window_seconds);
    let link = |window: &str, op: Option<&str>| {
        format!("?window={window}{}", op.map(|op| format!("&op={op}")).unwrap_or_default())
    };
    let window = format!("{}s", report.window_seconds);
    let of = |kind: &'static str| report.rows.iter().filter(move |row| row.subject.kind == kind);
    html! {
        p.hint {
            "From a frame's last byte in to the answer's last byte handed to the socket. Until "
            (utc(std::time::Duration::from_millis(report.until_unix_ms))) ", milliseconds. The promise: P99 at most 80 ms."
        }
        nav {
            @for choice in WINDOWS {
                @if here(choice) { b { (choice) } } @else { a href=(link(choice, op)) { (choice) } }
            }
            a href=(format!("{}&format=json", link(&window, op))) { "JSON" }
            a href=(format!("{}&format=svg", link(&window, op))) { "SVG" }
            a href=(format!("/debug/latency.hlog?window={window}")) { "interval log" }
        }
        nav {
            @if op.is_none() { b { "all ops" } } @else { a href=(link(&window, None)) { "all ops" } }
            @for kind in OpKind::ALL {
                @if op == Some(kind.name()) { b { (kind.name()) } } @else { a href=(link(&window, Some(kind.name()))) { (kind.name()) } }
            }
        }
        p { (PreEscaped(svg)) }
        @if report.rows.is_empty() { p { "No signal in this window." } }
        (table("Signals", &["op", "region", "outcome"], of("signal"), |row| vec![row.subject.op, &row.subject.region, row.subject.outcome]))
        (table("Deliveries to others", &["op", "region"], of("delivery"), |row| vec![row.subject.op, &row.subject.region]))
        (table("Where signals' time went", &["stage"], of("stage"), |row| vec![row.subject.stage]))
        (clients(&report.clients))
        h2 { "Kept as a trace when slower than" }
        p { @for bound in &report.bounds { (bound.op) " " (ms(bound.bound_ms)) " ms; " } }
    }
}

fn table<'a>(
    title: &str,
    heads: &[&str],
    rows: impl Iterator<Item = &'a Row>,
    cells: impl Fn(&'a Row) -> Vec<&'a str>,
) -> Markup {
    let rows: Vec<_> = rows.collect();
    html! {
        @if !rows.is_empty() {
            h2 { (title) }
            table {
                (head(heads))
                tbody { @for row in rows { tr { @for cell in cells(row) { td { (cell) } } (numbers(&row.quantiles)) } } }
            }
        }
    }
}

fn clients(rows: &[ClientRow]) -> Markup {
    html! {
        @if !rows.is_empty() {
            h2 { "Signals of the last minute by client" }
            table {
                (head(&["op", "region", "SDK", "scenario"]))
                tbody {
                    @for row in rows {
                        tr {
                            td { (row.op) } td { (row.region) } td { (row.sdk_version) } td { (row.scenario) }
                            (numbers(&row.quantiles))
                        }
                    }
                }
            }
        }
    }
}

fn head(heads: &[&str]) -> Markup {
    html! {
        thead { tr {
            @for head in heads { th { (head) } }
            @for head in ["count", "mean", "P50", "P90", "P99", "P99.9", "P99.99", "max"] { th.n { (head) } }
        } }
    }
}

fn numbers(q: &Quantiles) -> Markup {
    html! {
        td.n { (q.count) } td.n { (ms(q.mean_ms)) } td.n { (ms(q.p50_ms)) } td.n { (ms(q.p90_ms)) }
        td.n.bad[q.p99_ms > 80.0] { (ms(q.p99_ms)) }
        td.n { (ms(q.p999_ms)) } td.n { (ms(q.p9999_ms)) } td.n { (ms(q.max_ms)) }
    }
}
