//! The way out: SIGTERM drains, a second one ends at once.

use serde_json::json;

use crate::harness::{Router, Socket, Token, get};

#[tokio::test]
async fn sigterm_advises_everybody_then_closes_with_the_reconnect_code() {
    let mut router = Router::dev_with(&[("drain.seconds", "2")]);
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    assert_eq!(get(router.ops, "/health/ready").await.status, 200);

    router.terminate();
    for socket in [&mut alice, &mut bob] {
        let advice = socket.push_of("advice").await;
        assert!(advice["reconnect"]["after_ms"].is_u64(), "{advice}");
    }
    let ready = get(router.ops, "/health/ready").await;
    assert_eq!((ready.status, &ready.json()["phase"]), (503, &json!("advising")));
    assert_eq!(get(router.ops, "/health/live").await.status, 200);
    let token = Token::new("r", "carol").sign();
    let answer = get(router.client, &format!("/v1/signal/validate?access_token={token}")).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "draining"));
    alice.assert_alive().await;

    for socket in [&mut alice, &mut bob] {
        let (code, leave) = socket.closed().await;
        assert_eq!((code, leave.unwrap()["reconnect"].as_bool()), (4000, Some(true)));
    }
    assert!(router.ended().await.success());
}

#[tokio::test]
async fn a_router_without_sessions_drains_at_once() {
    let mut router = Router::dev_with(&[("drain.seconds", "3600")]);
    router.terminate();
    assert!(router.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut router = Router::dev_with(&[("drain.seconds", "3600")]);
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    router.terminate();
    crate::harness::eventually("the drain's beginning", || router.stderr().contains("draining")).await;
    alice.assert_alive().await;
    router.terminate();
    router.ended().await;
}
