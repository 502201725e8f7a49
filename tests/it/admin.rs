//! The admin API of a running router: HTTP/JSON by hand, gRPC through `signalbox rooms`, and what its sessions see.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Router, Socket, Token, ask, eventually, get, run_to_end};

fn token(grants: &[&str]) -> String {
    grants.iter().fold(Token::new("r", "ops"), |token, grant| token.grant(grant, true)).sign()
}

/// Runs `signalbox rooms` with the well-known key.
fn rooms(router: &Router, line: &str) -> (i32, String, String) {
    let url = format!("http://{}", router.client);
    let arguments: Vec<&str> = ["rooms", "--url", &url].into_iter().chain(line.split_ascii_whitespace()).collect();
    run_to_end(&arguments)
}

fn rooms_json(router: &Router, line: &str) -> Value {
    let (code, stdout, stderr) = rooms(router, &format!("{line} --json"));
    assert_eq!(code, 0, "{line}: {stderr}");
    serde_json::from_str(&stdout).unwrap()
}

#[tokio::test]
async fn a_room_lives_and_ends_by_http_and_its_sessions_see_it() {
    let router = Router::dev();
    let at = router.client;
    let (create, admin) = (token(&["roomCreate", "roomList"]), token(&["roomAdmin"]));
    let made = ask(at, "POST /v1/rooms", &create, r#"{"name":"r","participants_max":2,"metadata":"m"}"#).await;
    assert_eq!((made.status, &made.json()["participants_max"]), (201, &json!(2)));
    let (mut alice, joined) = Socket::join(&router, "r", "alice").await;
    assert_eq!((&joined["room"]["metadata"], &joined["room"]["participants_max"]), (&json!("m"), &json!(2)));

    let changed = ask(at, "PATCH /v1/rooms/r", &admin, r#"{"metadata":"n"}"#).await;
    assert_eq!((changed.status, &changed.json()["participants"]), (200, &json!(1)));
    assert_eq!(alice.event("room_updated").await["metadata"], "n");
    let sent = ask(at, "POST /v1/rooms/r/send", &admin, r#"{"data":{"a" : 1.0}}"#).await;
    let data = alice.push_of("data").await;
    assert_eq!((&data["data"], data.get("from").and_then(Value::as_str).unwrap_or_default()), (&json!({"a": 1.0}), ""));
    assert_eq!(sent.json()["offset"], data["offset"]);

    let list = ask(at, "GET /v1/rooms", &create, "").await;
    assert_eq!(list.json()["rooms"][0]["name"], "r");
    assert_eq!(ask(at, "DELETE /v1/rooms/r", &admin, "").await.status, 200);
    assert_eq!(alice.closed().await.0, 4522);
    assert_eq!(ask(at, "GET /v1/rooms/r", &admin, "").await.code(), "room_not_found");
    eventually("the log lines of the changes", || {
        let log = router.stderr();
        ["create_room", "update_room", "send_data", "delete_room"].iter().all(|call| log.contains(call))
    })
    .await;
    assert!(router.stderr().contains("devkey"));
}

#[tokio::test]
async fn participants_are_shown_muted_limited_and_removed() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let reply = alice.ask(json!({ "publish": { "cid": "mic", "kind": "audio", "source": "microphone" } })).await;
    let track = reply["ok"]["track"]["id"].as_str().unwrap().to_owned();

    let people = rooms_json(&router, "participants r");
    assert_eq!(people["participants"][0]["tracks"][0]["id"], json!(track));
    assert_eq!(rooms_json(&router, &format!("mute r alice {track}"))["muted_by_admin"], true);
    let muted = alice.event("track_muted").await;
    assert_eq!((&muted["muted"], &muted["by"]), (&json!(true), &json!("devkey")));
    let (code, _) = alice.refusal(json!({ "mute": { "track": track, "muted": false } })).await;
    assert_eq!(code, "muted_by_admin");
    assert_eq!(rooms_json(&router, &format!("mute r alice {track} --off"))["muted"], false);

    let limited = rooms_json(&router, "permit r alice --publish no");
    assert_eq!(limited["participant"]["permissions"]["can_publish"], false);
    assert_eq!(limited["participant"]["permissions"]["can_subscribe"], true);
    assert_eq!(alice.event("track_unpublished").await["track"], json!(track));
    assert_eq!(rooms_json(&router, "edit r alice --name Alice")["participant"]["name"], "Alice");
    assert_eq!(rooms_json(&router, "send r --text hi --to alice"), json!({}));
    assert_eq!(alice.push_of("data").await["data"], "hi");
    rooms_json(&router, "remove r alice");
    assert_eq!(alice.closed().await.0, 4521);
}

#[tokio::test]
async fn lists_go_over_all_shards_in_name_order_page_by_page() {
    let router = Router::dev_with(&[("server.workers", "2"), ("limits.admin_page_max", "7")]);
    for n in 0..20 {
        rooms_json(&router, &format!("create room-{n:02}"));
    }
    let names = |rooms: &Value| -> Vec<String> {
        rooms["rooms"].as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap().to_owned()).collect()
    };
    let expected: Vec<String> = (0..20).map(|n| format!("room-{n:02}")).collect();
    assert_eq!(names(&rooms_json(&router, "list")), expected);
    let list = token(&["roomList"]);
    let page = ask(router.client, "GET /v1/rooms?page_size=3", &list, "").await.json();
    assert_eq!(names(&page), expected[..3]);
    let next = format!("GET /v1/rooms?page_size=3&page_token={}", page["next_page_token"].as_str().unwrap());
    assert_eq!(names(&ask(router.client, &next, &list, "").await.json()), expected[3..6]);
    assert_eq!(ask(router.client, "GET /v1/rooms?page_size=8", &list, "").await.code(), "bad_request");
}

#[tokio::test]
async fn a_participants_token_administers_nothing() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    let plain = Token::new("r", "bob").sign();
    for line in ["GET /v1/rooms", "GET /v1/rooms/r", "DELETE /v1/rooms/r", "DELETE /v1/rooms/r/participants/alice"] {
        let answer = ask(router.client, line, &plain, "").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "permission_denied"), "{line}");
    }
    let elsewhere = Token::new("other", "bob").grant("roomAdmin", true).sign();
    assert_eq!(ask(router.client, "DELETE /v1/rooms/r", &elsewhere, "").await.code(), "wrong_room");
    assert_eq!(ask(router.client, "DELETE /v1/rooms/r", "x", "").await.status, 401);
    alice.assert_alive().await;
}

