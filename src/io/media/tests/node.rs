//! A media node for the tests: small, and it does as it is told, the wrong things included.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::Stream;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, ServerTlsConfig},
};

use crate::protocol::v1::{
    self, FromNode, FromRouter, MediaDone,
    media_server::{Media, MediaServer},
};

/// How it answers calls.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    Prompt,
    Late(Duration),
    Never,
    With(tonic::Code, &'static str),
    /// An offer is answered without an SDP.
    Empty,
}

/// A call as the node saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) op: &'static str,
    #[allow(dead_code)] // the black-box tests read it
    pub(crate) room: String,
    /// The participant, or the track.
    pub(crate) who: String,
    pub(crate) timeout: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) trace_id: Option<String>,
}

/// What the node does.
#[derive(Debug)]
pub(crate) struct Conduct {
    pub(crate) id: Mutex<String>,
    pub(crate) incarnation: Mutex<String>,
    pub(crate) manner: Mutex<Manner>,
    pub(crate) calls: Mutex<Vec<Seen>>,
    /// Under way now, and the most at once.
    pub(crate) under_way: Mutex<(usize, usize)>,
    pub(crate) echoes: Mutex<bool>,
    /// What it says first instead of a hello.
    pub(crate) first: Mutex<Option<FromNode>>,
    pub(crate) hellos: Mutex<Vec<v1::RouterHello>>,
    streams: Mutex<Vec<mpsc::Sender<Result<FromNode, Status>>>>,
    /// Once a router has ended its stream.
    pub(crate) left: CancellationToken,
}

impl Conduct {
    /// Says something on the newest stream, if there is one.
    pub(crate) async fn say(&self, message: FromNode) -> bool {
        let stream = self.streams.lock().unwrap().last().cloned();
        let Some(stream) = stream else { return false };
        stream.send(Ok(message)).await.ok();
        true
    }
}

/// Little to do.
pub(crate) fn load() -> v1::MediaReport {
    let sent_at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let (cpu_percent, memory_percent) = (10.0, 20.0);
    v1::MediaReport { cpu_percent, memory_percent, rooms: 1, sent_at_ms, ..v1::MediaReport::default() }
}

