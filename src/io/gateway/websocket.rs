//! One WebSocket connection: a single task that reads, writes, pings and times out.
//!
//! The writer yields once after it wakes, then takes its whole queue and writes it vectored: fewer write
//! calls than deliveries. Reading goes on while a write is held up by the client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Sleep, timeout},
};
use tokio_websockets::{CloseCode, Config, Limits, Message, ServerBuilder, WebSocketStream};

use super::{Arrived, Gateway, Inbound, inbound::leave_push, upgrade::Rewound};
use crate::{
    event::Event,
    io::{
        outbound::{Batch, Outbound, Outgoing, Sent},
        workers,
    },
    protocol::{Code, Encoding, Refusal, encode},
};

/// The least time that a ping's answer is given.
const ANSWER_MIN: Duration = Duration::from_millis(500);

/// What woke the task.
enum Step {
    Received(Message),
    /// The transport ended.
    Ended(Code),
    /// Frames wait in the outbound queue, or it must close.
    Waiting,
    Flushed,
    Timer,
}

struct Socket {
    stream: WebSocketStream<Rewound>,
    batch: Batch,
    /// What is being flushed, when something is.
    sent: Sent,
    flushing: bool,
    heard: Instant,
    pinged: bool,
}

/// Runs a connection, once there is one, until it ends, then tells its shard; lets go of `held` last.
///
/// No async function, whose future would keep what it is given twice: it is most of what an idle connection takes.
#[allow(clippy::manual_async_fn)]
pub(super) fn run(
    gateway: Arc<Gateway>,
    upgrading: impl Future<Output = Option<Rewound>> + Send,
    mut inbound: Inbound,
    held: impl Send,
) -> impl Future<Output = ()> + Send {
    async move {
        // fails when the client went away before it read the answer
        let Some(stream) = upgrading.await else { return };
        gateway.observe_from(&Event::ConnectionOpened { transport: "websocket" }, inbound.outbound());
        let mut socket = Socket::new(&gateway, stream);
        let ended = socket.exchange(&gateway, &mut inbound).await;
        let outbound = inbound.outbound().clone();
        // the room must not wait for a client that is slow to go
        let patience = gateway.settings.load().close_timeout;
        match ended {
            Ok(code) => {
                inbound.end(code).await;
                if code != Code::ConnectionLost {
                    timeout(patience, socket.hang_up(&gateway, &outbound)).await.ok();
                }
            }
            Err(refusal) => {
                inbound.end(refusal.code).await;
                timeout(patience, socket.close(&gateway, &outbound, &refusal)).await.ok();
            }
        }
        gateway.abandoned(socket.sent, &outbound);
        drop((socket.stream, outbound, held));
    }
}

impl Socket {
    fn new(gateway: &Gateway, stream: Rewound) -> Self {
        // a little above the limit, so that a frame just past it is answered by name; far past it the codec closes
        let largest = gateway.settings.load().limits.frame_bytes.saturating_mul(2);
        let stream = ServerBuilder::new()
            .limits(Limits::default().max_payload_len(Some(largest)))
            .config(Config::default().flush_threshold(usize::MAX).frame_size(usize::MAX))
            .serve(stream);
        let (batch, sent, heard) = (Batch::default(), Sent::default(), Instant::now());
        Self { stream, batch, sent, flushing: false, heard, pinged: false }
    }

    /// Ends with the reason when the client is gone, with a refusal when it must be told.
    async fn exchange(&mut self, gateway: &Gateway, inbound: &mut Inbound) -> Result<Code, Refusal> {
        let timer = tokio::time::sleep(gateway.settings.load().first_frame_timeout);
        tokio::pin!(timer);
        loop {
            let step = std::future::poll_fn(|cx| self.poll_step(cx, inbound, timer.as_mut())).await;
            workers::step();
            match step {
                Step::Received(message) => {
                    let received = self.stream.get_ref().read_at();
                    self.heard = received;
                    self.pinged = false;
                    self.receive(inbound, message, received).await?;
                }
                Step::Waiting => {
                    // others of this turn may add to the queue before it is written: one write call for all
                    tokio::task::yield_now().await;
                    inbound.settle();
                    self.write(gateway, inbound)?;
                }
                Step::Flushed => {
                    self.flushing = false;
                    inbound.outbound().written(&mut self.batch);
                    gateway.flushed(&mut self.sent, inbound.outbound());
                }
                Step::Timer => self.keep_alive(gateway, inbound, timer.as_mut())?,
                Step::Ended(code) => return Ok(code),
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>, inbound: &Inbound, timer: Pin<&mut Sleep>) -> Poll<Step> {
        if self.flushing {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Step::Flushed),
                Poll::Ready(Err(_)) => return Poll::Ready(Step::Ended(Code::ConnectionLost)),
                Poll::Pending => {}
            }
        }
        let waiting =
            if self.flushing { inbound.outbound().poll_closing(cx) } else { inbound.outbound().poll_waiting(cx) };
        if waiting.is_ready() {
            return Poll::Ready(Step::Waiting);
        }
        if let Poll::Ready(received) = Pin::new(&mut self.stream).poll_next(cx) {
            return Poll::Ready(match received {
                Some(Ok(message)) => Step::Received(message),
                Some(Err(error)) => Step::Ended(reason_of(&error)),
                None => Step::Ended(Code::ConnectionLost),
            });
        }
        timer.poll(cx).map(|()| Step::Timer)
    }

