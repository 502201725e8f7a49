//! Frames that are wrong: each gets its named error, and costs nobody else anything.

use prost::Message as _;
use serde_json::json;
use signalbox::protocol::v1::{ClientFrame, Join, ServerFrame, client_frame::Op, server_frame::Body};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Router, Socket, Token, raw_frame, upgrade_raw, within};

#[tokio::test]
async fn a_broken_frame_is_answered_with_its_mistake_and_the_session_goes_on() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    for (frame, part) in [
        (r#"{"ping":"#, "broken JSON frame at `ping`: EOF"),
        (r#"not json"#, "broken JSON frame"),
        (r#"[1,2]"#, "expected a frame (a JSON object)"),
        (r#"{"id":1,"dance":{}}"#, "unknown op `dance`; allowed: join leave resume"),
        (r#"{"id":1}"#, "no op; allowed: join leave resume"),
        (r#"{"id":1,"mute":{"muted":true}}"#, "mute.track is missing"),
        (r#"{"id":1,"publish":{"cid":7}}"#, "`publish.cid`: invalid type: integer `7`, expected a string"),
        (r#"{"id":1,"publish":{"cid":"c","kind":"smell"}}"#, "`smell` is not one of audio, video, data"),
        (r#"{"id":"one","ping":{}}"#, "`id`"),
        (r#"{"id":1,"send":{}}"#, "data or bytes is missing"),
    ] {
        alice.send_text(frame).await;
        let reply = alice.push().await;
        assert_eq!(reply["error"]["code"], "bad_request", "{frame}: {reply}");
        assert!(reply["error"]["message"].as_str().unwrap().contains(part), "{frame}: {reply}");
    }
    alice.assert_alive().await;
}

#[tokio::test]
async fn a_refused_frame_keeps_its_id_where_that_can_be_read() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    alice.send_text(r#"{"id":41,"dance":{}}"#).await;
    assert_eq!(alice.push().await["id"], 41);
    alice.send_text(r#"{"id":42,"mute":{}}"#).await;
    assert_eq!(alice.push().await["id"], 42);
}

#[tokio::test]
async fn broken_protobuf_is_answered_in_protobuf() {
    let router = Router::dev();
    let mut socket = Socket::connect(&router, &Token::new("r", "alice").sign()).await;
    socket.send_binary(vec![0xff, 0xff, 0xff]).await;
    let reply = ServerFrame::decode(socket.read_binary().await).unwrap();
    let Some(Body::Error(error)) = reply.body else { panic!("no error") };
    assert_eq!(error.code, "bad_request");
    assert!(error.message.starts_with("broken protobuf: "), "{}", error.message);

    let join = Op::Join(Box::new(Join { room: "r".to_owned(), ..Join::default() }));
    let frame = ClientFrame { id: Some(2), op: Some(join), ..ClientFrame::default() };
    socket.send_binary(frame.encode_to_vec()).await;
    let reply = ServerFrame::decode(socket.read_binary().await).unwrap();
    assert!(matches!(reply, ServerFrame { id: Some(2), body: Some(Body::Joined(_)) }), "{reply:?}");
}

#[tokio::test]
async fn a_text_frame_after_a_binary_hello_ends_the_connection_and_says_why() {
    let router = Router::dev();
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let mut socket = Socket::connect(&router, &Token::new("r", "alice").sign()).await;
    let join = Op::Join(Box::new(Join { room: "r".to_owned(), ..Join::default() }));
    socket.send_binary(ClientFrame { id: Some(1), op: Some(join), ..ClientFrame::default() }.encode_to_vec()).await;
    socket.read_binary().await;
    socket.send(&json!({ "ping": {} })).await;
    assert_eq!(socket.closed().await.0, 4502);
    bob.assert_alive().await;
}

#[tokio::test]
async fn each_limit_that_is_passed_is_named_with_what_was_found_and_what_is_allowed() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let text = |bytes: usize| "x".repeat(bytes);
    let layers = vec![json!({ "rid": "q" }); 9];
    let deep = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let attributes: serde_json::Map<_, _> = (0..65).map(|i| (format!("a{i}"), json!("v"))).collect();
    for (frame, limit) in [
        (json!({ "update": { "metadata": text(20_000) } }), "limits.metadata_bytes: 20000 bytes, at most 16384"),
        (json!({ "update": { "name": text(257) } }), "limits.name_bytes: 257 bytes, at most 256"),
        (json!({ "update": { "attributes": attributes } }), "limits.attributes: 65 attributes, at most 64"),
        (
            json!({ "update": { "attributes": { "a": text(16_384) } } }),
            "limits.attributes_bytes: 16385 bytes, at most 16384",
        ),
        (json!({ "publish": { "cid": "c", "kind": "video", "layers": layers } }), "limits.layers: 9 layers, at most 8"),
        (json!({ "send": { "data": 1, "topic": text(65) } }), "limits.topic_bytes: 65 bytes, at most 64"),
        (json!({ "send": { "data": 1, "to": vec!["bob"; 257] } }), "limits.recipients: 257 names, at most 256"),
        (json!({ "send": { "data": deep(65) } }), "limits.json_depth: 65 levels, at most 64"),
        (json!({ "send": { "data": text(65 * 1024) } }), "limits.frame_bytes: "),
        (json!({ "join": { "room": text(129) } }), "limits.room_name_bytes: 129 bytes, at most 128"),
    ] {
        let (code, message) = alice.refusal(frame).await;
        assert_eq!(code, "limit_exceeded", "{message}");
        assert!(message.contains(limit), "`{message}` lacks `{limit}`");
    }
    alice.assert_alive().await;
}

#[tokio::test]
async fn tracks_are_bounded_and_the_bound_is_named() {
    let router = Router::dev_with(&[("limits.tracks", "2")]);
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    for cid in ["a", "b"] {
        let reply = alice.ask(json!({ "publish": { "cid": cid, "kind": "audio" } })).await;
        assert!(reply["ok"]["track"].is_object(), "{reply}");
    }
    let (code, message) = alice.refusal(json!({ "publish": { "cid": "c", "kind": "audio" } })).await;
    assert_eq!(code, "limit_exceeded");
    assert!(message.contains("limits.tracks"), "{message}");
}

#[tokio::test]
async fn deep_nesting_ends_neither_the_parser_nor_the_process() {
    let mut router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(60_000 / open.len());
        for frame in [format!(r#"{{"id":9,"future":{deep}"#), format!(r#"{{"id":9,"send":{{"data":{deep}"#), deep] {
            alice.send_text(&frame).await;
            assert_eq!(alice.push().await["error"]["code"], "bad_request");
        }
    }
    let (open, close) = ("[".repeat(30_000), "]".repeat(30_000));
    alice.send_text(&format!(r#"{{"id":9,"send":{{"data":{open}{close}}}}}"#)).await;
    let reply = alice.push().await;
    assert_eq!(reply["error"]["message"], "limits.json_depth: 30000 levels, at most 64 (send.data)");
    assert!(router.is_running());
    alice.assert_alive().await;
}

/// Reads to the end of the connection, and gives the code of the close frame.
async fn close_code(stream: &mut tokio::net::TcpStream) -> u16 {
    let mut bytes = Vec::new();
    within("the end of the connection", stream.read_to_end(&mut bytes)).await.ok();
    let place = bytes.iter().rposition(|byte| *byte == 0x88).expect("a close frame");
    u16::from_be_bytes([bytes[place + 2], bytes[place + 3]])
}

#[tokio::test]
async fn a_frame_of_100_mib_is_refused_when_it_is_announced() {
    let router = Router::dev();
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let before = router.resident_kib();
    let mut stream = upgrade_raw(router.client, &Token::new("r", "alice").sign()).await;
    stream.write_all(&raw_frame(1, 100 << 20, b"{\"join\":")).await.unwrap();
    assert_eq!(close_code(&mut stream).await, 1009);
    let grown = router.resident_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more");
    bob.assert_alive().await;
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_the_connection() {
    let router = Router::dev();
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let mut stream = upgrade_raw(router.client, &Token::new("r", "alice").sign()).await;
    let text = b"{\"join\":{\"room\":\"\xff\"}}";
    stream.write_all(&raw_frame(1, text.len() as u64, text)).await.unwrap();
    assert_eq!(close_code(&mut stream).await, 1007);
    bob.assert_alive().await;
}

#[tokio::test]
async fn a_websocket_frame_of_no_known_kind_ends_the_connection() {
    let router = Router::dev();
    let mut stream = upgrade_raw(router.client, &Token::new("r", "alice").sign()).await;
    stream.write_all(&raw_frame(5, 2, b"{}")).await.unwrap();
    assert_eq!(close_code(&mut stream).await, 1002);
}
