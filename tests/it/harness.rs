//! Starts the binary, speaks to it, and ends it by its process id.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signalbox::auth::{DEV_KEY, DEV_SECRET, TokenClaims, VideoGrants, mint};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, MaybeTlsStream, Message, WebSocketStream};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running router.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where clients connect.
    pub(crate) client: SocketAddr,
    /// Where health and metrics are.
    pub(crate) ops: SocketAddr,
}

impl Server {
    /// `serve --dev` on free ports.
    pub(crate) fn dev() -> Self {
        Self::with(&[])
    }

    /// The same with settings from the environment.
    pub(crate) fn with(env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
        command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = |name: &str| {
            let word = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            word.unwrap_or_else(|| panic!("no {name} in {line:?}")).parse().unwrap()
        };
        Self { client: address("client="), ops: address("ops="), child }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Whether it has ended, and how.
    pub(crate) async fn ended(&mut self) -> std::process::ExitStatus {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "the server did not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A plain HTTP/1.1 request to one of the two ports.
    pub(crate) fn get(&self, to: SocketAddr, path: &str) -> (u16, String) {
        let mut socket = std::net::TcpStream::connect(to).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n");
        std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// A WebSocket with a token.
    pub(crate) async fn connect(&self, token: &str) -> Socket {
        let uri = format!("ws://{}/v1/signal?access_token={token}", self.client).parse().unwrap();
        let (stream, _) = ClientBuilder::from_uri(uri).connect().await.unwrap();
        Socket { stream, next: 1 }
    }

    /// A participant that has joined.
    pub(crate) async fn join(&self, room: &str, identity: &str) -> (Socket, Value) {
        let mut socket = self.connect(&token(room, identity)).await;
        let joined = socket.ask(json!({ "join": { "room": room } })).await;
        assert!(joined.get("joined").is_some(), "{joined}");
        (socket, joined["joined"].clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Now, in Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token of the dev key with the default grants.
pub(crate) fn token(room: &str, identity: &str) -> String {
    token_with(room, identity, |_| {})
}

/// The same, with grants changed.
pub(crate) fn token_with(room: &str, identity: &str, change: impl FnOnce(&mut VideoGrants)) -> String {
    let mut claims = TokenClaims::join(room, identity).expires_at(now() + 600);
    change(&mut claims.grants);
    mint(DEV_KEY, DEV_SECRET, &claims).unwrap()
}

/// One WebSocket, JSON.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: u64,
}

impl Socket {
    /// Sends text as it is.
    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        self.stream.send(Message::text(text.into())).await.unwrap();
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    /// Sends a frame without an id.
    pub(crate) async fn tell(&mut self, frame: Value) {
        self.send_text(frame.to_string()).await;
    }

    /// Sends a frame with an id and returns its answer; pushes in between are dropped.
    pub(crate) async fn ask(&mut self, mut frame: Value) -> Value {
        let id = self.next;
        self.next += 1;
        frame["id"] = id.into();
        self.tell(frame).await;
        self.until(|answer| answer["id"] == id).await
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("nothing came");
            let Some(Ok(message)) = message else { return Err(1006) };
            if let Some((code, _)) = message.as_close() {
                return Err(code.into());
            }
            if let Some(text) = message.as_text() {
                return Ok(serde_json::from_str(text).unwrap());
            }
        }
    }

    /// The first frame that fits.
    pub(crate) async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.next().await.unwrap_or_else(|code| panic!("closed with {code}"));
            if fits(&frame) {
                return frame;
            }
        }
    }

    /// The close code; frames before it are dropped.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}
