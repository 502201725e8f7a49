//! The answer to a connection that is refused before a byte of it was read: a small HTTP/1.1 response, then the end.
//!
//! Bounded in bytes, in time and in number: what is over the bounds is closed without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::protocol::Code;

/// Refusals that are being spoken at one time.
const SPEAKING_MAX: usize = 256;
/// For the answer and for the client to read it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of the request, read only to be thrown away: a socket closed over unread bytes would reset and take the answer with it.
const READ_BYTES_MAX: usize = 16 * 1024;

/// Those refusals that are being spoken.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Arc<AtomicUsize>);

impl Refusals {
    /// Tells a bare TCP connection why it is refused, in a task of its own.
    pub(super) fn speak(&self, stream: TcpStream, code: Code) {
        if self.0.fetch_add(1, Relaxed) < SPEAKING_MAX {
            let speaking = Speaking(self.0.clone());
            tokio::spawn(async move {
                // Told or not, the connection is over.
                let _ = timeout(PATIENCE, tell(stream, code)).await;
                drop(speaking);
            });
        } else {
            self.0.fetch_sub(1, Relaxed);
        }
    }
}

struct Speaking(Arc<AtomicUsize>);

impl Drop for Speaking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

async fn tell(mut stream: TcpStream, code: Code) -> std::io::Result<()> {
    stream.write_all(response(code).as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 512];
    let mut left = READ_BYTES_MAX;
    while left > 0 {
        match stream.read(&mut unread).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

/// The whole response. The time to wait differs between clients, so that they do not all come back at once.
fn response(code: Code) -> String {
    let seconds = fastrand::u64(1..=5);
    let body = serde_json::json!({
        "error": { "code": code.name(), "message": code.text(), "retry_after_ms": seconds * 1000 }
    })
    .to_string();
    let status = http::StatusCode::from_u16(code.http()).expect("the table's statuses are valid");
    format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nRetry-After: {seconds}\r\nConnection: close\r\n\r\n{body}",
        status.as_str(),
        status.canonical_reason().unwrap_or("Refused"),
        body.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_makes_a_whole_http_response() {
        for code in Code::ALL {
            let response = response(*code);
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", code.http())), "{head}");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["error"]["code"], code.name());
        }
    }
}
