//! One accepted connection: HTTP/1.1 or HTTP/2, whichever it begins with.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, body::Body, response::Response};
use http::{Method, Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Gateway,
    trace_id::{tell, trace_id},
    upgrade,
};
use crate::io::{
    listener::{Accepted, Permit},
    workers,
};

/// A transport connection, shared by what was made of it.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Its address; behind a PROXY header, the one that this names.
    pub peer: SocketAddr,
    /// Whether a request has come.
    spoke: AtomicBool,
    /// Its place among the bounded number of connections.
    _permit: Permit,
}

/// Serves a connection until it ends or is upgraded. `routes` answers all but the signal paths.
pub async fn serve(gateway: Arc<Gateway>, routes: Router, accepted: Accepted, shutdown: CancellationToken) {
    let Accepted { stream, peer, permit } = accepted;
    let info = Arc::new(ConnectionInfo { peer, spoke: AtomicBool::new(false), _permit: permit });
    let builder = http_server(&gateway);
    let silence = tokio::time::sleep(gateway.settings.load().header_timeout);
    let spoke = info.clone();
    let service = service_fn(move |request| {
        info.spoke.store(true, Ordering::Relaxed);
        answer(gateway.clone(), routes.clone(), info.clone(), request)
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection, silence);
    let (mut waiting, mut ending) = (true, false);
    loop {
        tokio::select! {
            // errors are the client's: it went away, or spoke no HTTP; hyper has answered what could be answered
            _ = connection.as_mut() => return,
            () = silence.as_mut(), if waiting => {
                // a connection that never speaks is not even HTTP yet, and hyper waits for it without a bound
                if !spoke.spoke.load(Ordering::Relaxed) {
                    return;
                }
                waiting = false;
            }
            () = shutdown.cancelled(), if !ending => {
                connection.as_mut().graceful_shutdown();
                ending = true;
            }
        }
    }
}

fn http_server(gateway: &Gateway) -> Builder<TokioExecutor> {
    let settings = gateway.settings.load();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(1_000)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(settings.ping)
        .keep_alive_timeout(settings.idle_timeout.saturating_sub(settings.ping));
    builder
}

async fn answer(
    gateway: Arc<Gateway>,
    routes: Router,
    info: Arc<ConnectionInfo>,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let get = request.method() == Method::GET;
    workers::step();
    let trace = trace_id(request.headers());
    let mut response = match request.uri().path() {
        "/v1/signal" if get => upgrade::upgrade(gateway, info, trace, request).await,
        "/v1/signal/validate" if get => upgrade::validate(gateway, info, trace, request).await,
        _ => {
            request.extensions_mut().insert(info);
            request.extensions_mut().insert(trace);
            routes.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {})
        }
    };
    tell(&mut response, trace);
    Ok(response)
}
