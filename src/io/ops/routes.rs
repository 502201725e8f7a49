//! What the ops port answers.

use std::{sync::Arc, time::Instant};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value, json};

use super::{
    Configuration, Shown, captures, config, fault, fleet,
    guard::{self, Guard},
    nodes, pages,
    pprof::{self, Profiles},
    rendering::Rendering,
    scrape::Scrapes,
    state::{self, Latch},
    variants,
};
use crate::{
    event::{DrainPhase, Event},
    io::{admin::error_response, directory::Fleet, faults::Faults, shard::Shards},
    profiler::captures::Captures,
    protocol::{Code, Refusal},
    telemetry::{Telemetry, logs, observe::phase_name},
};

/// Of a request's body.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Of a configuration to be checked; as much as a file of one may have.
const CONFIG_BYTES_MAX: usize = 4 << 20;

const INDEX: &str = concat!(
    "signalbox ",
    env!("CARGO_PKG_VERSION"),
    "\n\n\
    /health/live    200 while the process runs\n\
    /health/ready   200 while new sessions may be sent here, else 503, and why\n\
    /metrics        Prometheus text, OpenMetrics or protobuf, by Accept\n\
    /api/status     version, drain phase, uptime, who is there\n\
    /api/log/level  what is logged; PUT changes it: info, debug, warn,signalbox=debug …\n\
    /api/config     every key that runs, and where it came from; secrets are hidden\n\
    /api/config/check  POST a file (TOML): its mistakes, or what it would change; nothing is applied; ?format=json|text\n\
    /api/variants   who gets which variant, and how each is served; ?user_id=…&device_type=…&ab_tag=… explains one\n\
    /api/nodes      the media nodes: standing, score by part, weight, share wanted and got; PUT …/NODE/cordon, uncordon, drain\n\
    /api/fleet      the routers of the fleet, how new the view of them is, and whether etcd answers\n\
    /api/fleet/rules  what the whole fleet follows, and who has it in force; PUT (TOML) and DELETE with If-Match: REVISION; \
     POST …/check\n\
    /api/placement  why a room is on its media node: ?room=NAME\n\
    /debug/latency  quantiles by op, region, outcome and stage; ?window=5m&op=join&format=html|json|svg\n\
    /debug/latency.hlog  the last hour as an interval log of HdrHistogram; ?window=1h\n\
    /debug/slow     the slowest signals of the last hour, and where their time went; ?format=html|json\n\
    /debug/pprof/   where the CPU time goes: profiles for go tool pprof, Alloy, Parca; flamegraphs, differences\n\
    /debug/captures/  what was different in bad minutes\n\
    /api/profiler   whether it samples; PUT switches it: on, off\n\
    /api/fault      a fault on purpose, with --dev only; PUT injects one: cpu, stall, errors, memory, canary, \
     slow-media, work, shed, off\n"
);

/// What the answers are made of.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) state: Arc<state::State>,
    pub(super) scrapes: Scrapes,
    pub(super) profiles: Profiles,
    pub(super) captures: Arc<Captures>,
    pub(super) faults: Option<Faults>,
    pub(super) shards: Shards,
    pub(super) config: Arc<dyn Configuration>,
    pub(super) fleet: Fleet,
    pub(super) rendering: Rendering,
}

impl Shared {
    pub(super) fn new(shown: Shown) -> Self {
        let Shown { telemetry, state, profiler, captures, faults, shards, config, fleet } = shown;
        let rendering = Rendering::default();
        let scrapes = Scrapes::new(telemetry.clone(), rendering.clone());
        Self {
            scrapes,
            telemetry,
            state,
            profiles: Profiles::new(profiler),
            captures,
            faults,
            shards,
            config,
            fleet,
            rendering,
        }
    }

    /// An answer that takes a while to make.
    pub(super) async fn apart(&self, make: impl FnOnce(&Telemetry) -> Response + Send + 'static) -> Response {
        let telemetry = self.telemetry.clone();
        let made = self.rendering.apart(move || make(&telemetry)).await;
        made.unwrap_or_else(|| error_response(&Code::Internal.refuse()))
    }
}

