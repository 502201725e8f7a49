//! A link as its host has it: each connection that comes over it is one of the gateway's, whose frames leave by the link's queue.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use ahash::AHashMap;
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, Streaming};
use tower::Service as _;

use super::{
    PROOF, ROUTER, Relay, Shared,
    edge::MESSAGE_BYTES_MAX,
    leaving::Leaving,
    proof::Unproven,
    words::{Guest, ago, hello},
};
use crate::{
    event::{Event, RelayEnd, RelayFact, RelaySide},
    ids::RouterId,
    io::{
        clock,
        gateway::{Arrived, Gateway, Inbound},
        listener::{Accepted, Listener},
        outbound::{
            Outbound,
            shared::{SharedQueue, Way},
        },
        rpc::Asked,
        workers,
    },
    protocol::{Code, Encoding, RELAY_VERSION, relay, relay::relay_server::RelayServer},
};

/// Frames of one connection that wait for their turn; past them, it is closed.
const FRAMES_WAITING: usize = 256;
/// A connection that says nothing for so long is asked whether it lives.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
/// And ends when it does not say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Of one edge: its link, and calls of the admin API beside it.
const STREAMS_MAX: u32 = 256;
/// An edge that says nothing for so long is gone: it asks for a sign of life each second.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// What an edge may send before it is read.
const WINDOW_BYTES: u32 = 2 << 20;

/// The clients' port and what links are made of: all that a host needs.
#[derive(Clone, Debug)]
pub struct Host {
    /// Whose connections they become.
    pub gateway: Arc<Gateway>,
    /// This router's links.
    pub relay: Relay,
}

/// Takes links until the router ends.
pub async fn serve(listener: Listener, host: Host) {
    let closing = host.relay.0.closing.clone();
    let tasks = host.relay.0.tasks.clone();
    let handle = move |accepted| tasks.track_future(connection(host.clone(), accepted));
    if let Err(error) = listener.run(closing, handle).await {
        tracing::error!(%error, "the port that other routers relay to cannot be served");
    }
}

async fn connection(host: Host, accepted: Accepted) {
    let Accepted { stream, peer: _, permit } = accepted;
    let closing = host.relay.0.closing.clone();
    let patience = host.relay.0.settings.connect_timeout;
    let relay = RelayServer::new(host.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let (proven, shown) = (Arc::<AtomicBool>::default(), tokio::time::sleep(patience));
    let is_proven = proven.clone();
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        // before anything of a body is read
        let (known, asked) = (host.known(request.headers()), Arc::<AtomicBool>::default());
        proven.fetch_or(known.is_ok(), Ordering::Relaxed);
        let known = known.map(|router| {
            request.extensions_mut().insert(router);
            request.extensions_mut().insert(GivenOn(asked.clone()));
        });
        let answered = known.map(|()| relay.clone().call(request.map(tonic::body::Body::new)));
        async move {
            match answered {
                Ok(answered) => {
                    answered.await.map(|answer| answer.map(|body| tonic::body::Body::new(Asked::new(body, asked))))
                }
                Err(status) => Ok::<_, Infallible>(status.into_http()),
            }
        }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(16 * 1024)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection, shown);
    let mut waiting = true;
    loop {
        tokio::select! {
            // errors are the other side's: it went away, or spoke no HTTP/2
            _ = connection.as_mut() => break,
            () = shown.as_mut(), if waiting => {
                waiting = false;
                // whoever shows nothing takes a place of those who would
                if !is_proven.load(Ordering::Relaxed) {
                    break;
                }
            }
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await.ok();
                break;
            }
        }
    }
    drop(permit);
}

/// Where the body of an answer says that it is asked for more.
#[derive(Clone)]
struct GivenOn(Arc<AtomicBool>);

#[tonic::async_trait]
impl relay::relay_server::Relay for Host {
    type CarryStream = Pushed;

