//! `/api/fleet`: the routers of the fleet as this one sees them, and whether the view can be trusted.

pub(super) mod rules;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;
use serde_json::{Value, json};

use super::routes::Shared;
use crate::io::directory::Fleet;

/// `GET /api/fleet`.
pub(super) async fn shown(State(shared): State<Shared>) -> Response {
    let told = match shared.fleet.view() {
        Some(view) => json!({ "mode": "etcd", "view": &*view }),
        None => json!({ "mode": "embedded", "view": null }),
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(told)).into_response()
}

/// What the health report says of it; absent: this router runs alone.
pub(super) fn health(fleet: &Fleet) -> Option<Value> {
    let view = fleet.view()?;
    let (answers, registered, why) = (view.answers, view.registered, &view.why);
    Some(json!({ "answers": answers, "registered": registered, "why": why, "routers": view.routers.len() }))
}
