//! The client against a server that says what the test wants.

use std::future::Future;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_websockets::{CloseCode, Message, ServerBuilder};

use super::*;

/// Serves one connection that way.
async fn serve<F, S>(conversation: S) -> std::sync::Arc<Target>
where
    F: Future<Output = ()> + Send,
    S: FnOnce(TcpStream) -> F + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        conversation(tcp).await;
    });
    Target::resolve(&TargetSettings::websocket(format!("ws://{address}/v1/signal"))).await.unwrap()
}

/// Answers the first message with these, and stays until the client is gone.
fn answers(texts: &'static [&'static str]) -> impl FnOnce(TcpStream) -> futures_util::future::BoxFuture<'static, ()> {
    move |tcp| {
        Box::pin(async move {
            let (_, mut socket) = ServerBuilder::new().accept(tcp).await.unwrap();
            socket.next().await;
            for text in texts {
                socket.send(Message::text(*text)).await.unwrap();
            }
            while let Some(Ok(_)) = socket.next().await {}
        })
    }
}

/// Reads one request's head.
async fn request(tcp: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
}

fn join() -> v1::Join {
    v1::Join { room: "r".to_owned(), ..v1::Join::default() }
}

#[tokio::test]
async fn a_refused_upgrade_says_the_code_of_its_body() {
    let target = serve(|mut tcp| async move {
        request(&mut tcp).await;
        let body = r#"{"error":{"code":"token_expired","message":"too late"}}"#;
        let head = format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {}\r\n\r\n", body.len());
        // in two parts, as a network may deliver it
        tcp.write_all(head.as_bytes()).await.unwrap();
        tcp.flush().await.unwrap();
        tcp.write_all(body.as_bytes()).await.unwrap();
        tcp.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    let refused = target.connect("t", None).await.unwrap_err();
    assert_eq!(refused.reason(), "token_expired");
    assert!(matches!(refused, ClientError::Refused { status: 401, .. }));
}

#[tokio::test]
async fn a_server_that_is_no_websocket_server_is_named_so() {
    let target = serve(|mut tcp| async move { tcp.write_all(b"220 mail ready\r\n\r\n").await.unwrap() }).await;
    assert!(matches!(target.connect("", None).await, Err(ClientError::Handshake(_))));
    let target = serve(|mut tcp| async move {
        let forged = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: forged\r\n\r\n";
        tcp.write_all(forged.as_bytes()).await.unwrap();
        tcp.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    assert!(matches!(target.connect("", None).await, Err(ClientError::Handshake(_))));
}

#[tokio::test]
async fn the_parts_of_a_large_room_come_together_and_pushes_between_them_are_kept() {
    let target = serve(answers(&[
        r#"{"id":1,"joined":{"session":"s","resume_token":"t","epoch":"e","offset":7,"participants":[{"identity":"a"}],"more":true}}"#,
        r#"{"data":{"from":"a","data":1,"offset":8}}"#,
        r#"{"id":1,"joined":{"participants":[{"identity":"b"}],"more":false}}"#,
        r#"{"signal":{"from":"a","seq":3,"candidate":{"candidate":"c"}}}"#,
    ]))
    .await;
    let mut client = target.connect("", target.source(5)).await.unwrap();
    let joined = client.join(join()).await.unwrap();
    assert_eq!(joined.participants.len(), 2);
    assert!(matches!(client.kept().and_then(|frame| frame.body), Some(Body::Data(_))));
    assert!(matches!(client.push().await.unwrap().body, Some(Body::Signal(_))));
    let expected = Position { resume_token: "t".to_owned(), epoch: "e".to_owned(), offset: 8, seq: 3 };
    assert_eq!(client.position(), &expected);
}

#[tokio::test]
async fn a_resume_keeps_its_position_until_what_was_missed_has_come() {
    let target = serve(answers(&[
        r#"{"id":1,"resumed":{"recovered":true,"resume_token":"t2","epoch":"e","offset":9,"seq":4,"missed":1}}"#,
        r#"{"data":{"from":"a","data":1,"offset":9}}"#,
    ]))
    .await;
    let mut client = target.connect("", None).await.unwrap();
    let before = Position { resume_token: "t1".to_owned(), epoch: "e".to_owned(), offset: 8, seq: 4 };
    assert!(client.resume(before.clone()).await.unwrap().recovered);
    assert_eq!(client.position(), &Position { resume_token: "t2".to_owned(), ..before.clone() });
    client.push().await.unwrap();
    assert_eq!(client.position().offset, 9);
}

#[tokio::test]
async fn an_error_reply_and_a_close_are_told_apart() {
    let target = serve(|tcp| async move {
        let (_, mut socket) = ServerBuilder::new().accept(tcp).await.unwrap();
        socket.next().await;
        socket.send(Message::text(r#"{"id":1,"error":{"code":"room_full","message":"full"}}"#)).await.unwrap();
        socket.next().await;
        let code = CloseCode::try_from(4_520).unwrap();
        socket.send(Message::close(Some(code), "replaced")).await.unwrap();
    })
    .await;
    let mut client = target.connect("", None).await.unwrap();
    let refused = client.join(join()).await.unwrap_err();
    assert!(matches!(refused, ClientError::Error(_)));
    assert_eq!(refused.reason(), "room_full");
    let closed = client.join(join()).await.unwrap_err();
    assert!(matches!(closed, ClientError::Closed { number: 4_520, .. }));
    assert_eq!(closed.reason(), "replaced");
}

#[tokio::test]
async fn a_url_that_cannot_be_used_says_what_can() {
    let mut settings = TargetSettings::websocket("http://127.0.0.1:1");
    for (url, transport, named) in [
        ("http://127.0.0.1:1", Transport::Ws, "ws://"),
        ("ws://127.0.0.1:1", Transport::Grpc, "http://"),
        ("wss://127.0.0.1:1", Transport::Ws, "--ca"),
        ("::", Transport::Ws, "url"),
    ] {
        (settings.url, settings.transport) = (url.to_owned(), transport);
        let refused = Target::resolve(&settings).await.unwrap_err().to_string();
        assert!(refused.contains(named), "{refused}");
    }
}