    async fn carry(&self, request: Request<Streaming<relay::FromEdge>>) -> Result<Response<Pushed>, Status> {
        let shared = &self.relay.0;
        let router = request.extensions().get::<RouterId>().cloned();
        let router = router.ok_or_else(|| Status::unauthenticated("nobody in particular"))?;
        let GivenOn(asked) =
            request.extensions().get::<GivenOn>().cloned().ok_or_else(|| Status::internal("no body"))?;
        let mut hearing = request.into_inner();
        let patience = shared.settings.connect_timeout;
        let first = timeout(patience, hearing.message())
            .await
            .map_err(|_| self.refuse(&router, Status::deadline_exceeded("no hello")))??;
        let said = first
            .and_then(|first| first.hello)
            .ok_or_else(|| self.refuse(&router, Status::invalid_argument("the first message is not a hello")))?;
        if said.protocol != RELAY_VERSION {
            return Err(self.refuse(&router, Status::failed_precondition("another version of the protocol")));
        }
        if shared.closing.is_cancelled() {
            return Err(Status::unavailable("this router ends"));
        }
        shared.observe(RelayFact::LinkUp { side: RelaySide::Host, router: router.clone() });
        shared.hosted.links.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(HostLink {
            queue: Arc::new(SharedQueue::new(shared.settings.link_bytes)),
            outbounds: Mutex::default(),
            round_trip_us: AtomicU32::default(),
        });
        let over = CancellationToken::new();
        let leaving = Leaving::new(self.gateway.clone(), link.clone(), asked);
        let pushed = Pushed { hello: Some(hello(&shared.settings.router)), leaving, _over: over.clone().drop_guard() };
        shared.tasks.spawn(Edge { host: self.clone(), link, router, guests: AHashMap::new() }.hear(hearing, over));
        Ok(Response::new(pushed))
    }

    async fn ask(&self, request: Request<relay::AdminAsk>) -> Result<Response<relay::AdminAnswer>, Status> {
        self.answer(request).await
    }
}

impl Host {
    /// Which router speaks, if it has the fleet's secret and means this one.
    fn known(&self, headers: &HeaderMap) -> Result<RouterId, Status> {
        let shared = &self.relay.0;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let from = text(ROUTER);
        // whom it means is in what it signs
        shared.proofs.check(text(PROOF), from, &shared.settings.router, clock::unix_ms()).map_err(|why| {
            // what it calls itself is not told
            let why = match why {
                Unproven::Forged => "no proof of this fleet, or for another router",
                Unproven::Skewed => "a proof of another time: are the clocks right?",
            };
            self.refuse(&RouterId::from(""), Status::unauthenticated(why))
        })?;
        Ok(RouterId::from(from))
    }

    /// Tells a refusal.
    fn refuse(&self, router: &RouterId, status: Status) -> Status {
        self.relay.0.observe(RelayFact::LinkDown {
            side: RelaySide::Host,
            router: router.clone(),
            end: RelayEnd::Refused,
            connections: 0,
            why: status.message().to_owned(),
        });
        status
    }
}

/// What the two directions of a link share.
#[derive(Debug)]
pub(super) struct HostLink {
    pub(super) queue: Arc<SharedQueue>,
    outbounds: Mutex<AHashMap<u64, Arc<Outbound>>>,
    round_trip_us: AtomicU32,
}

impl HostLink {
    pub(super) fn outbounds(&self) -> MutexGuard<'_, AHashMap<u64, Arc<Outbound>>> {
        // one map, changed at once
        self.outbounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long what is sent now will be on its way.
    pub(super) fn way(&self) -> Duration {
        Duration::from_micros(u64::from(self.round_trip_us.load(Ordering::Relaxed)) / 2)
    }
}

/// What a connection is told.
enum Told {
    Frame(Bytes, Arrived),
    Over(Code),
}

/// The edge of a link, as it is heard.
struct Edge {
    host: Host,
    link: Arc<HostLink>,
    router: RouterId,
    guests: AHashMap<u64, mpsc::Sender<Told>>,
}

impl Edge {
    /// Until the link is over.
    async fn hear(mut self, mut hearing: Streaming<relay::FromEdge>, over: CancellationToken) {
        let closing = self.shared().closing.clone();
        let (end, why) = loop {
            tokio::select! {
                message = timeout(SILENCE_MAX, hearing.message()) => match message {
                    Ok(Ok(Some(message))) => {
                        workers::step();
                        let heard = Instant::now();
                        message.items.into_iter().for_each(|item| self.take(item, heard));
                    }
                    Ok(Ok(None)) => break (RelayEnd::Closed, "the other router ended it".to_owned()),
                    Ok(Err(status)) => break (RelayEnd::Lost, format!("the stream ended ({:?})", status.code())),
                    Err(_) => break (RelayEnd::Silent, format!("nothing was heard for {SILENCE_MAX:?}")),
                },
                () = over.cancelled() => break self.ended(),
                () = closing.cancelled() => break (RelayEnd::Closed, "this router ends".to_owned()),
            }
        };
        let (side, router, connections) = (RelaySide::Host, self.router.clone(), self.guests.len());
        self.shared().hosted.links.fetch_sub(1, Ordering::Relaxed);
        self.shared().observe(RelayFact::LinkDown { side, router, end, connections, why });
        // each hears of it by its sender's end
        self.guests.clear();
        super::leaving::abandon(&self.host.gateway, &self.link);
    }

    fn shared(&self) -> &Shared {
        &self.host.relay.0
    }

