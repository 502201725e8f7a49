//! `signalbox.v1.Signaling/Connect`: the frames of the protocol on a gRPC bidirectional stream.
//!
//! Frames are encoded by the shards, once for all recipients; so this service's codec takes and gives bytes.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Buf, BufMut, Bytes};
use futures_util::Stream;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Request, Response, Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, StreamingService},
};

use super::{
    gateway::{Arrived, ConnectionInfo, Gateway, Inbound, Knock, leave_push},
    outbound::{Batch, Outbound, Outgoing, Sent},
    workers,
};
use crate::{
    event::{Event, TraceId},
    protocol::{Code, Encoding, Refusal, encode},
    telemetry::trace::new_trace,
};

/// The path of the one method.
pub const PATH: &str = "/signalbox.v1.Signaling/Connect";

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The service, for a router's `route_service`.
#[derive(Clone, Debug)]
pub struct Signaling {
    gateway: Arc<Gateway>,
}

impl Signaling {
    /// Over that gateway.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }
}

impl tower::Service<http::Request<axum::body::Body>> for Signaling {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Self::Future {
        let asked = Arc::new(AtomicBool::new(false));
        let connect = Connect { gateway: self.gateway.clone(), asked: asked.clone() };
        // a little above the limit, so that a frame just past it is answered by name
        let largest = self.gateway.settings.load().limits.frame_bytes.saturating_mul(2);
        Box::pin(async move {
            let mut grpc = Grpc::new(Frames).apply_max_message_size_config(Some(largest), None);
            let response = grpc.streaming(connect, request).await;
            Ok(response.map(|body| tonic::body::Body::new(Asked::new(body, asked))))
        })
    }
}

struct Connect {
    gateway: Arc<Gateway>,
    asked: Arc<AtomicBool>,
}

/// A response's body that says when it is asked for more: HTTP/2 then has taken all that it gave before, which is as
/// near to the socket as can be seen from here. The stream within it cannot tell: it is asked until it has no more,
/// while its frames are put together.
pub(super) struct Asked {
    body: tonic::body::Body,
    asked: Arc<AtomicBool>,
}

impl Asked {
    /// That body, and where it says so.
    pub(super) const fn new(body: tonic::body::Body, asked: Arc<AtomicBool>) -> Self {
        Self { body, asked }
    }
}

impl Body for Asked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.asked.store(true, Ordering::Relaxed);
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl StreamingService<Bytes> for Connect {
    type Response = Bytes;
    type ResponseStream = Pushes;
    type Future = BoxFuture<Result<Response<Pushes>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (gateway, asked) = (self.gateway.clone(), self.asked.clone());
        Box::pin(async move {
            let (metadata, extensions, frames) = request.into_parts();
            let headers: HeaderMap = metadata.into_headers();
            let info = extensions.get::<Arc<ConnectionInfo>>().cloned();
            let info = info.ok_or_else(|| Code::Internal.refuse().to_status())?;
            let trace = extensions.get::<TraceId>().copied().unwrap_or_else(new_trace);
            let knock = Knock { headers: &headers, query: "", info: &info, trace };
            let admission = gateway.admit(knock).await.map_err(|refusal| refusal.to_status())?;
            let inbound = Inbound::new(gateway.clone(), admission, "grpc");
            let gone = CancellationToken::new();
            let pushes = Pushes {
                gateway: gateway.clone(),
                outbound: inbound.outbound().clone(),
                asked,
                batch: Batch::default(),
                sent: Sent::default(),
                closing: None,
                said_leave: false,
                _gone: gone.clone().drop_guard(),
            };
            gateway.observe_from(&Event::ConnectionOpened { transport: "grpc" }, inbound.outbound());
            gateway.clone().connections.spawn(read(gateway, inbound, frames, gone));
            Ok(Response::new(pushes))
        })
    }
}

