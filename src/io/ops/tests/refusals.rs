//! Whatever the ops port refuses, it refuses in the one shape that the client port has.

use super::*;
use crate::protocol::Code;

/// The answer, which must be a refusal with that code in the shape; answers its message.
async fn refused(routes: &axum::Router, request: Request<Body>, code: Code) -> String {
    let asked = format!("{} {}", request.method(), request.uri());
    let response = routes.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status().as_u16(), code.http(), "{asked}");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json", "{asked}");
    assert_eq!(response.headers().contains_key(header::WWW_AUTHENTICATE), code.http() == 401, "{asked}");
    assert_eq!(response.headers().contains_key(header::ALLOW), code.http() == 405, "{asked}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{asked}: {e}: {body:?}"));
    let message = body["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(body["error"], serde_json::json!({ "code": code.name(), "message": message }), "{asked}");
    assert!(!message.is_empty() && message.len() < 400, "{asked}: {message}");
    message
}

fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_question_that_cannot_be_understood_is_a_bad_request_that_says_what_is_allowed() {
    let routes = routes("127.0.0.1", None);
    let long = "x".repeat(5_000);
    let (long_name, long_value) = (format!("/debug/slow?{long}=1"), format!("/debug/slow?format={long}"));
    for (path, said) in [
        ("/debug/latency?window=2h", "allowed: 1s to 1h"),
        ("/debug/latency?window=1m&window=5m", "duplicate field `window`"),
        ("/debug/latency?windw=5m", "expected one of `window`, `op`, `format`"),
        ("/debug/latency?op=jion", "allowed: join"),
        ("/debug/latency?format=pdf", "allowed: html, json, svg"),
        ("/debug/latency.hlog?window=soon", "allowed: 1s to 1h"),
        ("/debug/latency.hlog?op=join", "unknown field `op`, expected `window`"),
        ("/debug/slow?format=svg", "allowed: html, json"),
        ("/debug/slow?format=json&format=html", "duplicate field `format`"),
        (&long_name, "the query cannot be read: unknown field `xxx"),
        (&long_value, "allowed: html, json, svg"),
    ] {
        let message = refused(&routes, request(Method::GET, path), Code::BadRequest).await;
        assert!(message.contains(said), "{path}: {message}");
    }
    let level = Request::put("/api/log/level").body(Body::from("loud")).unwrap();
    assert!(refused(&routes, level, Code::BadRequest).await.contains("one of off, error"));
}

#[tokio::test]
async fn what_may_not_be_asked_and_what_is_not_there_are_refused_in_the_same_shape() {
    let open = routes("127.0.0.1", None);
    let message = refused(&open, request(Method::GET, "/debug/none"), Code::PathNotFound).await;
    assert!(message.contains("/ lists what is"), "{message}");
    for path in ["/", "/health/live", "/health/ready", "/metrics", "/api/status", "/debug/latency", "/debug/slow"] {
        refused(&open, request(Method::POST, path), Code::MethodNotAllowed).await;
    }
    refused(&open, request(Method::DELETE, "/api/log/level"), Code::MethodNotAllowed).await;
    let mut from_page = request(Method::PUT, "/api/log/level");
    from_page.headers_mut().insert(header::ORIGIN, http::HeaderValue::from_static("https://example.com"));
    refused(&open, from_page, Code::OriginRefused).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), TOKEN).unwrap();
    let guarded = routes("0.0.0.0", Some(file.path()));
    refused(&guarded, request(Method::GET, "/debug/slow"), Code::Unauthenticated).await;
    refused(&routes("0.0.0.0", None), request(Method::GET, "/debug/slow"), Code::PermissionDenied).await;
}

#[tokio::test]
async fn a_router_that_is_not_ready_says_why_beside_its_health() {
    let state = Arc::new(State::new(Instant::now()));
    let guard = Guard::new(&["127.0.0.1:9600".parse().unwrap()], None).unwrap();
    let routes = routes::router(Shared::new(shown(telemetry(), state.clone())), guard);
    let ready = || request(Method::GET, "/health/ready");
    let missing = refused(&routes, ready(), Code::NotReady).await;
    assert!(missing.ends_with("missing: listener, keys"), "{missing}");
    state.latch(Latch::Listener);
    let missing = refused(&routes, ready(), Code::NotReady).await;
    assert!(missing.ends_with("missing: keys"), "{missing}");
    state.latch(Latch::Keys);
    let (status, body) = ask(&routes, Method::GET, "/health/ready", &[]).await;
    assert!(status == StatusCode::OK && !body.contains("error"), "{body}");
    state.set_phase(DrainPhase::Advising);
    refused(&routes, ready(), Code::Draining).await;
    let (_, body) = ask(&routes, Method::GET, "/health/ready", &[]).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["ready"], &body["phase"]), (&false.into(), &"advising".into()));
    assert_eq!(body["latches"], serde_json::json!({ "listener": true, "keys": true }));
}

#[tokio::test]
async fn what_breaks_while_an_answer_is_made_is_an_internal_error_in_the_same_shape() {
    let shared = Shared::new(shown(telemetry(), Arc::new(State::new(Instant::now()))));
    let broken =
        axum::Router::new().route("/", axum::routing::get(async move || shared.apart(|_| panic!("of the test")).await));
    let message = refused(&broken, request(Method::GET, "/"), Code::Internal).await;
    assert!(!message.contains("of the test"), "{message}");
}