    /// Why nothing leaves any more.
    fn ended(&self) -> (RelayEnd, String) {
        match self.link.queue.has_overflowed() {
            true => (RelayEnd::Overflowed, "relay.link_bytes: more waited for the other router than may".to_owned()),
            false => (RelayEnd::Lost, "the other router reads no more".to_owned()),
        }
    }

    fn take(&mut self, item: relay::EdgeItem, heard: Instant) {
        let connection = item.connection;
        match item {
            relay::EdgeItem { frame: Some(frame), .. } => {
                let told = Told::Frame(frame.bytes, Arrived { received: ago(frame.age_us, heard), heard });
                if self.guests.get(&connection).is_some_and(|guest| guest.try_send(told).is_err()) {
                    self.floods(connection);
                }
            }
            relay::EdgeItem { open: Some(open), .. } => self.open(connection, &open),
            relay::EdgeItem { probe: Some(probe), .. } => {
                self.link.round_trip_us.store(probe.round_trip_us, Ordering::Relaxed);
                self.link.queue.add(0, crate::io::outbound::shared::Item::Echo(probe.number)).ok();
            }
            relay::EdgeItem { lost, .. } if !lost.is_empty() => {
                let code = Code::by_name(&lost).unwrap_or(Code::ConnectionLost);
                if let Some(guest) = self.guests.remove(&connection) {
                    // one whose frames fill its queue ends with its sender
                    guest.try_send(Told::Over(code)).ok();
                }
            }
            // of a later version
            _ => {}
        }
    }

    /// A client that says more than is carried out: its connection ends, and nobody else waits.
    fn floods(&mut self, connection: u64) {
        self.guests.remove(&connection);
        if let Some(outbound) = self.link.outbounds().get(&connection) {
            let why = format!("{FRAMES_WAITING} frames of the connection wait for their turn");
            outbound.close(Code::Overloaded.because(why).retry_after_ms(1_000));
        }
    }

    fn open(&mut self, connection: u64, open: &relay::Open) {
        let full = self.guests.len() >= self.shared().settings.connections_max;
        let refusal = match Guest::read(open) {
            Some(guest) if !full && !self.guests.contains_key(&connection) => {
                let json = guest.json;
                let way = Way::new(self.link.queue.clone(), connection);
                let inbound = Inbound::relayed(self.host.gateway.clone(), guest, way);
                self.link.outbounds().insert(connection, inbound.outbound().clone());
                let (tells, told) = mpsc::channel(FRAMES_WAITING);
                self.guests.insert(connection, tells);
                let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
                let guest = serve_guest(self.host.clone(), self.link.clone(), (inbound, connection), encoding, told);
                self.shared().tasks.spawn(guest);
                return;
            }
            Some(_) if full => Code::RouterFull.because("relay.connections_max: the link has its limit of connections"),
            // an edge of ours says it in another way
            _ => Code::Internal.because("the connection cannot be taken over from the router that it came to"),
        };
        self.link.queue.add(connection, crate::io::outbound::shared::Item::Closed(Box::new(refusal))).ok();
    }
}

/// One connection, from its opening to its end.
async fn serve_guest(
    host: Host,
    link: Arc<HostLink>,
    (mut inbound, connection): (Inbound, u64),
    encoding: Encoding,
    mut told: mpsc::Receiver<Told>,
) {
    let Host { gateway, relay } = host;
    relay.0.hosted.connections.fetch_add(1, Ordering::Relaxed);
    gateway.observe_from(&Event::ConnectionOpened { transport: "relay" }, inbound.outbound());
    let reason = loop {
        match told.recv().await {
            Some(Told::Frame(bytes, at)) => {
                workers::step();
                if let Err(refusal) = inbound.receive(encoding, &bytes, at).await {
                    inbound.outbound().close(refusal);
                }
                inbound.settle();
            }
            Some(Told::Over(code)) => break code,
            None => break inbound.outbound().closed().unwrap_or(Code::ConnectionLost),
        }
    };
    link.outbounds().remove(&connection);
    relay.0.hosted.connections.fetch_sub(1, Ordering::Relaxed);
    inbound.end(reason).await;
}

/// What leaves by the link: a hello, then all that waits.
#[derive(Debug)]
pub struct Pushed {
    hello: Option<relay::Hello>,
    leaving: Leaving,
    /// Tells the other direction when the edge has hung up and the stream is dropped.
    _over: DropGuard,
}

impl Stream for Pushed {
    type Item = Result<relay::FromHost, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(Ok(relay::FromHost { hello: Some(hello), items: Vec::new() })));
        }
        let items = ready!(self.leaving.poll_next(cx));
        Poll::Ready(items.map(|items| Ok(relay::FromHost { hello: None, items })))
    }
}
