//! A client of the protocol: WebSocket or gRPC, JSON or protobuf, with request ids, pushes and resume.
//!
//! The load generator, the demo and the black-box tests speak through it. It keeps the position that a
//! resume needs, and nothing else of the room.

mod connect;
mod grpc;
mod handshake;
#[cfg(test)]
mod tests;
mod wire;

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use tokio_websockets::{Message, WebSocketStream};

pub use self::connect::{Dialect, Target, TargetSettings, Transport, grpc_url};
use self::wire::Wire;
use crate::protocol::{
    Encoding,
    v1::{self, ClientFrame, ServerFrame, client_frame::Op, server_frame::Body},
};

/// How long a connection, a handshake or a reply may take before it counts as none.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Pushes kept while a reply is waited for.
const KEPT_PUSHES_MAX: usize = 65_536;

/// Why a client cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The target cannot be used as it is named.
    #[error("{0}")]
    Target(String),
    /// Not a WebSocket server, or none of ours.
    #[error("handshake: {0}")]
    Handshake(String),
    /// The upgrade was refused.
    #[error("refused with status {status}: {}: {}", error.code, error.message)]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the body says; empty when it says nothing.
        error: v1::Error,
    },
    /// A request was answered with an error.
    #[error("{}: {}", .0.code, .0.message)]
    Error(v1::Error),
    /// The server closed with a code.
    #[error("closed with {number}: {reason}")]
    Closed {
        /// WebSocket close code; of gRPC, the number of the code's name.
        number: u16,
        /// The server's words.
        reason: String,
    },
    /// The transport ended.
    #[error("connection lost: {0}")]
    Lost(String),
    /// A frame that is not of the protocol.
    #[error("unreadable frame: {0}")]
    Unreadable(String),
    /// Nothing came in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silence,
}

impl ClientError {
    /// A short word for tables: the code's name where there is one.
    pub fn reason(&self) -> String {
        let code = |error: &v1::Error, status: u16| match error.code.as_str() {
            "" => format!("status_{status}"),
            name => name.to_owned(),
        };
        match self {
            Self::Target(_) => "target".to_owned(),
            Self::Handshake(_) => "handshake".to_owned(),
            Self::Refused { status, error } => code(error, *status),
            Self::Error(error) => code(error, 0),
            Self::Closed { number, .. } => match crate::protocol::Code::by_number(*number) {
                Some(code) => code.name().to_owned(),
                None => format!("close_{number}"),
            },
            Self::Lost(_) => "connection_lost".to_owned(),
            Self::Unreadable(_) => "unreadable".to_owned(),
            Self::Silence => "no_answer".to_owned(),
        }
    }
}

impl From<std::io::Error> for ClientError {
    fn from(e: std::io::Error) -> Self {
        Self::Lost(e.to_string())
    }
}

impl From<tokio_websockets::Error> for ClientError {
    fn from(e: tokio_websockets::Error) -> Self {
        Self::Lost(e.to_string())
    }
}

/// What arrived, decoded only when somebody wants to know.
#[derive(Debug)]
pub enum Incoming {
    /// A WebSocket frame's payload.
    Bytes(Encoding, Bytes),
    /// A frame of the gRPC stream.
    Frame(Box<ServerFrame>),
}

impl Incoming {
    /// Reads the frame.
    ///
    /// # Errors
    /// [`ClientError::Unreadable`].
    pub fn decode(self) -> Result<ServerFrame, ClientError> {
        match self {
            Self::Frame(frame) => Ok(*frame),
            Self::Bytes(Encoding::Json, bytes) => {
                serde_json::from_slice(&bytes).map_err(|e| ClientError::Unreadable(e.to_string()))
            }
            Self::Bytes(Encoding::Protobuf, bytes) => {
                ServerFrame::decode(bytes).map_err(|e| ClientError::Unreadable(e.to_string()))
            }
        }
    }
}

/// Where a session stands in its room's log and in its own pushes: what `resume` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The one to spend next.
    pub resume_token: String,
    /// Of the room's log.
    pub epoch: String,
    /// Of the last room event seen.
    pub offset: u64,
    /// Of the last directed push seen.
    pub seq: u64,
}

#[derive(Debug)]
enum Link {
    WebSocket(Box<WebSocketStream<Wire>>),
    Grpc(grpc::Stream),
}

/// One connection of a session. Dropping it drops the connection without a word.
#[derive(Debug)]
pub struct Client {
    link: Link,
    encoding: Encoding,
    dialect: Dialect,
    last_id: u64,
    kept: VecDeque<ServerFrame>,
    position: Position,
}