/// A node that runs.
pub(crate) struct FakeNode {
    pub(crate) addr: SocketAddr,
    pub(crate) conduct: Arc<Conduct>,
    pub(crate) stop: CancellationToken,
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl FakeNode {
    pub(crate) async fn start(id: &str) -> Self {
        Self::at(id, "127.0.0.1:0".parse().unwrap(), None).await
    }

    pub(crate) async fn secured(id: &str, tls: ServerTlsConfig) -> Self {
        Self::at(id, "127.0.0.1:0".parse().unwrap(), Some(tls)).await
    }

    pub(crate) async fn at(id: &str, addr: SocketAddr, tls: Option<ServerTlsConfig>) -> Self {
        let conduct = Arc::new(Conduct {
            id: Mutex::new(id.to_owned()),
            incarnation: Mutex::new("first".to_owned()),
            manner: Mutex::new(Manner::Prompt),
            calls: Mutex::default(),
            under_way: Mutex::default(),
            echoes: Mutex::new(true),
            first: Mutex::default(),
            hellos: Mutex::default(),
            streams: Mutex::default(),
            left: CancellationToken::new(),
        });
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let serving = server
            .add_service(MediaServer::new(Serving(conduct.clone())))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
        let ended = stop.clone();
        // a graceful end would wait for the stream: this one is cut
        tokio::spawn(async move {
            tokio::select! {
                _ = serving => {}
                () = ended.cancelled() => {}
            }
        });
        Self { addr, conduct, stop }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn manner(&self, manner: Manner) {
        *self.conduct.manner.lock().unwrap() = manner;
    }

    pub(crate) fn calls(&self) -> Vec<Seen> {
        self.conduct.calls.lock().unwrap().clone()
    }

    /// Says something on its newest stream.
    pub(crate) async fn say(&self, message: FromNode) {
        assert!(self.conduct.say(message).await, "no stream");
    }

    pub(crate) async fn report(&self, change: impl FnOnce(&mut v1::MediaReport)) {
        let mut report = load();
        change(&mut report);
        self.say(FromNode { report: Some(report), ..FromNode::default() }).await;
    }

    /// Ends its streams, without a word.
    pub(crate) fn hang_up(&self) {
        self.conduct.streams.lock().unwrap().clear();
    }
}

struct Serving(Arc<Conduct>);

type Called = Result<Response<MediaDone>, Status>;

impl Serving {
    async fn call<T>(&self, op: &'static str, (room, who): (&str, &str), request: &Request<T>) -> Called {
        let header = |name: &str| request.metadata().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let seen = Seen {
            op,
            room: room.to_owned(),
            who: who.to_owned(),
            timeout: header("grpc-timeout"),
            traceparent: header("traceparent"),
            trace_id: header("x-trace-id"),
        };
        self.0.calls.lock().unwrap().push(seen);
        {
            let mut under_way = self.0.under_way.lock().unwrap();
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        let _left = Left(self.0.clone());
        let manner = self.0.manner.lock().unwrap().clone();
        match manner {
            Manner::Prompt | Manner::Empty => {}
            Manner::Late(by) => tokio::time::sleep(by).await,
            Manner::Never => std::future::pending().await,
            Manner::With(code, message) => return Err(Status::new(code, message)),
        }
        Ok(Response::new(MediaDone {}))
    }
}

/// A call that the node has left, by an answer or because the router gave it up.
struct Left(Arc<Conduct>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().0 -= 1;
    }
}

#[tonic::async_trait]
impl Media for Serving {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<FromNode, Status>> + Send>>;

    async fn watch(&self, request: Request<Streaming<FromRouter>>) -> Result<Response<Self::WatchStream>, Status> {
        let mut heard = request.into_inner();
        let (say, said) = mpsc::channel(64);
        let hello = v1::NodeHello {
            id: self.0.id.lock().unwrap().clone(),
            version: "fake/1".to_owned(),
            protocol: 1,
            incarnation: self.0.incarnation.lock().unwrap().clone(),
        };
        let first = self.0.first.lock().unwrap().clone();
        let first = first.unwrap_or(FromNode { hello: Some(hello), ..FromNode::default() });
        say.send(Ok(first)).await.unwrap();
        self.0.streams.lock().unwrap().push(say.clone());
        // the stream ends when the fake lets go of it, not when this task does
        let (echo, conduct) = (say.downgrade(), self.0.clone());
        drop(say);
        tokio::spawn(async move {
            while let Ok(Some(message)) = heard.message().await {
                if let Some(hello) = message.hello {
                    conduct.hellos.lock().unwrap().push(hello);
                }
                let echoes = *conduct.echoes.lock().unwrap();
                if let (Some(probe), true, Some(say)) = (message.probe, echoes, echo.upgrade()) {
                    say.send(Ok(FromNode { echo: Some(probe), ..FromNode::default() })).await.ok();
                }
            }
            conduct.left.cancel();
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(said))))
    }

    async fn put_participant(&self, request: Request<v1::PutParticipantRequest>) -> Called {
        let asked = request.get_ref();
        self.call("put_participant", (&asked.room, &asked.participant_id), &request).await
    }

    async fn end_participant(&self, request: Request<v1::EndParticipantRequest>) -> Called {
        let asked = request.get_ref();
        self.call("end_participant", (&asked.room, &asked.participant_id), &request).await
    }

    async fn set_permissions(&self, request: Request<v1::SetPermissionsRequest>) -> Called {
        let asked = request.get_ref();
        self.call("set_permissions", (&asked.room, &asked.participant_id), &request).await
    }

    async fn put_track(&self, request: Request<v1::PutTrackRequest>) -> Called {
        let asked = request.get_ref();
        self.call("put_track", (&asked.room, &asked.participant_id), &request).await
    }

    async fn end_track(&self, request: Request<v1::EndTrackRequest>) -> Called {
        let asked = request.get_ref();
        self.call("end_track", (&asked.room, &asked.track), &request).await
    }

    async fn mute_track(&self, request: Request<v1::MuteMediaRequest>) -> Called {
        let asked = request.get_ref();
        self.call("mute_track", (&asked.room, &asked.track), &request).await
    }

    async fn subscribe(&self, request: Request<v1::SubscribeMediaRequest>) -> Called {
        let asked = request.get_ref();
        self.call("subscribe", (&asked.room, &asked.participant_id), &request).await
    }

    async fn answer(&self, request: Request<v1::MediaAnswerRequest>) -> Called {
        let asked = request.get_ref();
        self.call("answer", (&asked.room, &asked.participant_id), &request).await
    }

    async fn candidate(&self, request: Request<v1::MediaCandidateRequest>) -> Called {
        let asked = request.get_ref();
        self.call("candidate", (&asked.room, &asked.participant_id), &request).await
    }

    async fn end_room(&self, request: Request<v1::EndMediaRoomRequest>) -> Called {
        self.call("end_room", (&request.get_ref().room, ""), &request).await
    }

    async fn offer(&self, request: Request<v1::MediaOfferRequest>) -> Result<Response<v1::MediaOfferReply>, Status> {
        let asked = request.get_ref();
        self.call("offer", (&asked.room, &asked.participant_id), &request).await?;
        let empty = matches!(*self.0.manner.lock().unwrap(), Manner::Empty);
        let sdp = format!("v=0 for {}", asked.participant_id);
        let answer = (!empty).then_some(v1::SessionDescription { sdp, ice_restart: false });
        Ok(Response::new(v1::MediaOfferReply { answer }))
    }

    async fn health(&self, request: Request<v1::HealthRequest>) -> Result<Response<v1::MediaReport>, Status> {
        self.call("health", ("", ""), &request).await?;
        Ok(Response::new(v1::MediaReport::default()))
    }
}
