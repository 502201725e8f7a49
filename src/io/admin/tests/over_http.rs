use std::time::Duration;

use super::*;
use crate::{
    event::{Event, Outcome},
    io::admin::fake::ORIGIN,
    protocol::{Code, v1},
    router::AdminCall,
};

const ALICE: &str = "/v1/rooms/r1/participants/alice";

#[tokio::test]
async fn every_operation_does_its_work() {
    let served = Served::new();
    let made = served.ask("create", "POST /v1/rooms", Some(json!({"name": "r2", "participants_max": 3}))).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!((&made.body["name"], &made.body["participants_max"]), (&json!("r2"), &json!(3)));
    let list = served.ask("list", "GET /v1/rooms", None).await.ok();
    assert_eq!((&list["rooms"][0]["name"], &list["rooms"][1]["name"]), (&json!("r1"), &json!("r2")));
    assert_eq!(list.get("next_page_token"), None);
    assert_eq!(served.ask("admin", "GET /v1/rooms/r2", None).await.ok()["participants_max"], 3);
    let changed = served.ask("admin", "PATCH /v1/rooms/r2", Some(json!({"metadata": "m"}))).await.ok();
    assert_eq!(changed["metadata"], "m");
    assert_eq!(served.ask("admin", "DELETE /v1/rooms/r2", None).await.ok(), json!({}));
    served.ask("admin", "GET /v1/rooms/r2", None).await.refused(404, "room_not_found", "r2");

    let people = served.ask("admin", "GET /v1/rooms/r1/participants", None).await.ok();
    assert_eq!(people["participants"][1]["participant"]["identity"], "bob");
    let alice = served.ask("admin", &format!("GET {ALICE}"), None).await.ok();
    assert_eq!((&alice["participant"]["state"], &alice["tracks"][0]["kind"]), (&json!("connected"), &json!("video")));
    let body = json!({"name": "A", "permissions": {"can_subscribe": true, "can_publish_sources": ["camera"]}});
    let changed = served.ask("admin", &format!("PATCH {ALICE}"), Some(body)).await.ok();
    assert_eq!(changed["participant"]["permissions"]["can_publish"], false);
    let muted = served.ask("admin", &format!("POST {ALICE}/tracks/t1/mute"), Some(json!({"muted": true}))).await.ok();
    assert_eq!((&muted["id"], &muted["muted_by_admin"]), (&json!("t1"), &json!(true)));
    let sent = served.ask("admin", "POST /v1/rooms/r1/send", Some(json!({"data": {"a": [1.50]}}))).await.ok();
    assert_eq!(sent, json!({"offset": 7}));
    assert_eq!(served.ask("admin", &format!("DELETE {ALICE}"), None).await.ok(), json!({}));
    served.ask("admin", &format!("GET {ALICE}"), None).await.refused(404, "participant_not_found", "");
}

