//! `/api/profiler`: whether it samples, and the switch.

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    response::{IntoResponse as _, Response},
};
use http::header;
use serde_json::json;

use crate::{
    io::{admin::error_response, ops::routes::Shared},
    protocol::Code,
};

/// `GET /api/profiler`.
pub(in crate::io::ops) async fn shown(State(shared): State<Shared>) -> Response {
    let figures = shared.profiles.profiler.figures();
    let told = json!({
        "sampler": figures.sampler.map(|sampler| sampler.name()),
        "why_not": figures.why_not,
        "fallback_because": figures.fallback_because,
        "samples_a_second_of_cpu": 1.0 / figures.period.as_secs_f64(),
        "samples": {
            "raised": figures.counts.raised,
            "kept": figures.counts.kept,
            "lost": figures.counts.lost,
            "truncated": figures.counts.truncated,
        },
        "ring": {
            "slots": figures.fill.slots,
            "stacks": figures.fill.stacks,
            "bytes": figures.fill.bytes,
            "bytes_max": figures.fill.bytes_max,
            "thinned": figures.fill.thinned,
        },
        "threads": figures.threads.iter().map(|(name, count)| (name.to_string(), *count)).collect::<std::collections::BTreeMap<_, _>>(),
        "threads_without_timer": figures.without_timer,
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(told)).into_response()
}

/// `PUT /api/profiler`, with the body `on` or `off`.
pub(in crate::io::ops) async fn change(State(shared): State<Shared>, body: Result<Bytes, BytesRejection>) -> Response {
    let on = match body.as_deref().map(<[u8]>::trim_ascii) {
        Ok(b"on") => true,
        Ok(b"off") => false,
        _ => return error_response(&Code::BadRequest.because("the body must be `on` or `off`")),
    };
    let profiler = shared.profiles.profiler.clone();
    // starting has a self-test, which takes a moment; whoever switches off does not wait for what is rendered
    let switched = tokio::task::spawn_blocking(move || profiler.switch(on)).await;
    match switched.ok() {
        Some(Ok(())) => Json(json!({ "sampling": on })).into_response(),
        Some(Err(why)) => error_response(&Code::NotReady.because(format!("the profiler does not start: {why}"))),
        None => error_response(&Code::Internal.refuse()),
    }
}
