//! Tokens that are wrong: refused before the upgrade, with a status and a name, and never with the token.

use serde_json::json;

use crate::harness::{Answer, Router, Socket, Token, get, get_with, unix_now};

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "BwcHBwcHBwcHBwcHBwcHBw=="),
];

async fn knock(router: &Router, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Authorization", bearer.as_str())];
    headers.extend(UPGRADE);
    // without `Connection: close` of its own, which would be a second value
    get_with(router.client, "/v1/signal", &headers).await
}

#[tokio::test]
async fn a_wrong_token_is_refused_before_the_upgrade_by_name() {
    let router = Router::dev();
    let good = || Token::new("r", "alice");
    let tampered = good().sign().replacen('.', ".e30", 1);
    for (token, status, code) in [
        (good().claim("exp", unix_now() - 60).sign(), 401, "token_expired"),
        (good().claim("nbf", unix_now() + 600).sign(), 401, "token_not_yet_valid"),
        (good().algorithm("none").unsigned(), 401, "unauthenticated"),
        (good().algorithm("none").sign(), 401, "unauthenticated"),
        (good().sign_with(b"another secret that is as long as it has to be"), 401, "unauthenticated"),
        (good().algorithm("HS512").sign(), 401, "unauthenticated"),
        (good().claim("iss", "nobody").sign(), 401, "unauthenticated"),
        (tampered, 401, "unauthenticated"),
        ("garbage".to_owned(), 401, "unauthenticated"),
        ("a.b.c".to_owned(), 401, "unauthenticated"),
    ] {
        let answer = knock(&router, &token).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
        assert!(!answer.body.contains(&token), "the token is in the answer");
        assert!(!router.stderr().contains(&token), "the token is in the log");
    }
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    alice.assert_alive().await;
}

#[tokio::test]
async fn a_request_without_a_token_is_told_how_to_bring_one() {
    let router = Router::dev();
    let answer = get_with(router.client, "/v1/signal", &UPGRADE).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"));
    assert!(answer.body.contains("access_token"), "{answer:?}");
}

#[tokio::test]
async fn a_browser_can_ask_beforehand_what_the_upgrade_would_answer() {
    let router = Router::dev();
    let good = Token::new("r", "alice").sign();
    let answer = get(router.client, &format!("/v1/signal/validate?access_token={good}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let expired = Token::new("r", "alice").claim("exp", unix_now() - 60).sign();
    let path = format!("/v1/signal/validate?access_token={expired}");
    let answer = get_with(router.client, &path, &[("Origin", "https://app.example.com")]).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "token_expired"));
    assert!(answer.head.contains("access-control-allow-origin"), "{answer:?}");
}

#[tokio::test]
async fn a_token_for_another_room_does_not_open_this_one() {
    let router = Router::dev();
    let mut socket = Socket::connect(&router, &Token::new("elsewhere", "alice").sign()).await;
    let (code, _) = socket.refusal(json!({ "join": { "room": "r" } })).await;
    assert_eq!(code, "wrong_room");
    let path = format!("/v1/signal/validate?room=r&access_token={}", Token::new("elsewhere", "alice").sign());
    let answer = get(router.client, &path).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "wrong_room"));
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_is_refused() {
    let router = Router::dev_with(&[("client.origins", "https://app.example.com")]);
    let token = Token::new("r", "alice").sign();
    let path = format!("/v1/signal/validate?access_token={token}");
    let answer = get_with(router.client, &path, &[("Origin", "https://evil.example.org")]).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "origin_refused"));
    assert!(!answer.head.contains("access-control-allow-origin"), "{answer:?}");
    let answer = get_with(router.client, &path, &[("Origin", "https://app.example.com")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_session_ends_with_its_token_after_it_was_told() {
    let router = Router::dev_with(&[("auth.leeway_seconds", "0")]);
    let token = Token::new("r", "alice").claim("exp", unix_now() + 3).sign();
    let (mut alice, _) = Socket::join_with(&router, "r", &token).await;
    let advice = alice.push_of("advice").await;
    assert!(advice["token"]["expires_in_ms"].as_u64().unwrap() <= 3_000, "{advice}");
    let (code, leave) = alice.closed().await;
    assert_eq!((code, leave.unwrap()["code"].as_str()), (4504, Some("token_expired")));
}

#[tokio::test]
async fn a_fresh_token_of_another_identity_is_refused_and_one_of_its_own_is_taken() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (code, _) = alice.refusal(json!({ "update": { "token": Token::new("r", "bob").sign() } })).await;
    assert_eq!(code, "permission_denied");
    let forged = Token::new("r", "alice").sign_with(b"another secret that is as long as it has to be");
    let (code, message) = alice.refusal(json!({ "update": { "token": forged } })).await;
    assert_eq!(code, "unauthenticated");
    assert!(!message.contains(&forged));
    let own = Token::new("r", "alice").grant("canPublish", false).sign();
    let reply = alice.ask(json!({ "update": { "token": own } })).await;
    assert!(reply["ok"].is_object(), "{reply}");
    let (code, _) = alice.refusal(json!({ "publish": { "cid": "c", "kind": "audio" } })).await;
    assert_eq!(code, "permission_denied");
}
