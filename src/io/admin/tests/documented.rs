use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::io::admin::{
    http::{OPENAPI, OPENAPI_PATH},
    operation::Operation,
};

type Names = BTreeSet<String>;

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn path_of(operation: Operation) -> String {
    format!("{}{}", operation.prefix(), operation.path_below()).trim_end_matches('/').to_owned()
}

fn documented(document: &Value, operation: Operation) -> Value {
    document["paths"][path_of(operation)][operation.method().as_str().to_lowercase()].clone()
}

/// The messages of the IDL and their fields.
fn messages() -> BTreeMap<String, Names> {
    let idl = concat!(
        include_str!("../../../protocol/signalbox/v1/rooms.proto"),
        include_str!("../../../protocol/signalbox/v1/signaling.proto")
    );
    let code: String = idl.lines().flat_map(|line| [line.split("//").next().unwrap(), "\n"]).collect();
    let parse = |message: &str| {
        let (name, rest) = message.split_once('{').unwrap();
        let fields = rest.split('}').next().unwrap().split(';').filter_map(|field| field.split_once('='));
        let fields = fields.map(|(field, _)| field.split_whitespace().last().unwrap().to_owned()).collect();
        (name.trim().to_owned(), fields)
    };
    code.split("\nmessage ").skip(1).map(parse).collect()
}

fn properties(schema: &Value) -> Names {
    schema["properties"].as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
}

fn schema_name(reference: &Value) -> &str {
    reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap()
}

#[tokio::test]
async fn the_document_is_served_and_of_this_version() {
    let answer = Served::new().ask("", &format!("GET {OPENAPI_PATH}"), None).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let served = answer.ok();
    assert_eq!(served, document());
    assert_eq!((&served["openapi"], &served["info"]["version"]), (&json!("3.1.0"), &json!(env!("CARGO_PKG_VERSION"))));
}

#[test]
fn what_is_routed_is_documented_and_what_is_documented_is_routed() {
    let document = document();
    let row = |method: &str, path: &str, id: &str| format!("{method} {path} {id}");
    let mut routed: Names = Operation::ALL
        .iter()
        .map(|operation| row(&operation.method().as_str().to_lowercase(), &path_of(*operation), operation.name()))
        .collect();
    routed.insert(row("get", OPENAPI_PATH, "openapi"));
    let mut written = Names::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            written.insert(row(method, path, operation["operationId"].as_str().unwrap()));
        }
    }
    assert_eq!(routed, written);
}

#[tokio::test]
async fn what_is_documented_is_found_and_what_is_not_is_refused() {
    let served = Served::new();
    for (path, documented) in document()["paths"].as_object().unwrap() {
        let asked = path.replace("{room}", "r1").replace("{identity}", "alice").replace("{track}", "t1");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = served
                .ask(
                    "none",
                    &format!("{method} {asked}"),
                    Some(json!({"name": "r", "metadata": "m", "muted": true, "data": 1})),
                )
                .await;
            let known = documented.get(method.to_lowercase()).is_some();
            assert_eq!(answer.status == StatusCode::METHOD_NOT_ALLOWED, !known, "{method} {asked}: {answer:?}");
            assert_ne!(answer.status, StatusCode::NOT_FOUND, "{method} {asked}");
        }
    }
}

#[test]
fn requests_have_the_fields_of_the_idl() {
    let (document, messages) = (document(), messages());
    for operation in Operation::ALL {
        let documented = documented(&document, operation);
        let mut fields: Names = documented["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| {
                document["components"]["parameters"][schema_name(parameter)]["name"].as_str().unwrap().to_owned()
            })
            .collect();
        let in_path: Names = path_of(operation)
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(str::to_owned)
            .collect();
        assert!(in_path.is_subset(&fields), "{operation:?}");
        if let Some(content) = documented.get("requestBody") {
            let schema = schema_name(&content["content"]["application/json"]["schema"]);
            fields.extend(properties(&document["components"]["schemas"][schema]));
        }
        // `create_room` is CreateRoomRequest
        let words = operation.name().split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
        let message = words.collect::<String>() + "Request";
        assert_eq!(fields, messages[&message], "{message}");
    }
}

#[test]
fn schemas_have_the_fields_of_the_idl_and_are_all_used() {
    let (document, messages) = (document(), messages());
    let text = document.to_string();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "{name} is not used");
        if !name.ends_with("Request") && name != "ErrorResponse" {
            assert_eq!(properties(schema), messages[name], "{name}");
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(properties(schema).contains(required.as_str().unwrap()), "{name}: {required}");
        }
    }
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
}

