//! `/debug/pprof/trace`: the signals that end within the next seconds with their stages, for ui.perfetto.dev.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{
    asked::{Query, SECONDS_MIN, Wrong, clamped},
    file, refused,
};
use crate::{
    io::ops::{pages::quoted, routes::Shared},
    profiler::timelines::Trace,
    telemetry::tap::{TAPPED_MAX, TapRefused},
};

/// When none is asked for; Go's.
const SECONDS_DEFAULT: f64 = 1.0;
const SECONDS_MAX: f64 = 30.0;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    seconds: Option<String>,
}

/// `GET /debug/pprof/trace`. The head of the answer leaves at once: whoever reads it knows that from now on signals are
/// held for it. A reader that hangs up meanwhile drops the body, and with it its tap.
pub(super) async fn trace(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Response {
    let length = match asked.length() {
        Ok(length) => length,
        Err(wrong) => return wrong.into_response(),
    };
    let tap = match shared.telemetry.tap() {
        Ok(tap) => tap,
        Err(why @ TapRefused::NotMeasured) => return refused(StatusCode::NOT_FOUND, &format!("no traces: {why}")),
        Err(why @ TapRefused::Full) => return busy(why),
    };
    let trace = async move {
        tokio::time::sleep(length).await;
        stream::iter(Trace::new(tap.close(), length).map(Ok::<_, Infallible>))
    };
    let body = Body::from_stream(stream::once(trace).flatten());
    file("application/json", "trace.json", body)
}

impl Asked {
    /// How long; a number that is too small or too large is taken as the nearest that is not.
    fn length(&self) -> Result<Duration, Wrong> {
        let Some(text) = &self.seconds else { return Ok(Duration::from_secs_f64(SECONDS_DEFAULT)) };
        let wrong = || {
            let allowed = format!("{SECONDS_MIN} to {SECONDS_MAX}, and {TAPPED_MAX} signals at most");
            Wrong(format!("seconds is {}, which is not a number; allowed: {allowed}", quoted(text)))
        };
        clamped(text, SECONDS_MAX).ok_or_else(wrong)
    }
}

fn busy(why: TapRefused) -> Response {
    let mut response = refused(StatusCode::SERVICE_UNAVAILABLE, &format!("no trace now: {why}"));
    // the longest that one of them can still be at it, but for a slow reader
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
    response
}

#[cfg(test)]
mod tests;
