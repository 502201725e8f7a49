//! `/debug/latency`: quantiles by op, region and outcome, the percentile plot, and the interval log.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;

use super::{Problem, Question, Shape, WINDOW_DEFAULT, WINDOWS, ms, page, plot, quoted, shape, utc, window};
use crate::{
    io::{admin::error_response, ops::routes::Shared},
    protocol::{Code, OpKind},
    telemetry::{
        PROMISE, Telemetry, UsualRow,
        baseline::MATURE_POINTS,
        views::{ClientRow, Curve, LatencyReport, Quantiles, Row, WINDOW_MAX, millis},
    },
};

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::io::ops) struct Asked {
    window: Option<String>,
    op: Option<String>,
    format: Option<String>,
}

/// What is asked for of the interval log.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::io::ops) struct AskedLog {
    window: Option<String>,
}

/// The same, understood.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    shape: Shape,
    window: Duration,
    op: Option<&'static str>,
}

impl Asked {
    fn understood(&self, headers: &HeaderMap) -> Result<Wanted, Problem> {
        let shape = shape(self.format.as_deref(), headers)?;
        Ok(Wanted { shape, window: window(self.window.as_deref(), WINDOW_DEFAULT)?, op: self.op()? })
    }

    fn op(&self) -> Result<Option<&'static str>, Problem> {
        let Some(asked) = self.op.as_deref().filter(|op| !op.is_empty()) else { return Ok(None) };
        match OpKind::ALL.into_iter().find(|op| op.name() == asked) {
            Some(op) => Ok(Some(op.name())),
            None => {
                Err(Problem(format!("op is {}; allowed: {}", quoted(asked), OpKind::ALL.map(OpKind::name).join(", "))))
            }
        }
    }
}

/// `GET /debug/latency`.
pub(in crate::io::ops) async fn latency(
    State(shared): State<Shared>,
    Question(asked): Question<Asked>,
    headers: HeaderMap,
) -> Response {
    match asked.understood(&headers) {
        Ok(wanted) => shared.apart(move |telemetry| answer(telemetry, wanted)).await,
        Err(problem) => problem.into_response(),
    }
}

fn answer(telemetry: &Telemetry, wanted: Wanted) -> Response {
    let Wanted { shape, window, op } = wanted;
    match shape {
        Shape::Json => Json(telemetry.latency_report(window, op)).into_response(),
        Shape::Svg => match draw(wanted, &telemetry.latency_curves(window, op)) {
            Ok(svg) => ([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response(),
            Err(error) => error_response(&Code::Internal.because(error.to_string())),
        },
        Shape::Html => {
            let (report, curves) = telemetry.latency_report_with_curves(window, op);
            page("Latency", &body(&report, op, &draw(wanted, &curves).unwrap_or_else(|error| error.to_string())))
        }
    }
}

fn draw(wanted: Wanted, curves: &[Curve]) -> Result<String, plot::PlotError> {
    let title = format!("{} over {}", wanted.op.unwrap_or("all ops"), humantime::format_duration(wanted.window));
    plot::plot(&title, curves)
}

/// `GET /debug/latency.hlog`.
pub(in crate::io::ops) async fn latency_log(
    State(shared): State<Shared>,
    Question(asked): Question<AskedLog>,
) -> Response {
    let window = match window(asked.window.as_deref(), WINDOW_MAX) {
        Ok(window) => window,
        Err(problem) => return problem.into_response(),
    };
    let log = move |telemetry: &Telemetry| match telemetry.latency_log(window) {
        Ok(log) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"latency.hlog\""),
            ];
            (headers, log).into_response()
        }
        Err(error) => error_response(&Code::Internal.because(error.to_string())),
    };
    shared.apart(log).await
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
            (utc(Duration::from_millis(report.until_unix_ms))) ", milliseconds. The promise: P99 at most " (PROMISE.as_millis()) " ms."
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
        (usual(&report.baseline))
        h2 { "Kept as a trace when slower than" }
        @for kind in ["signal", "delivery"] {
            p { (kind) ": " @for bound in report.bounds.iter().filter(|bound| bound.kind == kind) { (bound.op) " " (ms(bound.bound_ms)) " ms; " } }
        }
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

fn usual(rows: &[UsualRow]) -> Markup {
    let mut columns = vec!["op", "region", "points of seven days", "mean", "deviation", "usual now", "may be up to"];
    columns.extend(["mean + 2 sigma", "last day by a week ago", "above it since"]);
    html! {
        @if !rows.is_empty() {
            h2 { "What is usual: P99 of five minutes" }
            p.hint {
                "At this time of day, by the last seven. It speaks from " (MATURE_POINTS) " points on: a day of them; then what is slower is kept as a trace,"
                " and a P99 that leaves it makes a capture."
            }
            table {
                thead { tr { @for column in columns { th { (column) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            td { (row.op) } td { (row.region) }
                            td.n { (row.points) @if !row.mature { " (too few)" } }
                            td.n { (ms(row.mean_ms)) } td.n { (ms(row.deviation_ms)) } td.n { (ms(row.usual_ms)) }
                            td.n { (ms(row.upper_ms)) } td.n { (ms(row.plain_upper_ms)) }
                            td.n { @if let Some(drift) = row.drift { (format!("{drift:.2}")) " x" } }
                            td.bad[row.above_since_unix_ms.is_some()] {
                                @if let Some(since) = row.above_since_unix_ms { (utc(Duration::from_millis(since))) }
                            }
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
        td.n.bad[q.p99_ms > millis(PROMISE)] { (ms(q.p99_ms)) }
        td.n { (ms(q.p999_ms)) } td.n { (ms(q.p9999_ms)) } td.n { (ms(q.max_ms)) }
    }
}
