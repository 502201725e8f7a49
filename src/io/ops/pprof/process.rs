//! What Go's other endpoints would say of this process: the command line, names of addresses, threads; and of what a
//! Rust process does not have, where to look instead.

use std::fmt::Write as _;

use axum::{
    body::Bytes,
    extract::{RawQuery, State, rejection::BytesRejection},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header};

use super::{no_guessing, refused};
use crate::io::ops::routes::Shared;

/// Addresses that are named in one answer.
const ADDRESSES_MAX: usize = 1_000;

fn text(body: String) -> Response {
    let plain = [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
    (plain, no_guessing(body)).into_response()
}

/// `GET /debug/pprof/cmdline`: arguments with NUL between them, as Go's. No argument of `serve` is a secret.
pub(in crate::io::ops) async fn cmdline() -> Response {
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    text(arguments.join("\0"))
}

/// `GET /debug/pprof/symbol?0xaddress+0xaddress`.
pub(in crate::io::ops) async fn symbol(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response {
    named(shared, query.unwrap_or_default()).await
}

/// `POST /debug/pprof/symbol`, with the addresses as its body.
pub(in crate::io::ops) async fn symbol_of_body(
    State(shared): State<Shared>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match body {
        Ok(body) => named(shared, String::from_utf8_lossy(&body).into_owned()).await,
        Err(_) => refused(StatusCode::BAD_REQUEST, "the body must be addresses as 0x1234+0x5678, at most 64 KiB"),
    }
}

async fn named(shared: Shared, asked: String) -> Response {
    let addresses: Vec<u64> =
        asked.split('+').filter_map(|text| hexadecimal(text.trim())).take(ADDRESSES_MAX).collect();
    let answer = move |profiler: &crate::profiler::Profiler| {
        // Go's own says 1 when there are symbols at all
        let mut told = "num_symbols: 1\n".to_owned();
        for address in addresses {
            if let Some(name) = profiler.names(&[address]).last() {
                // without its line: this is read by programs
                let name = name.split(" (").next().unwrap_or(name);
                writeln!(told, "{address:#x} {name}").expect("a string takes every write");
            }
        }
        text(told)
    };
    shared.profiles.apart(answer).await
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?, 16).ok()
}

/// `GET /debug/pprof/threadcreate`.
pub(in crate::io::ops) async fn threads(State(shared): State<Shared>) -> Response {
    let figures = shared.profiles.profiler.figures();
    let mut told =
        "a Rust process does not know where its threads were made; those that are sampled, by name:\n".to_owned();
    for (name, count) in &figures.threads {
        writeln!(told, "{count:6} {name}").expect("a string takes every write");
    }
    refused(StatusCode::NOT_FOUND, told.trim_end())
}

/// `GET /debug/pprof/goroutine`.
pub(in crate::io::ops) async fn goroutine(State(shared): State<Shared>) -> Response {
    let told = shared.telemetry.runtime();
    let told = format!(
        "a Rust process has no goroutines. Its tasks are not told apart by place; how many there are:\n\
         {:6} alive\n{:6} waiting in the queue that all workers share\n\
         By worker: signalbox_runtime_worker_busy_ratio in /metrics. Of a worker that is stuck: /debug/captures/",
        told.alive_tasks, told.global_queue_depth
    );
    refused(StatusCode::NOT_FOUND, &told)
}

/// `GET /debug/pprof/block`.
pub(in crate::io::ops) async fn block() -> Response {
    let told = "not sampled: a task that waits has no thread and so no stack. Where signals wait is measured by stage: \
        /debug/latency, /debug/slow; a thread that is stuck is told with its stack: /debug/captures/";
    refused(StatusCode::NOT_FOUND, told)
}

/// `GET /debug/pprof/mutex`.
pub(in crate::io::ops) async fn mutex() -> Response {
    let told = "not sampled: no lock is on the way of a signal but each thread's own, which is contended once a second. \
        A thread that is stuck in one is told with its stack: /debug/captures/";
    refused(StatusCode::NOT_FOUND, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hexadecimal() {
        assert_eq!(hexadecimal("0x1F"), Some(31));
        for text in ["", "0x", "31", "0xg", "1F", "-0x1"] {
            assert_eq!(hexadecimal(text), None, "{text}");
        }
    }
}
