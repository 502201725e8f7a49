//! `/api/nodes` and `/api/placement`: the media nodes, what operators want of them, and why a room is on one of them.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use http::header;
use serde_json::json;
use tokio::time::timeout;

use super::{
    pages::{Problem, Question, quoted},
    routes::Shared,
};
use crate::{io::admin::error_response, placement::NodeFact, protocol::Code};

/// A shard that does not answer for so long is stuck, which others tell.
const PATIENCE: Duration = Duration::from_secs(5);
/// What can be asked of a node.
const ACTS: &str = "cordon, uncordon, drain";

/// `GET /api/nodes`.
pub(super) async fn list(State(shared): State<Shared>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "nodes": shared.shards.nodes() }))).into_response()
}

/// `PUT` or `POST /api/nodes/NODE/cordon`, `uncordon`, `drain`.
pub(super) async fn act(State(shared): State<Shared>, Path((node, act)): Path<(String, String)>) -> Response {
    let id = node.as_str().into();
    let fact = match act.as_str() {
        "cordon" => NodeFact::Cordoned { node: id, cordoned: true },
        "uncordon" => NodeFact::Cordoned { node: id, cordoned: false },
        "drain" => NodeFact::Drained { node: id },
        other => {
            return Problem(format!("{} is nothing to do to a node; allowed: {ACTS}", quoted(other))).into_response();
        }
    };
    let Some(view) = shared.shards.nodes().into_iter().find(|view| view.node.as_str() == node) else {
        let why = format!("no media node {}; GET /api/nodes lists them", quoted(&node));
        return error_response(&Code::PathNotFound.because(why));
    };
    match timeout(PATIENCE, shared.shards.node(fact)).await {
        Ok(()) => {
            Json(json!({ "node": node, "asked": act, "rooms": view.rooms, "was": view.standing })).into_response()
        }
        Err(_) => error_response(&stuck()),
    }
}

#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Asked {
    room: Option<String>,
}

/// `GET /api/placement?room=NAME`.
pub(super) async fn explain(State(shared): State<Shared>, Question(asked): Question<Asked>) -> Response {
    let Some(room) = asked.room.filter(|room| !room.is_empty()) else {
        return Problem("room is missing; allowed: the name of a room".to_owned()).into_response();
    };
    match timeout(PATIENCE, shared.shards.explain(room)).await {
        Ok(Ok(explained)) => ([(header::CACHE_CONTROL, "no-store")], Json(explained)).into_response(),
        Ok(Err(refusal)) => error_response(&refusal),
        Err(_) => error_response(&stuck()),
    }
}

fn stuck() -> crate::protocol::Refusal {
    Code::Overloaded.because("a shard did not take it within 5 s").retry_after_ms(1_000)
}
