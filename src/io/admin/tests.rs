use std::sync::Arc;

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    fake::{FakeRooms, Seen, state},
    routes,
};

mod documented;
mod over_grpc;
mod over_http;

/// The API over a fake with one call in room `r1`.
struct Served {
    rooms: Arc<FakeRooms>,
    seen: Seen,
    routes: Router,
}

impl Served {
    fn new() -> Self {
        Self::over(FakeRooms::with_a_call())
    }

    fn over(rooms: Arc<FakeRooms>) -> Self {
        let seen = Seen::default();
        let routes = routes(&state(&rooms, &seen));
        Self { rooms, seen, routes }
    }

    async fn ask(&self, token: &str, line: &str, body: Option<Value>) -> Answer {
        ask(&self.routes, token, line, body).await
    }
}

/// An HTTP answer with its body read.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.body
    }

    #[track_caller]
    fn refused(self, status: u16, code: &str, words: &str) {
        assert_eq!((self.status.as_u16(), &self.body["error"]["code"]), (status, &json!(code)), "{self:?}");
        assert!(self.body["error"]["message"].as_str().unwrap().contains(words), "{words}: {self:?}");
    }
}

/// Asks with a line like `GET /v1/rooms`; no token when it is empty.
async fn ask(routes: &Router, token: &str, line: &str, body: Option<Value>) -> Answer {
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    answer(routes, request(token, line, body)).await
}

fn request(token: &str, line: &str, body: Body) -> Request<Body> {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method.parse::<Method>().unwrap()).uri(path);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(body).unwrap()
}

async fn answer(routes: &Router, request: Request<Body>) -> Answer {
    let response = routes.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answer { status: head.status, headers: head.headers, body }
}
