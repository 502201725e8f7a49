//! A client: one WebSocket, JSON or protobuf.

use std::{collections::VecDeque, net::SocketAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

use super::{Router, Token, remember, within};

/// A connected client.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Pushes that came while a reply was waited for.
    pushes: VecDeque<Value>,
    last_id: u64,
}

impl Socket {
    /// Connected, and nothing said yet.
    pub(crate) async fn connect(router: &Router, token: &str) -> Self {
        let tcp = TcpStream::connect(router.client).await.unwrap();
        Self::connect_on(router, token, tcp).await
    }

    pub(crate) async fn connect_on(router: &Router, token: &str, tcp: TcpStream) -> Self {
        Self::upgrade(router, token, tcp, &[]).await.0
    }

    /// Connected with these headers, and with those of the answer.
    pub(crate) async fn connect_with(
        router: &Router,
        token: &str,
        headers: &[(&'static str, &str)],
    ) -> (Self, HeaderMap) {
        let tcp = TcpStream::connect(router.client).await.unwrap();
        Self::upgrade(router, token, tcp, headers).await
    }

    /// Connected by a path with that query.
    pub(crate) async fn connect_query(router: &Router, token: &str, query: &str) -> Self {
        let tcp = TcpStream::connect(router.client).await.unwrap();
        let url = format!("ws://{}/v1/signal?{query}", router.client);
        Self::upgrade_at(&url, token, tcp, &[]).await.0
    }

    async fn upgrade(
        router: &Router,
        token: &str,
        tcp: TcpStream,
        headers: &[(&'static str, &str)],
    ) -> (Self, HeaderMap) {
        Self::upgrade_at(&format!("ws://{}/v1/signal", router.client), token, tcp, headers).await
    }

    /// Connected to that URL over that connection, whoever is at its other end, with these headers.
    pub(crate) async fn upgrade_at(
        url: &str,
        token: &str,
        tcp: TcpStream,
        headers: &[(&'static str, &str)],
    ) -> (Self, HeaderMap) {
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        let mut builder = ClientBuilder::new().uri(url).unwrap().add_header(header::AUTHORIZATION, bearer).unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            builder = builder.add_header(HeaderName::from_static(name), value).unwrap();
        }
        let (stream, answer) = within("the upgrade", builder.connect_on(tcp)).await.unwrap();
        (Self { stream, pushes: VecDeque::new(), last_id: 0 }, answer.headers().clone())
    }

    /// Connected and in the room, with the reply to the join.
    pub(crate) async fn join(router: &Router, room: &str, identity: &str) -> (Self, Value) {
        Self::join_with(router, room, &Token::new(room, identity).sign()).await
    }

    pub(crate) async fn join_with(router: &Router, room: &str, token: &str) -> (Self, Value) {
        let mut socket = Self::connect(router, token).await;
        let reply = socket.ask(json!({ "join": { "room": room } })).await;
        assert!(reply["joined"].is_object(), "{reply}");
        (socket, reply["joined"].clone())
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text.to_owned())).await;
    }

    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.send_message(Message::binary(Bytes::from(bytes))).await;
    }

    async fn send_message(&mut self, message: Message) {
        within("the writing of a frame", self.stream.send(message)).await.unwrap();
    }

    /// Sends a request under the next id and waits for its reply; pushes meanwhile are kept.
    pub(crate) async fn ask(&mut self, mut frame: Value) -> Value {
        self.last_id += 1;
        frame["id"] = self.last_id.into();
        self.send(&frame).await;
        self.reply(self.last_id).await
    }

    /// Requests from now on have ids after that one: a session that came back has used those up to it.
    pub(crate) fn count_from(&mut self, id: u64) {
        self.last_id = self.last_id.max(id);
    }

    /// Waits for the reply with that id.
    pub(crate) async fn reply(&mut self, id: u64) -> Value {
        loop {
            let frame = self.read().await;
            if frame["id"] == id {
                return frame;
            }
            self.pushes.push_back(frame);
        }
    }

    /// The code and the message of the refusal that a request gets.
    pub(crate) async fn refusal(&mut self, frame: Value) -> (String, String) {
        let reply = self.ask(frame).await;
        refusal_of(&reply)
    }

    /// The next push, or reply without an id.
    pub(crate) async fn push(&mut self) -> Value {
        match self.pushes.pop_front() {
            Some(push) => push,
            None => self.read().await,
        }
    }

    /// The next push under that key (`data`, `signal`, `event`, `advice`); others are passed over.
    pub(crate) async fn push_of(&mut self, key: &str) -> Value {
        loop {
            let mut push = self.push().await;
            if push.get(key).is_some() {
                return push[key].take();
            }
        }
    }

    /// The next event of that kind.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        loop {
            let mut event = self.push_of("event").await;
            if event.get(kind).is_some() {
                return event[kind].take();
            }
        }
    }