/// Judges values by a schema of the document, from which nothing may be left out: unknown fields are mistakes.
fn judge(schema: &str) -> jsonschema::Validator {
    let mut document = document();
    for schema in document["components"]["schemas"].as_object_mut().unwrap().values_mut() {
        if schema["properties"].is_object() {
            schema["additionalProperties"] = json!(false);
        }
    }
    let schema = json!({"$ref": format!("#/components/schemas/{schema}"), "components": document["components"]});
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
fn fits(schema: &str, value: &Value) {
    let judge = judge(schema);
    let mistakes: Vec<String> = judge.iter_errors(value).map(|e| e.to_string()).collect();
    assert!(mistakes.is_empty(), "{schema}: {mistakes:?} in {value}");
}

/// A request of every operation, in an order in which each succeeds.
fn requests() -> Vec<(Operation, &'static str, Option<Value>)> {
    const ALICE: &str = "/v1/rooms/r1/participants/alice";
    let permissions = json!({"can_publish": true, "can_subscribe": true, "can_publish_sources": ["camera"]});
    let change = json!({"name": "A", "metadata": "m", "attributes": {"a": "b"}, "permissions": permissions});
    let room = json!({"name": "r2", "metadata": "m", "participants_max": 9, "empty_timeout_seconds": 0});
    vec![
        (Operation::CreateRoom, "/v1/rooms", Some(room)),
        (Operation::ListRooms, "/v1/rooms?page_size=1", None),
        (Operation::GetRoom, "/v1/rooms/r1", None),
        (Operation::UpdateRoom, "/v1/rooms/r2", Some(json!({"metadata": "n"}))),
        (Operation::DeleteRoom, "/v1/rooms/r2", None),
        (Operation::ListParticipants, "/v1/rooms/r1/participants?page_size=1", None),
        (Operation::GetParticipant, ALICE, None),
        (Operation::UpdateParticipant, ALICE, Some(change)),
        (Operation::MuteTrack, "/v1/rooms/r1/participants/alice/tracks/t1/mute", Some(json!({"muted": true}))),
        (Operation::SendData, "/v1/rooms/r1/send", Some(json!({"data": null, "to": ["bob"], "topic": "t"}))),
        (Operation::SendData, "/v1/rooms/r1/send", Some(json!({"bytes": "AAE="}))),
        (Operation::GetUser, "/v1/users/alice", None),
        (Operation::RemoveParticipant, ALICE, None),
    ]
}

#[tokio::test]
async fn answers_and_requests_of_every_operation_fit_their_schemas() {
    let (served, document) = (Served::new(), document());
    let mut done = Vec::new();
    for (operation, path, body) in requests() {
        let documented = documented(&document, operation);
        assert_eq!(documented.get("requestBody").is_some(), body.is_some(), "{operation:?}");
        if let Some(body) = &body {
            fits(schema_name(&documented["requestBody"]["content"]["application/json"]["schema"]), body);
        }
        let answer = served.ask("admin+create+list", &format!("{} {path}", operation.method()), body).await;
        let response = &documented["responses"][answer.status.as_str()];
        assert!(response.is_object(), "{operation:?}: {answer:?}");
        fits(schema_name(&response["content"]["application/json"]["schema"]), &answer.body);
        done.push(operation);
    }
    assert!(Operation::ALL.iter().all(|operation| done.contains(operation)));
}

#[tokio::test]
async fn refusals_of_every_operation_fit_the_one_schema_of_errors() {
    let served = Served::new();
    for (operation, path, _) in requests() {
        for token in ["", "none", "away"] {
            let answer = served.ask(token, &format!("{} {path}", operation.method()), Some(json!([]))).await;
            assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{operation:?}");
            fits("ErrorResponse", &answer.body);
        }
    }
}

#[test]
fn bodies_that_are_refused_do_not_fit_either() {
    for (schema, body) in [
        ("CreateRoomRequest", json!({})),
        ("CreateRoomRequest", json!({"name": "r", "participants_max": 0})),
        ("UpdateRoomRequest", json!({})),
        ("UpdateParticipantRequest", json!({})),
        ("MuteTrackRequest", json!({"muted": 1})),
        ("SendDataRequest", json!({"topic": "t"})),
        ("SendDataRequest", json!({"data": 1, "bytes": "AA=="})),
    ] {
        assert!(!judge(schema).is_valid(&body), "{schema} {body}");
    }
}
