//! `/v1/rooms…` and `/v1/users…` as JSON: a request's path, query and body become its message of the IDL, the answer becomes JSON.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Path, Request, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::{MethodFilter, any, get, on},
};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    AdminState,
    calls::Call,
    error_response,
    operation::{Operation, ROOMS, USERS},
    page::wrong_size,
};
use crate::{
    auth::Grant,
    protocol::{Code, Encoding, Refusal, v1},
};

/// The description of all this, for programs that make clients of it.
pub(super) const OPENAPI: &str = include_str!("openapi.json");
/// Where it is served.
pub(super) const OPENAPI_PATH: &str = "/v1/openapi.json";

type Params = Result<Path<BTreeMap<String, String>>, PathRejection>;

pub(super) fn router(state: &AdminState) -> Router {
    let document = get(openapi).fallback(method_not_allowed);
    let router = Router::new().route(OPENAPI_PATH, document);
    [ROOMS, USERS].into_iter().fold(router, |router, prefix| {
        // a nested router does not see its prefix with a slash behind it
        let slash = any(path_not_found);
        router.route(&format!("{prefix}/"), slash).nest(prefix, below(prefix, state))
    })
}

/// The operations whose paths begin so.
fn below(prefix: &str, state: &AdminState) -> Router {
    let mut router = Router::new();
    for operation in Operation::ALL.into_iter().filter(|operation| operation.prefix() == prefix) {
        let filter = MethodFilter::try_from(operation.method()).expect("the table has only methods that axum routes");
        let state = state.clone();
        let handler = move |params: Params, request: Request| handle(state, operation, params, request);
        router = router.route(operation.path_below(), on(filter, handler));
    }
    router.method_not_allowed_fallback(method_not_allowed).fallback(path_not_found)
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn path_not_found() -> Response {
    let why = format!("nothing is served at this path; {OPENAPI_PATH} lists what is");
    error_response(&Code::PathNotFound.because(why))
}

/// axum adds `Allow`.
async fn method_not_allowed() -> Response {
    error_response(&Code::MethodNotAllowed.refuse())
}

async fn handle(state: AdminState, operation: Operation, params: Params, request: Request) -> Response {
    let answered = match read(&state, operation, params, request).await {
        Ok(exchange) => exchange.answer().await,
        Err(refusal) => Err(refusal),
    };
    answered.unwrap_or_else(|refusal| error_response(&refusal))
}

/// Reads a request: first whose it is, then what it says.
async fn read(state: &AdminState, operation: Operation, params: Params, request: Request) -> Result<Exchange, Refusal> {
    let (head, body) = request.into_parts();
    let grant = state.admit(operation, &head.headers, &head.extensions).await?;
    let Path(params) = params.map_err(|_| Code::BadRequest.because("the path is not percent-encoded UTF-8"))?;
    let limit = (state.parts.bounds)().limits.frame_bytes;
    let body = match tokio::time::timeout(state.parts.request_timeout, to_bytes(body, limit)).await {
        Ok(Ok(body)) => body,
        Ok(Err(e)) => return Err(unreadable(&e, limit)),
        Err(_) => return Err(Code::HandshakeTimeout.because("the request's body did not arrive in time")),
    };
    let query = head.uri.query().unwrap_or_default().to_owned();
    Ok(Exchange { state: state.clone(), operation, grant, params, query, body })
}

fn unreadable(error: &axum::Error, limit: usize) -> Refusal {
    let too_large = std::error::Error::source(error).is_some_and(|e| e.is::<http_body_util::LengthLimitError>());
    if too_large {
        return Code::LimitExceeded.because(format!("limits.frame_bytes: the body has more than {limit} bytes"));
    }
    Code::BadRequest.because("the request's body broke off")
}

/// A request that has been read, of a caller that is known.
struct Exchange {
    state: AdminState,
    operation: Operation,
    grant: Grant,
    params: BTreeMap<String, String>,
    query: String,
    body: Bytes,
}

impl Exchange {
    async fn answer(mut self) -> Result<Response, Refusal> {
        match self.operation {
            Operation::CreateRoom => {
                let request: v1::CreateRoomRequest = self.body(&["name"])?;
                self.run(request).await
            }
            Operation::ListRooms => {
                let (page_size, page_token) = self.page()?;
                self.run(v1::ListRoomsRequest { page_size, page_token }).await
            }
            Operation::GetRoom => {
                let room = self.param("room");
                self.run(v1::GetRoomRequest { room }).await
            }
            Operation::DeleteRoom => {
                let room = self.param("room");
                self.run(v1::DeleteRoomRequest { room }).await
            }
            Operation::UpdateRoom => {
                let mut request: v1::UpdateRoomRequest = self.body(&["metadata"])?;
                self.place("room", &mut request.room)?;
                self.run(request).await
            }
            Operation::ListParticipants => {
                let (page_size, page_token) = self.page()?;
                let room = self.param("room");
                self.run(v1::ListParticipantsRequest { room, page_size, page_token }).await
            }
            Operation::GetParticipant => {
                let (room, identity) = (self.param("room"), self.param("identity"));
                self.run(v1::GetParticipantRequest { room, identity }).await
            }
            Operation::RemoveParticipant => {
                let (room, identity) = (self.param("room"), self.param("identity"));
                self.run(v1::RemoveParticipantRequest { room, identity }).await
            }
            Operation::UpdateParticipant => {
                let mut request: v1::UpdateParticipantRequest = self.body(&[])?;
                self.place("room", &mut request.room)?;
                self.place("identity", &mut request.identity)?;
                self.run(request).await
            }
            Operation::MuteTrack => {
                let mut request: v1::MuteTrackRequest = self.body(&["muted"])?;
                self.place("room", &mut request.room)?;
                self.place("identity", &mut request.identity)?;
                self.place("track", &mut request.track)?;
                self.run(request).await
            }
            Operation::SendData => {
                let mut request: v1::SendDataRequest = self.body(&[])?;
                self.place("room", &mut request.room)?;
                self.run(request).await
            }
            Operation::GetUser => {
                let identity = self.param("identity");
                self.run(v1::GetUserRequest { identity }).await
            }
        }
    }

    async fn run<C: Call>(self, request: C) -> Result<Response, Refusal> {
        let answer = self.state.carry_out(self.grant, Encoding::Json, request).await?;
        let status = if self.operation == Operation::CreateRoom { StatusCode::CREATED } else { StatusCode::OK };
        Ok((status, Json(answer)).into_response())
    }

    fn param(&mut self, name: &str) -> String {
        self.params.remove(name).expect("the operation's path has the parameter")
    }

    /// Sets a field from the path; a body that says it too must say the same.
    fn place(&mut self, name: &str, field: &mut String) -> Result<(), Refusal> {
        let in_path = self.param(name);
        if !field.is_empty() && *field != in_path {
            return Err(
                Code::BadRequest.because(format!("{name}: the body and the path differ; leave it out of the body"))
            );
        }
        *field = in_path;
        Ok(())
    }

    /// The body as a message. `required`: fields whose absence would mean something else than what was meant.
    fn body<T: DeserializeOwned>(&self, required: &[&str]) -> Result<T, Refusal> {
        if self.body.is_empty() {
            return Err(Code::BadRequest.because("the body is empty; a JSON object is needed"));
        }
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        let message = serde_path_to_error::deserialize(&mut json).map_err(|e| match e.path().iter().next() {
            None => Code::BadRequest.because(format!("broken JSON: {}", e.inner())),
            Some(_) => Code::BadRequest.because(format!("broken JSON at `{}`: {}", e.path(), e.inner())),
        })?;
        json.end().map_err(|_| Code::BadRequest.because("broken JSON: characters after the body's end"))?;
        let given: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_slice(&self.body)
            .map_err(|_| Code::BadRequest.because("the body is not a JSON object"))?;
        match required.iter().find(|name| !given.contains_key(**name)) {
            Some(name) => Err(Code::BadRequest.because(format!("{name} is missing"))),
            None => Ok(message),
        }
    }

    fn page(&self) -> Result<(u32, String), Refusal> {
        #[derive(Deserialize)]
        struct Query {
            page_size: Option<String>,
            #[serde(default)]
            page_token: String,
        }
        let query: Query = serde_urlencoded::from_str(&self.query)
            .map_err(|e| Code::BadRequest.because(format!("the query cannot be read: {e}")))?;
        let page_size = match query.page_size {
            None => 0,
            Some(text) => match text.parse() {
                Ok(size) if size > 0 => size,
                _ => return Err(wrong_size(text, (self.state.parts.bounds)().page_max)),
            },
        };
        Ok((page_size, query.page_token))
    }
}