impl Client {
    /// Sends one frame as it is.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, frame: ClientFrame) -> Result<(), ClientError> {
        match &mut self.link {
            Link::Grpc(stream) => {
                stream.frames.send(frame).await.map_err(|_| ClientError::Lost("the stream ended".to_owned()))
            }
            Link::WebSocket(socket) => {
                let message = match self.encoding {
                    Encoding::Json => Message::text(
                        serde_json::to_string(&frame).map_err(|e| ClientError::Unreadable(e.to_string()))?,
                    ),
                    Encoding::Protobuf => Message::binary(Bytes::from(frame.encode_to_vec())),
                };
                Ok(socket.send(message).await?)
            }
        }
    }

    /// Sends bytes that need not be a frame at all, as a text or binary WebSocket message by the encoding.
    ///
    /// # Errors
    /// When the connection is gone, or is a gRPC stream.
    pub async fn send_raw(&mut self, encoding: Encoding, bytes: impl Into<Bytes>) -> Result<(), ClientError> {
        let Link::WebSocket(socket) = &mut self.link else {
            return Err(ClientError::Target("a gRPC stream carries frames only".to_owned()));
        };
        let bytes: Bytes = bytes.into();
        let message = if encoding == Encoding::Json { Message::text(bytes) } else { Message::binary(bytes) };
        Ok(socket.send(message).await?)
    }

    /// Sends one JSON value to the room, without asking for a reply.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_data(&mut self, json: String) -> Result<(), ClientError> {
        match (self.dialect, self.encoding, &mut self.link) {
            (Dialect::Bare, _, Link::WebSocket(socket)) => Ok(socket.send(Message::text(json)).await?),
            (Dialect::Signalbox, Encoding::Json, Link::WebSocket(socket)) => {
                Ok(socket.send(Message::text(format!("{{\"send\":{{\"data\":{json}}}}}"))).await?)
            }
            _ => {
                let send = v1::Send { data: Some(json), ..v1::Send::default() };
                self.send(ClientFrame { op: Some(Op::Send(send)), ..ClientFrame::default() }).await
            }
        }
    }

    /// Sends an op with the next id and returns the id.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn ask(&mut self, op: Op) -> Result<u64, ClientError> {
        self.last_id += 1;
        self.send(ClientFrame { id: Some(self.last_id), traceparent: String::new(), op: Some(op) }).await?;
        Ok(self.last_id)
    }

    /// Sends an op and waits for its reply; pushes that come before it are kept for [`Client::push`].
    ///
    /// # Errors
    /// [`ClientError::Error`] when the reply is one; else when the connection is gone or silent.
    pub async fn request(&mut self, op: Op) -> Result<Body, ClientError> {
        let id = self.ask(op).await?;
        self.reply(id).await
    }

    /// Waits for the reply to that request.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn reply(&mut self, id: u64) -> Result<Body, ClientError> {
        let waiting = async {
            loop {
                let frame = self.next_frame().await?;
                if frame.id == Some(id) {
                    return match frame.body {
                        Some(Body::Error(error)) => Err(ClientError::Error(error)),
                        Some(body) => Ok(body),
                        None => Err(ClientError::Unreadable("a reply without a body".to_owned())),
                    };
                }
                if self.kept.len() == KEPT_PUSHES_MAX {
                    return Err(ClientError::Lost(format!("{KEPT_PUSHES_MAX} pushes came before the reply")));
                }
                self.kept.push_back(frame);
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| ClientError::Silence)?
    }

    /// Joins, and puts the parts of a large room together.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn join(&mut self, join: v1::Join) -> Result<v1::Joined, ClientError> {
        if self.dialect == Dialect::Bare {
            return self.join_bare(&join.room).await;
        }
        let id = self.ask(Op::Join(Box::new(join))).await?;
        let mut whole: Option<v1::Joined> = None;
        loop {
            let Body::Joined(part) = self.reply(id).await? else {
                return Err(ClientError::Unreadable("a join is answered by `joined`".to_owned()));
            };
            let more = part.more;
            match &mut whole {
                None => whole = Some(*part),
                Some(whole) => {
                    whole.participants.extend(part.participants);
                    whole.tracks.extend(part.tracks);
                    whole.more = more;
                }
            }
            if !more {
                return Ok(whole.unwrap_or_default());
            }
        }
    }

    async fn join_bare(&mut self, room: &str) -> Result<v1::Joined, ClientError> {
        self.send_raw(Encoding::Json, format!("join {room}")).await?;
        let answer = tokio::time::timeout(PATIENCE, self.receive()).await.map_err(|_| ClientError::Silence)??;
        match answer {
            Incoming::Bytes(_, bytes) if &bytes[..] == b"joined" => Ok(v1::Joined::default()),
            _ => Err(ClientError::Unreadable("a bare join is answered by `joined`".to_owned())),
        }
    }

    /// Comes back as the session of that position, on this new connection. What was missed follows as pushes,
    /// or the room comes anew in the answer's `snapshot`.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn resume(&mut self, position: Position) -> Result<v1::Resumed, ClientError> {
        let Position { resume_token, epoch, offset, seq } = position.clone();
        self.position = position;
        let id = self.ask(Op::Resume(v1::Resume { resume_token, epoch, offset, seq })).await?;
        let mut whole: Option<v1::Resumed> = None;
        loop {
            let Body::Resumed(part) = self.reply(id).await? else {
                return Err(ClientError::Unreadable("a resume is answered by `resumed`".to_owned()));
            };
            let more = part.snapshot.as_ref().is_some_and(|snapshot| snapshot.more);
            match (&mut whole, part.snapshot.as_ref()) {
                (Some(v1::Resumed { snapshot: Some(all), .. }), Some(next)) => {
                    all.participants.extend_from_slice(&next.participants);
                    all.tracks.extend_from_slice(&next.tracks);
                    all.more = more;
                }
                _ => whole = Some(*part),
            }
            if !more {
                return Ok(whole.unwrap_or_default());
            }
        }
    }

    /// The next push, kept ones first.
    ///
    /// # Errors
    /// When the connection is gone or silent.
    pub async fn push(&mut self) -> Result<ServerFrame, ClientError> {
        if let Some(frame) = self.kept.pop_front() {
            return Ok(frame);
        }
        tokio::time::timeout(PATIENCE, self.next_frame()).await.map_err(|_| ClientError::Silence)?
    }

    /// A push that was kept while a reply was waited for.
    pub fn kept(&mut self) -> Option<ServerFrame> {
        self.kept.pop_front()
    }

    /// The next frame from the wire, reply or push; cancelling it loses nothing. Moves the position.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn next_frame(&mut self) -> Result<ServerFrame, ClientError> {
        let frame = self.receive().await?.decode()?;
        self.position.follow(&frame);
        Ok(frame)
    }

    /// What comes next, undecoded; cancelling it loses nothing. Does not move the position.
    ///
    /// # Errors
    /// [`ClientError::Closed`] with the server's code, or the connection is lost.
    pub async fn receive(&mut self) -> Result<Incoming, ClientError> {
        match &mut self.link {
            Link::Grpc(stream) => match stream.pushes.message().await {
                Ok(Some(frame)) => Ok(Incoming::Frame(Box::new(frame))),
                Ok(None) => Err(ClientError::Lost("the stream ended".to_owned())),
                Err(status) => Err(grpc::ended(status)),
            },
            Link::WebSocket(socket) => loop {
                let message = socket.next().await.ok_or_else(|| ClientError::Lost("hung up".to_owned()))??;
                if let Some((code, reason)) = message.as_close() {
                    return Err(ClientError::Closed { number: code.into(), reason: reason.to_owned() });
                }
                if message.is_text() {
                    return Ok(Incoming::Bytes(Encoding::Json, message.into_payload().into()));
                }
                if message.is_binary() {
                    return Ok(Incoming::Bytes(Encoding::Protobuf, message.into_payload().into()));
                }
            },
        }
    }

    /// Where the session stands.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Takes ids from there on: a resumed session goes on where its last connection stopped.
    pub fn continue_ids_after(&mut self, id: u64) {
        self.last_id = self.last_id.max(id);
    }

    /// The id of the latest request.
    pub fn last_id(&self) -> u64 {
        self.last_id
    }
}

