//! From an HTTP/1.1 request to a WebSocket (RFC 6455 4.2), and the same question asked without one.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ConnectionInfo, Gateway, Inbound, Knock, websocket};
use crate::{
    event::TraceId,
    io::{admin::error_response, listener::ByteStream},
    protocol::{Code, Refusal},
};

/// RFC 6455 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `GET /v1/signal`.
pub(super) async fn upgrade(
    gateway: Arc<Gateway>,
    info: Arc<ConnectionInfo>,
    trace: TraceId,
    mut request: Request<hyper::body::Incoming>,
) -> Response {
    let accept = match handshake(request.headers()) {
        Ok(accept) => accept,
        Err(refusal) => return upgrade_required(&refusal),
    };
    let admission = match gateway.admit(knock(&request, &info, trace)).await {
        Ok(admission) => admission,
        Err(refusal) => return error_response(&refusal),
    };
    let Some(upgrading) = request.extensions_mut().remove::<OnUpgrade>() else {
        return upgrade_required(&Code::BadRequest.because("this connection cannot be upgraded"));
    };
    let inbound = Inbound::new(gateway.clone(), admission, "websocket");
    gateway.clone().connections.spawn(websocket::run(gateway, upgraded(upgrading), inbound, info));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// `GET /v1/signal/validate`: what the upgrade would answer; a browser cannot read the upgrade's own answer.
pub(super) async fn validate(
    gateway: Arc<Gateway>,
    info: Arc<ConnectionInfo>,
    trace: TraceId,
    request: Request<hyper::body::Incoming>,
) -> Response {
    let mut response = match gateway.admit(knock(&request, &info, trace)).await {
        Ok(_) => axum::Json(serde_json::json!({ "ok": {} })).into_response(),
        Err(refusal) => error_response(&refusal),
    };
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && gateway.check_origin(request.headers()).is_ok()
    {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("origin"));
        response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-trace-id"));
    }
    response
}

fn knock<'a>(request: &'a Request<hyper::body::Incoming>, info: &'a ConnectionInfo, trace: TraceId) -> Knock<'a> {
    Knock { headers: request.headers(), query: request.uri().query().unwrap_or_default(), info, trace }
}

fn upgrade_required(refusal: &Refusal) -> Response {
    let mut response = error_response(refusal);
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// Checks the request's headers and answers its key.
fn handshake(headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let has = |name, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err(
            Code::BadRequest.because("this path speaks WebSocket: send `Connection: upgrade` and `Upgrade: websocket`")
        );
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(Code::BadRequest.because("Sec-WebSocket-Version must be 13"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if STANDARD.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
        return Err(Code::BadRequest.because("Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    HeaderValue::try_from(STANDARD.encode(digest)).map_err(|_| Code::Internal.refuse())
}

/// The socket itself, without the HTTP server's buffers.
async fn upgraded(upgrading: OnUpgrade) -> Option<Rewound> {
    let parts = downcast::<TokioIo<ByteStream>>(upgrading.await.ok()?).ok()?;
    // even when empty, the read buffer would keep 8 KiB alive: copy what is in it and let it go
    let prefix = if parts.read_buf.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(&parts.read_buf) };
    Some(Rewound { prefix, stream: parts.io.into_inner(), read_at: Instant::now() })
}

/// A stream whose first bytes have been read by somebody else.
#[derive(Debug)]
pub(super) struct Rewound {
    prefix: Bytes,
    stream: ByteStream,
    read_at: Instant,
}

impl Rewound {
    /// When bytes came last: the frames that are read from a buffer since then arrived no later.
    pub(super) const fn read_at(&self) -> Instant {
        self.read_at
    }
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
            if read.is_ready() {
                self.read_at = Instant::now();
            }
            return read;
        }
        let size = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..size]);
        self.prefix.advance(size);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
