//! HTTP/1.1 as small as it gets: one request a connection.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::within;

/// An answer: its status, its head in lower case, its body, as text and as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

pub(crate) async fn get(at: SocketAddr, path: &str) -> Answer {
    get_with(at, path, &[]).await
}

pub(crate) async fn get_with(at: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{headers}\r\n");
    request(at, head.as_bytes()).await
}

/// Asks with a line like `POST /v1/rooms`, a token and a JSON body.
pub(crate) async fn ask(at: SocketAddr, line: &str, token: &str, body: &str) -> Answer {
    ask_with(at, line, ("Authorization", &format!("Bearer {token}")), body).await
}

/// The same with that header in the place of the token.
pub(crate) async fn ask_with(at: SocketAddr, line: &str, (name, value): (&str, &str), body: &str) -> Answer {
    let size = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{name}: {value}\r\n");
    request(at, format!("{head}Content-Length: {size}\r\n\r\n{body}").as_bytes()).await
}

/// An answer whose head has come, and whose body is still being made.
pub(crate) struct Begun {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Begun {
    /// Asks, and waits for the head.
    pub(crate) async fn get(at: SocketAddr, path: &str) -> Self {
        within("the head of an answer", async {
            let mut stream = TcpStream::connect(at).await.unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut read = Vec::new();
            while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
            }
            Self { stream, read }
        })
        .await
    }

    /// The whole answer.
    pub(crate) async fn finish(mut self) -> Answer {
        within("the body of an answer", self.stream.read_to_end(&mut self.read)).await.unwrap();
        parse(&self.read)
    }
}

/// A port of loopback that is free now, for a server that cannot say which one it took.
pub(crate) fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Sends these bytes and reads until the other side ends.
async fn request(at: SocketAddr, bytes: &[u8]) -> Answer {
    within("the answer to a request", async {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap();
        parse(&text)
    })
    .await
}

fn parse(answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let end =
        answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
    let (head, bytes) = (String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), &answer[end + 4..]);
    let bytes = if head.contains("transfer-encoding: chunked") { unchunked(bytes) } else { bytes.to_vec() };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {text:?}")),
        head,
        body: String::from_utf8_lossy(&bytes).into_owned(),
        bytes,
    }
}

/// The chunks of a body (RFC 9112 7.1), whose last one has no bytes.
fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = chunks.windows(2).position(|end| end == b"\r\n").expect("a body that is whole");
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&chunks[line + 2..line + 2 + size]);
        chunks = &chunks[line + 2 + size + 2..];
    }
}