/// All routes, behind the guard.
pub(super) fn router(shared: Shared, guard: Guard) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/health/live", get(async || "live\n"))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/status", get(status))
        .route("/api/log/level", get(log_level).put(change_log_level))
        .route("/api/config", get(config::shown))
        .route("/api/config/check", post(config::check).layer(DefaultBodyLimit::max(CONFIG_BYTES_MAX)))
        .route("/api/variants", get(variants::shown))
        .route("/api/fleet", get(fleet::shown))
        .route("/api/fleet/rules", get(fleet::rules::shown).put(fleet::rules::put).delete(fleet::rules::delete))
        .route("/api/fleet/rules/check", post(fleet::rules::check))
        .route("/api/nodes", get(nodes::list))
        .route("/api/nodes/{node}/{act}", put(nodes::act).post(nodes::act))
        .route("/api/placement", get(nodes::explain))
        .route("/debug/latency", get(pages::latency))
        .route("/debug/latency.hlog", get(pages::latency_log))
        .route("/debug/slow", get(pages::slow))
        .route("/api/profiler", get(pprof::switch::shown).put(pprof::switch::change))
        .route("/api/fault", get(fault::shown).put(fault::change))
        .merge(pprof::routes())
        .merge(captures::routes())
        .method_not_allowed_fallback(async || error_response(&Code::MethodNotAllowed.refuse()))
        .fallback(async || {
            error_response(&Code::PathNotFound.because("nothing is served at this path; / lists what is"))
        })
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}

/// A router that is not ready says why as any refusal does, and shows its health beside that.
async fn ready(State(shared): State<Shared>) -> Response {
    let mut report = health(&shared.state);
    // told, and no reason not to be ready: sessions and rooms do not depend on it
    report.extend(fleet::health(&shared.fleet).map(|health| ("directory".to_owned(), health)));
    report.extend(fleet::kept_health(&shared.telemetry).map(|health| ("fabric".to_owned(), health)));
    report.extend(fleet::relay_health(&shared.telemetry).map(|health| ("relay".to_owned(), health)));
    let mut response = match unready(&shared.state) {
        None => Json(Value::Object(report)).into_response(),
        Some(refusal) => {
            report.insert("error".to_owned(), json!(refusal.to_wire()));
            let (head, _) = error_response(&refusal).into_parts();
            (head.status, Json(Value::Object(report))).into_response()
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why no new sessions may be sent here; absent: they may.
fn unready(state: &state::State) -> Option<Refusal> {
    if state.ready() {
        return None;
    }
    if state.phase() != DrainPhase::Serving {
        return Some(Code::Draining.refuse());
    }
    let missing: Vec<_> = Latch::ALL.into_iter().filter(|latch| !state.latched(*latch)).map(Latch::name).collect();
    Some(Code::NotReady.because(format!("the router is not ready yet; missing: {}", missing.join(", "))))
}

async fn status(State(shared): State<Shared>) -> Response {
    let mut report = health(&shared.state);
    let here = shared.telemetry.population();
    report.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    report.insert("uptime_seconds".to_owned(), json!(shared.state.uptime(Instant::now()).as_secs()));
    report.insert("sessions".to_owned(), json!(here.sessions));
    report.insert("rooms".to_owned(), json!(here.rooms));
    report.insert("participants".to_owned(), json!(here.participants));
    ([(header::CACHE_CONTROL, "no-store")], Json(Value::Object(report))).into_response()
}

async fn log_level() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "level": logs::level() }))).into_response()
}

/// The body is the new level, as `log.level` has it.
async fn change_log_level(State(shared): State<Shared>, body: Result<Bytes, BytesRejection>) -> Response {
    let wrong = |why: String| error_response(&Code::BadRequest.because(why));
    let Ok(body) = body else {
        return wrong("the body must be a log level, and is too long or broke off".to_owned());
    };
    let Ok(to) = std::str::from_utf8(&body).map(str::trim) else {
        return wrong("the log level is not text".to_owned());
    };
    let changed = |from: &str| {
        let event = Event::LogLevelChanged { from: from.to_owned(), to: to.to_owned() };
        shared.telemetry.observe(&event, Instant::now());
    };
    match logs::change_level(to, changed) {
        Ok(from) => Json(json!({ "level": to, "was": from })).into_response(),
        Err(error) => wrong(error.to_string()),
    }
}

fn health(state: &state::State) -> Map<String, Value> {
    let latches: Map<_, _> =
        Latch::ALL.into_iter().map(|latch| (latch.name().to_owned(), json!(state.latched(latch)))).collect();
    Map::from_iter([
        ("ready".to_owned(), json!(state.ready())),
        ("phase".to_owned(), json!(phase_name(state.phase()))),
        ("latches".to_owned(), Value::Object(latches)),
    ])
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    shared.scrapes.answer(&headers).await
}
