use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::io::ops::tests::{routes_of, telemetry};

/// Status, head and body of an answer behind a guard for that address.
async fn ask(address: &str, path: &str) -> (StatusCode, http::HeaderMap, String) {
    let request = Request::builder().method(Method::GET).uri(path).body(axum::body::Body::empty()).unwrap();
    let answer = routes_of(telemetry(), address, None).oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn who_is_not_admitted_is_told_in_the_words_that_gos_tool_shows() {
    let (status, head, body) = ask("0.0.0.0", "/debug/pprof/profile?seconds=1").await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::FORBIDDEN, "beyond loopback this needs ops.token_file to be set\n")
    );
    assert_eq!(
        (&head["x-go-pprof"], &head[header::CONTENT_TYPE]),
        (&"1".parse().unwrap(), &"text/plain; charset=utf-8".parse().unwrap())
    );
    let (_, head, _) = ask("0.0.0.0", "/debug/slow").await;
    assert_eq!(head[header::CONTENT_TYPE], "application/json");
}

#[tokio::test]
async fn a_profiler_that_is_off_says_so_and_when_to_come_back() {
    let (status, head, body) = ask("127.0.0.1", "/debug/pprof/profile?seconds=1").await;
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "no profile: it is switched off\n"));
    assert_eq!(head[header::RETRY_AFTER], "5");
    let (status, _, body) = ask("127.0.0.1", "/debug/pprof/").await;
    assert!(status == StatusCode::OK && body.contains("Nothing is sampled: it is switched off."), "{body}");
    let (status, head, body) = ask("127.0.0.1", "/debug/pprof/flamegraph").await;
    assert_eq!((status, &head[header::CONTENT_TYPE]), (StatusCode::OK, &"image/svg+xml".parse().unwrap()));
    assert!(body.contains("no samples in this window"), "{body}");
}

#[tokio::test]
async fn addresses_are_named_and_what_is_none_is_passed_over() {
    let here = ask as *const () as usize;
    let (status, _, body) = ask("127.0.0.1", &format!("/debug/pprof/symbol?{here:#x}+nonsense+0x1")).await;
    assert_eq!(status, StatusCode::OK);
    let lines: Vec<_> = body.lines().collect();
    assert_eq!((lines[0], lines.len()), ("num_symbols: 1", 3), "{body}");
    assert!(lines[1].contains("pprof::tests::ask") && lines[2] == "0x1 [unknown]", "{body}");
}
