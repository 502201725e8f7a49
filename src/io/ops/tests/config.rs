//! What runs is shown, and a file is judged; both only to whoever may ask.

use super::*;

async fn post(routes: &axum::Router, path: &str, body: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = Request::builder().method(Method::POST).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = routes.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_file_is_judged_as_json_or_text_and_its_mistakes_are_a_status_of_their_own() {
    let routes = routes("127.0.0.1", None);
    let (status, body) = post(&routes, "/api/config/check", "good", &[]).await;
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &told["verdict"], &told["applied"]),
        (StatusCode::OK, &"applicable".into(), &Value::Array(vec![]))
    );
    let (status, body) = post(&routes, "/api/config/check", "bad", &[("accept", "text/plain")]).await;
    assert_eq!((status, body.as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "about bad\n"));
    let (status, body) = post(&routes, "/api/config/check?format=text", "good", &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "about good\n"));
    let (status, body) = post(&routes, "/api/config/check?format=xml", "good", &[]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let shown: Value = serde_json::from_str(&ask(&routes, Method::GET, "/api/config", &[]).await.1).unwrap();
    assert_eq!(shown["generation"], 7);
}

#[tokio::test]
async fn a_file_may_be_as_long_as_one_on_disk_and_no_longer() {
    let routes = routes("127.0.0.1", None);
    let long = "#".repeat(4 << 20);
    assert_eq!(post(&routes, "/api/config/check", &long, &[]).await.0, StatusCode::OK);
    assert_eq!(post(&routes, "/api/config/check", &format!("{long}#"), &[]).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn pages_and_strangers_are_kept_out() {
    let open = routes("127.0.0.1", None);
    let page = [("origin", "https://evil.example")];
    assert_eq!(post(&open, "/api/config/check", "good", &page).await.0, StatusCode::FORBIDDEN);
    let shut = routes("0.0.0.0", None);
    for path in ["/api/config", "/api/config/check"] {
        assert_eq!(post(&shut, path, "good", &[]).await.0, StatusCode::FORBIDDEN, "{path}");
    }
}