    /// The next frame, reply or push; none once the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<Value> {
        if let Some(push) = self.pushes.pop_front() {
            return Some(push);
        }
        loop {
            let message = within("a frame, or the end", self.stream.next()).await?.ok()?;
            if let Some(text) = message.as_text() {
                return serde_json::from_str(text).ok();
            }
        }
    }

    async fn read(&mut self) -> Value {
        let message = self.message().await;
        let Some(text) = message.as_text() else { panic!("no text frame: {message:?}") };
        let frame: Value = serde_json::from_str(text).unwrap();
        for reply in ["joined", "resumed"] {
            frame[reply]["resume_token"].as_str().map(remember);
        }
        frame
    }

    /// The next binary frame.
    pub(crate) async fn read_binary(&mut self) -> Bytes {
        let message = self.message().await;
        assert!(message.is_binary(), "{message:?}");
        Bytes::copy_from_slice(message.as_payload())
    }

    /// The next frame; the codec answers pings while they are passed over here.
    async fn message(&mut self) -> Message {
        loop {
            let message = within("a frame", self.stream.next()).await.expect("the connection ended").unwrap();
            if !message.is_ping() && !message.is_pong() {
                return message;
            }
        }
    }

    /// Reads on to the close: its code, and the `leave` push before it.
    pub(crate) async fn closed(&mut self) -> (u16, Option<Value>) {
        let mut leave = None;
        loop {
            let message = match within("the close", self.stream.next()).await {
                Some(Ok(message)) => message,
                other => panic!("the connection ended without a close: {other:?}"),
            };
            if let Some((code, _)) = message.as_close() {
                return (code.into(), leave);
            }
            if let Some(text) = message.as_text() {
                let mut frame: Value = serde_json::from_str(text).unwrap();
                if frame.get("leave").is_some() {
                    leave = Some(frame["leave"].take());
                }
            }
        }
    }

    /// Ends the transport without a word, as a lost network does.
    pub(crate) fn drop_connection(self) {
        drop(self);
    }

    /// Shows that the session still works.
    pub(crate) async fn assert_alive(&mut self) {
        let reply = self.ask(json!({ "ping": { "timestamp_ms": 7 } })).await;
        assert_eq!(reply["pong"]["timestamp_ms"], 7, "{reply}");
    }
}

pub(crate) fn refusal_of(reply: &Value) -> (String, String) {
    let error = &reply["error"];
    assert!(error.is_object(), "no refusal: {reply}");
    (error["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
}

/// An upgraded connection whose frames are written by hand.
pub(crate) async fn upgrade_raw(at: SocketAddr, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let key = STANDARD.encode([7; 16]);
    let head = format!(
        "GET /v1/signal?access_token={token} HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(within("the upgrade", stream.read_u8()).await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// A masked client frame (RFC 6455 5.2) that announces `announced` bytes and carries `payload`.
pub(crate) fn raw_frame(opcode: u8, announced: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0x80 | 127];
    frame.extend_from_slice(&announced.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 0]); // a mask of zeroes changes nothing
    frame.extend_from_slice(payload);
    if announced < 126 {
        // short lengths must be written short
        frame.splice(1..10, [0x80 | u8::try_from(announced).unwrap()]);
    }
    frame
}
