//! `/api/fleet`: the routers of the fleet as this one sees them, and whether the view can be trusted.

pub(super) mod rules;

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::header;
use serde_json::{Value, json};

use super::routes::Shared;
use crate::{event::RelaySide, io::directory::Fleet, telemetry::Telemetry};

/// `GET /api/fleet`.
pub(super) async fn shown(State(shared): State<Shared>) -> Response {
    let fabric = kept_health(&shared.telemetry);
    let told = match shared.fleet.view() {
        Some(view) => json!({ "mode": "etcd", "view": &*view, "fabric": fabric }),
        None => json!({ "mode": "embedded", "view": null, "fabric": fabric }),
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(told)).into_response()
}

/// What the health report says of it; absent: this router runs alone.
pub(super) fn health(fleet: &Fleet) -> Option<Value> {
    let view = fleet.view()?;
    let (answers, registered, why) = (view.answers, view.registered, &view.why);
    Some(json!({ "answers": answers, "registered": registered, "why": why, "routers": view.routers.len() }))
}

/// What the health report says of where rooms are kept outside of this router; absent: nowhere.
pub(super) fn kept_health(telemetry: &Telemetry) -> Option<Value> {
    let (servers, rooms) = telemetry.fabric_figures()?;
    Some(json!({
        "answers": servers.silent < SILENT,
        "silent_seconds": servers.silent.as_secs_f64(),
        "rooms_behind": rooms.rooms_behind,
        "behind_seconds": rooms.behind.as_secs_f64(),
        "journal": telemetry.journal_figures().map(|journal| json!({
            "rooms": journal.rooms,
            "writes": journal.writes,
            "bytes": journal.bytes,
            "age_seconds": journal.age.as_secs_f64(),
        })),
    }))
}

/// What the health report says of clients whose rooms are on other routers, and the other way round; absent: none are carried.
pub(super) fn relay_health(telemetry: &Telemetry) -> Option<Value> {
    let figures = telemetry.relay_figures()?;
    let side = |side: RelaySide| json!({ "links": figures.links[side as usize], "connections": figures.connections[side as usize] });
    Some(json!({ "edge": side(RelaySide::Edge), "host": side(RelaySide::Host) }))
}

/// As SignalboxFabricUnreachable has it.
const SILENT: Duration = Duration::from_secs(10);
