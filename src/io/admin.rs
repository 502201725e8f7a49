//! Errors of the client port's HTTP side.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

use crate::protocol::Refusal;

/// A refusal as HTTP: the table's status, JSON, and `Retry-After` where it helps to wait.
pub(crate) fn error_response(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.code.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(serde_json::json!({ "error": refusal.to_wire() }))).into_response();
    if let Some(milliseconds) = refusal.retry_after_ms {
        let seconds = milliseconds.div_ceil(1_000).max(1);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