impl Position {
    /// Moves by a frame that was seen.
    fn follow(&mut self, frame: &ServerFrame) {
        match &frame.body {
            Some(Body::Joined(joined)) => self.adopt(joined),
            Some(Body::Resumed(resumed)) => {
                resumed.resume_token.clone_into(&mut self.resume_token);
                resumed.epoch.clone_into(&mut self.epoch);
                if let Some(from) = resumed.from {
                    self.offset = from;
                }
                if let Some(snapshot) = &resumed.snapshot {
                    self.offset = snapshot.offset.max(resumed.offset);
                    self.seq = snapshot.seq.max(resumed.seq);
                }
            }
            Some(Body::Event(event)) => self.offset = self.offset.max(event.offset),
            Some(Body::Signal(push)) => self.seq = self.seq.max(push.seq),
            Some(Body::Data(push)) => {
                self.offset = self.offset.max(push.offset.unwrap_or_default());
                self.seq = self.seq.max(push.seq.unwrap_or_default());
            }
            _ => {}
        }
    }

    fn adopt(&mut self, joined: &v1::Joined) {
        // later parts of a large room leave it empty
        if !joined.resume_token.is_empty() {
            joined.resume_token.clone_into(&mut self.resume_token);
            joined.epoch.clone_into(&mut self.epoch);
            self.offset = joined.offset;
            self.seq = joined.seq;
        }
    }
}
