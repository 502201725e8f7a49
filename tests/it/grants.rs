//! Ops that come at the wrong time, to the wrong one, or without the grant.

use serde_json::json;

use crate::harness::{Router, Socket, Token};

#[tokio::test]
async fn joining_twice_is_refused_and_the_first_join_holds() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (code, _) = alice.refusal(json!({ "join": { "room": "r" } })).await;
    assert_eq!(code, "already_joined");
    alice.assert_alive().await;
}

#[tokio::test]
async fn acting_before_joining_is_refused_and_joining_is_still_possible() {
    let router = Router::dev();
    let mut socket = Socket::connect(&router, &Token::new("r", "alice").sign()).await;
    for frame in [
        json!({ "send": { "data": 1 } }),
        json!({ "publish": { "cid": "c", "kind": "audio" } }),
        json!({ "signal": { "to": "bob", "end_of_candidates": {} } }),
        json!({ "leave": {} }),
        json!({ "ping": {} }),
    ] {
        let (code, _) = socket.refusal(frame.clone()).await;
        assert_eq!(code, "not_joined", "{frame}");
    }
    let reply = socket.ask(json!({ "join": { "room": "r" } })).await;
    assert!(reply["joined"].is_object(), "{reply}");
}

#[tokio::test]
async fn a_signal_to_nobody_is_refused() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (code, _) = alice.refusal(json!({ "signal": { "to": "nobody", "offer": { "sdp": "v=0" } } })).await;
    assert_eq!(code, "participant_not_found");
    let (code, _) = alice.refusal(json!({ "signal": { "offer": { "sdp": "v=0" } } })).await;
    assert_eq!(code, "no_media_node");
    let (code, _) = alice.refusal(json!({ "mute": { "track": "TR_none", "muted": true } })).await;
    assert_eq!(code, "track_not_found");
}

#[tokio::test]
async fn publishing_sending_and_subscribing_need_their_grants() {
    let router = Router::dev();
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let published = bob.ask(json!({ "publish": { "cid": "c", "kind": "audio" } })).await;
    let track = published["ok"]["track"]["id"].as_str().unwrap().to_owned();

    let token = Token::new("r", "alice")
        .grant("canPublish", false)
        .grant("canPublishData", false)
        .grant("canSubscribe", false)
        .sign();
    let (mut alice, _) = Socket::join_with(&router, "r", &token).await;
    for (frame, grant) in [
        (json!({ "publish": { "cid": "c", "kind": "audio" } }), "canPublish"),
        (json!({ "send": { "data": 1 } }), "canPublishData"),
        (json!({ "subscribe": { "tracks": [track], "subscribed": true } }), "canSubscribe"),
        (json!({ "update": { "metadata": "m" } }), "canUpdateOwnMetadata"),
        (json!({ "update": { "room_metadata": "m" } }), "roomAdmin"),
    ] {
        let (code, message) = alice.refusal(frame).await;
        assert_eq!(code, "permission_denied", "{message}");
        assert!(message.contains(grant), "`{message}` lacks `{grant}`");
    }
    alice.assert_alive().await;
}

#[tokio::test]
async fn a_token_without_room_join_does_not_join() {
    let router = Router::dev();
    let token = Token::new("r", "alice").grant("roomJoin", false).sign();
    let mut socket = Socket::connect(&router, &token).await;
    let (code, message) = socket.refusal(json!({ "join": { "room": "r" } })).await;
    assert_eq!(code, "permission_denied");
    assert!(message.contains("roomJoin"), "{message}");
}

#[tokio::test]
async fn a_newer_join_of_the_same_identity_replaces_the_older_session() {
    let router = Router::dev();
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let (mut older, first) = Socket::join(&router, "r", "alice").await;
    assert_eq!(bob.event("participant_joined").await["identity"], "alice");
    let (mut newer, second) = Socket::join(&router, "r", "alice").await;
    let (code, leave) = older.closed().await;
    assert_eq!((code, leave.unwrap()["reconnect"].as_bool()), (4520, Some(false)));
    assert_eq!(bob.event("participant_left").await["reason"], "replaced");
    assert_ne!(first["you"]["id"], second["you"]["id"]);
    newer.assert_alive().await;
}

#[tokio::test]
async fn two_participants_exchange_offer_answer_candidates_and_messages() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, joined) = Socket::join(&router, "r", "bob").await;
    assert_eq!(joined["participants"][0]["identity"], "alice", "{joined}");
    assert!(joined.get("media").is_none(), "{joined}");

    let reply = alice.ask(json!({ "signal": { "to": "bob", "offer": { "sdp": "v=0 offer" } } })).await;
    assert!(reply["ok"].is_object(), "{reply}");
    let push = bob.push_of("signal").await;
    assert_eq!((&push["from"], &push["offer"]["sdp"], &push["seq"]), (&json!("alice"), &json!("v=0 offer"), &json!(1)));
    bob.send(&json!({ "signal": { "to": "alice", "answer": { "sdp": "v=0 answer" } } })).await;
    assert_eq!(alice.push_of("signal").await["answer"]["sdp"], "v=0 answer");
    let candidate = json!({ "candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0 });
    bob.send(&json!({ "signal": { "to": "alice", "candidate": candidate } })).await;
    assert_eq!(alice.push_of("signal").await["candidate"]["sdp_m_line_index"], 0);

    alice.send_text(r#"{"send":{"data": {"b" : 1.50, "a":[ null ]} }}"#).await;
    let data = bob.push_of("data").await;
    assert_eq!((&data["from"], &data["data"]), (&json!("alice"), &json!({ "a": [null], "b": 1.5 })));
    assert!(data["offset"].as_u64().is_some(), "{data}");
    let reply = bob.ask(json!({ "send": { "data": "to you", "to": ["alice"] } })).await;
    assert!(reply["ok"].get("offset").is_none(), "{reply}");
    assert_eq!(alice.push_of("data").await["data"], "to you");
}

#[tokio::test]
async fn tracks_are_published_muted_and_end_with_their_owner() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let (mut bob, _) = Socket::join(&router, "r", "bob").await;
    let reply = alice.ask(json!({ "publish": { "cid": "mic", "kind": "audio", "source": "microphone" } })).await;
    let track = reply["ok"]["track"]["id"].clone();
    assert_eq!(bob.event("track_published").await["id"], track);
    alice.ask(json!({ "mute": { "track": track, "muted": true } })).await;
    let muted = bob.event("track_muted").await;
    assert_eq!((&muted["by"], &muted["muted_by_owner"]), (&json!("alice"), &json!(true)));
    alice.ask(json!({ "leave": {} })).await;
    assert_eq!(bob.event("track_unpublished").await["track"], track);
    assert_eq!(bob.event("participant_left").await["reason"], "left");
    assert_eq!(alice.closed().await.0, 4523);
}
