//! The task that owns the node and its UDP port: datagrams, calls and time in, datagrams and pushes out.
//!
//! Nothing here waits for anybody: a datagram that the system does not take is lost, as the network may lose it; a router
//! that does not take its pushes loses its stream.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket as StdSocket},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::UdpSocket,
    sync::{broadcast, mpsc, oneshot},
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;

use super::{
    limits::Refusal,
    node::{Command, Done, Node, Output, Totals},
};
use crate::protocol::v1;

/// The largest datagram that WebRTC's clients send is far below (RFC 8261, RFC 8834): they keep to a path's 1,500 bytes.
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// Datagrams that are taken in a row before calls and time have their turn.
const BURST: usize = 64;
/// The system's buffers of the port: a tenth of a second of 160 Mbit/s.
const SOCKET_BYTES: usize = 2 * 1024 * 1024;
/// Without anything to do it looks around that often.
const IDLE: Duration = Duration::from_secs(1);

/// A call that waits for its turn.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) command: Command,
    pub(super) deadline: Option<Instant>,
    pub(super) reply: oneshot::Sender<Result<Done, Refusal>>,
}

/// The node, its port, and who asks and listens.
#[derive(Debug)]
pub(super) struct Pump {
    pub(super) node: Node,
    pub(super) socket: UdpSocket,
    /// The same port: to send without the runtime's leave.
    pub(super) out: StdSocket,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) pushes: broadcast::Sender<Arc<v1::MediaPush>>,
    pub(super) totals: Arc<Mutex<Totals>>,
}

/// Binds the port, for reading and for writing.
pub(super) fn bind(address: SocketAddr) -> io::Result<(UdpSocket, StdSocket)> {
    let socket = StdSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    let buffers = socket2::SockRef::from(&socket);
    // what the system allows is as good as it gets
    buffers.set_recv_buffer_size(SOCKET_BYTES).ok();
    buffers.set_send_buffer_size(SOCKET_BYTES).ok();
    let out = socket.try_clone()?;
    Ok((UdpSocket::from_std(socket)?, out))
}

impl Pump {
    /// Until it is told to end.
    pub(super) async fn run(mut self, end: CancellationToken) {
        loop {
            let wake = self.node.wake_at().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                biased;
                () = end.cancelled() => return self.finish(),
                Some(ask) = self.asks.recv() => self.answer(ask),
                ready = self.socket.readable() => {
                    if let Err(error) = ready {
                        tracing::error!(%error, "the media port cannot be read any more");
                        return;
                    }
                    self.read();
                }
                () = sleep_until(wake.into()) => {}
            }
            self.node.pass_time(Instant::now());
            self.flush();
            *self.totals.lock().unwrap_or_else(PoisonError::into_inner) = self.node.totals();
        }
    }

    fn answer(&mut self, ask: Ask) {
        let now = Instant::now();
        let late = ask.deadline.is_some_and(|deadline| deadline <= now) || ask.reply.is_closed();
        let result = if late { Err(Refusal::Late) } else { self.node.handle(ask.command, now) };
        // who asked may have gone
        ask.reply.send(result).ok();
    }

    fn read(&mut self) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        for _ in 0..BURST {
            match self.socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => self.node.receive(from, &buffer[..length], Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // an ICMP message about somebody who went away
                Err(_) => {}
            }
        }
    }

    fn flush(&mut self) {
        while let Some(output) = self.node.output() {
            match output {
                Output::Send { to, bytes } => {
                    self.out.send_to(&bytes, to).ok();
                }
                // nobody may be watching just now: offers are told again
                Output::Push(push) => {
                    self.pushes.send(Arc::new(push)).ok();
                }
            }
        }
    }

    /// Clients learn at once that it is over.
    fn finish(mut self) {
        let now = Instant::now();
        self.node.end(now);
        self.flush();
    }
}
