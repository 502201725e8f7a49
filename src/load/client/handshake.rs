//! The WebSocket handshake (RFC 6455 section 4.1), made here so that the body of a refusal is read, too.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_websockets::{ClientBuilder, WebSocketStream};

use super::{ClientError, Target, wire::Wire};
use crate::protocol::v1;

/// RFC 6455 section 1.3.
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Status line, headers and, of a refusal, its body.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Asks for the upgrade and takes the connection over.
pub(super) async fn upgrade(
    mut wire: Wire,
    target: &Target,
    token: &str,
) -> Result<WebSocketStream<Wire>, ClientError> {
    let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    wire.write_all(request(target, token, &key).as_bytes()).await?;
    let (head, mut rest) = read_head(&mut wire).await?;
    let head = Head::parse(&head)?;
    if head.status != 101 {
        return Err(refusal(&head, &mut wire, &mut rest).await);
    }
    if head.accept != accept_of(&key) {
        return Err(ClientError::Handshake("the answer's Sec-WebSocket-Accept is not that of our key".to_owned()));
    }
    wire.rewound = rest.freeze();
    Ok(ClientBuilder::new().take_over(wire))
}

fn request(target: &Target, token: &str, key: &str) -> String {
    let path = target.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = target.uri.authority().map_or("", |host| host.as_str());
    let authorization = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{authorization}\r\n"
    )
}

fn accept_of(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize())
}

/// The head, and what was read behind it.
async fn read_head(wire: &mut Wire) -> Result<(Bytes, BytesMut), ClientError> {
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        if let Some(at) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let head = bytes.split_to(at + 4).freeze();
            return Ok((head, bytes));
        }
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(ClientError::Handshake(format!("the answer's head is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        if wire.read_buf(&mut bytes).await? == 0 {
            return Err(ClientError::Handshake("the server hung up before it answered".to_owned()));
        }
    }
}

/// What matters of an answer's head.
#[derive(Debug, Default)]
struct Head {
    status: u16,
    accept: String,
    content_length: usize,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, ClientError> {
        let broken = || ClientError::Handshake("the answer is not HTTP/1.1".to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| broken())?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|line| line.get(..3));
        let mut head = Self { status: status.and_then(|s| s.parse().ok()).ok_or_else(broken)?, ..Self::default() };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("sec-websocket-accept") {
                value.trim().clone_into(&mut head.accept);
            } else if name.eq_ignore_ascii_case("content-length") {
                head.content_length = value.trim().parse().unwrap_or_default();
            }
        }
        Ok(head)
    }
}

/// The error in a refusal's body; without one, the status alone.
async fn refusal(head: &Head, wire: &mut Wire, body: &mut BytesMut) -> ClientError {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Body {
        error: v1::Error,
    }
    let length = head.content_length.min(ANSWER_BYTES_MAX);
    while body.len() < length && matches!(wire.read_buf(body).await, Ok(read) if read > 0) {}
    let error = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
    ClientError::Refused { status: head.status, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_that_of_the_rfc() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_head_is_read_whatever_the_case_of_its_names() {
        let head = Head::parse(b"HTTP/1.1 101 Switching\r\nSEC-websocket-Accept:  abc= \r\ncontent-length: 7\r\n\r\n");
        let head = head.unwrap();
        assert_eq!((head.status, head.accept.as_str(), head.content_length), (101, "abc=", 7));
        assert!(Head::parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
        assert!(Head::parse(b"HTTP/1.1 xx\r\n\r\n").is_err());
    }
}