/// Takes the client's frames until either side ends.
async fn read(gateway: Arc<Gateway>, mut inbound: Inbound, mut frames: Streaming<Bytes>, gone: CancellationToken) {
    let outbound = inbound.outbound().clone();
    let opened = tokio::time::sleep(gateway.settings.load().first_frame_timeout);
    tokio::pin!(opened);
    let mut waiting = true;
    loop {
        let frame = tokio::select! {
            frame = frames.message() => frame,
            () = gone.cancelled() => break,
            () = opened.as_mut(), if waiting => {
                waiting = false;
                if !inbound.is_attached() {
                    outbound.close(Code::FirstFrameTimeout.refuse());
                }
                inbound.settle();
                continue;
            }
        };
        workers::step();
        match frame {
            Ok(Some(frame)) => {
                if let Err(refusal) = inbound.receive(Encoding::Protobuf, &frame, Arrived::here(Instant::now())).await {
                    outbound.close(refusal);
                }
            }
            Ok(None) => break,
            Err(status) => {
                outbound.close(reason_of(&status));
                break;
            }
        }
    }
    outbound.close(Code::ConnectionLost.refuse());
    let reason = outbound.closed().unwrap_or(Code::ConnectionLost);
    inbound.end(reason).await;
}

fn reason_of(status: &Status) -> Refusal {
    match status.code() {
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => {
            Code::LimitExceeded.because("limits.frame_bytes: the frame is too large")
        }
        tonic::Code::InvalidArgument => Code::BadRequest.refuse(),
        _ => Code::ConnectionLost.refuse(),
    }
}

/// The response stream: what waits in the outbound queue.
struct Pushes {
    gateway: Arc<Gateway>,
    outbound: Arc<Outbound>,
    /// Whether the response's body was asked for more since this was looked at last.
    asked: Arc<AtomicBool>,
    batch: Batch,
    /// What was given and, as far as is known, not yet taken by HTTP/2.
    sent: Sent,
    closing: Option<Box<Refusal>>,
    said_leave: bool,
    /// Tells the reader when the client has hung up and the stream is dropped.
    _gone: DropGuard,
}

impl Stream for Pushes {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.tell_taken();
        loop {
            if let Some(Outgoing { frame, mark }) = this.batch.frames.pop() {
                this.sent.add(mark);
                return Poll::Ready(Some(Ok(frame)));
            }
            if let Some(refusal) = &this.closing {
                if !this.said_leave {
                    this.said_leave = true;
                    return Poll::Ready(Some(Ok(encode(Encoding::Protobuf, &leave_push(refusal)))));
                }
                let status = refusal.to_status();
                this.closing = None;
                return Poll::Ready(Some(Err(status)));
            }
            if this.said_leave {
                return Poll::Ready(None);
            }
            ready!(this.outbound.poll_waiting(cx));
            this.closing = this.outbound.take(&mut this.batch);
            // they are given one by one, from the end
            this.batch.frames.reverse();
        }
    }
}

impl Pushes {
    /// What was given before the body was asked for more has been taken by HTTP/2.
    fn tell_taken(&mut self) {
        if self.asked.swap(false, Ordering::Relaxed) {
            self.gateway.flushed(&mut self.sent, &self.outbound);
            self.outbound.written(&mut self.batch);
        }
    }
}

impl Drop for Pushes {
    /// The stream is over: what HTTP/2 did not ask beyond is not known to have left.
    fn drop(&mut self) {
        self.tell_taken();
        for Outgoing { mark, .. } in self.batch.frames.drain(..).rev() {
            self.sent.add(mark);
        }
        self.gateway.abandoned(std::mem::take(&mut self.sent), &self.outbound);
    }
}

/// Bytes as they are: frames are encoded elsewhere, and decoded where both transports meet.
#[derive(Clone, Copy, Debug)]
struct Frames;

impl Codec for Frames {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Frames {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, frame: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(frame);
        Ok(())
    }
}

impl Decoder for Frames {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
