//! Who gets which variant is shown, and explained for one client.

use super::*;

async fn variants(routes: &axum::Router, query: &str) -> (StatusCode, Value) {
    let (status, body) = ask(routes, Method::GET, &format!("/api/variants{query}"), &[]).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn rules_are_shown_as_they_are_and_nobody_is_explained_unless_asked() {
    let routes = routes("127.0.0.1", None);
    let (status, told) = variants(&routes, "").await;
    assert_eq!((status, &told["explained"]), (StatusCode::OK, &Value::Null));
    let rule = &told["rules"][0];
    assert_eq!((&rule["rule"], &rule["asks"]), (&"canary-share".into(), &"the user is in 5 %".into()));
    assert_eq!((&rule["wanted_percent"], &rule["got_percent"]), (&5.0.into(), &Value::Null));
    assert_eq!(told["variants"][0]["variant"], "default");
}

#[tokio::test]
async fn a_client_is_explained_as_it_would_be_taken() {
    let routes = routes("127.0.0.1", None);
    let explained = async |query: &str| variants(&routes, query).await.1["explained"].take();
    // its place is 860
    let ann = explained("?user_id=ann").await;
    assert_eq!(
        (&ann["variant"], &ann["rule"], &ann["steps"][0]["answer"]),
        (&"default".into(), &Value::Null, &"not".into())
    );
    assert!(ann["steps"][0]["why"].as_str().unwrap().contains("hashes to 860 of 10000"), "{ann}");
    let long = "x".repeat(300);
    let nobody = explained(&format!("?user_id={long}")).await;
    assert_eq!(nobody["steps"][0]["why"], "there is no user");
    let (status, told) = variants(&routes, "?user_id=a&user_id=b").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
}

#[tokio::test]
async fn strangers_are_kept_out() {
    let shut = routes("0.0.0.0", None);
    assert_eq!(ask(&shut, Method::GET, "/api/variants", &[]).await.0, StatusCode::FORBIDDEN);
}