#[tokio::test]
async fn data_goes_on_byte_for_byte_and_names_are_decoded() {
    let served = Served::new();
    let body = Body::from(r#"{"data": {"b":1.50,  "a":"\u00e4"}, "to": ["bob"], "topic": "t"}"#);
    assert_eq!(answer(&served.routes, request("admin@ops", "POST /v1/rooms/r1/send", body)).await.ok(), json!({}));
    served.ask("admin", "GET /v1/rooms/a%2Fb%20%C3%A4", None).await.refused(404, "room_not_found", "a/b ä");
    let asked = served.rooms.asked();
    let AdminCall::SendData(send) = &asked[0].1 else { panic!("{asked:?}") };
    assert_eq!(asked[0].0, "ops");
    assert_eq!(send.data.as_deref(), Some(r#"{"b":1.50,  "a":"\u00e4"}"#));
    assert_eq!(asked[1].0, "k1");
}

#[tokio::test]
async fn without_the_grant_nothing_is_asked_of_the_rooms() {
    let served = Served::new();
    let (room, send) = (json!({"name": "r2"}), json!({"data": 1}));
    let (text, mute) = (json!({"metadata": "m"}), json!({"muted": true}));
    let mute_line = format!("POST {ALICE}/tracks/t1/mute");
    for (token, line, body, grant) in [
        ("admin+list", "POST /v1/rooms", Some(&room), "roomCreate"),
        ("admin+create", "GET /v1/rooms", None, "roomList"),
        ("create+list", "GET /v1/rooms/r1", None, "roomAdmin"),
        ("list", "DELETE /v1/rooms/r1", None, "roomAdmin or roomCreate"),
        ("create+list", "PATCH /v1/rooms/r1", Some(&text), "roomAdmin"),
        ("create+list", "GET /v1/rooms/r1/participants", None, "roomAdmin"),
        ("none", &format!("GET {ALICE}"), None, "roomAdmin"),
        ("none", &format!("PATCH {ALICE}"), Some(&text), "roomAdmin"),
        ("none", &format!("DELETE {ALICE}"), None, "roomAdmin"),
        ("none", &mute_line, Some(&mute), "roomAdmin"),
        ("none", "POST /v1/rooms/r1/send", Some(&send), "roomAdmin"),
    ] {
        served.ask(token, line, body.cloned()).await.refused(403, "permission_denied", grant);
    }
    for (token, line, body) in [
        ("admin:r2", "GET /v1/rooms/r1", None),
        ("admin:r2", &format!("DELETE {ALICE}"), None),
        ("create:r2", "DELETE /v1/rooms/r1", None),
        ("create:r1", "POST /v1/rooms", Some(&room)),
    ] {
        served.ask(token, line, body.cloned()).await.refused(403, "wrong_room", "not for");
    }
    assert!(served.rooms.asked().is_empty());
    assert!(served.ask("admin:r1", "GET /v1/rooms/r1", None).await.status.is_success());
    assert!(served.ask("create:r1", "DELETE /v1/rooms/r1", None).await.status.is_success());
}

#[tokio::test]
async fn a_caller_that_is_not_known_is_refused_and_counted_before_its_body_is_read() {
    let served = Served::new();
    let answer = served.ask("", "POST /v1/rooms", Some(json!("nonsense"))).await;
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    answer.refused(401, "unauthenticated", "Authorization");
    served.ask("forged", "GET /v1/rooms", None).await.refused(401, "unauthenticated", "");
    let away = served.ask("away", "GET /v1/rooms", None).await;
    assert_eq!(
        (&away.headers["retry-after"], &away.body["error"]["retry_after_ms"]),
        (&"2".parse().unwrap(), &json!(1500))
    );
    let shed = |code| Event::Shed { code, peer_ip: None };
    let expected = [Code::Unauthenticated, Code::Unauthenticated, Code::AuthUnavailable].map(shed);
    assert_eq!(served.seen.events(), expected);
}

#[tokio::test]
async fn a_page_changes_something_only_when_its_origin_is_on_the_list() {
    let served = Served::new();
    for (origin, line, status) in [
        ("https://evil.example", "DELETE /v1/rooms/r1", 403),
        ("https://evil.example", "GET /v1/rooms/r1", 200),
        (ORIGIN, "DELETE /v1/rooms/r1", 200),
    ] {
        let mut request = request("admin", line, Body::empty());
        request.headers_mut().insert("origin", origin.parse().unwrap());
        assert_eq!(answer(&served.routes, request).await.status, status, "{origin} {line}");
    }
    assert_eq!(served.rooms.asked().len(), 2);
}

#[tokio::test]
async fn each_change_is_told_of_with_its_key_and_outcome_and_reading_is_not() {
    let served = Served::new();
    served.ask("admin", "GET /v1/rooms/r1", None).await.ok();
    served.ask("create", "POST /v1/rooms", Some(json!({"name": "r2"}))).await.ok();
    served.ask("none", "DELETE /v1/rooms/r1", None).await.refused(403, "permission_denied", "");
    let told = |call, room: &str, outcome| {
        let (key, room) = ("k1".to_owned(), Some(room.to_owned()));
        Event::AdminCalled { call, key, room, outcome }
    };
    let refused = Outcome::Refused(Code::PermissionDenied);
    assert_eq!(served.seen.events(), [told("create_room", "r2", Outcome::Ok), told("delete_room", "r1", refused)]);
}

#[tokio::test]
async fn a_bad_body_is_refused_by_its_field() {
    let served = Served::new();
    let (mute, send) = (format!("POST {ALICE}/tracks/t1/mute"), "POST /v1/rooms/r1/send");
    let update = format!("PATCH {ALICE}");
    for (line, body, words) in [
        ("POST /v1/rooms", "", "the body is empty"),
        ("POST /v1/rooms", "{", "broken JSON"),
        ("POST /v1/rooms", "{}", "name is missing"),
        ("POST /v1/rooms", r#"{"name":""}"#, "name is missing"),
        ("POST /v1/rooms", r#"["r2"]"#, "not a JSON object"),
        ("POST /v1/rooms", r#"{"name":"r2"} x"#, "characters after"),
        ("POST /v1/rooms", r#"{"name":"r2","participants_max":-1}"#, "at `participants_max`"),
        ("POST /v1/rooms", r#"{"name":"r2","participants_max":0}"#, "participants_max: 0"),
        ("POST /v1/rooms", "{\"name\":\"r\\u0000\"}", "control characters"),
        ("PATCH /v1/rooms/r1", "{}", "metadata is missing"),
        ("PATCH /v1/rooms/r1", r#"{"metadata":"m","room":"r9"}"#, "room: the body and the path differ"),
        (&update, "{}", "set one"),
        (&update, r#"{"permissions":{"can_publish_sources":["tv"]}}"#, "at `permissions.can_publish_sources"),
        (&update, r#"{"attributes":{"a":1}}"#, "at `attributes.a`"),
        (&mute, "{}", "muted is missing"),
        (&mute, r#"{"muted":"yes"}"#, "at `muted`"),
        (send, "{}", "data or bytes is missing"),
        (send, r#"{"data":1,"bytes":"AA=="}"#, "not both"),
        (send, r#"{"bytes":"?"}"#, "not base64"),
        (send, r#"{"data":1,"to":[""]}"#, "to is missing"),
    ] {
        let body = Body::from(body.to_owned());
        answer(&served.routes, request("admin+create", line, body)).await.refused(400, "bad_request", words);
    }
    assert!(served.rooms.asked().is_empty());
}

#[tokio::test]
async fn a_limit_that_is_passed_is_named() {
    let served = Served::new();
    let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    for (line, body, limit) in [
        ("POST /v1/rooms", json!({"name": "r".repeat(129)}).to_string(), "limits.room_name_bytes"),
        ("PATCH /v1/rooms/r1", json!({"metadata": "m".repeat(16_385)}).to_string(), "limits.metadata_bytes"),
        ("PATCH /v1/rooms/r1", json!({"metadata": "m".repeat(65_536)}).to_string(), "limits.frame_bytes"),
        ("POST /v1/rooms/r1/send", format!("{{\"data\":{deep}}}"), "limits.json_depth"),
        ("POST /v1/rooms/r1/send", json!({"data": 1, "to": many}).to_string(), "limits.recipients"),
        ("POST /v1/rooms/r1/send", json!({"data": 1, "topic": "t".repeat(65)}).to_string(), "limits.topic_bytes"),
    ] {
        let request = request("admin+create", line, Body::from(body));
        answer(&served.routes, request).await.refused(413, "limit_exceeded", limit);
    }
}

#[tokio::test]
async fn lists_are_paged_and_bad_pages_are_refused() {
    let served = Served::over(FakeRooms::with_rooms(5));
    let (mut names, mut query) = (Vec::new(), "page_size=2".to_owned());
    for expected in [2, 2, 1] {
        let page = served.ask("list", &format!("GET /v1/rooms?{query}"), None).await.ok();
        let rooms = page["rooms"].as_array().unwrap();
        assert_eq!(rooms.len(), expected);
        names.extend(rooms.iter().map(|room| room["name"].as_str().unwrap().to_owned()));
        query = format!("page_size=2&page_token={}", page["next_page_token"].as_str().unwrap_or("end"));
    }
    assert_eq!(names, ["room-000", "room-001", "room-002", "room-003", "room-004"]);
    for query in ["page_size=0", "page_size=101", "page_size=-1", "page_size=x", "page_size=99999999999"] {
        served.ask("list", &format!("GET /v1/rooms?{query}"), None).await.refused(400, "bad_request", "1 and 100");
    }
    for path in ["/v1/rooms?page_token=!", "/v1/rooms/room-000/participants?page_token=!"] {
        served.ask("admin+list", &format!("GET {path}"), None).await.refused(400, "bad_request", "page_token");
    }
    served.ask("list", "GET /v1/rooms?page_size=1&page_size=2", None).await.refused(400, "bad_request", "page_size");
}

#[tokio::test]
async fn what_the_rooms_refuse_comes_with_its_status_and_when_to_try_again() {
    let served = Served::new();
    served.ask("create", "POST /v1/rooms", Some(json!({"name": "r1"}))).await.refused(409, "already_exists", "");
    served.rooms.refuse(Code::Overloaded.refuse().retry_after_ms(1_000));
    let answer = served.ask("admin", "GET /v1/rooms/r1", None).await;
    assert_eq!(answer.headers["retry-after"], "1");
    answer.refused(503, "overloaded", "");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_json_and_leave_the_rest_of_the_port_alone() {
    let served = Served::new();
    let port = Router::new().merge(served.routes.clone()).fallback(|| async { StatusCode::IM_A_TEAPOT });
    for path in ["/v1/rooms/", "/v1/rooms/r1/nothing", "/v1/rooms/r1/participants/a/b/c/d/e"] {
        ask(&port, "admin", &format!("GET {path}"), None).await.refused(404, "path_not_found", "openapi.json");
    }
    for (line, allowed) in
        [("PUT /v1/rooms/r1", "GET"), ("GET /v1/rooms/r1/send", "POST"), ("POST /v1/openapi.json", "GET")]
    {
        let answer = ask(&port, "admin", line, None).await;
        assert!(answer.headers["allow"].to_str().unwrap().contains(allowed), "{answer:?}");
        answer.refused(405, "method_not_allowed", "");
    }
    ask(&port, "admin", "GET /v1/rooms/%FF", None).await.refused(400, "bad_request", "UTF-8");
    for path in ["/v1/roomsx", "/v1", "/"] {
        let request = request("admin", &format!("GET {path}"), Body::empty());
        assert_eq!(port.clone().oneshot(request).await.unwrap().status(), StatusCode::IM_A_TEAPOT, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_is_not_waited_for() {
    let mut state = state(&FakeRooms::with_a_call(), &Seen::default());
    Arc::get_mut(&mut state.parts).unwrap().request_timeout = Duration::from_millis(20);
    let endless = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let request = request("create", "POST /v1/rooms", Body::from_stream(endless));
    answer(&routes(&state), request).await.refused(408, "handshake_timeout", "body");
}

#[tokio::test]
async fn an_attribute_and_a_permission_arrive_as_they_were_meant() {
    let served = Served::new();
    let body = json!({"attributes": {"team": ""}, "permissions": {"hidden": true}, "unknown": 1});
    served.ask("admin", &format!("PATCH {ALICE}"), Some(body)).await.ok();
    let asked = served.rooms.asked();
    let AdminCall::UpdateParticipant(update) = &asked[0].1 else { panic!("{asked:?}") };
    assert_eq!((update.room.as_str(), update.identity.as_str(), &update.name), ("r1", "alice", &None));
    assert_eq!(update.attributes["team"], "");
    assert_eq!(update.permissions, Some(v1::Permissions { hidden: true, ..v1::Permissions::default() }));
}