#[tokio::test]
async fn the_description_is_served_and_other_paths_are_not() {
    let router = Router::dev();
    assert_eq!(get(router.client, "/v1/openapi.json").await.json()["openapi"], "3.1.0");
    for path in ["/", "/v1/rooms/r/x", "/v2"] {
        let answer = get(router.client, path).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "path_not_found"), "{path}");
    }
}

#[tokio::test]
async fn the_command_line_speaks_tls_to_those_it_trusts() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let router = Router::dev_with(&[("client.tls.cert_file", cert), ("client.tls.key_file", key)]);
    let url = format!("https://127.0.0.1:{}", router.client.port());
    let (code, stdout, stderr) = run_to_end(&["rooms", "--url", &url, "--ca", cert, "list"]);
    assert_eq!((code, stdout.as_str()), (0, "no rooms\n"), "{stderr}");
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let strange = folder.path().join("strange.pem");
    std::fs::write(&strange, other.cert.pem()).unwrap();
    let (code, _, stderr) = run_to_end(&["rooms", "--url", &url, "--ca", strange.to_str().unwrap(), "list"]);
    assert!(code == 1 && stderr.contains("cannot reach") && stderr.contains("certificate"), "{stderr}");
}

#[tokio::test]
async fn errors_go_to_standard_error_with_the_next_step() {
    let router = Router::dev();
    let (code, stdout, stderr) = rooms(&router, "get nowhere");
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("no room `nowhere`") && stderr.contains("signalbox rooms list"), "{stderr}");
    let (code, _, stderr) = rooms(&router, "list --key app --secret secretsecretsecretsecretsecretsecret2");
    assert!(code == 1 && stderr.contains("--key"), "{stderr}");
    assert_eq!(rooms(&router, "permit r alice").0, 64);
}
