//! Refusals as HTTP answers, for everything on the client port and on the ops port.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

use crate::protocol::Refusal;

/// A refusal as HTTP: the table's status, JSON, `Retry-After` where it helps to wait, and the scheme where a token is
/// asked for.
pub(crate) fn error_response(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.code.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(serde_json::json!({ "error": refusal.to_wire() }))).into_response();
    let headers = response.headers_mut();
    if let Some(milliseconds) = refusal.retry_after_ms {
        let seconds = milliseconds.div_ceil(1_000).max(1);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 11.6.1: a 401 names the scheme
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