    async fn receive(&mut self, inbound: &mut Inbound, message: Message, received: Instant) -> Result<(), Refusal> {
        let encoding = match &message {
            message if message.is_text() => Encoding::Json,
            message if message.is_binary() => Encoding::Protobuf,
            // the codec answers pings and closes by itself; it wants to be polled for it
            _ => return Ok(()),
        };
        inbound.receive(encoding, message.as_payload(), Arrived::here(received)).await
    }

    /// Takes all that waits and begins to write it.
    fn write(&mut self, gateway: &Gateway, inbound: &Inbound) -> Result<(), Refusal> {
        let text = inbound.outbound().encoding() == Encoding::Json;
        // while a flush is under way only a close may come through: its frames wait behind
        let mut taken = Batch::default();
        let close = inbound.outbound().take(if self.flushing { &mut taken } else { &mut self.batch });
        let frames = if taken.frames.is_empty() { &mut self.batch.frames } else { &mut taken.frames };
        for Outgoing { frame, mark } in frames.drain(..) {
            let message = if text { Message::text(frame) } else { Message::binary(frame) };
            // fails only when the stream is closing already, which its reading side reports
            if self.stream.start_send_unpin(message).is_ok() {
                self.sent.add(mark);
            } else {
                gateway.gone(mark, inbound.outbound());
            }
        }
        match close {
            Some(refusal) => Err(*refusal),
            None => {
                self.flushing = true;
                Ok(())
            }
        }
    }

    /// Finds connections that never speak, and those that no longer do.
    fn keep_alive(&mut self, gateway: &Gateway, inbound: &Inbound, timer: Pin<&mut Sleep>) -> Result<(), Refusal> {
        if !inbound.is_attached() {
            return Err(Code::FirstFrameTimeout.refuse());
        }
        let settings = gateway.settings.load();
        let silent = self.heard.elapsed();
        // the first look may come late (first_frame_timeout): whoever was never pinged is not dead
        if silent >= settings.idle_timeout && self.pinged {
            return Err(Code::Idle.refuse());
        }
        let mut next = settings.ping;
        if silent < settings.ping {
            next = settings.ping - silent;
        } else {
            if !self.pinged {
                self.pinged = true;
                self.stream.start_send_unpin(Message::ping("")).ok();
                self.flushing = true;
            }
            next = next.min(settings.idle_timeout.saturating_sub(silent).max(ANSWER_MIN));
        }
        timer.reset(tokio::time::Instant::now() + next);
        Ok(())
    }

    /// Says `leave`, closes with the code, and waits for the client to have read it.
    async fn close(&mut self, gateway: &Gateway, outbound: &Outbound, refusal: &Refusal) {
        let encoding = outbound.encoding();
        let leave = encode(encoding, &leave_push(refusal));
        let message = if encoding == Encoding::Json { Message::text(leave) } else { Message::binary(leave) };
        self.stream.start_send_unpin(message).ok();
        let code = CloseCode::try_from(refusal.code.number()).unwrap_or(CloseCode::INTERNAL_SERVER_ERROR);
        self.stream.start_send_unpin(Message::close(Some(code), refusal.code.name())).ok();
        if self.stream.flush().await.is_ok() {
            gateway.flushed(&mut self.sent, outbound);
            while let Some(Ok(_)) = self.stream.next().await {}
        }
    }

    /// Lets the codec's own close frame out. What the client still sends is read and dropped: closing a socket
    /// with unread bytes resets it, and the reset would overtake the close frame.
    async fn hang_up(&mut self, gateway: &Gateway, outbound: &Outbound) {
        if self.stream.flush().await.is_err() {
            return;
        }
        gateway.flushed(&mut self.sent, outbound);
        let socket = self.stream.get_mut();
        socket.shutdown().await.ok();
        // on the heap: as an array it would be part of every connection's task for its whole life
        let mut dropped = vec![0; 4096];
        while matches!(socket.read(&mut dropped).await, Ok(1..)) {}
    }
}

/// What a broken transport counts as. The codec has told the client already (1002, 1007, 1009).
fn reason_of(error: &tokio_websockets::Error) -> Code {
    match error {
        tokio_websockets::Error::PayloadTooLong { .. } => Code::LimitExceeded,
        tokio_websockets::Error::Protocol(_) => Code::BadRequest,
        _ => Code::ConnectionLost,
    }
}

#[cfg(test)]
mod tests {
    use std::future::Ready;

    use super::*;

    /// How large the future of a connection is.
    fn size<F: Future>(_: fn(Arc<Gateway>, Ready<Option<Rewound>>, Inbound, ()) -> F) -> usize {
        size_of::<F>()
    }

    /// With a hundred thousand connections each byte is 100 KB. What grew may be boxed where it is rare (see `Inbound::receive`).
    #[test]
    fn the_task_of_a_connection_stays_small() {
        let bytes = size(run);
        assert!(bytes <= 1_700, "{bytes} bytes");
    }
}
